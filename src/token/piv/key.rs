//! Finds a key in its slot, and checks that it is fit to be a CA key.
//!
//! In: a slot and a scheme. Out: a [`FoundKey`], or the [`KeyProblem`] that an operator must solve. What the card says of a key is
//! its metadata (firmware 5.3 and later), or else its attestation, which only keys have that were made in the card.

use std::collections::BTreeSet;
use std::fmt;

use countersign_tbs::key::{Curve, EcPoint, KeyError, RsaPublicKey};
use x509_cert::Certificate;

use super::apdu::Command;
use super::attestation::{self, Attestation, AttestationError};
use super::card::{Firmware, Talk, Trouble};
use super::classify::{Said, said};
use super::policy::{PinPolicy, TouchPolicy};
use super::tlv;
use crate::key::{Flaw, PublicKey, Scheme, signs_by};
use crate::token::device::{Slot, Touch};
use crate::token::frame::{At, Setup, StartFault};
use crate::token::process::scheme;

/// A key on the card.
#[derive(Clone)]
pub(super) struct FoundKey {
    pub(super) slot: Slot,
    pub(super) scheme: Scheme,
    /// PIV's number for its algorithm.
    pub(super) algorithm: u8,
    pub(super) public_key: PublicKey,
    /// Whether each signature wants a touch.
    pub(super) touch: bool,
}

/// What a card says of a key.
pub(super) struct Facts {
    pub(super) public_key: PublicKey,
    pub(super) pin_policy: PinPolicy,
    pub(super) touch_policy: TouchPolicy,
    pub(super) imported: bool,
}

/// A key that is looked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) slot: Slot,
    pub(super) scheme: Scheme,
    /// What its section puts up with.
    pub(super) accept: &'a BTreeSet<Flaw>,
}

impl Facts {
    pub(super) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

/// Why a key cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyProblem {
    #[error("no slot is named; set `slot`")]
    NoSlot,
    #[error("unknown scheme {0:?}")]
    Scheme(String),
    #[error(
        "slot {slot} of the YubiKey holds no key; correct `slot`, or, for a new CA, make one there with `countersign key generate NAME`"
    )]
    Empty { slot: Slot },
    #[error(
        "the key in slot {slot} was imported, and firmware {firmware} tells nothing of such keys: make one in the card"
    )]
    Untold { slot: Slot, firmware: Firmware },
    #[error(
        "the key in slot {slot} was imported: it was outside of the card before, and no card attests such a key"
    )]
    Imported { slot: Slot },
    #[error(
        "the key in slot {slot} was imported, so that there was a copy of it, which there must not be of a CA key; make one in the card with \
         `countersign key generate`, or take this one as it is, knowing what that means, with `accept = [\"not-local\"]`"
    )]
    NotLocal { slot: Slot },
    #[error("what the YubiKey tells of the key in slot {slot} cannot be used: {why}")]
    Unreadable { slot: Slot, why: String },
    #[error("the public key in slot {slot} cannot be used: {error}")]
    PublicKey { slot: Slot, error: KeyError },
    #[error("scheme {scheme} does not fit the key in slot {slot}: {}; correct `scheme`, or make a key that fits", signs_by(.found))]
    Unfit { slot: Slot, scheme: Scheme, found: Box<PublicKey> },
    #[error(
        "the key in slot {slot} wants no PIN, so that every program on the host can sign with it; make one of PIN policy \"once\" or \"always\""
    )]
    NoPin { slot: Slot },
    #[error("the key in slot {slot} has the PIN policy {policy}, which this program does not know")]
    PinPolicy { slot: Slot, policy: PinPolicy },
    #[error(
        "the key in slot {slot} wants to be touched, and nobody is there to do so; make one of touch policy \"never\", or set `interactive = true` if somebody is"
    )]
    Touch { slot: Slot },
    #[error("{0}")]
    Card(String),
}

