//! The one thread that writes the log, and the queue in front of it.
//!
//! In: encoded entries, from every request at once. Out: indexes, each after the commit that made its entry durable; for
//! an intent whose claim is taken, the [`Conflict`] in its place. All that waits when a commit ends goes into the next one (group commit). A record is answered, with its index or with
//! why there is none; an outcome is not waited for, and kept until it is in. After a failed commit the next batch is
//! tried like the first, so the service returns by itself.
//!
//! The queue is bounded: of records by [`PLACES`], of outcomes by the intents in flight, of which a ledger that cannot
//! write gets no more.

use std::path::PathBuf;
use std::sync::Arc;
use std::{io, iter, thread};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::ledger::LedgerError;
use crate::ledger::claim::{Claim, Conflict};
use crate::ledger::clock::LogClock;
use crate::ledger::entry::UnixMillis;
use crate::ledger::sqlite::{Batch, Store};

/// How many records may wait for the writer; one more waits for its place.
const PLACES: usize = 4096;

/// The most entries of one transaction: it bounds how long one commit takes, 64 MiB at worst.
const BATCH: usize = 1024;

/// The way to the writer. Cheap to clone. The writer ends when it is closed, or when every clone is gone.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    jobs: mpsc::UnboundedSender<Job>,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
enum Job {
    Record(Waiting<u64>),
    Intent(Box<Claim>, Waiting<Claimed>),
    Outcome(Outcome),
    Close(oneshot::Sender<()>),
}

/// The index of an intent, or why it is not appended.
type Claimed = Result<u64, Conflict>;

/// An entry, and somebody who waits for what becomes of it.
#[derive(Debug)]
struct Waiting<T> {
    time: UnixMillis,
    leaf: Vec<u8>,
    answer: oneshot::Sender<Result<T, LedgerError>>,
    _place: OwnedSemaphorePermit,
}

/// An intent that waits, and what it wants for itself.
type Intent = (Box<Claim>, Waiting<Claimed>);

/// The outcome of the intent at `intent`.
#[derive(Debug)]
struct Outcome {
    intent: u64,
    leaf: Vec<u8>,
}

impl Queue {
    /// Starts the writer on `store`.
    pub(super) fn start(store: Store, clock: LogClock) -> Result<Self, LedgerError> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let path = store.path().to_owned();
        let writer = Writer { store, clock, path: path.clone(), queue, outcomes: Vec::new(), failures: 0 };
        thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run()).map_err(
            |source: io::Error| LedgerError::Io {
                doing: "starting the writer of",
                path,
                source: Arc::new(source),
            },
        )?;
        Ok(Self { jobs, places: Arc::new(Semaphore::new(PLACES)) })
    }

    /// Appends one entry and returns its index once it is durable.
    pub(super) async fn record(&self, time: UnixMillis, leaf: Vec<u8>) -> Result<u64, LedgerError> {
        self.send(time, leaf, Job::Record).await
    }

    /// Appends one intent and returns its index once it is durable, unless another has what it claims.
    pub(super) async fn record_intent(
        &self,
        time: UnixMillis,
        leaf: Vec<u8>,
        claim: Claim,
    ) -> Result<Claimed, LedgerError> {
        self.send(time, leaf, |waiting| Job::Intent(Box::new(claim), waiting)).await
    }

    /// Has the outcome of an intent appended, before any record that is asked for later.
    pub(super) fn outcome(&self, intent: u64, leaf: Vec<u8>) -> Result<(), LedgerError> {
        self.jobs.send(Job::Outcome(Outcome { intent, leaf })).map_err(|_| LedgerError::Closed)
    }

    async fn send<T>(
        &self,
        time: UnixMillis,
        leaf: Vec<u8>,
        job: impl FnOnce(Waiting<T>) -> Job,
    ) -> Result<T, LedgerError> {
        let closed = |_| LedgerError::Closed;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(closed)?;
        let (answer, told) = oneshot::channel();
        self.jobs
            .send(job(Waiting { time, leaf, answer, _place: place }))
            .map_err(|_| LedgerError::Closed)?;
        told.await.map_err(|_| LedgerError::Closed)?
    }

    /// Has everything that waits written, and returns once the file is closed.
    pub(super) async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(answer)).is_ok() {
            // The writer answers by ending: a sender that is dropped says the same.
            let _ = closed.await;
        }
    }
}

struct Writer {
    store: Store,
    clock: LogClock,
    path: PathBuf,
    queue: mpsc::UnboundedReceiver<Job>,
    /// Not written yet; first in the next transaction.
    outcomes: Vec<Outcome>,
    /// Commits that failed since one succeeded.
    failures: u64,
}

