//! What a start would say of a log's checkpoints, for whoever checks a configuration, also beside the daemon that runs.
//!
//! In: the configuration, and the log's key. Out: nothing, or why [`Checkpoints::open`] would refuse the log. Nothing is written, and the
//! index is not made: what it does not know yet is compared by number alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Checkpoints, Config, newest_signed, verifier_key};
use crate::key::Key;
use crate::ledger::checkpoint::{Checkpoint, file};
use crate::ledger::merkle::Tree;
use crate::ledger::note::VerifierKey;
use crate::ledger::{self, LedgerError, Place, RecordedTiles, witness};

/// A checkpoint, and where it was found.
struct Signed {
    checkpoint: Checkpoint,
    file: PathBuf,
}

/// A log that nobody opens.
struct Closed<'a> {
    config: &'a ledger::Config,
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
        let reader = ledger.reader()?;
        let filed = in_file(&ledger.origin, &verifier, &config.file)?;
        let known = filed.as_ref().map_or(0, |filed| filed.checkpoint.size());
        let own = reader.as_ref().map(|_| recorded(ledger, known)).transpose()?.flatten();
        let shown = in_file(&ledger.origin, &verifier, &witness::evidence(&config.file))?;
        // Last: a signer that runs may sign meanwhile, and has all entries that a checkpoint is of before it signs that.
        let entries = reader.map_or(Ok(0), |reader| reader.len())?;
        // One that cannot be used is made anew by the start.
        let tiles = RecordedTiles::open(&ledger.path, &ledger.origin).ok().flatten();
        let log = Closed { config: ledger, entries, tiles };
        [filed, own, shown].into_iter().flatten().try_for_each(|signed| log.continues(&signed))
    }
}

/// The checkpoint in `file`, if there is one.
fn in_file(origin: &str, verifier: &VerifierKey, file: &Path) -> Result<Option<Signed>, LedgerError> {
    let file = file.to_owned();
    let note = file::read(&file).map_err(|source| LedgerError::Io {
        doing: "reading checkpoint",
        path: file.clone(),
        source: Arc::new(source),
    });
    let Some(note) = note? else { return Ok(None) };
    match Checkpoint::open(&note, origin, verifier) {
        Ok((checkpoint, _)) => Ok(Some(Signed { checkpoint, file })),
        Err(source) => Err(LedgerError::Checkpoint { file, source }),
    }
}

/// What the log records itself as signed, beyond the first `known` entries.
fn recorded(config: &ledger::Config, known: u64) -> Result<Option<Signed>, LedgerError> {
    let Some(newest) = newest_signed(&Place::from(config), known)? else { return Ok(None) };
    let file = config.path.clone();
    match Checkpoint::parse(&newest.text) {
        Ok(checkpoint) => Ok(Some(Signed { checkpoint, file })),
        Err(source) => Err(LedgerError::Checkpoint { file, source }),
    }
}

impl Closed<'_> {
    fn continues(&self, Signed { checkpoint, file }: &Signed) -> Result<(), LedgerError> {
        let (path, file, size, entries) =
            (self.config.path.clone(), file.clone(), checkpoint.size(), self.entries);
        if size > entries {
            return Err(LedgerError::OlderThanCheckpoint { path, entries, file, signed: size });
        }
        let tiles = self.tiles.as_ref().filter(|tiles| tiles.entries() >= size);
        // Tiles that cannot be read are the start's to report.
        match tiles.and_then(|tiles| Tree::new(tiles, size).root().ok()) {
            Some(root) if root != *checkpoint.root() => {
                Err(LedgerError::OtherThanCheckpoint { path, file, signed: size })
            }
            _ => Ok(()),
        }
    }
}
