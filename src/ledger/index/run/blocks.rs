//! A run's file from its beginning to its end, block by block, as it was written.
//!
//! In: the file, and what the manifest says of it. Out: its rows, and an error where they are not those that were written: rows
//! that are lost would be taken for what nobody has claimed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::ledger::index::run::marks::{self, Mark, Marks};
use crate::ledger::index::run::{Contents, Layout, ROW, posting};
use crate::ledger::index::waiting::Posting;

/// Every block of a run, in order, up to the first that is not what was written.
pub(in crate::ledger::index) struct Blocks {
    path: PathBuf,
    file: File,
    layout: Layout,
    /// Of the pages.
    top: Marks,
    /// Of the blocks of the page that was read last.
    page: Option<Marks>,
    next: u64,
}

/// The file at `path`, if it has the length of a run of `rows` rows.
pub(in crate::ledger::index) fn check(path: &Path, rows: u64) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.len() == Layout::of(rows).len() {
        Ok(file)
    } else {
        Err(damaged(path, "has another length"))
    }
}

/// Every row of the run at `path`, which should have these contents, in order.
pub(in crate::ledger::index) fn rows(
    path: &Path,
    contents: &Contents,
) -> io::Result<impl Iterator<Item = io::Result<Posting>> + use<>> {
    Ok(Blocks::open(path, contents)?.flat_map(|block| {
        let (rows, error) = match block {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        rows.into_iter().map(|row| Ok(posting(&row))).chain(error)
    }))
}

/// What it means that rows are not given: the file ends before them, or its disk cannot read what was written.
fn lost(path: &Path, error: io::Error) -> io::Error {
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

fn damaged(path: &Path, how: &str) -> io::Error {
    let damaged = format!("{} is damaged: it {how} than what was written", path.display());
    io::Error::new(io::ErrorKind::InvalidData, damaged)
}

impl Blocks {
    /// Those of the run at `path`.
    pub(in crate::ledger::index) fn open(path: &Path, contents: &Contents) -> io::Result<Self> {
        Self::of(check(path, contents.rows)?, path, contents)
    }

    /// Those of a run that is open, whatever is at its `path` by now.
    pub(in crate::ledger::index) fn of(file: File, path: &Path, contents: &Contents) -> io::Result<Self> {
        let layout = Layout::of(contents.rows);
        let top = Marks::top(&file, layout, |sha256| contents.has_top(sha256));
        let top = vouched(path, top)?;
        Ok(Self { path: path.to_owned(), file, layout, top, page: None, next: 0 })
    }

    fn read(&mut self, number: u64) -> io::Result<Vec<[u8; ROW]>> {
        let mark = self.mark(number)?;
        vouched(&self.path, marks::block(&self.file, self.layout, (number, mark)))
    }

    /// That of a block: mostly of the page that the one before is of.
    fn mark(&mut self, block: u64) -> io::Result<Mark> {
        if let Some(mark) = self.page.as_ref().and_then(|page| page.get(block)) {
            return Ok(mark);
        }
        let number = Layout::page_of(block);
        let page = self.top.get(number).map(|mark| Marks::page(&self.file, self.layout, (number, mark)));
        let page = self.page.insert(vouched(&self.path, page.unwrap_or(Ok(None)))?);
        vouched(&self.path, Ok(page.get(block)))
    }
}

/// What was read, if it is what was written. A file that ends before it, or a disk that cannot read it any more, is damage as well.
pub(in crate::ledger::index) fn vouched<T>(path: &Path, read: io::Result<Option<T>>) -> io::Result<T> {
    read.map_err(|error| lost(path, error))?.ok_or_else(|| damaged(path, "has other bytes"))
}

impl Iterator for Blocks {
    type Item = io::Result<Vec<[u8; ROW]>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.layout.blocks() {
            return None;
        }
        let read = self.read(self.next);
        self.next = if read.is_ok() { self.next + 1 } else { u64::MAX };
        Some(read)
    }
}
