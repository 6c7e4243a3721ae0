//! That a key ceremony was held, as the log has it: by the digest of its transcript.
//!
//! In: what an operator says of the ceremony. Out: an entry. The transcript and its signatures stay with those who held it: whoever has
//! them sees by the log that they are not of later.

use super::entry::{Entry, UnixMillis};
use super::{Ledger, LedgerError, Receipt};
use crate::caller::CallerName;

/// A key ceremony that is over.
#[derive(Clone, Debug)]
pub struct Ceremony {
    /// What it was for.
    pub title: String,
    /// SHA-256 of its transcript.
    pub transcript_sha256: [u8; 32],
    /// The names of those who signed the transcript.
    pub participants: Vec<String>,
    /// The operator, as the kernel names it.
    pub by: CallerName,
}

impl Ceremony {
    fn entry(self, time: UnixMillis) -> Entry {
        Entry::Ceremony {
            time,
            title: self.title.into_bytes(),
            transcript_sha256: self.transcript_sha256,
            participants: self.participants.join(",").into_bytes(),
            by: self.by.as_str().as_bytes().to_vec(),
        }
    }
}

impl Ledger {
    /// Records that a ceremony was held, and returns once it is durable.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn record_ceremony(&self, ceremony: Ceremony) -> Result<Receipt, LedgerError> {
        self.append(&ceremony.entry((self.now)())).await
    }
}
