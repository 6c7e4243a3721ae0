//! Files of older schemas, brought up to date.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use crate::ledger::fixture::{Fixture, intent};
use crate::ledger::tests::with_entries;
use crate::ledger::{Ledger, LedgerError, Reader};

/// What schema 2 had instead of or beside what this one has.
const SCHEMA_2: &str = "
    DROP TABLE crl_number; DROP TABLE revocation; DROP TABLE revoked;
    CREATE TABLE crl_number (ca_key BLOB, series TEXT, number BLOB NOT NULL, intent INTEGER NOT NULL,
                             PRIMARY KEY (ca_key, series)) STRICT, WITHOUT ROWID;
    CREATE TABLE outcome (intent INTEGER PRIMARY KEY, idx INTEGER NOT NULL) STRICT;
    CREATE TABLE request (caller BLOB, id BLOB, intent INTEGER NOT NULL, PRIMARY KEY (caller, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE serial (ca_key BLOB, serial BLOB, intent INTEGER NOT NULL, PRIMARY KEY (ca_key, serial)) STRICT, WITHOUT ROWID;
    INSERT INTO outcome VALUES (0, 1);
    UPDATE meta SET value = '2' WHERE name = 'schema';
";
/// What schema 6 alone had.
const SCHEMA_6: &str = "
    CREATE TRIGGER entry_is_never_replaced BEFORE INSERT ON entry WHEN NEW.idx <= (SELECT max(idx) FROM entry)
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
    UPDATE meta SET value = '6' WHERE name = 'schema';
";
/// What schema 2 had, and schema 1 did not.
const NOT_IN_SCHEMA_1: &str = "
    DROP TABLE spent; DROP TABLE standing; DROP TABLE tally; DROP TABLE crl_number;
    UPDATE meta SET value = '1' WHERE name = 'schema';
";

#[tokio::test]
async fn brings_an_older_schema_up_to_date() {
    for older in [SCHEMA_2.to_owned(), format!("{SCHEMA_2}{NOT_IN_SCHEMA_1}")] {
        let fixture = Fixture::new();
        let request = fixture.request("alice");
        let ledger = fixture.open();
        std::mem::forget(intent(fixture.record(&ledger, request.clone()).await));
        ledger.close().await;
        fixture.sql(&older);
        fixture.remove_index();
        let reader = Reader::open(&fixture.config.path).unwrap();
        assert_eq!(reader.len().unwrap(), 1, "readers need not wait for that");
        for _ in 0..2 {
            let ledger = fixture.open();
            std::mem::forget(fixture.intent(&ledger).await);
            let refused = fixture.record(&ledger, request.clone()).await.permitted().unwrap_err();
            assert_eq!(refused.refusal.reason.code_word(), "REQUEST_OUTCOME_UNKNOWN");
            ledger.close().await;
        }
        assert_eq!(fixture.entries().len(), 5);
        let old = "SELECT count(*) FROM sqlite_schema WHERE name IN ('outcome', 'request', 'serial')";
        assert_eq!(fixture.sql("").query_row(old, (), |row| row.get::<_, i64>(0)).unwrap(), 0);
    }
}

#[tokio::test]
async fn a_file_of_schema_6_loses_the_trigger_that_cost_each_insert() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    std::mem::forget(fixture.intent(&ledger).await);
    ledger.close().await;
    fixture.sql(SCHEMA_6);
    let ledger = fixture.open();
    std::mem::forget(fixture.intent(&ledger).await);
    ledger.close().await;
    let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger' ORDER BY name";
    let connection = fixture.sql("");
    let mut select = connection.prepare(triggers).unwrap();
    let found: Vec<String> =
        select.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(found, ["entry_is_never_changed", "entry_is_never_removed"]);
    assert_eq!(fixture.entries().len(), 2);
}

/// docs/ledger.md is for people who read the file without this program.
#[test]
fn the_document_has_the_tables_that_a_fresh_file_has() {
    let document = include_str!("../../../docs/ledger.md");
    let (_, section) = document.split_once("## The log's file").unwrap();
    let (before, block) = section.split_once("```sql").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let block: String = block.lines().map(|line| line.split("--").next().unwrap_or("")).collect();
    let tidy = |sql: &str| sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut documented: Vec<_> = block.split(';').map(tidy).filter(|sql| !sql.is_empty()).collect();

    let fixture = Fixture::in_file();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(fixture.open().close());
    let connection = fixture.sql("");
    let tables = "SELECT sql FROM sqlite_schema WHERE type IN ('table', 'index') AND sql IS NOT NULL";
    let mut select = connection.prepare(tables).unwrap();
    let found = select.query_map((), |row| row.get::<_, String>(0)).unwrap();
    let mut found: Vec<_> = found.map(|sql| tidy(&sql.unwrap())).collect();
    found.sort();
    documented.sort();
    assert_eq!(documented, found);
    let schema = "SELECT value FROM meta WHERE name = 'schema'";
    let schema: String = connection.query_row(schema, (), |row| row.get(0)).unwrap();
    assert!(before.contains(&format!("schema {schema}:")), "{before}");
}

#[tokio::test]
async fn an_older_schema_stays_as_it_was_if_the_index_cannot_be_made() {
    let fixture = with_entries(3).await;
    fixture.sql(SCHEMA_2);
    fixture.remove_index();
    fs::write(fixture.index(), "in the way").unwrap();
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(error.to_string().starts_with("opening index"), "{error}");
    let stored: i64 = fixture.sql("").query_row("SELECT idx FROM outcome", (), |row| row.get(0)).unwrap();
    assert_eq!(stored, 1);
    fs::remove_file(fixture.index()).unwrap();
    fixture.open().close().await;
}

#[tokio::test]
async fn an_older_schema_stays_as_it_was_if_the_index_misses_a_claim_of_it() {
    let fixture = Fixture::new();
    let request = fixture.request_with_serial(7);
    let ledger = fixture.open();
    std::mem::forget(intent(fixture.record(&ledger, request).await));
    ledger.close().await;
    let ca_key = fixture.key().spki_sha256();
    let connection = fixture.sql(SCHEMA_2);
    let serial = "INSERT INTO serial VALUES (?1, ?2, ?3)";
    let request = "INSERT INTO request VALUES (?1, ?2, ?3)";
    connection.execute(serial, (ca_key, 7_u64.to_be_bytes(), 0)).unwrap();
    connection.execute(request, ("uid:1000".as_bytes(), "request-7".as_bytes(), 0)).unwrap();
    for (table, insert, delete, whose) in [
        ("serial", serial, "DELETE FROM serial WHERE serial = ?1", &ca_key[..]),
        ("request", request, "DELETE FROM request WHERE id = ?1", "uid:1000".as_bytes()),
    ] {
        connection.execute(insert, (whose, 8_u64.to_be_bytes(), 0)).unwrap();
        let error = Ledger::open(&fixture.config).unwrap_err();
        assert!(
            matches!(error, LedgerError::LostClaim { table: found, entry: 0, .. } if found == table),
            "{error}"
        );
        assert_eq!(error.word(), "LEDGER_LOST_CLAIM");
        let rows = format!("SELECT count(*) FROM {table}");
        assert_eq!(connection.query_row(&rows, (), |row| row.get::<_, i64>(0)).unwrap(), 2);
        connection.execute(delete, (8_u64.to_be_bytes(),)).unwrap();
    }
    fixture.open().close().await;
}
