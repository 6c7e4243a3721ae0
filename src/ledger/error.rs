//! What can go wrong with the record, and what the reader can do about it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::key::KeyName;
use crate::ledger::archive::ArchiveError;
use crate::ledger::checkpoint::CheckpointError;
use crate::ledger::entry::{DecodeError, EntryTooLong};
use crate::ledger::note::NoteKeyError;
use crate::ledger::postgres::DatabaseError;
use crate::ledger::served::CallFailed;

mod passes;
mod store;

pub use store::StoreError;

/// Why the ledger could not be opened, written or read. Cloned to everybody whose record was in the same transaction.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The writer is gone: the daemon is shutting down.
    #[error("the ledger is closed; this signer is shutting down")]
    Closed,
    /// Nothing of the transaction is in the log, so nothing was signed. The next one is tried as if nothing had been.
    #[error("ledger {path} takes no entries, so nothing is signed; check the space and health of its disk")]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What the store says.
        source: Arc<StoreError>,
    },
    /// The same, of a database.
    #[error(
        "ledger database {server} takes no entries, so nothing is signed; check that it runs, can be reached from here, and can be \
         written"
    )]
    DatabaseUnavailable {
        /// The database, and its servers.
        server: String,
        /// What the store says.
        source: Arc<StoreError>,
    },
    /// Another process has opened this signer's log meanwhile, or the database has lost that this one did; this one signs nothing more.
    #[error(
        "the log of {origin} in ledger database {server} was taken over by another process, so this one signs nothing any more; \
         stop one of them: two signers need two `ledger.origin`s. If there is no other, the database has lost this one's start, as a stand-by \
         has that was behind: see \"An older copy\" in docs/ledger.md"
    )]
    Fenced {
        /// The database, and its servers.
        server: String,
        /// The log's name.
        origin: String,
    },
    /// Another process has this signer's log open.
    #[error(
        "the log of {origin} in ledger database {server} is in use by {by}; stop that signer, or correct `ledger.origin`: each \
         signer has its own"
    )]
    InUse {
        /// The database, and its servers.
        server: String,
        /// The log's name.
        origin: String,
        /// Who has it, as the database knows them.
        by: String,
    },
    /// A database cannot be opened or read.
    #[error("ledger database {server} cannot be used")]
    Database {
        /// The database, and its servers.
        server: String,
        /// Why.
        source: Arc<DatabaseError>,
    },
    /// The clock was set back, or the newest entry was recorded while it was ahead. Nothing is recorded or signed until
    /// it is right again.
    #[error(
        "the clock is {} behind the newest entry of ledger {path}, so nothing is signed ({} is tolerated); set the \
         clock, or if that entry's time is wrong raise `ledger.clock_tolerance` for one start",
        humantime::format_duration(*behind), humantime::format_duration(*tolerance)
    )]
    ClockBehind {
        /// The file.
        path: PathBuf,
        /// By how much.
        behind: Duration,
        /// How much is tolerated.
        tolerance: Duration,
    },
    /// A request of extreme length.
    #[error(transparent)]
    EntryTooLong(#[from] EntryTooLong),
    /// No challenge could be made for a self-test.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The file's directory is missing: it is not made, lest a missing mount begins a second log unnoticed.
    #[error("ledger {path}: its directory does not exist; mount or make it, or correct `ledger.path`")]
    NoDirectory {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to read.
    #[error("there is no ledger {path}; name one that a signer has written, or correct `ledger.path`")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds the lock.
    #[error(
        "another process writes ledger {path}; stop it (`fuser {path}.lock` names it), or correct `ledger.path`"
    )]
    Locked {
        /// The ledger's file; the lock is beside it.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("{doing} {path} failed; check its owner and mode, and those of its directory")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: Arc<std::io::Error>,
    },
    /// What the log says cannot be found in its index.
    #[error("index {path} of the ledger does not find what operators have ruled, so nothing is signed")]
    Index {
        /// The index's directory.
        path: PathBuf,
        /// Why, and what to do.
        source: Arc<ArchiveError>,
    },
    /// SQLite cannot open or read it.
    #[error("ledger {path} cannot be read; check its owner and mode, and those of its -wal and -shm")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// SQLite's answer.
        source: Arc<rusqlite::Error>,
    },
    /// SQLite finds it malformed.
    #[error(
        "ledger {path} is damaged; keep a copy of it, see which entry cannot be read with `countersign ledger verify`, then restore it \
         from a backup"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's answer.
        source: Arc<rusqlite::Error>,
    },
    /// SQLite takes what follows damage in its write-ahead log for what was never committed.
    #[error(
        "ledger {path} ends before entry {index}, which is lost: its write-ahead log, {path}-wal, is damaged there; keep a copy of both, \
         then restore them from a backup"
    )]
    Cut {
        /// The file.
        path: PathBuf,
        /// The first entry that is missing.
        index: u64,
    },
    /// A file of something else.
    #[error("{path} is not a countersign ledger; correct `ledger.path`")]
    NotALedger {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer version of this program.
    #[error("ledger {path} has schema {found}, this countersign knows {known}; use a newer countersign")]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest schema version that is known here.
        known: u32,
    },
    /// Another log's file.
    #[error(
        "ledger {path} is the log of {stored:?}, not of {configured:?}; correct `ledger.path` or `ledger.origin`"
    )]
    OtherOrigin {
        /// The file.
        path: PathBuf,
        /// The origin that the log was begun with.
        stored: String,
        /// The origin in the configuration.
        configured: String,
    },
    /// Entries were removed.
    #[error(
        "ledger {path} has no entry {index} but later ones; keep a copy of it, then restore it from a backup"
    )]
    Gap {
        /// The file.
        path: PathBuf,
        /// The first index that is known to be missing.
        index: u64,
    },
    /// The log's index knows more: somebody restored an older copy of the log, or cut it.
    #[error(
        "ledger {path} has {entries} entries, but its index {index} knows {known}: this is an older copy of it, and what \
         was signed since is missing; put the newest copy in its place, or see \"An older copy\" in docs/ledger.md"
    )]
    OlderThanIndex {
        /// The file.
        path: PathBuf,
        /// The index's directory.
        index: PathBuf,
        /// How many entries the log has.
        entries: u64,
        /// How many the index knows.
        known: u64,
    },
    /// The log's index knows another entry in this place: this is the log of a signer that went on from an older copy, or it was changed.
    #[error(
        "entry {entry} of ledger {path} is not the one that its index {index} knows: the file was changed, or is another \
         copy that was written on; put the right one in its place, or see \"An older copy\" in docs/ledger.md"
    )]
    OtherThanIndexed {
        /// The file.
        path: PathBuf,
        /// The index's directory.
        index: PathBuf,
        /// The first entry that is known to differ.
        entry: u64,
    },
    /// More was signed of the log than is here: somebody restored an older copy of it, with its index.
    #[error(
        "ledger {path} has {entries} entries, and the checkpoint in {file} is of {signed}: this is an older copy of it, from a \
         backup, and what was signed since is missing; put the newest copy in its place, or see \"An older copy\" in \
         docs/ledger.md"
    )]
    OlderThanCheckpoint {
        /// The log's file.
        path: PathBuf,
        /// How many entries it has.
        entries: u64,
        /// Where the checkpoint is.
        file: PathBuf,
        /// How many entries it says that there are.
        signed: u64,
    },
    /// The log has other entries than were signed.
    #[error(
        "the first {signed} entries of ledger {path} are not those of the checkpoint in {file}: one was changed, or this is \
         another copy that was written on; put the right one in its place, or see \"An older copy\" in docs/ledger.md"
    )]
    OtherThanCheckpoint {
        /// The log's file.
        path: PathBuf,
        /// Where the checkpoint is.
        file: PathBuf,
        /// How many entries it says that there are.
        signed: u64,
    },
    /// What was signed last cannot be told.
    #[error(
        "the newest checkpoint of the log, in {file}, cannot be trusted; put the right file in its place, or see \
         \"Checkpoints\" in docs/ledger.md"
    )]
    Checkpoint {
        /// Where it is.
        file: PathBuf,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// Another algorithm, or a log's name that no notes are signed in.
    #[error("key {key} cannot sign checkpoints")]
    CheckpointKey {
        /// The key.
        key: KeyName,
        /// Why not.
        source: NoteKeyError,
    },
    /// The certificate of an intent cannot be read: its serial could be signed again, so nothing is.
    #[error(
        "entry {entry} of ledger {path} is an intent for a certificate that this countersign cannot read, so that its \
         serial could be signed again; start the version that wrote it, and report this"
    )]
    UnknownSerial {
        /// The file.
        path: PathBuf,
        /// The intent.
        entry: u64,
    },
    /// What an older schema knows to be taken, the index does not.
    #[error(
        "ledger {path} has an older schema, and is not brought up to date: by its table {table}, entry {entry} has taken \
         what the index does not find there; keep a copy of it, start the version that wrote it, and report this"
    )]
    LostClaim {
        /// The file.
        path: PathBuf,
        /// Which of its tables knows.
        table: &'static str,
        /// The intent, by that table.
        entry: u64,
    },
    /// A row that is not an entry.
    #[error(
        "ledger {path}: entry {index} is not one; keep a copy of the file, then restore it from a backup"
    )]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry's index.
        index: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A signer that serves its log does not answer, or says why it does not.
    #[error("the signer at {server} gives no entry {index}")]
    NoAnswer {
        /// Where it is.
        server: String,
        /// The first entry that was asked for.
        index: u64,
        /// What the call came to.
        source: CallFailed,
    },
    /// It answers, and not with what was asked for.
    #[error(
        "the signer at {server} leaves entry {index} of its log out of its answer, or sends another in its place; keep what you have \
         of the log, and tell the signer's operator"
    )]
    Withheld {
        /// Where it is.
        server: String,
        /// The entry.
        index: u64,
    },
}

