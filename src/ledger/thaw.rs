//! That an operator lets a caller use a key again.

use crate::caller::CallerName;
use crate::key::KeyName;
use crate::ledger::account::Party;
use crate::ledger::{Ledger, LedgerError, Receipt};

/// That an operator lets a caller use a key again which it was frozen for.
#[derive(Clone, Debug)]
pub struct Thaw {
    /// The key.
    pub key: KeyName,
    /// The caller that is frozen.
    pub caller: CallerName,
    /// The operator, as the kernel names it.
    pub by: CallerName,
    /// The operator's reason.
    pub why: String,
}

impl Thaw {
    /// Who is thawed for what.
    pub(super) fn party(&self) -> Party {
        Party { caller: self.caller.as_str().as_bytes().to_vec(), key: self.key.as_str().as_bytes().to_vec() }
    }
}

impl Ledger {
    /// Records that a caller may use a key again, and returns once it is durable and so. `None` if it was not frozen.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn thaw(&self, thaw: Thaw) -> Result<Option<Receipt>, LedgerError> {
        self.noted(self.queue.record_thaw((self.now)(), thaw).await)
    }
}
