//! `grpc.health.v1.Health`: whether the signer, or one key of it, can sign now.
//!
//! In: a name, which [`HealthOf`] reads: of the signer, a key, the checkpoints, their witnesses, the files of bundles. Out: a status,
//! once or whenever it changes. It is put together from what the stages know already: no token and no ledger is asked, so that it is
//! answered whatever they do. Who may not use a key learns nothing of it: neither that it exists nor how it is.

use std::pin::Pin;

use countersign_proto::client::HealthOf;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tokio_stream::{Stream, StreamExt, StreamMap};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::api::Call;
use super::connection::stopped;
use super::share::{Share, ShareLimits, Shares};
use super::status::{Fault, Rejection};
use crate::caller::Caller;
use crate::key::KeyName;
use crate::ledger::Checkpointing;
use crate::rotation::Writing;
use crate::sign::Signer;
use crate::token;

/// How many calls may watch. Each is a task for as long as its client likes.
const MAX_WATCHES: ShareLimits = ShareLimits { total: 1024, each: 64 };
/// The longest question: a name, and what is around it.
const MAX_REQUEST_BYTES: usize = 1024;

/// The service. Cheap to clone.
#[derive(Clone)]
pub(super) struct Health {
    signer: Signer,
    watches: Shares,
    stopping: watch::Receiver<bool>,
}

/// What is asked about.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Subject {
    /// The signer: whether any key can sign.
    Signer,
    /// One key.
    Key(KeyName),
    /// Whether the newest checkpoint is as new as it is to be.
    Checkpoints,
    /// Whether the newest checkpoint has its quorum of witnesses.
    Witnesses,
    /// Whether the files of bundles are what they are to be.
    Bundles,
}

type Answer = Result<HealthCheckResponse, Status>;

impl Health {
    pub(super) fn service(signer: Signer, stopping: watch::Receiver<bool>) -> HealthServer<Self> {
        let health = Self { signer, watches: Shares::new(MAX_WATCHES), stopping };
        HealthServer::new(health).max_decoding_message_size(MAX_REQUEST_BYTES)
    }

    /// What `service` names, for this caller.
    fn subject(&self, caller: &Caller, service: &str) -> Option<Subject> {
        let is = |is: bool, subject| is.then_some(subject);
        match HealthOf::parse(service)? {
            HealthOf::Signer => Some(Subject::Signer),
            HealthOf::Checkpoints => is(self.checkpointing() != Checkpointing::Off, Subject::Checkpoints),
            HealthOf::Witnesses => is(self.witnessing() != Checkpointing::Off, Subject::Witnesses),
            HealthOf::Bundles => is(self.writing() != Writing::Off, Subject::Bundles),
            HealthOf::Key(name) => {
                let key = KeyName::new(name).ok()?;
                let usable = self.signer.policy.may_use(caller, &key) && self.signer.keys.get(&key).is_some();
                is(usable, Subject::Key(key))
            }
        }
    }

    fn checkpointing(&self) -> Checkpointing {
        *self.signer.ledger.watch_checkpointing().borrow()
    }

    fn witnessing(&self) -> Checkpointing {
        *self.signer.ledger.watch_witnessing().borrow()
    }

    fn writing(&self) -> Writing {
        *self.signer.rotations.watch_writing().borrow()
    }

    fn keys(&self, subject: &Subject) -> Vec<KeyName> {
        match subject {
            Subject::Signer => self.signer.keys.iter().map(|key| key.name.clone()).collect(),
            Subject::Key(key) => vec![key.clone()],
            Subject::Checkpoints | Subject::Witnesses | Subject::Bundles => Vec::new(),
        }
    }

    fn status(&self, subject: &Subject) -> ServingStatus {
        let is_ready = |key: &KeyName| self.signer.tokens.health(key) == Some(token::Health::Ready);
        let can_sign = match subject {
            Subject::Checkpoints => self.checkpointing() == Checkpointing::Current,
            Subject::Witnesses => self.witnessing() == Checkpointing::Current,
            Subject::Bundles => self.writing() == Writing::Current,
            Subject::Signer | Subject::Key(_) => self.keys(subject).iter().any(is_ready),
        };
        if can_sign && self.signer.ledger.is_writable() && !*self.stopping.borrow() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }

    /// Tells `answers` the status, and each that follows it, until the server stops or nobody listens.
    async fn tell(self, call: Call, subject: Option<Subject>, answers: mpsc::Sender<Answer>, _watch: Share) {
        let mut changes = self.changes(subject.as_ref());
        let (mut stopping, mut told) = (self.stopping.clone(), None);
        loop {
            if let Err(fault) = call.caller() {
                // It fails if the client is gone.
                let _ = answers.send(Err(Rejection::from(fault).into())).await;
                return;
            }
            let is_last = *self.stopping.borrow();
            let status =
                subject.as_ref().map_or(ServingStatus::ServiceUnknown, |subject| self.status(subject));
            if told.replace(status) != Some(status) && answers.send(Ok(answer(status))).await.is_err() {
                return;
            }
            if is_last {
                return;
            }
            tokio::select! {
                Some(_) = changes.next() => {}
                () = stopped(&mut stopping) => {}
                () = answers.closed() => return,
            }
        }
    }

    /// Whatever may change the status of `subject`. What is unknown stays so.
    fn changes(&self, subject: Option<&Subject>) -> StreamMap<usize, Changes> {
        let Some(subject) = subject else { return StreamMap::new() };
        let keys = self.keys(subject);
        let tokens = keys.iter().filter_map(|key| self.signer.tokens.watch_health(key)).map(changes_of);
        let mut changes = StreamMap::new();
        let ledger = &self.signer.ledger;
        let ledger = [
            changes_of(ledger.watch_writable()),
            changes_of(ledger.watch_checkpointing()),
            changes_of(ledger.watch_witnessing()),
            changes_of(self.signer.rotations.watch_writing()),
        ];
        for each in tokens.chain(ledger) {
            changes.insert(changes.len(), each);
        }
        changes
    }
}

/// That something has changed; what, its source says.
type Changes = Pin<Box<dyn Stream<Item = ()> + Send>>;

fn changes_of<T: Clone + Send + Sync + 'static>(source: watch::Receiver<T>) -> Changes {
    Box::pin(WatchStream::from_changes(source).map(drop))
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = ReceiverStream<Answer>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let call = Call::of(&request).map_err(Rejection::from)?;
        let caller = call.caller().map_err(Rejection::from)?;
        let subject = self.subject(caller, &request.get_ref().service);
        let subject = subject.ok_or(Fault::ServiceUnknown).map_err(Rejection::from)?;
        Ok(Response::new(answer(self.status(&subject))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let call = Call::of(&request).map_err(Rejection::from)?;
        let caller = call.caller().map_err(Rejection::from)?;
        let watch = self.watches.take(caller).ok_or(Fault::TooManyWatches).map_err(Rejection::from)?;
        let subject = self.subject(caller, &request.get_ref().service);
        // One place: whoever reads slowly is told what is so then, not all that was so meanwhile.
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(self.clone().tell(call, subject, answers, watch));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
