//! What a token can do by itself: the same two calls as in service, over and over, with nothing around them.
//!
//! In: a console and a scheme. Out: a loop to be timed. Its key is made for it and gone with its session: a CA key signs nothing
//! that is not in the ledger.

use std::time::Instant;

use super::generate::KeyKind;
use super::key::{self, FoundKey};
use super::ladder::Trouble;
use super::mechanism;
use super::operator::{Console, call};
use crate::key::Scheme;
use crate::token::input::Input;

/// What people see of the key while it is there.
const LABEL: &str = "countersign bench";
/// What an RSA key is measured with, as `key generate` makes them.
const RSA_BITS: u16 = 3072;

/// One session that signs.
pub(crate) struct RawLoop {
    console: Console,
    key: FoundKey,
}

impl RawLoop {
    /// Makes the `number`th key: each session has its own.
    ///
    /// # Errors
    /// If the token refuses to make or to show one.
    pub(crate) fn new(console: Console, number: usize, scheme: Scheme) -> anyhow::Result<Self> {
        let label = format!("{LABEL} {number}");
        let private = console.generate_for_session(&label, KeyKind::for_scheme(scheme, RSA_BITS))?;
        let public_key = key::public_key(&console.session, private)?;
        let key = FoundKey { private, public_key, scheme, always_authenticate: false };
        Ok(Self { console, key })
    }

    /// Signs until then; how often.
    ///
    /// # Errors
    /// If a call fails.
    pub(crate) fn run(&self, until: Instant) -> anyhow::Result<u64> {
        let mut signed = 0;
        while Instant::now() < until {
            let message = u64::to_be_bytes(signed);
            let input = Input::of(self.key.scheme, &message);
            match mechanism::sign(&self.console.session, &self.key, &input) {
                Ok(_) => signed += 1,
                Err(Trouble::Call(error)) => return Err(call(error)),
                Err(_) => anyhow::bail!("the token wants its PIN for each signature of a key that does not"),
            }
        }
        Ok(signed)
    }
}
