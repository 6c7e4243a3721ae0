//! One entry of the log, and its one encoding: a version byte, then deterministic CBOR (RFC 8949 §4.2.1).
//!
//! In: what a stage knows. Out: the bytes that are stored, hashed and exported, and back. Promised: `decode` accepts only
//! what `encode` makes, byte for byte, nothing that hides what is signed (`sound`), and no input panics. Text from outside stays bytes: whoever shows it escapes it.
//! docs/ledger.md describes the format for those who write verifiers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};
use minicbor::{Decode, Encode};

mod revocation;
mod rotation;
mod sound;
mod spelling;

pub use revocation::{NoReason, RevocationReason, Revoked};
pub(crate) use revocation::{
    fingerprint, from_fingerprint, key_sha256, serial_text, spki_fingerprint, subject_key,
};
pub use rotation::RotationStep;
pub(super) use sound::challenge;
pub(crate) use spelling::{folded, is_name_of, names};

/// The longest entry, in bytes: C2SP tlog-tiles gives an entry's length two bytes.
pub const MAX_LEN: usize = 65_535;

/// A TBS up to this many bytes is recorded whole; of a longer one, its digest and length.
pub const MAX_WHOLE_TBS: usize = 32 * 1024;

/// What is permitted is recorded whole: a certificate that could not be named could not be revoked.
const _: () = assert!(countersign_tbs::ssh::CertificateTbs::MAX_LEN <= MAX_WHOLE_TBS);
const _: () = assert!(countersign_tbs::x509::TbsCertificate::MAX_LEN <= MAX_WHOLE_TBS);
const _: () = assert!(countersign_tbs::ocsp::ResponseData::MAX_LEN <= MAX_WHOLE_TBS);

/// A TBS that is refused is recorded whole up to this many bytes: whoever may sign nothing should not fill the disk.
pub const MAX_WHOLE_REFUSED_TBS: usize = 4 * 1024;

/// A key's name, as a caller wrote it, is cut after this many bytes: nothing else bounds it.
pub const MAX_KEY: usize = 256;

/// A refusal's message is cut after this many bytes.
pub const MAX_MESSAGE: usize = 1024;

/// The first byte of every entry in this format.
const VERSION: u8 = 0x01;

/// What the entry of every checkpoint begins with, and no other: the version, an array of two, the kind.
pub(super) const CHECKPOINT: [u8; 3] = [VERSION, 0x82, 0x08];

