#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use countersign_tbs::Tbs;
use countersign_tbs::ssh::{CertificateBuilder, CertificateType, SubjectKey};
use countersign_tbs::x509::{
    self, BasicConstraints, SerialNumber, SignatureAlgorithm, TbsCertificate, Validity,
};
use proptest::prelude::*;

use super::*;
use crate::key::PublicKey;
use crate::ledger::entry::{
    Asked, AskedTbs, CaKey, Entry, Outcome, RevocationReason, Revoked, UnixMillis, challenge, key_sha256,
    sha256, subject_key,
};
use crate::ledger::fixture::Fixture;
use crate::ledger::leaf_hash;
use crate::ledger::merkle::{Frontier, Hash, Tile, Tiles, Tree};
use crate::ledger::tiles::{Audience, Destination, Directory, export};
use crate::ledger::{Archive, CallFailed, RawEntry, Reader, Served, Serves};
use crate::policy::fixture::{key_id, list, name, pair, public_key, response, time};

mod callers;
mod damaged;
mod lists;
mod pages;
mod purposes;
mod served;
mod wal;

/// The beginning of each test's log.
const T: u64 = 1_700_000_000_000;

fn ca_key(purpose: &str, key: &PublicKey) -> CaKey {
    let (purpose, scheme) = (purpose.to_owned(), "ed25519".to_owned());
    CaKey { purpose, scheme, spki_sha256: sha256(&[&key.to_spki_der()]) }
}

fn x509_certificate() -> TbsCertificate {
    let validity = Validity { not_before: time(T / 1000), not_after: time(T / 1000 + 600) };
    let (algorithm, subject) = (SignatureAlgorithm::Ed25519, public_key("a subject"));
    let tbs = x509::CertificateBuilder::new(algorithm, name("CA"), validity, subject);
    let tbs = tbs.serial(SerialNumber::new(&[1, 2, 3]).unwrap()).basic_constraints(BasicConstraints::Leaf);
    tbs.authority_key_id(key_id(&public_key("x509-ca"))).subject(name("a subject")).build().unwrap()
}

/// The same bytes whenever it is asked for: a nonce is random.
fn certificate(ca: &str, serial: u64, principal: &str) -> Vec<u8> {
    static MADE: Mutex<BTreeMap<(String, u64, String), Vec<u8>>> = Mutex::new(BTreeMap::new());
    let which = (ca.to_owned(), serial, principal.to_owned());
    MADE.lock().unwrap().entry(which).or_insert_with(|| make_certificate(ca, serial, principal)).clone()
}

fn make_certificate(ca: &str, serial: u64, principal: &str) -> Vec<u8> {
    let subject = SubjectKey::Plain(public_key("a subject"));
    let tbs = CertificateBuilder::new(CertificateType::User, subject, public_key(ca)).key_id("a key id");
    let tbs = tbs.principal(principal).serial(serial).valid_after(T / 1000).valid_before(T / 1000 + 600);
    tbs.build().unwrap().as_bytes().to_vec()
}

fn intent_of(time: u64, purpose: &str, kind: &str, ca: &str, tbs: AskedTbs) -> Entry {
    let (caller, key) = (b"uid:1000".to_vec(), b"a-key".to_vec());
    let asked = Asked { caller, key, request_id: None, kind: kind.to_owned(), tbs };
    let ca_key = ca_key(purpose, &public_key(ca));
    Entry::Intent { time: UnixMillis(T + time), asked, policy: [1; 32], rule: "a rule".to_owned(), ca_key }
}

fn intent(time: u64, serial: u64, principal: &str) -> Entry {
    let tbs = AskedTbs::Whole(certificate("ssh-ca", serial, principal));
    intent_of(time, "ssh-user-ca", "ssh-certificate", "ssh-ca", tbs)
}

fn crl(time: u64, number: u64, base: Option<u64>) -> Entry {
    let tbs = AskedTbs::Whole(list(number.into(), base, 1).as_bytes().to_vec());
    intent_of(time, "x509-ca", "x509-crl", "ca", tbs)
}

fn outcome(time: u64, intent: u64, outcome: Outcome) -> Entry {
    Entry::Outcome { time: UnixMillis(T + time + 2), intent, outcome, latency_us: 2_999, token: None }
}

fn signature(ca: &str, message: &[u8]) -> Outcome {
    Outcome::Signed(pair(ca).sign(message).as_ref().to_vec())
}

