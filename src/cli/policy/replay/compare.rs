//! Decides one recorded request again, and compares.
//!
//! In: an entry and a configuration. Out: whether it is decided as it was. Two decisions are the same if both permit by the
//! same rule, or both refuse with the same reason by the same rule; messages do not count.

use std::collections::BTreeMap;

use super::{Answer, Why};
use crate::cli::policy::explain::Inquiry;
use crate::cli::policy::recorded;
use crate::config::Config;
use crate::key::{KeyCertificate, KeyName};
use crate::ledger::Entry;
use crate::ledger::entry::{Asked, UnixMillis};
use crate::policy::explain::Explanation;
use crate::policy::{Reason, ReasonClass};

/// A request that would be decided otherwise.
pub(super) struct Change<'a> {
    pub(super) index: u64,
    pub(super) time: UnixMillis,
    pub(super) asked: &'a Asked,
    pub(super) key: String,
    pub(super) old: Decided<'a>,
    pub(super) new: Explanation,
    pub(super) group: Group,
}

/// A decision: by this rule, and for this reason if it refuses.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct Decided<'a> {
    pub(super) rule: &'a str,
    pub(super) reason: Option<&'a str>,
}

/// What kind of change it is, in the order in which they are shown.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Group {
    NewlyRefused,
    NewlyAllowed,
    Otherwise,
}

impl Group {
    pub(super) const ALL: [Self; 3] = [Self::NewlyRefused, Self::NewlyAllowed, Self::Otherwise];

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::NewlyRefused => "newly refused",
            Self::NewlyAllowed => "newly allowed",
            Self::Otherwise => "by another rule, or for another reason",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NewlyRefused => "newly_refused",
            Self::NewlyAllowed => "newly_allowed",
            Self::Otherwise => "otherwise",
        }
    }

    fn of(old: Decided<'_>, new: Decided<'_>) -> Self {
        match (old.reason, new.reason) {
            (None, Some(_)) => Self::NewlyRefused,
            (Some(_), None) => Self::NewlyAllowed,
            (None, None) | (Some(_), Some(_)) => Self::Otherwise,
        }
    }
}

/// Decides the request of `entry` again.
pub(super) fn compare<'a>(
    index: u64,
    entry: &'a Entry,
    config: &Config,
    certificates: &BTreeMap<KeyName, KeyCertificate>,
) -> Answer<'a> {
    match replay(index, entry, |inquiry| inquiry.explain(config, certificates)) {
        Ok((change, not_checked)) => Answer::Replayed { change, not_checked },
        Err(why) => Answer::NotReplayed(why),
    }
}

fn replay(
    index: u64,
    entry: &Entry,
    explain: impl FnOnce(&Inquiry) -> Explanation,
) -> Result<(Option<Box<Change<'_>>>, Vec<String>), Why> {
    let asked = recorded::asked(entry)?;
    let old = decided(entry)?;
    let inquiry = recorded::inquiry(entry)?;
    let new = explain(&inquiry).without_ledger();
    let not_checked: Vec<String> = new.not_checked().into_iter().map(str::to_owned).collect();
    if not_checked.iter().any(|rule| rule == old.rule) && !is_for_weak_key(old) {
        // Whether the rule would refuse it again is what nobody here knows.
        return Err(Why::Signer);
    }
    let now = Decided::of(&new);
    let group = (now != old).then(|| Group::of(old, now));
    let change = group.map(|group| {
        Box::new(Change { index, time: entry.time(), asked, key: inquiry.key, old, new, group })
    });
    Ok((change, not_checked))
}

/// Whether it is a refusal of `built-in.subject_key` that has nothing to do with CA keys.
fn is_for_weak_key(Decided { rule, reason }: Decided<'_>) -> bool {
    rule == "built-in.subject_key" && reason != Some(Reason::SubjectKeyIsCaKey.code_word())
}

/// What policy decided at the time.
fn decided(entry: &Entry) -> Result<Decided<'_>, Why> {
    match entry {
        Entry::Refusal { rule, reason, .. } => {
            let class =
                Reason::ALL.iter().find(|known| known.code_word() == reason).map(|known| known.class());
            match class {
                Some(ReasonClass::Expired) => Err(Why::Deadline),
                Some(
                    ReasonClass::Taken
                    | ReasonClass::TooFar
                    | ReasonClass::Pending
                    | ReasonClass::Spent
                    | ReasonClass::Frozen
                    | ReasonClass::Turn,
                ) => Err(Why::Ledger),
                // One that is not in the table is a parser's, or that of another countersign.
                Some(ReasonClass::Malformed | ReasonClass::Denied | ReasonClass::NotFound) | None => {
                    Ok(Decided { rule, reason: Some(reason) })
                }
            }
        }
        Entry::Intent { rule, .. } => Ok(Decided { rule, reason: None }),
        Entry::Outcome { .. }
        | Entry::SelfTest { .. }
        | Entry::Refusals { .. }
        | Entry::Freeze { .. }
        | Entry::Thaw { .. }
        | Entry::Revocation { .. }
        | Entry::KeyRecord { .. }
        | Entry::KeyDeletion { .. }
        | Entry::KeyWrapping { .. }
        | Entry::Rotation { .. }
        | Entry::Ceremony { .. }
        | Entry::Checkpoint { .. } => Err(Why::Unknown),
    }
}

impl<'a> Decided<'a> {
    /// What policy decides now.
    pub(super) fn of(explanation: &'a Explanation) -> Self {
        match &explanation.verdict {
            Ok(rule) => Self { rule, reason: None },
            Err(refusal) => Self { rule: &refusal.rule, reason: Some(refusal.reason.code_word()) },
        }
    }
}
