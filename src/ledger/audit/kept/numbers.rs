//! Compares the numbers of lists that a store keeps with the lists that the log permits.
//!
//! In: the newest lists of a log that was read whole, and the store's rows. Out: findings, by the intent of a list. Promised: the newest number of
//! each series that somebody may have the list of is there, so that it does not come again; and no row of the log is of another list than
//! its intent. Of lists of which the log has digests alone, and which nobody gave, the number is not known: a row must lead to them, whatever
//! number it says. No entry is read again but those that rows lead to.

use countersign_tbs::crl::CrlNumber;
use countersign_tbs::{Tbs, TbsKind};

use super::{Compare, unread};
use crate::ledger::LedgerError;
use crate::ledger::audit::newest::{NewestList, Number};
use crate::ledger::crl_number::{NumberRow, Series};
use crate::ledger::entry::{Asked, Entry};
use crate::ledger::index::parsed;

impl Compare<'_> {
    pub(super) fn numbers(&mut self, newest: &[([u8; 32], NewestList)]) -> Result<(), LedgerError> {
        let rows = match self.reader.crl_numbers() {
            Ok(rows) => Ok(rows),
            Err(error) if error.is_damage() => Err(unread("crl_number", &error)),
            Err(error) => return Err(error),
        };
        for (ca_key, list) in newest {
            match &rows {
                Err(why) => self.other_row(list.intent, why.clone()),
                Ok(rows) if self.is_kept(rows, ca_key, list) => {}
                Ok(_) => self.other_row(list.intent, "the number of its list has no row".to_owned()),
            }
        }
        let own = self.reader.log();
        for row in rows.into_iter().flatten().filter(|row| row.log == own) {
            if !self.is_of_its_intent(&row)? {
                let why = format!("a row says another number of a list of entry {} than that", row.intent);
                self.other_row(row.intent, why);
            }
        }
        Ok(())
    }

    /// Whether a row keeps the number of `list` from coming again: its own, or one of a later list, of another log or since.
    fn is_kept(&self, rows: &[NumberRow], ca_key: &[u8; 32], list: &NewestList) -> bool {
        let own = self.reader.log();
        rows.iter().filter(|row| row.ca_key == ca_key).any(|row| {
            let is_own = row.log == own && row.intent == list.intent;
            let is_later = row.log != own || row.intent > list.intent;
            match list.number {
                None => is_own || is_later,
                Some((series, number)) if row.series == series.name() => {
                    let found = CrlNumber::new(&row.number);
                    (is_own && found == Some(number)) || (is_later && found > Some(number))
                }
                Some(_) => false,
            }
        })
    }

    /// Whether the intent of a row is of a list with its number, as far as the log has the list.
    fn is_of_its_intent(&self, row: &NumberRow) -> Result<bool, LedgerError> {
        let Some((_, leaf)) =
            self.reader.leaves(row.intent..row.intent.saturating_add(1)).next().transpose()?
        else {
            return Ok(false);
        };
        let Ok(Entry::Intent { asked, ca_key, .. }) = Entry::decode(&leaf) else { return Ok(false) };
        let is_its = match number(&asked) {
            None => false,
            Some(None) => true,
            Some(Some((series, number))) => series.name() == row.series && number.as_bytes() == row.number,
        };
        Ok(is_its && ca_key.spki_sha256.as_slice() == row.ca_key)
    }
}

/// What an intent says of a list, if it is for one.
fn number(asked: &Asked) -> Option<Number> {
    if TbsKind::from_name(&asked.kind) != Some(TbsKind::X509Crl) {
        return None;
    }
    let Some(Tbs::Crl(list)) = parsed(asked) else { return Some(None) };
    Some(Some((Series::of(&list), list.number())))
}
