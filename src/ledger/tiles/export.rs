//! Writes a log as tiles and bundles, or what is new since the last time.
//!
//! In: a log, and a signed checkpoint if there is one. Out: the files, and then the checkpoint. Promised: memory does not
//! grow with the log; an export that is stopped goes on the next time where it was; nothing is published that is not the
//! tree that was signed, or does not continue what was published before.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs::{OpenOptions, TryLockError};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::lock::Lock;
use crate::ledger::merkle::{Frontier, Hash, TILE_WIDTH, Tiles, Tree};
use crate::ledger::note::Note;
use crate::ledger::tiles::file::{Audience, Files};
use crate::ledger::tiles::{CHECKPOINT, Directory, Resource, TilesError, bundle, io_error};
use crate::ledger::{LedgerError, Reader, Served, leaf_hash};

/// The name of the file that a running export holds locked.
const LOCK: &str = ".lock";

/// Entries as they are stored, each with its index. The first error is the last item.
pub type Leaves<'a> = Box<dyn Iterator<Item = Result<(u64, Vec<u8>), LedgerError>> + 'a>;

/// A log that can be exported.
pub trait Entries {
    /// How many entries it has.
    ///
    /// # Errors
    /// [`LedgerError`] if that cannot be told.
    fn size(&self) -> Result<u64, LedgerError>;

    /// The entries of `range`, in order.
    fn leaves(&self, range: Range<u64>) -> Leaves<'_>;
}

impl Entries for Reader {
    fn size(&self) -> Result<u64, LedgerError> {
        self.len()
    }

    fn leaves(&self, range: Range<u64>) -> Leaves<'_> {
        Box::new(Reader::leaves(self, range))
    }
}

impl Entries for Served {
    fn size(&self) -> Result<u64, LedgerError> {
        Ok(self.size)
    }

    fn leaves(&self, range: Range<u64>) -> Leaves<'_> {
        Box::new(Served::leaves(self, range))
    }
}

/// A signed checkpoint that is to be published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Where it was read.
    pub path: PathBuf,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// As it is to be published, with its signatures.
    pub note: Note,
}

/// Where an export goes.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The directory, made if it is missing.
    pub directory: &'a Path,
    /// Who may read it: everybody all of it, the owner alone what is made.
    pub audience: Audience,
}

/// What an export did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exported {
    /// How many entries are exported now.
    pub size: u64,
    /// How many of them were in full bundles before.
    pub kept: u64,
    /// How many files were written.
    pub files: u64,
    /// The root of the tree over the entries.
    pub root: Hash,
}

/// Exports the entries of `log`: as many as the checkpoint says, else all. `progress` is told how many of how many are done.
///
/// # Errors
/// [`TilesError`]. What was written by then is right, and the next export goes on from there.
pub fn export(
    log: &dyn Entries,
    to: Destination<'_>,
    publish: Option<&Published>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Exported, TilesError> {
    let len = log.size()?;
    let size = publish.map_or(len, |publish| publish.checkpoint.size());
    if let Some(publish) = publish.filter(|_| size > len) {
        return Err(TilesError::Shorter { path: publish.path.clone(), size, len });
    }
    let Destination { directory, audience } = to;
    let files = Files::new(directory, audience)?;
    let _lock = lock(directory)?;
    let mut export = Export { log, directory: Directory::open(directory)?, files, filled: BTreeSet::new() };
    export.continues(publish)?;
    let mut frontier = export.resume(size)?;
    let kept = frontier.size();
    export.append(&mut frontier, size, &mut progress)?;
    if let Some(publish) = publish.filter(|publish| *publish.checkpoint.root() != frontier.root()) {
        return Err(TilesError::OtherRoot { path: publish.path.clone(), size });
    }
    export.finish(&frontier, publish)?;
    Ok(Exported { size, kept, files: export.files.written, root: frontier.root() })
}

struct Export<'a> {
    log: &'a dyn Entries,
    directory: Directory,
    files: Files,
    /// Directories of partial files that have a full one now.
    filled: BTreeSet<String>,
}

