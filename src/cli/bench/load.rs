//! The load itself: closed loop, open loop, or streams.
//!
//! Closed: each caller asks again when it has its answer. Open: requests start on a schedule whether or not the signer
//! keeps up, and latency counts from the schedule, so that a stall shows (no coordinated omission). Every request that was asked and
//! not signed is an error in the count. The first refusal for want of budget ends the load: what follows would measure refusals.

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
    /// Loads the signer for `duration`, telling `progress` about once a second.
    pub(super) async fn run(&self, duration: Duration, progress: &mut dyn FnMut(&Tally)) -> Tally {
        let (done, mut results) = mpsc::channel(4096);
        let until = Instant::now() + duration;
        let mut tasks = self.spawn(until, &done);
        drop(done);
        let mut tally = Tally::new();
        let mut told = Instant::now();
        while let Some(result) = results.recv().await {
            tally.count(result);
            if tally.spent.is_some() {
                tasks.abort_all();
                break;
            }
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                progress(&tally);
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
                tasks.spawn(open(
                    self.clients.clone(),
                    self.template.clone(),
                    self.next.clone(),
                    (rate, until),
                    done.clone(),
                ));
            }
            Shape::Stream => {
                let share = count(self.callers).div_ceil(self.clients.len());
                for client in &self.clients {
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

async fn open(
    clients: Vec<Client>,
    template: Template,
    next: Arc<AtomicU64>,
    (rate, until): (u32, Instant),
    done: mpsc::Sender<Done>,
) {
    let start = Instant::now();
    for (n, client) in (0_u64..).zip(clients.iter().cycle()) {
        let due = start + Duration::from_secs(1).mul_f64(float(n) / f64::from(rate));
        if due >= until {
            return;
        }
        tokio::time::sleep_until(due.into()).await;
        let (client, request, done) =
            (client.clone(), template.request(next.fetch_add(1, Ordering::Relaxed)), done.clone());
        tokio::spawn(async move {
            let result = client.sign(request).await.map(drop).map_err(word);
            // Nobody counts any more: the run is over.
            let _ = done.send((due, result)).await;
        });
    }
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
