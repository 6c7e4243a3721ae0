//! The logs of a fleet of signers in one PostgreSQL database: one log for each, and one set of claims and budgets for all.
//!
//! In: a [`Config`]. Out: the store of this signer's log. Promised: one process at a time writes a log, and one that
//! has lost its place writes nothing more; all signers' transactions follow each other, so that no two have one serial, request
//! id, CRL number or rest of a budget; nobody is told that an entry is in the log before that is known. A batch takes three
//! round trips, whatever is in it. What finds entries for readers is beside, in the index, on this host.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ledger::account::Party;
use crate::ledger::entry::{UnixMillis, sha256};
use crate::ledger::error::StoreError;
use crate::ledger::index::{Index, Limits};
use crate::ledger::store::{self, Held, Needs, Stored};
use crate::ledger::{Leaf, LedgerError};

mod additions;
mod batch;
mod claims;
mod commit;
mod config;
mod error;
mod link;
mod open;
mod revoked;
mod rows;
mod select;
mod sql;
mod tls;

pub use config::{Config, Malformed, PasswordError};
pub use error::DatabaseError;
pub(super) use select::Select;

use batch::Batch;
use claims::{Begun, Wanted};
use link::{Link, Session};
use open::Entries;
use sql::Statements;

/// What makes the schema, for the database's owner: `countersign ledger schema` prints it.
pub const SCHEMA: &str = concat!(
    include_str!("postgres/schema.sql"),
    include_str!("postgres/schema_2.sql"),
    include_str!("postgres/schema_3.sql")
);

/// What makes the same of schema 1.
pub const SINCE_1: &str =
    concat!(include_str!("postgres/schema_2.sql"), include_str!("postgres/schema_3.sql"));

/// What makes the same of schema 2.
pub const SINCE_2: &str = include_str!("postgres/schema_3.sql");

/// After a connection failed, how long the next one is not tried: who asks meanwhile is told at once.
const PAUSE: Duration = Duration::from_millis(200);

/// Who froze a caller, if it is frozen.
type Freezes = HashMap<Party, i32>;

/// This signer's log, written by this process alone.
#[derive(Debug)]
pub(super) struct Store {
    // Before the place, so that it is written before the lock is given up.
    index: Index,
    place: Place,
    path: PathBuf,
    server: String,
    signer: Signer,
    newest: UnixMillis,
    /// Behind the newest session that there was.
    backend: Option<Backend>,
    /// What the last transaction sent, if its commit was not answered.
    doubt: Option<Vec<Leaf>>,
    /// When the last connection failed, and why.
    failed: Option<(Instant, String)>,
    /// Another process has taken over.
    is_fenced: bool,
}

/// Who writes.
#[derive(Clone, Debug)]
struct Signer {
    id: i32,
    origin: Arc<str>,
    /// Grows with each process that opens the log.
    epoch: i64,
}

/// A session that holds the log's lock.
#[derive(Clone, Debug)]
struct Connected {
    session: Session,
    statements: Arc<Statements>,
}

/// The writer's: until it is dropped, its session holds the log's lock.
#[derive(Debug)]
struct Place {
    link: Link,
    connected: Option<Connected>,
}

/// The server's process behind a session.
#[derive(Clone, Debug)]
struct Backend {
    pid: i32,
    /// When it began, as the server writes it: a number may come again.
    since: String,
}

impl Store {
    /// Opens the log, or begins it if there is none.
    pub(super) fn open(config: &super::Config, limits: Limits) -> Result<Self, LedgerError> {
        open::open(config, limits)
    }

