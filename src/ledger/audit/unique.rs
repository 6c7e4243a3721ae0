//! What no two intents of one CA key may have in common: serials, and the order of CRL numbers.
//!
//! In: each intent and what became of it, in any order. Out: those that break the rules of docs/ledger.md. Of a serial 16
//! bytes are kept: a keyed hash, which tells all but a few apart, and where it is; those few are read again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use countersign_tbs::crl::CrlNumber;
use countersign_tbs::{Tbs, TbsKind};

use crate::ledger::audit::again::Again;
use crate::ledger::audit::newest::{NewestList, NewestLists, Number};
use crate::ledger::audit::{Findings, Wrong};
use crate::ledger::crl_number::Series;
use crate::ledger::entry::{AskedTbs, Entry, Outcome};

/// Serials and CRL numbers.
#[derive(Debug, Default)]
pub(super) struct Claims {
    hasher: RandomState,
    serials: Vec<Serial>,
    lists: Vec<List>,
    newest: NewestLists,
}

/// What an intent claims, before it is known what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Claim {
    /// The keyed hash of a CA key and a serial.
    Serial(u64),
    /// A CRL by the CA key at this place.
    List { key: usize, number: Number },
}

/// A serial, and the intent that has it, in 63 bits; the last bit says whether somebody may have a signature.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Serial {
    hash: u64,
    intent: u64,
}

#[derive(Debug)]
struct List {
    intent: u64,
    key: usize,
    series: Series,
    number: CrlNumber,
}

/// Whether there may be a signature, and somebody may have it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It was released, or there is no outcome.
    Out,
    /// Nobody was given one, but one may exist: it was discarded or abandoned, or failed at a token.
    Withheld,
    /// It failed before any token had the bytes.
    Unmade,
}

impl Fate {
    /// What an outcome says, and the token that it names.
    pub(super) fn of(outcome: &Outcome, token: Option<&[u8]>) -> Self {
        match (outcome, token) {
            (Outcome::Signed(_), _) => Self::Out,
            (Outcome::Failed(_), None) => Self::Unmade,
            (Outcome::Failed(_), Some(_)) | (Outcome::Discarded | Outcome::Abandoned, _) => Self::Withheld,
        }
    }
}

impl Claims {
    /// What the TBS of an intent by the key at `key` claims.
    pub(super) fn of(&self, key: usize, tbs: &Tbs) -> Option<Claim> {
        if let Tbs::Crl(list) = tbs {
            let series = if list.delta_base().is_some() { Series::Delta } else { Series::Complete };
            return Some(Claim::List { key, number: Some((series, list.number())) });
        }
        Some(Claim::Serial(self.hasher.hash_one((key, serial(tbs)?))))
    }

    pub(super) fn settled(&mut self, intent: u64, claim: Claim, fate: Fate) {
        match claim {
            Claim::Serial(hash) => {
                self.serials.push(Serial { hash, intent: intent << 1 | u64::from(fate == Fate::Out) });
            }
            Claim::List { key, number } if fate == Fate::Out => {
                self.newest.learn(key, NewestList { intent, number });
                self.lists.extend(number.map(|(series, number)| List { intent, key, series, number }));
            }
            Claim::List { .. } => {}
        }
    }

    /// Finds what breaks the rules. The lists whose numbers are to be kept, each with the place of its CA key.
    pub(super) fn finish(
        mut self,
        again: &mut Again<'_>,
        findings: &mut Findings,
    ) -> Vec<(usize, NewestList)> {
        self.serials.sort_unstable();
        for alike in self.serials.chunk_by(|one, other| one.hash == other.hash) {
            if alike.len() > 1 {
                serials_alike(alike, again, findings);
            }
        }
        self.lists.sort_unstable_by_key(|list| list.intent);
        list_numbers(&self.lists, findings);
        self.newest.into_needed()
    }
}

/// Of intents whose hashes are equal: the same bytes may come again, and only if nobody has a signature of the earlier.
fn serials_alike(alike: &[Serial], again: &mut Again<'_>, findings: &mut Findings) {
    let mut earlier: HashMap<_, (u64, Fate, AskedTbs)> = HashMap::new();
    for serial in alike {
        let (intent, fate) =
            (serial.intent >> 1, if serial.intent & 1 == 1 { Fate::Out } else { Fate::Withheld });
        let Some((identity, tbs)) = again.leaf(intent).and_then(|leaf| identity(&leaf)) else { continue };
        if let Some((before, before_fate, before_tbs)) = earlier.get(&identity)
            && (*before_fate == Fate::Out || *before_tbs != tbs)
        {
            findings.add(intent, Wrong::Serial { earlier: *before });
        }
        earlier.insert(identity, (intent, fate, tbs));
    }
}

/// The SHA-256 of a CA key's SPKI, and a serial.
type Identity = ([u8; 32], Vec<u8>);

/// What a certificate is told from others by, and its bytes.
fn identity(leaf: &[u8]) -> Option<(Identity, AskedTbs)> {
    let Ok(Entry::Intent { asked, ca_key, .. }) = Entry::decode(leaf) else { return None };
    let AskedTbs::Whole(bytes) = &asked.tbs else { return None };
    let tbs = Tbs::parse(TbsKind::from_name(&asked.kind)?, bytes).ok()?;
    Some(((ca_key.spki_sha256, serial(&tbs)?), asked.tbs))
}

/// What a certificate is revoked by. Lists and answers have no such thing.
fn serial(tbs: &Tbs) -> Option<Vec<u8>> {
    match tbs {
        Tbs::Ssh(certificate) => Some(certificate.serial().to_be_bytes().to_vec()),
        Tbs::X509(certificate) => Some(certificate.serial().as_bytes().to_vec()),
        Tbs::Root(root) => Some(root.tbs().serial().as_bytes().to_vec()),
        Tbs::Crl(_) | Tbs::Ocsp(_) | Tbs::Request(_) => None,
    }
}

/// Each above the newest of its own series, and not below the newest of the other.
fn list_numbers(lists: &[List], findings: &mut Findings) {
    let mut newest: HashMap<(usize, Series), (CrlNumber, u64)> = HashMap::new();
    for List { intent, key, series, number } in lists {
        let own = newest.get(&(*key, *series)).filter(|(newest, _)| number <= newest);
        let other = newest.get(&(*key, series.other())).filter(|(newest, _)| number < newest);
        if let Some((_, earlier)) = own.or(other) {
            findings.add(*intent, Wrong::CrlNumber { earlier: *earlier });
        } else {
            newest.insert((*key, *series), (*number, *intent));
        }
    }
}
