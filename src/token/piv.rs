//! YubiKeys: CA keys in PIV slots, through pcscd.
//!
//! In: a [`Setup`]. Out: an [`Opened`] token: the card of the configured serial number, every key found in its slot and
//! checked, the PIN verified once; or everything that is wrong with it at once. Promised: no signature and no PIN goes to a card
//! of another serial number, and what is unlocked is locked again before another program may speak to the card. Not done here:
//! nothing on a card is changed but by an operator's commands (`management`).

use self::card::{Card, Trouble};
use self::key::FoundKey;
use self::login::Login;
use self::session::PivSession;
use super::device::YubiKey;
use super::frame::{At, Refusal, Setup, StartFault, TokenDescription};
use super::gate::Gate;
use super::session::Opened;

mod apdu;
mod attestation;
mod card;
pub(crate) mod certificate;
pub(crate) mod cipher;
mod classify;
pub(crate) mod import;
mod key;
mod login;
pub(crate) mod management;
pub(crate) mod operator;
mod padding;
pub(crate) mod policy;
pub(crate) mod reference;
mod session;
mod signature;
pub(super) mod tlv;

/// Finds the card, every key and the PIN to be right.
///
/// # Errors
/// The [`Refusal`] to report: every fault that can be found without the step that failed.
pub(super) fn open(device: YubiKey, setup: &Setup, gate: Gate) -> Result<Opened, Refusal> {
    let mut login = Login::read(setup, device.serial, gate).map_err(refusal)?;
    let mut card = Card::open(device.serial).map_err(refusal)?;
    let keys = card.talk(|talk| Ok(key::find_all(talk, setup, device.touch))).map_err(refusal)?;
    let keys: Vec<FoundKey> = keys.map_err(Refusal::Faults)?;
    card.talk(|talk| login.verify(talk)).map_err(refusal)?;
    let token = TokenDescription {
        serial: device.serial.to_string(),
        model: "YubiKey".to_owned(),
        firmware: card.firmware().to_string(),
    };
    let spkis = keys.iter().map(|key| key.public_key.to_spki_der()).collect();
    let pin = login.in_memory();
    let session = PivSession::new(device, setup.clone(), card, keys, login);
    // The card is let go of when its session ends.
    Ok(Opened { token, keys: spkis, pin, sessions: vec![Box::new(session)], finish: Box::new(|| {}) })
}

fn refusal(trouble: Trouble) -> Refusal {
    match trouble {
        Trouble::Pin(refusal) => Refusal::PinRefused(refusal),
        other => {
            let at = if matches!(other, Trouble::PinFile(_)) { At::PinFile } else { At::Token };
            Refusal::Faults(vec![StartFault { at, message: other.advice() }])
        }
    }
}
