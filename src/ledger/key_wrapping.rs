//! That an operator is about to have a key wrapped for another token.

use crate::caller::CallerName;
use crate::key::PublicKey;
use crate::ledger::entry::{Entry, UnixMillis, sha256};
use crate::ledger::{Ledger, LedgerError, Receipt};
use crate::token::TokenName;

/// A key, and for whom it is about to leave its token.
#[derive(Clone, Debug)]
pub struct KeyWrapping {
    /// The token that wraps it.
    pub token: TokenName,
    /// The key's public half.
    pub public_key: PublicKey,
    /// The public half of the key that it is wrapped for.
    pub recipient: PublicKey,
    /// Where on the token it is, in words.
    pub place: String,
    /// The operator, as the kernel names it.
    pub by: CallerName,
    /// The operator's reason.
    pub why: String,
}

impl KeyWrapping {
    /// Its entry.
    fn entry(self, time: UnixMillis) -> Entry {
        Entry::KeyWrapping {
            time,
            token: self.token.as_str().as_bytes().to_vec(),
            spki_sha256: sha256(&[&self.public_key.to_spki_der()]),
            recipient_sha256: sha256(&[&self.recipient.to_spki_der()]),
            place: self.place.into_bytes(),
            by: self.by.as_str().as_bytes().to_vec(),
            why: self.why.into_bytes(),
        }
    }
}

impl Ledger {
    /// Records that a key is about to be wrapped for another token, and returns once it is durable.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn record_key_wrapping(&self, wrapping: KeyWrapping) -> Result<Receipt, LedgerError> {
        self.append(&wrapping.entry((self.now)())).await
    }
}
