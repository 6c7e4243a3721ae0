//! An index beside the log: behind it, ahead of it, missing, another's, out of order or out of room.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::causes::in_one_line;
use crate::ledger::archive::{Archive, ArchiveError};
use crate::ledger::entry::{AskedTbs, Entry};
use crate::ledger::filter::Filter;
use crate::ledger::fixture::{Fixture, intent};
use crate::ledger::index::Limits;
use crate::ledger::search::Search;
use crate::ledger::{Config, Ledger, LedgerError, Permitted, Reader};
use crate::sign::Request;

/// Written often, so that there are runs on several levels.
const OFTEN: Limits =
    Limits { flush: 8, bound: 64, age: Duration::from_secs(3600), pause: Duration::from_millis(5) };

fn manifest(fixture: &Fixture) -> Value {
    serde_json::from_slice(&fs::read(fixture.index().join("manifest.json")).unwrap()).unwrap()
}

/// What becomes of `request`: a reason, or what else.
async fn word(fixture: &Fixture, ledger: &Ledger, request: &Request) -> &'static str {
    match fixture.record(ledger, request.clone()).await.permitted() {
        Ok(Permitted::Intent(_)) => "INTENT",
        Ok(Permitted::Replay(replay)) => replay.verify().map_or("WITHHELD", |_| "REPLAY"),
        Err(refused) => refused.refusal.reason.code_word(),
    }
}

async fn sign(fixture: &Fixture, ledger: &Ledger, request: &Request) {
    let intent = intent(fixture.record(ledger, request.clone()).await);
    let signature = fixture.sign(&intent);
    ledger.settle(intent, signature).unwrap();
}

/// Other bytes with the serial of `request`'s.
fn same_serial(fixture: &Fixture, serial: u64) -> Request {
    Request { request_id: None, ..fixture.request_with_serial(serial) }
}

/// Signs `count` requests, each with its serial, from 1 on.
async fn signed(fixture: &Fixture, ledger: &Ledger, count: u64) -> Vec<Request> {
    let requests: Vec<_> = (1..=count).map(|serial| fixture.request_with_serial(serial)).collect();
    for request in &requests {
        sign(fixture, ledger, request).await;
    }
    requests
}

/// Every request has its answer again, and every serial is taken.
async fn all_are_known(fixture: &Fixture, ledger: &Ledger, requests: &[Request]) {
    for (serial, request) in (1..).zip(requests) {
        assert_eq!(word(fixture, ledger, request).await, "REPLAY", "{serial}");
        assert_eq!(word(fixture, ledger, &same_serial(fixture, serial)).await, "SERIAL_REUSED");
    }
    assert_eq!(word(fixture, ledger, &same_serial(fixture, u64::MAX)).await, "INTENT");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn what_was_claimed_is_found_in_memory_and_in_every_run() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    let requests = signed(&fixture, &ledger, 100).await;
    all_are_known(&fixture, &ledger, &requests).await;
    ledger.close().await;
    let manifest = manifest(&fixture);
    assert_eq!(manifest["entries"], fixture.entries().len());
    assert!(manifest["claims"].as_array().unwrap().len() > 1, "{manifest}");
    let restarted = fixture.open_with(OFTEN);
    for (serial, request) in (1..).zip(&requests) {
        assert_eq!(word(&fixture, &restarted, request).await, "REPLAY", "{serial}");
        assert_eq!(word(&fixture, &restarted, &same_serial(&fixture, serial)).await, "SERIAL_REUSED");
    }
}

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
        &|| of_another("format", json!(3)),
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
async fn an_older_copy_of_the_log_is_refused_until_its_index_is_removed() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    signed(&fixture, &ledger, 3).await;
    ledger.close().await;
    let (log, backup) = (fixture.config.path.clone(), fixture.directory().join("backup"));
    fs::copy(&log, &backup).unwrap();
    let ledger = fixture.open();
    sign(&fixture, &ledger, &fixture.request_with_serial(4)).await;
    ledger.close().await;
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
    let ledger = fixture.open();
    signed(&fixture, &ledger, 3).await;
    ledger.close().await;
    let (log, backup) = (fixture.config.path.clone(), fixture.directory().join("backup"));
    fs::copy(&log, &backup).unwrap();
    let ledger = fixture.open();
    sign(&fixture, &ledger, &fixture.request_with_serial(4)).await;
    ledger.close().await;
    fs::copy(&backup, &log).unwrap();
    let run = manifest(&fixture)["claims"][0]["file"].as_str().unwrap().to_owned();
    fs::remove_file(fixture.index().join(run)).unwrap();
    let with_format = |format: u32| {
        let mut other = manifest(&fixture);
        (other["format"], other["other"]) = (json!(format), json!(format));
        fs::write(fixture.index().join("manifest.json"), other.to_string()).unwrap();
    };
    let spoil: [&dyn Fn(); 3] = [&|| {}, &|| with_format(1), &|| with_format(3)];
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
    with_format(3);
    fixture.open().close().await;
}

