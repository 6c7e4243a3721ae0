//! Lists and responses that say other than what is revoked, of one signer and of two.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use countersign_tbs::crl::{CrlBuilder, EntryExtension, Reason as Word, RevokedEntry, Updates};
use countersign_tbs::der::{Oid, StringKind, oids};
use countersign_tbs::x509::{
    Attribute, BasicConstraints, CertificateBuilder, GeneralName, KeyUsage, Name, SerialNumber,
    SignatureAlgorithm, Validity,
};
use test_postgres::Server;

use super::*;
use crate::key::{Key, KeyName, KeyPurpose, Keys};
use crate::ledger::entry::{RevocationReason, Revoked, subject_key};
use crate::ledger::fixture::use_database;
use crate::ledger::meant::{Looking, Meant};
use crate::policy::fixture::{Authority, DAY, NOW, key_id, name, pair, public_key, response, time};

mod kept;
mod members;
mod spelling;
mod unreadable;

/// Every certificate that was ever revoked, expired or not.
const EVER: Interval = Interval { this: 0, next: 0 };

/// The CA's key.
fn ca(authority: &Authority) -> [u8; 32] {
    authority.keys.iter().find(|own| own.name.as_str() == "ca").unwrap().spki_sha256()
}

/// A certificate of the CA: its serial, what its subject key is made of, and how long it is good.
fn web(serial: u8, subject: &str, secs: u64) -> Tbs {
    leaf(serial, subject, secs, oids::SERVER_AUTH, GeneralName::Dns(format!("{subject}.example.org")))
}

fn leaf(serial: u8, subject: &str, secs: u64, purpose: &[u8], name_of: GeneralName) -> Tbs {
    let validity = Validity { not_before: time(NOW), not_after: time(NOW + secs) };
    let tbs = CertificateBuilder::new(SignatureAlgorithm::Ed25519, name("CA"), validity, public_key(subject))
        .serial(serial_of(serial))
        .basic_constraints(BasicConstraints::Leaf)
        .key_usage(KeyUsage::DIGITAL_SIGNATURE)
        .ext_key_usage(vec![Oid::from_contents(purpose).unwrap()])
        .subject_alt_names(vec![name_of])
        .authority_key_id(key_id(&public_key("ca")));
    Tbs::X509(tbs.build().unwrap())
}

/// Long enough for policy.
fn serial_of(serial: u8) -> SerialNumber {
    SerialNumber::new(&[&[1; 16][..], &[serial]].concat()).unwrap()
}

fn list_of(number: u64, serials: &[u8]) -> Tbs {
    let entries: Vec<_> = serials.iter().map(|serial| (*serial, None)).collect();
    list_by("ca", number, &entries)
}

fn list_by(key: &str, number: u64, entries: &[(u8, Option<Word>)]) -> Tbs {
    list_of_issuer(name("CA"), key, number, entries)
}

fn list_of_issuer(issuer: Name, key: &str, number: u64, entries: &[(u8, Option<Word>)]) -> Tbs {
    let updates = Updates { this: time(NOW), next: time(NOW + DAY) };
    let list = CrlBuilder::new(SignatureAlgorithm::Ed25519, issuer, updates)
        .authority_key_id(key_id(&public_key(key)))
        .number(number.into());
    let list = entries.iter().fold(list, |list, (serial, word)| {
        let extensions = word.map(EntryExtension::Reason).into_iter().collect();
        list.entry(&RevokedEntry { extensions, ..RevokedEntry::new(serial_of(*serial), time(NOW)) })
    });
    Tbs::Crl(list.build().unwrap())
}

fn authority() -> Authority {
    let mut authority = Authority::new();
    fixture::choose_store(&mut authority.config.ledger);
    authority
}

async fn ask(authority: &Authority, ledger: &Ledger, key: &str, tbs: &Tbs) -> Result<Permitted, Refused> {
    // Whose lists may be long, and who may have certificates.
    let caller = if key == "ca" && matches!(tbs, Tbs::Crl(_)) { "dns:delta" } else { "dns:front" };
    let request = Authority::request(caller, key, tbs, None);
    ledger.record(authority.decide(request, NOW)).await.unwrap().permitted()
}

