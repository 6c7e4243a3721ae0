//! What revocations bar: subject keys that a CA key certifies no more, since somebody has revoked all of their certificates: of SSH
//! for `key-compromise`, of X.509 for whatever reason.
//!
//! In: the revocations of the log. Out: why each subject key is revoked, and the [`Conflict`] of an intent for one that is
//! barred, or of a response that calls a revoked certificate good. The writer has this in memory and learns of a revocation with
//! the commit that makes it durable, so that nothing of the kind is signed once it is answered. What other signers of a fleet
//! revoke is in their database.

use std::collections::HashMap;

use countersign_tbs::Tbs;
use countersign_tbs::ocsp::CertStatus;
use countersign_tbs::x509::SerialNumber;

use crate::key::{Key, KeyPurpose};
use crate::ledger::archive::{Archive, ArchiveError};
use crate::ledger::claim::{Claim, Conflict, refused};
use crate::ledger::entry::{Entry, RevocationReason, Revoked, sha256};
use crate::ledger::filter::{Filter, Revocations};
use crate::ledger::search::{Search, decoded};
use crate::policy::Reason;

/// SHA-256 of a CA key's SPKI and of a subject key's SSH form.
type Pair = ([u8; 32], [u8; 32]);

/// SHA-256 of a CA key's SPKI, and a serial number of its.
pub(super) type OfCa = ([u8; 32], Vec<u8>);

/// Why subject keys are revoked.
#[derive(Debug, Default)]
pub(super) struct Compromised(HashMap<Pair, Vec<RevocationReason>>);

/// How many entries are looked at in one step.
const STEP: u64 = 4096;

const MESSAGE: &str =
    "all certificates of this CA key for this subject key are revoked; generate another key pair";

/// All revocations of a log, newest first, with their indexes.
pub(super) fn revocations(archive: &Archive) -> Result<Vec<(u64, Entry)>, ArchiveError> {
    let filter = Filter { revocations: Some(Revocations::All), ..Filter::default() };
    let (mut search, mut all) = (Search::new(archive, filter, None)?, Vec::new());
    while search.next().is_some() {
        for leaf in search.step(archive, STEP, 256)? {
            all.push((leaf.index, decoded(archive, &leaf)?));
        }
    }
    Ok(all)
}

impl Compromised {
    /// What `entries` say.
    pub(super) fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let mut all = Self::default();
        entries.for_each(|entry| all.learn(entry));
        all
    }

    /// Takes note of an entry that is durable.
    pub(super) fn learn(&mut self, entry: &Entry) {
        if let Some((pair, reason)) = subject(entry) {
            let reasons = self.0.entry(pair).or_default();
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }

    /// Why the subject key of `claim` is revoked.
    pub(super) fn reasons(&self, claim: &Claim) -> impl Iterator<Item = RevocationReason> {
        let pair = claim.subject_key.map(|subject| (claim.ca_key.spki_sha256, subject));
        pair.and_then(|pair| self.0.get(&pair)).into_iter().flatten().copied()
    }
}

/// The serials that `tbs` calls good, if it is a response, of the CA that `key` answers for.
pub(super) fn called_good(key: &Key, tbs: &Tbs) -> Vec<OfCa> {
    let Tbs::Ocsp(response) = tbs else { return Vec::new() };
    let ca_key = match (key.purpose, &key.certificate) {
        (KeyPurpose::Ocsp, Some(certificate)) => certificate.ca().public_key(),
        _ => &key.public_key,
    };
    let spki_sha256 = sha256(&[&ca_key.to_spki_der()]);
    let good = response.responses().iter().filter(|answer| matches!(answer.status, CertStatus::Good));
    good.map(|answer| (spki_sha256, answer.cert_id.serial.as_bytes().to_vec())).collect()
}

/// What is in the way of an intent for a subject key that is barred.
pub(super) fn subject_conflict() -> Conflict {
    refused("subject_key", Reason::SubjectKeyRevoked, MESSAGE)
}

/// What is in the way of a response that calls the certificate with this serial good.
pub(super) fn good_conflict((_, serial): &OfCa) -> Conflict {
    let serial = SerialNumber::new(serial).map(|serial| serial.to_string()).unwrap_or_default();
    let message = format!(
        "certificate {serial} is revoked in the ledger, and is not good again; answer that it is revoked"
    );
    refused("good", Reason::CertificateRevoked, &message)
}

/// The keys that an entry revokes all certificates of, and why, if it does.
pub(super) fn subject(entry: &Entry) -> Option<(Pair, RevocationReason)> {
    match entry {
        Entry::Revocation { ca_key, what: Revoked::SubjectKey(subject), reason, .. } => {
            Some(((ca_key.spki_sha256, *subject), *reason))
        }
        _ => None,
    }
}
