//! The PIN of keys that want it for each signature (R42), as long as its login lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cryptoki::slot::TokenInfo;

use super::not_let_in;
use crate::token::frame::Refusal;
use crate::token::gate::{Candidate, Gate, Login};
use crate::token::pin::Pin;

/// A PIN, and the serial number of the token that it is for.
pub(super) struct KeptPin {
    pub(super) pin: Pin,
    serial: String,
    /// Whether the token took it from this process; it has not looked at it where it needs no login but a signature's, or where
    /// somebody was logged in already.
    is_taken: AtomicBool,
}

impl KeptPin {
    pub(super) fn new(pin: Pin, info: &TokenInfo, is_taken: bool) -> Arc<Self> {
        Arc::new(Self { pin, serial: info.serial_number().to_owned(), is_taken: AtomicBool::new(is_taken) })
    }

    pub(super) fn candidate(&self) -> Candidate<'_> {
        let login = if self.is_taken.load(Ordering::SeqCst) { Login::Again } else { Login::First };
        Candidate { pin: &self.pin, serial: &self.serial, login }
    }

    /// The token took it.
    pub(super) fn taken(&self) {
        self.is_taken.store(true, Ordering::SeqCst);
    }

    /// # Errors
    /// If the PIN was refused for a signature before: nothing could be signed.
    pub(super) fn is_admitted(&self, gate: &Gate) -> Result<(), Refusal> {
        if self.is_taken.load(Ordering::SeqCst) {
            Ok(())
        } else {
            gate.admits(self.candidate()).map_err(not_let_in)
        }
    }
}
