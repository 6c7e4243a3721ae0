//! The record of what was asked, decided and signed: nothing is signed unless it is here first.
//!
//! In: a [`Decision`](crate::policy::Decision). Out: a [`Recorded`] decision, durable; if it permits, an [`Intent`], the only thing
//! that a token signs, or the [`Replay`] of an answer that was given before. [`Ledger::settle`] appends the outcome and is the
//! only way from a verified signature to an answer; a replay verifies the recorded signature again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use countersign_tbs::crl::CrlNumber;
use tokio::sync::watch;

use crate::caller::{Caller, CallerName};

mod account;
mod admit;
mod archive;
pub mod audit;
mod bucket;
mod budget;
mod ceremony;
pub mod checkpoint;
pub mod checkpoints;
mod claim;
mod claimed;
mod clock;
mod compromised;
mod config;
mod crl_number;
mod debt;
pub mod entry;
mod error;
mod filter;
#[cfg(test)]
pub(crate) mod fixture;
mod index;
mod intent;
mod kept;
mod key_deletion;
mod key_record;
mod key_wrapping;
mod leaf;
mod live;
mod lock;
mod meant;
pub mod merkle;
pub mod note;
mod order;
mod place;
pub mod postgres;
mod reader;
mod record;
mod revocation;
mod revoked;
pub mod rotation;
mod search;
mod served;
mod sqlite;
mod store;
mod thaw;
pub mod tiles;
pub mod witness;
mod writable;
mod writer;

pub use archive::{Archive, ArchiveError, Consistency, Inclusion, Page, RawEntry};
pub use ceremony::Ceremony;
pub use checkpoints::{Checkpointing, SignedCheckpoint};
pub use config::Config;
pub use entry::{Entry, leaf_hash};
pub use error::{LedgerError, StoreError};
pub use filter::{Filter, NoSerial, Revocations, Serial};
pub use index::{RecordedTiles, UnusableIndex};
pub use intent::{Intent, Permitted, Recorded, Refused, SelfTest};
pub use key_deletion::KeyDeletion;
pub use key_record::{KeyRecorded, Unrecorded};
pub use key_wrapping::KeyWrapping;
pub use live::{Growth, Live};
pub(crate) use order::Order;
pub use order::Replay;
pub use place::Place;
pub use reader::{LogState, LoggedRevocation, Reader};
pub use revocation::{Revocation, RevokeError};
pub use revoked::{Due, Interval};
pub use rotation::{Links, Rotation};
pub use search::Search;
pub use served::{CallFailed, Served, Serves};
pub use thaw::Thaw;

use claim::Conflict;
use clock::{LogClock, Newest};
use compromised::Compromised;
use debt::Debt;
use entry::UnixMillis;
use index::{Limits, TileFiles};
use leaf::Leaf;
use record::{ca_key, word};
use store::Store;
use writable::Writable;
use writer::{Closed, Queue, Rulings};

/// How long whoever asks whether the ledger would take a record waits for an answer. A disk that reads a bad sector again and again, and comes back,
/// takes some seven seconds; a database that says nothing is given up after its own `postgres_timeout`, of five.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// An open ledger. Cheap to clone; all clones share one writer.
#[derive(Clone, Debug)]
pub struct Ledger {
    queue: Queue,
    live: Live,
    readers: Arc<BTreeSet<CallerName>>,
    writable: Writable,
    origin: Arc<str>,
    /// Which log of its store it is.
    log: i32,
    place: Arc<Place>,
    tiles: Arc<TileFiles>,
    checkpoint: watch::Sender<Option<Arc<SignedCheckpoint>>>,
    checkpointing: watch::Sender<Checkpointing>,
    /// How it goes with the witnesses of checkpoints.
    witnessing: watch::Sender<Checkpointing>,
    /// What the steps of rotations have come to.
    links: watch::Receiver<Arc<Links>>,
    /// When it was opened, by the clock or by its newest entry, whichever is later.
    opened: UnixMillis,
    /// The time of its newest entry.
    newest: Newest,
    /// [`UnixMillis::now`], but in tests of a clock that is wrong.
    now: fn() -> UnixMillis,
}

/// Where an entry is in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// Its index, from 0.
    pub index: u64,
    /// RFC 6962 §2.1: SHA-256(0x00 || entry).
    pub leaf_hash: [u8; 32],
}

impl Ledger {
    /// Opens the log, begins it if there is none, and starts its writer. Blocks for some ten milliseconds.
    ///
    /// # Errors
    /// [`LedgerError`]: another process has it open, it is another log or none at all, damaged, or out of reach; or the
    /// clock is behind its newest entry.
    pub fn open(config: &Config) -> Result<Self, LedgerError> {
        Self::open_by(config, UnixMillis::now, Limits::default())
    }

