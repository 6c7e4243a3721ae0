//! The queue in front of the writer.
//!
//! In: what is to be recorded, from every request at once. Out: what became of it, once that is durable. The queue is bounded: of
//! records by [`PLACES`], of outcomes by the intents in flight, of which a ledger that cannot write gets no more.

use std::sync::mpsc;
use std::sync::{Arc, OnceLock};

use countersign_tbs::crl::CrlNumber;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::ledger::admit::Claimed;
use crate::ledger::claim::Claim;
use crate::ledger::clock::LogClock;
use crate::ledger::entry::UnixMillis;
use crate::ledger::index::TermKey;
use crate::ledger::meant::Meant;
use crate::ledger::writer::outcomes::Inbox;
use crate::ledger::{Entry, Leaf, LedgerError, Receipt, Thaw};

/// How many records may wait for the writer; one more waits for its place.
const PLACES: usize = 4096;

/// The way to the writer. Cheap to clone. The writer ends when it is closed, or when every clone is gone.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct Queue {
    jobs: mpsc::Sender<Job>,
    inbox: Arc<Inbox>,
    places: Arc<Semaphore>,
    key: TermKey,
    size: watch::Receiver<u64>,
    /// Why nothing is recorded any more.
    condemned: Arc<OnceLock<LedgerError>>,
}

#[derive(Debug)]
pub(super) enum Job {
    Record(Waiting<Leaf, u64>),
    Refusal(Waiting<RefusalJob, Option<u64>>),
    Intent(Waiting<Box<IntentJob>, Claimed>),
    Thaw(Waiting<Box<Thaw>, Option<Receipt>>),
    Ruling(Waiting<Box<RulingJob>, Option<Receipt>>),
    CrlNumber(Waiting<[u8; 32], Option<CrlNumber>>),
    /// Told whether a record would be taken, and one of so many bytes.
    Probe(Waiting<usize, ()>),
    /// There are outcomes, and the writer rested.
    Outcomes,
    /// Dropped after the next commit, which has all outcomes before it.
    Settle(oneshot::Sender<()>),
    Close(Closer),
}

/// A log that is closed, whose index may still be being written.
#[derive(Debug)]
#[must_use]
pub(crate) struct Closed {
    index: oneshot::Receiver<()>,
}

/// Somebody who waits for the end.
#[derive(Debug)]
pub(super) struct Closer {
    /// Dropped once the log is closed.
    pub(super) log: oneshot::Sender<()>,
    /// Dropped once its index is, too.
    pub(super) index: oneshot::Sender<()>,
}

/// What is to be recorded, and somebody who waits for what becomes of it.
#[derive(Debug)]
pub(super) struct Waiting<W, T> {
    pub(super) what: W,
    pub(super) time: UnixMillis,
    answer: oneshot::Sender<Result<T, LedgerError>>,
    _place: OwnedSemaphorePermit,
}

/// A refusal's entry, and whom it refuses.
#[derive(Debug)]
pub(super) struct RefusalJob {
    pub(super) caller: Vec<u8>,
    pub(super) leaf: Leaf,
}

/// What an operator rules; of a revocation, what it means of what was looked at.
#[derive(Debug)]
pub(super) struct RulingJob {
    pub(super) entry: Entry,
    pub(super) meant: Option<Meant>,
}

/// An intent's entry, and what it wants for itself.
#[derive(Debug)]
pub(super) struct IntentJob {
    pub(super) claim: Claim,
    pub(super) leaf: Leaf,
}

