//! What entries are found by, of those that are in the log and not yet in the index's files.
//!
//! In: each entry's terms, as it is appended. Out: the entries that a claim leads to, and all of it in order, for the
//! files. What a transaction appends can be taken back until it is committed.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::ledger::index::term::{Family, Term};

/// That a hash leads to an entry.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Posting {
    pub(super) hash: u64,
    pub(super) index: u64,
}

/// The terms of a range of entries.
#[derive(Debug)]
pub(super) struct Waiting {
    entries: Range<u64>,
    claims: BTreeSet<Posting>,
    /// Not in order: nobody looks here.
    find: Vec<Posting>,
    fresh: Fresh,
}

/// What the transaction that is not committed has added.
#[derive(Debug, Default)]
struct Fresh {
    entries: u64,
    claims: Vec<Posting>,
    find: usize,
}

impl Waiting {
    /// For entries from `first` on.
    pub(super) fn new(first: u64) -> Self {
        Self { entries: first..first, claims: BTreeSet::new(), find: Vec::new(), fresh: Fresh::default() }
    }

    /// The next entry is found by `terms`.
    pub(super) fn append(&mut self, terms: &[Term]) {
        let index = self.entries.end;
        for term in terms {
            let posting = Posting { hash: term.hash, index };
            match term.family {
                Family::Claim => {
                    self.claims.insert(posting);
                    self.fresh.claims.push(posting);
                }
                Family::Find => {
                    self.find.push(posting);
                    self.fresh.find += 1;
                }
            }
        }
        self.entries.end += 1;
        self.fresh.entries += 1;
    }

    /// What was appended is in the log.
    pub(super) fn confirm(&mut self) {
        self.fresh.claims.clear();
        (self.fresh.entries, self.fresh.find) = (0, 0);
    }

    /// What was appended is not in the log.
    pub(super) fn take_back(&mut self) {
        for posting in self.fresh.claims.drain(..) {
            self.claims.remove(&posting);
        }
        self.find.truncate(self.find.len() - self.fresh.find);
        self.entries.end -= self.fresh.entries;
        (self.fresh.entries, self.fresh.find) = (0, 0);
    }

    /// Which entries.
    pub(super) fn entries(&self) -> &Range<u64> {
        &self.entries
    }

    /// How many entries, or as many as take as much memory as its terms do.
    pub(super) fn weight(&self) -> u64 {
        let terms = u64::try_from(self.find.len()).unwrap_or(u64::MAX);
        (self.entries.end - self.entries.start).max(terms / TERMS)
    }

    /// The entries that `hash` leads to, newest first.
    pub(super) fn newest_first(&self, hash: u64) -> impl Iterator<Item = u64> {
        let (first, last) = (Posting { hash, index: 0 }, Posting { hash, index: u64::MAX });
        self.claims.range(first..=last).rev().map(|posting| posting.index)
    }

    /// How many of the claims there are, and they in order.
    pub(super) fn claims(&self) -> (u64, impl Iterator<Item = Posting>) {
        (u64::try_from(self.claims.len()).unwrap_or(u64::MAX), self.claims.iter().copied())
    }

    /// The same of what people look for.
    pub(super) fn find(&self) -> (u64, impl Iterator<Item = Posting> + use<>) {
        let mut sorted = self.find.clone();
        sorted.sort_unstable();
        sorted.dedup();
        (u64::try_from(sorted.len()).unwrap_or(u64::MAX), sorted.into_iter())
    }
}

/// How many terms of [`Family::Find`] an entry has that is like most.
const TERMS: u64 = 8;
