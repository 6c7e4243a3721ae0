//! A key that was made elsewhere, put into a slot; and the proof that the slot signs as it does.
//!
//! In: a [`SoftwareKey`]. Out: the same key in the card, which tells for ever that it was imported (its metadata; no attestation).
//! Promised: no key is overwritten but the one whose fingerprint was given.

use zeroize::Zeroizing;

use super::apdu::Command;
use super::card::{Talk, Trouble};
use super::certificate;
use super::key::{self, KeyProblem};
use super::management::{self, ManagementKey};
use super::policy::{PinPolicy, TouchPolicy};
use crate::key::PublicKey;
use crate::token::device::{Slot, YubiKey};
use crate::token::software::{Number, Private, SoftwareKey, padded};

/// Where a key goes, and how it may be used there.
pub(crate) struct Placing<'a> {
    pub(crate) slot: Slot,
    pub(crate) pin_policy: PinPolicy,
    pub(crate) touch_policy: TouchPolicy,
    /// The fingerprint of the key that it takes the place of.
    pub(crate) replace: Option<&'a str>,
}

/// Yubico's IMPORT takes no other.
const EXPONENT: [u8; 3] = [1, 0, 1];
/// Five numbers of half of 4096 bits, their tags, and two policies.
const ROOM: usize = 5 * 260 + 6;

/// Puts the key into a slot.
///
/// # Errors
/// What is wrong; nothing was changed then, unless the card was lost in the middle of it.
pub(crate) fn import(
    device: YubiKey,
    key: &SoftwareKey,
    placing: &Placing<'_>,
    management_key: &ManagementKey,
) -> anyhow::Result<()> {
    let algorithm = key::algorithm(&key.public).ok_or_else(|| {
        anyhow::anyhow!(
            "a YubiKey has no such keys: P-256, P-384, Ed25519, and RSA of 2048, 3072 or 4096 bits"
        )
    })?;
    if let PublicKey::Rsa(public) = &key.public {
        anyhow::ensure!(public.exponent() == EXPONENT, "a YubiKey imports RSA keys of exponent 65537 only");
    }
    let mut data = data(key, placing).ok_or_else(|| {
        anyhow::anyhow!("the primes of the RSA key are not alike in length, as a YubiKey wants them")
    })?;
    let slot = placing.slot.number();
    let command = Command::new("IMPORT", 0xFE, algorithm, slot, std::mem::take(&mut *data));
    management::change(device, management_key, |talk| {
        let replaces = want_place(talk, placing)?;
        match talk.send(&command)?.status {
            0x9000 => {}
            0x6A80 => {
                return Err(Trouble::Keys(format!(
                    "firmware {} takes no such keys (Ed25519, and RSA of 3072 and 4096 bits, are of 5.7); nothing was changed",
                    talk.firmware()
                )));
            }
            status => return Err(Trouble::Refused { command: command.name, status }),
        }
        // The other key's certificate would be taken for this one's.
        if replaces { certificate::remove(talk, placing.slot) } else { Ok(()) }
    })
}

/// Whether there is a key, which then is the one that may be overwritten.
fn want_place(talk: &mut Talk<'_>, placing: &Placing<'_>) -> Result<bool, Trouble> {
    let slot = placing.slot;
    let found = match key::facts(talk, slot) {
        Err(KeyProblem::Empty { .. }) => return Ok(false),
        Err(problem) => return Err(Trouble::Keys(format!("{problem}; nothing was changed"))),
        Ok(facts) => facts.public_key().fingerprint(),
    };
    if placing.replace == Some(found.as_str()) {
        return Ok(true);
    }
    Err(Trouble::Keys(format!(
        "slot {slot} holds the key {found} already, and nothing was changed; --replace with this fingerprint overwrites it, for good"
    )))
}

/// Yubico's IMPORT ASYMMETRIC KEY: each number in a TLV of its own.
fn data(key: &SoftwareKey, placing: &Placing<'_>) -> Option<Zeroizing<Vec<u8>>> {
    // Of such a capacity that growing does not leave a copy behind.
    let mut data = Zeroizing::new(Vec::with_capacity(ROOM));
    match &key.private {
        Private::Ecdsa(scalar) => put(&mut data, 0x06, scalar),
        Private::Ed25519(seed) => put(&mut data, 0x07, seed),
        Private::Rsa(numbers) => {
            let PublicKey::Rsa(public) = &key.public else { return None };
            let half = public.modulus().len() / 2;
            let all = [&numbers.p, &numbers.q, &numbers.dp, &numbers.dq, &numbers.q_inverse];
            for (tag, number) in (0x01..).zip(all) {
                put(&mut data, tag, &padded(number, half)?);
            }
        }
    }
    data.extend([0xAA, 1, placing.pin_policy.0, 0xAB, 1, placing.touch_policy.0]);
    Some(data)
}

fn put(data: &mut Vec<u8>, tag: u8, number: &Number) {
    let [high, low] = u16::try_from(number.len()).unwrap_or(u16::MAX).to_be_bytes();
    match number.len() {
        0..=0x7F => data.extend([tag, low]),
        0x80..=0xFF => data.extend([tag, 0x81, low]),
        _ => data.extend([tag, 0x82, high, low]),
    }
    data.extend_from_slice(number);
}
