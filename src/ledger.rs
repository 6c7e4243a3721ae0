//! The record of what was asked, decided and signed: nothing is signed unless it is here first.
//!
//! In: a [`Decision`]. Out: a [`Recorded`] decision, durable; if it permits, an [`Intent`], the only thing that a token
//! signs, or the [`Replay`] of an answer that was given before. [`Ledger::settle`] appends the outcome and is the only way
//! from a verified signature to an answer; a replay verifies the recorded signature again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use countersign_tbs::crl::CrlNumber;
use tokio::sync::watch;

use crate::caller::{Caller, CallerName};
use crate::key::Key;
use crate::policy::{Decision, Refusal};
use crate::sign::{Failure, Priority, Request, Signed};
use crate::verify::Signature;

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
mod clock;
mod compromised;
mod crl_number;
mod debt;
pub mod entry;
mod error;
mod filter;
#[cfg(test)]
pub(crate) mod fixture;
mod index;
mod kept;
mod key_record;
mod leaf;
mod live;
mod meant;
pub mod merkle;
pub mod note;
mod order;
mod place;
pub mod postgres;
mod reader;
mod revocation;
mod revoked;
pub mod rotation;
mod search;
mod sqlite;
mod store;
pub mod tiles;
pub mod witness;
mod wrapping;
mod writer;

pub use admit::{KeyDeletion, Thaw};
pub use archive::{Archive, ArchiveError, Consistency, Inclusion, Page, RawEntry};
pub use ceremony::Ceremony;
pub use checkpoints::{Checkpointing, SignedCheckpoint};
pub use entry::{Entry, leaf_hash};
pub use error::{LedgerError, StoreError};
pub use filter::{Filter, NoSerial, Revocations, Serial};
pub use index::{RecordedTiles, UnusableIndex};
pub use key_record::{KeyRecorded, Unrecorded};
pub use live::{Growth, Live};
pub(crate) use order::Order;
pub use order::Replay;
pub use place::Place;
pub use reader::{LogState, LoggedRevocation, Reader};
pub use revocation::{Revocation, RevokeError};
pub use revoked::{Due, Interval};
pub use rotation::{Links, Rotation};
pub use search::Search;
pub use wrapping::KeyWrapping;

use claim::{Claim, Conflict, Unique};
use clock::{LogClock, Newest};
use compromised::{Compromised, called_good};
use debt::Debt;
use entry::{Asked, AskedTbs, CaKey, MAX_KEY, MAX_MESSAGE, Outcome, UnixMillis};
use index::{Limits, TileFiles};
use leaf::Leaf;
use revoked::Listing;
use store::Store;
use writer::{Queue, Rulings};

/// An open ledger. Cheap to clone; all clones share one writer.
#[derive(Clone, Debug)]
pub struct Ledger {
    queue: Queue,
    live: Live,
    readers: Arc<BTreeSet<CallerName>>,
    /// Whether the newest record was taken.
    writable: watch::Sender<bool>,
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

/// A decision that is in the log, durably.
#[derive(Debug)]
pub struct Recorded(Result<Permitted, Refused>);

/// What policy permits.
#[derive(Debug)]
pub enum Permitted {
    /// To be signed.
    Intent(Intent),
    /// Signed before, for the same caller and request id: it is not signed again.
    Replay(Replay),
}

/// A refusal that is in the log, or counted there.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", refusal.message)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The index of its entry; `None` if this caller has had so many that it is only counted.
    pub entry: Option<u64>,
    /// How long until asking again can help, if that is known.
    pub retry_after: Option<Duration>,
}

/// Something that may be signed, and that the log says so, durably. What a token signs is this and nothing else.
///
/// Dropped unsettled, it leaves the outcome "abandoned".
#[derive(Debug)]
pub struct Intent {
    order: Order,
    priority: Priority,
    deadline: Option<Instant>,
    debt: Debt,
}

/// An intent to sign a challenge: at start, and of a token that comes back. It keeps its intent to itself: [`Ledger::settle`] can release none of it.
#[derive(Debug)]
pub struct SelfTest(Intent);