    fn open_by(config: &Config, now: fn() -> UnixMillis, limits: Limits) -> Result<Self, LedgerError> {
        match Self::open_once(config, now, limits) {
            // What was met has condemned the index, so that another is made this time.
            Err(LedgerError::Index { source, .. }) if matches!(*source, ArchiveError::Damaged(_)) => {
                Self::open_once(config, now, limits)
            }
            opened => opened,
        }
    }

    fn open_once(config: &Config, now: fn() -> UnixMillis, limits: Limits) -> Result<Self, LedgerError> {
        match config.postgres {
            None => Self::start(sqlite::Store::open(config, limits)?, config, now),
            Some(_) => Self::start(postgres::Store::open(config, limits)?, config, now),
        }
    }

    fn start(mut store: impl Store, config: &Config, now: fn() -> UnixMillis) -> Result<Self, LedgerError> {
        let opened = store.newest().max(now());
        let clock = LogClock::new(config.path.clone(), store.newest(), config.clock_tolerance);
        clock.check(now())?;
        let newest = clock.watch();
        let (tiles, index) = (store.index().tiles(), store.index().view());
        let archive = Archive::live(Reader::open(config)?, index.borrow().clone());
        let ruled = ruled(&mut store, &archive, now());
        if let Err(ArchiveError::Damaged(damage)) = &ruled {
            index::condemn(&index::path(&config.path), damage);
        }
        let (barred, links) = ruled.map_err(|error| unreadable(&config.path, error))?;
        let log = archive.reader().log();
        drop(archive);
        let live = Live::new(config.into(), index);
        let (learnt, links) = watch::channel(Arc::new(links));
        let queue = writer::start(store, clock, Rulings { barred, links: learnt })?;
        let (origin, place) = (Arc::from(config.origin.as_str()), Arc::new(config.into()));
        let readers = Arc::new(config.readers.clone());
        let (writable, checkpoint) = (Writable::new(), watch::Sender::new(None));
        let (checkpointing, witnessing) = (watch::Sender::default(), watch::Sender::default());
        Ok(Self {
            queue,
            live,
            readers,
            writable,
            origin,
            log,
            place,
            tiles,
            checkpoint,
            checkpointing,
            witnessing,
            links,
            opened,
            newest,
            now,
        })
    }

