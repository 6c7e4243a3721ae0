//! A log as it is at one moment, for those who read it: its entries as they are hashed, what finds them, and proofs of them.
//!
//! In: a file, of a signer that runs or of one that does not, and what an index knows of it. Out: entries, and proofs that
//! have been checked against them. Promised: nothing is written, and the writer is not held up.

use std::io;
use std::ops::Range;

use crate::ledger::index::{TileFiles, View};
use crate::ledger::merkle::{self, Hash, ProofError, Tree, TreeError};
use crate::ledger::{LedgerError, Reader, leaf_hash};

/// An entry as it is stored and hashed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RawEntry {
    /// Where, from 0.
    pub index: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// How many entries are wanted at once. At least one is given, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// So many at most.
    pub entries: u64,
    /// No more once there are so many bytes.
    pub bytes: usize,
}

/// A log that is open for reading.
#[derive(Debug)]
pub struct Archive {
    reader: Reader,
    view: View,
    size: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The log cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The log's index cannot be read.
    #[error("the ledger's index cannot be read; check the health of its disk")]
    Index(#[source] io::Error),
    /// A run of the index is not what was written, or its disk cannot read it any more.
    #[error(
        "the ledger's index is damaged, and finds nothing: restart its signer, which makes it anew; or stop it and remove the index"
    )]
    Damaged(#[source] io::Error),
    /// The index is another log's, or the log was changed.
    #[error(
        "the ledger's index does not know entry {index} as the log has it: {source}; `ledger verify` the log, and remove its index"
    )]
    Disagree {
        /// Which entry, or the last of those that do.
        index: u64,
        /// How.
        source: ProofError,
    },
    /// Nothing is known of entries that are not there.
    #[error("the log has {size} entries, and none with index {index}; it may have one later")]
    NoSuchEntry {
        /// What was asked for.
        index: u64,
        /// How many there are.
        size: u64,
    },
    /// The same, of sizes.
    #[error("a size of {asked} was asked for, which is not within 0 and {size}")]
    NoSuchSize {
        /// What was asked for.
        asked: u64,
        /// How many there are, or how many the later tree has.
        size: u64,
    },
    /// The signer is shutting down.
    #[error("the ledger is closed; this signer is shutting down")]
    Closed,
}

/// That an entry is in a tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inclusion {
    /// The entry's index.
    pub index: u64,
    /// Its hash.
    pub leaf_hash: Hash,
    /// How many entries the tree has.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// From the entry's sibling up.
    pub hashes: Vec<Hash>,
}

/// That a tree continues another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Consistency {
    /// The earlier tree: its size and root.
    pub old: (u64, Hash),
    /// The later one.
    pub new: (u64, Hash),
    /// The proof.
    pub hashes: Vec<Hash>,
}

impl ArchiveError {
    /// What an index that cannot be read means.
    pub(super) fn of_index(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::InvalidData { Self::Damaged(source) } else { Self::Index(source) }
    }
}

impl Archive {
    /// The log that `reader` reads, and its index. If that is of no use, the log is read instead; why, is told.
    ///
    /// # Errors
    /// [`ArchiveError`] if the log cannot be read.
    pub fn open(reader: Reader) -> Result<(Self, Option<String>), ArchiveError> {
        let read = View::read(reader.path(), reader.origin());
        // After the index: then the log has what that knows, if it is its log.
        let size = reader.len()?;
        let (view, unusable) = match read {
            Ok(view) if view.entries() <= size => (view, None),
            Ok(_) => (View::empty(), Some("it knows more entries than the log has".to_owned())),
            Err(why) => (View::empty(), Some(why)),
        };
        Ok((Self { reader, view, size }, unusable))
    }

    /// The log that `reader` reads, as the signer that writes it knows it.
    pub(super) fn live(reader: Reader, view: View) -> Self {
        let size = view.entries();
        Self { reader, view, size }
    }

    pub(super) fn into_reader(self) -> Reader {
        self.reader
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// What reads the entries.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// How many entries there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The entries of `range`, as far as there are any, up to a page of them.
    ///
    /// # Errors
    /// [`ArchiveError`] if the log cannot be read, or lacks one of them.
    pub fn entries(&self, range: Range<u64>, page: Page) -> Result<Vec<RawEntry>, ArchiveError> {
        Ok(self.reader.page(range.start..range.end.min(self.size), page)?)
    }

    /// The root over the first `size` entries.
    ///
    /// # Errors
    /// [`ArchiveError`] if there are not so many, or the index cannot be read.
    pub fn root(&self, size: u64) -> Result<Hash, ArchiveError> {
        self.tree(size)?.root().map_err(failed)
    }

    /// The proof that the entry at `index` is among the first `size`. It has been checked.
    ///
    /// # Errors
    /// [`ArchiveError`] if there is none, or log and index disagree.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Inclusion, ArchiveError> {
        let mut tree = self.tree(size)?;
        if index >= size {
            return Err(ArchiveError::NoSuchEntry { index, size });
        }
        let leaf_hash = leaf_hash(&self.reader.leaf(index)?.bytes);
        let (root, hashes) = (tree.root().map_err(failed)?, tree.inclusion(index).map_err(failed)?);
        merkle::check_inclusion(&leaf_hash, index, size, &root, &hashes)
            .map_err(|source| ArchiveError::Disagree { index, source })?;
        Ok(Inclusion { index, leaf_hash, size, root, hashes })
    }

    /// The proof that the first `new` entries begin with the first `old`. It has been checked.
    ///
    /// # Errors
    /// As [`Self::inclusion`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Consistency, ArchiveError> {
        let mut tree = self.tree(new)?;
        if old > new {
            return Err(ArchiveError::NoSuchSize { asked: old, size: new });
        }
        let (old, new) = ((old, self.root(old)?), (new, tree.root().map_err(failed)?));
        let hashes = tree.consistency(old.0).map_err(failed)?;
        merkle::check_consistency((old.0, &old.1), (new.0, &new.1), &hashes)
            .map_err(|source| ArchiveError::Disagree { index: old.0.saturating_sub(1), source })?;
        Ok(Consistency { old, new, hashes })
    }

    fn tree(&self, size: u64) -> Result<Tree<'_, TileFiles>, ArchiveError> {
        if size > self.size {
            return Err(ArchiveError::NoSuchSize { asked: size, size: self.size });
        }
        self.hash_unknown()?;
        Ok(Tree::new(self.view.tiles(), size))
    }

    /// The tiles learn of the entries that the index's files do not know yet.
    fn hash_unknown(&self) -> Result<(), ArchiveError> {
        let page = Page { entries: 1024, bytes: 1 << 20 };
        loop {
            let known = self.view.tiles().entries();
            let leaves = self.entries(known..self.size, page)?;
            if leaves.is_empty() {
                return Ok(());
            }
            let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(&leaf.bytes)).collect();
            self.view.tiles().append(&hashes);
        }
    }
}

fn failed(error: TreeError<io::Error>) -> ArchiveError {
    match error {
        TreeError::Tiles(source) => ArchiveError::Index(source),
        TreeError::NoSuchEntry { index, size } => ArchiveError::NoSuchEntry { index, size },
        TreeError::NoSuchSize { old, size } => ArchiveError::NoSuchSize { asked: old, size },
        other @ TreeError::TileWidth { .. } => ArchiveError::Index(io::Error::other(other.to_string())),
    }
}
