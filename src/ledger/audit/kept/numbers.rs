//! Compares the numbers of lists that a store keeps with the lists that the log permits.
//!
//! In: a log that was read whole, and the store's rows. Out: findings, by the intent of a list. Promised: the newest number of each series
//! that somebody may have the list of is there, so that it does not come again; and no row of the log is of another list than its intent.
//! Of lists of which the log has digests alone the number is not known: a row must lead to them, whatever number it says.

use std::collections::{HashMap, HashSet};

use countersign_tbs::crl::CrlNumber;
use countersign_tbs::{Tbs, TbsKind};

use super::Compare;
use crate::causes::in_one_line;
use crate::ledger::LedgerError;
use crate::ledger::crl_number::{NumberRow, Series};
use crate::ledger::entry::{Asked, Entry, Outcome};
use crate::ledger::index::parsed;

/// The number of a list and its series, if the log has the list.
type Number = Option<(Series, CrlNumber)>;

/// A list that somebody has or may come to have.
#[derive(Debug)]
struct List {
    intent: u64,
    number: Number,
}

/// By the SHA-256 of the CA key's SPKI, in order.
type Lists = HashMap<[u8; 32], Vec<List>>;

impl Compare<'_> {
    pub(super) fn numbers(&mut self, has_lists: bool) -> Result<(), LedgerError> {
        let rows = match self.reader.crl_numbers() {
            Ok(rows) => Ok(rows),
            Err(error) if error.is_damage() => Err(in_one_line(&error)),
            Err(error) => return Err(error),
        };
        let lists = if has_lists { self.lists()? } else { Lists::new() };
        for (ca_key, lists) in &lists {
            for (place, list) in lists.iter().enumerate() {
                match &rows {
                    Err(why) => self.other_row(list.intent, why.clone()),
                    Ok(_) if lists.iter().skip(place + 1).any(|later| later.may_follow(list)) => {}
                    Ok(rows) if self.is_kept(rows, ca_key, list) => {}
                    Ok(_) => self.other_row(list.intent, "the number of its list has no row".to_owned()),
                }
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

    /// The lists of the log that did not fail, without those that one which is out came after.
    fn lists(&self) -> Result<Lists, LedgerError> {
        let (mut lists, mut cas) = (Lists::new(), HashMap::new());
        for leaf in self.reader.leaves(0..self.entries) {
            let (index, leaf) = leaf?;
            match Entry::decode(&leaf) {
                Ok(Entry::Intent { asked, ca_key, .. }) => {
                    if let Some(number) = number(&asked) {
                        cas.insert(index, ca_key.spki_sha256);
                        lists.entry(ca_key.spki_sha256).or_default().push(List { intent: index, number });
                    }
                }
                Ok(Entry::Outcome { intent, outcome, .. }) => {
                    if let Some(of_ca) = cas.remove(&intent).and_then(|ca_key| lists.get_mut(&ca_key)) {
                        settle(of_ca, intent, &outcome);
                    }
                }
                // What is none is found already.
                _ => {}
            }
        }
        Ok(lists)
    }

    /// Whether a row keeps the number of `list` from coming again: its own, or one of a later list, of another log or since.
    fn is_kept(&self, rows: &[NumberRow], ca_key: &[u8; 32], list: &List) -> bool {
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

impl List {
    /// Whether it may be of the series of an `earlier` one, whose number nobody needs any more then.
    fn may_follow(&self, earlier: &Self) -> bool {
        let series = self.number.zip(earlier.number);
        series.is_none_or(|((own, _), (other, _))| own == other)
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

/// Takes note of what became of a list of a CA key.
fn settle(lists: &mut Vec<List>, intent: u64, outcome: &Outcome) {
    let Some(place) = lists.iter().position(|list| list.intent == intent) else { return };
    if !matches!(outcome, Outcome::Signed(_)) {
        lists.remove(place);
        return;
    }
    let superseded: HashSet<u64> = match lists.get(place) {
        Some(list) if list.number.is_some() => {
            let before = lists.iter().take(place).filter(|before| before.number.is_some());
            before.filter(|before| list.may_follow(before)).map(|before| before.intent).collect()
        }
        _ => HashSet::new(),
    };
    lists.retain(|list| !superseded.contains(&list.intent));
}
