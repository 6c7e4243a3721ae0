//! What a caller may have and leave behind, by a clock that the tests set.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::caller::{Caller, CallerName};
use crate::key::KeyName;
use crate::ledger::audit::Report;
use crate::ledger::entry::UnixMillis;
use crate::ledger::fixture::{self, Fixture, intent};
use crate::ledger::tests::{audited, audited_at, recorded_at_once, wrong};
use crate::ledger::{Entry, Ledger, Permitted, Reader, Receipt, Recorded, Thaw};
use crate::policy::Policy;
use crate::sign::Request;

/// Seconds that a test's clock is ahead.
type Shift = AtomicU64;

fn ahead(shift: &Shift) -> UnixMillis {
    UnixMillis::now().after(Duration::from_secs(shift.load(Ordering::Relaxed)))
}

fn budget(more: &str) -> Policy {
    Fixture::policy(|text| text.replace("budget = \"1000/h\"", more))
}

/// Two at once and one every half minute, and frozen after three tries beyond that.
fn strict() -> Policy {
    budget("budget = \"120/h\"\nburst = 2\nfreeze_after = \"3/h\"")
}

async fn ask(fixture: &Fixture, ledger: &Ledger, policy: &Policy, request: Request) -> Recorded {
    ledger.record(fixture.decide_by(policy, request)).await.unwrap()
}

/// The reason, or "OK".
async fn word(fixture: &Fixture, ledger: &Ledger, policy: &Policy) -> &'static str {
    match ask(fixture, ledger, policy, fixture.request("alice")).await.permitted() {
        Ok(Permitted::Intent(_)) => "OK",
        Ok(Permitted::Replay(replay)) => panic!("{replay:?}"),
        Err(refused) => refused.refusal.reason.code_word(),
    }
}

async fn words<const N: usize>(fixture: &Fixture, ledger: &Ledger, policy: &Policy) -> [&'static str; N] {
    let mut words = [""; N];
    for word_of_one in &mut words {
        *word_of_one = word(fixture, ledger, policy).await;
    }
    words
}

async fn thaw(ledger: &Ledger) -> Option<Receipt> {
    let (key, caller) = (KeyName::new("user-ca").unwrap(), CallerName::parse("uid:1000").unwrap());
    let by = CallerName::parse("uid:0").unwrap();
    ledger.thaw(Thaw { key, caller, by, why: "it was a test".to_owned() }).await.unwrap()
}

#[tokio::test]
async fn a_budget_is_used_up_and_comes_back_at_its_rate() {
    static SHIFT: Shift = Shift::new(0);
    let (fixture, policy) = (Fixture::new(), budget("budget = \"60/h\"\nburst = 2"));
    let ledger = fixture.open_by(|| ahead(&SHIFT));
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK", "OK", "BUDGET_EXHAUSTED"]);
    let refused = ask(&fixture, &ledger, &policy, fixture.request("alice")).await.permitted().unwrap_err();
    let wait = refused.retry_after.unwrap();
    assert!(wait <= Duration::from_secs(60) && wait > Duration::from_secs(30), "{wait:?}");
    assert_eq!(refused.refusal.rule, "key.user-ca.allow.staff.budget");
    SHIFT.store(61, Ordering::Relaxed);
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK", "BUDGET_EXHAUSTED"]);
    SHIFT.store(3600, Ordering::Relaxed);
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK", "OK", "BUDGET_EXHAUSTED"]);
}

#[tokio::test]
async fn a_volume_is_counted_beside_the_rate() {
    static SHIFT: Shift = Shift::new(0);
    let (fixture, policy) = (Fixture::new(), budget("budget = \"2/h\"\nvolume = \"3/30days\""));
    let ledger = fixture.open_by(|| ahead(&SHIFT));
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK", "OK", "BUDGET_EXHAUSTED"]);
    SHIFT.store(3600, Ordering::Relaxed);
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK", "BUDGET_EXHAUSTED"]);
    let refused = ask(&fixture, &ledger, &policy, fixture.request("alice")).await.permitted().unwrap_err();
    assert_eq!(refused.refusal.rule, "key.user-ca.allow.staff.volume");
}

