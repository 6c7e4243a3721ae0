//! Reading a log while it is written and afterwards: filters, proofs, and what comes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::time::Duration;

use countersign_tbs::Tbs;
use tokio::task::JoinSet;

use crate::ledger::archive::{Archive, ArchiveError, Page};
use crate::ledger::entry::{Entry, Outcome, UnixMillis};
use crate::ledger::filter::Filter;
use crate::ledger::fixture::{Fixture, bytes_read, intent};
use crate::ledger::index::Limits;
use crate::ledger::leaf::Leaf;
use crate::ledger::merkle::{check_consistency, check_inclusion};
use crate::ledger::search::Search;
use crate::ledger::sqlite;
use crate::ledger::store::{Batch as _, Needs, Store as _};
use crate::ledger::{Config, Ledger, LedgerError, Reader, leaf_hash};

/// Written often, so that some is in runs, some is being written, and some waits.
const OFTEN: Limits =
    Limits { flush: 16, bound: 64, age: Duration::from_secs(3600), pause: Duration::from_millis(5) };
/// Written when the signer stops.
const LATE: Limits = Limits { flush: 1 << 20, bound: 1 << 21, ..OFTEN };

/// `count` requests that are signed, and as many that are refused.
async fn recorded(fixture: &Fixture, ledger: &Ledger, count: u64) {
    for serial in 1..=count {
        let intent = intent(fixture.record(ledger, fixture.request_with_serial(serial)).await);
        let signature = fixture.sign(&intent);
        ledger.settle(intent, signature).unwrap();
        fixture.record(ledger, fixture.request("root")).await.permitted().unwrap_err();
    }
}

/// The indexes of what a filter means by the definition.
fn meant(entries: &[Entry], filter: &Filter) -> Vec<u64> {
    let all = (0..).zip(entries).filter(|(_, entry)| filter.matches(entry)).map(|(index, _)| index);
    let mut all: Vec<u64> = all.collect();
    all.reverse();
    all
}

/// The indexes of all that a search finds, in steps of three.
fn found(archive: &Archive, filter: &Filter, before: Option<u64>) -> Vec<u64> {
    let mut search = Search::new(archive, filter.clone(), before).unwrap();
    let mut found = Vec::new();
    while search.next().is_some() {
        found.extend(search.step(archive, 100, 3).unwrap().iter().map(|entry| entry.index));
    }
    found
}

/// Filters of every kind, of what an entry is and of what none is.
fn filters(entries: &[Entry]) -> Vec<Filter> {
    let text = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let mut filters = vec![
        none(),
        Filter { key: text("user-ca"), ..none() },
        Filter { key: text("user-c"), ..none() },
        Filter { caller: text("uid:1000"), ..none() },
        Filter { caller: text("uid:1001"), ..none() },
        Filter { key_id: text("alice smith"), ..none() },
        Filter { name: text("root"), ..none() },
        Filter { name: text("alice"), caller: text("uid:1000"), ..none() },
        Filter { name: text("alice"), key: text("host-ca"), ..none() },
        Filter { serial: "18446744073709551615".parse().ok(), ..none() },
    ];
    for entry in entries.iter().step_by(7) {
        let time = entry.time();
        filters.push(Filter { since: Some(time), ..none() });
        filters.push(Filter { until: Some(time), name: text("root"), ..none() });
        let Entry::Intent { asked, .. } = entry else { continue };
        let Some(Tbs::Ssh(certificate)) = crate::ledger::index::parsed(asked) else { panic!() };
        let serial = certificate.serial().to_string().parse().ok();
        let subject_key = Some(certificate.subject_key().fingerprint());
        filters.push(Filter { serial: serial.clone(), ..none() });
        filters.push(Filter { serial: serial.clone(), name: text("root"), ..none() });
        filters.push(Filter { serial, subject_key: subject_key.clone(), ..none() });
        filters.push(Filter {
            subject_key,
            since: Some(time),
            until: Some(UnixMillis(time.0 + 1)),
            ..none()
        });
    }
    filters
}

fn all_are_found(archive: &Archive, entries: &[Entry]) {
    for filter in filters(entries) {
        let expected = meant(entries, &filter);
        assert_eq!(found(archive, &filter, None), expected, "{filter:?}");
        let half = u64::try_from(entries.len()).unwrap() / 2;
        let older: Vec<_> = expected.into_iter().filter(|index| *index < half).collect();
        assert_eq!(found(archive, &filter, Some(half)), older, "{filter:?}");
    }
}