/// Finds and checks every key of the setup.
///
/// # Errors
/// A fault for each that is not fit.
pub(super) fn find_all(
    talk: &mut Talk<'_>,
    setup: &Setup,
    touch: Touch,
) -> Result<Vec<FoundKey>, Vec<StartFault>> {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for (index, wanted) in setup.keys.iter().enumerate() {
        let key = scheme(&wanted.scheme).ok_or_else(|| KeyProblem::Scheme(wanted.scheme.clone())).and_then(
            |scheme| {
                let slot = wanted.slot.ok_or(KeyProblem::NoSlot)?;
                find(talk, Wanted { slot, scheme, accept: &wanted.accept }, touch)
            },
        );
        match key {
            Ok(key) => found.push(key),
            Err(problem) => faults.push(StartFault { at: At::Key(index), message: problem.to_string() }),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// Finds and checks one key.
///
/// # Errors
/// [`KeyProblem`]
pub(super) fn find(
    talk: &mut Talk<'_>,
    Wanted { slot, scheme, accept }: Wanted<'_>,
    touch: Touch,
) -> Result<FoundKey, KeyProblem> {
    let Facts { public_key, pin_policy, touch_policy, imported } = facts(talk, slot)?;
    if !scheme.fits(&public_key) {
        return Err(KeyProblem::Unfit { slot, scheme, found: Box::new(public_key) });
    }
    if imported && !accept.contains(&Flaw::NotLocal) {
        return Err(KeyProblem::NotLocal { slot });
    }
    match pin_policy {
        PinPolicy::ONCE | PinPolicy::ALWAYS => {}
        PinPolicy::NEVER => return Err(KeyProblem::NoPin { slot }),
        policy => return Err(KeyProblem::PinPolicy { slot, policy }),
    }
    if touch_policy != TouchPolicy::NEVER && touch == Touch::Refused {
        return Err(KeyProblem::Touch { slot });
    }
    let Some(algorithm) = algorithm(&public_key) else {
        return Err(KeyProblem::Unfit { slot, scheme, found: Box::new(public_key) });
    };
    Ok(FoundKey { slot, scheme, algorithm, public_key, touch: touch_policy != TouchPolicy::NEVER })
}

/// What the card says of the key in a slot.
///
/// # Errors
/// [`KeyProblem::Empty`] if there is none, or why nothing is known of it.
pub(super) fn facts(talk: &mut Talk<'_>, slot: Slot) -> Result<Facts, KeyProblem> {
    match metadata(talk, slot)? {
        Some(facts) => Ok(facts),
        None => attestation(talk, slot),
    }
}

/// PIV's number for a key's algorithm (SP 800-78-4 table 6-2, and Yubico's for what is newer).
pub(super) fn algorithm(key: &PublicKey) -> Option<u8> {
    match key {
        PublicKey::Ecdsa(point) => match point.curve() {
            Curve::P256 => Some(0x11),
            Curve::P384 => Some(0x14),
            Curve::P521 => None,
        },
        PublicKey::Ed25519(_) => Some(0xE0),
        PublicKey::Rsa(key) => match key.bits() {
            2048 => Some(0x07),
            3072 => Some(0x05),
            4096 => Some(0x16),
            _ => None,
        },
        PublicKey::MlDsa(_) => None,
    }
}

/// What GET METADATA says; nothing if the firmware does not know that.
fn metadata(talk: &mut Talk<'_>, slot: Slot) -> Result<Option<Facts>, KeyProblem> {
    let command = Command::new("GET METADATA", 0xF7, 0, slot.number(), Vec::new());
    let response = talk.send(&command).map_err(|trouble| card(&trouble))?;
    match said(response.status) {
        Said::Done => {}
        Said::NoSuchKey => return Err(KeyProblem::Empty { slot }),
        Said::Unknown => return Ok(None),
        _ => return Err(card(&Trouble::Refused { command: command.name, status: response.status })),
    }
    let unreadable = |why: &str| KeyProblem::Unreadable { slot, why: why.to_owned() };
    let find = |tag| tlv::find(&response.data, tag);
    let (Some(&[algorithm]), Some(&[pin, touch]), Some(parts)) = (find(0x01), find(0x02), find(0x04)) else {
        return Err(unreadable("algorithm, policies or public key are missing in its metadata"));
    };
    let public_key = public_key(algorithm, parts)
        .ok_or_else(|| unreadable("it is of an algorithm that CA keys do not have"))?
        .map_err(|error| KeyProblem::PublicKey { slot, error })?;
    let imported = find(0x03) == Some(&[2]);
    Ok(Some(Facts { public_key, pin_policy: PinPolicy(pin), touch_policy: TouchPolicy(touch), imported }))
}

/// A public key from its parts; none for algorithms that CA keys do not have.
fn public_key(algorithm: u8, parts: &[u8]) -> Option<Result<PublicKey, KeyError>> {
    let point = |curve| EcPoint::new(curve, tlv::find(parts, 0x86)?.to_vec()).map(PublicKey::Ecdsa).into();
    match algorithm {
        0x11 => point(Curve::P256),
        0x14 => point(Curve::P384),
        0xE0 => Some(Ok(PublicKey::Ed25519(tlv::find(parts, 0x86)?.try_into().ok()?))),
        0x07 | 0x05 | 0x16 => {
            let (modulus, exponent) = (tlv::find(parts, 0x81)?, tlv::find(parts, 0x82)?);
            Some(RsaPublicKey::new(significant(modulus), significant(exponent)).map(PublicKey::Rsa))
        }
        _ => None,
    }
}

fn significant(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// What the card's own certificate of a key says.
fn attestation(talk: &mut Talk<'_>, slot: Slot) -> Result<Facts, KeyProblem> {
    let unreadable = |error: AttestationError| KeyProblem::Unreadable { slot, why: error.to_string() };
    let attestation = Attestation::read(&attest(talk, slot)?).map_err(unreadable)?;
    let Attestation { public_key, pin_policy, touch_policy, .. } = attestation;
    // Only keys that were made in the card are attested.
    Ok(Facts { public_key, pin_policy, touch_policy, imported: false })
}

/// Has the card attest a key.
///
/// # Errors
/// [`KeyProblem::Imported`], or of older firmware [`KeyProblem::Untold`], if it was not made there.
pub(super) fn attest(talk: &mut Talk<'_>, slot: Slot) -> Result<Certificate, KeyProblem> {
    let command = Command::new("ATTEST", 0xF9, slot.number(), 0, Vec::new());
    let response = talk.send(&command).map_err(|trouble| card(&trouble))?;
    match response.status {
        0x9000 => {}
        0x6A80 if talk.firmware().has_metadata() => return Err(KeyProblem::Imported { slot }),
        0x6A80 => return Err(KeyProblem::Untold { slot, firmware: talk.firmware() }),
        _ if said(response.status) == Said::NoSuchKey => return Err(KeyProblem::Empty { slot }),
        status => return Err(card(&Trouble::Refused { command: command.name, status })),
    }
    attestation::certificate(&response.data)
        .map_err(|error| KeyProblem::Unreadable { slot, why: error.to_string() })
}

fn card(trouble: &Trouble) -> KeyProblem {
    KeyProblem::Card(trouble.advice())
}

impl fmt::Debug for FoundKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.slot)
    }
}
