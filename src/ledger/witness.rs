//! What the log says to its witnesses, and what it makes of what they say (C2SP tlog-witness, tlog-cosignature).
//!
//! In: a signed checkpoint, and the answers. Out: the request, and a note with the cosignatures that verify and are of now.
//! Promised: no answer changes what the log is, and none but a checkpoint that the log's own key signed stops it: what a witness
//! merely says is reported. Not done here: asking them, and when.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64, Encoding};

use crate::ledger::checkpoint::{Checkpoint, CheckpointError, file};
use crate::ledger::checkpoints::{Checkpoints, SignedCheckpoint, compare, unreadable};
use crate::ledger::merkle::Tree;
use crate::ledger::note::{Cosignature, Note, NoteError, VerifierKey};
use crate::ledger::{Checkpointing, Ledger, LedgerError};

mod url;

pub use url::{InvalidUrl, Url};

/// By how much a witness's clock may differ from ours.
const SKEW: Duration = Duration::from_secs(600);

/// The most hashes of a consistency proof that a witness takes.
const MAX_PROOF: usize = 63;

/// A witness, by its section of the configuration.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The section's name.
    pub name: String,
    /// Where it takes checkpoints: its submission prefix.
    pub url: Url,
    /// Where it serves the newest checkpoint of this log that it has cosigned, if it does.
    pub newest_url: Option<Url>,
    /// What its cosignatures are verified by.
    pub key: VerifierKey,
    /// The CA certificates that its server's certificate must chain to, if it speaks TLS.
    pub ca_file: Option<PathBuf>,
}

/// A log, for those who ask its witnesses.
#[derive(Debug)]
pub struct Witnessed {
    ledger: Ledger,
    verifier: VerifierKey,
    /// The newest checkpoint that enough witnesses have cosigned.
    cosigned: PathBuf,
    evidence: PathBuf,
}

/// Why a witness has not cosigned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// There is no answer.
    #[error("it cannot be asked: {0}")]
    Unreachable(String),
    /// There is none in time.
    #[error("it does not answer within {0:?}")]
    Slow(Duration),
    /// It refuses.
    #[error("it answers {status}{}", match status { 403 => ", for it does not know the log's key", 404 => ", for it does not know the log", _ => "" })]
    Status {
        /// The status of HTTP.
        status: u16,
    },
    /// What it answers has another form.
    #[error("its answer is no {0}")]
    Malformed(&'static str),
    /// Its lines have no cosignature of its key.
    #[error("its answer has no cosignature that verifies: {0}")]
    Signature(#[from] NoteError),
    /// The cosignature is of another time.
    #[error(
        "its cosignature is of {time}, and now is {now} (seconds since 1970); see to its clock, or this one"
    )]
    Time {
        /// What it says.
        time: u64,
        /// The signer's clock.
        now: u64,
    },
    /// It says that the log had more entries.
    #[error(
        "IT SAYS THAT IT HAS COSIGNED {size} ENTRIES OF THIS LOG, which never signed for more than {ours}: the log was restored from an older \
         copy, or somebody else signs as this log, or the witness errs; ask its operator for the checkpoint, and see docs/witness.md"
    )]
    Ahead {
        /// As many as it says.
        size: u64,
        /// As many as there are.
        ours: u64,
    },
    /// It says that the log had other entries.
    #[error(
        "IT SAYS THAT THE {size} ENTRIES OF THIS LOG that it has cosigned WERE OTHERS: entries were changed, or somebody else signs as this \
         log, or the witness errs; ask its operator for the checkpoint, and see docs/witness.md"
    )]
    OtherTree {
        /// Of how many entries.
        size: u64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Trouble {
    /// Whether it may be that the log is not what the witness saw.
    #[must_use]
    pub fn is_a_charge(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::OtherTree { .. })
    }
}

impl Witnessed {
    /// The log of these checkpoints.
    #[must_use]
    pub fn of(checkpoints: &Checkpoints) -> Self {
        let (ledger, verifier) = (checkpoints.ledger().clone(), checkpoints.verifier().clone());
        let file = checkpoints.file();
        Self { ledger, verifier, cosigned: file::with_suffix(file, "-cosigned"), evidence: evidence(file) }
    }

    /// The log.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What is sent to a witness that has cosigned the first `old` entries: a proof that the checkpoint continues them, and it.
    /// Blocks.
    ///
    /// # Errors
    /// [`LedgerError`] if the log's hashes cannot be read.
    pub fn request(&self, signed: &SignedCheckpoint, old: u64) -> Result<String, LedgerError> {
        let size = signed.checkpoint().size();
        let proof = match old {
            0 => Vec::new(),
            _ => Tree::new(&*self.ledger.tiles, size)
                .consistency(old)
                .map_err(|error| unreadable(&self.ledger, error))?,
        };
        let mut request = format!("old {old}\n");
        for hash in proof.iter().take(MAX_PROOF) {
            request.push_str(&Base64::encode_string(hash));
            request.push('\n');
        }
        Ok(format!("{request}\n{}", signed.note()))
    }

