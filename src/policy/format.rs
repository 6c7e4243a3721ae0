//! What a format of TBS is to policy: the rules that it is asked, and what a profile bounds in it.
//!
//! In: a [`Case`]. Out: the profile that permits it, or the refusal. To add a format, implement [`Format`] in a module of
//! its own (`policy::ssh`, `policy::x509`), and give it a variant of [`Bounds`] and an arm in `Policy::ask`. To add a rule,
//! write one function and one line in the format's [`Format::BUILT_IN`] or [`Format::BOUNDED`].

use countersign_tbs::TbsKind;

use crate::caller::CallerName;
use crate::policy::ask::{Observer, Place, answer};
use crate::policy::profile::{Bounds, Profile};
use crate::policy::quote::listed;
use crate::policy::{Case, Reason, Refusal, Verdict, object};

/// A format of TBS.
pub(super) trait Format: Sized + 'static {
    /// What a profile bounds in it.
    type Bounds: 'static;
    /// Its kind.
    const KIND: TbsKind;
    /// The rules that no configuration can loosen, in the order in which they are asked. A rule's name here is its name in
    /// refusals, after `built-in.`.
    const BUILT_IN: &'static [BuiltIn<Self>];
    /// The rules of a profile, in the order in which they are asked, each under the key of the configuration that sets it.
    const BOUNDED: &'static [Bounded<Self>];

    /// The bounds, if they are of this format.
    fn bounds(bounds: &Bounds) -> Option<&Self::Bounds>;
}

/// A rule's name, what it looks at in words, and the rule: it objects, or it does not.
pub(super) type BuiltIn<T> = (&'static str, fn(&Case<'_, T>) -> String, fn(&Case<'_, T>) -> Verdict);

/// As [`BuiltIn`], for a rule that a profile sets.
pub(super) type Bounded<T> = (
    &'static str,
    fn(&Case<'_, T>) -> String,
    fn(&Limits<'_, <T as Format>::Bounds>, &Case<'_, T>) -> Verdict,
);

/// What a profile bounds, and the profile's name for messages.
pub(super) struct Limits<'a, B> {
    pub(super) profile: &'a str,
    pub(super) bounds: &'a B,
}

/// The names of the rules of `T`, in order: of those that are built in after `built_in`, of those of a profile after `bounded`.
#[cfg(test)]
pub(super) fn rule_names<T: Format>(built_in: &str, bounded: &str) -> impl Iterator<Item = String> {
    let first = T::BUILT_IN.iter().map(move |(name, ..)| format!("{built_in}{name}"));
    first.chain(T::BOUNDED.iter().map(move |(name, ..)| format!("{bounded}{name}")))
}

/// The profile key that says which format it is about.
const SIGNS: &str = "signs";

/// Asks every rule that no configuration can loosen.
pub(super) fn built_in<T: Format>(case: &Case<'_, T>, observer: &mut impl Observer) -> Result<(), Refusal> {
    let mut rules = T::BUILT_IN.iter();
    rules.try_for_each(|(name, saw, rule)| answer(observer, Place::BuiltIn(name), || saw(case), rule(case)))
}

/// Finds the first of the caller's profiles, by name, that permits the case; its path is the deciding rule.
///
/// # Errors
/// The refusal of the profile that got furthest down its rules, the first by name among equals: the one that the caller
/// most likely meant. If none is for this format, it says so of all of them. `None` if there are no profiles.
pub(super) fn first_permitting<'a, T: Format>(
    profiles: impl Iterator<Item = &'a Profile>,
    caller: &CallerName,
    case: &Case<'_, T>,
    observer: &mut impl Observer,
) -> Result<&'a Profile, Option<Refusal>> {
    let (mut furthest, mut kinds) = (None, Vec::new());
    for profile in profiles {
        kinds.push(format!("{}: {}", profile.name, profile.bounds.kind()));
        let Err((depth, refusal)) = check(profile, case, observer) else { return Ok(profile) };
        if furthest.as_ref().is_none_or(|(best, _)| depth > *best) {
            furthest = Some((depth, refusal));
        }
    }
    Err(furthest.map(|(depth, refusal)| match depth {
        OTHER_FORMAT => Refusal { message: no_profile::<T>(caller, case, &kinds), ..refusal },
        _ => refusal,
    }))
}

/// What is said where no profile is for the format, and each of them is equally wrong.
fn no_profile<T: Format>(caller: &CallerName, case: &Case<'_, T>, kinds: &[String]) -> String {
    let signs = match T::KIND {
        TbsKind::SshCertificate | TbsKind::X509Certificate => "for such certificates",
        TbsKind::X509Crl => "with signs = \"crl\"",
        TbsKind::OcspResponse => "with signs = \"ocsp-response\"",
        TbsKind::X509Request => "with signs = \"certificate-request\"",
        TbsKind::X509Root => "with signs = \"root-ca\"",
    };
    let kinds = listed(kinds.iter());
    format!("no profile of {} for {caller} signs {} ({kinds}); have one added {signs}", case.key, T::KIND)
}

/// How far a profile for another format gets.
const OTHER_FORMAT: usize = 0;

/// The first refusal, with the number of rules that were content before it.
fn check<T: Format>(
    profile: &Profile,
    case: &Case<'_, T>,
    observer: &mut impl Observer,
) -> Result<(), (usize, Refusal)> {
    let Some(bounds) = T::bounds(&profile.bounds) else {
        let message =
            format!("profile {} is for {}, not for {}", profile.name, profile.bounds.kind(), T::KIND);
        let said = object(Reason::TbsKindNotAllowed, message);
        return answer(observer, Place::Profile(profile, SIGNS), || T::KIND.to_string(), said)
            .map_err(|refusal| (OTHER_FORMAT, refusal));
    };
    let limits = Limits { profile: &profile.name, bounds };
    for (depth, (name, saw, rule)) in (1..).zip(T::BOUNDED) {
        answer(observer, Place::Profile(profile, name), || saw(case), rule(&limits, case))
            .map_err(|refusal| (depth, refusal))?;
    }
    Ok(())
}