    /// Whether [`Self::open`] would find its log, as far as that can be told without the lock and without writing.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn check(config: &Config) -> Result<(), LedgerError> {
        let path = config.path.clone();
        if !path.parent().is_some_and(Path::is_dir) {
            return Err(LedgerError::NoDirectory { path });
        }
        let cut = config.reader()?.map_or(Ok(None), |reader| reader.cut())?;
        cut.map_or(Ok(()), Err)
    }

    /// The log's name in receipts.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What reads it while it is written.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Whether the configuration lets a caller read it.
    #[must_use]
    pub fn may_be_read_by(&self, caller: &Caller) -> bool {
        self.readers.contains(caller.name())
    }

    /// When it was opened, by the clock or by its newest entry, whichever is later: a clock that was set back brings nothing back.
    pub(crate) fn opened(&self) -> UnixMillis {
        self.opened
    }

    /// The time now, by the clock or by its newest entry, whichever is later: as late as it has ever been here.
    pub(crate) fn latest(&self) -> UnixMillis {
        (self.now)().max(self.newest.get())
    }

    /// The file, or what its files on this host are named by.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// How many entries are in the log, durably, as it grows.
    #[must_use]
    pub fn watch_size(&self) -> watch::Receiver<u64> {
        self.queue.size()
    }

    /// The newest signed checkpoint, if there is one.
    #[must_use]
    pub fn latest_checkpoint(&self) -> Option<Arc<SignedCheckpoint>> {
        self.checkpoint.borrow().clone()
    }

    /// The same, as they follow each other; whoever looks seldom sees the newest alone.
    #[must_use]
    pub fn watch_checkpoints(&self) -> watch::Receiver<Option<Arc<SignedCheckpoint>>> {
        self.checkpoint.subscribe()
    }

    /// Whether the newest checkpoints have their quorum of witnesses, as it changes.
    #[must_use]
    pub fn watch_witnessing(&self) -> watch::Receiver<Checkpointing> {
        self.witnessing.subscribe()
    }

    /// How the signing of checkpoints goes, as it changes.
    #[must_use]
    pub fn watch_checkpointing(&self) -> watch::Receiver<Checkpointing> {
        self.checkpointing.subscribe()
    }

    /// Whether the ledger took the newest record that it was asked for, or the newest intent if that was too large for a disk that is full, as it
    /// changes. It asks for none by itself.
    #[must_use]
    pub fn watch_writable(&self) -> watch::Receiver<bool> {
        self.writable.watch()
    }

    /// The same, now.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable.is()
    }

    /// Why it takes nothing now, if it does not.
    #[must_use]
    pub fn refuses(&self) -> Option<LedgerError> {
        self.writable.refused()
    }

    /// Takes note of what became of a record.
    fn noted<T>(&self, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        self.writable.note(result.as_ref().err(), || self.queue.is_condemned());
        result
    }

    /// The same of an intent of so many bytes. One that is in conflict with what is recorded is not written, and so tells nothing of the disk.
    fn noted_intent<T>(
        &self,
        bytes: usize,
        result: Result<Result<T, Conflict>, LedgerError>,
    ) -> Result<Result<T, Conflict>, LedgerError> {
        if matches!(result, Ok(Err(_))) {
            return result;
        }
        self.writable.note_intent(result.as_ref().err(), bytes);
        self.noted(result)
    }

    /// Takes no entries any more but outcomes, and says why to all who have one.
    fn condemn(&self, error: LedgerError) {
        self.writable.refuse(&error);
        if !self.queue.is_condemned() {
            tracing::error!("THE SIGNER SIGNS NOTHING ANY MORE: {error}");
        }
        self.queue.condemn(error);
        self.writable.stop();
    }

    /// Takes note if it would not take a record now, without one: of a database that is gone, a disk that is full or read-only or a clock that
    /// is behind, whoever asks for the signer's health is to know before somebody asks for a signature. That it would take one is no news:
    /// only what is written proves it. After an intent that was not taken, room is looked for as much as that takes. It would not either if
    /// nothing is answered for ten seconds: a disk that hangs tells nobody.
    ///
    /// # Errors
    /// What is noted.
    pub async fn probe(&self) -> Result<(), LedgerError> {
        self.probe_within(ANSWERS_WITHIN).await
    }

    async fn probe_within(&self, limit: Duration) -> Result<(), LedgerError> {
        let bytes = self.writable.wanted();
        let probed = tokio::time::timeout(limit, self.queue.probe((self.now)(), bytes)).await;
        let unanswered = |_| Err(self.place.unavailable(StoreError::Unanswered { within: limit }));
        match probed.unwrap_or_else(unanswered) {
            Ok(()) => {
                self.writable.found(bytes);
                Ok(())
            }
            refused => self.noted(refused),
        }
    }

    /// The number of the newest CRL, complete or delta, of the key whose SPKI has this SHA-256, as the next one is judged by it.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn newest_crl_number(&self, spki_sha256: [u8; 32]) -> Result<Option<CrlNumber>, LedgerError> {
        self.queue.newest_crl_number((self.now)(), spki_sha256).await
    }

    /// Writes all that waits, closes the file and gives up its lock. Later records fail; settle what was recorded first. Whoever merely drops a
    /// ledger does not know when its writer has done that: until then, opening it again is [`LedgerError::Locked`].
    pub async fn close(&self) {
        self.close_log().await.index().await;
    }

    /// The same, and returns once the log is closed, with all that waited in it. Its index may take long: a process that ends before leaves one that
    /// lags, which the next start brings up to the log.
    pub(crate) async fn close_log(&self) -> Closed {
        // Whoever has the file open when its writer closes it leaves its write-ahead log behind.
        self.live.close().await;
        self.queue.close().await
    }
}

/// What operators have ruled until now, by the log; the store keeps what their revocations mean.
fn ruled(
    store: &mut impl Store,
    archive: &Archive,
    now: UnixMillis,
) -> Result<(Compromised, Links), ArchiveError> {
    let revocations = compromised::revocations(archive)?;
    kept::catch_up(store, archive, &revocations, now)?;
    let barred = Compromised::of(revocations.iter().map(|(_, entry)| entry));
    Ok((barred, Links::read(archive)?))
}

/// Why a log is not opened whose rulings cannot be read: nobody knows what it must not sign.
fn unreadable(path: &Path, error: ArchiveError) -> LedgerError {
    match error {
        ArchiveError::Ledger(error) => error,
        of_index => LedgerError::Index { path: index::path(path), source: Arc::new(of_index) },
    }
}

#[cfg(test)]
mod tests;
