//! The CA keys that a log names, and what signatures by them are verified with.
//!
//! In: public keys from the auditor, from SSH certificates and from provisioning records. Out: verifiers, by a key's
//! place in the list. An entry names its key by the SHA-256 of its SubjectPublicKeyInfo, so that it does not matter who
//! says what the key is.

use std::collections::HashMap;
use std::sync::Arc;

use crate::key::{KeyPurpose, PublicKey, Scheme};
use crate::ledger::audit::{Unchecked, Wrong};
use crate::ledger::entry::{CaKey, sha256};
use crate::verify::Verifier;

/// Public halves of CA keys.
#[derive(Clone, Debug, Default)]
pub struct CaKeys(HashMap<[u8; 32], PublicKey>);

/// Every CA key that the log has named so far.
#[derive(Debug)]
pub(super) struct KnownKeys {
    given: CaKeys,
    places: HashMap<[u8; 32], usize>,
    keys: Vec<KnownKey>,
}

/// One of them.
#[derive(Debug)]
struct KnownKey {
    spki_sha256: [u8; 32],
    /// The one that includes all that the key had before.
    purpose: String,
    /// The first entry that says so.
    purpose_since: u64,
    /// What it was called first.
    name: Vec<u8>,
    public_key: Option<PublicKey>,
    /// `None` where the key cannot sign so.
    verifiers: Vec<(Scheme, Option<Arc<Verifier>>)>,
    unchecked: u64,
    first_unchecked: u64,
}

/// How a signature by a key is to be verified.
#[derive(Debug)]
pub(super) enum How {
    By(Arc<Verifier>),
    /// Nobody has said what the key is.
    KeyUnknown,
    /// The key cannot sign by this scheme.
    Unfit,
}

impl CaKeys {
    /// Takes one more.
    pub fn add(&mut self, key: PublicKey) {
        self.0.insert(sha256(&[&key.to_spki_der()]), key);
    }
}

impl KnownKeys {
    pub(super) fn new(given: CaKeys) -> Self {
        Self { given, places: HashMap::new(), keys: Vec::new() }
    }

    /// The place of the key that entry `index` names, and calls `name`.
    pub(super) fn place(&mut self, index: u64, ca_key: &CaKey, name: &[u8]) -> usize {
        let keys = &mut self.keys;
        *self.places.entry(ca_key.spki_sha256).or_insert_with(|| {
            keys.push(KnownKey {
                spki_sha256: ca_key.spki_sha256,
                purpose: ca_key.purpose.clone(),
                purpose_since: index,
                name: name.to_vec(),
                public_key: self.given.0.get(&ca_key.spki_sha256).cloned(),
                verifiers: Vec::new(),
                unchecked: 0,
                first_unchecked: 0,
            });
            keys.len() - 1
        })
    }

    /// What entries name the key at `place` by.
    pub(super) fn spki_sha256(&self, place: usize) -> Option<[u8; 32]> {
        self.keys.get(place).map(|known| known.spki_sha256)
    }

    /// What is wrong with the purpose that entry `index` says the key at `place` has. A CA may leave its lists or its answers to a key, and
    /// take them back: what is signed then is what the CA may sign itself.
    pub(super) fn other_purpose(&mut self, index: u64, place: usize, purpose: &str) -> Option<Wrong> {
        let known = self.keys.get_mut(place).filter(|known| known.purpose != purpose)?;
        let (had, has) = (KeyPurpose::named(&known.purpose), KeyPurpose::named(purpose));
        match had.zip(has) {
            Some((had, has)) if had.includes(has) => None,
            Some((had, has)) if has.includes(had) => {
                (known.purpose, known.purpose_since) = (purpose.to_owned(), index);
                None
            }
            _ => Some(Wrong::OtherPurpose {
                purpose: purpose.to_owned(),
                had: known.purpose.clone(),
                earlier: known.purpose_since,
            }),
        }
    }

    /// Takes a key that is known from now on, whoever says what it is.
    pub(super) fn tell(&mut self, key: PublicKey) {
        let place = self.places.get(&sha256(&[&key.to_spki_der()]));
        if let Some(known) = place.and_then(|place| self.keys.get_mut(*place)) {
            known.public_key.get_or_insert_with(|| key.clone());
        }
        self.given.add(key);
    }

    /// Whether `key`, from a certificate, is the one at `place`. If it is, it is known from now on.
    pub(super) fn is(&mut self, place: usize, key: &PublicKey) -> bool {
        let Some(known) = self.keys.get_mut(place) else { return false };
        match &known.public_key {
            Some(public_key) => public_key == key,
            None if sha256(&[&key.to_spki_der()]) == known.spki_sha256 => {
                known.public_key = Some(key.clone());
                true
            }
            None => false,
        }
    }

    pub(super) fn how(&mut self, place: usize, scheme: Scheme) -> How {
        let Some(known) = self.keys.get_mut(place) else { return How::KeyUnknown };
        let Some(public_key) = &known.public_key else { return How::KeyUnknown };
        let made =
            known.verifiers.iter().find(|(made, _)| *made == scheme).map(|(_, verifier)| verifier.clone());
        let verifier = made.unwrap_or_else(|| {
            let verifier = Verifier::new(scheme, public_key).ok().map(Arc::new);
            known.verifiers.push((scheme, verifier.clone()));
            verifier
        });
        verifier.map_or(How::Unfit, How::By)
    }

    /// The signature in entry `index` could not be checked.
    pub(super) fn unchecked(&mut self, place: usize, index: u64) {
        let Some(known) = self.keys.get_mut(place) else { return };
        known.first_unchecked = if known.unchecked == 0 { index } else { known.first_unchecked.min(index) };
        known.unchecked += 1;
    }

    pub(super) fn into_unchecked(self) -> Vec<Unchecked> {
        let unchecked = self.keys.into_iter().filter(|key| key.unchecked > 0);
        unchecked
            .map(|key| Unchecked {
                spki_sha256: key.spki_sha256,
                purpose: key.purpose,
                name: String::from_utf8_lossy(&key.name).into_owned(),
                signatures: key.unchecked,
                first: key.first_unchecked,
            })
            .collect()
    }
}
