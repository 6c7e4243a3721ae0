//! What a token process and the daemon say to each other at the gate. A turn is [`Knock::Asks`], its [`Leave`], one of what may be done with
//! it, and, after a try, its end.

use serde::{Deserialize, Serialize};

use crate::token::frame;
use crate::token::latch::{Past, PinMark};

/// What a token process says at the gate.
#[derive(Debug, Deserialize, Serialize)]
pub(in crate::token) enum Knock {
    /// It wants to log in, and waits for its turn. Answered by a [`Leave`].
    Asks {
        /// Whether a signature waits for it, and so no longer than for that; a process that starts waits as long as it takes.
        in_service: bool,
    },
    /// It does not log in after all.
    Passes,
    /// It is about to try the PIN of this mark. Answered.
    Tries(PinMark),
    /// It is about to try the PIN that the token took from it last.
    TriesAgain,
    /// The token took the PIN, which was tried as it said last. Answered unless that was [`Self::TriesAgain`].
    Accepted,
    /// The token refused it. Answered. Outside of a turn: another call than a login refused the PIN that the token took last.
    Refused(#[serde(deserialize_with = "frame::text")] String),
    /// The token has not looked at it. Answered.
    Unchecked,
    /// The login failed, and whether the token has looked at it cannot be told. Answered.
    Unknown,
}

/// What the daemon answers.
#[derive(Debug, Deserialize, Serialize)]
pub(in crate::token) enum Leave {
    /// It is this process's turn; what was tried before.
    Past(Past),
    /// What was said is noted, durably.
    Noted,
    /// It is another's turn, for longer than this process should wait; or a process died in its own, and one that starts comes first.
    Busy,
    /// Nobody may log in: why.
    No(String),
}
