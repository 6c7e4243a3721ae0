//! Signs that the log has so many entries with this root, and never anything that contradicts what it signed before.
//!
//! In: the log, its own key, and the file of the newest checkpoint. Out: a [`CheckpointIntent`] for a token to sign, and of
//! its signature a [`SignedCheckpoint`]. Promised: each one continues the one before, by a proof that was checked; its intent is
//! durable before it is signed, and its file before anybody is given it. A log that does not continue what was signed is not
//! opened, and one that ceases to takes no more entries. Not done here: when to sign one; asking the token.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::key::{Key, KeyName};
use crate::ledger::checkpoint::{Checkpoint, file};
use crate::ledger::entry::{CaKey, Outcome};
use crate::ledger::index::{self, TileFiles};
use crate::ledger::merkle::{Tree, TreeError, check_consistency};
use crate::ledger::note::{NoteKeyError, SignerName, VerifierKey};
use crate::ledger::witness::{self, Witness};
use crate::ledger::{Debt, Entry, Intent, Ledger, LedgerError, Order, Place, Reader, ca_key, word};
use crate::sign::{Answer, Failure, Priority};
use crate::verify::{Signature, VerifyError};

mod check;

/// How checkpoints are signed; part of the `[ledger]` section of the configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The key, whose purpose is no other.
    pub key: KeyName,
    /// How often at most, while there is something new.
    pub interval: Duration,
    /// After how many new entries one is signed sooner.
    pub entries: u64,
    /// The file of the newest one.
    pub file: PathBuf,
    /// Who is asked to cosign each.
    pub witnesses: Vec<Witness>,
    /// How many of them are enough.
    pub quorum: usize,
}

/// A checkpoint that was signed, whose file is on the disk.
#[derive(Clone, Debug)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: String,
}

/// How the signing of checkpoints goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Checkpointing {
    /// None are to be signed.
    #[default]
    Off,
    /// The newest is as new as it is to be.
    Current,
    /// There was to be a newer one, and it could not be signed.
    Failing,
}

/// An intent to sign a checkpoint; there is one at a time. It keeps its intent to itself: [`Ledger::settle`] can release none of
/// it.
#[derive(Debug)]
pub struct CheckpointIntent<'a> {
    checkpoints: &'a mut Checkpoints,
    intent: Intent,
    checkpoint: Checkpoint,
}

/// The checkpoints of one log; there is one of these for each log that is open.
#[derive(Debug)]
pub struct Checkpoints {
    ledger: Ledger,
    key: Arc<Key>,
    verifier: VerifierKey,
    file: PathBuf,
    /// What was signed last, by whatever key.
    last: Option<Checkpoint>,
    /// Those of the entries after it that are about checkpoints.
    own: u64,
}

/// The key by which checkpoints of the log `origin` are verified, if `key` signs them.
///
/// # Errors
/// [`NoteKeyError`] if no notes can be signed with it, or in this name.
pub fn verifier_key(origin: &str, key: &crate::key::PublicKey) -> Result<VerifierKey, NoteKeyError> {
    VerifierKey::new(SignerName::new(origin)?, key)
}

impl Checkpoints {
    /// Compares the log with what was signed of it: by the file, and by what the log records itself, which an older file does not
    /// outvote. Nothing is appended. Blocks; without a file, until the log was searched.
    ///
    /// # Errors
    /// - [`LedgerError::OlderThanCheckpoint`] and [`LedgerError::OtherThanCheckpoint`]: this is not the log that was signed, or
    ///   not all of it.
    /// - [`LedgerError::Checkpoint`] if what was signed last cannot be trusted, and others if it or the log cannot be read.
    pub fn open(ledger: &Ledger, config: &Config, key: &Arc<Key>) -> Result<Self, LedgerError> {
        let verifier = verifier_key(ledger.origin(), &key.public_key)
            .map_err(|source| LedgerError::CheckpointKey { key: key.name.clone(), source })?;
        let (ledger, key, file) = (ledger.clone(), Arc::clone(key), config.file.clone());
        let mut opened = Self { ledger, key, verifier, file, last: None, own: 0 };
        let found = file::read(&opened.file).map_err(|source| opened.failed("reading checkpoint", source))?;
        let filed = found.map(|note| opened.filed(&note)).transpose()?;
        let signed = opened.recorded(filed.as_deref())?.or(filed);
        opened.pass_evidence()?;
        opened.ledger.checkpointing.send_replace(Checkpointing::Current);
        if signed.is_some() {
            opened.ledger.checkpoint.send_replace(signed);
        }
        Ok(opened)
    }

