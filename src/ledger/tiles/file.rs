//! Files that are there whole or not at all.
//!
//! In: bytes and a path. Out: the file, on the disk, by way of a temporary one beside it. Promised: whoever reads meanwhile
//! has the old file or the new one, and after a loss of power there is one of the two. A name is on the disk for certain
//! after [`Files::sync`] only. Nobody but this user may read what is written, unless it is for everybody, who can read all of it
//! after [`Files::open`]; and no link leads it elsewhere.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::ledger::tiles::{CHECKPOINT, TilesError, io_error, read};

/// Who may read an export.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Audience {
    /// This user: entries name people.
    Owner,
    /// Everybody on this host, a web server for one.
    Everybody,
}

impl Audience {
    const fn of_directories(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Everybody => 0o755,
        }
    }

    const fn of_files(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everybody => 0o644,
        }
    }
}

/// What one export writes.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    audience: Audience,
    /// Directories with names that may not be on the disk yet.
    touched: BTreeSet<PathBuf>,
    /// How many files were written.
    pub(super) written: u64,
}

impl Files {
    /// For a directory, which is made if it is missing.
    pub(super) fn new(root: &Path, audience: Audience) -> Result<Self, TilesError> {
        let files = Self { root: root.to_owned(), audience, touched: BTreeSet::new(), written: 0 };
        files.make_all(root)?;
        Ok(files)
    }

    /// Writes one file, in the place of an older one if there is one that differs.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), TilesError> {
        let path = self.root.join(name);
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if read(&path, len).is_ok_and(|there| there.as_deref() == Some(bytes)) {
            return Ok(());
        }
        let directory = path.parent().unwrap_or(&self.root).to_owned();
        if !self.touched.contains(&directory) {
            self.make(&directory)?;
        }
        let mut temporary = path.clone();
        temporary.as_mut_os_string().push(".tmp");
        let write = || {
            let mut file = self.create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|source| io_error("writing", &path, source))?;
        self.touched.insert(directory);
        self.written += 1;
        Ok(())
    }

    /// A file that nobody made before: what an export that was stopped left is removed.
    fn create(&self, path: &Path) -> io::Result<File> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let no_link = OFlags::NOFOLLOW.bits().cast_signed();
        let mode = self.audience.of_files();
        OpenOptions::new().write(true).create_new(true).mode(mode).custom_flags(no_link).open(path)
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

    /// Has everybody read all of the export, if it is for everybody: an earlier one may have been for its owner alone, and the umask a
    /// narrow one.
    pub(super) fn open(&self) -> Result<(), TilesError> {
        if self.audience == Audience::Owner {
            return Ok(());
        }
        Self::open_one(&self.root, self.audience.of_directories())?;
        let mut left = vec![self.root.join("tile"), self.root.join(CHECKPOINT)];
        while let Some(path) = left.pop() {
            let kind = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                there => there.map_err(|source| io_error("reading", &path, source))?.file_type(),
            };
            if kind.is_dir() {
                Self::open_one(&path, self.audience.of_directories())?;
                let entries = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
                let entries = entries.map_err(|source| io_error("reading directory", &path, source))?;
                left.extend(entries.iter().map(fs::DirEntry::path));
            } else if kind.is_file() {
                Self::open_one(&path, self.audience.of_files())?;
            }
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
        self.make_all(directory)?;
        let above = directory.ancestors().skip(1).take_while(|above| above.starts_with(&self.root));
        self.touched.extend(above.map(Path::to_owned));
        Ok(())
    }

    /// Gives a path the bits of `mode` that it lacks.
    fn open_one(path: &Path, mode: u32) -> Result<(), TilesError> {
        let open = || {
            let there = fs::metadata(path)?.permissions().mode() & 0o7777;
            if there & mode == mode {
                Ok(())
            } else {
                fs::set_permissions(path, Permissions::from_mode(there | mode))
            }
        };
        open().map_err(|source| io_error("letting everybody read", path, source))
    }

    fn make_all(&self, directory: &Path) -> Result<(), TilesError> {
        let made = DirBuilder::new().recursive(true).mode(self.audience.of_directories()).create(directory);
        made.map_err(|source| io_error("making directory", directory, source))
    }
}
