//! Compares the subject keys that a database keeps as revoked with those that the log revokes. A file keeps none.
//!
//! In: the revocations of the log, and the database's rows. Out: findings, by the revocation; a row that no revocation of the log asks for
//! is named by the last entry, after which nothing revokes it.

use super::{Compare, Subject, unread};
use crate::ledger::LedgerError;
use crate::ledger::revoked::SubjectRow;

impl Compare<'_> {
    pub(super) fn subjects(&mut self) -> Result<(), LedgerError> {
        let rows = match self.reader.revoked_subjects() {
            Ok(None) => return Ok(()),
            Ok(Some(rows)) => Ok(rows),
            Err(error) if error.is_damage() => Err(unread("revoked_subject", &error)),
            Err(error) => return Err(error),
        };
        let asked = std::mem::take(&mut self.subjects);
        let of_row = |row: &SubjectRow| -> Subject {
            (row.ca_key.clone(), row.subject_key.clone(), row.reason.clone())
        };
        for (subject, index) in &asked {
            match &rows {
                Ok(rows) if rows.iter().any(|row| of_row(row) == *subject) => {}
                Ok(_) => self.found(*index, "its subject key has no row".to_owned()),
                Err(why) => self.found(*index, why.clone()),
            }
        }
        let own = self.reader.log();
        for row in rows.into_iter().flatten().filter(|row| row.log == own) {
            if !asked.contains_key(&of_row(&row)) {
                let why = format!("a row revokes a subject key for {}, and no entry does", row.reason);
                self.other_row(u64::MAX, why);
            }
        }
        Ok(())
    }
}
