//! Reads a log, of a signer that runs or of one that does not.
//!
//! In: where it is. Out: its entries, decoded, in order. Promised: it never writes entries, and never holds the writer up: it
//! reads in chunks, each in a transaction of its own. A missing or malformed entry ends the reading with its index.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::{iter, vec};

use countersign_tbs::x509::SerialNumber;

use crate::ledger::archive::{Page, RawEntry};
use crate::ledger::clock::LastTime;
use crate::ledger::entry::UnixMillis;
use crate::ledger::index::Next;
use crate::ledger::meant::{Sizes, unreadable};
use crate::ledger::place::{Database, Place};
use crate::ledger::revoked::{Due, Interval, due};
use crate::ledger::sqlite::Header;
use crate::ledger::{Entry, LedgerError, RecordedTiles, UnusableIndex, postgres, sqlite};

mod kept;

/// How many entries are read at once: at most 16 MiB.
const CHUNK: Page = Page { entries: 256, bytes: usize::MAX };

/// A log, opened for reading.
#[derive(Debug)]
pub struct Reader {
    select: Select,
    place: Box<Place>,
    origin: String,
}

/// A log of the store, as it is now.
#[derive(Clone, Debug)]
pub struct LogState {
    /// Its name.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The time of the newest; 0 if there is none that can be read.
    pub newest: UnixMillis,
}

/// A revocation of a log of the store.
#[derive(Clone, Debug)]
pub struct LoggedRevocation {
    /// The log's name.
    pub log: String,
    /// The entry.
    pub entry: RawEntry,
}

/// What has its rows.
#[derive(Debug)]
enum Select {
    File(sqlite::Select),
    Database(Box<postgres::Select>),
}

#[expect(clippy::len_without_is_empty, reason = "an index is what a reader wants")]
impl Reader {
    /// Opens the log at `place`: the path of a file, or what a configuration says.
    ///
    /// SQLite needs the file's `-wal` and `-shm`, or the right to make them: copy a log to a directory of your own to
    /// read it without.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read, or is not a log of a known schema.
    pub fn open(place: impl Into<Place>) -> Result<Self, LedgerError> {
        let (reader, damage) = Self::open_damaged(place)?;
        damage.map_or(Ok(reader), Err)
    }

    /// The same, also if what the file says of itself is damaged, without which entries can be read; and what is damaged of that, if anything is.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read, or is not a log of a known schema.
    pub fn open_damaged(place: impl Into<Place>) -> Result<(Self, Option<LedgerError>), LedgerError> {
        let place = Box::new(place.into());
        if let Some(Database { config, origin }) = place.database() {
            let (select, origin) = (Box::new(postgres::Select::open(config, origin)?), origin.clone());
            return Ok((Self { select: Select::Database(select), place, origin }, None));
        }
        let (select, Header { mut origin, mut damage }) = sqlite::Select::open(place.path())?;
        if let Some(configured) = place.origin().filter(|configured| *configured != origin) {
            let other = select.other_origin(&origin, configured);
            if !other.is_damage() {
                return Err(other);
            }
            configured.clone_into(&mut origin);
            damage = Some(other);
        }
        Ok((Self { select: Select::File(select), place, origin }, damage))
    }

