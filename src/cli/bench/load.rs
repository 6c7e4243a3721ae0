//! The load itself: closed loop, open loop, or streams.
//!
//! Closed: each caller asks again when it has its answer. Open: requests start on a schedule whether or not the signer
//! keeps up, and latency counts from the schedule, so that a stall shows (no coordinated omission). Streams are either, with fewer
//! calls. Every request that was asked, or due, and not signed is an error in the count. The first refusal for want of budget ends
//! the load: what follows would measure refusals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use countersign_proto::Client;
use countersign_proto::client::CallError;
use countersign_proto::v1::SignRequest;
use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::histogram;
use super::template::Template;

mod schedule;
mod stream;

use schedule::Schedule;
use stream::{Pace, shares, stream};

/// How requests follow one another.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Closed,
    Open {
        rate: u32,
    },
    /// One for each connection, in a closed loop, or open at a rate for all of them together.
    Stream {
        rate: Option<u32>,
    },
}

/// Who asks for what, and how.
pub(super) struct Load {
    pub(super) clients: Vec<Client>,
    pub(super) template: Template,
    pub(super) callers: u32,
    pub(super) shape: Shape,
    /// The number of the next certificate: no two have one serial, nor two requests one id.
    pub(super) next: Arc<AtomicU64>,
}

/// What became of the requests.
pub(super) struct Tally {
    started: Instant,
    /// Of what was signed.
    pub(super) latency: Histogram<u64>,
    /// Of what was not.
    pub(super) error_latency: Histogram<u64>,
    pub(super) errors_by_reason: BTreeMap<String, u64>,
    /// Why there was no budget left, as soon as there was none.
    pub(super) spent: Option<Spent>,
}

/// Why a caller may have nothing more for a while.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spent {
    Exhausted,
    Frozen,
}

/// One finished request: since when, and why it was not signed if it was not.
type Done = (Instant, Result<(), String>);

impl Load {
    /// Loads the signer for `duration`, telling `progress` once a second, also while there is none.
    pub(super) async fn run(&self, duration: Duration, progress: &mut dyn FnMut(&Tally)) -> Tally {
        let (done, mut results) = mpsc::channel(4096);
        let until = Instant::now() + duration;
        let mut tasks = self.spawn(until, &done);
        drop(done);
        let mut tally = Tally::new();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.reset();
        loop {
            let result = tokio::select! {
                result = results.recv() => result,
                _ = seconds.tick() => {
                    progress(&tally);
                    continue;
                }
            };
            let Some(result) = result else { break };
            tally.count(result);
            if tally.spent.is_some() {
                tasks.abort_all();
                break;
            }
        }
        while tasks.join_next().await.is_some() {}
        tally
    }

    fn spawn(&self, until: Instant, done: &mpsc::Sender<Done>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        match self.shape {
            Shape::Closed => {
                for client in self.clients.iter().cycle().take(count(self.callers)) {
                    tasks.spawn(closed(client.clone(), self.requests(), until, done.clone()));
                }
            }
            Shape::Open { rate } => {
                let (clients, mut request) = (self.clients.clone(), self.requests());
                let mut turns = (0..clients.len()).cycle();
                let ask = move || {
                    let client = turns.next().and_then(|turn| clients.get(turn)).cloned();
                    let request = request();
                    async move {
                        let client = client.ok_or_else(|| "no connection".to_owned())?;
                        client.sign(request).await.map(drop).map_err(word)
                    }
                };
                tasks.spawn(open(ask, Schedule::alone(rate, until), done.clone()));
            }
            Shape::Stream { rate } => {
                for (client, pace) in self.clients.iter().zip(self.paces(rate, until)) {
                    tasks.spawn(stream(client.clone(), self.requests(), pace, done.clone()));
                }
            }
        }
        tasks
    }

    /// Of each stream.
    fn paces(&self, rate: Option<u32>, until: Instant) -> Vec<Pace> {
        let streams = self.clients.len();
        match rate {
            Some(rate) => Schedule::shared(rate, streams, until).map(Pace::Scheduled).collect(),
            None => shares(self.callers, streams).map(|share| Pace::InTurn { share, until }).collect(),
        }
    }

