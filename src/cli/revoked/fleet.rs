//! What the ledgers of a fleet in one database say of revocations, all of them together.
//!
//! In: a ledger that is one of several, from its database or a signer. Out: the revocations of all, oldest first in each ledger, and the
//! serials of the certificates that names, times and entries mean, which each signer kept when it recorded the revocation.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use bytes::Bytes;
use countersign_proto::client::escaped;
use countersign_proto::v1;
use countersign_tbs::x509::SerialNumber;

use super::{From, Record, Revocation};
use crate::cli::ledger::note;
use crate::cli::ledger::source::refused;
use crate::ledger::entry::UnixMillis;
use crate::ledger::{Entry, Interval};

/// How many revocations are read at once.
const PAGE: usize = 256;

/// Every certificate that was ever revoked, expired or not.
const EVER: Interval = Interval { this: 0, next: 0 };

/// The ledgers of a database.
pub(in crate::cli) struct Fleet {
    /// How many entries all of them have.
    pub(in crate::cli) size: u64,
    /// The time of the newest of those.
    pub(in crate::cli) newest: UnixMillis,
    /// Their names, in order.
    pub(in crate::cli) origins: Vec<String>,
    pub(in crate::cli) revocations: Vec<Revocation>,
}

impl Record {
    /// All ledgers of the database, as they are now.
    pub(in crate::cli) async fn fleet(&self) -> anyhow::Result<Fleet> {
        let (mut sizes, mut newest) = (None, UnixMillis(0));
        let (mut after, mut revocations) = (None, Vec::new());
        loop {
            let page = self.page(after.take()).await?;
            let known = sizes.get_or_insert_with(|| {
                newest = UnixMillis(page.logs.iter().map(|log| log.newest_ms).max().unwrap_or_default());
                let sizes = page.logs.iter().map(|log| (log.log_origin.clone(), log.size));
                sizes.collect::<BTreeMap<_, _>>()
            });
            after = page.revocations.last().map(|last| (last.log_origin.clone(), last.index));
            for logged in page.revocations {
                // What came since is in the next list, whose version is higher.
                if known.get(&logged.log_origin).is_some_and(|size| logged.index < *size) {
                    revocations.extend(revocation_for(&self.origin, &logged)?);
                }
            }
            if !page.more {
                break;
            }
        }
        let sizes = sizes.unwrap_or_default();
        Ok(Fleet { size: sizes.values().sum(), newest, origins: sizes.into_keys().collect(), revocations })
    }

    /// Some of the revocations, after one, and all ledgers before they were looked up.
    async fn page(&self, after: Option<(String, u64)>) -> anyhow::Result<v1::ListRevocationsResponse> {
        let reader = match &self.from {
            From::File(archive) => archive.reader(),
            From::Signer(client) => {
                let (after_log, after_index) = after.unzip();
                let after_log = after_log.unwrap_or_default();
                let request = v1::ListRevocationsRequest { after_log, after_index };
                return client.list_revocations(request).await.map_err(refused);
            }
        };
        let logs = reader.logs()?.into_iter().map(|log| v1::LogState {
            log_origin: log.origin,
            size: log.size,
            newest_ms: log.newest.0,
        });
        let logs = logs.collect();
        let found = reader.revocations(after, PAGE)?;
        let more = found.len() == PAGE;
        let revocations = found.into_iter().map(|found| v1::LoggedRevocation {
            log_origin: found.log,
            index: found.entry.index,
            leaf: found.entry.bytes.into(),
        });
        Ok(v1::ListRevocationsResponse { revocations: revocations.collect(), more, logs })
    }

    /// The serials of a CA key of SSH that were kept of its revocations.
    pub(in crate::cli) async fn serials(&self, spki_sha256: &[u8; 32]) -> anyhow::Result<Vec<u64>> {
        let client = match &self.from {
            From::File(archive) => {
                let due = archive.reader().due(&[*spki_sha256], EVER, UnixMillis(0))?;
                return due.keys().map(|serial| ssh(serial.as_bytes())).collect();
            }
            From::Signer(client) => client,
        };
        let mut request = v1::ListRevokedRequest {
            spki_sha256: Bytes::copy_from_slice(spki_sha256),
            this_update: EVER.this,
            next_update: EVER.next,
            ..v1::ListRevokedRequest::default()
        };
        let mut serials = Vec::new();
        loop {
            let page = client.list_revoked(request.clone()).await.map_err(refused)?;
            for certificate in &page.certificates {
                serials.push(ssh(&certificate.serial)?);
            }
            match page.certificates.last() {
                Some(last) if page.more => request.after = last.serial.clone(),
                _ => return Ok(serials),
            }
        }
    }
}

/// A serial of SSH that was kept as a number.
fn ssh(octets: &[u8]) -> anyhow::Result<u64> {
    ensure!(
        SerialNumber::new(octets).is_some() && octets.len() <= 8,
        "a serial of SSH that is none was kept"
    );
    Ok(octets.iter().fold(0, |serial, octet| serial << 8 | u64::from(*octet)))
}

/// A revocation for lists of the ledger `own`. What is none in another ledger says nothing, which is told.
fn revocation_for(own: &str, logged: &v1::LoggedRevocation) -> anyhow::Result<Option<Revocation>> {
    match revocation(logged) {
        Err(error) if logged.log_origin != own => {
            note(&format!("warning: {error:#}; this list says nothing of it"))?;
            Ok(None)
        }
        revocation => revocation.map(Some),
    }
}

fn revocation(logged: &v1::LoggedRevocation) -> anyhow::Result<Revocation> {
    let (index, log) = (logged.index, escaped(&logged.log_origin));
    match Entry::decode(&logged.leaf)
        .with_context(|| format!("entry {index} of {log} cannot be read; `ledger verify` that ledger"))?
    {
        Entry::Revocation { key, ca_key, spki, what, reason, .. } => {
            Ok(Revocation { index, key, ca_key, spki, what, reason })
        }
        _ => anyhow::bail!("entry {index} of {log} is no revocation; `ledger verify` that ledger"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_serial_is_the_number_that_its_octets_are() {
        for (octets, serial) in [(&[7][..], 7), (&[1, 0], 256), (&[0xff; 8], u64::MAX)] {
            assert_eq!(ssh(octets).unwrap(), serial);
        }
        assert!(ssh(&[1; 9]).is_err() && ssh(&[]).is_err());
    }

    #[test]
    fn an_entry_that_cannot_be_read_stops_the_lists_of_its_own_ledger_alone() {
        let (log_origin, leaf) = ("one".to_owned(), Bytes::from_static(&[0]));
        let logged = v1::LoggedRevocation { log_origin, index: 7, leaf };
        let error = format!("{:#}", revocation_for("one", &logged).unwrap_err());
        assert!(error.contains("entry 7 of one") && error.contains("`ledger verify`"), "{error}");
        assert!(revocation_for("two", &logged).unwrap().is_none());
    }
}