impl Queue {
    /// The two ends of it, in front of a log of `size` entries: what those who ask have, and what the writer has.
    pub(super) fn new(key: TermKey, size: watch::Receiver<u64>) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, queue) = mpsc::channel();
        let places = Arc::new(Semaphore::new(PLACES));
        (Self { jobs, inbox: Arc::default(), places, key, size, condemned: Arc::default() }, queue)
    }

    /// Why nothing is recorded any more, for the writer, which may say so too.
    pub(super) fn condemned(&self) -> Arc<OnceLock<LedgerError>> {
        Arc::clone(&self.condemned)
    }

    /// Where outcomes are left, for the writer.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// How many entries are in the log, durably, as it grows.
    pub(in crate::ledger) fn size(&self) -> watch::Receiver<u64> {
        self.size.clone()
    }

    /// Has every record answered with `error` from now on. Outcomes of what was recorded are written all the same.
    pub(in crate::ledger) fn condemn(&self, error: LedgerError) {
        // What was first is told.
        let _ = self.condemned.set(error);
    }

    /// Whether nothing is recorded any more.
    pub(in crate::ledger) fn is_condemned(&self) -> bool {
        self.condemned.get().is_some()
    }

    /// What the terms of an entry are hashed with.
    pub(in crate::ledger) fn term_key(&self) -> TermKey {
        self.key
    }

    /// `entry`, as it is written.
    pub(in crate::ledger) fn leaf(&self, entry: &Entry) -> Result<Leaf, LedgerError> {
        Ok(Leaf::of(entry, self.key)?)
    }

    /// Appends one entry and returns its index once it is durable.
    pub(in crate::ledger) async fn record(&self, time: UnixMillis, leaf: Leaf) -> Result<u64, LedgerError> {
        self.send(time, leaf, Job::Record).await
    }

    /// Appends the refusal of `caller` and returns its index once it is durable; `None` if it is only counted, durably.
    pub(in crate::ledger) async fn record_refusal(
        &self,
        time: UnixMillis,
        leaf: Leaf,
        caller: Vec<u8>,
    ) -> Result<Option<u64>, LedgerError> {
        self.send(time, RefusalJob { caller, leaf }, Job::Refusal).await
    }

    /// Appends one intent and returns its index once it is durable, unless another has what it claims, or there is too
    /// little left for it.
    pub(in crate::ledger) async fn record_intent(
        &self,
        time: UnixMillis,
        leaf: Leaf,
        claim: Claim,
    ) -> Result<Claimed, LedgerError> {
        self.send(time, Box::new(IntentJob { claim, leaf }), Job::Intent).await
    }

    /// Appends a thaw and returns where it is once it is durable; `None` if there is nothing to thaw.
    pub(in crate::ledger) async fn record_thaw(
        &self,
        time: UnixMillis,
        thaw: Thaw,
    ) -> Result<Option<Receipt>, LedgerError> {
        self.send(time, Box::new(thaw), Job::Thaw).await
    }

    /// Appends a ruling that means no certificates and returns where it is once it is durable, and so.
    pub(in crate::ledger) async fn record_ruling(&self, entry: Entry) -> Result<Receipt, LedgerError> {
        let ruling = RulingJob { entry, meant: None };
        let recorded = self.send(ruling.entry.time(), Box::new(ruling), Job::Ruling).await?;
        // Only what is to be compared with what came since is not recorded.
        recorded.ok_or(LedgerError::Closed)
    }

    /// Appends a revocation and returns where it is once it is durable, and so; `None` if too much came since somebody looked for
    /// what it means.
    pub(in crate::ledger) async fn record_revocation(
        &self,
        entry: Entry,
        meant: Meant,
    ) -> Result<Option<Receipt>, LedgerError> {
        self.send(entry.time(), Box::new(RulingJob { entry, meant: Some(meant) }), Job::Ruling).await
    }

    /// The newest CRL number of a key, by the SHA-256 of its SPKI; nothing is recorded.
    pub(in crate::ledger) async fn newest_crl_number(
        &self,
        time: UnixMillis,
        spki_sha256: [u8; 32],
    ) -> Result<Option<CrlNumber>, LedgerError> {
        self.send(time, spki_sha256, Job::CrlNumber).await
    }

    /// Whether a record of `time` and so many bytes would be taken, as far as that can be told without one.
    pub(in crate::ledger) async fn probe(&self, time: UnixMillis, bytes: usize) -> Result<(), LedgerError> {
        self.send(time, bytes, Job::Probe).await
    }

    /// Has the outcome of an intent appended, before any record that is asked for later.
    pub(in crate::ledger) fn outcome(&self, leaf: Leaf) -> Result<(), LedgerError> {
        self.inbox.leave(leaf, || self.jobs.send(Job::Outcomes).map_err(|_| LedgerError::Closed))
    }

    async fn send<W, T>(
        &self,
        time: UnixMillis,
        what: W,
        job: impl FnOnce(Waiting<W, T>) -> Job,
    ) -> Result<T, LedgerError> {
        if let Some(error) = self.condemned.get() {
            return Err(error.clone());
        }
        let closed = |_| LedgerError::Closed;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(closed)?;
        let (answer, told) = oneshot::channel();
        self.jobs
            .send(job(Waiting { what, time, answer, _place: place }))
            .map_err(|_| LedgerError::Closed)?;
        told.await.map_err(|_| LedgerError::Closed)?
    }

    /// Returns once every outcome until now is in the log, or the transaction that was to have it failed.
    pub(in crate::ledger) async fn settled(&self) {
        let (dropped, committed) = oneshot::channel();
        if self.jobs.send(Job::Settle(dropped)).is_ok() {
            // The writer answers by dropping it.
            let _ = committed.await;
        }
    }

    /// Has everything that waits written, and returns once the log is closed.
    pub(in crate::ledger) async fn close(&self) -> Closed {
        let ((log, log_closed), (index, index_closed)) = (oneshot::channel(), oneshot::channel());
        // The writer answers by dropping both; if it has ended, they are dropped here.
        let _ = self.jobs.send(Job::Close(Closer { log, index }));
        let _ = log_closed.await;
        Closed { index: index_closed }
    }
}

impl Closed {
    /// Returns once the index is written and the lock is given up.
    pub(crate) async fn index(self) {
        // The writer answers by dropping the sender.
        let _ = self.index.await;
    }
}

impl Job {
    /// The time of the record that it asks for, if it does.
    pub(super) fn time(&self) -> Option<UnixMillis> {
        match self {
            Self::Record(Waiting { time, .. })
            | Self::Refusal(Waiting { time, .. })
            | Self::Intent(Waiting { time, .. })
            | Self::Thaw(Waiting { time, .. })
            | Self::Ruling(Waiting { time, .. }) => Some(*time),
            Self::CrlNumber(_) | Self::Probe(_) | Self::Outcomes | Self::Settle(_) | Self::Close(_) => None,
        }
    }
}

impl<W, T> Waiting<W, T> {
    /// Itself, unless the clock is behind; then who waits is told.
    pub(super) fn in_time(self, clock: &mut LogClock) -> Option<Self> {
        match clock.admit(self.time) {
            Ok(()) => Some(self),
            Err(error) => {
                self.tell(Err(error));
                None
            }
        }
    }

    /// Tells who waits.
    pub(super) fn tell(self, what: Result<T, LedgerError>) {
        // Nobody waits any more if the request's task was aborted; the entry stands.
        let _ = self.answer.send(what);
    }
}
