//! What follows the rows of a run: where each of its blocks begins, and the SHA-256 of it.
//!
//! In: the rows, as they are written. Out: marks, in pages of 256, and of the pages in one more, the top. The manifest has the SHA-256 of
//! the top, so whoever looks something up reads the top, a page and a block, and knows that they are what was written, however
//! long the run is. Who reads all of it compares each block, too.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::ledger::entry::sha256;
use crate::ledger::index::run::{BLOCK, ROW, bytes, posting};
use crate::ledger::index::waiting::Posting;

/// The bytes of a mark: the first row of what it is of, and the SHA-256 of all of it.
const MARK: usize = ROW + 32;

/// The most marks of a page.
const PAGE: usize = 256;

/// The most blocks of a run: its top is 12 KiB at most, and what is kept in memory of all its blocks a MiB. A run of more than 16 million
/// rows has larger blocks.
const BLOCKS: u64 = 65_536;

/// Where everything is in a run.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger::index) struct Layout {
    rows: u64,
}

/// What is known of a block or a page before it is read.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger::index) struct Mark {
    /// Its first posting.
    first: Posting,
    /// Of its bytes.
    sha256: [u8; 32],
}

/// Some marks of a run that were read: of all its pages, or of the blocks of one.
#[derive(Debug)]
pub(in crate::ledger::index) struct Marks {
    /// What the first of them is of.
    start: u64,
    marks: Vec<Mark>,
}

/// Writes the marks of a run to its file, each page as soon as it is full.
pub(super) struct Marker<'a> {
    file: &'a File,
    layout: Layout,
    /// The marks of the page that is not full.
    page: Vec<u8>,
    /// Those of the pages that are written.
    top: Vec<u8>,
}

impl Layout {
    pub(in crate::ledger::index) fn of(rows: u64) -> Self {
        Self { rows }
    }

    /// The bytes of the run.
    pub(in crate::ledger::index) fn len(self) -> u64 {
        self.top().end
    }

    /// How many rows a block has, but for the last.
    pub(super) fn block(self) -> u64 {
        self.rows.div_ceil(BLOCKS).max(BLOCK)
    }

    /// The bytes of a block.
    fn rows_of(self, block: u64) -> Range<u64> {
        let first = block.saturating_mul(self.block()).min(self.rows);
        bytes(first)..bytes(first.saturating_add(self.block()).min(self.rows))
    }

    /// The bytes of a page of marks.
    fn page(self, page: u64) -> Range<u64> {
        let (start, blocks, most) = (bytes(self.rows), self.blocks(), wide(PAGE));
        let first = page.saturating_mul(most).min(blocks);
        let end = first.saturating_add(most).min(blocks);
        start + first * wide(MARK)..start + end * wide(MARK)
    }

    /// The bytes of the marks of all pages.
    fn top(self) -> Range<u64> {
        // A damaged manifest may say any number of rows.
        let start = bytes(self.rows).saturating_add(self.blocks() * wide(MARK));
        start..start.saturating_add(self.blocks().div_ceil(wide(PAGE)) * wide(MARK))
    }

    pub(super) fn blocks(self) -> u64 {
        self.rows.div_ceil(self.block())
    }

    /// The number of the page that has a block's mark.
    pub(super) fn page_of(block: u64) -> u64 {
        block / wide(PAGE)
    }
}

impl Marks {
    /// Those of all pages, if their SHA-256 is what `is` expects; else `None`.
    pub(in crate::ledger::index) fn top(
        file: &File,
        layout: Layout,
        is: impl FnOnce(&[u8; 32]) -> bool,
    ) -> io::Result<Option<Self>> {
        let read = read(file, layout.top())?;
        Ok(is(&sha256(&[&read])).then(|| Self::of(0, &read)))
    }

    /// Those of the blocks of this page, if they are what was written.
    pub(in crate::ledger::index) fn page(
        file: &File,
        layout: Layout,
        (page, mark): (u64, Mark),
    ) -> io::Result<Option<Self>> {
        let read = read(file, layout.page(page))?;
        Ok((sha256(&[&read]) == mark.sha256).then(|| Self::of(page * wide(PAGE), &read)))
    }

    fn of(start: u64, read: &[u8]) -> Self {
        let (marks, _) = read.as_chunks::<MARK>();
        let marks = marks.iter().filter_map(|mark| {
            let (row, sha256) = mark.split_first_chunk::<ROW>()?;
            Some(Mark { first: posting(row), sha256: *sha256.first_chunk()? })
        });
        Self { start, marks: marks.collect() }
    }

    /// That of this number, if it is here.
    pub(super) fn get(&self, number: u64) -> Option<Mark> {
        let at = usize::try_from(number.checked_sub(self.start)?).ok()?;
        self.marks.get(at).copied()
    }

    /// Whether the last that begins with a posting up to `bound` is here, if it is of none that comes later.
    pub(in crate::ledger::index) fn begin_within(&self, bound: Posting) -> bool {
        self.marks.first().is_some_and(|mark| mark.first <= bound)
    }

    /// The last that begins with a posting up to `bound`, and its number.
    pub(in crate::ledger::index) fn last(&self, bound: Posting) -> Option<(u64, Mark)> {
        let at = self.marks.partition_point(|mark| mark.first <= bound).checked_sub(1)?;
        Some((self.start + wide(at), *self.marks.get(at)?))
    }
}

/// The rows of a block, if they are what was written.
pub(in crate::ledger::index) fn block(
    file: &File,
    layout: Layout,
    (block, mark): (u64, Mark),
) -> io::Result<Option<Vec<[u8; ROW]>>> {
    let Range { start, end } = layout.rows_of(block);
    let mut rows = vec![[0; ROW]; usize::try_from((end - start) / wide(ROW)).map_err(io::Error::other)?];
    file.read_exact_at(rows.as_flattened_mut(), start)?;
    Ok((sha256(&[rows.as_flattened()]) == mark.sha256).then_some(rows))
}

fn read(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut read = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
    file.read_exact_at(&mut read, range.start)?;
    Ok(read)
}

impl<'a> Marker<'a> {
    /// For a run of this layout, whose rows are to come.
    pub(super) fn new(file: &'a File, layout: Layout) -> Self {
        Self { file, layout, page: Vec::new(), top: Vec::new() }
    }

    /// The next block.
    pub(super) fn block(&mut self, rows: &[[u8; ROW]]) -> io::Result<()> {
        self.page.extend(rows.first().into_iter().flatten());
        self.page.extend(sha256(&[rows.as_flattened()]));
        if self.page.len() < PAGE * MARK { Ok(()) } else { self.end_page() }
    }

    /// The SHA-256 of the top, once all of it is written.
    pub(super) fn finish(mut self) -> io::Result<[u8; 32]> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        self.file.write_all_at(&self.top, self.layout.top().start)?;
        Ok(sha256(&[&self.top]))
    }

    fn end_page(&mut self) -> io::Result<()> {
        let number = wide(self.top.len() / MARK);
        self.file.write_all_at(&self.page, self.layout.page(number).start)?;
        self.top.extend(self.page.iter().take(ROW));
        self.top.extend(sha256(&[&self.page]));
        self.page.clear();
        Ok(())
    }
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
