//! The PIN: verified in each transaction that needs it, never twice if it is wrong, and never with the card's last try.
//!
//! In: the PIN file, and the gate that every login goes through. Out: a card that is unlocked until its transaction ends. The file is
//! read again when it has changed: whoever changed the PIN has changed the file.

use zeroize::Zeroizing;

use super::apdu::{Command, Response};
use super::card::{Talk, Trouble};
use super::classify::{Said, said};
use crate::token::PinFile;
use crate::token::frame::Setup;
use crate::token::gate::{self, Barred, Candidate, Doubt, Gate};
use crate::token::pin::{InMemory, Pin, Stamp};

/// A PIN, where it is from, and what it is shown through.
pub(super) struct Login {
    file: PinFile,
    pin: Pin,
    stamp: Option<Stamp>,
    serial: String,
    gate: Gate,
    /// Whether the card has taken `pin`.
    taken: bool,
    /// How many tries there were before a VERIFY that was not answered, or with what says nothing of the PIN.
    unanswered: Option<u8>,
}

/// VERIFY's P2: the PIN of the PIV applet.
const PIN: u8 = 0x80;
/// How many tries a PIN has where nobody has set another number.
const ALL_TRIES: u8 = 3;

impl Login {
    /// # Errors
    /// [`Trouble::PinFile`]
    pub(super) fn read(setup: &Setup, serial: u32, gate: Gate) -> Result<Self, Trouble> {
        let file = setup.pin_file.clone();
        // Before the file is read: a change meanwhile counts as a change.
        let stamp = file.stamp();
        let pin = file.read().map_err(|error| Trouble::PinFile(error.to_string()))?;
        Ok(Self { file, pin, stamp, serial: serial.to_string(), gate, taken: false, unanswered: None })
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
        let padded = self.pin.for_piv().ok_or_else(wrong_length)?;
        let login = if self.taken { gate::Login::Again } else { gate::Login::First };
        let who = Candidate { pin: &self.pin, serial: &self.serial, login };
        let unanswered = &mut self.unanswered;
        let verified = self.gate.log_in(who, |doubt| try_once(talk, padded, doubt, unanswered));
        self.taken = verified.is_ok();
        verified.map_err(|barred| match barred {
            Barred::Pin(refusal) => Trouble::Pin(refusal),
            Barred::Fault(why) => Trouble::PinFile(why),
            Barred::Failed(trouble) => trouble,
            // Of one process, which there is, no other is in a login.
            Barred::Busy => Trouble::PinFile(gate::BUSY.to_owned()),
            Barred::Left => Trouble::PinFile(gate::LEFT_TO_START.to_owned()),
        })
    }

    fn read_again(&mut self) -> Result<(), Trouble> {
        let stamp = self.file.stamp();
        if stamp != self.stamp {
            self.pin = self.file.read().map_err(|error| Trouble::PinFile(error.to_string()))?;
            (self.stamp, self.taken, self.unanswered) = (stamp, false, None);
        }
        Ok(())
    }
}

/// VERIFY (SP 800-73-4 part 2 §3.2.1), if it is neither the last try nor one that was spent before.
fn try_once(
    talk: &mut Talk<'_>,
    padded: Zeroizing<Vec<u8>>,
    doubt: Doubt,
    unanswered: &mut Option<u8>,
) -> Result<(), gate::Said<Trouble>> {
    let left = tries(talk)?;
    let before = unanswered.take();
    if before.is_some_and(|before| left.is_some_and(|left| left < before)) {
        return Err(gate::Said::Refused(
            "the YubiKey has counted a wrong PIN, though its answer was lost; put the right PIN into `pin_file`"
                .to_owned(),
        ));
    }
    // Who knows how many there were does not guess.
    if doubt == Doubt::Tried && before.is_none() && left.is_some_and(|left| left < ALL_TRIES) {
        return Err(gate::Said::Spared(
            "a login with the PIN in `pin_file` never came back, and the YubiKey has counted a wrong PIN since; put the right one there, or run `countersign token unlatch NAME` if this is it"
                .to_owned(),
        ));
    }
    let command = Command::secret("VERIFY", 0x20, 0, PIN, padded);
    // Also if the answer is lost.
    talk.unlocks();
    let trouble = match talk.send(&command) {
        Err(trouble) => trouble,
        Ok(Response { status, .. }) => match said(status) {
            Said::Done => return Ok(()),
            Said::Tries(_) | Said::Blocked | Said::NoSuchKey => {
                return Err(gate::Said::Refused(format!(
                    "the YubiKey refused the PIN (status {status:04x}); put the right PIN into `pin_file`"
                )));
            }
            Said::Forbidden | Said::Unknown | Said::Broken => {
                Trouble::Refused { command: command.name, status }
            }
        },
    };
    *unanswered = left;
    // The one before has cost nothing: its note stands for this one, and is enough.
    let is_noted = doubt == Doubt::Tried && before.is_some();
    Err(if is_noted { gate::Said::Failed(trouble) } else { gate::Said::Unknown(trouble) })
}

/// How many tries the PIN has; none while somebody's is still good, for then all are there. The last one is a person's.
fn tries(talk: &mut Talk<'_>) -> Result<Option<u8>, gate::Said<Trouble>> {
    let command = Command::new("VERIFY without a PIN", 0x20, 0, PIN, Vec::new());
    let status = talk.send(&command).map_err(gate::Said::Failed)?.status;
    let spare = |message: &str| Err(gate::Said::Spared(message.to_owned()));
    match said(status) {
        Said::Done => Ok(None),
        Said::Tries(left @ 2..) => Ok(Some(left)),
        Said::Tries(1) => spare(
            "the YubiKey has one try left for the PIN, which is not spent here; verify it once by hand (`yubico-piv-tool -a verify-pin`), or set it anew with the PUK (`countersign token unlock`)",
        ),
        Said::Tries(_) | Said::Blocked => spare(
            "the YubiKey's PIN is blocked; unblock it with the PUK (`countersign token unlock`), which puts the new PIN into `pin_file` as well",
        ),
        Said::Forbidden | Said::NoSuchKey | Said::Unknown | Said::Broken => {
            Err(gate::Said::Failed(Trouble::Refused { command: command.name, status }))
        }
    }
}

fn wrong_length() -> Trouble {
    Trouble::PinFile("a YubiKey's PIN has 6 to 8 bytes; correct what is in `pin_file`".to_owned())
}
