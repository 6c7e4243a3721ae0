//! Which entries of a log that is served are not in the tree that was signed, once it is known that some are not.
//!
//! In: the log, and a checkpoint that its entries do not have the root of. Out: each entry that the signer cannot prove to be in the
//! checkpoint's tree. Promised: a tile of entries is in memory at a time; a tile that is right costs one proof, and one that is not a proof
//! for each entry. Nothing rests on the signer's word, as a proof leads to the root that was signed, or is none.

use std::convert::Infallible;

use crate::ledger::audit::{Findings, Wrong};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::merkle::{Frontier, Hash, TILE_WIDTH, check_inclusion};
use crate::ledger::served::CallFailed;
use crate::ledger::{Served, leaf_hash};

/// How many entries are named before the search ends: of another log they would be all.
const NAMED: u64 = 256;

/// Adds the entries to `findings`. That some differ is known already, so that a signer that does not answer ends it, and nothing else.
pub(super) fn name(log: &Served, signed: &Checkpoint, findings: &mut Findings) {
    let (size, width, mut named) = (signed.size(), u64::from(TILE_WIDTH), 0);
    for n in 0..size.div_ceil(width) {
        let Some(differing) = tile(log, signed, n) else { return };
        for index in differing {
            findings.add(index, Wrong::Unproven { size });
            named += 1;
        }
        if named >= NAMED {
            return;
        }
    }
}

/// The entries of tile `n` that are not proven to be in the tree.
fn tile(log: &Served, signed: &Checkpoint, n: u64) -> Option<Vec<u64>> {
    let first = n * u64::from(TILE_WIDTH);
    let range = first..signed.size().min(first + u64::from(TILE_WIDTH));
    let leaves: Result<Vec<_>, _> = log.leaves(range.clone()).collect();
    let hashes: Vec<Hash> = leaves.ok()?.iter().map(|(_, leaf)| leaf_hash(leaf)).collect();
    if is_proven(log, signed, n, &hashes).ok()? {
        return Some(Vec::new());
    }
    let mut differing = Vec::new();
    for (index, hash) in range.zip(&hashes) {
        let proof = log.signer.inclusion(index, signed.size()).ok()?;
        let check = |proof: Vec<Hash>| check_inclusion(hash, index, signed.size(), signed.root(), &proof);
        if proof.is_none_or(|proof| check(proof).is_err()) {
            differing.push(index);
        }
    }
    Some(differing)
}

/// Whether tile `n` is full, and in the tree, by the proof of its first entry: what that has above the tile proves the tile's own root to be
/// among those of all tiles, which are a tree as the entries are.
fn is_proven(log: &Served, signed: &Checkpoint, n: u64, hashes: &[Hash]) -> Result<bool, CallFailed> {
    let width = u64::from(TILE_WIDTH);
    if hashes.len() < usize::from(TILE_WIDTH) {
        return Ok(false);
    }
    let Some(proof) = log.signer.inclusion(n * width, signed.size())? else { return Ok(false) };
    let height = usize::try_from(TILE_WIDTH.ilog2()).unwrap_or(usize::MAX);
    let Some(above) = proof.get(height..) else { return Ok(false) };
    let mut tile = Frontier::new();
    for hash in hashes {
        let Ok(()) = tile.push(*hash, |_| Ok::<_, Infallible>(()));
    }
    Ok(check_inclusion(&tile.root(), n, signed.size().div_ceil(width), signed.root(), above).is_ok())
}
