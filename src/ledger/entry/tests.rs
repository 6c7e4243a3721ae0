#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::cli::ledger::hex;
use crate::ledger::checkpoint::Checkpoint;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

fn asked() -> impl Strategy<Value = Asked> {
    let tbs = prop_oneof![
        bytes().prop_map(AskedTbs::Whole),
        any::<([u8; 32], u64)>().prop_map(|(hash, len)| AskedTbs::Digest(hash, len)),
    ];
    (bytes(), bytes(), option::of(bytes()), ".*", tbs)
        .prop_map(|(caller, key, request_id, kind, tbs)| Asked { caller, key, request_id, kind, tbs })
}

/// What may be asked and is permitted: what is not recorded whole is a long list.
fn permitted() -> impl Strategy<Value = Asked> {
    let list = || "x509-crl".to_owned();
    prop_oneof![
        (asked(), bytes()).prop_map(|(asked, tbs)| Asked { tbs: AskedTbs::Whole(tbs), ..asked }),
        (asked(), any::<[u8; 32]>(), 32_769..u64::MAX).prop_map(move |(asked, hash, len)| Asked {
            kind: list(),
            tbs: AskedTbs::Digest(hash, len),
            ..asked
        }),
    ]
}

fn ca_key() -> impl Strategy<Value = CaKey> {
    (".*", ".*", any::<[u8; 32]>()).prop_map(|(purpose, scheme, spki_sha256)| CaKey {
        purpose,
        scheme,
        spki_sha256,
    })
}

