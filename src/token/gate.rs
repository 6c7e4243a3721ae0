//! What every login goes through: one at a time of a token, whatever the number of its sessions and processes, and none with a
//! PIN that the token may have refused.
//!
//! In: a PIN, and the call that shows it to the token. Out: the call's result, or why it was not made. In a token process the daemon
//! keeps the gate (`gatekeeper`): it lets one in at a time, and has noted which PIN is tried before it is. A command of an operator's
//! has no daemon, tries once, and says itself what became of it.

use std::convert::Infallible;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::frame::{self, PinRefusal};
use super::latch::{Past, PinMark, Tried, Verdict};
use super::pin::Pin;

pub(super) use self::knock::{Knock, Leave};

mod knock;

/// Why nobody waits for another process's login.
pub(crate) const BUSY: &str = "another process of the token is in a login that has not come back so far, or has died in one, and one that starts finds out";
/// Why a process that serves does not try a PIN that another of its token was killed with.
pub(crate) const LEFT_TO_START: &str = "a login of another process of the token never came back; the PIN may be tried once more, which is left to a process that starts, for that \
                             has more time for it";

/// What logins go through.
pub(crate) enum Gate {
    /// The daemon's, which all processes of a token share.
    Daemon(Mutex<Door>),
    /// A command's own, with what was tried before it.
    Own(Past),
}

/// This process's way to the daemon's gate.
pub(crate) struct Door {
    daemon: UnixStream,
    /// Of the PIN that this process has tried last.
    tried: Option<PinMark>,
    /// Whether the token has taken one from it, which the daemon knows by its mark.
    has_taken: bool,
    /// What the PIN of the last login is known not to be: to compare is slow.
    compared: Option<Vec<Tried>>,
}

/// Leave to log in, which nobody else has meanwhile. It ends when it is dropped.
pub(crate) struct Turn<'a>(Given<'a>);

/// A turn after its login: no other session of this process has one before it is dropped, so that each finds what this one leaves behind.
pub(crate) struct Done<'a> {
    _turn: Given<'a>,
    /// Whether the token has looked at the PIN, and taken it. It has not where somebody was logged in already.
    pub(crate) is_taken: bool,
}

enum Given<'a> {
    Daemon(Held<'a>),
    Own(&'a Past),
}

/// A turn that the daemon has given.
struct Held<'a> {
    door: MutexGuard<'a, Door>,
    past: Past,
    /// Whether the daemon waits for the end of a login, or has heard it.
    is_used: bool,
}

/// What became of the word that the PIN of a login is refused.
pub(crate) enum Word {
    /// It is noted, and nobody tries that PIN again.
    Noted(PinRefusal),
    /// This process has tried none.
    NoPin,
    /// Another login of this process has come since, with a PIN that may be another.
    Outdated,
}

/// Who wants to log in.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) pin: &'a Pin,
    /// The token's serial number.
    pub(crate) serial: &'a str,
    pub(crate) login: Login,
}

/// Which login.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Login {
    /// The PIN may be wrong.
    First,
    /// For one signature, with the PIN that the last login of this process was made with.
    Again,
}

/// Whether the PIN may have been tried before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Doubt {
    None,
    /// It was, and nobody knows with what result: only where the token counts no wrong PIN may it be tried.
    Tried,
}

/// Why a call did not log in.
pub(crate) enum Said<E> {
    /// The token refused the PIN.
    Refused(String),
    /// The token was not asked, and should not be.
    Spared(String),
    /// The token has no PIN that this one could be compared with; why, and what to do. It may have one later.
    Unset(String),
    /// The token did not look at the PIN, for somebody is logged in.
    Unchecked,
    /// Something else, which has cost no try.
    Failed(E),
    /// Something else, and nobody can tell whether it has cost a try.
    Unknown(E),
}

/// Why nobody is logged in.
pub(crate) enum Barred<E> {
    /// The PIN must not be tried again.
    Pin(PinRefusal),
    /// It cannot be said whether it may be tried.
    Fault(String),
    /// The call failed.
    Failed(E),
    /// It may be tried, but by a process that starts.
    Left,
    /// Another process of the token is in a login that takes long, or has died in one, and is not waited for.
    Busy,
}

impl Gate {
    /// The gate of a token process.
    pub(super) fn daemon(daemon: UnixStream) -> Self {
        Self::Daemon(Mutex::new(Door { daemon, tried: None, has_taken: false, compared: None }))
    }

