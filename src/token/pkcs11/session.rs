//! One place on a shared token: signs, and climbs the ladder when it cannot.
//!
//! In: a key's number and an [`Input`] whose length is right. Out: the token's bytes. Steady state is `C_SignInit` and `C_Sign`
//! on cached handles (R19), under locks that nobody else wants: the module's is only read, the place's is this session's.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use super::ladder::{self, Allowance, Climbed, Climber, Rung, Trouble};
use super::mechanism;
use super::shared::Shared;
use crate::token::frame::{CallFailure, Moment, Recovery};
use crate::token::input::Input;
use crate::token::session::{Session, SignError};

/// A session by its place.
pub(super) struct Pkcs11Session {
    shared: Arc<Shared>,
    index: usize,
    allowance: Allowance,
}

impl Pkcs11Session {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self { shared, index, allowance: Allowance::default() }
    }
}

impl Session for Pkcs11Session {
    fn sign(
        &mut self,
        key: usize,
        input: &Input,
        until: Option<Moment>,
        heal: &mut dyn FnMut(Recovery),
    ) -> Result<Vec<u8>, SignError> {
        let is_late = || until.is_some_and(Moment::is_past);
        let what = What::Sign { key, input };
        ladder::sign(&mut Work { session: self, what, seen: (0, 0) }, is_late, heal)
    }

    fn look(&mut self, heal: &mut dyn FnMut(Recovery)) -> Result<(), SignError> {
        ladder::sign(&mut Work { session: self, what: What::Look, seen: (0, 0) }, || false, heal).map(drop)
    }
}

/// One thing to do, on its way.
struct Work<'a> {
    session: &'a mut Pkcs11Session,
    what: What<'a>,
    /// How often the module had been initialised, and the user logged in, when it was last tried.
    seen: (u64, u64),
}

#[derive(Clone, Copy)]
enum What<'a> {
    Sign {
        key: usize,
        input: &'a Input,
    },
    /// To look whether the token is there.
    Look,
}

impl Climber for Work<'_> {
    fn attempt(&mut self) -> Result<Vec<u8>, Trouble> {
        let shared = &self.session.shared;
        let loaded = shared.read();
        self.seen = (loaded.generation(), loaded.logins());
        let mut place = loaded.place(self.session.index).ok_or_else(no_place)?;
        let open = shared.ready(&loaded, &mut place)?;
        let What::Sign { key, input } = self.what else {
            return shared.look(&loaded, &open.session).map(|()| Vec::new());
        };
        let key = open.keys.get(key).filter(|key| key.scheme == input.scheme()).ok_or_else(|| {
            let code = format!("no key {key} of scheme {}", input.scheme());
            Trouble::Request(CallFailure { call: "the token process".to_owned(), code })
        })?;
        if !key.always_authenticate {
            return mechanism::sign(&open.session, key, input);
        }
        let is_begun = Cell::new(false);
        let signature = mechanism::sign_authenticated(&open.session, key, input, |session| {
            let login = shared.log_in_to_sign(&loaded, session);
            is_begun.set(login.is_err());
            login
        });
        open.is_begun = is_begun.get();
        signature
    }

    fn climb(&mut self, rung: Rung) -> Result<Climbed, Trouble> {
        let Pkcs11Session { shared, index, allowance } = &mut *self.session;
        if rung == Rung::Reinitialize {
            return shared.reinitialize(*index, self.seen.0);
        }
        if !allowance.take(rung, Instant::now()) {
            return Ok(Climbed::TooOften);
        }
        let loaded = shared.read();
        let mut place = loaded.place(*index).ok_or_else(no_place)?;
        let climbed = match rung {
            Rung::Refind => shared.refind(&loaded, &mut place),
            Rung::Reopen => shared.reopen(&loaded, &mut place),
            Rung::LogIn | Rung::Reinitialize => shared.log_in(&loaded, &mut place, self.seen.1),
        };
        if let Err(Trouble::Busy) = climbed {
            allowance.give_back(rung);
        }
        climbed
    }

    fn refused(&mut self, failure: CallFailure) -> Option<SignError> {
        let shared = &self.session.shared;
        shared.refused(&shared.read(), failure, self.seen.1)
    }
}

fn no_place() -> Trouble {
    Trouble::Keys("the session has no place".to_owned())
}
