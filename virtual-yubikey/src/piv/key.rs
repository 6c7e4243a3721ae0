//! Keys in slots: GENERATE, and Yubico's IMPORT, ATTEST, METADATA and MOVE KEY.

use super::{MANAGEMENT, is_slot};
use crate::apdu::{Answer, Command, Status};
use crate::attestation::{self, pin_byte, touch_byte};
use crate::card::Card;
use crate::key::{Algorithm, PrivateKey};
use crate::state::{Origin, PinPolicy, Reference, SlotKey, TouchPolicy};
use crate::tlv::{self, Tlv};

/// GENERATE's and IMPORT's.
const PIN_POLICY: u32 = 0xAA;
const TOUCH_POLICY: u32 = 0xAB;
/// MOVE KEY's P1 for "nowhere".
const DELETE: u8 = 0xFF;

impl Card {
    pub(super) fn generate(&mut self, command: &Command) -> Answer {
        self.want_management()?;
        let wanted = tlv::only(&command.data, 0xAC).and_then(tlv::read_all).ok_or(Status::WRONG_DATA)?;
        let Some(&[id]) = tlv::find(&wanted, 0x80) else { return Err(Status::WRONG_DATA) };
        let algorithm = self.algorithm(id)?;
        let policies = policies(command.p2, &wanted)?;
        let key = PrivateKey::generate(algorithm).ok_or(Status::INTERNAL)?;
        let public = key.public().ok_or(Status::INTERNAL)?;
        self.put(command.p2, key, policies, Origin::Generated)?;
        Ok(tlv::of(0x7F49, &public.tlvs()))
    }

    pub(super) fn import(&mut self, command: &Command) -> Answer {
        self.want_management()?;
        let algorithm = self.algorithm(command.p1)?;
        let parts = tlv::read_all(&command.data).ok_or(Status::WRONG_DATA)?;
        let policies = policies(command.p2, &parts)?;
        let key = PrivateKey::import(algorithm, &parts).ok_or(Status::WRONG_DATA)?;
        self.put(command.p2, key, policies, Origin::Imported)?;
        Ok(Vec::new())
    }

    pub(super) fn attest(&mut self, slot: u8) -> Answer {
        if !self.state.slots.contains_key(&slot) {
            return Err(Status::REFERENCE_NOT_FOUND);
        }
        attestation::attest(&self.state, slot).ok_or(Status::WRONG_DATA)
    }

    pub(super) fn move_key(&mut self, command: &Command) -> Answer {
        self.want_management()?;
        let (to, from) = (command.p1, command.p2);
        let movable = |slot| is_slot(slot) && slot != attestation::SLOT;
        if !(is_slot(from) && to == DELETE || movable(from) && movable(to)) {
            return Err(Status::WRONG_P1_P2);
        }
        if self.state.slots.contains_key(&to) {
            return Err(Status::CONDITIONS);
        }
        let key = self.state.slots.remove(&from).ok_or(Status::REFERENCE_NOT_FOUND)?;
        if to != DELETE {
            self.state.slots.insert(to, key);
        }
        self.save()?;
        Ok(Vec::new())
    }

    pub(super) fn metadata(&self, slot: u8) -> Answer {
        let reference = |reference: &Reference| {
            let tries = tlv::of(0x06, &[reference.tries, reference.left]);
            [tlv::of(0x01, &[0xFF]), tlv::of(0x05, &[reference.factory.into()]), tries].concat()
        };
        match slot {
            0x80 => Ok(reference(&self.state.pin)),
            0x81 => Ok(reference(&self.state.puk)),
            MANAGEMENT => {
                let key = &self.state.management;
                let touch = touch_byte(if key.touch { TouchPolicy::Always } else { TouchPolicy::Never });
                let factory = tlv::of(0x05, &[key.is_factory().into()]);
                Ok([tlv::of(0x01, &[key.cipher.id()]), tlv::of(0x02, &[0, touch]), factory].concat())
            }
            _ => self.state.slots.get(&slot).and_then(key_metadata).ok_or(Status::REFERENCE_NOT_FOUND),
        }
    }

    fn algorithm(&self, id: u8) -> Result<Algorithm, Status> {
        Algorithm::of_id(id)
            .filter(|algorithm| self.state.firmware.is_5_7() || !algorithm.wants_5_7())
            .ok_or(Status::WRONG_DATA)
    }

    fn put(
        &mut self,
        slot: u8,
        key: PrivateKey,
        (pin_policy, touch_policy): (PinPolicy, TouchPolicy),
        origin: Origin,
    ) -> Result<(), Status> {
        self.state.slots.insert(slot, SlotKey { key, pin_policy, touch_policy, origin });
        self.save()
    }
}

fn key_metadata(slot: &SlotKey) -> Option<Vec<u8>> {
    let origin = match slot.origin {
        Origin::Generated => 1,
        Origin::Imported => 2,
    };
    let parts = [
        tlv::of(0x01, &[slot.key.algorithm.id()]),
        tlv::of(0x02, &[pin_byte(slot.pin_policy), touch_byte(slot.touch_policy)]),
        tlv::of(0x03, &[origin]),
        tlv::of(0x04, &slot.key.public()?.tlvs()),
    ];
    Some(parts.concat())
}

/// What was asked for, or what a slot has if nothing was.
fn policies(slot: u8, wanted: &[Tlv<'_>]) -> Result<(PinPolicy, TouchPolicy), Status> {
    if !is_slot(slot) {
        return Err(Status::WRONG_P1_P2);
    }
    let pin = match tlv::find(wanted, PIN_POLICY) {
        None | Some([0]) => match slot {
            0x9C => PinPolicy::Always,
            0x9E | attestation::SLOT => PinPolicy::Never,
            _ => PinPolicy::Once,
        },
        Some([1]) => PinPolicy::Never,
        Some([2]) => PinPolicy::Once,
        Some([3]) => PinPolicy::Always,
        Some(_) => return Err(Status::WRONG_DATA),
    };
    let touch = match tlv::find(wanted, TOUCH_POLICY) {
        None | Some([0 | 1]) => TouchPolicy::Never,
        Some([2]) => TouchPolicy::Always,
        Some([3]) => TouchPolicy::Cached,
        Some(_) => return Err(Status::WRONG_DATA),
    };
    Ok((pin, touch))
}
