//! The PIV applet (SP 800-73-4, with Yubico's extensions): each command to who answers it.

use crate::apdu::{Answer, Command, Status};
use crate::card::Card;

mod authenticate;
mod key;
mod object;
mod pin;

/// The slot of the management key.
const MANAGEMENT: u8 = 0x9B;

impl Card {
    pub(crate) fn piv(&mut self, command: &Command) -> Answer {
        let firmware = self.state.firmware;
        match command.ins {
            0x20 => self.verify(command),
            0x24 => self.change_reference(command),
            0x2C => self.reset_retry_counter(command),
            0x47 => self.generate(command),
            0x87 => self.general_authenticate(command),
            0xCB => self.get_data(command),
            0xDB => self.put_data(command),
            0xF6 if firmware.is_5_7() => self.move_key(command),
            0xF7 if firmware.has_metadata() => self.metadata(command.p2),
            0xF8 => Ok(self.state.serial.to_be_bytes().to_vec()),
            0xF9 => self.attest(command.p1),
            0xFA => self.set_tries(command),
            0xFB => self.reset_applet(),
            0xFD => Ok(firmware.bytes().to_vec()),
            0xFE => self.import(command),
            0xFF => self.set_management_key(command),
            _ => Err(Status::NO_SUCH_INSTRUCTION),
        }
    }

    fn want_management(&self) -> Result<(), Status> {
        if self.unlocked.management { Ok(()) } else { Err(Status::SECURITY) }
    }
}

/// Whether this is a slot that a key can be in.
fn is_slot(slot: u8) -> bool {
    matches!(slot, 0x9A | 0x9C | 0x9D | 0x9E | 0x82..=0x95 | crate::attestation::SLOT)
}
