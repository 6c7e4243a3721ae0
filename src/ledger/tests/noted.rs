//! The newest entries, of which the index has noted the hashes and has nothing else in its files yet: of a signer that runs, or was killed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::path::PathBuf;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::index::{copy, manifest, sign, signed};
use super::*;
use crate::ledger::audit::{Known, entries_of};
use crate::ledger::fixture::database;
use crate::ledger::store::{Batch as _, Needs};
use crate::logged::Log;

/// What is found in the log beside its index, and by which entry.
fn found(fixture: &Fixture) -> Report {
    let reader = Reader::open(&fixture.config).unwrap();
    let tiles = reader.recorded_tiles().unwrap().unwrap();
    let (entries, len) = (tiles.entries(), entries_of(&reader).unwrap());
    let compare = vec![Compared { known: Known::Index(tiles), entries }];
    audit(Source::Log(reader), len, comparing(compare), |_| ()).unwrap()
}

/// The entries that have another hash than the index knows, and how many it knows.
fn others(fixture: &Fixture) -> (Vec<u64>, u64) {
    let report = found(fixture);
    let others = report.findings.first().iter().filter(|finding| finding.what.word() == "OTHER_HASH");
    (others.map(|finding| finding.index).collect(), report.compared)
}

fn leaves(fixture: &Fixture) -> Vec<Vec<u8>> {
    let reader = Reader::open(&fixture.config).unwrap();
    reader.leaves(0..u64::MAX).map(|leaf| leaf.unwrap().1).collect()
}

/// Has the store hold these bytes for an entry, as no trigger sees it.
fn change(fixture: &Fixture, index: usize, leaf: &[u8]) {
    match database(&fixture.config) {
        None => {
            let replace = "REPLACE INTO entry (idx, leaf) VALUES (?1, ?2)";
            fixture.sql("").execute(replace, (i64::try_from(index).unwrap(), leaf)).unwrap();
        }
        Some(database) => {
            let leaf = Base64::encode_string(leaf);
            database.sql(&format!(
                "SET session_replication_role = replica; \
                 UPDATE countersign.entry SET leaf = decode('{leaf}', 'base64') WHERE idx = {index}"
            ));
        }
    }
}

/// A bit of its beginning, its middle and its end, and its length.
fn changes(leaf: &[u8]) -> Vec<Vec<u8>> {
    let flipped = [0, leaf.len() / 2, leaf.len() - 1].map(|byte| {
        let mut leaf = leaf.to_vec();
        leaf[byte] ^= 1 << (byte % 8);
        leaf
    });
    let (shorter, longer) = (leaf[..leaf.len() - 1].to_vec(), [leaf, &[0]].concat());
    flipped.into_iter().chain([shorter, longer]).collect()
}

/// A self-test, what is signed, what fails and what is refused.
async fn some_of_each(fixture: &Fixture, ledger: &Ledger) {
    std::mem::forget(ledger.record_self_test(fixture.key()).await.unwrap());
    signed(fixture, ledger, 2).await;
    drop(fixture.intent(ledger).await);
    fixture.record(ledger, fixture.request("root")).await.permitted().unwrap_err();
    std::mem::forget(fixture.intent(ledger).await);
    ledger.queue.settled().await;
}

#[tokio::test]
async fn a_changed_entry_that_the_index_has_not_in_its_files_yet_is_named() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    some_of_each(&fixture, &ledger).await;
    assert_eq!(manifest(&fixture)["entries"], 0);
    let leaves = leaves(&fixture);
    let kinds = fixture.entries();
    assert!(kinds.iter().any(|entry| matches!(entry, Entry::Refusal { .. })), "{kinds:?}");
    assert!(kinds.iter().any(|entry| matches!(entry, Entry::Outcome { .. })), "{kinds:?}");
    for (index, leaf) in leaves.iter().enumerate() {
        for changed in changes(leaf) {
            change(&fixture, index, &changed);
            let found = others(&fixture);
            assert_eq!(found, (vec![u64::try_from(index).unwrap()], u64::try_from(leaves.len()).unwrap()));
        }
        change(&fixture, index, leaf);
    }
    assert!(others(&fixture).0.is_empty());
    ledger.close().await;
    assert_eq!(others(&fixture), (vec![], u64::try_from(leaves.len()).unwrap()));
}

/// What a kill leaves of a log of two entries, all of which the index has in its files, and some more, of which it has the hashes alone. Returns
/// how many there are.
async fn killed(fixture: &Fixture) -> u64 {
    let ledger = fixture.open();
    sign(fixture, &ledger, &fixture.request("alice")).await;
    ledger.close().await;
    let ledger = fixture.open();
    some_of_each(fixture, &ledger).await;
    let lagging = fixture.directory().join("lagging");
    copy(&fixture.index(), &lagging);
    ledger.close().await;
    fixture.remove_index();
    fs::rename(&lagging, fixture.index()).unwrap();
    assert_eq!(manifest(fixture)["entries"], 2);
    u64::try_from(fixture.entries().len()).unwrap()
}

