//! A private key out of a file, on its way into a token.
//!
//! In: a file in OpenSSH's format or in PKCS#8 PEM, and the passphrase of one that has one. Out: a [`SoftwareKey`], whose halves
//! were seen to belong together. Promised: what is secret is wiped when it is dropped, and in no message. Not done here: other
//! formats, for which `ssh-keygen` and `openssl` know how to make these.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents};
use aws_lc_rs::signature::{Ed25519KeyPair, RsaPublicKeyComponents};
use base64ct::{Base64, Encoding};
use countersign_tbs::key::{Curve, EcPoint, RsaPublicKey};
use zeroize::Zeroizing;

use super::pin::Pin;
use crate::key::PublicKey;

mod openssh;
mod pkcs8;

/// A private key and its public half.
pub(crate) struct SoftwareKey {
    pub(crate) public: PublicKey,
    pub(super) private: Private,
    /// What it was read out of.
    pub(crate) form: Form,
}

/// What a key is read out of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    OpenSsh,
    Pkcs8,
}

impl Form {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OpenSsh => "OpenSSH's format",
            Self::Pkcs8 => "PKCS#8",
        }
    }
}

/// What is secret of a key.
pub(super) enum Private {
    /// The scalar, as long as the curve says.
    Ecdsa(Number),
    /// The seed.
    Ed25519(Number),
    Rsa(RsaNumbers),
}

/// A number, big-endian.
pub(super) type Number = Zeroizing<Vec<u8>>;

/// Those of RFC 8017 §3.2 that a token wants, without leading zeros.
pub(super) struct RsaNumbers {
    pub(super) d: Number,
    pub(super) p: Number,
    pub(super) q: Number,
    pub(super) dp: Number,
    pub(super) dq: Number,
    pub(super) q_inverse: Number,
}

/// Why a file gives no key. Never holds what is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SoftwareKeyError {
    #[error("cannot open {}: {cause}", path.display())]
    Open { path: PathBuf, cause: io::Error },
    #[error("{} has mode {mode:04o}: others than its owner can use the key; run `chmod 0600 {}`", path.display(), path.display())]
    Mode { path: PathBuf, mode: u32 },
    #[error("{} holds no private key in OpenSSH's format or in PKCS#8 PEM", path.display())]
    NoKey { path: PathBuf },
    #[error("{} is in the older format {label:?}; `openssl pkcs8 -topk8 -v2 aes256 -in FILE -out NEW` makes PKCS#8 of it", path.display())]
    OldFormat { path: PathBuf, label: String },
    #[error("the passphrase is another one")]
    WrongPassphrase,
    #[error(
        "the key is encrypted with {0}, which is not read here; `ssh-keygen -p -Z aes256-ctr -f COPY` or `openssl pkcs8 -topk8 -v2 aes256` encrypt it anew"
    )]
    Encryption(String),
    #[error("the key is of a kind that no CA key is: it should be P-256, P-384, P-521, Ed25519 or RSA")]
    Kind,
    #[error("the key is cut short, or its parts do not belong together")]
    Broken,
    #[error(transparent)]
    Passphrase(anyhow::Error),
}

/// More than any key's file.
const LONGEST: u64 = 64 * 1024;

