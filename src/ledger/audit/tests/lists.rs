//! Lists that are given in files, most of which the log has the digest of alone.

use super::*;
use crate::key::pem::pem;
use crate::ledger::fixture::bytes_read;

/// A list that is too long for the log, in a file; its digest, and the signature that the file has.
fn long_list(directory: &Path, number: u64) -> (AskedTbs, Outcome) {
    let Tbs::Crl(tbs) = list(number.into(), None, 2000) else { panic!() };
    let Outcome::Signed(raw) = signature("ca", tbs.as_bytes()) else { panic!() };
    let der = tbs.certificate_list(SignatureAlgorithm::Ed25519, &raw).unwrap();
    std::fs::write(directory.join(format!("{number}.crl")), der).unwrap();
    let digest = AskedTbs::of(tbs.as_bytes());
    assert!(matches!(digest, AskedTbs::Digest(..)));
    (digest, Outcome::Signed(raw))
}

#[test]
fn a_list_that_the_log_has_the_digest_of_is_checked_with_the_list_alone() {
    let directory = tempfile::TempDir::new().unwrap();
    let (digest, right) = long_list(directory.path(), 9);
    let (older, other) = long_list(directory.path(), 8);
    let audit = |tbs: &AskedTbs, outcome_of: Option<Outcome>, given: &[u64]| {
        let mut entries = good()[..19].to_vec();
        entries.push(intent_of(90, "x509-ca", "x509-crl", "ca", tbs.clone()));
        entries.extend(outcome_of.map(|signed| outcome(90, 19, signed)));
        let mut lists = Lists::default();
        for number in given {
            lists.add(&directory.path().join(format!("{number}.crl"))).unwrap();
        }
        let report = Log::of(&entries).audit(Options { lists, ..Log::options() });
        (words(&report), report.counts.verified - 7, report.unread.len(), report.counts.digest_only)
    };
    assert_eq!(audit(&digest, Some(right.clone()), &[8, 9]), (vec![], 1, 0, 0));
    assert_eq!(
        audit(&digest, Some(right.clone()), &[8]),
        (vec![], 0, 1, 1),
        "another list than that of the log"
    );
    assert_eq!(audit(&digest, Some(other.clone()), &[9]), (vec![(20, "SIGNATURE")], 0, 0, 0));
    // Its number is that of a list before it.
    assert_eq!(audit(&older, Some(other), &[8]), (vec![(19, "CRL_NUMBER")], 1, 0, 0));
    // A signature may exist if there is no outcome.
    assert_eq!(audit(&digest, None, &[]), (vec![], 0, 1, 1));
    // A file that was changed meanwhile is not the list any more.
    let mut lists = Lists::default();
    lists.add(&directory.path().join("9.crl")).unwrap();
    std::fs::copy(directory.path().join("8.crl"), directory.path().join("9.crl")).unwrap();
    let changed = intent_of(90, "x509-ca", "x509-crl", "ca", digest);
    let report = Log::of(&[changed, outcome(90, 0, right)]).audit(Options { lists, ..Log::options() });
    assert_eq!((words(&report), report.counts.digest_only), (vec![], 1));
    let no_list = directory.path().join("none.crl");
    std::fs::write(&no_list, "-----BEGIN X509 CRL-----").unwrap();
    assert!(matches!(Lists::default().add(&no_list), Err(ListError::NoList { .. })));
    assert!(matches!(Lists::default().add(&no_list.join("x")), Err(ListError::Io { .. })));
}

#[test]
fn a_list_that_nobody_gave_is_named_unless_no_token_had_it() {
    let (digest, _) = long_list(tempfile::TempDir::new().unwrap().path(), 9);
    let failed = || Outcome::Failed("TOKEN_FAILED".to_owned());
    for (what, token, is_named) in [
        (Outcome::Signed(vec![3; 64]), Some("one"), true),
        (Outcome::Discarded, Some("one"), true),
        (Outcome::Discarded, None, true),
        (Outcome::Abandoned, None, true),
        (failed(), Some("one"), true),
        (failed(), None, false),
    ] {
        let mut entries =
            [intent_of(90, "x509-ca", "x509-crl", "ca", digest.clone()), outcome(90, 0, what.clone())];
        let Entry::Outcome { token: at, .. } = &mut entries[1] else { panic!() };
        *at = token.map(|token| token.as_bytes().to_vec());
        let report = Log::of(&entries).audit(Log::options());
        let named: Vec<_> = report.unread.iter().map(|unread| unread.intent).collect();
        let expected = if is_named { vec![0] } else { vec![] };
        assert_eq!((words(&report), named), (vec![], expected), "{what:?} {token:?}");
    }
}

