//! Tokens behind a PKCS#11 module (v2.40 and later), through `cryptoki`.
//!
//! In: a [`Setup`]. Out: an [`Opened`] token: logged in once, every key found without doubt and checked, sessions open; or
//! everything that is wrong with it at once. All sessions stay open as long as the process lives, so that no close can
//! log the others out (R3, R4).

use std::sync::Arc;

use cryptoki::error::{Error, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::{Limit, TokenInfo};

use self::key::{FoundKey, KeyProblem};
use self::mechanism::Pkcs11Session;
use self::module::{FoundToken, Module};
use super::frame::{Refusal, Setup, StartFault, TokenDescription};
use super::pin::Pin;
use super::process::scheme;
use super::session::{Opened, Session};

mod attribute;
pub(crate) mod classify;
pub(crate) mod generate;
pub(crate) mod init;
pub(crate) mod key;
mod mechanism;
pub(crate) mod module;
pub(crate) mod operator;

/// Loads the module, logs in, finds every key, and opens the sessions.
///
/// # Errors
/// The [`Refusal`] to report: every fault that can be found without the step that failed.
pub(super) fn open(setup: &Setup) -> Result<Opened, Refusal> {
    let module = Module::load(&setup.module).map_err(token_fault)?;
    let token = module.token(&setup.label, setup.serial.as_deref()).map_err(token_fault)?;
    let pin = Pin::read(&setup.pin_file).map_err(token_fault)?;
    let login = module.context().open_ro_session(token.slot).map_err(call_fault)?;
    log_in(&login, &token.info, &pin)?;
    let in_memory = pin.in_memory();
    drop(pin);
    let keys = find_keys(&module, &token, &login, setup)?;
    let public_keys = keys.iter().map(|key| key.public_key.to_ssh_wire()).collect();
    let keys: Arc<[FoundKey]> = keys.into();
    let mut sessions: Vec<Box<dyn Session>> = vec![Box::new(Pkcs11Session::new(login, keys.clone()))];
    while sessions.len() < session_count(setup.sessions, &token.info) {
        let session = module.context().open_ro_session(token.slot).map_err(call_fault)?;
        sessions.push(Box::new(Pkcs11Session::new(session, keys.clone())));
    }
    Ok(Opened {
        token: describe(&token.info),
        keys: public_keys,
        pin: in_memory,
        sessions,
        finish: Box::new(move || module.finalize()),
    })
}

/// Logs in, once. A PIN that may be wrong is never tried twice, and a token's last try is left to a person.
///
/// # Errors
/// [`Refusal::PinRefused`] if the PIN was refused or would have spent the last try; [`Refusal::Faults`] otherwise.
pub(super) fn log_in(
    session: &cryptoki::session::Session,
    info: &TokenInfo,
    pin: &Pin,
) -> Result<(), Refusal> {
    if !info.login_required() {
        return Ok(());
    }
    let refuse = |message: &str| Err(Refusal::PinRefused(message.to_owned()));
    if info.user_pin_locked() {
        return refuse(
            "the token's user PIN is locked; unlock it with the SO PIN, then put the new PIN into `pin_file`",
        );
    }
    if info.user_pin_final_try() {
        return refuse(
            "the token has one try left for the user PIN, which is not spent here; log in once by hand with the right PIN",
        );
    }
    if !info.user_pin_initialized() {
        return refuse("the token has no user PIN yet; run `countersign token init`");
    }
    match session.login_with_raw(UserType::User, &pin.for_login()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(error) if classify::concerns_pin(&error) => Err(Refusal::PinRefused(format!(
            "the token refused the PIN ({}); put the right PIN into `pin_file`",
            classify::code(&error)
        ))),
        Err(error) => Err(call_fault(error)),
    }
}

fn find_keys(
    module: &Module,
    token: &FoundToken,
    session: &cryptoki::session::Session,
    setup: &Setup,
) -> Result<Vec<FoundKey>, Refusal> {
    let mechanisms = module.context().get_mechanism_list(token.slot).map_err(call_fault)?;
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for (index, wanted) in setup.keys.iter().enumerate() {
        let key = scheme(&wanted.scheme)
            .ok_or_else(|| KeyProblem::Scheme { scheme: wanted.scheme.clone() })
            .and_then(|scheme| key::find(session, wanted.label.as_str(), wanted.id.as_deref(), scheme))
            .and_then(|key| mechanism::check(&mechanisms, key));
        match key {
            Ok(key) => found.push(key),
            Err(problem) => faults.push(StartFault { key: Some(index), message: problem.to_string() }),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(Refusal::Faults(faults)) }
}

/// The configured number, or what the token allows.
fn session_count(configured: usize, info: &TokenInfo) -> usize {
    match info.max_session_count() {
        Limit::Max(most) => configured.min(usize::try_from(most).unwrap_or(configured)).max(1),
        Limit::Unavailable | Limit::Infinite => configured.max(1),
    }
}

fn describe(info: &TokenInfo) -> TokenDescription {
    TokenDescription {
        serial: module::trim(info.serial_number()).to_owned(),
        model: module::trim(info.model()).to_owned(),
        firmware: info.firmware_version().to_string(),
    }
}

fn token_fault(problem: impl std::fmt::Display) -> Refusal {
    Refusal::Faults(vec![StartFault { key: None, message: problem.to_string() }])
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn call_fault(error: Error) -> Refusal {
    let failure = classify::describe(&error);
    token_fault(format!("{} failed: {}; {}", failure.call, failure.code, classify::advice(&error)))
}
