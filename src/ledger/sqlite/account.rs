//! What the file says of a caller: what it has spent, how it stands, how many of its refusals were only counted.
//!
//! In: who it is about. Out: the row, as the transaction has it so far: each is read once and written once in a transaction,
//! however many of its entries concern it. A transaction that fails leaves nothing to take back.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use rusqlite::{OptionalExtension, Row};

use crate::ledger::bucket::Bucket;
use crate::ledger::budget::{Spent, Standing, Tally};
use crate::ledger::entry::UnixMillis;
use crate::ledger::sqlite::Batch;

/// A caller and a key, by the names that the entries have.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::ledger) struct Party {
    pub(in crate::ledger) caller: Vec<u8>,
    pub(in crate::ledger) key: Vec<u8>,
}

/// Whose budget, and by which profile.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::ledger) struct Account {
    pub(in crate::ledger) party: Party,
    pub(in crate::ledger) rule: String,
}

/// The rows that a transaction has read.
#[derive(Debug, Default)]
pub(super) struct Rows {
    spent: HashMap<Account, Cell<Spent>>,
    standing: HashMap<Party, Cell<Standing>>,
    tally: HashMap<Vec<u8>, Cell<Tally>>,
}

/// One row, and whether it is to be written.
#[derive(Clone, Copy, Debug)]
struct Cell<T> {
    value: T,
    changed: bool,
}

impl Batch<'_> {
    /// What has been spent.
    pub(in crate::ledger) fn spent(&mut self, account: &Account) -> rusqlite::Result<Spent> {
        if let Some(cell) = self.rows.spent.get(account) {
            return Ok(cell.value);
        }
        let select =
            "SELECT rate, rate_at, volume, volume_at FROM spent WHERE caller = ?1 AND key = ?2 AND rule = ?3";
        let read = |row: &Row<'_>| Ok(Spent { rate: bucket(row, 0)?, volume: bucket(row, 2)? });
        let Party { caller, key } = &account.party;
        let mut select = self.transaction.prepare_cached(select)?;
        let value = select.query_row((caller, key, &account.rule), read).optional()?.unwrap_or_default();
        Ok(keep(&mut self.rows.spent, account.clone(), value))
    }

    pub(in crate::ledger) fn set_spent(&mut self, account: &Account, value: Spent) {
        change(&mut self.rows.spent, account, value);
    }

    /// How a caller stands with a key.
    pub(in crate::ledger) fn standing(&mut self, party: &Party) -> rusqlite::Result<Standing> {
        if let Some(cell) = self.rows.standing.get(party) {
            return Ok(cell.value);
        }
        let select = "SELECT tries, since, frozen FROM standing WHERE caller = ?1 AND key = ?2";
        let read = |row: &Row<'_>| {
            let frozen = row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned);
            Ok(Standing { over: row.get(0)?, since: millis(row.get(1)?), frozen })
        };
        let mut select = self.transaction.prepare_cached(select)?;
        let value = select.query_row((&party.caller, &party.key), read).optional()?.unwrap_or_default();
        Ok(keep(&mut self.rows.standing, party.clone(), value))
    }

    pub(in crate::ledger) fn set_standing(&mut self, party: &Party, value: Standing) {
        change(&mut self.rows.standing, party, value);
    }

    /// What a caller's refusals may leave in the log.
    pub(in crate::ledger) fn tally(&mut self, caller: &[u8]) -> rusqlite::Result<Tally> {
        if let Some(cell) = self.rows.tally.get(caller) {
            return Ok(cell.value);
        }
        let select = "SELECT whole, whole_at, count, since FROM tally WHERE caller = ?1";
        let mut select = self.transaction.prepare_cached(select)?;
        let value = select.query_row([caller], read_tally).optional()?.unwrap_or_default();
        Ok(keep(&mut self.rows.tally, caller.to_vec(), value))
    }

    pub(in crate::ledger) fn set_tally(&mut self, caller: &[u8], value: Tally) {
        change(&mut self.rows.tally, caller, value);
    }

    /// The callers with refusals that were counted, as the transaction found them.
    pub(in crate::ledger) fn open_tallies(&self) -> rusqlite::Result<Vec<(Vec<u8>, Tally)>> {
        let select = "SELECT whole, whole_at, count, since, caller FROM tally WHERE count > 0";
        let mut select = self.transaction.prepare_cached(select)?;
        select.query_map((), |row| Ok((row.get(4)?, read_tally(row)?)))?.collect()
    }

    /// Writes the rows that changed.
    pub(super) fn write_rows(&self) -> rusqlite::Result<()> {
        let insert = "INSERT OR REPLACE INTO spent (caller, key, rule, rate, rate_at, volume, volume_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        for (Account { party: Party { caller, key }, rule }, spent) in changed(&self.rows.spent) {
            let ((rate, rate_at), (volume, volume_at)) = (columns(spent.rate), columns(spent.volume));
            self.execute(insert, (caller, key, rule, rate, rate_at, volume, volume_at))?;
        }
        let insert =
            "INSERT OR REPLACE INTO standing (caller, key, tries, since, frozen) VALUES (?1, ?2, ?3, ?4, ?5)";
        for (Party { caller, key }, Standing { over, since, frozen }) in changed(&self.rows.standing) {
            self.execute(insert, (caller, key, over, since.0.cast_signed(), frozen.map(u64::cast_signed)))?;
        }
        let insert = "INSERT OR REPLACE INTO tally (caller, whole, whole_at, count, since) VALUES (?1, ?2, ?3, ?4, ?5)";
        for (caller, Tally { whole, count, since }) in changed(&self.rows.tally) {
            let (whole, whole_at) = columns(*whole);
            self.execute(insert, (caller, whole, whole_at, count.cast_signed(), since.0.cast_signed()))?;
        }
        Ok(())
    }
}

fn keep<K: Eq + Hash, T: Copy>(rows: &mut HashMap<K, Cell<T>>, key: K, value: T) -> T {
    rows.insert(key, Cell { value, changed: false });
    value
}

/// A row that is what it was need not be written.
fn change<K, Q, T>(rows: &mut HashMap<K, Cell<T>>, key: &Q, value: T)
where
    K: Borrow<Q> + Eq + Hash,
    Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    T: Copy + Eq,
{
    match rows.get_mut(key) {
        Some(cell) => {
            cell.changed |= cell.value != value;
            cell.value = value;
        }
        None => drop(rows.insert(key.to_owned(), Cell { value, changed: true })),
    }
}

fn changed<K, T>(rows: &HashMap<K, Cell<T>>) -> impl Iterator<Item = (&K, &T)> {
    rows.iter().filter(|(_, cell)| cell.changed).map(|(key, cell)| (key, &cell.value))
}

fn read_tally(row: &Row<'_>) -> rusqlite::Result<Tally> {
    let count = row.get::<_, i64>(2)?.cast_unsigned();
    Ok(Tally { whole: bucket(row, 0)?, count, since: millis(row.get(3)?) })
}

/// What is missing, and the next column: when.
fn bucket(row: &Row<'_>, column: usize) -> rusqlite::Result<Bucket> {
    let missing = row.get::<_, i64>(column)?.cast_unsigned();
    Ok(Bucket { missing, at: millis(row.get(column + 1)?) })
}

fn columns(Bucket { missing, at }: Bucket) -> (i64, i64) {
    (missing.cast_signed(), at.0.cast_signed())
}

fn millis(millis: i64) -> UnixMillis {
    UnixMillis(millis.cast_unsigned())
}
