//! One answer for each request id and one certificate for each serial, as a caller and the file see them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::ledger::fixture::{Fixture, intent};
use crate::ledger::tests::{assert_one_is_begun, recorded_at_once};
use crate::ledger::{Entry, Ledger, Permitted, Recorded, Replay};
use crate::sign::{Failure, Request, Signed};
use crate::token::TokenError;

fn reason(recorded: Recorded) -> &'static str {
    recorded.permitted().unwrap_err().refusal.reason.code_word()
}

fn replay(recorded: Recorded) -> Replay {
    match recorded.permitted().unwrap() {
        Permitted::Replay(replay) => replay,
        Permitted::Intent(intent) => panic!("{intent:?}"),
    }
}

async fn sign(fixture: &Fixture, ledger: &Ledger, request: Request) -> Signed {
    let intent = intent(fixture.record(ledger, request).await);
    let signature = fixture.sign(&intent);
    ledger.settle(intent, signature).unwrap()
}

fn busy() -> Failure {
    Failure::Token(TokenError::Busy { token: crate::token::TokenName::new("one").unwrap(), given: false })
}

#[tokio::test]
async fn a_request_that_comes_again_has_the_same_answer_and_leaves_no_entry() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    let first = sign(&fixture, &ledger, request.clone()).await;
    for again in [&ledger.clone(), &ledger] {
        let second = replay(fixture.record(again, request.clone()).await).verify().unwrap();
        assert_eq!(format!("{second:?}"), format!("{first:?}"));
    }
    ledger.close().await;
    assert_eq!(fixture.entries().len(), 2);

    let restarted = fixture.open();
    let third = replay(fixture.record(&restarted, request).await).verify().unwrap();
    assert_eq!(format!("{third:?}"), format!("{first:?}"));
}

#[tokio::test]
async fn without_a_request_id_nothing_is_remembered() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    for _ in 0..2 {
        sign(&fixture, &ledger, Request { request_id: None, ..fixture.request("alice") }).await;
    }
    let request = Request { request_id: None, ..fixture.request("alice") };
    sign(&fixture, &ledger, request.clone()).await;
    assert_eq!(reason(fixture.record(&ledger, request).await), "SERIAL_REUSED");
}

#[tokio::test]
async fn an_id_with_other_bytes_is_a_recorded_refusal() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    sign(&fixture, &ledger, request.clone()).await;
    let other = Request { bytes: fixture.request("alice").bytes, ..request };
    let refused = fixture.record(&ledger, other).await.permitted().unwrap_err();
    assert_eq!(
        (refused.refusal.rule.as_str(), refused.refusal.reason.code_word(), refused.entry),
        ("ledger.request_id", "REQUEST_ID_REUSED", Some(2))
    );
    let entries = fixture.entries();
    let Entry::Refusal { reason, rule, .. } = &entries[2] else { panic!("{entries:?}") };
    assert_eq!((reason.as_str(), rule.as_str()), ("REQUEST_ID_REUSED", "ledger.request_id"));
}

#[tokio::test]
async fn a_request_in_work_is_not_begun_twice() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    let first = intent(fixture.record(&ledger, request.clone()).await);
    assert_eq!(reason(fixture.record(&ledger, request.clone()).await), "REQUEST_IN_PROGRESS");
    let signature = fixture.sign(&first);
    ledger.settle(first, signature).unwrap();
    replay(fixture.record(&ledger, request).await).verify().unwrap();
}

#[tokio::test]
async fn of_many_that_come_at_once_one_is_begun() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    let decisions = (0..50).map(|_| fixture.decide(request.clone()));
    assert_one_is_begun(recorded_at_once(&fixture.config, &ledger, decisions).await, "REQUEST_IN_PROGRESS");
}

#[tokio::test]
async fn an_id_whose_request_failed_is_usable_again() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    let first = intent(fixture.record(&ledger, request.clone()).await);
    ledger.settle(first, Err(busy())).unwrap_err();
    let second = intent(fixture.record(&ledger, request.clone()).await);
    drop(second);
    let signed = sign(&fixture, &ledger, request.clone()).await;
    let again = replay(fixture.record(&ledger, request).await).verify().unwrap();
    assert_eq!((again.receipt.index, again.object), (signed.receipt.index, signed.object));
}

#[tokio::test]
async fn an_id_whose_signer_was_killed_stays_burned() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    std::mem::forget(intent(fixture.record(&ledger, request.clone()).await));
    ledger.close().await;
    let restarted = fixture.open();
    for _ in 0..2 {
        assert_eq!(reason(fixture.record(&restarted, request.clone()).await), "REQUEST_OUTCOME_UNKNOWN");
    }
}

#[tokio::test]
async fn a_caller_that_lost_its_permission_gets_nothing_again() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    sign(&fixture, &ledger, request.clone()).await;
    let stricter = Fixture::policy(|text| text.replace("\"alice\"", "\"bob\""));
    assert_eq!(
        reason(ledger.record(fixture.decide_by(&stricter, request)).await.unwrap()),
        "PRINCIPAL_NOT_ALLOWED"
    );
}