    /// Whether the log continues what a witness has shown of it, if one has: putting a copy in its place does not make that undone.
    fn pass_evidence(&self) -> Result<(), LedgerError> {
        let path = witness::evidence(&self.file);
        let found = file::read(&path).map_err(|source| self.failed("reading checkpoint", source))?;
        let Some(note) = found else { return Ok(()) };
        let (checkpoint, _) = Checkpoint::open(&note, self.ledger.origin(), &self.verifier)
            .map_err(|source| LedgerError::Checkpoint { file: path.clone(), source })?;
        compare(&self.ledger, &checkpoint, &path)
    }

    /// What the file says was signed last.
    fn filed(&mut self, note: &[u8]) -> Result<Arc<SignedCheckpoint>, LedgerError> {
        let (checkpoint, note) = Checkpoint::open(note, self.ledger.origin(), &self.verifier)
            .map_err(|source| LedgerError::Checkpoint { file: self.file.clone(), source })?;
        compare(&self.ledger, &checkpoint, &self.file)?;
        self.last = Some(checkpoint.clone());
        Ok(Arc::new(SignedCheckpoint { checkpoint, note: note.to_string() }))
    }

    /// What the log itself says was signed last, if the file is missing or of an earlier one; a new file, if it was by this key.
    fn recorded(
        &mut self,
        filed: Option<&SignedCheckpoint>,
    ) -> Result<Option<Arc<SignedCheckpoint>>, LedgerError> {
        let log = self.ledger.path().to_owned();
        let known = filed.map(|filed| filed.checkpoint.size());
        // The entry of a checkpoint comes after all that it is of, so that those of earlier ones are below.
        let newest = newest_signed(self.ledger.place(), known.unwrap_or(0))?;
        let Some(Recorded { index, text, by, signature }) = newest else { return Ok(None) };
        let untrusted = |source| LedgerError::Checkpoint { file: log.clone(), source };
        let checkpoint = Checkpoint::parse(&text).map_err(untrusted)?;
        if known.is_some_and(|known| checkpoint.size() <= known) {
            return Ok(None);
        }
        compare(&self.ledger, &checkpoint, &log)?;
        self.last = Some(checkpoint.clone());
        let size = checkpoint.size();
        if by != ca_key(&self.key) {
            tracing::warn!(
                entry = index,
                size,
                "the newest checkpoint is by another key, and the signer goes on from it with this one: tell all who verify"
            );
            return Ok(None);
        }
        let mut note = checkpoint.to_note();
        let signed = note.sign(&self.verifier, self.key.scheme, &signature);
        signed.map_err(|error| untrusted(error.into()))?;
        self.warn_of_file(known, size, index);
        let note = note.to_string();
        file::write(&self.file, &note).map_err(|source| self.failed("writing checkpoint", source))?;
        Ok(Some(Arc::new(SignedCheckpoint { checkpoint, note })))
    }

    /// Says that the file is missing, or is of `known` entries, although the log records one of `size`.
    fn warn_of_file(&self, known: Option<u64>, size: u64, entry: u64) {
        let file = self.file.display();
        match known {
            None => tracing::error!(
                entry,
                size,
                "CHECKPOINT FILE {file} IS MISSING, and was made anew from the ledger. If the ledger was restored from a backup, nobody \
                 can tell by it: compare {size} with the newest size that others have seen, before you go on"
            ),
            Some(known) => tracing::error!(
                entry,
                size,
                "CHECKPOINT FILE {file} IS AN OLDER ONE, of {known} entries, and was made anew from the ledger, which records one of {size} \
                 as signed. Find out who put it there, and compare {size} with the newest size that others have seen, before you go on"
            ),
        }
    }

