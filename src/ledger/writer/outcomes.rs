//! The outcomes that wait to be written, and those of which it is not known whether they were.

use std::time::{Duration, Instant};

use crate::ledger::entry::UnixMillis;
use crate::ledger::{Entry, Leaf};

/// How long outcomes wait for a record to be written with, and again after a commit that failed: alone they would take a commit
/// of their own, which the next intent would have to wait for.
const PATIENCE: Duration = Duration::from_millis(20);

/// A transaction that may be in the log, though nobody was told so.
#[derive(Debug)]
pub(super) struct Doubt {
    /// How many of the outcomes that wait were in it.
    pub(super) outcomes: usize,
    /// What nobody will work on, since nobody was told of it: its index, and its time.
    pub(super) owing: Vec<(u64, UnixMillis)>,
    /// What an operator has ruled.
    pub(super) rulings: Vec<Entry>,
}

/// The outcomes that are not written yet: first in the next transaction.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) leaves: Vec<Leaf>,
    /// When they are written if nobody sends a record before; `None` if there are none.
    pub(super) due: Option<Instant>,
}

impl Outcomes {
    /// One more.
    pub(super) fn push(&mut self, outcome: Leaf) {
        self.leaves.push(outcome);
        self.due.get_or_insert_with(|| Instant::now() + PATIENCE);
    }

    /// They could not be written.
    pub(super) fn put_off(&mut self) {
        self.due = self.due.map(|_| Instant::now() + PATIENCE);
    }
}
