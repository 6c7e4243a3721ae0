//! Reads the log of a signer that runs, while it runs.
//!
//! In: work that reads, from any task. Out: what it comes to, on what was durable when it began. Promised: the writer is not
//! held up. Readers have connections of their own, few of them, and threads where they may block; a read that may take
//! long is many short ones, between which others have their turn. One that meets damage in the index has the next start make it anew.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::ledger::archive::{Archive, ArchiveError};
use crate::ledger::index::View;
use crate::ledger::{LedgerError, Place, Reader, index};

/// How many read at once; more wait for their turn.
const TURNS: usize = 4;

/// The log that is being written. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Place,
    view: watch::Receiver<View>,
    turns: Arc<Semaphore>,
    /// Connections that nobody uses now.
    idle: Mutex<Vec<Reader>>,
}

/// Tells how many entries are durable.
#[derive(Clone, Debug)]
pub struct Growth(watch::Receiver<View>);

impl Live {
    pub(super) fn new(place: Place, view: watch::Receiver<View>) -> Self {
        let (turns, idle) = (Arc::new(Semaphore::new(TURNS)), Mutex::new(Vec::new()));
        Self(Arc::new(Inner { place, view, turns, idle }))
    }

    /// How many entries are durable.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.view.borrow().entries()
    }

    /// The same, as it changes.
    #[must_use]
    pub fn growth(&self) -> Growth {
        Growth(self.0.view.clone())
    }

    /// What `work` comes to, which may block, and should not for long.
    ///
    /// # Errors
    /// Those of `work`, or that the log cannot be opened or is closed.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let turn = Arc::clone(&self.0.turns).acquire_owned().await.map_err(|_| ArchiveError::Closed)?;
        let live = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let reader = live.reader()?;
            let view = live.view.borrow().clone();
            let archive = Archive::live(reader, view);
            let result = work(&archive);
            live.idle().push(archive.into_reader());
            drop(turn);
            if let Err(ArchiveError::Damaged(damage)) = &result {
                index::condemn(&index::path(live.place.path()), damage);
            }
            result
        });
        // It fails if the work panicked, which ends the process in a release build, or if the runtime ends.
        done.await.map_err(|_| ArchiveError::Closed)?
    }

    /// Returns once nobody reads any more and the connections are closed. Later reads fail.
    pub(super) async fn close(&self) {
        let all = self.0.turns.acquire_many(u32::try_from(TURNS).unwrap_or(u32::MAX)).await;
        self.0.turns.close();
        self.0.idle().clear();
        drop(all);
    }
}

impl Inner {
    fn reader(&self) -> Result<Reader, LedgerError> {
        let idle = self.idle().pop();
        idle.map_or_else(|| Reader::open(&self.place), Ok)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Growth {
    /// How many entries are durable, once there are more than `size`; `None` if there will be no more.
    pub async fn beyond(&mut self, size: u64) -> Option<u64> {
        self.0.wait_for(|view| view.entries() > size).await.ok().map(|view| view.entries())
    }
}
