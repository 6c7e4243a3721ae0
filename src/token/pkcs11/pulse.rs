//! Whether a token is there, asked without a key.
//!
//! In: a session. Out: an answer, or the call's error. `C_GetSessionInfo` many a module answers by itself; a random byte is the token's own. Which
//! has none to give is known from the start: what fails there need not be classed as such by its module, and would end a process that is well.

use cryptoki::error::Error;
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::module::Module;

/// What a token is asked for. Each has answered once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pulse {
    /// A random byte.
    Random,
    /// What it says of itself.
    Info,
    /// Nothing but its session.
    Session,
}

impl Pulse {
    /// The most telling one that this token answers.
    pub(super) fn of(module: &Module, slot: Slot, session: &Session) -> Self {
        let answers = |pulse: &Self| pulse.look(module, slot, session).is_ok();
        [Self::Random, Self::Info].into_iter().find(answers).unwrap_or(Self::Session)
    }

    /// Asks.
    ///
    /// # Errors
    /// The call's.
    pub(super) fn look(self, module: &Module, slot: Slot, session: &Session) -> Result<(), Error> {
        session.get_session_info()?;
        match self {
            Self::Random => session.generate_random_slice(&mut [0]),
            Self::Info => module.context().get_token_info(slot).map(drop),
            Self::Session => Ok(()),
        }
    }
}
