//! The index's directory, before anything in it is believed: this user's own, and closed to all others.
//!
//! In: its path. Out: whether others could reach it until now; it is closed to them. Not done here: what is in the files.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Whether others could reach what is in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// They could not, or there is none.
    Private,
    /// They could read the key of its hashes, or put files in it.
    Exposed,
}

/// Closes the index at `path`, whose manifest has this name, to everybody else.
pub(super) fn close(path: &Path, manifest: &str) -> io::Result<Access> {
    let Some(directory) = metadata(path)? else { return Ok(Access::Private) };
    if !directory.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory; move it away"));
    }
    if directory.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
    }
    let mode = directory.mode() & 0o777;
    let others = mode & 0o077;
    if others == 0 {
        return Ok(Access::Private);
    }
    tracing::warn!(
        "index {} had mode {mode:04o}, so that others could reach it: it has 0700 now",
        path.display()
    );
    let is_read = metadata(&path.join(manifest))?.is_some_and(|manifest| manifest.mode() & 0o044 != 0);
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    Ok(if is_read || mode & 0o022 != 0 { Access::Exposed } else { Access::Private })
}

/// Of the file itself, not of where it leads.
fn metadata(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata.map(Some),
    }
}
