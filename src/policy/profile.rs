//! Profiles: what one group of callers may have signed with one key.
//!
//! In: a [`Case`]. Out: whether this profile permits all of it, or the first rule that objects. To add a rule, write one
//! function, one line in [`RULES`] and one key in `config/profile.rs`; its name in [`RULES`] is that key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{Options, SubjectKey};

use crate::caller::CallerName;
use crate::policy::ask::{Place, Witness, answer};
use crate::policy::pattern::Pattern;
use crate::policy::quote::{listed, quoted};
use crate::policy::value::ValueRule;
use crate::policy::{Case, Reason, Refusal, Verdict, object, saw};

/// One `[key.KEY.allow.NAME]` section, compiled. Every field bounds something; none is optional but `key_id`.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Its place in the configuration, `key.user-ca.allow.staff`: the first part of its rules' names.
    pub(crate) path: String,
    /// Its name.
    pub(crate) name: String,
    /// Who may use it.
    pub(crate) callers: BTreeSet<CallerName>,
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
    /// How far in the past the validity may begin, so that a host whose clock is behind accepts it at once.
    pub(crate) backdating: Duration,
    /// How far in the future the validity may begin.
    pub(crate) start_within: Duration,
    /// How long the certificate may be used, from now or, if that is later, from its beginning.
    pub(crate) max_lifetime: Duration,
    /// The critical options that may be there.
    pub(crate) critical_options: BTreeMap<String, ValueRule>,
    /// Those of them that must be there.
    pub(crate) require_critical_options: BTreeSet<String>,
    /// The extensions that may be there.
    pub(crate) extensions: BTreeMap<String, ValueRule>,
}

/// A rule's name, what it looks at in words, and the rule: it objects, or it does not.
type Rule = (&'static str, fn(&Case<'_>) -> String, fn(&Profile, &Case<'_>) -> Verdict);

/// The rules, in the order in which they are asked, each under the key of the configuration that sets it.
const RULES: &[Rule] = &[
    ("subject_keys", saw::subject_algorithm, subject_keys),
    ("min_rsa_bits", saw::rsa_bits, min_rsa_bits),
    ("max_principals", saw::count_of_principals, max_principals),
    ("principals", saw::principals, principals),
    ("key_id", saw::key_id, key_id),
    ("backdating", saw::beginning, backdating),
    ("start_within", saw::beginning, start_within),
    ("max_lifetime", saw::lifetime, max_lifetime),
    ("critical_options", saw::critical_options, critical_options),
    ("require_critical_options", saw::critical_options, require_critical_options),
    ("extensions", saw::extensions, extensions),
];

/// The rules' names, in order.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, ..)| *name)
}

/// Finds the first profile, by name, that permits the case; its path is the deciding rule.
///
/// # Errors
/// The refusal of the profile that got furthest down [`RULES`], the first by name among equals: the one that the
/// caller most likely meant. `None` if there are no profiles.
pub(super) fn first_permitting<'a>(
    profiles: impl Iterator<Item = &'a Profile>,
    case: &Case<'_>,
    witness: &mut impl Witness,
) -> Result<String, Option<Refusal>> {
    let mut furthest = None;
    for profile in profiles {
        let Err((depth, refusal)) = profile.check(case, witness) else { return Ok(profile.path.clone()) };
        if furthest.as_ref().is_none_or(|(best, _)| depth > *best) {
            furthest = Some((depth, refusal));
        }
    }
    Err(furthest.map(|(_, refusal)| refusal))
}

impl Profile {
    /// The first refusal, with the number of rules that were content before it.
    fn check(&self, case: &Case<'_>, witness: &mut impl Witness) -> Result<(), (usize, Refusal)> {
        for (depth, (name, saw, rule)) in RULES.iter().enumerate() {
            answer(witness, Place::Profile(self, name), || saw(case), rule(self, case))
                .map_err(|refusal| (depth, refusal))?;
        }
        Ok(())
    }
}

fn subject_keys(profile: &Profile, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let algorithm = tbs.subject_key().algorithm();
    if profile.subject_keys.contains(algorithm) {
        return Ok(());
    }
    let allowed = listed(profile.subject_keys.iter());
    object(
        Reason::SubjectKeyNotAllowed,
        format!(
            "subject key algorithm {algorithm} is not among those of profile {}: {allowed}",
            profile.name
        ),
    )
}

