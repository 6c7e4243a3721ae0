//! The log as an SQLite file: one row per entry, contiguous from 0, and the lock that keeps a second writer out.
//!
//! In: a path. Out: the [`Store`], and of it one [`Batch`] after another, which is on the disk or not at all. Opening checks
//! that the file is this log. The schema refuses change and removal of rows; what somebody does who drops its triggers,
//! or has REPLACE remove a row that no trigger sees go, readers and checkpoints find out. What finds entries again is beside it, in the
//! [index](super::index). Not done here: threads, queues, retries.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::ledger::account::Rows;
use crate::ledger::clock::LastTime;
use crate::ledger::entry::UnixMillis;
use crate::ledger::error::StoreError;
use crate::ledger::index::{Index, Leaves, Limits, Log, Next, Visit};
use crate::ledger::lock::Lock;
use crate::ledger::store::{self, Held, Needs, Stored};
use crate::ledger::{Config, Entry, LedgerError};

/// The schema below. A newer one is refused, by writers and readers; a writer brings an older one up to date. A newer one has a table, an index or
/// a trigger that this one does not have so: that tells it from a damaged version (`header.rs`).
const SCHEMA_VERSION: u32 = 7;

const SCHEMA: &str = "
    CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL) STRICT;
    CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    CREATE TRIGGER entry_is_never_removed BEFORE DELETE ON entry
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
";

