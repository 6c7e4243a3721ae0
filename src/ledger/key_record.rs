//! Records how a key came into its token, each record once.
//!
//! In: a record that its key has signed. Out: where it is in the log, durably. Promised: the same record is not appended a second
//! time, as long as one after the other asks; whoever asks sees to that.

use crate::caller::CallerName;
use crate::ledger::archive::{Archive, ArchiveError};
use crate::ledger::filter::Filter;
use crate::ledger::search::{Search, decoded};
use crate::ledger::{Entry, Ledger, LedgerError, RawEntry, Receipt, leaf_hash};
use crate::provision::SignedRecord;

/// How many entries are looked at before others have their turn.
const STEP: u64 = 512;

/// Why a record is not in the log.
#[derive(Debug, thiserror::Error)]
pub enum Unrecorded {
    /// Whether it is there already is not known.
    #[error(transparent)]
    Read(#[from] ArchiveError),
    /// It was not taken.
    #[error(transparent)]
    Write(#[from] LedgerError),
}

/// Where a record is.
#[derive(Clone, Copy, Debug)]
pub struct KeyRecorded {
    /// Its entry.
    pub receipt: Receipt,
    /// Whether it was there before.
    pub already: bool,
}

impl Ledger {
    /// Records it, unless it is there, and returns where once it is durable.
    ///
    /// # Errors
    /// [`Unrecorded`]
    pub async fn record_key(
        &self,
        signed: &SignedRecord,
        by: &CallerName,
    ) -> Result<KeyRecorded, Unrecorded> {
        if let Some(receipt) = self.find_key_record(signed).await? {
            return Ok(KeyRecorded { receipt, already: true });
        }
        let record = signed.record();
        let entry = Entry::KeyRecord {
            time: (self.now)(),
            key: record.key.as_bytes().to_vec(),
            token: record.token.name.as_bytes().to_vec(),
            spki: signed.public_key().to_spki_der(),
            record: signed.bytes().to_vec(),
            signature: signed.signature().as_bytes().to_vec(),
            by: by.as_str().as_bytes().to_vec(),
        };
        Ok(KeyRecorded { receipt: self.append(&entry).await?, already: false })
    }

    /// Where this very record is, if it is.
    async fn find_key_record(&self, signed: &SignedRecord) -> Result<Option<Receipt>, ArchiveError> {
        let filter = filter(signed);
        let mut search = self.live().read(move |archive| Search::new(archive, filter, None)).await?;
        while search.next().is_some() {
            let bytes = signed.bytes().to_vec();
            let step = move |archive: &Archive| {
                let entries = search.step(archive, STEP, 64)?;
                Ok((held(archive, &bytes, &entries)?, search))
            };
            let (found, next) = self.live().read(step).await?;
            if found.is_some() {
                return Ok(found);
            }
            search = next;
        }
        Ok(None)
    }
}

impl Archive {
    /// As a signer that runs looks for it.
    ///
    /// # Errors
    /// [`ArchiveError`] if the log cannot be read.
    pub fn find_key_record(&self, signed: &SignedRecord) -> Result<Option<Receipt>, ArchiveError> {
        let mut search = Search::new(self, filter(signed), None)?;
        while search.next().is_some() {
            let entries = search.step(self, STEP, 64)?;
            if let Some(found) = held(self, signed.bytes(), &entries)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn filter(signed: &SignedRecord) -> Filter {
    Filter { subject_key: Some(signed.public_key().fingerprint()), ..Filter::default() }
}

/// The entry among these whose record has these bytes; its signature may be another, as ECDSA's are.
fn held(archive: &Archive, bytes: &[u8], entries: &[RawEntry]) -> Result<Option<Receipt>, ArchiveError> {
    for raw in entries {
        if matches!(decoded(archive, raw)?, Entry::KeyRecord { record, .. } if record == bytes) {
            return Ok(Some(Receipt { index: raw.index, leaf_hash: leaf_hash(&raw.bytes) }));
        }
    }
    Ok(None)
}
