//! The hashes of the log's Merkle tree, in tiles of 256 (C2SP tlog-tiles, RFC 6962 §2.1): level 0 has the entries' own,
//! each level above the roots of the full tiles below.
//!
//! In: the hash of each entry, once it is in the log. Out: any tile. A level is a file of its hashes one after the other,
//! so that a hash's place is known; what the files' disk may not have yet, and the tile that is not full, is in memory. Not done
//! here: roots and proofs, which [`merkle`](crate::ledger::merkle) makes of them.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::ledger::merkle::{Hash, TILE_WIDTH, Tiles, node_hash};

/// How many hashes a full tile has.
#[expect(clippy::as_conversions, reason = "From is not const yet, and this loses nothing")]
const TILE: u64 = TILE_WIDTH as u64;

/// The bytes of a hash.
const HASH: u64 = 32;

/// How many hashes are read at most of those that are beyond what an index knows: more than may wait.
const NOTED: u64 = 1 << 19;

/// The tiles of one log. One thread appends and one writes the files; any may read.
#[derive(Debug)]
pub(in crate::ledger) struct TileFiles {
    directory: PathBuf,
    levels: RwLock<Vec<Level>>,
}

/// One level of tiles.
#[derive(Debug)]
struct Level {
    /// `None` until there is something to write.
    file: Option<Arc<File>>,
    /// How many hashes are in the file alone: those of full tiles.
    first: u64,
    /// Those that follow.
    hashes: VecDeque<Hash>,
    /// How many hashes are in the file, whether its disk has them or not.
    noted: u64,
}

/// Some hashes of a level, copied, so that whoever appends does not wait for the disk.
#[derive(Debug)]
struct Part {
    file: Option<Arc<File>>,
    first: u64,
    hashes: Vec<Hash>,
}

impl Part {
    fn end(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.hashes.len()).unwrap_or(u64::MAX))
    }
}

impl TileFiles {
    /// Those of a log that is known up to `entries`.
    pub(super) fn open(directory: &Path, entries: u64) -> io::Result<Self> {
        Self::levels_of(directory, entries, open)
    }

    /// The same, for somebody who has them written nowhere.
    pub(super) fn read(directory: &Path, entries: u64) -> io::Result<Self> {
        Self::levels_of(directory, entries, |directory, number| File::open(path(directory, number)))
    }

    /// Those of a log without entries, for somebody who has them written nowhere.
    pub(super) fn empty() -> Self {
        Self { directory: PathBuf::new(), levels: RwLock::default() }
    }

    fn levels_of(
        directory: &Path,
        entries: u64,
        open: impl Fn(&Path, usize) -> io::Result<File>,
    ) -> io::Result<Self> {
        let mut levels = Vec::new();
        let mut len = entries;
        while len > 0 {
            levels.push(Level::open(open(directory, levels.len())?, len)?);
            len /= TILE;
        }
        Ok(Self { directory: directory.to_owned(), levels: RwLock::new(levels) })
    }

    /// The entries that follow have these hashes.
    pub(in crate::ledger) fn append(&self, hashes: &[Hash]) {
        let mut levels = self.levels_mut();
        for hash in hashes {
            let (mut next, mut number) = (Some(*hash), 0);
            while let Some(hash) = next {
                if number == levels.len() {
                    levels.push(Level { file: None, first: 0, hashes: VecDeque::new(), noted: 0 });
                }
                next = levels.get_mut(number).and_then(|level| level.push(hash));
                number += 1;
            }
        }
    }

    /// How many entries have their hashes here.
    pub(in crate::ledger) fn entries(&self) -> u64 {
        self.levels().first().map_or(0, Level::len)
    }

    /// Puts the hashes of the newest entries into their file, and does not wait for its disk: whoever compares the log with them finds them
    /// there, also once this process is gone. What fails is in the way of nothing: the next time has all that is missing.
    pub(super) fn note(&self) -> io::Result<()> {
        let Some(part) = self.levels().first().map(|level| level.part(level.noted, level.len())) else {
            return Ok(());
        };
        self.put(0, &part)?;
        if let Some(level) = self.levels_mut().first_mut() {
            level.noted = level.noted.max(part.end());
        }
        Ok(())
    }

    /// Writes the hashes of the entries before `entries`, and returns once the disk has them.
    pub(super) fn write(&self, entries: u64) -> io::Result<()> {
        let mut len = entries;
        for number in 0.. {
            let Some(part) = self.levels().get(number).map(|level| level.part(level.first, len)) else {
                break;
            };
            self.put(number, &part)?.sync_data()?;
            len /= TILE;
        }
        Ok(())
    }

