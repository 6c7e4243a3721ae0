//! The entries of a list: which certificates of a CA key are revoked, since when and why, as a ledger says it.
//!
//! In: revocations, oldest first, and the certificates that each means. Out: one entry for each serial. The first revocation says
//! since when; the first with a reason says why. What has expired is left out, if its time is known.

use std::collections::BTreeMap;

use countersign_tbs::Tbs;
use countersign_tbs::crl::{EntryExtension, RevokedEntry};
use countersign_tbs::der::Time;
use countersign_tbs::x509::SerialNumber;

use crate::cli::revoked::{Record, Recorded, Revocation};
use crate::ledger::entry::{CaKey, RevocationReason, Revoked, UnixMillis};

/// Certificates, by serial.
#[derive(Debug, Default)]
pub(super) struct Entries(BTreeMap<SerialNumber, Listed>);

#[derive(Clone, Copy, Debug)]
struct Listed {
    /// Seconds since 1970.
    revoked: u64,
    reason: RevocationReason,
    /// Its last second, if the ledger has the certificate.
    not_after: Option<u64>,
}

impl Entries {
    /// Adds what a revocation of `ca_key` means.
    pub(super) async fn add(
        &mut self,
        record: &Record,
        ca_key: &CaKey,
        revocation: &Revocation,
    ) -> anyhow::Result<()> {
        let (revoked, reason) = (revocation.time.0 / 1000, revocation.reason);
        if let Revoked::Serial(octets) = &revocation.what
            && let Some(serial) = SerialNumber::new(octets)
        {
            self.list(serial, Listed { revoked, reason, not_after: None });
        }
        let before = revocation.before(record.size);
        let look = |found: Recorded| {
            if let Tbs::X509(certificate) = &found.tbs {
                let not_after = Some(certificate.validity().not_after.unix_secs());
                let revoked = since_when(revocation, found.entry.time());
                self.list(*certificate.serial(), Listed { revoked, reason, not_after });
            }
            Ok(())
        };
        record.certificates(ca_key, &revocation.what, before, look).await
    }

    fn list(&mut self, serial: SerialNumber, new: Listed) {
        let listed = self.0.entry(serial).or_insert(new);
        listed.revoked = listed.revoked.min(new.revoked);
        listed.not_after = listed.not_after.or(new.not_after);
        if listed.reason == RevocationReason::Unspecified {
            listed.reason = new.reason;
        }
    }

    /// Those whose last second is `kept` or later or is not known, in a list of `this`.
    pub(super) fn since(&self, kept: u64, this: Time) -> Vec<RevokedEntry> {
        let kept = self.0.iter().filter(|(_, listed)| listed.not_after.is_none_or(|end| end >= kept));
        let entries = kept.map(|(serial, listed)| {
            // The clock of who makes the list may be behind the signer's.
            let revoked = Time::from_unix_secs(listed.revoked).map_or(this, |revoked| revoked.min(this));
            let reason = listed.reason.in_crl().map(EntryExtension::Reason);
            RevokedEntry { extensions: reason.into_iter().collect(), ..RevokedEntry::new(*serial, revoked) }
        });
        entries.collect()
    }
}

/// In seconds since 1970. One that was signed after its key was revoked is revoked since it exists.
fn since_when(revocation: &Revocation, signed: UnixMillis) -> u64 {
    let revoked = match revocation.what {
        Revoked::SubjectKey(_) => revocation.time.max(signed),
        _ => revocation.time,
    };
    revoked.0 / 1000
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use countersign_tbs::crl::Reason;

    use super::*;

    fn serial(n: u8) -> SerialNumber {
        SerialNumber::new(&[n]).unwrap()
    }

    fn listed(revoked: u64, reason: RevocationReason, not_after: Option<u64>) -> Listed {
        Listed { revoked, reason, not_after }
    }

    #[test]
    fn the_first_revocation_says_since_when_and_the_first_reason_why() {
        let mut entries = Entries::default();
        entries.list(serial(1), listed(100, RevocationReason::Unspecified, None));
        entries.list(serial(1), listed(200, RevocationReason::KeyCompromise, Some(500)));
        entries.list(serial(1), listed(300, RevocationReason::Superseded, Some(500)));
        let this = Time::from_unix_secs(1000).unwrap();
        let list = entries.since(500, this);
        assert_eq!((list.len(), list[0].revoked.unix_secs()), (1, 100));
        assert_eq!(list[0].reason(), Some(Reason::KeyCompromise));
        assert!(entries.since(501, this).is_empty(), "it has expired");
    }

    #[test]
    fn a_certificate_that_is_younger_than_its_keys_revocation_is_revoked_since_it_exists() {
        let ca_key = CaKey { purpose: String::new(), scheme: String::new(), spki_sha256: [0; 32] };
        let revocation = |what| Revocation {
            index: 0,
            time: UnixMillis(5000),
            key: Vec::new(),
            ca_key: ca_key.clone(),
            spki: Vec::new(),
            what,
            reason: RevocationReason::Unspecified,
        };
        let (by_key, by_serial) =
            (revocation(Revoked::SubjectKey([1; 32])), revocation(Revoked::Serial(vec![1])));
        assert_eq!(since_when(&by_key, UnixMillis(3000)), 5);
        assert_eq!(since_when(&by_key, UnixMillis(9000)), 9);
        assert_eq!(since_when(&by_serial, UnixMillis(9000)), 5);
    }

    #[test]
    fn no_entry_is_of_later_than_its_list_and_what_is_not_known_does_not_expire() {
        let mut entries = Entries::default();
        entries.list(serial(1), listed(2000, RevocationReason::Unspecified, None));
        let this = Time::from_unix_secs(1000).unwrap();
        let list = entries.since(u64::MAX, this);
        assert_eq!((list[0].revoked, list[0].reason()), (this, None));
    }
}
