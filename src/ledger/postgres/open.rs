//! A log at start-up, and a session that takes the place of one that was lost.
//!
//! In: a database that can be reached. Out: a [`Store`], whose process alone writes its log from now on. The lock of the log is its
//! session's: a second process is refused while that lives. The epoch is the log's: a process that was replaced meanwhile,
//! and comes back, finds another one and writes nothing more.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::ledger::clock::LastTime;
use crate::ledger::entry::UnixMillis;
use crate::ledger::error::StoreError;
use crate::ledger::index::{Index, Leaves, Limits, Log, Next, Visit};
use crate::ledger::postgres::error::DatabaseError;
use crate::ledger::postgres::link::{Link, Session};
use crate::ledger::postgres::sql::{BEGIN, LOCKS, Statements};
use crate::ledger::postgres::{Backend, Connected, Place, SCHEMA, SINCE_1, SINCE_2, Signer, Store, number};
use crate::ledger::store::Stored;
use crate::ledger::{Config, Entry, LedgerError};

/// The schema of `schema.sql` with what `schema_2.sql` and `schema_3.sql` add.
pub(super) const SCHEMA_VERSION: i32 = 3;

/// How many of the newest entries opening counts.
const TAIL: u64 = 65_536;

/// How many entries are read at once.
const CHUNK: u64 = 1024;

/// How long a session that is just ending is waited for.
const ENDING: Duration = Duration::from_secs(2);

/// Opens the log, or begins it if there is none.
pub(super) fn open(config: &Config, limits: Limits) -> Result<Store, LedgerError> {
    let Some(database) = &config.postgres else {
        return Err(LedgerError::Missing { path: config.path.clone() });
    };
    let (path, origin) = (config.path.clone(), Arc::<str>::from(&*config.origin));
    if !path.parent().is_none_or(|parent| parent == Path::new("") || parent.is_dir()) {
        return Err(LedgerError::NoDirectory { path });
    }
    let server = database.server();
    let unusable =
        |source: DatabaseError| LedgerError::Database { server: server.clone(), source: Arc::new(source) };
    let link = Link::start(database, &format!("countersign {origin}")).map_err(unusable)?;
    if database.is_anybodys() {
        tracing::warn!(
            "the ledger's database {server} is reached by TCP without TLS: whoever takes its port while it is down can be it; \
             name the directory of its socket, or give `postgres_root_certificates`"
        );
    }
    let session = link.connect().map_err(unusable)?;
    schema(&link, &session, Make::IfMissing).map_err(unusable)?;
    let id = register(&link, &session, &origin).map_err(unusable)?;
    if !lock(&link, &session, id).map_err(unusable)? {
        let by = holder(&link, &session, id).map_err(unusable)?;
        return Err(LedgerError::InUse { server: server.clone(), origin: config.origin.clone(), by });
    }
    let other_role = || unusable(DatabaseError::OtherRole { origin: config.origin.clone() });
    let (epoch, opened_at) = take_over(&link, &session, id).map_err(unusable)?.ok_or_else(other_role)?;
    let signer = Signer { id, origin, epoch };
    let (connected, backend) = prepared(&link, session).map_err(unusable)?;
    let entries = Entries { link: &link, connected: &connected, signer: id, server: &server };
    entries.check_tail(&path, opened_at)?;
    let newest = entries.newest(&path, opened_at)?;
    let log = Log { path: &path, origin: &config.origin, leaves: &entries, entries: opened_at };
    let index = Index::open(log, limits)?;
    let (place, backend) = (Place { link, connected: Some(connected) }, Some(backend));
    let (doubt, failed, is_fenced) = (None, None, false);
    Ok(Store { index, place, path, server, signer, newest, backend, doubt, failed, is_fenced })
}

/// A session that holds the log's lock, after the one before, whose process at the server is ended if it is there still.
pub(super) fn again(link: &Link, signer: &Signer, before: Option<&Backend>) -> Stored<(Connected, Backend)> {
    let session = link.connect()?;
    schema(link, &session, Make::Nothing)?;
    if let Some(Backend { pid, since }) = before.cloned() {
        let client = Arc::clone(&session.client);
        // It may wait for a stand-by, with a transaction that nobody waits for any more.
        link.wait("ending the session before", async move {
            let end = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity \
                       WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2";
            client.query(end, &[&pid, &since]).await
        })?;
    }
    if !lock(link, &session, signer.id)? {
        let is_other = epoch(link, &session, signer.id)? != Some(signer.epoch);
        return Err(if is_other { signer.fenced() } else { DatabaseError::Held.into() });
    }
    Ok(prepared(link, session)?)
}

/// A session whose statements are prepared, and the server's process behind it.
fn prepared(link: &Link, session: Session) -> Result<(Connected, Backend), DatabaseError> {
    let client = Arc::clone(&session.client);
    let (statements, row) = link.wait("preparing statements", async move {
        let select = "SELECT pid, extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let row = client.query_one(select, &[]).await?;
        Ok((Statements::prepare(&client).await?, row))
    })?;
    let failed = |source| DatabaseError::Failed { doing: "reading a row", source };
    let backend = Backend { pid: row.try_get(0).map_err(failed)?, since: row.try_get(1).map_err(failed)? };
    Ok((Connected { session, statements: Arc::new(statements) }, backend))
}