#[tokio::test]
async fn what_was_spent_is_spent_after_a_restart() {
    let (fixture, policy) = (Fixture::new(), budget("budget = \"2/h\""));
    let ledger = fixture.open();
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK"]);
    ledger.close().await;
    let restarted = fixture.open();
    assert_eq!(words(&fixture, &restarted, &policy).await, ["OK", "BUDGET_EXHAUSTED"]);
}

#[tokio::test]
async fn an_answer_that_is_asked_for_again_costs_nothing() {
    let (fixture, policy) = (Fixture::new(), budget("budget = \"2/h\""));
    let ledger = fixture.open();
    let request = fixture.request("alice");
    let first = intent(ask(&fixture, &ledger, &policy, request.clone()).await);
    let signature = fixture.sign(&first);
    ledger.settle(first, signature).unwrap();
    for _ in 0..5 {
        let again = ask(&fixture, &ledger, &policy, request.clone()).await.permitted().unwrap();
        assert!(matches!(again, Permitted::Replay(_)), "{again:?}");
    }
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK", "BUDGET_EXHAUSTED"]);
    let again = ask(&fixture, &ledger, &policy, request).await.permitted().unwrap();
    assert!(
        matches!(again, Permitted::Replay(_)),
        "nor does it need a budget that has something left: {again:?}"
    );
}

#[tokio::test]
async fn what_is_refused_otherwise_costs_nothing() {
    let (fixture, policy) = (Fixture::new(), budget("budget = \"2/h\""));
    let ledger = fixture.open();
    ask(&fixture, &ledger, &policy, fixture.request_with_serial(7)).await.permitted().unwrap();
    for _ in 0..5 {
        for principal in ["root", "alice"] {
            let request = Request { request_id: None, ..fixture.request_with_serial(7) };
            let request = if principal == "root" { fixture.request(principal) } else { request };
            let refused = ask(&fixture, &ledger, &policy, request).await.permitted().unwrap_err();
            assert_ne!(refused.refusal.reason.code_word(), "BUDGET_EXHAUSTED");
        }
    }
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK", "BUDGET_EXHAUSTED"]);
}

#[tokio::test]
async fn what_was_not_recorded_costs_nothing() {
    let (fixture, policy) = (Fixture::new(), budget("budget = \"2/h\""));
    let ledger = fixture.open();
    fixture.fill(0);
    for _ in 0..5 {
        ledger.record(fixture.decide_by(&policy, fixture.request("alice"))).await.unwrap_err();
    }
    fixture.make_room();
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK", "OK", "BUDGET_EXHAUSTED"]);
}

#[tokio::test]
async fn of_many_at_once_as_many_are_begun_as_the_budget_has() {
    let (fixture, policy) = (Fixture::new(), budget("budget = \"7/h\""));
    let ledger = fixture.open();
    let decisions = (0..50).map(|_| fixture.decide_by(&policy, fixture.request("alice")));
    let recorded = recorded_at_once(&fixture.config, &ledger, decisions).await;
    assert_eq!(recorded.iter().filter(|one| one.is_ok()).count(), 7);
}

#[tokio::test]
async fn each_caller_and_each_profile_has_a_budget_of_its_own() {
    let policy = Fixture::policy(|text| {
        let text = text.replace("[\"uid:1000\"]", "[\"uid:1000\", \"uid:1001\"]").replace("1000/h", "1/h");
        format!(
            "{text}\n[key.user-ca.allow.tea]\ncallers = [\"uid:1000\"]\nprincipals = [\"bob\"]\nmax_lifetime = \"1h\"\nbudget = \"1/h\"\n"
        )
    });
    let fixture = Fixture::new();
    let ledger = fixture.open();
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK", "BUDGET_EXHAUSTED"]);
    let other = Request { caller: Caller::for_test("uid:1001"), ..fixture.request("alice") };
    ask(&fixture, &ledger, &policy, other).await.permitted().unwrap();
    ask(&fixture, &ledger, &policy, fixture.request("bob")).await.permitted().unwrap();
}

