//! The checkpoints that a log itself records: whether each is this log's, and has the root of the entries before it.
//!
//! In: leaf hashes and the texts of checkpoints, in order. Out: what is wrong with a text. Promised: an entry that was changed before a
//! checkpoint that the log has, and kept, is found without any checkpoint from elsewhere; memory is bounded. Since each checkpoint has as
//! many entries as the one before or more, the tree is kept as it was at the newest, with the hashes of what came since.

use std::collections::VecDeque;
use std::convert::Infallible;

use crate::ledger::audit::Wrong;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::merkle::{Frontier, Hash};

/// How many hashes are kept of entries that the next checkpoint may be of, or not: 8 MiB. A signer records one before so many come.
const KEPT: usize = 1 << 18;

/// The tree as it was, and what came since.
#[derive(Debug)]
pub(super) struct Recorded {
    /// The log's name, once it is known.
    origin: Option<String>,
    /// Of the entries that no later checkpoint ends within.
    tree: Frontier,
    since: VecDeque<Hash>,
    /// How many entries the newest checkpoint is of whose root is right.
    right: u64,
    /// After one that is wrong every later one is, and tells nothing.
    is_wrong: bool,
}

impl Recorded {
    pub(super) fn new(origin: Option<String>) -> Self {
        Self { origin, tree: Frontier::new(), since: VecDeque::new(), right: 0, is_wrong: false }
    }

    /// Takes the next entry's hash.
    pub(super) fn append(&mut self, leaf: Hash) {
        self.since.push_back(leaf);
        if self.since.len() > KEPT {
            self.grow();
        }
    }

    /// What is wrong with the checkpoint that entry `index` records, the one after those that were appended.
    pub(super) fn checkpoint(&mut self, index: u64, text: &str) -> Option<Wrong> {
        // What is none is no entry, either.
        let checkpoint = Checkpoint::parse(text).ok()?;
        let origin = self.origin.get_or_insert_with(|| checkpoint.origin().to_owned());
        if origin != checkpoint.origin() {
            return Some(Wrong::OtherLog { origin: checkpoint.origin().to_owned() });
        }
        let size = checkpoint.size();
        if size > index || size < self.tree.size() {
            return Some(Wrong::CheckpointSize { size, least: self.tree.size() });
        }
        while self.tree.size() < size {
            self.grow();
        }
        if self.is_wrong {
            return None;
        }
        let since = self.right;
        if self.tree.root() == *checkpoint.root() {
            self.right = size;
            return None;
        }
        self.is_wrong = true;
        Some(Wrong::RecordedRoot { size, since })
    }

    /// Lets the tree have one more entry.
    fn grow(&mut self) {
        if let Some(leaf) = self.since.pop_front() {
            let Ok(()) = self.tree.push(leaf, |_| Ok::<(), Infallible>(()));
        }
    }
}