/// The outcome of an intent at `time`, signed.
fn signed(time: u64, at: u64, intent: &Entry) -> Entry {
    let Entry::Intent { asked: Asked { tbs: AskedTbs::Whole(message), kind, .. }, .. } = intent else {
        panic!()
    };
    outcome(time, at, signature(if kind == "ssh-certificate" { "ssh-ca" } else { "ca" }, message))
}

fn failed(time: u64, at: u64) -> Entry {
    outcome(time, at, Outcome::Failed("TOKEN_BUSY".to_owned()))
}

/// A log in which everything happens that may.
fn good() -> Vec<Entry> {
    let challenge = challenge(&[7; 32]);
    let first = ca_key("ssh-user-ca", &public_key("ssh-ca"));
    let one = |time| UnixMillis(T + time);
    vec![
        Entry::SelfTest {
            time: one(0),
            key: "a-key".to_owned(),
            ca_key: first,
            challenge: challenge.clone(),
        },
        outcome(0, 0, signature("ssh-ca", &challenge)),
        intent(10, 1, "alice"),
        signed(10, 2, &intent(10, 1, "alice")),
        intent(20, 2, "alice"),
        intent(19, 3, "alice"), // a little back in time
        failed(19, 5),
        signed(20, 4, &intent(20, 2, "alice")),
        intent(30, 3, "alice"), // the same bytes again
        signed(30, 8, &intent(30, 3, "alice")),
        Entry::Refusals { time: one(40), caller: b"uid:1000".to_vec(), since: one(35), count: 3 },
        crl(50, 7, None),
        signed(50, 11, &crl(50, 7, None)),
        crl(60, 7, Some(7)), // a delta of the same moment
        signed(60, 13, &crl(60, 7, Some(7))),
        crl(70, 8, None),
        failed(70, 15),
        crl(80, 8, None),
        signed(80, 17, &crl(80, 8, None)),
        intent_of(90, "x509-ca", "x509-crl", "ca", AskedTbs::Digest([2; 32], 40_000)),
        outcome(90, 19, Outcome::Signed(vec![3; 64])),
        intent(100, 9, "alice"), // the signer was killed
    ]
}

struct Log {
    fixture: Fixture,
    len: u64,
}

impl Log {
    fn of(entries: &[Entry]) -> Self {
        Self::of_leaves(entries.iter().map(|entry| entry.encode().unwrap()).collect())
    }

    fn of_leaves(leaves: Vec<Vec<u8>>) -> Self {
        let (fixture, len) = (Fixture::new(), u64::try_from(leaves.len()).unwrap());
        fixture.append(leaves);
        Self { fixture, len }
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.fixture.config.path).unwrap()
    }

    fn options() -> Options {
        let mut ca_keys = CaKeys::default();
        ca_keys.add(public_key("ca"));
        let (signatures, clock_tolerance) = (Signatures::Verify, Duration::from_secs(5));
        Options {
            ca_keys,
            lists: Lists::default(),
            signatures,
            origin: Some("test.example/log".to_owned()),
            clock_tolerance,
            checkpoints: Vec::new(),
            compare: Vec::new(),
            beside: Vec::new(),
        }
    }

    fn audit(&self, options: Options) -> Report {
        audit(Source::Log(self.reader()), self.len, options, |_| ()).unwrap()
    }

    fn exported(&self) -> PathBuf {
        let to = self.fixture.directory().join("export");
        export(&self.reader(), Destination { directory: &to, audience: Audience::Owner }, None, |_, _| ())
            .unwrap();
        to
    }

    fn audit_against(&self, export: &Path) -> Report {
        let directory = Directory::open(export).unwrap();
        let entries = directory.size().unwrap();
        let compare = vec![Compared { known: Known::Export(directory), entries }];
        self.audit(Options { compare, ..Self::options() })
    }

    fn audit_against_index(&self) -> Report {
        let index = self.reader().recorded_tiles().unwrap().unwrap();
        let entries = index.entries();
        self.audit(Options {
            compare: vec![Compared { known: Known::Index(index), entries }],
            ..Self::options()
        })
    }

    /// As no trigger sees it.
    fn change(&self, index: u64, leaf: &[u8]) {
        let replace = "REPLACE INTO entry (idx, leaf) VALUES (?1, ?2)";
        self.fixture.sql("").execute(replace, (index.cast_signed(), leaf)).unwrap();
    }
}

