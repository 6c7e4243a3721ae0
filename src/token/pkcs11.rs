//! Tokens behind a PKCS#11 module (v2.40 and later), through `cryptoki`.
//!
//! In: a [`Setup`]. Out: an [`Opened`] token: logged in once, every key found without doubt and checked, sessions open; or
//! everything that is wrong with it at once.

use std::sync::Arc;

use cryptoki::error::{Error, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::{Slot, TokenInfo};

use self::counted::Counted;
use self::key::{FoundKey, KeyProblem};
use self::module::Module;
use self::session::Pkcs11Session;
use self::shared::{First, Shared};
use super::device::Pkcs11;
use super::frame::{At, Refusal, Setup, StartFault, TokenDescription};
use super::gate::{BUSY, Barred, Candidate, Done, Doubt, Gate, LEFT_TO_START, Login, Said, Turn};
use super::pin::source::PinFile;
use super::pin::{Pin, PinFileError};
use super::process::scheme;
use super::session::{Opened, Session};
use crate::key::PublicKey;

mod attribute;
pub(crate) mod carry;
pub(crate) mod change;
pub(crate) mod classify;
mod counted;
mod delete;
pub(crate) mod generate;
mod import;
pub(crate) mod init;
mod kept_pin;
pub(crate) mod key;
mod ladder;
mod mechanism;
pub(crate) mod module;
pub(crate) mod operator;
mod pulse;
pub(crate) mod raw;
mod read_back;
mod rename;
mod session;
mod shared;
pub(crate) mod state;
pub(crate) mod survey;
pub(crate) mod transport;
pub(crate) mod trusted;
pub(crate) mod uri;

/// Why no login is tried at a token's own pad.
pub(super) const NOBODY_AT_PAD: &str = "somebody has to type the PIN at the token's own pad, and nobody may be there: stand at it and run `countersign token unlatch`, \
                             and it is asked for there, once";
/// Why no PIN is tried on a token that has none.
const NO_PIN: &str =
    "the token has no user PIN yet; run `countersign token unlock NAME`, with the security officer's PIN";
const STAND_THERE: &str = "stand at it, and run `countersign token unlatch`";

/// Loads the module, logs in, finds every key, and opens the sessions.
///
/// # Errors
/// The [`Refusal`] to report: every fault that can be found without the step that failed.
pub(super) fn open(device: &Pkcs11, setup: &Setup, gate: Gate) -> Result<Opened, Refusal> {
    let module = Module::load(&device.module).map_err(token_fault)?;
    let First { shared, info, pin } = Shared::open(module, device, setup, gate)?;
    let shared = Arc::new(shared);
    let session = |index| -> Box<dyn Session> { Box::new(Pkcs11Session::new(shared.clone(), index)) };
    Ok(Opened {
        token: describe(&info),
        keys: shared.public_keys().iter().map(PublicKey::to_spki_der).collect(),
        pin,
        sessions: (0..shared.sessions()).map(session).collect(),
        finish: Box::new(move || shared.finalize()),
    })
}

/// A session, and the token that it is on.
#[derive(Clone, Copy)]
pub(super) struct On<'a> {
    pub(super) module: &'a Module,
    pub(super) slot: Slot,
    pub(super) session: &'a cryptoki::session::Session,
}

/// The PIN of this token, or that nobody has one here.
///
/// # Errors
/// [`PinFileError`]; [`PinFileError::Needed`] if there is said to be none, and the token wants one.
pub(super) fn pin_for(source: &PinFile, info: &TokenInfo) -> Result<Pin, PinFileError> {
    if *source == PinFile::None && info.login_required() {
        return Err(PinFileError::Needed);
    }
    source.read()
}

/// Logs in, once. A PIN that may be wrong is never tried twice, and a token's last try is left to a person.
///
/// # Errors
/// [`Refusal::PinRefused`] if the PIN was refused or would have spent the last try; [`Refusal::Faults`] otherwise.
pub(super) fn log_in(on: On<'_>, pin: &Pin, gate: &Gate) -> Result<(), Refusal> {
    on.log_in(pin, || gate.turn()).map(drop).map_err(not_let_in)
}

fn not_let_in(barred: Barred<Error>) -> Refusal {
    match barred {
        Barred::Pin(refusal) => Refusal::PinRefused(refusal),
        Barred::Fault(why) => token_fault(why),
        Barred::Failed(error) => call_fault(error),
        Barred::Busy => token_fault(BUSY),
        Barred::Left => token_fault(LEFT_TO_START),
    }
}

