//! What people look for, in a run and in memory: the entries that a term leads to, from newer to older.
//!
//! In: a hash, and the highest index that is wanted, which only sinks. Out: the newest entry that it leads to. A step to the next
//! entry mostly reads nothing, and a leap across millions a page of marks and a block: several terms that must meet cost as much as
//! the rarest of them. No fences are kept, as for claims: opening a run reads nothing. What is read of a run is compared with its marks,
//! and those with the manifest, so that a damaged one is an error and no answer with holes, and nobody reads all of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::ledger::index::run::{self, Blocks, Contents, Layout, Marks, Open, ROW, Sorted, posting};
use crate::ledger::index::waiting::{Gathered, Posting};

/// A run that is read without fences.
#[derive(Debug)]
pub(super) struct FindRun {
    path: PathBuf,
    file: File,
    contents: Contents,
    layout: Layout,
    /// What leads to its pages of marks, once somebody has looked: 12 KiB at most.
    top: OnceLock<Marks>,
}

/// Some rows of a run that were read.
#[derive(Debug)]
struct Block {
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
    /// What was read last of the last of them: marks, and one of the blocks that they are of.
    page: Option<Marks>,
    block: Option<Block>,
    /// How often something was read.
    reads: u64,
}

impl Open for FindRun {
    const NAME: &'static str = "find";

    /// Whoever looks into it finds out whether what it reads is what was written.
    fn open(path: &Path, contents: &Contents) -> io::Result<Self> {
        let (file, contents) = (run::check(path, contents.rows)?, contents.clone());
        let layout = Layout::of(contents.rows);
        Ok(Self { path: path.to_owned(), file, contents, layout, top: OnceLock::new() })
    }

    fn write(path: &Path, rows: u64, sources: Vec<Sorted<'_>>) -> io::Result<(Contents, Self)> {
        let contents = run::write(path, rows, sources, |_| ())?;
        let run = Self::open(path, &contents)?;
        Ok((contents, run))
    }
}

impl FindRun {
    /// Whether all of it is what was written: it is read for as long as `goes_on` says so.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is damaged.
    pub(super) fn check(&self, goes_on: impl Fn() -> bool) -> io::Result<()> {
        for rows in Blocks::of(self.file.try_clone()?, &self.path, &self.contents)? {
            rows?;
            if !goes_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    }

    /// What leads to its pages of marks.
    fn top(&self, reads: &mut u64) -> io::Result<&Marks> {
        if let Some(top) = self.top.get() {
            return Ok(top);
        }
        let top = Marks::top(&self.file, self.layout, |sha256| self.contents.has_top(sha256));
        let top = self.vouched(reads, top)?;
        Ok(self.top.get_or_init(|| top))
    }

    /// What was read, if it is what was written.
    fn vouched<T>(&self, reads: &mut u64, read: io::Result<Option<T>>) -> io::Result<T> {
        *reads += 1;
        run::vouched(&self.path, read)
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
        Self { hash, waiting, runs, page: None, block: None, reads: 0 }
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
            (self.page, self.block) = (None, None);
        }
        Ok(None)
    }

    /// How often something was read of the runs.
    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// The last posting of `run` up to `bound`: in the block that was read last, in another of its page, or anywhere before.
    fn last(&mut self, run: &FindRun, bound: Posting) -> io::Result<Option<Posting>> {
        if let Some(block) = self.block.as_ref().filter(|block| block.begins_within(bound)) {
            return Ok(block.last(bound));
        }
        let kept = self.page.take().filter(|page| page.begin_within(bound));
        let page = if let Some(page) = kept {
            page
        } else {
            let Some(of) = run.top(&mut self.reads)?.last(bound) else { return Ok(None) };
            run.vouched(&mut self.reads, Marks::page(&run.file, run.layout, of))?
        };
        let of = page.last(bound);
        self.page = Some(page);
        let Some(of) = of else { return Ok(None) };
        let rows = run.vouched(&mut self.reads, run::block(&run.file, run.layout, of))?;
        let block = self.block.insert(Block { rows });
        Ok(block.last(bound))
    }
}

#[cfg(test)]
mod tests;
