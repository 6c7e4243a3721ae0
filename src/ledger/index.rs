//! What finds an entry again: by what it claims, by what people look for, and by its place in the Merkle tree.
//!
//! In: the hash and the terms of each entry, as the writer appends it. Out: the entries that a term leads to, and the tree's
//! tiles. All of it can be told from the log, so it is in files of its own, beside the log's, and is written behind it in long
//! sorted runs by one thread: random keys dirty no page within the transaction that a caller waits for. Hashes, which come in order, are
//! noted at once, so that a change of what was written is found though the signer is killed. Promised: what is
//! in the log is found, whether the files know it or not; memory is bounded, and at the bound the log takes no entries
//! until the files do. Not decided here: whether what a term leads to is what was looked for; the entry says.

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::ledger::Leaf;
use crate::ledger::error::StoreError;
use crate::ledger::merkle::Hash;

mod checker;
mod directory;
mod files;
mod find;
mod open;
mod recorded;
mod run;
mod term;
mod thread;
mod tiles;
mod view;
mod waiting;

pub(super) use open::{Leaves, Log, Next, Visit};
pub use recorded::{RecordedTiles, UnusableIndex};
pub(super) use term::{Kind, Term, TermKey, parsed, takes_serial};
pub(super) use tiles::TileFiles;
pub(super) use view::{Meeting, Step, View, Word};

use checker::Checker;
use files::Runs;
use thread::{Attempt, Thread};
use waiting::Waiting;

/// How much waits before it is written, and how much may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// So many entries are written together.
    pub(super) flush: u64,
    /// So many may wait; then the log takes no more.
    pub(super) bound: u64,
    /// After so long, fewer are written, too.
    pub(super) age: Duration,
    /// How long until files that could not be written are tried again, at least.
    pub(super) pause: Duration,
}

impl Default for Limits {
    /// Each flush writes the newest level of runs anew, up to four times as much as it adds, so that it does not come by
    /// the clock alone more often than hourly. At the bound some 30 MiB wait.
    fn default() -> Self {
        let (age, pause) = (Duration::from_secs(3600), Duration::from_secs(1));
        Self { flush: 16_384, bound: 131_072, age, pause }
    }
}

/// The index of a log, for the one who writes both.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    key: TermKey,
    limits: Limits,
    /// What the newest entries are found by.
    active: Waiting,
    /// Since when they gather.
    since: Instant,
    /// What those before are found by, while it is being written.
    writing: Option<Arc<Waiting>>,
    /// Why it could not be written the last time.
    failure: Option<Arc<io::Error>>,
    runs: Runs,
    tiles: Arc<TileFiles>,
    /// The hashes of the transaction that is not committed.
    hashes: Vec<Hash>,
    /// When those of the newest entries could not be noted the last time.
    unnoted: Option<Instant>,
    thread: Thread,
    /// What readers see.
    view: watch::Sender<View>,
    /// Looks into what readers find entries by, until it is dropped.
    _checker: Checker,
}

impl Index {
    /// What its terms are hashed with.
    pub(super) fn key(&self) -> TermKey {
        self.key
    }

    /// The tiles of all entries that are in the log.
    pub(super) fn tiles(&self) -> Arc<TileFiles> {
        Arc::clone(&self.tiles)
    }

    /// How many entries it knows.
    pub(super) fn entries(&self) -> u64 {
        self.active.entries().end
    }

    /// What it knows, as it changes, for those who read: no reader holds it up.
    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    fn publish(&self) {
        let writing = self.writing.as_deref();
        self.view.send_modify(|view| view.update(&self.active, writing, &self.runs));
    }

