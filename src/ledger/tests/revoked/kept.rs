//! What `verify` says of tables beside the log that do not keep what it revokes.

use super::*;
use crate::ledger::audit::Report;

/// What somebody does who may write the store.
fn alter(config: &Config, sql: &str) {
    match fixture::database(config) {
        None => rusqlite::Connection::open(&config.path).unwrap().execute_batch(sql).unwrap(),
        Some(database) => drop(database.sql(&format!("SET search_path = countersign; {sql}"))),
    }
}

/// What is found now.
fn audited_now(config: &Config) -> Report {
    audited_at(config, UnixMillis(NOW * 1000))
}

/// The entries that are wrong, with the word for it.
fn found(config: &Config) -> Vec<(u64, &'static str)> {
    let report = audited_now(config);
    assert!(!report.lacks_tables);
    wrong(&report)
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

/// A list that is good for so many days.
fn list_for(days: u64) -> Tbs {
    let updates = Updates { this: time(NOW), next: time(NOW + days * DAY) };
    let list = CrlBuilder::new(SignatureAlgorithm::Ed25519, name("CA"), updates)
        .authority_key_id(key_id(&public_key("lists")))
        .number(1.into());
    Tbs::Crl(list.build().unwrap())
}

#[tokio::test]
async fn a_certificate_that_had_expired_when_it_was_revoked_need_have_no_row() {
    const LATER: u64 = (NOW + 3 * DAY) * 1000;
    let authority = authority();
    let config = &authority.config.ledger;
    let ledger = fixture::open(config);
    sign(&authority, &ledger, "lists", &list_for(7)).await;
    sign(&authority, &ledger, "ca", &web(7, "a", 3600)).await;
    ledger.close().await;
    let ledger = fixture::open_by(config, || UnixMillis(LATER));
    revoke(&authority, &ledger, by_name("a")).await;
    ledger.close().await;
    assert_eq!(wrong(&audited_at(config, UnixMillis(LATER))), []);
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_named_for_as_long_as_a_list_has_it() {
    for days in [None, Some(3)] {
        let authority = authority();
        let ledger = fixture::open(&authority.config.ledger);
        if let Some(days) = days {
            sign(&authority, &ledger, "lists", &list_for(days)).await;
        }
        for (serial, subject) in [(7, "a"), (8, "b")] {
            sign(&authority, &ledger, "ca", &web(serial, subject, 3600)).await;
        }
        let revoked = [by_name("a"), by_subject("b")].map(|what| revoke(&authority, &ledger, what));
        let mut due = Vec::new();
        for receipt in revoked {
            due.push((receipt.await.index, "NOT_KEPT"));
        }
        ledger.close().await;
        let config = &authority.config.ledger;
        alter(config, "DELETE FROM revoked");
        let end = NOW + 3600;
        let last = end + days.unwrap_or(1) * DAY;
        for (now, wrong) in [(end, due.clone()), (end + 60, due.clone()), (last, due), (last + 1, vec![])] {
            let report = audited_at(config, UnixMillis(now * 1000));
            assert_eq!(super::wrong(&report), wrong, "{days:?} {now}");
        }
    }
}

#[tokio::test]
async fn tables_are_compared_whatever_version_the_header_says_and_if_there_are_none_that_is_told() {
    let authority = Authority::new();
    let config = &authority.config.ledger;
    let ledger = fixture::open(config);
    sign(&authority, &ledger, "ca", &web(7, "a", 3600)).await;
    ledger.close().await;
    let ledger = fixture::open(config);
    let revoked = revoke(&authority, &ledger, by_serial(7)).await.index;
    ledger.close().await;
    alter(config, "UPDATE meta SET value = '3' WHERE name = 'schema'");
    assert_eq!(found(config), []);
    alter(config, "DELETE FROM revoked");
    assert_eq!(found(config), [(revoked, "NOT_KEPT")]);
    for (version, is_told) in [("7", false), ("4", true)] {
        let change = format!(
            "DROP TABLE IF EXISTS revoked; DROP TABLE IF EXISTS revocation; UPDATE meta SET value = '{version}' WHERE name = 'schema'"
        );
        alter(config, &change);
        let report = audited_now(config);
        let wrong: Vec<_> = report.findings.first().iter().map(|finding| finding.index).collect();
        assert_eq!(
            (wrong, report.lacks_tables),
            (if is_told { vec![] } else { vec![revoked] }, is_told),
            "{version}"
        );
    }
}

/// What is found after each change of a table, which is as it was in between.
fn changes_are_named(config: &Config, table: &str, changes: &[(String, Vec<u64>)]) {
    assert_eq!(found(config), []);
    alter(config, &format!("CREATE TABLE before AS SELECT * FROM {table}"));
    for (change, wrong) in changes {
        alter(config, change);
        let wrong: Vec<_> = wrong.iter().map(|index| (*index, "NOT_KEPT")).collect();
        assert_eq!(found(config), wrong, "{change}");
        alter(config, &format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM before"));
    }
    assert_eq!(found(config), []);
}

#[tokio::test]
async fn a_number_of_a_list_that_the_table_beside_the_log_does_not_have_as_it_is_is_named() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    sign(&authority, &ledger, "ca", &list_of(1, &[])).await;
    let one = sign(&authority, &ledger, "ca", &list_of(2, &[])).await;
    let newest = sign(&authority, &ledger, "ca", &list_of(3, &[])).await;
    ledger.close().await;
    let config = &authority.config.ledger;
    let last = Reader::open(config).unwrap().len().unwrap() - 1;
    let signer = if fixture::database(config).is_some() { "signer, " } else { "" };
    let columns = format!("(ca_key, series, number, {signer}intent)");
    let added = format!(
        "INSERT INTO crl_number {columns} SELECT ca_key, 'delta', number, {signer}intent FROM crl_number"
    );
    changes_are_named(
        config,
        "crl_number",
        &[
            ("DELETE FROM crl_number".to_owned(), vec![newest]),
            ("UPDATE crl_number SET series = 'delta'".to_owned(), vec![one, newest]),
            (format!("UPDATE crl_number SET intent = {one} WHERE intent = {newest}"), vec![one, newest]),
            (format!("UPDATE crl_number SET intent = 1000 WHERE intent = {one}"), vec![last]),
            (added, vec![one, newest]),
        ],
    );
}

#[tokio::test]
async fn a_subject_key_that_the_database_does_not_bar_as_the_log_does_is_named() {
    let authority = authority();
    let config = &authority.config.ledger;
    // A file has no table of them: the log itself is asked.
    if fixture::database(config).is_none() {
        return;
    }
    let ledger = fixture::open(config);
    sign(&authority, &ledger, "ca", &web(7, "a", 3600)).await;
    let revoked = revoke(&authority, &ledger, by_subject("a")).await.index;
    sign(&authority, &ledger, "ca", &web(8, "b", 3600)).await;
    ledger.close().await;
    let last = Reader::open(config).unwrap().len().unwrap() - 1;
    let reason = "'cessation-of-operation'";
    let columns = "(ca_key, subject_key, reason, signer)";
    changes_are_named(
        config,
        "revoked_subject",
        &[
            ("DELETE FROM revoked_subject".to_owned(), vec![revoked]),
            (format!("UPDATE revoked_subject SET reason = {reason}"), vec![revoked, last]),
            ("UPDATE revoked_subject SET subject_key = ca_key".to_owned(), vec![revoked, last]),
            (
                format!(
                    "INSERT INTO revoked_subject {columns} SELECT ca_key, subject_key, {reason}, signer FROM revoked_subject"
                ),
                vec![last],
            ),
        ],
    );
}
