//! Compares what a store keeps of revocations, beside the log, with what the log says.
//!
//! In: a log that was read whole. Out: findings, by the revocation. Promised: what lists and OCSP responses are made of is there for each
//! revocation, of each certificate of this log that it means and that a list names still; so are subject keys, the numbers of lists and, in a
//! database, claims. Not done here: rows of certificates that no revocation of this log asks for, for another log of the store may; they take none out of any list.

use std::collections::{HashMap, HashSet};

use countersign_tbs::{Tbs, TbsKind};

use crate::causes::in_one_line;
use crate::ledger::audit::again::Stopped;
use crate::ledger::audit::{Findings, Report, Wrong};
use crate::ledger::claim::Serial;
use crate::ledger::entry::{Asked, CaKey, Entry, RevocationReason, Revoked, UnixMillis, subject_key};
use crate::ledger::index::parsed;
use crate::ledger::revoked::{Certificate, Row, certificate};
use crate::ledger::{LedgerError, Reader};

mod claims;
mod numbers;
mod standing;
mod subjects;

/// The SHA-256 of a CA key and of a subject key that it certifies no more, and the word for why not.
type Subject = (Vec<u8>, Vec<u8>, String);

/// A revocation that has a row for each certificate that it means.
#[derive(Debug)]
struct Revocation {
    index: u64,
    time: UnixMillis,
    what: Revoked,
    reason: RevocationReason,
}

/// Those of one CA key, and the rows that the store has of it.
#[derive(Debug)]
struct OfCa {
    ca_key: CaKey,
    revocations: Vec<Revocation>,
    /// The places of those that say of which certificates they are, by what they say: a CA may have thousands, and millions of certificates.
    exact: HashMap<Revoked, Vec<usize>>,
    /// The places of those that are of whatever has a name, or was recorded then.
    wide: Vec<usize>,
    /// By serial and reason.
    rows: HashMap<(Vec<u8>, &'static str), Vec<Row>>,
}

/// Of lists that the log has no times of it is taken that they are good for a day, in seconds: of those that it has the digest alone, and of
/// those for SSH.
const A_DAY: u64 = 24 * 3600;

/// What is compared, and what was found.
#[derive(Debug)]
struct Compare<'a> {
    reader: &'a Reader,
    entries: u64,
    now: UnixMillis,
    /// For how many seconds the list of this log is good that is so the longest.
    interval: u64,
    /// Whether the log is the only one of its store: else a row may be of what another has.
    is_alone: bool,
    findings: Findings,
    /// The revocations that are found to be wrong already: each is named once.
    named: HashSet<u64>,
    /// The subject keys that the log revokes, and the first entry that does.
    subjects: HashMap<Subject, u64>,
    /// Of a revocation and a serial, whether the row is as one of the certificates says: a serial may have been tried twice.
    rows: HashMap<(u64, Vec<u8>), bool>,
}

/// A certificate that a revocation means.
#[derive(Clone, Copy, Debug)]
struct Own {
    entry: u64,
    time: UnixMillis,
    certificate: Certificate,
}

impl Report {
    /// Adds what is wrong with what the store of `reader`, the log that was checked, keeps beside it. Certificates that had
    /// expired a list's interval before `now` are no list's any more.
    pub fn compare_kept(&mut self, reader: &Reader, now: UnixMillis) {
        // Of a log that cannot be read whole nobody knows what is to be kept.
        if self.stopped.is_some() {
            return;
        }
        if !reader.keeps_revocations() {
            self.lacks_tables = self.counts.revocations > 0 || self.counts.lists > 0;
            return;
        }
        let (entries, findings) = (self.entries, Findings::default());
        let (named, subjects, rows) = (HashSet::new(), HashMap::new(), HashMap::new());
        let (interval, is_alone) = (A_DAY, true);
        let mut compare =
            Compare { reader, entries, now, interval, is_alone, findings, named, subjects, rows };
        let certificates = if self.counts.revocations > 0 { compare.certificates() } else { Ok(()) };
        let tables = certificates.and_then(|()| compare.subjects());
        let tables = tables.and_then(|()| compare.numbers(&self.newest_lists));
        let tables = tables.and_then(|()| compare.standing(&self.frozen));
        if let Err(why) = tables.and_then(|()| compare.claims()) {
            self.stopped = Some(Stopped { index: entries, why: why.into() });
        }
        self.findings.extend(compare.findings);
        self.findings.sort();
    }
}

