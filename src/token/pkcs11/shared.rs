//! One token, as all sessions of its process share it, and what each rung of the ladder does to it.
//!
//! In: a loaded module and a [`Setup`]. Out: a [`Shared`] token, logged in once, with every key found and a session in each
//! place. All sessions stay open as long as nothing fails, so that no close can log the others out (R3, R4). Promised: after
//! any rung the keys are found again and are those that were there first, or nothing signs; and a session of before
//! `C_Finalize` is never used or closed after it, for its number may be another's by then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Limit, Slot, TokenInfo};

use super::kept_pin::KeptPin;
use super::key::FoundKey;
use super::ladder::{Allowance, Climbed, Rung, Trouble};
use super::module::Module;
use super::pulse::Pulse;
use super::{NOBODY_AT_PAD, On, call_fault, not_let_in, pin_fault, pin_for, search, token_fault};
use crate::key::PublicKey;
use crate::token::device::Pkcs11;
use crate::token::frame::{At, CallFailure, PinRefusal, Refusal, Setup, StartFault};
use crate::token::gate::{Barred, Gate, Turn, Word};
use crate::token::pin::InMemory;
use crate::token::pin::source::PinFile;
use crate::token::session::SignError;

/// The login of handles that were never found.
const NEVER: u64 = u64::MAX;

/// A token and its sessions.
pub(super) struct Shared {
    device: Pkcs11,
    setup: Setup,
    gate: Gate,
    /// Whether the token wanted a login at first.
    needs_login: bool,
    /// What the token is asked for to see that it is there.
    pulse: Pulse,
    /// The public keys that were found first.
    pinned: Vec<PublicKey>,
    /// Read while a session works, written while none does.
    loaded: RwLock<Loaded>,
    /// Climbs that concern all sessions.
    allowance: Mutex<Allowance>,
}

/// What one `C_Initialize` gave.
pub(super) struct Loaded {
    module: Module,
    slot: Slot,
    /// Counts every `C_Initialize`.
    generation: u64,
    /// Counts every login of all sessions: handles are older than it are stale.
    logins: AtomicU64,
    /// Held while somebody logs in.
    logging_in: Mutex<()>,
    /// For keys that want a login for each signature (R42); else it is not kept.
    pin: Mutex<Option<Arc<KeptPin>>>,
    places: Vec<Mutex<Option<Place>>>,
}

/// One session and the handles of the keys in it.
pub(super) struct Place {
    pub(super) session: Session,
    pub(super) keys: Arc<[FoundKey]>,
    /// Whether a signature was begun in it that is not going to end.
    pub(super) is_begun: bool,
    logins: u64,
}

/// A token that was opened for the first time.
pub(super) struct First {
    pub(super) shared: Shared,
    pub(super) info: TokenInfo,
    pub(super) pin: InMemory,
}

impl Shared {
    /// Logs in, finds every key, and opens as many sessions as are wanted and the token allows.
    ///
    /// # Errors
    /// Every fault that can be found without the step that failed.
    pub(super) fn open(module: Module, device: &Pkcs11, setup: &Setup, gate: Gate) -> Result<First, Refusal> {
        let token = module.token(&device.label, device.serial.as_deref()).map_err(token_fault)?;
        let pin = pin_for(&setup.pin_file, &token.info).map_err(pin_fault)?;
        let session = module.context().open_ro_session(token.slot).map_err(call_fault)?;
        let on = On { module: &module, slot: token.slot, session: &session };
        let is_taken = on.log_in(&pin, || gate.turn()).map_err(not_let_in)?.is_some_and(|done| done.is_taken);
        let keys: Arc<[FoundKey]> = search(&module, token.slot, &session, setup)?.into();
        let pulse = Pulse::of(&module, token.slot, &session);
        if pin.is_at_pad() {
            none_wants_it_each_time(&keys, &setup.pin_file)?;
        }
        let place =
            |session| Mutex::new(Some(Place { session, keys: keys.clone(), is_begun: false, logins: 0 }));
        let mut places = vec![place(session)];
        while places.len() < session_count(setup.sessions, &token.info) {
            match module.context().open_ro_session(token.slot) {
                Ok(session) => places.push(place(session)),
                // Others use the token as well, or it counts otherwise than it says (R8).
                Err(Error::Pkcs11(RvError::SessionCount, _)) => break,
                Err(error) => return Err(call_fault(error)),
            }
        }
        let (in_memory, pinned) = (pin.in_memory(), keys.iter().map(|key| key.public_key.clone()).collect());
        let kept =
            keys.iter().any(|key| key.always_authenticate).then(|| KeptPin::new(pin, &token.info, is_taken));
        kept.iter().try_for_each(|kept| kept.is_admitted(&gate))?;
        let loaded = Loaded {
            module,
            slot: token.slot,
            generation: 0,
            logins: AtomicU64::new(0),
            logging_in: Mutex::default(),
            pin: Mutex::new(kept),
            places,
        };
        let shared = Self {
            device: device.clone(),
            setup: setup.clone(),
            gate,
            needs_login: token.info.login_required(),
            pulse,
            pinned,
            loaded: RwLock::new(loaded),
            allowance: Mutex::default(),
        };
        Ok(First { shared, info: token.info, pin: in_memory })
    }

