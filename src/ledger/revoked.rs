//! Which certificates are revoked, one by one, and what a list of them has to say.
//!
//! In: a [`Row`] for each certificate that a revocation means, which the store keeps beside the log and adds in the transaction that
//! appends the revocation. Out: what a list of now names ([`due`]), for those who make one and for those who judge one alike; and the
//! [`Conflict`] with a list that leaves some of it out. Nothing here does I/O.

use std::collections::{BTreeMap, HashMap};

use countersign_tbs::Tbs;
use countersign_tbs::crl::{Reason as Word, RevokedEntry, Scope};
use countersign_tbs::x509::{BasicConstraints, SerialNumber};

use crate::ledger::claim::{Conflict, refused};
use crate::ledger::entry::{RevocationReason, UnixMillis};
use crate::policy::Reason;

/// A certificate that is revoked, for one reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Row {
    /// SHA-256 of the CA key's SPKI.
    pub(super) ca_key: [u8; 32],
    pub(super) serial: Vec<u8>,
    pub(super) reason: RevocationReason,
    pub(super) since: UnixMillis,
    /// Nothing if no log has it.
    pub(super) certificate: Option<Certificate>,
}

/// A subject key all of whose certificates are revoked, for one reason, by SHA-256, and the log that says so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SubjectRow {
    pub(super) ca_key: Vec<u8>,
    pub(super) subject_key: Vec<u8>,
    /// The reason's word.
    pub(super) reason: String,
    pub(super) log: i32,
}

/// What a list wants to know of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Certificate {
    /// Its last second since 1970.
    pub(super) not_after: u64,
    pub(super) is_ca: bool,
}

/// What a list wants to know of a certificate that is to be signed.
pub(super) fn certificate(tbs: &Tbs) -> Option<Certificate> {
    match tbs {
        Tbs::Ssh(ssh) => Some(Certificate { not_after: ssh.valid_before(), is_ca: false }),
        Tbs::X509(x509) => {
            let is_ca = matches!(x509.basic_constraints(), Some(BasicConstraints::Ca { .. }));
            Some(Certificate { not_after: x509.validity().not_after.unix_secs(), is_ca })
        }
        Tbs::Root(_) | Tbs::Request(_) | Tbs::Crl(_) | Tbs::Ocsp(_) => None,
    }
}

/// What a list says of one certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Due {
    /// When it was first revoked.
    pub since: UnixMillis,
    /// Why: the first compromise, or else the first reason that is one.
    pub reason: RevocationReason,
    /// Its last second since 1970, if a log had it whenever it was revoked.
    pub not_after: Option<u64>,
    is_ca: Option<bool>,
}

/// When a list is made, and until when it is good, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// thisUpdate.
    pub this: u64,
    /// nextUpdate.
    pub next: u64,
}

impl Interval {
    /// Of which second on certificates are in a list: what has expired is in one that comes after (RFC 5280 §3.3), and there is one
    /// within each interval. Whoever says a later time than it is leaves none out by it.
    pub(super) fn kept(self, now: UnixMillis) -> u64 {
        self.this.min(now.0 / 1000).saturating_sub(self.next.saturating_sub(self.this))
    }
}

/// The certificates that a list of now names, of rows of X.509.
pub(super) fn due(
    rows: impl IntoIterator<Item = Row>,
    interval: Interval,
    now: UnixMillis,
) -> BTreeMap<SerialNumber, Due> {
    let mut all = BTreeMap::new();
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|row| row.since);
    for row in rows {
        let Some(serial) = SerialNumber::new(&row.serial) else { continue };
        let new = Due {
            since: row.since,
            reason: row.reason,
            not_after: row.certificate.map(|certificate| certificate.not_after),
            is_ca: row.certificate.map(|certificate| certificate.is_ca),
        };
        let due = all.entry(serial).or_insert(new);
        // What is unknown, or said in two ways, takes nothing from any list.
        due.not_after = due.not_after.zip(new.not_after).map(|(one, other)| one.max(other));
        due.is_ca = due.is_ca.filter(|is_ca| new.is_ca == Some(*is_ca));
        if weight(new.reason) > weight(due.reason) {
            due.reason = new.reason;
        }
    }
    let kept = interval.kept(now);
    all.retain(|_, due| due.not_after.is_none_or(|end| end >= kept));
    all
}

/// A compromise says more than another reason, and any reason more than none.
const fn weight(reason: RevocationReason) -> u8 {
    match reason {
        RevocationReason::KeyCompromise | RevocationReason::CaCompromise => 2,
        RevocationReason::AffiliationChanged
        | RevocationReason::Superseded
        | RevocationReason::CessationOfOperation
        | RevocationReason::PrivilegeWithdrawn => 1,
        RevocationReason::Unspecified => 0,
    }
}

