//! The right edge of a tree: all that is needed to append to it.
//!
//! In: leaf hashes, one after the other. Out: each tile as it becomes full, the tiles that are not full yet, and the root.
//! Promised: memory does not grow with the log: at most 255 hashes of each of eight levels.

use crate::ledger::merkle::{
    Hash, TILE_HEIGHT, TILE_WIDTH, Tiles, TreeError, empty_root, node_hash, rows, whole,
};

/// The right edge of a tree.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    /// By level, the hashes of the tile that is not full.
    levels: Vec<Vec<Hash>>,
}

/// A tile, full or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tile<'a> {
    /// Its level; that of leaf hashes is 0.
    pub level: u8,
    /// Its index in the level, from 0.
    pub n: u64,
    /// Its hashes: 1 to [`TILE_WIDTH`].
    pub hashes: &'a [Hash],
}

impl Frontier {
    /// That of a tree without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// That of the tree over the first `size` entries, from its tiles. Compare [`Self::root`] with what is known of it.
    ///
    /// # Errors
    /// [`TreeError`] if a tile cannot be had.
    pub fn restore<T: Tiles>(tiles: &T, size: u64) -> Result<Self, TreeError<T::Error>> {
        let mut levels = Vec::new();
        let mut hashes = size;
        for level in 0.. {
            if hashes == 0 {
                break;
            }
            let (n, width) = (hashes / u64::from(TILE_WIDTH), hashes % u64::from(TILE_WIDTH));
            let width = u16::try_from(width).unwrap_or(TILE_WIDTH);
            levels.push(if width == 0 { Vec::new() } else { whole(tiles, level, n, width)? });
            hashes = n;
        }
        Ok(Self { size, levels })
    }

    /// How many entries the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends an entry by its leaf hash; `full` has each tile that this fills, the one of leaf hashes first.
    ///
    /// # Errors
    /// That of `full`. The frontier is then of no more use.
    pub fn push<E>(&mut self, leaf: Hash, mut full: impl FnMut(Tile<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut hash = leaf;
        for level in 0.. {
            let n = tile_index(self.size, level);
            let Some(hashes) = self.levels.get_mut(usize::from(level)) else {
                self.levels.push(vec![hash]);
                break;
            };
            hashes.push(hash);
            if hashes.len() < usize::from(TILE_WIDTH) {
                break;
            }
            full(Tile { level, n, hashes })?;
            let rows = rows(std::mem::take(hashes));
            let Some(&[top]) = rows.last().map(Vec::as_slice) else { break };
            hash = top;
        }
        self.size += 1;
        Ok(())
    }

    /// The tiles that are not full, from the level of leaf hashes up.
    pub fn partial(&self) -> impl Iterator<Item = Tile<'_>> {
        (0..).zip(&self.levels).filter(|(_, hashes)| !hashes.is_empty()).map(|(level, hashes)| Tile {
            level,
            n: tile_index(self.size, level),
            hashes,
        })
    }

    /// The tree's root.
    #[must_use]
    pub fn root(&self) -> Hash {
        // A row of an odd number of hashes ends in one that has no sibling yet; the lowest of these is the rightmost.
        let rows = self.levels.iter().flat_map(|hashes| rows(hashes.clone()));
        let lonely = rows.filter(|row| row.len() % 2 == 1).filter_map(|row| row.last().copied());
        lonely.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }
}

/// The index of the tile at `level` that the entry at `index` is in, or below.
fn tile_index(index: u64, level: u8) -> u64 {
    index.checked_shr(TILE_HEIGHT * (u32::from(level) + 1)).unwrap_or(0)
}