fn audit_export(export: &Path, len: u64) -> Report {
    let compare = vec![Compared { known: Known::Export(Directory::open(export).unwrap()), entries: len }];
    let source = Source::Export(Directory::open(export).unwrap());
    audit(source, len, Options { compare, ..Log::options() }, |_| ()).unwrap()
}

fn words(report: &Report) -> Vec<(u64, &'static str)> {
    report.findings.first().iter().map(|finding| (finding.index, finding.what.word())).collect()
}

fn revocation(time: u64, (purpose, ca): (&str, &str), what: Revoked, reason: RevocationReason) -> Entry {
    Entry::Revocation {
        time: UnixMillis(T + time),
        key: b"a-key".to_vec(),
        ca_key: ca_key(purpose, &public_key(ca)),
        spki: public_key(ca).to_spki_der(),
        what,
        reason,
        in_ledger: true,
        by: b"uid:0".to_vec(),
        why: b"a test".to_vec(),
    }
}

/// A checkpoint by the log's own key.
fn checkpoint_of(time: u64, origin: &str, size: u64, root: Hash) -> Entry {
    let text = Checkpoint::new(origin, size, root).unwrap().to_string();
    let ca_key = ca_key("ledger", &public_key("log"));
    Entry::Checkpoint { time: UnixMillis(T + time), key: "log".to_owned(), ca_key, text }
}

/// The checkpoint of the first `size` entries.
fn checkpoint(time: u64, log: &[Entry], size: usize) -> Entry {
    let mut frontier = Frontier::new();
    for entry in &log[..size] {
        let hash = leaf_hash(&entry.encode().unwrap());
        frontier.push(hash, |_| Ok::<_, ()>(())).unwrap();
    }
    checkpoint_of(time, "test.example/log", frontier.size(), frontier.root())
}

fn self_test(time: u64, challenge: Vec<u8>) -> Entry {
    let ca_key = ca_key("ssh-user-ca", &public_key("ssh-ca"));
    Entry::SelfTest { time: UnixMillis(T + time), key: "a-key".to_owned(), ca_key, challenge }
}

#[test]
fn a_revocation_has_the_key_that_it_names() {
    let log = |spki: &str| {
        let what = Revoked::KeyId(b"a key id".to_vec());
        let mut entry = revocation(110, ("ssh-user-ca", "ssh-ca"), what, RevocationReason::Unspecified);
        let Entry::Revocation { spki: own, .. } = &mut entry else { panic!() };
        *own = public_key(spki).to_spki_der();
        Log::of(&[good(), vec![entry]].concat()).audit(Log::options())
    };
    assert_eq!(words(&log("ssh-ca")), []);
    assert_eq!(words(&log("ca")), [(22, "OTHER_CA_KEY")]);
}

#[test]
fn a_good_log_has_nothing_wrong_and_its_open_intents_are_named() {
    let log = Log::of(&good());
    let to = log.exported();
    for report in [log.audit(Log::options()), log.audit_against(&to), audit_export(&to, log.len)] {
        assert_eq!(words(&report), []);
        assert_eq!(report.open, [21]);
        assert_eq!(report.unchecked, []);
        let counts = report.counts;
        assert_eq!((counts.intents, counts.self_tests, counts.outcomes, counts.others), (10, 1, 10, 1));
        assert_eq!((counts.signed, counts.verified, counts.digest_only), (8, 7, 1));
        assert_eq!(report.entries, 22);
        let directory = Directory::open(&to).unwrap();
        assert_eq!(Tree::new(&directory, 22).root().unwrap(), report.root);
    }
}

type Edit = fn(&mut Vec<Entry>);

/// Of each edit of a good log, the entries that are wrong then.
fn check(cases: &[(Edit, &[(u64, &str)])]) {
    for (number, (edit, expected)) in cases.iter().enumerate() {
        let mut entries = good();
        edit(&mut entries);
        let report = Log::of(&entries).audit(Log::options());
        assert_eq!(&words(&report), expected, "case {number}: {:?}", report.findings.first());
        assert_eq!(report.findings.total() > 0, !expected.is_empty());
    }
}

