//! What an intent owes the log: its outcome.
//!
//! In: an outcome, or none if a task is aborted. Out: exactly one outcome entry per intent, unless the process dies.

use std::time::Instant;

use crate::ledger::Receipt;
use crate::ledger::entry::{Entry, Outcome, UnixMillis};
use crate::ledger::writer::Queue;
use crate::token::TokenName;

/// Owed until settled; dropped unsettled, it is settled as abandoned.
#[derive(Debug)]
pub(super) struct Debt {
    receipt: Receipt,
    recorded: UnixMillis,
    since: Instant,
    /// `None` once settled.
    queue: Option<Queue>,
}

impl Debt {
    /// For the intent of `receipt`, recorded at the time `recorded`, which has just become durable.
    pub(super) fn new(receipt: Receipt, recorded: UnixMillis, queue: Queue) -> Self {
        Self { receipt, recorded, since: Instant::now(), queue: Some(queue) }
    }

    /// Where the intent is recorded.
    pub(super) fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// Queues the outcome: what became of it, and at which token.
    pub(super) fn settle(mut self, outcome: Outcome, token: Option<TokenName>) {
        self.append(outcome, token);
    }

    fn append(&mut self, outcome: Outcome, token: Option<TokenName>) {
        let Some(queue) = self.queue.take() else { return };
        let elapsed = self.since.elapsed();
        let entry = Entry::Outcome {
            // On the intent's clock: an outcome is written even if the clock was set back meanwhile, and must not pull the
            // log's time back with it.
            time: self.recorded.after(elapsed),
            intent: self.receipt.index,
            outcome,
            latency_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            token: token.map(|token| token.as_str().as_bytes().to_vec()),
        };
        let queued = queue.leaf(&entry).and_then(|leaf| queue.outcome(leaf));
        if let Err(error) = queued {
            tracing::error!(intent = self.receipt.index, "an outcome is not recorded: {error}");
        }
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.append(Outcome::Abandoned, None);
    }
}
