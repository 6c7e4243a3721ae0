//! What people look for, in a run and in memory: the entries that a term leads to, from newer to older.
//!
//! In: a hash, and the highest index that is wanted, which only sinks. Out: the newest entry that it leads to. A step to the next
//! entry mostly reads nothing, and a leap across millions some twenty rows: several terms that must meet cost as much as the
//! rarest of them. No fences are kept, as for claims: opening a run reads nothing. The first look into a run reads all of it, so that
//! a damaged one is an error and no answer with holes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ledger::index::run::{self, BLOCK, Contents, ROW, posting};
use crate::ledger::index::waiting::{Gathered, Posting};

/// A run that is read without fences.
#[derive(Debug)]
pub(super) struct FindRun {
    path: PathBuf,
    file: File,
    contents: Contents,
    /// Whether it is what was written, or how it is damaged, once somebody has looked.
    is_whole: Mutex<Option<Result<(), String>>>,
}

/// Some rows of a run that were read.
#[derive(Debug)]
struct Block {
    number: u64,
    rows: Vec<[u8; ROW]>,
}

/// The entries that one hash leads to, newest first.
#[derive(Debug)]
pub(super) struct Cursor {
    hash: u64,
    /// Those that wait, the newest last.
    waiting: Vec<u64>,
    /// The runs that are left, those of the oldest entries first.
    runs: Vec<Arc<FindRun>>,
    /// What was read last of the last of them.
    block: Option<Block>,
    /// How often something was read.
    reads: u64,
}

impl FindRun {
    /// Opens the run at `path`; whoever reads it [finds out](Self::check) whether it is what was written.
    pub(super) fn open(path: &Path, contents: &Contents) -> io::Result<Self> {
        let (file, contents) = (run::check(path, contents.rows)?, contents.clone());
        Ok(Self { path: path.to_owned(), file, contents, is_whole: Mutex::default() })
    }

    /// Whether it is what was written: all of it is read the first time, for as long as `goes_on` says so.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is damaged; others are not remembered.
    pub(super) fn check(&self, goes_on: impl Fn() -> bool) -> io::Result<()> {
        let mut is_whole = self.is_whole.lock().unwrap_or_else(PoisonError::into_inner);
        if is_whole.is_none() {
            *is_whole = match run::is_whole(&self.file, &self.path, &self.contents, goes_on) {
                Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
                found => Some(found.map_err(|damage| damage.to_string())),
            };
        }
        match &*is_whole {
            Some(Err(damage)) => Err(io::Error::new(io::ErrorKind::InvalidData, damage.clone())),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn block(&self, number: u64) -> io::Result<Block> {
        let first = number * BLOCK;
        let rows = run::read(&self.file, first..(first + BLOCK).min(self.contents.rows))?;
        Ok(Block { number, rows })
    }

    /// The first posting of a block.
    fn first(&self, block: u64) -> io::Result<Option<Posting>> {
        let row = block * BLOCK;
        Ok(run::read(&self.file, row..row + 1)?.first().map(posting))
    }
}

impl Block {
    /// Whether the last posting up to `bound` is here, if it is not in a later block.
    fn begins_within(&self, bound: Posting) -> bool {
        self.rows.first().is_some_and(|row| posting(row) <= bound)
    }

    /// The last posting up to `bound`.
    fn last(&self, bound: Posting) -> Option<Posting> {
        let end = self.rows.partition_point(|row| posting(row) <= bound);
        self.rows.get(end.checked_sub(1)?).map(posting)
    }
}

impl Cursor {
    /// All that `hash` leads to: `waiting` has the newest entries first, and so have the runs.
    pub(super) fn new<'a>(
        hash: u64,
        waiting: impl Iterator<Item = Option<&'a Gathered>>,
        runs: &[Arc<FindRun>],
    ) -> Self {
        let postings = waiting.flat_map(Gathered::all).flatten();
        let mut waiting: Vec<_> =
            postings.filter(|posting| posting.hash == hash).map(|posting| posting.index).collect();
        waiting.sort_unstable();
        let runs = runs.iter().rev().map(Arc::clone).collect();
        Self { hash, waiting, runs, block: None, reads: 0 }
    }

    /// The newest entry up to `bound`, which is no higher than the last time.
    pub(super) fn at_most(&mut self, bound: u64) -> io::Result<Option<u64>> {
        while let Some(newest) = self.waiting.last() {
            if *newest <= bound {
                return Ok(Some(*newest));
            }
            self.waiting.pop();
        }
        while let Some(run) = self.runs.last().map(Arc::clone) {
            let last = self.last(&run, Posting { hash: self.hash, index: bound })?;
            if let Some(found) = last.filter(|found| found.hash == self.hash) {
                return Ok(Some(found.index));
            }
            // It has no lower ones either.
            self.runs.pop();
            self.block = None;
        }
        Ok(None)
    }

    /// How often something was read of the runs.
    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// The last posting of `run` up to `bound`: in the block that was read last, in the one before it, or anywhere before.
    fn last(&mut self, run: &FindRun, bound: Posting) -> io::Result<Option<Posting>> {
        let blocks = match self.block.take() {
            Some(block) if block.begins_within(bound) => return Ok(self.keep(block, bound)),
            Some(Block { number: 0, .. }) => return Ok(None),
            Some(Block { number, .. }) => {
                self.reads += 1;
                let before = run.block(number - 1)?;
                if before.begins_within(bound) {
                    return Ok(self.keep(before, bound));
                }
                0..number - 1
            }
            None => {
                run.check(|| true)?;
                0..run.contents.rows.div_ceil(BLOCK)
            }
        };
        let Some(number) = self.search(run, blocks, bound)? else { return Ok(None) };
        self.reads += 1;
        let block = run.block(number)?;
        Ok(self.keep(block, bound))
    }

    fn keep(&mut self, block: Block, bound: Posting) -> Option<Posting> {
        let last = block.last(bound);
        self.block = Some(block);
        last
    }

    /// The last of `blocks` that begins with a posting up to `bound`.
    fn search(&mut self, run: &FindRun, blocks: Range<u64>, bound: Posting) -> io::Result<Option<u64>> {
        let (mut low, mut high) = (blocks.start, blocks.end);
        while low < high {
            let middle = low + (high - low) / 2;
            self.reads += 1;
            if run.first(middle)?.is_some_and(|first| first <= bound) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.checked_sub(1).filter(|block| blocks.contains(block)))
    }
}

#[cfg(test)]
mod tests;
