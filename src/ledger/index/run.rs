//! A run: postings in order, in a file that is written once.
//!
//! In: postings in order. Out: the entries that a hash leads to, newest first, with one or two reads of a few KiB; in a run that is not
//! long, mostly without any for a hash that leads to none ([`map`]). A row has 16 bytes: the hash and the entry's index, big-endian;
//! after the rows come [`marks`]. Promised: a run that is opened or merged, and a block that is looked into, is what was written.

use std::fs::{File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, BufWriter, Write};
use std::iter::Peekable;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use crate::ledger::index::waiting::Posting;

/// The bytes of a row.
pub(super) const ROW: usize = 16;

/// How many rows are read at once, at least: 4 KiB.
pub(super) const BLOCK: u64 = 256;

/// How much is written at once when a run is made.
const BUFFER: usize = 128 * 1024;

mod blocks;
mod map;
mod marks;

pub(super) use blocks::{Blocks, check, rows, vouched};
pub(super) use marks::{Layout, Marks, block};

use map::Map;
use marks::Marker;

/// What is in a run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    pub(super) rows: u64,
    /// The SHA-256 of the top of its marks, in base64: by it all of the run is known.
    top: String,
}

impl Contents {
    /// Whether the top of its marks has this SHA-256.
    pub(super) fn has_top(&self, sha256: &[u8; 32]) -> bool {
        Base64::encode_string(sha256) == self.top
    }
}

/// A run that can be looked into, in one of two ways.
pub(super) trait Open: Sized {
    /// How the names of its files begin.
    const NAME: &'static str;

    /// The run at `path`, which should have these contents.
    fn open(path: &Path, contents: &Contents) -> io::Result<Self>;

    /// Writes one of all that `sources` have, each in order and together `rows`, and returns once the disk has it; what is in it.
    fn write(path: &Path, rows: u64, sources: Vec<Sorted<'_>>) -> io::Result<(Contents, Self)>;
}

/// A run that is looked into with what is in memory of it.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
    file: File,
    guide: Guide,
}

/// What is known of a run's blocks before they are read.
#[derive(Debug)]
struct Guide {
    rows: u64,
    /// How many rows there are from one fence to the next.
    block: u64,
    /// Of each block: a MiB at most.
    fences: Vec<Fence>,
    sums: Sums,
    map: Map,
}

/// What is known of a block.
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

impl Guide {
    /// Of a run of so many rows, whose blocks are to come.
    fn new(rows: u64) -> Self {
        let layout = Layout::of(rows);
        let fences = Vec::with_capacity(usize::try_from(layout.blocks()).unwrap_or_default());
        Self { rows, block: layout.block(), fences, sums: Sums::default(), map: Map::new(rows) }
    }

    /// The next block.
    fn block(&mut self, rows: &[[u8; ROW]]) {
        let sum = self.sums.of(rows);
        self.fences.extend(rows.first().map(|row| Fence { hash: posting(row).hash, sum }));
        for row in rows {
            self.map.add(posting(row).hash);
        }
    }
}

impl Open for Run {
    const NAME: &'static str = "claims";

    /// Reads all of it once.
    fn open(path: &Path, contents: &Contents) -> io::Result<Self> {
        let mut guide = Guide::new(contents.rows);
        for rows in Blocks::open(path, contents)? {
            guide.block(&rows?);
        }
        Ok(Self { path: path.to_owned(), file: File::open(path)?, guide })
    }

    fn write(path: &Path, rows: u64, sources: Vec<Sorted<'_>>) -> io::Result<(Contents, Self)> {
        let mut guide = Guide::new(rows);
        let contents = write(path, rows, sources, |rows| guide.block(rows))?;
        Ok((contents, Self { path: path.to_owned(), file: File::open(path)?, guide }))
    }
}

impl Run {
    /// What `judge` makes of the newest of the entries that `hash` leads to for which it makes anything.
    pub(super) fn newest<T, E: From<io::Error>>(
        &self,
        hash: u64,
        judge: &mut impl FnMut(u64) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        if !self.guide.map.may_have(hash) {
            return Ok(None);
        }
        // The blocks before this one begin with this hash or a lower one.
        let mut block = self.guide.fences.partition_point(|fence| fence.hash <= hash);
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
        let guide = &self.guide;
        let first = u64::try_from(block).map_err(io::Error::other)? * guide.block;
        let count = guide.block.min(guide.rows - first);
        let mut rows = vec![[0; ROW]; usize::try_from(count).map_err(io::Error::other)?];
        let read = self.file.read_exact_at(rows.as_flattened_mut(), bytes(first));
        let read = read.map(|()| {
            let sum = guide.sums.of(&rows);
            guide.fences.get(block).is_some_and(|fence| fence.sum == sum).then_some(rows)
        });
        vouched(&self.path, read)
    }
}

/// Postings in order, from a run or from memory.
pub(super) type Sorted<'a> = Box<dyn Iterator<Item = io::Result<Posting>> + 'a>;

/// Writes one run of all that `sources` have, each in order and together `rows`, and returns once the disk has it; what is in it. Each block is
/// shown to `see`.
pub(super) fn write(
    path: &Path,
    rows: u64,
    sources: Vec<Sorted<'_>>,
    mut see: impl FnMut(&[[u8; ROW]]),
) -> io::Result<Contents> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let layout = Layout::of(rows);
    let (mut out, mut marker) = (BufWriter::with_capacity(BUFFER, &file), Marker::new(&file, layout));
    let mut sources: Vec<_> = sources.into_iter().map(Iterator::peekable).collect();
    let (mut written, mut block) = (0, Vec::new());
    loop {
        fill(&mut block, layout.block(), &mut sources)?;
        if block.is_empty() {
            break;
        }
        out.write_all(block.as_flattened())?;
        marker.block(&block)?;
        see(&block);
        written += u64::try_from(block.len()).map_err(io::Error::other)?;
    }
    if written != rows {
        return Err(io::Error::other(format!("{written} rows to write, and not {rows}")));
    }
    out.flush()?;
    let top = marker.finish()?;
    file.sync_data()?;
    Ok(Contents { rows, top: Base64::encode_string(&top) })
}

/// Has in `block` the lowest rows that the sources have next, so many of them at most.
fn fill(block: &mut Vec<[u8; ROW]>, most: u64, sources: &mut [Peekable<Sorted<'_>>]) -> io::Result<()> {
    block.clear();
    for _ in 0..most {
        let Some(posting) = lowest(sources)? else { break };
        block.push(row(posting));
    }
    Ok(())
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
    rows.saturating_mul(16)
}

#[cfg(test)]
mod tests;