#[tokio::test]
async fn a_filter_finds_what_it_means_and_nothing_else_wherever_that_is() {
    for limits in [OFTEN, LATE] {
        let fixture = Fixture::in_file();
        let ledger = fixture.open_with(limits);
        recorded(&fixture, &ledger, 40).await;
        let entries = fixture.entries();
        let seen = entries.clone();
        let live = move |archive: &Archive| {
            all_are_found(archive, &seen[..usize::try_from(archive.size()).unwrap()]);
            Ok(())
        };
        ledger.live().read(live).await.unwrap();
        // Of another process, beside the signer: what the files do not know is read from the log.
        let (beside, unusable) = Archive::open(Reader::open(&fixture.config).unwrap()).unwrap();
        assert!(unusable.is_none() && beside.size() >= 80, "{unusable:?}");
        all_are_found(&beside, &entries);
        ledger.close().await;
        let entries = fixture.entries();
        all_are_found(&Archive::open(Reader::open(&fixture.config).unwrap()).unwrap().0, &entries);
        let ledger = fixture.open_with(limits);
        let live = move |archive: &Archive| {
            all_are_found(archive, &entries);
            Ok(())
        };
        ledger.live().read(live).await.unwrap();
        ledger.close().await;
        fixture.remove_index();
        let (scanned, unusable) = Archive::open(Reader::open(&fixture.config).unwrap()).unwrap();
        assert_eq!(unusable.as_deref(), Some("there is none"));
        all_are_found(&scanned, &fixture.entries());
    }
}

#[tokio::test]
async fn a_serial_is_looked_up_without_reading_the_log() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    recorded(&fixture, &ledger, 150).await;
    let filter = Filter { serial: "77".parse().ok(), ..Filter::default() };
    let (examined, reads, found) = ledger
        .live()
        .read(move |archive| {
            let mut search = Search::new(archive, filter, None)?;
            let mut found = Vec::new();
            while search.next().is_some() {
                found.extend(search.step(archive, 100, 3)?);
            }
            Ok((search.examined(), search.index_reads(), found.len()))
        })
        .await
        .unwrap();
    assert_eq!((found, examined), (1, 1), "one row of the log");
    assert!(reads <= 40, "a few of each of some runs: {reads}");
    ledger.close().await;
}

#[test]
fn whoever_comes_first_to_a_long_index_reads_little_of_it() {
    const ENTRIES: u64 = 40_000;
    let fixture = Fixture::in_file();
    let mut store = sqlite::Store::open(&fixture.config, LATE).unwrap();
    let key = store.index().key();
    let mut batch = store.begin(&Needs::default()).unwrap();
    for at in 0..ENTRIES {
        let (time, caller) = (UnixMillis(10_000_000 + at), format!("uid:{at}").into_bytes());
        let entry = Entry::Refusals { time, caller, since: time, count: 1 };
        batch.append(&Leaf::of(&entry, key).unwrap()).unwrap();
    }
    batch.commit().unwrap();
    drop(store);
    let rows = fs::metadata(fixture.index().join("find-1")).unwrap().len();
    assert!(rows > ENTRIES * 16, "{rows}");
    for at in [0, 777, ENTRIES - 1] {
        let before = bytes_read();
        let (archive, unusable) = Archive::open(Reader::open(&fixture.config).unwrap()).unwrap();
        let filter = Filter { caller: Some(format!("uid:{at}")), ..Filter::default() };
        assert_eq!(found(&archive, &filter, None), [at], "{unusable:?}");
        let read = bytes_read() - before;
        assert!(read < rows / 4, "{read} bytes for one entry; the run has {rows}");
    }
}

#[test]
fn a_time_is_found_by_halving_though_times_run_backwards_a_little() {
    let fixture = Fixture::in_file();
    let mut store = sqlite::Store::open(&fixture.config, LATE).unwrap();
    let key = store.index().key();
    let mut batch = store.begin(&Needs::default()).unwrap();
    // An entry every ten seconds, and each seventh is fifty late.
    let times: Vec<_> =
        (0..4000_u64).map(|at| 10_000_000 + at * 10_000 - 50_000 * u64::from(at % 7 == 0)).collect();
    for time in &times {
        let (time, caller) = (UnixMillis(*time), b"uid:7".to_vec());
        let entry = Entry::Refusals { time, caller, since: time, count: 1 };
        batch.append(&Leaf::of(&entry, key).unwrap()).unwrap();
    }
    batch.commit().unwrap();
    drop(store);
    let (archive, _) = Archive::open(Reader::open(&fixture.config).unwrap()).unwrap();
    let entries = fixture.entries();
    for at in [0, 1, 7, 1000, 2001, 3996, 3999] {
        let (since, until) = (UnixMillis(times[at]), UnixMillis(times[at] + 60_000));
        let caller = Some("uid:7".to_owned());
        for caller in [None, caller] {
            let filter = Filter { since: Some(since), until: Some(until), caller, ..Filter::default() };
            assert_eq!(found(&archive, &filter, None), meant(&entries, &filter), "{at}");
            let mut search = Search::new(&archive, filter, None).unwrap();
            while search.next().is_some() {
                search.step(&archive, 100, 3).unwrap();
            }
            assert!(search.examined() < 60, "{} of 4000", search.examined());
        }
    }
}