#[tokio::test]
async fn a_log_that_went_another_way_than_its_index_is_refused() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    signed(&fixture, &ledger, 3).await;
    ledger.close().await;
    let (log, backup) = (fixture.config.path.clone(), fixture.directory().join("backup"));
    fs::copy(&log, &backup).unwrap();
    let ledger = fixture.open();
    sign(&fixture, &ledger, &fixture.request_with_serial(4)).await;
    ledger.close().await;
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
    let mut recorded = 0;
    let error = loop {
        match ledger.record_self_test(fixture.key()).await {
            Ok(test) => std::mem::forget(test),
            Err(error) => break error,
        }
        recorded += 1;
        assert!(recorded < 1000, "the bound was never met");
    };
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
async fn refusals_are_not_among_what_an_intent_is_judged_by() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    for _ in 0..40 {
        let refused = fixture.record(&ledger, fixture.request("root")).await;
        refused.permitted().unwrap_err();
    }
    ledger.close().await;
    let manifest = manifest(&fixture);
    assert_eq!((&manifest["entries"], &manifest["claims"]), (&json!(40), &json!([])));
    // Caller, key, serial, key id, subject key and principal of each.
    let runs = manifest["find"].as_array().unwrap();
    let rows: u64 = runs.iter().filter_map(|run| run["contents"]["rows"].as_u64()).sum();
    assert_eq!(rows, 40 * 6);
}

#[tokio::test]
async fn an_old_entry_is_written_to_the_index_though_few_are() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(Limits { age: Duration::ZERO, ..Limits::default() });
    let hurried = fixture.request_with_serial(1);
    sign(&fixture, &ledger, &hurried).await;
    for serial in 2.. {
        // Each commit looks for whether the one before is written.
        sign(&fixture, &ledger, &fixture.request_with_serial(serial)).await;
        if manifest(&fixture)["entries"].as_u64().unwrap() > 0 {
            break;
        }
    }
    assert_eq!(word(&fixture, &ledger, &hurried).await, "REPLAY");
}

#[tokio::test]
async fn another_logs_index_is_not_believed() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let config = Config { origin: "other.example/log".to_owned(), ..other.config.clone() };
    let ledger = Ledger::open(&config).unwrap();
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
    let mut recorded = 0;
    let error = loop {
        match ledger.record_self_test(fixture.key()).await {
            Ok(test) => std::mem::forget(test),
            Err(error) => break error,
        }
        recorded += 1;
        assert!(recorded < 1000, "the bound was never met");
    };
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
async fn a_start_that_meets_a_changed_run_has_the_next_one_make_the_index_anew() {
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
    Ledger::open(&fixture.config).unwrap_err();
    let ledger = fixture.open_with(OFTEN);
    all_are_known(&fixture, &ledger, &requests).await;
    ledger.close().await;
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
    let find = |archive: &Archive| {
        let filter = Filter { caller: Some("uid:1000".to_owned()), ..Filter::default() };
        let mut search = Search::new(archive, filter, None)?;
        search.step(archive, u64::MAX, 100)
    };
    let (archive, _) = Archive::open(Reader::open(&fixture.config.path).unwrap()).unwrap();
    let error = find(&archive).unwrap_err();
    assert!(matches!(error, ArchiveError::Damaged(_)), "{error:?}");

    // A start looks for revocations; the mark is for the next one.
    let error = Ledger::open(&fixture.config).unwrap_err();
    let LedgerError::Index { path, source } = &error else { panic!("{error:?}") };
    assert!(
        matches!((path, &**source), (path, ArchiveError::Damaged(_)) if *path == fixture.index()),
        "{error:?}"
    );
    assert_eq!(error.word(), "LEDGER_INDEX");
    assert!(in_one_line(&error).contains("restart its signer, which makes it anew"), "{error:?}");
    assert!(fixture.index().join("damaged").exists());
    let (scanned, unusable) = Archive::open(Reader::open(&fixture.config.path).unwrap()).unwrap();
    assert!(unusable.is_some_and(|why| why.contains("is damaged")));
    assert_eq!(find(&scanned).unwrap().len(), 10, "the log itself is read");
    let ledger = fixture.open();
    assert_eq!(ledger.live().read(find).await.unwrap().len(), 10);
    ledger.close().await;
    assert!(!fixture.index().join("damaged").exists());
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

#[tokio::test]
async fn an_index_that_others_could_reach_is_closed_to_them_and_its_key_replaced_if_they_knew_it() {
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for (directory, file, is_kept) in [(0o755, 0o600, true), (0o755, 0o644, false), (0o720, 0o600, false)] {
        let fixture = Fixture::new();
        let ledger = fixture.open();
        let requests = signed(&fixture, &ledger, 2).await;
        ledger.close().await;
        let before = manifest(&fixture);
        mode(&fixture.index(), directory);
        mode(&fixture.index().join("manifest.json"), file);
        let ledger = fixture.open();
        all_are_known(&fixture, &ledger, &requests).await;
        ledger.close().await;
        assert_eq!(manifest(&fixture)["key"] == before["key"], is_kept, "{directory:o} {file:o}");
        assert_eq!(fs::metadata(fixture.index()).unwrap().permissions().mode() & 0o777, 0o700);
        let file = fs::metadata(fixture.index().join("manifest.json")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn an_index_behind_a_link_is_refused() {
    let fixture = Fixture::new();
    fixture.open().close().await;
    let elsewhere = fixture.directory().join("elsewhere");
    fs::rename(fixture.index(), &elsewhere).unwrap();
    symlink(&elsewhere, fixture.index()).unwrap();
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(error.to_string().starts_with("opening index"), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("not a directory"), "{cause}");
}