/// What schema 1 did not have. Of each bucket, how many nanoseconds are missing to its being full, and when that was so.
const SCHEMA_2: &str = "
    CREATE TABLE spent (caller BLOB, key BLOB, rule TEXT, rate INTEGER NOT NULL, rate_at INTEGER NOT NULL,
                        volume INTEGER NOT NULL, volume_at INTEGER NOT NULL, PRIMARY KEY (caller, key, rule)) STRICT, WITHOUT ROWID;
    CREATE TABLE standing (caller BLOB, key BLOB, tries INTEGER NOT NULL, since INTEGER NOT NULL, frozen INTEGER,
                           PRIMARY KEY (caller, key)) STRICT, WITHOUT ROWID;
    CREATE TABLE tally (caller BLOB PRIMARY KEY, whole INTEGER NOT NULL, whole_at INTEGER NOT NULL,
                        count INTEGER NOT NULL, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX tally_open ON tally (caller) WHERE count > 0;
";

/// How many of the newest entries opening counts: some 50 ms on a log of any length.
const TAIL: i64 = 65_536;

/// After how many pages of the write-ahead log they go to their places: 4 MiB. Entries come in order, so that more would save nothing
/// but the pages of callers' budgets, and everybody waits while they go.
const CHECKPOINT: u32 = 1_024;

/// How many statements stay prepared: more than there are.
const STATEMENTS: usize = 32;

/// How long a write waits for somebody who has the file open in `sqlite3`.
const BUSY: Duration = Duration::from_secs(1);

/// How long a process that is just ending is waited for: killed, it leaves its lock for a moment to a child that it was starting.
const ENDING: Duration = Duration::from_secs(1);

mod account;
mod batch;
mod damage;
mod files;
mod header;
mod revoked;
mod select;
mod upgrade;
mod wal;

pub(super) use batch::Batch;
pub(super) use damage::unreadable;
pub(super) use header::Header;
pub(super) use select::Select;

use files::Files;
use header::{APPLICATION_ID, application_id};

/// The file and its index, opened for writing by this process alone.
#[derive(Debug)]
pub(super) struct Store {
    // Before the lock, so that they are closed before the lock is given up.
    index: Index,
    connection: Connection,
    lock: Lock,
    files: Files,
    path: PathBuf,
    /// The index of the first entry of this process.
    opened_at: i64,
    newest: UnixMillis,
}

impl Store {
    /// Opens the log, or begins it if there is none.
    pub(super) fn open(config: &Config, limits: Limits) -> Result<Self, LedgerError> {
        let path = &config.path;
        if !directory_of(path).is_dir() {
            return Err(LedgerError::NoDirectory { path: path.clone() });
        }
        let lock = lock(path)?;
        // Before SQLite takes the rest of a write-ahead log that is damaged for nothing, and writes over it.
        if let Some(cut) = Select::cut_of(path)? {
            return Err(cut);
        }
        // SQLite would make it with the mode that the umask leaves; -wal and -shm take the mode of the file.
        open_private(path).map_err(|source| io_error("opening ledger", path, source))?;
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        begin_if_empty(&mut connection, &config.origin).map_err(|source| unreadable(path, source))?;
        let stored = Header::read(&connection, path)?.intact()?;
        if stored != config.origin {
            return Err(Select::open(path)?.0.other_origin(&stored, &config.origin));
        }
        make_durable(&connection).map_err(|source| unreadable(path, source))?;
        prove_writable(&mut connection, 0).map_err(|source| unreadable(path, source))?;
        check_tail(&connection, path)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let opened_at = len(&connection).map_err(|source| unreadable(path, source))?;
        let newest = newest(&connection, path, opened_at)?;
        let (origin, entries) = (stored.as_str(), opened_at.cast_unsigned());
        let leaves = &Entries { connection: &connection, path };
        let index = Index::open(Log { path, origin, leaves, entries }, limits)?;
        // After the index, so that where it cannot be made the version before this one still finds what it wants.
        upgrade::upgrade(&mut connection, &index, path)?;
        forget_full_tallies(&connection, newest).map_err(|source| unreadable(path, source))?;
        let files = Files::of(path).map_err(|source| io_error("looking for", path, source))?;
        Ok(Self { index, connection, lock, files, path: path.clone(), opened_at, newest })
    }

    /// As if the disk had room for no more than `pages`.
    #[cfg(test)]
    #[expect(clippy::expect_used, reason = "tests")]
    pub(super) fn limit_pages(&self, pages: u32) {
        self.connection.pragma_update(None, "max_page_count", pages).expect("a limit of pages");
    }
}

impl store::Store for Store {
    type Batch<'a> = Batch<'a>;

    /// The database alone knows the next index, so that a failed transaction leaves nothing to repair.
    fn begin(&mut self, _: &Needs<'_>) -> Stored<Batch<'_>> {
        self.files.check()?;
        self.index.begin()?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let next = len(&transaction)?;
        let (expected, found) = (self.index.entries(), next.cast_unsigned());
        if expected != found {
            return Err(StoreError::of_entries(expected, found));
        }
        let (index, opened_at, rows) = (&mut self.index, self.opened_at, Rows::default());
        Ok(Batch { transaction, index, next, opened_at, rows })
    }

    /// A transaction without entries touches no file: that a disk is read-only or gone, opening one for writing tells, and that it is full,
    /// a page of the write-ahead log. What is opened is not the log itself, whose locks SQLite would lose by it.
    fn probe(&mut self, bytes: usize) -> Stored<()> {
        self.files.check()?;
        OpenOptions::new().write(true).open(lock_of(&self.path)).map(drop).map_err(StoreError::Disk)?;
        Ok(prove_writable(&mut self.connection, bytes)?)
    }

    /// SQLite leaves no doubt: a commit that fails has left nothing.
    fn resolve(&mut self) -> Stored<Held> {
        Ok(Held::Nothing)
    }

    fn unavailable(&self, source: StoreError) -> LedgerError {
        LedgerError::Unavailable { path: self.path.clone(), source: Arc::new(source) }
    }

    fn index(&self) -> &Index {
        &self.index
    }

    fn newest(&self) -> UnixMillis {
        self.newest
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn close(self) -> impl Sized {
        let Self { index, connection, lock, .. } = self;
        drop(connection);
        (index, lock)
    }
}

/// The entries of an open file.
struct Entries<'a> {
    connection: &'a Connection,
    path: &'a Path,
}

impl Leaves for Entries<'_> {
    fn each(&self, first: u64, read: &mut Visit<'_>) -> Result<(), LedgerError> {
        let unreadable = |source| unreadable(self.path, source);
        let select = "SELECT idx, leaf FROM entry WHERE idx >= ?1 ORDER BY idx";
        let mut select = self.connection.prepare(select).map_err(unreadable)?;
        let mut rows = select.query([first.cast_signed()]).map_err(unreadable)?;
        while let Some(row) = rows.next().map_err(unreadable)? {
            let index = row.get::<_, i64>(0).map_err(unreadable)?.cast_unsigned();
            let leaf = row.get_ref(1).map_err(unreadable)?.as_blob();
            let leaf = leaf.map_err(|error| unreadable(error.into()))?;
            if matches!(read(index, leaf)?, Next::Enough) {
                break;
            }
        }
        Ok(())
    }
}

/// Opens `path` as SQLite does, and says what is wrong in our words.
pub(super) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, LedgerError> {
    // One thread has each connection, so SQLite needs no mutex of its own. No URI: a path means itself.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|source| unreadable(path, source))?;
    connection.busy_timeout(BUSY).map_err(|source| unreadable(path, source))?;
    Ok(connection)
}

/// Opens `path` for this user alone, and makes it if it is missing.
fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The file beside `ledger` that whoever writes it holds.
fn lock_of(ledger: &Path) -> PathBuf {
    let mut path = ledger.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// Keeps every other process from writing this log, for as long as the lock lives.
fn lock(ledger: &Path) -> Result<Lock, LedgerError> {
    let path = lock_of(ledger);
    let file = open_private(&path).map_err(|source| io_error("opening lock file", &path, source))?;
    Lock::within(ENDING, file).map_err(|error| match error {
        TryLockError::WouldBlock => LedgerError::Locked { path: ledger.to_owned() },
        TryLockError::Error(source) => io_error("locking", &path, source),
    })
}

/// Makes the schema in a file that nobody has written yet.
fn begin_if_empty(connection: &mut Connection, origin: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if tables == 0 && application_id(&transaction)? == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.execute_batch(SCHEMA_2)?;
        let meta = "INSERT INTO meta (name, value) VALUES ('origin', ?1), ('schema', ?2)";
        transaction.execute(meta, (origin, SCHEMA_VERSION.to_string()))?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.commit()
}

/// Writes a page and leaves nothing in it: on a disk that takes nothing the log is not opened, and no token is logged in to. Two pages, the
/// table's and its index's, of the write-ahead log, which begins anew after [`CHECKPOINT`]: asked every two seconds, too, it does not grow by it.
/// So many bytes more take pages of their own.
fn prove_writable(connection: &mut Connection, bytes: usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("INSERT INTO meta (name, value) VALUES ('written', ?1)", (" ".repeat(bytes),))?;
    transaction.execute("DELETE FROM meta WHERE name = 'written'", ())?;
    transaction.commit()
}

/// Forgets who may leave as many refusals as anybody: everybody with a certificate has a row otherwise, for ever.
fn forget_full_tallies(connection: &Connection, UnixMillis(newest): UnixMillis) -> rusqlite::Result<()> {
    let full = "DELETE FROM tally WHERE count = 0 AND whole_at + whole / 1000000 < ?1";
    connection.execute(full, [newest.cast_signed()]).map(drop)
}

/// A commit returns once the disk has it; readers and the writer never wait for each other.
fn make_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Looks for removed entries where that is quick: the first, and among the newest.
///
/// Counting them all would read the whole file. Whoever reads deeper entries finds deeper gaps.
fn check_tail(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    let missing = || -> rusqlite::Result<Option<i64>> {
        let first: i64 =
            connection.query_row("SELECT ifnull(min(idx), 0) FROM entry", (), |row| row.get(0))?;
        if first != 0 {
            return Ok(Some(0));
        }
        let len = len(connection)?;
        let tail = (len - TAIL).max(0);
        let mut select = connection.prepare("SELECT idx FROM entry WHERE idx >= ?1 ORDER BY idx")?;
        let mut found = select.query_map([tail], |row| row.get::<_, i64>(0))?;
        for expected in tail..len {
            if found.next().transpose()? != Some(expected) {
                return Ok(Some(expected));
            }
        }
        Ok(None)
    };
    match missing().map_err(|source| unreadable(path, source))? {
        None => Ok(()),
        Some(index) => Err(LedgerError::Gap { path: path.to_owned(), index: index.cast_unsigned() }),
    }
}

/// When the last of `len` entries was recorded, as far as [`LastTime`] can tell.
fn newest(connection: &Connection, path: &Path, len: i64) -> Result<UnixMillis, LedgerError> {
    let unreadable = |source| unreadable(path, source);
    let select = "SELECT idx, leaf FROM entry WHERE idx < ?1 ORDER BY idx DESC";
    let mut select = connection.prepare(select).map_err(unreadable)?;
    let mut rows = select.query([len]).map_err(unreadable)?;
    let mut last = LastTime::default();
    while let Some(row) = rows.next().map_err(unreadable)? {
        let index = row.get::<_, i64>(0).map_err(unreadable)?.cast_unsigned();
        let leaf: Vec<u8> = row.get(1).map_err(unreadable)?;
        let entry = Entry::decode(&leaf);
        let entry = entry.map_err(|source| LedgerError::Entry { path: path.to_owned(), index, source })?;
        if matches!(last.goes_back_to(&entry), Next::Enough) {
            break;
        }
    }
    Ok(last.time())
}

/// How many entries there are.
pub(super) fn len(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT ifnull(max(idx), -1) + 1 FROM entry")?.query_row((), |row| row.get(0))
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> LedgerError {
    LedgerError::Io { doing, path: path.to_owned(), source: Arc::new(source) }
}

/// The directory that holds `path`.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Limits, Store};
    use crate::ledger::fixture::Fixture;

    /// <https://sqlite.org/pragma.html#pragma_synchronous>: with FULL, each commit syncs the write-ahead log.
    #[test]
    fn a_commit_waits_for_the_disk() {
        let fixture = Fixture::new();
        let store = Store::open(&fixture.config, Limits::default()).unwrap();
        let pragma = |name| {
            store
                .connection
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!(pragma("synchronous"), 2.into());
    }
}
