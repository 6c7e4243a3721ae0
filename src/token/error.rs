//! Why a token gave no signature: one variant per thing that the reader can do about it.
//!
//! Nothing here holds a PIN, key bytes or TBS bytes.

use std::time::Duration;

use super::TokenName;
use crate::key::KeyName;

/// Why a token gave no signature. Never holds a PIN, key bytes or TBS bytes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The load is too high, or `sessions` or `queue` too low; for bulk sooner than for interactive requests. Or it lay before the token
    /// for longer than the token's `deadline`. Or one of the token's
    /// processes is in a login that does not come back, or died in one and is being replaced, and this request needs one as well. Not signed, unless it was given.
    #[error(
        "token {token} is busy: its queue is full, what was before this took too long, or a login hangs that keeps others from theirs; try again, and if it lasts, raise `sessions` or `queue`, or see the log"
    )]
    Busy {
        /// Whose queue.
        token: TokenName,
        /// Whether the token was given the message before, so that it may have signed.
        given: bool,
    },
    /// The caller's deadline passed in the queue, or while a failure of the token was healed. Not signed, unless it was given.
    #[error("the deadline passed while the request waited for token {token}")]
    Expired {
        /// Whose queue.
        token: TokenName,
        /// Whether the token was given the message before, so that it may have signed.
        given: bool,
    },
    /// The call cannot be cancelled, so its process was killed. The token may have signed.
    #[error("token {token} did not answer within {after:?}; its process is killed and replaced")]
    TimedOut {
        /// Which token.
        token: TokenName,
        /// The token's `deadline`.
        after: Duration,
    },
    /// Its process ended, or has not come up again. The token may have signed.
    #[error("token {token} is not available; its process is being replaced, see the log")]
    Unavailable {
        /// Which token.
        token: TokenName,
    },
    /// Never retried: tokens lock after a few wrong PINs (PKCS#11 v2.40 §5.6, C_Login). Not signed, unless it was given.
    #[error(
        "token {token} refused the PIN, or has to have it typed at its own pad; put the right one into `pin_file`, or run `countersign token unlatch {token}` if it is right or somebody stands there: it is then tried once"
    )]
    PinRefused {
        /// Which token.
        token: TokenName,
        /// Whether the token was given the message before, so that it may have signed.
        given: bool,
    },
    /// After a restart the token holds other keys than those pinned at start-up. Not signed.
    #[error(
        "token {token} no longer holds the keys that were pinned at start-up; find out why before a restart"
    )]
    KeyChanged {
        /// Which token.
        token: TokenName,
    },
    /// The token answers, but does not sign this.
    #[error("token {token} failed in {call}: {code}")]
    Failed {
        /// Which token.
        token: TokenName,
        /// The C function that failed.
        call: String,
        /// What it returned, `CKR_…` by name.
        code: String,
    },
    /// Only Ed25519 sends the whole message. Not signed.
    #[error("a message of {len} bytes is more than a token process takes ({limit})")]
    TooLong {
        /// The message's length in bytes.
        len: usize,
        /// The greatest length in bytes.
        limit: usize,
    },
    /// A key that no token was started with. Not signed.
    #[error("no token in service holds key {key}")]
    NotInService {
        /// Which key.
        key: KeyName,
    },
}

/// What kind of failure it is, for the status that a caller sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenErrorClass {
    /// Try again, later.
    Busy,
    /// The token is out of service.
    Unavailable,
    /// The caller's own deadline passed.
    Expired,
    /// The token's deadline passed.
    TimedOut,
    /// This request or this installation is at fault.
    Internal,
}

impl TokenError {
    /// What kind of failure it is.
    #[must_use]
    pub fn class(&self) -> TokenErrorClass {
        match self {
            Self::Busy { .. } => TokenErrorClass::Busy,
            Self::Expired { .. } => TokenErrorClass::Expired,
            Self::TimedOut { .. } => TokenErrorClass::TimedOut,
            Self::Unavailable { .. } | Self::PinRefused { .. } | Self::KeyChanged { .. } => {
                TokenErrorClass::Unavailable
            }
            Self::Failed { .. } | Self::TooLong { .. } | Self::NotInService { .. } => {
                TokenErrorClass::Internal
            }
        }
    }

    /// Whether the token was given what is to be signed, or may have been.
    pub(super) fn is_of_one_that_was_given(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Unavailable { .. } | Self::Failed { .. } => true,
            Self::Busy { given, .. } | Self::Expired { given, .. } | Self::PinRefused { given, .. } => *given,
            Self::KeyChanged { .. } | Self::TooLong { .. } | Self::NotInService { .. } => false,
        }
    }

    /// A stable word for programs and ledger entries: `TOKEN_BUSY`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "TOKEN_BUSY",
            Self::Expired { .. } => "TOKEN_QUEUE_EXPIRED",
            Self::TimedOut { .. } => "TOKEN_TIMED_OUT",
            Self::Unavailable { .. } => "TOKEN_UNAVAILABLE",
            Self::PinRefused { .. } => "TOKEN_PIN_REFUSED",
            Self::KeyChanged { .. } => "TOKEN_KEY_CHANGED",
            Self::Failed { .. } => "TOKEN_FAILED",
            Self::TooLong { .. } => "TOKEN_MESSAGE_TOO_LONG",
            Self::NotInService { .. } => "TOKEN_KEY_NOT_IN_SERVICE",
        }
    }
}
