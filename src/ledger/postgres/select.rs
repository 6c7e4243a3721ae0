//! A log in the database, for those who read: any number of them, beside the one who writes.
//!
//! In: a [`Config`], and a log's name. Out: rows as they are. Promised: nothing is written, in transactions of one statement each.
//! A connection that was lost is made anew by the next reading.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::Client;

use crate::ledger::LedgerError;
use crate::ledger::archive::{Page, RawEntry};
use crate::ledger::entry::CHECKPOINT;
use crate::ledger::postgres::link::{Link, Session};
use crate::ledger::postgres::open::{Make, schema};
use crate::ledger::postgres::{Config, DatabaseError, number};

/// How many entries are read at once: at most 16 MiB.
const CHUNK: u64 = 256;

/// How many entries are looked at for a checkpoint at once.
const STRIDE: u64 = 65_536;

/// A log that is open for reading.
#[derive(Debug)]
pub(in crate::ledger) struct Select {
    link: Link,
    session: Mutex<Session>,
    signer: i32,
}

impl Select {
    /// Opens the log named `origin`; `None` if the database has none, or has never been used.
    pub(in crate::ledger) fn find(config: &Arc<Config>, origin: &str) -> Result<Option<Self>, LedgerError> {
        Self::find_in(config, origin).map_err(|source| unusable(config, source))
    }

    fn find_in(config: &Arc<Config>, origin: &str) -> Result<Option<Self>, DatabaseError> {
        let link = Link::start(config, &format!("countersign reader {origin}"))?;
        let session = connect(&link)?;
        match schema(&link, &session, Make::Nothing) {
            Err(DatabaseError::NoSchema(_)) => return Ok(None),
            found => found?,
        }
        let (client, origin) = (Arc::clone(&session.client), origin.to_owned());
        let signer = link.wait("looking for the log", async move {
            let select = "SELECT id FROM countersign.signer WHERE origin = $1";
            client.query_opt(select, &[&origin]).await?.map(|row| row.try_get(0)).transpose()
        })?;
        Ok(signer.map(|signer| Self { link, session: Mutex::new(session), signer }))
    }

    /// Opens the log named `origin`.
    pub(in crate::ledger) fn open(config: &Arc<Config>, origin: &str) -> Result<Self, LedgerError> {
        let missing = || unusable(config, DatabaseError::NoLog { origin: origin.to_owned() });
        Self::find(config, origin)?.ok_or_else(missing)
    }

    /// How many entries there are.
    pub(in crate::ledger) fn len(&self) -> Result<u64, LedgerError> {
        let signer = self.signer;
        let select = "SELECT coalesce(max(idx) + 1, 0) FROM countersign.entry WHERE signer = $1";
        self.read("counting entries", async move |client: Arc<Client>| {
            client.query_one(select, &[&signer]).await?.try_get(0).map(number)
        })
    }

    /// The names of the other logs, in order.
    pub(in crate::ledger) fn other_logs(&self) -> Result<Vec<String>, LedgerError> {
        let signer = self.signer;
        let select = "SELECT origin FROM countersign.signer WHERE id <> $1 ORDER BY origin";
        self.read("looking for other logs", async move |client: Arc<Client>| {
            client.query(select, &[&signer]).await?.iter().map(|row| row.try_get(0)).collect()
        })
    }

    /// How many bytes all logs of the database take, with what finds entries in them.
    pub(in crate::ledger) fn bytes(&self) -> Result<u64, LedgerError> {
        self.read("measuring entries", async move |client: Arc<Client>| {
            let select = "SELECT pg_total_relation_size('countersign.entry')";
            client.query_one(select, &[]).await?.try_get(0).map(number)
        })
    }

    /// A page of the entries of `range` that there are, in order.
    pub(in crate::ledger) fn page(
        &self,
        range: &Range<u64>,
        page: Page,
    ) -> Result<Vec<RawEntry>, LedgerError> {
        let (mut leaves, mut bytes) = (Vec::<RawEntry>::new(), 0);
        let mut next = range.start;
        let mut left = page.entries;
        while left > 0 && next < range.end {
            let (most, wanted) = (left.min(CHUNK), next..range.end);
            let chunk = self.chunk(&wanted, most)?;
            let Some(last) = chunk.last() else { break };
            next = last.index.saturating_add(1);
            let is_last = u64::try_from(chunk.len()).is_ok_and(|len| len < most);
            for leaf in chunk {
                if bytes >= page.bytes {
                    return Ok(leaves);
                }
                bytes += leaf.bytes.len();
                leaves.push(leaf);
                left -= 1;
            }
            if is_last {
                break;
            }
        }
        Ok(leaves)
    }

    fn chunk(&self, range: &Range<u64>, most: u64) -> Result<Vec<RawEntry>, LedgerError> {
        let bound = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
        let (signer, from, to, most) = (self.signer, bound(range.start), bound(range.end), bound(most));
        let select = "SELECT idx, leaf FROM countersign.entry \
                      WHERE signer = $1 AND idx >= $2 AND idx < $3 ORDER BY idx LIMIT $4";
        self.read("reading entries", async move |client: Arc<Client>| {
            let rows = client.query(select, &[&signer, &from, &to, &most]).await?;
            let leaves = rows
                .iter()
                .map(|row| Ok(RawEntry { index: number(row.try_get(0)?), bytes: row.try_get(1)? }));
            leaves.collect()
        })
    }

    /// The index of the newest entry before `end` that is of a checkpoint. Looks at all entries between.
    pub(in crate::ledger) fn newest_checkpoint(&self, end: u64) -> Result<Option<u64>, LedgerError> {
        let mut end = end.min(self.len()?);
        while end > 0 {
            let first = end.saturating_sub(STRIDE);
            let (signer, from, to) = (self.signer, first.cast_signed(), end.cast_signed());
            let select = "SELECT max(idx) FROM countersign.entry \
                          WHERE signer = $1 AND idx >= $2 AND idx < $3 AND substr(leaf, 1, 3) = $4";
            let found = self.read("looking for a checkpoint", async move |client: Arc<Client>| {
                let row = client.query_one(select, &[&signer, &from, &to, &CHECKPOINT.as_slice()]).await?;
                row.try_get::<_, Option<i64>>(0)
            })?;
            if let Some(found) = found {
                return Ok(Some(number(found)));
            }
            end = first;
        }
        Ok(None)
    }

    /// What a statement comes to, on a connection that works as far as is known.
    fn read<T: Send + 'static, F>(
        &self,
        doing: &'static str,
        work: impl FnOnce(Arc<Client>) -> F + Send + 'static,
    ) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>> + Send + 'static,
    {
        let client = self.client().and_then(|client| self.link.wait(doing, work(client)));
        client.map_err(|source| unusable(self.link.config(), source))
    }

    fn client(&self) -> Result<Arc<Client>, DatabaseError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session.is_closed() {
            *session = connect(&self.link)?;
        }
        Ok(Arc::clone(&session.client))
    }
}

/// A connection that cannot write, by mistake or by design.
fn connect(link: &Link) -> Result<Session, DatabaseError> {
    let session = link.connect()?;
    let client = Arc::clone(&session.client);
    link.wait("setting up a reader", async move {
        client.batch_execute("SET default_transaction_read_only = on").await
    })?;
    Ok(session)
}

fn unusable(config: &Config, source: DatabaseError) -> LedgerError {
    LedgerError::Database { server: config.server(), source: Arc::new(source) }
}
