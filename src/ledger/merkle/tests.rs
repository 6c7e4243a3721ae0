#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::ledger::leaf_hash;

/// RFC 6962 §2.1 read aloud: recursive, with no tiles.
struct Naive {
    /// These entries have leaf hashes of their own; the others all have the same, so that large trees are quickly hashed.
    special: Range<u64>,
    known: RefCell<HashMap<(u64, u64), Hash>>,
    alike: RefCell<HashMap<u64, Hash>>,
}

impl Naive {
    fn new(special: Range<u64>) -> Self {
        Self { special, known: RefCell::default(), alike: RefCell::default() }
    }

    fn leaf(&self, index: u64) -> Hash {
        if self.special.contains(&index) {
            leaf_hash(&index.to_be_bytes())
        } else {
            leaf_hash(b"like the others")
        }
    }

    /// MTH(D[start:end])
    fn mth(&self, start: u64, end: u64) -> Hash {
        let alike = end <= self.special.start || start >= self.special.end;
        let known = if alike {
            self.alike.borrow().get(&(end - start)).copied()
        } else {
            self.known.borrow().get(&(start, end)).copied()
        };
        if let Some(hash) = known {
            return hash;
        }
        let hash = match end - start {
            0 => empty_root(),
            1 => self.leaf(start),
            n => {
                let k = (0..64).map(|bit| 1 << bit).filter(|k| *k < n).max().unwrap();
                node_hash(&self.mth(start, start + k), &self.mth(start + k, end))
            }
        };
        if alike {
            self.alike.borrow_mut().insert(end - start, hash);
        } else {
            self.known.borrow_mut().insert((start, end), hash);
        }
        hash
    }

    /// PATH(m, D[start:end]), and on which side of the entry each hash is.
    fn path(&self, m: u64, start: u64, end: u64) -> (Vec<Hash>, String) {
        let n = end - start;
        if n == 1 {
            return (Vec::new(), String::new());
        }
        let k = (0..64).map(|bit| 1 << bit).filter(|k| *k < n).max().unwrap();
        let (below, sibling, side) = if m < k {
            (self.path(m, start, start + k), self.mth(start + k, end), "r")
        } else {
            (self.path(m - k, start + k, end), self.mth(start, start + k), "l")
        };
        ([below.0, vec![sibling]].concat(), below.1 + side)
    }

    /// SUBPROOF(m, D[start:end], b), and on which side each hash is.
    fn subproof(&self, m: u64, start: u64, end: u64, b: bool) -> (Vec<Hash>, String) {
        let n = end - start;
        if m == n {
            return if b { (Vec::new(), "=".into()) } else { (vec![self.mth(start, end)], "+".into()) };
        }
        let k = (0..64).map(|bit| 1 << bit).filter(|k| *k < n).max().unwrap();
        let (below, other, side) = if m <= k {
            (self.subproof(m, start, start + k, b), self.mth(start + k, end), "r")
        } else {
            (self.subproof(m - k, start + k, end, false), self.mth(start, start + k), "l")
        };
        ([below.0, vec![other]].concat(), below.1 + side)
    }

    fn consistency(&self, m: u64, n: u64) -> (Vec<Hash>, String) {
        if m == 0 { (Vec::new(), "0".into()) } else { self.subproof(m, 0, n, true) }
    }
}

impl Tiles for Naive {
    type Error = Infallible;

