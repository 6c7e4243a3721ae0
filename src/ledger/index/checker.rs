//! Looks, once after a start and beside everything else, whether what people find entries by is what was written.
//!
//! In: the runs that were opened from their files. Out: the mark that has the next start make the index anew, and a line in the
//! log. Neither a start nor anybody who looks something up waits for it: these runs are the longest of an index, and whoever reads
//! some blocks of one makes sure of those.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use crate::ledger::index::files::condemn;
use crate::ledger::index::find::FindRun;

/// The thread that looks.
#[derive(Debug)]
pub(super) struct Checker {
    stop: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

impl Checker {
    /// Starts it on the runs of the index at `path`.
    pub(super) fn start(path: PathBuf, runs: Arc<[Arc<FindRun>]>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || check(&path, &runs, &stopped);
        let handle = Builder::new().name("ledger-check".to_owned()).spawn(work)?;
        Ok(Self { stop, handle: Some(handle) })
    }
}

impl Drop for Checker {
    /// Returns once it reads nothing any more.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(handle) = self.handle.take() {
            // A panic has been reported where it was.
            let _ = handle.join();
        }
    }
}

fn check(path: &Path, runs: &[Arc<FindRun>], stopped: &AtomicBool) {
    for run in runs {
        match run.check(|| !stopped.load(Ordering::Relaxed)) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let damage = condemn(path, &error);
                tracing::error!(cause = %damage, "index {} is damaged, and finds nothing for readers", path.display());
                return;
            }
            // What cannot be read now, whoever looks something up is told.
            Ok(()) | Err(_) => {}
        }
    }
}
