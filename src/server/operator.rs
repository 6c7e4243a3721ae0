//! The operator's gRPC service: `countersign.v1.Operator`, on the Unix socket only.
//!
//! In: calls of a user whom the kernel names. Out: what the operator decided, in the ledger. Only root and the signer's own
//! user are heard: the socket's mode lets nobody else connect, and this looks again.

use std::sync::Arc;

use countersign_proto::v1;
use countersign_proto::v1::operator_server;
use countersign_proto::v1::revoke_request::What;
use countersign_tbs::ssh::CertificateTbs;
use rustix::process::geteuid;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use super::message;
use super::status::{Fault, Rejection, RevocationFault};
use crate::caller::{Caller, CallerName};
use crate::key::{Key, KeyName, KeyPurpose, Keys, PublicKey};
use crate::ledger::entry::{RevocationReason, Revoked, UnixMillis, from_fingerprint};
use crate::ledger::{KeyDeletion, Revocation, Thaw};
use crate::sign::{Failure, Signer};
use crate::token::TokenName;

mod ceremony;
mod record_key;
mod rotate;
mod status;
mod wrapping;

/// The longest reason, and the longest name of a place, in bytes.
const MAX_LINE: usize = 1024;
/// The longest key id or name that is revoked, in bytes; no certificate of SSH has a longer one.
const MAX_NAME: usize = 1024;

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

    async fn revocation(&self, request: Request<v1::RevokeRequest>) -> Result<v1::RevokeResponse, Rejection> {
        let caller = request.extensions().get::<Arc<Caller>>().cloned().ok_or(Fault::Internal)?;
        let (by, request) = (operator(&caller)?, request.into_inner());
        let (dry_run, elsewhere) = (request.dry_run, request.not_in_ledger);
        let Revoking { key, what, reason, why } = revoking(&self.signer.keys, request)?;
        let in_ledger = self.signer.ledger.has_issued(&key, &what).await?;
        if !in_ledger && !elsewhere {
            return Err(RevocationFault::Nothing.into());
        }
        let described = Some(message::key(&key));
        if dry_run {
            return Ok(v1::RevokeResponse { receipt: None, key: described, in_ledger });
        }
        let (name, said) = (key.name.clone(), why.clone());
        let revocation = Revocation { key, what, reason, in_ledger, by: by.clone(), why };
        let receipt = self.signer.ledger.revoke(revocation).await?;
        tracing::warn!(entry = receipt.index, why = said, %reason, "{by} revoked certificates of key {name}");
        let receipt = Some(message::receipt(receipt, self.signer.ledger.origin()));
        Ok(v1::RevokeResponse { receipt, key: described, in_ledger })
    }

    async fn thawed(&self, request: Request<v1::ThawRequest>) -> Result<v1::ThawResponse, Rejection> {
        let thaw = checked(who(&request)?, request.into_inner())?;
        let recorded = self.signer.ledger.thaw(thaw.clone()).await.map_err(Failure::from)?;
        let receipt = recorded.ok_or(Fault::NotFrozen)?;
        tracing::warn!(
            entry = receipt.index,
            why = thaw.why,
            "{} thawed {} for key {}",
            thaw.by,
            thaw.caller,
            thaw.key
        );
        Ok(v1::ThawResponse { receipt: Some(message::receipt(receipt, self.signer.ledger.origin())) })
    }

    async fn key_deletion_recorded(
        &self,
        request: Request<v1::RecordKeyDeletionRequest>,
    ) -> Result<v1::RecordKeyDeletionResponse, Rejection> {
        let deletion = checked_deletion(who(&request)?, request.into_inner())?;
        // By its public half, so that no copy of a key that is in service is lost, and whatever the file says by now.
        if self.signer.keys.iter().any(|key| key.public_key == deletion.public_key) {
            return Err(Fault::KeyInService.into());
        }
        let recorded = self.signer.ledger.record_key_deletion(deletion.clone()).await;
        let receipt = recorded.map_err(Failure::from)?;
        tracing::warn!(
            entry = receipt.index,
            why = deletion.why,
            "{} is about to delete {} from token {}: {}",
            deletion.by,
            deletion.public_key.fingerprint(),
            deletion.token,
            deletion.place
        );
        let receipt = message::receipt(receipt, self.signer.ledger.origin());
        Ok(v1::RecordKeyDeletionResponse { receipt: Some(receipt) })
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

fn checked(by: CallerName, request: v1::ThawRequest) -> Result<Thaw, Fault> {
    let v1::ThawRequest { key, caller, why } = request;
    let key = KeyName::new(&key).map_err(|_| Fault::ThawInvalid)?;
    let caller = CallerName::parse(&caller).map_err(|_| Fault::ThawInvalid)?;
    if is_line(&why) { Ok(Thaw { key, caller, by, why }) } else { Err(Fault::ThawInvalid) }
}

fn checked_deletion(by: CallerName, request: v1::RecordKeyDeletionRequest) -> Result<KeyDeletion, Fault> {
    let v1::RecordKeyDeletionRequest { token, spki, place, why } = request;
    let token = TokenName::new(token).map_err(|_| Fault::KeyDeletionInvalid)?;
    let public_key = PublicKey::from_spki_der(&spki).map_err(|_| Fault::KeyDeletionInvalid)?;
    if is_line(&place) && is_line(&why) {
        Ok(KeyDeletion { token, public_key, place, by, why })
    } else {
        Err(Fault::KeyDeletionInvalid)
    }
}

/// Whether it says something, in one line that the ledger has room for.
fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_LINE && !text.contains(char::is_control)
}