#[test]
fn names_what_hides_what_is_signed_and_checkpoints_that_do_not_hold() {
    check(&[
        // What is signed, and nobody could read.
        (
            |log| {
                let hidden = certificate("ssh-ca", 4, "mallory");
                log.push(self_test(110, hidden.clone()));
                log.push(outcome(110, 22, signature("ssh-ca", &hidden)));
            },
            &[(22, "NOT_AN_ENTRY"), (23, "OUTCOME_OF_NOTHING")],
        ),
        (
            |log| {
                let digest = AskedTbs::Digest([2; 32], 40_000);
                log.push(intent_of(110, "ssh-user-ca", "ssh-certificate", "ssh-ca", digest));
            },
            &[(22, "NOT_AN_ENTRY")],
        ),
        (
            |log| log.push(intent_of(110, "x509-ca", "x509-crl", "ca", AskedTbs::Digest([2; 32], 32_768))),
            &[(22, "NOT_AN_ENTRY")],
        ),
        // The checkpoints that it records itself.
        (|log| log.push(checkpoint(110, log, 22)), &[]),
        (|log| log.extend([checkpoint(110, log, 9), checkpoint(110, log, 9), checkpoint(110, log, 22)]), &[]),
        (|log| log.extend([checkpoint(110, log, 22), checkpoint(110, log, 21)]), &[(23, "CHECKPOINT")]),
        (|log| log.push(checkpoint_of(110, "test.example/log", 23, [0; 32])), &[(22, "CHECKPOINT")]),
        (|log| log.push(checkpoint_of(110, "test.example/other", 22, [0; 32])), &[(22, "CHECKPOINT")]),
        (|log| log.push(checkpoint_of(110, "test.example/log", 22, [0; 32])), &[(22, "OTHER_ROOT")]),
        (
            |log| {
                log.extend([checkpoint(110, log, 9), checkpoint(110, log, 22), checkpoint(110, log, 22)]);
                let Entry::Refusals { count, .. } = &mut log[10] else { panic!() };
                *count = 4;
            },
            &[(23, "OTHER_ROOT")],
        ),
    ]);
}

#[test]
fn names_the_entry_that_is_wrong_and_says_why() {
    check(&[
        (|log| log[3] = signed(10, 2, &intent(10, 2, "alice")), &[(3, "SIGNATURE")]),
        (|log| log[1] = outcome(0, 0, signature("ssh-ca", b"another")), &[(1, "SIGNATURE")]),
        (
            |log| log[12] = outcome(50, 11, signature("ssh-ca", &certificate("ssh-ca", 1, "x"))),
            &[(12, "SIGNATURE")],
        ),
        // An outcome of nothing, a second one, one that comes first.
        (|log| log[3] = signed(10, 3, &intent(10, 1, "alice")), &[(3, "OUTCOME_OF_NOTHING")]),
        (|log| log[3] = signed(10, 10, &intent(10, 1, "alice")), &[(3, "OUTCOME_OF_NOTHING")]),
        (|log| log.push(failed(20, 4)), &[(22, "OUTCOME_OF_NOTHING")]),
        (|log| log.push(failed(20, 30)), &[(22, "OUTCOME_OF_NOTHING")]),
        (|log| log[6] = failed(20, 5), &[(6, "OUTCOME_TIME")]),
        // Serials: of other bytes, of what was signed, of what may have been.
        (|log| log.push(intent(110, 1, "alice")), &[(22, "SERIAL")]),
        (|log| log.push(intent(110, 1, "bob")), &[(22, "SERIAL")]),
        (|log| log.push(intent(110, 9, "alice")), &[(22, "SERIAL")]),
        (|log| log[6] = failed(20, 4), &[(7, "OUTCOME_OF_NOTHING"), (8, "SERIAL")]),
        (|log| log[8] = intent(30, 3, "bob"), &[(8, "SERIAL"), (9, "SIGNATURE")]),
        // Numbers of lists.
        (|log| log.push(crl(110, 8, None)), &[(22, "CRL_NUMBER")]),
        (|log| log.push(crl(110, 7, Some(5))), &[(22, "CRL_NUMBER")]),
        (|log| log.push(crl(110, 8, Some(5))), &[]),
        // Time.
        (|log| log.push(crl(110, 9, None)), &[]),
        (
            |log| {
                log[10] = Entry::Refusals {
                    time: UnixMillis(T + 5050),
                    caller: vec![],
                    since: UnixMillis(0),
                    count: 1,
                }
            },
            &[],
        ),
        (
            |log| {
                log[10] = Entry::Refusals {
                    time: UnixMillis(T + 5051),
                    caller: vec![],
                    since: UnixMillis(0),
                    count: 1,
                }
            },
            &[(11, "CLOCK_BEHIND")],
        ),
        // What the entry itself says.
        (
            |log| {
                let tbs = AskedTbs::Whole(certificate("another-ca", 4, "alice"));
                log.push(intent_of(110, "ssh-user-ca", "ssh-certificate", "ssh-ca", tbs));
            },
            &[(22, "OTHER_CA_KEY")],
        ),
        (
            |log| {
                let tbs = AskedTbs::Whole(certificate("ssh-ca", 4, "alice"));
                log.push(intent_of(110, "x509-ca", "ssh-certificate", "another-ca", tbs));
            },
            &[(22, "PURPOSE"), (22, "OTHER_CA_KEY")],
        ),
        (
            |log| {
                let tbs = AskedTbs::Whole(b"no certificate".to_vec());
                log.push(intent_of(110, "ssh-user-ca", "ssh-certificate", "ssh-ca", tbs));
            },
            &[(22, "NO_TBS")],
        ),
        (
            |log| {
                let Entry::Intent { ca_key, .. } = &mut log[2] else { panic!() };
                ca_key.scheme = "ecdsa-p256-sha256".to_owned();
            },
            &[(2, "SCHEME")],
        ),
        (
            |log| {
                let Entry::Intent { ca_key, .. } = &mut log[2] else { panic!() };
                ca_key.scheme = "none".to_owned();
            },
            &[(2, "SCHEME")],
        ),
    ]);
}

