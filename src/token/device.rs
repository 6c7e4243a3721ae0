//! What kind of thing a token is, and how to tell it from others of its kind.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Config;

/// Where a token's keys are, and how it is found.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Device {
    /// Behind a vendor's PKCS#11 module.
    Pkcs11(Pkcs11),
    /// In the PIV applet of a YubiKey.
    YubiKey(YubiKey),
}

/// A token behind a PKCS#11 module.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Pkcs11 {
    /// The vendor's module.
    pub module: PathBuf,
    /// The token's label, without its padding.
    pub label: String,
    /// The token's serial number, without its padding; needed where two tokens have one label.
    pub serial: Option<String>,
}

/// A YubiKey.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct YubiKey {
    /// The number that is printed on it.
    pub serial: u32,
    /// Whether keys may ask for a touch.
    pub touch: Touch,
}

/// Whether somebody is there to touch a YubiKey.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Touch {
    /// A key that wants to be touched is refused at start.
    Refused,
    /// Somebody is: `interactive = true`.
    Interactive,
}

/// It is a YubiKey, and the command is for PKCS#11 modules.
#[derive(Debug, thiserror::Error)]
#[error("token {token} is a YubiKey, which this command does not manage; `ykman piv` does")]
pub struct NoModule {
    token: super::TokenName,
}

impl Config {
    /// The token as a PKCS#11 one.
    ///
    /// # Errors
    /// [`NoModule`] if it is another kind.
    pub fn pkcs11(&self) -> Result<&Pkcs11, NoModule> {
        match &self.device {
            Device::Pkcs11(device) => Ok(device),
            Device::YubiKey(_) => Err(NoModule { token: self.name.clone() }),
        }
    }
}

/// A PIV slot that a CA key can be in: 9a, 9c, 9d, 9e and 82 to 95.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Slot(u8);

/// Not a [`Slot`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("should be a PIV slot: \"9a\", \"9c\", \"9d\", \"9e\", or \"82\" to \"95\"")]
pub struct InvalidSlot;

impl Slot {
    /// Every slot.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [0x9A, 0x9C, 0x9D, 0x9E].into_iter().chain(0x82..=0x95).map(Self)
    }

    /// Its number, as commands have it.
    pub(super) fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Slot {
    type Err = InvalidSlot;

    fn from_str(text: &str) -> Result<Self, InvalidSlot> {
        let is_hex = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u8::from_str_radix(text, 16) {
            Ok(number @ (0x9A | 0x9C | 0x9D | 0x9E | 0x82..=0x95)) if is_hex => Ok(Self(number)),
            _ => Err(InvalidSlot),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn takes_slots_for_keys_and_no_others() {
        for text in ["9a", "9C", "9d", "9e", "82", "95"] {
            assert_eq!(text.parse::<Slot>().unwrap().to_string(), text.to_lowercase());
        }
        for text in ["", "9", "9b", "81", "96", "f9", "0x9a", "+9", "154", " 9a"] {
            assert_eq!(text.parse::<Slot>(), Err(InvalidSlot), "{text:?}");
        }
    }
}
