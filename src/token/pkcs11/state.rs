//! The flags of a token that an operator acts on, each with the one spelling that people and programs read.

use cryptoki::slot::TokenInfo;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One flag, or that there is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// Not initialised.
    Blank,
    /// None of the others.
    Ready,
    UserPinUnset,
    UserPinTried,
    UserPinFinalTry,
    UserPinLocked,
    UserPinToBeChanged,
    SoPinTried,
    SoPinFinalTry,
    SoPinLocked,
    SoPinToBeChanged,
    WriteProtected,
    Error,
    PinPad,
    NeedsNoLogin,
}

impl State {
    const ALL: [Self; 15] = [
        Self::Blank,
        Self::Ready,
        Self::UserPinUnset,
        Self::UserPinTried,
        Self::UserPinFinalTry,
        Self::UserPinLocked,
        Self::UserPinToBeChanged,
        Self::SoPinTried,
        Self::SoPinFinalTry,
        Self::SoPinLocked,
        Self::SoPinToBeChanged,
        Self::WriteProtected,
        Self::Error,
        Self::PinPad,
        Self::NeedsNoLogin,
    ];

    /// All of a token's.
    pub(crate) fn of(info: &TokenInfo) -> Vec<Self> {
        if !info.token_initialized() {
            // Its PIN flags mean nothing yet; SoftHSM calls the SO PIN locked.
            return vec![Self::Blank];
        }
        let found: Vec<_> = Self::ALL.into_iter().filter(|state| state.is_of(info)).collect();
        if found.is_empty() { vec![Self::Ready] } else { found }
    }

    fn is_of(self, info: &TokenInfo) -> bool {
        match self {
            Self::Blank | Self::Ready => false,
            Self::UserPinUnset => !info.user_pin_initialized(),
            Self::UserPinTried => info.user_pin_count_low(),
            Self::UserPinFinalTry => info.user_pin_final_try(),
            Self::UserPinLocked => info.user_pin_locked(),
            Self::UserPinToBeChanged => info.user_pin_to_be_changed(),
            Self::SoPinTried => info.so_pin_count_low(),
            Self::SoPinFinalTry => info.so_pin_final_try(),
            Self::SoPinLocked => info.so_pin_locked(),
            Self::SoPinToBeChanged => info.so_pin_to_be_changed(),
            Self::WriteProtected => info.write_protected(),
            Self::Error => info.error_state(),
            Self::PinPad => info.protected_authentication_path(),
            Self::NeedsNoLogin => !info.login_required(),
        }
    }

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Ready => "ready",
            Self::UserPinUnset => "user PIN not set",
            Self::UserPinTried => "user PIN: a wrong try since the last login",
            Self::UserPinFinalTry => "user PIN: final try",
            Self::UserPinLocked => "user PIN locked",
            Self::UserPinToBeChanged => "user PIN must be changed",
            Self::SoPinTried => "SO PIN: a wrong try since the last login",
            Self::SoPinFinalTry => "SO PIN: final try",
            Self::SoPinLocked => "SO PIN locked",
            Self::SoPinToBeChanged => "SO PIN must be changed",
            Self::WriteProtected => "write protected",
            Self::Error => "in an error state",
            Self::PinPad => "PIN pad",
            Self::NeedsNoLogin => "needs no login",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = Self::ALL.into_iter().find(|state| state.name() == name);
        found.ok_or_else(|| de::Error::custom("not a state of a token"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::State;

    #[test]
    fn each_is_read_as_it_is_written() {
        for state in State::ALL {
            let json = serde_json::to_value(state).unwrap();
            assert_eq!(json, state.name());
            assert_eq!(serde_json::from_value::<State>(json).unwrap(), state);
        }
    }
}
