//! What an operator takes back, and why, as an entry says it.
//!
//! In: the words of a command. Out: a [`Revoked`] and a [`RevocationReason`], in the entry's encoding. There is no way to take a
//! revocation back: reasons that promise one (RFC 5280 certificateHold, removeFromCRL) do not exist here.

use std::fmt;

use base64ct::{Base64Unpadded, Encoding};
use countersign_tbs::Tbs;
use countersign_tbs::crl::Reason;
use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::SubjectKey;
use countersign_tbs::x509::SerialNumber;
use minicbor::{Decode, Encode};

use super::spelling::is_name_of;
use super::{UnixMillis, sha256};
use crate::ledger::claim::Serial;

/// Which certificates of a CA key are revoked.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(flat)]
pub enum Revoked {
    /// The one with this serial: of SSH 8 bytes, of X.509 1 to 20, big-endian.
    #[n(0)]
    Serial(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// All with this key id, whenever they are signed.
    #[n(1)]
    KeyId(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Those with this principal, subject or alternative name that are recorded before the revocation.
    #[n(2)]
    Name(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// All for the subject key whose SSH form (of ML-DSA: SubjectPublicKeyInfo) has this SHA-256, whenever they are signed.
    #[n(3)]
    SubjectKey(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]),
    /// Those that are recorded from the first time on and before the second, and before the revocation.
    #[n(4)]
    Recorded(#[n(0)] UnixMillis, #[n(1)] UnixMillis),
    /// The one whose intent is this entry.
    #[n(5)]
    Entry(#[n(0)] u64),
}

/// Why (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(index_only)]
pub enum RevocationReason {
    /// No reason that the list has a word for.
    #[n(0)]
    Unspecified,
    /// Somebody else may have the subject's private key.
    #[n(1)]
    KeyCompromise,
    /// Somebody else may have the CA's private key.
    #[n(2)]
    CaCompromise,
    /// What the certificate says of the subject changed.
    #[n(3)]
    AffiliationChanged,
    /// Another certificate has taken its place.
    #[n(4)]
    Superseded,
    /// It is no longer needed.
    #[n(5)]
    CessationOfOperation,
    /// The subject may no longer do what it is for.
    #[n(9)]
    PrivilegeWithdrawn,
}

/// No word of a reason.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no reason; it is unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation or privilege-withdrawn"
)]
pub struct NoReason(String);

impl Revoked {
    /// Whether the certificate `tbs`, which entry `index` recorded at `time`, is meant, whenever the revocation was.
    #[must_use]
    pub fn means(&self, index: u64, time: UnixMillis, tbs: &Tbs) -> bool {
        match self {
            Self::Serial(octets) => Serial::of(tbs).is_some_and(|serial| serial.as_bytes() == octets),
            Self::KeyId(id) => {
                matches!(tbs, Tbs::Ssh(certificate) if certificate.key_id().as_bytes() == id)
            }
            Self::Name(name) => str::from_utf8(name).is_ok_and(|name| is_named(tbs, name)),
            Self::SubjectKey(hash) => subject_key(tbs).as_ref() == Some(hash),
            Self::Recorded(since, until) => is_certificate(tbs) && *since <= time && time < *until,
            Self::Entry(entry) => is_certificate(tbs) && *entry == index,
        }
    }

    /// Whether certificates that are signed after the revocation are meant, too.
    #[must_use]
    pub const fn means_later(&self) -> bool {
        match self {
            Self::Serial(_) | Self::KeyId(_) | Self::SubjectKey(_) => true,
            Self::Name(_) | Self::Recorded(..) | Self::Entry(_) => false,
        }
    }

    /// The kind of selector, as JSON has it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Serial(_) => "serial",
            Self::KeyId(_) => "key_id",
            Self::Name(_) => "name",
            Self::SubjectKey(_) => "subject_key",
            Self::Recorded(..) => "recorded",
            Self::Entry(_) => "entry",
        }
    }
}

