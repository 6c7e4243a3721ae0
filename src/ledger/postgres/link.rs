//! Connections to the database, for threads that block.
//!
//! In: work that awaits the database. Out: what it comes to, or that it took too long. One thread of its own drives each link's
//! connections, whether anybody waits or not: a server that goes is noticed at once, and a caller may be within another runtime.
//! Promised: nobody waits longer than the timeout for one step, whatever the network does.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client};

use crate::ledger::postgres::config::Config;
use crate::ledger::postgres::error::DatabaseError;
use crate::ledger::postgres::tls::Tls;

/// What drives connections.
#[derive(Debug)]
pub(super) struct Link {
    config: Arc<Config>,
    name: String,
    /// `None` once it is dropped.
    runtime: Option<Runtime>,
}

/// One connection. It ends when the last clone of it is gone.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) client: Arc<Client>,
    /// Whether the server has warned of something since this was looked at.
    warned: Arc<AtomicBool>,
}

/// The oldest server that has what is used here.
const OLDEST: i32 = 140_000;

impl Link {
    /// Begins without a connection; the server knows those to come by `name`.
    pub(super) fn start(config: &Arc<Config>, name: &str) -> Result<Self, DatabaseError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ledger-database")
            .enable_all()
            .build()
            .map_err(DatabaseError::NoThread)?;
        Ok(Self { config: Arc::clone(config), name: name.to_owned(), runtime: Some(runtime) })
    }

    /// What it connects to.
    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// How long a step is waited for: the server, if it is there, gives up first, and says why.
    fn patience(&self) -> Duration {
        self.config.timeout() + self.config.timeout() / 4
    }

    /// What `work` comes to.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, tokio_postgres::Error>> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let within = self.patience();
        self.wait_for(doing, within, async move {
            work.await.map_err(|source| DatabaseError::Failed { doing, source })
        })
    }

    fn wait_for<T: Send + 'static>(
        &self,
        doing: &'static str,
        within: Duration,
        work: impl Future<Output = Result<T, DatabaseError>> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let slow = move || DatabaseError::Slow { doing, within };
        let Some(runtime) = &self.runtime else { return Err(slow()) };
        let (tell, told) = sync_channel(1);
        runtime.spawn(async move {
            let done = tokio::time::timeout(within, work).await;
            // Whoever waits is still there: it waits without a limit of its own.
            let _ = tell.send(done.unwrap_or_else(|_| Err(slow())));
        });
        told.recv().unwrap_or_else(|_| Err(slow()))
    }

    /// A new connection, whose transactions are durable once they are committed.
    pub(super) fn connect(&self) -> Result<Session, DatabaseError> {
        let connection = self.config.connection(&self.name)?;
        let tls = Tls::new(self.config.roots()).map_err(DatabaseError::Roots)?;
        let timeout = self.config.timeout();
        let hosts = u32::try_from(connection.get_hosts().len()).unwrap_or(1).max(1);
        self.wait_for("connecting", self.patience() * hosts, async move {
            let (client, mut connection) = connection.connect(tls).await.map_err(DatabaseError::Connect)?;
            let warned = Arc::new(AtomicBool::new(false));
            let warns = Arc::clone(&warned);
            tokio::spawn(async move {
                while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                    take_note(&message, &warns);
                }
            });
            let session = Session { client: Arc::new(client), warned };
            session.set_up(timeout).await?;
            Ok(session)
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Not waited for: whoever drops it may be within another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The server's notices go to the operator's log.
fn take_note(message: &AsyncMessage, warned: &AtomicBool) {
    if let AsyncMessage::Notice(notice) = message
        && notice.parsed_severity() == Some(Severity::Warning)
    {
        warned.store(true, Ordering::SeqCst);
        let message = notice.message().escape_debug();
        tracing::warn!("the ledger's database warns: {message}");
    }
}

impl Session {
    /// Whether it can be used no more.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether the server has warned of something since the last time.
    pub(super) fn was_warned(&self) -> bool {
        self.warned.swap(false, Ordering::SeqCst)
    }

    /// Checks what the server promises, and asks for the rest.
    async fn set_up(&self, timeout: Duration) -> Result<(), DatabaseError> {
        let failed = |source| DatabaseError::Failed { doing: "setting up a session", source };
        let select = "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), \
                             current_setting('fsync'), current_setting('full_page_writes'), \
                             current_setting('synchronous_commit')";
        let row = self.client.query_one(select, &[]).await.map_err(failed)?;
        if row.try_get::<_, i32>(0).map_err(failed)? < OLDEST {
            return Err(DatabaseError::OldServer { found: row.try_get(1).map_err(failed)? });
        }
        for (column, name) in [(2, "fsync"), (3, "full_page_writes")] {
            let value: String = row.try_get(column).map_err(failed)?;
            if value != "on" {
                return Err(DatabaseError::Unsafe { name, value });
            }
        }
        // `remote_apply` promises more than `on`, and everything else less.
        let durable: String = row.try_get(4).map_err(failed)?;
        let durable = if durable == "remote_apply" { "remote_apply" } else { "on" };
        let millis = timeout.as_millis();
        // The server ends what hangs, too: a signer that was stopped or unplugged within a transaction would hold up all
        // others. Plans are made once, and follow indexes whatever the tables' statistics say.
        let settings = format!(
            "SET synchronous_commit = {durable}; SET search_path = pg_catalog; SET statement_timeout = {millis}; \
             SET idle_in_transaction_session_timeout = {millis}; SET tcp_keepalives_idle = 10; \
             SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = {millis}; \
             SET jit = off; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; \
             SET enable_mergejoin = off; SET enable_bitmapscan = off"
        );
        self.client.batch_execute(&settings).await.map_err(failed)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}
