//! The provisioning record of a key: who put it into which token how, what the token then said of it, signed by the key itself.
//!
//! In: what a command did and saw, or two files. Out: a [`SignedRecord`], whose signature was verified. Promised: one record has one
//! encoding, so that bytes are compared and not meanings; a signature by the key shows that whoever wrote the record could use it.
//! The signature is SSH's (PROTOCOL.sshsig) in [`NAMESPACE`], so that `ssh-keygen -Y verify` reads it; by a scheme that SSH does not
//! have, it is of the same bytes. Not done here: whether what the record says is true; the token said so, and an operator.

use std::io;
use std::path::PathBuf;

use base64ct::{Base64, Encoding};

use crate::key::{PublicKey, Scheme};
use crate::sshsig::{self, BadSignature, SshSigError};
use crate::verify::{UnfitKey, Verifier};

pub use file::{in_directory, make_directory, signature_path};
pub use record::{Attestation, Attribute, Format, How, Module, Operator, Place, Public, Record, Token};

mod file;
mod record;

/// What these signatures are of, and no other.
pub const NAMESPACE: &str = "provisioning-record@countersign";
/// The longest record, in bytes: with its signature it fits an entry of the ledger.
pub const MAX_LEN: usize = 32 * 1024;
/// The longest signature's file, in bytes.
const MAX_SIGNATURE: usize = 16 * 1024;
const BEGIN: &str = "-----BEGIN COUNTERSIGN SIGNATURE-----\n";
const END: &str = "-----END COUNTERSIGN SIGNATURE-----\n";

/// Why there is no record that could be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A file of the two cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More bytes than a record or its signature has.
    #[error("more than {limit} bytes, which no record and no signature of one has")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Not the JSON of a record, or with other fields.
    #[error("not a provisioning record: {0}")]
    Json(String),
    /// Some other text of the same record.
    #[error("the record was written anew by another program; its bytes must be those that were signed")]
    Encoding,
    /// What it says of the key does not agree with itself.
    #[error("the record's {0} does not fit its public key")]
    Disagrees(&'static str),
    /// No signature of the form that the record's scheme has.
    #[error("what is beside the record is no signature of scheme {scheme} over one")]
    Form {
        /// The record's scheme.
        scheme: Scheme,
    },
    /// SSH's form says another thing, or does not verify.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// It is a good signature, by somebody else.
    #[error("the record is signed by {signer}, and not by the key that it is of, {own}")]
    OtherKey {
        /// Who signed.
        signer: String,
        /// The record's own key.
        own: String,
    },
    /// Another form does not verify.
    #[error("the signature is not one of this very record by its key {own}; was the record changed?")]
    Wrong {
        /// The record's own key.
        own: String,
    },
    /// No such key can sign so.
    #[error(transparent)]
    Unfit(#[from] UnfitKey),
    /// The token's signature has no form in SSH.
    #[error("the token's signature is none: {0}")]
    Raw(#[from] SshSigError),
}

/// A record and its signature, which verifies under the key that the record is of.
#[derive(Clone, Debug)]
pub struct SignedRecord {
    record: Record,
    bytes: Vec<u8>,
    signature: String,
    public_key: PublicKey,
}

impl SignedRecord {
    /// Verifies the signature of a record.
    ///
    /// # Errors
    /// [`RecordError`]
    pub fn check(bytes: Vec<u8>, signature: String) -> Result<Self, RecordError> {
        if signature.len() > MAX_SIGNATURE {
            return Err(RecordError::TooLong { limit: MAX_SIGNATURE });
        }
        let record = Record::parse(&bytes)?;
        let (public_key, scheme) = record.checked_key()?;
        let own = public_key.fingerprint();
        if scheme.ssh_name().is_some() {
            let signer = sshsig::verify(&signature, NAMESPACE, &bytes)?;
            if signer != countersign_tbs::ssh::SubjectKey::Plain(public_key.clone()) {
                return Err(RecordError::OtherKey { signer: signer.fingerprint(), own });
            }
        } else {
            let raw = unarmored(&signature).ok_or(RecordError::Form { scheme })?;
            let verified =
                Verifier::new(scheme, &public_key)?.verify(&sshsig::to_sign(NAMESPACE, &bytes), &raw);
            verified.map_err(|_| RecordError::Wrong { own })?;
        }
        Ok(Self { record, bytes, signature, public_key })
    }

    /// What it says.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Exactly what was signed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signature, as it is in its file.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The key that it is of, and that signed it.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

/// The key of a record in an entry of a ledger, if it signed that, and the entry says of it what the record says.
pub(crate) fn key_of_entry(
    (key, token, spki): (&[u8], &[u8], &[u8]),
    record: Vec<u8>,
    signature: Vec<u8>,
) -> Option<PublicKey> {
    let signed = SignedRecord::check(record, String::from_utf8(signature).ok()?).ok()?;
    let is_same = signed.record.key.as_bytes() == key
        && signed.record.token.name.as_bytes() == token
        && signed.public_key.to_spki_der() == spki;
    is_same.then_some(signed.public_key)
}

/// A signature that SSH has no form for.
fn armor(raw: &[u8]) -> String {
    let base64 = Base64::encode_string(raw);
    let lines = base64.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
    format!("{BEGIN}{}{END}", lines.collect::<String>())
}

fn unarmored(text: &str) -> Option<Vec<u8>> {
    let body = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let raw = Base64::decode_vec(&body.replace('\n', "")).ok()?;
    if armor(&raw) == text { Some(raw) } else { None }
}

#[cfg(test)]
mod tests;
