//! Signature schemes, and a token's raw signature in each format's encoding.
//!
//! In: a raw signature, which is `r || s` of the curve's length (ECDSA), 64 bytes (Ed25519), the block (RSA), or as many bytes
//! as the parameter set says (ML-DSA).
//! Out: an SSH signature blob, or the content of an X.509 `signatureValue`; and back again from both.
//! Promised: a raw signature of the wrong length, or with r or s zero, becomes nothing. Not done here: verifying it.

use crate::der::{self, tag};
use crate::key::spki::integers;
use crate::key::{Curve, ParameterSet, PublicKey, without_leading_zeros};
use crate::ssh::ParseError;
use crate::ssh::wire::{Reader, excerpt, put_mpint, put_string};

/// How a CA key signs: the key's algorithm with its hash. Never SHA-1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Scheme {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// ECDSA on P-521 with SHA-512.
    EcdsaP521Sha512,
    /// Ed25519 (RFC 8032), which hashes by itself.
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
    /// RSASSA-PKCS1-v1_5 with SHA-384; X.509 only.
    RsaPkcs1Sha384,
    /// RSASSA-PSS with SHA-256, MGF1 with the same, and a salt of 32 bytes (RFC 4055 §3.1); X.509 only.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384 and a salt of 48 bytes; X.509 only.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512 and a salt of 64 bytes; X.509 only.
    RsaPssSha512,
    /// ML-DSA-44 (FIPS 204 §5.2), of the message itself and with an empty context; X.509 only.
    MlDsa44,
    /// ML-DSA-65, likewise.
    MlDsa65,
    /// ML-DSA-87, likewise.
    MlDsa87,
}

/// Why a raw signature does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Its length is not the scheme's; RSA blocks have 128 to 2048 bytes.
    #[error("a raw {scheme} signature cannot have {len} bytes; check the key's scheme and its token")]
    Length {
        /// The scheme that it was to be.
        scheme: Scheme,
        /// Its length in bytes.
        len: usize,
    },
    /// r or s is zero, which no signature has (FIPS 186-5 §6.4.2).
    #[error("a raw {scheme} signature has a zero r or s; check the token")]
    Zero {
        /// The scheme that it was to be.
        scheme: Scheme,
    },
    /// SSH has no name for the scheme.
    #[error("SSH has no {scheme} signatures; give the key another scheme")]
    NotInSsh {
        /// The scheme that it was to be.
        scheme: Scheme,
    },
    /// The certificate names a CA key that cannot sign by this scheme.
    #[error("the certificate names a CA key of type {algorithm}, which cannot sign by {scheme}")]
    KeyMismatch {
        /// How it was signed.
        scheme: Scheme,
        /// The CA key's algorithm in SSH.
        algorithm: &'static str,
    },
    /// X.509 has one encoding for a signature (DER), and this is another.
    #[error("these bytes are no {scheme} signature in X.509's encoding")]
    Encoding {
        /// The scheme that it was to be.
        scheme: Scheme,
    },
}