/// A list that is to be signed, as it is compared with what is revoked.
#[derive(Debug)]
pub(super) struct Listing {
    /// Of which CA keys, by the SHA-256 of their SPKI.
    pub(super) cas: Vec<[u8; 32]>,
    pub(super) interval: Interval,
    scope: Scope,
    entries: HashMap<SerialNumber, Option<Word>>,
}

impl Listing {
    /// What `tbs` lists of the certificates of `cas`, if it is a list.
    pub(super) fn of(tbs: &Tbs, cas: Vec<[u8; 32]>) -> Option<Self> {
        let Tbs::Crl(list) = tbs else { return None };
        let (this, next) = (list.this_update().unix_secs(), list.next_update().unix_secs());
        let scope = list.issuing_distribution_point().map_or(Scope::All, |point| point.scope);
        let entries = list.entries().map(|entry: RevokedEntry| (entry.serial, entry.reason())).collect();
        Some(Self { cas, interval: Interval { this, next }, scope, entries })
    }

    /// What it leaves out, or makes less of, of what `rows` say.
    pub(super) fn against(&self, rows: Vec<Row>, now: UnixMillis) -> Option<Conflict> {
        let due = due(rows, self.interval, now);
        let mut missing =
            due.iter().filter(|(serial, due)| self.is_about(due.is_ca) && !self.entries.contains_key(serial));
        if let Some((serial, _)) = missing.next() {
            let message = format!(
                "{} revoked certificates are not in the list, among them {serial}; list all that the ledger revokes, as \
                 `countersign crl` does",
                missing.count() + 1
            );
            return Some(refused("revoked", Reason::RevokedNotListed, &message));
        }
        let weakened = due.iter().find_map(|(serial, due)| {
            let said = self.entries.get(serial)?;
            (self.is_about(due.is_ca) && is_weaker(*said, due.reason)).then_some((serial, due, said))
        });
        let (serial, due, said) = weakened?;
        let said = said.map_or_else(|| "no reason".to_owned(), |said| format!("{said:?}"));
        let message = format!(
            "certificate {serial} is revoked for ever, for {}, and the list says {said}: that is less; list it as the ledger has it",
            due.reason
        );
        Some(refused("revoked", Reason::RevokedNotListed, &message))
    }

    /// Whether a certificate that is one of a CA or not, or of which nobody knows that, belongs in it.
    fn is_about(&self, is_ca: Option<bool>) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::UserCertificates => is_ca != Some(true),
            Scope::CaCertificates => is_ca != Some(false),
        }
    }
}

/// Whether a list's word says less than the ledger does: that it may be taken back, or that no key is compromised.
fn is_weaker(said: Option<Word>, reason: RevocationReason) -> bool {
    let is_for_now = matches!(said, Some(Word::CertificateHold | Word::RemoveFromCrl));
    is_for_now || (weight(reason) == 2 && said != reason.in_crl())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 24 * 3600;

    /// Whether an empty list of this scope lacks a certificate of which this was known when it was revoked, and revoked again.
    fn is_missing(scope: Scope, certificates: [Option<Certificate>; 2]) -> bool {
        let reasons = [RevocationReason::Superseded, RevocationReason::KeyCompromise];
        let row = |(reason, certificate)| {
            let (ca_key, serial, since) = ([0; 32], vec![7], UnixMillis(0));
            Row { ca_key, serial, reason, since, certificate }
        };
        let rows = reasons.into_iter().zip(certificates).map(row).collect();
        let interval = Interval { this: NOW, next: NOW + DAY };
        let listing = Listing { cas: Vec::new(), interval, scope, entries: HashMap::new() };
        listing.against(rows, UnixMillis(NOW * 1000)).is_some()
    }

    #[test]
    fn what_was_unknown_of_a_certificate_takes_it_out_of_no_list() {
        let certificate = |not_after, is_ca| Some(Certificate { not_after, is_ca });
        let (past, later) = (NOW - 2 * DAY, NOW + DAY);
        for (certificates, missing) in [
            ([None, certificate(past, false)], [true; 3]),
            ([certificate(past, false), None], [true; 3]),
            ([certificate(past, false), certificate(past, false)], [false; 3]),
            ([certificate(past, false), certificate(later, false)], [true, true, false]),
            ([certificate(later, true), certificate(later, false)], [true; 3]),
        ] {
            let scopes = [Scope::All, Scope::UserCertificates, Scope::CaCertificates];
            assert_eq!(scopes.map(|scope| is_missing(scope, certificates)), missing, "{certificates:?}");
        }
    }
}
