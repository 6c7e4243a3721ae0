//! How many entries somebody vouches for.
//!
//! In: what an audit found, and the key by which its checkpoints' signatures were verified. Out: how many entries a verified checkpoint
//! covers, how many only hashes that were known before, how many nothing. Promised: the tiles of the export that is verified
//! count for nothing, as who changes its entries changes them, too.

use crate::ledger::audit::Report;
use crate::ledger::note::VerifierKey;

/// What covers the entries that were read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coverage {
    entries: u64,
    /// How many entries the largest verified checkpoint covers, if there is one that holds.
    signed: Option<u64>,
    /// How many were compared with hashes from elsewhere.
    hashed: u64,
    subject: Subject,
}

/// What was verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Subject {
    /// A ledger's file, or what a signer serves of it, whose newest entries need not be covered yet.
    Ledger,
    /// An export, all of which its checkpoint covers.
    Export,
}

impl Coverage {
    /// Of a log whose checkpoints' signatures were all verified by `key`; without it, none was.
    pub(super) fn of(report: &Report, subject: Subject, key: Option<&VerifierKey>) -> Self {
        let holding =
            report.checkpoints.iter().filter(|checkpoint| key.is_some() && checkpoint.holds == Some(true));
        Self {
            entries: report.entries,
            signed: holding.map(|checkpoint| checkpoint.size).max(),
            hashed: if subject == Subject::Export { 0 } else { report.compared },
            subject,
        }
    }

    /// How many entries a verified checkpoint covers; `None` without such a checkpoint.
    pub(super) fn signed(&self) -> Option<u64> {
        self.signed
    }

    /// How many entries nothing covers.
    pub(super) fn nothing(&self) -> u64 {
        self.entries.saturating_sub(self.signed.unwrap_or(0).max(self.hashed))
    }

    /// Whether as much is covered as can be: of an export everything, of a ledger more than nothing.
    pub(super) fn suffices(&self) -> bool {
        match self.subject {
            Subject::Ledger => self.signed.unwrap_or(0).max(self.hashed) > 0,
            Subject::Export => self.signed.is_some() && self.nothing() == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_export_all_is_to_be_signed_and_of_a_ledger_something_known() {
        for (subject, signed, hashed, nothing, suffices) in [
            (Subject::Export, None, 0, 10, false),
            (Subject::Export, Some(9), 0, 1, false),
            (Subject::Export, Some(10), 0, 0, true),
            (Subject::Ledger, None, 0, 10, false),
            (Subject::Ledger, Some(0), 0, 10, false),
            (Subject::Ledger, None, 7, 3, true),
            (Subject::Ledger, Some(9), 7, 1, true),
        ] {
            let coverage = Coverage { entries: 10, signed, hashed, subject };
            assert_eq!((coverage.nothing(), coverage.suffices()), (nothing, suffices), "{coverage:?}");
        }
        for subject in [Subject::Export, Subject::Ledger] {
            assert!(!Coverage { entries: 0, signed: None, hashed: 0, subject }.suffices(), "{subject:?}");
        }
    }
}