    fn tile(&self, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, Infallible> {
        let height = 8 * u32::from(level);
        let hash = |i: u64| self.mth((256 * n + i) << height, (256 * n + i + 1) << height);
        Ok((0..u64::from(width)).map(hash).collect())
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The entries of Certificate Transparency's public test vectors, and the root after each.
const CT: [(&str, &str); 8] = [
    ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    ("606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
];

struct OneTile(Vec<Hash>);

impl Tiles for OneTile {
    type Error = Infallible;

    fn tile(&self, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, Infallible> {
        assert_eq!((level, n), (0, 0));
        Ok(self.0[..usize::from(width)].to_vec())
    }
}

#[test]
fn agrees_with_the_public_vectors_of_certificate_transparency() {
    assert_eq!(
        empty_root().as_slice(),
        unhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    );
    let tile = OneTile(CT.iter().map(|(entry, _)| leaf_hash(&unhex(entry))).collect());
    let mut frontier = Frontier::new();
    for (size, (entry, root)) in (1..).zip(CT) {
        assert_eq!(Tree::new(&tile, size).root().unwrap().as_slice(), unhex(root));
        frontier
            .push(leaf_hash(&unhex(entry)), |tile| -> Result<(), ()> { panic!("full: {tile:?}") })
            .unwrap();
        assert_eq!(frontier.root().as_slice(), unhex(root));
    }
    let path = Tree::new(&tile, 8).inclusion(5).unwrap();
    let expected = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(path.concat(), expected.map(unhex).concat());
    let proof = Tree::new(&tile, 7).consistency(6).unwrap();
    let expected = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(proof.concat(), expected.map(unhex).concat());
}

#[test]
fn every_proof_in_logs_of_up_to_600_entries_is_that_of_the_rfc_and_passes() {
    let log = Naive::new(0..600);
    // Every size around the first tile's edge, then samples.
    for size in (0..=270).chain(511..=514).chain((271..=600).step_by(13)) {
        let mut tree = Tree::new(&log, size);
        let root = log.mth(0, size);
        assert_eq!(tree.root().unwrap(), root);
        for index in 0..size {
            let path = tree.inclusion(index).unwrap();
            assert_eq!(path, log.path(index, 0, size).0, "{index} of {size}");
            check_inclusion(&log.leaf(index), index, size, &root, &path).unwrap();
        }
        for old in 0..=size {
            let proof = tree.consistency(old).unwrap();
            assert_eq!(proof, log.consistency(old, size).0, "{old} to {size}");
            check_consistency((old, &log.mth(0, old)), (size, &root), &proof).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn proofs_in_logs_of_any_size_are_those_of_the_rfc(
        bits in 1_u32..50, size in any::<u64>(), index in any::<u64>(), old in any::<u64>(),
    ) {
        let size = (size >> (64 - bits)).max(1);
        let (index, old) = (index % size, old % (size + 1));
        let log = Naive::new(index.saturating_sub(3)..index + 3);
        let mut tree = Tree::new(&log, size);
        let root = log.mth(0, size);
        prop_assert_eq!(tree.root().unwrap(), root);
        let path = tree.inclusion(index).unwrap();
        prop_assert_eq!(&path, &log.path(index, 0, size).0);
        check_inclusion(&log.leaf(index), index, size, &root, &path).unwrap();
        let proof = tree.consistency(old).unwrap();
        prop_assert_eq!(&proof, &log.consistency(old, size).0);
        check_consistency((old, &log.mth(0, old)), (size, &root), &proof).unwrap();
    }

    #[test]
    fn a_frontier_goes_on_where_a_log_of_any_size_ends(bits in 1_u32..50, size in any::<u64>(), more in 1..600_u64) {
        let size = size >> (64 - bits);
        let log = Naive::new(size.saturating_sub(3)..size + 600);
        let mut frontier = Frontier::restore(&log, size).unwrap();
        prop_assert_eq!(frontier.root(), log.mth(0, size));
        for index in size..size + more {
            frontier.push(log.leaf(index), |tile| is_of(&log, tile)).unwrap();
        }
        prop_assert_eq!(frontier.root(), log.mth(0, size + more));
        for tile in frontier.partial() {
            is_of(&log, tile).unwrap();
        }
        prop_assert_eq!(frontier, Frontier::restore(&log, size + more).unwrap());
    }
}

fn is_of(log: &Naive, tile: Tile<'_>) -> Result<(), Infallible> {
    let width = u16::try_from(tile.hashes.len()).unwrap();
    assert_eq!(tile.hashes, log.tile(tile.level, tile.n, width)?, "{} {}", tile.level, tile.n);
    Ok(())
}

#[test]
fn a_frontier_has_the_root_after_every_entry_and_every_full_tile_once() {
    let log = Naive::new(0..70_000);
    let mut frontier = Frontier::new();
    let mut full = Vec::new();
    for index in 0..70_000 {
        if index < 1000 || index % 997 == 0 {
            assert_eq!(frontier.root(), log.mth(0, index));
        }
        let mut keep = |tile: Tile<'_>| {
            full.push((tile.level, tile.n));
            is_of(&log, tile)
        };
        frontier.push(log.leaf(index), &mut keep).unwrap();
    }
    // The example of C2SP tlog-tiles.
    let expected: Vec<_> =
        (0..273).flat_map(|n| [(0, n)].into_iter().chain((n == 255).then_some((1, 0)))).collect();
    assert_eq!(full, expected);
    let partial: Vec<_> = frontier.partial().map(|tile| (tile.level, tile.n, tile.hashes.len())).collect();
    assert_eq!(partial, [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
    assert_eq!(frontier.size(), 70_000);
}

/// Every way to change one bit.
fn flips(hash: &Hash) -> impl Iterator<Item = Hash> + use<'_> {
    (0..256).map(|bit| {
        let mut changed = *hash;
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

/// Every way to change one bit of one hash, and to leave one out, repeat it or add one.
fn mutants(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut mutants = vec![[proof, &[[0; 32]]].concat(), [&[[0; 32]], proof].concat()];
    for at in 0..proof.len() {
        let (before, after) = (&proof[..at], &proof[at + 1..]);
        mutants.push([before, after].concat());
        mutants.push([before, &[proof[at]], &proof[at..]].concat());
        mutants.extend(flips(&proof[at]).map(|hash| [before, &[hash], after].concat()));
    }
    mutants
}

fn near(size: u64) -> impl Iterator<Item = u64> {
    (0..12).map(move |bit| size ^ (1 << bit))
}

#[test]
fn refuses_an_inclusion_proof_with_any_bit_changed() {
    let log = Naive::new(0..5000);
    for (index, size) in
        (1..12).flat_map(|size| (0..size).map(move |index| (index, size))).chain([(255, 600)])
    {
        let (leaf, root) = (log.leaf(index), log.mth(0, size));
        let (path, sides) = log.path(index, 0, size);
        let check = |leaf: &Hash, index, size, root: &Hash, path: &[Hash]| {
            check_inclusion(leaf, index, size, root, path).is_ok()
        };
        assert!(check(&leaf, index, size, &root, &path));
        assert!(!flips(&leaf).any(|leaf| check(&leaf, index, size, &root, &path)));
        assert!(!flips(&root).any(|root| check(&leaf, index, size, &root, &path)));
        assert!(
            !mutants(&path).iter().any(|path| check(&leaf, index, size, &root, path)),
            "{index} of {size}"
        );
        assert!(!near(index).any(|other| check(&leaf, other, size, &root, &path)), "{index} of {size}");
        // The root says nothing of the size: another one passes if, and only if, its path turns the same way.
        for other in near(size) {
            let same = index < other && log.path(index, 0, other).1 == sides;
            assert_eq!(
                check(&leaf, index, other, &root, &path),
                same,
                "{index} of {size}, taken for {other}"
            );
        }
    }
}

#[test]
fn refuses_a_consistency_proof_with_any_bit_changed() {
    let log = Naive::new(0..5000);
    for (old, new) in (0..12).flat_map(|new| (0..=new).map(move |old| (old, new))).chain([(300, 600)]) {
        let (old_root, new_root) = (log.mth(0, old), log.mth(0, new));
        let (proof, sides) = log.consistency(old, new);
        let check = |old, old_root: &Hash, new, new_root: &Hash, proof: &[Hash]| {
            check_consistency((old, old_root), (new, new_root), proof).is_ok()
        };
        assert!(check(old, &old_root, new, &new_root, &proof));
        assert!(!flips(&old_root).any(|root| check(old, &root, new, &new_root, &proof)));
        // Every tree continues the empty one, so that there the proof says nothing of the newer.
        let says_nothing = old == 0 && new > 0;
        assert!(flips(&new_root).all(|root| check(old, &old_root, new, &root, &proof) == says_nothing));
        assert!(!mutants(&proof).iter().any(|proof| check(old, &old_root, new, &new_root, proof)));
        for other in near(old) {
            let same =
                other <= new && log.consistency(other, new).1 == sides && (old == new) == (other == new);
            assert_eq!(
                check(other, &old_root, new, &new_root, &proof),
                same,
                "{old} to {new}, taken for {other}"
            );
        }
        for other in near(new) {
            let same = match old {
                0 => other > 0,
                _ => old <= other && log.consistency(old, other).1 == sides && (old == new) == (old == other),
            };
            assert_eq!(
                check(old, &old_root, other, &new_root, &proof),
                same,
                "{old} to {new}, taken for {other}"
            );
        }
    }
}

#[test]
fn says_what_cannot_be_proven() {
    let log = Naive::new(0..10);
    let mut tree = Tree::new(&log, 10);
    assert_eq!(tree.inclusion(10).unwrap_err(), TreeError::NoSuchEntry { index: 10, size: 10 });
    assert_eq!(tree.consistency(11).unwrap_err(), TreeError::NoSuchSize { old: 11, size: 10 });
    let error = Tree::new(&Short, 10).root().unwrap_err();
    assert_eq!(error, TreeError::TileWidth { level: 0, n: 0, width: 10, found: 0 });
    assert_eq!(Frontier::restore(&Short, 10).unwrap_err(), error);
}

/// Has fewer hashes than it is asked for.
struct Short;

impl Tiles for Short {
    type Error = Infallible;

    fn tile(&self, _: u8, _: u64, _: u16) -> Result<Vec<Hash>, Infallible> {
        Ok(Vec::new())
    }
}
