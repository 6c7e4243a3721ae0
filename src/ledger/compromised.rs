//! What revocations bar: subject keys that a CA key certifies no more, since somebody has revoked all of their certificates for
//! `key-compromise`; and serials that no OCSP response calls good any more, since somebody has revoked them by serial.
//!
//! In: the revocations of the log. Out: the [`Conflict`] of an intent for such a key, or of such a response. The writer has this in
//! memory and learns of a revocation with the commit that makes it durable, so that nothing of the kind is signed once it is
//! answered. Not known here: the serials of certificates that are revoked by another word than their serial.
//! Subject keys that other signers of a fleet bar are in their database.

use std::collections::HashSet;

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

/// What is barred.
#[derive(Debug, Default)]
pub(super) struct Compromised {
    /// Certified no more.
    pairs: HashSet<Pair>,
    /// Good no more.
    serials: HashSet<OfCa>,
}

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
        let mut all = Self::default();
        entries.for_each(|entry| all.learn(entry));
        all
    }

    /// Takes note of an entry that is durable.
    pub(super) fn learn(&mut self, entry: &Entry) {
        self.pairs.extend(pair(entry));
        self.serials.extend(serial(entry));
    }

    /// What is in the way of `claim`.
    pub(super) fn against(&self, claim: &Claim) -> Option<Conflict> {
        let pair = claim.subject_key.map(|subject| (claim.ca_key.spki_sha256, subject));
        if pair.is_some_and(|pair| self.pairs.contains(&pair)) {
            return Some(conflict());
        }
        let (_, serial) = claim.good.iter().find(|good| self.serials.contains(*good))?;
        let serial = SerialNumber::new(serial).map(|serial| serial.to_string()).unwrap_or_default();
        let message = format!(
            "certificate {serial} is revoked in the ledger, and is not good again; answer that it is revoked"
        );
        Some(refused("good", Reason::CertificateRevoked, &message))
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

fn serial(entry: &Entry) -> Option<OfCa> {
    match entry {
        Entry::Revocation { ca_key, what: Revoked::Serial(serial), .. } if ca_key.is_x509() => {
            Some((ca_key.spki_sha256, serial.clone()))
        }
        _ => None,
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