impl LedgerError {
    /// Whether what is stored is not as it was written, whoever asks for it.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Cut { .. } => true,
            Self::Database { source, .. } => source.is_damage(),
            Self::Unavailable { source, .. } => {
                matches!(&**source, StoreError::Database(source) if source.is_damage())
            }
            _ => false,
        }
    }

    /// A stable word to branch on, as in a status's `reason`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Closed => "LEDGER_CLOSED",
            Self::ClockBehind { .. } => "CLOCK_BEHIND",
            Self::Unavailable { .. } | Self::DatabaseUnavailable { .. } => "LEDGER_UNAVAILABLE",
            Self::Fenced { .. } => "LEDGER_FENCED",
            Self::Database { .. } => "LEDGER_DATABASE",
            Self::EntryTooLong(_) => "LEDGER_ENTRY_TOO_LONG",
            Self::NoRandomness => "LEDGER_NO_RANDOMNESS",
            Self::NoDirectory { .. } => "LEDGER_NO_DIRECTORY",
            Self::Missing { .. } => "LEDGER_MISSING",
            Self::Locked { .. } | Self::InUse { .. } => "LEDGER_LOCKED",
            Self::Io { .. } => "LEDGER_IO",
            Self::Index { .. } => "LEDGER_INDEX",
            Self::Unreadable { .. } => "LEDGER_UNREADABLE",
            Self::Damaged { .. } | Self::Cut { .. } | Self::Gap { .. } | Self::Entry { .. } => {
                "LEDGER_DAMAGED"
            }
            Self::NotALedger { .. } => "LEDGER_NOT_A_LEDGER",
            Self::NewerSchema { .. } => "LEDGER_NEWER_SCHEMA",
            Self::OtherOrigin { .. } => "LEDGER_OTHER_ORIGIN",
            Self::OlderThanIndex { .. } => "LEDGER_OLDER_COPY",
            Self::OtherThanIndexed { .. } => "LEDGER_OTHER_COPY",
            Self::OlderThanCheckpoint { .. } | Self::OtherThanCheckpoint { .. } => {
                "LEDGER_CONTRADICTS_CHECKPOINT"
            }
            Self::Checkpoint { .. } => "LEDGER_CHECKPOINT",
            Self::CheckpointKey { .. } => "LEDGER_CHECKPOINT_KEY",
            Self::UnknownSerial { .. } => "LEDGER_UNKNOWN_SERIAL",
            Self::LostClaim { .. } => "LEDGER_LOST_CLAIM",
            Self::NoAnswer { .. } => "LEDGER_NO_ANSWER",
            Self::Withheld { .. } => "LEDGER_WITHHELD",
        }
    }
}