/// What to do about a schema that is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Make {
    IfMissing,
    Nothing,
}

/// Makes sure that the schema is the one that is known here.
pub(super) fn schema(link: &Link, session: &Session, make: Make) -> Result<(), DatabaseError> {
    let client = Arc::clone(&session.client);
    let found = link.wait("looking for the schema", async move {
        match version(&client).await? {
            found @ (None | Some(1 | 2)) if make == Make::IfMissing => match begin_schema(&client).await {
                Err(error) if found.is_some() && error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    Ok(found)
                }
                begun => begun.and(version(&client).await),
            },
            found => Ok(found),
        }
    });
    match found {
        Ok(Some(SCHEMA_VERSION)) => Ok(()),
        Ok(Some(found @ (1 | 2))) => Err(DatabaseError::OlderSchema { found, known: SCHEMA_VERSION }),
        Ok(Some(found)) => Err(DatabaseError::NewerSchema { found, known: SCHEMA_VERSION }),
        Ok(None) => Err(DatabaseError::NoSchema("it is missing".to_owned())),
        Err(DatabaseError::Failed { source, .. })
            if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) =>
        {
            let said = source.as_db_error().map(|error| error.message().to_owned());
            Err(DatabaseError::NoSchema(said.unwrap_or_default()))
        }
        Err(error) => Err(error),
    }
}

async fn version(client: &Client) -> Result<Option<i32>, Error> {
    let exists = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = 'countersign' AND c.relname = 'meta'";
    if client.query_one(exists, &[]).await?.try_get::<_, i64>(0)? == 0 {
        return Ok(None);
    }
    let found = client.query_opt("SELECT schema FROM countersign.meta", &[]).await?;
    found.map(|row| row.try_get(0)).transpose()
}

