//! `[key.NAME.allow.PROFILE]`: what one group of callers may have signed with a key.
//!
//! In: a raw profile. Out: a compiled [`Profile`]. A bound that is not set has the default that allows least, or is a fault.
//! A key of SSH has one format; a profile of an X.509 key says by `signs` what it is about.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign_tbs::TbsKind;
use toml::Spanned;

use crate::caller::CallerName;
use crate::config::checks::{seconds, word};
use crate::config::section::{List, Section, Text};
use crate::key::{KeyPurpose, is_name};
use crate::policy::profile::{Bounds, Profile};
use crate::policy::validity::{UpdateBounds, ValidityBounds};
use crate::policy::x509::CertificateKind;

pub(super) mod budget;
pub(super) mod crl;
pub(super) mod ocsp;
pub(super) mod own;
pub(super) mod ssh;
pub(super) mod x509;

/// What a profile of an X.509 key is about.
#[derive(Clone, Copy)]
enum Signs {
    Certificate(CertificateKind),
    Crl,
    OcspResponse,
    Request,
    Root,
}

impl Signs {
    fn all() -> impl Iterator<Item = (&'static str, Self)> {
        let certificates =
            CertificateKind::ALL.into_iter().map(|kind| (kind.name(), Self::Certificate(kind)));
        certificates.chain([
            ("crl", Self::Crl),
            ("ocsp-response", Self::OcspResponse),
            ("certificate-request", Self::Request),
            ("root-ca", Self::Root),
        ])
    }

    /// Those that a key of `purpose` signs.
    fn of(purpose: KeyPurpose) -> impl Iterator<Item = (&'static str, Self)> {
        Self::all().filter(move |(_, signs)| purpose.kinds().contains(&signs.kind()))
    }

    const fn kind(self) -> TbsKind {
        match self {
            Self::Certificate(_) => TbsKind::X509Certificate,
            Self::Crl => TbsKind::X509Crl,
            Self::OcspResponse => TbsKind::OcspResponse,
            Self::Request => TbsKind::X509Request,
            Self::Root => TbsKind::X509Root,
        }
    }
}

/// Reads the profiles of a key, sorted by name; none if one is at fault. Of a key whose purpose is at fault, each is read as
/// what it looks like.
pub(super) fn read_all(purpose: Option<KeyPurpose>, key: &mut Section<'_, '_>) -> Option<Vec<Profile>> {
    if !key.has("allow") {
        key.fault(format!(
            "no profile allows anything with this key: add a section [{}.allow.PROFILE]",
            key.at()
        ));
    }
    let mut allow = key.child("allow")?;
    let names = allow.names();
    let profiles: Vec<_> = names
        .iter()
        .map(|name| allow.child(name).and_then(|mut section| read(name, purpose, &mut section)))
        .collect();
    profiles.into_iter().collect()
}

fn read(name: &str, purpose: Option<KeyPurpose>, section: &mut Section<'_, '_>) -> Option<Profile> {
    if !is_name(name) {
        section.fault(crate::key::InvalidName);
    }
    let path = section.at().to_owned();
    let budget = budget::read(section);
    let is_x509 = purpose.map_or_else(|| section.has("signs"), KeyPurpose::is_x509);
    let (callers, bounds) = if is_x509 { read_x509(purpose, section) } else { ssh::read(purpose, section) }?;
    Some(Profile { path, name: name.to_owned(), callers, bounds, budget: budget? })
}

