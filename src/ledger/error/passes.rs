//! Which errors of the ledger may pass without anybody who does something to this signer.
//!
//! In: an error. Out: whether it is worth another try later. A disk that is full or read-only, a database that is away and a clock that
//! is behind come back, and nothing was signed meanwhile. What is wrong with the configuration, with rights or with the log itself stays
//! until an operator acts; it is not tried again, so that it is seen.

use std::io;

use rusqlite::ErrorCode;
use rustix::io::Errno;

use crate::ledger::ArchiveError;
use crate::ledger::error::{LedgerError, StoreError};

impl LedgerError {
    /// Whether it may pass by itself.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            // A signer whose host died is in the database's way until that notices.
            Self::ClockBehind { .. } | Self::InUse { .. } => true,
            Self::Unavailable { source, .. } | Self::DatabaseUnavailable { source, .. } => source.passes(),
            Self::Database { source, .. } => source.passes(),
            Self::Io { source, .. } => of_system(source),
            Self::Unreadable { source, .. } => of_sqlite(source),
            Self::Index { source, .. } => of_index(source),
            Self::Closed
            | Self::Fenced { .. }
            | Self::EntryTooLong(_)
            | Self::NoRandomness
            | Self::NoDirectory { .. }
            | Self::Missing { .. }
            | Self::Locked { .. }
            | Self::Damaged { .. }
            | Self::Cut { .. }
            | Self::NotALedger { .. }
            | Self::NewerSchema { .. }
            | Self::OtherOrigin { .. }
            | Self::Gap { .. }
            | Self::OlderThanIndex { .. }
            | Self::OtherThanIndexed { .. }
            | Self::OlderThanCheckpoint { .. }
            | Self::OtherThanCheckpoint { .. }
            | Self::Checkpoint { .. }
            | Self::CheckpointKey { .. }
            | Self::UnknownSerial { .. }
            | Self::LostClaim { .. }
            | Self::Entry { .. }
            | Self::NoAnswer { .. }
            | Self::Withheld { .. } => false,
        }
    }
}

impl StoreError {
    fn passes(&self) -> bool {
        match self {
            Self::Log(source) => of_sqlite(source),
            Self::Database(source) => source.passes(),
            Self::InDoubt(_) | Self::Unanswered { .. } => true,
            Self::Disk(source) | Self::Index(source) => of_system(source),
            Self::IndexBehind { source, .. } => of_system(source),
            Self::Fenced { .. }
            | Self::Removed { .. }
            | Self::Replaced { .. }
            | Self::IndexDamaged(_)
            | Self::Astray(_)
            | Self::Changed { .. }
            | Self::Lost { .. }
            | Self::Entry { .. }
            | Self::EntryTooLong(_) => false,
        }
    }
}

/// What is said of an index: a start makes one that is damaged anew, unless it cannot even note that it is.
fn of_index(error: &ArchiveError) -> bool {
    match error {
        ArchiveError::Damaged(_) => true,
        ArchiveError::Index(source) => of_system(source),
        ArchiveError::Ledger(source) => source.passes(),
        ArchiveError::Disagree { .. }
        | ArchiveError::NoSuchEntry { .. }
        | ArchiveError::NoSuchSize { .. }
        | ArchiveError::Closed => false,
    }
}

/// What the system says of a disk, or of its own resources; not of names and rights.
fn of_system(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::NOSPC
                | Errno::DQUOT
                | Errno::ROFS
                | Errno::IO
                | Errno::STALE
                | Errno::NFILE
                | Errno::MFILE
                | Errno::NOMEM
        )
    )
}

/// The same of SQLite, which hides what the system said.
fn of_sqlite(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
        )
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_disk_comes_back_and_a_wrong_name_does_not() {
        let of = |errno: Errno| LedgerError::Io {
            doing: "opening ledger",
            path: PathBuf::from("log"),
            source: Arc::new(errno.into()),
        };
        for passing in [Errno::NOSPC, Errno::ROFS, Errno::IO] {
            assert!(of(passing).passes(), "{passing}");
        }
        for lasting in [Errno::ACCESS, Errno::NOENT, Errno::ISDIR] {
            assert!(!of(lasting).passes(), "{lasting}");
        }
        let sqlite = |code| LedgerError::Unreadable {
            path: PathBuf::from("log"),
            source: Arc::new(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)),
        };
        assert!(sqlite(rusqlite::ffi::SQLITE_FULL).passes());
        assert!(sqlite(rusqlite::ffi::SQLITE_IOERR_SHMSIZE).passes());
        assert!(!sqlite(rusqlite::ffi::SQLITE_CANTOPEN).passes());
        let index =
            |source| LedgerError::Index { path: PathBuf::from("log-index"), source: Arc::new(source) };
        assert!(index(ArchiveError::Damaged(io::ErrorKind::InvalidData.into())).passes());
        assert!(index(ArchiveError::Index(Errno::IO.into())).passes());
        assert!(!index(ArchiveError::Index(Errno::ACCESS.into())).passes());
    }
}
