//! What a kind of token must offer to sign: the words of this program, not those of PKCS#11.
//!
//! Calls block. The token process gives each session a thread of its own; the daemon owns the deadline, which it enforces
//! by killing the process.

use super::frame::{CallFailure, Moment, PinRefusal, Recovery, TokenDescription};
use super::input::Input;
use super::pin::InMemory;

/// One conversation with one token. `Send`, not `Sync`: PKCS#11 allows one operation at a time.
pub(super) trait Session: Send {
    /// Signs with the key of this place in the setup: `r || s`, 64 bytes of Ed25519, or the RSA block; not, after a failure that took
    /// long to heal, once `until` is past. `heal` is told of a failure on the way that was healed.
    ///
    /// # Errors
    /// [`SignError`], which says whether the session may be used again.
    fn sign(
        &mut self,
        key: usize,
        input: &Input,
        until: Option<Moment>,
        heal: &mut dyn FnMut(Recovery),
    ) -> Result<Vec<u8>, SignError>;

    /// Looks whether the token answers in this session; what does not is healed as for a signature, and `heal` is told of it. No private key is
    /// used.
    ///
    /// # Errors
    /// [`SignError`]; one that lets the session be used again says nothing of the token.
    fn look(&mut self, heal: &mut dyn FnMut(Recovery)) -> Result<(), SignError>;
}

/// A token that is logged in, with its keys found.
pub(super) struct Opened {
    pub(super) token: TokenDescription,
    /// The public keys in the order of the setup, in SSH's encoding.
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) pin: InMemory,
    pub(super) sessions: Vec<Box<dyn Session>>,
    /// Lets go of the token. Called once no session is in use, and may hang.
    pub(super) finish: Box<dyn FnOnce() + Send>,
}

/// Why a session did not sign.
#[derive(Debug)]
pub(super) enum SignError {
    /// This request cannot be signed; the session is fine.
    Request(CallFailure),
    /// Another process of the token is in a login, and is not waited for; the session is fine. `given` as of [`Self::Pin`].
    Busy { given: bool },
    /// Nobody waits for it any more; the session is fine. `given` as of [`Self::Pin`].
    Late { given: bool },
    /// Nothing that this process still does can be trusted to work.
    Process(CallFailure),
    /// The same, and the PIN must not be tried again. Whether the token was given the input before, so that it may have signed.
    Pin { refusal: PinRefusal, given: bool },
}
