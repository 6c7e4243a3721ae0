//! What a file says of itself: that it is a ledger, by which schema, and whose log.
//!
//! In: an open file. Out: its [`Header`]. Where the line is between damage and another file: what the file says is damaged if what else is there
//! says so, and says what was expected. A mark may lack one byte; a version has tables; a log's name is in the checkpoints that it
//! records, and its first entry has a hash in the index beside it. Where nothing else says it, the header is believed.

use std::path::Path;

use rusqlite::Connection;

use crate::ledger::archive::{Page, RawEntry};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::merkle::Tiles as _;
use crate::ledger::sqlite::damage::{MARK, damaged, is_nearly_ours, unreadable};
use crate::ledger::sqlite::{SCHEMA, SCHEMA_2, SCHEMA_VERSION, Select, upgrade};
use crate::ledger::{Entry, LedgerError, RecordedTiles, leaf_hash};

/// SQLite's `application_id` of a ledger.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(MARK);

/// What a file of a known schema says of itself, as far as it can be read.
#[derive(Debug)]
pub(in crate::ledger) struct Header {
    /// Whose log this is.
    pub(in crate::ledger) origin: String,
    /// What is damaged of the rest, which nobody needs to read entries.
    pub(in crate::ledger) damage: Option<LedgerError>,
}

impl Header {
    /// Reads it.
    pub(super) fn read(connection: &Connection, path: &Path) -> Result<Self, LedgerError> {
        let id = application_id(connection).map_err(|source| unreadable(path, source))?;
        if !is_nearly_ours(id.to_be_bytes()) {
            return Err(LedgerError::NotALedger { path: path.to_owned() });
        }
        let mark = (id != APPLICATION_ID).then(|| "its header does not have the mark of a ledger".to_owned());
        let version = version(connection, path)?;
        let origin = meta(connection, "origin").map_err(|source| unreadable(path, source))?;
        Ok(Self { origin, damage: mark.or(version).map(|what| damaged(path, &what)) })
    }

    /// Whose log this is, if nothing is damaged.
    pub(super) fn intact(self) -> Result<String, LedgerError> {
        self.damage.map_or(Ok(self.origin), Err)
    }
}

impl Select {
    /// What it means that the file says that it is the log of `stored`, and should be that of `configured`.
    pub(in crate::ledger) fn other_origin(&self, stored: &str, configured: &str) -> LedgerError {
        let (path, configured) = (self.path().to_owned(), configured.to_owned());
        let by = match self.signed_origin() {
            Some((index, origin)) if origin == configured => format!("the checkpoint in its entry {index}"),
            None if self.has_index_of(&configured) => {
                "the index beside it, which has its first entry".to_owned()
            }
            _ => return LedgerError::OtherOrigin { path, stored: stored.to_owned(), configured },
        };
        let what = format!(
            "its header says that it is the log of {stored:?}, and {by} that it is that of {configured:?}"
        );
        damaged(&path, &what)
    }

    /// The newest checkpoint that is recorded, and whose log it says that this is.
    fn signed_origin(&self) -> Option<(u64, String)> {
        let index = self.newest_checkpoint(0..self.len().ok()?).ok()??;
        let Ok(Entry::Checkpoint { text, .. }) = Entry::decode(&self.leaf(index)?) else { return None };
        Some((index, Checkpoint::parse(&text).ok()?.origin().to_owned()))
    }

    /// Whether the index beside the file is of the log of this name, and of this file.
    fn has_index_of(&self, origin: &str) -> bool {
        let first = RecordedTiles::open(self.path(), origin).ok().flatten();
        let first = first.and_then(|tiles| tiles.tile(0, 0, 1).ok());
        first.zip(self.leaf(0)).is_some_and(|(hashes, leaf)| hashes == [leaf_hash(&leaf)])
    }

    fn leaf(&self, index: u64) -> Option<Vec<u8>> {
        let page = self.page(&(index..index.saturating_add(1)), Page { entries: 1, bytes: 1 });
        page.ok()?.pop().map(|RawEntry { bytes, .. }| bytes)
    }
}

pub(super) fn application_id(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// What is wrong with the version of the schema that the file says, if it is none that the file can have.
fn version(connection: &Connection, path: &Path) -> Result<Option<String>, LedgerError> {
    let unreadable = |source| unreadable(path, source);
    let keeps = keeps_revocations(connection).map_err(unreadable)?;
    Ok(match meta(connection, "schema").map_err(unreadable)?.parse() {
        Ok(found) if found > SCHEMA_VERSION => {
            if objects(connection).map_err(unreadable)? != known_objects().map_err(unreadable)? {
                return Err(LedgerError::NewerSchema { path: path.to_owned(), found, known: SCHEMA_VERSION });
            }
            Some(format!(
                "its header says that it has schema {found}, and it has the tables of {SCHEMA_VERSION}"
            ))
        }
        Ok(found @ 1..upgrade::KEEPS_REVOCATIONS) if keeps => {
            Some(format!("its header says that it has schema {found}, and it has tables of a later one"))
        }
        Ok(1..=SCHEMA_VERSION) => None,
        _ => Some("its schema has no version".to_owned()),
    })
}

/// Whether there is the table of the revocations whose certificates are kept.
pub(super) fn keeps_revocations(connection: &Connection) -> rusqlite::Result<bool> {
    let select = "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = 'revocation'";
    connection.query_row(select, (), |row| row.get(0))
}

/// What a file of [`SCHEMA_VERSION`] has.
fn known_objects() -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open_in_memory()?;
    for sql in [SCHEMA, SCHEMA_2, upgrade::CRL_NUMBERS, upgrade::REVOKED] {
        connection.execute_batch(sql)?;
    }
    objects(&connection)
}

/// The statements that the file's tables, indexes and triggers were made by, in order, without what they were set out with.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut select =
        connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")?;
    let found = select.query_map((), |row| row.get::<_, String>(0))?;
    found.map(|sql| Ok(sql?.split_whitespace().collect::<Vec<_>>().join(" "))).collect()
}

fn meta(connection: &Connection, name: &str) -> rusqlite::Result<String> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
}
