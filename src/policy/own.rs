//! What a CA key signs about itself: the request for its certificate (RFC 2986), and a root's own certificate (RFC 5280).
//!
//! Only a CA that has no certificate yet, or has this very name, signs either, and for no key but its own. The profile says which
//! name it may have; its callers are users of the signer's own host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use countersign_tbs::TbsKind;
use countersign_tbs::csr::CertificationRequestInfo;
use countersign_tbs::key::PublicKey;
use countersign_tbs::x509::{BasicConstraints, Extension, ExtensionValue, Name, RootCertificate};

use crate::policy::canonical::{write_each, write_validity};
use crate::policy::format::{Bounded, BuiltIn, Format, Limits};
use crate::policy::pattern::{Pattern, any_matches};
use crate::policy::quote::{duration, listed, quoted};
use crate::policy::validity::{Period, ValidityBounds};
use crate::policy::{Case, Reason, Verdict, object, profile};

mod built_in;

/// Which names a CA may have: by the attribute's label, such as `CN` (RFC 4514 §3).
pub(crate) type Subject = BTreeMap<&'static str, BTreeSet<Pattern>>;

/// What a profile bounds in a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestBounds {
    /// The name that may be asked for.
    pub(crate) subject: Subject,
}

/// What a profile bounds in a root's certificate.
#[derive(Clone, Debug)]
pub(crate) struct RootBounds {
    /// The root's name.
    pub(crate) subject: Subject,
    /// How many CAs may follow below it; `None` for any number.
    pub(crate) max_path_length: Option<u16>,
    /// When it is valid.
    pub(crate) validity: ValidityBounds,
}

/// What both say of the key.
trait Own {
    fn subject(&self) -> &Name;
    fn public_key(&self) -> &PublicKey;
    fn extensions(&self) -> &[Extension];
}

impl Own for CertificationRequestInfo {
    fn subject(&self) -> &Name {
        self.subject()
    }

    fn public_key(&self) -> &PublicKey {
        self.public_key()
    }

    fn extensions(&self) -> &[Extension] {
        self.extensions()
    }
}

impl Own for RootCertificate {
    fn subject(&self) -> &Name {
        self.tbs().subject()
    }

    fn public_key(&self) -> &PublicKey {
        self.tbs().public_key()
    }

    fn extensions(&self) -> &[Extension] {
        self.tbs().extensions()
    }
}

impl Format for CertificationRequestInfo {
    type Bounds = RequestBounds;
    const KIND: TbsKind = TbsKind::X509Request;
    const BUILT_IN: &'static [BuiltIn<Self>] = built_in::OF_REQUESTS;
    const BOUNDED: &'static [Bounded<Self>] =
        &[("subject", saw_subject, |limits, case| subject(limits.profile, &limits.bounds.subject, case))];

    fn bounds(bounds: &profile::Bounds) -> Option<&RequestBounds> {
        match bounds {
            profile::Bounds::Request(bounds) => Some(bounds),
            _ => None,
        }
    }
}

impl Format for RootCertificate {
    type Bounds = RootBounds;
    const KIND: TbsKind = TbsKind::X509Root;
    const BUILT_IN: &'static [BuiltIn<Self>] = built_in::OF_ROOTS;
    const BOUNDED: &'static [Bounded<Self>] = &[
        ("subject", saw_subject, |limits, case| subject(limits.profile, &limits.bounds.subject, case)),
        ("max_path_length", saw_path_length, max_path_length),
        ("backdating", saw_beginning, |limits, case| {
            limits.bounds.validity.backdating(limits.profile, &period(case.tbs), case.now)
        }),
        ("start_within", saw_beginning, |limits, case| {
            limits.bounds.validity.start_within(limits.profile, &period(case.tbs), case.now)
        }),
        ("min_lifetime", saw_lifetime, |limits, case| {
            limits.bounds.validity.min_lifetime(limits.profile, &period(case.tbs), case.now)
        }),
        ("max_lifetime", saw_lifetime, |limits, case| {
            limits.bounds.validity.max_lifetime(limits.profile, &period(case.tbs), case.now)
        }),
    ];

    fn bounds(bounds: &profile::Bounds) -> Option<&RootBounds> {
        match bounds {
            profile::Bounds::Root(bounds) => Some(bounds),
            _ => None,
        }
    }
}

