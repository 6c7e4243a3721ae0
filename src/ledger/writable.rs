//! Whether the log takes entries, as far as what became of those before tells.
//!
//! In: what became of each record. Out: whether it takes them, as it changes, and why it does not. On a disk that is full, what is small finds
//! room in a page that is there: so where an intent was not taken, none smaller tells that the log takes intents again, but another
//! intent of about its size does, or that there is room for as much.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::ledger::{LedgerError, StoreError};

/// Shared by all clones.
#[derive(Clone, Debug)]
pub(super) struct Writable {
    is: watch::Sender<bool>,
    /// Why the newest record that was not taken was not.
    refused: Arc<Mutex<Option<LedgerError>>>,
    /// How many bytes the largest intent has that the store did not take; 0 once it may take intents again.
    wanted: Arc<AtomicUsize>,
}

impl Writable {
    /// It was opened, and so was written.
    pub(super) fn new() -> Self {
        Self { is: watch::Sender::new(true), refused: Arc::default(), wanted: Arc::default() }
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.is.subscribe()
    }

    pub(super) fn is(&self) -> bool {
        *self.is.borrow()
    }

    /// Why it takes nothing now, if it does not.
    pub(super) fn refused(&self) -> Option<LedgerError> {
        if self.is() {
            return None;
        }
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why there is no answer to wait for, if its disk or database was given up as one that hangs.
    pub(super) fn hangs(&self) -> Option<LedgerError> {
        self.refused().filter(|error| match error {
            LedgerError::Unavailable { source, .. } | LedgerError::DatabaseUnavailable { source, .. } => {
                matches!(**source, StoreError::Unanswered { .. })
            }
            _ => false,
        })
    }

    /// A record was taken, or was not for this reason. Condemned, it takes none, whatever was taken before.
    pub(super) fn note(&self, refused: Option<&LedgerError>, is_condemned: impl FnOnce() -> bool) {
        if let Some(error) = refused {
            self.refuse(error);
        }
        self.is.send_if_modified(|is| {
            // Looked at here, so that none who was before `condemn` has the last word.
            let takes = refused.is_none() && self.wanted() == 0 && !is_condemned();
            std::mem::replace(is, takes) != takes
        });
    }

    /// The same of an intent of so many bytes; to be noted before it is noted as a record.
    pub(super) fn note_intent(&self, refused: Option<&LedgerError>, bytes: usize) {
        match refused {
            None => {
                // One of another order may be refused still; what differs by a few bytes finds the same room.
                let fits = |wanted| (wanted / 2 <= bytes).then_some(0);
                let _ = self.wanted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits);
            }
            Some(LedgerError::Unavailable { .. } | LedgerError::DatabaseUnavailable { .. }) => {
                self.wanted.fetch_max(bytes, Ordering::SeqCst);
            }
            Some(_) => {}
        }
    }

    /// For how many bytes there has to be room before the log takes intents again; 0 if it takes what it takes.
    pub(super) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::SeqCst)
    }

    /// There was room for so many bytes: if nobody has wanted more meanwhile, the next record tells.
    pub(super) fn found(&self, bytes: usize) {
        // Otherwise that is looked for the next time.
        let _ = self.wanted.compare_exchange(bytes, 0, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// It takes nothing any more; why, is said before.
    pub(super) fn stop(&self) {
        self.is.send_replace(false);
    }

    /// Why it takes nothing, if it does not.
    pub(super) fn refuse(&self, error: &LedgerError) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_intent_of_another_order_does_not_tell_that_a_large_one_would_be_taken() {
        let source = Arc::new(StoreError::Unanswered { within: Duration::ZERO });
        let full = LedgerError::Unavailable { path: "log".into(), source };
        let writable = Writable::new();
        writable.note_intent(Some(&full), 8192);
        writable.note_intent(None, 600);
        assert_eq!(writable.wanted(), 8192);
        writable.note_intent(None, 8000);
        assert_eq!(writable.wanted(), 0);
    }
}
