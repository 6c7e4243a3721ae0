//! Takes certificates back: an entry that says which of a CA key's are no longer good, and why.
//!
//! In: what an operator says. Out: where it is recorded, durably. Promised: nothing is ever taken out again, so a revocation
//! stands; a selection that means nothing is not recorded unless that was asked for. Not done here: telling anybody; what is
//! made of the log (a KRL, a CRL) does.

use std::sync::Arc;

use crate::caller::CallerName;
use crate::key::{Key, KeyPurpose};
use crate::ledger::archive::{Archive, ArchiveError, Page};
use crate::ledger::entry::{CaKey, RevocationReason, Revoked, fingerprint};
use crate::ledger::filter::{Filter, Serial};
use crate::ledger::index::parsed;
use crate::ledger::search::{Search, decoded};
use crate::ledger::{Entry, Ledger, LedgerError, RawEntry, Receipt, ca_key};

/// How many entries are looked at before others have their turn.
const STEP: u64 = 512;

/// What an operator takes back.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// The CA key.
    pub key: Arc<Key>,
    /// Which of its certificates.
    pub what: Revoked,
    /// The word for lists.
    pub reason: RevocationReason,
    /// Whether the log has any of them.
    pub in_ledger: bool,
    /// The operator, as the kernel names it.
    pub by: CallerName,
    /// The operator's reason, in words.
    pub why: String,
}

impl Ledger {
    /// Records a revocation and returns where, once it is durable.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn revoke(&self, revocation: Revocation) -> Result<Receipt, LedgerError> {
        let Revocation { key, what, reason, in_ledger, by, why } = revocation;
        let entry = Entry::Revocation {
            time: (self.now)(),
            key: key.name.as_str().as_bytes().to_vec(),
            ca_key: ca_key(&key),
            spki: key.public_key.to_spki_der(),
            what,
            reason,
            in_ledger,
            by: by.as_str().as_bytes().to_vec(),
            why: why.into_bytes(),
        };
        // Here, so that what is too long fails alone, and not the transaction of others.
        entry.encode()?;
        self.noted(self.queue.record_ruling(entry).await)
    }

    /// Whether the log has a certificate of `key` that is meant, whatever became of its intent.
    ///
    /// # Errors
    /// [`ArchiveError`] if it cannot be read.
    pub async fn has_issued(&self, key: &Key, what: &Revoked) -> Result<bool, ArchiveError> {
        let ca_key = ca_key(key);
        if let Revoked::Entry(index) = *what {
            let what = what.clone();
            let found = move |archive: &Archive| {
                let page = Page { entries: 1, bytes: 1 };
                let entries = archive.entries(index..index.saturating_add(1), page)?;
                means_any(archive, &ca_key, &what, &entries)
            };
            return self.live().read(found).await;
        }
        let filter = what.filter(&ca_key);
        let mut search = self.live().read(move |archive| Search::new(archive, filter, None)).await?;
        while search.next().is_some() {
            let (ca_key, what) = (ca_key.clone(), what.clone());
            let step = move |archive: &Archive| {
                let entries = search.step(archive, STEP, 64)?;
                Ok((means_any(archive, &ca_key, &what, &entries)?, search))
            };
            let (found, next) = self.live().read(step).await?;
            if found {
                return Ok(true);
            }
            search = next;
        }
        Ok(false)
    }
}

fn means_any(
    archive: &Archive,
    ca_key: &CaKey,
    what: &Revoked,
    entries: &[RawEntry],
) -> Result<bool, ArchiveError> {
    for raw in entries {
        let entry = decoded(archive, raw)?;
        if entry.certificate_of(ca_key).is_some_and(|tbs| what.means(raw.index, entry.time(), &tbs)) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Entry {
    /// The certificate that an intent of this CA key is for.
    #[must_use]
    pub fn certificate_of(&self, by: &CaKey) -> Option<countersign_tbs::Tbs> {
        match self {
            Self::Intent { asked, ca_key, .. } if ca_key.spki_sha256 == by.spki_sha256 => parsed(asked),
            _ => None,
        }
    }
}

impl CaKey {
    /// Whether its certificates are of X.509.
    #[must_use]
    pub fn is_x509(&self) -> bool {
        KeyPurpose::ALL.into_iter().any(|purpose| purpose.is_x509() && purpose.name() == self.purpose)
    }
}

impl Revoked {
    /// A serial as its format's tools write it.
    #[must_use]
    pub fn serial(text: &str, is_x509: bool) -> Option<Self> {
        let serial: Serial = text.parse().ok()?;
        serial.octets(is_x509).map(Self::Serial)
    }

    /// What finds the entries of the certificates that are meant, and of some others; [`Revoked::means`] tells which.
    /// Nothing finds those of a time but to look at all, since the log's times may run backwards; an entry is found by its index.
    #[must_use]
    pub fn filter(&self, ca_key: &CaKey) -> Filter {
        let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
        match self {
            Self::Serial(octets) => {
                Filter { serial: Serial::recorded(octets, ca_key.is_x509()), ..Filter::default() }
            }
            Self::KeyId(id) => Filter { key_id: text(id), ..Filter::default() },
            Self::Name(name) => Filter { name: text(name), ..Filter::default() },
            Self::SubjectKey(hash) => Filter { subject_key: Some(fingerprint(hash)), ..Filter::default() },
            Self::Recorded(..) | Self::Entry(_) => Filter::default(),
        }
    }
}