impl Writer {
    fn run(mut self) {
        let mut closers = Vec::new();
        while let Some(first) = self.queue.blocking_recv() {
            let (mut records, mut intents) = (Vec::new(), Vec::new());
            for job in iter::once(first).chain(iter::from_fn(|| self.queue.try_recv().ok())).take(BATCH) {
                match job {
                    Job::Record(record) => records.extend(record.in_time(&mut self.clock)),
                    Job::Intent(claim, intent) => {
                        intents.extend(intent.in_time(&mut self.clock).map(|intent| (claim, intent)));
                    }
                    Job::Outcome(outcome) => self.outcomes.push(outcome),
                    Job::Close(answer) => closers.push(answer),
                }
            }
            self.commit(records, intents);
            if !closers.is_empty() {
                self.queue.close();
            }
        }
        if !self.outcomes.is_empty() {
            let lost = self.outcomes.len();
            tracing::error!(
                lost,
                "ledger {} lost outcomes; their intents stay open in it",
                self.path.display()
            );
        }
        // Only now: `close` promises that the file is closed.
        drop(self);
        drop(closers);
    }

    /// Writes all outcomes and everything that waits in one transaction, then tells those who wait.
    fn commit(&mut self, records: Vec<Waiting<u64>>, intents: Vec<Intent>) {
        match self.append(&records, &intents) {
            Ok((indexes, claimed)) => {
                self.succeeded();
                self.outcomes.clear();
                let times = records.iter().map(|record| record.time);
                for time in times.chain(intents.iter().map(|(_, intent)| intent.time)) {
                    self.clock.appended(time);
                }
                for (record, index) in records.into_iter().zip(indexes) {
                    record.tell(Ok(index));
                }
                for ((_, intent), claimed) in intents.into_iter().zip(claimed) {
                    intent.tell(Ok(claimed));
                }
            }
            Err(source) => {
                let error = LedgerError::Unavailable { path: self.path.clone(), source: Arc::new(source) };
                self.failed(&error);
                for record in records {
                    record.tell(Err(error.clone()));
                }
                for (_, intent) in intents {
                    intent.tell(Err(error.clone()));
                }
            }
        }
    }

    /// Outcomes come first, so that an intent finds those of the earlier ones that it is judged by.
    fn append(
        &mut self,
        records: &[Waiting<u64>],
        intents: &[Intent],
    ) -> rusqlite::Result<(Vec<u64>, Vec<Claimed>)> {
        let mut batch = self.store.begin()?;
        for Outcome { intent, leaf } in &self.outcomes {
            batch.append_outcome(*intent, leaf)?;
        }
        let indexes = records.iter().map(|record| batch.append(&record.leaf)).collect::<Result<_, _>>()?;
        let claimed = intents
            .iter()
            .map(|(claim, intent)| append_unless_taken(&mut batch, claim, &intent.leaf))
            .collect::<Result<_, _>>()?;
        batch.commit()?;
        Ok((indexes, claimed))
    }

    /// One line when it begins and one when it ends: a full disk fails thousands of commits per second.
    fn failed(&mut self, error: &LedgerError) {
        if self.failures == 0 {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(cause, outcomes_waiting = self.outcomes.len(), "{error}");
        }
        self.failures += 1;
    }

    fn succeeded(&mut self) {
        if self.failures > 0 {
            tracing::warn!(
                failed_commits = self.failures,
                "ledger {} takes entries again",
                self.path.display()
            );
            self.failures = 0;
        }
    }
}

fn append_unless_taken(batch: &mut Batch<'_>, claim: &Claim, leaf: &[u8]) -> rusqlite::Result<Claimed> {
    if let Some(conflict) = batch.by_request(claim)?.and_then(|earlier| claim.against_request(earlier)) {
        return Ok(Err(conflict));
    }
    if let Some(conflict) = batch.by_serial(claim)?.and_then(|earlier| claim.against_serial(&earlier)) {
        return Ok(Err(conflict));
    }
    batch.append_intent(claim, leaf).map(Ok)
}

impl<T> Waiting<T> {
    /// Itself, unless the clock is behind; then who waits is told.
    fn in_time(self, clock: &mut LogClock) -> Option<Self> {
        match clock.admit(self.time) {
            Ok(()) => Some(self),
            Err(error) => {
                self.tell(Err(error));
                None
            }
        }
    }

    fn tell(self, what: Result<T, LedgerError>) {
        // Nobody waits any more if the request's task was aborted; the entry stands.
        let _ = self.answer.send(what);
    }
}
