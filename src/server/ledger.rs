//! The gRPC service that reads the ledger: `countersign.v1.Ledger`.
//!
//! In: calls of those whom `[ledger] readers` lists, and by the Unix socket of the operator: the routes of nobody else have it.
//! Out: entries as they are stored, proofs that were checked, and what comes, as it comes. Promised: an answer is bounded, and
//! so is what one caller has going on; a search that looks at much does so in turns with others, and ends with where to go on.

use std::sync::Arc;

use bytes::Bytes;
use countersign_proto::v1;
use countersign_proto::v1::ledger_server::{self, LedgerServer};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::api::Call;
use super::connection::stopped;
use super::held::hold;
use super::message::log as message;
use super::share::{Share, ShareLimits, Shares};
use super::status::{Fault, ReadingFault, Rejection};
use crate::key::{KeyName, Keys};
use crate::ledger::entry::UnixMillis;
use crate::ledger::{Archive, ArchiveError, Checkpointing, Interval, Ledger, Live, Page, RawEntry, Search};
use crate::sign::Failure;

/// How many calls read at once, but those that watch.
const MAX_CALLS: ShareLimits = ShareLimits { total: 64, each: 8 };
/// How many calls watch.
const MAX_WATCHES: ShareLimits = ShareLimits { total: 256, each: 16 };
/// The longest question: a filter, and what is around it.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// How many entries an answer has, and from how many bytes of them on it has no more.
const MAX_PAGE: Page = Page { entries: 1000, bytes: 1 << 20 };
/// How many entries an answer has if the caller does not say.
const USUAL: u64 = 100;
/// How much a watcher is sent at once.
const WATCH_PAGE: Page = Page { entries: 256, bytes: 256 * 1024 };
/// How many entries a search looks at before others have their turn.
const STEP: u64 = 512;
/// How many revoked certificates an answer has.
const MAX_REVOKED: usize = 10_000;
/// How many revocations an answer has.
const MAX_REVOCATIONS: usize = 256;
/// How many steps one call makes at most.
const MAX_STEPS: u32 = 64;

/// The service. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reading {
    ledger: Ledger,
    /// Those in service.
    keys: Keys,
    calls: Shares,
    watches: Shares,
    stopping: watch::Receiver<bool>,
}

type Answer = Result<v1::WatchResponse, Status>;

impl Reading {
    pub(super) fn service(ledger: Ledger, keys: Keys, stopping: watch::Receiver<bool>) -> LedgerServer<Self> {
        let (calls, watches) = (Shares::new(MAX_CALLS), Shares::new(MAX_WATCHES));
        let reading = Self { ledger, keys, calls, watches, stopping };
        LedgerServer::new(reading).max_decoding_message_size(MAX_REQUEST_BYTES)
    }

    fn live(&self) -> &Live {
        self.ledger.live()
    }

    /// A part of what there is for this call, until its answer has left.
    fn admit<M>(&self, request: &Request<M>) -> Result<Arc<Share>, Fault> {
        let call = Call::of(request)?;
        self.calls.take(call.caller()?).map(Arc::new).ok_or(Fault::TooManyRequests)
    }

    /// What `work` comes to for a caller who may have one more call.
    async fn answer<M, T: Send + 'static>(
        &self,
        request: Request<M>,
        work: impl FnOnce(&Archive, M) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<Response<T>, Status>
    where
        M: Send + 'static,
    {
        let share = self.admit(&request).map_err(Rejection::from)?;
        let (message, working) = (request.into_inner(), Arc::clone(&share));
        let answer = self.live().read(move |archive| {
            // It lasts as long as the work does, whatever becomes of the call.
            let _working = working;
            work(archive, message)
        });
        Ok(hold(Response::new(answer.await.map_err(Rejection::from)?), share))
    }

