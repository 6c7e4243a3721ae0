//! A log in the database, for those who read: any number of them, beside the one who writes.
//!
//! In: a [`Config`], and a log's name. Out: rows as they are. Promised: nothing is written, in transactions of one statement each.
//! A connection that was lost is made anew by the next reading.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::{Client, Row};

use crate::ledger::LedgerError;
use crate::ledger::archive::{Page, RawEntry};
use crate::ledger::crl_number::NumberRow;
use crate::ledger::entry::CHECKPOINT;
use crate::ledger::meant::Sizes;
use crate::ledger::postgres::claims::asked_for;
use crate::ledger::postgres::link::{Link, Session};
use crate::ledger::postgres::open::{Make, schema};
use crate::ledger::postgres::revoked::row as revoked_row;
use crate::ledger::postgres::sql::REVOKED;
use crate::ledger::postgres::{Config, DatabaseError, number};
use crate::ledger::reader::LoggedRevocation;
use crate::ledger::revoked;
use crate::ledger::store::Stored;

mod claims;

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

    /// Which log it is.
    pub(in crate::ledger) fn log(&self) -> i32 {
        self.signer
    }

    /// The name of a log.
    pub(in crate::ledger) fn name_of(&self, log: i32) -> Result<String, LedgerError> {
        let select = "SELECT origin FROM countersign.signer WHERE id = $1";
        self.read("looking for a log's name", async move |client: Arc<Client>| {
            client.query_one(select, &[&log]).await?.try_get(0)
        })
    }

    /// How many entries each log has.
    pub(in crate::ledger) fn sizes(&self) -> Result<Sizes, LedgerError> {
        let select = "SELECT s.id, (SELECT coalesce(max(idx) + 1, 0) FROM countersign.entry e WHERE e.signer = s.id) \
                      FROM countersign.signer s";
        self.read("counting the entries of all logs", async move |client: Arc<Client>| {
            let rows = client.query(select, &[]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, number(row.try_get(1)?)))).collect()
        })
    }

    /// The intent that claims a serial of a CA key, and its log.
    pub(in crate::ledger) fn by_serial(
        &self,
        ca_key: &[u8; 32],
        serial: &[u8],
    ) -> Result<Option<(i32, RawEntry)>, LedgerError> {
        let (ca_key, serial) = (ca_key.to_vec(), serial.to_vec());
        let select = "SELECT c.signer, c.intent, e.leaf FROM countersign.serial c \
                      JOIN countersign.entry e ON e.signer = c.signer AND e.idx = c.intent WHERE c.ca_key = $1 AND c.serial = $2";
        self.read("looking for a serial", async move |client: Arc<Client>| {
            let row = client.query_opt(select, &[&ca_key, &serial]).await?;
            let leaf = |row: Row| {
                Ok((row.try_get(0)?, RawEntry { index: number(row.try_get(1)?), bytes: row.try_get(2)? }))
            };
            row.map(leaf).transpose()
        })
    }

    /// The revocations of this log whose certificates are kept.
    pub(in crate::ledger) fn kept_revocations(&self) -> Result<Vec<u64>, LedgerError> {
        let signer = self.signer;
        self.read("reading revocations", async move |client: Arc<Client>| {
            let rows =
                client.query("SELECT idx FROM countersign.revocation WHERE signer = $1", &[&signer]).await?;
            rows.iter().map(|row| row.try_get(0).map(number)).collect()
        })
    }

    /// Every log's name, how many entries it has, and the newest of them.
    pub(in crate::ledger) fn newest(&self) -> Result<Vec<(String, u64, Option<RawEntry>)>, LedgerError> {
        let select = "SELECT s.origin, e.idx, e.leaf FROM countersign.signer s LEFT JOIN LATERAL \
                          (SELECT idx, leaf FROM countersign.entry WHERE signer = s.id ORDER BY idx DESC LIMIT 1) e ON true \
                      ORDER BY s.origin";
        self.read("reading the newest entries", async move |client: Arc<Client>| {
            let newest = |row: &Row| {
                let (index, leaf) = (row.try_get::<_, Option<i64>>(1)?.map(number), row.try_get(2)?);
                let leaf = index.zip(leaf).map(|(index, bytes)| RawEntry { index, bytes });
                Ok((row.try_get(0)?, index.map_or(0, |index| index.saturating_add(1)), leaf))
            };
            client.query(select, &[]).await?.iter().map(newest).collect()
        })
    }

    /// So many of all logs' revocations after the one of this log and index.
    pub(in crate::ledger) fn revocations(
        &self,
        after: Option<(String, u64)>,
        most: usize,
    ) -> Result<Vec<LoggedRevocation>, LedgerError> {
        let (log, index) = after.map_or((String::new(), -1), |(log, index)| (log, index.cast_signed()));
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let select = "SELECT s.origin, r.idx, e.leaf FROM countersign.revocation r JOIN countersign.signer s ON s.id = r.signer \
                      JOIN countersign.entry e ON e.signer = r.signer AND e.idx = r.idx \
                      WHERE (s.origin, r.idx) > ($1, $2) ORDER BY s.origin, r.idx LIMIT $3";
        self.read("reading revocations", async move |client: Arc<Client>| {
            let logged = |row: &Row| {
                let entry = RawEntry { index: number(row.try_get(1)?), bytes: row.try_get(2)? };
                Ok(LoggedRevocation { log: row.try_get(0)?, entry })
            };
            client.query(select, &[&log, &index, &most]).await?.iter().map(logged).collect()
        })
    }

    /// What is revoked of some CA keys, without what had expired before the second `kept`.
    pub(in crate::ledger) fn revoked(
        &self,
        cas: &[[u8; 32]],
        kept: u64,
    ) -> Result<Vec<revoked::Row>, LedgerError> {
        let kept = i64::try_from(kept).unwrap_or(i64::MAX);
        let keys: Vec<Vec<u8>> = cas.iter().map(|ca_key| ca_key.to_vec()).collect();
        let rows = self.read("reading what is revoked", async move |client: Arc<Client>| {
            client.query(REVOKED, &[&keys, &kept]).await
        })?;
        let row = |found: &Row| revoked_row(*asked_for(cas, found)?, found);
        let rows: Stored<Vec<_>> = rows.iter().map(row).collect();
        let path = || PathBuf::from(self.link.config().server());
        rows.map_err(|source| LedgerError::Unavailable { path: path(), source: Arc::new(source) })
    }

    /// The numbers of lists.
    pub(in crate::ledger) fn crl_numbers(&self) -> Result<Vec<NumberRow>, LedgerError> {
        self.read("reading the numbers of lists", async move |client: Arc<Client>| {
            let select = "SELECT ca_key, series, number, signer, intent FROM countersign.crl_number";
            let number_row = |row: &Row| {
                let (ca_key, series, number_of) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                let (log, intent) = (row.try_get(3)?, number(row.try_get(4)?));
                Ok(NumberRow { ca_key, series, number: number_of, log, intent })
            };
            client.query(select, &[]).await?.iter().map(number_row).collect()
        })
    }

    /// The subject keys that are revoked.
    pub(in crate::ledger) fn revoked_subjects(&self) -> Result<Vec<revoked::SubjectRow>, LedgerError> {
        self.read("reading what subject keys are revoked", async move |client: Arc<Client>| {
            let select = "SELECT ca_key, subject_key, reason, signer FROM countersign.revoked_subject";
            let subject = |row: &Row| {
                let (ca_key, subject_key) = (row.try_get(0)?, row.try_get(1)?);
                Ok(revoked::SubjectRow { ca_key, subject_key, reason: row.try_get(2)?, log: row.try_get(3)? })
            };
            client.query(select, &[]).await?.iter().map(subject).collect()
        })
    }

    /// How many bytes all logs of the database take, with what finds entries in them.
    pub(in crate::ledger) fn bytes(&self) -> Result<u64, LedgerError> {
        self.read("measuring entries", async move |client: Arc<Client>| {
            let select = "SELECT pg_total_relation_size('countersign.entry')";
            client.query_one(select, &[]).await?.try_get(0).map(number)
        })
    }

    /// A page of the entries of `range` that a log has, in order.
    pub(in crate::ledger) fn page(
        &self,
        log: i32,
        range: &Range<u64>,
        page: Page,
    ) -> Result<Vec<RawEntry>, LedgerError> {
        let (mut leaves, mut bytes) = (Vec::<RawEntry>::new(), 0);
        let mut next = range.start;
        let mut left = page.entries;
        while left > 0 && next < range.end {
            let (most, wanted) = (left.min(CHUNK), next..range.end);
            let chunk = self.chunk(log, &wanted, most)?;
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

    fn chunk(&self, signer: i32, range: &Range<u64>, most: u64) -> Result<Vec<RawEntry>, LedgerError> {
        let bound = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
        let (from, to, most) = (bound(range.start), bound(range.end), bound(most));
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
    pub(in crate::ledger) fn newest_checkpoint(&self, range: Range<u64>) -> Result<Option<u64>, LedgerError> {
        let mut end = range.end.min(self.len()?);
        while end > range.start {
            let first = end.saturating_sub(STRIDE).max(range.start);
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
