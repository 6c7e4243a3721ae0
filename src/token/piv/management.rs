//! The management key, which whoever changes a card's keys must have.
//!
//! In: the key in hexadecimal. Out: keys made, moved and deleted, and another management key. Card and program each prove that they have
//! the key (mutual authentication, SP 800-73-4 part 2 §3.2.4); it is never sent, but for the one that takes its place.

use std::path::Path;

use aws_lc_rs::{constant_time, rand};
use zeroize::Zeroizing;

use super::apdu::Command;
use super::card::{Card, Talk, Trouble};
use super::certificate;
use super::cipher::Cipher;
use super::classify::{Said, said};
use super::key::{self, KeyProblem};
use super::policy::{PinPolicy, TouchPolicy};
use super::tlv;
use crate::key::Scheme;
use crate::token::device::{Slot, YubiKey};
use crate::token::pin::Pin;

/// How a key is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making {
    pub(crate) scheme: Scheme,
    /// Of an RSA key.
    pub(crate) rsa_bits: u16,
    pub(crate) pin_policy: PinPolicy,
    pub(crate) touch_policy: TouchPolicy,
}

/// The slot of the management key.
const SLOT: u8 = 0x9B;
const NAME: &str = "GENERAL AUTHENTICATE";

/// A management key. It has no `Debug`.
pub(crate) struct ManagementKey(Zeroizing<Vec<u8>>);

/// It is not the hexadecimal form of a management key. What it is, is not said.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a management key is 32, 48 or 64 hexadecimal digits")]
pub(crate) struct NoManagementKey;

impl ManagementKey {
    /// # Errors
    /// [`NoManagementKey`]
    pub(crate) fn from_hex(text: &Pin) -> Result<Self, NoManagementKey> {
        let key = text.decoded_hex().filter(|key| matches!(key.len(), 16 | 24 | 32));
        key.map(Self).ok_or(NoManagementKey)
    }

    /// A random one.
    ///
    /// # Errors
    /// If the random source fails.
    pub(crate) fn random(cipher: Cipher) -> anyhow::Result<Self> {
        let mut key = Zeroizing::new(vec![0; cipher.key_len()]);
        rand::fill(&mut key)?;
        Ok(Self(key))
    }

    /// Writes it in hexadecimal to a new file of mode 0600, durably.
    ///
    /// # Errors
    /// If there is such a file already, or it cannot be written.
    pub(crate) fn write_new(&self, path: &Path) -> anyhow::Result<()> {
        Ok(Pin::hex_of(&self.0).write_new(path)?)
    }

    /// Whether it is as long as keys for this cipher are.
    pub(crate) fn fits(&self, cipher: Cipher) -> bool {
        self.0.len() == cipher.key_len()
    }

    /// Proves to the card that the key is here, and has it prove the same.
    ///
    /// # Errors
    /// [`Trouble`]
    pub(super) fn authenticate(&self, talk: &mut Talk<'_>) -> Result<(), Trouble> {
        let cipher = cipher_of(talk)?;
        let ask = |talk: &mut Talk<'_>, template: &[u8], tag: u32| {
            let command = Command::new(NAME, 0x87, cipher.id(), SLOT, tlv::of(0x7C, template));
            let response = talk.send(&command)?;
            match said(response.status) {
                Said::Done => {}
                Said::Forbidden => return Err(wrong()),
                _ => return Err(Trouble::Refused { command: NAME, status: response.status }),
            }
            let part = tlv::find(&response.data, 0x7C).and_then(|template| tlv::find(template, tag));
            part.map(<[u8]>::to_vec).ok_or(Trouble::Nonsense { command: NAME })
        };
        let witness = ask(talk, &tlv::of(0x80, &[]), 0x80)?;
        let decrypted = cipher.decrypt(&self.0, &witness).ok_or_else(wrong)?;
        let mut challenge = vec![0; cipher.block_len()];
        rand::fill(&mut challenge).map_err(|_| Trouble::Keys("the random source failed".to_owned()))?;
        talk.unlocks();
        let answer = ask(talk, &[tlv::of(0x80, &decrypted), tlv::of(0x81, &challenge)].concat(), 0x82)?;
        let expected = cipher.encrypt(&self.0, &challenge).ok_or_else(wrong)?;
        constant_time::verify_slices_are_equal(&answer, &expected).map_err(|_| {
            Trouble::Keys(
                "the card does not have the management key: it is not the one that you know".to_owned(),
            )
        })
    }
}

fn wrong() -> Trouble {
    Trouble::Keys("the management key is another one; nothing was changed".to_owned())
}

/// What the management key is for. Firmware that does not tell has 3DES only.
fn cipher_of(talk: &mut Talk<'_>) -> Result<Cipher, Trouble> {
    const METADATA: &str = "GET METADATA";
    let response = talk.send(&Command::new(METADATA, 0xF7, 0, SLOT, Vec::new()))?;
    match said(response.status) {
        Said::Done => {}
        Said::Unknown => return Ok(Cipher::TripleDes),
        _ => return Err(Trouble::Refused { command: METADATA, status: response.status }),
    }
    let Some(&[id]) = tlv::find(&response.data, 0x01) else {
        return Err(Trouble::Nonsense { command: METADATA });
    };
    Cipher::of_id(id).ok_or_else(|| {
        Trouble::Keys(format!("the management key is for a cipher {id:02x} that is not known here"))
    })
}