    /// A session that holds the log's lock: the one that there is, or a new one.
    fn connected(&mut self) -> Stored<Connected> {
        if let Some(connected) =
            self.place.connected.as_ref().filter(|connected| !connected.session.is_closed())
        {
            return Ok(connected.clone());
        }
        self.place.connected = None;
        if let Some((_, why)) = self.failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE) {
            return Err(DatabaseError::Recently(why.clone()).into());
        }
        match open::again(&self.place.link, &self.signer, self.backend.as_ref()) {
            Ok((connected, backend)) => {
                (self.failed, self.backend) = (None, Some(backend));
                self.place.connected = Some(connected.clone());
                Ok(connected)
            }
            Err(error) => {
                self.is_fenced = matches!(error, StoreError::Fenced { .. });
                self.failed = Some((Instant::now(), error.to_string()));
                Err(error)
            }
        }
    }

    /// Begins a transaction, and looks up what it will need. A session that turns out to be gone is replaced, once.
    fn begun(&mut self, needs: &Needs<'_>) -> Stored<(Connected, Begun)> {
        let had_one = self.place.connected.is_some();
        match self.try_begin(Wanted::of(needs)) {
            Err(StoreError::Database(error)) if had_one && error.is_of_session() => {
                self.try_begin(Wanted::of(needs))
            }
            begun => begun,
        }
    }

    fn try_begin(&mut self, wanted: Wanted) -> Stored<(Connected, Begun)> {
        if self.is_fenced {
            return Err(self.signer.fenced());
        }
        let connected = self.connected()?;
        let (Connected { session, statements }, signer) = (connected.clone(), self.signer.id);
        let begun = self.place.link.wait("beginning a transaction", async move {
            claims::begin(&session, &statements, signer, wanted).await
        });
        match begun {
            Ok(begun) if begun.epoch == Some(self.signer.epoch) => Ok((connected, begun)),
            Ok(_) => {
                self.is_fenced = true;
                self.disconnect();
                Err(self.signer.fenced())
            }
            Err(error) => {
                self.disconnect();
                Err(error.into())
            }
        }
    }

    /// Ends the session, and with it whatever transaction it is in.
    fn disconnect(&mut self) {
        self.place.connected = None;
    }

    /// The entry at `index` of the log of `signer`.
    fn leaf(&self, signer: i32, index: u64) -> Stored<Vec<u8>> {
        let Some(connected) = &self.place.connected else { return Err(DatabaseError::Held.into()) };
        let entries = Entries { link: &self.place.link, connected, signer, server: &self.server };
        let (_, leaf) = entries.read(index, index + 1)?.pop().ok_or(StoreError::Astray(index))?;
        Ok(leaf)
    }

    /// Whether the database has what was in doubt; its transaction is over by now, for this one has its turn.
    fn look(&mut self, connected: &Connected, len: u64, sent: &[Leaf]) -> Stored<Held> {
        let expected = self.index.entries();
        if len == expected {
            return Ok(Held::Nothing);
        }
        let entries =
            Entries { link: &self.place.link, connected, signer: self.signer.id, server: &self.server };
        let found = entries.read(expected, len)?;
        if !batch::is_sent(sent, &found, expected) {
            return Err(StoreError::of_entries(expected, len));
        }
        for leaf in sent {
            self.index.append(leaf);
        }
        self.index.confirm();
        Ok(Held::All)
    }
}

impl store::Store for Store {
    type Batch<'a> = Batch<'a>;

    fn begin(&mut self, needs: &Needs<'_>) -> Stored<Batch<'_>> {
        self.index.begin()?;
        let (connected, begun) = self.begun(needs)?;
        let (expected, found) = (self.index.entries(), begun.len);
        let batch = Batch::new(self, connected, found, &begun.answers)?;
        // Dropped, the batch ends its transaction.
        if expected == found { Ok(batch) } else { Err(StoreError::of_entries(expected, found)) }
    }

    /// A transaction without entries asks the server, and is committed there. That the server's disk is full, no row tells that changes: it
    /// finds room in a page and in a segment that are there already. An entry does that needs another, here one that is rolled back.
    fn probe(&mut self, bytes: usize) -> Stored<()> {
        if bytes == 0 {
            return Ok(());
        }
        // Hashes, for the server compresses what is long.
        let leaf: Vec<u8> = (0_u64..).flat_map(|n| sha256(&[&n.to_be_bytes()])).take(bytes).collect();
        let (connected, begun) = self.begun(&Needs::default())?;
        let (Connected { session, statements }, signer) = (connected.clone(), self.signer.id);
        let first = begun.len.cast_signed();
        let written = self.place.link.wait("looking for room", async move {
            session.client.execute(&statements.add_entries, &[&signer, &first, &vec![leaf]]).await
        });
        // Ends the transaction.
        drop(Batch::new(self, connected, begun.len, &begun.answers)?);
        Ok(written.map(drop)?)
    }

    fn resolve(&mut self) -> Stored<Held> {
        self.index.begin()?;
        let Some(sent) = self.doubt.take() else { return Ok(Held::Nothing) };
        let looked = self.begun(&Needs::default()).and_then(|(connected, begun)| {
            let held = self.look(&connected, begun.len, &sent);
            // Ends the transaction.
            drop(Batch::new(self, connected, begun.len, &begun.answers)?);
            held
        });
        if looked.is_err() {
            self.doubt = Some(sent);
        }
        looked
    }

    fn unavailable(&self, source: StoreError) -> LedgerError {
        match source {
            StoreError::Fenced { origin } => LedgerError::Fenced { server: self.server.clone(), origin },
            source => {
                LedgerError::DatabaseUnavailable { server: self.server.clone(), source: Arc::new(source) }
            }
        }
    }

    fn index(&self) -> &Index {
        &self.index
    }

    fn newest(&self) -> UnixMillis {
        self.newest
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// What was committed is the database's.
    fn close(self) -> impl Sized {
        self
    }
}

impl Drop for Place {
    /// Whoever opens the log next finds its lock free: a session that merely ends has it for a moment longer.
    fn drop(&mut self) {
        if let Some(Connected { session, .. }) = self.connected.take() {
            let unlock = async move { session.client.batch_execute("SELECT pg_advisory_unlock_all()").await };
            // If it fails, the session is gone, or will be.
            let _ = self.link.wait("unlocking the log", unlock);
        }
    }
}

/// A number that was cast to be stored.
fn number(stored: i64) -> u64 {
    stored.cast_unsigned()
}
