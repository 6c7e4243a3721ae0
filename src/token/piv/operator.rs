//! A YubiKey as an operator's command sees it: looked at without a PIN, and never changed.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Encode;

use super::apdu::Command;
use super::attestation::{self, Attestation};
use super::card::{Card, Firmware, Talk, Trouble};
use super::classify::{Said, said};
use super::key::{self, KeyProblem, Wanted};
use super::policy::{PinPolicy, TouchPolicy};
use super::tlv;
use crate::key::PublicKey;
use crate::token::device::{Slot, YubiKey};

/// What a card says of itself.
pub(crate) struct CardFacts {
    pub(crate) firmware: Firmware,
    pub(crate) pin: Option<Tries>,
    pub(crate) puk: Option<Tries>,
    pub(crate) management_key: Option<ManagementKey>,
    /// Those that hold a key.
    pub(crate) slots: Vec<SlotFacts>,
}

/// How many tries a PIN or PUK has.
pub(crate) struct Tries {
    pub(crate) left: u8,
    /// Firmware older than 5.3 does not tell.
    pub(crate) of: Option<u8>,
    /// Whether it is still the factory's.
    pub(crate) factory: bool,
}

/// What the management key is.
pub(crate) struct ManagementKey {
    pub(crate) algorithm: &'static str,
    pub(crate) factory: bool,
}

/// A key in a slot.
pub(crate) struct SlotFacts {
    pub(crate) slot: Slot,
    pub(crate) algorithm: &'static str,
    pub(crate) pin_policy: PinPolicy,
    pub(crate) touch_policy: TouchPolicy,
    /// Whether it was made in the card.
    pub(crate) made_here: bool,
}

/// A key whose attestation leads to a root.
pub(crate) struct Attested {
    pub(crate) slot: Slot,
    pub(crate) attestation: Attestation,
    /// The root's name.
    pub(crate) root: String,
}

/// What to know of firmware before 5.7.
pub(crate) const EUCLEAK: &str = "WARNING: this firmware has EUCLEAK (YSA-2024-03): who has the card in hand for a while can work out its ECDSA keys; use RSA, or a card of firmware 5.7";

/// The object that holds the certificate of the attestation key.
const ATTESTATION_CERTIFICATE: [u8; 3] = [0x5F, 0xFF, 0x01];

/// The public half of a configured key, by the rules of the service.
///
/// # Errors
/// That the card is not there, or [`KeyProblem`].
pub(crate) fn public_key(device: YubiKey, config: &crate::key::Config) -> anyhow::Result<PublicKey> {
    let slot = config.slot.ok_or(KeyProblem::NoSlot)?;
    let mut card = Card::open(device.serial).map_err(failed)?;
    let wanted = Wanted { slot, scheme: config.scheme, accept: &config.accept };
    let found = card.talk(|talk| Ok(key::find(talk, wanted, device.touch))).map_err(failed)?;
    Ok(found?.public_key)
}

/// Every key whose public half the card tells, and its slot.
///
/// # Errors
/// That the card is not there.
pub(crate) fn public_keys(device: YubiKey) -> anyhow::Result<Vec<(Slot, PublicKey)>> {
    let mut card = Card::open(device.serial).map_err(failed)?;
    let told = |talk: &mut Talk<'_>, slot| Some((slot, key::facts(talk, slot).ok()?.public_key));
    card.talk(|talk| Ok(Slot::all().filter_map(|slot| told(talk, slot)).collect())).map_err(failed)
}

/// What the card tells of a key, with what it attests of it if it was made there; nothing of that is verified.
pub(crate) struct Told {
    pub(crate) public_key: PublicKey,
    pub(crate) firmware: Firmware,
    pub(crate) pin_policy: PinPolicy,
    pub(crate) touch_policy: TouchPolicy,
    pub(crate) imported: bool,
    /// DER of the key's certificate by the card, and of the card's own.
    pub(crate) attestation: Option<(Vec<u8>, Option<Vec<u8>>)>,
}

