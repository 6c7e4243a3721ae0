//! The gRPC service: the methods of `countersign.v1.Signer`.
//!
//! In: calls of a caller that the connection vouches for. Out: its requests to the [`Signer`], and the answers. What is
//! promised to the ledger is kept here: a request that has entered the pipeline leaves it, whatever its client does.

use std::sync::Arc;
use std::time::Instant;

use countersign_proto::v1;
use countersign_proto::v1::signer_server;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, error, warn};

use super::held::hold;
use super::share::{Share, ShareLimits, Shares};
use super::status::{Fault, Rejection};
use super::{message, stream};
use crate::caller::Caller;
use crate::key::{Key, KeyName, UnixTime};
use crate::rotation::Line;
use crate::sign::{Failure, Signed, Signer};
use crate::token::TokenError;

#[cfg(test)]
mod tests;

/// How many requests may be without an answer that their client has, of those that this service answers: as many as may be in
/// work. An answer that nobody reads is no longer work, and takes memory all the same.
const MAX_OPEN: ShareLimits = super::MAX_IN_WORK;
/// How many calls of `SignStream`: one for each connection that a caller may have.
const MAX_STREAMS: ShareLimits = ShareLimits { total: 1024, each: 64 };

/// The service. Cheap to clone.
#[derive(Clone)]
pub(super) struct Api {
    signer: Signer,
    work: Shares,
    open: Shares,
    streams: Shares,
    stopping: watch::Receiver<bool>,
}

/// Whose call it is, and until when it matters.
#[derive(Clone)]
pub(super) struct Call {
    caller: Arc<Caller>,
    deadline: Option<Instant>,
}

impl Call {
    pub(super) fn of<M>(request: &Request<M>) -> Result<Self, Fault> {
        let caller = request.extensions().get::<Arc<Caller>>().ok_or(Fault::Internal)?;
        let deadline = message::deadline(request.metadata(), Instant::now())?;
        let call = Self { caller: Arc::clone(caller), deadline };
        call.caller()?;
        Ok(call)
    }

    /// The caller, if it still is one: its connection may have outlived its certificate.
    pub(super) fn caller(&self) -> Result<&Caller, Fault> {
        if self.caller.is_expired(UnixTime::now()) { Err(Fault::CallerExpired) } else { Ok(&self.caller) }
    }
}

impl Api {
    pub(super) fn new(signer: Signer, work: Shares, stopping: watch::Receiver<bool>) -> Self {
        let (open, streams) = (Shares::new(MAX_OPEN), Shares::new(MAX_STREAMS));
        Self { signer, work, open, streams, stopping }
    }

    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.clone()
    }

    /// A part of what there is for requests, until the answer has left.
    pub(super) fn admit(&self, call: &Call) -> Result<Share, Fault> {
        self.open.take(call.caller()?).ok_or(Fault::TooManyRequests)
    }

    /// A call that may have one more answer, and what its answer is to hold.
    fn call_of<M>(&self, request: &Request<M>) -> Result<(Call, Arc<Share>), Rejection> {
        let call = Call::of(request)?;
        let open = self.admit(&call)?;
        Ok((call, Arc::new(open)))
    }

    /// Answers one request, of a call or of a stream.
    pub(super) async fn answer(
        &self,
        call: &Call,
        message: v1::SignRequest,
    ) -> Result<v1::SignResponse, Rejection> {
        let caller = call.caller()?;
        let request = message::request(caller, call.deadline, message)?;
        let working = self.work.take(caller).ok_or(Fault::TooManyRequests)?;
        let (signer, deadline) = (self.signer.clone(), request.deadline);
        // A task of its own: when the client goes away or its deadline passes, this function is dropped or gives up,
        // and half a pipeline would leave an intent without an outcome. Even a request whose deadline has passed
        // already goes in, so that its refusal is recorded.
        let work = tokio::spawn(async move {
            let _working = working;
            let caller = request.caller.clone();
            signer.sign(request).await.inspect_err(|failure| report(&caller, failure))
        });
        let done = match deadline {
            Some(deadline) => {
                tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| Fault::DeadlineExceeded)?
            }
            None => work.await,
        };
        // The task panicked, which ends the process in a release build.
        let answer: Signed = done.map_err(|_| Fault::Internal)??;
        Ok(message::response(answer, self.signer.ledger.origin()))
    }

    fn usable<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a Arc<Key>> {
        self.signer.keys.iter().filter(|key| self.signer.policy.may_use(caller, &key.name))
    }

    /// The key of this name, unless policy keeps it from the caller: both are one answer, down to the byte.
    fn key(&self, caller: &Caller, name: &str) -> Result<&Arc<Key>, Fault> {
        let name = KeyName::new(name).map_err(|_| Fault::KeyNotAvailable)?;
        let key = self.signer.keys.get(&name).filter(|_| self.signer.policy.may_use(caller, &name));
        key.ok_or(Fault::KeyNotAvailable)
    }

    /// The line of the key of this name, unless policy keeps every key of it from the caller.
    fn line(&self, caller: &Caller, name: &str) -> Result<Line, Fault> {
        let line = self.signer.rotations.line(name, UnixTime::now());
        let may_use = |line: &Line| {
            let mut keys = line.members.iter().filter_map(|member| member.key.as_ref());
            keys.any(|key| {
                self.signer.keys.get(&key.name).is_some() && self.signer.policy.may_use(caller, &key.name)
            })
        };
        line.filter(may_use).ok_or(Fault::KeyNotAvailable)
    }
}

