//! PIN and PUK: VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER, Yubico's SET PIN RETRIES and RESET.

use crate::apdu::{Answer, Command, Status};
use crate::card::{Card, Unlocked};
use crate::state::{Reference, Secret};

const PIN: u8 = 0x80;
const PUK: u8 = 0x81;
/// VERIFY's P1 for "forget that I verified".
const LOG_OUT: u8 = 0xFF;
/// The shortest PIN and PUK.
const SHORTEST: usize = 6;

impl Card {
    pub(super) fn verify(&mut self, command: &Command) -> Answer {
        if command.p2 != PIN {
            return Err(Status::REFERENCE_NOT_FOUND);
        }
        if command.p1 == LOG_OUT {
            self.unlocked.pin = false;
            return Ok(Vec::new());
        }
        if command.data.is_empty() {
            return match self.state.pin.left {
                _ if self.unlocked.pin => Ok(Vec::new()),
                0 => Err(Status::BLOCKED),
                left => Err(Status::tries(left)),
            };
        }
        let secret = secret(&command.data)?;
        self.counts.pins += 1;
        self.unlocked.pin = false;
        let tried = self.try_secret(PIN, secret);
        if tried.is_err() {
            self.counts.wrong_pins += 1;
        }
        tried.map_err(|status| if self.hides_wrong_pins { Status::INTERNAL } else { status })?;
        self.unlocked.pin = true;
        self.unlocked.pin_fresh = true;
        Ok(Vec::new())
    }

    pub(super) fn change_reference(&mut self, command: &Command) -> Answer {
        let (old, new) = two_secrets(&command.data)?;
        if !matches!(command.p2, PIN | PUK) {
            return Err(Status::REFERENCE_NOT_FOUND);
        }
        self.try_secret(command.p2, old)?;
        let new = self.acceptable(new)?;
        self.reference(command.p2).set(new);
        self.save()?;
        Ok(Vec::new())
    }

    pub(super) fn reset_retry_counter(&mut self, command: &Command) -> Answer {
        let (puk, new) = two_secrets(&command.data)?;
        self.try_secret(PUK, puk)?;
        let new = self.acceptable(new)?;
        self.state.pin.set(new);
        self.save()?;
        Ok(Vec::new())
    }

    /// Wants management key and PIN, and makes both secrets those of the factory.
    pub(super) fn set_tries(&mut self, command: &Command) -> Answer {
        self.want_management()?;
        if !self.unlocked.pin {
            return Err(Status::SECURITY);
        }
        if command.p1 == 0 || command.p2 == 0 {
            return Err(Status::WRONG_P1_P2);
        }
        self.state.pin = Reference::pin(command.p1);
        self.state.puk = Reference::puk(command.p2);
        self.save()?;
        Ok(Vec::new())
    }

    /// Only once PIN and PUK are blocked.
    pub(super) fn reset_applet(&mut self) -> Answer {
        if self.state.pin.left > 0 || self.state.puk.left > 0 {
            return Err(Status::CONDITIONS);
        }
        self.state.reset();
        self.unlocked = Unlocked::default();
        self.save()?;
        Ok(Vec::new())
    }

    /// Costs a try before it compares, so that no interruption gives one for nothing.
    fn try_secret(&mut self, which: u8, secret: Secret) -> Result<(), Status> {
        let reference = self.reference(which);
        reference.left = reference.left.checked_sub(1).ok_or(Status::BLOCKED)?;
        let (left, right) = (reference.left, reference.secret == secret);
        if right {
            reference.left = reference.tries;
        }
        self.save()?;
        if right { Ok(()) } else { Err(Status::tries(left)) }
    }

    /// The shortest, and where there is a rule of complexity, none of one character alone and none of the factory's.
    fn acceptable(&self, new: Secret) -> Result<Secret, Status> {
        let len = new.iter().take_while(|byte| **byte != 0xFF).count();
        let digits = new.get(..len).unwrap_or_default();
        let is_simple =
            digits.iter().all(|digit| Some(digit) == digits.first()) || b"12345678".starts_with(digits);
        match len {
            ..SHORTEST => Err(Status::WRONG_DATA),
            _ if self.pin_complexity && is_simple => Err(Status::CONDITIONS),
            _ => Ok(new),
        }
    }

    fn reference(&mut self, which: u8) -> &mut Reference {
        if which == PUK { &mut self.state.puk } else { &mut self.state.pin }
    }
}

fn secret(data: &[u8]) -> Result<Secret, Status> {
    Secret::try_from(data).map_err(|_| Status::WRONG_DATA)
}

fn two_secrets(data: &[u8]) -> Result<(Secret, Secret), Status> {
    let (first, second) = data.split_at_checked(8).ok_or(Status::WRONG_DATA)?;
    Ok((secret(first)?, secret(second)?))
}
