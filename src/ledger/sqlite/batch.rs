//! One transaction on the log: entries, and what finds them again by what they claimed.
//!
//! In: encoded entries with their claims. Out: their indexes, and earlier intents. Promised: all of a batch is on the disk
//! once it is committed, and nothing of it if it is not; an intent is found from then on, in the same batch too. The
//! indexes say nothing that the entries do not.

use countersign_tbs::crl::CrlNumber;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Params, Row, Transaction};

use crate::ledger::claim::{Claim, Conflict, Earlier, Fate, Recorder, Unique};
use crate::ledger::crl_number::{ListNumber, Newest, Series};
use crate::ledger::entry::{CaKey, Entry};
use crate::ledger::sqlite::account::Rows;
use crate::ledger::{Receipt, leaf_hash};

/// Entries that are committed together, or not at all.
pub(in crate::ledger) struct Batch<'a> {
    pub(super) transaction: Transaction<'a>,
    /// The index of the next entry.
    pub(super) next: i64,
    /// The index of the first entry of this process.
    pub(super) opened_at: i64,
    /// What it has read of callers, and is to write.
    pub(super) rows: Rows,
}

impl Batch<'_> {
    /// Appends an entry; its index.
    pub(in crate::ledger) fn append(&mut self, leaf: &[u8]) -> rusqlite::Result<u64> {
        let index = self.next;
        self.execute("INSERT INTO entry (idx, leaf) VALUES (?1, ?2)", (index, leaf))?;
        self.next += 1;
        Ok(index.cast_unsigned())
    }

    /// Appends an entry that is made here.
    pub(in crate::ledger) fn append_entry(&mut self, entry: &Entry) -> rusqlite::Result<Receipt> {
        let leaf =
            entry.encode().map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(Receipt { index: self.append(&leaf)?, leaf_hash: leaf_hash(&leaf) })
    }

    /// Appends the outcome of the intent at `intent`.
    pub(in crate::ledger) fn append_outcome(&mut self, intent: u64, leaf: &[u8]) -> rusqlite::Result<()> {
        let index = self.append(leaf)?;
        let places = (intent.cast_signed(), index.cast_signed());
        self.execute("INSERT INTO outcome (intent, idx) VALUES (?1, ?2)", places)
    }

    /// Appends an intent, which has from now on what it claims; its index.
    pub(in crate::ledger) fn append_intent(&mut self, claim: &Claim, leaf: &[u8]) -> rusqlite::Result<u64> {
        let index = self.append(leaf)?;
        if let Some(id) = &claim.asked.request_id {
            let insert = "INSERT OR REPLACE INTO request (caller, id, intent) VALUES (?1, ?2, ?3)";
            self.execute(insert, (&claim.asked.caller, id, index.cast_signed()))?;
        }
        let ca_key = claim.ca_key.spki_sha256;
        match &claim.unique {
            Unique::Serial(serial) => {
                let insert = "INSERT OR REPLACE INTO serial (ca_key, serial, intent) VALUES (?1, ?2, ?3)";
                self.execute(insert, (ca_key, serial.as_bytes(), index.cast_signed()))?;
            }
            Unique::CrlNumber(ListNumber { series, number, .. }) => {
                let insert = "INSERT OR REPLACE INTO crl_number (ca_key, series, number, intent) VALUES (?1, ?2, ?3, ?4)";
                self.execute(insert, (ca_key, series.name(), number.as_bytes(), index.cast_signed()))?;
            }
            Unique::Nothing => {}
        }
        Ok(index)
    }

    /// The intent that has this claim's request id.
    pub(in crate::ledger) fn by_request(&self, claim: &Claim) -> rusqlite::Result<Option<Earlier>> {
        let Some(id) = &claim.asked.request_id else { return Ok(None) };
        let select = "SELECT intent FROM request WHERE caller = ?1 AND id = ?2";
        self.earlier(select, (&claim.asked.caller, id))
    }

    /// The intent that has this claim's serial.
    pub(in crate::ledger) fn by_serial(&self, claim: &Claim) -> rusqlite::Result<Option<Earlier>> {
        let Unique::Serial(serial) = &claim.unique else { return Ok(None) };
        let select = "SELECT intent FROM serial WHERE ca_key = ?1 AND serial = ?2";
        self.earlier(select, (claim.ca_key.spki_sha256, serial.as_bytes()))
    }

    /// What is in the way of this claim's CRL number.
    pub(in crate::ledger) fn by_crl_number(&self, claim: &Claim) -> rusqlite::Result<Option<Conflict>> {
        let Unique::CrlNumber(number) = &claim.unique else { return Ok(None) };
        let own = self.newest_number(&claim.ca_key, number.series)?;
        let other = self.newest_number(&claim.ca_key, number.series.other())?;
        Ok(number.against(own.as_ref(), other.as_ref()))
    }

    fn newest_number(&self, ca_key: &CaKey, series: Series) -> rusqlite::Result<Option<Newest>> {
        let place = (ca_key.spki_sha256, series.name());
        let select = "SELECT intent FROM crl_number WHERE ca_key = ?1 AND series = ?2";
        let Some(earlier) = self.earlier(select, place)? else { return Ok(None) };
        let select = "SELECT number FROM crl_number WHERE ca_key = ?1 AND series = ?2";
        let number: Vec<u8> = self.transaction.prepare_cached(select)?.query_row(place, |row| row.get(0))?;
        let number = CrlNumber::new(&number).ok_or_else(|| not_an_entry(0, Mismatch))?;
        Ok(Some(Newest { number, fate: earlier.fate }))
    }

    /// Returns once the disk has all of it.
    pub(in crate::ledger) fn commit(self) -> rusqlite::Result<()> {
        self.write_rows()?;
        self.transaction.commit()
    }

    pub(super) fn execute(&self, sql: &'static str, values: impl Params) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// The intent whose index `select` finds, as its entry and that of its outcome tell it.
    fn earlier(&self, select: &'static str, values: impl Params) -> rusqlite::Result<Option<Earlier>> {
        let mut select = self.transaction.prepare_cached(select)?;
        let found = select.query_row(values, |row| row.get::<_, i64>(0)).optional()?;
        let Some(index) = found else { return Ok(None) };
        let entries = "SELECT intent.leaf, ended.leaf FROM entry AS intent
             LEFT JOIN outcome ON outcome.intent = intent.idx LEFT JOIN entry AS ended ON ended.idx = outcome.idx
             WHERE intent.idx = ?1";
        let mut entries = self.transaction.prepare_cached(entries)?;
        entries.query_row([index], |row| self.read(index, row)).map(Some)
    }

    fn read(&self, index: i64, row: &Row<'_>) -> rusqlite::Result<Earlier> {
        let (leaf, ended): (Vec<u8>, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
        let receipt = Receipt { index: index.cast_unsigned(), leaf_hash: leaf_hash(&leaf) };
        let Entry::Intent { asked, ca_key, .. } = decode(0, &leaf)? else {
            return Err(not_an_entry(0, Mismatch));
        };
        let outcome = match ended.map(|leaf| decode(1, &leaf)).transpose()? {
            None => None,
            Some(Entry::Outcome { outcome, .. }) => Some(outcome),
            Some(_) => return Err(not_an_entry(1, Mismatch)),
        };
        let recorder = if index < self.opened_at { Recorder::OneBefore } else { Recorder::ThisProcess };
        Ok(Earlier { receipt, asked, ca_key, fate: Fate::of(outcome, recorder) })
    }
}

/// An index that leads to another kind of entry than it promises: somebody has changed the file.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("an index of the ledger leads to another kind of entry")]
struct Mismatch;

fn decode(column: usize, leaf: &[u8]) -> rusqlite::Result<Entry> {
    Entry::decode(leaf).map_err(|error| not_an_entry(column, error))
}

fn not_an_entry(column: usize, cause: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(cause))
}