    /// Whether the token is there, and a session open.
    ///
    /// # Errors
    /// [`Trouble`]
    pub(super) fn look(&self, loaded: &Loaded, session: &Session) -> Result<(), Trouble> {
        self.pulse.look(&loaded.module, loaded.slot, session)?;
        Ok(())
    }

    /// How many sessions there are.
    pub(super) fn sessions(&self) -> usize {
        self.read().places.len()
    }

    /// The public keys in the order of the setup.
    pub(super) fn public_keys(&self) -> &[PublicKey] {
        &self.pinned
    }

    /// Lets go of the token; no session is in use any more.
    pub(super) fn finalize(&self) {
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        loaded.close_all();
        loaded.module.finalize();
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in `place`, after making sure that its session is open and at rest, and its handles are of the last login.
    ///
    /// # Errors
    /// [`Trouble`]
    pub(super) fn ready<'a>(
        &self,
        loaded: &Loaded,
        place: &'a mut Option<Place>,
    ) -> Result<&'a mut Place, Trouble> {
        if place.as_ref().is_some_and(|open| open.is_begun) {
            // The standard of before 3.0 has no other way to end it.
            self.reopen(loaded, place)?;
        }
        let open = match place {
            Some(open) => open,
            None => place.insert(loaded.open_session()?),
        };
        if open.logins != loaded.logins() {
            self.find(loaded, open)?;
        }
        Ok(open)
    }

    /// Rung: the same session, its keys found again.
    ///
    /// # Errors
    /// [`Trouble`], as of every rung.
    pub(super) fn refind(&self, loaded: &Loaded, place: &mut Option<Place>) -> Result<Climbed, Trouble> {
        self.find(loaded, self.ready(loaded, place)?)?;
        Ok(Climbed::Done)
    }

    /// Rung: a new session, opened before the old one is closed, for the last one's end logs everybody out (R4).
    pub(super) fn reopen(&self, loaded: &Loaded, place: &mut Option<Place>) -> Result<Climbed, Trouble> {
        let new = match loaded.open_session() {
            Err(Error::Pkcs11(RvError::SessionCount, _)) => {
                *place = None;
                loaded.open_session()?
            }
            new => new?,
        };
        self.find(loaded, place.insert(new))?;
        Ok(Climbed::Done)
    }

    /// Rung: one login for all sessions. Who finds that another has logged in since `seen` has nothing left to do.
    pub(super) fn log_in(
        &self,
        loaded: &Loaded,
        place: &mut Option<Place>,
        seen: u64,
    ) -> Result<Climbed, Trouble> {
        let alone = lock(&loaded.logging_in);
        if loaded.logins() != seen {
            return Ok(Climbed::Already);
        }
        let open = match place {
            Some(open) => open,
            None => place.insert(loaded.open_session()?),
        };
        self.authenticate(loaded, &open.session, || self.gate.turn())?;
        drop(alone);
        match self.find(loaded, open) {
            Ok(()) => Ok(Climbed::Done),
            // An operation may be left half done in it.
            Err(_) => self.reopen(loaded, place),
        }
    }

    /// Rung: everything anew, with all sessions at rest and closed. Once for all, too. Nothing is closed, and nothing counted, before this
    /// process may log in again.
    pub(super) fn reinitialize(&self, index: usize, seen: u64) -> Result<Climbed, Trouble> {
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        if loaded.generation != seen {
            return Ok(Climbed::Already);
        }
        let turn = self.needs_login.then(|| self.gate.turn::<Error>()).transpose()?;
        if !lock(&self.allowance).take(Rung::Reinitialize, Instant::now()) {
            return Ok(Climbed::TooOften);
        }
        loaded.close_all();
        loaded.generation += 1;
        loaded.module.reinitialize()?;
        let token = loaded.module.token(&self.device.label, self.device.serial.as_deref());
        loaded.slot = token.map_err(|error| Trouble::Keys(error.to_string()))?.slot;
        let mut open = loaded.open_session()?;
        self.authenticate(&loaded, &open.session, || turn.map_or_else(|| self.gate.turn(), Ok))?;
        self.find(&loaded, &mut open)?;
        if let Some(mut own) = loaded.place(index) {
            *own = Some(open);
        }
        Ok(Climbed::Done)
    }

    /// The PIN file is read again: whoever changed the PIN has changed the file.
    fn authenticate<'a>(
        &self,
        loaded: &Loaded,
        session: &Session,
        turn: impl FnOnce() -> Result<Turn<'a>, Barred<Error>>,
    ) -> Result<(), Trouble> {
        let info = loaded.module.context().get_token_info(loaded.slot)?;
        let pin = pin_for(&self.setup.pin_file, &info).map_err(|error| Trouble::Keys(error.to_string()))?;
        if pin.is_at_pad() && info.login_required() {
            // Nobody stands there just now.
            let mark = pin.mark(info.serial_number());
            return Err(Trouble::Pin(PinRefusal { message: NOBODY_AT_PAD.to_owned(), mark }));
        }
        // Until the other sessions can see it, none of them has its turn.
        let done = loaded.on(session).log_in(&pin, turn)?;
        loaded.logins.fetch_add(1, Ordering::SeqCst);
        let mut kept = lock(&loaded.pin);
        if kept.is_some() {
            *kept = Some(KeptPin::new(pin, &info, done.as_ref().is_some_and(|done| done.is_taken)));
        }
        Ok(())
    }

    /// The login that a key wants after each `C_SignInit` (R42), with the PIN that the user logged in with.
    ///
    /// # Errors
    /// [`Trouble`]
    pub(super) fn log_in_to_sign(&self, loaded: &Loaded, session: &Session) -> Result<(), Trouble> {
        let turn = self.gate.turn()?;
        // Read in our turn: the PIN of the last login, whose mark the daemon has.
        let late = || Trouble::Keys("a key has begun to want the PIN for each signature".to_owned());
        let kept = lock(&loaded.pin).clone().ok_or_else(late)?;
        let login = |doubt| loaded.on(session).try_once(UserType::ContextSpecific, &kept.pin, doubt);
        let _done = turn.log_in(kept.candidate(), login)?;
        kept.taken();
        Ok(())
    }

    /// A call refused the PIN that the token took at the login, as one that shows it the PIN again does. None if somebody has logged in
    /// since `seen`.
    pub(super) fn refused(&self, loaded: &Loaded, failure: CallFailure, seen: u64) -> Option<SignError> {
        let CallFailure { call, code } = &failure;
        let message = format!(
            "{call} failed: {code}; the token no longer takes the PIN that it took at the login: put the right PIN into `pin_file`"
        );
        Some(match self.gate.refuse(message, || loaded.logins() == seen) {
            Ok(Word::Noted(refusal)) => SignError::Pin { refusal, given: false },
            Ok(Word::Outdated) => return None,
            // Another login would not help.
            Ok(Word::NoPin) => SignError::Request(failure),
            Err(why) => {
                SignError::Process(CallFailure { call: "noting a refused PIN".to_owned(), code: why })
            }
        })
    }

    /// Finds the keys in a session, which must be those that were there first (R20).
    fn find(&self, loaded: &Loaded, open: &mut Place) -> Result<(), Trouble> {
        let logins = loaded.logins();
        let keys = search(&loaded.module, loaded.slot, &open.session, &self.setup)?;
        if keys.iter().map(|key| &key.public_key).ne(&self.pinned) {
            return Err(Trouble::Keys("the token holds other keys than before".to_owned()));
        }
        (open.keys, open.logins) = (keys.into(), logins);
        Ok(())
    }
}