    async fn find(&self, request: v1::FindEntriesRequest) -> Result<v1::FindEntriesResponse, Rejection> {
        let v1::FindEntriesRequest { filter, before, limit } = request;
        let (filter, page) = (message::filter(filter.unwrap_or_default())?, page(limit));
        let mut search = self.live().read(move |archive| Search::new(archive, filter, before)).await?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        for _ in 0..MAX_STEPS {
            let wanted = usize::try_from(page.entries).unwrap_or(usize::MAX).saturating_sub(found.len());
            if wanted == 0 || bytes >= page.bytes || search.next().is_none() {
                break;
            }
            // Few at once, so that a page of long entries is not far above its bytes.
            let step = move |archive: &Archive| {
                let some = search.step(archive, STEP, wanted.min(16))?;
                Ok((search, some))
            };
            let (next, some) = self.live().read(step).await?;
            search = next;
            bytes += some.iter().map(|entry| entry.bytes.len()).sum::<usize>();
            found.extend(some);
        }
        let next = search.next();
        Ok(v1::FindEntriesResponse { entries: message::entries(found), next })
    }

    /// Sends entries from `next` on as they become durable, until the server stops or nobody listens.
    ///
    /// Nothing is read before there is room for it: who reads slowly has one page in memory, and the log has the rest.
    async fn tell(self, call: Call, mut next: u64, answers: mpsc::Sender<Answer>, _watch: Share) {
        let (mut growth, mut stopping) = (self.live().growth(), self.stopping.clone());
        loop {
            let room = tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                room = answers.reserve() => room,
            };
            let Ok(room) = room else { return };
            let size = tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                () = answers.closed() => return,
                size = growth.beyond(next) => size,
            };
            let entries = match (size, call.caller()) {
                (None, _) => return,
                (_, Err(fault)) => Err(Rejection::from(fault)),
                (Some(size), Ok(_)) => {
                    let read = move |archive: &Archive| archive.entries(next..size, WATCH_PAGE);
                    self.live().read(read).await.map_err(Rejection::from)
                }
            };
            match entries {
                Ok(entries) => {
                    next = entries.last().map_or(next, |last: &RawEntry| last.index.saturating_add(1));
                    room.send(Ok(v1::WatchResponse { entries: message::entries(entries) }));
                }
                Err(rejection) => return room.send(Err(rejection.into())),
            }
        }
    }
}

/// A page of so many entries as a caller asks for.
fn page(limit: u32) -> Page {
    let entries = if limit == 0 { USUAL } else { u64::from(limit).min(MAX_PAGE.entries) };
    Page { entries, ..MAX_PAGE }
}

#[tonic::async_trait]
impl ledger_server::Ledger for Reading {
    type WatchStream = ReceiverStream<Answer>;

    async fn get_tree(&self, request: Request<v1::GetTreeRequest>) -> Result<Response<v1::Tree>, Status> {
        let origin = self.ledger.origin().to_owned();
        let tree = move |archive: &Archive, request: v1::GetTreeRequest| {
            let size = request.size.unwrap_or(archive.size());
            let other_logs = archive.reader().other_logs()?;
            Ok(v1::Tree { other_logs, ..message::tree(origin, size, archive.root(size)?) })
        };
        self.answer(request, tree).await
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let share = self.admit(&request).map_err(Rejection::from)?;
        let absent = match *self.ledger.watch_checkpointing().borrow() {
            Checkpointing::Off => ReadingFault::CheckpointsOff,
            Checkpointing::Current | Checkpointing::Failing => ReadingFault::NoCheckpointYet,
        };
        let signed = self.ledger.latest_checkpoint().ok_or(absent).map_err(Rejection::from)?;
        let note = Bytes::copy_from_slice(signed.note().as_bytes());
        Ok(hold(Response::new(v1::GetCheckpointResponse { note }), share))
    }

    async fn get_crl_number(
        &self,
        request: Request<v1::GetCrlNumberRequest>,
    ) -> Result<Response<v1::GetCrlNumberResponse>, Status> {
        let share = self.admit(&request).map_err(Rejection::from)?;
        let asked = <[u8; 32]>::try_from(&*request.get_ref().spki_sha256);
        let spki_sha256 = asked.map_err(|_| ReadingFault::FilterInvalid).map_err(Rejection::from)?;
        let newest = self.ledger.newest_crl_number(spki_sha256).await;
        let newest = newest.map_err(Failure::from).map_err(Rejection::from)?;
        let number = newest.map(|number| Bytes::copy_from_slice(number.as_bytes()));
        Ok(hold(Response::new(v1::GetCrlNumberResponse { number }), share))
    }