#[test]
fn what_a_revocation_bars_is_not_signed_after_it() {
    use RevocationReason::{KeyCompromise, Superseded};
    let (ssh, x509) = (("ssh-user-ca", "ssh-ca"), ("x509-ca", "x509-ca"));
    let subject = |key: &str| Revoked::SubjectKey(key_sha256(&SubjectKey::Plain(public_key(key))));
    let other = intent(120, 20, "alice");
    let tbs = x509_certificate();
    let serial = tbs.serial().as_bytes().to_vec();
    let of_x509 =
        intent_of(120, "x509-ca", "x509-certificate", "x509-ca", AskedTbs::Whole(tbs.as_bytes().to_vec()));
    let of_subject = Revoked::SubjectKey(subject_key(&Tbs::X509(tbs.clone())).unwrap());
    for (number, (revoked, intent, barred)) in [
        (revocation(110, ssh, subject("a subject"), KeyCompromise), &other, true),
        // A list has the key, and so what is signed for it later.
        (revocation(110, ssh, subject("a subject"), Superseded), &other, false),
        (revocation(110, ssh, subject("another subject"), KeyCompromise), &other, false),
        (revocation(110, ("ssh-user-ca", "another-ca"), subject("a subject"), KeyCompromise), &other, false),
        (revocation(110, ssh, Revoked::Serial(20_u64.to_be_bytes().to_vec()), KeyCompromise), &other, false),
        (revocation(110, ssh, Revoked::KeyId(b"a key id".to_vec()), KeyCompromise), &other, false),
        (revocation(110, x509, Revoked::Serial(serial), Superseded), &of_x509, true),
        (revocation(110, x509, Revoked::Serial(vec![9]), Superseded), &of_x509, false),
        (revocation(110, x509, of_subject, Superseded), &of_x509, true),
    ]
    .into_iter()
    .enumerate()
    {
        let expected = if barred { vec![(23, "REVOKED")] } else { vec![] };
        let after = [good(), vec![revoked.clone(), intent.clone()]].concat();
        assert_eq!(words(&Log::of(&after).audit(Log::options())), expected, "case {number}");
        let before = [good(), vec![intent.clone(), revoked]].concat();
        assert_eq!(
            words(
                &Log::of(&before)
                    .audit(Options { clock_tolerance: Duration::from_secs(5), ..Log::options() })
            ),
            [],
            "case {number}: signed before"
        );
    }
}

