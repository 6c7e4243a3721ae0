//! What the steps of rotations come to: which CA key takes the place of which other, and how far that is.
//!
//! In: the [`Entry::Rotation`]s of the log, in their order. Out: a [`Link`] for each pair of keys. The writer learns of a step
//! with the commit that makes it durable. A key is its public half here, whatever the configuration calls it by now. Not done
//! here: whether a step may be taken, and what follows for those who ask for signatures ([`crate::rotation`]).

use std::sync::Arc;

use countersign_tbs::Tbs;

use crate::caller::CallerName;
use crate::key::UnixTime;
use crate::ledger::archive::{Archive, ArchiveError, Page};
use crate::ledger::entry::{CaKey, RotationStep, UnixMillis, sha256};
use crate::ledger::filter::Filter;
use crate::ledger::search::{Search, decoded};
use crate::ledger::{Entry, Ledger, LedgerError, Receipt};

/// How many entries are looked at before others have their turn.
const STEP: u64 = 512;

/// So many of the newest entries are always looked at, so that an answer names the last moment, or nearly.
const ENOUGH: u64 = 65_536;

/// One key of a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Its name when the last step was recorded.
    pub name: String,
    /// Its DER SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// The SHA-256 of that.
    pub spki_sha256: [u8; 32],
}

/// How far a successor is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Found and tested.
    Staged,
    /// In the bundles.
    Published,
    /// It takes over at this time, which may have passed.
    Activated(UnixTime),
    /// It has taken over at this time, and the old key has left the bundles.
    Retired(UnixTime),
    /// Another successor was staged before it took over.
    Replaced,
}

/// Two keys, of which one takes the place of the other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// The key whose place is taken.
    pub old: Member,
    /// Its successor.
    pub new: Member,
    /// How far that is.
    pub stage: Stage,
}

/// All links of a log, in the order in which they were begun.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Links(Vec<Link>);

/// A step that an operator takes.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The key whose place is taken.
    pub old: Member,
    /// Its successor.
    pub new: Member,
    /// What the successor signs, and how.
    pub purpose: String,
    /// By which scheme.
    pub scheme: String,
    /// The step.
    pub step: RotationStep,
    /// The operator, as the kernel names it.
    pub by: CallerName,
    /// The operator's reason.
    pub why: String,
}

impl Member {
    /// The key of this name and public half.
    #[must_use]
    pub fn new(name: String, spki: Vec<u8>) -> Self {
        let spki_sha256 = sha256(&[&spki]);
        Self { name, spki, spki_sha256 }
    }

    fn recorded(name: &[u8], spki: &[u8]) -> Self {
        Self::new(String::from_utf8_lossy(name).into_owned(), spki.to_vec())
    }
}

impl Stage {
    /// When the successor takes over, or took over.
    #[must_use]
    pub const fn takes_over(self) -> Option<UnixTime> {
        match self {
            Self::Activated(at) | Self::Retired(at) => Some(at),
            Self::Staged | Self::Published | Self::Replaced => None,
        }
    }
}

impl Links {
    /// All that the log says.
    pub(super) fn read(archive: &Archive) -> Result<Self, ArchiveError> {
        let filter = Filter { rotations: true, ..Filter::default() };
        let (mut search, mut steps) = (Search::new(archive, filter, None)?, Vec::new());
        while search.next().is_some() {
            for leaf in search.step(archive, STEP, 256)? {
                steps.push(decoded(archive, &leaf)?);
            }
        }
        // They were found newest first.
        Ok(Self::of(steps.iter().rev()))
    }

    /// What `steps` come to, which are in the order of the log.
    pub fn of<'a>(steps: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut links = Self::default();
        for step in steps {
            links.learn(step);
        }
        links
    }

    /// Takes note of an entry that is durable; whether it is one of these.
    pub(super) fn learn(&mut self, entry: &Entry) -> bool {
        let Entry::Rotation { key, spki, old, old_spki, step, .. } = entry else { return false };
        let (old, new) = (Member::recorded(old, old_spki), Member::recorded(key, spki));
        let position = self.0.iter().position(|link| link.is_of(&old, &new));
        let before = position.and_then(|at| self.0.get(at)).map(|link| link.stage);
        let stage = match (*step, before) {
            (RotationStep::Stage, _) => Stage::Staged,
            (RotationStep::Publish | RotationStep::Cancel, _) => Stage::Published,
            (RotationStep::Activate(UnixMillis(at)), _) => Stage::Activated(UnixTime(at / 1000)),
            (RotationStep::Retire(_), Some(Stage::Activated(at) | Stage::Retired(at))) => Stage::Retired(at),
            // No signer records it, and what was never active signs nothing.
            (RotationStep::Retire(_), _) => Stage::Replaced,
        };
        if matches!(step, RotationStep::Stage) {
            for other in self.0.iter_mut().filter(|other| other.competes_with(&old, &new)) {
                other.stage = Stage::Replaced;
            }
        }
        match position.and_then(|at| self.0.get_mut(at)) {
            Some(link) => *link = Link { old, new, stage },
            None => self.0.push(Link { old, new, stage }),
        }
        true
    }

    /// The links, in the order in which they were begun.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Link> {
        self.0.iter()
    }

    /// Whose place the key takes, or took: the newest link, but of those that another has replaced only if there is no other.
    #[must_use]
    pub fn to(&self, new: &[u8; 32]) -> Option<&Link> {
        Self::newest(self.0.iter().filter(|link| link.new.spki_sha256 == *new))
    }

    /// Who takes the key's place, or took it.
    #[must_use]
    pub fn from(&self, old: &[u8; 32]) -> Option<&Link> {
        Self::newest(self.0.iter().filter(|link| link.old.spki_sha256 == *old))
    }

    fn newest<'a>(mut links: impl DoubleEndedIterator<Item = &'a Link> + Clone) -> Option<&'a Link> {
        let mut standing = links.clone().rev().filter(|link| link.stage != Stage::Replaced);
        standing.next().or_else(|| links.next_back())
    }
}