/// Has it signed; its entry.
async fn sign(authority: &Authority, ledger: &Ledger, key: &str, tbs: &Tbs) -> u64 {
    let Permitted::Intent(intent) = ask(authority, ledger, key, tbs).await.unwrap() else { panic!("anew") };
    let raw = crate::token::RawSignature::for_test(pair(key).sign(intent.message()).as_ref());
    let signature = raw.verify(&intent).unwrap();
    ledger.settle(intent, Ok(signature)).unwrap().receipt.index
}

/// Why it is refused, and what is said of it.
async fn refusal(authority: &Authority, ledger: &Ledger, key: &str, tbs: &Tbs) -> (&'static str, String) {
    let refused = ask(authority, ledger, key, tbs).await.unwrap_err();
    assert!(refused.entry.is_some(), "it is an entry");
    assert_eq!(
        refused.refusal.rule,
        if matches!(tbs, Tbs::Crl(_)) { "ledger.revoked" } else { "ledger.good" }
    );
    (refused.refusal.reason.code_word(), refused.refusal.message)
}

/// What of these serials a list of the CA has to name.
async fn missing(authority: &Authority, ledger: &Ledger, candidates: &[u8]) -> Vec<u8> {
    let mut missing = Vec::new();
    for serial in candidates {
        let others: Vec<u8> = candidates.iter().copied().filter(|other| other != serial).collect();
        match ask(authority, ledger, "ca", &list_of(1, &others)).await {
            Err(refused) if refused.refusal.reason.code_word() == "REVOKED_NOT_LISTED" => {
                missing.push(*serial);
            }
            // Nobody is given a signature, so the number stays free.
            other => drop(other.unwrap()),
        }
        ledger.queue.settled().await;
    }
    missing
}

/// Its subject key is certified no more.
async fn barred(authority: &Authority, ledger: &Ledger, tbs: &Tbs) {
    let refused = ask(authority, ledger, "ca", tbs).await.unwrap_err().refusal;
    assert_eq!((refused.reason.code_word(), &*refused.rule), ("SUBJECT_KEY_REVOKED", "ledger.subject_key"));
}

fn revocation(authority: &Authority, what: Revoked, reason: RevocationReason) -> Revocation {
    let key = authority.keys.iter().find(|own| own.name.as_str() == "ca").unwrap();
    let (key, by) = (Arc::clone(key), CallerName::parse("uid:0").unwrap());
    Revocation { key, what, reason, in_ledger: true, by, why: "a test".to_owned() }
}

async fn revoke(authority: &Authority, ledger: &Ledger, what: Revoked) -> Receipt {
    ledger.revoke(revocation(authority, what, RevocationReason::Unspecified)).await.unwrap()
}

fn by_serial(serial: u8) -> Revoked {
    Revoked::Serial(serial_of(serial).as_bytes().to_vec())
}

fn by_name(subject: &str) -> Revoked {
    Revoked::Name(format!("DNS:{subject}.example.org").into_bytes())
}

fn by_subject(subject: &str) -> Revoked {
    Revoked::SubjectKey(subject_key(&web(1, subject, 60)).unwrap())
}

#[tokio::test]
async fn a_list_names_all_that_is_revoked_after_a_restart_too() {
    let authority = authority();
    let mut ledger = fixture::open(&authority.config.ledger);
    revoke(&authority, &ledger, by_serial(7)).await;
    for restart in [false, true] {
        if restart {
            ledger.close().await;
            ledger = fixture::open(&authority.config.ledger);
        }
        // By the CA's own key, and by the one that signs lists in its name.
        for key in ["ca", "lists"] {
            let (word, message) = refusal(&authority, &ledger, key, &list_by(key, 5, &[(8, None)])).await;
            assert_eq!(word, "REVOKED_NOT_LISTED", "{key}");
            let serial = serial_of(7).to_string();
            assert!(
                message.contains("1 revoked certificates are not") && message.contains(&serial),
                "{message}"
            );
        }
    }
    // A number that was refused is free.
    for key in ["ca", "lists"] {
        sign(&authority, &ledger, key, &list_by(key, 5, &[(7, None), (8, None)])).await;
    }
}