/// Puts another management key in the place of this one. `new` is asked for it once the card has taken this one.
///
/// # Errors
/// What is wrong; nothing was changed then, unless the card was lost in the middle of it.
pub(crate) fn replace(
    device: YubiKey,
    current: &ManagementKey,
    cipher: Cipher,
    new: impl FnOnce() -> anyhow::Result<ManagementKey>,
) -> anyhow::Result<()> {
    const NAME: &str = "SET MANAGEMENT KEY";
    change(device, current, |talk| {
        let key = new().map_err(|error| Trouble::Keys(format!("{error:#}; nothing was changed")))?.0;
        let length = u8::try_from(key.len()).unwrap_or(u8::MAX);
        let data = [&[cipher.id(), SLOT, length], key.as_slice()].concat();
        match talk.send(&Command::new(NAME, 0xFF, 0xFF, 0xFF, data))?.status {
            0x9000 => Ok(()),
            0x6A80 => Err(Trouble::Keys(format!(
                "firmware {} refuses such a key for {cipher} (AES is of 5.4.2); nothing was changed",
                talk.firmware()
            ))),
            status => Err(Trouble::Refused { command: NAME, status }),
        }
    })
}

/// Makes a key in an empty slot.
///
/// # Errors
/// What is wrong; nothing was changed then.
pub(crate) fn generate(
    device: YubiKey,
    slot: Slot,
    making: Making,
    management_key: &ManagementKey,
) -> anyhow::Result<()> {
    let algorithm = algorithm(making)
        .ok_or_else(|| anyhow::anyhow!("a YubiKey has no keys for scheme {}", making.scheme))?;
    let wanted = [
        tlv::of(0x80, &[algorithm]),
        tlv::of(0xAA, &[making.pin_policy.0]),
        tlv::of(0xAB, &[making.touch_policy.0]),
    ];
    let command = Command::new("GENERATE", 0x47, 0, slot.number(), tlv::of(0xAC, &wanted.concat()));
    change(device, management_key, |talk| {
        want_empty(talk, slot)?;
        match talk.send(&command)?.status {
            0x9000 => Ok(()),
            0x6A80 => Err(Trouble::Keys(format!(
                "firmware {} makes no such keys (Ed25519, and RSA of 3072 and 4096 bits, are of 5.7)",
                talk.firmware()
            ))),
            status => Err(Trouble::Refused { command: command.name, status }),
        }
    })
}

/// Moves a key to an empty slot, and its certificate with it.
///
/// # Errors
/// As [`generate`].
pub(crate) fn relocate(
    device: YubiKey,
    from: Slot,
    to: Slot,
    management_key: &ManagementKey,
) -> anyhow::Result<()> {
    change(device, management_key, |talk| {
        want_empty(talk, to)?;
        move_key(talk, from, to.number())?;
        certificate::follow(talk, from, to)
    })
}

/// Deletes the key of this fingerprint, for good, and its certificate. Another program may have put another key into the slot since
/// somebody looked: what is there is asked for again, in the same transaction.
///
/// # Errors
/// As [`generate`].
pub(crate) fn delete(
    device: YubiKey,
    slot: Slot,
    fingerprint: &str,
    management_key: &ManagementKey,
) -> anyhow::Result<()> {
    /// MOVE KEY's P1 for "nowhere".
    const NOWHERE: u8 = 0xFF;
    change(device, management_key, |talk| {
        let facts = key::facts(talk, slot).map_err(|problem| Trouble::Keys(problem.to_string()))?;
        if facts.public_key().fingerprint() != fingerprint {
            return Err(Trouble::Keys(format!(
                "slot {slot} holds another key by now, and nothing was deleted; `countersign key list` shows what the card holds"
            )));
        }
        move_key(talk, slot, NOWHERE)?;
        certificate::remove(talk, slot)
    })
}

fn move_key(talk: &mut Talk<'_>, from: Slot, to: u8) -> Result<(), Trouble> {
    let command = Command::new("MOVE KEY", 0xF6, to, from.number(), Vec::new());
    let status = talk.send(&command)?.status;
    match said(status) {
        Said::Done => Ok(()),
        Said::NoSuchKey => Err(Trouble::Keys(format!("slot {from} holds no key"))),
        Said::Unknown => Err(Trouble::Keys(format!(
            "firmware {} moves and deletes no keys: that is of 5.7",
            talk.firmware()
        ))),
        _ => Err(Trouble::Refused { command: command.name, status }),
    }
}

/// Proves to have the management key, and changes something in the same transaction.
pub(super) fn change(
    device: YubiKey,
    management_key: &ManagementKey,
    work: impl FnOnce(&mut Talk<'_>) -> Result<(), Trouble>,
) -> anyhow::Result<()> {
    let failed = |trouble: Trouble| anyhow::anyhow!(trouble.advice());
    let mut card = Card::open(device.serial).map_err(failed)?;
    card.talk(|talk| {
        management_key.authenticate(talk)?;
        work(talk)
    })
    .map_err(failed)
}

/// A key is made over no other: what a card has lost is lost.
pub(super) fn want_empty(talk: &mut Talk<'_>, slot: Slot) -> Result<(), Trouble> {
    match key::facts(talk, slot) {
        Err(KeyProblem::Empty { .. }) => Ok(()),
        Ok(_) | Err(_) => Err(Trouble::Keys(format!(
            "slot {slot} holds a key already, and nothing was changed; `countersign key delete` deletes it"
        ))),
    }
}

fn algorithm(making: Making) -> Option<u8> {
    match (making.scheme, making.rsa_bits) {
        (Scheme::EcdsaP256Sha256, _) => Some(0x11),
        (Scheme::EcdsaP384Sha384, _) => Some(0x14),
        (Scheme::EcdsaP521Sha512 | Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87, _) => None,
        (Scheme::Ed25519, _) => Some(0xE0),
        (_, 2048) => Some(0x07),
        (_, 3072) => Some(0x05),
        (_, 4096) => Some(0x16),
        _ => None,
    }
}
