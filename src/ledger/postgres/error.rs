//! What can go wrong with a database, and what to do about it.

use std::error::Error;
use std::io;
use std::time::Duration;

use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::WasNull;

use super::config::PasswordError;
use crate::causes::in_one_line;

/// Why the database did not do what was asked of it. Each says all of it: nobody need ask for the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// It is not there, or takes no connection that can be written.
    #[error("no connection that can be written: {}", in_one_line(.0))]
    Connect(tokio_postgres::Error),
    /// It says no.
    #[error("{doing} failed: {}", in_one_line(.source))]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        source: tokio_postgres::Error,
    },
    /// It says nothing.
    #[error("{doing} took longer than {}", humantime::format_duration(*.within))]
    Slow {
        /// What was tried.
        doing: &'static str,
        /// For how long it was waited for.
        within: Duration,
    },
    /// It answered a commit, and has not committed.
    #[error("it answered a commit, and says that the transaction is not committed")]
    RolledBack,
    /// It answered a commit, and said that a stand-by might not have it.
    #[error("it says that a stand-by might not have what was committed")]
    NotReplicated,
    /// Another process has the log's lock, or had it a moment ago.
    #[error("another session holds the lock of this log")]
    Held,
    /// A connection that failed is tried again a moment later.
    #[error("it was tried a moment ago: {0}")]
    Recently(String),
    /// What a commit would promise, it would not keep.
    #[error("its setting {name} is {value}, so that what was committed could be lost; set it to on")]
    Unsafe {
        /// The setting.
        name: &'static str,
        /// What it is set to.
        value: String,
    },
    /// Its version is too old.
    #[error("it is PostgreSQL {found}; 14 or newer is needed")]
    OldServer {
        /// Its version.
        found: String,
    },
    /// There is none, and this role may not make it.
    #[error(
        "it has no schema `countersign` that this role can use and it may make none ({0}); have the database's owner run \
         `countersign ledger schema | psql --single-transaction`, and grant the role what docs/ledger.md says"
    )]
    NoSchema(String),
    /// Made by an older version of this program, and this role may not change it.
    #[error(
        "its schema is {found}, and this role may not make {known} of it; have the database's owner run `countersign ledger schema \
         --since {found} | psql --single-transaction`, and grant the role what docs/ledger.md says"
    )]
    OlderSchema {
        /// Its version.
        found: i32,
        /// The one that is known here.
        known: i32,
    },
    /// Written for a newer version of this program.
    #[error("its schema is {found}, this countersign knows {known}; use a newer countersign")]
    NewerSchema {
        /// Its version.
        found: i32,
        /// The newest that is known here.
        known: i32,
    },
    /// There is no log of this name.
    #[error("it has no log of {origin}; correct `ledger.origin`, or start the signer, which begins it")]
    NoLog {
        /// The name.
        origin: String,
    },
    /// Another role began it.
    #[error(
        "the log of {origin} is another role's; connect as that one, or have the database's owner correct `role` in \
         countersign.signer"
    )]
    OtherRole {
        /// The name.
        origin: String,
    },
    /// No countersign removes a signer.
    #[error(
        "a claim is of signer {0}, whom countersign.signer does not have: somebody has changed the database's tables"
    )]
    NoSigner(i32),
    /// The secret cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The CA certificates cannot be used.
    #[error("`postgres_root_certificates` cannot be used: {0}")]
    Roots(io::Error),
    /// The operating system gives no thread.
    #[error("the system gives no thread: {0}")]
    NoThread(io::Error),
    /// A row that no countersign writes.
    #[error("a row of table {table} is not as a signer writes it")]
    Row {
        /// Which table.
        table: &'static str,
    },
}

impl DatabaseError {
    /// Whether it may pass by itself: nobody need do something to this signer.
    pub(in crate::ledger) fn passes(&self) -> bool {
        match self {
            Self::Connect(source) | Self::Failed { source, .. } => comes_back(source),
            Self::Slow { .. }
            | Self::RolledBack
            | Self::NotReplicated
            | Self::Held
            | Self::Recently(_)
            | Self::NoThread(_) => true,
            Self::Unsafe { .. }
            | Self::OldServer { .. }
            | Self::NoSchema(_)
            | Self::OlderSchema { .. }
            | Self::NewerSchema { .. }
            | Self::NoLog { .. }
            | Self::OtherRole { .. }
            | Self::NoSigner(_)
            | Self::Password(_)
            | Self::Roots(_)
            | Self::Row { .. } => false,
        }
    }

    /// Whether what is stored is not as it was written. Class XX is that of pages and indexes that the server finds damaged, and of what it
    /// says when a row makes no sense to it; one whose transaction is a wrong one leads it to a file of its own that is not there. A row whose
    /// header is a wrong one has nothing in a column that is never empty.
    pub(in crate::ledger) fn is_damage(&self) -> bool {
        let Self::Failed { source, .. } = self else { return false };
        match source.code() {
            Some(code) => code.code().starts_with("XX") || *code == SqlState::UNDEFINED_FILE,
            None => source.source().is_some_and(<dyn Error>::is::<WasNull>),
        }
    }

    /// Whether a new session may do what this one did not: it is gone, or going.
    pub(super) fn is_of_session(&self) -> bool {
        let Self::Failed { source, .. } = self else { return false };
        source
            .as_db_error()
            .is_none_or(|error| matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)))
    }
}

/// Whether a server is away, or is not as it will be: it starts, stops, is a stand-by, has too little of something. What it says of a
/// name, a password or a right stays so, and so does a handshake of TLS that fails. The classes are those of PostgreSQL's appendix A.
fn comes_back(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        let of_network = |error: &io::Error| error.kind() != io::ErrorKind::InvalidData;
        // Without a source, the connection has ended.
        return error.source().is_none_or(|source| source.downcast_ref().is_some_and(of_network));
    };
    *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.code().starts_with(class))
}