/// # Errors
/// That the card is not there, or [`KeyProblem`].
pub(crate) fn told(device: YubiKey, slot: Slot) -> anyhow::Result<Told> {
    let mut card = Card::open(device.serial).map_err(failed)?;
    let asked = card.talk(|talk| {
        let facts = key::facts(talk, slot);
        let attested = key::attest(talk, slot).ok().and_then(|certificate| certificate.to_der().ok());
        let own = if attested.is_some() { own_certificate(talk)? } else { None };
        Ok((talk.firmware(), facts, attested.map(|attested| (attested, own))))
    });
    let (firmware, facts, attestation) = asked.map_err(failed)?;
    let key::Facts { public_key, pin_policy, touch_policy, imported } = facts?;
    Ok(Told { public_key, firmware, pin_policy, touch_policy, imported, attestation })
}

/// The certificate of the card's attestation key, if it tells that.
fn own_certificate(talk: &mut Talk<'_>) -> Result<Option<Vec<u8>>, Trouble> {
    let object = Command::new("GET DATA", 0xCB, 0x3F, 0xFF, tlv::of(0x5C, &ATTESTATION_CERTIFICATE));
    let response = talk.send(&object)?;
    let own = tlv::find(&response.data, 0x53).and_then(|object| tlv::find(object, 0x70));
    Ok(own.filter(|_| said(response.status) == Said::Done).map(<[u8]>::to_vec))
}

/// What the card attests of a configured key, once the way to a root in the file `roots` is checked.
///
/// # Errors
/// Why the attestation says nothing of this key and this card.
pub(crate) fn attest(device: YubiKey, config: &crate::key::Config, roots: &Path) -> anyhow::Result<Attested> {
    let slot = config.slot.ok_or(KeyProblem::NoSlot)?;
    let trusted = read_roots(roots)?;
    let mut card = Card::open(device.serial).map_err(failed)?;
    let asked = card.talk(|talk| {
        let wanted = Wanted { slot, scheme: config.scheme, accept: &config.accept };
        let found = key::find(talk, wanted, device.touch);
        let attested = key::attest(talk, slot);
        let object = Command::new("GET DATA", 0xCB, 0x3F, 0xFF, tlv::of(0x5C, &ATTESTATION_CERTIFICATE));
        Ok((found, attested, talk.ask(&object)?))
    });
    let (found, attested, object) = asked.map_err(failed)?;
    let (attested, found) = (attested?, found?);
    let own = tlv::find(&object, 0x53).and_then(|object| tlv::find(object, 0x70));
    let own = own.ok_or_else(|| anyhow::anyhow!("the card has no certificate of its attestation key"))?;
    let root = attestation::verify(&attested, &attestation::certificate(own)?, &trusted)?;
    let attestation = Attestation::read(&attested)?;
    anyhow::ensure!(
        attestation.public_key == found.public_key,
        "the attestation is of another key than the one in slot {slot}"
    );
    anyhow::ensure!(
        attestation.serial == Some(device.serial),
        "the attestation is of another card than that of serial number {}",
        device.serial
    );
    Ok(Attested { slot, attestation, root })
}

fn read_roots(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let unreadable = |error: &dyn std::fmt::Display| {
        anyhow::anyhow!("the roots in {} cannot be read: {error}", path.display())
    };
    let mut roots = Vec::new();
    for der in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
        let der = der.map_err(|error| unreadable(&error))?;
        roots.push(attestation::certificate(&der).map_err(|error| unreadable(&error))?);
    }
    anyhow::ensure!(!roots.is_empty(), "there is no certificate in {}", path.display());
    Ok(roots)
}

