#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::ledger::entry::AskedTbs;
use crate::policy::budget::Rate;

fn claim() -> Claim {
    let asked = Asked {
        caller: b"uid:1".to_vec(),
        key: b"user-ca".to_vec(),
        request_id: Some(b"one".to_vec()),
        kind: "ssh-certificate".to_owned(),
        tbs: AskedTbs::of(b"bytes"),
    };
    let ca_key =
        CaKey { purpose: "ssh-user-ca".to_owned(), scheme: "ed25519".to_owned(), spki_sha256: [1; 32] };
    let rate = Rate::parse("1/h").unwrap();
    let budget = Budget { rate, burst: rate.count(), volume: None, freeze_after: rate };
    Claim {
        asked,
        ca_key,
        unique: Unique::Serial(Serial(vec![1])),
        subject_key: None,
        good: Vec::new(),
        listing: None,
        rule: "key.user-ca.allow.staff".to_owned(),
        budget,
    }
}

fn earlier(Claim { asked, ca_key, .. }: Claim, fate: Fate) -> Earlier {
    Earlier { receipt: Receipt { index: 7, leaf_hash: [7; 32] }, log: None, asked, ca_key, fate }
}

fn fates() -> [(Fate, &'static str); 4] {
    [
        (Fate::Signed(vec![9]), "ANSWERED"),
        (Fate::InWork, "REQUEST_IN_PROGRESS"),
        (Fate::Unknown, "REQUEST_OUTCOME_UNKNOWN"),
        (Fate::Failed, "FREE"),
    ]
}

fn word(conflict: Option<Conflict>) -> &'static str {
    match conflict {
        None => "FREE",
        Some(Conflict::Refused(refusal) | Conflict::Exhausted { refusal, .. }) => refusal.reason.code_word(),
        Some(Conflict::Answered { receipt, signature, .. }) => {
            assert_eq!((receipt.index, signature), (7, vec![9]));
            "ANSWERED"
        }
    }
}

#[test]
fn the_same_request_is_answered_by_what_became_of_it() {
    for (fate, expected) in fates() {
        assert_eq!(word(claim().against_request(earlier(claim(), fate))), expected);
    }
}

#[test]
fn another_request_is_refused_unless_the_earlier_one_failed() {
    let others: [fn(&mut Claim); 6] = [
        |claim| claim.asked.tbs = AskedTbs::of(b"others"),
        |claim| claim.asked.tbs = AskedTbs::of(&vec![0; 40_000]),
        |claim| claim.asked.key = b"other-ca".to_vec(),
        |claim| claim.asked.kind = "x509-certificate".to_owned(),
        |claim| claim.ca_key.spki_sha256 = [2; 32],
        |claim| claim.ca_key.scheme = "rsa-pkcs1-sha256".to_owned(),
    ];
    for change in others {
        for (fate, same) in fates() {
            let mut other = claim();
            change(&mut other);
            let expected = if same == "FREE" { "FREE" } else { "REQUEST_ID_REUSED" };
            assert_eq!(word(other.against_request(earlier(claim(), fate))), expected);
        }
    }
}

#[test]
fn a_serial_is_free_only_for_the_same_bytes_that_nobody_has_a_signature_of() {
    for (fate, same) in fates() {
        let expected = if same == "FREE" { "FREE" } else { "SERIAL_REUSED" };
        assert_eq!(word(claim().against_serial(&earlier(claim(), fate))), expected);
    }
    let mut other = claim();
    other.asked.tbs = AskedTbs::of(b"others");
    assert_eq!(word(other.against_serial(&earlier(claim(), Fate::Failed))), "SERIAL_REUSED");
}

#[test]
fn an_outcome_that_released_nothing_frees_the_id() {
    for outcome in [Outcome::Failed("TOKEN_BUSY".to_owned()), Outcome::Discarded, Outcome::Abandoned] {
        for recorder in [Recorder::ThisProcess, Recorder::OneBefore] {
            assert!(matches!(Fate::of(Some(outcome.clone()), recorder), Fate::Failed));
        }
    }
    assert!(matches!(Fate::of(None, Recorder::ThisProcess), Fate::InWork));
    assert!(matches!(Fate::of(None, Recorder::OneBefore), Fate::Unknown));
}
