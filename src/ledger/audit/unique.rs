//! What no two intents may have in common: serials and the order of CRL numbers of one CA key, and request ids of one caller.
//!
//! In: each intent and what became of it, in any order. Out: those that break the rules of docs/ledger.md. Of a serial and of a request id 16
//! bytes are kept: a keyed hash, which tells all but a few apart, and where it is; those few are read again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use countersign_tbs::crl::CrlNumber;
use countersign_tbs::{Tbs, TbsKind};

use crate::ledger::audit::again::Again;
use crate::ledger::audit::newest::{NewestList, NewestLists, Number};
use crate::ledger::audit::{Findings, Wrong};
use crate::ledger::crl_number::Series;
use crate::ledger::entry::{Asked, AskedTbs, Entry, Outcome};

/// Serials, request ids and CRL numbers.
#[derive(Debug, Default)]
pub(super) struct Claims {
    hasher: RandomState,
    serials: Vec<Once>,
    requests: Vec<Once>,
    lists: Vec<List>,
    newest: NewestLists,
}

/// What an intent claims, before it is known what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Claim {
    /// The keyed hash of a CA key and a serial.
    Serial(u64),
    /// The keyed hash of a caller and a request id.
    Request(u64),
    /// A CRL by the CA key at this place.
    List { key: usize, number: Number },
}

/// What is claimed once, and the intent that claims it, in 63 bits; the last bit says whether somebody may have a signature.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Once {
    hash: u64,
    intent: u64,
}

/// What an intent may claim once.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A serial of a CA key, which the same bytes may have again.
    Serial,
    /// A request id of a caller, who may use it again, for anything.
    Request,
}

/// What a claim is told from others by, and the bytes that may claim it again, if only the same may.
type Identified = ((Vec<u8>, Vec<u8>), Option<AskedTbs>);

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

    /// What the request id claims, if there is one.
    pub(super) fn request(&self, asked: &Asked) -> Option<Claim> {
        let id = asked.request_id.as_ref()?;
        Some(Claim::Request(self.hasher.hash_one((&asked.caller, id))))
    }

    pub(super) fn settled(&mut self, intent: u64, claim: Claim, fate: Fate) {
        let once = |hash| Once { hash, intent: intent << 1 | u64::from(fate == Fate::Out) };
        match claim {
            Claim::Serial(hash) => self.serials.push(once(hash)),
            Claim::Request(hash) => self.requests.push(once(hash)),
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
        for (claims, kind) in [(&mut self.serials, Kind::Serial), (&mut self.requests, Kind::Request)] {
            claims.sort_unstable();
            let alike = claims.chunk_by(|one, other| one.hash == other.hash);
            alike
                .filter(|alike| kind.may_be_wrong(alike))
                .for_each(|alike| kind.compare(alike, again, findings));
        }
        self.lists.sort_unstable_by_key(|list| list.intent);
        list_numbers(&self.lists, findings);
        self.newest.into_needed()
    }
}

impl Once {
    fn intent(self) -> u64 {
        self.intent >> 1
    }

    fn is_out(self) -> bool {
        self.intent & 1 == 1
    }
}

impl Kind {
    /// Whether claims whose hashes are equal have to be read again.
    fn may_be_wrong(self, alike: &[Once]) -> bool {
        let Some((_, earlier)) = alike.split_last() else { return false };
        match self {
            Self::Serial => !earlier.is_empty(),
            Self::Request => earlier.iter().any(|once| once.is_out()),
        }
    }

    /// What an earlier one has may come again only if nobody has a signature of that.
    fn compare(self, alike: &[Once], again: &mut Again<'_>, findings: &mut Findings) {
        let mut earlier: HashMap<_, (Once, Option<AskedTbs>)> = HashMap::new();
        for once in alike {
            let identified = again.leaf(once.intent()).and_then(|leaf| self.identify(&leaf));
            let Some((identity, tbs)) = identified else { continue };
            let before = earlier.get(&identity);
            if let Some((before, before_tbs)) = before
                && (before.is_out() || *before_tbs != tbs)
            {
                findings.add(once.intent(), self.wrong(before.intent()));
            }
            // Later ones are compared with the first that is out; while none is, with the first.
            if before.is_none_or(|(before, _)| once.is_out() && !before.is_out()) {
                earlier.insert(identity, (*once, tbs));
            }
        }
    }

    fn identify(self, leaf: &[u8]) -> Option<Identified> {
        let Ok(Entry::Intent { asked, ca_key, .. }) = Entry::decode(leaf) else { return None };
        match (self, &asked.tbs) {
            (Self::Serial, AskedTbs::Whole(bytes)) => {
                let tbs = Tbs::parse(TbsKind::from_name(&asked.kind)?, bytes).ok()?;
                Some(((ca_key.spki_sha256.to_vec(), serial(&tbs)?), Some(asked.tbs)))
            }
            (Self::Serial, AskedTbs::Digest(..)) => None,
            (Self::Request, _) => Some(((asked.caller, asked.request_id?), None)),
        }
    }

    fn wrong(self, earlier: u64) -> Wrong {
        match self {
            Self::Serial => Wrong::Serial { earlier },
            Self::Request => Wrong::RequestId { earlier },
        }
    }
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
