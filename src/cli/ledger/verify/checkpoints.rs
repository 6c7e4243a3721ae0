//! The checkpoints that a log is compared with, and who must have signed them.
//!
//! In: signed notes, from files, an export or a signer that is not believed. Out: checkpoints whose signatures are verified, or which
//! nobody could verify without `--log-key`. Promised: one that a key or a quorum of witnesses does not vouch for ends the command.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::{Note, Statement, VerifierKey};

/// What was read so far.
pub(super) struct Checkpoints<'a> {
    /// The key of the log and its name, if they are known.
    pub(super) log: Option<(&'a VerifierKey, String)>,
    pub(super) witnesses: Quorum<'a>,
    pub(super) read: Vec<Checkpoint>,
    /// Those whose signatures nobody could check.
    pub(super) unsigned: Vec<PathBuf>,
}

/// Witnesses, and how many of them must have cosigned each checkpoint.
pub(super) struct Quorum<'a> {
    keys: &'a [VerifierKey],
    enough: usize,
}

impl Checkpoints<'_> {
    /// Verifies the signature of one if the key is known. Its size.
    pub(super) fn add(&mut self, path: &Path, bytes: &[u8]) -> anyhow::Result<u64> {
        let checkpoint = if let Some((key, origin)) = &self.log {
            let opened = Checkpoint::open(bytes, origin, key);
            let (checkpoint, note) = opened.with_context(|| format!("checkpoint {}", path.display()))?;
            self.witnesses.check(&note).with_context(|| format!("checkpoint {}", path.display()))?;
            Ok(checkpoint)
        } else {
            self.unsigned.push(path.to_owned());
            Note::parse(bytes).map_err(Into::into).and_then(|note| Checkpoint::parse(note.text()))
        };
        let checkpoint = checkpoint.with_context(|| format!("checkpoint {}", path.display()))?;
        let size = checkpoint.size();
        self.read.push(checkpoint);
        Ok(size)
    }
}

impl<'a> Quorum<'a> {
    /// All of `keys` that must have cosigned, or `quorum` of them.
    pub(super) fn new(keys: &'a [VerifierKey], quorum: Option<usize>) -> anyhow::Result<Self> {
        let enough = quorum.unwrap_or(keys.len());
        let mut twice = keys
            .iter()
            .enumerate()
            .filter(|(at, key)| keys.iter().take(*at).any(|other| other.is_pair_of(key)));
        if let Some((_, key)) = twice.next() {
            anyhow::bail!("--witness {key} has the key of another, and would count twice");
        }
        if enough > keys.len() || (enough == 0 && !keys.is_empty()) {
            anyhow::bail!("--quorum is 1 to the number of witnesses, which is {}", keys.len());
        }
        Ok(Self { keys, enough })
    }

    /// Whether enough have cosigned.
    fn check(&self, note: &Note) -> anyhow::Result<()> {
        let has_cosigned = |key: &&VerifierKey| matches!(note.verify(key), Ok(Statement::Cosigned { .. }));
        let (cosigned, missing): (Vec<_>, Vec<_>) = self.keys.iter().partition(has_cosigned);
        if cosigned.len() >= self.enough {
            return Ok(());
        }
        let missing: Vec<String> = missing.iter().map(|key| key.name().to_string()).collect();
        anyhow::bail!(
            "{} witnesses of {} that must have cosigned it have; not {}. Give the cosigned one (docs/witness.md)",
            cosigned.len(),
            self.enough,
            missing.join(", ")
        );
    }
}

/// The key of a witness.
pub(super) fn witness_key(text: &str) -> Result<VerifierKey, String> {
    match text.parse::<VerifierKey>().map_err(|error| error.to_string())? {
        key if key.is_cosigner() => Ok(key),
        _ => Err("it is no witness's key, whose kind is 0x04".to_owned()),
    }
}
