//! One command at a time makes the list at a path: whoever begins later knows of more revocations, and must not be overwritten.
//!
//! In: the list's path. Out: a [`Turn`], which others wait for while it lives. What holds it is a lock of the kernel on `PATH.lock`, so that
//! a command that is killed leaves nothing to clear; the file stays. Not done here: hosts that share a directory without its locks.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::OFlags;

use crate::cli::ledger::note;

/// That nobody else makes this list.
#[derive(Debug)]
pub(super) struct Turn {
    /// Unlocked when it is closed.
    _lock: File,
}

impl Turn {
    /// Waits until nobody else makes the list at `target`.
    pub(super) fn at(target: &Path) -> anyhow::Result<Self> {
        let mut path = target.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let cannot = || format!("cannot lock {}", path.display());
        let no_link = OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).custom_flags(no_link);
        let lock = options.open(&path).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                note(&format!("another command makes {}; waiting for it", target.display()))?;
                lock.lock().with_context(cannot)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        Ok(Self { _lock: lock })
    }
}
