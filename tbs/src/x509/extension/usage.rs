//! What a key may be used for.

use std::fmt;
use std::ops::BitOr;

use super::{ParseError, Reader, Writer};

/// keyUsage (RFC 5280 §4.2.1.3): at least one of nine bits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// digitalSignature.
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// nonRepudiation, also contentCommitment.
    pub const NON_REPUDIATION: Self = Self(1 << 1);
    /// keyEncipherment.
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// dataEncipherment.
    pub const DATA_ENCIPHERMENT: Self = Self(1 << 3);
    /// keyAgreement.
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// keyCertSign.
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    /// cRLSign.
    pub const CRL_SIGN: Self = Self(1 << 6);
    /// encipherOnly.
    pub const ENCIPHER_ONLY: Self = Self(1 << 7);
    /// decipherOnly.
    pub const DECIPHER_ONLY: Self = Self(1 << 8);

    /// Every bit with its name in the standard.
    pub const NAMED: [(Self, &'static str); 9] = [
        (Self::DIGITAL_SIGNATURE, "digitalSignature"),
        (Self::NON_REPUDIATION, "nonRepudiation"),
        (Self::KEY_ENCIPHERMENT, "keyEncipherment"),
        (Self::DATA_ENCIPHERMENT, "dataEncipherment"),
        (Self::KEY_AGREEMENT, "keyAgreement"),
        (Self::KEY_CERT_SIGN, "keyCertSign"),
        (Self::CRL_SIGN, "cRLSign"),
        (Self::ENCIPHER_ONLY, "encipherOnly"),
        (Self::DECIPHER_ONLY, "decipherOnly"),
    ];

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self(r.named_bits("keyUsage", 9)?))
    }

    pub(super) fn write(self, w: &mut Writer) {
        w.named_bits(self.0);
    }
}

impl BitOr for KeyUsage {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl fmt::Display for KeyUsage {
    /// `digitalSignature, keyEncipherment`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMED.iter().filter(|(bit, _)| self.contains(*bit)).map(|(_, name)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(", "))
    }
}