/// What the card says of itself; of older firmware less.
///
/// # Errors
/// That the card is not there, or does not answer.
pub(crate) fn info(device: YubiKey) -> anyhow::Result<CardFacts> {
    let mut card = Card::open(device.serial).map_err(failed)?;
    card.talk(|talk| {
        let pin = match metadata(talk, 0x80)? {
            Some(facts) => tries(&facts),
            None => pin_tries(talk)?,
        };
        let mut slots = Vec::new();
        for slot in Slot::all() {
            slots.extend(metadata(talk, slot.number())?.and_then(|facts| slot_facts(slot, &facts)));
        }
        Ok(CardFacts {
            firmware: talk.firmware(),
            pin,
            puk: metadata(talk, 0x81)?.and_then(|facts| tries(&facts)),
            management_key: metadata(talk, 0x9B)?.and_then(|facts| management_key(&facts)),
            slots,
        })
    })
    .map_err(failed)
}

/// Nothing if there is nothing, or the firmware does not tell.
fn metadata(talk: &mut Talk<'_>, reference: u8) -> Result<Option<Vec<u8>>, Trouble> {
    let command = Command::new("GET METADATA", 0xF7, 0, reference, Vec::new());
    let response = talk.send(&command)?;
    match said(response.status) {
        Said::Done => Ok(Some(response.data)),
        Said::NoSuchKey | Said::Unknown => Ok(None),
        Said::Tries(_) | Said::Blocked | Said::Forbidden | Said::Broken => {
            Err(Trouble::Refused { command: command.name, status: response.status })
        }
    }
}

fn tries(facts: &[u8]) -> Option<Tries> {
    match (tlv::find(facts, 0x06), tlv::find(facts, 0x05)) {
        (Some(&[of, left]), Some(&[factory])) => Some(Tries { left, of: Some(of), factory: factory != 0 }),
        _ => None,
    }
}

/// How many tries the PIN (80) or the PUK (81) has left; of the PUK, firmware older than 5.3 does not tell.
///
/// # Errors
/// [`Trouble`]
pub(super) fn tries_left(talk: &mut Talk<'_>, reference: u8) -> Result<Option<u8>, Trouble> {
    let tries = match metadata(talk, reference)? {
        Some(facts) => tries(&facts),
        None if reference == 0x80 => pin_tries(talk)?,
        None => None,
    };
    Ok(tries.map(|tries| tries.left))
}

fn pin_tries(talk: &mut Talk<'_>) -> Result<Option<Tries>, Trouble> {
    let status = talk.send(&Command::new("VERIFY without a PIN", 0x20, 0, 0x80, Vec::new()))?.status;
    let left = match said(status) {
        Said::Tries(left) => Some(left),
        Said::Blocked => Some(0),
        Said::Done | Said::Forbidden | Said::NoSuchKey | Said::Unknown | Said::Broken => None,
    };
    Ok(left.map(|left| Tries { left, of: None, factory: false }))
}

fn management_key(facts: &[u8]) -> Option<ManagementKey> {
    let algorithm = match tlv::find(facts, 0x01)? {
        [0x03] => "3DES",
        [0x08] => "AES-128",
        [0x0A] => "AES-192",
        [0x0C] => "AES-256",
        _ => "unknown",
    };
    Some(ManagementKey { algorithm, factory: tlv::find(facts, 0x05)? != [0] })
}

fn slot_facts(slot: Slot, facts: &[u8]) -> Option<SlotFacts> {
    let (Some(&[pin, touch]), Some(&[algorithm])) = (tlv::find(facts, 0x02), tlv::find(facts, 0x01)) else {
        return None;
    };
    let algorithm = match algorithm {
        0x06 => "RSA 1024",
        0x07 => "RSA 2048",
        0x05 => "RSA 3072",
        0x16 => "RSA 4096",
        0x11 => "P-256",
        0x14 => "P-384",
        0xE0 => "Ed25519",
        0xE1 => "X25519",
        _ => "unknown",
    };
    let made_here = tlv::find(facts, 0x03) == Some(&[1]);
    Some(SlotFacts {
        slot,
        algorithm,
        pin_policy: PinPolicy(pin),
        touch_policy: TouchPolicy(touch),
        made_here,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(trouble: Trouble) -> anyhow::Error {
    anyhow::anyhow!(trouble.advice())
}
