//! What travels between two tokens that share no secret, as files.
//!
//! In: what one token's side says. Out: JSON that the other side reads: a [`WrappingKey`] from the destination to the source, which is
//! public, and a [`WrappedKey`] back, which only the destination's token can open. Promised: nothing secret is in either, and a
//! file that was cut or changed by accident is refused by name. Not done here: whose they are is told by fingerprints that people
//! compare.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::key::{PublicKey, Scheme};
use crate::ledger::entry::sha256;

/// More than any such file has.
const LONGEST: u64 = 64 * 1024;

/// The hash of RSA-OAEP (RFC 8017 §7.1), and of its mask.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Oaep {
    Sha256,
    /// All that some tokens have; what is known of SHA-1 does not touch OAEP.
    Sha1,
}

/// How a private key is wrapped in an AES key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum KeyWrap {
    /// RFC 5649: `CKM_AES_KEY_WRAP_PAD`, as tokens that have it mean it.
    #[serde(rename = "aes-key-wrap-pad")]
    Padded,
    /// RFC 3394: `CKM_AES_KEY_WRAP`, of PKCS#8 that has a multiple of eight bytes, or is filled up with zeros (PKCS#11 v2.40 current
    /// mechanisms §2.14.3).
    #[serde(rename = "aes-key-wrap")]
    Blocks,
    /// `CKM_AES_GCM`, with a random nonce for a key that is used once.
    #[serde(rename = "aes-gcm")]
    Gcm,
}

/// The public half of an RSA key that a token made to unwrap with, and what it unwraps.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrappingKey {
    /// The token's name, in its own configuration: for people.
    pub(crate) token: String,
    /// DER SubjectPublicKeyInfo.
    #[serde(with = "base64")]
    pub(crate) spki: Vec<u8>,
    /// What it can unwrap an AES key with, the best first.
    pub(crate) oaep: Vec<Oaep>,
    /// What it can unwrap a private key with, the best first.
    pub(crate) key_wrap: Vec<KeyWrap>,
}

/// A private key that one token wrapped for another.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrappedKey {
    /// What the key is called where it comes from.
    pub(crate) label: String,
    /// `CKA_ID` there, in hexadecimal.
    pub(crate) id: String,
    /// How it signs there.
    pub(crate) scheme: String,
    /// Its public half: DER SubjectPublicKeyInfo.
    #[serde(with = "base64")]
    pub(crate) spki: Vec<u8>,
    /// The fingerprint of the wrapping key that it is for.
    pub(crate) recipient: String,
    pub(crate) oaep: Oaep,
    pub(crate) key_wrap: KeyWrap,
    /// The nonce of AES-GCM; else empty.
    #[serde(with = "base64")]
    pub(crate) nonce: Vec<u8>,
    /// The AES key, in the wrapping key.
    #[serde(with = "base64")]
    pub(crate) wrapped_aes_key: Vec<u8>,
    /// The private key's PKCS#8, in the AES key.
    #[serde(with = "base64")]
    pub(crate) ciphertext: Vec<u8>,
}

/// Why a file is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("cannot open {}: {cause}", path.display())]
    Open { path: PathBuf, cause: io::Error },
    #[error("cannot write {}: {cause}; what is there already is not overwritten", path.display())]
    Write { path: PathBuf, cause: io::Error },
    #[error("{} is no {expected}: {cause}; it was cut short, or is another file", path.display())]
    Form { path: PathBuf, expected: &'static str, cause: String },
    #[error("{} was changed since it was written: its parts do not give its SHA-256; copy it again from where it came", path.display())]
    Damaged { path: PathBuf },
}

/// A kind of file.
pub(crate) trait Transported: Serialize + DeserializeOwned {
    /// The first of its fields, with its version.
    const FORMAT: &'static str;
    /// For people.
    const NAME: &'static str;
}

