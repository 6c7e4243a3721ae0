//! What it means that SQLite cannot open or read a file: that it is damaged, that it is no ledger, or that the system refuses.
//!
//! In: SQLite's answer, and the file. Out: the [`LedgerError`]. Where the line is: a ledger is whatever has its mark in the header, four
//! bytes of which one may be damaged. So no byte that is damaged makes a ledger a file of something else.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};

use crate::ledger::LedgerError;

/// SQLite's `application_id` of a ledger.
pub(super) const MARK: [u8; 4] = *b"csgn";

/// Where it is in the file (<https://sqlite.org/fileformat2.html#the_database_header>).
const MARK_AT: u64 = 68;

/// What SQLite's refusal to open or read `path` means to an operator.
pub(in crate::ledger) fn unreadable(path: &Path, source: rusqlite::Error) -> LedgerError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) if !is_marked(&path) => LedgerError::NotALedger { path },
        Some(ErrorCode::NotADatabase) => LedgerError::Damaged { path, source: Arc::new(source) },
        _ if is_damage(&source) => LedgerError::Damaged { path, source: Arc::new(source) },
        _ => LedgerError::Unreadable { path, source: Arc::new(source) },
    }
}

/// What it means that SQLite reads the file at `path`, and a signer writes no such thing: `what` says where.
pub(super) fn damaged(path: &Path, what: &str) -> LedgerError {
    let source = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(what.to_owned()));
    LedgerError::Damaged { path: path.to_owned(), source: Arc::new(source) }
}

/// Whether `mark` is a ledger's, but for one byte.
pub(super) fn is_nearly_ours(mark: [u8; 4]) -> bool {
    mark.iter().zip(&MARK).filter(|(found, ours)| found != ours).count() <= 1
}

/// Whether the file has the mark. SQLite has given it up, so that no lock of its own is lost by opening it.
fn is_marked(path: &Path) -> bool {
    let mut mark = [0; 4];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut mark, MARK_AT));
    read.is_ok() && is_nearly_ours(mark)
}

/// Whether the file is not as SQLite or a signer wrote it. What is asked of it is right: that a table or a row is not there, or that a column
/// has a value of another type, is no fault of the question.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, QueryReturnedNoRows,
        SqlInputError, Utf8Error,
    };
    match error {
        InvalidColumnType(..)
        | FromSqlConversionFailure(..)
        | IntegralValueOutOfRange(..)
        | QueryReturnedNoRows
        | Utf8Error(..)
        | SqlInputError { .. } => true,
        error => error.sqlite_error().is_some_and(|error| {
            matches!(error.code, ErrorCode::DatabaseCorrupt | ErrorCode::TooBig)
                || matches!(error.extended_code, ffi::SQLITE_ERROR | ffi::SQLITE_IOERR_SHORT_READ)
        }),
    }
}
