//! OpenSSH key revocation lists (PROTOCOL.krl): a list in the making, and what a finished one says.
//!
//! In: serials, key ids and fingerprints, by CA key; or the bytes of a list. Out: the bytes, or a [`Krl`]. Promised: the same
//! contents are the same bytes, serials take the fewest bytes of list, range and bitmap; what parses encodes to the same
//! bytes. Not read: signatures of lists, SHA-1, extensions. Nothing here is signed: who may write the file, revokes.

mod parse;
mod serials;

use std::collections::{BTreeMap, BTreeSet};

use crate::key::PublicKey;
use crate::ssh::SubjectKey;
use crate::ssh::wire::{excerpt, put_mpint, put_string};

pub use parse::KrlError;
pub use serials::SerialRun;

/// `SSHKRL\n\0`.
const MAGIC: u64 = 0x5353_484b_524c_0a00;
/// The format's version.
const FORMAT: u32 = 1;

const CERTIFICATES: u8 = 1;
const EXPLICIT_KEY: u8 = 2;
const FINGERPRINT_SHA256: u8 = 5;

const SERIAL_LIST: u8 = 0x20;
const SERIAL_RANGE: u8 = 0x21;
const SERIAL_BITMAP: u8 = 0x22;
const KEY_ID: u8 = 0x23;

/// A list, section by section, as its bytes have them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Krl {
    /// A number that grows with each list.
    pub version: u64,
    /// When it was made, in seconds since 1970.
    pub generated: u64,
    /// For people.
    pub comment: String,
    /// What is revoked.
    pub sections: Vec<Section>,
}

/// One section.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Section {
    /// Certificates of one CA key, or of any if there is none.
    Certificates {
        /// The CA key.
        ca_key: Option<PublicKey>,
        /// Which.
        of: Vec<Certificates>,
    },
    /// Keys, and all certificates for them, whoever signed.
    Keys(Vec<SubjectKey>),
    /// The same, by the SHA-256 of their blobs.
    Fingerprints(Vec<[u8; 32]>),
}

/// Some certificates of a CA key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Certificates {
    /// By serial.
    Serials(Vec<u64>),
    /// All from the first serial to the last.
    Range(u64, u64),
    /// By an offset, and the bits of a number above zero, big-endian without leading zeros: bit 0 is the offset itself.
    Bitmap(u64, Vec<u8>),
    /// By key id.
    KeyIds(Vec<String>),
}

/// What is revoked, without an order.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    by_ca: BTreeMap<Vec<u8>, OfCa>,
    fingerprints: BTreeSet<[u8; 32]>,
}

/// What is revoked of one CA key.
#[derive(Clone, Debug)]
struct OfCa {
    ca_key: PublicKey,
    serials: BTreeSet<u64>,
    key_ids: BTreeSet<String>,
}

impl Revoked {
    /// Adds the certificate of `ca_key` with this serial. Serial 0 is no certificate's (OpenSSH takes it for none).
    pub fn serial(&mut self, ca_key: &PublicKey, serial: u64) {
        if serial > 0
            && let Some(of) = self.of(ca_key)
        {
            of.serials.insert(serial);
        }
    }

    /// Adds all certificates of `ca_key` with this key id.
    pub fn key_id(&mut self, ca_key: &PublicKey, id: &str) {
        if let Some(of) = self.of(ca_key) {
            of.key_ids.insert(id.to_owned());
        }
    }

    /// Adds the key whose blob has this SHA-256, and all certificates for it.
    pub fn fingerprint(&mut self, sha256: [u8; 32]) {
        self.fingerprints.insert(sha256);
    }

    /// How many serials, key ids and fingerprints there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let certificates = self.by_ca.values().map(|of| of.serials.len() + of.key_ids.len());
        certificates.sum::<usize>() + self.fingerprints.len()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nothing for a key that SSH does not have, and so signs no certificates of SSH.
    fn of(&mut self, ca_key: &PublicKey) -> Option<&mut OfCa> {
        let wire = ca_key.to_ssh_wire()?;
        let new = || OfCa { ca_key: ca_key.clone(), serials: BTreeSet::new(), key_ids: BTreeSet::new() };
        Some(self.by_ca.entry(wire).or_insert_with(new))
    }

    /// The sections, in their one order.
    #[must_use]
    pub fn sections(&self) -> Vec<Section> {
        let mut sections: Vec<_> = self
            .by_ca
            .values()
            .map(|OfCa { ca_key, serials, key_ids }| {
                let mut of = serials::encode(serials);
                if !key_ids.is_empty() {
                    of.push(Certificates::KeyIds(key_ids.iter().cloned().collect()));
                }
                Section::Certificates { ca_key: Some(ca_key.clone()), of }
            })
            .collect();
        if !self.fingerprints.is_empty() {
            sections.push(Section::Fingerprints(self.fingerprints.iter().copied().collect()));
        }
        sections
    }
}