/// The clock was set ahead while intents waited; their outcomes come after, with their times.
#[test]
fn outcomes_of_old_intents_do_not_hide_what_is_around_them() {
    let fixture = Fixture::in_file();
    let mut store = sqlite::Store::open(&fixture.config, LATE).unwrap();
    let key = store.index().key();
    let mut batch = store.begin(&Needs::default()).unwrap();
    for at in 0..1000_u64 {
        let (time, caller) = (UnixMillis(10_000_000 + at * 10_000), b"uid:7".to_vec());
        let entry = Entry::Refusals { time, caller, since: time, count: 1 };
        batch.append(&Leaf::of(&entry, key).unwrap()).unwrap();
        for intent in 0..at % 4 {
            let outcome = Outcome::Abandoned;
            let time = UnixMillis(1_000_000);
            let entry = Entry::Outcome { time, intent, outcome, latency_us: 7, token: None };
            batch.append(&Leaf::of(&entry, key).unwrap()).unwrap();
        }
    }
    batch.commit().unwrap();
    drop(store);
    let (archive, _) = Archive::open(Reader::open(&fixture.config).unwrap()).unwrap();
    let entries = fixture.entries();
    for at in (0..1000).step_by(37) {
        let (since, until) = (UnixMillis(10_000_000 + at * 10_000), UnixMillis(10_100_000 + at * 10_000));
        let filter = Filter { since: Some(since), until: Some(until), ..Filter::default() };
        assert_eq!(found(&archive, &filter, None), meant(&entries, &filter), "{at}");
    }
}

#[tokio::test]
async fn words_whose_hashes_meet_are_told_apart_by_readers() {
    let fixture = Fixture::in_file();
    fixture.open().close().await;
    let manifest = fixture.index().join("manifest.json");
    let mut zero: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    zero["key"] = serde_json::json!(vec![0; 16]);
    fs::write(manifest, zero.to_string()).unwrap();
    let ledger = fixture.open_with(OFTEN);
    recorded(&fixture, &ledger, 10).await;
    ledger.close().await;
    all_are_found(&Archive::open(Reader::open(&fixture.config).unwrap()).unwrap().0, &fixture.entries());
}

#[tokio::test]
async fn proofs_of_any_entry_and_size_verify_and_those_of_another_do_not() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open_with(OFTEN);
    recorded(&fixture, &ledger, 100).await;
    let path = fixture.config.path.clone();
    // The running signer's own, and those of another process whose index lags.
    let check = |archive: &Archive| {
        let size = archive.size();
        for (index, size) in [(0, 1), (0, size), (7, 8), (100, 129), (size / 3, size), (size - 1, size)] {
            let proof = archive.inclusion(index, size)?;
            let (leaf, root) = (proof.leaf_hash, archive.root(size)?);
            assert_eq!(check_inclusion(&leaf, index, size, &root, &proof.hashes), Ok(()));
            for at in 0..proof.hashes.len() {
                let mut flipped = proof.hashes.clone();
                flipped[at][at % 32] ^= 1;
                assert!(check_inclusion(&leaf, index, size, &root, &flipped).is_err());
            }
            let proof = archive.consistency(index, size)?;
            assert_eq!(check_consistency((index, &proof.old.1), (size, &root), &proof.hashes), Ok(()));
        }
        let too_far = archive.inclusion(size, size).unwrap_err();
        assert!(matches!(too_far, ArchiveError::NoSuchEntry { .. }), "{too_far}");
        let too_large = archive.root(size + 1).unwrap_err();
        assert!(matches!(too_large, ArchiveError::NoSuchSize { .. }), "{too_large}");
        archive.root(size)
    };
    let live = ledger.live().read(move |archive| Ok((archive.size(), check(archive)?))).await.unwrap();
    let (beside, _) = Archive::open(Reader::open(&path).unwrap()).unwrap();
    check(&beside).unwrap();
    assert_eq!(beside.root(live.0).unwrap(), live.1);
    ledger.close().await;
    fixture.remove_index();
    let (scanned, _) = Archive::open(Reader::open(&path).unwrap()).unwrap();
    assert_eq!(scanned.root(live.0).unwrap(), live.1);
}

