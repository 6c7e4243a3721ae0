//! The log as files that any web server can serve (C2SP tlog-tiles).
//!
//! In: a log, or a directory that [`export()`] wrote. Out: files of hashes (tiles), of entries (bundles) and a `checkpoint`,
//! and back. Promised: a file is there whole or not at all, and one that is full is never written again. Not done here: whether
//! hashes belong to entries; `ledger::audit` says it.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::ledger::LedgerError;
use crate::ledger::checkpoint::CheckpointError;
use crate::ledger::entry;
use crate::ledger::merkle::{Hash, TILE_WIDTH, Tiles, TreeError};
use crate::ledger::note;

mod bundle;
mod export;
mod file;
mod path;

pub(crate) use bundle::entries as bundle_entries;
pub use export::{Destination, Entries, Exported, Leaves, Published, export};
pub use file::Audience;
pub(crate) use path::Resource;

/// The name of the file with the newest signed checkpoint.
const CHECKPOINT: &str = "checkpoint";

/// The longest bundle: each entry of the longest, after its length.
#[expect(clippy::as_conversions, reason = "From is not const yet, and this loses nothing")]
const MAX_BUNDLE: u64 = TILE_WIDTH as u64 * (entry::MAX_LEN as u64 + 2);

/// The longest tile.
#[expect(clippy::as_conversions, reason = "From is not const yet, and this loses nothing")]
const MAX_TILE: u64 = TILE_WIDTH as u64 * 32;

/// A directory of tiles and bundles.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
}

