//! The steps by which one CA key takes the place of another, as an entry says them.
//!
//! In: what an operator does. Out: a [`RotationStep`], in the entry's encoding. What the steps come to is
//! [`crate::ledger::rotation`]'s.

use minicbor::{Decode, Encode};

use super::UnixMillis;

/// What an operator does to the successor of a CA key, or to that key itself.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(flat)]
pub enum RotationStep {
    /// The successor has been found and has signed a challenge; nobody is told to trust it yet.
    #[n(0)]
    Stage,
    /// The successor is in the bundles: whoever takes them trusts both keys.
    #[n(1)]
    Publish,
    /// From this whole second on the successor signs certificates, and the other key none.
    #[n(2)]
    Activate(#[n(0)] UnixMillis),
    /// The second that was set, and has not come yet, no longer holds.
    #[n(3)]
    Cancel,
    /// The other key leaves the bundles; whether certificates of it may still have been valid then.
    #[n(4)]
    Retire(#[n(0)] bool),
}

impl RotationStep {
    /// The word on the command line, and in JSON: `publish`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Publish => "publish",
            Self::Activate(_) => "activate",
            Self::Cancel => "cancel",
            Self::Retire(_) => "retire",
        }
    }
}
