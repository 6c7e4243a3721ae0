//! What entries are found by, of those that are in the log and not yet in the index's files.
//!
//! In: each entry's terms, as it is appended. Out: the entries that a claim leads to, and all of it in order, for the
//! files. What a transaction appends can be taken back until it is committed. What people look for is kept in a list whose
//! beginning is all that a reader needs of it, so that nobody who reads holds up the writer.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

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
    claims: Claims,
    find: Option<Arc<Gathered>>,
    /// How many terms `find` has.
    terms: u64,
    fresh: Fresh,
}

/// What intents claim, and what became of them. Nearly each hash leads to one entry.
#[derive(Debug, Default)]
struct Claims {
    newest: HashMap<u64, u64, RandomState>,
    /// Those that a hash leads to as well.
    older: BTreeSet<Posting>,
}

impl Claims {
    /// The entry is the newest.
    fn push(&mut self, Posting { hash, index }: Posting) {
        if let Some(before) = self.newest.insert(hash, index).filter(|before| *before != index) {
            self.older.insert(Posting { hash, index: before });
        }
    }

    /// Takes the newest back.
    fn pop(&mut self, Posting { hash, index }: Posting) {
        if self.newest.get(&hash) != Some(&index) {
            // It was pushed twice.
            return;
        }
        let before = self.newest_older(hash).next();
        match before {
            Some(before) => {
                self.older.remove(&Posting { hash, index: before });
                self.newest.insert(hash, before);
            }
            None => drop(self.newest.remove(&hash)),
        }
    }

    /// The entries that `hash` leads to, newest first.
    fn newest_first(&self, hash: u64) -> impl Iterator<Item = u64> {
        let newest = self.newest.get(&hash).copied();
        newest.into_iter().chain(newest.into_iter().flat_map(move |_| self.newest_older(hash)))
    }

    fn newest_older(&self, hash: u64) -> impl Iterator<Item = u64> {
        let (first, last) = (Posting { hash, index: 0 }, Posting { hash, index: u64::MAX });
        self.older.range(first..=last).rev().map(|posting| posting.index)
    }

    /// All of them, in order.
    fn sorted(&self) -> Vec<Posting> {
        let newest = self.newest.iter().map(|(&hash, &index)| Posting { hash, index });
        let mut sorted: Vec<_> = newest.chain(self.older.iter().copied()).collect();
        sorted.sort_unstable();
        sorted
    }
}

/// What people look for, of one transaction, and of those before it. Not in order.
#[derive(Debug)]
pub(super) struct Gathered {
    postings: Vec<Posting>,
    before: Option<Arc<Gathered>>,
}

impl Gathered {
    /// The transactions', newest first.
    pub(super) fn all(newest: Option<&Self>) -> impl Iterator<Item = &[Posting]> {
        std::iter::successors(newest, |gathered| gathered.before.as_deref())
            .map(|gathered| &*gathered.postings)
    }
}

impl Drop for Gathered {
    /// One after the other: each would drop the one before it, thousands deep.
    fn drop(&mut self) {
        let mut before = self.before.take();
        while let Some(gathered) = before {
            before = Arc::into_inner(gathered).and_then(|mut gathered| gathered.before.take());
        }
    }
}

/// What the transaction that is not committed has added.
#[derive(Debug, Default)]
struct Fresh {
    entries: u64,
    claims: Vec<Posting>,
    find: Vec<Posting>,
}

impl Waiting {
    /// For entries from `first` on.
    pub(super) fn new(first: u64) -> Self {
        let (claims, fresh) = (Claims::default(), Fresh::default());
        Self { entries: first..first, claims, find: None, terms: 0, fresh }
    }

    /// The next entry is found by `terms`.
    pub(super) fn append(&mut self, terms: &[Term]) {
        let index = self.entries.end;
        for term in terms {
            let posting = Posting { hash: term.hash, index };
            match term.family {
                Family::Claim => {
                    self.claims.push(posting);
                    self.fresh.claims.push(posting);
                }
                Family::Find => self.fresh.find.push(posting),
            }
        }
        self.entries.end += 1;
        self.fresh.entries += 1;
    }

    /// As if one more entry had one term that people look for.
    #[cfg(test)]
    pub(super) fn append_posting(&mut self, posting: Posting) {
        self.fresh.find.push(posting);
    }

    /// What was appended is in the log.
    pub(super) fn confirm(&mut self) {
        self.fresh.claims.clear();
        self.fresh.entries = 0;
        let postings = std::mem::take(&mut self.fresh.find);
        if !postings.is_empty() {
            self.terms += u64::try_from(postings.len()).unwrap_or(u64::MAX);
            self.find = Some(Arc::new(Gathered { postings, before: self.find.take() }));
        }
    }

    /// What was appended is not in the log.
    pub(super) fn take_back(&mut self) {
        for posting in self.fresh.claims.drain(..).rev() {
            self.claims.pop(posting);
        }
        self.fresh.find.clear();
        self.entries.end -= self.fresh.entries;
        self.fresh.entries = 0;
    }

    /// How many entries were appended and are neither confirmed nor taken back.
    pub(super) fn fresh(&self) -> u64 {
        self.fresh.entries
    }

    /// Which entries.
    pub(super) fn entries(&self) -> &Range<u64> {
        &self.entries
    }

    /// How many entries, or as many as take as much memory as its terms do.
    pub(super) fn weight(&self) -> u64 {
        (self.entries.end - self.entries.start).max(self.terms / TERMS)
    }

    /// The entries that `hash` leads to, newest first.
    pub(super) fn newest_first(&self, hash: u64) -> impl Iterator<Item = u64> {
        self.claims.newest_first(hash)
    }

    /// The claims, in order.
    pub(super) fn claims(&self) -> Vec<Posting> {
        self.claims.sorted()
    }

    /// What people look for, as it was appended.
    pub(super) fn gathered(&self) -> Option<Arc<Gathered>> {
        self.find.clone()
    }

    /// What people look for, in order.
    pub(super) fn find(&self) -> Vec<Posting> {
        let mut sorted: Vec<_> = Gathered::all(self.find.as_deref()).flatten().copied().collect();
        sorted.sort_unstable();
        sorted.dedup();
        sorted
    }
}

/// How many terms of [`Family::Find`] an entry has that is like most.
const TERMS: u64 = 8;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_claim_that_is_taken_back_leaves_those_before_it() {
        let (mut waiting, term) = (Waiting::new(10), Term { family: Family::Claim, hash: 7 });
        let found = |waiting: &Waiting| waiting.newest_first(7).collect::<Vec<_>>();
        waiting.append(&[term]);
        waiting.append(&[]);
        waiting.append(&[term]);
        waiting.confirm();
        for _ in 0..2 {
            // The one says so twice.
            waiting.append(&[term, term]);
            waiting.append(&[term]);
            assert_eq!(found(&waiting), [14, 13, 12, 10]);
            waiting.take_back();
            assert_eq!(found(&waiting), [12, 10]);
        }
        let sorted = [10, 12].map(|index| Posting { hash: 7, index });
        assert_eq!((waiting.claims().as_slice(), waiting.entries()), (&sorted[..], &(10..13)));
    }

    #[test]
    fn a_claim_that_none_had_before_is_gone_when_it_is_taken_back() {
        let (mut waiting, term) = (Waiting::new(0), Term { family: Family::Claim, hash: 7 });
        waiting.append(&[term]);
        waiting.take_back();
        assert_eq!((waiting.newest_first(7).next(), waiting.claims().len()), (None, 0));
    }
}
