//! Files that are there whole or not at all.
//!
//! In: bytes and a path. Out: the file, on the disk, by way of a temporary one beside it. Promised: whoever reads meanwhile
//! has the old file or the new one, and after a loss of power there is one of the two. A name is on the disk for certain
//! after [`Files::sync`] only.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::ledger::tiles::{TilesError, io_error};

/// What one export writes.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    /// Directories with names that may not be on the disk yet.
    touched: BTreeSet<PathBuf>,
    /// How many files were written.
    pub(super) written: u64,
}

impl Files {
    /// For a directory, which is made if it is missing.
    pub(super) fn new(root: &Path) -> Result<Self, TilesError> {
        fs::create_dir_all(root).map_err(|source| io_error("making directory", root, source))?;
        Ok(Self { root: root.to_owned(), touched: BTreeSet::new(), written: 0 })
    }

    /// Writes one file, in the place of an older one if there is one that differs.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), TilesError> {
        let path = self.root.join(name);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        let directory = path.parent().unwrap_or(&self.root).to_owned();
        if !self.touched.contains(&directory) {
            self.make(&directory)?;
        }
        let mut temporary = path.clone();
        temporary.as_mut_os_string().push(".tmp");
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|source| io_error("writing", &path, source))?;
        self.touched.insert(directory);
        self.written += 1;
        Ok(())
    }

    /// Removes a directory and what is in it, if it is there.
    pub(super) fn remove_directory(&mut self, name: &str) -> Result<(), TilesError> {
        let path = self.root.join(name);
        if path.is_dir() {
            fs::remove_dir_all(&path).map_err(|source| io_error("removing", &path, source))?;
            self.touched.remove(&path);
        }
        Ok(())
    }

    /// Has the names of all that was written on the disk.
    pub(super) fn sync(&mut self) -> Result<(), TilesError> {
        for directory in std::mem::take(&mut self.touched) {
            let sync = || File::open(&directory)?.sync_all();
            sync().map_err(|source| io_error("writing directory", &directory, source))?;
        }
        Ok(())
    }

    /// The directories from the root down to this one; each new name is in the directory above.
    fn make(&mut self, directory: &Path) -> Result<(), TilesError> {
        fs::create_dir_all(directory).map_err(|source| io_error("making directory", directory, source))?;
        let above = directory.ancestors().skip(1).take_while(|above| above.starts_with(&self.root));
        self.touched.extend(above.map(Path::to_owned));
        Ok(())
    }
}
