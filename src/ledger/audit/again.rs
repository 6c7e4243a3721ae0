//! Reads entries a second time, and tells why one cannot be read at all.
//!
//! In: the source, and the tree of what was read of it. Out: the bytes that were read the first time, or none, and why. Promised: a signer
//! that serves another entry the second time is found, as it cannot prove that one to be in the tree that was made of the first; a signer
//! that does not answer is asked no further, and nothing is called wrong for it.

use crate::causes::in_one_line;
use crate::ledger::audit::source::{Broken, Source, SourceError};
use crate::ledger::audit::{AuditError, Findings, Wrong};
use crate::ledger::leaf_hash;
use crate::ledger::merkle::{Hash, check_inclusion};

/// Where the reading ended before the log did, though nothing shows that the log is wrong.
#[derive(Debug)]
pub struct Stopped {
    /// The entry that could not be read.
    pub index: u64,
    /// Why not.
    pub why: AuditError,
}

/// What was read of a log.
#[derive(Debug)]
pub(super) struct Again<'a> {
    pub(super) source: &'a Source,
    /// How many entries.
    pub(super) entries: u64,
    /// The root of the tree over them.
    pub(super) root: Hash,
    /// Whether it is one that was signed, as far as that is known; else an honest signer has proofs of another.
    pub(super) is_right: bool,
    pub(super) findings: Findings,
    pub(super) stopped: Option<Stopped>,
}

impl Again<'_> {
    /// The bytes of an entry that was read before.
    pub(super) fn leaf(&mut self, index: u64) -> Option<Vec<u8>> {
        if self.stopped.is_some() {
            return None;
        }
        self.read(index).map_err(|error| self.ended(index, error)).ok()
    }

    /// Takes note of why the entry at `index` cannot be read.
    pub(super) fn ended(&mut self, index: u64, error: SourceError) {
        let why = match error {
            SourceError::Broken(Broken { index, what }) => return self.findings.add(index, what),
            SourceError::Ledger(error) if error.is_damage() => {
                return self.findings.add(index, Wrong::Unreadable { why: in_one_line(&error) });
            }
            SourceError::Ledger(error) => AuditError::from(error),
            SourceError::Tiles(error) => AuditError::from(error),
        };
        self.stopped.get_or_insert(Stopped { index, why });
    }

    /// Takes note of entries that came after the last one, if they are known to have been lost.
    pub(super) fn cut(&mut self) {
        let Source::Log(reader) = self.source else { return };
        let cut = reader.cut().and_then(|cut| cut.map_or(Ok(()), Err));
        if let Err(error) = cut {
            self.ended(self.entries, SourceError::Ledger(error));
        }
    }

    fn read(&self, index: u64) -> Result<Vec<u8>, SourceError> {
        let leaf = self.source.leaf(index)?;
        let Source::Served(log) = self.source else { return Ok(leaf) };
        if !self.is_right {
            return Ok(leaf);
        }
        let asked = log.signer.inclusion(index, self.entries);
        let proof = asked.map_err(|source| SourceError::Ledger(log.no_answer(index, source)))?;
        let leads = |proof: Vec<Hash>| {
            check_inclusion(&leaf_hash(&leaf), index, self.entries, &self.root, &proof).is_ok()
        };
        if proof.is_some_and(leads) {
            return Ok(leaf);
        }
        Err(SourceError::Broken(Broken { index, what: Wrong::Unproven { size: self.entries } }))
    }
}
