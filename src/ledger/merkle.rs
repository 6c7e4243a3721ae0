//! The Merkle tree over a log's entries: RFC 6962 §2.1 with SHA-256, over the tiles of C2SP tlog-tiles (height 8).
//!
//! In: tiles, wherever they are kept, and a size. Out: the root, and proofs that an entry is in the tree or that a tree
//! continues a smaller one. Promised: hashes are read from tiles and nowhere else, so that reading costs a few tiles however
//! large the log; every proof that is made passes the checks in [`check_inclusion`] and [`check_consistency`], which take
//! proofs from anybody. Not done here: reading entries; trusting a root, which is for its signature to say.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use aws_lc_rs::digest::{SHA256, digest};

mod frontier;
mod proof;

pub use frontier::{Frontier, Tile};
pub use proof::{ProofError, check_consistency, check_inclusion};

/// A SHA-256 hash: of an entry ([`crate::ledger::leaf_hash`]), or of a subtree of them.
pub type Hash = [u8; 32];

/// How many hashes a full tile has.
pub const TILE_WIDTH: u16 = 256;

/// How many levels of a tree one tile spans: 2^8 = [`TILE_WIDTH`].
const TILE_HEIGHT: u32 = 8;

/// Where a log's tiles are kept.
///
/// Hash `i` of tile `n` at level `l` is that of the complete subtree over the entries from `(256 n + i) 256^l` up to, but
/// not with, `(256 n + i + 1) 256^l`.
pub trait Tiles {
    /// Why a tile cannot be had.
    type Error;

    /// The first `width` hashes of tile `n` at `level`; `width` is 1 to [`TILE_WIDTH`].
    ///
    /// # Errors
    /// The tile cannot be read, or has fewer hashes.
    fn tile(&self, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, Self::Error>;
}

/// Why there is no root or proof.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError<E> {
    /// A tile cannot be had.
    #[error(transparent)]
    Tiles(E),
    /// Whoever keeps the tiles gave another number of hashes than it was asked for.
    #[error("tile {n} of level {level} has {found} hashes where {width} were asked for; make the tiles anew")]
    TileWidth {
        /// The tile's level.
        level: u8,
        /// Its index in the level.
        n: u64,
        /// How many were asked for.
        width: u16,
        /// How many there are.
        found: usize,
    },
    /// An entry that is not in the tree has no proof that it is.
    #[error("a tree of {size} entries has no entry {index}")]
    NoSuchEntry {
        /// The entry's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// A tree continues smaller ones only.
    #[error("a tree of {size} entries does not continue one of {old}")]
    NoSuchSize {
        /// The size of the tree that was to be the smaller one.
        old: u64,
        /// The tree's size.
        size: u64,
    },
}

/// The tree over the first so many entries of a log.
///
/// It keeps each tile that it read, with all hashes inside: make a new one when you go on to other entries.
#[derive(Debug)]
pub struct Tree<'a, T> {
    tiles: &'a T,
    size: u64,
    read: BTreeMap<(u8, u64), Rows>,
}

/// What is inside of a tile: row `r` has the hashes of its complete subtrees of height `r`. Row 0 is the tile itself.
type Rows = Vec<Vec<Hash>>;

impl<'a, T: Tiles> Tree<'a, T> {
    /// The tree over the entries before `size`.
    pub fn new(tiles: &'a T, size: u64) -> Self {
        Self { tiles, size, read: BTreeMap::new() }
    }

    /// Its root; SHA-256 of nothing if the tree has no entries.
    ///
    /// # Errors
    /// [`TreeError`] if a tile cannot be had.
    pub fn root(&mut self) -> Result<Hash, TreeError<T::Error>> {
        self.range(0, self.size)
    }

