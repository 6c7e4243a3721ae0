//! The one thread that writes the log.
//!
//! In: encoded entries, from the queue in front of it. Out: indexes, each after the commit that made its entry durable; for
//! an intent that `ledger::admit` does not let in, the conflict in its place. All that waits when a commit ends goes into
//! the next one (group commit). A record is answered, with its index or with why there is none; an outcome is not waited
//! for, and kept until it is in. After a failed commit the next batch is tried like the first, so the service returns by
//! itself.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{io, iter, thread};

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::causes::in_one_line;
use crate::ledger::admit;
use crate::ledger::clock::LogClock;
use crate::ledger::compromised::Compromised;
use crate::ledger::entry::{Outcome, UnixMillis};
use crate::ledger::error::StoreError;
use crate::ledger::store::{Batch as _, Held, Store, Stored};
use crate::ledger::{Entry, Leaf, LedgerError, Links};

mod outcomes;
mod queue;
mod round;

pub(super) use queue::{Closed, Queue};

use outcomes::{Attention, Doubt, Inbox, Outcomes};
use queue::{Closer, Job};
use round::{Round, Written};

/// The most records of one transaction: it bounds how long one commit takes, 64 MiB at worst.
const BATCH: usize = 1024;

/// How often refusals that were only counted get an entry.
const COUNTING: Duration = Duration::from_secs(60);

/// Starts the writer on `store`, whose log has these rulings, and gives the way to it.
pub(super) fn start(store: impl Store, clock: LogClock, rulings: Rulings) -> Result<Queue, LedgerError> {
    let (writer, queue) = Writer::new(store, clock, rulings);
    let path = writer.path.clone();
    thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run()).map_err(
        |source: io::Error| LedgerError::Io {
            doing: "starting the writer of",
            path,
            source: Arc::new(source),
        },
    )?;
    Ok(queue)
}

struct Writer<S> {
    store: S,
    clock: LogClock,
    path: PathBuf,
    queue: mpsc::Receiver<Job>,
    /// What came with the last round, and is much later than it.
    next_round: Option<Job>,
    outcomes: Outcomes,
    inbox: Arc<Inbox>,
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

/// What the writer is to do next.
#[derive(Debug)]
enum Next {
    Job(Job),
    /// Nobody has sent a record that outcomes could be written with.
    OutcomesAreDue,
    /// Nobody will send any more.
    End,
}

/// Whether somebody waits for the log to be closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Open,
    Closing,
}

/// Whether more transactions follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    /// Maybe.
    Another,
    /// None: what is only counted is written with it.
    Last,
}

impl<S: Store> Writer<S> {
    /// One that does not run yet, and the way to it.
    fn new(store: S, clock: LogClock, rulings: Rulings) -> (Self, Queue) {
        let (sender, size) = watch::channel(store.index().entries());
        let (queue, jobs) = Queue::new(store.index().key(), size);
        let writer = Self {
            path: store.path().to_owned(),
            store,
            clock,
            queue: jobs,
            next_round: None,
            outcomes: Outcomes::default(),
            inbox: queue.inbox(),
            failures: 0,
            counted: UnixMillis(0),
            rulings,
            size: sender,
            doubt: None,
            condemned: queue.condemned(),
            runtime: Handle::try_current().ok(),
        };
        (writer, queue)
    }

    fn run(mut self) {
        let mut closers = Vec::new();
        loop {
            let phase = if closers.is_empty() { Phase::Open } else { Phase::Closing };
            match self.next(phase) {
                Next::Job(first) => {
                    let (round, settled) = self.gather(first, &mut closers);
                    if !round.is_empty() || !settled.is_empty() {
                        self.commit(round, Turn::Another);
                    }
                    // Only now: who waits for the outcomes is told by it.
                    drop(settled);
                }
                Next::OutcomesAreDue => self.commit(Round::default(), Turn::Another),
                Next::End => {
                    self.commit(Round::default(), Turn::Last);
                    break;
                }
            }
        }
        self.outcomes.extend(self.inbox.take(Attention::Rests));
        self.report_lost();
        let (logs, indexes): (Vec<_>, Vec<_>) =
            closers.into_iter().map(|Closer { log, index }| (log, index)).unzip();
        let rest = self.store.close();
        drop(logs);
        drop(rest);
        drop(indexes);
    }

