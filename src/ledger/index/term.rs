//! What entries are found by: a word of a known kind, as 64 bits of a keyed hash.
//!
//! In: an entry. Out: its [`Term`]s, the same whether it is about to be written or was read again. The key is random and
//! each index's own, so that nobody outside can choose words that meet. Two that meet all the same harm nothing: a hash
//! leads to entries, and whoever follows it compares the entry.

use std::hash::Hasher as _;

use aws_lc_rs::rand;
use countersign_tbs::ssh::CertificateTbs;
use countersign_tbs::x509::TbsCertificate;
use countersign_tbs::{Tbs, TbsKind};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::ledger::claim::Serial;
use crate::ledger::entry::{
    Asked, AskedTbs, CaKey, Entry, Revoked, fingerprint, folded, names, spki_fingerprint,
};

/// Two halves of one index, kept apart: what a caller is refused must not make longer what an intent is judged by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::ledger) enum Family {
    /// What the writer asks for before it appends an intent.
    Claim,
    /// What people ask for.
    Find,
}

/// The kinds of words. Their numbers are part of what is hashed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::ledger) enum Kind {
    /// An intent's caller and request id.
    Request = 1,
    /// An intent's CA key and serial.
    Taken = 2,
    /// The index of an intent, a self-test or a checkpoint; on its outcome.
    Outcome = 3,
    /// A certificate's serial, of an intent or a refusal; so are the kinds that follow.
    Serial = 16,
    /// An SSH certificate's key id.
    KeyId = 17,
    /// A principal, a subject alternative name or a subject, as `ledger show --json` writes it; the latter two as they are compared, too.
    Name = 18,
    /// The fingerprint of the subject's public key, as OpenSSH writes it.
    SubjectKey = 19,
    /// Who asked; on freezes and thaws, and on what operators have recorded, too.
    Caller = 20,
    /// The key's name, as it was asked for.
    Key = 21,
    /// A revocation: of any CA key (of no bytes), and of one, by the SHA-256 of its SPKI. It is younger than the format of the
    /// files: where none was written, there was no revocation.
    Revocation = 22,
    /// A step of a rotation, of no bytes. It is younger than the format of the files, too.
    Rotation = 23,
}

/// One word, hashed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::ledger) struct Term {
    pub(super) family: Family,
    pub(super) hash: u64,
}

/// What one index hashes with.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(in crate::ledger) struct TermKey([u8; 16]);

/// An intent whose certificate cannot be read, so that nobody can tell which serial it has taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnknownSerial;

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub(in crate::ledger) struct NoRandomness;

impl Kind {
    const fn family(self) -> Family {
        match self {
            Self::Request | Self::Taken | Self::Outcome => Family::Claim,
            Self::Serial
            | Self::KeyId
            | Self::Name
            | Self::SubjectKey
            | Self::Caller
            | Self::Key
            | Self::Revocation
            | Self::Rotation => Family::Find,
        }
    }
}

impl TermKey {
    pub(super) fn random() -> Result<Self, NoRandomness> {
        let mut key = [0; 16];
        rand::fill(&mut key).map_err(|_| NoRandomness)?;
        Ok(Self(key))
    }

    /// For an index without entries, in which nothing is found.
    pub(super) const fn of_nothing() -> Self {
        Self([0; 16])
    }

    /// A word of several parts; each is hashed with its length, so that none runs into the next.
    pub(in crate::ledger) fn term(self, kind: Kind, parts: &[&[u8]]) -> Term {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        #[expect(clippy::as_conversions, reason = "the number that the kind was given")]
        hasher.write_u8(kind as u8);
        for part in parts {
            hasher.write_u64(u64::try_from(part.len()).unwrap_or(u64::MAX));
            hasher.write(part);
        }
        let hash = hasher.finish();
        // Tests need words that meet: with the zero key all do.
        #[cfg(test)]
        let hash = if self.0 == [0; 16] { 7 } else { hash };
        Term { family: kind.family(), hash }
    }

    /// What a caller's request id leads to.
    pub(in crate::ledger) fn request(self, caller: &[u8], id: &[u8]) -> Term {
        self.term(Kind::Request, &[caller, id])
    }

    /// What a CA key's serial leads to.
    pub(in crate::ledger) fn taken(self, spki_sha256: &[u8], serial: &[u8]) -> Term {
        self.term(Kind::Taken, &[spki_sha256, serial])
    }

    /// What leads from an intent to its outcome.
    pub(in crate::ledger) fn outcome(self, intent: u64) -> Term {
        self.term(Kind::Outcome, &[&intent.to_be_bytes()])
    }

    /// All that finds `entry`, which is in the log: if it has taken a serial, that is among it.
    pub(super) fn recorded(self, entry: &Entry) -> Result<Vec<Term>, UnknownSerial> {
        let Entry::Intent { asked, ca_key, .. } = entry else { return Ok(self.terms(entry)) };
        match parsed(asked) {
            None if takes_serial(asked) => Err(UnknownSerial),
            tbs => Ok(self.intent(asked, ca_key, tbs.as_ref())),
        }
    }