#[test]
fn what_is_no_entry_is_found_and_the_rest_is_checked_all_the_same() {
    let mut leaves: Vec<_> = good().iter().map(|entry| entry.encode().unwrap()).collect();
    leaves[10].push(0);
    leaves[4] = vec![2];
    let report = Log::of_leaves(leaves).audit(Log::options());
    assert_eq!(words(&report), [(4, "NOT_AN_ENTRY"), (7, "OUTCOME_OF_NOTHING"), (10, "NOT_AN_ENTRY")]);
    assert_eq!((report.entries, report.counts.verified), (22, 6));
}

#[test]
fn a_missing_entry_is_found_and_nothing_after_it_is_called_checked() {
    let log = Log::of(&good());
    let to = log.exported();
    log.fixture.sql("DROP TRIGGER entry_is_never_removed; DELETE FROM entry WHERE idx = 8");
    let report = log.audit_against(&to);
    assert_eq!((words(&report), report.entries), (vec![(8, "MISSING")], 8));
}

#[test]
fn rows_that_end_before_the_log_does_are_no_end() {
    let log = Log::of(&good());
    let log = Log { len: 23, ..log };
    let report = log.audit(Log::options());
    assert_eq!((words(&report), report.entries), (vec![(22, "MISSING")], 22));
}

#[test]
fn entries_that_were_removed_from_the_end_are_missed() {
    let log = Log::of(&good());
    let to = log.exported();
    log.fixture.sql("DROP TRIGGER entry_is_never_removed; DELETE FROM entry WHERE idx >= 20");
    let log = Log { len: 20, ..log };
    assert_eq!(words(&log.audit_against(&to)), [(20, "REMOVED")]);
    let checkpoints = vec![Checkpoint::new("test.example/log", 22, [0; 32]).unwrap()];
    let report = log.audit(Options { checkpoints, ..Log::options() });
    assert_eq!(words(&report), [(20, "REMOVED")]);
    assert_eq!(report.checkpoints, [Rooted { size: 22, holds: Some(false) }]);
}

#[test]
fn a_log_must_have_the_root_of_every_checkpoint() {
    let log = Log::of(&good());
    let directory = Directory::open(&log.exported()).unwrap();
    let checkpoint = |size, root| Checkpoint::new("test.example/log", size, root).unwrap();
    let holds = |size| checkpoint(size, Tree::new(&directory, size).root().unwrap());
    let all = [0, 1, 7, 22].map(holds).to_vec();
    let report = log.audit(Options { checkpoints: all, ..Log::options() });
    assert_eq!(words(&report), []);
    assert_eq!(report.checkpoints, [0, 1, 7, 22].map(|size| Rooted { size, holds: Some(true) }));
    let some = vec![holds(7), checkpoint(9, [9; 32]), holds(22)];
    let report = log.audit(Options { checkpoints: some, ..Log::options() });
    assert_eq!(words(&report), [(8, "OTHER_ROOT")]);
}

#[test]
fn signatures_of_a_key_that_nobody_gave_are_not_called_checked() {
    let log = Log::of(&good());
    let report = log.audit(Options { ca_keys: CaKeys::default(), ..Log::options() });
    assert_eq!((words(&report), report.counts.verified), (vec![], 4), "SSH certificates name their key");
    let spki_sha256 = sha256(&[&public_key("ca").to_spki_der()]);
    let (purpose, name) = ("x509-ca".to_owned(), "a-key".to_owned());
    let unchecked = Unchecked { spki_sha256, purpose, name, signatures: 3, first: 12 };
    assert_eq!(report.unchecked, [unchecked]);
    let report = log.audit(Options { signatures: Signatures::Skip, ..Log::options() });
    assert_eq!((report.counts.verified, report.unchecked), (0, vec![]));
}

#[test]
fn keeps_a_thousand_findings_and_counts_the_others() {
    let report = Log::of_leaves(vec![vec![9]; 1500]).audit(Log::options());
    assert_eq!((report.findings.first().len(), report.findings.total()), (1000, 1500));
    assert_eq!(report.findings.first()[999].index, 999);
}

/// Entries of many kinds, three bundles of them.
fn long() -> (Log, PathBuf) {
    let entries = (0..700).map(|serial| intent(serial, 1000 + serial, "alice"));
    let log = Log::of(&[good(), entries.collect()].concat());
    let to = log.exported();
    (log, to)
}

