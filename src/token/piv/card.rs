//! A YubiKey in a reader: found by its serial number, and spoken to in transactions.
//!
//! In: a serial number. Out: a [`Card`], whose [`Card::talk`] selects PIV, works, and locks again what that unlocked, while no
//! other program can speak to the card. Promised: a handle is never reconnected, which would reset other programs' sessions
//! and take whatever card is there by then; and the card is left as it is when it is let go of.

use std::ffi::CStr;
use std::fmt;

use pcsc::{Context, Disposition, Error, Protocols, Scope, ShareMode, Transaction};

use super::apdu::{Command, OK, Response, Wire};
use super::classify::{self, Remedy, Said};
use crate::token::frame::{CallFailure, PinRefusal};

/// Why a card did not do what it was asked.
pub(super) enum Trouble {
    /// pcscd failed a call.
    Reader { call: &'static str, error: Error },
    /// The card refused a command.
    Refused { command: &'static str, status: u16 },
    /// The card's answer is none of PIV's.
    Nonsense { command: &'static str },
    /// There is no such card.
    Absent { message: String },
    /// The keys are not there, or are not those that were there first.
    Keys(String),
    /// The PIN file, or what is in it.
    PinFile(String),
    /// The PIN must not be tried again.
    Pin(PinRefusal),
    /// What was asked for cannot be.
    Request(CallFailure),
}

/// A firmware's version.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Firmware(pub(super) [u8; 3]);

impl Firmware {
    /// Whether its ECDSA keys can be worked out by who has it in hand for a while (EUCLEAK, YSA-2024-03).
    pub(crate) fn has_eucleak(self) -> bool {
        self < Self([5, 7, 0])
    }

    /// Whether it tells what a key is, and where it was made.
    pub(super) fn has_metadata(self) -> bool {
        self >= Self([5, 3, 0])
    }
}

/// One card, and the handle that it is spoken to through.
pub(super) struct Card {
    /// None once it is let go of.
    handle: Option<pcsc::Card>,
    firmware: Firmware,
}

/// A transaction in which PIV is selected.
pub(super) struct Talk<'a> {
    transaction: Transaction<'a>,
    firmware: Firmware,
    /// Whether something was unlocked that must not stay so.
    unlocked: bool,
}

const PIV: [u8; 5] = [0xA0, 0, 0, 3, 8];
/// YubiKeys' management applet. Selecting it is how Yubico's own library has PIV forget the PIN.
const MANAGEMENT: [u8; 8] = [0xA0, 0, 0, 5, 0x27, 0x47, 0x11, 0x17];
/// Room for a short answer.
const RESPONSE: usize = 258;

impl Card {
    /// Looks at the card in every reader until one has this serial number.
    ///
    /// # Errors
    /// [`Trouble::Absent`], with what there is; or [`Trouble::Reader`].
    pub(super) fn open(serial: u32) -> Result<Self, Trouble> {
        let failed = |call| move |error| Trouble::Reader { call, error };
        let context = Context::establish(Scope::User).map_err(failed("SCardEstablishContext"))?;
        let readers = match context.list_readers_owned() {
            Err(Error::NoReadersAvailable) => Vec::new(),
            other => other.map_err(failed("SCardListReaders"))?,
        };
        let mut present = Vec::new();
        for reader in &readers {
            match look(&context, reader) {
                Ok((found, card)) if found == serial => return Ok(card),
                Ok((other, _)) => present.push(format!("a YubiKey of serial number {other}")),
                Err(Trouble::Reader { error: Error::NoSmartcard, .. }) => {}
                Err(trouble) => present.push(format!("{}: {}", reader.to_string_lossy(), trouble.advice())),
            }
        }
        Err(Trouble::Absent { message: absent(serial, &present) })
    }

    pub(super) fn firmware(&self) -> Firmware {
        self.firmware
    }

    /// Works with the PIV applet while no other program can speak to the card.
    ///
    /// # Errors
    /// The work's, or [`Trouble::Reader`] if there is no transaction to be had.
    pub(super) fn talk<T>(
        &mut self,
        work: impl FnOnce(&mut Talk<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let failed = |error| Trouble::Reader { call: "SCardBeginTransaction", error };
        let handle = self.handle.as_mut().ok_or(failed(Error::InvalidHandle))?;
        let transaction = handle.transaction().map_err(failed)?;
        let mut talk = Talk { transaction, firmware: self.firmware, unlocked: false };
        let result = talk.select("SELECT PIV", &PIV).and_then(|()| work(&mut talk));
        let locked = talk.end();
        let result = result?;
        // What is done is done, but no other program may go on with the PIN.
        locked.map(|()| result)
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take()
            && let Err((handle, _)) = handle.disconnect(Disposition::LeaveCard)
        {
            // pcscd has forgotten the handle already. Dropped, it would have the card reset, which is others' as well.
            std::mem::forget(handle);
        }
    }
}

impl Talk<'_> {
    pub(super) fn firmware(&self) -> Firmware {
        self.firmware
    }

    /// From here on something is unlocked, until the transaction ends.
    pub(super) fn unlocks(&mut self) {
        self.unlocked = true;
    }

    /// # Errors
    /// [`Trouble::Reader`]; what the card says is in the answer.
    pub(super) fn send(&mut self, command: &Command) -> Result<Response, Trouble> {
        command.send(&mut self.transaction).map_err(|error| Trouble::Reader { call: command.name, error })
    }

    /// What the card answers to a command that it does.
    ///
    /// # Errors
    /// [`Trouble`]
    pub(super) fn ask(&mut self, command: &Command) -> Result<Vec<u8>, Trouble> {
        match self.send(command)? {
            Response { data, status: OK } => Ok(data),
            Response { status, .. } => Err(Trouble::Refused { command: command.name, status }),
        }
    }

    fn select(&mut self, name: &'static str, aid: &[u8]) -> Result<(), Trouble> {
        self.ask(&Command::new(name, 0xA4, 0x04, 0, aid.to_vec())).map(|_| ())
    }

    fn end(mut self) -> Result<(), Trouble> {
        let locked = if self.unlocked { self.select("SELECT management", &MANAGEMENT) } else { Ok(()) };
        // If it fails, the card or pcscd is gone, and the transaction with it.
        let _ = self.transaction.end(Disposition::LeaveCard);
        locked
    }
}

impl Wire for Transaction<'_> {
    type Error = Error;

    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, Error> {
        let mut buffer = [0; RESPONSE];
        pcsc::Card::transmit(self, apdu, &mut buffer).map(<[u8]>::to_vec)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl Trouble {
    /// Whether finding the card again may help.
    pub(super) fn wants_reopening(&self) -> bool {
        match self {
            Self::Reader { error, .. } => classify::remedy(*error) != Remedy::Restart,
            Self::Refused { status, .. } => {
                matches!(classify::said(*status), Said::Unknown | Said::Broken | Said::NoSuchKey)
            }
            Self::Nonsense { .. } => true,
            Self::Absent { .. } | Self::Keys(_) | Self::PinFile(_) | Self::Pin(_) | Self::Request(_) => false,
        }
    }

    /// The call or command that failed, and how.
    pub(super) fn describe(&self) -> CallFailure {
        let (call, code) = match self {
            Self::Reader { call, error } => (*call, format!("{error:?}: {}", classify::advice(*error))),
            Self::Refused { command, status } => (*command, format!("status {status:04x}")),
            Self::Nonsense { command } => (*command, "an answer that PIV does not have".to_owned()),
            Self::Absent { message } => ("finding the card", message.clone()),
            Self::Keys(message) => ("finding the keys", message.clone()),
            Self::PinFile(message) => ("reading the PIN", message.clone()),
            Self::Pin(refusal) => ("VERIFY", refusal.message.clone()),
            Self::Request(failure) => return failure.clone(),
        };
        CallFailure { call: call.to_owned(), code }
    }

    /// What is wrong, and what to do, in one line.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::Absent { message } | Self::Keys(message) | Self::PinFile(message) => message.clone(),
            Self::Reader { error, .. } if *error == Error::SharingViolation => {
                classify::advice(*error).to_owned()
            }
            _ => {
                let CallFailure { call, code } = self.describe();
                format!("{call} failed: {code}")
            }
        }
    }
}

/// The serial number of the card in a reader, and the card. Applets other than PIV have neither command.
fn look(context: &Context, reader: &CStr) -> Result<(u32, Card), Trouble> {
    let handle = context
        .connect(reader, ShareMode::Shared, Protocols::T1)
        .map_err(|error| Trouble::Reader { call: "SCardConnect", error })?;
    let mut card = Card { handle: Some(handle), firmware: Firmware([0; 3]) };
    let (serial, firmware) = card.talk(|talk| {
        let firmware = talk.ask(&Command::new("GET VERSION", 0xFD, 0, 0, Vec::new()))?;
        let firmware = firmware.try_into().map_err(|_| Trouble::Nonsense { command: "GET VERSION" })?;
        let serial = talk.ask(&Command::new("GET SERIAL", 0xF8, 0, 0, Vec::new()))?;
        let serial = serial.try_into().map_err(|_| Trouble::Nonsense { command: "GET SERIAL" })?;
        Ok((u32::from_be_bytes(serial), Firmware(firmware)))
    })?;
    card.firmware = firmware;
    Ok((serial, card))
}

fn absent(serial: u32, present: &[String]) -> String {
    let present = if present.is_empty() { "no card".to_owned() } else { present.join("; ") };
    format!("there is no YubiKey of serial number {serial}; there is: {present}")
}