impl Compare<'_> {
    fn certificates(&mut self) -> Result<(), LedgerError> {
        self.is_alone = self.reader.other_logs()?.is_empty();
        let mut cas = self.revocations()?;
        for of_ca in &mut cas {
            self.read_rows(of_ca)?;
        }
        cas.retain(|of_ca| !of_ca.revocations.is_empty());
        for of_ca in &cas {
            self.serials(of_ca);
        }
        if cas.is_empty() {
            return Ok(());
        }
        for leaf in self.reader.leaves(0..self.entries) {
            let (index, leaf) = leaf?;
            // What is none is found already.
            let Ok(entry) = Entry::decode(&leaf) else { continue };
            for of_ca in &cas {
                self.entry(of_ca, index, &entry);
            }
        }
        self.changed();
        Ok(())
    }

    /// The revocations of the log that have rows, by their CA key. Those whose certificates the store has not kept at all are found.
    fn revocations(&mut self) -> Result<Vec<OfCa>, LedgerError> {
        let kept = match self.reader.kept_revocations() {
            Ok(kept) => Ok(kept.into_iter().collect::<HashSet<u64>>()),
            Err(error) if error.is_damage() => Err(unread("revocation", &error)),
            Err(error) => return Err(error),
        };
        let mut cas: Vec<OfCa> = Vec::new();
        for leaf in self.reader.leaves(0..self.entries) {
            let (index, leaf) = leaf?;
            let entry = Entry::decode(&leaf);
            if let Ok(Entry::Intent { asked, .. }) = &entry {
                self.interval = self.interval.max(interval(asked));
            }
            let Ok(Entry::Revocation { time, ca_key, what, reason, .. }) = entry else { continue };
            match &kept {
                Ok(kept) if kept.contains(&index) => {}
                Ok(_) => self.found(index, "the revocation itself is missing there".to_owned()),
                Err(why) => self.found(index, why.clone()),
            }
            if let Revoked::SubjectKey(subject) = &what {
                let subject = (ca_key.spki_sha256.to_vec(), subject.to_vec(), reason.word().to_owned());
                self.subjects.entry(subject).or_insert(index);
            }
            if what.means_later() && !ca_key.is_x509() {
                continue;
            }
            let revocation = Revocation { index, time, what, reason };
            match cas.iter_mut().find(|of_ca| of_ca.ca_key.spki_sha256 == ca_key.spki_sha256) {
                Some(of_ca) => of_ca.add(revocation),
                None => cas.push(OfCa::new(ca_key, revocation)),
            }
        }
        Ok(cas)
    }

    /// Rows that cannot be read are those of nobody knows which revocation: all of the CA key are named.
    fn read_rows(&mut self, of_ca: &mut OfCa) -> Result<(), LedgerError> {
        match self.reader.revoked_of(of_ca.ca_key.spki_sha256) {
            Ok(rows) => {
                for row in rows {
                    let place = (row.serial.clone(), row.reason.word());
                    of_ca.rows.entry(place).or_default().push(row);
                }
            }
            Err(error) if error.is_damage() => {
                let why = unread("revoked", &error);
                of_ca.revocations.drain(..).for_each(|revocation| self.found(revocation.index, why.clone()));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A serial has a row, whether any log has a certificate with it or not.
    fn serials(&mut self, of_ca: &OfCa) {
        for revocation in &of_ca.revocations {
            let Revoked::Serial(serial) = &revocation.what else { continue };
            let rows = of_ca.rows_of(revocation, serial);
            if rows.is_empty() {
                self.found(revocation.index, "its serial has no row".to_owned());
            } else if rows.iter().all(|row| row.since > revocation.time) {
                self.found(revocation.index, "the row of its serial was changed".to_owned());
            }
        }
    }

    /// An entry that may be of a certificate of the CA key.
    fn entry(&mut self, of_ca: &OfCa, index: u64, entry: &Entry) {
        let Some(tbs) = entry.certificate_of(&of_ca.ca_key) else { return };
        let Some((serial, certificate)) = Serial::of(&tbs).zip(certificate(&tbs)) else { return };
        let own = Own { entry: index, time: entry.time(), certificate };
        for revocation in of_ca.candidates(index, &serial, &tbs) {
            if index < revocation.index && revocation.what.means(index, own.time, &tbs) {
                self.certificate(of_ca, revocation, serial.as_bytes(), own);
            }
        }
    }

    /// Looks for the row of a certificate that was revoked.
    fn certificate(&mut self, of_ca: &OfCa, revocation: &Revocation, serial: &[u8], own: Own) {
        let rows = of_ca.rows_of(revocation, serial);
        if !rows.is_empty() {
            let is_right = rows.iter().any(|row| self.is_right(row, revocation, own));
            *self.rows.entry((revocation.index, serial.to_vec())).or_default() |= is_right;
        } else if self.is_due(revocation, own.certificate) {
            self.found(revocation.index, format!("the certificate of entry {} has no row", own.entry));
        }
    }

    /// Whether a list of now names a certificate that had not expired when it was revoked; one that had need not have a row. What expires is in
    /// a list that comes after, and so for as long as one is good ([`Interval::kept`](crate::ledger::revoked::Interval)).
    fn is_due(&self, revocation: &Revocation, certificate: Certificate) -> bool {
        let kept = (self.now.0 / 1000).saturating_sub(self.interval);
        certificate.not_after >= kept.max(revocation.time.0 / 1000)
    }

    /// Whether a list with this row says no less than the revocation. What is unknown of a certificate takes it out of no list.
    fn is_right(&self, row: &Row, revocation: &Revocation, own: Own) -> bool {
        let of = |one: Certificate| (i64::try_from(one.not_after).unwrap_or(i64::MAX), one.is_ca);
        let is_own = row.certificate.is_none_or(|kept| of(kept) == of(own.certificate));
        row.since <= revocation.time.max(own.time) && (is_own || !self.is_alone)
    }

    fn changed(&mut self) {
        for ((revocation, _), is_right) in std::mem::take(&mut self.rows) {
            if !is_right {
                self.found(revocation, "the row of a certificate was changed".to_owned());
            }
        }
    }

    fn found(&mut self, index: u64, why: String) {
        if self.named.insert(index) {
            self.findings.add(index, Wrong::NotKept { why });
        }
    }

    /// The same, of a row that has nothing to do with lists of what is revoked. What leads to no entry is named by the last.
    fn other_row(&mut self, index: u64, why: String) {
        let index = index.min(self.entries.saturating_sub(1));
        if self.named.insert(index) {
            self.findings.add(index, Wrong::OtherRow { why });
        }
    }
}

/// What it means that rows of a table cannot be read, for they are damaged.
fn unread(table: &str, error: &LedgerError) -> String {
    format!("the table {table} cannot be read: {}", in_one_line(error))
}

/// For how many seconds the list that is asked for is good; 0 if none is, or nobody can read it.
fn interval(asked: &Asked) -> u64 {
    if TbsKind::from_name(&asked.kind) != Some(TbsKind::X509Crl) {
        return 0;
    }
    let Some(Tbs::Crl(list)) = parsed(asked) else { return 0 };
    list.next_update().unix_secs().saturating_sub(list.this_update().unix_secs())
}

impl OfCa {
    fn new(ca_key: CaKey, revocation: Revocation) -> Self {
        let (exact, rows) = (HashMap::new(), HashMap::new());
        let mut of_ca = Self { ca_key, revocations: Vec::new(), exact, wide: Vec::new(), rows };
        of_ca.add(revocation);
        of_ca
    }

    fn add(&mut self, revocation: Revocation) {
        let place = self.revocations.len();
        match &revocation.what {
            Revoked::Name(_) | Revoked::Recorded(..) => self.wide.push(place),
            what @ (Revoked::Serial(_) | Revoked::KeyId(_) | Revoked::SubjectKey(_) | Revoked::Entry(_)) => {
                self.exact.entry(what.clone()).or_default().push(place);
            }
        }
        self.revocations.push(revocation);
    }

    /// The revocations that may mean a certificate. X.509 has no key ids, and of SSH those have no rows.
    fn candidates(&self, index: u64, serial: &Serial, tbs: &Tbs) -> impl Iterator<Item = &Revocation> {
        let subject = subject_key(tbs).map(Revoked::SubjectKey);
        let exact = [Some(Revoked::Serial(serial.as_bytes().to_vec())), Some(Revoked::Entry(index)), subject];
        let exact = exact.into_iter().flatten().filter_map(|what| self.exact.get(&what)).flatten();
        self.wide.iter().chain(exact).filter_map(|place| self.revocations.get(*place))
    }

    /// What the store has of a certificate that was revoked so.
    fn rows_of(&self, revocation: &Revocation, serial: &[u8]) -> &[Row] {
        let place = (serial.to_vec(), revocation.reason.word());
        self.rows.get(&place).map(Vec::as_slice).unwrap_or_default()
    }
}