impl Export<'_> {
    /// Whether what was published before is the beginning of the log, as far as its tiles tell.
    fn continues(&self, publish: Option<&Published>) -> Result<(), TilesError> {
        let Some(bytes) = self.directory.checkpoint()? else { return Ok(()) };
        let path = || self.directory.path().join(CHECKPOINT);
        let note = Note::parse(&bytes).map_err(Into::into);
        let published = note.and_then(|note| Checkpoint::parse(note.text()));
        let published = published.map_err(|source| TilesError::Checkpoint { path: path(), source })?;
        let newest = publish.map_or(u64::MAX, |publish| publish.checkpoint.size());
        if published.size() > newest {
            let path = self.directory.path().to_owned();
            return Err(TilesError::Older { path, published: published.size(), size: newest });
        }
        let len = self.log.size()?;
        if published.size() > len {
            return Err(TilesError::Shorter { path: path(), size: published.size(), len });
        }
        if Tree::new(&self.directory, published.size()).root()? != *published.root() {
            return Err(TilesError::OtherRoot { path: path(), size: published.size() });
        }
        Ok(())
    }

    /// The tree over the full bundles that are there.
    fn resume(&mut self, size: u64) -> Result<Frontier, TilesError> {
        let has = |n: &u64| {
            [Resource::Entries(*n), Resource::Tile { level: 0, n: *n }].map(|file| self.directory.has(file))
        };
        let full = (0..size / u64::from(TILE_WIDTH)).find(|n| has(n) != [true; 2]);
        let full = full.unwrap_or(size / u64::from(TILE_WIDTH));
        for n in [full.checked_sub(1), (full > 0).then_some(0)].into_iter().flatten() {
            self.is_of_this_log(n)?;
        }
        for n in 0..full {
            // An export that was stopped before it removed what it had superseded: of a bundle that goes last.
            let bundle = Resource::Entries(n).partial_directory();
            if self.directory.path().join(&bundle).is_dir() {
                self.filled.extend([bundle, Resource::Tile { level: 0, n }.partial_directory()]);
            }
        }
        self.complete(full)?;
        Ok(Frontier::restore(&Full(&self.directory), full * u64::from(TILE_WIDTH))?)
    }

    /// Whether the entries of a bundle and its tile are the log's.
    fn is_of_this_log(&self, n: u64) -> Result<(), TilesError> {
        let first = n * u64::from(TILE_WIDTH);
        let mut bundled = Vec::new();
        let hashes = self.directory.tile(0, n, TILE_WIDTH)?;
        for (leaf, hash) in self.log.leaves(first..first + u64::from(TILE_WIDTH)).zip(hashes) {
            let (index, leaf) = leaf?;
            let other = || TilesError::OtherLog { path: self.directory.path().to_owned(), index };
            if leaf_hash(&leaf) != hash {
                return Err(other());
            }
            bundle::append(&mut bundled, &leaf).ok_or_else(other)?;
        }
        if self.directory.bundle(n, TILE_WIDTH)?.1 != bundled {
            return Err(TilesError::OtherLog { path: self.directory.path().to_owned(), index: first });
        }
        Ok(())
    }

    /// Writes the full tiles above `full` tiles of leaf hashes that an export did not come to, or a loss of power took.
    fn complete(&mut self, full: u64) -> Result<(), TilesError> {
        let mut below = full;
        for level in 1.. {
            below /= u64::from(TILE_WIDTH);
            if below == 0 {
                break;
            }
            for n in 0..below {
                let tile = Resource::Tile { level, n };
                if !self.directory.has(tile) {
                    let hashes = Full(&self.directory).tile(level, n, TILE_WIDTH)?;
                    self.files.write(&tile.path(TILE_WIDTH), &hashes.concat())?;
                }
                let partial = tile.partial_directory();
                if self.directory.path().join(&partial).is_dir() {
                    self.filled.insert(partial);
                }
            }
        }
        Ok(())
    }

    /// Appends the entries before `size`, and writes each bundle and tile that they fill.
    fn append(
        &mut self,
        frontier: &mut Frontier,
        size: u64,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<(), TilesError> {
        let mut bundled = Vec::new();
        for leaf in self.log.leaves(frontier.size()..size) {
            let (index, leaf) = leaf?;
            let no_entry = || TilesError::OtherLog { path: self.directory.path().to_owned(), index };
            bundle::append(&mut bundled, &leaf).ok_or_else(no_entry)?;
            let mut full = Vec::new();
            let keep = |tile: crate::ledger::merkle::Tile<'_>| {
                full.push((Resource::Tile { level: tile.level, n: tile.n }, tile.hashes.concat()));
                Ok::<_, Infallible>(())
            };
            let Ok(()) = frontier.push(leaf_hash(&leaf), keep);
            if !full.is_empty() {
                full.push((Resource::Entries(index / u64::from(TILE_WIDTH)), std::mem::take(&mut bundled)));
                self.write_full(&full)?;
                progress(index + 1, size);
            }
        }
        if frontier.size() < size {
            return Err(TilesError::OtherLog {
                path: self.directory.path().to_owned(),
                index: frontier.size(),
            });
        }
        if !bundled.is_empty() {
            let (n, width) = (size / u64::from(TILE_WIDTH), size % u64::from(TILE_WIDTH));
            let width = u16::try_from(width).unwrap_or(TILE_WIDTH);
            self.files.write(&Resource::Entries(n).path(width), &bundled)?;
        }
        progress(size, size);
        Ok(())
    }

    fn write_full(&mut self, full: &[(Resource, Vec<u8>)]) -> Result<(), TilesError> {
        // The tile of leaf hashes last: whoever goes on from it finds the others.
        for (resource, bytes) in full.iter().rev() {
            self.files.write(&resource.path(TILE_WIDTH), bytes)?;
            self.filled.insert(resource.partial_directory());
        }
        Ok(())
    }

    /// Writes the tiles that are not full, then the checkpoint, then removes what is superseded.
    fn finish(&mut self, frontier: &Frontier, publish: Option<&Published>) -> Result<(), TilesError> {
        for tile in frontier.partial() {
            let width = u16::try_from(tile.hashes.len()).unwrap_or(TILE_WIDTH);
            let name = Resource::Tile { level: tile.level, n: tile.n }.path(width);
            self.files.write(&name, &tile.hashes.concat())?;
        }
        self.files.sync()?;
        if let Some(publish) = publish {
            self.files.write(CHECKPOINT, publish.note.to_string().as_bytes())?;
        }
        for directory in std::mem::take(&mut self.filled) {
            self.files.remove_directory(&directory)?;
        }
        self.files.open()?;
        self.files.sync()
    }
}

/// A tree whose tiles of leaf hashes are all full: what is above them follows, and need not be there.
struct Full<'a>(&'a Directory);

impl Tiles for Full<'_> {
    type Error = TilesError;

    fn tile(&self, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, TilesError> {
        let Some(below) = level.checked_sub(1) else { return self.0.tile(0, n, width) };
        let first = n * u64::from(TILE_WIDTH);
        let root = |n| {
            let mut tile = Frontier::new();
            for hash in self.0.tile(below, n, TILE_WIDTH)? {
                let Ok(()) = tile.push(hash, |_| Ok::<_, Infallible>(()));
            }
            Ok(tile.root())
        };
        (first..first + u64::from(width)).map(root).collect()
    }
}

fn lock(directory: &Path) -> Result<Lock, TilesError> {
    let path = directory.join(LOCK);
    let no_link = OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(no_link).open(&path);
    let file = file.map_err(|source| io_error("opening lock file", &path, source))?;
    Lock::of(file).map_err(|error| match error {
        TryLockError::WouldBlock => TilesError::Locked { path: directory.to_owned() },
        TryLockError::Error(source) => io_error("locking", &path, source),
    })
}
