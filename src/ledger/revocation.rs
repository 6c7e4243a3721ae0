//! Takes certificates back: an entry that says which of a CA key's are no longer good, and why.
//!
//! In: what an operator says. Out: where it is recorded, durably, with the certificates that it means. Promised: nothing is ever
//! taken out again, so a revocation stands; a selection that means nothing is not recorded unless that was asked for. Not done here:
//! telling anybody; what is made of the log (a KRL, a CRL) does.

use std::sync::Arc;

use crate::caller::CallerName;
use crate::key::{Key, KeyPurpose};
use crate::ledger::archive::{Archive, ArchiveError};
use crate::ledger::entry::{CaKey, RevocationReason, Revoked, UnixMillis, fingerprint};
use crate::ledger::filter::{Filter, Serial};
use crate::ledger::index::parsed;
use crate::ledger::meant::{Looking, MAX_MEANT, Meant};
use crate::ledger::{Entry, Ledger, LedgerError, Receipt, ca_key};

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

/// Why a revocation is not recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The log takes none.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What it means cannot be looked up.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// More than is written at once.
    #[error(
        "this means more than {MAX_MEANT} certificates that have not expired; revoke them in pieces, by shorter ranges of time, or replace \
         the CA key"
    )]
    TooMany,
}

impl Ledger {
    /// Records a revocation, with the certificates that it means in every log of the store, and returns where, once it is durable.
    ///
    /// # Errors
    /// [`RevokeError`]: nothing was recorded.
    pub async fn revoke(&self, revocation: Revocation) -> Result<Receipt, RevokeError> {
        let mut meant = self.unsearched(&revocation.key, &revocation.what);
        if meant.is_kept() {
            meant = self.look(move |archive| Looking::begin(archive, meant), |_| false).await?;
        }
        loop {
            if meant.is_too_much() {
                return Err(RevokeError::TooMany);
            }
            // The time is that of the attempt: a long look must not leave the entry behind those that came meanwhile.
            let entry = revocation.entry((self.now)());
            // Here, so that what is too long fails alone, and not the transaction of others.
            entry.encode().map_err(LedgerError::from)?;
            let recorded = self.noted(self.queue.record_revocation(entry, meant.clone()).await)?;
            if let Some(receipt) = recorded {
                return Ok(receipt);
            }
            meant = self.look(move |archive| Looking::go_on(archive, meant), |_| false).await?;
        }
    }

    /// Whether any log of the store has a certificate of `key` that is meant, whatever became of its intent.
    ///
    /// # Errors
    /// [`ArchiveError`] if it cannot be read.
    pub async fn has_issued(&self, key: &Key, what: &Revoked) -> Result<bool, ArchiveError> {
        let meant = self.unsearched(key, what);
        let found = self.look(move |archive| Looking::begin(archive, meant), |meant| meant.is_any).await?;
        Ok(found.is_any)
    }

    /// What a revocation means of nothing yet.
    pub(super) fn unsearched(&self, key: &Key, what: &Revoked) -> Meant {
        Meant::new(ca_key(key), what.clone(), self.log, None, (self.now)())
    }

    /// Looks at all that there is, or until it is enough; others have their turn in between.
    pub(super) async fn look(
        &self,
        begin: impl FnOnce(&Archive) -> Result<Looking, ArchiveError> + Send + 'static,
        is_enough: fn(&Meant) -> bool,
    ) -> Result<Meant, ArchiveError> {
        let mut looking = self.live().read(begin).await?;
        while !looking.is_over() && !is_enough(&looking.meant) && !looking.meant.is_too_much() {
            let step = move |archive: &Archive| looking.step(archive).map(|()| looking);
            looking = self.live().read(step).await?;
        }
        Ok(looking.meant)
    }
}

impl Revocation {
    /// Its entry, of a time.
    pub(super) fn entry(&self, time: UnixMillis) -> Entry {
        let Self { key, what, reason, in_ledger, by, why } = self;
        Entry::Revocation {
            time,
            key: key.name.as_str().as_bytes().to_vec(),
            ca_key: ca_key(key),
            spki: key.public_key.to_spki_der(),
            what: what.clone(),
            reason: *reason,
            in_ledger: *in_ledger,
            by: by.as_str().as_bytes().to_vec(),
            why: why.clone().into_bytes(),
        }
    }
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
