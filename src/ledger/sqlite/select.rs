//! The file's rows, for those who read: any number of them, beside the one who writes.
//!
//! In: the file. Out: rows as they are. Promised: nothing is written. Whether any is missing is for the
//! [`Reader`](crate::ledger::Reader) to say.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::ledger::LedgerError;
use crate::ledger::account::{FrozenRow, Party};
use crate::ledger::archive::{Page, RawEntry};
use crate::ledger::crl_number::NumberRow;
use crate::ledger::entry::CHECKPOINT;
use crate::ledger::revoked::Row;
use crate::ledger::sqlite::files::wal_of;
use crate::ledger::sqlite::{Header, connect, header, io_error, len, revoked, unreadable, upgrade, wal};

/// A file that is open for reading.
#[derive(Debug)]
pub(in crate::ledger) struct Select {
    connection: Connection,
    path: PathBuf,
}

impl Select {
    /// Opens the file; it, and what it says of itself.
    pub(in crate::ledger) fn open(path: &Path) -> Result<(Self, Header), LedgerError> {
        // Below a directory that may not be entered nobody knows.
        if !path.try_exists().map_err(|source| io_error("looking for", path, source))? {
            return Err(LedgerError::Missing { path: path.to_owned() });
        }
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let header = Header::read(&connection, path)?;
        Ok((Self { connection, path: path.to_owned() }, header))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many entries there are.
    pub(in crate::ledger) fn len(&self) -> Result<u64, LedgerError> {
        self.read(|connection| len(connection).map(i64::cast_unsigned))
    }

    /// How many bytes the file takes, with its write-ahead log.
    pub(in crate::ledger) fn bytes(&self) -> Result<u64, LedgerError> {
        let file = fs::metadata(&self.path).map_err(|source| io_error("reading", &self.path, source))?;
        Ok(file.len() + fs::metadata(wal_of(&self.path)).map_or(0, |wal| wal.len()))
    }

    /// A page of the entries of `range` that there are, in order.
    pub(in crate::ledger) fn page(
        &self,
        range: &Range<u64>,
        page: Page,
    ) -> Result<Vec<RawEntry>, LedgerError> {
        let bounds =
            [range.start, range.end, page.entries].map(|bound| i64::try_from(bound).unwrap_or(i64::MAX));
        self.read(|connection| {
            let (mut leaves, mut bytes) = (Vec::new(), 0);
            let select = "SELECT idx, leaf FROM entry WHERE idx >= ?1 AND idx < ?2 ORDER BY idx LIMIT ?3";
            let mut select = connection.prepare_cached(select)?;
            let mut rows = select.query(bounds)?;
            while bytes < page.bytes
                && let Some(row) = rows.next()?
            {
                let leaf = RawEntry { index: row.get::<_, i64>(0)?.cast_unsigned(), bytes: row.get(1)? };
                bytes += leaf.bytes.len();
                leaves.push(leaf);
            }
            Ok(leaves)
        })
    }

    /// The index of the newest entry of `range` that is of a checkpoint. Looks at all entries between it and the end.
    pub(in crate::ledger) fn newest_checkpoint(&self, range: Range<u64>) -> Result<Option<u64>, LedgerError> {
        let select = "SELECT idx FROM entry WHERE idx >= ?1 AND idx < ?2 AND substr(leaf, 1, 3) = ?3 \
                      ORDER BY idx DESC LIMIT 1";
        let [first, end] = [range.start, range.end].map(|index| i64::try_from(index).unwrap_or(i64::MAX));
        let found = self.read(|connection| {
            connection.query_row(select, (first, end, CHECKPOINT), |row| row.get::<_, i64>(0)).optional()
        });
        Ok(found?.map(i64::cast_unsigned))
    }

    /// Whether there are tables of what revocations mean, or should be: by the tables, by the version of the schema, or as neither can be read.
    pub(in crate::ledger) fn keeps_revocations(&self) -> bool {
        let select = "SELECT CAST(value AS INTEGER) >= ?1 FROM meta WHERE name = 'schema'";
        let should = || self.connection.query_row(select, [upgrade::KEEPS_REVOCATIONS], |row| row.get(0));
        header::keeps_revocations(&self.connection).unwrap_or(true) || should().unwrap_or(true)
    }

    /// The revocations whose certificates are kept.
    pub(in crate::ledger) fn kept_revocations(&self) -> Result<Vec<u64>, LedgerError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached("SELECT idx FROM revocation")?;
            select.query_map((), |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()))?.collect()
        })
    }

    /// So many revocations after the one at this index.
    pub(in crate::ledger) fn revocations(
        &self,
        after: Option<u64>,
        most: usize,
    ) -> Result<Vec<RawEntry>, LedgerError> {
        let (after, most) = (after.map_or(-1, u64::cast_signed), i64::try_from(most).unwrap_or(i64::MAX));
        self.read(|connection| {
            let select = "SELECT idx, leaf FROM revocation JOIN entry USING (idx) WHERE idx > ?1 ORDER BY idx LIMIT ?2";
            let mut select = connection.prepare_cached(select)?;
            let rows = select.query_map([after, most], |row| {
                Ok(RawEntry { index: row.get::<_, i64>(0)?.cast_unsigned(), bytes: row.get(1)? })
            })?;
            rows.collect()
        })
    }

    /// What is revoked of some CA keys, without what had expired before the second `kept`.
    pub(in crate::ledger) fn revoked(&self, cas: &[[u8; 32]], kept: u64) -> Result<Vec<Row>, LedgerError> {
        self.read(|connection| {
            let rows: Vec<_> = cas
                .iter()
                .map(|ca_key| revoked::select(connection, ca_key, kept))
                .collect::<Result<_, _>>()?;
            Ok(rows.concat())
        })
    }

    /// The numbers of lists; none of a file from before there were lists.
    pub(in crate::ledger) fn crl_numbers(&self) -> Result<Vec<NumberRow>, LedgerError> {
        self.read(|connection| {
            let mut select =
                connection.prepare_cached("SELECT ca_key, series, number, intent FROM crl_number")?;
            let rows = select.query_map((), |row| {
                let (ca_key, series, number) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(NumberRow {
                    ca_key,
                    series,
                    number,
                    log: 0,
                    intent: row.get::<_, i64>(3)?.cast_unsigned(),
                })
            })?;
            rows.collect()
        })
    }

    /// Who is frozen.
    pub(in crate::ledger) fn frozen(&self) -> Result<Vec<FrozenRow>, LedgerError> {
        self.read(|connection| {
            let select = "SELECT caller, key, frozen FROM standing WHERE frozen IS NOT NULL";
            let mut select = connection.prepare_cached(select)?;
            let rows = select.query_map((), |row| {
                let party = Party { caller: row.get(0)?, key: row.get(1)? };
                Ok(FrozenRow { party, log: 0, freeze: row.get::<_, i64>(2)?.cast_unsigned() })
            })?;
            rows.collect()
        })
    }

    /// Why the log ends where it does, if it had more entries.
    pub(in crate::ledger) fn cut(&self) -> Result<Option<LedgerError>, LedgerError> {
        Self::cut_of(&self.path)
    }

    /// The same, of a file that nobody has opened, or nobody has made.
    pub(super) fn cut_of(path: &Path) -> Result<Option<LedgerError>, LedgerError> {
        let wal = wal_of(path);
        if !wal::is_broken(&wal).map_err(|source| io_error("reading", &wal, source))? {
            return Ok(None);
        }
        let (select, _) = Self::open(path)?;
        Ok(Some(LedgerError::Cut { path: path.to_owned(), index: select.len()? }))
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        read(&self.connection).map_err(|source| unreadable(&self.path, source))
    }
}
