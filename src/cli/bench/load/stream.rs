//! One `SignStream` as load: requests in a closed loop, or its part of an open one.
//!
//! In: requests, and when the next is due. Out: what became of each, also of those that a stream that broke has not answered, or was not
//! asked any more.

use std::collections::HashMap;
use std::future::pending;
use std::time::Instant;

use countersign_proto::Client;
use countersign_proto::v1::SignRequest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::schedule::Schedule;
use super::{Done, count, word};

/// When the next request of a stream is due.
pub(super) enum Pace {
    /// As soon as there are fewer than so many in flight.
    InTurn { share: usize, until: Instant },
    /// Whatever is in flight.
    Scheduled(Schedule),
}

impl Pace {
    /// Waits until a request is due without an answer; None if none will be. May be dropped and asked again.
    async fn due(&mut self) -> Option<Instant> {
        match self {
            Self::InTurn { .. } => pending().await,
            Self::Scheduled(schedule) => schedule.wait().await,
        }
    }
}

/// How many of `callers` each of so many streams has in flight; of one that would have none there is no share.
pub(super) fn shares(callers: u32, streams: usize) -> impl Iterator<Item = usize> {
    let (each, more) = (count(callers) / streams.max(1), count(callers) % streams.max(1));
    (0..streams).map(move |stream| each + usize::from(stream < more)).filter(|share| *share > 0)
}

/// Asks until nothing more is due, then waits for the answers that are left.
pub(super) async fn stream(
    client: Client,
    request: impl FnMut() -> SignRequest,
    mut pace: Pace,
    done: mpsc::Sender<Done>,
) {
    let (requests, receiver) = mpsc::unbounded_channel();
    let mut asking = Asking { requests: Some(requests), in_flight: HashMap::new(), request };
    if let Pace::InTurn { share, until } = pace {
        (0..share).for_each(|_| asking.ask_before(until));
    }
    let broken = match client.sign_stream(UnboundedReceiverStream::new(receiver)).await {
        Err(error) => word(error),
        Ok(mut answers) => loop {
            let answer = tokio::select! {
                answer = answers.next() => answer,
                due = pace.due(), if asking.requests.is_some() => {
                    asking.ask(due);
                    continue;
                }
            };
            match answer {
                Ok(Some(answer)) => {
                    let Some(since) = asking.in_flight.remove(&answer.request_id) else {
                        break "an answer to nothing that was asked".to_owned();
                    };
                    if let Pace::InTurn { until, .. } = pace {
                        asking.ask_before(until);
                    }
                    if done.send((since, answer.result.map(drop).map_err(word))).await.is_err() {
                        return; // Nobody counts any more.
                    }
                }
                Ok(None) => break "the stream ended before its answers".to_owned(),
                Err(error) => break word(error),
            }
        },
    };
    for since in asking.in_flight.into_values() {
        if done.send((since, Err(broken.clone()))).await.is_err() {
            return;
        }
    }
    // A schedule goes on whatever became of the stream.
    if let Pace::Scheduled(mut schedule) = pace {
        while let Some(due) = schedule.wait().await {
            if done.send((due, Err(broken.clone()))).await.is_err() {
                return;
            }
        }
    }
}

/// The requests of one stream.
struct Asking<R> {
    /// None once nothing more is due, which ends the stream when all are answered.
    requests: Option<mpsc::UnboundedSender<SignRequest>>,
    /// Since when.
    in_flight: HashMap<String, Instant>,
    request: R,
}

impl<R: FnMut() -> SignRequest> Asking<R> {
    /// Asks once more, of which latency counts from `due`; or ends the asking.
    fn ask(&mut self, due: Option<Instant>) {
        let (Some(due), Some(requests)) = (due, &self.requests) else {
            self.requests = None;
            return;
        };
        let request = (self.request)();
        self.in_flight.insert(request.request_id.clone(), due);
        // It fails if the stream broke, which is an error for all in flight.
        let _ = requests.send(request);
    }

    fn ask_before(&mut self, until: Instant) {
        let now = Instant::now();
        self.ask((now < until).then_some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_in_flight_as_there_are_callers() {
        for (callers, streams, expected) in
            [(1, 4, vec![1]), (5, 4, vec![2, 1, 1, 1]), (64, 4, vec![16; 4]), (3, 1, vec![3])]
        {
            assert_eq!(shares(callers, streams).collect::<Vec<_>>(), expected, "{callers} over {streams}");
        }
    }
}
