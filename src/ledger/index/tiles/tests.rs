//! Tiles, whether they are in memory, in their files, or were read again.
#![allow(clippy::unwrap_used, reason = "tests")]

use tempfile::TempDir;

use super::*;
use crate::ledger::entry::sha256;
use crate::ledger::merkle::Frontier;

fn leaf(n: u64) -> Hash {
    sha256(&[&n.to_be_bytes()])
}

fn leaves(range: std::ops::Range<u64>) -> Vec<Hash> {
    range.map(leaf).collect()
}

/// By the code that proofs are checked with.
fn subtree(start: u64, len: u64) -> Hash {
    let mut frontier = Frontier::new();
    for hash in leaves(start..start + len) {
        frontier.push(hash, |_| Ok::<_, ()>(())).unwrap();
    }
    frontier.root()
}

/// More than one full tile of level 1, and some.
const LEN: u64 = 256 * 256 + 300;

fn check(tiles: &TileFiles, len: u64) {
    for (n, width) in [(0, 256), (7, 256), (len / 256 - 1, 256), (len / 256, len % 256)] {
        let width = u16::try_from(width).unwrap();
        let hashes = tiles.tile(0, n, width).unwrap();
        assert_eq!(hashes, leaves(n * 256..n * 256 + u64::from(width)), "tile {n}");
    }
    let first = tiles.tile(1, 0, 256).unwrap();
    for (hash, n) in first.into_iter().zip(0..).step_by(85) {
        assert_eq!(hash, subtree(n * 256, 256), "{n}");
    }
    assert_eq!(tiles.tile(1, 1, 1).unwrap(), [subtree(65_536, 256)]);
    assert_eq!(tiles.tile(2, 0, 1).unwrap(), [subtree(0, 65_536)]);
    for (level, n, width) in [(0, len / 256, 256), (0, 1 << 20, 1), (1, 1, 2), (2, 0, 2), (3, 0, 1)] {
        tiles.tile(level, n, width).unwrap_err();
    }
}

#[test]
fn a_tile_is_the_same_in_memory_in_the_files_and_read_again() {
    let directory = TempDir::new().unwrap();
    let tiles = TileFiles::open(directory.path(), 0).unwrap();
    tiles.append(&leaves(0..LEN));
    check(&tiles, LEN);
    for written in [255, 256, 70 * 256 + 3, LEN] {
        tiles.write(written).unwrap();
        check(&tiles, LEN);
        tiles.forget(written);
        check(&tiles, LEN);
        let again = TileFiles::open(directory.path(), written).unwrap();
        assert_eq!(again.tile(0, LEN / 256, 1).is_ok(), written == LEN);
        again.append(&leaves(written..LEN));
        check(&again, LEN);
    }
}

#[test]
fn what_is_in_the_files_is_not_in_memory() {
    let directory = TempDir::new().unwrap();
    let tiles = TileFiles::open(directory.path(), 0).unwrap();
    tiles.append(&leaves(0..LEN));
    tiles.write(LEN).unwrap();
    tiles.forget(LEN);
    let held: Vec<_> = tiles.levels().iter().map(|level| level.hashes.len()).collect();
    assert_eq!(held, [44, 1, 1]);
}

#[test]
fn files_that_are_too_short_are_refused() {
    let directory = TempDir::new().unwrap();
    let tiles = TileFiles::open(directory.path(), 0).unwrap();
    tiles.append(&leaves(0..300));
    tiles.write(300).unwrap();
    assert!(TileFiles::open(directory.path(), 301).is_err());
    assert!(TileFiles::open(directory.path(), 300).is_ok());
}

#[test]
fn what_is_noted_is_in_the_file_before_it_is_written_and_ends_where_it_is_none() {
    let directory = TempDir::new().unwrap();
    let tiles = TileFiles::open(directory.path(), 0).unwrap();
    assert!(noted(directory.path(), 0).unwrap().is_empty());
    tiles.append(&leaves(0..300));
    tiles.note().unwrap();
    assert_eq!(noted(directory.path(), 0).unwrap(), leaves(0..300));
    assert_eq!(noted(directory.path(), 299).unwrap(), leaves(299..300));
    tiles.write(290).unwrap();
    tiles.forget(290);
    tiles.append(&leaves(300..310));
    tiles.note().unwrap();
    assert_eq!(noted(directory.path(), 290).unwrap(), leaves(290..310));
    assert!(noted(directory.path(), 400).unwrap().is_empty());
    // What was not noted is, with what comes after it: here as of a file that is not there any more.
    tiles.append(&leaves(310..320));
    tiles.write(320).unwrap();
    tiles.forget(320);
    tiles.append(&leaves(320..321));
    tiles.note().unwrap();
    let file = OpenOptions::new().write(true).open(path(directory.path(), 0)).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 321 * HASH);
    file.set_len(400 * HASH + 7).unwrap();
    assert_eq!(noted(directory.path(), 0).unwrap(), leaves(0..321));
}
