//! Files that are replaced as a whole.
//!
//! In: a path, and what is to be there. Out: the file, on its disk. Promised: a reader finds the old bytes or the new ones, also after a
//! power cut; the mode is the one that was asked for, whatever the umask says; a link that somebody has put beside the file is not
//! followed, so that whoever may write there has nothing else written. Not done here: files that are written piece by piece.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::sync_parent;

/// Whose the new file is, and who may use it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ownership {
    /// The one's who writes it, with this mode.
    Own(u32),
    /// As the file has it whose place it takes, and which must be there.
    Kept,
}

/// Puts a file with these bytes in the place of the one at `path`; returns once the disk has it.
///
/// # Errors
/// It cannot be written: then what was there stays. After a directory that cannot be synced, either may be there.
pub(crate) fn replace(path: &Path, bytes: &[u8], ownership: Ownership) -> io::Result<()> {
    let old = match ownership {
        Ownership::Own(_) => None,
        Ownership::Kept => Some(fs::metadata(path)?),
    };
    let new = unfinished(path);
    // One that a crash has left, or a link that somebody has put there, is not written through.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = match (ownership, &old) {
        (Ownership::Own(mode), _) => file.set_permissions(Permissions::from_mode(mode)),
        (Ownership::Kept, Some(old)) => take_after(old, &file),
        (Ownership::Kept, None) => Ok(()),
    }
    .and_then(|()| file.write_all(bytes))
    .and_then(|()| file.sync_all())
    .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written?;
    sync_parent(path)
}

/// Gives the file another's owner and mode.
fn take_after(old: &fs::Metadata, file: &File) -> io::Result<()> {
    let made = file.metadata()?;
    if (old.uid(), old.gid()) != (made.uid(), made.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
}

/// Where it is written. Whoever reads all files of the directory takes none whose name begins with a dot.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn it_has_its_mode_whatever_the_umask_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        // No umask leaves write access to everybody.
        replace(&path, b"one", Ownership::Own(0o666)).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap().as_slice()), (0o666, &b"one"[..]));
        replace(&path, b"two", Ownership::Own(0o640)).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap().as_slice()), (0o640, &b"two"[..]));
        replace(&path, b"three", Ownership::Kept).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap().as_slice()), (0o640, &b"three"[..]));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_planted_link_leads_to_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("file"), directory.path().join("victim"));
        fs::write(&victim, "not yours").unwrap();
        symlink(&victim, unfinished(&path)).unwrap();
        replace(&path, b"new", Ownership::Own(0o644)).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "not yours");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        // Nor what is in the file's own place.
        fs::remove_file(&path).unwrap();
        symlink(&victim, &path).unwrap();
        replace(&path, b"new", Ownership::Own(0o644)).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "not yours");
    }

    #[test]
    fn what_cannot_be_written_leaves_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(replace(&path, b"new", Ownership::Kept).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(&path).unwrap();
        replace(&path, b"new", Ownership::Own(0o644)).unwrap_err();
        assert!(path.is_dir() && !unfinished(&path).exists());
    }
}