impl SoftwareKey {
    /// Reads a file of mode 0600 or stricter. `passphrase` is asked if the key has one.
    ///
    /// # Errors
    /// [`SoftwareKeyError`]
    pub(crate) fn read(
        path: &Path,
        passphrase: impl FnOnce() -> anyhow::Result<Pin>,
    ) -> Result<Self, SoftwareKeyError> {
        let text = read(path)?;
        let no_key = || SoftwareKeyError::NoKey { path: path.to_owned() };
        let (label, der) = pem(&text).ok_or_else(no_key)?;
        let passphrase = || passphrase().map_err(SoftwareKeyError::Passphrase);
        match label {
            "OPENSSH PRIVATE KEY" => {
                openssh::read(&der, passphrase).map(|key| Self { form: Form::OpenSsh, ..key })
            }
            "PRIVATE KEY" => pkcs8::read(&der),
            "ENCRYPTED PRIVATE KEY" => pkcs8::read(&pkcs8::decrypt(&der, &passphrase()?)?),
            "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                Err(SoftwareKeyError::OldFormat { path: path.to_owned(), label: label.to_owned() })
            }
            _ => Err(no_key()),
        }
    }

    fn ecdsa(curve: Curve, scalar: &[u8]) -> Result<Self, SoftwareKeyError> {
        let algorithm = match curve {
            Curve::P256 => &ECDH_P256,
            Curve::P384 => &ECDH_P384,
            Curve::P521 => &ECDH_P521,
        };
        let scalar = padded(scalar, curve.field_len()).ok_or(SoftwareKeyError::Broken)?;
        let public = agreement::PrivateKey::from_private_key(algorithm, &scalar)
            .map_err(|_| SoftwareKeyError::Broken)?
            .compute_public_key()
            .map_err(|_| SoftwareKeyError::Broken)?;
        let point = EcPoint::new(curve, public.as_ref().to_vec()).map_err(|_| SoftwareKeyError::Broken)?;
        Ok(Self { public: PublicKey::Ecdsa(point), private: Private::Ecdsa(scalar), form: Form::Pkcs8 })
    }

    fn ed25519(seed: &[u8], public: &[u8]) -> Result<Self, SoftwareKeyError> {
        Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| SoftwareKeyError::Broken)?;
        let public = public.try_into().map_err(|_| SoftwareKeyError::Broken)?;
        Ok(Self {
            public: PublicKey::Ed25519(public),
            private: Private::Ed25519(Zeroizing::new(seed.to_vec())),
            form: Form::Pkcs8,
        })
    }

    fn rsa(modulus: &[u8], exponent: &[u8], numbers: RsaNumbers) -> Result<Self, SoftwareKeyError> {
        let RsaNumbers { d, p, q, dp, dq, q_inverse } = &numbers;
        RsaKeyPair::from_components(&KeyPairComponents::<&[u8]> {
            public_key: RsaPublicKeyComponents { n: modulus, e: exponent },
            d,
            p,
            q,
            dP: dp,
            dQ: dq,
            qInv: q_inverse,
        })
        .map_err(|_| SoftwareKeyError::Broken)?;
        let public = RsaPublicKey::new(modulus.to_vec(), exponent.to_vec());
        let public = public.map_err(|_| SoftwareKeyError::Broken)?;
        Ok(Self { public: PublicKey::Rsa(public), private: Private::Rsa(numbers), form: Form::Pkcs8 })
    }
}

/// A number of exactly `len` bytes; none if it is longer.
pub(super) fn padded(number: &[u8], len: usize) -> Option<Number> {
    let number = significant(number);
    let mut padded = Zeroizing::new(vec![0; len.checked_sub(number.len())?]);
    padded.reserve_exact(number.len());
    padded.extend_from_slice(number);
    Some(padded)
}

fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn number(bytes: &[u8]) -> Number {
    Zeroizing::new(significant(bytes).to_vec())
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SoftwareKeyError> {
    let open = |cause| SoftwareKeyError::Open { path: path.to_owned(), cause };
    // Asked before opening, because opening a FIFO waits for somebody to write into it.
    if !fs::metadata(path).map_err(open)?.is_file() {
        return Err(SoftwareKeyError::NoKey { path: path.to_owned() });
    }
    let file = File::open(path).map_err(open)?;
    let metadata = file.metadata().map_err(open)?;
    let mode = metadata.mode() & 0o7777;
    if mode & !0o600 != 0 {
        return Err(SoftwareKeyError::Mode { path: path.to_owned(), mode });
    }
    // Of such a capacity that reading does not move it and leave a copy behind.
    let capacity = usize::try_from(metadata.len().min(LONGEST)).unwrap_or_default() + 64;
    let mut text = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(LONGEST).read_to_end(&mut text).map_err(open)?;
    Ok(text)
}

/// The first PEM text's label and bytes (RFC 7468).
fn pem(text: &[u8]) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let mut letters = Zeroizing::new(String::with_capacity(body.len()));
    letters.extend(body.chars().filter(|letter| !letter.is_ascii_whitespace()));
    let old_and_encrypted = letters.contains(':');
    let bytes = if old_and_encrypted { Vec::new() } else { Base64::decode_vec(&letters).ok()? };
    Some((label, Zeroizing::new(bytes)))
}

#[cfg(test)]
mod tests;