    /// One request after the other, no two alike, whoever else has some.
    fn requests(&self) -> impl FnMut() -> SignRequest + Send + 'static {
        let (template, next) = (self.template.clone(), self.next.clone());
        move || template.request(next.fetch_add(1, Ordering::Relaxed))
    }
}

async fn closed(
    client: Client,
    mut request: impl FnMut() -> SignRequest,
    until: Instant,
    done: mpsc::Sender<Done>,
) {
    loop {
        let started = Instant::now();
        if started >= until {
            return;
        }
        let result = client.sign(request()).await.map(drop).map_err(word);
        if done.send((started, result)).await.is_err() {
            return;
        }
    }
}

/// Asks whenever it is due, whatever becomes of it. A request that was due counts from then, also if it was sent late.
async fn open<A>(mut ask: impl FnMut() -> A, mut schedule: Schedule, done: mpsc::Sender<Done>)
where
    A: Future<Output = Result<(), String>> + Send + 'static,
{
    while let Some(due) = schedule.wait().await {
        let (answer, done) = (ask(), done.clone());
        tokio::spawn(async move {
            let result = answer.await;
            // Nobody counts any more: the run is over.
            let _ = done.send((due, result)).await;
        });
    }
}

impl Tally {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            latency: histogram(),
            error_latency: histogram(),
            errors_by_reason: BTreeMap::new(),
            spent: None,
        }
    }

    fn count(&mut self, (started, result): Done) {
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        match result {
            Ok(()) => self.latency.saturating_record(took),
            Err(reason) => {
                self.error_latency.saturating_record(took);
                self.spent = self.spent.or(Spent::of(&reason));
                *self.errors_by_reason.entry(reason).or_default() += 1;
            }
        }
    }

    /// How many were signed.
    pub(super) fn signed(&self) -> u64 {
        self.latency.len()
    }

    /// How many were not.
    pub(super) fn errors(&self) -> u64 {
        self.errors_by_reason.values().sum()
    }

    /// Signatures per second.
    pub(super) fn rate(&self) -> f64 {
        float(self.signed()) / self.started.elapsed().as_secs_f64()
    }

    /// Why not, in words.
    pub(super) fn errors_in_words(&self) -> String {
        self.errors_by_reason
            .iter()
            .map(|(reason, count)| format!("{reason} ({count})"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Spent {
    fn of(reason: &str) -> Option<Self> {
        match reason {
            "BUDGET_EXHAUSTED" => Some(Self::Exhausted),
            "FROZEN" => Some(Self::Frozen),
            _ => None,
        }
    }
}

fn word(error: CallError) -> String {
    if error.reason.is_empty() { error.to_string() } else { error.reason }
}

fn count(callers: u32) -> usize {
    usize::try_from(callers).unwrap_or(usize::MAX)
}

/// Exact up to 2^53, far more than any run signs.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "there is no From<u64> for f64")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// On one thread, which somebody holds for a while: what was due meanwhile is sent late, and answered at once.
    #[tokio::test]
    async fn a_request_that_is_sent_late_counts_from_the_schedule() {
        const HELD: Duration = Duration::from_millis(400);
        let (done, mut results) = mpsc::channel(4096);
        let until = Instant::now() + Duration::from_millis(800);
        let schedule = Schedule::alone(100, until);
        let asking = tokio::spawn(open(|| async { Ok(()) }, schedule, done));
        let mut tally = Tally::new();
        tally.count(results.recv().await.unwrap());
        std::thread::sleep(HELD);
        while let Some(result) = results.recv().await {
            tally.count(result);
        }
        asking.await.unwrap();
        assert!((70..=80).contains(&tally.signed()), "{} were asked", tally.signed());
        let late = HELD / 2;
        let count = tally.latency.count_between(u64::try_from(late.as_micros()).unwrap(), u64::MAX);
        // Those of the first half of the time: one every ten milliseconds.
        assert!(count >= 15, "{count} took longer than {late:?}");
    }
}
