//! The hashes that an index has in its files, for whoever checks its log.
//!
//! In: the ledger's path. Out: tiles. Promised: nothing is written, and a running signer is not held up: what the manifest
//! names is on the disk and does not change, nor do the hashes of entries that come after, which are noted as those are written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::ledger::index::files::{self, Unusable};
use crate::ledger::index::{path, tiles};
use crate::ledger::merkle::{Hash, TILE_WIDTH, Tiles};
use crate::ledger::tiles::TilesError;

/// The tiles of an index, up to the entries that it knew when it was opened.
#[derive(Debug)]
pub struct RecordedTiles {
    directory: PathBuf,
    /// How many entries it has the hashes of, on every level.
    known: u64,
    /// How many it has the entries' own hashes of.
    entries: u64,
}

/// An index that is there, and tells nothing of its log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("index {} cannot be used: {why}", path.display())]
pub struct UnusableIndex {
    /// The index's directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl RecordedTiles {
    /// Those of the log at `ledger`, named `origin`. `None` if there is no index: a copy of the ledger's file need not have
    /// one, and the signer makes another.
    ///
    /// # Errors
    /// [`UnusableIndex`] if there is one, and it is not this log's or cannot be read.
    pub fn open(ledger: &Path, origin: &str) -> Result<Option<Self>, UnusableIndex> {
        let directory = path(ledger);
        match files::known(&directory, origin) {
            Ok(entries) => Ok(Some(Self::of(directory, entries))),
            Err(Unusable::Missing) => Ok(None),
            Err(unusable) => Err(UnusableIndex { path: directory, why: unusable.to_string() }),
        }
    }

    /// Those in `directory` of the first `known` entries, and what is noted of those that follow.
    pub(super) fn of(directory: PathBuf, known: u64) -> Self {
        // What cannot be read, whoever compares it finds.
        let noted = tiles::noted(&directory, known).map_or(0, |noted| noted.len());
        let entries = known.saturating_add(u64::try_from(noted).unwrap_or(u64::MAX));
        Self { directory, known, entries }
    }

    /// The index's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// How many entries it has the hashes of.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many hashes it has of a level; those over entries that are merely noted are not among them.
    #[must_use]
    pub fn hashes(&self, level: u8) -> u64 {
        match level {
            0 => self.entries,
            level => self.known.checked_shr(8 * u32::from(level)).unwrap_or(0),
        }
    }

    /// The file with the hashes of a level.
    #[must_use]
    pub fn file(&self, level: u8) -> PathBuf {
        self.directory.join(format!("tiles-{level}"))
    }
}

impl Tiles for RecordedTiles {
    type Error = TilesError;

    fn tile(&self, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, TilesError> {
        let path = self.file(level);
        let start = n.saturating_mul(TILE_WIDTH.into());
        let mut hashes = vec![[0; 32]; width.into()];
        let mut read = || {
            if start.saturating_add(width.into()) > self.hashes(level) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            File::open(&path)?.read_exact_at(hashes.as_flattened_mut(), start.saturating_mul(32))
        };
        match read() {
            Ok(()) => Ok(hashes),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                Err(TilesError::Missing { path })
            }
            Err(source) => Err(TilesError::Io { doing: "reading", path, source }),
        }
    }
}