#[tokio::test]
async fn who_goes_on_asking_is_frozen_until_a_thaw_also_after_a_restart() {
    static SHIFT: Shift = Shift::new(0);
    let (fixture, policy) = (Fixture::new(), strict());
    let ledger = fixture.open_by(|| ahead(&SHIFT));
    assert!(thaw(&ledger).await.is_none(), "nothing to thaw, and no entry");
    let [.., one, two, three, frozen] = words::<6>(&fixture, &ledger, &policy).await;
    assert_eq!(
        [one, two, three, frozen],
        ["BUDGET_EXHAUSTED", "BUDGET_EXHAUSTED", "BUDGET_EXHAUSTED", "FROZEN"]
    );
    ledger.close().await;

    let ledger = fixture.open_by(|| ahead(&SHIFT));
    SHIFT.store(61, Ordering::Relaxed);
    assert_eq!(words(&fixture, &ledger, &policy).await, ["FROZEN"], "a new budget does not thaw");
    let receipt = thaw(&ledger).await.unwrap();
    assert_eq!(words(&fixture, &ledger, &policy).await, ["OK", "OK", "BUDGET_EXHAUSTED", "BUDGET_EXHAUSTED"]);
    assert!(thaw(&ledger).await.is_none(), "the tries before the freeze are forgotten");
    ledger.close().await;

    let entries = fixture.entries();
    let freezes: Vec<_> =
        entries.iter().enumerate().filter(|(_, entry)| matches!(entry, Entry::Freeze { .. })).collect();
    let [(at, Entry::Freeze { caller, key, rule, requests, .. })] = freezes[..] else {
        panic!("{freezes:?}")
    };
    assert_eq!((caller.as_slice(), key.as_slice(), *requests), (&b"uid:1000"[..], &b"user-ca"[..], 3));
    assert_eq!(rule, "key.user-ca.allow.staff.budget");
    let Entry::Thaw { freeze, by, why, .. } = &entries[usize::try_from(receipt.index).unwrap()] else {
        panic!()
    };
    assert_eq!(
        (*freeze, by.as_slice(), why.as_slice()),
        (u64::try_from(at).unwrap(), &b"uid:0"[..], &b"it was a test"[..])
    );
}

#[tokio::test]
async fn who_is_frozen_beside_the_log_and_not_by_it_or_the_reverse_is_named() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let policy = strict();
    let found = || wrong(&audited_at(&fixture.config, UnixMillis::now()));
    // Of what comes after the log was read nothing is wrong.
    let found_since = |mut report: Report| {
        report.compare_kept(&Reader::open(&fixture.config).unwrap(), UnixMillis::now());
        wrong(&report)
    };
    let report = audited(&fixture.config);
    let frozen = |to: &str| {
        let change = match fixture::database(&fixture.config) {
            None => format!("UPDATE standing SET frozen = {to}"),
            Some(_) => {
                format!("UPDATE countersign.standing SET frozen = {to}, frozen_by = {to}::bigint * 0 + 1")
            }
        };
        match fixture::database(&fixture.config) {
            None => drop(fixture.sql(&change)),
            Some(database) => drop(database.sql(&change)),
        }
    };
    while word(&fixture, &ledger, &policy).await != "FROZEN" {}
    ledger.queue.settled().await;
    assert_eq!((found(), found_since(report)), (vec![], vec![]));
    let freeze = fixture.entries().iter().position(|entry| matches!(entry, Entry::Freeze { .. })).unwrap();
    frozen("NULL");
    assert_eq!(found(), [(u64::try_from(freeze).unwrap(), "NOT_KEPT")]);
    for other in [0, 1000] {
        frozen(&other.to_string());
        let last = u64::try_from(fixture.entries().len()).unwrap() - 1;
        assert_eq!(found(), [(last.min(other), "NOT_KEPT")], "{other}");
    }
    frozen(&freeze.to_string());
    let report = audited(&fixture.config);
    thaw(&ledger).await.unwrap();
    assert_eq!((found(), found_since(report)), (vec![], vec![]));
    frozen(&freeze.to_string());
    assert_eq!(found(), [(u64::try_from(freeze).unwrap(), "NOT_KEPT")]);
    ledger.close().await;
}