    /// How many entries of a log of `size` the newest checkpoint does not know, those about checkpoints left out.
    #[must_use]
    pub fn fresh(&self, size: u64) -> u64 {
        let known = self.last.as_ref().map_or(0, Checkpoint::size);
        size.saturating_sub(known).saturating_sub(self.own)
    }

    /// The log whose they are.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What verifies them.
    pub(super) fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The file of the newest.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The key that signs them.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Takes note of how it goes, for whoever watches.
    pub fn goes(&self, checkpointing: Checkpointing) {
        let change = |known: &mut Checkpointing| std::mem::replace(known, checkpointing) != checkpointing;
        self.ledger.checkpointing.send_if_modified(change);
    }

    /// Records that a checkpoint of all entries that are durable is about to be signed.
    ///
    /// # Errors
    /// - [`LedgerError::OlderThanCheckpoint`] and [`LedgerError::OtherThanCheckpoint`] if it would contradict the last one; then
    ///   the ledger takes no entries any more.
    /// - Otherwise as [`Ledger::record`].
    pub async fn record(&mut self) -> Result<CheckpointIntent<'_>, LedgerError> {
        let checkpoint = self.next().await?;
        let entry = Entry::Checkpoint {
            time: (self.ledger.now)(),
            key: self.key.name.as_str().to_owned(),
            ca_key: ca_key(&self.key),
            text: checkpoint.to_string(),
        };
        let receipt = self.ledger.append(&entry).await?;
        // It, and its outcome.
        self.own += 2;
        let debt = Debt::new(receipt, entry.time(), self.ledger.queue.clone());
        let order = Order::own(Arc::clone(&self.key), checkpoint.to_string().into_bytes());
        let intent = Intent { order, priority: Priority::Interactive, deadline: None, debt };
        Ok(CheckpointIntent { checkpoints: self, intent, checkpoint })
    }

    /// What is to be signed next: it continues what was signed last.
    async fn next(&self) -> Result<Checkpoint, LedgerError> {
        // Else what is on its way would be new again, and have another one signed.
        self.ledger.queue.settled().await;
        let (tiles, last) = (Arc::clone(&self.ledger.tiles), self.last.clone());
        let name = self.verifier.name().clone();
        let proven = spawn_blocking(move || proven(&tiles, &name, last.as_ref()));
        match proven.await.map_err(|_| LedgerError::Closed)? {
            Ok(checkpoint) => Ok(checkpoint),
            Err(Unproven::Unreadable(error)) => Err(unreadable(&self.ledger, error)),
            Err(Unproven::Contradicts(last)) => {
                let is_older = last.size() > self.ledger.tiles.entries();
                let error = if is_older {
                    older(&self.ledger, &last, &self.file)
                } else {
                    other(&self.ledger, &last, &self.file)
                };
                self.ledger.condemn(error.clone());
                Err(error)
            }
        }
    }

    async fn filed_anew(&self, checkpoint: &Checkpoint, signature: &Signature) -> Result<String, Failure> {
        let (mut note, scheme) = (checkpoint.to_note(), self.key.scheme);
        note.sign(&self.verifier, scheme, signature.as_bytes()).map_err(|_| VerifyError { scheme })?;
        let (file, note) = (self.file.clone(), note.to_string());
        let written = spawn_blocking(move || file::write(&file, &note).map(|()| note));
        let written = written.await.map_err(|_| LedgerError::Closed)?;
        Ok(written.map_err(|source| self.failed("writing checkpoint", source))?)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> LedgerError {
        LedgerError::Io { doing, path: self.file.clone(), source: Arc::new(source) }
    }
}

impl CheckpointIntent<'_> {
    /// What the token is to sign.
    #[must_use]
    pub fn intent(&self) -> &Intent {
        &self.intent
    }

    /// Makes a note of the checkpoint and its signature, and its file; then the outcome, and everybody may have it.
    ///
    /// # Errors
    /// The failure that was given, or that the file cannot be written; either is recorded.
    pub async fn settle(self, answer: impl Into<Answer>) -> Result<(), Failure> {
        let (Self { checkpoints, intent, checkpoint }, Answer { result, token }) = (self, answer.into());
        let filed = match result {
            Ok(signature) => {
                checkpoints.filed_anew(&checkpoint, &signature).await.map(|note| (note, signature))
            }
            Err(failure) => Err(failure),
        };
        let outcome = match &filed {
            Ok((_, signature)) => Outcome::Signed(signature.as_bytes().to_vec()),
            Err(failure) => Outcome::Failed(word(failure).to_owned()),
        };
        intent.debt.settle(outcome, token);
        let (note, _) = filed?;
        checkpoints.last = Some(checkpoint.clone());
        // Its own entry and outcome come after it.
        checkpoints.own = 2;
        checkpoints.ledger.checkpoint.send_replace(Some(Arc::new(SignedCheckpoint { checkpoint, note })));
        Ok(())
    }
}

