//! One signature by one key, in a command's own process: for what operators have a key say, as a record of how it was made.
//!
//! In: a token, one of its keys, and a message whose first bytes say what it is. Out: the key's public half and a signature that
//! verifies under it. Nothing is recorded before: whoever calls this has an answer to what the message could be taken for, and a row in
//! docs/ledger.md, where such uses of a key are listed.

use super::device::Device;
use super::frame::{CallFailure, Refusal};
use super::gate::{BUSY, Gate};
use super::input::Input;
use super::latch::Latch;
use super::session::{Opened, Session, SignError};
use super::start::{setup, unreadable};
use super::{Config, piv, pkcs11};
use crate::key::{self, PublicKey};
use crate::verify::Verifier;

/// Opens the token, finds the key by the rules of the service, has it sign, and lets go of the token.
///
/// # Errors
/// What is wrong, and what to do.
pub(crate) fn sign(
    token: &Config,
    key: &key::Config,
    latch: &Latch,
    message: &[u8],
) -> anyhow::Result<(PublicKey, Vec<u8>)> {
    let past = latch.past().map_err(|error| anyhow::anyhow!(unreadable(latch, &error)))?;
    let mut setup = setup(token, std::slice::from_ref(key));
    setup.sessions = 1;
    let opened = match &setup.device {
        Device::Pkcs11(device) => pkcs11::open(device, &setup, Gate::Own(past)),
        Device::YubiKey(device) => piv::open(*device, &setup, Gate::Own(past)),
    };
    let Opened { keys, sessions, finish, .. } = opened.map_err(|refusal| refused(latch, refusal))?;
    let signed = signature(sessions, &Input::of(key.scheme, message), latch);
    finish();
    let spki = keys.first().ok_or_else(|| anyhow::anyhow!("the token shows no public key"))?;
    let (public_key, raw) = (PublicKey::from_spki_der(spki)?, signed?);
    Verifier::new(key.scheme, &public_key)?.verify(message, &raw)?;
    Ok((public_key, raw))
}

fn signature(sessions: Vec<Box<dyn Session>>, input: &Input, latch: &Latch) -> anyhow::Result<Vec<u8>> {
    let mut sessions = sessions.into_iter();
    let mut session = sessions.next().ok_or_else(|| anyhow::anyhow!("the token has no session"))?;
    session.sign(0, input, None, &mut |_| {}).map_err(|error| match error {
        SignError::Request(CallFailure { call, code }) | SignError::Process(CallFailure { call, code }) => {
            anyhow::anyhow!("{call} failed: {code}")
        }
        SignError::Busy { .. } => anyhow::anyhow!(BUSY),
        SignError::Late { .. } => anyhow::anyhow!("it took too long"),
        SignError::Pin { refusal, .. } => {
            latch.note(&refusal);
            anyhow::anyhow!(refusal.message)
        }
    })
}

fn refused(latch: &Latch, refusal: Refusal) -> anyhow::Error {
    if let Refusal::PinRefused(refusal) = &refusal {
        latch.note(refusal);
    }
    pkcs11::operator::refused(refusal)
}