#[tokio::test]
async fn a_list_of_another_ca_need_not_name_them() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    let weak = authority.keys.iter().find(|own| own.name.as_str() == "weak-ca").unwrap();
    let other = revocation(&authority, by_serial(7), RevocationReason::KeyCompromise);
    ledger.revoke(Revocation { key: Arc::clone(weak), ..other }).await.unwrap();
    for key in ["ca", "lists"] {
        sign(&authority, &ledger, key, &list_by(key, 5, &[])).await;
    }
}

#[tokio::test]
async fn a_subject_key_that_another_ca_revokes_is_certified_by_this_one() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    let weak = authority.keys.iter().find(|own| own.name.as_str() == "weak-ca").unwrap();
    let other = revocation(&authority, by_subject("a"), RevocationReason::KeyCompromise);
    ledger.revoke(Revocation { key: Arc::clone(weak), ..other }).await.unwrap();
    sign(&authority, &ledger, "ca", &web(1, "a", 3600)).await;
    revoke(&authority, &ledger, by_subject("a")).await;
    barred(&authority, &ledger, &web(2, "a", 3600)).await;
}

#[tokio::test]
async fn a_list_says_no_less_than_the_ledger_does() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    let compromised = revocation(&authority, by_serial(7), RevocationReason::KeyCompromise);
    ledger.revoke(revocation(&authority, by_serial(7), RevocationReason::Superseded)).await.unwrap();
    ledger.revoke(compromised).await.unwrap();
    ledger.revoke(revocation(&authority, by_serial(8), RevocationReason::Superseded)).await.unwrap();
    let compromise = Some(Word::KeyCompromise);
    for (of_7, of_8) in [
        (None, None),
        (Some(Word::Superseded), None),
        (Some(Word::CertificateHold), None),
        (compromise, Some(Word::CertificateHold)),
    ] {
        let tbs = list_by("ca", 5, &[(7, of_7), (8, of_8)]);
        let (word, message) = refusal(&authority, &ledger, "ca", &tbs).await;
        assert!(
            word == "REVOKED_NOT_LISTED" && message.contains("that is less"),
            "{of_7:?} {of_8:?}: {message}"
        );
    }
    sign(&authority, &ledger, "ca", &list_by("ca", 5, &[(7, compromise), (8, None)])).await;
}

/// Nor is it in lists for a shorter time since somebody had one made with its serial.
#[tokio::test]
async fn no_certificate_is_signed_whose_serial_is_revoked() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    revoke(&authority, &ledger, by_serial(7)).await;
    let refused = ask(&authority, &ledger, "ca", &web(7, "a", 3600)).await.unwrap_err().refusal;
    assert_eq!((refused.reason.code_word(), &*refused.rule), ("SERIAL_REUSED", "ledger.serial"));
    sign(&authority, &ledger, "ca", &web(8, "a", 3600)).await;
}

/// Whoever lost the answer asks again, and may be who the revocation is against.
#[tokio::test]
async fn a_certificate_that_is_revoked_is_not_handed_out_again() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    for (serial, what) in [(7, by_serial(7)), (8, by_name("h"))] {
        let tbs = web(serial, if serial == 7 { "g" } else { "h" }, 3600);
        let id = format!("id-{serial}");
        let again = async || {
            let request = Authority::request("dns:front", "ca", &tbs, Some(&id));
            ledger.record(authority.decide(request, NOW)).await.unwrap().permitted()
        };
        let Permitted::Intent(intent) = again().await.unwrap() else { panic!("anew") };
        let raw = crate::token::RawSignature::for_test(pair("ca").sign(intent.message()).as_ref());
        let signature = raw.verify(&intent).unwrap();
        ledger.settle(intent, Ok(signature)).unwrap();
        assert!(matches!(again().await, Ok(Permitted::Replay(_))), "what is not revoked");
        revoke(&authority, &ledger, what).await;
        let refused = again().await.unwrap_err().refusal;
        assert_eq!((refused.reason.code_word(), &*refused.rule), ("SERIAL_REUSED", "ledger.serial"));
        assert!(refused.message.contains("not handed out again"), "{}", refused.message);
    }
}