/// A profile of what the key does not sign is still read, so that one fault never hides another.
fn read_x509(
    purpose: Option<KeyPurpose>,
    section: &mut Section<'_, '_>,
) -> Option<(BTreeSet<CallerName>, Bounds)> {
    let signs = section.take("signs");
    let span = signs.as_ref().map(Spanned::span).unwrap_or_default();
    let signs = section.required("signs", signs, word(Signs::all()))?;
    let read = match signs {
        Signs::Certificate(kind) => {
            x509::read(kind, section).map(|(callers, bounds)| (callers, Bounds::X509(Box::new(bounds))))
        }
        Signs::Crl => crl::read(section).map(|(callers, bounds)| (callers, Bounds::Crl(bounds))),
        Signs::Request => own::read_request(section),
        Signs::Root => own::read_root(section),
        Signs::OcspResponse => ocsp::read(section).map(|(callers, bounds)| (callers, Bounds::Ocsp(bounds))),
    };
    match purpose {
        Some(purpose) if !purpose.kinds().contains(&signs.kind()) => {
            let others: Vec<_> = Signs::of(purpose).map(|(name, _)| name).collect();
            let message =
                format!("is not what a key of purpose {purpose} signs; that is {}", others.join(", "));
            section.fault_at("signs", &span, message);
            None
        }
        Some(_) | None => read,
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const TEN_YEARS: Duration = Duration::from_secs(3653 * 24 * 3600);

/// The keys that bound a validity, in every format.
struct RawValidity {
    max_lifetime: Text,
    min_lifetime: Text,
    backdating: Text,
    start_within: Text,
}

impl RawValidity {
    fn read(self, section: &mut Section<'_, '_>) -> Option<ValidityBounds> {
        self.read_up_to(TEN_YEARS, section)
    }

    fn read_up_to(self, most: Duration, section: &mut Section<'_, '_>) -> Option<ValidityBounds> {
        let max_lifetime = section.required("max_lifetime", self.max_lifetime, seconds(SECOND..=most));
        let longest = max_lifetime.unwrap_or(most);
        let min_lifetime = section.or("min_lifetime", self.min_lifetime, SECOND, seconds(SECOND..=longest));
        let backdating = section.or("backdating", self.backdating, MINUTE, seconds(Duration::ZERO..=HOUR));
        let start_within =
            section.or("start_within", self.start_within, MINUTE, seconds(Duration::ZERO..=DAY));
        Some(ValidityBounds {
            backdating: backdating?,
            start_within: start_within?,
            min_lifetime: min_lifetime?,
            max_lifetime: max_lifetime?,
        })
    }
}

/// The keys that bound the updates of a list or a response.
struct RawUpdates {
    max_next_update: Text,
    backdating: Text,
    start_within: Text,
}

impl RawUpdates {
    fn read(self, section: &mut Section<'_, '_>) -> Option<UpdateBounds> {
        let max_next_update =
            section.required("max_next_update", self.max_next_update, seconds(SECOND..=TEN_YEARS));
        let backdating = section.or("backdating", self.backdating, MINUTE, seconds(Duration::ZERO..=HOUR));
        let start_within =
            section.or("start_within", self.start_within, MINUTE, seconds(Duration::ZERO..=DAY));
        Some(UpdateBounds {
            backdating: backdating?,
            start_within: start_within?,
            max_next_update: max_next_update?,
        })
    }
}

fn callers(section: &mut Section<'_, '_>, raw: List) -> Option<BTreeSet<CallerName>> {
    section.required_list("callers", raw, |text| {
        CallerName::parse(&text).map_err(|error| {
            let is_pattern = text.contains(['*', '?']);
            if is_pattern {
                format!("callers are exact names, not patterns: {error}")
            } else {
                error.to_string()
            }
        })
    })
}

/// A list that may be missing, as what it says if it is there.
fn given<T>(list: BTreeSet<T>) -> Option<BTreeSet<T>> {
    (!list.is_empty()).then_some(list)
}

/// One of `known`.
fn one_of(known: &[&'static str], noun: &str, text: &str) -> Result<&'static str, String> {
    let found = known.iter().find(|known| **known == text);
    found.copied().ok_or_else(|| format!("{text:?} is not {noun}; it is one of {}", known.join(", ")))
}

/// A flag, which is unset unless the file says otherwise.
fn is_set(flag: Option<Spanned<bool>>) -> bool {
    flag.is_some_and(Spanned::into_inner)
}