/// One signer of those that start at once makes it.
async fn begin_schema(client: &Client) -> Result<(), Error> {
    client.batch_execute(BEGIN).await?;
    let made = async {
        client.execute("SELECT pg_advisory_xact_lock($1, 0)", &[&LOCKS]).await?;
        match version(client).await? {
            None => client.batch_execute(SCHEMA).await,
            Some(1) => client.batch_execute(SINCE_1).await,
            Some(2) => client.batch_execute(SINCE_2).await,
            Some(_) => Ok(()),
        }
    };
    let made = made.await;
    client.batch_execute(if made.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    made
}

/// The id of the log named `origin`, which is begun if there is none.
fn register(link: &Link, session: &Session, origin: &Arc<str>) -> Result<i32, DatabaseError> {
    let (client, origin) = (Arc::clone(&session.client), Arc::clone(origin));
    link.wait("looking for the log", async move {
        let select = "SELECT id FROM countersign.signer WHERE origin = $1";
        if let Some(row) = client.query_opt(select, &[&&*origin]).await? {
            return row.try_get(0);
        }
        let insert = "INSERT INTO countersign.signer (origin) VALUES ($1) ON CONFLICT (origin) DO NOTHING";
        client.execute(insert, &[&&*origin]).await?;
        let row = client.query_one(select, &[&&*origin]).await?;
        row.try_get(0)
    })
}

/// Takes the log's lock for this session, unless another has it, and is not just ending.
fn lock(link: &Link, session: &Session, id: i32) -> Result<bool, DatabaseError> {
    let client = Arc::clone(&session.client);
    let wait = format!("SET lock_timeout = {}", ENDING.min(link.config().timeout() / 2).as_millis());
    let locked = link.wait("locking the log", async move {
        client.batch_execute(&wait).await?;
        client.execute("SELECT pg_advisory_lock($1, $2)", &[&LOCKS, &id]).await?;
        client.batch_execute("SET lock_timeout = 0").await
    });
    match locked {
        Ok(()) => Ok(true),
        Err(DatabaseError::Failed { source, .. }) if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whoever holds the log's lock, for people.
fn holder(link: &Link, session: &Session, id: i32) -> Result<String, DatabaseError> {
    let client = Arc::clone(&session.client);
    let rows = link.wait("looking for who holds the log", async move {
        let select = "SELECT format('%s, server process %s, from %s, since %s', a.application_name, a.pid, \
                             coalesce(host(a.client_addr), 'this host'), a.backend_start) \
                      FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                      WHERE l.locktype = 'advisory' AND l.granted AND l.classid = $1::int4::oid AND l.objid = $2::int4::oid \
                        AND l.objsubid = 2 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        client.query(select, &[&LOCKS, &id]).await
    })?;
    let name = rows.first().and_then(|row| row.try_get::<_, String>(0).ok());
    Ok(name.unwrap_or_else(|| "a session that has ended meanwhile".to_owned()))
}

/// Makes this process the one that writes: its epoch, and where the log goes on. `None` if another role writes the log.
fn take_over(link: &Link, session: &Session, id: i32) -> Result<Option<(i64, u64)>, DatabaseError> {
    let client = Arc::clone(&session.client);
    link.wait("taking over the log", async move {
        client.batch_execute(BEGIN).await?;
        client.execute("SELECT pg_advisory_xact_lock($1, 0)", &[&LOCKS]).await?;
        let update = "UPDATE countersign.signer SET epoch = epoch + 1, \
                      opened_at = (SELECT coalesce(max(idx) + 1, 0) FROM countersign.entry WHERE signer = $1) \
                      WHERE id = $1 RETURNING epoch, opened_at";
        let Some(row) = client.query_opt(update, &[&id]).await? else { return Ok(None) };
        // Everybody with a certificate has a row otherwise, for ever. An hour is more than clocks differ.
        let forget = "DELETE FROM countersign.tally WHERE count = 0 \
                      AND whole_at + whole / 1000000 < extract(epoch FROM now() - interval '1 hour') * 1000";
        client.execute(forget, &[]).await?;
        client.batch_execute("COMMIT").await?;
        Ok(Some((row.try_get(0)?, number(row.try_get(1)?))))
    })
}

fn epoch(link: &Link, session: &Session, id: i32) -> Result<Option<i64>, DatabaseError> {
    let client = Arc::clone(&session.client);
    link.wait("reading the epoch", async move {
        let row = client.query_opt("SELECT epoch FROM countersign.signer WHERE id = $1", &[&id]).await?;
        row.map(|row| row.try_get(0)).transpose()
    })
}

/// The entries of one log, through a session.
pub(super) struct Entries<'a> {
    pub(super) link: &'a Link,
    pub(super) connected: &'a Connected,
    pub(super) signer: i32,
    pub(super) server: &'a str,
}

impl Entries<'_> {
    /// Those of a range that there are, in order.
    pub(super) fn read(&self, first: u64, end: u64) -> Result<Vec<(u64, Vec<u8>)>, DatabaseError> {
        let Connected { session, statements } = self.connected.clone();
        let signer = self.signer;
        let (first, end) = (first.cast_signed(), i64::try_from(end).unwrap_or(i64::MAX));
        self.link.wait("reading entries", async move {
            let rows = session.client.query(&statements.leaves, &[&signer, &first, &end]).await?;
            rows.iter().map(|row| Ok((number(row.try_get(0)?), row.try_get(1)?))).collect()
        })
    }

    fn unusable(&self, source: DatabaseError) -> LedgerError {
        LedgerError::Database { server: self.server.to_owned(), source: Arc::new(source) }
    }

    /// Looks for removed entries where that is quick: the first, and among the newest.
    fn check_tail(&self, path: &Path, len: u64) -> Result<(), LedgerError> {
        let (client, signer) = (Arc::clone(&self.connected.session.client), self.signer);
        let tail = len.saturating_sub(TAIL);
        let (from, to) = (tail.cast_signed(), len.cast_signed());
        let missing = self.link.wait("looking for missing entries", async move {
            let select = "SELECT min(i.idx) FROM (SELECT 0::bigint AS idx WHERE $3::bigint > 0 \
                              UNION ALL SELECT generate_series($2::bigint, $3::bigint - 1)) i \
                          WHERE NOT EXISTS (SELECT FROM countersign.entry e WHERE e.signer = $1 AND e.idx = i.idx)";
            client.query_one(select, &[&signer, &from, &to]).await?.try_get::<_, Option<i64>>(0)
        });
        match missing.map_err(|source| self.unusable(source))? {
            None => Ok(()),
            Some(index) => Err(LedgerError::Gap { path: path.to_owned(), index: number(index) }),
        }
    }

    /// When the last of `len` entries was recorded, as far as [`LastTime`] can tell.
    fn newest(&self, path: &Path, len: u64) -> Result<UnixMillis, LedgerError> {
        let (mut last, mut end) = (LastTime::default(), len);
        while end > 0 {
            let first = end.saturating_sub(CHUNK);
            for (index, leaf) in self.read(first, end).map_err(|source| self.unusable(source))?.iter().rev() {
                let entry = Entry::decode(leaf).map_err(|source| LedgerError::Entry {
                    path: path.to_owned(),
                    index: *index,
                    source,
                })?;
                if matches!(last.goes_back_to(&entry), Next::Enough) {
                    return Ok(last.time());
                }
            }
            end = first;
        }
        Ok(last.time())
    }
}

impl Leaves for Entries<'_> {
    fn each(&self, first: u64, read: &mut Visit<'_>) -> Result<(), LedgerError> {
        let mut next = first;
        loop {
            let end = next.saturating_add(CHUNK);
            let chunk = self.read(next, end).map_err(|source| self.unusable(source))?;
            if chunk.is_empty() {
                return Ok(());
            }
            for (index, leaf) in chunk {
                if matches!(read(index, &leaf)?, Next::Enough) {
                    return Ok(());
                }
            }
            next = end;
        }
    }
}

impl Signer {
    /// That another process has taken over.
    pub(super) fn fenced(&self) -> StoreError {
        StoreError::Fenced { origin: self.origin.to_string() }
    }
}
