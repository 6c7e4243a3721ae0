//! What is to be signed, and with which key; and what was, for a caller who asks again.
//!
//! In: a key and a TBS that policy permits together, a challenge, or a checkpoint. Out: the finished object for a [`Signature`], which
//! only verification makes. An [`Order`] alone gets nothing signed: an [`Intent`](super::Intent) does.

use std::sync::Arc;

use countersign_tbs::Tbs;
use countersign_tbs::signature::{ssh_signature_blob, x509_signature};

use crate::key::Key;
use crate::ledger::Receipt;
use crate::sign::Signed;
use crate::token::RawSignature;
use crate::verify::{Signature, VerifyError};

/// What is to be signed, and with which key.
#[derive(Debug)]
pub(crate) struct Order {
    key: Arc<Key>,
    work: Work,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "all but a few at start-up are the large one")]
enum Work {
    Tbs(Tbs),
    /// What this signer asks for itself: a challenge that no certificate's TBS can equal, or the text of a checkpoint.
    Own(Vec<u8>),
}

/// An answer that was given before, to the same caller for the same request. No token can be asked with it.
#[derive(Debug)]
pub struct Replay {
    order: Order,
    recorded: RawSignature,
    receipt: Receipt,
    log: Option<Arc<str>>,
}

impl Order {
    pub(super) fn tbs(key: Arc<Key>, tbs: Tbs) -> Self {
        Self { key, work: Work::Tbs(tbs) }
    }

    pub(super) fn own(key: Arc<Key>, message: Vec<u8>) -> Self {
        Self { key, work: Work::Own(message) }
    }

    /// The key that is to sign.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The exact bytes that are to be signed.
    pub(crate) fn message(&self) -> &[u8] {
        match &self.work {
            Work::Tbs(tbs) => tbs.as_bytes(),
            Work::Own(message) => message,
        }
    }

    /// The answer with this signature.
    pub(super) fn finish(&self, signature: &Signature, receipt: Receipt) -> Result<Signed, VerifyError> {
        let scheme = self.key.scheme;
        // A signature that verifies has its scheme's form, and policy has seen to the algorithm in the TBS, so this error is
        // one of the token's all the same.
        let (signature, object) =
            self.work.finish(&self.key, signature.as_bytes()).ok_or(VerifyError { scheme })?;
        Ok(Signed { signature, object, scheme, receipt, log: None })
    }
}

impl Work {
    /// The signature in the format's own encoding, and the finished object; `None` if `raw` has not the scheme's form, or
    /// the TBS says another algorithm.
    fn finish(&self, key: &Key, raw: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let scheme = key.scheme;
        match self {
            Self::Tbs(Tbs::Ssh(tbs)) => {
                Some((ssh_signature_blob(scheme, raw).ok()?, tbs.certificate(scheme, raw).ok()?))
            }
            Self::Tbs(Tbs::X509(tbs)) => {
                let signature = x509_signature(scheme, raw).ok()?;
                let object = tbs.certificate(scheme.into(), &signature).ok()?;
                Some((signature, object))
            }
            Self::Tbs(Tbs::Crl(tbs)) => {
                let signature = x509_signature(scheme, raw).ok()?;
                let object = tbs.certificate_list(scheme.into(), &signature).ok()?;
                Some((signature, object))
            }
            Self::Tbs(Tbs::Request(tbs)) => {
                let signature = x509_signature(scheme, raw).ok()?;
                let object = tbs.request(scheme.into(), &signature);
                Some((signature, object))
            }
            Self::Tbs(Tbs::Root(root)) => {
                let signature = x509_signature(scheme, raw).ok()?;
                let object = root.tbs().certificate(scheme.into(), &signature).ok()?;
                Some((signature, object))
            }
            Self::Tbs(Tbs::Ocsp(tbs)) => {
                let signature = x509_signature(scheme, raw).ok()?;
                let object = tbs.response(scheme.into(), &signature, delegation(key).as_slice());
                Some((signature, object))
            }
            // Not asked for: a `SelfTest` and a `CheckpointIntent` keep their intents. These are part of no object.
            Self::Own(_) => Some((raw.to_vec(), Vec::new())),
        }
    }
}

/// RFC 6960 §4.2.2.2: who knows the CA does not know the responder that it delegates to; the CA itself is known.
fn delegation(key: &Key) -> Option<&[u8]> {
    key.certificate.as_ref().filter(|_| key.purpose.is_delegated()).map(|certificate| certificate.own_der())
}

impl Replay {
    /// `log` is the one that has the receipt, if it is another signer's.
    pub(super) fn new(order: Order, signature: Vec<u8>, receipt: Receipt, log: Option<Arc<str>>) -> Self {
        Self { order, recorded: RawSignature::recorded(signature), receipt, log }
    }

    /// Verifies the recorded signature again, and gives the same answer as the first time.
    ///
    /// # Errors
    /// [`VerifyError`] if what the ledger holds is not the key's signature of these bytes.
    pub fn verify(self) -> Result<Signed, VerifyError> {
        let signature = self.recorded.verify_order(&self.order)?;
        Ok(Signed { log: self.log, ..self.order.finish(&signature, self.receipt)? })
    }
}
