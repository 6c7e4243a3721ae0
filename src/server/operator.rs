//! The operator's gRPC service: `countersign.v1.Operator`, on the Unix socket only.
//!
//! In: calls of a user whom the kernel names, each in a file of its own. Out: what the operator decided, in the ledger. Only root
//! and the signer's own user are heard: the socket's mode lets nobody else connect, and this looks again.

use std::sync::Arc;

use countersign_proto::v1;
use countersign_proto::v1::operator_server;
use rustix::process::geteuid;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use super::message;
use super::status::{Fault, Rejection};
use crate::caller::{Caller, CallerName};
use crate::key::PublicKey;
use crate::ledger::Receipt;
use crate::sign::Signer;
use crate::token::TokenName;

mod ceremony;
mod key_deletion;
mod record_key;
mod revoke;
mod rotate;
mod status;
mod thaw;
mod wrapping;

/// The longest reason, and the longest name of a place, in bytes.
const MAX_LINE: usize = 1024;

/// The service. Cheap to clone.
#[derive(Clone)]
pub(super) struct Operator {
    /// With every key in service, the log's own too.
    signer: Signer,
    /// Held by who looks whether a key is recorded, and records it.
    recording: Arc<Mutex<()>>,
}

impl Operator {
    pub(super) fn new(signer: Signer) -> Self {
        Self { signer, recording: Arc::default() }
    }

    /// Where it is in the ledger, as the operator is told.
    fn told(&self, receipt: Receipt) -> v1::Receipt {
        message::receipt(receipt, self.signer.ledger.origin())
    }
}

#[tonic::async_trait]
impl operator_server::Operator for Operator {
    async fn thaw(&self, request: Request<v1::ThawRequest>) -> Result<Response<v1::ThawResponse>, Status> {
        Ok(Response::new(self.thawed(request).await?))
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<v1::RevokeResponse>, Status> {
        Ok(Response::new(self.revocation(request).await?))
    }

    async fn record_key_deletion(
        &self,
        request: Request<v1::RecordKeyDeletionRequest>,
    ) -> Result<Response<v1::RecordKeyDeletionResponse>, Status> {
        Ok(Response::new(self.key_deletion_recorded(request).await?))
    }

    async fn rotate(
        &self,
        request: Request<v1::RotateRequest>,
    ) -> Result<Response<v1::RotateResponse>, Status> {
        Ok(Response::new(self.rotated(request).await?))
    }

    async fn get_lines(
        &self,
        request: Request<v1::GetLinesRequest>,
    ) -> Result<Response<v1::GetLinesResponse>, Status> {
        Ok(Response::new(self.lines(&request)?))
    }

    async fn record_ceremony(
        &self,
        request: Request<v1::RecordCeremonyRequest>,
    ) -> Result<Response<v1::RecordCeremonyResponse>, Status> {
        Ok(Response::new(self.ceremony_recorded(request).await?))
    }

    async fn record_key(
        &self,
        request: Request<v1::RecordKeyRequest>,
    ) -> Result<Response<v1::RecordKeyResponse>, Status> {
        Ok(Response::new(self.key_recorded(request).await?))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        Ok(Response::new(self.status(&request).map_err(Rejection::from)?))
    }

    async fn record_key_wrapping(
        &self,
        request: Request<v1::RecordKeyWrappingRequest>,
    ) -> Result<Response<v1::RecordKeyWrappingResponse>, Status> {
        Ok(Response::new(self.key_wrapping_recorded(request).await?))
    }
}

/// Who asks, who must be the operator.
fn who<M>(request: &Request<M>) -> Result<CallerName, Fault> {
    operator(request.extensions().get::<Arc<Caller>>().ok_or(Fault::Internal)?)
}

/// The name of a caller that is the operator.
pub(super) fn operator(caller: &Caller) -> Result<CallerName, Fault> {
    let operators = [0, geteuid().as_raw()].map(|uid| Caller::from_uid(uid).name().clone());
    let found = operators.into_iter().find(|operator| operator == caller.name());
    found.ok_or(Fault::OperatorOnly)
}

/// The token and the key that an operator names, if it says where the key is, and why something becomes of it.
fn on_token(token: String, spki: &[u8], place: &str, why: &str) -> Option<(TokenName, PublicKey)> {
    let (token, public_key) = (TokenName::new(token).ok()?, PublicKey::from_spki_der(spki).ok()?);
    (is_line(place) && is_line(why)).then_some((token, public_key))
}

/// Whether it says something, in one line that the ledger has room for.
fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_LINE && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_root_and_the_signers_own_user_are_operators() {
        let own = geteuid().as_raw();
        for uid in [0, own] {
            assert_eq!(operator(&Caller::from_uid(uid)).unwrap().as_str(), format!("uid:{uid}"));
        }
        for other in [Caller::from_uid(own + 1), Caller::for_test("dns:root"), Caller::for_test("cn:uid")] {
            assert_eq!(operator(&other).unwrap_err(), Fault::OperatorOnly);
        }
    }
}
