//! Certificate objects: where OpenSC, ykcs11 and other programs look for the certificate of a slot's key.
//!
//! In: a slot, and a certificate in DER. Out: the object as SP 800-73-4 part 1 §3.3 has it. Promised: a certificate is of the key
//! that is in the slot when it is written, goes with a key that moves, and goes when the key does. Not done here: whether
//! anybody should trust it; the service has certificates of its keys in files.

use super::apdu::Command;
use super::attestation;
use super::card::{Card, Talk, Trouble};
use super::classify::{Said, said};
use super::key;
use super::management::{self, ManagementKey};
use super::tlv;
use crate::key::PublicKey;
use crate::token::device::{Slot, YubiKey};

/// The most that an object of a YubiKey 5 holds.
const LONGEST: usize = 3052;
/// CertInfo's bit for "compressed" (SP 800-73-4 part 1, appendix A).
const COMPRESSED: u8 = 0x01;

/// The certificate in DER that a slot has, if it has one.
///
/// # Errors
/// That it cannot be read.
pub(crate) fn read(device: YubiKey, slot: Slot) -> anyhow::Result<Option<Vec<u8>>> {
    let mut card = Card::open(device.serial).map_err(failed)?;
    let Some(object) = card.talk(|talk| object(talk, slot)).map_err(failed)? else { return Ok(None) };
    let info = tlv::find(&object, 0x71).and_then(<[u8]>::first).copied().unwrap_or_default();
    anyhow::ensure!(
        info & COMPRESSED == 0,
        "the certificate of slot {slot} is compressed, which is not read here; `ykman piv certificates export {slot} -` reads it"
    );
    let der = tlv::find(&object, 0x70).filter(|der| attestation::certificate(der).is_ok());
    let der = der.ok_or_else(|| anyhow::anyhow!("what slot {slot} has for a certificate is none"))?;
    Ok(Some(der.to_vec()))
}

/// Gives a slot the certificate of its key.
///
/// # Errors
/// That it is another key's, or too long, or what the card says; the slot has what it had before then.
pub(crate) fn write(
    device: YubiKey,
    slot: Slot,
    der: &[u8],
    management_key: &ManagementKey,
) -> anyhow::Result<()> {
    let certified = certified_key(der)?;
    let object = [tlv::of(0x70, der), tlv::of(0x71, &[0]), tlv::of(0xFE, &[])].concat();
    anyhow::ensure!(
        object.len() <= LONGEST,
        "the certificate has {} bytes, and a YubiKey has room for {}; nothing was changed",
        der.len(),
        LONGEST - (object.len() - der.len())
    );
    management::change(device, management_key, |talk| {
        let found = key::facts(talk, slot).map_err(|problem| Trouble::Keys(problem.to_string()))?;
        if *found.public_key() != certified {
            return Err(Trouble::Keys(format!(
                "the certificate is of the key {}, and slot {slot} holds {}; nothing was changed",
                certified.fingerprint(),
                found.public_key().fingerprint()
            )));
        }
        put(talk, slot, &object)
    })
}

fn certified_key(der: &[u8]) -> anyhow::Result<PublicKey> {
    use x509_cert::der::Encode;
    let certificate = attestation::certificate(der)?;
    let spki = certificate.tbs_certificate().subject_public_key_info().to_der()?;
    Ok(PublicKey::from_spki_der(&spki)?)
}

/// A key has moved: its certificate does as well.
///
/// # Errors
/// That the certificate is not where the key is now.
pub(super) fn follow(talk: &mut Talk<'_>, from: Slot, to: Slot) -> Result<(), Trouble> {
    let moved = object(talk, from).and_then(|found| match found {
        Some(found) => put(talk, to, &found).and_then(|()| put(talk, from, &[])),
        // What the other slot still had of a key of before is not this key's.
        None => remove_if_there(talk, to),
    });
    moved.map_err(|trouble| {
        Trouble::Keys(format!("the key has moved, but not its certificate: {}", trouble.advice()))
    })
}

/// A key is gone: its certificate goes, too.
///
/// # Errors
/// That the certificate is still there.
pub(super) fn remove(talk: &mut Talk<'_>, slot: Slot) -> Result<(), Trouble> {
    remove_if_there(talk, slot).map_err(|trouble| {
        Trouble::Keys(format!("the key is gone, but not its certificate: {}", trouble.advice()))
    })
}

fn remove_if_there(talk: &mut Talk<'_>, slot: Slot) -> Result<(), Trouble> {
    if object(talk, slot)?.is_some() { put(talk, slot, &[]) } else { Ok(()) }
}

fn object(talk: &mut Talk<'_>, slot: Slot) -> Result<Option<Vec<u8>>, Trouble> {
    let command = Command::new("GET DATA", 0xCB, 0x3F, 0xFF, tlv::of(0x5C, &tag(slot)));
    let response = talk.send(&command)?;
    match said(response.status) {
        Said::Done => {
            let object =
                tlv::find(&response.data, 0x53).ok_or(Trouble::Nonsense { command: command.name })?;
            Ok(Some(object.to_vec()).filter(|object| !object.is_empty()))
        }
        Said::NoSuchKey => Ok(None),
        Said::Tries(_) | Said::Blocked | Said::Forbidden | Said::Unknown | Said::Broken => {
            Err(Trouble::Refused { command: command.name, status: response.status })
        }
    }
}

fn put(talk: &mut Talk<'_>, slot: Slot, object: &[u8]) -> Result<(), Trouble> {
    let data = [tlv::of(0x5C, &tag(slot)), tlv::of(0x53, object)].concat();
    let command = Command::new("PUT DATA", 0xDB, 0x3F, 0xFF, data);
    match talk.send(&command)?.status {
        0x9000 => Ok(()),
        0x6A84 => Err(Trouble::Keys("the YubiKey has no room left for it; nothing was changed".to_owned())),
        status => Err(Trouble::Refused { command: command.name, status }),
    }
}

/// SP 800-73-4 part 1, table 3.
fn tag(slot: Slot) -> [u8; 3] {
    let last = match slot.number() {
        0x9A => 0x05,
        0x9C => 0x0A,
        0x9D => 0x0B,
        0x9E => 0x01,
        // 82 to 95: the retired keys, from 0D on.
        retired => 0x0D + retired.saturating_sub(0x82),
    };
    [0x5F, 0xC1, last]
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(trouble: Trouble) -> anyhow::Error {
    anyhow::anyhow!(trouble.advice())
}