impl Transported for WrappingKey {
    const FORMAT: &'static str = "countersign-wrapping-key/1";
    const NAME: &'static str = "wrapping key of `countersign key wrapping-key`";
}

impl Transported for WrappedKey {
    const FORMAT: &'static str = "countersign-wrapped-key/1";
    const NAME: &'static str = "wrapped key of `countersign key wrap`";
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    format: String,
    /// Of `content` as compact JSON, in this order of fields: for accidents, not for adversaries.
    #[serde(with = "base64")]
    sha256: Vec<u8>,
    content: T,
}

/// Reads a file.
///
/// # Errors
/// [`TransportError`]
pub(crate) fn read<T: Transported>(path: &Path) -> Result<T, TransportError> {
    let open = |cause| TransportError::Open { path: path.to_owned(), cause };
    let form = |cause| TransportError::Form { path: path.to_owned(), expected: T::NAME, cause };
    let mut text = String::new();
    let file = File::open(path).map_err(open)?;
    file.take(LONGEST).read_to_string(&mut text).map_err(open)?;
    let envelope: Envelope<T> = serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
    if envelope.format != T::FORMAT {
        return Err(form(format!("its format is {:?}, and {:?} is read here", envelope.format, T::FORMAT)));
    }
    let compact = serde_json::to_vec(&envelope.content).map_err(|error| form(error.to_string()))?;
    if sha256(&[&compact]).as_slice() != envelope.sha256 {
        return Err(TransportError::Damaged { path: path.to_owned() });
    }
    Ok(envelope.content)
}

/// A new and empty file, made before what it is to hold: that it cannot be made is found before anything is done for its sake.
pub(crate) struct Reserved {
    file: File,
    path: PathBuf,
    /// Whether it is to stay.
    written: bool,
}

impl Reserved {
    /// Makes it, of mode 0600.
    ///
    /// # Errors
    /// [`TransportError::Write`], also if there is one.
    pub(crate) fn at(path: &Path) -> Result<Self, TransportError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = made.map_err(|cause| TransportError::Write { path: path.to_owned(), cause })?;
        Ok(Self { file, path: path.to_owned(), written: false })
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// [`TransportError::Write`]
    pub(crate) fn write<T: Transported>(mut self, content: T) -> Result<(), TransportError> {
        let path = self.path.clone();
        let failed = |cause| TransportError::Write { path: path.clone(), cause };
        let compact = serde_json::to_vec(&content).map_err(io::Error::from).map_err(failed)?;
        let envelope =
            Envelope { format: T::FORMAT.to_owned(), sha256: sha256(&[&compact]).to_vec(), content };
        let text = serde_json::to_string_pretty(&envelope).map_err(io::Error::from).map_err(failed)?;
        writeln!(self.file, "{text}").and_then(|()| self.file.sync_all()).map_err(failed)?;
        self.written = true;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.written {
            // It is empty, or half of a file: of no use to anybody.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl WrappingKey {
    /// The key, if it is an RSA key.
    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        PublicKey::from_spki_der(&self.spki).ok().filter(|key| matches!(key, PublicKey::Rsa(_)))
    }
}

impl WrappedKey {
    /// The key's public half.
    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        PublicKey::from_spki_der(&self.spki).ok()
    }

    /// How it signs, if that is known here.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        Scheme::ALL.into_iter().find(|scheme| scheme.name() == self.scheme)
    }

    /// `CKA_ID`.
    pub(crate) fn id(&self) -> Option<Vec<u8>> {
        let (pairs, rest) = self.id.as_bytes().as_chunks::<2>();
        let bytes = pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
        bytes.collect::<Option<Vec<_>>>().filter(|id| rest.is_empty() && !id.is_empty())
    }
}

/// Bytes as text.
mod base64 {
    use base64ct::{Base64, Encoding};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Base64::encode_string(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        Base64::decode_vec(&text).map_err(|_| D::Error::custom("not base64"))
    }
}

#[cfg(test)]
mod tests;
