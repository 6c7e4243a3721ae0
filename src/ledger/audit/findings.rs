//! Entries that are wrong, up to a bound.

use crate::ledger::audit::Wrong;

/// How many findings are kept, and intents for lists that nobody could read; more are counted.
pub(super) const KEPT: usize = 1000;

/// An entry that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Its index.
    pub index: u64,
    /// What is wrong.
    pub what: Wrong,
}

/// Entries that are wrong: the first thousand of them, and how many there are.
#[derive(Debug, Default)]
pub struct Findings {
    first: Vec<Finding>,
    total: u64,
}

impl Findings {
    /// Those that were kept, by entry.
    #[must_use]
    pub fn first(&self) -> &[Finding] {
        &self.first
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn add(&mut self, index: u64, what: Wrong) {
        self.total += 1;
        if self.first.len() < KEPT {
            self.first.push(Finding { index, what });
        }
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.total += other.total;
        self.first.extend(other.first);
    }

    pub(super) fn sort(&mut self) {
        self.first.sort_by_key(|finding| finding.index);
        self.first.truncate(KEPT);
    }
}