#[test]
fn a_list_whose_file_changes_while_it_is_needed_is_not_called_wrong() {
    let (known, unknown) = (Log::options().ca_keys, CaKeys::default());
    let refusals = || {
        let caller = b"uid:1000".to_vec();
        let refusals = Entry::Refusals { time: UnixMillis(T + 92), caller, since: UnixMillis(T), count: 2 };
        vec![refusals; 2 * BATCH]
    };
    let remove: fn(&Path) = |file| std::fs::remove_file(file).unwrap();
    let replace: fn(&Path) = |file| std::fs::rename(file.with_file_name("8.crl"), file).unwrap();
    for (is_late, spoil) in [(false, remove), (false, replace), (true, remove), (true, replace)] {
        let directory = tempfile::TempDir::new().unwrap();
        let ((digest, right), _) = (long_list(directory.path(), 9), long_list(directory.path(), 8));
        let file = directory.path().join("9.crl");
        let (intent, outcome) = (intent_of(90, "x509-ca", "x509-crl", "ca", digest), outcome(90, 0, right));
        // The signature is looked at with its outcome, or once somebody has said what the key is.
        let entries = if is_late {
            let tbs = AskedTbs::Whole(certificate("ca", 1, "alice"));
            let of_key = intent_of(93, "ssh-user-ca", "ssh-certificate", "ca", tbs);
            [vec![intent, outcome], refusals(), vec![of_key]].concat()
        } else {
            [vec![intent], refusals(), vec![outcome]].concat()
        };
        let mut lists = Lists::default();
        lists.add(&file).unwrap();
        let ca_keys = if is_late { unknown.clone() } else { known.clone() };
        let (log, options) = (Log::of(&entries), Options { ca_keys, lists, ..Log::options() });
        let first = u64::try_from(BATCH).unwrap();
        let report = audit(Source::Log(log.reader()), log.len, options, |done| {
            if done == first {
                spoil(&file);
            }
        });
        let report = report.unwrap();
        let wrong = words(&report).into_iter().filter(|(_, word)| *word != "PURPOSE").count();
        let unread: Vec<_> = report.unread.iter().map(|unread| unread.intent).collect();
        assert_eq!(
            (wrong, report.counts.verified, unread),
            (0, 0, vec![0]),
            "{is_late} {:?}",
            report.findings
        );
    }
}

#[test]
fn every_list_of_a_file_is_read_and_those_of_no_entry_are_named() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let section = |number: u64| {
        let der = std::fs::read(path(&format!("{number}.crl"))).unwrap();
        format!("# list {number}\n{}", pem("X509 CRL", &der))
    };
    let mut entries = Vec::new();
    for number in [8, 9] {
        let (digest, signed) = long_list(directory.path(), number);
        let at = u64::try_from(entries.len()).unwrap();
        entries.push(intent_of(90, "x509-ca", "x509-crl", "ca", digest));
        entries.push(outcome(90, at, signed));
    }
    let (stranger, _) = long_list(directory.path(), 10);
    let AskedTbs::Digest(sha256, _) = stranger else { panic!() };
    // One that the log has whole.
    let Tbs::Crl(short) = list(11_u64.into(), None, 1) else { panic!() };
    let whole = short.certificate_list(SignatureAlgorithm::Ed25519, &[3; 64]).unwrap();
    std::fs::write(path("11.crl"), whole).unwrap();
    entries.push(crl(90, 11, None));
    std::fs::write(path("all.pem"), [8, 10, 9].map(section).concat()).unwrap();
    let mut lists = Lists::default();
    lists.add(&path("all.pem")).unwrap();
    lists.add(&path("11.crl")).unwrap();
    let report = Log::of(&entries).audit(Options { lists, ..Log::options() });
    assert_eq!((words(&report), report.counts.verified, report.counts.digest_only), (vec![], 2, 0));
    assert_eq!(report.strangers, [Stranger { file: path("all.pem"), sha256 }]);
    // One section that is no list makes the file none.
    std::fs::write(path("all.pem"), [section(8), pem("X509 CRL", b"none")].concat()).unwrap();
    assert!(matches!(Lists::default().add(&path("all.pem")), Err(ListError::NoList { .. })));
}

#[test]
fn the_numbers_of_lists_are_compared_without_reading_the_log_again() {
    let refusals = |time| Entry::Refusals {
        time: UnixMillis(T + time),
        caller: vec![b'a'; 1000],
        since: UnixMillis(T),
        count: 2,
    };
    let entries = [vec![crl(50, 7, None)], vec![refusals(60); 2000], vec![crl(70, 8, None)]].concat();
    let fixture = Fixture::in_file();
    fixture.append(entries.iter().map(|entry| entry.encode().unwrap()));
    let log = Log { fixture, len: index_of(entries.len()) };
    let mut report = log.audit(Log::options());
    assert_eq!(words(&report), []);
    let reader = log.reader();
    let before = bytes_read();
    report.compare_kept(&reader, UnixMillis(T));
    let read = bytes_read() - before;
    assert_eq!(words(&report), [(2001, "NOT_KEPT")]);
    assert!(read < 200_000, "{read} bytes of 2,000,000");
}

#[test]
fn a_list_that_is_given_must_have_its_own_number_beside_the_log() {
    let directory = tempfile::TempDir::new().unwrap();
    let (digest, right) = long_list(directory.path(), 9);
    let entries = [intent_of(90, "x509-ca", "x509-crl", "ca", digest), outcome(90, 0, right)];
    let fixture = Fixture::in_file();
    fixture.append(entries.iter().map(|entry| entry.encode().unwrap()));
    let log = Log { fixture, len: 2 };
    let row = "INSERT INTO crl_number (ca_key, series, number, intent) VALUES (?1, 'complete', ?2, 0)";
    let ca_key = sha256(&[&public_key("ca").to_spki_der()]);
    // Of one that nobody gave, a row must lead to it.
    for (number, given, not_given) in [(Some(9), false, false), (Some(8), true, false), (None, true, true)] {
        let connection = log.fixture.sql("DELETE FROM crl_number");
        if let Some(number) = number {
            connection.execute(row, (ca_key, [number])).unwrap();
        }
        for (is_given, is_wrong) in [(true, given), (false, not_given)] {
            let mut lists = Lists::default();
            if is_given {
                lists.add(&directory.path().join("9.crl")).unwrap();
            }
            let mut report = log.audit(Options { lists, ..Log::options() });
            report.compare_kept(&log.reader(), UnixMillis(T));
            let wrong = if is_wrong { vec![(0, "NOT_KEPT")] } else { vec![] };
            assert_eq!(words(&report), wrong, "{number:?} {is_given}");
        }
    }
}
