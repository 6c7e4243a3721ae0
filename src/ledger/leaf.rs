//! An entry as it is written: its bytes, their hash, and what finds it.
//!
//! In: an entry. Out: a [`Leaf`], made by whoever has the entry, so that the one thread that writes the log need not.

use countersign_tbs::Tbs;

use crate::ledger::entry::{Entry, EntryTooLong, leaf_hash};
use crate::ledger::index::{Term, TermKey};

/// An entry that is to be appended.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) bytes: Vec<u8>,
    /// RFC 6962 §2.1: SHA-256(0x00 || bytes).
    pub(super) hash: [u8; 32],
    pub(super) terms: Vec<Term>,
    /// Of an outcome, the index of what it is about.
    pub(super) settles: Option<u64>,
    /// Whether there is to be an outcome about it.
    pub(super) owes: bool,
}

impl Leaf {
    /// Of any entry.
    pub(super) fn of(entry: &Entry, key: TermKey) -> Result<Self, EntryTooLong> {
        Self::found_by(entry, key.terms(entry))
    }

    /// Of an intent, whose TBS need not be parsed again.
    pub(super) fn of_intent(entry: &Entry, tbs: &Tbs, key: TermKey) -> Result<Self, EntryTooLong> {
        match entry {
            Entry::Intent { asked, ca_key, .. } => {
                Self::found_by(entry, key.intent(asked, ca_key, Some(tbs)))
            }
            other => Self::of(other, key),
        }
    }

    fn found_by(entry: &Entry, terms: Vec<Term>) -> Result<Self, EntryTooLong> {
        let bytes = entry.encode()?;
        let hash = leaf_hash(&bytes);
        let settles = if let Entry::Outcome { intent, .. } = entry { Some(*intent) } else { None };
        let owes = matches!(entry, Entry::Intent { .. } | Entry::SelfTest { .. } | Entry::Checkpoint { .. });
        Ok(Self { bytes, hash, terms, settles, owes })
    }
}
