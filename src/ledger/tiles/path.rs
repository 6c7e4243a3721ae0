//! What the files are called: `tile/LEVEL/INDEX`, `tile/entries/INDEX`, and `INDEX.p/WIDTH` of one that is not full.

use crate::ledger::merkle::TILE_WIDTH;

/// A tile or a bundle, however wide.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Resource {
    /// Hashes.
    Tile {
        /// Of which level.
        level: u8,
        /// Its index in the level.
        n: u64,
    },
    /// Entries: the bundle of this index.
    Entries(u64),
}

impl Resource {
    /// Relative to the export's directory.
    pub(crate) fn path(self, width: u16) -> String {
        if width >= TILE_WIDTH { self.full() } else { format!("{}/{width}", self.partial_directory()) }
    }

    /// Where the partial files are.
    pub(super) fn partial_directory(self) -> String {
        format!("{}.p", self.full())
    }

    fn full(self) -> String {
        match self {
            Self::Tile { level, n } => format!("tile/{level}/{}", index(n)),
            Self::Entries(n) => format!("tile/entries/{}", index(n)),
        }
    }
}

/// Groups of three digits; all but the last begin with an `x`, so that no file has a directory's name.
fn index(n: u64) -> String {
    let mut path = format!("{:03}", n % 1000);
    let mut rest = n / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// The width in a partial file's name.
pub(super) fn width(name: &str) -> Option<u16> {
    let width = name.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?;
    (width.to_string() == name).then_some(width)
}
