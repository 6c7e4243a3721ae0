//! A file that one process holds locked.
//!
//! In: an open file. Out: its lock, for as long as what is returned lives, and no longer. Merely closed, the file stays locked while a child that was
//! forked meanwhile, of whatever thread, has it too: until that runs a program of its own.

use std::fs::{File, TryLockError};

/// Gives the lock up when it is dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// # Errors
    /// [`TryLockError::WouldBlock`] while somebody holds it, in this process too.
    pub(super) fn of(file: File) -> Result<Self, TryLockError> {
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If it fails, closing the file does the same, if later.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs::File;

    use super::Lock;

    /// A duplicate is what a child has that was forked.
    #[test]
    fn a_lock_that_is_given_up_is_free_though_a_child_has_its_file_still() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let file = File::create(&path).unwrap();
        let _childs = file.try_clone().unwrap();
        let lock = Lock::of(file).unwrap();
        let another = || Lock::of(File::create(&path).unwrap());
        another().unwrap_err();
        drop(lock);
        another().unwrap();
    }
}