/// docs/policy.md has the order.
#[tokio::test]
async fn the_ledger_asks_in_the_order_of_the_manual() {
    let mut authority = Authority::with_budget("budget = \"1/h\"\nfreeze_after = \"2/h\"");
    fixture::choose_store(&mut authority.config.ledger);
    let ledger = fixture::open(&authority.config.ledger);
    let rule = async |tbs: &Tbs| {
        let request = Authority::request("dns:front", "ca", tbs, Some("one"));
        ledger.record(authority.decide(request, NOW)).await.unwrap().permitted().unwrap_err().refusal.rule
    };
    let (tbs, budget) = (web(1, "a", 3600), "key.ca.allow.web.budget");
    let mut rules = Vec::new();
    {
        let request = Authority::request("dns:front", "ca", &tbs, Some("one"));
        let Ok(Permitted::Intent(_intent)) =
            ledger.record(authority.decide(request, NOW)).await.unwrap().permitted()
        else {
            panic!("anew")
        };
        // Each asks for what several rules are against, of which one comes first.
        rules.push(rule(&web(2, "b", 3600)).await);
        revoke(&authority, &ledger, by_serial(1)).await;
        rules.push(rule(&tbs).await);
        revoke(&authority, &ledger, by_subject("a")).await;
        rules.push(rule(&tbs).await);
    }
    for _ in 0..2 {
        let refused = ask(&authority, &ledger, "ca", &web(3, "c", 3600)).await.unwrap_err().refusal;
        assert_eq!(refused.rule, budget);
    }
    rules.push(rule(&tbs).await);
    rules.reverse();
    assert_eq!(rules, ["ledger.freeze", "ledger.subject_key", "ledger.serial", "ledger.request_id"]);

    let manual = include_str!("../../../docs/policy.md");
    let (_, order) = manual.split_once("What policy permits may still be refused by the ledger").unwrap();
    let mut rest = order.split_once("\n\n|").unwrap().0;
    for rule in
        rules.iter().map(String::as_str).chain(["crl_number", "budget", "ledger.good", "ledger.revoked"])
    {
        let (_, after) =
            rest.split_once(rule).unwrap_or_else(|| panic!("{rule} comes later than in the manual"));
        rest = after;
    }
}

/// Who may have lists signed cannot have them compared without end.
#[tokio::test]
async fn what_is_compared_with_what_is_revoked_costs_what_is_signed_costs() {
    let mut authority = Authority::with_budget("budget = \"2/h\"\nfreeze_after = \"2/h\"");
    fixture::choose_store(&mut authority.config.ledger);
    let ledger = fixture::open(&authority.config.ledger);
    revoke(&authority, &ledger, by_serial(7)).await;
    // A list that is answered again.
    let list = list_by("lists", 5, &[(7, None)]);
    let again = async || {
        let request = Authority::request("dns:front", "lists", &list, Some("list"));
        ledger.record(authority.decide(request, NOW)).await.unwrap().permitted()
    };
    let Permitted::Intent(intent) = again().await.unwrap() else { panic!("anew") };
    let raw = crate::token::RawSignature::for_test(pair("lists").sign(intent.message()).as_ref());
    let signature = raw.verify(&intent).unwrap();
    ledger.settle(intent, Ok(signature)).unwrap();
    assert!(matches!(again().await, Ok(Permitted::Replay(_))));
    assert_eq!(again().await.unwrap_err().refusal.reason.code_word(), "BUDGET_EXHAUSTED");
    // One that leaves something out, and a response.
    revoke(&authority, &ledger, Revoked::Serial(vec![1])).await;
    for (tbs, word) in [(list_of(5, &[]), "REVOKED_NOT_LISTED"), (response("CA"), "CERTIFICATE_REVOKED")] {
        let mut words = Vec::new();
        for _ in 0..4 {
            let refused = ask(&authority, &ledger, "ca", &tbs).await.unwrap_err();
            words.push(refused.refusal.reason.code_word());
        }
        assert_eq!(words, [word, word, "BUDGET_EXHAUSTED", "BUDGET_EXHAUSTED"]);
        let frozen = ask(&authority, &ledger, "ca", &tbs).await.unwrap_err();
        assert_eq!(frozen.refusal.reason.code_word(), "FROZEN");
    }
}

