//! The ladder: what is tried after a call failed, the lowest rung that may help first (field-notes R1, R2).
//!
//! In: a [`Climber`], which tries to sign and can climb. Out: a signature, or why only a fresh process can help, which is
//! the rung above all of these. Promised: no rung is skipped that may help, none is climbed that cannot, none at all once the
//! PIN is refused, and a token that stays broken does not have them climbed for ever. A try again is safe: the same bytes for the
//! same ledger entry, and what the failed call may have signed has reached nobody (R37).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cryptoki::error::Error;

use super::Unfound;
use super::classify::{self, Remedy};
use crate::token::frame::{CallFailure, Healing, PinRefusal, Recovery};
use crate::token::gate::{BUSY, Barred, LEFT_TO_START};
use crate::token::session::SignError;

/// Within this time each rung may be climbed only so often: [`Rung::often`].
const WINDOW: Duration = Duration::from_secs(10);

/// What may help, lowest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Rung {
    /// Find the keys again, in the same session.
    Refind,
    /// Open the session again, and find the keys.
    Reopen,
    /// Log in again, once for all sessions, and find the keys.
    LogIn,
    /// `C_Finalize` and `C_Initialize`, with every session of this process at rest, and all of the above.
    Reinitialize,
}

impl Rung {
    const ALL: [Self; 4] = [Self::Refind, Self::Reopen, Self::LogIn, Self::Reinitialize];

    /// As the daemon is told.
    pub(super) fn healing(self) -> Healing {
        match self {
            Self::Refind => Healing::Refound,
            Self::Reopen => Healing::Reopened,
            Self::LogIn => Healing::LoggedIn,
            Self::Reinitialize => Healing::Reinitialized,
        }
    }

    fn above(self) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| *rung > self)
    }

    /// How often it may be climbed in one [`WINDOW`]: the lower ones by each session, the highest by all together.
    fn often(self) -> usize {
        match self {
            Self::Refind | Self::Reopen | Self::LogIn => 4,
            Self::Reinitialize => 1,
        }
    }
}

/// What a rung came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Climbed {
    /// This session climbed it.
    Done,
    /// Another session had climbed it already: it may have to be climbed again.
    Already,
    /// It was climbed too often of late, and was not climbed now.
    TooOften,
}

/// When the keys were found that a call failed with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Found {
    /// Before the request came.
    Before,
    /// By a rung that was climbed for it.
    Again,
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A call failed.
    Call(Error),
    /// The keys are not there, or are not those that were there first.
    Keys(String),
    /// The PIN must not be tried again.
    Pin(PinRefusal),
    /// Another process of the token is in a login, or has died in one, and is not waited for.
    Busy,
    /// The PIN may be tried, but by a process that starts.
    Left,
    /// What was asked for cannot be.
    Request(CallFailure),
}

