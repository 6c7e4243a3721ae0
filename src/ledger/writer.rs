//! The one thread that writes the log, and the queue in front of it.
//!
//! In: encoded entries, from every request at once. Out: indexes, each after the commit that made its entry durable; for
//! an intent that `ledger::admit` does not let in, the conflict in its place. All that waits when a commit ends goes into
//! the next one (group commit). A record is answered, with its index or with why there is none; an outcome is not waited
//! for, and kept until it is in. After a failed commit the next batch is tried like the first, so the service returns by
//! itself.
//!
//! The queue is bounded: of records by [`PLACES`], of outcomes by the intents in flight, of which a ledger that cannot
//! write gets no more.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{io, iter, thread};

use countersign_tbs::crl::CrlNumber;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::ledger::admit::{self, Claimed};
use crate::ledger::claim::Claim;
use crate::ledger::clock::LogClock;
use crate::ledger::compromised::Compromised;
use crate::ledger::entry::{Outcome, UnixMillis};
use crate::ledger::error::StoreError;
use crate::ledger::index::TermKey;
use crate::ledger::meant::Meant;
use crate::ledger::store::{Batch as _, Held, Store, Stored};
use crate::ledger::{Entry, Leaf, LedgerError, Links, Receipt, Thaw};

mod round;

use round::{Round, Written};

/// How many records may wait for the writer; one more waits for its place.
const PLACES: usize = 4096;

/// The most entries of one transaction: it bounds how long one commit takes, 64 MiB at worst.
const BATCH: usize = 1024;

/// How often refusals that were only counted get an entry.
const COUNTING: Duration = Duration::from_secs(60);

/// How long outcomes wait for a record to be written with, and again after a commit that failed: alone they would take a commit of their own, which
/// the next intent would have to wait for.
const PATIENCE: Duration = Duration::from_millis(20);

/// The way to the writer. Cheap to clone. The writer ends when it is closed, or when every clone is gone.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    jobs: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
    key: TermKey,
    size: watch::Receiver<u64>,
    /// Why nothing is recorded any more.
    condemned: Arc<OnceLock<LedgerError>>,
}