#[test]
fn lists_are_about_every_ca_of_their_issuers_name() {
    let authority = Authority::new();
    let of = |name: &str| authority.keys.iter().find(|own| own.name.as_str() == name).unwrap();
    let (ca, name) = (of("ca"), KeyName::new("old").unwrap());
    let mut old = Key::new(name, KeyPurpose::X509Ca, ca.scheme, public_key("old")).unwrap();
    old.certificate.clone_from(&ca.certificate);
    let old = Arc::new(old);
    let keys: Keys = authority.keys.iter().chain([&old]).map(|key| Key::clone(key)).collect();
    let mut both = [ca.spki_sha256(), old.spki_sha256()];
    both.sort_unstable();
    for key in [ca, of("lists"), &old] {
        assert_eq!(keys.listed_by(key), both, "{}", key.name);
    }
    assert_eq!(keys.listed_by(of("weak-ca")), [of("weak-ca").spki_sha256()]);
    assert!(keys.listed_by(of("responder")).is_empty());
}

/// A directory takes them for one user.
#[tokio::test]
async fn a_user_is_revoked_in_whatever_letters_the_certificate_has_the_name() {
    for (spelt, revoked) in
        [("Alice@Example.org", "UPN:alice@example.org"), ("alice@example.org", "UPN:ALICE@Example.org")]
    {
        let authority = authority();
        let ledger = fixture::open(&authority.config.ledger);
        let principal = GeneralName::UserPrincipalName(spelt.to_owned());
        sign(&authority, &ledger, "ca", &leaf(7, "a", 3600, oids::CLIENT_AUTH, principal)).await;
        let other = GeneralName::UserPrincipalName("alan@example.org".to_owned());
        sign(&authority, &ledger, "ca", &leaf(8, "a", 3600, oids::CLIENT_AUTH, other)).await;
        revoke(&authority, &ledger, Revoked::Name(revoked.as_bytes().to_vec())).await;
        assert_eq!(missing(&authority, &ledger, &[7, 8]).await, [7], "{spelt}");
    }
}

/// Verifiers take the two names for one (RFC 5280 §7.1).
#[tokio::test]
async fn a_list_in_the_cas_name_spelt_otherwise_names_what_is_revoked() {
    let common_name = || Oid::from_contents(oids::COMMON_NAME).unwrap();
    for (kind, spelt) in [(StringKind::Printable, "CA"), (StringKind::Utf8, "ca"), (StringKind::Utf8, " CA ")]
    {
        let issuer = Name::new(vec![vec![Attribute::new(common_name(), kind, spelt).unwrap()]]).unwrap();
        let mut authority = authority();
        authority.rename("lists", issuer.clone());
        let ledger = fixture::open(&authority.config.ledger);
        revoke(&authority, &ledger, by_serial(7)).await;
        let empty = list_of_issuer(issuer.clone(), "lists", 5, &[]);
        let (word, _) = refusal(&authority, &ledger, "lists", &empty).await;
        assert_eq!(word, "REVOKED_NOT_LISTED", "{kind:?} {spelt:?}");
        sign(&authority, &ledger, "lists", &list_of_issuer(issuer, "lists", 5, &[(7, None)])).await;
    }
}

