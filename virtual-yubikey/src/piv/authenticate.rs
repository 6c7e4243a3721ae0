//! GENERAL AUTHENTICATE: the management key's challenges, and signatures.

use aws_lc_rs::rand;

use super::MANAGEMENT;
use crate::apdu::{Answer, Command, Status};
use crate::card::{Card, Challenge};
use crate::key::Algorithm;
use crate::management_key::{Cipher, ManagementKey};
use crate::state::{PinPolicy, TouchPolicy};
use crate::tlv::{self, Tlv};

/// The dynamic authentication template and what is in it (SP 800-73-4, part 2, table 7).
const TEMPLATE: u32 = 0x7C;
const WITNESS: u32 = 0x80;
const CHALLENGE: u32 = 0x81;
const RESPONSE: u32 = 0x82;

/// How long one touch holds for keys of policy "cached".
const CACHED: std::time::Duration = std::time::Duration::from_secs(15);

impl Card {
    pub(super) fn general_authenticate(&mut self, command: &Command) -> Answer {
        let template = tlv::only(&command.data, TEMPLATE).and_then(tlv::read_all);
        let template = template.ok_or(Status::WRONG_DATA)?;
        if command.p2 == MANAGEMENT {
            return self.authenticate(command.p1, &template);
        }
        match (tlv::find(&template, RESPONSE), tlv::find(&template, CHALLENGE)) {
            (Some([]), Some(input)) => self.sign(command, input),
            _ => Err(Status::WRONG_DATA),
        }
    }

    /// The host proves that it has the management key; if it asks first, the card as well.
    fn authenticate(&mut self, cipher: u8, template: &[Tlv<'_>]) -> Answer {
        let pending = self.unlocked.challenge.take();
        if Cipher::of_id(cipher) != Some(self.state.management.cipher) {
            return Err(Status::WRONG_P1_P2);
        }
        let find = |tag| tlv::find(template, tag);
        match (find(WITNESS), find(CHALLENGE), find(RESPONSE)) {
            // The card's witness goes out encrypted, and comes back in the clear.
            (Some([]), None, None) => {
                let expected = self.random_block()?;
                let witness = self.encrypted(&expected)?;
                self.unlocked.challenge = Some(Challenge { expected, mutual: true });
                Ok(answer(WITNESS, &witness))
            }
            (None, Some([]), None) => {
                let challenge = self.random_block()?;
                let expected = self.encrypted(&challenge)?;
                self.unlocked.challenge = Some(Challenge { expected, mutual: false });
                Ok(answer(CHALLENGE, &challenge))
            }
            (Some(witness), Some(challenge), _) => {
                self.unlock(pending, witness, true)?;
                Ok(answer(RESPONSE, &self.encrypted(challenge)?))
            }
            (None, None, Some(response)) => {
                self.unlock(pending, response, false)?;
                Ok(Vec::new())
            }
            _ => Err(Status::WRONG_DATA),
        }
    }

    fn unlock(&mut self, pending: Option<Challenge>, given: &[u8], mutual: bool) -> Result<(), Status> {
        self.unlocked.management = false;
        let pending = pending.filter(|pending| pending.mutual == mutual).ok_or(Status::CONDITIONS)?;
        if pending.expected != given {
            return Err(Status::SECURITY);
        }
        if self.state.management.touch && !self.touch.wait() {
            return Err(Status::SECURITY);
        }
        self.unlocked.management = true;
        Ok(())
    }

    pub(super) fn set_management_key(&mut self, command: &Command) -> Answer {
        self.want_management()?;
        let touch = match (command.p1, command.p2) {
            (0xFF, 0xFF) => false,
            (0xFF, 0xFE) => true,
            _ => return Err(Status::WRONG_P1_P2),
        };
        let [cipher, MANAGEMENT, len, key @ ..] = command.data.as_slice() else {
            return Err(Status::WRONG_DATA);
        };
        let cipher = Cipher::of_id(*cipher).ok_or(Status::WRONG_DATA)?;
        if usize::from(*len) != key.len()
            || (cipher != Cipher::TripleDes && !self.state.firmware.has_aes_management_keys())
        {
            return Err(Status::WRONG_DATA);
        }
        self.state.management = ManagementKey::new(cipher, key, touch).ok_or(Status::WRONG_DATA)?;
        self.save()?;
        Ok(Vec::new())
    }

    fn sign(&mut self, command: &Command, input: &[u8]) -> Answer {
        let slot = self.state.slots.get(&command.p2).ok_or(Status::REFERENCE_NOT_FOUND)?.clone();
        if Algorithm::of_id(command.p1) != Some(slot.key.algorithm) {
            return Err(Status::WRONG_P1_P2);
        }
        let fresh = std::mem::take(&mut self.unlocked.pin_fresh);
        let allowed = match slot.pin_policy {
            PinPolicy::Never => true,
            PinPolicy::Once => self.unlocked.pin,
            PinPolicy::Always => self.unlocked.pin && fresh,
        };
        if !allowed || !self.is_touched(slot.touch_policy) {
            return Err(Status::SECURITY);
        }
        std::thread::sleep(self.sign_delay);
        let signature = slot.key.sign(input).ok_or(Status::WRONG_DATA)?;
        self.counts.signatures += 1;
        Ok(answer(RESPONSE, &signature))
    }

    fn is_touched(&mut self, policy: TouchPolicy) -> bool {
        let recently = self.unlocked.touched.is_some_and(|at| at.elapsed() < CACHED);
        if policy == TouchPolicy::Never || (policy == TouchPolicy::Cached && recently) {
            return true;
        }
        let touched = self.touch.wait();
        if touched {
            self.unlocked.touched = Some(std::time::Instant::now());
        }
        touched
    }

    fn random_block(&self) -> Result<Vec<u8>, Status> {
        let mut block = vec![0; self.state.management.cipher.block_len()];
        rand::fill(&mut block).map_err(|_| Status::INTERNAL)?;
        Ok(block)
    }

    fn encrypted(&self, block: &[u8]) -> Result<Vec<u8>, Status> {
        self.state.management.encrypt(block).ok_or(Status::WRONG_DATA)
    }
}

fn answer(tag: u32, value: &[u8]) -> Vec<u8> {
    tlv::of(TEMPLATE, &tlv::of(tag, value))
}
