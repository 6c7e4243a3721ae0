//! Whether the clock can be believed: a log's time does not run backwards.
//!
//! In: the time of a record that is to be appended. Out: that it may be, or that the clock is behind the newest entry. A
//! clock that was set back makes certificates that are valid too early, and would renew what has expired.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ledger::entry::UnixMillis;
use crate::ledger::index::Next;
use crate::ledger::{Entry, LedgerError};

/// The latest time in a log. Cheap to clone; all clones see it grow.
#[derive(Clone, Debug)]
pub(super) struct Newest(Arc<AtomicU64>);

impl Newest {
    pub(super) fn get(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

/// The latest time at the end of a log that is read from its end on.
///
/// An outcome has its intent's time, by which it may be the last entry long after the clock was set ahead, and say nothing of that.
/// So what counts is the newest entry that is none, and the outcomes after it.
#[derive(Debug, Default)]
pub(super) struct LastTime(UnixMillis);

impl LastTime {
    /// Takes the entry before those that it was given.
    pub(super) fn goes_back_to(&mut self, entry: &Entry) -> Next {
        self.0 = self.0.max(entry.time());
        if matches!(entry, Entry::Outcome { .. }) { Next::More } else { Next::Enough }
    }

    /// 0 of a log without entries.
    pub(super) fn time(&self) -> UnixMillis {
        self.0
    }
}

/// What the log says of the time.
#[derive(Debug)]
pub(super) struct LogClock {
    path: PathBuf,
    newest: Newest,
    tolerance: Duration,
    /// The earliest and the latest time of the records that were admitted to the round that is being gathered.
    round: Option<(UnixMillis, UnixMillis)>,
    /// Records that were refused since the clock was last right.
    refused: u64,
}

impl LogClock {
    /// For the log at `path`, whose newest entry is of the time `newest`.
    pub(super) fn new(path: PathBuf, newest: UnixMillis, tolerance: Duration) -> Self {
        let newest = Newest(Arc::new(AtomicU64::new(newest.0)));
        Self { path, newest, tolerance, round: None, refused: 0 }
    }

    /// # Errors
    /// [`LedgerError::ClockBehind`] if `time` is before the newest entry, or one that is about to be, by more than the tolerance.
    pub(super) fn check(&self, time: UnixMillis) -> Result<(), LedgerError> {
        let newest = self.round.map_or(self.newest(), |(_, latest)| self.newest().max(latest));
        let behind = Duration::from_millis(newest.0.saturating_sub(time.0));
        if behind <= self.tolerance {
            return Ok(());
        }
        Err(LedgerError::ClockBehind { path: self.path.clone(), behind, tolerance: self.tolerance })
    }

    /// The latest time in the log.
    pub(super) fn newest(&self) -> UnixMillis {
        self.newest.get()
    }

    /// The same, for others.
    pub(super) fn watch(&self) -> Newest {
        self.newest.clone()
    }

    /// Begins another round. What was admitted to the one before counts no more, unless it was [`Self::appended`].
    pub(super) fn begin_round(&mut self) {
        self.round = None;
    }

    /// Whether a record of `time` may be in one round with those that were admitted to it: a round is written in the order of its kinds,
    /// so that any of them may come after any other. One that is much later, because the clock was set ahead or the queue stood still,
    /// comes with the next.
    pub(super) fn is_of_this_round(&self, time: UnixMillis) -> bool {
        self.round.is_none_or(|(earliest, _)| {
            Duration::from_millis(time.0.saturating_sub(earliest.0)) <= self.tolerance
        })
    }

    /// As [`Self::check`], for a record of a running signer, which is of this round from now on: one line in the log when the clock falls
    /// behind, and one when it is right again.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) fn admit(&mut self, time: UnixMillis) -> Result<(), LedgerError> {
        let admitted = self.check(time);
        if admitted.is_ok() {
            let (earliest, latest) = self.round.unwrap_or((time, time));
            self.round = Some((earliest.min(time), latest.max(time)));
        }
        match &admitted {
            Ok(()) if self.refused > 0 => {
                tracing::warn!(
                    refused = self.refused,
                    "the clock is right again for ledger {}",
                    self.path.display()
                );
                self.refused = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if self.refused == 0 {
                    tracing::error!("{error}");
                }
                self.refused += 1;
            }
        }
        admitted
    }

    /// An entry of `time` is in the log. The latest counts, so that many small steps back are not taken one by one.
    pub(super) fn appended(&mut self, time: UnixMillis) {
        self.newest.0.fetch_max(time.0, Ordering::Relaxed);
    }
}