#[tokio::test]
async fn whatever_selects_them_certificates_are_listed_and_not_good() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    let mut entries = Vec::new();
    for (serial, subject) in [(1, "a"), (2, "b"), (3, "c"), (4, "c"), (5, "d")] {
        entries.push(sign(&authority, &ledger, "ca", &web(serial, subject, 3600)).await);
    }
    let all = [1, 2, 3, 4, 5, 6, 7];
    assert_eq!(missing(&authority, &ledger, &all).await, [0_u8; 0]);
    let mut expected = Vec::new();
    for (what, means) in [
        (by_name("a"), vec![1]),
        (Revoked::Entry(entries[1]), vec![2]),
        (by_subject("c"), vec![3, 4]),
        (Revoked::Recorded(UnixMillis(0), UnixMillis(u64::MAX)), vec![5]),
    ] {
        revoke(&authority, &ledger, what.clone()).await;
        expected.extend(means);
        assert_eq!(missing(&authority, &ledger, &all).await, expected, "{what:?}");
    }
    // A name means those before; for a subject key that is revoked, for whatever reason, nothing is signed that would be in lists, too.
    sign(&authority, &ledger, "ca", &web(6, "a", 3600)).await;
    barred(&authority, &ledger, &web(7, "c", 3600)).await;
    assert_eq!(missing(&authority, &ledger, &all).await, [1, 2, 3, 4, 5]);
    let reader = Reader::open(&authority.config.ledger).unwrap();
    let interval = Interval { this: NOW, next: NOW + DAY };
    let ca = authority.keys.iter().find(|own| own.name.as_str() == "ca").unwrap().spki_sha256();
    let due = reader.due(&[ca], interval, UnixMillis::now()).unwrap();
    let serials: Vec<_> = due.into_keys().collect();
    assert_eq!(serials, [1, 2, 3, 4, 5].map(serial_of), "what is told to those who make a list");
}

#[tokio::test]
async fn a_response_calls_nothing_good_that_is_revoked_by_whatever_word() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    let good = response("CA");
    sign(&authority, &ledger, "ca", &good).await;
    // Its serial is 1, which no certificate of policy's can be.
    revoke(&authority, &ledger, Revoked::Serial(vec![1])).await;
    assert_eq!(refusal(&authority, &ledger, "ca", &good).await.0, "CERTIFICATE_REVOKED");
}

#[tokio::test]
async fn what_expired_is_listed_until_an_interval_is_over() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    sign(&authority, &ledger, "ca", &web(1, "a", 3600)).await;
    revoke(&authority, &ledger, by_name("a")).await;
    let ca = authority.keys.iter().find(|own| own.name.as_str() == "ca").unwrap().spki_sha256();
    let due = |this, next, now| {
        let reader = Reader::open(&authority.config.ledger).unwrap();
        reader.due(&[ca], Interval { this, next }, UnixMillis(now * 1000)).unwrap().len()
    };
    let end = NOW + 3600;
    for (this, next, now, count) in [
        (end, end + 60, end, 1),
        (end + 60, end + 120, end + 60, 1),
        (end + 61, end + 121, end + 61, 0),
        // Who says that it is later than it is.
        (end + 61, end + 62, end, 1),
        (0, end + 121, end + DAY, 1),
    ] {
        assert_eq!(due(this, next, now), count, "{this} {next} {now}");
    }
}

/// What a revocation means of what there is by now, and the revocation.
async fn prepared(authority: &Authority, ledger: &Ledger, what: Revoked) -> (Entry, Meant) {
    let revocation = revocation(authority, what, RevocationReason::Unspecified);
    let meant = ledger.unsearched(&revocation.key, &revocation.what);
    let meant = ledger.look(move |archive| Looking::begin(archive, meant), |_| false).await.unwrap();
    (revocation.entry(UnixMillis::now()), meant)
}

#[tokio::test]
async fn what_is_signed_while_a_revocation_is_prepared_is_revoked_by_it() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    let (entry, meant) = prepared(&authority, &ledger, by_name("a")).await;
    sign(&authority, &ledger, "ca", &web(1, "a", 3600)).await;
    assert!(ledger.queue.record_revocation(entry, meant).await.unwrap().is_some());
    assert_eq!(missing(&authority, &ledger, &[1, 2]).await, [1]);
    // If that is too much for one transaction, nothing is written, and it is looked at before.
    let (entry, meant) = prepared(&authority, &ledger, by_name("b")).await;
    sign(&authority, &ledger, "ca", &web(2, "b", 3600)).await;
    let key = &revocation(&authority, by_name("b"), RevocationReason::Unspecified).key;
    let tests: Vec<_> = (0..2100)
        .map(|_| {
            let (ledger, key) = (ledger.clone(), Arc::clone(key));
            tokio::spawn(async move { drop(ledger.record_self_test(&key).await.unwrap()) })
        })
        .collect();
    for test in tests {
        test.await.unwrap();
    }
    ledger.queue.settled().await;
    assert!(ledger.queue.record_revocation(entry.clone(), meant.clone()).await.unwrap().is_none());
    assert_eq!(missing(&authority, &ledger, &[1, 2]).await, [1]);
    let meant = ledger.look(move |archive| Looking::go_on(archive, meant), |_| false).await.unwrap();
    assert!(ledger.queue.record_revocation(entry, meant).await.unwrap().is_some());
    assert_eq!(missing(&authority, &ledger, &[1, 2]).await, [1, 2]);
}