impl From<Unfound> for Trouble {
    fn from(unfound: Unfound) -> Self {
        let messages = unfound.faults.into_iter().map(|fault| fault.message);
        unfound.call.map_or_else(|| Self::Keys(messages.collect::<Vec<_>>().join("; ")), Self::Call)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<Barred<Error>> for Trouble {
    fn from(barred: Barred<Error>) -> Self {
        match barred {
            Barred::Pin(refusal) => Self::Pin(refusal),
            Barred::Fault(why) => Self::Keys(why),
            Barred::Failed(error) => Self::Call(error),
            Barred::Busy => Self::Busy,
            Barred::Left => Self::Left,
        }
    }
}

impl Trouble {
    fn describe(&self) -> CallFailure {
        match self {
            Self::Call(error) => classify::describe(error),
            Self::Keys(message) => CallFailure { call: "finding the keys".to_owned(), code: message.clone() },
            Self::Busy => CallFailure { call: "C_Login".to_owned(), code: BUSY.to_owned() },
            Self::Left => CallFailure { call: "C_Login".to_owned(), code: LEFT_TO_START.to_owned() },
            Self::Pin(refusal) => CallFailure { call: "C_Login".to_owned(), code: refusal.message.clone() },
            Self::Request(failure) => failure.clone(),
        }
    }

    /// Whether a call failed for the PIN, which is not that of a login: that is [`Self::Pin`].
    fn concerns_pin(&self) -> bool {
        matches!(self, Self::Call(error) if classify::concerns_pin(error))
    }

    /// The lowest rung that may help, or the answer where none can. Handles that are of `found` are what they should be.
    fn lowest(self, session: &mut impl Climber, found: Found) -> Result<(Rung, Self), SignError> {
        let rung = match &self {
            Self::Call(error) => match classify::remedy(error) {
                Remedy::Answer if found == Found::Before && classify::doubts_handle(error) => Rung::Refind,
                Remedy::Answer => return Err(SignError::Request(self.describe())),
                Remedy::Refind => Rung::Refind,
                Remedy::Reopen => Rung::Reopen,
                Remedy::LogIn => Rung::LogIn,
                Remedy::Reinitialize => Rung::Reinitialize,
                Remedy::Restart => return Err(SignError::Process(self.describe())),
                Remedy::Pin => match session.refused(self.describe()) {
                    Some(end) => return Err(end),
                    // Where another has logged in since, there is nothing to climb.
                    None => Rung::LogIn,
                },
            },
            // Private keys are not even shown to who is not logged in.
            Self::Keys(_) => Rung::LogIn,
            Self::Pin(_) | Self::Busy | Self::Left | Self::Request(_) => return Err(self.end()),
        };
        Ok((rung, self))
    }

    /// Whether it is answered, unless finding the keys again helps.
    fn is_answer(&self) -> bool {
        matches!(self, Self::Call(error) if classify::remedy(error) == Remedy::Answer)
    }

    /// Whether the token was given what is to be signed, or may have been.
    fn reached_token(&self) -> bool {
        matches!(self, Self::Call(error) if classify::reached_token(error))
    }

    fn end(self) -> SignError {
        match self {
            Self::Pin(refusal) => SignError::Pin { refusal, given: false },
            Self::Busy => SignError::Busy { given: false },
            Self::Request(failure) => SignError::Request(failure),
            Self::Call(_) | Self::Keys(_) | Self::Left => SignError::Process(self.describe()),
        }
    }
}

/// One session, as the ladder sees it.
pub(super) trait Climber {
    /// Tries to sign.
    ///
    /// # Errors
    /// [`Trouble`]
    fn attempt(&mut self) -> Result<Vec<u8>, Trouble>;

    /// Climbs one rung. It is climbed only if the keys that are found are those that were there first.
    ///
    /// # Errors
    /// [`Trouble`]
    fn climb(&mut self, rung: Rung) -> Result<Climbed, Trouble>;

    /// Notes that this call refused the PIN that a login took, so that nobody logs in with it again; what that comes to. Nothing if
    /// another session has logged in since: the PIN may be another by now.
    fn refused(&mut self, failure: CallFailure) -> Option<SignError>;
}

/// Signs, with as many rungs as it takes; `heal` is told of the one that helped. What `is_late` is not tried again.
///
/// # Errors
/// [`SignError`]; [`SignError::Process`] and [`SignError::Pin`] end the process.
pub(super) fn sign(
    session: &mut impl Climber,
    is_late: impl Fn() -> bool,
    heal: &mut dyn FnMut(Recovery),
) -> Result<Vec<u8>, SignError> {
    let mut was_given = false;
    climb(session, is_late, heal, &mut was_given).map_err(|error| match error {
        SignError::Pin { refusal, given } => SignError::Pin { refusal, given: given || was_given },
        SignError::Busy { given } => SignError::Busy { given: given || was_given },
        other => other,
    })
}

fn climb(
    session: &mut impl Climber,
    is_late: impl Fn() -> bool,
    heal: &mut dyn FnMut(Recovery),
    was_given: &mut bool,
) -> Result<Vec<u8>, SignError> {
    let trouble = match session.attempt() {
        Ok(signature) => return Ok(signature),
        Err(trouble) => trouble,
    };
    *was_given = trouble.reached_token();
    let failure = trouble.describe();
    let (mut rung, mut trouble) = trouble.lowest(session, Found::Before)?;
    loop {
        let next = match session.climb(rung) {
            Ok(Climbed::TooOften) if rung == Rung::Refind && trouble.is_answer() => {
                return Err(SignError::Request(trouble.describe()));
            }
            Ok(Climbed::TooOften) => rung.above(),
            Ok(_) if is_late() => return Err(SignError::Late { given: *was_given }),
            Ok(climbed) => match session.attempt() {
                Ok(signature) => {
                    if climbed == Climbed::Done {
                        heal(Recovery { healing: rung.healing(), failure });
                    }
                    return Ok(signature);
                }
                Err(again) => {
                    *was_given |= again.reached_token();
                    let (lowest, again) = again.lowest(session, Found::Again)?;
                    trouble = again;
                    // What another session did is no rung of this one: it may begin anew.
                    let from = if climbed == Climbed::Already { Some(lowest) } else { rung.above() };
                    from.map(|from| from.max(lowest))
                }
            },
            Err(last @ (Trouble::Pin(_) | Trouble::Busy | Trouble::Left)) => return Err(last.end()),
            Err(other) if other.concerns_pin() => {
                let (lowest, other) = other.lowest(session, Found::Again)?;
                trouble = other;
                Some(lowest)
            }
            Err(higher) => {
                trouble = higher;
                rung.above()
            }
        };
        let Some(next) = next else { return Err(trouble.end()) };
        rung = next;
    }
}

/// How often each rung was climbed of late.
#[derive(Default)]
pub(super) struct Allowance([VecDeque<Instant>; Rung::ALL.len()]);

impl Allowance {
    /// Whether `rung` may be climbed once more at `now`; if so, that is counted.
    pub(super) fn take(&mut self, rung: Rung, now: Instant) -> bool {
        let Some(climbs) = self.climbs(rung) else { return false };
        while climbs.front().is_some_and(|climb| now.duration_since(*climb) >= WINDOW) {
            climbs.pop_front();
        }
        let may = climbs.len() < rung.often();
        if may {
            climbs.push_back(now);
        }
        may
    }

    /// It was not climbed after all.
    pub(super) fn give_back(&mut self, rung: Rung) {
        if let Some(climbs) = self.climbs(rung) {
            climbs.pop_back();
        }
    }

    fn climbs(&mut self, rung: Rung) -> Option<&mut VecDeque<Instant>> {
        let index = Rung::ALL.iter().position(|other| *other == rung)?;
        self.0.get_mut(index)
    }
}

#[cfg(test)]
mod tests;