    /// The proof that the entry at `index` is in it (RFC 6962 §2.1.1): hashes from the entry's sibling up.
    ///
    /// # Errors
    /// [`TreeError`] if there is no such entry, or a tile cannot be had.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, TreeError<T::Error>> {
        if index >= self.size {
            return Err(TreeError::NoSuchEntry { index, size: self.size });
        }
        let mut path = Vec::new();
        let (mut start, mut end) = (0, self.size);
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.range(middle, end)?);
                end = middle;
            } else {
                path.push(self.range(start, middle)?);
                start = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// The proof that it continues the tree over the first `old` entries (RFC 6962 §2.1.2). Empty if that has no entries, or
    /// all of them.
    ///
    /// # Errors
    /// [`TreeError`] if `old` is above the size, or a tile cannot be had.
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, TreeError<T::Error>> {
        if old > self.size {
            return Err(TreeError::NoSuchSize { old, size: self.size });
        }
        let mut proof = Vec::new();
        if old == 0 {
            return Ok(proof);
        }
        let (mut start, mut end) = (0, self.size);
        while end != old {
            let middle = start + split(end - start);
            if old <= middle {
                proof.push(self.range(middle, end)?);
                end = middle;
            } else {
                proof.push(self.range(start, middle)?);
                start = middle;
            }
        }
        if start > 0 {
            // Where nothing is to the left, this is the old tree itself, whose root the checker has.
            proof.push(self.range(start, end)?);
        }
        proof.reverse();
        Ok(proof)
    }

    /// The hash over the entries from `start` to `end`. `start` is a multiple of every power of two up to their number.
    fn range(&mut self, start: u64, end: u64) -> Result<Hash, TreeError<T::Error>> {
        let mut complete = Vec::new();
        let mut at = start;
        while at < end {
            let height = (end - at).ilog2();
            complete.push(self.subtree(height, at >> height)?);
            at += 1 << height;
        }
        Ok(bag(complete).unwrap_or_else(empty_root))
    }

    /// The hash of the `nth` complete subtree of this height.
    fn subtree(&mut self, height: u32, nth: u64) -> Result<Hash, TreeError<T::Error>> {
        let (tiles, inside) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let level = u8::try_from(tiles).unwrap_or(u8::MAX);
        let up = TILE_HEIGHT - inside;
        let (n, offset) = (nth >> up, nth & ((1 << up) - 1));
        let width = self.width(level, n);
        let rows = match self.read.entry((level, n)) {
            Entry::Occupied(rows) => rows.into_mut(),
            Entry::Vacant(place) => place.insert(rows(whole(self.tiles, level, n, width)?)),
        };
        let row = usize::try_from(inside).ok().and_then(|inside| rows.get(inside));
        let hash = usize::try_from(offset).ok().and_then(|offset| row?.get(offset));
        hash.copied().ok_or(TreeError::TileWidth { level, n, width, found: 0 })
    }

    /// How many hashes of a tile are of complete subtrees of this tree.
    fn width(&self, level: u8, n: u64) -> u16 {
        let hashes = self.size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0);
        let before = n.saturating_mul(TILE_WIDTH.into());
        u16::try_from(hashes.saturating_sub(before)).map_or(TILE_WIDTH, |width| width.min(TILE_WIDTH))
    }
}

/// The hash of a node with these two below it, RFC 6962 §2.1: SHA-256(0x01 || left || right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut node = [0x01; 65];
    let [_, children @ ..] = &mut node;
    let (first, second) = children.split_at_mut(left.len());
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    sha256_of(&node)
}

/// The root of a tree without entries.
#[must_use]
pub fn empty_root() -> Hash {
    sha256_of(&[])
}

/// All at once, which is cheaper for so few bytes than a context.
fn sha256_of(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The largest power of two below `entries`, which are at least two.
fn split(entries: u64) -> u64 {
    1 << (entries - 1).ilog2()
}

/// The hash over neighbouring subtrees that become smaller from left to right, each less than the one before.
fn bag(subtrees: Vec<Hash>) -> Option<Hash> {
    subtrees.into_iter().rev().reduce(|right, left| node_hash(&left, &right))
}

/// A tile, of exactly this width.
fn whole<T: Tiles>(tiles: &T, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, TreeError<T::Error>> {
    let hashes = tiles.tile(level, n, width).map_err(TreeError::Tiles)?;
    if hashes.len() == usize::from(width) {
        Ok(hashes)
    } else {
        Err(TreeError::TileWidth { level, n, width, found: hashes.len() })
    }
}

/// All rows above a tile's hashes.
fn rows(hashes: Vec<Hash>) -> Rows {
    let mut rows = vec![hashes];
    while let Some(row) = rows.last().filter(|row| row.len() > 1) {
        rows.push(row.chunks_exact(2).filter_map(pair).collect());
    }
    rows
}

fn pair(hashes: &[Hash]) -> Option<Hash> {
    match hashes {
        [left, right] => Some(node_hash(left, right)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
