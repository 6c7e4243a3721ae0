//! A disk that neither takes a write nor fails.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::time::timeout;

use crate::causes::in_one_line;
use crate::ledger::fixture::Fixture;
use crate::ledger::{Ledger, LedgerError};

/// The hang is a call of the system that the writer itself makes, an `open` for writing, and that does not return: of a pipe without a reader, where
/// it is of a file on a disk that does not answer. Nothing else is assumed of such a disk.
#[tokio::test]
async fn a_disk_that_hangs_is_named_as_the_reason_until_it_answers() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    let file = fixture.directory().join("log.sqlite.lock");
    fs::remove_file(&file).unwrap();
    mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).unwrap();
    ledger.probe_within(Duration::from_millis(1)).await.unwrap_err();
    assert!(!ledger.is_writable());
    let why = ledger.refuses().unwrap();
    assert_eq!((why.word(), why.passes()), ("LEDGER_UNAVAILABLE", true));
    assert!(in_one_line(&why).contains("has waited for 1ms: a disk does not answer"), "{why:?}");
    // It would have no answer before the disk has one.
    let asked = ledger.record(fixture.decide(fixture.request("alice")));
    let refused = timeout(Duration::from_secs(30), asked).await.unwrap();
    assert_eq!(refused.unwrap_err().word(), why.word());
    // Returns once the writer is there, which it would not have been without somebody who reads.
    let answer = async { File::open(&file).unwrap() };
    let (asked_meanwhile, _answers) = tokio::join!(ledger.record_self_test(fixture.key()), answer);
    std::mem::forget(asked_meanwhile.unwrap());
    assert!(ledger.is_writable() && ledger.refuses().is_none());
    ledger.probe().await.unwrap();
    assert!(ledger.is_writable(), "a disk that answers is none that hangs");
    ledger.close().await;
}

/// It is the index's thread that hangs, in an `open` of its next manifest.
#[tokio::test]
async fn a_log_is_closed_before_its_index_is_and_its_lock_is_given_up_after_it() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    std::mem::forget(ledger.record_self_test(fixture.key()).await.unwrap());
    let file = fixture.index().join("manifest.new");
    mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).unwrap();
    let closed = timeout(Duration::from_secs(60), ledger.close_log()).await.unwrap();
    assert!(!fixture.config.path.with_extension("sqlite-wal").exists(), "SQLite has closed it");
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(matches!(error, LedgerError::Locked { .. }), "{error:?}");
    let answer = async { File::open(&file).unwrap() };
    let ((), _answers) = tokio::join!(closed.index(), answer);
    fixture.open().close().await;
}
