//! What revocations bar for good: serials of X.509, and subject keys.
//!
//! In: revocations and certificates, in the log's order. Out: the revocation that a certificate should not have come after. It is what
//! `ledger::admit` bars by what this log says; a fleet's other logs bar more, and what a name or a time means is in the log before.
//! Of each revocation some 100 bytes are kept.

use std::collections::HashMap;

use countersign_tbs::Tbs;

use crate::ledger::claim::Serial;
use crate::ledger::entry::{CaKey, RevocationReason, Revoked, subject_key};

/// The place of a CA key, and the SHA-256 by which revocations name a subject key.
type Subject = (usize, [u8; 32]);

/// Which revocation bars what, by the place of the CA key.
#[derive(Debug, Default)]
pub(super) struct Barred {
    serials: HashMap<(usize, Vec<u8>), u64>,
    /// Of each reason the first.
    subjects: HashMap<Subject, Vec<(RevocationReason, u64)>>,
}

impl Barred {
    /// Takes note of the revocation in entry `index`, by the CA key at `key`.
    pub(super) fn learn(
        &mut self,
        index: u64,
        (key, ca_key): (usize, &CaKey),
        what: Revoked,
        reason: RevocationReason,
    ) {
        match what {
            // A list of SSH has the number itself, whatever is signed with it later.
            Revoked::Serial(serial) if ca_key.is_x509() => {
                self.serials.entry((key, serial)).or_insert(index);
            }
            Revoked::SubjectKey(subject) => {
                let reasons = self.subjects.entry((key, subject)).or_default();
                if reasons.iter().all(|(known, _)| *known != reason) {
                    reasons.push((reason, index));
                }
            }
            Revoked::Serial(_)
            | Revoked::KeyId(_)
            | Revoked::Name(_)
            | Revoked::Recorded(..)
            | Revoked::Entry(_) => {}
        }
    }

    /// The revocation that bars the certificate `tbs`, by the CA key at `key`.
    pub(super) fn by(&self, (key, ca_key): (usize, &CaKey), tbs: &Tbs) -> Option<u64> {
        let serial = || self.serials.get(&(key, Serial::of(tbs)?.as_bytes().to_vec())).copied();
        self.subject(key, ca_key, tbs).or_else(serial)
    }

    /// Of SSH only a compromised key is barred: lists have the key itself, and so what is signed for it later.
    fn subject(&self, key: usize, ca_key: &CaKey, tbs: &Tbs) -> Option<u64> {
        if self.subjects.is_empty() {
            return None;
        }
        let reasons = self.subjects.get(&(key, subject_key(tbs)?))?;
        let mut barring = reasons
            .iter()
            .filter(|(reason, _)| ca_key.is_x509() || *reason == RevocationReason::KeyCompromise);
        barring.next().map(|(_, index)| *index)
    }
}
