//! What a provisioning record says, and its one encoding.
//!
//! In: what a command did and saw, or bytes. Out: a [`Record`], or the bytes. Promised: `parse` takes what `to_bytes` makes, and no
//! other text of the same.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use super::{MAX_LEN, NAMESPACE, RecordError, SignedRecord, armor};
use crate::key::{PublicKey, Scheme};
use crate::sshsig;

/// What is known of a key. Its JSON has these fields in this order, and `null` for what is not known.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Which fields there are.
    pub format: Format,
    /// How the key came into the token.
    pub how: How,
    /// More of that, in words: where an imported or restored key is from.
    pub note: Option<String>,
    /// The key's section in the configuration.
    pub key: String,
    /// What it is to sign.
    pub purpose: String,
    /// How it signs, and how it has signed this.
    pub scheme: String,
    /// When this was written, of the host's clock (RFC 3339).
    pub time: String,
    /// Who ran the command.
    pub operator: Operator,
    /// The host's name.
    pub host: String,
    /// What wrote this: `countersign 0.1.0`.
    pub program: String,
    /// The PKCS#11 module; a YubiKey has none.
    pub module: Option<Module>,
    /// The token.
    pub token: Token,
    /// Where on the token the key is.
    pub place: Place,
    /// What the token says of the private key, beside what it should say.
    pub attributes: Vec<Attribute>,
    /// The public half.
    pub public_key: Public,
    /// What a YubiKey attests of the key; other tokens attest nothing here.
    pub attestation: Option<Attestation>,
}

/// The one format.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Format {
    /// That of [`Record`].
    #[serde(rename = "countersign provisioning record 1")]
    V1,
}

/// How a key came into its token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The command that wrote the record had the token make it.
    Generated,
    /// A key that was outside of any token was put into this one.
    Imported,
    /// A key of another token, wrapped there, was put into this one.
    Restored,
    /// It was there before the command that wrote the record: only the token's attributes tell.
    Found,
}

impl How {
    /// The word in the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Imported => "imported",
            Self::Restored => "restored",
            Self::Found => "found",
        }
    }
}

/// Who ran a command, as the kernel says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// The real user id.
    pub uid: u32,
    /// Its name on this host.
    pub name: Option<String>,
    /// Who logged in, where the kernel's audit keeps that: of a root that came by `sudo`, the person.
    pub login_uid: Option<u32>,
}

/// A PKCS#11 module.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Its file, after symbolic links.
    pub path: String,
    /// SHA-256 of its file, in hexadecimal.
    pub sha256: String,
    /// `C_GetInfo`'s manufacturerID.
    pub manufacturer: Option<String>,
    /// `C_GetInfo`'s libraryDescription.
    pub description: Option<String>,
    /// `C_GetInfo`'s libraryVersion.
    pub version: Option<String>,
}

/// A token, as it says itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its section in the configuration.
    pub name: String,
    /// Its label; a YubiKey has none.
    pub label: Option<String>,
    /// Its serial number.
    pub serial: String,
    /// Its maker.
    pub manufacturer: Option<String>,
    /// Its model.
    pub model: String,
    /// Its firmware's version.
    pub firmware: String,
}

/// Where a key is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// `CKA_LABEL`.
    pub label: Option<String>,
    /// `CKA_ID` in hexadecimal.
    pub id: Option<String>,
    /// The slot of a YubiKey.
    pub slot: Option<String>,
}

/// One property of a private key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// `CKA_SENSITIVE`, or what a YubiKey calls it.
    pub name: String,
    /// What it should be; nothing if either will do.
    pub expected: Option<String>,
    /// What the token says; nothing if it does not.
    pub told: Option<String>,
    /// The flaw in the section's `accept` that puts up with another value.
    pub accepted: Option<String>,
}

impl Attribute {
    /// Whether the token says another thing than it should, and nobody accepts that.
    #[must_use]
    pub fn differs(&self) -> bool {
        let other = self.expected.is_some() && self.told.is_some() && self.expected != self.told;
        other && self.accepted.is_none()
    }
}

/// A public key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// DER SubjectPublicKeyInfo in base64.
    pub spki: String,
    /// As a line of `authorized_keys`, without a comment; nothing for a key that SSH does not have.
    pub openssh: Option<String>,
    /// `SHA256:…`.
    pub fingerprint: String,
}

impl Public {
    /// What a record has of a key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self {
            spki: Base64::encode_string(&key.to_spki_der()),
            openssh: key.to_openssh_line(""),
            fingerprint: key.fingerprint(),
        }
    }
}

/// What a YubiKey attests; `countersign key attest` checks the same against Yubico's roots.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// Of the key: DER of a certificate, in base64.
    pub certificate: String,
    /// Of the card's own attestation key, which signed it.
    pub card_certificate: Option<String>,
}

impl Record {
    /// Reads JSON, of this record and no other fields.
    ///
    /// # Errors
    /// [`RecordError::TooLong`], [`RecordError::Json`] or [`RecordError::Encoding`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_LEN {
            return Err(RecordError::TooLong { limit: MAX_LEN });
        }
        let record: Self =
            serde_json::from_slice(bytes).map_err(|error| RecordError::Json(error.to_string()))?;
        if record.to_bytes() == bytes { Ok(record) } else { Err(RecordError::Encoding) }
    }

    /// Its one encoding: JSON with an indent of two, and a line's end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Names and texts alone, none of which serde_json refuses.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Has the key itself sign it: `sign` is given what a token signs by [`Self::scheme`].
    ///
    /// # Errors
    /// What `sign` says, or [`RecordError`] if that was no signature of the key.
    pub fn sign(self, sign: impl FnOnce(&[u8]) -> anyhow::Result<Vec<u8>>) -> anyhow::Result<SignedRecord> {
        let (key, scheme) = self.checked_key()?;
        let bytes = self.to_bytes();
        let raw = sign(&sshsig::to_sign(NAMESPACE, &bytes))?;
        let signature = match scheme.ssh_name() {
            Some(_) => sshsig::armored(&key, scheme, NAMESPACE, &raw).map_err(RecordError::from)?,
            None => armor(&raw),
        };
        Ok(SignedRecord::check(bytes, signature)?)
    }

    /// The public key, and the scheme, which agree with all that is said of them.
    pub(super) fn checked_key(&self) -> Result<(PublicKey, Scheme), RecordError> {
        let spki = Base64::decode_vec(&self.public_key.spki).unwrap_or_default();
        let key =
            PublicKey::from_spki_der(&spki).map_err(|_| RecordError::Disagrees("SubjectPublicKeyInfo"))?;
        if self.public_key != Public::of(&key) {
            return Err(RecordError::Disagrees("fingerprint or OpenSSH line"));
        }
        let scheme = Scheme::ALL.into_iter().find(|scheme| scheme.name() == self.scheme);
        let scheme = scheme.filter(|scheme| scheme.fits(&key)).ok_or(RecordError::Disagrees("scheme"))?;
        Ok((key, scheme))
    }
}