#[tokio::test]
async fn a_log_that_was_changed_has_no_proof() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    recorded(&fixture, &ledger, 3).await;
    ledger.close().await;
    let other = fixture.entries()[4].encode().unwrap();
    let connection = fixture.sql("DROP TRIGGER entry_is_never_changed");
    connection.execute("UPDATE entry SET leaf = ?1 WHERE idx = 1", [other]).unwrap();
    let (archive, _) = Archive::open(Reader::open(&fixture.config).unwrap()).unwrap();
    assert!(archive.inclusion(0, 9).is_ok());
    let error = archive.inclusion(1, 9).unwrap_err();
    assert!(matches!(error, ArchiveError::Disagree { index: 1, .. }), "{error}");
}

#[tokio::test]
async fn pages_end_by_entries_and_by_bytes_and_a_missing_entry_is_told() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    recorded(&fixture, &ledger, 5).await;
    ledger.close().await;
    let (archive, _) = Archive::open(Reader::open(&fixture.config).unwrap()).unwrap();
    let indexes = |range, entries, bytes| -> Vec<u64> {
        let page = archive.entries(range, Page { entries, bytes }).unwrap();
        page.iter().map(|entry| entry.index).collect()
    };
    assert_eq!(indexes(2..u64::MAX, 3, usize::MAX), [2, 3, 4]);
    assert_eq!(indexes(2..u64::MAX, 3, 1), [2], "one at least");
    assert_eq!(indexes(13..u64::MAX, 9, usize::MAX), [13, 14]);
    assert_eq!(indexes(15..u64::MAX, 9, usize::MAX), [0; 0]);
    for (entry, stored) in
        fixture.entries().iter().zip(archive.entries(0..15, Page { entries: 15, bytes: usize::MAX }).unwrap())
    {
        assert_eq!(leaf_hash(&entry.encode().unwrap()), leaf_hash(&stored.bytes));
    }
    fixture.sql("DROP TRIGGER entry_is_never_removed; DELETE FROM entry WHERE idx = 4");
    for range in [2..6, 4..6, 4..5] {
        let error = archive.entries(range, Page { entries: 9, bytes: usize::MAX }).unwrap_err();
        assert!(error.to_string().contains("has no entry 4"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_to_be_durable_is_there_and_readers_end_with_the_ledger() {
    let fixture = Fixture::new();
    let ledger = fixture.open_with(OFTEN);
    let mut growth = ledger.live().growth();
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let live = ledger.live().clone();
        readers.spawn(async move {
            let (mut growth, mut next) = (live.growth(), 0);
            while let Some(size) = growth.beyond(next).await {
                let page = Page { entries: 1000, bytes: usize::MAX };
                let Ok(some) = live.read(move |archive| archive.entries(next..size, page)).await else {
                    break;
                };
                for entry in &some {
                    assert_eq!(entry.index, next);
                    next += 1;
                }
            }
            next
        });
    }
    recorded(&fixture, &ledger, 30).await;
    assert_eq!(growth.beyond(88).await.map(|size| size >= 89), Some(true));
    ledger.close().await;
    assert!(growth.beyond(1000).await.is_none());
    let error = ledger.live().read(|archive| Ok(archive.size())).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Closed), "{error}");
    for read in readers.join_all().await {
        assert!(read >= 60, "{read}");
    }
    let wal = fixture.directory().join("log.sqlite-wal");
    assert!(!wal.exists(), "the writer was the last to close the file");
}

#[tokio::test]
async fn a_log_of_another_name_is_not_read_for_the_configured_one() {
    let fixture = Fixture::in_file();
    fixture.open().close().await;
    Reader::open(&fixture.config).unwrap();
    let other = Config { origin: "other.example/log".to_owned(), ..fixture.config.clone() };
    let error = Reader::open(&other).unwrap_err();
    assert!(matches!(error, LedgerError::OtherOrigin { .. }), "{error}");
}

#[test]
fn a_file_that_may_not_be_looked_for_is_not_called_missing() {
    let fixture = Fixture::in_file();
    let (file, missing) = (fixture.directory().join("file"), fixture.directory().join("missing.sqlite"));
    fs::write(&file, "").unwrap();
    // The system's answer is another one below a directory that may not be entered, but root may enter any.
    let error = Reader::open(file.join("ledger.sqlite")).unwrap_err();
    assert!(matches!(error, LedgerError::Io { doing: "looking for", .. }), "{error:?}");
    assert!(matches!(Reader::open(missing).unwrap_err(), LedgerError::Missing { .. }));
}