impl Link {
    fn is_of(&self, old: &Member, new: &Member) -> bool {
        self.old.spki_sha256 == old.spki_sha256 && self.new.spki_sha256 == new.spki_sha256
    }

    /// Whether this has not been decided, and cannot be together with that.
    fn competes_with(&self, old: &Member, new: &Member) -> bool {
        let shares = self.old.spki_sha256 == old.spki_sha256 || self.new.spki_sha256 == new.spki_sha256;
        shares && !self.is_of(old, new) && self.stage.takes_over().is_none()
    }
}

impl Rotation {
    fn entry(self, time: UnixMillis) -> Entry {
        let Self { old, new, purpose, scheme, step, by, why } = self;
        Entry::Rotation {
            time,
            key: new.name.into_bytes(),
            ca_key: CaKey { purpose, scheme, spki_sha256: new.spki_sha256 },
            spki: new.spki,
            old: old.name.into_bytes(),
            old_spki: old.spki,
            step,
            by: by.as_str().as_bytes().to_vec(),
            why: why.into_bytes(),
        }
    }
}

impl Ledger {
    /// Records a step and returns where, once it is durable and so.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn rotate(&self, rotation: Rotation) -> Result<Receipt, LedgerError> {
        let entry = rotation.entry((self.now)());
        // Here, so that what is too long fails alone, and not the transaction of others.
        entry.encode()?;
        self.noted(self.queue.record_ruling(entry).await)
    }

    /// What the steps of rotations have come to.
    #[must_use]
    pub fn links(&self) -> Arc<Links> {
        self.links.borrow().clone()
    }

    /// The same, as it changes.
    #[must_use]
    pub fn watch_links(&self) -> tokio::sync::watch::Receiver<Arc<Links>> {
        self.links.clone()
    }

    /// The entry of a certificate by the CA key whose SPKI has this SHA-256 that may still be valid at `now`, and until when: of
    /// the newest entries, or else of all, the one that is valid for longest.
    ///
    /// # Errors
    /// [`ArchiveError`] if the log cannot be read.
    pub async fn still_valid(
        &self,
        spki_sha256: [u8; 32],
        now: UnixTime,
    ) -> Result<Option<(UnixTime, u64)>, ArchiveError> {
        let (size, mut longest) = (self.live().size(), None);
        let mut end = size;
        while end > 0 {
            let start = end.saturating_sub(STEP);
            let last = move |archive: &Archive| last_end(archive, start, end, spki_sha256);
            longest = longest.max(self.live().read(last).await?.filter(|(until, _)| *until > now));
            if longest.is_some() && size.saturating_sub(start) >= ENOUGH {
                break;
            }
            end = start;
        }
        Ok(longest)
    }
}

/// When the last of the certificates ends that the key has had in these entries, and which it is.
fn last_end(
    archive: &Archive,
    start: u64,
    end: u64,
    spki_sha256: [u8; 32],
) -> Result<Option<(UnixTime, u64)>, ArchiveError> {
    let (mut next, mut last) = (start, None);
    while next < end {
        let page = archive.entries(next..end, Page { entries: STEP, bytes: 1 << 20 })?;
        let Some(newest) = page.last() else { break };
        next = newest.index.saturating_add(1);
        for raw in page {
            let Entry::Intent { asked, ca_key, .. } = decoded(archive, &raw)? else { continue };
            if ca_key.spki_sha256 == spki_sha256 {
                let until = super::index::parsed(&asked).and_then(|tbs| valid_until(&tbs));
                last = last.max(until.map(|until| (until, raw.index)));
            }
        }
    }
    Ok(last)
}

/// Until when a certificate is valid. A root's own is trusted until somebody takes it away, and is none of these.
fn valid_until(tbs: &Tbs) -> Option<UnixTime> {
    match tbs {
        Tbs::Ssh(certificate) => Some(UnixTime(certificate.valid_before())),
        Tbs::X509(certificate) => Some(UnixTime(certificate.validity().not_after.unix_secs())),
        Tbs::Root(_) | Tbs::Request(_) | Tbs::Crl(_) | Tbs::Ocsp(_) => None,
    }
}

#[cfg(test)]
mod tests;
