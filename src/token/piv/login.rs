//! The PIN: verified in each transaction that needs it, never twice if it is wrong, and never with the card's last try.
//!
//! In: the PIN file. Out: a card that is unlocked until its transaction ends. The file is read again when it has changed: whoever
//! changed the PIN has changed the file.

use super::apdu::Command;
use super::card::{Talk, Trouble};
use super::classify::{Said, said};
use crate::token::PinFile;
use crate::token::frame::{PinRefusal, Setup};
use crate::token::latch::PinMark;
use crate::token::pin::{InMemory, Pin, Stamp};

/// A PIN, where it is from, and the one not to try.
pub(super) struct Login {
    file: PinFile,
    pin: Pin,
    stamp: Option<Stamp>,
    serial: String,
    refused: Option<PinMark>,
    /// Whether `pin` is not the refused one.
    compared: bool,
}

/// VERIFY's P2: the PIN of the PIV applet.
const PIN: u8 = 0x80;

impl Login {
    /// # Errors
    /// [`Trouble::PinFile`]
    pub(super) fn read(setup: &Setup, serial: u32) -> Result<Self, Trouble> {
        let file = setup.pin_file.clone();
        // Before the file is read: a change meanwhile counts as a change.
        let stamp = file.stamp();
        let pin = file.read().map_err(|error| Trouble::PinFile(error.to_string()))?;
        let refused = setup.refused.clone();
        Ok(Self { file, pin, stamp, serial: serial.to_string(), refused, compared: false })
    }

    pub(super) fn in_memory(&self) -> InMemory {
        self.pin.in_memory()
    }

    /// Unlocks the card for the rest of the transaction.
    ///
    /// # Errors
    /// [`Trouble::Pin`] if the PIN is wrong, was wrong before, or would have spent the last try.
    pub(super) fn verify(&mut self, talk: &mut Talk<'_>) -> Result<(), Trouble> {
        self.read_again()?;
        self.want_another_than_refused()?;
        want_tries(talk)?;
        let padded = self.pin.for_piv().ok_or_else(wrong_length)?;
        let command = Command::new("VERIFY", 0x20, 0, PIN, padded);
        // Also if the answer is lost.
        talk.unlocks();
        let status = talk.send(&command)?.status;
        match said(status) {
            Said::Done => Ok(()),
            Said::Tries(_) | Said::Blocked | Said::NoSuchKey => {
                let message = format!(
                    "the YubiKey refused the PIN (status {status:04x}); put the right PIN into `pin_file`"
                );
                Err(Trouble::Pin(PinRefusal { message, mark: self.pin.mark(&self.serial) }))
            }
            Said::Forbidden | Said::Unknown | Said::Broken => {
                Err(Trouble::Refused { command: command.name, status })
            }
        }
    }

    fn read_again(&mut self) -> Result<(), Trouble> {
        let stamp = self.file.stamp();
        if stamp != self.stamp {
            self.pin = self.file.read().map_err(|error| Trouble::PinFile(error.to_string()))?;
            (self.stamp, self.compared) = (stamp, false);
        }
        Ok(())
    }

    /// Slow, and so done once for each PIN.
    fn want_another_than_refused(&mut self) -> Result<(), Trouble> {
        if !self.compared && self.refused.as_ref().is_some_and(|mark| self.pin.is_marked(mark, &self.serial))
        {
            let message = "the PIN in `pin_file` is the one that the YubiKey refused before, and is not tried again; put the right one there, or run `countersign token unlatch NAME` if this is it";
            return Err(Trouble::Pin(PinRefusal { message: message.to_owned(), mark: self.refused.clone() }));
        }
        self.compared = true;
        Ok(())
    }
}

/// The last try is a person's.
fn want_tries(talk: &mut Talk<'_>) -> Result<(), Trouble> {
    let command = Command::new("VERIFY without a PIN", 0x20, 0, PIN, Vec::new());
    let status = talk.send(&command)?.status;
    let refuse = |message: &str| Err(Trouble::Pin(PinRefusal { message: message.to_owned(), mark: None }));
    match said(status) {
        // Somebody's PIN is still good: then all tries are there.
        Said::Done | Said::Tries(2..) => Ok(()),
        Said::Tries(1) => refuse(
            "the YubiKey has one try left for the PIN, which is not spent here; verify it once by hand (`yubico-piv-tool -a verify-pin`), or set it anew with the PUK (`countersign token unlock`)",
        ),
        Said::Tries(_) | Said::Blocked => refuse(
            "the YubiKey's PIN is blocked; unblock it with the PUK (`countersign token unlock`), which puts the new PIN into `pin_file` as well",
        ),
        Said::Forbidden | Said::NoSuchKey | Said::Unknown | Said::Broken => {
            Err(Trouble::Refused { command: command.name, status })
        }
    }
}

fn wrong_length() -> Trouble {
    Trouble::PinFile("a YubiKey's PIN has 6 to 8 bytes; correct what is in `pin_file`".to_owned())
}