    /// Puts hashes of a level where they belong in its file, which is returned.
    fn put(&self, number: usize, part: &Part) -> io::Result<Arc<File>> {
        let file = match &part.file {
            Some(file) => Arc::clone(file),
            None => self.begin(number)?,
        };
        file.write_all_at(part.hashes.as_flattened(), part.first * HASH)?;
        Ok(file)
    }

    /// The file of a level that has none.
    fn begin(&self, number: usize) -> io::Result<Arc<File>> {
        let file = Arc::new(open(&self.directory, number)?);
        if let Some(level) = self.levels_mut().get_mut(number) {
            level.file = Some(Arc::clone(&file));
        }
        Ok(file)
    }

    /// Forgets the full tiles before `entries`, which are in the files.
    pub(super) fn forget(&self, entries: u64) {
        let mut len = entries;
        for level in self.levels_mut().iter_mut() {
            level.forget(len);
            len /= TILE;
        }
    }

    fn levels(&self) -> RwLockReadGuard<'_, Vec<Level>> {
        self.levels.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn levels_mut(&self) -> RwLockWriteGuard<'_, Vec<Level>> {
        self.levels.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tiles for TileFiles {
    type Error = io::Error;

    fn tile(&self, level: u8, n: u64, width: u16) -> io::Result<Vec<Hash>> {
        let place = self.levels().get(usize::from(level)).map(|level| level.place(n * TILE, width));
        // Without the lock, so that whoever appends does not wait for the disk.
        match place.ok_or_else(missing)? {
            Place::Memory(hashes) if hashes.len() == usize::from(width) => Ok(hashes),
            Place::File(Some(file)) => stored(&file, n * TILE, width.into()),
            Place::Memory(_) | Place::File(None) => Err(missing()),
        }
    }
}

impl Level {
    /// The level of which `len` hashes are in `file`.
    fn open(file: File, len: u64) -> io::Result<Self> {
        let first = len / TILE * TILE;
        let hashes = stored(&file, first, len - first)?.into();
        Ok(Self { file: Some(Arc::new(file)), first, hashes, noted: len })
    }

    fn len(&self) -> u64 {
        self.first + u64::try_from(self.hashes.len()).unwrap_or(u64::MAX)
    }

    /// The root of the tile that is full with this hash, if one is.
    fn push(&mut self, hash: Hash) -> Option<Hash> {
        self.hashes.push_back(hash);
        let len = self.len();
        len.is_multiple_of(TILE).then(|| {
            let tile = self.hashes.len() - usize::try_from(TILE).unwrap_or(usize::MAX);
            root(self.hashes.range(tile..).copied().collect())
        })
    }

    /// Its hashes from `start` up to `end`, of those that are in memory.
    fn part(&self, start: u64, end: u64) -> Part {
        let at = |place: u64| usize::try_from(place.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let end = at(end).min(self.hashes.len());
        let hashes = self.hashes.range(at(start).min(end)..end).copied().collect();
        Part { file: self.file.clone(), first: start, hashes }
    }

    fn forget(&mut self, len: u64) {
        let full = len / TILE * TILE;
        let count = usize::try_from(full.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.hashes.drain(..count.min(self.hashes.len()));
        self.first = self.first.max(full);
        self.noted = self.noted.max(len);
    }

    /// Where the `width` hashes from `start` on are, where a tile begins: such are in the file all, or in memory all.
    fn place(&self, start: u64, width: u16) -> Place {
        let Some(skip) = start.checked_sub(self.first) else { return Place::File(self.file.clone()) };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Place::Memory(self.hashes.iter().skip(skip).take(width.into()).copied().collect())
    }
}

/// Where the hashes of a tile are.
enum Place {
    Memory(Vec<Hash>),
    File(Option<Arc<File>>),
}

/// The `count` hashes of a file from `start` on.
fn stored(file: &File, start: u64, count: u64) -> io::Result<Vec<Hash>> {
    let len = usize::try_from(count * HASH).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, start * HASH)?;
    let (hashes, _) = bytes.as_chunks();
    Ok(hashes.to_vec())
}

/// The hashes that a signer has noted of the entries from `known` on. Where its host lost its power before the disk had them, they end.
pub(super) fn noted(directory: &Path, known: u64) -> io::Result<Vec<Hash>> {
    let file = match File::open(path(directory, 0)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let count = (file.metadata()?.len() / HASH).saturating_sub(known).min(NOTED);
    // What a file system has given room, and nothing else yet.
    Ok(stored(&file, known, count)?.into_iter().take_while(|hash| *hash != [0; 32]).collect())
}

/// The file of the level with this number.
fn open(directory: &Path, number: usize) -> io::Result<File> {
    let path = path(directory, number);
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn path(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("tiles-{number}"))
}

/// The root over a full tile.
fn root(mut row: Vec<Hash>) -> Hash {
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks();
        row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().unwrap_or_default()
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the log has no such tile")
}

#[cfg(test)]
mod tests;
