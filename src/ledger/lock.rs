//! A file that one process holds locked.
//!
//! In: an open file. Out: its lock, for as long as what is returned lives, and no longer. Merely closed, the file stays locked while a child that was
//! forked meanwhile, of whatever thread, has it too: until that runs a program of its own. So it does for a moment after its process was killed.

use std::fs::{File, TryLockError};
use std::sync::mpsc::channel;
use std::thread::Builder;
use std::time::Duration;

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

    /// The same, once whoever is just ending has given it up, for as long as `patience`.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if it is held for longer.
    pub(super) fn within(patience: Duration, file: File) -> Result<Self, TryLockError> {
        match file.try_lock() {
            Ok(()) => return Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {}
            Err(error) => return Err(error),
        }
        let (tell, told) = channel();
        // The system waits for a lock without an end. Whoever is told of it too late gives it up.
        let wait = move || drop(tell.send(file.lock().map(|()| Self(file))));
        Builder::new().name("ledger-lock".to_owned()).spawn(wait).map_err(TryLockError::Error)?;
        match told.recv_timeout(patience) {
            Ok(locked) => locked.map_err(TryLockError::Error),
            Err(_) => Err(TryLockError::WouldBlock),
        }
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

    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// Far more than anything takes here.
    const LIMIT: Duration = Duration::from_secs(60);

    fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
        let since = Instant::now();
        while !is_so() {
            assert!(since.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
            thread::yield_now();
        }
    }

    /// How the kernel lists who waits for a lock (proc_locks(5)): by the file's inode.
    fn is_waited_for(path: &Path) -> bool {
        let end = format!(":{} 0 EOF", fs::metadata(path).unwrap().ino());
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|lock| lock.contains("-> FLOCK") && lock.ends_with(&end))
    }

    /// Whether this process has the file open, as whoever has its lock, waits for it or is about to has it.
    fn is_open(path: &Path) -> bool {
        let inode = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
        let ours = inode(path).unwrap();
        // One that has been closed meanwhile is none.
        let mut files = fs::read_dir("/proc/self/fd").unwrap();
        files.any(|file| inode(&file.unwrap().path()).is_ok_and(|file| file == ours))
    }

    #[test]
    fn a_lock_that_the_child_of_a_process_that_was_killed_has_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let file = File::create(&path).unwrap();
        file.lock().unwrap();
        let childs = file.try_clone().unwrap();
        drop(file);
        let next = File::create(&path).unwrap();
        let next = thread::spawn(|| Lock::within(LIMIT, next));
        wait_until("the next one waits", || is_waited_for(&path) || next.is_finished());
        assert!(!next.is_finished(), "{:?}", next.join());
        // It runs a program of its own.
        drop(childs);
        next.join().unwrap().unwrap();
    }

    #[test]
    fn whoever_waited_too_long_for_a_lock_keeps_it_from_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = Lock::of(File::create(&path).unwrap()).unwrap();
        let late = Lock::within(Duration::ZERO, File::create(&path).unwrap());
        assert!(matches!(late, Err(TryLockError::WouldBlock)), "{late:?}");
        wait_until("who is late waits on", || is_waited_for(&path));
        drop(lock);
        // It is woken, and gets the lock: only that it has closed the file is the end of that.
        wait_until("who is late gives it up", || !is_open(&path));
        Lock::of(File::create(&path).unwrap()).unwrap();
    }

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