    /// The file, or what its files on this host are named by.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries the log has now; the newest one's index is one less.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub fn len(&self) -> Result<u64, LedgerError> {
        match &self.select {
            Select::File(select) => select.len(),
            Select::Database(select) => select.len(),
        }
    }

    /// The names of the other logs in its database, in order; none beside a file.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub fn other_logs(&self) -> Result<Vec<String>, LedgerError> {
        match &self.select {
            Select::File(_) => Ok(Vec::new()),
            Select::Database(select) => select.other_logs(),
        }
    }

    /// The log, among those of its store.
    pub(super) fn log(&self) -> i32 {
        match &self.select {
            Select::File(_) => 0,
            Select::Database(select) => select.log(),
        }
    }

    /// The name of a log of the store.
    pub(super) fn name_of(&self, log: i32) -> Result<String, LedgerError> {
        match &self.select {
            Select::File(_) => Ok(self.origin.clone()),
            Select::Database(select) => select.name_of(log),
        }
    }

    /// How many entries each log of the store has.
    pub(super) fn sizes(&self) -> Result<Sizes, LedgerError> {
        match &self.select {
            Select::File(select) => Ok(Sizes::from([(0, select.len()?)])),
            Select::Database(select) => select.sizes(),
        }
    }

    /// Every log of the store, as it is now. The newest entry of another log has no time if it cannot be read; that is told.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub fn logs(&self) -> Result<Vec<LogState>, LedgerError> {
        let newest = match &self.select {
            Select::File(select) => {
                let size = select.len()?;
                let page = Page { entries: 1, bytes: 1 };
                vec![(self.origin.clone(), size, select.page(&(size.saturating_sub(1)..size), page)?.pop())]
            }
            Select::Database(select) => select.newest()?,
        };
        let state = |(origin, size, newest): (String, u64, Option<RawEntry>)| {
            let time = newest.map(|leaf| self.time_of(&origin, &leaf)).transpose()?;
            Ok(LogState { origin, size, newest: time.unwrap_or(UnixMillis(0)) })
        };
        newest.into_iter().map(state).collect()
    }

    /// So many of the revocations of every log of the store that come after the one of this log and index, in that order.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be read.
    pub fn revocations(
        &self,
        after: Option<(String, u64)>,
        most: usize,
    ) -> Result<Vec<LoggedRevocation>, LedgerError> {
        match &self.select {
            Select::File(select) => {
                let found = select.revocations(after.map(|(_, index)| index), most)?;
                let log = || self.origin.clone();
                Ok(found.into_iter().map(|entry| LoggedRevocation { log: log(), entry }).collect())
            }
            Select::Database(select) => select.revocations(after, most),
        }
    }

    /// A page of the entries of a `range` that a log of the store has.
    pub(super) fn page_of(
        &self,
        log: i32,
        range: Range<u64>,
        page: Page,
    ) -> Result<Vec<RawEntry>, LedgerError> {
        match &self.select {
            Select::File(select) => select.page(&range, page),
            Select::Database(select) => select.page(log, &range, page),
        }
    }

    /// The intent that claims a serial of a CA key, and its log, where claims are in a table; in a file the index finds it.
    pub(super) fn by_serial(
        &self,
        ca_key: &[u8; 32],
        serial: &[u8],
    ) -> Result<Option<(i32, RawEntry)>, LedgerError> {
        match &self.select {
            Select::File(_) => Ok(None),
            Select::Database(select) => select.by_serial(ca_key, serial),
        }
    }

    /// What a list of now names of the certificates of some CA keys, by the SHA-256 of their SPKI.
    pub(crate) fn due(
        &self,
        cas: &[[u8; 32]],
        interval: Interval,
        now: UnixMillis,
    ) -> Result<BTreeMap<SerialNumber, Due>, LedgerError> {
        let rows = match &self.select {
            Select::File(select) => select.revoked(cas, interval.kept(now))?,
            Select::Database(select) => select.revoked(cas, interval.kept(now))?,
        };
        Ok(due(rows, interval, now))
    }

    /// How many bytes it takes on the disk, with its write-ahead log; in a database, all logs there together.
    ///
    /// # Errors
    /// [`LedgerError`] if that cannot be told.
    pub fn bytes(&self) -> Result<u64, LedgerError> {
        match &self.select {
            Select::File(select) => select.bytes(),
            Select::Database(select) => select.bytes(),
        }
    }

    /// The hashes in the index beside it, if there is one.
    ///
    /// # Errors
    /// [`UnusableIndex`] if there is one that cannot be used.
    pub fn recorded_tiles(&self) -> Result<Option<RecordedTiles>, UnusableIndex> {
        RecordedTiles::open(self.path(), &self.origin)
    }

    /// The entries of `range`, as far as there are any, each with its index. The first error is the last item.
    pub fn entries(&self, range: Range<u64>) -> impl Iterator<Item = Result<(u64, Entry), LedgerError>> {
        let mut leaves = self.leaves(range);
        let mut failed = false;
        iter::from_fn(move || {
            let next = if failed { None } else { leaves.next() };
            let next =
                next.map(|leaf| leaf.and_then(|(index, leaf)| Ok((index, self.decode(index, &leaf)?))));
            failed = matches!(next, Some(Err(_)));
            next
        })
    }

    /// The time that no later entry may be before, as a start reads it: an outcome that is last does not hide it. `None` of a log
    /// without entries.
    ///
    /// # Errors
    /// [`LedgerError`] if an entry cannot be read.
    pub fn newest_time(&self) -> Result<Option<UnixMillis>, LedgerError> {
        let (len, mut newest) = (self.len()?, LastTime::default());
        for index in (0..len).rev() {
            let entry = self.entries(index..index + 1).next().transpose()?;
            if entry.is_none_or(|(_, entry)| matches!(newest.goes_back_to(&entry), Next::Enough)) {
                break;
            }
        }
        Ok((len > 0).then(|| newest.time()))
    }

    /// The bytes of the entries of `range`, as far as there are any, each with its index, whatever they are. The first error
    /// is the last item.
    pub fn leaves(&self, range: Range<u64>) -> impl Iterator<Item = Result<(u64, Vec<u8>), LedgerError>> {
        let mut leaves = Leaves { reader: self, rest: range, chunk: Vec::new().into_iter() };
        let mut failed = false;
        iter::from_fn(move || {
            let next = if failed { None } else { leaves.next().transpose() };
            failed = matches!(next, Some(Err(_)));
            next
        })
    }

    /// The index of the newest entry of `range` that is of a checkpoint. Looks at all entries between it and the end.
    pub(super) fn newest_checkpoint(&self, range: Range<u64>) -> Result<Option<u64>, LedgerError> {
        match &self.select {
            Select::File(select) => select.newest_checkpoint(range),
            Select::Database(select) => select.newest_checkpoint(range),
        }
    }

    /// A page of the entries of `range` that there are.
    fn rows(&self, range: &Range<u64>, page: Page) -> Result<Vec<RawEntry>, LedgerError> {
        match &self.select {
            Select::File(select) => select.page(range, page),
            Select::Database(select) => select.page(select.log(), range, page),
        }
    }

    fn time_of(&self, origin: &str, leaf: &RawEntry) -> Result<UnixMillis, LedgerError> {
        match Entry::decode(&leaf.bytes) {
            Ok(entry) => Ok(entry.time()),
            Err(source) if origin != self.origin => {
                unreadable(origin, leaf.index, &source);
                Ok(UnixMillis(0))
            }
            Err(_) => self.decode(leaf.index, &leaf.bytes).map(|entry| entry.time()),
        }
    }

    fn decode(&self, index: u64, leaf: &[u8]) -> Result<Entry, LedgerError> {
        Entry::decode(leaf).map_err(|source| LedgerError::Entry {
            path: self.path().to_owned(),
            index,
            source,
        })
    }

    /// The entry at `index`, as it is stored.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read, or is missing.
    pub fn leaf(&self, index: u64) -> Result<RawEntry, LedgerError> {
        let page = Page { entries: 1, bytes: 1 };
        let leaf = self.page(index..index.saturating_add(1), page)?.pop();
        leaf.ok_or_else(|| LedgerError::Gap { path: self.path().to_owned(), index })
    }

    /// The entries of `range`, which the log has, as they are stored; up to a page of them.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be read, or one is missing.
    pub fn page(&self, range: Range<u64>, page: Page) -> Result<Vec<RawEntry>, LedgerError> {
        let leaves = self.rows(&range, page)?;
        let gap = |index| LedgerError::Gap { path: self.path().to_owned(), index };
        match range.clone().zip(&leaves).find(|(index, leaf)| leaf.index != *index) {
            Some((index, _)) => Err(gap(index)),
            None if leaves.is_empty() && !range.is_empty() => Err(gap(range.start)),
            None => Ok(leaves),
        }
    }
}

struct Leaves<'a> {
    reader: &'a Reader,
    rest: Range<u64>,
    chunk: vec::IntoIter<RawEntry>,
}

impl Leaves<'_> {
    fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, LedgerError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.chunk.len() == 0 {
            self.chunk = self.rows()?.into_iter();
        }
        let Some(RawEntry { index, bytes }) = self.chunk.next() else { return Ok(None) };
        if index != self.rest.start {
            return Err(LedgerError::Gap { path: self.reader.path().to_owned(), index: self.rest.start });
        }
        self.rest.start += 1;
        Ok(Some((index, bytes)))
    }

    /// The next chunk. Of one that cannot be read nobody says which entry it is: those before it can be.
    fn rows(&self) -> Result<Vec<RawEntry>, LedgerError> {
        let mut page = CHUNK;
        loop {
            match self.reader.rows(&self.rest, page) {
                Err(error) if error.is_damage() && page.entries > 1 => page.entries /= 2,
                rows => return rows,
            }
        }
    }
}