impl SignedCheckpoint {
    pub(super) fn new(checkpoint: Checkpoint, note: String) -> Self {
        Self { checkpoint, note }
    }

    /// What is signed.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signed note (C2SP signed-note), as it is to be handed out.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// Why there is no next checkpoint.
enum Unproven {
    Unreadable(TreeError<io::Error>),
    /// The log does not continue this one.
    Contradicts(Checkpoint),
}

/// The checkpoint of all entries, after a proof that it continues `last`.
fn proven(tiles: &TileFiles, name: &SignerName, last: Option<&Checkpoint>) -> Result<Checkpoint, Unproven> {
    let size = tiles.entries();
    let mut tree = Tree::new(tiles, size);
    let root = tree.root().map_err(Unproven::Unreadable)?;
    if let Some(last) = last {
        let contradicts = || Unproven::Contradicts(last.clone());
        if last.size() > size {
            return Err(contradicts());
        }
        let proof = tree.consistency(last.size()).map_err(Unproven::Unreadable)?;
        check_consistency((last.size(), last.root()), (size, &root), &proof).map_err(|_| contradicts())?;
    }
    Ok(Checkpoint::signed_by(name, size, root))
}

/// Whether the log continues `signed`, which is in `file`.
pub(super) fn compare(ledger: &Ledger, signed: &Checkpoint, file: &Path) -> Result<(), LedgerError> {
    let tiles = &ledger.tiles;
    if signed.size() > tiles.entries() {
        return Err(older(ledger, signed, file));
    }
    let root = Tree::new(&**tiles, signed.size()).root().map_err(|error| unreadable(ledger, error))?;
    if root == *signed.root() { Ok(()) } else { Err(other(ledger, signed, file)) }
}

fn older(ledger: &Ledger, signed: &Checkpoint, file: &Path) -> LedgerError {
    let (path, entries) = (ledger.path().to_owned(), ledger.tiles.entries());
    LedgerError::OlderThanCheckpoint { path, entries, file: file.to_owned(), signed: signed.size() }
}

fn other(ledger: &Ledger, signed: &Checkpoint, file: &Path) -> LedgerError {
    let path = ledger.path().to_owned();
    LedgerError::OtherThanCheckpoint { path, file: file.to_owned(), signed: signed.size() }
}

pub(super) fn unreadable(ledger: &Ledger, error: TreeError<io::Error>) -> LedgerError {
    let path = index::path(ledger.path());
    LedgerError::Io { doing: "reading index", path, source: Arc::new(io::Error::other(error)) }
}

/// A checkpoint as the log has it.
struct Recorded {
    index: u64,
    text: String,
    by: CaKey,
    signature: Vec<u8>,
}

/// The newest checkpoint that the log says was signed, if its entry is not among the first `first`.
fn newest_signed(log: &Place, first: u64) -> Result<Option<Recorded>, LedgerError> {
    let reader = Reader::open(log)?;
    let mut end = reader.len()?;
    while let Some(index) = reader.newest_checkpoint(first..end)? {
        let mut entries = reader.entries(index..end);
        let Some((_, Entry::Checkpoint { text, ca_key: by, .. })) = entries.next().transpose()? else {
            return Ok(None);
        };
        // The outcome of one comes before the next.
        for entry in entries {
            match entry?.1 {
                Entry::Outcome { intent, outcome: Outcome::Signed(signature), .. } if intent == index => {
                    return Ok(Some(Recorded { index, text, by, signature }));
                }
                _ => {}
            }
        }
        end = index;
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