    /// All that waits for the next transaction, and those who wait for its outcomes.
    fn gather(&mut self, first: Job, closers: &mut Vec<Closer>) -> (Round, Vec<oneshot::Sender<()>>) {
        let (mut round, mut settled) = (Round::default(), Vec::new());
        self.clock.begin_round();
        // Who is ready to send more may do so first: on a busy machine one commit is for many.
        thread::yield_now();
        for job in iter::once(first).chain(self.queue.try_iter()).take(BATCH) {
            if job.time().is_some_and(|time| !self.clock.is_of_this_round(time)) {
                self.next_round = Some(job);
                break;
            }
            match job {
                Job::Record(record) => round.records.extend(record.in_time(&mut self.clock)),
                Job::Refusal(refusal) => round.refusals.extend(refusal.in_time(&mut self.clock)),
                Job::Intent(intent) => round.intents.extend(intent.in_time(&mut self.clock)),
                Job::Thaw(thaw) => round.thaws.extend(thaw.in_time(&mut self.clock)),
                Job::Ruling(ruling) => round.rulings.extend(ruling.in_time(&mut self.clock)),
                Job::CrlNumber(asked) => round.numbers.push(asked),
                Job::Probe(probe) => round.probes.extend(probe.in_time(&mut self.clock)),
                // Looked for at once: whoever has left one may have been overtaken by a record, and it be written by now.
                Job::Outcomes => self.outcomes.due = self.outcomes.due.or(Some(Instant::now())),
                Job::Settle(answer) => settled.push(answer),
                Job::Close(answer) => closers.push(answer),
            }
        }
        (round, settled)
    }

    /// What comes next. Once the log is to be closed, what is there already, and no more.
    fn next(&mut self, phase: Phase) -> Next {
        if let Some(job) = self.next_round.take() {
            return Next::Job(job);
        }
        if phase == Phase::Closing {
            return self.queue.try_recv().map_or(Next::End, Next::Job);
        }
        while let Some(due) = self.outcomes.due {
            let patience = due.saturating_duration_since(Instant::now());
            match self.queue.recv_timeout(patience) {
                Ok(job) => return Next::Job(job),
                Err(RecvTimeoutError::Timeout) if self.outcomes.leaves.is_empty() => {
                    self.outcomes = self.inbox.take(Attention::Rests);
                }
                Err(RecvTimeoutError::Timeout) => return Next::OutcomesAreDue,
                Err(RecvTimeoutError::Disconnected) => return Next::End,
            }
        }
        self.queue.recv().map_or(Next::End, Next::Job)
    }

    /// Writes all outcomes and everything that waits in one transaction, then tells those who wait.
    fn commit(&mut self, mut round: Round, turn: Turn) {
        let now = round.times().fold(self.clock.newest(), UnixMillis::max);
        let count = turn == Turn::Last || now >= self.counted.after(COUNTING);
        let before = self.store.index().entries();
        self.outcomes.extend(self.inbox.take(Attention::Looks));
        match self.append(&mut round, count.then_some(now)) {
            Ok(written) => {
                // On a full disk a transaction succeeds, too, that writes nothing. A refusal that is only counted is written.
                if self.store.index().entries() > before || !round.refusals.is_empty() {
                    self.succeeded();
                }
                self.outcomes.leaves.clear();
                round.times().for_each(|time| self.clock.appended(time));
                round.ruled(&written).for_each(|ruling| self.rulings.learn(ruling));
                self.counted = if count { now } else { self.counted };
                self.size.send_replace(self.store.index().entries());
                self.tell(round, written);
            }
            Err(source) => {
                let is_final = matches!(source, StoreError::Fenced { .. } | StoreError::IndexDamaged(_));
                let error = self.store.unavailable(source);
                if is_final {
                    // What was first is told.
                    let _ = self.condemned.set(error.clone());
                }
                self.failed(&error);
                round.fail(&error);
            }
        }
        self.outcomes.put_off();
    }

    /// On the runtime, which this wakes once: told from here, the first to know would take the processor from this thread.
    fn tell(&self, round: Round, written: Written) {
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(async move { round.tell(written) })),
            None => round.tell(written),
        }
    }

    /// Outcomes come first, so that an intent finds those of the earlier ones that it is judged by.
    fn append(&mut self, round: &mut Round, count: Option<UnixMillis>) -> Stored<Written> {
        self.resolve()?;
        if let Some(bytes) = round.probes.iter().map(|probe| probe.what).max()
            && let Err(source) = self.store.probe(bytes)
        {
            // What came with it may fit all the same.
            let error = self.store.unavailable(source);
            self.failed(&error);
            round.fail_probes(&error);
        }
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
                Leaf::of(&Entry::Outcome { time, intent, outcome, latency_us: 0, token: None }, key)
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
            let cause = std::error::Error::source(error).map(in_one_line);
            tracing::error!(cause, outcomes_waiting = self.outcomes.leaves.len(), "{error}");
        }
        self.failures += 1;
    }

    /// One line for what could not be written until the end.
    fn report_lost(&self) {
        if !self.outcomes.leaves.is_empty() {
            let lost = self.outcomes.leaves.len();
            tracing::error!(
                lost,
                "ledger {} lost outcomes; their intents stay open in it",
                self.path.display()
            );
        }
    }

    /// Of a log that takes nothing but outcomes any more, they are no sign that it would.
    fn succeeded(&mut self) {
        if self.failures > 0 && self.condemned.get().is_none() {
            tracing::warn!(
                failed_commits = self.failures,
                "ledger {} takes entries again",
                self.path.display()
            );
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests;
