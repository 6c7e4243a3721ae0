//! Looks entries up by a filter, newest first and a bounded piece at a time.
//!
//! In: a [`Filter`], and where to begin. Out: the entries that it means, and nothing else. What the index does not know is read
//! entry by entry. A range of time becomes a range of entries by halving, since times in the log run backwards by little.

use std::ops::Range;

use crate::ledger::archive::{Archive, ArchiveError, RawEntry};
use crate::ledger::entry::UnixMillis;
use crate::ledger::filter::Filter;
use crate::ledger::index::{Meeting, Step};
use crate::ledger::{Entry, LedgerError};

/// By how much times in the log run backwards at most: far more than `clock_tolerance` is, but where it was raised.
const DISORDER_MS: u64 = 60_000;

/// A search that is under way.
#[derive(Debug)]
pub struct Search {
    filter: Filter,
    /// No entry below is meant.
    lowest: u64,
    /// What the index does not know, and is looked at first.
    unknown: Range<u64>,
    known: Meeting,
    examined: u64,
    over: bool,
}

impl Search {
    /// Begins with the newest entry below `before`.
    ///
    /// # Errors
    /// [`ArchiveError`] if the log cannot be read.
    pub fn new(archive: &Archive, filter: Filter, before: Option<u64>) -> Result<Self, ArchiveError> {
        let mut search = Self {
            lowest: 0,
            unknown: 0..0,
            known: archive.view().meeting(&[], 0),
            examined: 0,
            over: false,
            filter,
        };
        let end = before.unwrap_or(u64::MAX).min(archive.size());
        let late = search.filter.until.map(|UnixMillis(until)| UnixMillis(until.saturating_add(DISORDER_MS)));
        let highest = late.map_or(Ok(end), |late| search.bisect(archive, end, late))?;
        let early =
            search.filter.since.map(|UnixMillis(since)| UnixMillis(since.saturating_sub(DISORDER_MS)));
        search.lowest = early.map_or(Ok(0), |early| search.bisect(archive, highest, early))?;
        let known = archive.view().entries();
        search.unknown = known.max(search.lowest).min(highest)..highest;
        search.known = archive.view().meeting(&search.filter.words(), known.min(highest));
        Ok(search)
    }

    /// Looks at so many entries at most, and for no more of them than `wanted`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn step(
        &mut self,
        archive: &Archive,
        most: u64,
        wanted: usize,
    ) -> Result<Vec<RawEntry>, ArchiveError> {
        let (mut found, end) = (Vec::new(), self.examined.saturating_add(most));
        while !self.over && self.examined < end && found.len() < wanted {
            let Some(index) = self.candidate()? else { break };
            self.examined += 1;
            let leaf = archive.reader().leaf(index)?;
            if self.filter.matches(&decoded(archive, &leaf)?) {
                found.push(leaf);
            }
        }
        Ok(found)
    }

    /// Where to go on, unless there is nothing left.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let before = if self.unknown.is_empty() { self.known.before() } else { self.unknown.end };
        (!self.over && before > self.lowest).then_some(before)
    }

    /// How many entries were looked at.
    #[must_use]
    pub fn examined(&self) -> u64 {
        self.examined
    }

    /// How often something was read of the index.
    #[must_use]
    pub fn index_reads(&self) -> u64 {
        self.known.reads()
    }

    /// The next entry to look at; none for now, or none at all.
    fn candidate(&mut self) -> Result<Option<u64>, ArchiveError> {
        if let Some(newest) = self.unknown.next_back() {
            return Ok(Some(newest));
        }
        match self.known.next(self.lowest).map_err(ArchiveError::of_index)? {
            Step::Entry(index) => return Ok(Some(index)),
            Step::Pause => {}
            Step::End => self.over = true,
        }
        Ok(None)
    }

    /// How many of the first `end` entries are certainly older than `time`, or all but a few of them.
    fn bisect(&mut self, archive: &Archive, end: u64, time: UnixMillis) -> Result<u64, ArchiveError> {
        let (mut low, mut high) = (0, end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.no_outcome(archive, low..middle + 1)? {
                Some((index, of)) if of >= time => high = index,
                Some(_) | None => low = middle + 1,
            }
        }
        Ok(low)
    }

    /// The newest entry of `range` that is no outcome, and its time. An outcome's is its intent's, whatever the clock was set to
    /// meanwhile, and would lead far past entries around it.
    fn no_outcome(
        &mut self,
        archive: &Archive,
        range: Range<u64>,
    ) -> Result<Option<(u64, UnixMillis)>, ArchiveError> {
        for index in range.rev() {
            self.examined += 1;
            let entry = decoded(archive, &archive.reader().leaf(index)?)?;
            if !matches!(entry, Entry::Outcome { .. }) {
                return Ok(Some((index, entry.time())));
            }
        }
        Ok(None)
    }
}

pub(super) fn decoded(archive: &Archive, leaf: &RawEntry) -> Result<Entry, ArchiveError> {
    Entry::decode(&leaf.bytes).map_err(|source| {
        let path = archive.reader().path().to_owned();
        LedgerError::Entry { path, index: leaf.index, source }.into()
    })
}
