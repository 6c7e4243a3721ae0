//! What a transaction knows of callers: what each has spent, how it stands, how many of its refusals were only counted.
//!
//! In: rows as a store reads them. Out: the rows as the transaction has them so far, and those that are to be written: each is
//! read once and written once in a transaction, however many of its entries concern it. Nothing here does I/O.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use crate::ledger::budget::{Spent, Standing, Tally};
use crate::ledger::claim::Claim;

/// A caller and a key, by the names that the entries have.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Party {
    pub(super) caller: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// A row of one who is frozen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct FrozenRow {
    pub(super) party: Party,
    /// The log that has the freeze.
    pub(super) log: i32,
    /// The index of that entry.
    pub(super) freeze: u64,
}

/// Whose budget, and by which profile.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Account {
    pub(super) party: Party,
    pub(super) rule: String,
}

impl Party {
    /// Who claims something.
    pub(super) fn of(claim: &Claim) -> Self {
        Self { caller: claim.asked.caller.clone(), key: claim.asked.key.clone() }
    }
}

impl Account {
    /// What a claim is charged to.
    pub(super) fn of(claim: &Claim) -> Self {
        Self { party: Party::of(claim), rule: claim.rule.clone() }
    }
}

/// The rows that a transaction has read.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) spent: Cells<Account, Spent>,
    pub(super) standing: Cells<Party, Standing>,
    pub(super) tally: Cells<Vec<u8>, Tally>,
}

/// The rows of one kind.
#[derive(Debug)]
pub(super) struct Cells<K, T>(HashMap<K, Cell<T>>);

/// One row, and whether it is to be written.
#[derive(Clone, Copy, Debug)]
struct Cell<T> {
    value: T,
    changed: bool,
}

impl<K, T> Default for Cells<K, T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, T: Copy + Eq> Cells<K, T> {
    /// The row, if the transaction has read it or set it.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<T>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(|cell| cell.value)
    }

    /// The row is `value`, as it was read.
    pub(super) fn keep(&mut self, key: K, value: T) -> T {
        self.0.insert(key, Cell { value, changed: false });
        value
    }

    /// The row is to be `value`. One that is what it was need not be written.
    pub(super) fn change<Q>(&mut self, key: &Q, value: T)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        match self.0.get_mut(key) {
            Some(cell) => {
                cell.changed |= cell.value != value;
                cell.value = value;
            }
            None => drop(self.0.insert(key.to_owned(), Cell { value, changed: true })),
        }
    }

    /// Those that are to be written.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&K, &T)> {
        self.0.iter().filter(|(_, cell)| cell.changed).map(|(key, cell)| (key, &cell.value))
    }
}
