//! What the file says of a caller: what it has spent, how it stands, how many of its refusals were only counted.
//!
//! In: who it is about. Out: the row, as the transaction has it so far: each is read once and written once in a transaction,
//! however many of its entries concern it. A transaction that fails leaves nothing to take back.

use rusqlite::{OptionalExtension, Row};

use crate::ledger::account::{Account, Party};
use crate::ledger::bucket::Bucket;
use crate::ledger::budget::{Spent, Standing, Tally};
use crate::ledger::entry::UnixMillis;
use crate::ledger::sqlite::Batch;

impl Batch<'_> {
    pub(super) fn read_spent(&mut self, account: &Account) -> rusqlite::Result<Spent> {
        if let Some(value) = self.rows.spent.get(account) {
            return Ok(value);
        }
        let select =
            "SELECT rate, rate_at, volume, volume_at FROM spent WHERE caller = ?1 AND key = ?2 AND rule = ?3";
        let read = |row: &Row<'_>| Ok(Spent { rate: bucket(row, 0)?, volume: bucket(row, 2)? });
        let Party { caller, key } = &account.party;
        let mut select = self.transaction.prepare_cached(select)?;
        let value = select.query_row((caller, key, &account.rule), read).optional()?.unwrap_or_default();
        Ok(self.rows.spent.keep(account.clone(), value))
    }

    pub(super) fn read_standing(&mut self, party: &Party) -> rusqlite::Result<Standing> {
        if let Some(value) = self.rows.standing.get(party) {
            return Ok(value);
        }
        let select = "SELECT tries, since, frozen FROM standing WHERE caller = ?1 AND key = ?2";
        let read = |row: &Row<'_>| {
            let frozen = row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned);
            Ok(Standing { over: row.get(0)?, since: millis(row.get(1)?), frozen })
        };
        let mut select = self.transaction.prepare_cached(select)?;
        let value = select.query_row((&party.caller, &party.key), read).optional()?.unwrap_or_default();
        Ok(self.rows.standing.keep(party.clone(), value))
    }

    pub(super) fn read_tally(&mut self, caller: &[u8]) -> rusqlite::Result<Tally> {
        if let Some(value) = self.rows.tally.get(caller) {
            return Ok(value);
        }
        let select = "SELECT whole, whole_at, count, since FROM tally WHERE caller = ?1";
        let mut select = self.transaction.prepare_cached(select)?;
        let value = select.query_row([caller], tally).optional()?.unwrap_or_default();
        Ok(self.rows.tally.keep(caller.to_vec(), value))
    }

    pub(super) fn read_open_tallies(&self) -> rusqlite::Result<Vec<(Vec<u8>, Tally)>> {
        let select = "SELECT whole, whole_at, count, since, caller FROM tally WHERE count > 0";
        let mut select = self.transaction.prepare_cached(select)?;
        select.query_map((), |row| Ok((row.get(4)?, tally(row)?)))?.collect()
    }

    /// Writes the rows that changed.
    pub(super) fn write_rows(&self) -> rusqlite::Result<()> {
        let insert = "INSERT OR REPLACE INTO spent (caller, key, rule, rate, rate_at, volume, volume_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        for (Account { party: Party { caller, key }, rule }, spent) in self.rows.spent.changed() {
            let ((rate, rate_at), (volume, volume_at)) = (columns(spent.rate), columns(spent.volume));
            self.execute(insert, (caller, key, rule, rate, rate_at, volume, volume_at))?;
        }
        let insert =
            "INSERT OR REPLACE INTO standing (caller, key, tries, since, frozen) VALUES (?1, ?2, ?3, ?4, ?5)";
        for (Party { caller, key }, Standing { over, since, frozen }) in self.rows.standing.changed() {
            self.execute(insert, (caller, key, over, since.0.cast_signed(), frozen.map(u64::cast_signed)))?;
        }
        let insert = "INSERT OR REPLACE INTO tally (caller, whole, whole_at, count, since) VALUES (?1, ?2, ?3, ?4, ?5)";
        for (caller, Tally { whole, count, since }) in self.rows.tally.changed() {
            let (whole, whole_at) = columns(*whole);
            self.execute(insert, (caller, whole, whole_at, count.cast_signed(), since.0.cast_signed()))?;
        }
        Ok(())
    }
}

fn tally(row: &Row<'_>) -> rusqlite::Result<Tally> {
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
