//! One transaction on the log: entries, and the earlier ones that they are judged by.
//!
//! In: encoded entries with their claims. Out: their indexes, and earlier intents. Promised: all of a batch is on the disk
//! once it is committed, and nothing of it if it is not; an intent is found from then on, in the same batch too. Where the
//! index leads is compared: an entry is what was looked for or is passed over.

use countersign_tbs::crl::CrlNumber;
use rusqlite::{OptionalExtension, Params, Transaction};

use crate::ledger::account::{Account, Party, Rows};
use crate::ledger::budget::{Spent, Standing, Tally};
use crate::ledger::claim::{Claim, Conflict, Earlier, Fate, Recorder, Serial, Unique};
use crate::ledger::compromised::OfCa;
use crate::ledger::crl_number::{List, ListNumber, Series};
use crate::ledger::entry::{Asked, CaKey, Entry, Outcome, RevocationReason, UnixMillis};
use crate::ledger::error::StoreError;
use crate::ledger::index::{Index, Term, parsed, takes_serial};
use crate::ledger::meant::Sizes;
use crate::ledger::revoked::Row;
use crate::ledger::sqlite::revoked;
use crate::ledger::store::{self, MAX_NEWER, Stored};
use crate::ledger::{Leaf, Receipt, leaf_hash};

/// Entries that are committed together, or not at all.
pub(in crate::ledger) struct Batch<'a> {
    pub(super) transaction: Transaction<'a>,
    pub(super) index: &'a mut Index,
    /// The index of the next entry.
    pub(super) next: i64,
    /// The index of the first entry of this process.
    pub(super) opened_at: i64,
    /// What it has read of callers, and is to write.
    pub(super) rows: Rows,
}

impl store::Batch for Batch<'_> {
    fn append(&mut self, leaf: &Leaf) -> Stored<u64> {
        let index = self.next;
        self.execute("INSERT INTO entry (idx, leaf) VALUES (?1, ?2)", (index, &leaf.bytes))?;
        self.index.append(leaf);
        self.next += 1;
        Ok(index.cast_unsigned())
    }

    fn append_entry(&mut self, entry: &Entry) -> Stored<Receipt> {
        let leaf = Leaf::of(entry, self.index.key())?;
        Ok(Receipt { index: self.append(&leaf)?, leaf_hash: leaf.hash })
    }

    fn append_intent(&mut self, claim: &Claim, leaf: &Leaf) -> Stored<u64> {
        let index = self.append(leaf)?;
        if let Unique::CrlNumber(ListNumber { series, number, .. }) = &claim.unique {
            self.forget_numbers(&claim.ca_key, *series)?;
            let insert =
                "INSERT OR REPLACE INTO crl_number (ca_key, series, number, intent) VALUES (?1, ?2, ?3, ?4)";
            let place = (claim.ca_key.spki_sha256, series.name());
            self.execute(insert, (place.0, place.1, number.as_bytes(), index.cast_signed()))?;
        }
        Ok(index)
    }

    fn by_request(&mut self, claim: &Claim) -> Stored<Option<Earlier>> {
        let Some(id) = &claim.asked.request_id else { return Ok(None) };
        let caller = &claim.asked.caller;
        self.newest(self.index.key().request(caller, id), |asked, _| {
            asked.caller == *caller && asked.request_id.as_ref() == Some(id)
        })
    }

    fn by_serial(&mut self, claim: &Claim) -> Stored<Option<Earlier>> {
        let Unique::Serial(serial) = &claim.unique else { return Ok(None) };
        let spki_sha256 = &claim.ca_key.spki_sha256;
        self.newest(self.index.key().taken(spki_sha256, serial.as_bytes()), |asked, ca_key| {
            let is_serial = match parsed(asked) {
                Some(tbs) => Serial::of(&tbs).is_some_and(|other| other.as_bytes() == serial.as_bytes()),
                None => takes_serial(asked),
            };
            is_serial && ca_key.spki_sha256 == *spki_sha256
        })
    }

    fn subject_reasons(&mut self, _: &Claim) -> Stored<Vec<RevocationReason>> {
        Ok(Vec::new())
    }

    fn newer(&mut self, sizes: &Sizes) -> Stored<Option<Vec<(i32, u64, Entry)>>> {
        let first = sizes.get(&0).copied().unwrap_or_default();
        let most = first.saturating_add(u64::try_from(MAX_NEWER).unwrap_or(u64::MAX));
        let next = self.next.cast_unsigned();
        if next > most {
            return Ok(None);
        }
        let entries = (first..next).map(|index| Ok((0, index, self.entry(index)?.1)));
        entries.collect::<Stored<_>>().map(Some)
    }

    fn keep_revocation(&mut self, index: u64, _: &Entry, rows: Vec<Row>) -> Stored<()> {
        self.execute("INSERT OR IGNORE INTO revocation (idx) VALUES (?1)", [index.cast_signed()])?;
        Ok(rows.iter().try_for_each(|row| revoked::insert(&self.transaction, row))?)
    }

    fn is_revoked(&mut self, (ca_key, serial): &OfCa) -> Stored<bool> {
        Ok(revoked::is_there(&self.transaction, ca_key, serial)?)
    }

    fn revoked(&mut self, ca_key: &[u8; 32], kept: u64) -> Stored<Vec<Row>> {
        Ok(revoked::select(&self.transaction, ca_key, kept)?)
    }

    fn by_crl_number(&mut self, claim: &Claim) -> Stored<Option<Conflict>> {
        let Unique::CrlNumber(number) = &claim.unique else { return Ok(None) };
        let own = self.newest_number(&claim.ca_key.spki_sha256, number.series)?;
        let other = self.newest_number(&claim.ca_key.spki_sha256, number.series.other())?;
        Ok(number.against(own, other))
    }

    fn newest_crl_number(&mut self, spki_sha256: &[u8; 32]) -> Stored<Option<CrlNumber>> {
        let complete = self.newest_number(spki_sha256, Series::Complete)?;
        Ok(complete.max(self.newest_number(spki_sha256, Series::Delta)?))
    }

    fn spent(&mut self, account: &Account) -> Stored<Spent> {
        Ok(self.read_spent(account)?)
    }

    fn set_spent(&mut self, account: &Account, value: Spent) {
        self.rows.spent.change(account, value);
    }

    fn standing(&mut self, party: &Party) -> Stored<Standing> {
        Ok(self.read_standing(party)?)
    }

    fn set_standing(&mut self, party: &Party, value: Standing) {
        self.rows.standing.change(party, value);
    }

    fn freeze(&mut self, party: &Party, _: UnixMillis) -> Stored<Option<u64>> {
        Ok(self.read_standing(party)?.frozen)
    }

    fn tally(&mut self, caller: &[u8]) -> Stored<Tally> {
        Ok(self.read_tally(caller)?)
    }

    fn set_tally(&mut self, caller: &[u8], value: Tally) {
        self.rows.tally.change(caller, value);
    }

    fn open_tallies(&mut self) -> Stored<Vec<(Vec<u8>, Tally)>> {
        Ok(self.read_open_tallies()?)
    }

    fn commit(self) -> Stored<()> {
        self.write_rows()?;
        self.transaction.commit()?;
        self.index.confirm();
        Ok(())
    }
}

