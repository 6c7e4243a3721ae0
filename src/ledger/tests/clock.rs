//! A clock that is behind the log.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicI64, Ordering};

use crate::ledger::entry::UnixMillis;
use crate::ledger::fixture::{Fixture, intent};
use crate::ledger::index::Limits;
use crate::ledger::{Config, Entry, Ledger, LedgerError};

fn shifted(millis: i64) -> UnixMillis {
    UnixMillis(UnixMillis::now().0.saturating_add_signed(millis))
}

#[tokio::test]
async fn a_clock_that_is_set_back_signs_nothing_until_it_is_right_again() {
    static SHIFT: AtomicI64 = AtomicI64::new(0);
    let fixture = Fixture::new();
    let ledger =
        Ledger::open_by(&fixture.config, || shifted(SHIFT.load(Ordering::Relaxed)), Limits::default())
            .unwrap();
    let first = fixture.intent(&ledger).await;
    SHIFT.store(-60_000, Ordering::Relaxed);
    for principal in ["alice", "root"] {
        let error = ledger.record(fixture.decide(fixture.request(principal))).await.unwrap_err();
        assert_eq!(error.word(), "CLOCK_BEHIND");
        assert!(error.to_string().contains("behind the newest entry"), "{error}");
    }
    assert!(ledger.record_self_test(fixture.key()).await.is_err());
    assert!(matches!(ledger.refuses(), Some(LedgerError::ClockBehind { .. })), "health says why");
    // What was signed before is recorded, and does not pull the log's time back.
    let signature = fixture.sign(&first);
    ledger.settle(first, signature).unwrap();
    assert!(ledger.record_self_test(fixture.key()).await.is_err());
    SHIFT.store(-4_000, Ordering::Relaxed);
    drop(intent(fixture.record(&ledger, fixture.request("alice")).await));
    assert!(ledger.refuses().is_none(), "and no more once it is over");
    ledger.close().await;
    let entries = fixture.entries();
    assert_eq!(entries.len(), 4);
    assert!(entries[0].time() <= entries[1].time());
}

#[tokio::test]
async fn many_small_steps_back_are_not_taken_one_by_one() {
    static SHIFT: AtomicI64 = AtomicI64::new(0);
    let fixture = Fixture::new();
    let ledger =
        Ledger::open_by(&fixture.config, || shifted(SHIFT.load(Ordering::Relaxed)), Limits::default())
            .unwrap();
    drop(fixture.intent(&ledger).await);
    SHIFT.store(-4_000, Ordering::Relaxed);
    drop(fixture.intent(&ledger).await);
    SHIFT.store(-8_000, Ordering::Relaxed);
    assert!(ledger.record(fixture.decide(fixture.request("alice"))).await.is_err());
}

/// Ahead and back, while an intent waits: its outcome is last, with the time of before.
#[tokio::test]
async fn a_clock_that_was_set_ahead_is_remembered_though_an_old_outcome_is_last() {
    static SHIFT: AtomicI64 = AtomicI64::new(0);
    let fixture = Fixture::new();
    let ledger =
        Ledger::open_by(&fixture.config, || shifted(SHIFT.load(Ordering::Relaxed)), Limits::default())
            .unwrap();
    let old = fixture.intent(&ledger).await;
    SHIFT.store(3_600_000, Ordering::Relaxed);
    let ahead = fixture.intent(&ledger).await;
    let signature = fixture.sign(&ahead);
    ledger.settle(ahead, signature).unwrap();
    ledger.queue.settled().await;
    SHIFT.store(0, Ordering::Relaxed);
    let error = ledger.record(fixture.decide(fixture.request("alice"))).await.unwrap_err();
    assert_eq!(error.word(), "CLOCK_BEHIND", "back again, in the same process");
    let signature = fixture.sign(&old);
    ledger.settle(old, signature).unwrap();
    ledger.close().await;
    let entries = fixture.entries();
    let [.., ahead, _, last] = &entries[..] else { panic!("{entries:?}") };
    assert!(matches!(last, Entry::Outcome { intent: 0, .. }) && last.time().0 + 3_000_000 < ahead.time().0);
    let newest = fixture.config.reader().unwrap().unwrap().newest_time().unwrap();
    assert!(newest >= Some(ahead.time()), "what `doctor` goes by: {newest:?}");
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(matches!(error, LedgerError::ClockBehind { .. }), "{error}");
    let tolerant = Config { clock_tolerance: std::time::Duration::from_secs(7200), ..fixture.config.clone() };
    let once = Ledger::open(&tolerant).unwrap();
    drop(fixture.intent(&once).await);
    once.close().await;
    fixture.open().close().await;
}

#[tokio::test]
async fn a_log_from_the_future_is_not_opened_unless_that_is_tolerated() {
    let fixture = Fixture::new();
    let ahead = Ledger::open_by(&fixture.config, || shifted(3_600_000), Limits::default()).unwrap();
    drop(fixture.intent(&ahead).await);
    ahead.close().await;
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(matches!(error, LedgerError::ClockBehind { .. }), "{error}");
    let tolerant = Config { clock_tolerance: std::time::Duration::from_secs(7200), ..fixture.config.clone() };
    let once = Ledger::open(&tolerant).unwrap();
    drop(fixture.intent(&once).await);
    once.close().await;
    // The newest entry has the right time again.
    drop(fixture.intent(&fixture.open()).await);
}
