//! Which firmware the card says it has, and what of PIV depends on that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A firmware's version: major, minor, patch. Below 5.0.0 serial numbers are asked for in another way: not offered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Firmware(u8, u8, u8);

impl Firmware {
    /// A recent one: AES management keys, Ed25519, RSA of up to 4096 bits, keys that move.
    pub const V5_7_1: Self = Self(5, 7, 1);
    /// One of before 5.7: P-256, P-384 and RSA 2048 only, a 3DES management key; and with EUCLEAK.
    pub const V5_4_3: Self = Self(5, 4, 3);

    pub(crate) fn bytes(self) -> [u8; 3] {
        [self.0, self.1, self.2]
    }

    /// INS F7 and attributes of the PIN.
    pub(crate) fn has_metadata(self) -> bool {
        self >= Self(5, 3, 0)
    }

    pub(crate) fn has_aes_management_keys(self) -> bool {
        self >= Self(5, 4, 2)
    }

    /// Ed25519, RSA 3072 and 4096, INS F6, and AES-192 as the management key's algorithm from the factory.
    pub(crate) fn is_5_7(self) -> bool {
        self >= Self(5, 7, 0)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// It is not three numbers with dots, or below 5.0.0.
#[derive(Debug, thiserror::Error)]
#[error("a firmware is written as 5.7.1, and is 5.0.0 or later")]
pub struct NoFirmware;

impl FromStr for Firmware {
    type Err = NoFirmware;

    fn from_str(text: &str) -> Result<Self, NoFirmware> {
        let numbers: Result<Vec<u8>, _> = text.split('.').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[major, minor, patch]) if major >= 5 => Ok(Self(major, minor, patch)),
            _ => Err(NoFirmware),
        }
    }
}
