//! Whether the entries have the tree that is known: checkpoints' roots, and the tiles of an export or of the index.

use std::collections::BTreeSet;

use crate::ledger::RecordedTiles;
use crate::ledger::audit::{AuditError, Findings, Rooted, Wrong};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::leaf_hash;
use crate::ledger::merkle::{Frontier, Hash, TILE_WIDTH, Tile, Tiles};
use crate::ledger::tiles::{Directory, Resource, TilesError};

/// Hashes that somebody wrote down before.
#[derive(Debug)]
pub enum Known {
    /// In an export.
    Export(Directory),
    /// In the index beside the ledger's file.
    Index(RecordedTiles),
}

/// What the log is compared with.
#[derive(Debug)]
pub struct Compared {
    /// Whose hashes.
    pub known: Known,
    /// How many entries of it.
    pub entries: u64,
}

/// The tree as it grows, and what it is compared with.
#[derive(Debug)]
pub(super) struct TreeCheck {
    frontier: Frontier,
    /// By size, the largest first.
    ahead: Vec<Checkpoint>,
    rooted: Vec<Rooted>,
    comparisons: Vec<Comparison>,
    findings: Findings,
}

/// Hashes to compare with, and the entries that have others.
#[derive(Debug)]
struct Comparison {
    with: Compared,
    different: BTreeSet<u64>,
}

impl TreeCheck {
    pub(super) fn new(mut checkpoints: Vec<Checkpoint>, compare: Vec<Compared>) -> Self {
        checkpoints.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.size()));
        let comparisons = compare.into_iter().map(|with| Comparison { with, different: BTreeSet::new() });
        let mut check = Self {
            frontier: Frontier::new(),
            ahead: checkpoints,
            rooted: Vec::new(),
            comparisons: comparisons.collect(),
            findings: Findings::default(),
        };
        check.reached();
        check
    }

    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(super) fn into_rooted(self) -> (Hash, Vec<Rooted>) {
        (self.frontier.root(), self.rooted)
    }

    /// Takes the next entry; its hash.
    pub(super) fn append(&mut self, leaf: &[u8]) -> Result<Hash, AuditError> {
        let Self { frontier, comparisons, findings, .. } = self;
        let hash = leaf_hash(leaf);
        frontier.push(hash, |tile| {
            // A tile that is not full there is compared below, when all that it has is here.
            let end = (tile.n + 1).saturating_mul(TILE_WIDTH.into()).saturating_mul(subtree(tile.level));
            let full = comparisons.iter_mut().filter(|comparison| end <= comparison.with.entries);
            full.into_iter().try_for_each(|comparison| comparison.tile(tile, findings))
        })?;
        let size = frontier.size();
        for comparison in comparisons.iter_mut().filter(|comparison| comparison.with.entries == size) {
            frontier.partial().try_for_each(|tile| comparison.tile(tile, findings))?;
        }
        self.reached();
        Ok(hash)
    }

    /// Compares what is left, where the entries end. There were to be `len`.
    pub(super) fn finish(&mut self, len: u64) -> Result<Findings, AuditError> {
        let Self { frontier, comparisons, findings, .. } = self;
        let size = frontier.size();
        for comparison in comparisons.iter_mut().filter(|comparison| comparison.with.entries > size) {
            frontier.partial().try_for_each(|tile| comparison.tile(tile, findings))?;
            if size == len {
                findings.add(size, Wrong::Removed { len, had: comparison.with.entries });
            }
        }
        for checkpoint in self.ahead.drain(..).rev() {
            // Where the reading ended too early, nobody knows what the log has there.
            self.rooted.push(Rooted { size: checkpoint.size(), holds: (size == len).then_some(false) });
            if size == len {
                findings.add(size, Wrong::Removed { len, had: checkpoint.size() });
            }
        }
        Ok(std::mem::take(findings))
    }

    /// Compares the root with those of checkpoints of this size.
    fn reached(&mut self) {
        let size = self.frontier.size();
        while let Some(checkpoint) = self.ahead.pop_if(|checkpoint| checkpoint.size() == size) {
            let holds = *checkpoint.root() == self.frontier.root();
            self.rooted.push(Rooted { size, holds: Some(holds) });
            if !holds {
                self.findings.add(size.saturating_sub(1), Wrong::OtherRoot { size });
            }
        }
    }
}

impl Comparison {
    /// Compares a tile with the one that is known.
    fn tile(&mut self, tile: Tile<'_>, findings: &mut Findings) -> Result<(), AuditError> {
        let Tile { level, n, hashes } = tile;
        let (first, covers) = (n.saturating_mul(TILE_WIDTH.into()), subtree(level));
        let known = usize::try_from(self.with.known.hashes(level).saturating_sub(first));
        let hashes = known.ok().and_then(|known| hashes.get(..known)).unwrap_or(hashes);
        if hashes.is_empty() {
            return Ok(());
        }
        let width = u16::try_from(hashes.len()).unwrap_or(TILE_WIDTH);
        let file = || self.with.known.file(level, n, width);
        let theirs = match self.with.known.tile(level, n, width) {
            Ok(theirs) => theirs,
            Err(TilesError::Missing { .. }) => {
                findings.add(first.saturating_mul(covers), Wrong::NoTile { file: file() });
                return Ok(());
            }
            Err(TilesError::Length { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        for (at, ours) in (first..).zip(hashes) {
            let theirs = usize::try_from(at - first).ok().and_then(|at| theirs.get(at));
            let entry = at.saturating_mul(covers);
            if theirs == Some(ours)
                || self.different.range(entry..entry.saturating_add(covers)).next().is_some()
            {
                continue;
            }
            self.different.insert(entry);
            let file = file();
            findings.add(
                entry,
                if level == 0 { Wrong::OtherHash { file } } else { Wrong::OtherSubtree { file } },
            );
        }
        Ok(())
    }
}

impl Known {
    /// How many hashes there may be of a level.
    fn hashes(&self, level: u8) -> u64 {
        match self {
            Self::Export(_) => u64::MAX,
            Self::Index(index) => index.hashes(level),
        }
    }

    /// Where the hashes of a tile are.
    fn file(&self, level: u8, n: u64, width: u16) -> String {
        match self {
            Self::Export(_) => Resource::Tile { level, n }.path(width),
            Self::Index(index) => index.file(level).display().to_string(),
        }
    }
}

impl Tiles for Known {
    type Error = TilesError;

    fn tile(&self, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, TilesError> {
        match self {
            Self::Export(directory) => directory.tile(level, n, width),
            Self::Index(index) => index.tile(level, n, width),
        }
    }
}

/// How many entries one hash of this level is of.
fn subtree(level: u8) -> u64 {
    1_u64.checked_shl(8 * u32::from(level)).unwrap_or(u64::MAX)
}