#[tokio::test]
async fn certificates_of_revocations_from_before_there_were_rows_are_found_at_the_start() {
    let authority = Authority::new();
    let ledger = fixture::open(&authority.config.ledger);
    for (serial, subject) in [(1, "a"), (2, "b")] {
        sign(&authority, &ledger, "ca", &web(serial, subject, 3600)).await;
    }
    revoke(&authority, &ledger, by_name("a")).await;
    revoke(&authority, &ledger, by_subject("b")).await;
    sign(&authority, &ledger, "ca", &web(3, "a", 3600)).await;
    ledger.close().await;
    forget_rows(&authority);
    let ledger = fixture::open(&authority.config.ledger);
    assert_eq!(missing(&authority, &ledger, &[1, 2, 3]).await, [1, 2]);
    barred(&authority, &ledger, &web(4, "b", 3600)).await;
}

/// Has the file be as an older version left it.
fn forget_rows(authority: &Authority) {
    let file = rusqlite::Connection::open(&authority.config.ledger.path).unwrap();
    let older =
        "DROP TABLE revoked; DROP TABLE revocation; UPDATE meta SET value = '4' WHERE name = 'schema'";
    file.execute_batch(older).unwrap();
}

#[tokio::test]
async fn a_clock_that_is_ahead_leaves_nothing_out_for_good() {
    let authority = Authority::new();
    let ahead = |now| fixture::open_by(&authority.config.ledger, now);
    let ledger = fixture::open(&authority.config.ledger);
    for (serial, subject) in [(1, "a"), (2, "b"), (3, "c")] {
        sign(&authority, &ledger, "ca", &web(serial, subject, 3600)).await;
    }
    revoke(&authority, &ledger, by_name("a")).await;
    ledger.close().await;
    forget_rows(&authority);
    // At the one time that older revocations are looked for, by far.
    let ledger = ahead(|| UnixMillis((NOW + 100 * DAY) * 1000));
    assert_eq!(
        Reader::open(&authority.config.ledger)
            .unwrap()
            .due(&[ca(&authority)], EVER, UnixMillis(0))
            .unwrap()
            .len(),
        1
    );
    ledger.close().await;
    // At any other, by some hours.
    let ledger = ahead(|| UnixMillis((NOW + 3600 + DAY) * 1000));
    revoke(&authority, &ledger, by_name("b")).await;
    assert_eq!(missing(&authority, &ledger, &[1, 2, 3]).await, [1, 2]);
    ledger.close().await;
    // By more than that it is told, and can be mended by another revocation.
    let ledger = ahead(|| UnixMillis((NOW + 3601 + DAY) * 1000));
    revoke(&authority, &ledger, by_name("c")).await;
    assert_eq!(missing(&authority, &ledger, &[1, 2, 3]).await, [1, 2]);
    revoke(&authority, &ledger, by_serial(3)).await;
    assert_eq!(missing(&authority, &ledger, &[1, 2, 3]).await, [1, 2, 3]);
}

/// Two signers of one CA.
fn two() -> (Authority, Config) {
    let mut authority = Authority::new();
    use_database(&mut authority.config.ledger, &Server::shared().database());
    let own = &authority.config.ledger;
    let other = Config { path: own.path.with_file_name("other"), origin: "other".to_owned(), ..own.clone() };
    (authority, other)
}

