//! CRLs and OCSP responses in the log: numbers that only grow, and what is recorded of what.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::sync::Arc;

use countersign_tbs::Tbs;
use countersign_tbs::crl::{CrlBuilder, CrlNumber, Updates};
use countersign_tbs::der::{Reader as Der, tag};

use crate::caller::CallerName;
use crate::ledger::entry::{AskedTbs, RevocationReason, Revoked, sha256};
use crate::ledger::fixture::{self, intent};
use crate::ledger::tests::{assert_one_is_begun, recorded_at_once};
use crate::ledger::{Entry, Ledger, Permitted, Reader, Recorded, Revocation};
use crate::policy::fixture::{Authority, NOW, key_id, list, pair, public_key, response};
use crate::sign::{Failure, Signed};
use crate::token::{RawSignature, TokenError, TokenName};

/// With a log in whatever store the environment says.
fn authority() -> Authority {
    let mut authority = Authority::new();
    fixture::choose_store(&mut authority.config.ledger);
    authority
}

fn open(authority: &Authority) -> Ledger {
    fixture::open(&authority.config.ledger)
}

fn complete(number: u64) -> Tbs {
    list(number.into(), None, 0)
}

fn delta(number: u64) -> Tbs {
    list(number.into(), Some(0), 0)
}

/// Of `dns:delta`, whose profile allows both series.
async fn record(authority: &Authority, ledger: &Ledger, tbs: &Tbs) -> Recorded {
    let request = Authority::request("dns:delta", "ca", tbs, None);
    ledger.record(authority.decide(request, NOW)).await.unwrap()
}

fn sign(ledger: &Ledger, recorded: Recorded) -> Signed {
    let intent = intent(recorded);
    let raw = RawSignature::for_test(pair(intent.key().name.as_str()).sign(intent.message()).as_ref());
    let signature = raw.verify(&intent).unwrap();
    ledger.settle(intent, Ok(signature)).unwrap()
}

fn fail(ledger: &Ledger, recorded: Recorded) {
    let busy = Failure::Token(TokenError::Busy { token: TokenName::new("t").unwrap(), given: false });
    ledger.settle(intent(recorded), Err(busy)).unwrap_err();
}

/// Whether this number is taken; if it is not, it is from now on.
async fn is_taken(authority: &Authority, ledger: &Ledger, tbs: &Tbs) -> bool {
    let recorded = record(authority, ledger, tbs).await;
    if let Err(refused) = &recorded.0 {
        assert_eq!(refused.refusal.reason.code_word(), "CRL_NUMBER_NOT_NEWER");
        return true;
    }
    sign(ledger, recorded);
    false
}

#[tokio::test]
async fn a_number_that_is_not_newer_is_a_recorded_refusal_after_a_restart_too() {
    let authority = authority();
    let mut ledger = open(&authority);
    assert!(!is_taken(&authority, &ledger, &complete(256)).await);
    for restart in [false, true] {
        if restart {
            ledger.close().await;
            ledger = open(&authority);
        }
        for number in [0, 255, 256] {
            let refused =
                record(&authority, &ledger, &list(number.into(), None, 1)).await.permitted().unwrap_err();
            let refusal = (refused.refusal.reason.code_word(), refused.refusal.rule.as_str());
            assert_eq!(refusal, ("CRL_NUMBER_NOT_NEWER", "ledger.crl_number"), "{number}");
        }
    }
    ledger.close().await;
    let reader = Reader::open(&authority.config.ledger).unwrap();
    let refusals = reader.entries(0..u64::MAX).filter(|entry| {
        matches!(&entry.as_ref().unwrap().1, Entry::Refusal { reason, .. } if reason == "CRL_NUMBER_NOT_NEWER")
    });
    assert_eq!(refusals.count(), 6);
}

/// The refusal of a number that leaps too far.
async fn too_far(authority: &Authority, ledger: &Ledger, tbs: &Tbs) -> String {
    let refused = record(authority, ledger, tbs).await.permitted().unwrap_err();
    assert_eq!(refused.refusal.reason.code_word(), "CRL_NUMBER_TOO_FAR", "{}", refused.refusal.message);
    assert!(refused.entry.is_some(), "it is an entry");
    refused.refusal.rule
}

