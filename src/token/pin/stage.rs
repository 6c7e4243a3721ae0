//! Puts a new PIN into a PIN file, around the call that makes it the token's.
//!
//! In: a file and the new PIN. Promised: at no moment is there a PIN on the token that no file holds. The new one is on disk, beside the
//! file, before the token takes it, and takes the file's place after that; owner and mode stay. Whoever finds the file beside it
//! left over knows that one of the two is right. A symbolic link is followed only where that gives its owner no more than is theirs.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::Pin;

/// A new PIN on disk, beside the PIN file whose place it is to take.
pub(crate) struct Staged {
    file: PathBuf,
    new: PathBuf,
}

/// Why a PIN file cannot be replaced; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// A command was interrupted.
    #[error(
        "{} is there: a command that changed the PIN did not end. Either it or {} holds the token's PIN: try the one and then the other, \
         put the right one into {}, and delete the first", new.display(), file.display(), file.display()
    )]
    Left {
        /// What is left.
        new: PathBuf,
        /// The PIN file.
        file: PathBuf,
    },
    /// Whoever made the link may have meant to have a file replaced that is not theirs.
    #[error(
        "{} is a symbolic link of user {owner}, and leads to a file of another user: name the file itself, or make the link as root or as \
         the file's owner", path.display()
    )]
    Link {
        /// Which link.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// The new file cannot be made, or not with the old one's owner.
    #[error("cannot make {}: {cause}; run this as the owner of the PIN file, or as root", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Staged {
    /// Writes the new PIN beside `file`, which may be missing.
    ///
    /// # Errors
    /// [`StageError`]
    pub(crate) fn prepare(file: &Path, pin: &Pin) -> Result<Self, StageError> {
        // The file itself: a symbolic link stays one.
        let file = match fs::canonicalize(file) {
            Ok(real) => {
                trust_links(file)?;
                real
            }
            Err(_) => file.to_owned(),
        };
        let mut name = file.file_name().map(OsString::from).unwrap_or_default();
        name.push(".new");
        let new = file.with_file_name(name);
        let mut made = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new) {
            Ok(made) => made,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StageError::Left { new, file });
            }
            Err(cause) => return Err(StageError::Write { path: new, cause }),
        };
        let this = Self { file, new };
        match this.like_the_old_one(&made).and_then(|()| pin.write_to(&mut made)) {
            Ok(()) => Ok(this),
            Err(cause) => {
                let path = this.new.clone();
                this.discard();
                Err(StageError::Write { path, cause })
            }
        }
    }

    /// Owner and mode, before anything is in it.
    fn like_the_old_one(&self, made: &File) -> io::Result<()> {
        let old = match fs::metadata(&self.file) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let new = made.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(made, Some(old.uid()), Some(old.gid()))?;
        }
        made.set_permissions(fs::Permissions::from_mode(old.mode() & 0o600))
    }

    /// The token has the new PIN: it takes the file's place, in one step.
    ///
    /// # Errors
    /// If it cannot; then it waits where it was.
    pub(crate) fn put(&self) -> io::Result<()> {
        fs::rename(&self.new, &self.file)?;
        File::open(self.file.parent().unwrap_or(Path::new("/")))?.sync_all()
    }

    /// The token has the old PIN.
    pub(crate) fn discard(self) {
        let _ = fs::remove_file(&self.new);
    }

    /// Where it waits.
    pub(crate) fn waits_at(&self) -> &Path {
        &self.new
    }
}

/// Every link on the way to a file that is there must be root's, or of whoever owns what it leads to.
fn trust_links(path: &Path) -> Result<(), StageError> {
    for part in path.ancestors() {
        // What cannot be looked at cannot be written beside, either; `canonicalize` has found no loop.
        let (Ok(link), Ok(target)) = (fs::symlink_metadata(part), fs::metadata(part)) else { continue };
        if !link.is_symlink() {
            continue;
        }
        if link.uid() != 0 && link.uid() != target.uid() {
            return Err(StageError::Link { path: part.to_owned(), owner: link.uid() });
        }
        if let Ok(next) = fs::read_link(part) {
            trust_links(&part.parent().unwrap_or(Path::new("/")).join(next))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn pin(text: &str) -> Pin {
        Pin::hold(zeroize::Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn the_new_pin_is_on_disk_before_it_takes_the_old_ones_place() {
        let dir = tempfile::tempdir().unwrap();
        let (file, new) = (dir.path().join("pin"), dir.path().join("pin.new"));
        pin("old").write_new(&file).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        let replacement = Staged::prepare(&file, &pin("new")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
        assert_eq!(fs::read_to_string(&new).unwrap(), "new\n");
        replacement.put().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new\n");
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o400, "the mode stays");
        assert!(!new.exists());
    }

    #[test]
    fn what_an_interrupted_command_left_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pin");
        pin("old").write_new(&file).unwrap();
        std::mem::forget(Staged::prepare(&file, &pin("new")).unwrap());
        let error = Staged::prepare(&file, &pin("newer")).err().unwrap();
        assert!(matches!(error, StageError::Left { .. }), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("pin.new")).unwrap(), "new\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
    }

    #[test]
    fn a_symbolic_link_to_the_file_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("pin"), dir.path().join("link"));
        pin("old").write_new(&file).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        Staged::prepare(&link, &pin("new")).unwrap().put().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    /// To a file of another user: root's, or for root, who alone can give a link away, nobody's.
    #[test]
    fn a_link_to_a_file_of_another_user_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("pin"), dir.path().join("link"));
        pin("old").write_new(&file).unwrap();
        let target = if rustix::process::geteuid().is_root() { &file } else { Path::new("/etc/passwd") };
        std::os::unix::fs::symlink(target, &link).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(65_534), Some(65_534)).unwrap();
        }
        let root_link = dir.path().join("of-root");
        std::os::unix::fs::symlink(&link, &root_link).unwrap();
        for planted in [&link, &root_link] {
            let error = Staged::prepare(planted, &pin("new")).err().unwrap();
            assert!(matches!(error, StageError::Link { .. }), "{error}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
        assert!(!dir.path().join("pin.new").exists());
    }
}
