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
use crate::ledger::{Config, Ledger, LedgerError, Permitted, RawEntry, Reader};
use crate::sign::Request;

mod behind;
mod damaged;
mod permissions;
mod running;

/// Written often, so that there are runs on several levels.
const OFTEN: Limits =
    Limits { flush: 8, bound: 64, age: Duration::from_secs(3600), pause: Duration::from_millis(5) };

pub(super) fn manifest(fixture: &Fixture) -> Value {
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

pub(super) async fn sign(fixture: &Fixture, ledger: &Ledger, request: &Request) {
    let intent = intent(fixture.record(ledger, request.clone()).await);
    let signature = fixture.sign(&intent);
    ledger.settle(intent, signature).unwrap();
}

/// Other bytes with the serial of `request`'s.
fn same_serial(fixture: &Fixture, serial: u64) -> Request {
    Request { request_id: None, ..fixture.request_with_serial(serial) }
}

/// Signs `count` requests, each with its serial, from 1 on.
pub(super) async fn signed(fixture: &Fixture, ledger: &Ledger, count: u64) -> Vec<Request> {
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

pub(super) fn copy(from: &Path, to: &Path) {
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