/// A revocation that makes sense.
struct Revoking {
    key: Arc<Key>,
    what: Revoked,
    reason: RevocationReason,
    why: String,
}

fn revoking(keys: &Keys, request: v1::RevokeRequest) -> Result<Revoking, RevocationFault> {
    let v1::RevokeRequest { key, what, reason, why, not_in_ledger, dry_run: _ } = request;
    let name = KeyName::new(&key).map_err(|_| RevocationFault::NoSuchKey)?;
    let key = Arc::clone(keys.get(&name).ok_or(RevocationFault::NoSuchKey)?);
    let is_x509 = match key.purpose {
        KeyPurpose::SshUserCa | KeyPurpose::SshHostCa => false,
        KeyPurpose::X509Ca => true,
        KeyPurpose::X509Crl | KeyPurpose::Ocsp | KeyPurpose::Ledger => return Err(RevocationFault::Key),
    };
    let what = revoked(what.ok_or(RevocationFault::Invalid)?, is_x509)?;
    let reason = if reason.is_empty() { Ok(RevocationReason::Unspecified) } else { reason.parse() };
    let reason = reason.map_err(|_| RevocationFault::Invalid)?;
    if !is_line(&why) || (not_in_ledger && !what.means_later()) {
        return Err(RevocationFault::Invalid);
    }
    Ok(Revoking { key, what, reason, why })
}

fn revoked(what: What, is_x509: bool) -> Result<Revoked, RevocationFault> {
    let fits = |text: &str| (1..=MAX_NAME).contains(&text.len());
    match what {
        What::Serial(text) => Revoked::serial(&text, is_x509).ok_or(RevocationFault::Serial),
        What::KeyId(_) if is_x509 => Err(RevocationFault::Key),
        // Of one that no certificate has nothing is revoked, and lists may not be readable with it.
        What::KeyId(id) if fits(&id) && CertificateTbs::is_key_id(&id) => Ok(Revoked::KeyId(id.into_bytes())),
        What::Name(name) if fits(&name) => Ok(Revoked::Name(name.into_bytes())),
        What::SubjectKey(text) => {
            from_fingerprint(&text).map(Revoked::SubjectKey).ok_or(RevocationFault::Invalid)
        }
        What::Recorded(v1::TimeRange { since_ms, until_ms }) if since_ms < until_ms => {
            Ok(Revoked::Recorded(UnixMillis(since_ms), UnixMillis(until_ms)))
        }
        What::Entry(index) => Ok(Revoked::Entry(index)),
        What::KeyId(_) | What::Name(_) | What::Recorded(_) => Err(RevocationFault::Invalid),
    }
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

    #[test]
    fn a_thaw_has_a_key_a_caller_and_a_reason() {
        let by = || Caller::from_uid(0).name().clone();
        let good =
            v1::ThawRequest { key: "user-ca".into(), caller: "uid:7".into(), why: "it was a test".into() };
        assert!(checked(by(), good.clone()).is_ok());
        let bad: [fn(&mut v1::ThawRequest); 6] = [
            |thaw| thaw.key = "no such key".into(),
            |thaw| thaw.caller = "somebody".into(),
            |thaw| thaw.why = String::new(),
            |thaw| thaw.why = "  ".into(),
            |thaw| thaw.why = "one\nand another".into(),
            |thaw| thaw.why = "x".repeat(MAX_LINE + 1),
        ];
        for change in bad {
            let mut thaw = good.clone();
            change(&mut thaw);
            assert_eq!(checked(by(), thaw).unwrap_err(), Fault::ThawInvalid);
        }
    }

    #[test]
    fn a_key_id_is_revoked_only_if_a_certificate_may_have_it() {
        let revoke = |id: &str| revoked(What::KeyId(id.to_owned()), false);
        assert_eq!(revoke("alice smith").unwrap(), Revoked::KeyId(b"alice smith".to_vec()));
        for id in ["", "a\0b", "two\nlines", "\u{202e}ecila", &"x".repeat(MAX_NAME + 1)] {
            assert_eq!(revoke(id).unwrap_err(), RevocationFault::Invalid, "{id:?}");
        }
    }

    #[test]
    fn a_deletion_has_a_token_a_key_a_place_and_a_reason() {
        let by = || Caller::from_uid(0).name().clone();
        let good = v1::RecordKeyDeletionRequest {
            token: "soft".into(),
            spki: PublicKey::Ed25519([7; 32]).to_spki_der().into(),
            place: "label \"old\"".into(),
            why: "it was retired".into(),
        };
        assert!(checked_deletion(by(), good.clone()).is_ok());
        let bad: [fn(&mut v1::RecordKeyDeletionRequest); 5] = [
            |deletion| deletion.token = "no such token".into(),
            |deletion| deletion.spki = b"no key".to_vec().into(),
            |deletion| deletion.place = " ".into(),
            |deletion| deletion.why = "one\nand another".into(),
            |deletion| deletion.why = "x".repeat(MAX_LINE + 1),
        ];
        for change in bad {
            let mut deletion = good.clone();
            change(&mut deletion);
            assert_eq!(checked_deletion(by(), deletion).unwrap_err(), Fault::KeyDeletionInvalid);
        }
    }
}