    /// The cosignature in the answer of the witness with this key, if it verifies and is of now.
    ///
    /// # Errors
    /// [`Trouble`] if there is none.
    pub fn cosignature(
        &self,
        signed: &SignedCheckpoint,
        key: &VerifierKey,
        answer: &[u8],
    ) -> Result<Cosignature, Trouble> {
        let lines = str::from_utf8(answer).map_err(|_| Trouble::Malformed("text"))?;
        let cosignature = note_of(signed).cosignature(key, lines)?;
        let (time, now) = (cosignature.time(), (self.ledger.now)().0 / 1000);
        if time.abs_diff(now) > SKEW.as_secs() {
            return Err(Trouble::Time { time, now });
        }
        Ok(cosignature)
    }

    /// Has everybody have the checkpoint with these cosignatures; and its file, if they are enough. Blocks.
    ///
    /// # Errors
    /// [`LedgerError::Io`] if the file cannot be written.
    pub fn publish(
        &self,
        signed: &SignedCheckpoint,
        cosignatures: Vec<Cosignature>,
        quorum: usize,
    ) -> Result<(), LedgerError> {
        let (mut note, count) = (note_of(signed), cosignatures.len());
        for cosignature in cosignatures {
            note.add(cosignature);
        }
        let cosigned = Arc::new(SignedCheckpoint::new(signed.checkpoint().clone(), note.to_string()));
        self.ledger.checkpoint.send_if_modified(|newest| {
            let is_newest =
                newest.as_ref().is_some_and(|newest| newest.checkpoint() == cosigned.checkpoint());
            if is_newest {
                *newest = Some(Arc::clone(&cosigned));
            }
            is_newest
        });
        if count < quorum {
            return Ok(());
        }
        file::write(&self.cosigned, cosigned.note()).map_err(|source| LedgerError::Io {
            doing: "writing checkpoint",
            path: self.cosigned.clone(),
            source: Arc::new(source),
        })
    }

    /// What a witness shows for what it says: a checkpoint that the log's own key signed, which the log does not continue, is kept
    /// beside the others, and ends this log. Blocks.
    ///
    /// # Errors
    /// [`CheckpointError`] if it is none that this log's key signed.
    pub fn judge(&self, shown: &[u8]) -> Result<Judgement, CheckpointError> {
        let (checkpoint, note) = Checkpoint::open(shown, self.ledger.origin(), &self.verifier)?;
        match compare(&self.ledger, &checkpoint, &self.evidence) {
            Ok(()) => Ok(Judgement::Continues(checkpoint.size())),
            Err(
                error @ (LedgerError::OlderThanCheckpoint { .. } | LedgerError::OtherThanCheckpoint { .. }),
            ) => {
                if let Err(source) = file::write(&self.evidence, &note.to_string()) {
                    tracing::error!(%source, "the evidence cannot be kept in {}:\n{note}", self.evidence.display());
                }
                self.ledger.condemn(error.clone());
                Ok(Judgement::Contradicts(error))
            }
            Err(error) => {
                tracing::warn!(%error, "what a witness shows cannot be compared");
                Ok(Judgement::Unknown)
            }
        }
    }

    /// Takes note of whether the newest checkpoint has its quorum, for whoever watches.
    pub fn goes(&self, witnessing: Checkpointing) {
        let change = |known: &mut Checkpointing| std::mem::replace(known, witnessing) != witnessing;
        self.ledger.witnessing.send_if_modified(change);
    }
}

/// What a checkpoint that a witness shows is, beside the log.
#[derive(Clone, Debug)]
pub enum Judgement {
    /// The log continues it, of so many entries: the witness errs.
    Continues(u64),
    /// The log is not what it was, and takes no more entries.
    Contradicts(LedgerError),
    /// The log could not be read.
    Unknown,
}

/// Where a checkpoint is kept that the log's key signed and the log does not continue: no start passes it over.
pub(super) fn evidence(checkpoint: &Path) -> PathBuf {
    file::with_suffix(checkpoint, "-contradicted")
}

/// With the log's own signature.
fn note_of(signed: &SignedCheckpoint) -> Note {
    // What was printed by this program parses; an empty note would be cosigned by nobody.
    Note::parse(signed.note().as_bytes()).unwrap_or_else(|_| signed.checkpoint().to_note())
}

#[cfg(test)]
mod tests;
