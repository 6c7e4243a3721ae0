//! What is revoked, and what a revocation bars.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign_tbs::x509::{
    CertificateBuilder, Extension, ExtensionValue, GeneralName, SignatureAlgorithm, Validity,
};

use super::*;
use crate::caller::CallerName;
use crate::key::Key;
use crate::ledger::entry::{RevocationReason, Revoked, subject_key};
use crate::policy::fixture::{NOW, name, public_key, time};
use crate::sign::{Request, RequestId};

fn revocation(fixture: &Fixture, what: Revoked, reason: RevocationReason) -> Revocation {
    let (key, by) = (Arc::clone(fixture.key()), CallerName::parse("uid:0").unwrap());
    Revocation { key, what, reason, in_ledger: true, by, why: "a test".to_owned() }
}

/// The subject key that a request is for.
fn subject(request: &Request) -> Revoked {
    let tbs = Tbs::parse(request.kind, &request.bytes).unwrap();
    Revoked::SubjectKey(subject_key(&tbs).unwrap())
}

fn reason(recorded: Recorded) -> Option<&'static str> {
    recorded.permitted().err().map(|refused| refused.refusal.reason.code_word())
}

/// The same bytes under another name, so that they are no request that comes again.
fn renamed(request: &Request) -> Request {
    Request { request_id: Some(RequestId::new("another").unwrap()), ..request.clone() }
}

#[tokio::test]
async fn a_compromised_key_has_nothing_signed_not_even_an_answer_again() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let (bad, good) = (fixture.request("alice"), fixture.request("alice"));
    let intent = fixture::intent(fixture.record(&ledger, bad.clone()).await);
    let signature = fixture.sign(&intent);
    ledger.settle(intent, signature).unwrap();
    ledger.revoke(revocation(&fixture, subject(&bad), RevocationReason::Superseded)).await.unwrap();
    assert_eq!(reason(fixture.record(&ledger, bad.clone()).await), None, "the same answer again");

    let compromised = revocation(&fixture, subject(&bad), RevocationReason::KeyCompromise);
    let receipt = ledger.revoke(compromised).await.unwrap();
    assert_eq!(reason(fixture.record(&ledger, bad.clone()).await), Some("SUBJECT_KEY_REVOKED"));
    assert_eq!(reason(fixture.record(&ledger, good).await), None, "another key");
    ledger.close().await;
    let entries = fixture.entries();
    let entry = &entries[usize::try_from(receipt.index).unwrap()];
    let Entry::Revocation { ca_key, spki, .. } = entry else { panic!("{entry:?}") };
    assert_eq!(entry::sha256(&[spki]), ca_key.spki_sha256);

    // It is known again by the index, and by the log alone.
    for forget in [false, true] {
        if forget {
            fixture.remove_index();
        }
        let ledger = fixture.open();
        assert_eq!(reason(fixture.record(&ledger, renamed(&bad)).await), Some("SUBJECT_KEY_REVOKED"));
        ledger.close().await;
    }
}

/// Whether they share a transaction or not.
#[tokio::test]
async fn what_is_asked_for_after_a_revocation_waits_behind_it() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    for _ in 0..50 {
        let request = fixture.request("alice");
        let compromised = revocation(&fixture, subject(&request), RevocationReason::KeyCompromise);
        let (revoked, recorded) = tokio::join!(ledger.revoke(compromised), fixture.record(&ledger, request));
        revoked.unwrap();
        assert_eq!(reason(recorded), Some("SUBJECT_KEY_REVOKED"));
    }
}

#[tokio::test]
async fn a_time_means_what_was_recorded_then_wherever_it_is_in_the_log() {
    static BACK: AtomicU64 = AtomicU64::new(0);
    let fixture = Fixture::new();
    let config = Config { clock_tolerance: Duration::from_secs(7200), ..fixture.config.clone() };
    let now = || UnixMillis(UnixMillis::now().0 - BACK.load(Ordering::Relaxed));
    let ledger = fixture::open_by(&config, now);
    // Halving begins in the middle, and would go on to the left.
    for back in [[0; 9].as_slice(), &[3_600_000], &[0; 2]].concat() {
        BACK.store(back, Ordering::Relaxed);
        drop(fixture.intent(&ledger).await);
    }
    let ago = |secs: u64| UnixMillis(UnixMillis::now().0 - secs * 1000);
    for (since, until, found) in [(5400, 1800, true), (7200, 5400, false)] {
        let then = Revoked::Recorded(ago(since), ago(until));
        assert_eq!(ledger.has_issued(fixture.key(), &then).await.unwrap(), found, "{since}");
    }
}

#[test]
fn names_are_compared_as_verifiers_do() {
    let key = public_key("subject");
    let validity = Validity { not_before: time(NOW), not_after: time(NOW + 60) };
    let names = vec![
        GeneralName::Dns("wWw.example.org".to_owned()),
        GeneralName::UserPrincipalName("Alice@Example.org".to_owned()),
    ];
    let tbs = CertificateBuilder::new(SignatureAlgorithm::Ed25519, name("CA"), validity, key)
        .subject(name("Www"))
        .extension(Extension::non_critical(ExtensionValue::SubjectAltName(names)))
        .build()
        .unwrap();
    let tbs = Tbs::X509(tbs);
    let means = |name: &str| Revoked::Name(name.as_bytes().to_vec()).means(0, UnixMillis(0), &tbs);
    let all =
        ["DNS:www.example.org", "DNS:WWW.example.ORG", "DNS:wWw.example.org", "CN=Www", "CN=www", "cn= WWW"];
    for name in all.into_iter().chain(["UPN:Alice@Example.org", "UPN:alice@example.org"]) {
        assert!(means(name), "{name}");
    }
    assert!(!means("DNS:ww.example.org") && !means("CN=ww") && !means("UPN:alic@example.org"));
}

#[tokio::test]
async fn a_selection_is_of_this_keys_certificates_alone() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request_with_serial(7);
    let by_key = subject(&request);
    let receipt = fixture::intent(fixture.record(&ledger, request).await).receipt();
    let refused = fixture.request("root");
    fixture.record(&ledger, refused).await.permitted().unwrap_err();
    let (serial, far) = (|serial: u64| Revoked::Serial(serial.to_be_bytes().to_vec()), UnixMillis(u64::MAX));
    let cases = [
        (serial(7), true),
        (serial(8), false),
        (Revoked::KeyId(b"alice smith".to_vec()), true),
        (Revoked::KeyId(b"alice".to_vec()), false),
        (Revoked::Name(b"alice".to_vec()), true),
        (Revoked::Name(b"root".to_vec()), false),
        (by_key, true),
        (Revoked::SubjectKey([7; 32]), false),
        (Revoked::Recorded(UnixMillis(0), far), true),
        (Revoked::Recorded(UnixMillis(0), UnixMillis(1)), false),
        (Revoked::Entry(receipt.index), true),
        (Revoked::Entry(receipt.index + 1), false),
        (Revoked::Entry(u64::MAX), false),
    ];
    let other = Key::clone(fixture.key());
    let other = Key::new(other.name, other.purpose, other.scheme, crate::policy::fixture::public_key("one"));
    for (what, found) in cases {
        assert_eq!(ledger.has_issued(fixture.key(), &what).await.unwrap(), found, "{what:?}");
        if let Ok(other) = &other {
            assert!(!ledger.has_issued(other, &what).await.unwrap(), "{what:?} of another CA key");
        }
    }
}