#[derive(Debug)]
enum Job {
    Record(Waiting<Leaf, u64>),
    Refusal(Waiting<Refused, Option<u64>>),
    Intent(Waiting<Box<Wanted>, Claimed>),
    Thaw(Waiting<Box<Thaw>, Option<Receipt>>),
    Ruling(Waiting<Box<Ruling>, Option<Receipt>>),
    CrlNumber(Waiting<[u8; 32], Option<CrlNumber>>),
    Outcome(Leaf),
    /// Dropped after the next commit, which has all outcomes before it.
    Settle(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// What is to be recorded, and somebody who waits for what becomes of it.
#[derive(Debug)]
struct Waiting<W, T> {
    what: W,
    time: UnixMillis,
    answer: oneshot::Sender<Result<T, LedgerError>>,
    _place: OwnedSemaphorePermit,
}

/// A refusal's entry, and whom it refuses.
#[derive(Debug)]
struct Refused {
    caller: Vec<u8>,
    leaf: Leaf,
}

/// What an operator rules; of a revocation, what it means of what was looked at.
#[derive(Debug)]
struct Ruling {
    entry: Entry,
    meant: Option<Meant>,
}

/// An intent's entry, and what it wants for itself.
#[derive(Debug)]
struct Wanted {
    claim: Claim,
    leaf: Leaf,
}

impl Queue {
    /// Starts the writer on `store`, whose log has these rulings.
    pub(super) fn start(store: impl Store, clock: LogClock, rulings: Rulings) -> Result<Self, LedgerError> {
        let (jobs, queue) = mpsc::channel();
        let (path, key) = (store.path().to_owned(), store.index().key());
        let (outcomes, failures, counted) = (Outcomes::default(), 0, UnixMillis(0));
        let (sender, size) = watch::channel(store.index().entries());
        let condemned = Arc::<OnceLock<LedgerError>>::default();
        let writer = Writer {
            store,
            clock,
            path: path.clone(),
            queue,
            outcomes,
            failures,
            counted,
            rulings,
            size: sender,
            doubt: None,
            condemned: Arc::clone(&condemned),
            runtime: Handle::try_current().ok(),
        };
        thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run()).map_err(
            |source: io::Error| LedgerError::Io {
                doing: "starting the writer of",
                path,
                source: Arc::new(source),
            },
        )?;
        Ok(Self { jobs, places: Arc::new(Semaphore::new(PLACES)), key, size, condemned })
    }

    /// How many entries are in the log, durably, as it grows.
    pub(super) fn size(&self) -> watch::Receiver<u64> {
        self.size.clone()
    }

    /// Has every record answered with `error` from now on. Outcomes of what was recorded are written all the same.
    pub(super) fn condemn(&self, error: LedgerError) {
        // What was first is told.
        let _ = self.condemned.set(error);
    }

    /// Whether nothing is recorded any more.
    pub(super) fn is_condemned(&self) -> bool {
        self.condemned.get().is_some()
    }

    /// What the terms of an entry are hashed with.
    pub(super) fn term_key(&self) -> TermKey {
        self.key
    }

    /// `entry`, as it is written.
    pub(super) fn leaf(&self, entry: &Entry) -> Result<Leaf, LedgerError> {
        Ok(Leaf::of(entry, self.key)?)
    }

    /// Appends one entry and returns its index once it is durable.
    pub(super) async fn record(&self, time: UnixMillis, leaf: Leaf) -> Result<u64, LedgerError> {
        self.send(time, leaf, Job::Record).await
    }

    /// Appends the refusal of `caller` and returns its index once it is durable; `None` if it is only counted, durably.
    pub(super) async fn record_refusal(
        &self,
        time: UnixMillis,
        leaf: Leaf,
        caller: Vec<u8>,
    ) -> Result<Option<u64>, LedgerError> {
        self.send(time, Refused { caller, leaf }, Job::Refusal).await
    }

    /// Appends one intent and returns its index once it is durable, unless another has what it claims, or there is too
    /// little left for it.
    pub(super) async fn record_intent(
        &self,
        time: UnixMillis,
        leaf: Leaf,
        claim: Claim,
    ) -> Result<Claimed, LedgerError> {
        self.send(time, Box::new(Wanted { claim, leaf }), Job::Intent).await
    }

    /// Appends a thaw and returns where it is once it is durable; `None` if there is nothing to thaw.
    pub(super) async fn record_thaw(
        &self,
        time: UnixMillis,
        thaw: Thaw,
    ) -> Result<Option<Receipt>, LedgerError> {
        self.send(time, Box::new(thaw), Job::Thaw).await
    }

    /// Appends a ruling that means no certificates and returns where it is once it is durable, and so.
    pub(super) async fn record_ruling(&self, entry: Entry) -> Result<Receipt, LedgerError> {
        let ruling = Ruling { entry, meant: None };
        let recorded = self.send(ruling.entry.time(), Box::new(ruling), Job::Ruling).await?;
        // Only what is to be compared with what came since is not recorded.
        recorded.ok_or(LedgerError::Closed)
    }

    /// Appends a revocation and returns where it is once it is durable, and so; `None` if too much came since somebody looked for
    /// what it means.
    pub(super) async fn record_revocation(
        &self,
        entry: Entry,
        meant: Meant,
    ) -> Result<Option<Receipt>, LedgerError> {
        self.send(entry.time(), Box::new(Ruling { entry, meant: Some(meant) }), Job::Ruling).await
    }

    /// The newest CRL number of a key, by the SHA-256 of its SPKI; nothing is recorded.
    pub(super) async fn newest_crl_number(
        &self,
        time: UnixMillis,
        spki_sha256: [u8; 32],
    ) -> Result<Option<CrlNumber>, LedgerError> {
        self.send(time, spki_sha256, Job::CrlNumber).await
    }

    /// Has the outcome of an intent appended, before any record that is asked for later.
    pub(super) fn outcome(&self, leaf: Leaf) -> Result<(), LedgerError> {
        self.jobs.send(Job::Outcome(leaf)).map_err(|_| LedgerError::Closed)
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
    pub(super) async fn settled(&self) {
        let (dropped, committed) = oneshot::channel();
        if self.jobs.send(Job::Settle(dropped)).is_ok() {
            // The writer answers by dropping it.
            let _ = committed.await;
        }
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

struct Writer<S> {
    store: S,
    clock: LogClock,
    path: PathBuf,
    queue: mpsc::Receiver<Job>,
    outcomes: Outcomes,
    /// Commits that failed since one succeeded.
    failures: u64,
    /// When refusals that were only counted were last recorded.
    counted: UnixMillis,
    rulings: Rulings,
    size: watch::Sender<u64>,
    /// Of a commit that was not answered.
    doubt: Option<Doubt>,
    condemned: Arc<OnceLock<LedgerError>>,
    /// Of those who wait, if they have one.
    runtime: Option<Handle>,
}

/// What operators have ruled, which holds for what comes after: the writer learns of it with the commit that makes it durable.
#[derive(Debug)]
pub(super) struct Rulings {
    /// Why subject keys are revoked.
    pub(super) barred: Compromised,
    /// What the steps of rotations have come to.
    pub(super) links: watch::Sender<Arc<Links>>,
}

impl Rulings {
    fn learn(&mut self, ruling: &Entry) {
        self.barred.learn(ruling);
        self.links.send_if_modified(|links| Arc::make_mut(links).learn(ruling));
    }
}

/// A transaction that may be in the log, though nobody was told so.
#[derive(Debug)]
struct Doubt {
    /// How many of the outcomes that wait were in it.
    outcomes: usize,
    /// What nobody will work on, since nobody was told of it: its index, and its time.
    owing: Vec<(u64, UnixMillis)>,
    /// What an operator has ruled.
    rulings: Vec<Entry>,
}

/// The outcomes that are not written yet: first in the next transaction.
#[derive(Debug, Default)]
struct Outcomes {
    leaves: Vec<Leaf>,
    /// When they are written if nobody sends a record before; `None` if there are none.
    due: Option<Instant>,
}

impl Outcomes {
    fn push(&mut self, outcome: Leaf) {
        self.leaves.push(outcome);
        self.due.get_or_insert_with(|| Instant::now() + PATIENCE);
    }

    /// They could not be written.
    fn put_off(&mut self) {
        self.due = self.due.map(|_| Instant::now() + PATIENCE);
    }
}

/// What the writer is to do next.
#[derive(Debug)]
enum Next {
    Job(Job),
    /// Nobody has sent a record that outcomes could be written with.
    OutcomesAreDue,
    /// Nobody will send any more.
    End,
}

impl<S: Store> Writer<S> {
    fn run(mut self) {
        let mut closers = Vec::new();
        loop {
            let next = self.next(!closers.is_empty());
            let (mut round, is_last) = (Round::default(), matches!(next, Next::End));
            let mut settled = Vec::new();
            let mut is_due = !matches!(next, Next::Job(_));
            if let Next::Job(first) = next {
                // Who is ready to send more may do so first: on a busy machine one commit is for many.
                thread::yield_now();
                for job in iter::once(first).chain(self.queue.try_iter()).take(BATCH) {
                    match job {
                        Job::Record(record) => round.records.extend(record.in_time(&mut self.clock)),
                        Job::Refusal(refusal) => round.refusals.extend(refusal.in_time(&mut self.clock)),
                        Job::Intent(intent) => round.intents.extend(intent.in_time(&mut self.clock)),
                        Job::Thaw(thaw) => round.thaws.extend(thaw.in_time(&mut self.clock)),
                        Job::Ruling(ruling) => round.rulings.extend(ruling.in_time(&mut self.clock)),
                        Job::CrlNumber(asked) => round.numbers.push(asked),
                        Job::Outcome(outcome) => self.outcomes.push(outcome),
                        Job::Settle(answer) => settled.push(answer),
                        Job::Close(answer) => closers.push(answer),
                    }
                }
                is_due = !round.is_empty() || !settled.is_empty();
            }
            if is_due {
                self.commit(round, is_last);
            }
            drop(settled);
            if is_last {
                break;
            }
        }
        if !self.outcomes.leaves.is_empty() {
            let lost = self.outcomes.leaves.len();
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

    /// What comes next. Once the log is to be closed, what is there already, and no more.
    fn next(&self, is_closing: bool) -> Next {
        if is_closing {
            return self.queue.try_recv().map_or(Next::End, Next::Job);
        }
        let Some(due) = self.outcomes.due else {
            return self.queue.recv().map_or(Next::End, Next::Job);
        };
        let patience = due.saturating_duration_since(Instant::now());
        match self.queue.recv_timeout(patience) {
            Ok(job) => Next::Job(job),
            Err(RecvTimeoutError::Timeout) => Next::OutcomesAreDue,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// Writes all outcomes and everything that waits in one transaction, then tells those who wait.
    fn commit(&mut self, round: Round, is_last: bool) {
        let now = round.times().fold(self.clock.newest(), UnixMillis::max);
        let count = is_last || now >= self.counted.after(COUNTING);
        match self.append(&round, count.then_some(now)) {
            Ok(written) => {
                self.succeeded();
                self.outcomes = Outcomes::default();
                round.times().for_each(|time| self.clock.appended(time));
                round.ruled(&written).for_each(|ruling| self.rulings.learn(ruling));
                self.counted = if count { now } else { self.counted };
                self.size.send_replace(self.store.index().entries());
                self.tell(round, written);
            }
            Err(source) => {
                let is_fenced = matches!(source, StoreError::Fenced { .. });
                let error = self.store.unavailable(source);
                if is_fenced {
                    // What was first is told.
                    let _ = self.condemned.set(error.clone());
                }
                self.failed(&error);
                self.outcomes.put_off();
                round.fail(&error);
            }
        }
    }

    /// On the runtime, which this wakes once: told from here, the first to know would take the processor from this thread.
    fn tell(&self, round: Round, written: Written) {
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(async move { round.tell(written) })),
            None => round.tell(written),
        }
    }

    /// Outcomes come first, so that an intent finds those of the earlier ones that it is judged by.
    fn append(&mut self, round: &Round, count: Option<UnixMillis>) -> Stored<Written> {
        self.resolve()?;
        let mut batch = self.store.begin(&round.needs())?;
        for outcome in &self.outcomes.leaves {
            batch.append(outcome)?;
        }
        if let Some(now) = count {
            admit::counted_refusals(&mut batch, now)?;
        }
        let written = round.append(&mut batch, &self.rulings.barred)?;
        let committed = batch.commit();
        if let Err(StoreError::InDoubt(_)) = &committed {
            let (outcomes, owing) = (self.outcomes.leaves.len(), round.owing(&written));
            let rulings = round.ruled(&written).cloned().collect();
            self.doubt = Some(Doubt { outcomes, owing, rulings });
        }
        committed.map(|()| written)
    }

    /// Learns what became of a commit that was not answered. What is in the log was promised to nobody: its outcome is that.
    fn resolve(&mut self) -> Stored<()> {
        let Some(Doubt { outcomes, owing, rulings }) = &self.doubt else { return Ok(()) };
        if self.store.resolve()? == Held::All {
            let key = self.store.index().key();
            let abandoned = owing.iter().map(|(intent, time)| {
                let (time, intent, outcome) = (*time, *intent, Outcome::Abandoned);
                Leaf::of(&Entry::Outcome { time, intent, outcome, latency_us: 0 }, key)
            });
            let abandoned: Vec<Leaf> = abandoned.collect::<Result<_, _>>()?;
            tracing::warn!(
                intents = abandoned.len(),
                "a commit was not answered, and is in ledger {}: what it was to have signed is abandoned",
                self.path.display()
            );
            for (_, time) in owing {
                self.clock.appended(*time);
            }
            for ruling in rulings {
                self.rulings.learn(ruling);
            }
            self.outcomes.leaves.drain(..*outcomes);
            for outcome in abandoned {
                self.outcomes.push(outcome);
            }
            self.size.send_replace(self.store.index().entries());
        }
        self.doubt = None;
        Ok(())
    }

    /// One line when it begins and one when it ends: a full disk fails thousands of commits per second.
    fn failed(&mut self, error: &LedgerError) {
        if self.failures == 0 {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(cause, outcomes_waiting = self.outcomes.leaves.len(), "{error}");
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

impl<W, T> Waiting<W, T> {
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
