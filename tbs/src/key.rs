//! Public keys, apart from any format that carries them.
//!
//! In: key material that a format's parser has cut out. Out: a [`PublicKey`] of a known algorithm and of sane size, which
//! both formats can write: SSH (`ssh::public_key`), but for ML-DSA, and SubjectPublicKeyInfo (`key::spki`).
//! Promised: one value, one encoding. Not done here: whether a point is on its curve, or a key strong enough.

pub(crate) mod spki;

/// A public key that a CA signs with, or that a certificate is for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum PublicKey {
    /// The 32-byte encoding of RFC 8032 §5.1.5.
    Ed25519([u8; 32]),
    /// A point on a NIST curve.
    Ecdsa(EcPoint),
    /// An RSA key.
    Rsa(RsaPublicKey),
    /// An ML-DSA key, which SSH does not have.
    MlDsa(MlDsaPublicKey),
}

/// A NIST curve.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Curve {
    /// secp256r1, NIST P-256.
    P256,
    /// secp384r1, NIST P-384.
    P384,
    /// secp521r1, NIST P-521.
    P521,
}

/// An uncompressed point (SEC 1 §2.3.3): 0x04, X, Y, of exactly the curve's length. Not checked to be on the curve.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct EcPoint {
    curve: Curve,
    bytes: Vec<u8>,
}

/// Modulus and exponent, big-endian without leading zeros; the modulus has 1024 to 16,384 bits, the exponent at most 64.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RsaPublicKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// A parameter set of ML-DSA (FIPS 204 §4).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ParameterSet {
    /// ML-DSA-44, security category 2.
    MlDsa44,
    /// ML-DSA-65, security category 3.
    MlDsa65,
    /// ML-DSA-87, security category 5.
    MlDsa87,
}

/// The encoding of FIPS 204 §7.2 (`pkEncode`), of exactly its parameter set's length. Every such byte string is a key.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct MlDsaPublicKey {
    parameters: ParameterSet,
    bytes: Vec<u8>,
}

/// Why bytes are not a public key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// An Ed25519 key that is not 32 bytes long.
    #[error("an Ed25519 key has 32 bytes, not {0}")]
    Ed25519Length(usize),
    /// Compressed, hybrid, infinity, or of another curve's length.
    #[error("not an uncompressed point of its curve's length")]
    PointEncoding,
    /// Outside 1024 to 16,384 bits, or with a leading zero, or even.
    #[error("RSA modulus is even, has a leading zero, or is outside 1024 to 16384 bits")]
    RsaModulus,
    /// Even, below 3, above 64 bits, or with a leading zero.
    #[error("RSA exponent is even, below 3, above 64 bits, or has a leading zero")]
    RsaExponent,
    /// An ML-DSA key of another length than its parameter set's.
    #[error("an {} key has {} bytes, not {len}", parameters.name(), parameters.public_key_len())]
    MlDsaLength {
        /// Its parameter set.
        parameters: ParameterSet,
        /// Its length in bytes.
        len: usize,
    },
    /// An algorithm that this crate has no name for, or parameters that do not fit it.
    #[error("unknown public key algorithm, or its parameters do not fit")]
    Algorithm,
    /// Not the one DER encoding of a SubjectPublicKeyInfo.
    #[error("not a DER SubjectPublicKeyInfo")]
    Spki,
}

impl Curve {
    /// Octets of one coordinate: 32, 48 or 66.
    #[must_use]
    pub const fn field_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The name in SSH (RFC 5656 §10.1): `nistp256`.
    #[must_use]
    pub const fn ssh_name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }
}

impl ParameterSet {
    /// Every parameter set.
    pub const ALL: [Self; 3] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    /// The standard's name: `ML-DSA-44`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
        }
    }

    /// Octets of a public key (FIPS 204 §4, table 2).
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }

    /// Octets of a signature (FIPS 204 §4, table 2).
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::MlDsa44 => 2420,
            Self::MlDsa65 => 3309,
            Self::MlDsa87 => 4627,
        }
    }
}

