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
    /// Records that were refused since the clock was last right.
    refused: u64,
}

impl LogClock {
    /// For the log at `path`, whose newest entry is of the time `newest`.
    pub(super) fn new(path: PathBuf, newest: UnixMillis, tolerance: Duration) -> Self {
        let newest = Newest(Arc::new(AtomicU64::new(newest.0)));
        Self { path, newest, tolerance, refused: 0 }
    }

    /// # Errors
    /// [`LedgerError::ClockBehind`] if `time` is before the newest entry by more than the tolerance.
    pub(super) fn check(&self, time: UnixMillis) -> Result<(), LedgerError> {
        let behind = Duration::from_millis(self.newest().0.saturating_sub(time.0));
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

    /// As [`Self::check`], for a record of a running signer: one line in the log when the clock falls behind, and one when
    /// it is right again.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) fn admit(&mut self, time: UnixMillis) -> Result<(), LedgerError> {
        let admitted = self.check(time);
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