    /// Waits until nobody else may log in.
    ///
    /// # Errors
    /// [`Barred`]
    pub(crate) fn turn<E>(&self) -> Result<Turn<'_>, Barred<E>> {
        match self {
            Self::Daemon(door) => {
                let door = lock(door);
                let past = door.wait_for_turn()?;
                Ok(Turn(Given::Daemon(Held { door, past, is_used: false })))
            }
            Self::Own(past) => Ok(Turn(Given::Own(past))),
        }
    }

    /// Calls `login`, unless the PIN must not be tried; nobody else logs in to this token meanwhile.
    ///
    /// # Errors
    /// [`Barred`]
    pub(crate) fn log_in<E>(
        &self,
        who: Candidate<'_>,
        login: impl FnOnce(Doubt) -> Result<(), Said<E>>,
    ) -> Result<(), Barred<E>> {
        self.turn()?.log_in(who, login).map(drop)
    }

    /// Whether [`Self::log_in`] would make the call; it is not made here.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn admits<E>(&self, who: Candidate<'_>) -> Result<(), Barred<E>> {
        match &mut self.turn()?.0 {
            Given::Daemon(held) => held.look(who).map(|_| ()),
            Given::Own(past) => doubt(past, who).map(|_| ()),
        }
    }

    /// Notes that the token refused, in another call than a login, the PIN of this process's last one, if that `is_last` still. A
    /// command notes nothing: it has tried once, and ends.
    ///
    /// # Errors
    /// Why that cannot be noted.
    pub(crate) fn refuse(&self, message: String, is_last: impl FnOnce() -> bool) -> Result<Word, String> {
        if let Self::Daemon(door) = self {
            let door = lock(door);
            if !door.has_taken {
                return Ok(Word::NoPin);
            }
            if !is_last() {
                return Ok(Word::Outdated);
            }
            door.settle(&Knock::Refused(message.clone())).map_err(
                |barred: Barred<Infallible>| match barred {
                    Barred::Fault(why) => why,
                    Barred::Pin(refusal) => refusal.message,
                    Barred::Left => LEFT_TO_START.to_owned(),
                    Barred::Busy => BUSY.to_owned(),
                },
            )?;
        }
        Ok(Word::Noted(PinRefusal { message, mark: None }))
    }
}

impl<'a> Turn<'a> {
    /// Calls `login`, unless the PIN must not be tried.
    ///
    /// # Errors
    /// [`Barred`]
    pub(crate) fn log_in<E>(
        self,
        who: Candidate<'_>,
        login: impl FnOnce(Doubt) -> Result<(), Said<E>>,
    ) -> Result<Done<'a>, Barred<E>> {
        let mut turn = self.0;
        let is_taken = match &mut turn {
            Given::Daemon(held) => held.log_in(who, login)?,
            Given::Own(past) => is_taken(login(doubt(past, who)?), || who.pin.mark(who.serial))?,
        };
        Ok(Done { _turn: turn, is_taken })
    }
}

impl Held<'_> {
    /// Whether the token took the PIN.
    fn log_in<E>(
        &mut self,
        who: Candidate<'_>,
        login: impl FnOnce(Doubt) -> Result<(), Said<E>>,
    ) -> Result<bool, Barred<E>> {
        let (mark, doubt) = match self.look(who)? {
            Try::Marked(mark, doubt) => (Some(mark), doubt),
            Try::Again => (None, Doubt::None),
        };
        self.is_used = true;
        let (door, is_again) = (&mut *self.door, mark.is_none());
        let mut before = door.tried.clone();
        match mark {
            None => door.tell(&Knock::TriesAgain)?,
            Some(mark) => match door.ask(&Knock::Tries(mark.clone()))? {
                Leave::Noted => {
                    before.get_or_insert_with(|| mark.clone());
                    (door.tried, door.compared) = (Some(mark), None);
                }
                Leave::No(why) => return Err(Barred::Fault(why)),
                Leave::Past(_) | Leave::Busy => return Err(nonsense()),
            },
        }
        let result = login(doubt);
        match &result {
            Ok(()) if is_again => door.tell(&Knock::Accepted)?,
            Ok(()) => {
                door.settle(&Knock::Accepted)?;
                door.has_taken = true;
            }
            Err(Said::Refused(message)) => door.settle(&Knock::Refused(message.clone()))?,
            Err(Said::Spared(_) | Said::Unset(_) | Said::Unchecked | Said::Failed(_)) => {
                door.settle(&Knock::Unchecked)?;
                // It was not tried after all.
                door.tried = before;
            }
            Err(Said::Unknown(_)) => door.settle(&Knock::Unknown)?,
        }
        // The daemon has noted what was refused.
        is_taken(result, || None)
    }

    fn look<E>(&mut self, who: Candidate<'_>) -> Result<Try, Barred<E>> {
        self.door.look(who, &self.past)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.is_used {
            // A daemon that is gone is noticed by who asks next.
            let _ = self.door.tell::<Infallible>(&Knock::Passes);
        }
    }
}

