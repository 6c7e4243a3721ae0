//! That one process at a time writes a log, and when another may.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs::File;

use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn a_second_process_of_the_same_name_is_refused_while_the_first_runs() {
    let fleet = Fleet::new();
    let first = fleet.fixture.open();
    let config = Config { path: fleet.other.path.clone(), ..fleet.fixture.config.clone() };
    let error = Ledger::open(&config).unwrap_err();
    assert_eq!(error.word(), "LEDGER_LOCKED");
    let message = error.to_string();
    assert!(message.contains("in use by countersign test.example/log, server process "), "{message}");
    std::mem::forget(fleet.fixture.intent(&first).await);
    first.close().await;
    fixture::open(&config).close().await;
}

#[tokio::test]
async fn a_process_that_was_replaced_writes_nothing_more() {
    let fleet = Fleet::new();
    let first = fleet.fixture.open();
    let owed = fleet.fixture.intent(&first).await;
    fleet.database.sql(END_SESSIONS);
    let config = Config { path: fleet.other.path.clone(), ..fleet.fixture.config.clone() };
    let second = fixture::open(&config);
    drop(owed);
    for _ in 0..3 {
        let error = first.record(fleet.fixture.decide(fleet.fixture.request("alice"))).await.unwrap_err();
        assert_eq!(error.word(), "LEDGER_FENCED");
    }
    assert!(!first.is_writable());
    assert_eq!(fleet.fixture.intent(&second).await.receipt().index, 1);
    first.close().await;
    let kinds = Fleet::entries(&config);
    assert!(matches!(kinds[..2], [Entry::Intent { .. }, Entry::Intent { .. }]), "{kinds:?}");
}

#[tokio::test]
async fn a_hand_that_raises_the_epoch_stops_a_signer() {
    let fleet = Fleet::new();
    let ledger = fleet.fixture.open();
    drop(fleet.fixture.intent(&ledger).await);
    ledger.queue.settled().await;
    fleet.database.sql("UPDATE countersign.signer SET epoch = epoch + 1");
    let error = ledger.record(fleet.fixture.decide(fleet.fixture.request("alice"))).await.unwrap_err();
    assert_eq!(error.word(), "LEDGER_FENCED");
    assert_eq!(fleet.fixture.entries().len(), 2);
}

/// Another process on this host would write the same files. It is the index's thread that hangs, in an `open` of its next manifest.
#[tokio::test]
async fn a_log_is_given_up_after_its_index_is_written() {
    let fleet = Fleet::new();
    let ledger = fleet.fixture.open();
    std::mem::forget(fleet.fixture.intent(&ledger).await);
    let file = fleet.fixture.index().join("manifest.new");
    mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).unwrap();
    let closed = timeout(Duration::from_secs(60), ledger.close_log()).await.unwrap();
    let config = Config { path: fleet.other.path.clone(), ..fleet.fixture.config.clone() };
    assert_eq!(Ledger::open(&config).unwrap_err().word(), "LEDGER_LOCKED");
    let answer = async { File::open(&file).unwrap() };
    let ((), _answers) = tokio::join!(closed.index(), answer);
    fixture::open(&config).close().await;
}
