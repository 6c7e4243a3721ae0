//! Reads a log, of a signer that runs or of one that does not.
//!
//! In: the file. Out: its entries, decoded, in order. Promised: it never writes entries, and never holds the writer up: it
//! reads in chunks, each in a transaction of its own. A missing or malformed entry ends the reading with its index.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{iter, vec};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::ledger::archive::{Page, RawEntry};
use crate::ledger::entry::CHECKPOINT;
use crate::ledger::sqlite::{connect, len, origin, unreadable};
use crate::ledger::{Entry, LedgerError, RecordedTiles, UnusableIndex};

/// How many entries are read at once: at most 16 MiB.
const CHUNK: u64 = 256;

/// A log, opened for reading.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
    origin: String,
}

#[expect(clippy::len_without_is_empty, reason = "an index is what a reader wants")]
impl Reader {
    /// Opens the log at `path`.
    ///
    /// SQLite needs the file's `-wal` and `-shm`, or the right to make them: copy a log to a directory of your own to
    /// read it without.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read, or is not a log of a known schema.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        if !path.exists() {
            return Err(LedgerError::Missing { path: path.to_owned() });
        }
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let origin = origin(&connection, path)?;
        Ok(Self { connection, path: path.to_owned(), origin })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
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
        len(&self.connection).map(i64::cast_unsigned).map_err(|source| unreadable(&self.path, source))
    }

    /// The hashes in the index beside it, if there is one.
    ///
    /// # Errors
    /// [`UnusableIndex`] if there is one that cannot be used.
    pub fn recorded_tiles(&self) -> Result<Option<RecordedTiles>, UnusableIndex> {
        RecordedTiles::open(&self.path, &self.origin)
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

    /// The index of the newest entry before `end` that is of a checkpoint. Looks at all entries between.
    pub(super) fn newest_checkpoint(&self, end: u64) -> Result<Option<u64>, LedgerError> {
        let select =
            "SELECT idx FROM entry WHERE idx < ?1 AND substr(leaf, 1, 3) = ?2 ORDER BY idx DESC LIMIT 1";
        let end = i64::try_from(end).unwrap_or(i64::MAX);
        let found = self
            .connection
            .query_row(select, (end, CHECKPOINT), |row| row.get::<_, i64>(0))
            .optional()
            .map_err(|source| unreadable(&self.path, source))?;
        Ok(found.map(i64::cast_unsigned))
    }

    fn decode(&self, index: u64, leaf: &[u8]) -> Result<Entry, LedgerError> {
        Entry::decode(leaf).map_err(|source| LedgerError::Entry { path: self.path.clone(), index, source })
    }

    /// The entry at `index`, as it is stored.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read, or is missing.
    pub fn leaf(&self, index: u64) -> Result<RawEntry, LedgerError> {
        let page = Page { entries: 1, bytes: 1 };
        let leaf = self.page(index..index.saturating_add(1), page)?.pop();
        leaf.ok_or_else(|| LedgerError::Gap { path: self.path.clone(), index })
    }

    /// The entries of `range`, which the log has, as they are stored; up to a page of them.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be read, or one is missing.
    pub fn page(&self, range: Range<u64>, page: Page) -> Result<Vec<RawEntry>, LedgerError> {
        let mut leaves = Vec::new();
        let mut bytes = 0;
        let mut read = || -> rusqlite::Result<()> {
            let mut select = self.connection.prepare_cached(SELECT)?;
            let mut rows = select.query(bounds(&range, page.entries))?;
            while bytes < page.bytes
                && let Some(row) = rows.next()?
            {
                let leaf = RawEntry { index: row.get::<_, i64>(0)?.cast_unsigned(), bytes: row.get(1)? };
                bytes += leaf.bytes.len();
                leaves.push(leaf);
            }
            Ok(())
        };
        read().map_err(|source| unreadable(&self.path, source))?;
        let gap = |index| LedgerError::Gap { path: self.path.clone(), index };
        match range.clone().zip(&leaves).find(|(index, leaf)| leaf.index != *index) {
            Some((index, _)) => Err(gap(index)),
            None if leaves.is_empty() && !range.is_empty() => Err(gap(range.start)),
            None => Ok(leaves),
        }
    }

    /// Up to [`CHUNK`] rows of `range`.
    fn chunk(&self, range: &Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, LedgerError> {
        let read = || -> rusqlite::Result<Vec<_>> {
            self.connection
                .prepare_cached(SELECT)?
                .query_map(bounds(range, CHUNK), |row| {
                    Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
                })?
                .collect()
        };
        read().map_err(|source| unreadable(&self.path, source))
    }
}

/// Some rows, in order.
const SELECT: &str = "SELECT idx, leaf FROM entry WHERE idx >= ?1 AND idx < ?2 ORDER BY idx LIMIT ?3";

/// The values of [`SELECT`].
fn bounds(range: &Range<u64>, most: u64) -> [i64; 3] {
    [range.start, range.end, most].map(|bound| i64::try_from(bound).unwrap_or(i64::MAX))
}

struct Leaves<'a> {
    reader: &'a Reader,
    rest: Range<u64>,
    chunk: vec::IntoIter<(u64, Vec<u8>)>,
}

impl Leaves<'_> {
    fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, LedgerError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.chunk.len() == 0 {
            self.chunk = self.reader.chunk(&self.rest)?.into_iter();
        }
        let Some((index, leaf)) = self.chunk.next() else { return Ok(None) };
        if index != self.rest.start {
            return Err(LedgerError::Gap { path: self.reader.path.clone(), index: self.rest.start });
        }
        self.rest.start += 1;
        Ok(Some((index, leaf)))
    }
}