/// What every challenge begins with; 32 random bytes follow.
///
/// No TBS begins so. An OpenSSH certificate's begins with the length of a short algorithm name, in four bytes: here "coun"
/// is 1.6 GB. A DER TBS begins with the tag of a SEQUENCE, 0x30: here "c" is another one.
const CHALLENGE: &[u8] = b"countersign self-test; this is no certificate: ";

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
        let unreadable = |error| unreadable(&config.path, error);
        let revocations = compromised::revocations(&archive).map_err(unreadable)?;
        let barred = Compromised::of(revocations.iter().map(|(_, entry)| entry));
        kept::catch_up(&mut store, &archive, &revocations, now(), unreadable)?;
        let log = archive.reader().log();
        let links = Links::read(&archive).map_err(unreadable)?;
        drop(archive);
        let live = Live::new(config.into(), index);
        let (learnt, links) = watch::channel(Arc::new(links));
        let queue = Queue::start(store, clock, Rulings { barred, links: learnt })?;
        let (origin, place) = (Arc::from(config.origin.as_str()), Arc::new(config.into()));
        let readers = Arc::new(config.readers.clone());
        let (writable, checkpoint) = (watch::Sender::new(true), watch::Sender::new(None));
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
        config.reader().map(drop)
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

    /// Whether the ledger took the newest record that it was asked for, as it changes. It asks for none by itself.
    #[must_use]
    pub fn watch_writable(&self) -> watch::Receiver<bool> {
        self.writable.subscribe()
    }

    /// The same, now.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        *self.writable.borrow()
    }

    /// Takes note of what became of a record.
    fn noted<T>(&self, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        self.writable.send_if_modified(|writable| {
            // Looked at here, so that none who was before `condemn` has the last word.
            let takes = result.is_ok() && !self.queue.is_condemned();
            std::mem::replace(writable, takes) != takes
        });
        result
    }

    /// Takes no entries any more but outcomes, and says why to all who have one.
    fn condemn(&self, error: LedgerError) {
        if !self.queue.is_condemned() {
            tracing::error!("THE SIGNER SIGNS NOTHING ANY MORE: {error}");
        }
        self.queue.condemn(error);
        self.writable.send_replace(false);
    }

    /// Records a decision and returns once it is durable.
    ///
    /// What policy permits is refused all the same if its request id, its serial or its CRL number stands for something else
    /// already, if that number leaps too far, or if its caller has used up its budget or is frozen. If the request id stands for the same, nothing is
    /// recorded: it was.
    ///
    /// It is recorded even if the deadline passes meanwhile. A future that is dropped while it waits may leave an intent
    /// without an outcome, and nothing is signed.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing was recorded, and nothing may be signed.
    pub async fn record(&self, decision: Decision) -> Result<Recorded, LedgerError> {
        let (request, policy, verdict) = decision.into_parts();
        let permit = match verdict {
            Ok(permit) => permit,
            Err(refusal) => return self.refuse(&request, policy, refusal, None).await,
        };
        let (budget, numbering, cas) = (permit.budget(), permit.numbering(), permit.cas().to_vec());
        let (key, tbs, rule) = permit.into_parts();
        let asked = asked(&request, AskedTbs::of(&request.bytes));
        let (ca_key, unique) = (ca_key(&key), Unique::of(&tbs, &rule, numbering));
        let (subject_key, good) = (entry::subject_key(&tbs), called_good(&key, &tbs));
        let listing = Listing::of(&tbs, cas);
        let rule_of = rule.clone();
        let claim = Claim { asked, ca_key, unique, subject_key, good, listing, rule: rule_of, budget };
        let (time, asked, ca_key) = ((self.now)(), claim.asked.clone(), claim.ca_key.clone());
        let entry = Entry::Intent { time, asked, policy, rule, ca_key };
        let leaf = Leaf::of_intent(&entry, &tbs, self.queue.term_key())?;
        let leaf_hash = leaf.hash;
        let order = Order::tbs(key, tbs);
        let permitted = match self.noted(self.queue.record_intent(time, leaf, claim).await)? {
            Ok(index) => {
                let debt = Debt::new(Receipt { index, leaf_hash }, time, self.queue.clone());
                let (priority, deadline) = (request.priority, request.deadline);
                Permitted::Intent(Intent { order, priority, deadline, debt })
            }
            Err(Conflict::Answered { receipt, log, signature }) => {
                Permitted::Replay(Replay::new(order, signature, receipt, log))
            }
            Err(Conflict::Refused(refusal)) => return self.refuse(&request, policy, refusal, None).await,
            Err(Conflict::Exhausted { refusal, wait, .. }) => {
                return self.refuse(&request, policy, refusal, Some(wait)).await;
            }
        };
        Ok(Recorded(Ok(permitted)))
    }

    async fn refuse(
        &self,
        request: &Request,
        policy: [u8; 32],
        refusal: Refusal,
        retry_after: Option<Duration>,
    ) -> Result<Recorded, LedgerError> {
        let asked = asked(request, AskedTbs::of_refused(&request.bytes));
        let (time, rule) = ((self.now)(), refusal.rule.clone());
        let reason = refusal.reason.code_word().to_owned();
        let message = shortened(&refusal.message).to_owned();
        let caller = asked.caller.clone();
        let leaf = self.queue.leaf(&Entry::Refusal { time, asked, policy, rule, reason, message })?;
        let entry = self.noted(self.queue.record_refusal(time, leaf, caller).await)?;
        Ok(Recorded(Err(Refused { refusal, entry, retry_after })))
    }

    /// Records that a caller may use a key again, and returns once it is durable and so. `None` if it was not frozen.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn thaw(&self, thaw: Thaw) -> Result<Option<Receipt>, LedgerError> {
        self.noted(self.queue.record_thaw((self.now)(), thaw).await)
    }

    /// The number of the newest CRL, complete or delta, of the key whose SPKI has this SHA-256, as the next one is judged by it.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn newest_crl_number(&self, spki_sha256: [u8; 32]) -> Result<Option<CrlNumber>, LedgerError> {
        self.queue.newest_crl_number((self.now)(), spki_sha256).await
    }

    /// Records that a key is about to be deleted from its token, and returns once it is durable.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn record_key_deletion(&self, deletion: KeyDeletion) -> Result<Receipt, LedgerError> {
        self.append(&deletion.entry((self.now)())).await
    }

    /// Records that a key is about to be wrapped for another token, and returns once it is durable.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn record_key_wrapping(&self, wrapping: KeyWrapping) -> Result<Receipt, LedgerError> {
        self.append(&wrapping.entry((self.now)())).await
    }

    /// Records that `key` is about to sign a challenge of its own, at start-up.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn record_self_test(&self, key: &Arc<Key>) -> Result<SelfTest, LedgerError> {
        let mut random = [0; 32];
        rand::fill(&mut random).map_err(|_| LedgerError::NoRandomness)?;
        let challenge = [CHALLENGE, &random].concat();
        let entry = Entry::SelfTest {
            time: (self.now)(),
            key: key.name.as_str().to_owned(),
            ca_key: ca_key(key),
            challenge: challenge.clone(),
        };
        let debt = Debt::new(self.append(&entry).await?, entry.time(), self.queue.clone());
        let order = Order::own(Arc::clone(key), challenge);
        Ok(SelfTest(Intent { order, priority: Priority::Interactive, deadline: None, debt }))
    }

    /// Appends the outcome of an intent, and turns it into the answer.
    ///
    /// The append is queued in order and not waited for: the intent is what must be durable.
    ///
    /// # Errors
    /// The failure that was given, or that the caller's deadline passed meanwhile; either is recorded.
    pub fn settle(&self, intent: Intent, result: Result<Signature, Failure>) -> Result<Signed, Failure> {
        let answer = result.and_then(|signature| Ok((intent.answer(&signature)?, signature)));
        intent.debt.settle(match &answer {
            Ok((_, signature)) => Outcome::Signed(signature.as_bytes().to_vec()),
            Err(Failure::TooLate) => Outcome::Discarded,
            Err(failure) => Outcome::Failed(word(failure).to_owned()),
        });
        answer.map(|(signed, _)| signed)
    }

    /// Appends the outcome of a self-test.
    ///
    /// # Errors
    /// The failure that was given; it is recorded.
    pub fn settle_self_test(
        &self,
        SelfTest(intent): SelfTest,
        result: Result<Signature, Failure>,
    ) -> Result<(), Failure> {
        intent.debt.settle(match &result {
            Ok(signature) => Outcome::Signed(signature.as_bytes().to_vec()),
            Err(failure) => Outcome::Failed(word(failure).to_owned()),
        });
        result.map(drop)
    }

    /// Writes all that waits, closes the file and gives up its lock. Later records fail; settle what was recorded first.
    pub async fn close(&self) {
        // Whoever has the file open when its writer closes it leaves its write-ahead log behind.
        self.live.close().await;
        self.queue.close().await;
    }

    /// Appends one entry and returns once it is durable.
    async fn append(&self, entry: &Entry) -> Result<Receipt, LedgerError> {
        let leaf = self.queue.leaf(entry)?;
        let leaf_hash = leaf.hash;
        let index = self.noted(self.queue.record(entry.time(), leaf).await)?;
        Ok(Receipt { index, leaf_hash })
    }
}