#[tokio::test]
async fn no_list_takes_the_numbers_from_those_after_it() {
    let authority = authority();
    let ledger = open(&authority);
    let last = CrlNumber::new(&[[0x7f].as_slice(), &[0xff; 19]].concat()).unwrap();
    for first in [last, u64::MAX.into(), 1001.into()] {
        let rule = too_far(&authority, &ledger, &list(first, None, 0)).await;
        assert_eq!(rule, "key.ca.allow.delta.max_first_number", "{first}");
    }
    assert!(!is_taken(&authority, &ledger, &complete(1000)).await, "as if the one before were 0");
    let above = |more| CrlNumber::from(1000).checked_add(more).unwrap();
    for (number, base) in [(last, None), (above(1001), None), (last, Some(1)), (above(1001), Some(1))] {
        let rule = too_far(&authority, &ledger, &list(number, base, 0)).await;
        assert_eq!(rule, "key.ca.allow.delta.number_step", "{number}");
    }
    assert!(!is_taken(&authority, &ledger, &list(above(1000), Some(1), 0)).await);
    assert!(!is_taken(&authority, &ledger, &list(above(1001), None, 0)).await, "the next list");
    ledger.close().await;
    let restarted = open(&authority);
    assert!(is_taken(&authority, &restarted, &list(above(1001), None, 1)).await);
    too_far(&authority, &restarted, &list(above(2002), None, 0)).await;
}

#[tokio::test]
async fn the_two_series_count_together() {
    let authority = authority();
    let ledger = open(&authority);
    for (tbs, taken) in [
        (complete(5), false),
        (delta(4), true),
        (delta(5), false),
        (delta(5), true),
        (delta(7), false),
        (complete(6), true),
        (complete(7), false),
        (complete(7), true),
        (delta(7), true),
        (delta(8), false),
    ] {
        assert_eq!(is_taken(&authority, &ledger, &tbs).await, taken, "{tbs:?}");
    }
}

#[tokio::test]
async fn numbers_of_two_keys_do_not_meet() {
    let authority = authority();
    let ledger = open(&authority);
    assert!(!is_taken(&authority, &ledger, &complete(5)).await);
    let Tbs::Crl(other) = complete(5) else { panic!("a list") };
    let updates = Updates { this: other.this_update(), next: other.next_update() };
    let other = CrlBuilder::new(other.signature_algorithm(), other.issuer().clone(), updates)
        .authority_key_id(key_id(&public_key("lists")))
        .number(other.number())
        .build()
        .unwrap();
    let request = Authority::request("dns:front", "lists", &Tbs::Crl(other), None);
    sign(&ledger, ledger.record(authority.decide(request, NOW)).await.unwrap());
}

#[tokio::test]
async fn a_number_whose_list_nobody_has_is_free_for_another_list() {
    let authority = authority();
    let ledger = open(&authority);
    fail(&ledger, record(&authority, &ledger, &complete(5)).await);
    drop(record(&authority, &ledger, &list(5.into(), None, 1)).await);
    assert!(!is_taken(&authority, &ledger, &list(5.into(), None, 2)).await);
    assert!(is_taken(&authority, &ledger, &list(5.into(), None, 3)).await);
    assert!(is_taken(&authority, &ledger, &complete(4)).await);
}

#[tokio::test]
async fn lists_that_nobody_has_do_not_move_the_numbers_of_those_after_them() {
    let authority = Authority::new();
    let mut ledger = open(&authority);
    fail(&ledger, record(&authority, &ledger, &complete(1000)).await);
    too_far(&authority, &ledger, &complete(1001)).await;
    assert!(!is_taken(&authority, &ledger, &complete(5)).await, "as if there had been none");
    let in_work = record(&authority, &ledger, &complete(1000)).await;
    fail(&ledger, record(&authority, &ledger, &complete(1005)).await);
    for restart in [false, true] {
        if restart {
            ledger.close().await;
            ledger = open(&authority);
        }
        // Somebody may come to have 1000.
        for (number, taken) in [(6, true), (1000, true)] {
            assert_eq!(is_taken(&authority, &ledger, &complete(number)).await, taken, "{number} {restart}");
        }
        assert!(is_taken(&authority, &ledger, &delta(999)).await);
        if !restart {
            too_far(&authority, &ledger, &complete(2001)).await;
        }
    }
    drop(in_work);
    fail(&ledger, record(&authority, &ledger, &complete(2000)).await);
    assert!(!is_taken(&authority, &ledger, &delta(1001)).await);
    too_far(&authority, &ledger, &complete(2002)).await;
    assert!(!is_taken(&authority, &ledger, &complete(1001)).await);
    let rows: i64 = rusqlite::Connection::open(&authority.config.ledger.path)
        .unwrap()
        .query_row("SELECT count(*) FROM crl_number", (), |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 3, "no more than the newest of each series, and one that the newest was judged by");
}