/// Why a directory of tiles cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TilesError {
    /// The operating system refuses.
    #[error("{doing} {} failed; check its owner and mode, and the space on its disk", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no such tile or bundle, and none that begins with it.
    #[error("there is no {}; export again, to the same directory", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A tile that is no sequence of hashes, or has other than the number in its name.
    #[error("{} is not the {width} hashes that it should be ({len} bytes were read); remove it, and export again", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length, of a file that is too long the bytes that were read.
        len: usize,
        /// How many hashes it should have.
        width: u16,
    },
    /// A directory, a FIFO, a device: nothing that an export has.
    #[error("{} is no regular file; remove it, and export again", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error("another process exports to {}; wait until it is done", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The export is of another log, or the log was changed.
    #[error(
        "entry {index} in {} is not the ledger's: it is the export of another ledger, or one of the two was changed; \
         `countersign ledger verify` says which, and another directory takes a whole new export", path.display()
    )]
    OtherLog {
        /// The directory.
        path: PathBuf,
        /// The first entry that is known to differ.
        index: u64,
    },
    /// The log does not have the tree that was signed.
    #[error("the ledger's first {size} entries do not have the root of checkpoint {}: entries were changed; nothing was published", path.display())]
    OtherRoot {
        /// The checkpoint's file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// The checkpoint is of entries that are not there.
    #[error("checkpoint {} is of {size} entries, and the ledger has {len}: entries were removed, or the ledger is an older copy", path.display())]
    Shorter {
        /// The checkpoint's file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// How many there are.
        len: u64,
    },
    /// A checkpoint that is older than the one that is published.
    #[error("{} has a checkpoint of {published} entries already; one of {size} would take entries back", path.display())]
    Older {
        /// The directory.
        path: PathBuf,
        /// The size of the published checkpoint.
        published: u64,
        /// The size of the one that was to be published.
        size: u64,
    },
    /// What is published as checkpoint is none.
    #[error("checkpoint {}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Directory {
    /// An export at `root`, which must be a directory.
    ///
    /// # Errors
    /// [`TilesError::Io`] if it is none.
    pub fn open(root: &Path) -> Result<Self, TilesError> {
        fs::read_dir(root).map_err(|source| io_error("reading directory", root, source))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The published checkpoint, if there is one.
    ///
    /// # Errors
    /// [`TilesError::Io`] if it cannot be read.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, TilesError> {
        read(&self.root.join(CHECKPOINT), u64::try_from(note::MAX_LEN).unwrap_or(u64::MAX))
    }

    /// How many entries there are in bundles without a gap.
    ///
    /// # Errors
    /// [`TilesError::Io`] if the directory cannot be read.
    pub fn size(&self) -> Result<u64, TilesError> {
        let mut full = 0;
        while self.has(Resource::Entries(full)) {
            full += 1;
        }
        let widest = self.widths(Resource::Entries(full))?.into_iter().max().unwrap_or(0);
        Ok(full * u64::from(TILE_WIDTH) + u64::from(widest))
    }

    /// Bundle `n`, and how many entries it should have: at least `width`.
    ///
    /// # Errors
    /// [`TilesError`] if there is none, or it cannot be read.
    pub(crate) fn bundle(&self, n: u64, width: u16) -> Result<(u16, Vec<u8>), TilesError> {
        self.at_least(Resource::Entries(n), width)
    }

    /// Whether the full file is there.
    fn has(&self, resource: Resource) -> bool {
        self.root.join(resource.path(TILE_WIDTH)).is_file()
    }

    /// How wide the partial files are.
    fn widths(&self, resource: Resource) -> Result<Vec<u16>, TilesError> {
        let directory = self.root.join(resource.partial_directory());
        let files = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files.map_err(|source| io_error("reading directory", &directory, source))?,
        };
        let mut widths = Vec::new();
        for file in files {
            let file = file.map_err(|source| io_error("reading directory", &directory, source))?;
            widths.extend(file.file_name().to_str().and_then(path::width));
        }
        Ok(widths)
    }

    /// The file of `width`, or else a wider one, and how wide it is.
    fn at_least(&self, resource: Resource, width: u16) -> Result<(u16, Vec<u8>), TilesError> {
        let most = match resource {
            Resource::Tile { .. } => MAX_TILE,
            Resource::Entries(_) => MAX_BUNDLE,
        };
        for wide in [width, TILE_WIDTH] {
            if let Some(bytes) = read(&self.root.join(resource.path(wide)), most)? {
                return Ok((wide, bytes));
            }
        }
        let wider = self.widths(resource)?.into_iter().filter(|wide| *wide > width).min();
        let path = self.root.join(resource.path(wider.unwrap_or(width)));
        match (wider, read(&path, most)?) {
            (Some(wider), Some(bytes)) => Ok((wider, bytes)),
            _ => Err(TilesError::Missing { path }),
        }
    }
}

impl Tiles for Directory {
    type Error = TilesError;

    fn tile(&self, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, TilesError> {
        let resource = Resource::Tile { level, n };
        let (wide, bytes) = self.at_least(resource, width)?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || hashes.len() != usize::from(wide) {
            let path = self.root.join(resource.path(wide));
            return Err(TilesError::Length { path, len: bytes.len(), width: wide });
        }
        Ok(hashes.iter().take(width.into()).copied().collect())
    }
}

impl From<TreeError<TilesError>> for TilesError {
    fn from(error: TreeError<TilesError>) -> Self {
        match error {
            TreeError::Tiles(error) => error,
            TreeError::TileWidth { level, n, width, found } => {
                let path = Resource::Tile { level, n }.path(width).into();
                Self::Length { path, len: found.saturating_mul(32), width }
            }
            TreeError::NoSuchEntry { index, .. } | TreeError::NoSuchSize { old: index, .. } => {
                Self::Missing {
                    path: Resource::Entries(index / u64::from(TILE_WIDTH)).path(TILE_WIDTH).into(),
                }
            }
        }
    }
}

/// A file's bytes; `None` if there is none. Of a file with more than `most`, one more, so that nobody takes it for whole: whoever
/// serves an export may put anything there.
fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, TilesError> {
    let failed = |source| io_error("reading", path, source);
    // Opening a FIFO would wait for somebody to write into it.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(nonblocking).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(TilesError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> TilesError {
    TilesError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
