//! What a store keeps beside its entries, for whoever compares it with them.
//!
//! In: a log that is open. Out: rows as they are, whoever's. Nothing here says whether they are right.

use super::{Reader, Select};
use crate::ledger::LedgerError;
use crate::ledger::account::FrozenRow;
use crate::ledger::crl_number::NumberRow;
use crate::ledger::postgres;
use crate::ledger::revoked::{Row, SubjectRow};

impl Reader {
    /// The revocations of this log whose meaning is kept.
    pub(in crate::ledger) fn kept_revocations(&self) -> Result<Vec<u64>, LedgerError> {
        match &self.select {
            Select::File(select) => select.kept_revocations(),
            Select::Database(select) => select.kept_revocations(),
        }
    }

    /// Whether the store keeps what revocations mean: a file that an earlier version wrote last does not.
    pub(in crate::ledger) fn keeps_revocations(&self) -> bool {
        match &self.select {
            Select::File(select) => select.keeps_revocations(),
            Select::Database(_) => true,
        }
    }

    /// What is kept of the certificates of a CA key that are revoked.
    pub(in crate::ledger) fn revoked_of(&self, ca_key: [u8; 32]) -> Result<Vec<Row>, LedgerError> {
        match &self.select {
            Select::File(select) => select.revoked(&[ca_key], 0),
            Select::Database(select) => select.revoked(&[ca_key], 0),
        }
    }

    /// The numbers of lists, of all CA keys and logs of the store.
    pub(in crate::ledger) fn crl_numbers(&self) -> Result<Vec<NumberRow>, LedgerError> {
        match &self.select {
            Select::File(select) => select.crl_numbers(),
            Select::Database(select) => select.crl_numbers(),
        }
    }

    /// The subject keys that are revoked, of all logs of the store; nothing of a file, which has no table of them.
    pub(in crate::ledger) fn revoked_subjects(&self) -> Result<Option<Vec<SubjectRow>>, LedgerError> {
        match &self.select {
            Select::File(_) => Ok(None),
            Select::Database(select) => select.revoked_subjects().map(Some),
        }
    }

    /// Who is frozen, of all logs of the store.
    pub(in crate::ledger) fn frozen(&self) -> Result<Vec<FrozenRow>, LedgerError> {
        match &self.select {
            Select::File(select) => select.frozen(),
            Select::Database(select) => select.frozen(),
        }
    }

    /// Where claims and outcomes have rows; nothing of a file, whose index finds them.
    pub(in crate::ledger) fn claims(&self) -> Option<&postgres::Select> {
        match &self.select {
            Select::File(_) => None,
            Select::Database(select) => Some(select),
        }
    }

    /// What says that a file's log ends where it does because its write-ahead log is damaged: entries came after. A database sees to its own.
    pub(in crate::ledger) fn cut(&self) -> Result<Option<LedgerError>, LedgerError> {
        match &self.select {
            Select::File(select) => select.cut(),
            Select::Database(_) => Ok(None),
        }
    }
}
