//! The management key, which whoever changes a card's keys must have.
//!
//! In: a file with the key in hexadecimal. Out: keys made, moved and deleted. Card and program each prove that they have
//! the key (mutual authentication, SP 800-73-4 part 2 §3.2.4); it is never sent. AES only: 3DES is what cards of before
//! firmware 5.7 come with, and since 5.4.2 `ykman piv access change-management-key` gives them an AES one.

use std::path::Path;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::{constant_time, rand};
use zeroize::Zeroizing;

use super::apdu::Command;
use super::card::{Card, Talk, Trouble};
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

impl ManagementKey {
    /// Reads a file of mode 0600 or stricter: 32, 48 or 64 hexadecimal digits.
    ///
    /// # Errors
    /// What is wrong with the file; never what is in it.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = Pin::read(path)?;
        let key = text.decoded_hex().filter(|key| matches!(key.len(), 16 | 24 | 32));
        let wrong = || {
            anyhow::anyhow!(
                "{} should hold a management key: 32, 48 or 64 hexadecimal digits",
                path.display()
            )
        };
        key.map(Self).ok_or_else(wrong)
    }

    /// Proves to the card that the key is here, and has it prove the same.
    ///
    /// # Errors
    /// [`Trouble`]
    pub(super) fn authenticate(&self, talk: &mut Talk<'_>) -> Result<(), Trouble> {
        let (id, cipher) = cipher_of(talk)?;
        let wrong = || Trouble::Keys("the management key is another one; nothing was changed".to_owned());
        let key = || UnboundCipherKey::new(cipher, &self.0).map_err(|_| wrong());
        let ask = |talk: &mut Talk<'_>, template: &[u8]| {
            let command = Command::new(NAME, 0x87, id, SLOT, tlv::of(0x7C, template));
            let response = talk.send(&command)?;
            match said(response.status) {
                Said::Done => Ok(response.data),
                Said::Forbidden => Err(wrong()),
                _ => Err(Trouble::Refused { command: NAME, status: response.status }),
            }
        };
        let part = |answer: &[u8], tag| {
            let template = tlv::find(answer, 0x7C)?;
            tlv::find(template, tag).map(<[u8]>::to_vec)
        };
        let witness = ask(talk, &tlv::of(0x80, &[]))?;
        let mut witness = part(&witness, 0x80).ok_or(Trouble::Nonsense { command: NAME })?;
        let decrypting = DecryptingKey::ecb(key()?).map_err(|_| wrong())?;
        let decrypted = decrypting.decrypt(&mut witness, DecryptionContext::None).map_err(|_| wrong())?;

        let mut challenge = [0; 16];
        rand::fill(&mut challenge).map_err(|_| Trouble::Keys("the random source failed".to_owned()))?;
        talk.unlocks();
        let answer = ask(talk, &[tlv::of(0x80, decrypted), tlv::of(0x81, &challenge)].concat())?;
        let encrypting = EncryptingKey::ecb(key()?).map_err(|_| wrong())?;
        encrypting
            .less_safe_encrypt(&mut challenge, aws_lc_rs::cipher::EncryptionContext::None)
            .map_err(|_| wrong())?;
        let answer = part(&answer, 0x82).ok_or(Trouble::Nonsense { command: NAME })?;
        constant_time::verify_slices_are_equal(&answer, &challenge).map_err(|_| {
            Trouble::Keys(
                "the card does not have the management key: it is not the one that you know".to_owned(),
            )
        })
    }
}

/// PIV's number for the management key's cipher, and the cipher.
fn cipher_of(talk: &mut Talk<'_>) -> Result<(u8, &'static Algorithm), Trouble> {
    let response = talk.send(&Command::new("GET METADATA", 0xF7, 0, SLOT, Vec::new()))?;
    match (said(response.status), tlv::find(&response.data, 0x01)) {
        (Said::Done, Some([0x08])) => Ok((0x08, &AES_128)),
        (Said::Done, Some([0x0A])) => Ok((0x0A, &AES_192)),
        (Said::Done, Some([0x0C])) => Ok((0x0C, &AES_256)),
        _ => Err(Trouble::Keys(
            "the management key is a 3DES one; change it (`ykman piv access change-management-key -a AES256`), or make the key with `ykman`".to_owned(),
        )),
    }
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

/// Moves a key to an empty slot.
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
        move_key(talk, from, to.number())
    })
}

/// Deletes a key, for good.
///
/// # Errors
/// As [`generate`].
pub(crate) fn delete(device: YubiKey, slot: Slot, management_key: &ManagementKey) -> anyhow::Result<()> {
    /// MOVE KEY's P1 for "nowhere".
    const NOWHERE: u8 = 0xFF;
    change(device, management_key, |talk| move_key(talk, slot, NOWHERE))
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
fn change(
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
fn want_empty(talk: &mut Talk<'_>, slot: Slot) -> Result<(), Trouble> {
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
        (Scheme::EcdsaP521Sha512, _) => None,
        (Scheme::Ed25519, _) => Some(0xE0),
        (_, 2048) => Some(0x07),
        (_, 3072) => Some(0x05),
        (_, 4096) => Some(0x16),
        _ => None,
    }
}