#[tokio::test]
async fn ids_of_two_callers_do_not_meet() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    sign(&fixture, &ledger, request.clone()).await;
    let both = Fixture::policy(|text| text.replace("\"uid:1000\"", "\"uid:1000\", \"uid:1001\""));
    let other = Request {
        caller: crate::caller::Caller::for_test("uid:1001"),
        request_id: request.request_id,
        ..fixture.request("alice")
    };
    intent(ledger.record(fixture.decide_by(&both, other)).await.unwrap());
}

#[tokio::test]
async fn a_recorded_signature_that_does_not_verify_never_leaves() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    let (request, other) = (fixture.request("alice"), fixture.request("alice"));
    sign(&fixture, &ledger, request.clone()).await;
    sign(&fixture, &ledger, other).await;
    ledger.close().await;
    // The signature of the other request in place of its own.
    let Entry::Outcome { time, outcome, latency_us, .. } = fixture.entries().remove(3) else { panic!() };
    let leaf = Entry::Outcome { time, intent: 0, outcome, latency_us, token: None }.encode().unwrap();
    let changed = fixture.sql("DROP TRIGGER entry_is_never_changed");
    changed.execute("UPDATE entry SET leaf = ?1 WHERE idx = 1", [leaf]).unwrap();
    fixture.remove_index();
    let restarted = fixture.open();
    let error = replay(fixture.record(&restarted, request).await).verify().unwrap_err();
    assert_eq!(error.word(), "SIGNATURE_WITHHELD");
}

#[tokio::test]
async fn an_index_that_leads_to_a_missing_entry_signs_nothing() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    sign(&fixture, &ledger, request.clone()).await;
    std::mem::forget(fixture.intent(&ledger).await);
    let cause = async || {
        let error = ledger.record(fixture.decide(request.clone())).await.unwrap_err();
        assert_eq!(error.word(), "LEDGER_UNAVAILABLE");
        std::error::Error::source(&error).unwrap().to_string()
    };
    fixture.sql("DROP TRIGGER entry_is_never_removed; DELETE FROM entry WHERE idx = 0");
    let missing = cause().await;
    assert!(missing.contains("leads to entry 0"), "{missing}");
    fixture.sql("DELETE FROM entry WHERE idx = 2");
    let cut = cause().await;
    assert!(cut.contains("has 2 entries where it had 3"), "{cut}");
}

#[tokio::test]
async fn a_serial_of_another_certificate_is_a_recorded_refusal() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    sign(&fixture, &ledger, fixture.request_with_serial(u64::MAX)).await;
    let other = || Request { request_id: None, ..fixture.request_with_serial(u64::MAX) };
    let refused = fixture.record(&ledger, other()).await.permitted().unwrap_err();
    assert_eq!(
        (refused.refusal.rule.as_str(), refused.refusal.reason.code_word(), refused.entry),
        ("ledger.serial", "SERIAL_REUSED", Some(2))
    );
    ledger.close().await;
    assert!(matches!(&fixture.entries()[2], Entry::Refusal { reason, .. } if reason == "SERIAL_REUSED"));
    let restarted = fixture.open();
    assert_eq!(reason(fixture.record(&restarted, other()).await), "SERIAL_REUSED");
    sign(&fixture, &restarted, fixture.request_with_serial(u64::MAX - 1)).await;
}

#[tokio::test]
async fn of_many_with_one_serial_at_once_one_is_begun() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = || Request { request_id: None, ..fixture.request_with_serial(7) };
    let decisions = (0..50).map(|_| fixture.decide(request()));
    assert_one_is_begun(recorded_at_once(&fixture.config, &ledger, decisions).await, "SERIAL_REUSED");
}

#[tokio::test]
async fn a_serial_stays_its_bytes_own_when_they_failed() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = Request { request_id: None, ..fixture.request_with_serial(7) };
    let first = intent(fixture.record(&ledger, request.clone()).await);
    ledger.settle(first, Err(busy())).unwrap_err();
    let other = Request { request_id: None, ..fixture.request_with_serial(7) };
    assert_eq!(reason(fixture.record(&ledger, other).await), "SERIAL_REUSED");
    sign(&fixture, &ledger, request.clone()).await;
    assert_eq!(reason(fixture.record(&ledger, request).await), "SERIAL_REUSED");
}

#[tokio::test]
async fn a_refused_request_takes_no_serial() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request_with_serial(7);
    let stricter = Fixture::policy(|text| text.replace("\"alice\"", "\"bob\""));
    let refused = ledger.record(fixture.decide_by(&stricter, request.clone())).await.unwrap();
    assert_eq!(reason(refused), "PRINCIPAL_NOT_ALLOWED");
    sign(&fixture, &ledger, request).await;
}

#[tokio::test]
async fn looking_for_what_a_caller_has_left_reads_one_row_of_a_table() {
    let fixture = Fixture::in_file();
    fixture.open().close().await;
    let connection = fixture.sql("");
    for sql in [
        "SELECT intent FROM crl_number WHERE ca_key = x'' AND series = ''",
        "SELECT rate FROM spent WHERE caller = x'' AND key = x'' AND rule = ''",
        "SELECT tries FROM standing WHERE caller = x'' AND key = x''",
        "SELECT whole FROM tally WHERE caller = x''",
    ] {
        let plan: String =
            connection.query_row(&format!("EXPLAIN QUERY PLAN {sql}"), (), |row| row.get("detail")).unwrap();
        assert!(plan.starts_with("SEARCH") && plan.contains("PRIMARY KEY"), "{plan}");
    }
}
