//! X.509 certificates, as policy reads them (RFC 5280).
//!
//! What a certificate is for is fixed by its [`CertificateKind`], which the profile names: the purposes, whether it is a CA's,
//! which names it must have. The rest of the profile says for whom.

use std::collections::BTreeSet;

use countersign_tbs::TbsKind;
use countersign_tbs::x509::{ExtensionValue, TbsCertificate};

use crate::policy::format::{Bounded, BuiltIn, Format};
use crate::policy::pattern::{Pattern, any_matches};
use crate::policy::profile;
use crate::policy::validity::Period;

mod bounds;
mod built_in;
mod extensions;
mod kind;
mod names;
mod saw;

pub(crate) use bounds::{Bounds, DEFAULT_SUBJECT_KEYS, SUBJECT_KEYS};
pub(in crate::policy) use built_in::{MIN_SERIAL_OCTETS, derived_from};
pub(crate) use kind::{CertificateKind, SERVES};
pub(crate) use names::NameBounds;

type Case<'a> = crate::policy::Case<'a, TbsCertificate>;

impl Format for TbsCertificate {
    type Bounds = Bounds;
    const KIND: TbsKind = TbsKind::X509Certificate;
    const BUILT_IN: &'static [BuiltIn<Self>] = built_in::RULES;
    const BOUNDED: &'static [Bounded<Self>] = bounds::RULES;

    fn bounds(bounds: &profile::Bounds) -> Option<&Bounds> {
        match bounds {
            profile::Bounds::X509(bounds) => Some(bounds),
            _ => None,
        }
    }
}

fn period(tbs: &TbsCertificate) -> Period {
    let validity = tbs.validity();
    Period {
        fields: ["notBefore", "notAfter"],
        after: validity.not_before.unix_secs(),
        before: validity.not_after.unix_secs(),
    }
}

/// What `pick` finds in the extensions; an empty list if there is none.
fn listed_in<'a, T>(
    tbs: &'a TbsCertificate,
    pick: impl Fn(&'a ExtensionValue) -> Option<&'a Vec<T>>,
) -> &'a [T] {
    tbs.extensions().iter().find_map(|extension| pick(&extension.value)).map_or(&[], Vec::as_slice)
}

/// The first of `values` that no pattern matches.
fn unmatched<'a>(values: impl IntoIterator<Item = &'a str>, patterns: &BTreeSet<Pattern>) -> Option<&'a str> {
    values.into_iter().find(|value| !any_matches(patterns, value))
}
