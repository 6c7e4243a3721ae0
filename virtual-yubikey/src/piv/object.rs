//! Data objects: GET DATA and PUT DATA.

use crate::apdu::{Answer, Command, Status};
use crate::card::Card;
use crate::state::Object;
use crate::tlv::{self, Tlv};

const TAGS: u32 = 0x5C;
const VALUE: u32 = 0x53;
/// Which PIN there is, and how it may be used.
const DISCOVERY: u32 = 0x7E;
/// Printed information, where clients keep a protected management key: readable with the PIN only.
const PRINTED: u32 = 0x5F_C109;
/// The longest object.
const LONGEST: usize = 3052;

impl Card {
    pub(super) fn get_data(&mut self, command: &Command) -> Answer {
        want_data_parameters(command)?;
        let parts = tlv::read_all(&command.data).ok_or(Status::WRONG_DATA)?;
        let tag = tag(&parts)?;
        if tag == DISCOVERY {
            let aid = tlv::of(0x4F, &[0xA0, 0, 0, 3, 8, 0, 0, 0x10, 0, 1, 0]);
            return Ok(tlv::of(DISCOVERY, &[aid, tlv::of(0x5F2F, &[0x40, 0])].concat()));
        }
        if tag == PRINTED && !self.unlocked.pin {
            return Err(Status::SECURITY);
        }
        let object = self.state.objects.get(&tag).ok_or(Status::NOT_FOUND)?;
        Ok(tlv::of(VALUE, &object.0))
    }

    pub(super) fn put_data(&mut self, command: &Command) -> Answer {
        self.want_management()?;
        want_data_parameters(command)?;
        let parts = tlv::read_all(&command.data).ok_or(Status::WRONG_DATA)?;
        let (tag, value) = (tag(&parts)?, tlv::find(&parts, VALUE).ok_or(Status::WRONG_DATA)?);
        if value.len() > LONGEST {
            return Err(Status::NO_SPACE);
        }
        if value.is_empty() {
            self.state.objects.remove(&tag);
        } else {
            self.state.objects.insert(tag, Object(value.to_vec()));
        }
        self.save()?;
        Ok(Vec::new())
    }
}

fn want_data_parameters(command: &Command) -> Result<(), Status> {
    if (command.p1, command.p2) == (0x3F, 0xFF) { Ok(()) } else { Err(Status::WRONG_P1_P2) }
}

fn tag(parts: &[Tlv<'_>]) -> Result<u32, Status> {
    let bytes =
        tlv::find(parts, TAGS).filter(|bytes| matches!(bytes.len(), 1..=3)).ok_or(Status::WRONG_DATA)?;
    Ok(bytes.iter().fold(0, |tag, byte| (tag << 8) | u32::from(*byte)))
}
