//! A run's file from its beginning to its end, as it was written.
//!
//! In: the file, and what the manifest says of it. Out: its rows, and an error where they are not those that were written: rows
//! that are lost would be taken for what nobody has claimed.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use base64ct::{Base64, Encoding as _};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::ledger::index::run::{BUFFER, Layout, ROW, posting};
use crate::ledger::index::waiting::Posting;

/// What is in a run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ledger::index) struct Contents {
    pub(in crate::ledger::index) rows: u64,
    /// Of the file, in base64.
    pub(in crate::ledger::index) sha256: String,
    /// The SHA-256 of the top of its marks, in base64.
    pub(in crate::ledger::index) top: String,
}

/// A file whose bytes are hashed as they are read or written.
pub(super) struct Hashed {
    file: File,
    context: Context,
}

/// Every row of a run, in order.
pub(in crate::ledger::index) struct Rows {
    path: PathBuf,
    file: BufReader<Hashed>,
    contents: Contents,
    read: u64,
    last: Option<Posting>,
    has_ended: bool,
}

/// The file at `path`, if it has `rows` rows.
pub(in crate::ledger::index) fn check(path: &Path, rows: u64) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.len() == Layout::of(rows).len() {
        Ok(file)
    } else {
        Err(damaged(path, "has another length"))
    }
}

/// Whether all of `file` is what was written; nothing is said if that `goes_on` no longer.
pub(in crate::ledger::index) fn is_whole(
    file: &File,
    path: &Path,
    contents: &Contents,
    goes_on: impl Fn() -> bool,
) -> io::Result<()> {
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; BUFFER]);
    let (mut at, len) = (0, Layout::of(contents.rows).len());
    while at < len {
        if !goes_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let rest = usize::try_from(len - at).unwrap_or(usize::MAX).min(BUFFER);
        let chunk = buffer.get_mut(..rest).unwrap_or_default();
        file.read_exact_at(chunk, at).map_err(|error| lost(path, error))?;
        context.update(chunk);
        at += u64::try_from(rest).unwrap_or(u64::MAX);
    }
    let sha256 = Base64::encode_string(context.finish().as_ref());
    if sha256 == contents.sha256 { Ok(()) } else { Err(damaged(path, "has other bytes")) }
}

/// What it means that rows are not given: the file ends before them, or its disk cannot read what was written.
pub(super) fn lost(path: &Path, error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::IO) => {
            let unreadable =
                format!("{} is damaged: its disk gives an error for what was written", path.display());
            io::Error::new(io::ErrorKind::InvalidData, unreadable)
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => damaged(path, "is shorter"),
        _ => error,
    }
}

pub(in crate::ledger::index) fn damaged(path: &Path, how: &str) -> io::Error {
    let damaged = format!("{} is damaged: it {how} than what was written", path.display());
    io::Error::new(io::ErrorKind::InvalidData, damaged)
}

impl Hashed {
    pub(super) fn new(file: File) -> Self {
        Self { file, context: Context::new(&SHA256) }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Of all that was read or written.
    pub(super) fn sha256(&self) -> String {
        Base64::encode_string(self.context.clone().finish().as_ref())
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buffer)?;
        self.context.update(buffer.get(..len).unwrap_or_default());
        Ok(len)
    }
}

impl Write for Hashed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let len = self.file.write(buffer)?;
        self.context.update(buffer.get(..len).unwrap_or_default());
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Rows {
    /// Those of the run at `path`, which should have these contents.
    pub(in crate::ledger::index) fn open(path: &Path, contents: &Contents) -> io::Result<Self> {
        let file = BufReader::with_capacity(BUFFER, Hashed::new(check(path, contents.rows)?));
        let (path, contents) = (path.to_owned(), contents.clone());
        Ok(Self { path, file, contents, read: 0, last: None, has_ended: false })
    }

    fn row(&mut self) -> io::Result<Option<Posting>> {
        if self.read == self.contents.rows {
            // The marks, which the hash is of as well.
            io::copy(&mut self.file, &mut io::sink())?;
            let is_whole = self.file.get_ref().sha256() == self.contents.sha256;
            return if is_whole { Ok(None) } else { Err(damaged(&self.path, "has other bytes")) };
        }
        let mut row = [0; ROW];
        self.file.read_exact(&mut row).map_err(|error| lost(&self.path, error))?;
        let posting = posting(&row);
        if self.last.is_some_and(|last| posting <= last) {
            return Err(damaged(&self.path, "has rows in another order"));
        }
        (self.last, self.read) = (Some(posting), self.read + 1);
        Ok(Some(posting))
    }
}

impl Iterator for Rows {
    type Item = io::Result<Posting>;

    /// After the last row, whether they were all and as they were written.
    fn next(&mut self) -> Option<io::Result<Posting>> {
        if self.has_ended {
            return None;
        }
        let next = self.row().transpose();
        self.has_ended = !matches!(next, Some(Ok(_)));
        next
    }
}