#[tokio::test]
async fn a_log_of_schema_3_counts_on() {
    let authority = Authority::new();
    let ledger = open(&authority);
    assert!(!is_taken(&authority, &ledger, &complete(500)).await);
    ledger.close().await;
    let file = rusqlite::Connection::open(&authority.config.ledger.path).unwrap();
    file.execute_batch(
        "CREATE TABLE old (ca_key BLOB, series TEXT, number BLOB NOT NULL, intent INTEGER NOT NULL,
                           PRIMARY KEY (ca_key, series)) STRICT, WITHOUT ROWID;
         INSERT INTO old SELECT ca_key, series, number, intent FROM crl_number;
         DROP TABLE crl_number; ALTER TABLE old RENAME TO crl_number; DROP TABLE revocation; DROP TABLE revoked;
         UPDATE meta SET value = '3' WHERE name = 'schema';",
    )
    .unwrap();
    drop(file);
    let ledger = open(&authority);
    assert!(is_taken(&authority, &ledger, &complete(500)).await);
    assert!(!is_taken(&authority, &ledger, &complete(501)).await);
    assert!(!is_taken(&authority, &ledger, &complete(502)).await, "more than one number");
}

#[tokio::test]
async fn a_number_in_work_or_of_a_signer_that_was_killed_is_taken() {
    let authority = authority();
    let ledger = open(&authority);
    std::mem::forget(intent(record(&authority, &ledger, &complete(5)).await));
    assert!(is_taken(&authority, &ledger, &complete(5)).await);
    ledger.close().await;
    let restarted = open(&authority);
    assert!(is_taken(&authority, &restarted, &complete(5)).await);
    assert!(!is_taken(&authority, &restarted, &complete(6)).await);
}

#[tokio::test]
async fn a_log_from_before_there_were_lists_counts_them_too() {
    let authority = Authority::new();
    open(&authority).close().await;
    let file = rusqlite::Connection::open(&authority.config.ledger.path).unwrap();
    file.execute_batch("DROP TABLE crl_number").unwrap();
    drop(file);
    let ledger = open(&authority);
    assert!(!is_taken(&authority, &ledger, &complete(5)).await);
    assert!(is_taken(&authority, &ledger, &complete(5)).await);
}

#[tokio::test]
async fn of_many_with_one_number_at_once_one_is_begun() {
    let authority = authority();
    let ledger = open(&authority);
    let decisions = (0..50).map(|entries| {
        let request = Authority::request("dns:delta", "ca", &list(7.into(), None, entries), None);
        authority.decide(request, NOW)
    });
    assert_one_is_begun(
        recorded_at_once(&authority.config.ledger, &ledger, decisions).await,
        "CRL_NUMBER_NOT_NEWER",
    );
}

#[tokio::test]
async fn a_long_list_is_recorded_by_its_digest_and_answered_again() {
    let authority = authority();
    let ledger = open(&authority);
    let (short, long) = (list(7.into(), None, 1000), list(8.into(), None, 2000));
    for (tbs, id, index) in [(&short, "list-7", 0), (&long, "list-8", 2)] {
        let request = || Authority::request("dns:delta", "ca", tbs, Some(id));
        let first = sign(&ledger, ledger.record(authority.decide(request(), NOW)).await.unwrap());
        let again = ledger.record(authority.decide(request(), NOW)).await.unwrap();
        let Permitted::Replay(replay) = again.permitted().unwrap() else { panic!("asked before") };
        let again = replay.verify().unwrap();
        assert_eq!((again.receipt.index, again.object), (index, first.object));
    }
    let other = Authority::request("dns:delta", "ca", &list(9.into(), None, 2000), Some("list-8"));
    let refused = ledger.record(authority.decide(other, NOW)).await.unwrap().permitted().unwrap_err();
    assert_eq!(refused.refusal.reason.code_word(), "REQUEST_ID_REUSED");
    let reader = Reader::open(&authority.config.ledger).unwrap();
    let recorded: Vec<AskedTbs> = reader
        .entries(0..u64::MAX)
        .filter_map(|entry| match entry.unwrap().1 {
            Entry::Intent { asked, .. } => Some(asked.tbs),
            _ => None,
        })
        .collect();
    let len = u64::try_from(long.as_bytes().len()).unwrap();
    let digest = AskedTbs::Digest(sha256(&[long.as_bytes()]), len);
    assert_eq!(recorded, [AskedTbs::Whole(short.as_bytes().to_vec()), digest]);
}

