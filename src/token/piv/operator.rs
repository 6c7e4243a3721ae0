//! Keys on a YubiKey as an operator's command sees them: looked at without a PIN.

use super::card::{Card, Trouble};
use super::key::{self, KeyProblem};
use crate::key::PublicKey;
use crate::token::device::YubiKey;

/// The public half of a configured key, by the rules of the service.
///
/// # Errors
/// That the card is not there, or [`KeyProblem`].
pub(crate) fn public_key(device: YubiKey, config: &crate::key::Config) -> anyhow::Result<PublicKey> {
    let slot = config.slot.ok_or(KeyProblem::NoSlot)?;
    let failed = |trouble: Trouble| anyhow::anyhow!(trouble.advice());
    let mut card = Card::open(device.serial).map_err(failed)?;
    let found = card.talk(|talk| Ok(key::find(talk, slot, config.scheme, device.touch))).map_err(failed)?;
    Ok(found?.public_key)
}
