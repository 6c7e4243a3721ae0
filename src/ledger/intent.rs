//! A decision that is in the log: what was refused, and what may be signed.
//!
//! In: nothing but from the ledger. Out: an [`Intent`], the only thing that a token signs.

use std::time::{Duration, Instant};

use crate::key::Key;
use crate::ledger::debt::Debt;
use crate::ledger::{Order, Receipt, Replay};
use crate::policy::Refusal;
use crate::sign::{Failure, Priority, Signed};
use crate::verify::Signature;

/// A decision that is in the log, durably.
#[derive(Debug)]
pub struct Recorded(pub(super) Result<Permitted, Refused>);

/// What policy permits.
#[derive(Debug)]
pub enum Permitted {
    /// To be signed.
    Intent(Intent),
    /// Signed before, for the same caller and request id: it is not signed again.
    Replay(Replay),
}

/// A refusal that is in the log, or counted there.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", refusal.message)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The index of its entry; `None` if this caller has had so many that it is only counted.
    pub entry: Option<u64>,
    /// How long until asking again can help, if that is known.
    pub retry_after: Option<Duration>,
}

/// Something that may be signed, and that the log says so, durably. What a token signs is this and nothing else.
///
/// Dropped unsettled, it leaves the outcome "abandoned".
#[derive(Debug)]
pub struct Intent {
    pub(super) order: Order,
    pub(super) priority: Priority,
    pub(super) deadline: Option<Instant>,
    pub(super) debt: Debt,
}

/// An intent to sign a challenge: at start, and of a token that comes back. It keeps its intent to itself:
/// [`Ledger::settle`](crate::ledger::Ledger::settle) can release none of it.
#[derive(Debug)]
pub struct SelfTest(pub(super) Intent);

impl Recorded {
    /// What is to be done, if policy permits.
    ///
    /// # Errors
    /// The recorded refusal.
    pub fn permitted(self) -> Result<Permitted, Refused> {
        self.0
    }
}

impl Intent {
    /// The key that is to sign.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.order.key()
    }

    /// The exact bytes that are to be signed.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.order.message()
    }

    /// When the caller no longer wants it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Which lane it waits in.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Where it is recorded.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.debt.receipt()
    }

    /// What a signature is to be verified by.
    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// The answer that it is with this signature, which is verified, if it comes in time.
    pub(super) fn answer(&self, signature: &Signature) -> Result<Signed, Failure> {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Failure::TooLate);
        }
        Ok(self.order.finish(signature, self.receipt())?)
    }
}

impl SelfTest {
    /// What the token is to sign.
    #[must_use]
    pub fn intent(&self) -> &Intent {
        &self.0
    }
}
