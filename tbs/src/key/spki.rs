//! A public key as the DER of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
//!
//! Ed25519 by RFC 8410, ECDSA by RFC 5480 (named curves, uncompressed points), RSA by RFC 3279 §2.3.1 (`rsaEncryption`),
//! ML-DSA by RFC 9881 §4.
//! Promised: what decodes re-encodes to the same bytes, so one key has one encoding, and BER forms are refused.

use super::{
    Curve, EcPoint, KeyError, MlDsaPublicKey, ParameterSet, PublicKey, RsaPublicKey, positive_integer,
    without_leading_zeros,
};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// The content of each AlgorithmIdentifier: the OID, then the curve's OID or the NULL that RSA wants.
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";
const ECDSA_P256: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const ECDSA_P384: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
const ECDSA_P521: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23";
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const ML_DSA_44: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11";
const ML_DSA_65: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12";
const ML_DSA_87: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13";

impl PublicKey {
    /// The DER of this key's SubjectPublicKeyInfo.
    #[must_use]
    pub fn to_spki_der(&self) -> Vec<u8> {
        let (algorithm, key) = match self {
            Self::Ed25519(key) => (ED25519, key.to_vec()),
            Self::Ecdsa(point) => (curve_identifier(point.curve()), point.as_bytes().to_vec()),
            Self::Rsa(key) => (RSA, integers(key.modulus(), key.exponent())),
            Self::MlDsa(key) => (ml_dsa_identifier(key.parameters()), key.as_bytes().to_vec()),
        };
        let algorithm = tlv(SEQUENCE, &[algorithm]);
        tlv(SEQUENCE, &[&algorithm, &tlv(BIT_STRING, &[&[0], &key])])
    }

    /// Reads a SubjectPublicKeyInfo that is all of `der`.
    ///
    /// # Errors
    /// - [`KeyError::Algorithm`] for an algorithm, curve or parameters other than the eight above.
    /// - [`KeyError::Spki`] unless `der` is exactly what [`Self::to_spki_der`] writes for the key.
    /// - The others if the key inside is none.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let mut body = sole(SEQUENCE, der)?;
        let algorithm = next(SEQUENCE, &mut body)?;
        let (0, key) = sole(BIT_STRING, body)?.split_first().ok_or(KeyError::Spki)? else {
            return Err(KeyError::Spki);
        };
        let key = match algorithm {
            ED25519 => Self::Ed25519(key.try_into().map_err(|_| KeyError::Ed25519Length(key.len()))?),
            ECDSA_P256 => Self::Ecdsa(EcPoint::new(Curve::P256, key.to_vec())?),
            ECDSA_P384 => Self::Ecdsa(EcPoint::new(Curve::P384, key.to_vec())?),
            ECDSA_P521 => Self::Ecdsa(EcPoint::new(Curve::P521, key.to_vec())?),
            RSA => Self::Rsa(rsa_key(key)?),
            ML_DSA_44 => ml_dsa(ParameterSet::MlDsa44, key)?,
            ML_DSA_65 => ml_dsa(ParameterSet::MlDsa65, key)?,
            ML_DSA_87 => ml_dsa(ParameterSet::MlDsa87, key)?,
            _ => return Err(KeyError::Algorithm),
        };
        // The reader above is lenient about lengths and signs; this is what makes the whole strict.
        if key.to_spki_der() == der { Ok(key) } else { Err(KeyError::Spki) }
    }
}

const fn curve_identifier(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => ECDSA_P256,
        Curve::P384 => ECDSA_P384,
        Curve::P521 => ECDSA_P521,
    }
}

const fn ml_dsa_identifier(parameters: ParameterSet) -> &'static [u8] {
    match parameters {
        ParameterSet::MlDsa44 => ML_DSA_44,
        ParameterSet::MlDsa65 => ML_DSA_65,
        ParameterSet::MlDsa87 => ML_DSA_87,
    }
}

fn ml_dsa(parameters: ParameterSet, key: &[u8]) -> Result<PublicKey, KeyError> {
    MlDsaPublicKey::new(parameters, key.to_vec()).map(PublicKey::MlDsa)
}

fn rsa_key(der: &[u8]) -> Result<RsaPublicKey, KeyError> {
    let mut body = sole(SEQUENCE, der)?;
    let modulus = next(INTEGER, &mut body)?;
    let exponent = sole(INTEGER, body)?;
    RsaPublicKey::new(without_leading_zeros(modulus).to_vec(), without_leading_zeros(exponent).to_vec())
}

/// `SEQUENCE { INTEGER, INTEGER }` of two numbers above zero: an RSAPublicKey, or an Ecdsa-Sig-Value (RFC 3279 §2.2.3).
pub(crate) fn integers(first: &[u8], second: &[u8]) -> Vec<u8> {
    let first = tlv(INTEGER, &[&positive_integer(first)]);
    let second = tlv(INTEGER, &[&positive_integer(second)]);
    tlv(SEQUENCE, &[&first, &second])
}

/// One DER element: tag, shortest definite length, content.
fn tlv(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let len = content.len().to_be_bytes();
    let len = without_leading_zeros(&len);
    let mut out = vec![tag];
    match len {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.extend(u8::try_from(long.len()).map(|octets| 0x80 | octets));
            out.extend(long);
        }
    }
    out.extend(content);
    out
}

/// The content of the element of this tag that `der` starts with; `der` moves past it. Lengths up to 65,535.
fn next<'a>(tag: u8, der: &mut &'a [u8]) -> Result<&'a [u8], KeyError> {
    let (len, rest) = match *der {
        [found, len @ 0..=0x7f, rest @ ..] if *found == tag => (usize::from(*len), rest),
        [found, 0x81, len, rest @ ..] if *found == tag => (usize::from(*len), rest),
        [found, 0x82, high, low, rest @ ..] if *found == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return Err(KeyError::Spki),
    };
    let (content, rest) = rest.split_at_checked(len).ok_or(KeyError::Spki)?;
    *der = rest;
    Ok(content)
}

/// Like [`next`], where nothing may follow.
fn sole(tag: u8, mut der: &[u8]) -> Result<&[u8], KeyError> {
    let content = next(tag, &mut der)?;
    if der.is_empty() { Ok(content) } else { Err(KeyError::Spki) }
}