#[tokio::test]
async fn a_start_after_a_kill_takes_no_entry_that_was_changed_meanwhile() {
    let fixture = Fixture::new();
    let len = killed(&fixture).await;
    let leaves = leaves(&fixture);
    for index in [2, 4, leaves.len() - 1] {
        for changed in changes(&leaves[index]) {
            change(&fixture, index, &changed);
            // Where the time is to be told by an entry that is none, it is named before.
            match Ledger::open(&fixture.config).unwrap_err() {
                LedgerError::OtherThanIndexed { entry, .. } | LedgerError::Entry { index: entry, .. } => {
                    assert_eq!(entry, u64::try_from(index).unwrap());
                }
                error => panic!("{error:?}"),
            }
        }
        change(&fixture, index, &leaves[index]);
    }
    fixture.open().close().await;
    assert_eq!(others(&fixture), (vec![], len));
}

#[tokio::test]
async fn an_index_of_a_signer_that_was_killed_is_a_witness_against_an_older_copy() {
    let fixture = Fixture::in_file();
    let len = killed(&fixture).await;
    fixture.sql(&format!("DROP TRIGGER entry_is_never_removed; DELETE FROM entry WHERE idx = {}", len - 1));
    let error = Ledger::open(&fixture.config).unwrap_err();
    let LedgerError::OlderThanIndex { entries, known, .. } = error else { panic!("{error:?}") };
    assert_eq!((entries, known), (len - 1, len));
    // Also if it is to be made anew.
    let manifest = fixture.index().join("manifest.json");
    let mut older: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    older["format"] = json!(1);
    fs::write(&manifest, older.to_string()).unwrap();
    assert_eq!(Ledger::open(&fixture.config).unwrap_err().word(), "LEDGER_OLDER_COPY");
}

/// What a file system had made room for, and had not written yet.
#[tokio::test]
async fn a_loss_of_power_leaves_hashes_that_are_none_and_they_are_noted_again() {
    let fixture = Fixture::new();
    let len = killed(&fixture).await;
    let file = fixture.index().join("tiles-0");
    let mut hashes = fs::read(&file).unwrap();
    hashes[3 * 32..].fill(0);
    hashes.extend([0; 4096]);
    fs::write(&file, hashes).unwrap();
    assert_eq!(others(&fixture), (vec![], 3));
    let ledger = fixture.open();
    assert_eq!(others(&fixture), (vec![], len));
    ledger.close().await;
}

/// A log on this thread, whose index cannot open its file of hashes: a directory is in its place.
struct Unnoted {
    fixture: Fixture,
    store: sqlite::Store,
}

impl Unnoted {
    /// It is tried again after `pause`.
    fn new(pause: Duration) -> Self {
        let fixture = Fixture::in_file();
        let limits = Limits { pause, ..Limits::default() };
        let store = sqlite::Store::open(&fixture.config, limits).unwrap();
        let unnoted = Self { fixture, store };
        fs::create_dir(unnoted.file()).unwrap();
        unnoted
    }

    fn file(&self) -> PathBuf {
        self.fixture.index().join("tiles-0")
    }

    fn record(&mut self, entries: usize) {
        let outcome = Outcome::Abandoned;
        let entry = Entry::Outcome { time: UnixMillis(1), intent: 0, outcome, latency_us: 0, token: None };
        let leaf = Leaf::of(&entry, self.store.index().key()).unwrap();
        for _ in 0..entries {
            let mut batch = self.store.begin(&Needs::default()).unwrap();
            batch.append(&leaf).unwrap();
            batch.commit().unwrap();
        }
    }
}

#[test]
fn that_hashes_are_not_noted_is_told_once_and_so_is_that_they_are_again() {
    let log = Log::hold();
    let mut unnoted = Unnoted::new(Duration::ZERO);
    let told =
        || ["does not get the hashes", "has the hashes of the newest"].map(|words| log.lines(words).len());
    unnoted.record(3);
    assert_eq!(told(), [1, 0]);
    fs::remove_dir(unnoted.file()).unwrap();
    unnoted.record(2);
    assert_eq!((told(), fs::metadata(unnoted.file()).unwrap().len()), ([1, 1], 5 * 32));
}

/// Each try has all that are missing, which may be as many as wait for the index.
#[test]
fn while_hashes_are_not_noted_it_is_not_tried_again_with_each_entry() {
    let mut unnoted = Unnoted::new(Duration::from_secs(3600));
    unnoted.record(1);
    fs::remove_dir(unnoted.file()).unwrap();
    unnoted.record(2);
    assert!(!unnoted.file().exists());
    let Unnoted { fixture, store } = unnoted;
    drop(store);
    let noted = fs::metadata(fixture.index().join("tiles-0")).unwrap();
    assert_eq!(noted.len(), 3 * 32, "the index has them with its other files");
}
