//! An index that is behind its log, or ahead of it: of an older copy, of another one, or on a full disk.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::path::PathBuf;

use super::*;
use crate::ledger::tests::until_it_records_no_more;

#[tokio::test]
async fn an_index_that_lags_is_brought_up_to_its_log() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    signed(&fixture, &ledger, 20).await;
    ledger.close().await;
    // What a kill leaves: the log goes on, the index does not.
    let (before, lagging) = (fixture.entries().len(), fixture.directory().join("lagging"));
    copy(&fixture.index(), &lagging);
    let ledger = fixture.open();
    let late: Vec<_> = (101..=120).map(|serial| fixture.request_with_serial(serial)).collect();
    for request in &late {
        sign(&fixture, &ledger, request).await;
    }
    ledger.close().await;
    fixture.remove_index();
    fs::rename(&lagging, fixture.index()).unwrap();
    assert_eq!(manifest(&fixture)["entries"], before);

    let ledger = fixture.open();
    for (serial, request) in (101..).zip(&late) {
        assert_eq!(word(&fixture, &ledger, request).await, "REPLAY");
        assert_eq!(word(&fixture, &ledger, &same_serial(&fixture, serial)).await, "SERIAL_REUSED");
    }
    ledger.close().await;
    assert_eq!(manifest(&fixture)["entries"], fixture.entries().len());
}

/// A log of 8 entries, closed, and a copy of when it had 6.
async fn backed_up(fixture: &Fixture) -> (PathBuf, PathBuf) {
    let ledger = fixture.open();
    signed(fixture, &ledger, 3).await;
    ledger.close().await;
    let (log, backup) = (fixture.config.path.clone(), fixture.directory().join("backup"));
    fs::copy(&log, &backup).unwrap();
    let ledger = fixture.open();
    sign(fixture, &ledger, &fixture.request_with_serial(4)).await;
    ledger.close().await;
    (log, backup)
}

#[tokio::test]
async fn an_older_copy_of_the_log_is_refused_until_its_index_is_removed() {
    let fixture = Fixture::new();
    let (log, backup) = backed_up(&fixture).await;
    fs::copy(&backup, &log).unwrap();
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(matches!(error, LedgerError::OlderThanIndex { entries: 6, known: 8, .. }), "{error}");
    assert!(error.to_string().contains("docs/ledger.md"), "{error}");
    assert_eq!(error.word(), "LEDGER_OLDER_COPY");

    fixture.remove_index();
    let ledger = fixture.open();
    assert_eq!(word(&fixture, &ledger, &same_serial(&fixture, 3)).await, "SERIAL_REUSED");
    ledger.close().await;
}

#[tokio::test]
async fn an_index_that_cannot_be_used_is_a_witness_against_its_log() {
    let fixture = Fixture::new();
    let (log, backup) = backed_up(&fixture).await;
    fs::copy(&backup, &log).unwrap();
    let run = manifest(&fixture)["claims"][0]["file"].as_str().unwrap().to_owned();
    fs::remove_file(fixture.index().join(run)).unwrap();
    let with_format = |format: u32| {
        let mut other = manifest(&fixture);
        (other["format"], other["other"]) = (json!(format), json!(format));
        fs::write(fixture.index().join("manifest.json"), other.to_string()).unwrap();
    };
    let spoil: [&dyn Fn(); 3] = [&|| {}, &|| with_format(1), &|| with_format(u32::MAX)];
    for spoil in spoil {
        spoil();
        let error = Ledger::open(&fixture.config).unwrap_err();
        assert!(matches!(error, LedgerError::OlderThanIndex { entries: 6, known: 8, .. }), "{error}");
    }
    // With as many entries, of which the last are others.
    let connection = fixture.sql("");
    for idx in [6, 7] {
        let repeat = "INSERT INTO entry (idx, leaf) SELECT ?1, leaf FROM entry WHERE idx = ?1 - 2";
        connection.execute(repeat, [idx]).unwrap();
    }
    with_format(1);
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(matches!(error, LedgerError::OtherThanIndexed { entry: 6, .. }), "{error}");
    // Where such a format has its tiles is not known here.
    with_format(u32::MAX);
    fixture.open().close().await;
}

