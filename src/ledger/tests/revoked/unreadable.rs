//! What `verify` says of tables beside the log that cannot be read: their pages are damaged, and the entries are not.

use test_postgres::Stop;

use super::*;

/// Of SQLite's file.
const PAGE: usize = 4096;

/// Has something in every table that `verify` compares.
async fn fill(authority: &Authority) {
    let ledger = fixture::open(&authority.config.ledger);
    let request = Authority::request("dns:front", "ca", &web(7, "a", 3600), Some("one"));
    let asked = ledger.record(authority.decide(request, NOW)).await.unwrap();
    let Permitted::Intent(intent) = asked.permitted().unwrap() else { panic!("anew") };
    drop(intent);
    sign(authority, &ledger, "ca", &list_of(1, &[])).await;
    revoke(authority, &ledger, by_serial(7)).await;
    revoke(authority, &ledger, by_subject("a")).await;
    ledger.close().await;
}

/// The table is named, all entries were read, and nothing else is wrong.
fn is_told(config: &Config, table: &str) {
    let report = audited_at(config, UnixMillis(NOW * 1000));
    assert!(report.stopped.is_none(), "{table}: {:?}", report.stopped);
    let told: Vec<_> = report.findings.first().iter().map(|finding| &finding.what).collect();
    assert!(!told.is_empty(), "{table}");
    for what in told {
        let said = what.to_string();
        let (named, _) = said.split_once(" cannot be read: ").unwrap_or_default();
        assert!(what.word() == "NOT_KEPT" && named.split(' ').any(|word| word == table), "{table}: {what}");
    }
}

#[tokio::test]
async fn a_table_of_a_file_that_cannot_be_read_is_named() {
    let authority = Authority::new();
    fill(&authority).await;
    let config = &authority.config.ledger;
    assert_eq!(wrong(&audited_at(config, UnixMillis(NOW * 1000))), []);
    let connection = rusqlite::Connection::open(&config.path).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let roots = ["revocation", "revoked", "crl_number", "standing"].map(|table| {
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        (table, connection.query_row(root, [table], |row| row.get::<_, i64>(0)).unwrap())
    });
    drop(connection);
    let whole = fs::read(&config.path).unwrap();
    for (table, root) in roots {
        let mut bytes = whole.clone();
        let first = usize::try_from(root - 1).unwrap() * PAGE;
        bytes[first..first + PAGE].fill(0xff);
        fs::write(&config.path, bytes).unwrap();
        is_told(config, table);
    }
}

#[tokio::test]
async fn a_table_of_a_database_that_cannot_be_read_is_named() {
    let server = Server::start(&[("autovacuum", "off")]);
    let (mut authority, database) = (Authority::new(), server.database());
    use_database(&mut authority.config.ledger, &database);
    fill(&authority).await;
    database.sql("INSERT INTO countersign.standing (caller, key, tries, since) VALUES ('a', 'b', 1, 0)");
    let config = &authority.config.ledger;
    assert_eq!(wrong(&audited_at(config, UnixMillis(NOW * 1000))), []);
    let tables = [
        "revocation",
        "revoked",
        "revoked_subject",
        "crl_number",
        "standing",
        "request",
        "serial",
        "outcome",
    ];
    for table in tables {
        let path = database.sql(&format!("SELECT pg_relation_filepath('countersign.{table}')"));
        let path = server.directory().join("data").join(path);
        server.stop(Stop::Fast);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        // Where the page's header says how much room there is: none that can be.
        bytes[12..18].fill(0xff);
        fs::write(&path, bytes).unwrap();
        server.run();
        is_told(config, table);
        server.stop(Stop::Fast);
        fs::write(&path, whole).unwrap();
        server.run();
    }
    assert_eq!(wrong(&audited_at(config, UnixMillis(NOW * 1000))), []);
}
