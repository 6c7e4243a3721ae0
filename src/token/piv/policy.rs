//! When a key wants the PIN, and when it wants to be touched: Yubico's numbers, and their words.

use std::fmt;

/// When a key wants the PIN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PinPolicy(pub(super) u8);

/// When a key wants to be touched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TouchPolicy(pub(super) u8);

impl PinPolicy {
    pub(super) const NEVER: Self = Self(1);
    pub(super) const ONCE: Self = Self(2);
    pub(super) const ALWAYS: Self = Self(3);
}

impl TouchPolicy {
    pub(super) const NEVER: Self = Self(1);
}

impl fmt::Display for PinPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("never"),
            2 => f.write_str("once"),
            3 => f.write_str("always"),
            4 => f.write_str("match-once"),
            5 => f.write_str("match-always"),
            other => write!(f, "{other}"),
        }
    }
}

impl fmt::Display for TouchPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("never"),
            2 => f.write_str("always"),
            3 => f.write_str("cached"),
            other => write!(f, "{other}"),
        }
    }
}