impl Loaded {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn logins(&self) -> u64 {
        self.logins.load(Ordering::SeqCst)
    }

    pub(super) fn place(&self, index: usize) -> Option<MutexGuard<'_, Option<Place>>> {
        self.places.get(index).map(lock)
    }

    fn on<'a>(&'a self, session: &'a Session) -> On<'a> {
        On { module: &self.module, slot: self.slot, session }
    }

    /// A session in which no key was found yet.
    fn open_session(&self) -> Result<Place, Error> {
        let session = self.module.context().open_ro_session(self.slot)?;
        Ok(Place { session, keys: Arc::default(), is_begun: false, logins: NEVER })
    }

    fn close_all(&mut self) {
        for place in &mut self.places {
            *place.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// Nobody types a PIN for each signature, and one that is not there cannot be shown.
fn none_wants_it_each_time(keys: &[FoundKey], source: &PinFile) -> Result<(), Refusal> {
    let message = format!(
        "wants its PIN for each signature (CKA_ALWAYS_AUTHENTICATE), and by `{}` there is none for that: make a key that does not",
        source.option()
    );
    let wanting = (0..).zip(keys).filter(|(_, key)| key.always_authenticate);
    let faults: Vec<_> =
        wanting.map(|(index, _)| StartFault { at: At::Key(index), message: message.clone() }).collect();
    if faults.is_empty() { Ok(()) } else { Err(Refusal::Faults(faults)) }
}

/// The configured number, or what the token allows.
fn session_count(configured: usize, info: &TokenInfo) -> usize {
    match info.max_session_count() {
        Limit::Max(most) => configured.min(usize::try_from(most).unwrap_or(configured)).max(1),
        Limit::Unavailable | Limit::Infinite => configured.max(1),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
