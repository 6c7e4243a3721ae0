#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io::{self, Write};
use std::time::Instant;

use clap::Parser;
use countersign_tbs::ssh::{CertificateBuilder, CertificateType, SubjectKey};
use serde_json::{Value, json};

use super::Changed;
use crate::cli::policy::Command;
use crate::cli::{Faults, NoAnswer};
use crate::key::{PublicKey, UnixTime};
use crate::ledger::fixture::{CONFIG, Fixture};
use crate::sign::Request;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Replays the fixture's log by a configuration that was edited.
fn replay(
    fixture: &Fixture,
    edit: impl FnOnce(&str) -> String,
    args: &[&str],
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let config = fixture.directory().join("new.toml");
    std::fs::write(&config, edit(CONFIG)).unwrap();
    let all = ["policy", "replay", "--config", config.to_str().unwrap()];
    Cli::try_parse_from(all.iter().chain(args))?.command.run(out)
}

/// What is printed, and how many would be decided otherwise.
fn replayed(fixture: &Fixture, edit: impl FnOnce(&str) -> String, args: &[&str]) -> (String, u64) {
    let mut out = Vec::new();
    let result = replay(fixture, edit, args, &mut out);
    let changed = result.map_or_else(|error| error.downcast::<Changed>().unwrap().changed, |()| 0);
    (String::from_utf8(out).unwrap(), changed)
}

fn same(config: &str) -> String {
    config.to_owned()
}

fn pinned(fixture: &Fixture) -> impl Fn(&str) -> String {
    let pin = format!("[key.user-ca]\nfingerprint = \"{}\"\n", fixture.key().public_key.fingerprint());
    move |config| config.replace("[key.user-ca]\n", &pin)
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asks for `alice`, with this CA key and key id.
fn build(fixture: &Fixture, ca_key: PublicKey, key_id: &str) -> Request {
    let now = UnixTime::now().0;
    let subject = SubjectKey::Plain(PublicKey::Ed25519([7; 32]));
    let tbs = CertificateBuilder::new(CertificateType::User, subject, ca_key)
        .key_id(key_id)
        .principal("alice")
        .valid_after(now)
        .valid_before(now + 600);
    let bytes = tbs.build().unwrap().as_bytes().to_vec().into();
    Request { bytes, ..fixture.request("alice") }
}

/// Entries: 0 refuses root, 1 permits alice, 2 is her outcome, for nobody signed.
async fn alice_and_root() -> Fixture {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    fixture.record(&ledger, fixture.request("root")).await.permitted().unwrap_err();
    fixture.intent(&ledger).await;
    ledger.close().await;
    fixture
}

#[tokio::test]
async fn the_policy_that_decided_changes_nothing() {
    let fixture = alice_and_root().await;
    let (text, changed) = replayed(&fixture, same, &[]);
    assert_eq!(changed, 0, "{text}");
    assert!(text.contains(": 2 requests decided again by policy "), "{text}");
    assert!(
        text.contains("\n       2 as before\n       0 newly refused\n       0 newly allowed\n"),
        "{text}"
    );
    assert!(text.contains("not checked offline: built-in.ca_key, in 2 requests"), "{text}");
    let (text, _) = replayed(&fixture, pinned(&fixture), &[]);
    assert!(!text.contains("not checked"), "{text}");
}

#[tokio::test]
async fn a_tighter_policy_shows_what_it_newly_refuses_and_which_line_does() {
    let fixture = alice_and_root().await;
    let (text, changed) = replayed(&fixture, |config| config.replace("\"1h\"", "\"1m\""), &[]);
    let line = 1 + CONFIG.lines().position(|line| line.starts_with("max_lifetime")).unwrap();
    assert_eq!(changed, 1);
    assert!(
        text.contains("\n       1 as before\n       1 newly refused\n       0 newly allowed\n"),
        "{text}"
    );
    let (_, shown) = text.split_once("\nnewly refused:\n").unwrap();
    let shown: Vec<&str> = shown.lines().collect();
    assert!(
        shown[0].starts_with("       1  20") && shown[0].contains("  uid:1000  user-ca  ssh user"),
        "{shown:?}"
    );
    let place = fixture.directory().join("new.toml");
    let verdict = format!(
        "          permitted by key.user-ca.allow.staff -> refused by key.user-ca.allow.staff.max_lifetime: \
         LIFETIME_TOO_LONG ({}:{line})",
        place.display()
    );
    assert_eq!(shown[1], verdict);
    assert_eq!(shown.len(), 3, "the message, and nothing else: {shown:?}");
}

#[tokio::test]
async fn a_looser_policy_shows_what_it_newly_allows_and_on_which_condition() {
    let fixture = alice_and_root().await;
    let loosen = |config: &str| config.replace("[\"alice\"]", "[\"alice\", \"root\"]");
    let (text, changed) = replayed(&fixture, loosen, &[]);
    assert_eq!(changed, 1);
    let (_, shown) = text.split_once("\nnewly allowed:\n").unwrap();
    assert!(
        shown.contains("staff.principals: PRINCIPAL_NOT_ALLOWED -> permitted by key.user-ca.allow.staff (")
    );
    assert!(shown.contains("holds: built-in.ca_key and built-in.subject_key\n"), "{text}");
    let pin = pinned(&fixture);
    let (text, _) = replayed(&fixture, |config| loosen(&pin(config)), &[]);
    assert!(!text.contains("holds"), "{text}");
}

#[tokio::test]
async fn another_rule_and_another_reason_are_changes_too() {
    let fixture = alice_and_root().await;
    let edit = |config: &str| {
        config.replace("allow.staff]", "allow.people]") + "max_principals = 1\nsubject_keys = [\"ssh-rsa\"]\n"
    };
    let rename = |config: &str| config.replace("allow.staff]", "allow.people]");
    let (text, changed) = replayed(&fixture, rename, &["--json"]);
    assert_eq!(changed, 2, "{text}");
    let shown = lines(&text);
    assert_eq!(shown.len(), 3, "two changes and the summary");
    assert_eq!((&shown[0]["entry"], &shown[1]["entry"]), (&json!(0), &json!(1)));
    assert_eq!(shown[1]["change"], "otherwise");
    assert_eq!(shown[1]["old"], json!({ "verdict": "permit", "rule": "key.user-ca.allow.staff" }));
    assert_eq!(shown[1]["new"]["rule"], "key.user-ca.allow.people");
    assert_eq!(shown[1]["new"]["source"], "file");
    let (text, changed) = replayed(&fixture, edit, &["--json"]);
    let shown = lines(&text);
    assert_eq!(changed, 2);
    assert_eq!(shown[0]["new"]["reason"], "SUBJECT_KEY_NOT_ALLOWED");
    assert_eq!((&shown[0]["change"], &shown[1]["change"]), (&json!("otherwise"), &json!("newly_refused")));
    assert_eq!(
        shown[2]["summary"]["changes"],
        json!({ "newly_refused": 1, "newly_allowed": 0, "otherwise": 1 })
    );
}

#[tokio::test]
async fn counts_what_cannot_be_decided_again() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let refused = async |request: Request| {
        ledger.record(fixture.decide(request)).await.unwrap().permitted().unwrap_err();
    };
    let mut long = fixture.request("alice");
    long.bytes = vec![7; 5000].into();
    refused(long).await;
    let mut late = fixture.request("alice");
    late.deadline = Some(Instant::now());
    refused(late).await;
    refused(build(&fixture, PublicKey::Ed25519([8; 32]), "alice")).await;
    fixture.record(&ledger, fixture.request_with_serial(5)).await.permitted().unwrap();
    refused(fixture.request_with_serial(5)).await;
    ledger.close().await;

    let (text, changed) = replayed(&fixture, same, &["--json"]);
    assert_eq!(changed, 0, "{text}");
    let summary = &lines(&text)[0]["summary"];
    assert_eq!((&summary["replayed"], &summary["same"]), (&json!(1), &json!(1)));
    let wanted = json!({ "digest_only": 1, "deadline": 1, "signer": 1, "ledger": 1 });
    assert_eq!(summary["not_replayed"], wanted);
    let (text, _) = replayed(&fixture, same, &[]);
    assert_eq!(text.matches("       1 not decided again: ").count(), 4, "{text}");

    // With its fingerprint, the CA key is known offline.
    let (text, changed) = replayed(&fixture, pinned(&fixture), &["--json"]);
    assert_eq!(changed, 0, "{text}");
    assert_eq!(lines(&text)[0]["summary"]["replayed"], 2);
}