impl Batch<'_> {
    /// The highest number of a list that somebody has, or may come to have.
    fn newest_number(&self, spki_sha256: &[u8; 32], series: Series) -> Stored<Option<CrlNumber>> {
        Ok(List::newest(&self.lists(spki_sha256, series)?))
    }

    /// Forgets the numbers that no later one is judged by: of lists that nobody has, and those below one that stays.
    fn forget_numbers(&self, ca_key: &CaKey, series: Series) -> Stored<()> {
        let delete = "DELETE FROM crl_number WHERE ca_key = ?1 AND series = ?2 AND number = ?3";
        for number in List::forgotten(&self.lists(&ca_key.spki_sha256, series)?) {
            self.execute(delete, (ca_key.spki_sha256, series.name(), number.as_bytes()))?;
        }
        Ok(())
    }

    /// The newest lists of a series, the highest number first: those that are being worked on, and one before them.
    fn lists(&self, spki_sha256: &[u8; 32], series: Series) -> Stored<Vec<List>> {
        let select = "SELECT intent, number FROM crl_number WHERE ca_key = ?1 AND series = ?2";
        let mut select = self.transaction.prepare_cached(select)?;
        let rows = select.query_map((spki_sha256, series.name()), |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, Vec<u8>>(1)?))
        })?;
        let mut lists = Vec::new();
        for row in rows {
            let (intent, number) = row?;
            let number = CrlNumber::new(&number).ok_or(StoreError::Astray(intent))?;
            match self.entry(intent)? {
                (_, Entry::Intent { .. }) => lists.push(List { number, fate: self.fate(intent)? }),
                _ => return Err(StoreError::Astray(intent)),
            }
        }
        Ok(List::sorted(lists))
    }

    pub(super) fn execute(&self, sql: &'static str, values: impl Params) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// The newest intent that `term` leads to and that `is_it`.
    fn newest(&self, term: Term, is_it: impl Fn(&Asked, &CaKey) -> bool) -> Stored<Option<Earlier>> {
        self.index.newest(term, |index| match self.entry(index)? {
            (leaf_hash, Entry::Intent { asked, ca_key, .. }) if is_it(&asked, &ca_key) => {
                let receipt = Receipt { index, leaf_hash };
                Ok(Some(Earlier { receipt, log: None, asked, ca_key, fate: self.fate(index)? }))
            }
            _ => Ok(None),
        })
    }

    /// What became of the intent at `intent`.
    fn fate(&self, intent: u64) -> Stored<Fate> {
        let outcome: Option<Outcome> =
            self.index.newest(self.index.key().outcome(intent), |index| match self.entry(index)? {
                (_, Entry::Outcome { intent: of, outcome, .. }) if of == intent => Ok(Some(outcome)),
                _ => Ok(None),
            })?;
        let is_ours = intent >= self.opened_at.cast_unsigned();
        Ok(Fate::of(outcome, if is_ours { Recorder::ThisProcess } else { Recorder::OneBefore }))
    }

    /// The entry at `index`, and its hash.
    fn entry(&self, index: u64) -> Stored<([u8; 32], Entry)> {
        let mut select = self.transaction.prepare_cached("SELECT leaf FROM entry WHERE idx = ?1")?;
        let leaf: Option<Vec<u8>> = select.query_row([index.cast_signed()], |row| row.get(0)).optional()?;
        let leaf = leaf.ok_or(StoreError::Astray(index))?;
        let entry = Entry::decode(&leaf).map_err(|source| StoreError::Entry { index, source })?;
        Ok((leaf_hash(&leaf), entry))
    }
}