impl Recorded {
    /// What is to be done, if policy permits.
    ///
    /// # Errors
    /// The recorded refusal.
    pub fn permitted(self) -> Result<Permitted, Refused> {
        self.0
    }
}

impl Intent {
    /// The key that is to sign.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.order.key()
    }

    /// The exact bytes that are to be signed.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.order.message()
    }

    /// When the caller no longer wants it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Which lane it waits in.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Where it is recorded.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.debt.receipt()
    }

    /// What a signature is to be verified by.
    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    fn answer(&self, signature: &Signature) -> Result<Signed, Failure> {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Failure::TooLate);
        }
        Ok(self.order.finish(signature, self.receipt())?)
    }
}

impl SelfTest {
    /// What the token is to sign.
    #[must_use]
    pub fn intent(&self) -> &Intent {
        &self.0
    }
}

fn asked(request: &Request, tbs: AskedTbs) -> Asked {
    let key = request.key.as_bytes();
    Asked {
        caller: request.caller.name().to_string().into_bytes(),
        key: key.get(..MAX_KEY).unwrap_or(key).to_vec(),
        request_id: request.request_id.as_ref().map(|id| id.as_str().into()),
        kind: request.kind.name().to_owned(),
        tbs,
    }
}

fn ca_key(key: &Key) -> CaKey {
    CaKey {
        purpose: key.purpose.name().to_owned(),
        scheme: key.scheme.name().to_owned(),
        spki_sha256: key.spki_sha256(),
    }
}

