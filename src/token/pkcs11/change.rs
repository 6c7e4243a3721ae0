//! Changes a user PIN, and sets it anew as the security officer.
//!
//! In: a token, and PINs. Out: the token with the new PIN, or a [`ChangeError`] that says which PIN it has now. A PIN is tried
//! once, never where it would be the last try, and never one that was refused before (R9).

use cryptoki::error::Error;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::TokenInfo;

use super::classify::{self, Remedy, remedy};
use super::module::{FoundToken, Module};
use super::operator::{call, refused};
use super::{On, log_in};
use crate::token::Pin;
use crate::token::frame::{PinRefusal, Refusal};
use crate::token::gate::Gate;

/// Why a PIN was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The token refused the PIN that it should have, or that one may not be tried.
    #[error("{}; the PIN is as it was", .0.message)]
    Refused(PinRefusal),
    /// The token has the PIN that it had.
    #[error("{0}; the PIN is as it was")]
    Unchanged(String),
    /// The token may have either.
    #[error("{0}; whether the token has the old PIN or the new one is not known")]
    Unknown(String),
}

/// Logs in with the old PIN, and sets the new one.
///
/// # Errors
/// [`ChangeError`]
pub(crate) fn change(
    module: &Module,
    token: &FoundToken,
    (old, new): (&Pin, &Pin),
    gate: &Gate,
) -> Result<(), ChangeError> {
    let unchanged = |error: anyhow::Error| ChangeError::Unchanged(error.to_string());
    let (old_text, new_text) = (text(old)?, text(new)?);
    no_pad(&token.info)?;
    let session = module.context().open_rw_session(token.slot).map_err(call).map_err(unchanged)?;
    log_in(On { module, slot: token.slot, session: &session }, old, gate).map_err(
        |refusal| match refusal {
            Refusal::PinRefused(refusal) => ChangeError::Refused(refusal),
            faults @ Refusal::Faults(_) => unchanged(refused(faults)),
        },
    )?;
    let set = session.set_pin(&old_text, &new_text).map_err(|error| failed(&error, &token.info));
    let _ = session.logout();
    set
}

/// Logs in as the security officer, and sets the user's PIN, which unlocks it.
///
/// # Errors
/// [`ChangeError`]
pub(crate) fn reset(module: &Module, token: &FoundToken, so: &Pin, new: &Pin) -> Result<(), ChangeError> {
    let unchanged = |error: anyhow::Error| ChangeError::Unchanged(error.to_string());
    let new_text = text(new)?;
    no_pad(&token.info)?;
    let session = module.context().open_rw_session(token.slot).map_err(call).map_err(unchanged)?;
    so_log_in(&session, &token.info, so).map_err(ChangeError::Unchanged)?;
    let set = session.init_pin(&new_text).map_err(|error| failed(&error, &token.info));
    let _ = session.logout();
    set
}

/// Logs in as the security officer, once, unless it is the last try.
///
/// # Errors
/// Why not, and what to do.
pub(super) fn so_log_in(session: &Session, info: &TokenInfo, so: &Pin) -> Result<(), String> {
    if info.so_pin_locked() {
        return Err(
            "the SO PIN is locked: only the token's vendor knows what helps; most tokens have to be initialised anew, \
             which destroys their keys"
                .to_owned(),
        );
    }
    if info.so_pin_final_try() {
        return Err(
            "the token has one try left for the SO PIN, which is not spent here; log in once by hand, with the vendor's tool"
                .to_owned(),
        );
    }
    session.login_with_raw(UserType::So, &so.for_login()).map_err(|error| {
        if classify::concerns_pin(&error) {
            format!("the token refused the SO PIN ({}), and is not asked again", classify::code(&error))
        } else {
            call(error).to_string()
        }
    })
}

/// `cryptoki` sets PINs that are text only.
fn text(pin: &Pin) -> Result<cryptoki::types::AuthPin, ChangeError> {
    let message = "a PIN is not UTF-8, which is all that can be set here";
    pin.for_init().ok_or_else(|| ChangeError::Unchanged(message.to_owned()))
}

/// `cryptoki` has no way to have a PIN that is set typed at the token.
///
/// # Errors
/// [`ChangeError::Unchanged`] if the token has one.
pub(crate) fn no_pad(info: &TokenInfo) -> Result<(), ChangeError> {
    if info.protected_authentication_path() {
        let message =
            "the token has its PINs typed at its own pad: change it there, or with the vendor's tool";
        return Err(ChangeError::Unchanged(message.to_owned()));
    }
    Ok(())
}

fn failed(error: &Error, info: &TokenInfo) -> ChangeError {
    let failure = classify::describe(error);
    let said = format!("{} failed: {}", failure.call, failure.code);
    match remedy(error) {
        Remedy::Pin => ChangeError::Unchanged(format!(
            "the token does not take the new PIN ({}); it wants {} to {} bytes, and may want more of it",
            failure.code,
            info.min_pin_length(),
            info.max_pin_length()
        )),
        Remedy::Answer => ChangeError::Unchanged(said),
        Remedy::Refind | Remedy::Reopen | Remedy::LogIn | Remedy::Reinitialize | Remedy::Restart => {
            ChangeError::Unknown(said)
        }
    }
}
