//! Why one transaction failed, or could not begin.
//!
//! In: what the store, its disk or its index says. Out: a [`StoreError`], which is the source of what those are told who wait.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::entry::{DecodeError, EntryTooLong};
use crate::ledger::postgres::DatabaseError;

/// Why a transaction on the log failed, and left nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite cannot read or write the log.
    #[error(transparent)]
    Log(#[from] rusqlite::Error),
    /// The database does not do what it is asked.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The commit was not answered: it is asked for before anything else is written.
    #[error("whether it has the last entries is not known yet: {0}")]
    InDoubt(DatabaseError),
    /// Another process has opened the log.
    #[error("the log of {origin} was taken over by another process")]
    Fenced {
        /// The log's name.
        origin: String,
    },
    /// The log's disk cannot be written.
    #[error("its files cannot be written: {0}")]
    Disk(#[source] io::Error),
    /// Nobody says whether something is written.
    #[error(
        "what was to be written has waited for {}: a disk does not answer",
        humantime::format_duration(*within)
    )]
    Unanswered {
        /// How long it was waited for.
        within: Duration,
    },
    /// A file of the log that the signer has open is not in its place any more.
    #[error(
        "there is no file {path} any more: it was removed or moved while this signer has it open; put it back before you stop the \
         signer, which has the newest entries"
    )]
    Removed {
        /// The file.
        path: PathBuf,
    },
    /// Another file is in the place of one that the signer has open.
    #[error(
        "{path} is another file than the one that this signer has open; put that one back before you stop the signer, which has \
         the newest entries"
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// What earlier entries claim cannot be looked up.
    #[error("its index cannot be read: {0}")]
    Index(#[from] io::Error),
    /// What earlier entries claim was looked up in a file that is not as it was written: nothing that it says is believed, also not that
    /// nobody has claimed something.
    #[error("what earlier entries claim cannot be looked up: {0}")]
    IndexDamaged(String),
    /// The index would fall too far behind the log.
    #[error("{waiting} entries wait for index {path}, which cannot be written: {source}")]
    IndexBehind {
        /// The index's directory.
        path: PathBuf,
        /// How many entries it does not know.
        waiting: u64,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// The index or a table leads to an entry that is missing or of another kind: somebody has changed the files.
    #[error(
        "something leads to entry {0}, which is not what it should be; stop the signer and remove its index"
    )]
    Astray(u64),
    /// Somebody has added entries.
    #[error(
        "it has {found} entries where it had {expected}: another program has written it; stop the signer, and see what did"
    )]
    Changed {
        /// How many there were after the last transaction.
        expected: u64,
        /// How many there are now.
        found: u64,
    },
    /// Entries that callers have receipts of are gone.
    #[error(
        "it has {found} entries where it had {expected}: those from {found} on are lost, for this is an older copy of it, as a stand-by has that \
         was behind; stop the signer, and see \"An older copy\" in docs/ledger.md"
    )]
    Lost {
        /// How many there were after the last transaction.
        expected: u64,
        /// How many there are now.
        found: u64,
    },
    /// An entry that is not one.
    #[error("entry {index} is not one: {source}")]
    Entry {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// An entry of extreme length.
    #[error(transparent)]
    EntryTooLong(#[from] EntryTooLong),
}

impl StoreError {
    /// What it means that there are `found` entries where there were others.
    pub(in crate::ledger) fn of_entries(expected: u64, found: u64) -> Self {
        if found < expected { Self::Lost { expected, found } } else { Self::Changed { expected, found } }
    }
}