impl Scheme {
    /// Every scheme; those that SSH has come first.
    pub const ALL: [Self; 13] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::EcdsaP521Sha512,
        Self::Ed25519,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha512,
        Self::RsaPkcs1Sha384,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// The name in configuration, logs and ledger entries: `ecdsa-p256-sha256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Self::EcdsaP521Sha512 => "ecdsa-p521-sha512",
            Self::Ed25519 => "ed25519",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::RsaPkcs1Sha512 => "rsa-pkcs1-sha512",
            Self::RsaPkcs1Sha384 => "rsa-pkcs1-sha384",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPssSha384 => "rsa-pss-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// The algorithm name inside an SSH signature blob: `ecdsa-sha2-nistp256`, `rsa-sha2-512`; never `ssh-rsa`. `None` for
    /// what SSH does not have.
    #[must_use]
    pub const fn ssh_name(self) -> Option<&'static str> {
        match self {
            Self::EcdsaP256Sha256 => Some("ecdsa-sha2-nistp256"),
            Self::EcdsaP384Sha384 => Some("ecdsa-sha2-nistp384"),
            Self::EcdsaP521Sha512 => Some("ecdsa-sha2-nistp521"),
            Self::Ed25519 => Some("ssh-ed25519"),
            Self::RsaPkcs1Sha256 => Some("rsa-sha2-256"),
            Self::RsaPkcs1Sha512 => Some("rsa-sha2-512"),
            Self::RsaPkcs1Sha384
            | Self::RsaPssSha256
            | Self::RsaPssSha384
            | Self::RsaPssSha512
            | Self::MlDsa44
            | Self::MlDsa65
            | Self::MlDsa87 => None,
        }
    }

    /// Whether a key of this kind can sign by this scheme.
    #[must_use]
    pub fn fits(self, key: &PublicKey) -> bool {
        match key {
            PublicKey::Ed25519(_) => self == Self::Ed25519,
            PublicKey::Ecdsa(point) => self.curve() == Some(point.curve()),
            PublicKey::Rsa(_) => self.is_rsa(),
            PublicKey::MlDsa(key) => self.parameters() == Some(key.parameters()),
        }
    }

    /// Whether it is one of RSA's, whose keys fit all of them.
    const fn is_rsa(self) -> bool {
        match self {
            Self::EcdsaP256Sha256
            | Self::EcdsaP384Sha384
            | Self::EcdsaP521Sha512
            | Self::Ed25519
            | Self::MlDsa44
            | Self::MlDsa65
            | Self::MlDsa87 => false,
            Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha512
            | Self::RsaPkcs1Sha384
            | Self::RsaPssSha256
            | Self::RsaPssSha384
            | Self::RsaPssSha512 => true,
        }
    }

    /// The curve of the ECDSA schemes.
    const fn curve(self) -> Option<Curve> {
        match self {
            Self::EcdsaP256Sha256 => Some(Curve::P256),
            Self::EcdsaP384Sha384 => Some(Curve::P384),
            Self::EcdsaP521Sha512 => Some(Curve::P521),
            Self::Ed25519
            | Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha512
            | Self::RsaPkcs1Sha384
            | Self::RsaPssSha256
            | Self::RsaPssSha384
            | Self::RsaPssSha512
            | Self::MlDsa44
            | Self::MlDsa65
            | Self::MlDsa87 => None,
        }
    }

    /// The parameter set of the ML-DSA schemes.
    #[must_use]
    pub const fn parameters(self) -> Option<ParameterSet> {
        match self {
            Self::MlDsa44 => Some(ParameterSet::MlDsa44),
            Self::MlDsa65 => Some(ParameterSet::MlDsa65),
            Self::MlDsa87 => Some(ParameterSet::MlDsa87),
            Self::EcdsaP256Sha256
            | Self::EcdsaP384Sha384
            | Self::EcdsaP521Sha512
            | Self::Ed25519
            | Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha512
            | Self::RsaPkcs1Sha384
            | Self::RsaPssSha256
            | Self::RsaPssSha384
            | Self::RsaPssSha512 => None,
        }
    }
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A raw signature as an SSH signature blob: `string` algorithm, `string` signature (RFC 4253 §6.6, RFC 5656 §3.1.2,
/// RFC 8332 §3, RFC 8709 §6).
///
/// # Errors
/// [`SignatureError`] if `raw` does not fit `scheme`, or SSH has no such scheme.
pub fn ssh_signature_blob(scheme: Scheme, raw: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let name = scheme.ssh_name().ok_or(SignatureError::NotInSsh { scheme })?;
    let signature = to_ssh(scheme, raw)?;
    let mut blob = Vec::with_capacity(signature.len() + 32);
    put_string(&mut blob, name.as_bytes());
    put_string(&mut blob, &signature);
    Ok(blob)
}

/// The second string of a blob.
pub(crate) fn to_ssh(scheme: Scheme, raw: &[u8]) -> Result<Vec<u8>, SignatureError> {
    Ok(match Parts::of(scheme, raw)? {
        Parts::RAndS(r, s) => {
            let mut mpints = Vec::with_capacity(raw.len() + 10);
            put_mpint(&mut mpints, r);
            put_mpint(&mut mpints, s);
            mpints
        }
        Parts::Whole(raw) => raw.to_vec(),
    })
}

/// The inverse of [`to_ssh`]; whether it fits is for who encodes it again.
pub(crate) fn from_ssh(scheme: Scheme, signature: &[u8]) -> Result<Vec<u8>, ParseError> {
    match scheme.curve() {
        Some(curve) => r_and_s(scheme, curve, signature),
        None => Ok(signature.to_vec()),
    }
}

/// A raw signature as the content of an X.509 `signatureValue`: for ECDSA the DER of an Ecdsa-Sig-Value (RFC 3279
/// §2.2.3), else the raw signature itself (RFC 8410 §6, RFC 4055 §5, RFC 9881 §3).
///
/// # Errors
/// [`SignatureError`] if `raw` does not fit `scheme`.
pub fn x509_signature(scheme: Scheme, raw: &[u8]) -> Result<Vec<u8>, SignatureError> {
    Ok(match Parts::of(scheme, raw)? {
        Parts::RAndS(r, s) => integers(r, s),
        Parts::Whole(raw) => raw.to_vec(),
    })
}

/// The raw signature in the content of an X.509 `signatureValue`; the inverse of [`x509_signature`].
///
/// # Errors
/// [`SignatureError`] for any other bytes than [`x509_signature`] writes.
pub fn from_x509_signature(scheme: Scheme, signature: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let raw = match scheme.curve() {
        Some(curve) => integers_of(curve, signature).ok_or(SignatureError::Encoding { scheme })?,
        None => signature.to_vec(),
    };
    if x509_signature(scheme, &raw)? == signature {
        Ok(raw)
    } else {
        Err(SignatureError::Encoding { scheme })
    }
}

/// The scheme and the raw signature of an SSH signature blob; the inverse of [`ssh_signature_blob`].
///
/// # Errors
/// - [`ParseError::SignatureAlgorithm`] for any algorithm but the [`Scheme`]s', such as SHA-1's `ssh-rsa`.
/// - [`ParseError::Signature`], [`ParseError::NotCanonical`] or a wire error for any other bytes than
///   [`ssh_signature_blob`] writes.
pub fn from_ssh_signature_blob(blob: &[u8]) -> Result<(Scheme, Vec<u8>), ParseError> {
    let mut reader = Reader::new(blob);
    let name = reader.string("signature algorithm")?;
    let signature = reader.string("signature")?;
    reader.finish("signature")?;
    let scheme = Scheme::ALL
        .into_iter()
        .find(|scheme| scheme.ssh_name().is_some_and(|known| known.as_bytes() == name))
        .ok_or_else(|| ParseError::SignatureAlgorithm { name: excerpt(name) })?;
    let raw = from_ssh(scheme, signature)?;
    if ssh_signature_blob(scheme, &raw)? == blob { Ok((scheme, raw)) } else { Err(ParseError::NotCanonical) }
}

/// A raw signature that fits its scheme.
enum Parts<'a> {
    /// r and s, neither zero, without leading zeros.
    RAndS(&'a [u8], &'a [u8]),
    Whole(&'a [u8]),
}

impl<'a> Parts<'a> {
    fn of(scheme: Scheme, raw: &'a [u8]) -> Result<Self, SignatureError> {
        let wrong_length = SignatureError::Length { scheme, len: raw.len() };
        let Some(curve) = scheme.curve() else {
            let fits = match (scheme, scheme.parameters()) {
                (_, Some(parameters)) => raw.len() == parameters.signature_len(),
                (Scheme::Ed25519, None) => raw.len() == 64,
                (_, None) => (128..=2048).contains(&raw.len()),
            };
            return if fits { Ok(Self::Whole(raw)) } else { Err(wrong_length) };
        };
        let (r, s) = raw.split_at_checked(curve.field_len()).ok_or(wrong_length)?;
        if s.len() != curve.field_len() {
            return Err(wrong_length);
        }
        let (r, s) = (without_leading_zeros(r), without_leading_zeros(s));
        if r.is_empty() || s.is_empty() {
            Err(SignatureError::Zero { scheme })
        } else {
            Ok(Self::RAndS(r, s))
        }
    }
}

/// `mpint r, mpint s` as `r || s`, each of the curve's length.
fn r_and_s(scheme: Scheme, curve: Curve, mpints: &[u8]) -> Result<Vec<u8>, ParseError> {
    let mut reader = Reader::new(mpints);
    let mut raw = Vec::with_capacity(2 * curve.field_len());
    for field in ["signature's r", "signature's s"] {
        let number = reader.mpint(field)?;
        let padding = curve
            .field_len()
            .checked_sub(number.len())
            .ok_or(SignatureError::Length { scheme, len: mpints.len() })?;
        raw.resize(raw.len() + padding, 0);
        raw.extend(number);
    }
    reader.finish("signature's s")?;
    Ok(raw)
}

/// `SEQUENCE { r INTEGER, s INTEGER }` as `r || s`, each of the curve's length.
fn integers_of(curve: Curve, signature: &[u8]) -> Option<Vec<u8>> {
    let mut numbers = der::Reader::new(signature).value(tag::SEQUENCE, "signature").ok()?;
    let mut raw = Vec::with_capacity(2 * curve.field_len());
    for field in ["signature's r", "signature's s"] {
        let number = without_leading_zeros(numbers.unsigned(tag::INTEGER, field).ok()?.rest());
        raw.resize(raw.len() + curve.field_len().checked_sub(number.len())?, 0);
        raw.extend(number);
    }
    Some(raw)
}

#[cfg(test)]
mod tests;