    async fn list_revoked(
        &self,
        request: Request<v1::ListRevokedRequest>,
    ) -> Result<Response<v1::ListRevokedResponse>, Status> {
        let asked = request.get_ref();
        let ca = <[u8; 32]>::try_from(&*asked.spki_sha256);
        let mut cas = vec![ca.map_err(|_| ReadingFault::FilterInvalid).map_err(Rejection::from)?];
        let signer = KeyName::new(&asked.signer).ok().and_then(|name| self.keys.get(&name));
        cas.extend(signer.into_iter().flat_map(|signer| self.keys.listed_by(signer)));
        cas.sort_unstable();
        cas.dedup();
        let list = move |archive: &Archive, request: v1::ListRevokedRequest| {
            let interval = Interval { this: request.this_update, next: request.next_update };
            let due = archive.reader().due(&cas, interval, UnixMillis::now())?;
            Ok(message::revoked(due, &request.after, MAX_REVOKED))
        };
        self.answer(request, list).await
    }

    async fn list_revocations(
        &self,
        request: Request<v1::ListRevocationsRequest>,
    ) -> Result<Response<v1::ListRevocationsResponse>, Status> {
        let list = |archive: &Archive, request: v1::ListRevocationsRequest| {
            let logs = archive.reader().logs()?;
            let after = request.after_index.map(|index| (request.after_log, index));
            let found = archive.reader().revocations(after, MAX_REVOCATIONS + 1)?;
            Ok(message::revocations(logs, found, MAX_REVOCATIONS))
        };
        self.answer(request, list).await
    }

    async fn list_entries(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Result<Response<v1::ListEntriesResponse>, Status> {
        let list = |archive: &Archive, request: v1::ListEntriesRequest| {
            let entries = archive.entries(request.from..u64::MAX, page(request.limit))?;
            Ok(v1::ListEntriesResponse { entries: message::entries(entries), size: archive.size() })
        };
        self.answer(request, list).await
    }

    async fn find_entries(
        &self,
        request: Request<v1::FindEntriesRequest>,
    ) -> Result<Response<v1::FindEntriesResponse>, Status> {
        let share = self.admit(&request).map_err(Rejection::from)?;
        Ok(hold(Response::new(self.find(request.into_inner()).await?), share))
    }

    async fn prove_inclusion(
        &self,
        request: Request<v1::ProveInclusionRequest>,
    ) -> Result<Response<v1::InclusionProof>, Status> {
        let origin = self.ledger.origin().to_owned();
        let prove = move |archive: &Archive, request: v1::ProveInclusionRequest| {
            let proof = archive.inclusion(request.index, request.size.unwrap_or(archive.size()))?;
            Ok(message::inclusion(origin, proof))
        };
        self.answer(request, prove).await
    }

    async fn prove_consistency(
        &self,
        request: Request<v1::ProveConsistencyRequest>,
    ) -> Result<Response<v1::ConsistencyProof>, Status> {
        let origin = self.ledger.origin().to_owned();
        let prove = move |archive: &Archive, request: v1::ProveConsistencyRequest| {
            let proof = archive.consistency(request.old_size, request.size.unwrap_or(archive.size()))?;
            Ok(message::consistency(&origin, proof))
        };
        self.answer(request, prove).await
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let call = Call::of(&request).map_err(Rejection::from)?;
        let caller = call.caller().map_err(Rejection::from)?;
        let watch = self.watches.take(caller).ok_or(Fault::TooManyWatches).map_err(Rejection::from)?;
        let next = request.get_ref().from.unwrap_or_else(|| self.live().size());
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(self.clone().tell(call, next, answers, watch));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

#[cfg(test)]
mod tests;
