//! Whether a log's files are still those that were opened.
//!
//! In: a path, at the start and whenever a transaction begins. Out: nothing, or which file is gone or another. SQLite goes on writing what it
//! has opened: of a file that somebody has removed, or put another in the place of, nothing would be left once the signer ends. Not
//! opened here, for SQLite's locks of a file end whenever its process closes it once.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::ledger::error::StoreError;
use crate::ledger::store::Stored;

/// The file and its write-ahead log, as they were opened.
#[derive(Debug)]
pub(super) struct Files([Opened; 2]);

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    id: Id,
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Id {
    /// Its major and its minor number.
    device: (u32, u32),
    inode: u64,
}

impl Files {
    /// Those of a log that is open, and was written.
    pub(super) fn of(log: &Path) -> io::Result<Self> {
        Ok(Self([Opened::find(log.to_owned())?, Opened::find(wal_of(log))?]))
    }

    /// Looks whether they are in their places.
    pub(super) fn check(&self) -> Stored<()> {
        self.0.iter().try_for_each(Opened::check)
    }
}

impl Opened {
    fn find(path: PathBuf) -> io::Result<Self> {
        Ok(Self { id: Id::of(&path)?, path })
    }

    fn check(&self) -> Stored<()> {
        match Id::of(&self.path) {
            Ok(id) if id == self.id => Ok(()),
            Ok(_) => Err(StoreError::Replaced { path: self.path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Removed { path: self.path.clone() })
            }
            Err(error) => Err(StoreError::Disk(error)),
        }
    }
}

impl Id {
    /// Asks for nothing but the inode: of a file whose times somebody has read, Linux (6.13 and later) writes a new time at the next write, so that
    /// each sync after it has an inode to write as well.
    fn of(path: &Path) -> io::Result<Self> {
        let found = statx(CWD, path, AtFlags::empty(), StatxFlags::INO)?;
        Ok(Self { device: (found.stx_dev_major, found.stx_dev_minor), inode: found.stx_ino })
    }
}

/// The write-ahead log of a file, by SQLite's rule.
pub(super) fn wal_of(log: &Path) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}
