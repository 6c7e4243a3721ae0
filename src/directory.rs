//! Directories that are made, or taken, where somebody else may write: root makes some inside the signer's own.
//!
//! In: a path. Out: a directory of the user who runs this, with a mode whatever the umask says. Promised: a mode is given to a
//! directory that was opened and looked at, never to what a name leads to by then, and no symbolic link is followed at its end.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;

pub(crate) mod whole_file;

/// Makes one.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], or it cannot be made, or something else is there by the time that it is opened.
pub(crate) fn make(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    take(path, mode)
}

/// Gives one that is there this mode.
///
/// # Errors
/// It is another user's, or a symbolic link, or no directory; it is left as it is.
pub(crate) fn take(path: &Path, mode: u32) -> io::Result<()> {
    is_own(path)?;
    // Whoever may write beside it may have put something else there since.
    let flags = i32::try_from((OFlags::DIRECTORY | OFlags::NOFOLLOW).bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    belongs(&opened.metadata()?, geteuid().as_raw())?;
    opened.set_permissions(Permissions::from_mode(mode))
}

/// Whether what is there is a directory of the user who runs this.
///
/// # Errors
/// It is not, and why.
pub(crate) fn is_own(path: &Path) -> io::Result<()> {
    is_one(path)?;
    belongs(&fs::symlink_metadata(path)?, geteuid().as_raw())
}

/// Whether what is there is a directory, whosever it is.
///
/// # Errors
/// It is not, and why.
pub(crate) fn is_one(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?.file_type();
    let wrong = if found.is_symlink() {
        "it is a symbolic link, which is not followed: name the directory itself"
    } else if found.is_dir() {
        return Ok(());
    } else {
        "it is no directory: move it away, or name another"
    };
    Err(io::Error::new(io::ErrorKind::NotADirectory, wrong))
}

fn belongs(found: &fs::Metadata, user: u32) -> io::Result<()> {
    let owner = found.uid();
    if owner == user {
        return Ok(());
    }
    let wrong = format!(
        "it belongs to user {owner}, who could change what is made in it, and not to user {user}, who runs this: name another directory, \
         or run this as user {owner}"
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, wrong))
}

/// Makes the entry of `path` in its directory durable.
///
/// # Errors
/// That directory cannot be read.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn one_is_made_once_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made");
        make(&path, 0o755).unwrap();
        assert_eq!(mode(&path), 0o755);
        assert_eq!(make(&path, 0o700).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(mode(&path), 0o755);
        take(&path, 0o700).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn nothing_that_a_link_leads_to_gets_a_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, file, link) =
            (dir.path().join("secret"), dir.path().join("file"), dir.path().join("link"));
        make(&secret, 0o700).unwrap();
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        for target in [&secret, &file] {
            symlink(target, &link).unwrap();
            let before = mode(target);
            let error = take(&link, 0o755).unwrap_err().to_string();
            assert!(error.contains("symbolic link"), "{error}");
            assert_eq!(make(&link, 0o755).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(mode(target), before);
            fs::remove_file(&link).unwrap();
        }
        assert!(take(&file, 0o755).unwrap_err().to_string().contains("no directory"));
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn one_of_another_user_is_not_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        let (found, user) = (fs::symlink_metadata(dir.path()).unwrap(), geteuid().as_raw());
        belongs(&found, user).unwrap();
        let error = belongs(&found, user + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains(&format!("it belongs to user {user}")), "{error}");
    }
}
