//! Subject keys that a CA key certifies no more: somebody has revoked all of their certificates for `key-compromise`.
//!
//! In: the revocations of the log. Out: the [`Conflict`] of an intent for such a key. The writer has this in memory and learns of a
//! revocation with the commit that makes it durable, so that nothing is signed for the key once the revocation is answered. What
//! other signers of a fleet bar, their database says.

use std::collections::HashSet;

use crate::ledger::archive::{Archive, ArchiveError};
use crate::ledger::claim::{Claim, Conflict, refused};
use crate::ledger::entry::{Entry, RevocationReason, Revoked};
use crate::ledger::filter::{Filter, Revocations};
use crate::ledger::search::{Search, decoded};
use crate::policy::Reason;

/// SHA-256 of a CA key's SPKI and of a subject key's SSH form.
type Pair = ([u8; 32], [u8; 32]);

/// Pairs that are certified no more.
#[derive(Debug, Default)]
pub(super) struct Compromised(HashSet<Pair>);

/// How many entries are looked at in one step.
const STEP: u64 = 4096;

const MESSAGE: &str = "all certificates of this CA key for this subject key are revoked for key-compromise; generate another key pair";

impl Compromised {
    /// All that the log says.
    pub(super) fn read(archive: &Archive) -> Result<Self, ArchiveError> {
        let filter = Filter { revocations: Some(Revocations::All), ..Filter::default() };
        let (mut search, mut all) = (Search::new(archive, filter, None)?, Self::default());
        while search.next().is_some() {
            for leaf in search.step(archive, STEP, 256)? {
                all.learn(&decoded(archive, &leaf)?);
            }
        }
        Ok(all)
    }

    /// What `entries` say.
    pub(super) fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        Self(entries.filter_map(pair).collect())
    }

    /// Takes note of an entry that is durable.
    pub(super) fn learn(&mut self, entry: &Entry) {
        self.0.extend(pair(entry));
    }

    /// What is in the way of `claim`.
    pub(super) fn against(&self, claim: &Claim) -> Option<Conflict> {
        let pair = (claim.ca_key.spki_sha256, claim.subject_key?);
        self.0.contains(&pair).then(conflict)
    }
}

/// What is in the way of an intent for such a key.
pub(super) fn conflict() -> Conflict {
    refused("subject_key", Reason::SubjectKeyRevoked, MESSAGE)
}

/// The keys that an entry is about, if it bars any.
pub(super) fn pair(entry: &Entry) -> Option<Pair> {
    match entry {
        Entry::Revocation {
            ca_key,
            what: Revoked::SubjectKey(subject),
            reason: RevocationReason::KeyCompromise,
            ..
        } => Some((ca_key.spki_sha256, *subject)),
        _ => None,
    }
}
