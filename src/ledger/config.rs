//! The `[ledger]` section of the configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::caller::CallerName;
use crate::ledger::{LedgerError, Place, Reader, checkpoints, postgres};

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
    pub(crate) fn reader(&self) -> Result<Option<Reader>, LedgerError> {
        let place = Place::from(self);
        let exists = match place.database() {
            None => self.path.try_exists().map_err(|source| LedgerError::Io {
                doing: "looking for",
                path: self.path.clone(),
                source: Arc::new(source),
            })?,
            Some(database) => postgres::Select::find(&database.config, &database.origin)?.is_some(),
        };
        if exists { Reader::open(place).map(Some) } else { Ok(None) }
    }
}