/// Why a log whose revocations cannot be read is not opened.
fn unreadable(path: &Path, error: ArchiveError) -> LedgerError {
    match error {
        ArchiveError::Ledger(error) => error,
        other => {
            if let ArchiveError::Damaged(damage) = &other {
                index::condemn(&index::path(path), damage);
            }
            let (path, source) = (index::path(path), Arc::new(std::io::Error::other(other)));
            LedgerError::Io { doing: "reading index", path, source }
        }
    }
}

/// The first [`MAX_MESSAGE`] bytes, and fewer where the next would be half a character.
fn shortened(message: &str) -> &str {
    if message.len() <= MAX_MESSAGE {
        return message;
    }
    (0..=MAX_MESSAGE).rev().find_map(|end| message.get(..end)).unwrap_or_default()
}

/// The word for a failure in its outcome.
fn word(failure: &Failure) -> &'static str {
    match failure {
        Failure::Refused(refused) => refused.refusal.reason.code_word(),
        Failure::Ledger(error) => error.word(),
        Failure::Token(error) => error.word(),
        Failure::Verify(error) => error.word(),
        Failure::TooLate => "DEADLINE_EXCEEDED",
    }
}

/// The `[ledger]` section of the configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The SQLite file; made if it is missing. Of a log in a database, what its files on this host are named by. Its directory
    /// must exist.
    pub path: PathBuf,
    /// The database that has the log, with those of other signers, in place of the file.
    pub postgres: Option<Arc<postgres::Config>>,
    /// The log's name in receipts and checkpoints: a schema-less URL, `signer-1.example.org/countersign`.
    pub origin: String,
    /// By how much the clock may be behind the newest entry before nothing is signed any more.
    pub clock_tolerance: Duration,
    /// How checkpoints are signed, if they are.
    pub checkpoints: Option<checkpoints::Config>,
    /// Who may read it over the network.
    pub readers: BTreeSet<CallerName>,
}

impl Config {
    /// Reads the log, if there is one.
    fn reader(&self) -> Result<Option<Reader>, LedgerError> {
        let place = Place::from(self);
        let exists = match place.database() {
            None => self.path.exists(),
            Some(database) => postgres::Select::find(&database.config, &database.origin)?.is_some(),
        };
        if exists { Reader::open(place).map(Some) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests;
