//! A clock that is behind the log.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicI64, Ordering};

use crate::ledger::entry::UnixMillis;
use crate::ledger::fixture::{self, Fixture, block, intent};
use crate::ledger::{Config, Entry, Ledger, LedgerError};

fn shifted(millis: i64) -> UnixMillis {
    UnixMillis(UnixMillis::now().0.saturating_add_signed(millis))
}

#[tokio::test]
async fn a_clock_that_is_set_back_signs_nothing_until_it_is_right_again() {
    static SHIFT: AtomicI64 = AtomicI64::new(0);
    let fixture = Fixture::new();
    let ledger = fixture.open_by(|| shifted(SHIFT.load(Ordering::Relaxed)));
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
    let ledger = fixture.open_by(|| shifted(SHIFT.load(Ordering::Relaxed)));
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
    let ledger = fixture.open_by(|| shifted(SHIFT.load(Ordering::Relaxed)));
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
    let once = fixture::open(&tolerant);
    drop(fixture.intent(&once).await);
    once.close().await;
    fixture.open().close().await;
}

#[tokio::test]
async fn a_log_from_the_future_is_not_opened_unless_that_is_tolerated() {
    let fixture = Fixture::new();
    let ahead = fixture.open_by(|| shifted(3_600_000));
    drop(fixture.intent(&ahead).await);
    ahead.close().await;
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(matches!(error, LedgerError::ClockBehind { .. }), "{error}");
    let tolerant = Config { clock_tolerance: std::time::Duration::from_secs(7200), ..fixture.config.clone() };
    let once = fixture::open(&tolerant);
    drop(fixture.intent(&once).await);
    once.close().await;
    // The newest entry has the right time again.
    drop(fixture.intent(&fixture.open()).await);
}

/// How far the log's time runs backwards, at most, but for outcomes.
fn back(entries: &[Entry]) -> u64 {
    let (mut newest, mut back) = (0_u64, 0);
    for entry in entries.iter().filter(|entry| !matches!(entry, Entry::Outcome { .. })) {
        back = back.max(newest.saturating_sub(entry.time().0));
        newest = newest.max(entry.time().0);
    }
    back
}

/// Ahead and back while records wait for the writer, which then takes all of them at once.
#[tokio::test]
async fn a_clock_that_is_set_back_within_one_round_is_behind() {
    static SHIFT: AtomicI64 = AtomicI64::new(0);
    let fixture = Fixture::new();
    let ledger = fixture.open_by(|| shifted(SHIFT.load(Ordering::Relaxed)));
    let mut waiting = Vec::new();
    let blocked = block(&fixture.config);
    for shift in [0, 60_000, 0] {
        SHIFT.store(shift, Ordering::Relaxed);
        let (ledger, decision) = (ledger.clone(), fixture.decide(fixture.request("alice")));
        waiting.push(tokio::spawn(async move { ledger.record(decision).await.map(drop) }));
        // On one thread: it has sent its record by now.
        tokio::task::yield_now().await;
    }
    drop(blocked);
    let mut recorded = Vec::new();
    for waiting in waiting {
        recorded.push(waiting.await.unwrap().map_err(|error| error.word()));
    }
    assert_eq!(recorded, [Ok(()), Ok(()), Err("CLOCK_BEHIND")]);
    ledger.close().await;
    let entries = fixture.entries();
    assert!(back(&entries) <= 5_000, "{entries:?}");
}

/// A round is written in the order of its kinds: a self-test that came after the intents stands before them.
#[tokio::test]
async fn what_is_much_later_is_not_written_before_what_came_first() {
    static SHIFT: AtomicI64 = AtomicI64::new(0);
    let fixture = Fixture::new();
    let ledger = fixture.open_by(|| shifted(SHIFT.load(Ordering::Relaxed)));
    let blocked = block(&fixture.config);
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (ledger, decision) = (ledger.clone(), fixture.decide(fixture.request("alice")));
        waiting.push(tokio::spawn(async move { ledger.record(decision).await.map(drop) }));
        tokio::task::yield_now().await;
    }
    SHIFT.store(60_000, Ordering::Relaxed);
    let (later, key) = (ledger.clone(), std::sync::Arc::clone(fixture.key()));
    waiting.push(tokio::spawn(async move { later.record_self_test(&key).await.map(drop) }));
    tokio::task::yield_now().await;
    drop(blocked);
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    ledger.close().await;
    let entries = fixture.entries();
    assert!(back(&entries) <= 5_000, "{entries:?}");
    assert!(matches!(
        entries.iter().rev().find(|entry| !matches!(entry, Entry::Outcome { .. })),
        Some(Entry::SelfTest { .. })
    ));
}
