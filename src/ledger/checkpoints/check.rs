//! What a start would say of a log's checkpoints, for whoever checks a configuration, also beside the daemon that runs.
//!
//! In: the configuration, and the log's key. Out: nothing, or why [`Checkpoints::open`] would refuse the log. Nothing is written, and the
//! index is not made: what it does not know yet is compared by number alone.

use std::path::Path;
use std::sync::Arc;

use super::{Checkpoints, Config, newest_signed, verifier_key};
use crate::key::Key;
use crate::ledger::checkpoint::{Checkpoint, file};
use crate::ledger::merkle::Tree;
use crate::ledger::note::VerifierKey;
use crate::ledger::{self, LedgerError, Place, RecordedTiles, witness};

/// A log that nobody opens.
struct Closed<'a> {
    config: &'a ledger::Config,
    verifier: VerifierKey,
    entries: u64,
    tiles: Option<RecordedTiles>,
}

impl Checkpoints {
    /// Whether [`Self::open`] would find the log that was signed, as far as that can be told without the log's index.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn check(ledger: &ledger::Config, config: &Config, key: &Key) -> Result<(), LedgerError> {
        let verifier = verifier_key(&ledger.origin, &key.public_key)
            .map_err(|source| LedgerError::CheckpointKey { key: key.name.clone(), source })?;
        let entries = ledger.reader()?.map_or(Ok(0), |reader| reader.len())?;
        // One that cannot be used is made anew by the start.
        let tiles = RecordedTiles::open(&ledger.path, &ledger.origin).ok().flatten();
        let log = Closed { config: ledger, verifier, entries, tiles };
        let known = log.continues_file(&config.file)?;
        log.continues_own(known)?;
        log.continues_file(&witness::evidence(&config.file)).map(drop)
    }
}

impl Closed<'_> {
    /// Compares it with the checkpoint in `file`, if there is one: of how many entries that is.
    fn continues_file(&self, path: &Path) -> Result<Option<u64>, LedgerError> {
        let failed = |source| LedgerError::Io {
            doing: "reading checkpoint",
            path: path.to_owned(),
            source: Arc::new(source),
        };
        let Some(note) = file::read(path).map_err(failed)? else { return Ok(None) };
        let (checkpoint, _) = Checkpoint::open(&note, &self.config.origin, &self.verifier)
            .map_err(|source| LedgerError::Checkpoint { file: path.to_owned(), source })?;
        self.continues(&checkpoint, path)?;
        Ok(Some(checkpoint.size()))
    }

    /// Compares it with what it records itself as signed, beyond the first `known` entries.
    fn continues_own(&self, known: Option<u64>) -> Result<(), LedgerError> {
        if self.entries == 0 {
            return Ok(());
        }
        let path = &self.config.path;
        let Some(newest) = newest_signed(&Place::from(self.config), known.unwrap_or(0))? else {
            return Ok(());
        };
        let checkpoint = Checkpoint::parse(&newest.text)
            .map_err(|source| LedgerError::Checkpoint { file: path.clone(), source })?;
        self.continues(&checkpoint, path)
    }

    fn continues(&self, signed: &Checkpoint, file: &Path) -> Result<(), LedgerError> {
        let (path, file, size, entries) =
            (self.config.path.clone(), file.to_owned(), signed.size(), self.entries);
        if size > entries {
            return Err(LedgerError::OlderThanCheckpoint { path, entries, file, signed: size });
        }
        let tiles = self.tiles.as_ref().filter(|tiles| tiles.entries() >= size);
        // Tiles that cannot be read are the start's to report.
        match tiles.and_then(|tiles| Tree::new(tiles, size).root().ok()) {
            Some(root) if root != *signed.root() => {
                Err(LedgerError::OtherThanCheckpoint { path, file, signed: size })
            }
            _ => Ok(()),
        }
    }
}
