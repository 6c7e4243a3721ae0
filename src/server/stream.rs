//! `SignStream`: many requests over one call, worked on side by side and answered as they finish.
//!
//! In: a stream of requests. Out: a stream of answers. While [`MAX_IN_FLIGHT`] requests are unanswered no more is read,
//! and HTTP/2 flow control holds the client back. An error is an answer. When the client ends its side, or the server
//! stops, what is in flight is answered first.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_proto::v1;
use countersign_proto::v1::sign_stream_response::Result as Outcome;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::api::{Api, Call};
use super::connection::stopped;
use super::status::{Fault, Rejection};
use crate::sign::RequestId;

/// How many requests of one stream may be unanswered. All that a caller has, on all of its streams, count as well: a request
/// does until its answer is one of those that wait.
const MAX_IN_FLIGHT: u16 = 256;
/// How many answers may wait for the client to read them; then their requests count as unanswered.
const MAX_WAITING: usize = 16;

type Answer = Result<v1::SignStreamResponse, Status>;

/// The ids that are in flight on one stream.
#[derive(Clone, Default)]
struct Ids(Arc<Mutex<HashSet<RequestId>>>);

/// Begins to answer the requests of one call.
pub(super) fn answer(api: Api, call: Call, requests: Streaming<v1::SignRequest>) -> ReceiverStream<Answer> {
    let (answers, stream) = mpsc::channel(MAX_WAITING);
    tokio::spawn(read(api, call, requests, answers));
    ReceiverStream::new(stream)
}

/// Reads until either side ends, then answers what is in flight.
async fn read(api: Api, call: Call, requests: Streaming<v1::SignRequest>, answers: mpsc::Sender<Answer>) {
    let slots = Arc::new(Semaphore::new(MAX_IN_FLIGHT.into()));
    let Err(status) = start_all(&api, &call, requests, &answers, &slots).await else { return };
    // Every slot is free once every answer is on its way.
    let _ = slots.acquire_many(MAX_IN_FLIGHT.into()).await;
    let _ = answers.send(Err(status)).await;
}

/// Starts every request in a task of its own, as soon as there is a slot for it.
///
/// # Errors
/// What the stream is to end with, if it is not the client who ended it.
async fn start_all(
    api: &Api,
    call: &Call,
    mut requests: Streaming<v1::SignRequest>,
    answers: &mpsc::Sender<Answer>,
    slots: &Arc<Semaphore>,
) -> Result<(), Status> {
    let ids = Ids::default();
    let mut stopping = api.stopping();
    loop {
        let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| Rejection::from(Fault::Internal))?;
        let request = tokio::select! {
            () = stopped(&mut stopping) => return Err(Rejection::from(Fault::ShuttingDown).into()),
            request = requests.message() => request?,
        };
        let Some(request) = request else { return Ok(()) };
        // Here and not in the task, so that of two requests with one id it is the second that is refused.
        let begun = ids.begin(&request.request_id).and_then(|id| {
            let open = api.admit(call).inspect_err(|_| ids.end(&id))?;
            Ok((id, open))
        });
        let (id, open) = match begun {
            Ok(begun) => begun,
            Err(fault) => {
                // Before the next is read: who reads no answers has no more of them made.
                let _ = answers.send(Ok(refusal(request.request_id, fault))).await;
                continue;
            }
        };
        let (api, call, ids, answers) = (api.clone(), call.clone(), ids.clone(), answers.clone());
        tokio::spawn(async move {
            let result = api.answer(&call, request).await;
            ids.end(&id);
            // It fails if the client is gone; the ledger knows what became of the request.
            let _ = answers.send(Ok(as_answer(id.to_string(), result))).await;
            drop((slot, open));
        });
    }
}

fn refusal(request_id: String, fault: Fault) -> v1::SignStreamResponse {
    let id = if fault == Fault::RequestIdInvalid { String::new() } else { request_id };
    as_answer(id, Err(fault.into()))
}

fn as_answer(request_id: String, result: Result<v1::SignResponse, Rejection>) -> v1::SignStreamResponse {
    let result = match result {
        Ok(response) => Outcome::Response(response),
        Err(rejection) => Outcome::Error(rejection.into()),
    };
    v1::SignStreamResponse { request_id, result: Some(result) }
}

impl Ids {
    /// Takes `id`, if it is one and nobody has it.
    fn begin(&self, id: &str) -> Result<RequestId, Fault> {
        let id = RequestId::new(id).map_err(|_| Fault::RequestIdInvalid)?;
        if self.lock().insert(id.clone()) { Ok(id) } else { Err(Fault::RequestIdInUse) }
    }

    fn end(&self, id: &RequestId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<RequestId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_request_with_an_id_in_flight_is_refused() {
        let ids = Ids::default();
        assert!(ids.begin("a").is_ok());
        assert_eq!(ids.begin("a"), Err(Fault::RequestIdInUse));
        if let Ok(other) = ids.begin("b") {
            ids.end(&other);
        }
        assert!(ids.begin("b").is_ok());
    }

    #[test]
    fn request_without_an_id_is_refused() {
        assert_eq!(Ids::default().begin(""), Err(Fault::RequestIdInvalid));
    }
}
