//! What an index knows at one moment, for those who read: entries that terms lead to, and tiles.
//!
//! In: the index of a signer that runs, or its files alone. Out: the entries that all of some terms lead to, newest first. It is
//! a handful of `Arc`s: taking one and having the next costs the writer no more, and nobody who reads holds it up.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::ledger::index::files::{Known, Runs, Unusable};
use crate::ledger::index::find::{Cursor, FindRun};
use crate::ledger::index::term::{Kind, TermKey};
use crate::ledger::index::tiles::TileFiles;
use crate::ledger::index::waiting::{Gathered, Waiting};

/// What is known of the entries before [`Self::entries`].
#[derive(Clone, Debug)]
pub(in crate::ledger) struct View {
    entries: u64,
    key: TermKey,
    active: Option<Arc<Gathered>>,
    writing: Option<Arc<Gathered>>,
    find: Arc<[Arc<FindRun>]>,
    tiles: Arc<TileFiles>,
}

/// The entries that have one of some words, each of a kind.
#[derive(Debug)]
struct Any(Vec<Cursor>);

/// The entries that have all of some words, newest first; and maybe others, whose words have the same hash.
#[derive(Debug)]
pub(in crate::ledger) struct Meeting {
    lists: Vec<Any>,
    before: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::ledger) enum Step {
    Entry(u64),
    /// Nothing yet: there may be others.
    Pause,
    End,
}

/// How many steps are made at once.
const PATIENCE: u32 = 256;

/// A word, and of which kind it is.
pub(in crate::ledger) type Word = (Kind, Vec<u8>);

impl View {
    pub(super) fn new(key: TermKey, active: &Waiting, runs: &Runs, tiles: &Arc<TileFiles>) -> Self {
        let (find, tiles) = (Arc::clone(&runs.find), Arc::clone(tiles));
        let entries = active.entries().end;
        Self { entries, key, active: active.gathered(), writing: None, find, tiles }
    }

    pub(super) fn update(&mut self, active: &Waiting, writing: Option<&Waiting>, runs: &Runs) {
        self.entries = active.entries().end;
        self.active = active.gathered();
        self.writing = writing.and_then(Waiting::gathered);
        self.find = Arc::clone(&runs.find);
    }

    /// Of the files of the index of the log at `ledger`, which may be another process's.
    ///
    /// # Errors
    /// Why they are of no use, in words.
    pub(in crate::ledger) fn read(ledger: &Path, origin: &str) -> Result<Self, String> {
        let known = Known::read(&super::path(ledger), origin);
        let Known { key, entries, find, tiles } = known.map_err(|unusable: Unusable| unusable.to_string())?;
        Ok(Self { entries, key, active: None, writing: None, find, tiles: Arc::new(tiles) })
    }

    /// Of no entries.
    pub(in crate::ledger) fn empty() -> Self {
        let (key, tiles) = (TermKey::of_nothing(), Arc::new(TileFiles::empty()));
        Self { entries: 0, key, active: None, writing: None, find: Arc::default(), tiles }
    }

    /// How many entries it knows.
    pub(in crate::ledger) fn entries(&self) -> u64 {
        self.entries
    }

    /// The tiles over them.
    pub(in crate::ledger) fn tiles(&self) -> &TileFiles {
        &self.tiles
    }

    /// The entries below `before` that have, of each list of words, at least one.
    pub(in crate::ledger) fn meeting(&self, words: &[Vec<Word>], before: u64) -> Meeting {
        let lists = words.iter().map(|any| Any(any.iter().map(|word| self.cursor(word)).collect()));
        Meeting { lists: lists.collect(), before }
    }

    fn cursor(&self, (kind, word): &Word) -> Cursor {
        let waiting = [self.active.as_deref(), self.writing.as_deref()];
        Cursor::new(self.key.term(*kind, &[word]).hash, waiting.into_iter(), &self.find)
    }
}

impl Any {
    fn at_most(&mut self, bound: u64) -> io::Result<Option<u64>> {
        let mut newest = None;
        for cursor in &mut self.0 {
            newest = newest.max(cursor.at_most(bound)?);
        }
        Ok(newest)
    }
}

impl Meeting {
    /// The next entry, if it is at `lowest` or above. Lists that do not meet are followed for [`PATIENCE`] steps at once.
    pub(in crate::ledger) fn next(&mut self, lowest: u64) -> io::Result<Step> {
        for _ in 0..PATIENCE {
            let Some(newest) = self.before.checked_sub(1).filter(|newest| *newest >= lowest) else {
                return Ok(Step::End);
            };
            let mut candidate = newest;
            for list in &mut self.lists {
                let Some(found) = list.at_most(candidate)? else {
                    self.before = 0;
                    return Ok(Step::End);
                };
                candidate = found;
            }
            if candidate == newest {
                self.before = candidate;
                return Ok(Step::Entry(candidate));
            }
            self.before = candidate + 1;
        }
        Ok(Step::Pause)
    }

    /// No entry from here on is looked for any more.
    pub(in crate::ledger) fn before(&self) -> u64 {
        self.before
    }

    /// How often something was read of the index.
    pub(in crate::ledger) fn reads(&self) -> u64 {
        self.lists.iter().flat_map(|any| &any.0).map(Cursor::reads).sum()
    }
}