#[tokio::test]
async fn a_log_that_went_another_way_than_its_index_is_refused() {
    let fixture = Fixture::new();
    let (log, backup) = backed_up(&fixture).await;
    let index = fixture.directory().join("index");
    fs::rename(fixture.index(), &index).unwrap();
    // The copy goes on with others, and more of them.
    fs::copy(&backup, &log).unwrap();
    let ledger = fixture.open();
    for serial in 5..10 {
        sign(&fixture, &ledger, &fixture.request_with_serial(serial)).await;
    }
    ledger.close().await;
    fixture.remove_index();
    fs::rename(&index, fixture.index()).unwrap();
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(matches!(error, LedgerError::OtherThanIndexed { entry: 6, .. }), "{error}");
    assert_eq!(error.word(), "LEDGER_OTHER_COPY");
}

#[tokio::test]
async fn an_index_that_cannot_be_written_stops_the_ledger_at_its_bound_until_it_can() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    // Whatever the next run is called, something is in its way.
    let obstacles: Vec<_> = (1..20).map(|n| fixture.index().join(format!("find-{n}"))).collect();
    for obstacle in &obstacles {
        fs::create_dir(obstacle).unwrap();
    }
    let (recorded, error) = until_it_records_no_more(&fixture, &ledger).await;
    assert!(recorded >= 64, "{recorded}");
    assert_eq!(error.word(), "LEDGER_UNAVAILABLE");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("wait for index") && cause.contains("cannot be written"), "{cause}");
    assert_eq!(fixture.entries().len(), recorded);

    for obstacle in &obstacles {
        fs::remove_dir(obstacle).unwrap();
    }
    let mut tries = 0;
    while ledger.record_self_test(fixture.key()).await.map(std::mem::forget).is_err() {
        tokio::time::sleep(OFTEN.pause).await;
        tries += 1;
        assert!(tries < 1000, "it returns by itself");
    }
    ledger.close().await;
    assert_eq!(manifest(&fixture)["entries"], recorded + 1);
}

#[tokio::test]
async fn closing_with_an_index_that_cannot_be_written_loses_nothing() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    let obstacles: Vec<_> = (1..20).map(|n| fixture.index().join(format!("claims-{n}"))).collect();
    for obstacle in &obstacles {
        fs::create_dir(obstacle).unwrap();
    }
    let requests = signed(&fixture, &ledger, 10).await;
    ledger.close().await;
    assert_eq!(manifest(&fixture)["entries"], 0);
    for obstacle in &obstacles {
        fs::remove_dir(obstacle).unwrap();
    }
    let ledger = fixture.open_with(OFTEN);
    all_are_known(&fixture, &ledger, &requests).await;
    ledger.close().await;
}

#[tokio::test]
async fn an_index_is_a_witness_until_another_knows_all_of_the_log() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    // So many that the first are not compared.
    signed(&fixture, &ledger, 300).await;
    ledger.close().await;
    let known = manifest(&fixture)["entries"].clone();
    let run = manifest(&fixture)["claims"][0]["file"].as_str().unwrap().to_owned();
    fs::remove_file(fixture.index().join(run)).unwrap();
    let connection = fixture.sql("DROP TRIGGER entry_is_never_changed; DROP TRIGGER entry_is_never_removed");
    let leaf: Vec<u8> =
        connection.query_row("SELECT leaf FROM entry WHERE idx = 0", (), |row| row.get(0)).unwrap();
    connection.execute("UPDATE entry SET leaf = x'00' WHERE idx = 0", ()).unwrap();
    // Interrupted, here by an entry that cannot be read, as often as it is.
    for _ in 0..2 {
        let error = Ledger::open(&fixture.config).unwrap_err();
        assert!(matches!(error, LedgerError::Entry { index: 0, .. }), "{error}");
        assert_eq!(manifest(&fixture)["entries"], known);
    }
    connection.execute("UPDATE entry SET leaf = ?1 WHERE idx = 0", (leaf,)).unwrap();
    connection.execute("CREATE TABLE last AS SELECT * FROM entry WHERE idx = 599", ()).unwrap();
    connection.execute("DELETE FROM entry WHERE idx = 599", ()).unwrap();
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(matches!(error, LedgerError::OlderThanIndex { entries: 599, known: 600, .. }), "{error}");
    // Nor is it lost between the two renames.
    let mut old = fixture.index();
    old.as_mut_os_string().push(".old");
    fs::rename(fixture.index(), &old).unwrap();
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(matches!(error, LedgerError::OlderThanIndex { entries: 599, known: 600, .. }), "{error}");
    connection.execute_batch("INSERT INTO entry SELECT * FROM last; DROP TABLE last").unwrap();
    let ledger = fixture.open();
    assert_eq!(word(&fixture, &ledger, &same_serial(&fixture, 300)).await, "SERIAL_REUSED");
    ledger.close().await;
    let names = fs::read_dir(fixture.directory())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("index")).count(), 1, "nothing is left beside it");
}