impl On<'_> {
    fn info(self) -> Result<TokenInfo, Error> {
        self.module.context().get_token_info(self.slot)
    }

    /// `turn` waits for its turn, if a login is needed. None if none is.
    fn log_in<'a>(
        self,
        pin: &Pin,
        turn: impl FnOnce() -> Result<Turn<'a>, Barred<Error>>,
    ) -> Result<Option<Done<'a>>, Barred<Error>> {
        let info = self.info().map_err(Barred::Failed)?;
        if !info.login_required() {
            return Ok(None);
        }
        if pin.is_at_pad() && !info.protected_authentication_path() {
            let message = "the token has no PIN pad of its own; name `pin_file` or `pin_credential` instead of `pin_pad`";
            return Err(Barred::Fault(message.to_owned()));
        }
        let who = Candidate { pin, serial: info.serial_number(), login: Login::First };
        turn()?.log_in(who, |doubt| self.try_once(UserType::User, pin, doubt)).map(Some)
    }

    /// Shows the token the PIN, unless its flags say that it should not be.
    fn try_once(self, user: UserType, pin: &Pin, doubt: Doubt) -> Result<(), Said<Error>> {
        // Read in our turn: who had it before may have spent a try. A PIN that was right before is shown to a token that does not
        // tell: SoftHSM2 fails here after a login for which it could not write its flags, as behind Landlock.
        let before = match self.info() {
            Ok(info) => Some(info),
            Err(_) if matches!((user, doubt), (UserType::ContextSpecific, Doubt::None)) => None,
            Err(error) => return Err(Said::Failed(error)),
        };
        if let Some(before) = &before {
            spare(before, doubt)?;
        }
        let login = if pin.is_at_pad() {
            self.session.login(user, None)
        } else {
            self.session.login_with_raw(user, &pin.for_login())
        };
        match login {
            Ok(()) => Ok(()),
            Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Err(Said::Unchecked),
            // Whatever it was: somebody was asked, and is not asked again behind their back.
            Err(error) if pin.is_at_pad() => Err(Said::Refused(format!(
                "the token took no PIN at its own pad ({}), and nobody is asked there again: {STAND_THERE}",
                classify::code(&error)
            ))),
            Err(error) if classify::concerns_pin(&error) => Err(refused(&error)),
            Err(error) => Err(match self.has_counted(before.as_ref()) {
                Counted::Yes => refused(&error),
                Counted::No if classify::lacks_pin(&error) => Said::Unset(NO_PIN.to_owned()),
                Counted::Unknown if !classify::precedes_pin(&error) => Said::Unknown(error),
                Counted::No | Counted::Unknown => Said::Failed(error),
            }),
        }
    }

    /// Whether the token says that a login failed for its PIN, whatever code it answered.
    fn has_counted(self, before: Option<&TokenInfo>) -> Counted {
        let (Some(before), Ok(after)) = (before, self.info()) else { return Counted::Unknown };
        counted::by_flags(counted::flags(before), counted::flags(&after))
    }
}

fn refused(error: &Error) -> Said<Error> {
    Said::Refused(format!(
        "the token refused the PIN ({}); put the right PIN into `pin_file`",
        classify::code(error)
    ))
}

/// # Errors
/// [`Said::Spared`] where the token says that no PIN should be tried, [`Said::Unset`] where it says that there is none.
fn spare(info: &TokenInfo, doubt: Doubt) -> Result<(), Said<Error>> {
    if !info.user_pin_initialized() {
        return Err(Said::Unset(NO_PIN.to_owned()));
    }
    let message = if info.user_pin_locked() {
        "the token's user PIN is locked; set it anew with the SO PIN: `countersign token unlock NAME`"
    } else if info.user_pin_final_try() {
        "the token has one try left for the user PIN, which is not spent here; log in once by hand with the right PIN"
    } else if doubt == Doubt::Tried && info.user_pin_count_low() {
        "a login with the PIN in `pin_file` never came back, and the token has counted a wrong PIN since; put the right one there, or run `countersign token unlatch NAME` if this is it"
    } else {
        return Ok(());
    };
    Err(Said::Spared(message.to_owned()))
}

/// Why not every key was found.
struct Unfound {
    /// The first call that failed, if one did.
    call: Option<Error>,
    faults: Vec<StartFault>,
}

impl From<Unfound> for Refusal {
    fn from(unfound: Unfound) -> Self {
        Self::Faults(unfound.faults)
    }
}

fn search(
    module: &Module,
    slot: Slot,
    session: &cryptoki::session::Session,
    setup: &Setup,
) -> Result<Vec<FoundKey>, Unfound> {
    let mechanisms = module.context().get_mechanism_list(slot).map_err(|error| {
        let failure = classify::describe(&error);
        let message = format!("{} failed: {}; {}", failure.call, failure.code, classify::advice(&error));
        Unfound { call: Some(error), faults: vec![StartFault { at: At::Token, message }] }
    })?;
    let (mut found, mut unfound) = (Vec::new(), Unfound { call: None, faults: Vec::new() });
    for (index, wanted) in setup.keys.iter().enumerate() {
        let key = scheme(&wanted.scheme)
            .ok_or_else(|| KeyProblem::Scheme { scheme: wanted.scheme.clone() })
            .and_then(|scheme| {
                let name = key::Named { name: &wanted.name, label: &wanted.label, id: wanted.id.as_deref() };
                key::find(session, name, scheme, &wanted.accept)
            })
            .and_then(|key| mechanism::check(&mechanisms, key));
        match key {
            Ok(key) => found.push(key),
            Err(problem) => {
                unfound.faults.push(StartFault { at: At::Key(index), message: problem.to_string() });
                if let KeyProblem::Call(error) = problem {
                    unfound.call.get_or_insert(error);
                }
            }
        }
    }
    if unfound.faults.is_empty() { Ok(found) } else { Err(unfound) }
}

fn describe(info: &TokenInfo) -> TokenDescription {
    TokenDescription {
        serial: module::trim(info.serial_number()).to_owned(),
        model: module::trim(info.model()).to_owned(),
        firmware: info.firmware_version().to_string(),
    }
}

fn token_fault(problem: impl std::fmt::Display) -> Refusal {
    Refusal::Faults(vec![StartFault { at: At::Token, message: problem.to_string() }])
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn pin_fault(problem: PinFileError) -> Refusal {
    Refusal::Faults(vec![StartFault { at: At::PinFile, message: problem.to_string() }])
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn call_fault(error: Error) -> Refusal {
    let failure = classify::describe(&error);
    token_fault(format!("{} failed: {}; {}", failure.call, failure.code, classify::advice(&error)))
}