/// What one entry says. On the wire: `[kind, {field: value}]` with the numbers below.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub enum Entry {
    /// Policy permits a request, and a token is about to be asked.
    #[n(1)]
    Intent {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// What was asked.
        #[n(1)]
        asked: Asked,
        /// SHA-256 of the policy in force.
        #[cbor(n(2), with = "minicbor::bytes")]
        policy: [u8; 32],
        /// The rule that permits: `key.user-ca.allow.staff`.
        #[n(3)]
        rule: String,
        /// The key that is to sign.
        #[n(4)]
        ca_key: CaKey,
    },
    /// Policy refuses a request.
    #[n(2)]
    Refusal {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// What was asked.
        #[n(1)]
        asked: Asked,
        /// SHA-256 of the policy in force.
        #[cbor(n(2), with = "minicbor::bytes")]
        policy: [u8; 32],
        /// The rule that refuses.
        #[n(3)]
        rule: String,
        /// The stable word: `PRINCIPAL_NOT_ALLOWED`.
        #[n(4)]
        reason: String,
        /// The line that the caller was given, shortened to [`MAX_MESSAGE`] bytes.
        #[n(5)]
        message: String,
    },
    /// What became of an intent, a self-test or a checkpoint. There is at most one for each.
    #[n(3)]
    Outcome {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// The index of that entry.
        #[n(1)]
        intent: u64,
        /// What became of it.
        #[n(2)]
        outcome: Outcome,
        /// Microseconds since the intent was durable.
        #[n(3)]
        latency_us: u64,
        /// The name of the token that signed, or that was the last to be given the bytes; `None` if none was, or if nobody knows.
        #[cbor(n(4), with = "minicbor::bytes")]
        token: Option<Vec<u8>>,
    },
    /// A key is about to sign a challenge that this signer made: at start-up, when a token comes back, and while the ledger is tried.
    #[n(4)]
    SelfTest {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// The key's name.
        #[n(1)]
        key: String,
        /// The key that is to sign.
        #[n(2)]
        ca_key: CaKey,
        /// The exact bytes that are to be signed.
        #[cbor(n(3), with = "minicbor::bytes")]
        challenge: Vec<u8>,
    },
    /// Refusals of one caller that have no entries of their own: there were too many.
    #[n(5)]
    Refusals {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// Who asked.
        #[cbor(n(1), with = "minicbor::bytes")]
        caller: Vec<u8>,
        /// When the first of them was refused.
        #[n(2)]
        since: UnixMillis,
        /// How many.
        #[n(3)]
        count: u64,
    },
    /// A caller went on asking beyond its budget: from here on it gets nothing by this key.
    #[n(6)]
    Freeze {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// Who asked.
        #[cbor(n(1), with = "minicbor::bytes")]
        caller: Vec<u8>,
        /// The key's name.
        #[cbor(n(2), with = "minicbor::bytes")]
        key: Vec<u8>,
        /// The bound that the last of its requests was beyond: `key.user-ca.allow.staff.budget`.
        #[n(3)]
        rule: String,
        /// How many requests were beyond one.
        #[n(4)]
        requests: u32,
        /// When the first of them was refused.
        #[n(5)]
        since: UnixMillis,
    },
    /// An operator lets a caller use a key again.
    #[n(7)]
    Thaw {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// Who was frozen.
        #[cbor(n(1), with = "minicbor::bytes")]
        caller: Vec<u8>,
        /// The key's name.
        #[cbor(n(2), with = "minicbor::bytes")]
        key: Vec<u8>,
        /// The index of the entry that froze it.
        #[n(3)]
        freeze: u64,
        /// The operator, as the kernel named it: `uid:0`.
        #[cbor(n(4), with = "minicbor::bytes")]
        by: Vec<u8>,
        /// The operator's reason.
        #[cbor(n(5), with = "minicbor::bytes")]
        why: Vec<u8>,
    },
    /// The log's own key is about to sign a checkpoint of the entries before this one, or of fewer.
    #[n(8)]
    Checkpoint {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// The key's name.
        #[n(1)]
        key: String,
        /// The key that is to sign.
        #[n(2)]
        ca_key: CaKey,
        /// The exact text that is to be signed (C2SP tlog-checkpoint).
        #[n(3)]
        text: String,
    },
    /// An operator takes certificates back.
    #[n(9)]
    Revocation {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// The CA key's name.
        #[cbor(n(1), with = "minicbor::bytes")]
        key: Vec<u8>,
        /// The CA key.
        #[n(2)]
        ca_key: CaKey,
        /// Its DER SubjectPublicKeyInfo, so that lists can be made of the log alone.
        #[cbor(n(3), with = "minicbor::bytes")]
        spki: Vec<u8>,
        /// Which of its certificates.
        #[n(4)]
        what: Revoked,
        /// The word for lists.
        #[n(5)]
        reason: RevocationReason,
        /// Whether the log had any of them.
        #[n(6)]
        in_ledger: bool,
        /// The operator, as the kernel named it: `uid:0`.
        #[cbor(n(7), with = "minicbor::bytes")]
        by: Vec<u8>,
        /// The operator's reason, in words.
        #[cbor(n(8), with = "minicbor::bytes")]
        why: Vec<u8>,
    },
    /// An operator made a key, or put one into a token, and the key itself signed what was made how.
    #[n(10)]
    KeyRecord {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// The key's name.
        #[cbor(n(1), with = "minicbor::bytes")]
        key: Vec<u8>,
        /// The token's name.
        #[cbor(n(2), with = "minicbor::bytes")]
        token: Vec<u8>,
        /// The key's DER SubjectPublicKeyInfo (RFC 5280 §4.1), so that the signature can be verified with the log alone.
        #[cbor(n(3), with = "minicbor::bytes")]
        spki: Vec<u8>,
        /// The provisioning record's exact bytes: JSON, see [`crate::provision`].
        #[cbor(n(4), with = "minicbor::bytes")]
        record: Vec<u8>,
        /// Their signature, as it is in the file beside the record.
        #[cbor(n(5), with = "minicbor::bytes")]
        signature: Vec<u8>,
        /// Who had it recorded: the operator, as the kernel named it, or the signer's own user for one that waited for its start.
        #[cbor(n(6), with = "minicbor::bytes")]
        by: Vec<u8>,
    },
    /// An operator is about to delete a key from a token.
    #[n(11)]
    KeyDeletion {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// The token's name.
        #[cbor(n(1), with = "minicbor::bytes")]
        token: Vec<u8>,
        /// SHA-256 of the key's DER SubjectPublicKeyInfo (RFC 5280 §4.1).
        #[cbor(n(2), with = "minicbor::bytes")]
        spki_sha256: [u8; 32],
        /// Where on the token it is, in words: its label and id, or its slot.
        #[cbor(n(3), with = "minicbor::bytes")]
        place: Vec<u8>,
        /// The operator, as the kernel named it: `uid:0`.
        #[cbor(n(4), with = "minicbor::bytes")]
        by: Vec<u8>,
        /// The operator's reason.
        #[cbor(n(5), with = "minicbor::bytes")]
        why: Vec<u8>,
    },
    /// An operator is about to have a token wrap a key, for another token.
    #[n(12)]
    KeyWrapping {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// The name of the token that wraps it.
        #[cbor(n(1), with = "minicbor::bytes")]
        token: Vec<u8>,
        /// SHA-256 of the key's DER SubjectPublicKeyInfo (RFC 5280 §4.1).
        #[cbor(n(2), with = "minicbor::bytes")]
        spki_sha256: [u8; 32],
        /// The same of the key that it is wrapped for: whoever has its private half has the key.
        #[cbor(n(3), with = "minicbor::bytes")]
        recipient_sha256: [u8; 32],
        /// Where on the token it is, in words: its label and id.
        #[cbor(n(4), with = "minicbor::bytes")]
        place: Vec<u8>,
        /// The operator, as the kernel named it: `uid:0`.
        #[cbor(n(5), with = "minicbor::bytes")]
        by: Vec<u8>,
        /// The operator's reason.
        #[cbor(n(6), with = "minicbor::bytes")]
        why: Vec<u8>,
    },
    /// An operator takes a step by which one CA key takes the place of another.
    #[n(13)]
    Rotation {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// The successor's name.
        #[cbor(n(1), with = "minicbor::bytes")]
        key: Vec<u8>,
        /// The successor.
        #[n(2)]
        ca_key: CaKey,
        /// Its DER SubjectPublicKeyInfo (RFC 5280 §4.1).
        #[cbor(n(3), with = "minicbor::bytes")]
        spki: Vec<u8>,
        /// The name of the key whose place it takes.
        #[cbor(n(4), with = "minicbor::bytes")]
        old: Vec<u8>,
        /// That key's DER SubjectPublicKeyInfo.
        #[cbor(n(5), with = "minicbor::bytes")]
        old_spki: Vec<u8>,
        /// Which step.
        #[n(6)]
        step: RotationStep,
        /// The operator, as the kernel named it: `uid:0`.
        #[cbor(n(7), with = "minicbor::bytes")]
        by: Vec<u8>,
        /// The operator's reason.
        #[cbor(n(8), with = "minicbor::bytes")]
        why: Vec<u8>,
    },
    /// Operators held a key ceremony; its transcript is theirs to keep.
    #[n(14)]
    Ceremony {
        /// When it was recorded.
        #[n(0)]
        time: UnixMillis,
        /// What it was for.
        #[cbor(n(1), with = "minicbor::bytes")]
        title: Vec<u8>,
        /// SHA-256 of its transcript (docs/ceremony.md).
        #[cbor(n(2), with = "minicbor::bytes")]
        transcript_sha256: [u8; 32],
        /// Those who signed the transcript, by their names in it, with commas between them.
        #[cbor(n(3), with = "minicbor::bytes")]
        participants: Vec<u8>,
        /// The operator who had it recorded, as the kernel named them: `uid:0`.
        #[cbor(n(4), with = "minicbor::bytes")]
        by: Vec<u8>,
    },
}

