//! Counts a replay, and says what it counted. Its size does not depend on the log's.

use crate::ledger::Place;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use serde_json::{Value, json};

use super::compare::Group;
use super::{Answer, Why};
use crate::cli::ledger::hex;

/// What was counted.
#[derive(Default)]
pub(super) struct Summary {
    /// Requests that were decided again.
    pub(super) replayed: u64,
    /// Those of them that were decided as before.
    pub(super) same: u64,
    changes: BTreeMap<Group, Changes>,
    not_replayed: BTreeMap<Why, u64>,
    /// How often a rule was asked that only a running signer can check. There are as many as there are such rules.
    not_checked: BTreeMap<String, u64>,
}

/// The changes of one group: how many, and the entries between which they are.
struct Changes {
    count: u64,
    range: Range<u64>,
}

impl Summary {
    pub(super) fn count(&mut self, answer: &Answer<'_>) {
        let (change, not_checked) = match answer {
            Answer::NotReplayed(why) => return *self.not_replayed.entry(*why).or_default() += 1,
            Answer::Replayed { change, not_checked } => (change, not_checked),
        };
        self.replayed += 1;
        for rule in not_checked {
            *self.not_checked.entry(rule.clone()).or_default() += 1;
        }
        let Some(change) = change else { return self.same += 1 };
        let start = change.index;
        let none = Changes { count: 0, range: start..start };
        let changes = self.changes.entry(change.group).or_insert(none);
        changes.count += 1;
        changes.range.end = change.index.saturating_add(1);
    }

    /// Where the changes of `group` are, if there are any.
    pub(super) fn range(&self, group: Group) -> Option<Range<u64>> {
        self.changes.get(&group).map(|changes| changes.range.clone())
    }

    fn changed(&self, group: Group) -> u64 {
        self.changes.get(&group).map_or(0, |changes| changes.count)
    }

    pub(super) fn text(&self, ledger: &Place, policy: &[u8; 32]) -> String {
        let (replayed, same) = (self.replayed, self.same);
        let mut out = format!("{}: {replayed} requests decided again by policy {}\n", ledger, hex(policy));
        // Writing to a String never fails.
        let _ = writeln!(out, "{same:>8} as before");
        for group in Group::ALL {
            let _ = writeln!(out, "{:>8} {}", self.changed(group), group.words());
        }
        for (why, count) in &self.not_replayed {
            let _ = writeln!(out, "{count:>8} not decided again: {}", why.words());
        }
        for (rule, count) in &self.not_checked {
            let _ =
                writeln!(out, "not checked offline: {rule}, in {count} requests; `policy explain` says why");
        }
        out
    }

    pub(super) fn json(&self, ledger: &Place, policy: &[u8; 32]) -> Value {
        let changes: BTreeMap<_, _> =
            Group::ALL.iter().map(|group| (group.name(), self.changed(*group))).collect();
        let not_replayed: BTreeMap<_, _> =
            self.not_replayed.iter().map(|(why, count)| (why.name(), count)).collect();
        json!({ "summary": {
            "ledger": ledger.to_string(),
            "policy_sha256": hex(policy),
            "replayed": self.replayed,
            "same": self.same,
            "changes": changes,
            "not_replayed": not_replayed,
            "not_checked": self.not_checked,
        }})
    }
}
