//! What a token can do by itself: the same two calls as in service, over and over, with nothing around them.
//!
//! In: a console and a scheme. Out: a loop to be timed. Its key is made for it, as an object of the token as CA keys are, because a
//! token may be slower with those (SoftHSM2 reads two files for each signature), and destroyed at its end: a CA key signs
//! nothing that is not in the ledger.

use std::time::Instant;

use cryptoki::object::Attribute;

use super::carry::Leaving;
use super::generate::KeyKind;
use super::key::{self, FoundKey};
use super::ladder::Trouble;
use super::mechanism::{self, Dialect};
use super::operator::{Console, call};
use crate::key::Scheme;
use crate::token::input::Input;

/// What people see of the key while it is there. Whatever has this name is destroyed, also if a run was cut short and left it.
const LABEL: &str = "countersign bench, temporary";
/// What an RSA key is measured with, as `key generate` makes them.
const RSA_BITS: u16 = 3072;

/// One session that signs.
pub(crate) struct RawLoop {
    console: Console,
    label: String,
    key: FoundKey,
}

impl RawLoop {
    /// Makes the `number`th key: each session has its own.
    ///
    /// # Errors
    /// If the token refuses to make or to show one.
    pub(crate) fn new(console: Console, number: usize, scheme: Scheme) -> anyhow::Result<Self> {
        let label = format!("{LABEL} {number}");
        destroy(&console, &label)?;
        let private = console
            .generate_pair(&label, label.as_bytes(), KeyKind::for_scheme(scheme, RSA_BITS), Leaving::Never)?
            .private;
        let public_key = key::public_key(&console.session, private)?;
        let key =
            FoundKey { private, public_key, scheme, always_authenticate: false, dialect: Dialect::default() };
        Ok(Self { console, label, key })
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

impl Drop for RawLoop {
    fn drop(&mut self) {
        if let Err(error) = destroy(&self.console, &self.label) {
            tracing::warn!(
                "the key {:?} is still on the token; the next run destroys it: {error:#}",
                self.label
            );
        }
    }
}

/// Destroys both halves of a key that a loop made.
fn destroy(console: &Console, label: &str) -> anyhow::Result<()> {
    let mine = [Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(label.as_bytes().to_vec())];
    for object in console.session.find_objects(&mine).map_err(call)? {
        #[expect(
            clippy::disallowed_methods,
            reason = "a measurement's own key, by a label and an id that no other key has"
        )]
        console.session.destroy_object(object).map_err(call)?;
    }
    Ok(())
}