impl MlDsaPublicKey {
    /// # Errors
    /// [`KeyError::MlDsaLength`] unless `bytes` has the length of the parameter set's keys.
    pub fn new(parameters: ParameterSet, bytes: Vec<u8>) -> Result<Self, KeyError> {
        if bytes.len() == parameters.public_key_len() {
            Ok(Self { parameters, bytes })
        } else {
            Err(KeyError::MlDsaLength { parameters, len: bytes.len() })
        }
    }

    /// The parameter set.
    #[must_use]
    pub fn parameters(&self) -> ParameterSet {
        self.parameters
    }

    /// The encoded key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl EcPoint {
    /// # Errors
    /// [`KeyError::PointEncoding`] unless `bytes` is 0x04, X, Y of the curve's length.
    pub fn new(curve: Curve, bytes: Vec<u8>) -> Result<Self, KeyError> {
        if bytes.len() == 1 + 2 * curve.field_len() && bytes.first() == Some(&4) {
            Ok(Self { curve, bytes })
        } else {
            Err(KeyError::PointEncoding)
        }
    }

    /// The curve.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// 0x04, X, Y.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl RsaPublicKey {
    /// The largest modulus, in bytes: 16,384 bits.
    const MODULUS_MAX_LEN: usize = 2048;

    /// # Errors
    /// - [`KeyError::RsaModulus`] if `modulus` is even, starts with a zero byte, or has under 1024 or over 16,384 bits.
    /// - [`KeyError::RsaExponent`] if `exponent` is even, starts with a zero byte, is below 3, or has over 64 bits.
    pub fn new(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Self, KeyError> {
        let key = Self { modulus, exponent };
        let modulus_fits = key.modulus.len() <= Self::MODULUS_MAX_LEN && key.bits() >= 1024;
        if !modulus_fits || !is_odd_without_leading_zeros(&key.modulus) {
            return Err(KeyError::RsaModulus);
        }
        let exponent_fits = key.exponent.len() <= 8 && key.exponent != [1];
        if !exponent_fits || !is_odd_without_leading_zeros(&key.exponent) {
            return Err(KeyError::RsaExponent);
        }
        Ok(key)
    }

    /// The modulus, big-endian, without leading zeros.
    #[must_use]
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The public exponent, big-endian, without leading zeros.
    #[must_use]
    pub fn exponent(&self) -> &[u8] {
        &self.exponent
    }

    /// The modulus' size in bits, 1024 to 16,384: 2048 for an RSA-2048 key.
    #[must_use]
    pub fn bits(&self) -> usize {
        let whole_bytes = self.modulus.len().saturating_sub(1) * 8;
        let first = self.modulus.first().copied().unwrap_or(0);
        whole_bytes + (0..8).filter(|shift| first >> shift != 0).count()
    }
}

fn is_odd_without_leading_zeros(number: &[u8]) -> bool {
    number.first().is_some_and(|first| *first != 0) && number.last().is_some_and(|last| last % 2 == 1)
}

/// The shortest two's-complement form of a number above zero: the content of an SSH mpint and of a DER INTEGER alike.
pub(crate) fn positive_integer(big_endian: &[u8]) -> Vec<u8> {
    let magnitude = without_leading_zeros(big_endian);
    let reads_as_negative = magnitude.first().is_some_and(|first| first & 0x80 != 0);
    let sign = if reads_as_negative { &[0][..] } else { &[] };
    [sign, magnitude].concat()
}

/// The same number without its leading zero bytes; zero itself becomes nothing.
pub(crate) fn without_leading_zeros(mut number: &[u8]) -> &[u8] {
    while let Some((0, rest)) = number.split_first() {
        number = rest;
    }
    number
}

#[cfg(test)]
mod tests;