#[tokio::test]
async fn what_one_signer_revokes_is_in_the_lists_of_all_at_once() {
    let (authority, other) = two();
    let (one, two) = (fixture::open(&authority.config.ledger), fixture::open(&other));
    let mut entries = Vec::new();
    for (serial, subject) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        let ledger = if serial % 2 == 0 { &two } else { &one };
        entries.push(sign(&authority, ledger, "ca", &web(serial, subject, 3600)).await);
    }
    // Each of what the other one signed, and has in its own log and index alone.
    let mut expected = Vec::new();
    for (by, what, means) in [
        (&two, by_name("a"), 1),
        (&one, by_subject("b"), 2),
        (&two, by_serial(3), 3),
        (&one, Revoked::Recorded(UnixMillis(0), UnixMillis(u64::MAX)), 4),
    ] {
        let key = &revocation(&authority, what.clone(), RevocationReason::Unspecified).key;
        assert!(by.has_issued(key, &what).await.unwrap(), "{what:?}");
        revoke(&authority, by, what.clone()).await;
        expected.push(means);
        for ledger in [&one, &two] {
            let missing = missing(&authority, ledger, &[1, 2, 3, 4, 5]).await;
            assert_eq!(missing, expected, "{what:?}");
        }
    }
    // A key that another signer revoked, and one that nobody did, or that of another CA.
    barred(&authority, &two, &web(5, "b", 3600)).await;
    let weak = authority.keys.iter().find(|own| own.name.as_str() == "weak-ca").unwrap();
    let of_weak = revocation(&authority, by_subject("e"), RevocationReason::KeyCompromise);
    one.revoke(Revocation { key: Arc::clone(weak), ..of_weak }).await.unwrap();
    sign(&authority, &two, "ca", &web(6, "e", 3600)).await;
    let good = response("CA");
    revoke(&authority, &two, Revoked::Serial(vec![1])).await;
    assert_eq!(refusal(&authority, &one, "ca", &good).await.0, "CERTIFICATE_REVOKED");
    // An entry is one of the log of its revocation.
    let key = &revocation(&authority, Revoked::Entry(0), RevocationReason::Unspecified).key;
    assert!(!one.has_issued(key, &Revoked::Entry(u64::MAX)).await.unwrap());
}

/// The lists of one CA have one series of numbers, whoever signs them.
#[tokio::test]
async fn two_signers_of_one_database_number_lists_together() {
    let (authority, other) = two();
    let (one, two) = (fixture::open(&authority.config.ledger), fixture::open(&other));
    let word = async |ledger: &Ledger, number| {
        let refused = ask(&authority, ledger, "ca", &list_of(number, &[])).await.err();
        refused.map(|refused| refused.refusal.reason.code_word())
    };
    sign(&authority, &one, "ca", &list_of(5, &[])).await;
    for ledger in [&one, &two] {
        let spki = authority.keys.iter().find(|own| own.name.as_str() == "ca").unwrap().spki_sha256();
        assert_eq!(ledger.newest_crl_number(spki).await.unwrap(), Some(5.into()));
        assert_eq!(word(ledger, 5).await, Some("CRL_NUMBER_NOT_NEWER"));
        assert_eq!(word(ledger, 2000).await, Some("CRL_NUMBER_TOO_FAR"));
    }
    // What one is working on counts at the other; what failed there does not.
    let in_work = ask(&authority, &two, "ca", &list_of(6, &[])).await.unwrap();
    assert_eq!(word(&one, 6).await, Some("CRL_NUMBER_NOT_NEWER"));
    drop(in_work);
    two.queue.settled().await;
    sign(&authority, &one, "ca", &list_of(6, &[])).await;
    // Of many with one number at once, at both, one is begun.
    for number in 7..17 {
        let asked = [&one, &two].map(|ledger| {
            let request = Authority::request("dns:front", "ca", &list_of(number, &[]), None);
            let (ledger, decision) = (ledger.clone(), authority.decide(request, NOW));
            tokio::spawn(async move { ledger.record(decision).await.unwrap().permitted() })
        });
        let mut begun = Vec::new();
        for one in asked {
            begun.extend(one.await.unwrap().ok());
        }
        assert_eq!(begun.len(), 1, "{number}");
        std::mem::forget(begun);
    }
}
