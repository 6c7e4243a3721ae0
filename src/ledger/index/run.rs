//! A run: postings in order, in a file that is written once.
//!
//! In: postings in order. Out: the entries that a hash leads to, newest first, with one or two reads of a few KiB. A row has
//! 16 bytes: the hash and the entry's index, big-endian; after the rows come [`marks`]. Promised: a run that is opened or merged, and a
//! block that is looked into, is what was written.

use std::fs::{File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, BufWriter, Write};
use std::iter::Peekable;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use foldhash::fast::RandomState;

use crate::ledger::index::waiting::Posting;

/// The bytes of a row.
pub(super) const ROW: usize = 16;

/// How many rows are read at once, at least: 4 KiB.
pub(super) const BLOCK: u64 = 256;

/// How much is read or written at once when a run is made.
const BUFFER: usize = 128 * 1024;

mod marks;
mod whole;

pub(super) use marks::{Layout, Marks, block};
pub(super) use whole::{Contents, Rows, check, damaged, is_whole};

use marks::Marker;
use whole::{Hashed, lost};

/// A run that is looked into.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
    file: File,
    rows: u64,
    /// How many rows there are from one fence to the next.
    block: u64,
    /// Of each block: a MiB at most.
    fences: Vec<Fence>,
    sums: Sums,
}

/// What is known of a block before it is read.
#[derive(Debug)]
struct Fence {
    /// That of its first row.
    hash: u64,
    sum: u64,
}

/// Makes the checksums of blocks, which live no longer than the run is open. They find damage, for a tenth of what a SHA-256 takes, and not what
/// somebody has chosen: who can write here can write a manifest of his own as well.
#[derive(Debug, Default)]
struct Sums(RandomState);

impl Sums {
    fn of(&self, rows: &[[u8; ROW]]) -> u64 {
        self.0.hash_one(rows.as_flattened())
    }
}

impl Run {
    /// Opens the run at `path`, and reads all of it once.
    pub(super) fn open(path: &Path, contents: &Contents) -> io::Result<Self> {
        let rows = contents.rows;
        let (file, block) = (File::open(path)?, Layout::of(rows).block());
        let (sums, mut fences, mut filled) = (Sums::default(), Vec::new(), Vec::new());
        for (posting, count) in Rows::open(path, contents)?.zip(1_u64..) {
            filled.push(row(posting?));
            if count.is_multiple_of(block) || count == rows {
                let sum = sums.of(&filled);
                fences.extend(filled.first().map(|row| Fence { hash: self::posting(row).hash, sum }));
                filled.clear();
            }
        }
        Ok(Self { path: path.to_owned(), file, rows, block, fences, sums })
    }

    /// What `judge` makes of the newest of the entries that `hash` leads to for which it makes anything.
    pub(super) fn newest<T, E: From<io::Error>>(
        &self,
        hash: u64,
        judge: &mut impl FnMut(u64) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        // The blocks before this one begin with this hash or a lower one.
        let mut block = self.fences.partition_point(|fence| fence.hash <= hash);
        while let Some(before) = block.checked_sub(1) {
            block = before;
            let rows = self.read(block)?;
            let end = rows.partition_point(|row| posting(row).hash <= hash);
            for posting in rows.iter().take(end).rev().map(posting) {
                if posting.hash != hash {
                    return Ok(None);
                }
                if let Some(found) = judge(posting.index)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The rows of a block, if they are what was written.
    fn read(&self, block: usize) -> io::Result<Vec<[u8; ROW]>> {
        let first = u64::try_from(block).map_err(io::Error::other)? * self.block;
        let count = self.block.min(self.rows - first);
        let mut rows = vec![[0; ROW]; usize::try_from(count).map_err(io::Error::other)?];
        let read = self.file.read_exact_at(rows.as_flattened_mut(), bytes(first));
        read.map_err(|error| lost(&self.path, error))?;
        let sum = self.sums.of(&rows);
        if self.fences.get(block).is_some_and(|fence| fence.sum == sum) {
            Ok(rows)
        } else {
            Err(damaged(&self.path, "has other bytes"))
        }
    }
}

/// Postings in order, from a run or from memory.
pub(super) type Sorted<'a> = Box<dyn Iterator<Item = io::Result<Posting>> + 'a>;

/// Writes one run of all that `sources` have, each in order and together `rows`, and returns once the disk has it; what is in it.
pub(super) fn write(path: &Path, rows: u64, sources: Vec<Sorted<'_>>) -> io::Result<Contents> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut out = BufWriter::with_capacity(BUFFER, Hashed::new(file));
    let mut sources: Vec<_> = sources.into_iter().map(Iterator::peekable).collect();
    let (mut written, mut marker) = (0, Marker::new(rows));
    while let Some(posting) = lowest(&mut sources)? {
        let row = row(posting);
        out.write_all(&row)?;
        marker.row(&row);
        written += 1;
    }
    if written != rows {
        return Err(io::Error::other(format!("{written} rows to write, and not {rows}")));
    }
    let (marks, top) = marker.finish();
    out.write_all(&marks)?;
    let out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    out.file().sync_data()?;
    Ok(Contents { rows, sha256: out.sha256(), top: Base64::encode_string(&top) })
}

/// The lowest of what the sources have next.
fn lowest(sources: &mut [Peekable<Sorted<'_>>]) -> io::Result<Option<Posting>> {
    let mut lowest: Option<(Posting, usize)> = None;
    for (at, source) in sources.iter_mut().enumerate() {
        match source.peek() {
            Some(Ok(posting)) if lowest.is_none_or(|(least, _)| *posting < least) => {
                lowest = Some((*posting, at));
            }
            // An error is what is next.
            Some(Err(_)) => return source.next().transpose(),
            Some(Ok(_)) | None => {}
        }
    }
    let Some((_, at)) = lowest else { return Ok(None) };
    sources.get_mut(at).and_then(Iterator::next).transpose()
}

pub(super) fn posting(row: &[u8; ROW]) -> Posting {
    let row = u128::from_be_bytes(*row);
    let half = |half: u128| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default();
    Posting { hash: half(row >> 64), index: half(row) }
}

fn row(posting: Posting) -> [u8; ROW] {
    (u128::from(posting.hash) << 64 | u128::from(posting.index)).to_be_bytes()
}

/// The bytes of `rows` rows.
const fn bytes(rows: u64) -> u64 {
    rows * 16
}

#[cfg(test)]
mod tests;
