//! An index that is missing, damaged or another log's, and entries that it cannot read.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;
use crate::ledger::fixture;
use crate::ledger::tests::until_it_records_no_more;

#[tokio::test]
async fn an_index_that_is_missing_or_of_no_use_is_made_anew() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    let requests = signed(&fixture, &ledger, 30).await;
    ledger.close().await;
    let spoilt = |file: &str, bytes: &[u8]| fs::write(fixture.index().join(file), bytes).unwrap();
    let of_another = |key: &str, value: Value| {
        let mut manifest = manifest(&fixture);
        manifest[key] = value;
        spoilt("manifest.json", manifest.to_string().as_bytes());
    };
    let run = |family: &str| {
        let named = manifest(&fixture)[family]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|run| run["file"].as_str().map(str::to_owned));
        named.unwrap()
    };
    let changed = |file: &str| {
        let mut bytes = fs::read(fixture.index().join(file)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        spoilt(file, &bytes);
    };
    let spoil: [&dyn Fn(); 9] = [
        &|| fixture.remove_index(),
        &|| fs::remove_file(fixture.index().join("manifest.json")).unwrap(),
        &|| spoilt("manifest.json", b"{"),
        &|| of_another("format", json!(2)),
        &|| of_another("origin", json!("other.example/log")),
        &|| spoilt(&run("claims"), b"too short"),
        &|| changed(&run("claims")),
        &|| fs::remove_file(fixture.index().join(run("find"))).unwrap(),
        &|| spoilt("tiles-0", b"too short"),
    ];
    for spoil in spoil {
        spoil();
        let ledger = fixture.open_with(OFTEN);
        let entries = fixture.entries().len();
        for (serial, request) in (1..).zip(&requests).step_by(7) {
            assert_eq!(word(&fixture, &ledger, request).await, "REPLAY");
            assert_eq!(word(&fixture, &ledger, &same_serial(&fixture, serial)).await, "SERIAL_REUSED");
        }
        ledger.close().await;
        assert_eq!(manifest(&fixture)["entries"], entries + 5);
    }
}

#[tokio::test]
async fn words_whose_hashes_meet_are_told_apart() {
    let fixture = Fixture::new();
    fixture.open().close().await;
    let mut zero = manifest(&fixture);
    zero["key"] = json!(vec![0; 16]);
    fs::write(fixture.index().join("manifest.json"), zero.to_string()).unwrap();
    let ledger = fixture.open_with(OFTEN);
    let requests = signed(&fixture, &ledger, 20).await;
    all_are_known(&fixture, &ledger, &requests).await;
    ledger.close().await;
    assert_eq!(manifest(&fixture)["key"], zero["key"]);
    let restarted = fixture.open_with(OFTEN);
    for request in &requests {
        assert_eq!(word(&fixture, &restarted, request).await, "REPLAY");
    }
    assert_eq!(word(&fixture, &restarted, &fixture.request_with_serial(500)).await, "INTENT");
}

#[tokio::test]
async fn another_logs_index_is_not_believed() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let config = Config { origin: "other.example/log".to_owned(), ..other.config.clone() };
    let ledger = fixture::open(&config);
    signed(&other, &ledger, 5).await;
    ledger.close().await;
    let ledger = fixture.open();
    let requests = signed(&fixture, &ledger, 2).await;
    ledger.close().await;
    fixture.remove_index();
    copy(&other.index(), &fixture.index());
    let ledger = fixture.open();
    all_are_known(&fixture, &ledger, &requests).await;
}

/// The first entry, an intent, with another kind and TBS.
fn altered(fixture: &Fixture, kind: &str, edit: impl FnOnce(&mut Vec<u8>) -> AskedTbs) -> Vec<u8> {
    let mut entry = fixture.entries().swap_remove(0);
    let Entry::Intent { asked, .. } = &mut entry else { panic!("{entry:?}") };
    let AskedTbs::Whole(bytes) = &mut asked.tbs else { panic!("{asked:?}") };
    (asked.tbs, asked.kind) = (edit(bytes), kind.to_owned());
    entry.encode().unwrap()
}

/// A certificate without its end.
fn cut(bytes: &mut Vec<u8>) -> AskedTbs {
    bytes.pop();
    AskedTbs::Whole(bytes.clone())
}