impl RevocationReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The word on the command line: `key-compromise`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    /// What a CRL says of it; nothing if unspecified.
    #[must_use]
    pub const fn in_crl(self) -> Option<Reason> {
        match self {
            Self::Unspecified => None,
            Self::KeyCompromise => Some(Reason::KeyCompromise),
            Self::CaCompromise => Some(Reason::CaCompromise),
            Self::AffiliationChanged => Some(Reason::AffiliationChanged),
            Self::Superseded => Some(Reason::Superseded),
            Self::CessationOfOperation => Some(Reason::CessationOfOperation),
            Self::PrivilegeWithdrawn => Some(Reason::PrivilegeWithdrawn),
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for RevocationReason {
    type Err = NoReason;

    fn from_str(word: &str) -> Result<Self, NoReason> {
        let found = Self::ALL.into_iter().find(|reason| reason.word() == word);
        found.ok_or_else(|| NoReason(word.to_owned()))
    }
}

/// SHA-256 of the SSH form of the key that `tbs` certifies; of one that SSH does not have, of its SubjectPublicKeyInfo.
pub(crate) fn subject_key(tbs: &Tbs) -> Option<[u8; 32]> {
    match tbs {
        Tbs::Ssh(certificate) => Some(key_sha256(certificate.subject_key())),
        Tbs::X509(certificate) => Some(public_key_sha256(certificate.public_key())),
        // Nobody issued a root: it is taken out of where it is trusted.
        Tbs::Root(_) | Tbs::Request(_) | Tbs::Crl(_) | Tbs::Ocsp(_) => None,
    }
}

/// The same, of a key that is no security key.
fn public_key_sha256(key: &PublicKey) -> [u8; 32] {
    sha256(&[&key.to_ssh_wire().unwrap_or_else(|| key.to_spki_der())])
}

/// SHA-256 of the SSH form of a key.
pub(crate) fn key_sha256(key: &SubjectKey) -> [u8; 32] {
    sha256(&[&key.to_wire()])
}

/// The fingerprint of a key that is recorded by its SubjectPublicKeyInfo; nothing if that is none.
pub(crate) fn spki_fingerprint(spki: &[u8]) -> Option<String> {
    PublicKey::from_spki_der(spki).ok().map(|key| key.fingerprint())
}

/// A key's SHA-256 as OpenSSH writes it.
pub(crate) fn fingerprint(sha256: &[u8; 32]) -> String {
    format!("SHA256:{}", Base64Unpadded::encode_string(sha256))
}

/// What [`fingerprint`] wrote.
pub(crate) fn from_fingerprint(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let decoded = Base64Unpadded::decode(text.strip_prefix("SHA256:")?, &mut hash).ok()?;
    if decoded.len() == 32 { Some(hash) } else { None }
}

/// A serial as its format's tools write it: of 8 bytes of SSH decimal, of X.509 hexadecimal.
pub(crate) fn serial_text(octets: &[u8], is_x509: bool) -> String {
    match (is_x509, <[u8; 8]>::try_from(octets)) {
        (false, Ok(serial)) => u64::from_be_bytes(serial).to_string(),
        _ => SerialNumber::new(octets).map_or_else(|| "0".to_owned(), |serial| serial.to_string()),
    }
}

fn is_certificate(tbs: &Tbs) -> bool {
    matches!(tbs, Tbs::Ssh(_) | Tbs::X509(_))
}

/// Whether a principal, an alternative name or the subject is `name`.
fn is_named(tbs: &Tbs, name: &str) -> bool {
    match tbs {
        Tbs::Ssh(certificate) => certificate.principals().iter().any(|principal| principal == name),
        Tbs::X509(certificate) => is_name_of(certificate, name),
        Tbs::Root(_) | Tbs::Request(_) | Tbs::Crl(_) | Tbs::Ocsp(_) => false,
    }
}
