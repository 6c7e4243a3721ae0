//! Where the entries that are checked come from.

use std::iter;
use std::ops::Range;

use crate::causes::in_one_line;
use crate::ledger::audit::Wrong;
use crate::ledger::merkle::TILE_WIDTH;
use crate::ledger::tiles::{Directory, Resource, TilesError, bundle_entries};
use crate::ledger::{LedgerError, Place, Reader, Served};

/// Entries, one after the other.
#[derive(Debug)]
pub enum Source {
    /// A ledger's file.
    Log(Reader),
    /// What a signer serves.
    Served(Served),
    /// The bundles of an export.
    Export(Directory),
    /// A ledger that is so damaged that it does not open: none of its entries can be read.
    Damaged(Box<LedgerError>),
}

/// Why there are no further entries.
#[derive(Debug)]
pub(super) enum SourceError {
    /// The next is missing or cut off: the entries after it cannot be told apart.
    Broken(Broken),
    Ledger(LedgerError),
    Tiles(TilesError),
}

/// Where the entries end too early.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) index: u64,
    pub(super) what: Wrong,
}

type Leaf = Result<(u64, Vec<u8>), SourceError>;

impl Source {
    /// The ledger at `place`, also if it is too damaged to be opened; and what is wrong with what its file says of itself, if that alone is
    /// damaged.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be opened, and is not known to be damaged.
    pub fn log(place: impl Into<Place>) -> Result<(Self, Option<Wrong>), LedgerError> {
        match Reader::open_damaged(place) {
            Ok((reader, damage)) => {
                let wrong = damage.map(|damage| Wrong::Header { why: in_one_line(&damage) });
                Ok((Self::Log(reader), wrong))
            }
            Err(error) if error.is_damage() => Ok((Self::Damaged(Box::new(error)), None)),
            Err(error) => Err(error),
        }
    }

    /// Whether the store has this log alone, as far as it can be asked: an export or a signer may be of a fleet.
    pub(super) fn is_alone(&self) -> Result<bool, LedgerError> {
        match self {
            Self::Log(reader) => Ok(reader.other_logs()?.is_empty()),
            Self::Served(_) | Self::Export(_) | Self::Damaged(_) => Ok(false),
        }
    }

    /// The bytes of the entries in `range`. The first error is the last item.
    pub(super) fn leaves(&self, range: Range<u64>) -> Box<dyn Iterator<Item = Leaf> + '_> {
        match self {
            Self::Log(reader) => Box::new(reader.leaves(range).map(|leaf| leaf.map_err(Into::into))),
            Self::Served(log) => Box::new(log.leaves(range).map(|leaf| leaf.map_err(Into::into))),
            Self::Export(directory) => Box::new(until_error(bundled(directory, range))),
            Self::Damaged(error) => Box::new(iter::once(Err(SourceError::Ledger((**error).clone())))),
        }
    }

    /// The bytes of one entry.
    pub(super) fn leaf(&self, index: u64) -> Result<Vec<u8>, SourceError> {
        let missing = Broken { index, what: Wrong::Missing };
        let (_, leaf) = self.leaves(index..index + 1).next().ok_or(SourceError::Broken(missing))??;
        Ok(leaf)
    }
}

/// How many entries are to be read of a ledger whose end cannot be found: as many as come.
pub const UNKNOWN: u64 = i64::MAX.cast_unsigned();

/// How many entries of a ledger are to be read: all that there are, or [`UNKNOWN`].
///
/// # Errors
/// [`LedgerError`] if it cannot be read, and is not known to be damaged.
pub fn entries_of(reader: &Reader) -> Result<u64, LedgerError> {
    match reader.len() {
        Err(error) if error.is_damage() => Ok(UNKNOWN),
        len => len,
    }
}

impl From<LedgerError> for SourceError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Gap { index, .. } | LedgerError::Withheld { index, .. } => {
                Self::Broken(Broken { index, what: Wrong::Missing })
            }
            error => Self::Ledger(error),
        }
    }
}

fn bundled(directory: &Directory, range: Range<u64>) -> impl Iterator<Item = Leaf> {
    let width = u64::from(TILE_WIDTH);
    (range.start / width..range.end.div_ceil(width)).flat_map(move |n| {
        let first = n * width;
        let wanted = range.start.max(first)..range.end.min(first + width);
        bundle(directory, n, wanted.end - first)
            .into_iter()
            .filter(move |leaf| leaf.as_ref().map_or(true, |(index, _)| wanted.contains(index)))
    })
}

/// The first `count` entries of a bundle, if it has as many as its name says.
fn bundle(directory: &Directory, n: u64, count: u64) -> Vec<Leaf> {
    let first = n * u64::from(TILE_WIDTH);
    let broken = |index, what| Err(SourceError::Broken(Broken { index, what }));
    let (width, bytes) = match directory.bundle(n, u16::try_from(count).unwrap_or(TILE_WIDTH)) {
        Ok(found) => found,
        Err(TilesError::Missing { .. }) => return vec![broken(first, Wrong::Missing)],
        Err(error) => return vec![Err(SourceError::Tiles(error))],
    };
    let mut leaves: Vec<Leaf> = Vec::new();
    let mut next = first;
    for entry in bundle_entries(&bytes) {
        let Ok(entry) = entry else { break };
        if next < first + count {
            leaves.push(Ok((next, entry.to_vec())));
        }
        next += 1;
    }
    let whole = next == first + u64::from(width) && bundle_entries(&bytes).all(|entry| entry.is_ok());
    if !whole {
        let index = next.min(first + u64::from(width));
        leaves.push(broken(index, Wrong::Bundle { file: Resource::Entries(n).path(width) }));
    }
    leaves
}

fn until_error(leaves: impl Iterator<Item = Leaf>) -> impl Iterator<Item = Leaf> {
    let mut failed = false;
    leaves.take_while(move |leaf| !std::mem::replace(&mut failed, leaf.is_err()))
}
