//! Where a log is: a file, or a database with files of this host beside it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ledger::{Config, LedgerError, StoreError, postgres};

/// Where a log is, for those who read it.
#[derive(Clone, Debug)]
pub struct Place {
    path: PathBuf,
    /// The log's name, if it is to be this one.
    origin: Option<String>,
    database: Option<Database>,
}

/// The database that has a log, and the log's name.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) config: Arc<postgres::Config>,
    pub(super) origin: String,
}

impl Place {
    /// The log's file, or what its files on this host are named by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same place, of a file that is to be the log of this name.
    #[must_use]
    pub fn of_log(self, origin: String) -> Self {
        Self { origin: Some(origin), ..self }
    }

    /// The log's name, if it is to be this one.
    pub(super) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// That the log takes no entries there, because of `source`.
    pub(super) fn unavailable(&self, source: StoreError) -> LedgerError {
        let source = Arc::new(source);
        match &self.database {
            None => LedgerError::Unavailable { path: self.path.clone(), source },
            Some(Database { config, .. }) => {
                LedgerError::DatabaseUnavailable { server: config.server(), source }
            }
        }
    }

    /// The database, if it is in one.
    pub(super) fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.database {
            None => write!(f, "{}", self.path.display()),
            Some(Database { config, origin }) => write!(f, "{origin} in {}", config.server()),
        }
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self { path, origin: None, database: None }
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        path.clone().into()
    }
}

impl From<&Config> for Place {
    fn from(config: &Config) -> Self {
        let database = config.postgres.as_ref();
        let database =
            database.map(|database| Database { config: Arc::clone(database), origin: config.origin.clone() });
        Self { path: config.path.clone(), origin: Some(config.origin.clone()), database }
    }
}

impl From<&Self> for Place {
    fn from(place: &Self) -> Self {
        place.clone()
    }
}
