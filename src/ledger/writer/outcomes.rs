//! The outcomes that wait to be written, and those of which it is not known whether they were.
//!
//! In: outcomes, from every request at once. Out: all of them, whenever the writer takes them. Nobody wakes the writer for one that it will
//! find by itself in time: it would go back to sleep until the next record, with two switches between threads for each signature.

use std::sync::{Mutex, PoisonError};
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
    /// When they are written if nobody sends a record before; with none, when the writer looks for some. `None` if it does not.
    pub(super) due: Option<Instant>,
}

impl Outcomes {
    /// One more.
    pub(super) fn push(&mut self, outcome: Leaf) {
        self.leaves.push(outcome);
        self.due.get_or_insert_with(|| Instant::now() + PATIENCE);
    }

    /// More, which came later.
    pub(super) fn extend(&mut self, later: Self) {
        self.leaves.extend(later.leaves);
    }

    /// Has the writer look again, for those that could not be written and those that come.
    pub(super) fn put_off(&mut self) {
        self.due = Some(Instant::now() + PATIENCE);
    }
}

/// Where outcomes are until the writer takes them.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Left>);

#[derive(Debug, Default)]
struct Left {
    outcomes: Outcomes,
    writer: Attention,
}

/// Whether the writer will look for outcomes within [`PATIENCE`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Attention {
    /// It will.
    Looks,
    /// It is to be woken.
    #[default]
    Rests,
}

impl Inbox {
    /// Leaves one; `wake` is to wake a writer that rests.
    ///
    /// # Errors
    /// That of `wake`: there is no writer.
    pub(super) fn leave<E>(&self, outcome: Leaf, wake: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.outcomes.push(outcome);
        if left.writer == Attention::Rests {
            wake()?;
            left.writer = Attention::Looks;
        }
        Ok(())
    }

    /// All that were left, for a writer that looks again, or rests from now on.
    pub(super) fn take(&self, writer: Attention) -> Outcomes {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.writer = writer;
        std::mem::take(&mut left.outcomes)
    }
}
