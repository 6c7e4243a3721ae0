//! What `verify` says of tables beside the log that do not keep what it revokes.

use super::*;
use crate::ledger::audit::{CaKeys, Lists, Options, Signatures, Source, audit};

/// What somebody does who may write the store.
fn alter(config: &Config, sql: &str) {
    match fixture::database(config) {
        None => rusqlite::Connection::open(&config.path).unwrap().execute_batch(sql).unwrap(),
        Some(database) => drop(database.sql(&format!("SET search_path = countersign; {sql}"))),
    }
}

/// The entries that are wrong, with the word for it.
fn found(config: &Config) -> Vec<(u64, &'static str)> {
    let reader = Reader::open(config).unwrap();
    let len = reader.len().unwrap();
    let options = Options {
        ca_keys: CaKeys::default(),
        lists: Lists::default(),
        signatures: Signatures::Skip,
        origin: None,
        clock_tolerance: Duration::from_secs(5),
        checkpoints: Vec::new(),
        compare: Vec::new(),
        unusable: None,
    };
    let mut report = audit(Source::Log(reader), len, options, |_| ()).unwrap();
    report.compare_kept(&Reader::open(config).unwrap(), UnixMillis(NOW * 1000));
    assert!(report.stopped.is_none(), "{:?}", report.stopped);
    report.findings.first().iter().map(|finding| (finding.index, finding.what.word())).collect()
}

#[tokio::test]
async fn a_revocation_that_the_tables_beside_the_log_do_not_have_as_it_is_is_named() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    for (serial, subject) in [(7, "a"), (8, "b")] {
        sign(&authority, &ledger, "ca", &web(serial, subject, 3600)).await;
    }
    let entry = sign(&authority, &ledger, "ca", &web(10, "c", 3600)).await;
    let known = revoke(&authority, &ledger, by_serial(7)).await.index;
    let by_key = revoke(&authority, &ledger, by_subject("b")).await.index;
    let unknown = revoke(&authority, &ledger, by_serial(9)).await.index;
    // There is a row for the same reason already: it is older, and stays.
    let again = revoke(&authority, &ledger, by_name("a")).await.index;
    let by_entry = revoke(&authority, &ledger, Revoked::Entry(entry)).await.index;
    ledger.close().await;
    let config = &authority.config.ledger;
    assert_eq!(found(config), []);
    let all = [known, by_key, unknown, again, by_entry];
    for (change, back, wrong) in [
        (
            format!("UPDATE revocation SET idx = idx + 1000 WHERE idx = {by_key}"),
            format!("UPDATE revocation SET idx = {by_key} WHERE idx = {by_key} + 1000"),
            vec![by_key],
        ),
        (
            "UPDATE revoked SET since = since + 1000000".to_owned(),
            "UPDATE revoked SET since = since - 1000000".to_owned(),
            all.to_vec(),
        ),
        (
            "UPDATE revoked SET not_after = not_after - 1".to_owned(),
            "UPDATE revoked SET not_after = not_after + 1".to_owned(),
            vec![known, by_key, again, by_entry],
        ),
        (
            "UPDATE revoked SET reason = 'superseded' WHERE not_after IS NULL".to_owned(),
            "UPDATE revoked SET reason = 'unspecified' WHERE not_after IS NULL".to_owned(),
            vec![unknown],
        ),
        ("DELETE FROM revoked".to_owned(), String::new(), all.to_vec()),
    ] {
        alter(config, &change);
        let wrong: Vec<_> = wrong.into_iter().map(|index| (index, "NOT_KEPT")).collect();
        assert_eq!(found(config), wrong, "{change}");
        alter(config, &back);
    }
}