/// Every attribute of the name is one of the profile's, with a value that it allows.
fn subject<T: Own>(profile: &str, allowed: &Subject, case: &Case<'_, T>) -> Verdict {
    for attribute in case.tbs.subject().attributes() {
        let label = attribute.label().map_or_else(|| attribute.oid().to_string(), str::to_owned);
        let fits = |patterns| any_matches(patterns, attribute.value());
        if !allowed.get(label.as_str()).is_some_and(fits) {
            let (value, labels) = (quoted(attribute.value()), listed(allowed.keys()));
            let message = format!(
                "subject {label} {value} is not among those of profile {profile}, which bounds {labels}"
            );
            return object(Reason::SubjectNotAllowed, message);
        }
    }
    Ok(())
}

fn max_path_length(limits: &Limits<'_, RootBounds>, case: &Case<'_, RootCertificate>) -> Verdict {
    let Some(limit) = limits.bounds.max_path_length else { return Ok(()) };
    let found = path_length(case.tbs);
    if found.is_some_and(|found| found <= limit) {
        return Ok(());
    }
    let found = found.map_or("not limited".to_owned(), |found| found.to_string());
    let message = format!("the path length is {found}; profile {} allows up to {limit}", limits.profile);
    object(Reason::PathLengthNotAllowed, message)
}

fn path_length(root: &RootCertificate) -> Option<u16> {
    match root.tbs().basic_constraints() {
        Some(BasicConstraints::Ca { path_len }) => path_len,
        Some(BasicConstraints::Leaf) | None => None,
    }
}

fn period(root: &RootCertificate) -> Period {
    let validity = root.tbs().validity();
    Period {
        fields: ["notBefore", "notAfter"],
        after: validity.not_before.unix_secs(),
        before: validity.not_after.unix_secs(),
    }
}

fn saw_subject<T: Own>(case: &Case<'_, T>) -> String {
    format!("subject {}", quoted(&case.tbs.subject().to_string()))
}

fn saw_public_key<T: Own>(case: &Case<'_, T>) -> String {
    format!("key {}", case.tbs.public_key().fingerprint())
}

fn saw_extensions<T: Own>(case: &Case<'_, T>) -> String {
    format!("extensions: {}", case.tbs.extensions().len())
}

fn saw_path_length(case: &Case<'_, RootCertificate>) -> String {
    path_length(case.tbs).map_or("no path length".to_owned(), |length| format!("path length {length}"))
}

fn saw_beginning(case: &Case<'_, RootCertificate>) -> String {
    period(case.tbs).beginning(case.now)
}

fn saw_lifetime(case: &Case<'_, RootCertificate>) -> String {
    format!("valid for {} from now on", duration(period(case.tbs).usable(case.now)))
}

/// Whether it is an extension that a CA asks for, or has in a root's certificate.
fn is_a_cas(value: &ExtensionValue) -> bool {
    use ExtensionValue::{AuthorityKeyId, BasicConstraints, KeyUsage, SubjectKeyId};

    matches!(value, BasicConstraints(_) | KeyUsage(_) | SubjectKeyId(_) | AuthorityKeyId(_))
}

impl RequestBounds {
    /// As the policy's digest covers them.
    pub(in crate::policy) fn canonical(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "signs certificate-request")?;
        canonical_subject(&self.subject, out)
    }
}

impl RootBounds {
    /// As the policy's digest covers them.
    pub(in crate::policy) fn canonical(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "signs root-ca")?;
        canonical_subject(&self.subject, out)?;
        match self.max_path_length {
            None => writeln!(out, "max_path_length any")?,
            Some(length) => writeln!(out, "max_path_length {length}")?,
        }
        write_validity(out, &self.validity)
    }
}

fn canonical_subject(subject: &Subject, out: &mut String) -> fmt::Result {
    subject.iter().try_for_each(|(label, patterns)| write_each(out, &format!("subject {label}"), patterns))
}
