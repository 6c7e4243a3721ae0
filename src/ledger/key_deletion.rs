//! That an operator is about to delete a key from a token.

use crate::caller::CallerName;
use crate::key::PublicKey;
use crate::ledger::entry::{Entry, UnixMillis, sha256};
use crate::ledger::{Ledger, LedgerError, Receipt};
use crate::token::TokenName;

/// That an operator is about to delete a key from a token.
#[derive(Clone, Debug)]
pub struct KeyDeletion {
    /// The token.
    pub token: TokenName,
    /// The key's public half.
    pub public_key: PublicKey,
    /// Where on the token it is, in words.
    pub place: String,
    /// The operator, as the kernel names it.
    pub by: CallerName,
    /// The operator's reason.
    pub why: String,
}

impl KeyDeletion {
    /// Its entry.
    fn entry(self, time: UnixMillis) -> Entry {
        Entry::KeyDeletion {
            time,
            token: self.token.as_str().as_bytes().to_vec(),
            spki_sha256: sha256(&[&self.public_key.to_spki_der()]),
            place: self.place.into_bytes(),
            by: self.by.as_str().as_bytes().to_vec(),
            why: self.why.into_bytes(),
        }
    }
}

impl Ledger {
    /// Records that a key is about to be deleted from its token, and returns once it is durable.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn record_key_deletion(&self, deletion: KeyDeletion) -> Result<Receipt, LedgerError> {
        self.append(&deletion.entry((self.now)())).await
    }
}
