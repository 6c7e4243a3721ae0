//! `Operator.Revoke`: certificates of a CA key are revoked.
//!
//! In: by what they are selected, and why. Out: the revocation's receipt, or, of a dry run, whether the ledger has any such.

use std::sync::Arc;

use countersign_proto::v1;
use countersign_proto::v1::revoke_request::What;
use countersign_tbs::ssh::CertificateTbs;
use tonic::Request;

use super::{Operator, is_line, who};
use crate::key::{Key, KeyName, KeyPurpose, Keys};
use crate::ledger::Revocation;
use crate::ledger::entry::{RevocationReason, Revoked, UnixMillis, from_fingerprint};
use crate::server::message;
use crate::server::status::{Rejection, RevocationFault};

/// The longest key id or name that is revoked, in bytes; no certificate of SSH has a longer one.
const MAX_NAME: usize = 1024;

impl Operator {
    pub(super) async fn revocation(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<v1::RevokeResponse, Rejection> {
        let (by, request) = (who(&request)?, request.into_inner());
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
        Ok(v1::RevokeResponse { receipt: Some(self.told(receipt)), key: described, in_ledger })
    }
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
    fn a_key_id_is_revoked_only_if_a_certificate_may_have_it() {
        let revoke = |id: &str| revoked(What::KeyId(id.to_owned()), false);
        assert_eq!(revoke("alice smith").unwrap(), Revoked::KeyId(b"alice smith".to_vec()));
        for id in ["", "a\0b", "two\nlines", "\u{202e}ecila", &"x".repeat(MAX_NAME + 1)] {
            assert_eq!(revoke(id).unwrap_err(), RevocationFault::Invalid, "{id:?}");
        }
    }
}
