//! Signs with one card, and finds it again when it has gone and come back.
//!
//! In: a key's number and an [`Input`] whose length is right. Out: the signature. One transaction for each: SELECT, VERIFY, GENERAL
//! AUTHENTICATE, so that no other program signs with our PIN or takes it from under us. After a failure that may heal, the card
//! is found again by its serial number and its keys are compared with those that were there first; the PIN is tried no oftener than
//! once for that.

use std::collections::VecDeque;
use std::io::Write;
use std::time::{Duration, Instant};

use super::apdu::Command;
use super::card::{Card, Talk, Trouble};
use super::classify::{Said, said};
use super::key::{self, FoundKey};
use super::login::Login;
use super::{padding, signature, tlv};
use crate::key::PublicKey;
use crate::token::device::YubiKey;
use crate::token::frame::{CallFailure, Healing, Moment, Recovery, Setup};
use crate::token::input::Input;
use crate::token::session::{Session, SignError};

/// How often the card may be found again within [`WINDOW`], before a fresh process has to.
const REOPENS: usize = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// A card and its keys.
pub(super) struct PivSession {
    device: YubiKey,
    setup: Setup,
    /// None while it is lost.
    card: Option<Card>,
    keys: Vec<FoundKey>,
    login: Login,
    reopened: VecDeque<Instant>,
}

impl PivSession {
    pub(super) fn new(device: YubiKey, setup: Setup, card: Card, keys: Vec<FoundKey>, login: Login) -> Self {
        Self { device, setup, card: Some(card), keys, login, reopened: VecDeque::new() }
    }

    /// Tries to sign; whether the card was `given` the input is said as soon as that may be.
    fn attempt(&mut self, key: usize, input: &Input, given: &mut bool) -> Result<Vec<u8>, Trouble> {
        let key = self
            .keys
            .get(key)
            .filter(|key| key.scheme == input.scheme())
            .ok_or_else(|| request(format!("no key {key} of scheme {}", input.scheme())))?;
        let prepared = prepared(key, input)?;
        let card = self.card.as_mut().ok_or_else(lost)?;
        let (login, serial) = (&mut self.login, self.device.serial);
        card.talk(|talk| {
            login.verify(talk)?;
            if key.touch {
                // An operator reads this in the daemon's log while the card blinks.
                let _ = writeln!(std::io::stderr(), "touch YubiKey {serial}: slot {} is to sign", key.slot);
            }
            *given = true;
            sign(talk, key, &prepared)
        })
    }

    /// The card of the same serial number, with the same keys.
    fn reopen(&mut self) -> Result<(), Trouble> {
        // Let go of first: the old handle is void, and pcscd counts it.
        self.card = None;
        let mut card = Card::open(self.device.serial)?;
        let found = card.talk(|talk| Ok(key::find_all(talk, &self.setup, self.device.touch)))?;
        let found = found.map_err(|faults| {
            let messages: Vec<_> = faults.into_iter().map(|fault| fault.message).collect();
            Trouble::Keys(messages.join("; "))
        })?;
        if found.iter().map(|key| &key.public_key).ne(self.keys.iter().map(|key| &key.public_key)) {
            return Err(Trouble::Keys("the YubiKey holds other keys than before".to_owned()));
        }
        self.card = Some(card);
        Ok(())
    }

    /// Whether the card may be found again once more; if so, that is counted.
    fn may_reopen(&mut self) -> bool {
        let now = Instant::now();
        while self.reopened.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            self.reopened.pop_front();
        }
        let may = self.reopened.len() < REOPENS;
        if may {
            self.reopened.push_back(now);
        }
        may
    }
}

impl Session for PivSession {
    fn sign(
        &mut self,
        key: usize,
        input: &Input,
        until: Option<Moment>,
        heal: &mut dyn FnMut(Recovery),
    ) -> Result<Vec<u8>, SignError> {
        let mut given = false;
        let failure = match self.attempt(key, input, &mut given) {
            Ok(signature) => return Ok(signature),
            Err(trouble) if trouble.wants_reopening() && self.may_reopen() => trouble.describe(),
            Err(trouble) => return Err(end(trouble, given)),
        };
        self.reopen().map_err(|trouble| end(trouble, given))?;
        if until.is_some_and(Moment::is_past) {
            return Err(SignError::Late { given });
        }
        let signature = self.attempt(key, input, &mut given).map_err(|trouble| end(trouble, given))?;
        heal(Recovery { healing: Healing::CardFound, failure });
        Ok(signature)
    }

    fn look(&mut self, heal: &mut dyn FnMut(Recovery)) -> Result<(), SignError> {
        let failure = match self.card.as_mut().ok_or_else(lost).and_then(|card| card.talk(|_| Ok(()))) {
            Ok(()) => return Ok(()),
            Err(trouble) if trouble.wants_reopening() && self.may_reopen() => trouble.describe(),
            Err(trouble) => return Err(end(trouble, false)),
        };
        self.reopen().map_err(|trouble| end(trouble, false))?;
        heal(Recovery { healing: Healing::CardFound, failure });
        Ok(())
    }
}

fn lost() -> Trouble {
    Trouble::Keys("the card is lost".to_owned())
}

fn end(trouble: Trouble, given: bool) -> SignError {
    match trouble {
        Trouble::Pin(refusal) => SignError::Pin { refusal, given },
        Trouble::Request(failure) => SignError::Request(failure),
        other => SignError::Process(other.describe()),
    }
}

/// What the card is given: a padded block, a digest, or a message.
fn prepared(key: &FoundKey, input: &Input) -> Result<Vec<u8>, Trouble> {
    let PublicKey::Rsa(public) = &key.public_key else { return Ok(input.block().into_owned()) };
    let block = padding::block(input, public.modulus().len());
    let block = block.map_err(|_| request("the random source failed".to_owned()))?;
    block.ok_or_else(|| request("the key is too short for the digest".to_owned()))
}

/// GENERAL AUTHENTICATE (SP 800-73-4 part 2 §3.2.4), with an empty response that asks for one.
fn sign(talk: &mut Talk<'_>, key: &FoundKey, input: &[u8]) -> Result<Vec<u8>, Trouble> {
    const NAME: &str = "GENERAL AUTHENTICATE";
    let template = tlv::of(0x7C, &[tlv::of(0x82, &[]), tlv::of(0x81, input)].concat());
    let response = talk.send(&Command::new(NAME, 0x87, key.algorithm, key.slot.number(), template))?;
    match said(response.status) {
        Said::Done => {}
        Said::Forbidden if key.touch => {
            return Err(request("the YubiKey was not touched in time".to_owned()));
        }
        _ => return Err(Trouble::Refused { command: NAME, status: response.status }),
    }
    let raw = tlv::find(&response.data, 0x7C).and_then(|template| tlv::find(template, 0x82));
    let raw = raw.ok_or(Trouble::Nonsense { command: NAME })?;
    match &key.public_key {
        PublicKey::Ecdsa(point) => {
            signature::fixed(raw, point.curve().field_len()).ok_or(Trouble::Nonsense { command: NAME })
        }
        PublicKey::Ed25519(_) | PublicKey::Rsa(_) | PublicKey::MlDsa(_) => Ok(raw.to_vec()),
    }
}

fn request(code: String) -> Trouble {
    Trouble::Request(CallFailure { call: "the YubiKey".to_owned(), code })
}
