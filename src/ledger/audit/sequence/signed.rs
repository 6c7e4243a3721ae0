//! The signatures of a log, each with what it signs.
//!
//! In: the outcome of an intent, and where the bytes are: with it, in the log or in a list's file. Out: jobs for the [pool](super::Pool), or
//! findings. What cannot be verified yet is put off to the end; what cannot be verified at all is called neither right nor wrong.

use crate::key::Scheme;
use crate::ledger::audit::again::Again;
use crate::ledger::audit::keys::How;
use crate::ledger::audit::sequence::{Message, Open, Sequence};
use crate::ledger::audit::signatures::Job;
use crate::ledger::audit::{Signatures, Unread, Wrong};
use crate::ledger::entry::{Asked, AskedTbs, Entry, MAX_WHOLE_TBS, Outcome};

/// How many signatures wait at most for somebody to say what their key is: an SSH certificate does, or a provisioning record. A key's
/// own self-test comes before either.
const LATER: usize = 1 << 16;

/// A signature whose key may become known, or whose intent is to be read again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Later {
    intent: u64,
    outcome: u64,
    key: usize,
    scheme: Scheme,
}

impl Sequence<'_> {
    /// Has a signature verified, or put off.
    pub(super) fn signed(&mut self, intent: u64, outcome: u64, open: Open, raw: Vec<u8>) {
        let (Signatures::Verify, Some(scheme)) = (self.signatures, open.scheme) else { return };
        let later = Later { intent, outcome, key: open.key, scheme };
        match (open.message, self.keys.how(open.key, scheme)) {
            (Message::Nowhere(..), _) => {}
            (_, How::Unfit) => self.findings.add(intent, Wrong::Scheme { scheme: scheme.name().to_owned() }),
            (Message::Here(message), How::By(verifier)) => {
                self.pool.verify(Job { intent, outcome, verifier, message, raw });
            }
            (_, How::KeyUnknown) if self.later.len() >= LATER => self.keys.unchecked(open.key, outcome),
            (Message::InAList(sha256, len), How::By(verifier)) => {
                if let Some(message) = self.list(intent, sha256, len) {
                    self.verify_list(&Job { intent, outcome, verifier, message, raw });
                }
            }
            (Message::InTheLog, How::By(_))
            | (Message::Here(_) | Message::InTheLog | Message::InAList(..), How::KeyUnknown) => {
                self.later.push(later);
            }
        }
    }

    /// A list may be of 16 MiB, so that none waits for its turn.
    fn verify_list(&mut self, job: &Job) {
        if job.is_right() {
            self.counts.verified += 1;
        } else {
            self.findings.add(job.outcome, Wrong::Signature { intent: job.intent });
        }
    }

    /// The list of an intent, again. Its file may be another by now, or gone: then nobody could read it.
    fn list(&mut self, intent: u64, sha256: [u8; 32], len: u64) -> Option<Vec<u8>> {
        let list = self.lists.get(&sha256, len);
        if list.is_none() {
            self.unread(Unread { intent, sha256, len });
        }
        list
    }

    /// Verifies one that was put off, or says why nobody can.
    pub(super) fn verify_later(&mut self, again: &mut Again<'_>, later: Later) {
        let Later { intent, outcome, key, scheme } = later;
        let verifier = match self.keys.how(key, scheme) {
            How::By(verifier) => verifier,
            How::Unfit => {
                return self.findings.add(intent, Wrong::Scheme { scheme: scheme.name().to_owned() });
            }
            How::KeyUnknown => return self.keys.unchecked(key, outcome),
        };
        let (Some(intended), Some(signed)) = (again.leaf(intent), again.leaf(outcome)) else { return };
        let message = match Entry::decode(&intended) {
            Ok(Entry::SelfTest { challenge, .. }) => Some(challenge),
            Ok(Entry::Checkpoint { text, .. }) => Some(text.into_bytes()),
            Ok(Entry::Intent { asked: Asked { tbs: AskedTbs::Whole(bytes), .. }, .. }) => Some(bytes),
            Ok(Entry::Intent { asked: Asked { tbs: AskedTbs::Digest(sha256, len), .. }, .. }) => {
                let Some(list) = self.list(intent, sha256, len) else { return };
                Some(list)
            }
            _ => None,
        };
        let raw = match Entry::decode(&signed) {
            Ok(Entry::Outcome { outcome: Outcome::Signed(raw), .. }) => Some(raw),
            _ => None,
        };
        match message.zip(raw) {
            Some((message, raw)) => {
                let job = Job { intent, outcome, verifier, message, raw };
                if job.message.len() > MAX_WHOLE_TBS { self.verify_list(&job) } else { self.pool.verify(job) }
            }
            // Read before, and another now: whoever changes the log while it is read changes this entry.
            None => self.findings.add(outcome, Wrong::Signature { intent }),
        }
    }
}
