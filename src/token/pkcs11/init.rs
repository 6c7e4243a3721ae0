//! Initialises a token in a free slot, and sets its user PIN.
//!
//! In: a label and two PINs. Out: the new token. Never touches a token that is initialised already: `C_InitToken` would
//! destroy its keys.

use cryptoki::session::UserType;
use cryptoki::slot::{Slot, TokenInfo};

use super::classify;
use super::module::{FoundToken, Module, trim};
use super::operator::call;
use crate::token::Pin;

/// A slot whose token is not initialised.
pub(crate) struct FreeSlot {
    slot: Slot,
    /// What the blank token says of itself.
    pub(crate) info: TokenInfo,
}

/// The first free slot, if no token has this label.
///
/// # Errors
/// If a token has this label, or every token is initialised.
pub(crate) fn free_slot(module: &Module, label: &str) -> anyhow::Result<FreeSlot> {
    let mut free = None;
    for state in module.slots()? {
        match state.info {
            Ok(info) if info.token_initialized() => {
                if trim(info.label()) == label {
                    anyhow::bail!(
                        "a token with label {label:?} exists already (serial {}); nothing was changed",
                        trim(info.serial_number())
                    );
                }
            }
            Ok(info) => free = free.or(Some(FreeSlot { slot: state.slot, info })),
            // The unreadable slot might hold the very label: better stop than make a second one.
            Err(error) => anyhow::bail!(
                "slot {} cannot be read ({}); remove or mend it first",
                state.slot.id(),
                classify::code(&error)
            ),
        }
    }
    free.ok_or_else(|| anyhow::anyhow!("every token of this module is initialised; there is no free slot"))
}

/// Initialises the token and sets its user PIN.
///
/// # Errors
/// If a PIN is not text, or a call fails; the call's name says how far it went.
pub(crate) fn init(module: &Module, free: &FreeSlot, label: &str, pins: &Pins) -> anyhow::Result<FoundToken> {
    let text = || anyhow::anyhow!("a PIN is not UTF-8, which is all that can be set here");
    let so_pin = pins.so.for_init().ok_or_else(text)?;
    let user_pin = pins.user.for_init().ok_or_else(text)?;
    module.context().init_token(free.slot, &so_pin, label).map_err(call)?;
    // Some modules renumber their slots now (SoftHSMv2#382): the label finds the token again.
    let token = module.token(label, None)?;
    let session = module.context().open_rw_session(token.slot).map_err(call)?;
    session.login(UserType::So, Some(&so_pin)).map_err(call)?;
    session.init_pin(&user_pin).map_err(call)?;
    session.logout().map_err(call)?;
    Ok(token)
}

/// The two PINs of a token.
pub(crate) struct Pins {
    /// The security officer's.
    pub(crate) so: Pin,
    /// The one that signs.
    pub(crate) user: Pin,
}
