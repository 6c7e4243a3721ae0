//! Files and directories that a command makes, and never writes over.
//!
//! In: a path, and who may read it. Out: a file or a directory that was not there before, with that mode whatever the umask says.
//! Nothing is half there under a name that somebody reads: what fails names the file, and is for a person to look at.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;

use crate::directory;

/// Who may read a file.
#[derive(Clone, Copy)]
pub(super) enum Readers {
    /// Its owner.
    Owner,
    /// Everybody who gets into its directory.
    All,
}

impl Readers {
    const fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::All => 0o644,
        }
    }
}

/// Makes a file with this content.
///
/// # Errors
/// It is there already, or cannot be written.
pub(super) fn file(path: &Path, content: &[u8], readers: Readers) -> anyhow::Result<()> {
    let mode = readers.mode();
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.with_context(|| format!("cannot make {}", path.display()))?;
    let written = file
        .set_permissions(Permissions::from_mode(mode))
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all());
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a directory for its owner alone.
///
/// # Errors
/// It is there already, or cannot be made.
pub(super) fn directory(path: &Path) -> anyhow::Result<()> {
    let made = directory::make(path, 0o700).and_then(|()| directory::sync_parent(path));
    made.with_context(|| format!("cannot make the directory {}", path.display()))
}

/// A path as a POSIX shell reads it back.
pub(super) fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