/// What a caller asked for.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct Asked {
    /// Who asks.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub caller: Vec<u8>,
    /// The key's name as the caller wrote it, cut after [`MAX_KEY`] bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub key: Vec<u8>,
    /// The caller's name for the request.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub request_id: Option<Vec<u8>>,
    /// What the caller says that the bytes are: `ssh-certificate`.
    #[n(3)]
    pub kind: String,
    /// The bytes.
    #[n(4)]
    pub tbs: AskedTbs,
}

/// The bytes that a caller asked to have signed.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(flat)]
pub enum AskedTbs {
    /// All of them, if they are at most [`MAX_WHOLE_TBS`].
    #[n(0)]
    Whole(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Their SHA-256 and their number, if they are more.
    #[n(1)]
    Digest(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32], #[n(1)] u64),
}

/// A CA key, or the log's own, without its name.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct CaKey {
    /// What it may sign: `ssh-user-ca`.
    #[n(0)]
    pub purpose: String,
    /// How it signs: `ecdsa-p256-sha256`.
    #[n(1)]
    pub scheme: String,
    /// SHA-256 of its DER SubjectPublicKeyInfo (RFC 5280 §4.1).
    #[cbor(n(2), with = "minicbor::bytes")]
    pub spki_sha256: [u8; 32],
}