    /// All that finds `entry`, as it can be told from its bytes alone.
    pub(in crate::ledger) fn terms(self, entry: &Entry) -> Vec<Term> {
        match entry {
            Entry::Intent { asked, ca_key, .. } => self.intent(asked, ca_key, parsed(asked).as_ref()),
            Entry::Refusal { asked, .. } => self.asked(asked, parsed(asked).as_ref()),
            Entry::Outcome { intent, .. } => vec![self.outcome(*intent)],
            Entry::SelfTest { key, .. } | Entry::Checkpoint { key, .. } => {
                vec![self.term(Kind::Key, &[key.as_bytes()])]
            }
            Entry::KeyDeletion { by, .. } | Entry::KeyWrapping { by, .. } | Entry::Ceremony { by, .. } => {
                vec![self.term(Kind::Caller, &[by])]
            }
            Entry::KeyRecord { key, spki, by, .. } => {
                let fingerprint = spki_fingerprint(spki);
                let subject = fingerprint.map(|text| self.term(Kind::SubjectKey, &[text.as_bytes()]));
                let mut terms = vec![self.term(Kind::Caller, &[by]), self.term(Kind::Key, &[key])];
                terms.extend(subject);
                terms
            }
            Entry::Refusals { caller, .. } => vec![self.term(Kind::Caller, &[caller])],
            Entry::Freeze { caller, key, .. } | Entry::Thaw { caller, key, .. } => {
                vec![self.term(Kind::Caller, &[caller]), self.term(Kind::Key, &[key])]
            }
            Entry::Rotation { key, old, by, .. } => vec![
                self.term(Kind::Caller, &[by]),
                self.term(Kind::Key, &[key]),
                self.term(Kind::Key, &[old]),
                self.term(Kind::Rotation, &[&[]]),
            ],
            Entry::Revocation { key, ca_key, what, by, .. } => {
                let mut terms = vec![
                    self.term(Kind::Caller, &[by]),
                    self.term(Kind::Key, &[key]),
                    self.term(Kind::Revocation, &[&[]]),
                    self.term(Kind::Revocation, &[&ca_key.spki_sha256]),
                ];
                terms.extend(self.revoked(ca_key, what));
                terms
            }
        }
    }

    /// What finds a revocation as it finds the certificates that are meant.
    fn revoked(self, ca_key: &CaKey, what: &Revoked) -> Vec<Term> {
        match what {
            Revoked::Serial(octets) => vec![self.term(Kind::Serial, &[octets])],
            Revoked::KeyId(id) => vec![self.term(Kind::KeyId, &[id])],
            Revoked::Name(name) => match str::from_utf8(name) {
                Ok(name) if ca_key.is_x509() => self.names(name).collect(),
                _ => vec![self.term(Kind::Name, &[name])],
            },
            Revoked::SubjectKey(hash) => vec![self.term(Kind::SubjectKey, &[fingerprint(hash).as_bytes()])],
            Revoked::Recorded(..) | Revoked::Entry(_) => Vec::new(),
        }
    }

    /// What finds a name of X.509: as it is written, and as it is compared.
    fn names(self, name: &str) -> impl Iterator<Item = Term> {
        let folded = folded(name);
        let other = (folded != name).then(|| self.term(Kind::Name, &[folded.as_bytes()]));
        std::iter::once(self.term(Kind::Name, &[name.as_bytes()])).chain(other)
    }

    /// All that finds an intent, whose TBS has been parsed.
    pub(in crate::ledger) fn intent(self, asked: &Asked, ca_key: &CaKey, tbs: Option<&Tbs>) -> Vec<Term> {
        let mut terms = self.asked(asked, tbs);
        terms.extend(asked.request_id.as_deref().map(|id| self.request(&asked.caller, id)));
        if let Some(serial) = tbs.and_then(Serial::of) {
            terms.push(self.taken(&ca_key.spki_sha256, serial.as_bytes()));
        }
        terms
    }

    fn asked(self, asked: &Asked, tbs: Option<&Tbs>) -> Vec<Term> {
        let mut terms = vec![self.term(Kind::Caller, &[&asked.caller]), self.term(Kind::Key, &[&asked.key])];
        match tbs {
            Some(Tbs::Ssh(certificate)) => self.ssh(certificate, &mut terms),
            Some(Tbs::X509(certificate)) => self.x509(certificate, &mut terms),
            Some(Tbs::Root(root)) => self.x509(root.tbs(), &mut terms),
            // These name other certificates, of which there are entries.
            Some(Tbs::Crl(_) | Tbs::Ocsp(_) | Tbs::Request(_)) | None => {}
        }
        terms
    }

    fn ssh(self, certificate: &CertificateTbs, terms: &mut Vec<Term>) {
        let fingerprint = certificate.subject_key().fingerprint();
        terms.extend([
            self.term(Kind::Serial, &[&certificate.serial().to_be_bytes()]),
            self.term(Kind::KeyId, &[certificate.key_id().as_bytes()]),
            self.term(Kind::SubjectKey, &[fingerprint.as_bytes()]),
        ]);
        terms.extend(certificate.principals().iter().map(|name| self.term(Kind::Name, &[name.as_bytes()])));
    }

    fn x509(self, certificate: &TbsCertificate, terms: &mut Vec<Term>) {
        let fingerprint = certificate.public_key().fingerprint();
        terms.extend([
            self.term(Kind::Serial, &[certificate.serial().as_bytes()]),
            self.term(Kind::SubjectKey, &[fingerprint.as_bytes()]),
        ]);
        for name in names(certificate) {
            terms.extend(self.names(&name));
        }
    }
}

/// What was asked for, if it was recorded whole and is what it was said to be.
pub(in crate::ledger) fn parsed(asked: &Asked) -> Option<Tbs> {
    match &asked.tbs {
        AskedTbs::Whole(bytes) => Tbs::parse(TbsKind::from_name(&asked.kind)?, bytes).ok(),
        AskedTbs::Digest(..) => None,
    }
}

/// Whether an intent for it takes a serial, as far as its kind tells; one that is not known here may.
pub(in crate::ledger) fn takes_serial(asked: &Asked) -> bool {
    match TbsKind::from_name(&asked.kind) {
        Some(TbsKind::SshCertificate | TbsKind::X509Certificate | TbsKind::X509Root) | None => true,
        Some(TbsKind::X509Crl | TbsKind::OcspResponse | TbsKind::X509Request) => false,
    }
}
