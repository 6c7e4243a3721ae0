//! What was revoked before, so that nothing is recorded twice without a word.
//!
//! In: the revocations of a CA key in one ledger, and a reason. Out: which of them means a certificate, and whether another would say
//! anything new. Of a fleet only this ledger's count: what another's mean is told nowhere here.

use crate::cli::revoked::{Record, Recorded, Revocation};
use crate::ledger::Revocations;
use crate::ledger::entry::{CaKey, RevocationReason, Revoked};

/// The revocations of a CA key for a reason, or for a graver one.
pub(super) struct Before(Vec<Revocation>);

impl Before {
    pub(super) async fn of(
        record: &Record,
        ca_key: &CaKey,
        reason: RevocationReason,
    ) -> anyhow::Result<Self> {
        let mut all = record.revocations(Revocations::Of(ca_key.spki_sha256)).await?;
        all.retain(|earlier| says_as_much(earlier.reason, reason));
        Ok(Self(all))
    }

    /// The entry of the first that means a certificate.
    pub(super) fn revocation_of(&self, Recorded { index, entry, tbs }: &Recorded) -> Option<u64> {
        let means = |earlier: &&Revocation| {
            earlier.what.means(*index, entry.time(), tbs)
                && (earlier.what.means_later() || *index < earlier.index)
        };
        self.0.iter().find(means).map(|earlier| earlier.index)
    }

    /// Whether another revocation would say nothing new: it means `count` certificates, of which `new` are not revoked, and, if
    /// it means later ones too, there is one that says the same.
    pub(super) fn has_all(&self, what: &Revoked, count: u64, new: u64) -> bool {
        if what.means_later() {
            return self.0.iter().any(|earlier| earlier.what == *what);
        }
        count > 0 && new == 0
    }
}

/// Whether who was told the `earlier` reason learns nothing from `now`: lists tell a compromise before all else, and none last.
fn says_as_much(earlier: RevocationReason, now: RevocationReason) -> bool {
    earlier == now || now == RevocationReason::Unspecified
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(what: Revoked) -> Revocation {
        Revocation {
            index: 7,
            key: Vec::new(),
            ca_key: CaKey { purpose: String::new(), scheme: String::new(), spki_sha256: [0; 32] },
            spki: Vec::new(),
            what,
            reason: RevocationReason::Superseded,
        }
    }

    #[test]
    fn what_bars_later_certificates_is_new_until_it_was_said() {
        let (name, key) = (Revoked::Name(b"alice".to_vec()), Revoked::SubjectKey([1; 32]));
        let before = Before(vec![revocation(name.clone())]);
        assert!(before.has_all(&name, 2, 0) && !before.has_all(&name, 2, 1));
        assert!(!before.has_all(&key, 2, 0), "the key has no more after it");
        assert!(Before(vec![revocation(key.clone())]).has_all(&key, 0, 0));
        assert!(!before.has_all(&name, 0, 0));
    }

    #[test]
    fn a_graver_reason_is_new() {
        use RevocationReason::{KeyCompromise, Superseded, Unspecified};
        assert!(says_as_much(Superseded, Superseded) && says_as_much(KeyCompromise, Unspecified));
        assert!(!says_as_much(Unspecified, Superseded) && !says_as_much(Superseded, KeyCompromise));
    }
}