#[tokio::test]
async fn a_response_claims_nothing_and_brings_the_certificate_of_a_delegated_responder() {
    let authority = authority();
    let ledger = open(&authority);
    for (key, responder, certificates) in [("ca", "CA", 0), ("responder", "Responder", 1)] {
        for _ in 0..2 {
            let request = Authority::request("dns:front", key, &response(responder), None);
            let signed = sign(&ledger, ledger.record(authority.decide(request, NOW)).await.unwrap());
            assert_eq!(certificates_in(&signed.object), certificates, "{key}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_revoked_by_serial_is_good_no_more() {
    let authority = authority();
    let mut ledger = open(&authority);
    let ask = |ledger: &Ledger, key: &str, responder: &str| {
        let request = Authority::request("dns:front", key, &response(responder), Some(key));
        let (ledger, decision) = (ledger.clone(), authority.decide(request, NOW));
        async move { ledger.record(decision).await.unwrap() }
    };
    let revocation = |key: &str, serial: u8| {
        let key = authority.keys.iter().find(|own| own.name.as_str() == key).unwrap();
        let (key, by) = (Arc::clone(key), CallerName::parse("uid:0").unwrap());
        let (what, reason) = (Revoked::Serial(vec![serial]), RevocationReason::Unspecified);
        Revocation { key, what, reason, in_ledger: false, by, why: "a test".to_owned() }
    };
    for other in [revocation("ca", 2), revocation("weak-ca", 1)] {
        ledger.revoke(other).await.unwrap();
    }
    let keys = [("ca", "CA"), ("responder", "Responder")];
    for (key, responder) in keys {
        sign(&ledger, ask(&ledger, key, responder).await);
    }
    ledger.revoke(revocation("ca", 1)).await.unwrap();
    for restart in [false, true] {
        if restart {
            ledger.close().await;
            ledger = open(&authority);
        }
        for (key, responder) in keys {
            let refused = ask(&ledger, key, responder).await.permitted().unwrap_err();
            let refusal = (refused.refusal.reason.code_word(), refused.refusal.rule.as_str());
            assert_eq!(refusal, ("CERTIFICATE_REVOKED", "ledger.good"), "{key}");
            assert!(
                refused.entry.is_some() && refused.refusal.message.contains("certificate 01 "),
                "{}",
                refused.refusal.message
            );
        }
    }
}

/// How many certificates come with an OCSPResponse.
fn certificates_in(object: &[u8]) -> usize {
    let mut outer = Der::new(object).value(tag::SEQUENCE, "OCSPResponse").unwrap();
    outer.value(tag::ENUMERATED, "responseStatus").unwrap();
    let mut explicit = outer.value(tag::constructed(0), "responseBytes").unwrap();
    let mut inner = explicit.value(tag::SEQUENCE, "responseBytes").unwrap();
    inner.oid("responseType").unwrap();
    let mut octets = inner.value(tag::OCTET_STRING, "response").unwrap();
    let mut basic = octets.value(tag::SEQUENCE, "BasicOCSPResponse").unwrap();
    basic.element(tag::SEQUENCE, "tbsResponseData").unwrap();
    basic.element(tag::SEQUENCE, "signatureAlgorithm").unwrap();
    basic.bit_string("signature").unwrap();
    if basic.is_empty() {
        return 0;
    }
    let mut certificates = basic.value(tag::constructed(0), "certs").unwrap();
    let mut certificates = certificates.value(tag::SEQUENCE, "certs").unwrap();
    let mut count = 0;
    while !certificates.is_empty() {
        certificates.element(tag::SEQUENCE, "certificate").unwrap();
        count += 1;
    }
    count
}