#[tokio::test]
async fn filters_choose_what_is_decided_again() {
    let fixture = alice_and_root().await;
    let replayed = |args: &[&str]| {
        let (text, _) = replayed(&fixture, same, &[&["--json"], args].concat());
        lines(&text)[0]["summary"]["replayed"].as_u64().unwrap()
    };
    assert_eq!(replayed(&["--from", "1"]), 1);
    assert_eq!(replayed(&["--last", "2"]), 1, "alice, and her outcome");
    assert_eq!(replayed(&["--key", "user-ca", "--caller", "uid:1000"]), 2);
    assert_eq!(replayed(&["--key", "user-c"]), 0);
    assert_eq!(replayed(&["--caller", "uid:100"]), 0);
    assert_eq!(replayed(&["--since", "2020-01-01T00:00:00Z"]), 2);
    assert_eq!(replayed(&["--since", "2199-01-01T00:00:00Z"]), 0);
}

#[tokio::test]
async fn text_from_outside_is_escaped() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let hostile = build(&fixture, fixture.key().public_key.clone(), "alic\u{e9}\"");
    fixture.record(&ledger, hostile).await.permitted().unwrap();
    ledger.close().await;
    let (text, changed) =
        replayed(&fixture, |config| config.replace("\"1h\"", "\"1h\"\nkey_id = [\"bob\"]"), &[]);
    assert_eq!(changed, 1, "{text}");
    assert!(text.is_ascii() && text.contains(r#"key id "alic\xc3\xa9\"""#), "{text}");
}

#[tokio::test]
async fn what_keeps_it_from_an_answer_is_not_an_answer() {
    let fixture = alice_and_root().await;
    let mut out = Vec::new();
    let error = replay(&fixture, same, &["--ledger", "/no-such-file"], &mut out).unwrap_err();
    assert!(error.is::<NoAnswer>() && error.to_string().contains("/no-such-file"), "{error}");
    let error = replay(&fixture, |_| String::new(), &[], &mut out).unwrap_err();
    assert!(error.is::<Faults>(), "{error}");
    fixture.sql("DROP TRIGGER entry_is_never_removed; DELETE FROM entry WHERE idx = 1");
    let error = replay(&fixture, same, &[], &mut out).unwrap_err();
    assert!(error.is::<NoAnswer>() && error.to_string().contains("entry 1"), "{error}");
}

/// A pipe whose reader is gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_had_enough_does_not_change_the_answer() {
    let fixture = alice_and_root().await;
    let tighten = |config: &str| config.replace("\"1h\"", "\"1m\"");
    for args in [&[][..], &["--json"]] {
        assert!(replay(&fixture, tighten, args, &mut Closed).unwrap_err().is::<Changed>());
        replay(&fixture, same, args, &mut Closed).unwrap();
    }
}