impl Krl {
    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(MAGIC.to_be_bytes());
        out.extend(FORMAT.to_be_bytes());
        out.extend(self.version.to_be_bytes());
        out.extend(self.generated.to_be_bytes());
        // Flags and a reserved string.
        out.extend(0_u64.to_be_bytes());
        put_string(&mut out, &[]);
        put_string(&mut out, self.comment.as_bytes());
        for (number, body) in self.sections.iter().filter_map(Section::encode) {
            out.push(number);
            put_string(&mut out, &body);
        }
        out
    }

    /// All serials of `ca_key` that are revoked, as runs in order.
    #[must_use]
    pub fn serials(&self, ca_key: &PublicKey) -> Vec<SerialRun> {
        let runs = self.certificates(ca_key).flat_map(serials::runs);
        serials::merged(runs.collect())
    }

    /// All key ids of `ca_key` that are revoked.
    #[must_use]
    pub fn key_ids<'a>(&'a self, ca_key: &PublicKey) -> BTreeSet<&'a str> {
        let ids = self.certificates(ca_key).filter_map(|of| match of {
            Certificates::KeyIds(ids) => Some(ids),
            Certificates::Serials(_) | Certificates::Range(..) | Certificates::Bitmap(..) => None,
        });
        ids.flatten().map(String::as_str).collect()
    }

    /// All keys that are revoked, by the SHA-256 of their blobs.
    #[must_use]
    pub fn fingerprints(&self) -> BTreeSet<[u8; 32]> {
        let hashes = self.sections.iter().flat_map(|section| match section {
            Section::Fingerprints(hashes) => hashes.clone(),
            Section::Keys(keys) => keys.iter().map(sha256_of).collect(),
            Section::Certificates { .. } => Vec::new(),
        });
        hashes.collect()
    }

    /// Whether all that `other` revokes is revoked by this one, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (own, hashes) = (self.fingerprints(), other.fingerprints());
        let covers = |section: &Section| match section {
            Section::Certificates { ca_key: Some(key), of } => {
                let (runs, ids) = (self.serials(key), self.key_ids(key));
                of.iter().all(|of| match of {
                    Certificates::KeyIds(theirs) => theirs.iter().all(|id| ids.contains(id.as_str())),
                    serials => serials::runs(serials)
                        .iter()
                        .all(|run| runs.iter().any(|own| own.first <= run.first && run.last <= own.last)),
                })
            }
            // Of every CA: this one would have to say it in the same words.
            Section::Certificates { ca_key: None, of } => of.is_empty() || self.sections.contains(section),
            Section::Keys(_) | Section::Fingerprints(_) => true,
        };
        own.is_superset(&hashes) && other.sections.iter().all(covers)
    }

    fn certificates<'a>(&'a self, wanted: &PublicKey) -> impl Iterator<Item = &'a Certificates> {
        self.sections.iter().flat_map(move |section| match section {
            Section::Certificates { ca_key, of } if ca_key.as_ref().is_none_or(|key| key == wanted) => {
                of.as_slice()
            }
            Section::Certificates { .. } | Section::Keys(_) | Section::Fingerprints(_) => &[],
        })
    }
}

impl Section {
    /// Nothing of a CA key that SSH does not have: without a key the section would be of every CA.
    fn encode(&self) -> Option<(u8, Vec<u8>)> {
        let mut body = Vec::new();
        let number = match self {
            Self::Certificates { ca_key, of } => {
                let wire = match ca_key {
                    Some(key) => key.to_ssh_wire()?,
                    None => Vec::new(),
                };
                put_string(&mut body, &wire);
                put_string(&mut body, &[]);
                for certificates in of {
                    let (number, some) = certificates.encode();
                    body.push(number);
                    put_string(&mut body, &some);
                }
                CERTIFICATES
            }
            Self::Keys(keys) => {
                for key in keys {
                    put_string(&mut body, &key.to_wire());
                }
                EXPLICIT_KEY
            }
            Self::Fingerprints(hashes) => {
                for hash in hashes {
                    put_string(&mut body, hash);
                }
                FINGERPRINT_SHA256
            }
        };
        Some((number, body))
    }
}

impl Certificates {
    fn encode(&self) -> (u8, Vec<u8>) {
        let mut body = Vec::new();
        match self {
            Self::Serials(serials) => {
                body.extend(serials.iter().flat_map(|serial| serial.to_be_bytes()));
                (SERIAL_LIST, body)
            }
            Self::Range(first, last) => {
                body.extend([first.to_be_bytes(), last.to_be_bytes()].as_flattened());
                (SERIAL_RANGE, body)
            }
            Self::Bitmap(offset, bits) => {
                body.extend(offset.to_be_bytes());
                put_mpint(&mut body, bits);
                (SERIAL_BITMAP, body)
            }
            Self::KeyIds(ids) => {
                for id in ids {
                    put_string(&mut body, id.as_bytes());
                }
                (KEY_ID, body)
            }
        }
    }
}

fn sha256_of(key: &SubjectKey) -> [u8; 32] {
    use sha2::{Digest, Sha256};

    Sha256::digest(key.to_wire()).into()
}

#[cfg(test)]
mod tests;