#[test]
fn every_flipped_bit_of_an_entry_is_found_and_the_entry_named() {
    let (log, to) = long();
    let leaves: Vec<_> = log.reader().leaves(0..log.len).map(|leaf| leaf.unwrap().1).collect();
    for step in 0..60_usize {
        // Positions all over the log and its entries, the same in each run.
        let at = step * 7919 % leaves.len();
        let mut leaf = leaves[at].clone();
        let byte = step * 104_729 % leaf.len();
        leaf[byte] ^= 1 << (step % 8);
        let index = u64::try_from(at).unwrap();
        log.change(index, &leaf);
        let report = log.audit_against(&to);
        assert!(words(&report).contains(&(index, "OTHER_HASH")), "bit {} of byte {byte} of {at}", step % 8);
        assert!(words(&report).iter().all(|(index, word)| *word != "OTHER_HASH" || *index == index_of(at)));
        log.change(index, &leaves[at]);
    }
    assert_eq!(words(&log.audit_against(&to)), []);
}

#[test]
fn a_log_is_compared_with_the_hashes_of_its_index() {
    let (log, _) = long();
    // The signer makes the index as it starts, and has it on the disk when it stops.
    log.fixture.remove_index();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.fixture.open().close());
    let report = log.audit_against_index();
    assert_eq!((words(&report), report.compared), (vec![], log.len));
    let leaf = log.reader().leaves(600..601).next().unwrap().unwrap().1;
    let mut changed = leaf.clone();
    changed[100] ^= 1;
    log.change(600, &changed);
    let report = log.audit_against_index();
    assert!(words(&report).contains(&(600, "OTHER_HASH")), "{:?}", report.findings.first());
    log.change(600, &leaf);
    let file = log.fixture.index().join("tiles-1");
    let mut hashes = std::fs::read(&file).unwrap();
    hashes[33] ^= 1;
    std::fs::write(&file, hashes).unwrap();
    assert_eq!(words(&log.audit_against_index()), [(256, "OTHER_SUBTREE")]);
    log.fixture.sql("DROP TRIGGER entry_is_never_removed; DELETE FROM entry WHERE idx >= 700");
    let log = Log { len: 700, ..log };
    assert!(words(&log.audit_against_index()).contains(&(700, "REMOVED")));
}

#[test]
fn a_log_is_compared_with_the_hashes_that_its_index_has_merely_noted() {
    let leaves: Vec<_> =
        (0..700).map(|serial| intent(serial, 1000 + serial, "alice").encode().unwrap()).collect();
    for known in [0, 256, 300] {
        let log = Log::of_leaves(leaves[..known].to_vec());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(log.fixture.open().close());
        log.fixture.append(leaves[known..].to_vec());
        let log = Log { len: 700, ..log };
        // It reads what it does not know, and has it in no other file yet.
        let ledger = log.fixture.open();
        let report = log.audit_against_index();
        assert_eq!((words(&report), report.compared), (vec![], 700), "{known}");
        for at in [0, 255, 256, 299, 300, 511, 512, 699] {
            let mut changed = leaves[at].clone();
            changed[100] ^= 1;
            log.change(index_of(at), &changed);
            let report = log.audit_against_index();
            let others = words(&report).into_iter().filter(|(_, word)| *word == "OTHER_HASH");
            assert_eq!(others.collect::<Vec<_>>(), [(index_of(at), "OTHER_HASH")], "{known}");
            log.change(index_of(at), &leaves[at]);
        }
        runtime.block_on(ledger.close());
        let report = log.audit_against_index();
        assert_eq!((words(&report), report.compared), (vec![], 700), "{known}");
    }
}

#[test]
fn only_a_missing_index_is_none_and_any_other_is_found() {
    let log = Log::of(&good());
    let manifest = log.fixture.index().join("manifest.json");
    let whole = std::fs::read_to_string(&manifest).unwrap();
    let foreign = whole.replace("test.example/log", "test.example/other");
    for (text, why) in [
        ("{}", "not one"),
        (&whole.replace("\"claims\"", "\"claim\""), "not one"),
        (&foreign, "that of"),
        (&whole.replace("\"format\": ", "\"format\": 9"), "format 9"),
    ] {
        std::fs::write(&manifest, text).unwrap();
        let unusable = log.reader().recorded_tiles().unwrap_err();
        assert!(unusable.why.contains(why), "{unusable}");
        let report = log.audit(Options { beside: vec![unusable.into()], ..Log::options() });
        assert_eq!(words(&report), [(0, "INDEX")]);
    }
    std::fs::remove_file(&manifest).unwrap();
    std::fs::create_dir(&manifest).unwrap();
    assert!(log.reader().recorded_tiles().unwrap_err().why.contains("cannot be read"));
    log.fixture.remove_index();
    assert!(log.reader().recorded_tiles().unwrap().is_none());
}

