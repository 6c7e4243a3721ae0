//! The load itself: closed loop, open loop, or streams.
//!
//! Closed: each caller asks again when it has its answer. Open: requests start on a schedule whether or not the signer
//! keeps up, and latency counts from the schedule, so that a stall shows (no coordinated omission). Streams are a closed loop with
//! fewer calls. Every request that was asked and not signed is an error in the count. The first refusal for want of budget ends the
//! load: what follows would measure refusals.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use countersign_proto::Client;
use countersign_proto::client::CallError;
use countersign_proto::v1::SignRequest;
use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use super::histogram;
use super::template::Template;

/// How requests follow one another.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Closed,
    Open { rate: u32 },
    Stream,
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
    pub(super) latency: Histogram<u64>,
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
                    tasks.spawn(closed(
                        client.clone(),
                        self.template.clone(),
                        self.next.clone(),
                        until,
                        done.clone(),
                    ));
                }
            }
            Shape::Open { rate } => {
                let (clients, template, next) =
                    (self.clients.clone(), self.template.clone(), self.next.clone());
                let mut turns = (0..clients.len()).cycle();
                let ask = move || {
                    let client = turns.next().and_then(|turn| clients.get(turn)).cloned();
                    let request = template.request(next.fetch_add(1, Ordering::Relaxed));
                    async move {
                        let client = client.ok_or_else(|| "no connection".to_owned())?;
                        client.sign(request).await.map(drop).map_err(word)
                    }
                };
                tasks.spawn(open(ask, (rate, until), done.clone()));
            }
            Shape::Stream => {
                for (client, share) in self.clients.iter().zip(shares(self.callers, self.clients.len())) {
                    tasks.spawn(stream(
                        client.clone(),
                        self.template.clone(),
                        self.next.clone(),
                        (share, until),
                        done.clone(),
                    ));
                }
            }
        }
        tasks
    }
}

async fn closed(
    client: Client,
    template: Template,
    next: Arc<AtomicU64>,
    until: Instant,
    done: mpsc::Sender<Done>,
) {
    loop {
        let started = Instant::now();
        if started >= until {
            return;
        }
        let request = template.request(next.fetch_add(1, Ordering::Relaxed));
        let result = client.sign(request).await.map(drop).map_err(word);
        if done.send((started, result)).await.is_err() {
            return;
        }
    }
}

/// Asks `rate` times a second until `until`, whatever becomes of it. A request that was due counts from then, also if it was sent late.
async fn open<A>(mut ask: impl FnMut() -> A, (rate, until): (u32, Instant), done: mpsc::Sender<Done>)
where
    A: Future<Output = Result<(), String>> + Send + 'static,
{
    let start = Instant::now();
    for n in 0_u64.. {
        let due = start + Duration::from_secs(1).mul_f64(float(n) / f64::from(rate));
        if due >= until {
            return;
        }
        tokio::time::sleep_until(due.into()).await;
        let (answer, done) = (ask(), done.clone());
        tokio::spawn(async move {
            let result = answer.await;
            // Nobody counts any more: the run is over.
            let _ = done.send((due, result)).await;
        });
    }
}

/// How many of `callers` each of so many streams has in flight; of one that would have none there is no share.
fn shares(callers: u32, streams: usize) -> impl Iterator<Item = usize> {
    let (each, more) = (count(callers) / streams.max(1), count(callers) % streams.max(1));
    (0..streams).map(move |stream| each + usize::from(stream < more)).filter(|share| *share > 0)
}

/// One stream with `share` requests in flight until `until`, then as many as are left.
async fn stream(
    client: Client,
    template: Template,
    next: Arc<AtomicU64>,
    (share, until): (usize, Instant),
    done: mpsc::Sender<Done>,
) {
    let (requests, receiver) = mpsc::channel(share);
    let mut asking = Asking { requests: Some(requests), in_flight: HashMap::new(), template, next, until };
    for _ in 0..share {
        asking.once_more();
    }
    let broken = match client.sign_stream(ReceiverStream::new(receiver)).await {
        Err(error) => word(error),
        Ok(mut answers) => loop {
            match answers.next().await {
                Ok(Some(answer)) => {
                    let Some(started) = asking.in_flight.remove(&answer.request_id) else {
                        break "an answer to nothing that was asked".to_owned();
                    };
                    asking.once_more();
                    if done.send((started, answer.result.map(drop).map_err(word))).await.is_err() {
                        return; // Nobody counts any more.
                    }
                }
                Ok(None) => break "the stream ended before its answers".to_owned(),
                Err(error) => break word(error),
            }
        },
    };
    for started in asking.in_flight.into_values() {
        if done.send((started, Err(broken.clone()))).await.is_err() {
            return;
        }
    }
}

/// The requests of one stream.
struct Asking {
    /// None once the time is over, which ends the stream when all are answered.
    requests: Option<mpsc::Sender<SignRequest>>,
    /// Since when.
    in_flight: HashMap<String, Instant>,
    template: Template,
    next: Arc<AtomicU64>,
    until: Instant,
}

impl Asking {
    fn once_more(&mut self) {
        let now = Instant::now();
        let Some(open) = self.requests.as_ref().filter(|_| now < self.until) else {
            self.requests = None;
            return;
        };
        let request = self.template.request(self.next.fetch_add(1, Ordering::Relaxed));
        let id = request.request_id.clone();
        // There is room: never more than the channel holds are in flight.
        if open.try_send(request).is_ok() {
            self.in_flight.insert(id, now);
        }
    }
}

impl Tally {
    fn new() -> Self {
        Self { started: Instant::now(), latency: histogram(), errors_by_reason: BTreeMap::new(), spent: None }
    }

    fn count(&mut self, (started, result): Done) {
        match result {
            Ok(()) => self
                .latency
                .saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)),
            Err(reason) => {
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

    #[test]
    fn as_many_are_in_flight_as_there_are_callers() {
        for (callers, streams, expected) in
            [(1, 4, vec![1]), (5, 4, vec![2, 1, 1, 1]), (64, 4, vec![16; 4]), (3, 1, vec![3])]
        {
            assert_eq!(shares(callers, streams).collect::<Vec<_>>(), expected, "{callers} over {streams}");
        }
    }

    /// On one thread, which somebody holds for a while: what was due meanwhile is sent late, and answered at once.
    #[tokio::test]
    async fn a_request_that_is_sent_late_counts_from_the_schedule() {
        const HELD: Duration = Duration::from_millis(400);
        let (done, mut results) = mpsc::channel(4096);
        let until = Instant::now() + Duration::from_millis(800);
        let asking = tokio::spawn(open(|| async { Ok(()) }, (100, until), done));
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