    /// Prepares for the next transaction: forgets what the last one left, if it failed.
    ///
    /// # Errors
    /// [`StoreError::IndexBehind`] if too much waits, and cannot be written. If it merely takes long, this waits.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        self.active.take_back();
        self.hashes.clear();
        while let Some(attempt) = self.thread.attempt() {
            self.took(attempt);
        }
        while self.active.weight() >= self.limits.bound && self.writing.is_some() {
            if let Some(source) = &self.failure {
                let (path, source) = (self.path.clone(), Arc::clone(source));
                return Err(StoreError::IndexBehind { path, waiting: self.waiting(), source });
            }
            let attempt = self.thread.next_attempt();
            self.took(attempt);
            self.hand_over_if_due();
        }
        Ok(())
    }

    /// The next entry is `leaf`, in the transaction that is not committed.
    pub(super) fn append(&mut self, leaf: &Leaf) {
        self.active.append(&leaf.terms);
        self.hashes.push(leaf.hash);
    }

    /// What was appended is in the log.
    pub(super) fn confirm(&mut self) {
        self.active.confirm();
        self.tiles.append(&self.hashes);
        self.note();
        self.hashes.clear();
        self.hand_over_if_due();
        self.publish();
    }

    /// Notes the hashes of the newest entries. One line when it begins to fail and one when it ends; not tried with each entry meanwhile, for each
    /// try has all that are missing.
    fn note(&mut self) {
        if self.unnoted.is_some_and(|failed| failed.elapsed() < self.limits.pause) {
            return;
        }
        let path = self.path.display();
        match self.tiles.note() {
            Ok(()) if self.unnoted.take().is_some() => {
                tracing::warn!("index {path} of the ledger has the hashes of the newest entries again");
            }
            Ok(()) => {}
            Err(cause) => {
                if self.unnoted.is_none() {
                    tracing::warn!(
                        %cause,
                        "index {path} of the ledger does not get the hashes of the newest entries, by which it is told if they are changed: \
                         check the space and health of its disk"
                    );
                }
                self.unnoted = Some(Instant::now());
            }
        }
    }

    /// What `judge` makes of the newest of the entries that `term` leads to for which it makes anything.
    ///
    /// # Errors
    /// [`StoreError::IndexDamaged`] if what was read is not what was written, [`StoreError::Index`] if nothing was, and what `judge` says.
    pub(super) fn newest<T>(
        &self,
        term: Term,
        mut judge: impl FnMut(u64) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        for waiting in [Some(&self.active), self.writing.as_deref()].into_iter().flatten() {
            for index in waiting.newest_first(term.hash) {
                if let Some(found) = judge(index)? {
                    return Ok(Some(found));
                }
            }
        }
        for run in &self.runs.claims {
            let found = run.newest(term.hash, &mut judge).map_err(|error| self.marked(error))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Has the next start make the index anew, if what it led to is that it is damaged.
    fn marked(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Index(damage) if damage.kind() == io::ErrorKind::InvalidData => {
                StoreError::IndexDamaged(files::condemn(&self.path, &damage))
            }
            other => other,
        }
    }

    fn hand_over_if_due(&mut self) {
        let is_due = self.active.weight() >= self.limits.flush
            || (self.active.weight() > 0 && self.since.elapsed() >= self.limits.age);
        if is_due && self.writing.is_none() {
            self.hand_over();
        }
    }

    /// Has what the newest entries are found by written.
    fn hand_over(&mut self) {
        let next = Waiting::new(self.active.entries().end);
        let full = Arc::new(std::mem::replace(&mut self.active, next));
        self.since = Instant::now();
        self.thread.write(Arc::clone(&full));
        self.writing = Some(full);
    }

    /// One line when it begins and one when it ends, as the log's own writer has them.
    fn took(&mut self, attempt: Attempt) {
        match attempt {
            Ok(runs) => {
                (self.runs, self.writing) = (runs, None);
                self.publish();
                if self.failure.take().is_some() {
                    tracing::warn!("index {} of the ledger is written again", self.path.display());
                }
            }
            Err(error) => {
                if self.failure.is_none() {
                    let (path, waiting) = (self.path.display(), self.waiting());
                    tracing::error!(
                        waiting,
                        cause = %error,
                        "index {path} of the ledger cannot be written; when {} entries wait, nothing is signed any \
                         more: check the space and health of its disk",
                        self.limits.bound
                    );
                }
                self.failure = Some(Arc::new(error));
            }
        }
    }

    /// How many entries the files do not know.
    fn waiting(&self) -> u64 {
        let first =
            self.writing.as_ref().map_or(self.active.entries().start, |writing| writing.entries().start);
        self.active.entries().end - first
    }

    /// Writes all that waits, if that is possible at once.
    fn flush(&mut self) -> Result<(), Arc<io::Error>> {
        self.active.take_back();
        while let Some(attempt) = self.thread.attempt() {
            self.took(attempt);
        }
        if self.writing.is_some() {
            if self.failure.is_some() {
                self.thread.again();
            }
            let attempt = self.thread.next_attempt();
            self.took(attempt);
        }
        if self.writing.is_none() && self.active.weight() > 0 {
            self.hand_over();
            let attempt = self.thread.next_attempt();
            self.took(attempt);
        }
        self.failure.clone().map_or(Ok(()), Err)
    }
}

impl Drop for Index {
    /// What is not written is read from the log at the next start.
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            let error: &dyn Error = &error;
            tracing::warn!(cause = %error, "index {} of the ledger lags; the next start reads the log", self.path.display());
        }
    }
}

/// Has the next start make the index at `path` anew, because of `damage`.
pub(super) fn condemn(path: &Path, damage: &io::Error) {
    files::condemn(path, damage);
}

/// The index of the log at `ledger`.
pub(super) fn path(ledger: &Path) -> PathBuf {
    let mut path = OsString::from(ledger);
    path.push("-index");
    PathBuf::from(path)
}