impl Door {
    /// What was tried before.
    fn wait_for_turn<E>(&self) -> Result<Past, Barred<E>> {
        match self.ask(&Knock::Asks { in_service: self.tried.is_some() })? {
            Leave::Past(past) => Ok(past),
            Leave::Busy => Err(Barred::Busy),
            Leave::No(why) => Err(Barred::Fault(why)),
            Leave::Noted => Err(nonsense()),
        }
    }

    /// Whether the PIN may be tried, and how.
    fn look<E>(&mut self, who: Candidate<'_>, past: &Past) -> Result<Try, Barred<E>> {
        let is_again = who.login == Login::Again;
        let is_compared = past.tried().is_empty() || self.compared.as_deref() == Some(past.tried());
        if is_again && is_compared {
            return Ok(Try::Again);
        }
        match past.judge(who.pin, who.serial) {
            Verdict::Barred(why) => Err(barred(why.to_owned())),
            // Under a load that has one killed in its login, the next would be as well, and two are too many. For one signature the PIN
            // that was right is tried all the same: a process that is well does not end for another's sake.
            Verdict::Doubtful(mark) if !is_again && self.tried.as_ref().is_some_and(|own| *own != mark) => {
                Err(Barred::Left)
            }
            Verdict::Doubtful(mark) => Ok(Try::Marked(mark, Doubt::Tried)),
            Verdict::Untried if is_again => {
                self.compared = Some(past.tried().to_vec());
                Ok(Try::Again)
            }
            Verdict::Untried => {
                let mark = who.pin.mark(who.serial);
                let mark = mark.ok_or_else(|| Barred::Fault("the random source failed".to_owned()))?;
                Ok(Try::Marked(mark, Doubt::None))
            }
        }
    }

    fn tell<E>(&self, knock: &Knock) -> Result<(), Barred<E>> {
        frame::write(&self.daemon, knock).map_err(|error| gone(&error))
    }

    fn ask<E>(&self, knock: &Knock) -> Result<Leave, Barred<E>> {
        self.tell(knock)?;
        let answer = frame::read(&self.daemon).and_then(|body| match body {
            Some(body) => frame::decode(&body),
            None => Err(std::io::ErrorKind::UnexpectedEof.into()),
        });
        answer.map_err(|error| gone(&error))
    }

    /// What became of the login is known to the daemon before anybody acts on it.
    fn settle<E>(&self, knock: &Knock) -> Result<(), Barred<E>> {
        match self.ask(knock)? {
            Leave::Noted => Ok(()),
            Leave::No(_) | Leave::Past(_) | Leave::Busy => Err(nonsense()),
        }
    }
}

fn lock(door: &Mutex<Door>) -> MutexGuard<'_, Door> {
    door.lock().unwrap_or_else(PoisonError::into_inner)
}

fn doubt<E>(past: &Past, who: Candidate<'_>) -> Result<Doubt, Barred<E>> {
    match past.judge(who.pin, who.serial) {
        Verdict::Barred(why) => Err(barred(why.to_owned())),
        Verdict::Doubtful(_) => Ok(Doubt::Tried),
        Verdict::Untried => Ok(Doubt::None),
    }
}

/// How a PIN is tried.
enum Try {
    Marked(PinMark, Doubt),
    Again,
}

fn is_taken<E>(
    result: Result<(), Said<E>>,
    mark: impl FnOnce() -> Option<PinMark>,
) -> Result<bool, Barred<E>> {
    match result {
        Ok(()) => Ok(true),
        Err(Said::Unchecked) => Ok(false),
        Err(Said::Refused(message)) => Err(Barred::Pin(PinRefusal { message, mark: mark() })),
        Err(Said::Spared(message)) => Err(barred(message)),
        Err(Said::Unset(message)) => Err(Barred::Fault(message)),
        Err(Said::Failed(error) | Said::Unknown(error)) => Err(Barred::Failed(error)),
    }
}

fn barred<E>(message: String) -> Barred<E> {
    Barred::Pin(PinRefusal { message, mark: None })
}

fn gone<E>(error: &std::io::Error) -> Barred<E> {
    Barred::Fault(format!("the daemon, which is asked before each login, is gone: {error}"))
}

fn nonsense<E>() -> Barred<E> {
    Barred::Fault("the daemon, which is asked before each login, does not speak as expected".to_owned())
}

#[cfg(test)]
mod tests;