#[tokio::test]
async fn an_intent_whose_serial_cannot_be_read_is_not_passed_over() {
    for (kind, readable) in [("ssh-certificate", false), ("x509-certificate", false), ("x509-crl", true)] {
        let fixture = Fixture::new();
        let ledger = fixture.open();
        signed(&fixture, &ledger, 1).await;
        ledger.close().await;
        let connection = fixture.sql("");
        let leaf = altered(&fixture, kind, cut);
        connection.execute("INSERT INTO entry (idx, leaf) VALUES (2, ?1)", (leaf,)).unwrap();
        for anew in [false, true] {
            if anew {
                fixture.remove_index();
            }
            match Ledger::open(&fixture.config) {
                Ok(ledger) => {
                    assert!(readable, "{kind}");
                    ledger.close().await;
                }
                Err(error) => {
                    assert!(matches!(error, LedgerError::UnknownSerial { entry: 2, .. }), "{error}");
                    assert_eq!((error.word(), readable), ("LEDGER_UNKNOWN_SERIAL", false));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_serial_stays_taken_by_an_intent_that_cannot_be_read() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    signed(&fixture, &ledger, 1).await;
    let leaf = altered(&fixture, "ssh-certificate", cut);
    let connection = fixture.sql("DROP TRIGGER entry_is_never_changed");
    connection.execute("UPDATE entry SET leaf = ?1 WHERE idx = 0", (leaf,)).unwrap();
    assert_eq!(word(&fixture, &ledger, &same_serial(&fixture, 1)).await, "SERIAL_REUSED");
    ledger.close().await;
}

#[tokio::test]
async fn a_run_that_was_changed_is_not_merged_and_the_index_is_made_anew() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    let requests = signed(&fixture, &ledger, 10).await;
    // While it runs: a start looks for revocations in them.
    ledger.close().await;
    let (ledger, index) = (fixture.open_with(OFTEN), fixture.index());
    let is_find = |file: &fs::DirEntry| file.file_name().to_string_lossy().starts_with("find-");
    for file in fs::read_dir(&index).unwrap().map(Result::unwrap).filter(is_find) {
        let mut bytes = fs::read(file.path()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(file.path(), bytes).unwrap();
    }
    let (recorded, error) = until_it_records_no_more(&fixture, &ledger).await;
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("has other bytes") && cause.contains("restart the signer"), "{cause}");
    ledger.close().await;
    let known = manifest(&fixture)["entries"].as_u64().unwrap();
    assert!(known < 20 + u64::try_from(recorded).unwrap(), "{known}: no run is made of one that was changed");

    let ledger = fixture.open_with(OFTEN);
    all_are_known(&fixture, &ledger, &requests).await;
    ledger.close().await;
    assert_eq!(manifest(&fixture)["entries"], fixture.entries().len());
    assert!(!index.join("damaged").exists());
}

#[tokio::test]
async fn a_start_that_meets_a_changed_run_makes_the_index_anew() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    let requests = signed(&fixture, &ledger, 10).await;
    ledger.close().await;
    let is_find = |file: &fs::DirEntry| file.file_name().to_string_lossy().starts_with("find-");
    for file in fs::read_dir(fixture.index()).unwrap().map(Result::unwrap).filter(is_find) {
        let mut bytes = fs::read(file.path()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(file.path(), bytes).unwrap();
    }
    let ledger = fixture.open_with(OFTEN);
    assert!(!fixture.index().join("damaged").exists());
    all_are_known(&fixture, &ledger, &requests).await;
    ledger.close().await;
}

#[tokio::test]
async fn whoever_meets_a_changed_run_while_it_runs_has_the_next_start_make_the_index_anew() {
    let fixture = Fixture::new();
    // Written once: neither the check after the start nor a merge finds what was changed.
    let ledger = fixture.open_with(Limits { flush: 20, ..OFTEN });
    signed(&fixture, &ledger, 10).await;
    while manifest(&fixture)["entries"] != 20 {
        tokio::task::yield_now().await;
    }
    let runs = manifest(&fixture)["find"].clone();
    let run = runs.as_array().unwrap().iter().find_map(|run| run["file"].as_str()).unwrap();
    let mut bytes = fs::read(fixture.index().join(run)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(fixture.index().join(run), bytes).unwrap();
    let mut asked = 10;
    let error = loop {
        // It is looked into once the writer has taken note of it.
        sign(&fixture, &ledger, &fixture.request_with_serial(100 + asked)).await;
        asked += 1;
        match ledger.live().read(by_caller).await {
            Err(error) => break error,
            Ok(found) => assert!(found.len() < 19, "nobody looks into it"),
        }
    };
    assert!(matches!(error, ArchiveError::Damaged(_)), "{error:?}");
    assert!(fixture.index().join("damaged").exists());
    ledger.close().await;
    let ledger = fixture.open();
    let found = ledger.live().read(by_caller).await.unwrap().len();
    assert_eq!(u64::try_from(found), Ok(asked));
    ledger.close().await;
}

/// Every request of the one who asks.
fn by_caller(archive: &Archive) -> Result<Vec<RawEntry>, ArchiveError> {
    let filter = Filter { caller: Some("uid:1000".to_owned()), ..Filter::default() };
    let mut search = Search::new(archive, filter, None)?;
    search.step(archive, u64::MAX, 100)
}

#[tokio::test]
async fn a_changed_run_is_an_error_to_those_who_find_and_has_the_index_made_anew() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    signed(&fixture, &ledger, 10).await;
    ledger.close().await;
    let run = manifest(&fixture)["find"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|run| run["file"].as_str().map(str::to_owned));
    let run = fixture.index().join(run.unwrap());
    let mut bytes = fs::read(&run).unwrap();
    // What says the caller of some entry: whoever looks into it would find nine of ten.
    let row = bytes.len() / 32 * 16;
    bytes[row..row + 8].fill(0xff);
    fs::write(&run, bytes).unwrap();
    let (archive, _) = Archive::open(Reader::open(&fixture.config.path).unwrap()).unwrap();
    let error = by_caller(&archive).unwrap_err();
    assert!(matches!(error, ArchiveError::Damaged(_)), "{error:?}");

    // A start looks for revocations, by what leads to all that is in a run. It cannot have a new index made here: no mark can be set.
    let mut bytes = fs::read(&run).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&run, bytes).unwrap();
    let damaged = fixture.index().join("damaged");
    symlink("nowhere/damaged", &damaged).unwrap();
    let error = loop {
        match Ledger::open(&fixture.config).unwrap_err() {
            // By a child of another test.
            LedgerError::Locked { .. } => std::thread::yield_now(),
            error => break error,
        }
    };
    let LedgerError::Index { path, source } = &error else { panic!("{error:?}") };
    assert!(
        matches!((path, &**source), (path, ArchiveError::Damaged(_)) if *path == fixture.index()),
        "{error:?}"
    );
    assert_eq!((error.word(), error.passes()), ("LEDGER_INDEX", true));
    assert!(in_one_line(&error).contains("restart its signer, which makes it anew"), "{error:?}");
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, "a run is damaged").unwrap();
    let (scanned, unusable) = Archive::open(Reader::open(&fixture.config.path).unwrap()).unwrap();
    assert!(unusable.is_some_and(|why| why.contains("is damaged")));
    assert_eq!(by_caller(&scanned).unwrap().len(), 10, "the log itself is read");
    let ledger = fixture.open();
    assert_eq!(ledger.live().read(by_caller).await.unwrap().len(), 10);
    ledger.close().await;
    assert!(!damaged.exists());
}

#[tokio::test]
async fn a_manifest_that_does_not_end_is_no_manifest() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let requests = signed(&fixture, &ledger, 2).await;
    ledger.close().await;
    let path = fixture.index().join("manifest.json");
    fs::remove_file(&path).unwrap();
    symlink("/dev/zero", &path).unwrap();
    let (_, unusable) = Archive::open(Reader::open(&fixture.config.path).unwrap()).unwrap();
    assert!(unusable.is_some_and(|why| why.contains("has more than 65536 bytes")));
    let ledger = fixture.open();
    all_are_known(&fixture, &ledger, &requests).await;
    ledger.close().await;
}