fn min_rsa_bits(profile: &Profile, Case { tbs, .. }: &Case<'_>) -> Verdict {
    match tbs.subject_key() {
        SubjectKey::Plain(PublicKey::Rsa(rsa)) if rsa.bits() < profile.min_rsa_bits => object(
            Reason::SubjectKeyTooShort,
            format!(
                "the RSA subject key has {} bits; profile {} wants {}",
                rsa.bits(),
                profile.name,
                profile.min_rsa_bits
            ),
        ),
        _ => Ok(()),
    }
}

fn max_principals(profile: &Profile, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let (count, limit) = (tbs.principals().len(), profile.max_principals);
    if count <= limit {
        return Ok(());
    }
    let message = format!("there are {count} principals; profile {} allows {limit}", profile.name);
    object(Reason::PrincipalsAboveLimit, message)
}

fn principals(profile: &Profile, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let Some(bad) = tbs.principals().iter().find(|principal| !any_matches(&profile.principals, principal))
    else {
        return Ok(());
    };
    let (bad, allowed) = (quoted(bad), listed(profile.principals.iter()));
    object(
        Reason::PrincipalNotAllowed,
        format!("principal {bad} is not among the patterns of profile {}: {allowed}", profile.name),
    )
}

fn key_id(profile: &Profile, Case { tbs, .. }: &Case<'_>) -> Verdict {
    match &profile.key_id {
        Some(patterns) if !any_matches(patterns, tbs.key_id()) => object(
            Reason::KeyIdNotAllowed,
            format!(
                "key id {} is not among the patterns of profile {}: {}",
                quoted(tbs.key_id()),
                profile.name,
                listed(patterns.iter())
            ),
        ),
        _ => Ok(()),
    }
}

fn backdating(profile: &Profile, Case { tbs, now, .. }: &Case<'_>) -> Verdict {
    let (past, limit) = (now.0.saturating_sub(tbs.valid_after()), profile.backdating.as_secs());
    if past <= limit {
        return Ok(());
    }
    let message = format!("valid_after is {past} s ago; profile {} allows {limit} s", profile.name);
    object(Reason::BackdatedTooFar, message)
}

fn start_within(profile: &Profile, Case { tbs, now, .. }: &Case<'_>) -> Verdict {
    let (ahead, limit) = (tbs.valid_after().saturating_sub(now.0), profile.start_within.as_secs());
    if ahead <= limit {
        return Ok(());
    }
    let message = format!("valid_after is {ahead} s ahead; profile {} allows {limit} s", profile.name);
    object(Reason::StartsTooLate, message)
}

/// Counted from now for a backdated certificate, so that backdating neither eats the lifetime nor adds to it.
fn max_lifetime(profile: &Profile, Case { tbs, now, .. }: &Case<'_>) -> Verdict {
    let start = now.0.max(tbs.valid_after());
    let (lifetime, limit) = (tbs.valid_before().saturating_sub(start), profile.max_lifetime.as_secs());
    if lifetime <= limit {
        return Ok(());
    }
    let message =
        format!("the certificate could be used for {lifetime} s; profile {} allows {limit} s", profile.name);
    object(Reason::LifetimeTooLong, message)
}

fn critical_options(profile: &Profile, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let given = Given {
        noun: "critical option",
        options: tbs.critical_options(),
        unknown: Reason::CriticalOptionNotAllowed,
        bad_value: Reason::CriticalOptionValueNotAllowed,
    };
    given.check(&profile.critical_options, &profile.name)
}

fn require_critical_options(profile: &Profile, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let present: BTreeSet<&str> = tbs.critical_options().iter().map(|(name, _)| name).collect();
    match profile.require_critical_options.iter().find(|name| !present.contains(name.as_str())) {
        None => Ok(()),
        Some(missing) => object(
            Reason::CriticalOptionMissing,
            format!("critical option {missing} is missing; profile {} requires it", profile.name),
        ),
    }
}

fn extensions(profile: &Profile, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let given = Given {
        noun: "extension",
        options: tbs.extensions(),
        unknown: Reason::ExtensionNotAllowed,
        bad_value: Reason::ExtensionValueNotAllowed,
    };
    given.check(&profile.extensions, &profile.name)
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

fn any_matches(patterns: &BTreeSet<Pattern>, value: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(value))
}
