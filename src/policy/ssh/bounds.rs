//! What a profile bounds in an SSH certificate.
//!
//! In: a [`Case`]. Out: the first rule that objects. To add a rule, write one function, one line in [`RULES`] and one key in
//! `config/profile/ssh.rs`; its name in [`RULES`] is that key.

use std::collections::{BTreeMap, BTreeSet};

use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{CertificateTbs, Options, SubjectKey};

use super::value::ValueRule;
use super::{Case, period, saw};
use crate::policy::format::{Bounded, Limits};
use crate::policy::pattern::{Pattern, any_matches};
use crate::policy::quote::{listed, quoted};
use crate::policy::validity::ValidityBounds;
use crate::policy::{Reason, Verdict, object};

/// Every field bounds something; none is optional but `key_id`.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Each principal matches one of these.
    pub(crate) principals: BTreeSet<Pattern>,
    /// How many principals.
    pub(crate) max_principals: usize,
    /// What the key id matches; `None` allows any that the built-in rules do.
    pub(crate) key_id: Option<BTreeSet<Pattern>>,
    /// The subject key's algorithm, as OpenSSH names it.
    pub(crate) subject_keys: BTreeSet<&'static str>,
    /// How long an RSA subject key is, at least.
    pub(crate) min_rsa_bits: usize,
    /// When it is valid.
    pub(crate) validity: ValidityBounds,
    /// The critical options that may be there.
    pub(crate) critical_options: BTreeMap<String, ValueRule>,
    /// Those of them that must be there.
    pub(crate) require_critical_options: BTreeSet<String>,
    /// The extensions that may be there.
    pub(crate) extensions: BTreeMap<String, ValueRule>,
}

/// The rules, in the order in which they are asked, each under the key of the configuration that sets it.
pub(super) const RULES: &[Bounded<CertificateTbs>] = &[
    ("subject_keys", saw::subject_algorithm, subject_keys),
    ("min_rsa_bits", saw::rsa_bits, min_rsa_bits),
    ("max_principals", saw::count_of_principals, max_principals),
    ("principals", saw::principals, principals),
    ("key_id", saw::key_id, key_id),
    ("backdating", saw::beginning, backdating),
    ("start_within", saw::beginning, start_within),
    ("min_lifetime", saw::lifetime, min_lifetime),
    ("max_lifetime", saw::lifetime, max_lifetime),
    ("critical_options", saw::critical_options, critical_options),
    ("require_critical_options", saw::critical_options, require_critical_options),
    ("extensions", saw::extensions, extensions),
];

fn subject_keys(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let algorithm = tbs.subject_key().algorithm();
    if limits.bounds.subject_keys.contains(algorithm) {
        return Ok(());
    }
    let allowed = listed(limits.bounds.subject_keys.iter());
    object(
        Reason::SubjectKeyNotAllowed,
        format!(
            "subject key algorithm {algorithm} is not among those of profile {}: {allowed}",
            limits.profile
        ),
    )
}

fn min_rsa_bits(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    match tbs.subject_key() {
        SubjectKey::Plain(PublicKey::Rsa(rsa)) if rsa.bits() < limits.bounds.min_rsa_bits => object(
            Reason::SubjectKeyTooShort,
            format!(
                "the RSA subject key has {} bits; profile {} wants {}",
                rsa.bits(),
                limits.profile,
                limits.bounds.min_rsa_bits
            ),
        ),
        _ => Ok(()),
    }
}

fn max_principals(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let (count, limit) = (tbs.principals().len(), limits.bounds.max_principals);
    if count <= limit {
        return Ok(());
    }
    let message = format!("there are {count} principals; profile {} allows {limit}", limits.profile);
    object(Reason::PrincipalsAboveLimit, message)
}

fn principals(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let Some(bad) =
        tbs.principals().iter().find(|principal| !any_matches(&limits.bounds.principals, principal))
    else {
        return Ok(());
    };
    let (bad, allowed) = (quoted(bad), listed(limits.bounds.principals.iter()));
    object(
        Reason::PrincipalNotAllowed,
        format!("principal {bad} is not among the patterns of profile {}: {allowed}", limits.profile),
    )
}

fn key_id(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    match &limits.bounds.key_id {
        Some(patterns) if !any_matches(patterns, tbs.key_id()) => object(
            Reason::KeyIdNotAllowed,
            format!(
                "key id {} is not among the patterns of profile {}: {}",
                quoted(tbs.key_id()),
                limits.profile,
                listed(patterns.iter())
            ),
        ),
        _ => Ok(()),
    }
}

fn backdating(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.validity.backdating(limits.profile, &period(case.tbs), case.now)
}

fn start_within(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.validity.start_within(limits.profile, &period(case.tbs), case.now)
}

fn min_lifetime(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.validity.min_lifetime(limits.profile, &period(case.tbs), case.now)
}

fn max_lifetime(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.validity.max_lifetime(limits.profile, &period(case.tbs), case.now)
}

fn critical_options(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let given = Given {
        noun: "critical option",
        options: tbs.critical_options(),
        unknown: Reason::CriticalOptionNotAllowed,
        bad_value: Reason::CriticalOptionValueNotAllowed,
    };
    given.check(&limits.bounds.critical_options, limits.profile)
}

fn require_critical_options(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let present: BTreeSet<&str> = tbs.critical_options().iter().map(|(name, _)| name).collect();
    match limits.bounds.require_critical_options.iter().find(|name| !present.contains(name.as_str())) {
        None => Ok(()),
        Some(missing) => object(
            Reason::CriticalOptionMissing,
            format!("critical option {missing} is missing; profile {} requires it", limits.profile),
        ),
    }
}

fn extensions(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let given = Given {
        noun: "extension",
        options: tbs.extensions(),
        unknown: Reason::ExtensionNotAllowed,
        bad_value: Reason::ExtensionValueNotAllowed,
    };
    given.check(&limits.bounds.extensions, limits.profile)
}

/// The options of a certificate, and the words to refuse them with.
struct Given<'a> {
    noun: &'static str,
    options: &'a Options,
    unknown: Reason,
    bad_value: Reason,
}

impl Given<'_> {
    fn check(&self, allowed: &BTreeMap<String, ValueRule>, profile: &str) -> Verdict {
        let noun = self.noun;
        for (name, value) in self.options.iter() {
            let quoted_name = quoted(name);
            let Some(rule) = allowed.get(name) else {
                let allowed = listed(allowed.keys());
                let message =
                    format!("{noun} {quoted_name} is not among those of profile {profile}: {allowed}");
                return object(self.unknown, message);
            };
            if !rule.allows(value) {
                let wanted = rule.description();
                let message = format!(
                    "{noun} {quoted_name} has a value that profile {profile} does not allow; it allows {wanted}"
                );
                return object(self.bad_value, message);
            }
        }
        Ok(())
    }
}