#[test]
fn a_log_is_compared_with_the_hashes_of_an_index_of_an_earlier_format() {
    let (log, _) = long();
    log.fixture.remove_index();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.fixture.open().close());
    let manifest = log.fixture.index().join("manifest.json");
    let mut older: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    older["format"] = 3.into();
    for run in older["find"].as_array_mut().unwrap().iter_mut().filter(|run| !run.is_null()) {
        run["contents"].as_object_mut().unwrap().remove("top").unwrap();
    }
    std::fs::write(&manifest, older.to_string()).unwrap();
    let report = log.audit_against_index();
    assert_eq!((words(&report), report.compared), (vec![], log.len));
    let mut changed = log.reader().leaves(600..601).next().unwrap().unwrap().1;
    changed[100] ^= 1;
    log.change(600, &changed);
    assert!(words(&log.audit_against_index()).contains(&(600, "OTHER_HASH")));
    // What finds entries is another thing: that the signer makes anew.
    let (_, unusable) = Archive::open(log.reader()).unwrap();
    assert_eq!(unusable.unwrap(), "it has format 3, this countersign knows 6");
    older["origin"] = "test.example/other".into();
    std::fs::write(&manifest, older.to_string()).unwrap();
    assert!(log.reader().recorded_tiles().unwrap_err().why.contains("that of"));
}

fn index_of(at: usize) -> u64 {
    u64::try_from(at).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1))]
    #[test]
    fn every_flipped_bit_of_an_export_is_found_and_the_entry_named(seeds in prop::collection::vec(any::<(u64, u8)>(), 100)) {
        let (log, to) = long();
        let files = [
            ("tile/entries/000", 0), ("tile/entries/001", 256), ("tile/entries/002.p/210", 512),
            ("tile/0/000", 0), ("tile/0/001", 256), ("tile/0/002.p/210", 512), ("tile/1/000.p/2", 0),
        ];
        for (number, (place, bit)) in seeds.into_iter().enumerate() {
            let (name, first) = files[number % files.len()];
            let whole = std::fs::read(to.join(name)).unwrap();
            let byte = usize::try_from(place % u64::try_from(whole.len()).unwrap()).unwrap();
            let mut changed = whole.clone();
            changed[byte] ^= 1 << (bit % 8);
            std::fs::write(to.join(name), &changed).unwrap();
            let report = audit_export(&to, log.len);
            let entry = first + entry_at(name, &whole, byte);
            let found = words(&report);
            prop_assert!(found.first().is_some_and(|(index, _)| *index == entry), "{} {}: {} {:?}", name, byte, entry, found);
            std::fs::write(to.join(name), &whole).unwrap();
        }
        prop_assert_eq!(words(&audit_export(&to, log.len)), vec![]);
    }
}

/// Which entry of a file a byte belongs to; of a tile above the leaves, the first entry of the subtree.
fn entry_at(name: &str, file: &[u8], byte: usize) -> u64 {
    if name.starts_with("tile/0") {
        return u64::try_from(byte / 32).unwrap();
    }
    if name.starts_with("tile/1") {
        return u64::try_from(byte / 32 * 256).unwrap();
    }
    let (mut at, mut entry) = (0, 0);
    loop {
        at += 2 + usize::from(u16::from_be_bytes([file[at], file[at + 1]]));
        if byte < at {
            return entry;
        }
        entry += 1;
    }
}

#[test]
fn a_bundle_with_more_entries_than_its_name_says_is_found() {
    let (log, to) = long();
    let file = to.join("tile/entries/001");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend([0, 1, 9]);
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(words(&audit_export(&to, log.len)), [(512, "BUNDLE")]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(words(&audit_export(&to, log.len)), [(256, "MISSING")]);
}

#[test]
fn a_tile_that_is_missing_is_found() {
    let (log, to) = long();
    std::fs::remove_file(to.join("tile/0/001")).unwrap();
    assert_eq!(words(&audit_export(&to, log.len)), [(256, "NO_TILE")]);
}
