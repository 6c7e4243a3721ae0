//! Checks proofs, wherever they come from (RFC 9162 §2.1.3.2 and §2.1.4.2; the trees are those of RFC 6962).
//!
//! In: a proof, and the size and root of each tree from its checkpoint. Out: nothing, or why not. A root does not tell how
//! many entries are below it: that a size belongs to a root is for the checkpoint's signature to say.

use crate::ledger::merkle::{Hash, empty_root, node_hash};

/// What a proof does not show.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The sizes alone tell.
    #[error("a tree of {size} entries has no entry {index}")]
    NoSuchEntry {
        /// The entry's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// A tree that shrank.
    #[error("a tree of {new} entries does not continue one of {old}: entries were removed")]
    Shrunk {
        /// The older tree's size.
        old: u64,
        /// The newer tree's size.
        new: u64,
    },
    /// Too many hashes or too few for the sizes.
    #[error("a proof of {found} hashes is too short or too long for trees of these sizes")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// The entry, the tree or the proof is another one.
    #[error("the proof does not lead to the tree's root: the tree has another entry there")]
    Root,
    /// The older tree is not the beginning of the newer one, or the proof is another one.
    #[error("the proof does not lead to both roots: entries of the older tree were changed or removed")]
    Roots,
}

/// Checks that the tree of this size and root has at `index` the entry with this leaf hash.
///
/// # Errors
/// [`ProofError`] if the proof does not show it.
pub fn check_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::NoSuchEntry { index, size });
    }
    let length = ProofError::Length { found: proof.len() };
    let mut climb = Climb { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        hash = match climb.up().ok_or(length)? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    match climb.last {
        0 if hash == *root => Ok(()),
        0 => Err(ProofError::Root),
        _ => Err(length),
    }
}

/// Checks that the tree of size `new` has all entries of that of size `old`, in their places, and others only after them.
///
/// # Errors
/// [`ProofError`] if the proof does not show it.
pub fn check_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    let length = ProofError::Length { found: proof.len() };
    if old == 0 || old == new {
        let expected = if old == new { *new_root } else { empty_root() };
        let empty_is_empty = new > 0 || *new_root == empty_root();
        return match proof {
            [] if *old_root == expected && empty_is_empty => Ok(()),
            [] => Err(ProofError::Roots),
            _ => Err(length),
        };
    }
    let mut climb = Climb { node: old - 1, last: new - 1 };
    climb.skip_left_turns();
    // Where the old tree is complete, its root is where the climb begins; else the proof says what is there.
    let (first, rest) = match proof {
        rest if climb.node == 0 => (old_root, rest),
        [first, rest @ ..] => (first, rest),
        [] => return Err(length),
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        match climb.up().ok_or(length)? {
            Side::Left => {
                old_hash = node_hash(sibling, &old_hash);
                new_hash = node_hash(sibling, &new_hash);
            }
            Side::Right => new_hash = node_hash(&new_hash, sibling),
        }
    }
    match climb.last {
        0 if old_hash == *old_root && new_hash == *new_root => Ok(()),
        0 => Err(ProofError::Roots),
        _ => Err(length),
    }
}

/// A node on its way to the root: its index among those of its height, and that of the last of them.
struct Climb {
    node: u64,
    last: u64,
}

/// Where a node's sibling is.
enum Side {
    Left,
    Right,
}

impl Climb {
    /// On which side the next sibling is, and up to their parent. `None` at the root.
    fn up(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node % 2 == 1 {
            Side::Left
        } else if self.node == self.last {
            // The last node has no sibling here: it is its own parent, as often as that is so.
            while self.node.is_multiple_of(2) {
                self.parent();
            }
            Side::Left
        } else {
            Side::Right
        };
        self.parent();
        Some(side)
    }

    /// Up as long as the node is the right child of its parent.
    fn skip_left_turns(&mut self) {
        while self.node % 2 == 1 {
            self.parent();
        }
    }

    fn parent(&mut self) {
        self.node /= 2;
        self.last /= 2;
    }
}
