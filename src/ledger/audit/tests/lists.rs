//! Lists of which the log has the digest alone.

use super::*;

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
    // A signature may exist if there is no outcome, and exists for nobody if it failed.
    assert_eq!(audit(&digest, None, &[]), (vec![], 0, 1, 1));
    assert_eq!(audit(&digest, Some(Outcome::Failed("TOKEN_BUSY".to_owned())), &[]), (vec![], 0, 0, 0));
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