/// What became of an intent.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(flat)]
pub enum Outcome {
    /// The token signed, the signature verifies, and it was released.
    #[n(0)]
    Signed(
        /// As the token gave it: `r || s`, 64 bytes of Ed25519, or the RSA block.
        #[cbor(n(0), with = "minicbor::bytes")]
        Vec<u8>,
    ),
    /// There is no signature that anybody was given; the word says why.
    #[n(1)]
    Failed(#[n(0)] String),
    /// The token signed, but after the caller's deadline: the signature was thrown away.
    #[n(2)]
    Discarded,
    /// The signer stopped working on it: a signature may exist, but nobody was given it.
    #[n(3)]
    Abandoned,
}

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Decode, Default, Encode, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cbor(transparent)]
pub struct UnixMillis(#[n(0)] pub u64);

/// An entry of more than [`MAX_LEN`] bytes, which the log does not take.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a ledger entry of {len} bytes; the longest has {MAX_LEN}")]
pub struct EntryTooLong {
    /// Its length in bytes.
    pub len: usize,
}

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Nothing, or more than [`MAX_LEN`] bytes.
    #[error("an entry has 1 to {MAX_LEN} bytes, not {0}")]
    Length(usize),
    /// Written by a newer countersign, or not an entry at all.
    #[error("entry format {0}; this countersign reads format {VERSION}; use a newer one")]
    Version(u8),
    /// Not the CBOR of any [`Entry`].
    #[error("not the CBOR of an entry")]
    Cbor,
    /// The CBOR of an entry, but not its one encoding.
    #[error("an entry that is not in its deterministic encoding")]
    NotDeterministic,
    /// A self-test of other bytes than a challenge.
    #[error("a self-test that has no challenge signed: its bytes can be a certificate's")]
    Challenge,
    /// A checkpoint of another text, or by a key that may sign more.
    #[error("a checkpoint whose text is none, or by a key that is not for the ledger alone")]
    Checkpoint,
    /// A permitted request of which only the digest is there.
    #[error(
        "an intent with a digest alone, and no CRL of more than {MAX_WHOLE_TBS} bytes: nobody can read what was permitted"
    )]
    Unreadable,
}

impl Entry {
    /// The bytes that are stored and hashed.
    ///
    /// # Errors
    /// [`EntryTooLong`] if they are more than [`MAX_LEN`].
    pub fn encode(&self) -> Result<Vec<u8>, EntryTooLong> {
        let mut bytes = vec![VERSION];
        // A Vec takes every byte and no field's encoder refuses, so that the length is all that can be wrong.
        match minicbor::encode(self, &mut bytes) {
            Ok(()) if bytes.len() <= MAX_LEN => Ok(bytes),
            _ => Err(EntryTooLong { len: bytes.len() }),
        }
    }

    /// Reads what [`Self::encode`] made of what a signer records, and nothing else.
    ///
    /// # Errors
    /// [`DecodeError`] for every other input.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, cbor) = bytes.split_first().ok_or(DecodeError::Length(0))?;
        if bytes.len() > MAX_LEN {
            return Err(DecodeError::Length(bytes.len()));
        }
        if *version != VERSION {
            return Err(DecodeError::Version(*version));
        }
        let entry: Self = minicbor::decode(cbor).map_err(|_| DecodeError::Cbor)?;
        // Comparing refuses at once whatever a lenient decoder lets pass: trailing bytes, unknown or repeated fields,
        // long integers, indefinite lengths, other orders.
        if entry.encode().is_ok_and(|again| again == bytes) {
            sound::check(&entry).map(|()| entry)
        } else {
            Err(DecodeError::NotDeterministic)
        }
    }

    /// When it was recorded.
    #[must_use]
    pub fn time(&self) -> UnixMillis {
        match self {
            Self::Intent { time, .. }
            | Self::Refusal { time, .. }
            | Self::Outcome { time, .. }
            | Self::SelfTest { time, .. }
            | Self::Refusals { time, .. }
            | Self::Freeze { time, .. }
            | Self::Thaw { time, .. }
            | Self::Checkpoint { time, .. }
            | Self::Revocation { time, .. }
            | Self::KeyRecord { time, .. }
            | Self::KeyDeletion { time, .. }
            | Self::KeyWrapping { time, .. }
            | Self::Rotation { time, .. }
            | Self::Ceremony { time, .. } => *time,
        }
    }
}

impl AskedTbs {
    /// What is recorded of `bytes` that are permitted.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::up_to(MAX_WHOLE_TBS, bytes)
    }

    /// What is recorded of `bytes` that are refused.
    #[must_use]
    pub fn of_refused(bytes: &[u8]) -> Self {
        Self::up_to(MAX_WHOLE_REFUSED_TBS, bytes)
    }

    fn up_to(most: usize, bytes: &[u8]) -> Self {
        if bytes.len() <= most {
            Self::Whole(bytes.to_vec())
        } else {
            Self::Digest(sha256(&[bytes]), u64::try_from(bytes.len()).unwrap_or(u64::MAX))
        }
    }
}

impl UnixMillis {
    /// The system clock. A clock before 1970 reads as 0.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// This much later.
    pub(super) fn after(self, elapsed: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// RFC 6962 §2.1: SHA-256(0x00 || entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> [u8; 32] {
    sha256(&[&[0x00], entry])
}

/// SHA-256 of all `parts`, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests;
