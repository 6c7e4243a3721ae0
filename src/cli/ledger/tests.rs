#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use clap::Parser;
use countersign_tbs::der::{Oid, StringKind, Time};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{self, CertificateType, SubjectKey};
use countersign_tbs::x509::{Attribute, CertificateBuilder, GeneralName, Name, SignatureAlgorithm, Validity};
use serde_json::Value;

use countersign_tbs::{Tbs, TbsKind};

use super::{Command, hex, json, short, table};
use crate::cli::NoAnswer;
use crate::ledger::Ledger;
use crate::ledger::entry::{
    Asked, AskedTbs, CaKey, Entry, Outcome, RevocationReason, Revoked, RotationStep, UnixMillis, leaf_hash,
};
use crate::ledger::fixture::{CONFIG, Fixture};
use crate::ledger::note::{SignerName, VerifierKey};
use crate::policy::fixture::{list, response};

mod memory;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn show(fixture: &Fixture, args: &[&str]) -> String {
    let mut command = vec!["ledger", "show", "--ledger", fixture.config.path.to_str().unwrap()];
    command.extend(args);
    // Whoever runs this may have a terminal.
    command.extend((!args.contains(&"--json")).then_some("--long"));
    let mut out = Vec::new();
    Cli::try_parse_from(command).unwrap().command.run(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A log with one entry of each kind, still open.
async fn recorded() -> (Fixture, crate::ledger::Ledger) {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let intent = fixture.intent(&ledger).await;
    let signature = fixture.sign(&intent);
    ledger.settle(intent, signature).unwrap();
    let mut refused = fixture.request("root");
    refused.key = "\u{1b}[31m user-ca\n".to_owned();
    ledger.record(fixture.decide(refused)).await.unwrap().permitted().unwrap_err();
    drop(ledger.record_self_test(fixture.key()).await.unwrap());
    (fixture, ledger)
}

#[tokio::test]
async fn shows_the_certificate_and_its_outcome_while_the_signer_runs() {
    let (fixture, ledger) = recorded().await;
    let live = show(&fixture, &["--last", "10"]);
    ledger.close().await;
    let text = show(&fixture, &[]);
    assert!(text.starts_with(&live) && live.lines().count() >= 4, "{live}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[0].contains("  intent      uid:1000"), "{text}");
    let what = "key id \"alice smith\", principals \"alice\", valid ";
    assert!(lines[0].contains(what), "{text}");
    assert!(lines[0].contains(", request request-"), "{text}");
    assert!(lines[0].ends_with(" by key.user-ca.allow.staff"), "{text}");
    assert!(lines[1].contains("  outcome  ") && lines[1].ends_with("µs after entry 0"), "{text}");
    assert!(lines[3].contains("  self-test  ") && lines[3].contains("  user-ca "), "{text}");
    assert!(lines[4].contains("abandoned"), "{text}");
}

#[tokio::test]
async fn text_from_outside_reaches_no_terminal_unescaped() {
    let (fixture, ledger) = recorded().await;
    ledger.close().await;
    let text = show(&fixture, &[]);
    assert!(text.contains(r"  \x1b[31m\x20user-ca\n  KEY_NOT_AVAILABLE by "), "{text}");
    assert!(text.chars().all(|c| c == '\n' || c == 'µ' || c == ' ' || c.is_ascii_graphic()), "{text:?}");
    assert_eq!(text.lines().count(), 5);
    let object = &objects(&show(&fixture, &["--json"]))[2];
    assert_eq!(object["key"], "\u{1b}[31m user-ca\n");
}

#[tokio::test]
async fn verify_escapes_the_origin_and_the_paths_of_checkpoints() {
    let (fixture, ledger) = recorded().await;
    ledger.close().await;
    drop(fixture.sql("UPDATE meta SET value = 'x' || char(27, 155) || '[31m' WHERE name = 'origin'"));
    let path = fixture.directory().join("check\u{1b}[31m");
    let checkpoint = crate::ledger::checkpoint::Checkpoint::new("x", 0, [0; 32]).unwrap();
    std::fs::write(&path, format!("{}\n\u{2014} x AAAAAAAAAAA=\n", checkpoint.to_note().text())).unwrap();
    let ledger = fixture.config.path.to_str().unwrap();
    let args = ["ledger", "verify", "--ledger", ledger, "--checkpoint", path.to_str().unwrap()];
    let mut out = Vec::new();
    Cli::try_parse_from(args).unwrap().command.run(&mut out).unwrap_err();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(r"x\u{1b}\u{9b}[31m: 5 entries"), "{text}");
    assert!(text.contains(r"check\u{1b}[31m; give --log-key"), "{text}");
    assert!(text.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()), "{text:?}");
}

/// What an operator is told by the start and by `check` leads to the finding.
#[tokio::test]
async fn a_header_that_keeps_a_signer_from_starting_is_named_by_the_verify_that_it_points_to() {
    for damage in [
        "UPDATE meta SET value = '8' WHERE name = 'schema'",
        "UPDATE meta SET value = 'Test.example/log' WHERE name = 'origin'",
    ] {
        let fixture = Fixture::in_file();
        let ledger = fixture.open();
        drop(fixture.intent(&ledger).await);
        ledger.close().await;
        // What was written is in the index's files since the next start.
        fixture.open().close().await;
        drop(fixture.sql(damage));
        for error in [Ledger::open(&fixture.config).unwrap_err(), Ledger::check(&fixture.config).unwrap_err()]
        {
            assert!(error.to_string().contains("`countersign ledger verify`"), "{error}");
        }
        let path = fixture.directory().join("cs.toml");
        std::fs::write(&path, CONFIG).unwrap();
        let name = SignerName::new("test.example/log").unwrap();
        let key = VerifierKey::new(name, &fixture.key().public_key).unwrap().to_string();
        let (config, ledger) = (path.to_str().unwrap(), fixture.config.path.to_str().unwrap());
        for which in [&["--config", config][..], &["--ledger", ledger, "--log-key", &key]] {
            let mut out = Vec::new();
            let args = ["ledger", "verify", "--skip-signatures"].iter().chain(which);
            let error = Cli::try_parse_from(args).unwrap().command.run(&mut out).unwrap_err();
            let text = String::from_utf8(out).unwrap();
            assert!(error.downcast_ref::<NoAnswer>().is_none(), "it is status 1: {error}");
            let wrong: Vec<_> = text.lines().filter(|line| line.starts_with("WRONG")).collect();
            let header = "WRONG  entry 0 begins a log whose file says of itself what is not so: ";
            assert!(wrong.len() == 1 && wrong[0].starts_with(header), "{text}");
            assert!(text.contains("\ntest.example/log: 2 entries, "), "{text}");
        }
    }
}

/// Certificates that have `name` wherever they may: a key id has nothing that hides what is around it.
fn named(name: &str) -> [(TbsKind, Vec<u8>); 2] {
    let key = PublicKey::Ed25519([7; 32]);
    let ssh = ssh::CertificateBuilder::new(
        CertificateType::User,
        SubjectKey::Plain(key.clone()),
        PublicKey::Ed25519([8; 32]),
    );
    let ssh = ssh.key_id("\u{a0}é").principal(name).valid_after(1_800_000_000).valid_before(1_800_000_060);
    let x509 = x509_certificate(Name::new(vec![vec![common_name(name)]]).unwrap());
    let x509 = x509.subject(Name::new(vec![vec![common_name(name)]]).unwrap());
    let x509 = x509.subject_alt_names(vec![GeneralName::UserPrincipalName(name.to_owned())]);
    [
        (TbsKind::SshCertificate, ssh.build().unwrap().as_bytes().to_vec()),
        (TbsKind::X509Certificate, x509.build().unwrap().as_bytes().to_vec()),
    ]
}

fn common_name(name: &str) -> Attribute {
    Attribute::new(Oid::from_dotted("2.5.4.3").unwrap(), StringKind::Utf8, name).unwrap()
}

fn x509_certificate(issuer: Name) -> CertificateBuilder {
    let time = |secs| Time::from_unix_secs(secs).unwrap();
    let validity = Validity { not_before: time(1_800_000_000), not_after: time(1_800_000_060) };
    CertificateBuilder::new(SignatureAlgorithm::Ed25519, issuer, validity, PublicKey::Ed25519([7; 32]))
}

/// What operators record, with `evil` wherever there is text.
fn by_operators(evil: &str) -> Vec<Entry> {
    let (time, bytes) = (UnixMillis(0), || evil.as_bytes().to_vec());
    let ca_key = CaKey { purpose: evil.to_owned(), scheme: evil.to_owned(), spki_sha256: [0; 32] };
    let refusals = Entry::Refusals { time, caller: bytes(), since: time, count: 1 };
    let rule = evil.to_owned();
    let freeze = Entry::Freeze { time, caller: bytes(), key: bytes(), rule, requests: 1, since: time };
    let thaw = Entry::Thaw { time, caller: bytes(), key: bytes(), freeze: 0, by: bytes(), why: bytes() };
    let (spki_sha256, place) = ([0; 32], bytes());
    let deletion = Entry::KeyDeletion { time, token: bytes(), spki_sha256, place, by: bytes(), why: bytes() };
    let transcript_sha256 = [0; 32];
    let ceremony =
        Entry::Ceremony { time, title: bytes(), transcript_sha256, participants: bytes(), by: bytes() };
    let (spki, record, signature) = (bytes(), bytes(), bytes());
    let made = Entry::KeyRecord { time, key: bytes(), token: bytes(), spki, record, signature, by: bytes() };
    let place = bytes();
    let wrapping = Entry::KeyWrapping {
        time,
        token: bytes(),
        spki_sha256,
        recipient_sha256: [0; 32],
        place,
        by: bytes(),
        why: bytes(),
    };
    let revocation = |what| Entry::Revocation {
        time,
        key: bytes(),
        ca_key: ca_key.clone(),
        spki: bytes(),
        what,
        reason: RevocationReason::Superseded,
        in_ledger: false,
        by: bytes(),
        why: bytes(),
    };
    let rotation = Entry::Rotation {
        time,
        key: bytes(),
        ca_key: ca_key.clone(),
        spki: bytes(),
        old: bytes(),
        old_spki: bytes(),
        step: RotationStep::Activate(time),
        by: bytes(),
        why: bytes(),
    };
    let (by_id, by_name) = (revocation(Revoked::KeyId(bytes())), revocation(Revoked::Name(bytes())));
    vec![refusals, freeze, thaw, made, deletion, wrapping, rotation, ceremony, by_id, by_name]
}

#[test]
fn every_field_of_an_entry_is_escaped() {
    let evil = "\u{1b}]0;x\u{7}\u{202e}\n\u{9b}31m";
    let bytes = || evil.as_bytes().to_vec();
    let asked = Asked {
        caller: bytes(),
        key: bytes(),
        request_id: Some(bytes()),
        kind: evil.to_owned(),
        tbs: AskedTbs::Whole(bytes()),
    };
    let refusal = Entry::Refusal {
        time: UnixMillis(u64::MAX),
        asked: asked.clone(),
        policy: [0; 32],
        rule: evil.to_owned(),
        reason: evil.to_owned(),
        message: evil.to_owned(),
    };
    let ca_key = CaKey { purpose: evil.to_owned(), scheme: evil.to_owned(), spki_sha256: [0; 32] };
    let intent = |asked| Entry::Intent {
        time: UnixMillis(0),
        asked,
        policy: [0; 32],
        rule: evil.to_owned(),
        ca_key: ca_key.clone(),
    };
    let self_test = Entry::SelfTest {
        time: UnixMillis(0),
        key: evil.to_owned(),
        ca_key: ca_key.clone(),
        challenge: bytes(),
    };
    let outcome = Entry::Outcome {
        time: UnixMillis(0),
        intent: 0,
        outcome: Outcome::Failed(evil.to_owned()),
        latency_us: 0,
        token: Some(bytes()),
    };
    let time = UnixMillis(0);
    let checkpoint = |text| Entry::Checkpoint { time, key: evil.to_owned(), ca_key: ca_key.clone(), text };
    let no_checkpoint = checkpoint(evil.to_owned());
    // An origin may have anything but control characters of ASCII.
    let origin = "\u{9b}31m\u{202e}";
    let checkpoint = checkpoint(format!("{origin}\n1\n{}\n", "A".repeat(43) + "="));
    assert!(super::table::line(0, &checkpoint).contains("of 1 entries, root 0000"));
    // What no parser refuses, for it is no control character.
    let intents = named("\u{202e}\u{2028}").map(|(kind, tbs)| {
        let tbs = AskedTbs::Whole(tbs);
        intent(Asked { kind: kind.name().to_owned(), tbs, ..asked.clone() })
    });
    let own = [intent(asked), self_test, refusal, outcome, checkpoint, no_checkpoint];
    for entry in own.into_iter().chain(intents).chain(by_operators(evil)) {
        for line in [super::table::line(0, &entry), short::line(0, &entry, None, usize::MAX)] {
            assert!(line.chars().all(|c| c == 'µ' || c == ' ' || c.is_ascii_graphic()), "{line:?}");
        }
        let value = super::json::line(0, &entry);
        let json = super::ascii(&value.to_string());
        assert!(json.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{json:?}");
        assert_eq!(objects(&json), [value]);
    }
}

#[test]
fn name_with_spaces_cannot_pass_for_more_than_one() {
    let names = ["x DNS:www.example.org, valid for ever", "y"];
    let builder = x509_certificate(Name::new(vec![vec![common_name("CA")]]).unwrap());
    let names = names.map(|name| GeneralName::UserPrincipalName(name.to_owned()));
    let tbs = builder.subject_alt_names(names.to_vec()).build().unwrap();
    let asked = Asked {
        caller: b"dns:a".to_vec(),
        key: b"tls-ca".to_vec(),
        request_id: None,
        kind: "x509-certificate".to_owned(),
        tbs: AskedTbs::Whole(tbs.as_bytes().to_vec()),
    };
    let line = super::table::tbs(&asked);
    assert!(
        line.contains("names UPN:x\\x20DNS:www.example.org,\\x20valid\\x20for\\x20ever UPN:y, valid 2027"),
        "{line}"
    );
}

#[tokio::test]
async fn json_has_everything_that_was_recorded() {
    let (fixture, ledger) = recorded().await;
    ledger.close().await;
    let objects = objects(&show(&fixture, &["--json"]));
    let entries = fixture.entries();
    for (index, (object, entry)) in objects.iter().zip(&entries).enumerate() {
        assert_eq!(object["index"], index);
        assert_eq!(object["leaf_hash"], hex(&leaf_hash(&entry.encode().unwrap())));
        assert!(object["time"].as_str().unwrap().ends_with('Z'));
    }
    let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["intent", "outcome", "refusal", "self-test", "outcome"]);
    assert_eq!(objects[0]["ssh"]["principals"], serde_json::json!(["alice"]));
    assert!(objects[0]["ssh"]["serial"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!((&objects[1]["outcome"], &objects[1]["intent"]), (&"signed".into(), &0.into()));
    assert_eq!(objects[2]["reason"], "KEY_NOT_AVAILABLE");
}

#[test]
fn freezes_thaws_and_counts_are_shown_in_words_and_in_json() {
    let (time, caller, key) = (UnixMillis(1_700_000_060_000), b"dns:a".to_vec(), b"user-ca".to_vec());
    let since = UnixMillis(1_700_000_000_000);
    let rule = "key.user-ca.allow.staff.budget".to_owned();
    let (by, why) = (b"uid:0".to_vec(), b"it was a test".to_vec());
    let refusals = Entry::Refusals { time, caller: caller.clone(), since, count: 7 };
    let freeze = Entry::Freeze { time, caller: caller.clone(), key: key.clone(), rule, requests: 100, since };
    let thaw = Entry::Thaw { time, caller, key, freeze: 41, by, why };
    for (entry, words, fields) in [
        (
            refusals,
            "7 more since 2023-11-14T22:13:20.000Z",
            serde_json::json!({ "kind": "refusals", "count": 7 }),
        ),
        (
            freeze,
            "100 requests beyond key.user-ca.allow.staff.budget since",
            serde_json::json!({ "kind": "freeze", "requests": 100, "key": "user-ca" }),
        ),
        (
            thaw,
            "of entry 41 by uid:0: \"it was a test\"",
            serde_json::json!({ "kind": "thaw", "freeze": 41, "by": "uid:0", "why": "it was a test" }),
        ),
    ] {
        let (line, json) = (super::table::line(9, &entry), super::json::line(9, &entry));
        assert!(line.contains("  dns:a  ") && line.contains(words), "{line}");
        assert_eq!(json["caller"], "dns:a");
        for (name, value) in fields.as_object().unwrap() {
            assert_eq!(&json[name], value, "{json}");
        }
    }
}

#[test]
fn shows_what_a_list_and_a_response_say() {
    let entry = |tbs: &Tbs, kind: TbsKind| Entry::Intent {
        time: UnixMillis(0),
        asked: Asked {
            caller: b"dns:front".to_vec(),
            key: b"ca".to_vec(),
            request_id: None,
            kind: kind.name().to_owned(),
            tbs: AskedTbs::of(tbs.as_bytes()),
        },
        policy: [0; 32],
        rule: "key.ca.allow.x".to_owned(),
        ca_key: CaKey { purpose: "x509-ca".to_owned(), scheme: "ed25519".to_owned(), spki_sha256: [0; 32] },
    };
    let (from, to) = ("2046-01-19T18:40:00.000Z", "2046-01-20T18:40:00.000Z");
    let lists = [
        (
            list(0x10ff.into(), None, 2),
            format!("x509 crl, number 0x10ff, issuer \"CN=CA\", entries 2, from {from} to {to}"),
        ),
        (
            list(7.into(), Some(6), 0),
            format!(
                "x509 crl, number 0x07 (delta to 0x06), issuer \"CN=CA\", entries 0, from {from} to {to}"
            ),
        ),
    ];
    for (tbs, words) in lists {
        let line = table::line(0, &entry(&tbs, TbsKind::X509Crl));
        assert!(line.ends_with(&format!("{words} by key.ca.allow.x")), "{line}");
    }
    let line = table::line(0, &entry(&response("CA"), TbsKind::OcspResponse));
    let words = format!("ocsp response of {from}, serials 01 good from {from} to {to} by key.ca.allow.x");
    assert!(line.ends_with(&words), "{line}");

    let fields = json::line(0, &entry(&list(7.into(), Some(6), 2), TbsKind::X509Crl))["crl"].clone();
    let expected = serde_json::json!({
        "number": "0x07", "delta_base": "0x06", "issuer": "CN=CA", "entries": 2,
        "this_update": "2400000000", "next_update": "2400086400",
    });
    assert_eq!(fields, expected);
    let fields = json::line(0, &entry(&response("CA"), TbsKind::OcspResponse))["ocsp"].clone();
    let answer = serde_json::json!({
        "serial": "01", "status": "good", "this_update": "2400000000", "next_update": "2400086400",
    });
    let expected =
        serde_json::json!({ "responder": "CN=CA", "produced_at": "2400000000", "responses": [answer] });
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn shows_the_range_that_was_asked_for() {
    let (fixture, ledger) = recorded().await;
    ledger.close().await;
    let indexes = |args: &[&str]| -> Vec<u64> {
        let shown = show(&fixture, &[args, &["--json"]].concat());
        objects(&shown).iter().map(|object| object["index"].as_u64().unwrap()).collect()
    };
    assert_eq!(indexes(&["--last", "2"]), [3, 4]);
    assert_eq!(indexes(&["--from", "1"]), [1, 2, 3, 4]);
    assert_eq!(indexes(&["--from", "4", "--last", "3"]), [4]);
    assert_eq!(indexes(&["--from", "9"]), [0; 0]);
}

#[tokio::test]
async fn takes_the_file_from_the_configuration() {
    let (fixture, ledger) = recorded().await;
    ledger.close().await;
    let path = fixture.directory().join("cs.toml");
    let run = || {
        let args = ["ledger", "show", "--long", "--config", path.to_str().unwrap()];
        let mut out = Vec::new();
        Cli::try_parse_from(args).unwrap().command.run(&mut out).map(|()| String::from_utf8(out).unwrap())
    };
    let error = run().unwrap_err();
    assert!(error.to_string().contains("cs.toml") && error.to_string().contains("--ledger FILE"), "{error}");
    std::fs::write(&path, CONFIG).unwrap();
    assert_eq!(run().unwrap(), show(&fixture, &[]));
    assert!(Cli::try_parse_from(["ledger", "show"]).is_err());
}