#[tonic::async_trait]
impl signer_server::Signer for Api {
    type SignStreamStream = ReceiverStream<Result<v1::SignStreamResponse, Status>>;

    async fn sign(&self, request: Request<v1::SignRequest>) -> Result<Response<v1::SignResponse>, Status> {
        let (call, open) = self.call_of(&request)?;
        Ok(hold(Response::new(self.answer(&call, request.into_inner()).await?), open))
    }

    async fn sign_stream(
        &self,
        request: Request<Streaming<v1::SignRequest>>,
    ) -> Result<Response<Self::SignStreamStream>, Status> {
        let call = Call::of(&request).map_err(Rejection::from)?;
        let stream = self.streams.take(&call.caller).ok_or(Fault::TooManyStreams).map_err(Rejection::from)?;
        let answers = stream::answer(self.clone(), call, request.into_inner());
        Ok(hold(Response::new(answers), Arc::new(stream)))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        let (call, open) = self.call_of(&request)?;
        let keys = self.usable(&call.caller).map(|key| message::key(key)).collect();
        Ok(hold(Response::new(v1::ListKeysResponse { keys }), open))
    }

    async fn get_key(&self, request: Request<v1::GetKeyRequest>) -> Result<Response<v1::Key>, Status> {
        let (call, open) = self.call_of(&request)?;
        let key = self.key(&call.caller, &request.get_ref().name).map_err(Rejection::from)?;
        Ok(hold(Response::new(message::key(key)), open))
    }

    async fn get_bundle(
        &self,
        request: Request<v1::GetBundleRequest>,
    ) -> Result<Response<v1::Bundle>, Status> {
        let (call, open) = self.call_of(&request)?;
        let line = self.line(&call.caller, &request.get_ref().key).map_err(Rejection::from)?;
        Ok(hold(Response::new(message::bundle(&line)), open))
    }
}

/// Logs what a caller is not told. What a stage logs once when it happens is not repeated here for every request.
fn report(caller: &Caller, failure: &Failure) {
    match failure {
        Failure::Refused(refused) => debug!(%caller, rule = refused.refusal.rule, "{refused}"),
        Failure::TooLate => debug!(%caller, "{failure}"),
        Failure::Ledger(cause) => debug!(%caller, word = cause.word(), "{cause}"),
        Failure::Verify(cause) => error!(%caller, "{cause}"),
        Failure::Token(cause @ (TokenError::TooLong { .. } | TokenError::NotInService { .. })) => {
            warn!(%caller, word = cause.word(), "{cause}");
        }
        // Told by the token's stage, once for all that it happens to.
        Failure::Token(cause) => debug!(%caller, word = cause.word(), "{cause}"),
    }
}