fn revoked() -> impl Strategy<Value = Revoked> {
    prop_oneof![
        bytes().prop_map(Revoked::Serial),
        bytes().prop_map(Revoked::KeyId),
        bytes().prop_map(Revoked::Name),
        any::<[u8; 32]>().prop_map(Revoked::SubjectKey),
        any::<(u64, u64)>()
            .prop_map(|(since, until)| Revoked::Recorded(UnixMillis(since), UnixMillis(until))),
        any::<u64>().prop_map(Revoked::Entry),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let time = || any::<u64>().prop_map(UnixMillis);
    let outcome = prop_oneof![
        bytes().prop_map(Outcome::Signed),
        ".*".prop_map(Outcome::Failed),
        Just(Outcome::Discarded),
        Just(Outcome::Abandoned),
    ];
    prop_oneof![
        (time(), permitted(), any::<[u8; 32]>(), ".*", ca_key()).prop_map(
            |(time, asked, policy, rule, ca_key)| Entry::Intent { time, asked, policy, rule, ca_key }
        ),
        (time(), asked(), any::<[u8; 32]>(), ".*", ".*", ".*").prop_map(
            |(time, asked, policy, rule, reason, message)| Entry::Refusal {
                time,
                asked,
                policy,
                rule,
                reason,
                message
            }
        ),
        (time(), any::<u64>(), outcome, any::<u64>(), prop::option::of(bytes())).prop_map(
            |(time, intent, outcome, latency_us, token)| Entry::Outcome {
                time,
                intent,
                outcome,
                latency_us,
                token
            }
        ),
        (time(), ".*", ca_key(), "[a-z./]{1,50}", any::<(u64, [u8; 32])>()).prop_map(
            |(time, key, ca_key, origin, (size, root))| Entry::Checkpoint {
                time,
                key,
                ca_key: CaKey { purpose: "ledger".to_owned(), ..ca_key },
                text: Checkpoint::new(origin, size, root).unwrap().to_string(),
            }
        ),
        (time(), ".*", ca_key(), any::<[u8; 32]>()).prop_map(|(time, key, ca_key, random)| {
            Entry::SelfTest { time, key, ca_key, challenge: challenge(&random) }
        }),
        (time(), bytes(), ca_key(), revoked(), any::<bool>(), bytes(), bytes()).prop_map(
            |(time, key, ca_key, what, in_ledger, by, why)| Entry::Revocation {
                time,
                spki: key.clone(),
                key,
                ca_key,
                what,
                reason: RevocationReason::KeyCompromise,
                in_ledger,
                by,
                why,
            }
        ),
        (time(), bytes(), time(), any::<u64>()).prop_map(|(time, caller, since, count)| Entry::Refusals {
            time,
            caller,
            since,
            count
        }),
        (time(), bytes(), bytes(), ".*", any::<u32>(), time()).prop_map(
            |(time, caller, key, rule, requests, since)| Entry::Freeze {
                time,
                caller,
                key,
                rule,
                requests,
                since
            }
        ),
        (time(), bytes(), bytes(), any::<u64>(), bytes(), bytes()).prop_map(
            |(time, caller, key, freeze, by, why)| Entry::Thaw { time, caller, key, freeze, by, why }
        ),
        by_operators(),
    ]
}

/// What is recorded of keys, because an operator does something with them.
fn by_operators() -> impl Strategy<Value = Entry> {
    let time = || any::<u64>().prop_map(UnixMillis);
    prop_oneof![
        (time(), bytes(), bytes(), bytes(), bytes(), bytes()).prop_map(
            |(time, key, spki, record, signature, by)| Entry::KeyRecord {
                time,
                token: key.clone(),
                key,
                spki,
                record,
                signature,
                by
            }
        ),
        (time(), bytes(), any::<[u8; 32]>(), bytes(), bytes(), bytes()).prop_map(
            |(time, token, spki_sha256, place, by, why)| Entry::KeyDeletion {
                time,
                token,
                spki_sha256,
                place,
                by,
                why
            }
        ),
        (time(), bytes(), ca_key(), bytes(), step(), bytes(), bytes()).prop_map(
            |(time, key, ca_key, old, step, by, why)| Entry::Rotation {
                time,
                spki: key.clone(),
                key,
                ca_key,
                old_spki: old.clone(),
                old,
                step,
                by,
                why,
            }
        ),
        (time(), bytes(), any::<[u8; 32]>(), bytes(), bytes()).prop_map(
            |(time, title, transcript_sha256, participants, by)| Entry::Ceremony {
                time,
                title,
                transcript_sha256,
                participants,
                by
            }
        ),
        (time(), bytes(), any::<([u8; 32], [u8; 32])>(), bytes(), bytes(), bytes()).prop_map(
            |(time, token, (spki_sha256, recipient_sha256), place, by, why)| Entry::KeyWrapping {
                time,
                token,
                spki_sha256,
                recipient_sha256,
                place,
                by,
                why
            }
        ),
    ]
}

fn step() -> impl Strategy<Value = RotationStep> {
    prop_oneof![
        Just(RotationStep::Stage),
        Just(RotationStep::Publish),
        any::<u64>().prop_map(|at| RotationStep::Activate(UnixMillis(at))),
        Just(RotationStep::Cancel),
        any::<bool>().prop_map(RotationStep::Retire),
    ]
}

proptest! {
    #[test]
    fn decode_gives_back_what_was_encoded(entry in entry()) {
        prop_assert_eq!(Entry::decode(&entry.encode().unwrap()), Ok(entry));
    }

    #[test]
    fn no_bytes_make_decode_panic(mut input in bytes()) {
        let _ = Entry::decode(&input);
        input.insert(0, VERSION);
        let _ = Entry::decode(&input);
    }

    /// Whatever decodes is the one encoding of what it says, also after a change.
    #[test]
    fn only_the_one_encoding_decodes(entry in entry(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = entry.encode().unwrap();
        *at.get_mut(&mut bytes) = byte;
        if let Ok(decoded) = Entry::decode(&bytes) {
            prop_assert_eq!(decoded.encode().unwrap(), bytes);
        }
    }
}

/// `docs/ledger.md` explains this entry byte by byte.
#[test]
fn an_outcome_has_the_documented_bytes() {
    let at = |token: Option<&[u8]>| Entry::Outcome {
        time: UnixMillis(1_700_000_000_000),
        intent: 41,
        outcome: Outcome::Failed("TOKEN_BUSY".to_owned()),
        latency_us: 250,
        token: token.map(<[u8]>::to_vec),
    };
    // As all were before outcomes named their token.
    let bytes = at(None).encode().unwrap();
    assert_eq!(hex(&bytes), "018203a4001b0000018bcfe568000118290282016a544f4b454e5f425553590318fa");
    assert_eq!(hex(&leaf_hash(&bytes)), "e4262dd9e61de0198b560f88d00724d01dfcefe71232236601085351b69a8a6c");
    assert_eq!(Entry::decode(&bytes), Ok(at(None)));
    let bytes = at(Some(b"hsm-2")).encode().unwrap();
    let named = "018203a5001b0000018bcfe568000118290282016a544f4b454e5f425553590318fa044568736d2d32";
    assert_eq!(hex(&bytes), named);
    assert_eq!(Entry::decode(&bytes), Ok(at(Some(b"hsm-2"))));
}

/// The entry above, in CBOR that says the same but is not deterministic.
#[test]
fn refuses_cbor_that_is_not_deterministic() {
    let cases: [(&str, &[u8]); 8] = [
        ("a long integer", b"\x01\x82\x18\x03\xa4\x00\x01\x01\x00\x02\x81\x02\x03\x00"),
        ("an indefinite map", b"\x01\x82\x03\xbf\x00\x01\x01\x00\x02\x81\x02\x03\x00\xff"),
        ("another order", b"\x01\x82\x03\xa4\x01\x00\x00\x01\x02\x81\x02\x03\x00"),
        ("a repeated field", b"\x01\x82\x03\xa5\x00\x01\x00\x01\x01\x00\x02\x81\x02\x03\x00"),
        ("an unknown field", b"\x01\x82\x03\xa5\x00\x01\x01\x00\x02\x81\x02\x03\x00\x05\x00"),
        ("a token that is none", b"\x01\x82\x03\xa5\x00\x01\x01\x00\x02\x81\x02\x03\x00\x04\xf6"),
        ("a long token", b"\x01\x82\x03\xa5\x00\x01\x01\x00\x02\x81\x02\x03\x00\x04\x58\x01a"),
        ("trailing bytes", b"\x01\x82\x03\xa4\x00\x01\x01\x00\x02\x81\x02\x03\x00\x00"),
    ];
    let good = b"\x01\x82\x03\xa4\x00\x01\x01\x00\x02\x81\x02\x03\x00";
    let says = Entry::Outcome {
        time: UnixMillis(1),
        intent: 0,
        outcome: Outcome::Discarded,
        latency_us: 0,
        token: None,
    };
    assert_eq!(Entry::decode(good), Ok(says));
    for (what, bytes) in cases {
        assert_eq!(Entry::decode(bytes), Err(DecodeError::NotDeterministic), "{what}");
    }
}

#[test]
fn refuses_other_versions_lengths_and_kinds() {
    assert_eq!(Entry::decode(b""), Err(DecodeError::Length(0)));
    assert_eq!(Entry::decode(&vec![VERSION; MAX_LEN + 1]), Err(DecodeError::Length(MAX_LEN + 1)));
    assert_eq!(Entry::decode(b"\x02\x82\x03\xa0"), Err(DecodeError::Version(2)));
    assert_eq!(Entry::decode(b"\x01\x82\x08\xa0"), Err(DecodeError::Cbor));
    assert_eq!(Entry::decode(b"\x01\x82\x03\xa0"), Err(DecodeError::Cbor));
}

#[test]
fn refuses_what_hides_what_is_signed() {
    let decoded = |entry: Entry| Entry::decode(&entry.encode().unwrap()).map(drop);
    let ca_key = |purpose: &str| CaKey {
        purpose: purpose.to_owned(),
        scheme: "ed25519".to_owned(),
        spki_sha256: [1; 32],
    };
    let (time, key) = (UnixMillis(1), || "a-key".to_owned());
    let self_test =
        |challenge| decoded(Entry::SelfTest { time, key: key(), ca_key: ca_key("x509-ca"), challenge });
    let whole = [b"countersign self-test; this is no certificate: ".as_slice(), &[9; 32]].concat();
    assert_eq!(self_test(whole.clone()), Ok(()));
    let longer = [whole.as_slice(), &[9]].concat();
    for other in [&whole[1..], &whole[..whole.len() - 1], &longer, b"\x30\x82\x01\x00", b""] {
        assert_eq!(self_test(other.to_vec()), Err(DecodeError::Challenge), "{other:?}");
    }
    let checkpoint = |purpose: &str, text: &str| {
        decoded(Entry::Checkpoint { time, key: key(), ca_key: ca_key(purpose), text: text.to_owned() })
    };
    let text = Checkpoint::new("test.example/log", 1, [2; 32]).unwrap().to_string();
    assert_eq!(checkpoint("ledger", &text), Ok(()));
    for (purpose, text) in
        [("ssh-user-ca", text.as_str()), ("ledger", "no checkpoint"), ("ledger", &text[1..9])]
    {
        assert_eq!(checkpoint(purpose, text), Err(DecodeError::Checkpoint), "{purpose} {text}");
    }
    let intent = |kind: &str, tbs| {
        let asked = Asked { caller: vec![], key: vec![], request_id: None, kind: kind.to_owned(), tbs };
        decoded(Entry::Intent { time, asked, policy: [0; 32], rule: key(), ca_key: ca_key("x509-ca") })
    };
    assert_eq!(intent("x509-crl", AskedTbs::Digest([3; 32], 32_769)), Ok(()));
    for (kind, len) in
        [("x509-crl", 32_768), ("x509-certificate", 32_769), ("ssh-certificate", 40_000), ("", 40_000)]
    {
        assert_eq!(
            intent(kind, AskedTbs::Digest([3; 32], len)),
            Err(DecodeError::Unreadable),
            "{kind} {len}"
        );
    }
}

#[test]
fn records_a_long_tbs_by_its_digest() {
    let bytes = vec![7; MAX_WHOLE_TBS + 1];
    assert_eq!(AskedTbs::of(&bytes[1..]), AskedTbs::Whole(vec![7; MAX_WHOLE_TBS]));
    assert_eq!(AskedTbs::of(&bytes), AskedTbs::Digest(sha256(&[&bytes]), 32_769));
}

#[test]
fn refuses_to_make_an_entry_that_is_too_long() {
    let entry = |len| Entry::SelfTest {
        time: UnixMillis(0),
        key: String::new(),
        ca_key: CaKey { purpose: String::new(), scheme: String::new(), spki_sha256: [0; 32] },
        challenge: vec![0; len],
    };
    let overhead = entry(60_000).encode().unwrap().len() - 60_000;
    assert_eq!(entry(MAX_LEN - overhead).encode().unwrap().len(), MAX_LEN);
    assert_eq!(entry(MAX_LEN - overhead + 1).encode(), Err(EntryTooLong { len: MAX_LEN + 1 }));
}

/// RFC 6962's empty-entry leaf, and a known one of Certificate Transparency's reference tests.
#[test]
fn hashes_leaves_as_rfc_6962_does() {
    assert_eq!(hex(&leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    assert_eq!(hex(&leaf_hash(&[0])), "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7");
}
