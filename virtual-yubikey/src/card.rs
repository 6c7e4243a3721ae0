//! The card: which applet a client has selected, what is unlocked until the power goes, and who answers a command.
//!
//! In: APDUs of all clients, one after the other: a card does not know who asks. Out: their responses. Whatever a command
//! changes is on disk before it is answered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::apdu::{Answer, Channel, Command, Status};
use crate::attestation::FORM_FACTOR;
use crate::state::State;
use crate::tlv;
use crate::touch::Touch;

/// How often things were asked for, since the program runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// PINs that VERIFY brought, right or wrong.
    pub pins: u64,
    /// Those that were wrong.
    pub wrong_pins: u64,
    /// Signatures that came out.
    pub signatures: u64,
}

/// A card with its memory.
pub(crate) struct Card {
    pub(crate) state: State,
    pub(crate) path: PathBuf,
    pub(crate) sign_delay: Duration,
    pub(crate) touch: Arc<Touch>,
    pub(crate) counts: Counts,
    pub(crate) unlocked: Unlocked,
    pub(crate) pin_complexity: bool,
    /// A wrong PIN is counted, and answered with what says nothing of it.
    pub(crate) hides_wrong_pins: bool,
    applet: Option<Applet>,
    channel: Channel,
}

/// What lasts until the applet is selected again, or the power goes.
#[derive(Default)]
pub(crate) struct Unlocked {
    pub(crate) pin: bool,
    /// No key was used since VERIFY.
    pub(crate) pin_fresh: bool,
    pub(crate) management: bool,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) touched: Option<Instant>,
}

/// What the host must answer to authenticate.
pub(crate) struct Challenge {
    pub(crate) expected: Vec<u8>,
    pub(crate) mutual: bool,
}

#[derive(Clone, Copy)]
enum Applet {
    Piv,
    Management,
    Otp,
}

const PIV: &[u8] = &[0xA0, 0, 0, 3, 8, 0, 0, 0x10, 0, 1, 0];
const MANAGEMENT: &[u8] = &[0xA0, 0, 0, 5, 0x27, 0x47, 0x11, 0x17];
const OTP: &[u8] = &[0xA0, 0, 0, 5, 0x27, 0x20, 1, 1];
/// A client may name an applet by this much of its name, or more.
const SHORTEST_AID: usize = 5;

impl Card {
    pub(crate) fn new(state: State, path: PathBuf, sign_delay: Duration, touch: Arc<Touch>) -> Self {
        let (counts, unlocked) = (Counts::default(), Unlocked::default());
        let (pin_complexity, hides_wrong_pins) = (false, false);
        let (applet, channel) = (None, Channel::default());
        Self {
            state,
            path,
            sign_delay,
            touch,
            counts,
            unlocked,
            pin_complexity,
            hides_wrong_pins,
            applet,
            channel,
        }
    }

    /// The power went, or came: nothing is selected and nothing is unlocked.
    pub(crate) fn reset(&mut self) {
        self.unlocked = Unlocked::default();
        self.applet = None;
        self.channel = Channel::default();
    }

    /// Answers one command.
    pub(crate) fn transmit(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut channel = std::mem::take(&mut self.channel);
        let response = channel.take(bytes, |command| self.execute(&command));
        self.channel = channel;
        response
    }

    /// Puts what a command changed on disk.
    pub(crate) fn save(&self) -> Result<(), Status> {
        self.state.save(&self.path).map_err(|_| Status::INTERNAL)
    }

    fn execute(&mut self, command: &Command) -> Answer {
        match (command.ins, self.applet) {
            (0xA4, _) => self.select(command),
            (_, Some(Applet::Piv)) => self.piv(command),
            (0x1D, Some(Applet::Management)) => self.device_info(command.p1),
            (0x01, Some(Applet::Otp)) if command.p1 == 0x10 => Ok(self.state.serial.to_be_bytes().to_vec()),
            (_, None | Some(Applet::Management | Applet::Otp)) => Err(Status::NO_SUCH_INSTRUCTION),
        }
    }

    fn select(&mut self, command: &Command) -> Answer {
        if command.p1 != 0x04 {
            return Err(Status::WRONG_P1_P2);
        }
        let named = |aid: &[u8]| command.data.len() >= SHORTEST_AID && aid.starts_with(&command.data);
        let firmware = self.state.firmware;
        let (applet, answer) = if named(PIV) {
            (Applet::Piv, application_property_template())
        } else if named(MANAGEMENT) {
            (Applet::Management, format!("Virtual mgr - FW version {firmware}").into_bytes())
        } else if named(OTP) {
            // Version, program sequence, touch level: nothing is programmed.
            (Applet::Otp, [&firmware.bytes()[..], &[0, 0, 0]].concat())
        } else {
            return Err(Status::NOT_FOUND);
        };
        self.unlocked = Unlocked::default();
        self.applet = Some(applet);
        Ok(answer)
    }

    fn device_info(&self, page: u8) -> Answer {
        const PIV_APPLET: [u8; 2] = [0, 0x10];
        if page != 0 {
            return Err(Status::WRONG_P1_P2);
        }
        let info = [
            tlv::of(0x01, &PIV_APPLET),
            tlv::of(0x02, &self.state.serial.to_be_bytes()),
            tlv::of(0x03, &PIV_APPLET),
            tlv::of(0x04, &[FORM_FACTOR]),
            tlv::of(0x05, &self.state.firmware.bytes()),
            tlv::of(0x0A, &[0]),
            tlv::of(0x16, &[self.pin_complexity.into()]),
        ]
        .concat();
        let len = u8::try_from(info.len()).map_err(|_| Status::INTERNAL)?;
        Ok([&[len], info.as_slice()].concat())
    }
}

fn application_property_template() -> Vec<u8> {
    let tag = tlv::of(0x4F, &[0, 0, 0x10, 0, 1, 0]);
    let authority = tlv::of(0x79, &tlv::of(0x4F, &[0xA0, 0, 0, 3, 8]));
    tlv::of(0x61, &[tag, authority].concat())
}

#[cfg(test)]
mod tests;
