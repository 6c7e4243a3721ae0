//! Compares who is frozen in the store with the freezes and thaws of the log.
//!
//! In: the freezes that no later entry of the log takes back, and the store's rows. Out: findings, by the freeze; a row that no freeze of the log
//! asks for is named by the entry that it leads to. Promised: whoever the log froze last is frozen still, or was thawed by an entry: of this log
//! since it was read, or of another log of the store, which has a copy of the freeze. Not done here: what other logs froze, and what was
//! spent and counted, which no entry says.

use std::collections::HashMap;

use super::{Compare, unread};
use crate::ledger::LedgerError;
use crate::ledger::account::{FrozenRow, Party};
use crate::ledger::archive::Page;
use crate::ledger::entry::{Entry, UnixMillis};

/// How much of a log is read at once, to look for thaws.
const PAGE: Page = Page { entries: 2048, bytes: 4 << 20 };

impl Compare<'_> {
    pub(super) fn standing(&mut self, frozen: &HashMap<Party, u64>) -> Result<(), LedgerError> {
        let rows = match self.reader.frozen() {
            Ok(rows) => rows,
            Err(error) if error.is_damage() => {
                self.other_row(u64::MAX, unread("standing", &error));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // Whoever is frozen by another entry was thawed in between, or is frozen all the same.
        let is_frozen = |party: &Party| rows.iter().any(|row| row.party == *party);
        let missing = frozen.iter().filter(|(party, _)| !is_frozen(party)).map(|(_, index)| *index).collect();
        for index in self.not_thawed(missing)? {
            self.other_row(index, "whom it freezes is not frozen, and no entry thaws them".to_owned());
        }
        let own = self.reader.log();
        for row in rows.iter().filter(|row| row.log == own && frozen.get(&row.party) != Some(&row.freeze)) {
            if !self.came_since(row)? {
                let why = format!(
                    "a row says that entry {} freezes whom it does not freeze, or no more",
                    row.freeze
                );
                self.other_row(row.freeze, why);
            }
        }
        Ok(())
    }

    /// Whether it is of a freeze that came after the log was read.
    fn came_since(&self, row: &FrozenRow) -> Result<bool, LedgerError> {
        if row.freeze < self.entries {
            return Ok(false);
        }
        let found = self.reader.leaves(row.freeze..row.freeze.saturating_add(1)).next().transpose()?;
        Ok(match found.map(|(_, leaf)| Entry::decode(&leaf)) {
            Some(Ok(Entry::Freeze { caller, key, .. })) => row.party == Party { caller, key },
            _ => false,
        })
    }

    /// Those of these freezes that nobody took back after they were read, and no other log.
    fn not_thawed(&self, freezes: Vec<u64>) -> Result<Vec<u64>, LedgerError> {
        if freezes.is_empty() {
            return Ok(freezes);
        }
        let mut open = Vec::new();
        for index in freezes {
            open.extend(
                Entry::decode(&self.reader.leaf(index)?.bytes).map(|freeze| (index, timeless(freeze))),
            );
        }
        for (log, len) in self.reader.sizes()? {
            self.thaw_by(log, len, &mut open)?;
        }
        Ok(open.into_iter().map(|(index, _)| index).collect())
    }

    /// Takes out what a log of `len` entries takes back. A thaw of another log comes after its own copy of the freeze.
    fn thaw_by(&self, log: i32, len: u64, open: &mut Vec<(u64, Entry)>) -> Result<(), LedgerError> {
        let is_own = log == self.reader.log();
        let mut range = if is_own { self.entries..len } else { 0..len };
        // By the index of each copy in that log, that of the freeze in this one.
        let mut copies: HashMap<u64, u64> =
            open.iter().filter(|_| is_own).map(|(index, _)| (*index, *index)).collect();
        while !range.is_empty() {
            let leaves = self.reader.page_of(log, range.clone(), PAGE)?;
            for leaf in &leaves {
                match Entry::decode(&leaf.bytes) {
                    Ok(freeze @ Entry::Freeze { .. }) => {
                        let freeze = timeless(freeze);
                        let own = open.iter().find(|(_, own)| *own == freeze);
                        copies.extend(own.map(|(own, _)| (leaf.index, *own)));
                    }
                    Ok(Entry::Thaw { freeze, .. }) => {
                        if let Some(own) = copies.get(&freeze) {
                            open.retain(|(index, _)| index != own);
                        }
                    }
                    _ => {}
                }
            }
            range.start = leaves.last().map_or(range.end, |leaf| leaf.index.saturating_add(1));
        }
        Ok(())
    }
}

/// A freeze as each log has it: its time is that of the entry.
fn timeless(mut freeze: Entry) -> Entry {
    if let Entry::Freeze { time, .. } = &mut freeze {
        *time = UnixMillis(0);
    }
    freeze
}