#[tokio::test]
async fn a_freeze_is_of_one_caller_and_keeps_back_answers_too() {
    let (fixture, policy) = (Fixture::new(), strict());
    let ledger = fixture.open();
    let request = fixture.request("alice");
    let first = intent(ask(&fixture, &ledger, &policy, request.clone()).await);
    let signature = fixture.sign(&first);
    ledger.settle(first, signature).unwrap();
    assert_eq!(words::<5>(&fixture, &ledger, &policy).await[4], "FROZEN");
    let refused = ask(&fixture, &ledger, &policy, request).await.permitted().unwrap_err();
    assert_eq!((refused.refusal.reason.code_word(), refused.retry_after), ("FROZEN", None));
    let both = Fixture::policy(|text| text.replace("\"uid:1000\"", "\"uid:1000\", \"uid:1001\""));
    let other = Request { caller: Caller::for_test("uid:1001"), ..fixture.request("alice") };
    ask(&fixture, &ledger, &both, other).await.permitted().unwrap();
}

async fn refuse(fixture: &Fixture, ledger: &Ledger, caller: &str) -> Option<u64> {
    let request = Request { caller: Caller::for_test(caller), ..fixture.request("root") };
    fixture.record(ledger, request).await.permitted().unwrap_err().entry
}

/// How many refusals have an entry, and what the counting entries count.
fn refusals(fixture: &Fixture) -> (usize, Vec<u64>) {
    let entries = fixture.entries();
    let whole = entries.iter().filter(|entry| matches!(entry, Entry::Refusal { .. })).count();
    let counted = entries.iter().filter_map(|entry| match entry {
        Entry::Refusals { count, caller, .. } => {
            assert_eq!(caller, b"uid:1000");
            Some(*count)
        }
        _ => None,
    });
    (whole, counted.collect())
}

#[tokio::test]
async fn refusals_beyond_the_bound_are_counted_and_the_count_is_an_entry() {
    static SHIFT: Shift = Shift::new(0);
    let fixture = Fixture::in_file();
    let ledger = fixture.open_by(|| ahead(&SHIFT));
    let (mut whole, mut counted) = (0_usize, 0_u64);
    for _ in 0..1200 {
        if refuse(&fixture, &ledger, "uid:1000").await.is_some() { whole += 1 } else { counted += 1 }
    }
    // One comes back every six seconds, which the test itself may take.
    assert!((1000..1100).contains(&whole), "{whole}");
    let stored = "SELECT count FROM tally WHERE caller = CAST('uid:1000' AS BLOB)";
    let stored: i64 = fixture.sql("").query_row(stored, (), |row| row.get(0)).unwrap();
    assert_eq!(
        (stored.cast_unsigned(), refusals(&fixture)),
        (counted, (whole, Vec::new())),
        "durable at once"
    );
    assert!(refuse(&fixture, &ledger, "uid:1001").await.is_some(), "another caller's are whole");
    SHIFT.store(61, Ordering::Relaxed);
    // What comes a minute later, of whomever, brings the count with it.
    assert!(refuse(&fixture, &ledger, "uid:1001").await.is_some());
    assert_eq!(refusals(&fixture), (whole + 2, vec![counted]));
    ledger.close().await;
    assert_eq!(refusals(&fixture), (whole + 2, vec![counted]), "and only once");
}

#[tokio::test]
async fn closing_records_what_was_only_counted() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    let mut counted = 0;
    for _ in 0..1100 {
        counted += u64::from(refuse(&fixture, &ledger, "uid:1000").await.is_none());
    }
    assert!(counted > 0);
    ledger.close().await;
    assert_eq!(refusals(&fixture).1, [counted]);
    let rows = |fixture: &Fixture| -> i64 {
        fixture.sql("").query_row("SELECT count(*) FROM tally", (), |row| row.get(0)).unwrap()
    };
    assert_eq!(rows(&fixture), 1);
    let restarted = fixture.open();
    let mut whole = 0;
    for _ in 0..50 {
        whole += usize::from(refuse(&fixture, &restarted, "uid:1000").await.is_some());
    }
    assert!(whole < 25, "a restart is no new bucket: {whole}");
    restarted.close().await;
    // Long after, there is nothing to remember.
    let later = fixture.open_by(|| UnixMillis::now().after(Duration::from_secs(7200)));
    drop(later.record_self_test(fixture.key()).await.unwrap());
    later.close().await;
    fixture.open_by(|| UnixMillis::now().after(Duration::from_secs(7200))).close().await;
    assert_eq!(rows(&fixture), 0);
}
