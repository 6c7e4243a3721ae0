//! When a key wants the PIN, and when it wants to be touched: Yubico's numbers, and their words.

use std::fmt;
use std::str::FromStr;

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

/// Not a policy that a CA key can have.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UnknownPolicy(&'static str);

impl FromStr for PinPolicy {
    type Err = UnknownPolicy;

    fn from_str(word: &str) -> Result<Self, UnknownPolicy> {
        match word {
            "once" => Ok(Self::ONCE),
            "always" => Ok(Self::ALWAYS),
            _ => Err(UnknownPolicy("once or always: a key that wants no PIN is not fit for service")),
        }
    }
}

impl FromStr for TouchPolicy {
    type Err = UnknownPolicy;

    fn from_str(word: &str) -> Result<Self, UnknownPolicy> {
        match word {
            "never" => Ok(Self::NEVER),
            "always" => Ok(Self(2)),
            "cached" => Ok(Self(3)),
            _ => Err(UnknownPolicy("never, always or cached")),
        }
    }
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
