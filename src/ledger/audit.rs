//! Checks a whole log, of a signer that runs, of a file or of an export, without trusting any of them.
//!
//! In: entries, public keys, and what is known of the tree: checkpoints, and tiles to compare with. Out: a [`Report`] with
//! every entry that is wrong. Promised: memory does not grow with the entries but for some 16 bytes for each certificate and each request id, some 100
//! for each revocation of a serial or a key, and what a list of open intents takes; nothing is called checked that was not. docs/verify.md says what is checked.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::ledger::LedgerError;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::tiles::TilesError;

mod again;
mod barred;
mod findings;
mod frozen;
mod kept;
mod keys;
mod lists;
mod newest;
mod proven;
mod recorded;
mod report;
mod sequence;
mod signatures;
mod source;
mod tree;
mod unique;

pub use again::Stopped;
pub use findings::{Finding, Findings};
pub use keys::CaKeys;
pub use lists::{ListError, Lists, Stranger};
pub use report::{Counts, Report, Rooted, Unchecked, Unread, Wrong};
pub use source::{Source, UNKNOWN, entries_of};
pub use tree::{Compared, Known};

use again::Again;
use sequence::{Basis, Sequence};
use signatures::Pool;
use source::SourceError;
use tree::TreeCheck;

/// How many entries go from one thread to the other at once.
const BATCH: usize = 256;

/// How many batches wait at most.
const WAITING: usize = 16;

/// What is known of a log, and how closely to look.
#[derive(Debug)]
pub struct Options {
    /// The public halves of CA keys. Those of SSH are in the certificates, too.
    pub ca_keys: CaKeys,
    /// Lists of which the log has digests alone.
    pub lists: Lists,
    /// Whether the tokens' signatures are verified.
    pub signatures: Signatures,
    /// The log's name, if it is known; else it is that of the first checkpoint that it records.
    pub origin: Option<String>,
    /// By how much time may run backwards from one entry to the next.
    pub clock_tolerance: Duration,
    /// Checkpoints of the log, whose signatures are verified already, or known not to be.
    pub checkpoints: Vec<Checkpoint>,
    /// Whose hashes the log's are compared with.
    pub compare: Vec<Compared>,
    /// What is wrong with the ledger beside its entries, as its header or its index: findings of its first entry.
    pub beside: Vec<Wrong>,
}

/// Whether signatures are verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signatures {
    /// All of them whose key is known.
    Verify,
    /// None.
    Skip,
}

/// What kept a log from being checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The ledger's file cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The export cannot be read.
    #[error(transparent)]
    Tiles(#[from] TilesError),
}

type Batch = Vec<(u64, Vec<u8>)>;

/// Checks the first `len` entries of `source`. `progress` is told how many of them are done.
///
/// # Errors
/// [`AuditError`] if what the log is compared with cannot be read. Where its own entries end too early is in the report, with what is
/// wrong before.
pub fn audit(
    source: Source,
    len: u64,
    options: Options,
    mut progress: impl FnMut(u64),
) -> Result<Report, AuditError> {
    let Options { ca_keys, lists, signatures, origin, clock_tolerance, checkpoints, compare, beside } =
        options;
    let compared = compare.iter().map(|compared| compared.entries.min(len)).max().unwrap_or(0);
    let newest = checkpoints.iter().max_by_key(|checkpoint| checkpoint.size()).cloned();
    let mut tree = TreeCheck::new(checkpoints, compare);
    let is_alone = source.is_alone()?;
    thread::scope(|scope| {
        let pool = Pool::start(scope);
        let (send, batches) = sync_channel(WAITING);
        let reader = scope.spawn(move || {
            let end = read(&source, len, &send);
            (source, end)
        });
        let basis = Basis { ca_keys, lists, signatures, origin, clock_tolerance, is_alone };
        let mut sequence = Sequence::new(basis, pool);
        let done = check(&batches, &mut tree, &mut sequence, &mut progress);
        // A reader that is not listened to any more stops.
        drop(batches);
        let (source, end) = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done?;
        let mut findings = tree.finish(len)?;
        for wrong in beside {
            findings.add(0, wrong);
        }
        let (entries, (root, checkpoints)) = (tree.size(), tree.into_rooted());
        let is_right = checkpoints.iter().all(|checkpoint| checkpoint.holds == Some(true));
        let mut again = Again { source: &source, entries, root, is_right, findings, stopped: None };
        match end {
            Err(error) => again.ended(entries, error),
            // The rows end, and there were to be more.
            Ok(()) if entries < len => again.findings.add(entries, Wrong::Missing),
            Ok(()) => again.cut(),
        }
        let signed = newest.filter(|newest| newest.size() == entries && *newest.root() != root);
        if let (Source::Served(log), Some(signed)) = (&source, &signed) {
            proven::name(log, signed, &mut again.findings);
        }
        Ok(sequence.finish(again, checkpoints, compared))
    })
}

/// Hands every entry over, in batches.
fn read(source: &Source, len: u64, send: &SyncSender<Batch>) -> Result<(), SourceError> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut end = Ok(());
    for leaf in source.leaves(0..len) {
        match leaf {
            Ok(leaf) => batch.push(leaf),
            Err(error) => end = Err(error),
        }
        if batch.len() == BATCH
            && send.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_err()
        {
            return end;
        }
    }
    // Whoever stopped listening has an error of its own to tell.
    let _ = send.send(batch);
    end
}

fn check(
    batches: &Receiver<Batch>,
    tree: &mut TreeCheck,
    sequence: &mut Sequence,
    progress: &mut impl FnMut(u64),
) -> Result<(), AuditError> {
    for batch in batches {
        for (index, leaf) in batch {
            let hash = tree.append(&leaf)?;
            sequence.entry(index, &leaf);
            sequence.appended(hash);
        }
        progress(tree.size());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
