//! Revoking: who may, what is recorded, what is refused, and what nobody can have signed any more.

use countersign::ledger::Entry;
use countersign::ledger::entry::{RevocationReason, Revoked};
use countersign_proto::Client;
use countersign_proto::v1::revoke_request::What;
use countersign_proto::v1::{RevokeRequest, SignResponse, TimeRange};
use countersign_tbs::ssh::SubjectKey;
use serde_json::Value;
use tonic::Code;

use crate::forge::{Forgery, string};
use crate::site::{Daemon, FRONT_END, Site, USER_CA, at, now, request, text};
use crate::terminal::Terminal;

#[path = "revoke/crl.rs"]
mod crl;
#[path = "revoke/krl.rs"]
mod krl;

/// The fingerprint of a subject key of these bytes.
fn fingerprint(subject: u8) -> String {
    let key = countersign_tbs::key::PublicKey::Ed25519([subject; 32]);
    SubjectKey::Plain(key).fingerprint()
}

/// A certificate, in what tests select by.
struct Wanted {
    serial: u64,
    key_id: &'static str,
    principal: &'static str,
    subject: u8,
}

/// Three certificates: of one key id, one principal and one subject key each, but the third has the first's subject key.
const WANTED: [Wanted; 3] = [
    Wanted { serial: 11, key_id: "alice@desk", principal: "alice", subject: 1 },
    Wanted { serial: 12, key_id: "bob@desk", principal: "bob", subject: 2 },
    Wanted { serial: 13, key_id: "alice@home", principal: "deploy-a", subject: 1 },
];

async fn sign(
    client: &Client,
    wanted: &Wanted,
) -> Result<SignResponse, countersign_proto::client::CallError> {
    let ca_key = SubjectKey::from_openssh_line(&client.get_key("user-ca").await.unwrap().openssh).unwrap();
    let tbs = Forgery {
        serial: wanted.serial,
        key_id: wanted.key_id.into(),
        principals: vec![wanted.principal.into()],
        subject: string(&[wanted.subject; 32]),
        ..Forgery::user(ca_key.to_wire(), now())
    };
    client.sign(request("user-ca", tbs.encode())).await
}

/// A signer that has signed [`WANTED`], and the entry of each.
async fn signed() -> (Site, Daemon, Client, Vec<u64>) {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let mut entries = Vec::new();
    for wanted in &WANTED {
        entries.push(sign(&client, wanted).await.unwrap().receipt.unwrap().entry_index);
    }
    (site, daemon, client, entries)
}

fn revoke(site: &Site, more: &[&str]) -> String {
    site.run_ok(&[&["revoke", "user-ca", "--why", "a test", "--yes"], more].concat())
}

/// The serials that a command prints with `--json`, and its last line.
fn told(shown: &str) -> (Vec<String>, Value) {
    let mut lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.pop().unwrap();
    (lines.iter().map(|line| line["ssh"]["serial"].as_str().unwrap().to_owned()).collect(), last)
}

/// What a dry run would revoke, by serial.
fn hits(site: &Site, more: &[&str]) -> Vec<String> {
    let shown = site.run_ok(&[&["revoke", "user-ca", "--dry-run", "--json"], more].concat());
    let (serials, last) = told(&shown);
    assert_eq!(last, serde_json::json!({ "entry": null, "certificates": serials.len() }));
    serials
}

fn revocations(site: &Site) -> Vec<Entry> {
    site.entries().into_iter().filter(|entry| matches!(entry, Entry::Revocation { .. })).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_what_each_selection_means_and_records_nothing() {
    let (site, daemon, _, entries) = signed().await;
    let key = countersign_tbs::key::PublicKey::Ed25519([2; 32]).to_openssh_line("bob").unwrap();
    std::fs::write(site.path("key.pub"), key).unwrap();
    let (second, since, until) = (entries[1].to_string(), "2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z");
    let (one, long_ago) = (fingerprint(1), "2021-01-01T00:00:00Z");
    let cases: [(&[&str], &[&str]); 8] = [
        (&["--serial", "12"], &["12"]),
        (&["--key-id", "alice@home"], &["13"]),
        (&["--principal", "alice"], &["11"]),
        (&["--subject", &one], &["13", "11"]),
        (&["--subject", "key.pub"], &["12"]),
        (&["--since", since], &["13", "12", "11"]),
        (&["--since", since, "--until", until], &["13", "12", "11"]),
        (&["--entry", &second], &["12"]),
    ];
    for (selection, serials) in cases {
        assert_eq!(hits(&site, selection), serials, "{selection:?}");
    }
    let message =
        site.run_refused(&["revoke", "user-ca", "--dry-run", "--since", since, "--until", long_ago], 1);
    assert!(message.contains("NOTHING_TO_REVOKE"), "{message}");
    let table = site.run_ok(&["revoke", "user-ca", "--dry-run", "--serial", "12"]);
    assert!(table.contains("key id \"bob@desk\"") && table.lines().count() == 1, "{table}");
    assert!(revocations(&site).is_empty());
    daemon.stop();
}

/// A person is shown some, with how many more there are; a program reads them all, and where it is recorded last.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_of_every_certificate_however_many() {
    let (site, daemon, client, _) = signed().await;
    for serial in 100..125 {
        sign(&client, &Wanted { serial, ..WANTED[1] }).await.unwrap();
    }
    let bob = ["--principal", "bob"];
    let serials: Vec<_> = (100..125).rev().chain([12]).map(|serial| serial.to_string()).collect();
    assert_eq!(hits(&site, &bob), serials);
    let (shown, last) = told(&revoke(&site, &[&bob[..], &["--json"]].concat()));
    assert_eq!((shown, &last["certificates"]), (serials, &Value::from(26)));
    assert!(matches!(&site.entries()[at(last["entry"].as_u64().unwrap())], Entry::Revocation { .. }));
    let table = revoke(&site, &[&bob[..], &["--again"]].concat());
    assert!(table.lines().nth(20).unwrap().starts_with("and 6 more; --dry-run shows all"), "{table}");
    daemon.stop();
}

/// At a terminal: any answer but the whole word leaves everything as it is, and so does nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_types_yes_and_nothing_less() {
    let (site, daemon, _, _) = signed().await;
    let args = ["revoke", "user-ca", "--serial", "12", "--why", "lost"];
    let question =
        "1 certificate of key user-ca will be revoked, and there is no way back. Type yes to go on: ";
    for answer in ["no", "", "y", "YES", "yes please"] {
        let mut terminal = Terminal::start(&site, &args);
        terminal.answer(question, answer);
        let (ok, screen) = terminal.end();
        assert!(!ok && screen.contains("nothing was revoked"), "{answer:?}: {screen}");
    }
    let mut terminal = Terminal::start(&site, &args);
    terminal.interrupt(question);
    assert!(!terminal.end().0);
    assert!(revocations(&site).is_empty());
    let mut terminal = Terminal::start(&site, &args);
    terminal.answer(question, "yes");
    let (ok, screen) = terminal.end();
    assert!(ok && screen.contains(" user-ca bob ") && screen.contains("revoked by entry "), "{screen}");
    assert_eq!(revocations(&site).len(), 1);
    daemon.stop();
}

/// What is revoked stays so: saying it again adds nothing, unless it says more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_already_is_said_and_not_recorded_again() {
    let (site, daemon, _, _) = signed().await;
    let json = |args: &[&str]| -> Value {
        let said = revoke(&site, &[args, &["--json"]].concat());
        serde_json::from_str(said.lines().last().unwrap()).unwrap()
    };
    let alice = ["--principal", "alice"];
    let receipt = json(&alice);
    let entry = receipt["entry"].as_u64().unwrap();
    assert!(matches!(&site.entries()[at(entry)], Entry::Revocation { .. }));
    assert_eq!(receipt["certificates"], 1);
    let shown = site.run_ok(&["revoke", "user-ca", "--dry-run", "--since", "2020-01-01T00:00:00Z"]);
    assert_eq!(shown.matches(&format!("; revoked by entry {entry}\n")).count(), 1, "{shown}");
    let said = revoke(&site, &alice);
    assert!(
        said.ends_with("all 1 are revoked already; nothing was recorded. --again records it all the same\n"),
        "{said}"
    );
    assert_eq!(json(&alice), serde_json::json!({ "entry": null, "certificates": 1 }));
    assert_eq!(revocations(&site).len(), 1);
    for (new, more) in [
        // Another reason, and what bars later certificates.
        (2, &["--principal", "alice", "--reason", "key-compromise"][..]),
        (3, &["--serial", "11"]),
        (3, &["--serial", "11"]),
        (4, &["--serial", "11", "--again"]),
        (5, &["--since", "2020-01-01T00:00:00Z"]),
        (5, &["--since", "2020-01-01T00:00:00Z"]),
    ] {
        revoke(&site, more);
        assert_eq!(revocations(&site).len(), new, "{more:?}");
    }
    daemon.stop();
}

/// Everything that a terminal of 80 columns has room for, and nothing that it has not.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_gets_short_lines_and_pipes_all_of_them() {
    let (site, daemon, _, _) = signed().await;
    revoke(&site, &["--principal", "alice", "--reason", "privilege-withdrawn"]);
    let screen = |args: &[&str]| {
        let (ok, screen) = Terminal::start(&site, args).end();
        assert!(ok, "{screen}");
        screen
    };
    let lines = screen(&["ledger", "show"]);
    assert!(lines.lines().count() > 8 && lines.lines().all(|line| line.len() <= 80), "{lines}");
    assert!(
        lines.contains(" self-test  user-ca\n") && lines.contains(" intent     user-ca alice until "),
        "{lines}"
    );
    assert!(lines.contains(" revocation user-ca name \"alice\", privilege-withdraw..\n"), "{lines}");
    let found = screen(&["ledger", "find", "--principal", "bob"]);
    assert!(
        found.contains(" intent     signed: user-ca bob until ") && found.lines().count() == 1,
        "{found}"
    );
    let asked = screen(&["ledger", "find", "--principal", "bob", "--server", "unix:signer.sock"]);
    assert_eq!(asked, found);
    let long = site.run_ok(&["ledger", "show"]);
    assert!(long.lines().any(|line| line.len() > 200), "{long}");
    assert_eq!(screen(&["ledger", "show", "--long"]), long);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_an_entry_that_says_who_what_and_why() {
    let (site, daemon, _, _) = signed().await;
    let said = revoke(&site, &["--principal", "alice", "--reason", "privilege-withdrawn"]);
    assert!(
        said.contains("the ledger has 1 such certificates of key user-ca") && said.contains("ssh-krl"),
        "{said}"
    );
    let [Entry::Revocation { key, what, reason, in_ledger, by, why, .. }] = &revocations(&site)[..] else {
        panic!("one revocation");
    };
    let uid = format!("uid:{}", rustix::process::geteuid().as_raw());
    assert_eq!((&key[..], &by[..], &why[..]), (&b"user-ca"[..], uid.as_bytes(), &b"a test"[..]));
    assert_eq!((what, *in_ledger), (&Revoked::Name(b"alice".to_vec()), true));
    assert_eq!(*reason, RevocationReason::PrivilegeWithdrawn);
    for find in [&["--revocations"][..], &["--principal", "alice"], &["--caller", &uid]] {
        let shown = site.run_ok(&[&["ledger", "find", "--limit", "1"], find].concat());
        assert!(shown.contains("revocation") && shown.contains("name \"alice\""), "{find:?}: {shown}");
    }
    let shown = site.run_ok(&["ledger", "find", "--revocations", "--json", "--server", "unix:signer.sock"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["revoked"]["name"], &shown["why"]), (&"alice".into(), &"a test".into()));
    let stats: Value = serde_json::from_str(&site.run_ok(&["ledger", "stats", "--json"])).unwrap();
    assert_eq!(stats["kinds"]["named"]["revocation"], 1);
    daemon.stop();
    site.run_ok(&["ledger", "verify", "--accept-uncovered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_revoked_is_refused_with_what_to_do() {
    let (site, daemon, _, entries) = signed().await;
    let refusal = (entries.len() + 100).to_string();
    let long = "9".repeat(40);
    let cases: [(&[&str], i32, &str); 14] = [
        (&["user-ca", "--serial", "99"], 1, "nothing that this log signed with this key matches"),
        (&["user-ca", "--serial", "twelve"], 1, "decimal, from 1 to"),
        (&["user-ca", "--serial", "0"], 1, "decimal, from 1 to"),
        (&["user-ca", "--serial", &long], 1, "decimal, from 1 to"),
        (&["user-ca", "--entry", &refusal], 1, "NOTHING_TO_REVOKE"),
        (&["user-ca", "--entry", "0"], 1, "NOTHING_TO_REVOKE"),
        (&["user-cb", "--serial", "12"], 1, "NO_SUCH_KEY"),
        (&["user-ca", "--principal", "mallory", "--not-in-ledger"], 1, "REVOCATION_INVALID"),
        (&["user-ca", "--subject", "SHA256:short"], 2, "is no fingerprint"),
        (&["user-ca", "--subject", "nowhere.pub"], 1, "a file with a public key"),
        (
            &["user-ca", "--since", "2021-01-01T00:00:00Z", "--until", "2020-01-01T00:00:00Z"],
            2,
            "--since must be before",
        ),
        (&["user-ca", "--serial", "12", "--key-id", "x"], 2, "cannot be used with"),
        (&["user-ca"], 2, "required"),
        (&["user-ca", "--serial", "12", "--reason", "whim"], 2, "key-compromise"),
    ];
    for (args, status, says) in cases {
        let message = site.run_refused(&[&["revoke", "--why", "a test", "--yes"], args].concat(), status);
        assert!(message.contains(says), "{args:?}: {message}");
    }
    let message = site.run_refused(&["revoke", "user-ca", "--serial", "12", "--why", "a test"], 1);
    assert!(message.contains("no terminal to ask in; give --yes"), "{message}");
    let message = site.run_refused(&["revoke", "user-ca", "--serial", "12", "--yes"], 2);
    assert!(message.contains("--why"), "{message}");
    assert!(revocations(&site).is_empty());

    revoke(&site, &["--serial", "99", "--not-in-ledger"]);
    let [Entry::Revocation { in_ledger: false, .. }] = &revocations(&site)[..] else { panic!("recorded so") };
    daemon.stop();
    let message = site.run_refused(&["revoke", "user-ca", "--serial", "12", "--why", "a test", "--yes"], 1);
    assert!(message.contains("signer.sock"), "{message}");
}

/// Over TLS there is no such service, and what the command checks the signer checks itself.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_operator_revokes() {
    let (site, daemon, client, _) = signed().await;
    let good = RevokeRequest {
        key: "user-ca".into(),
        what: Some(What::Serial("12".into())),
        why: "a test".into(),
        ..RevokeRequest::default()
    };
    assert_eq!(client.revoke(good.clone()).await.unwrap_err().code, Code::Unimplemented);
    let operator = Client::connect_unix(&site.path("signer.sock")).await.unwrap();
    let bad: [fn(&mut RevokeRequest); 7] = [
        |request| request.what = None,
        |request| request.why = String::new(),
        |request| request.why = "one\nand another".into(),
        |request| request.reason = "certificate-hold".into(),
        |request| request.what = Some(What::KeyId(String::new())),
        |request| request.what = Some(What::Recorded(TimeRange { since_ms: 2, until_ms: 2 })),
        |request| request.what = Some(What::SubjectKey("SHA256:".into())),
    ];
    for (number, change) in bad.into_iter().enumerate() {
        let mut request = good.clone();
        change(&mut request);
        let error = operator.revoke(request).await.unwrap_err();
        assert_eq!((error.code, &*error.reason), (Code::InvalidArgument, "REVOCATION_INVALID"), "{number}");
    }
    assert!(revocations(&site).is_empty());
    let answer = operator.revoke(good).await.unwrap();
    let entry = &site.entries()[at(answer.receipt.unwrap().entry_index)];
    assert!(matches!(entry, Entry::Revocation { .. }), "durable before it is answered: {entry:?}");
    daemon.stop();
}

/// The key that others may have is certified no more, also after a restart; another key, and another reason, are none of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_compromised_subject_key_is_certified_no_more() {
    let (site, daemon, client, _) = signed().await;
    let (one, two) = (fingerprint(1), fingerprint(2));
    revoke(&site, &["--subject", &two, "--reason", "superseded"]);
    sign(&client, &Wanted { serial: 20, ..WANTED[1] }).await.expect("superseded is not compromised");
    revoke(&site, &["--subject", &one, "--reason", "key-compromise"]);
    let error = sign(&client, &Wanted { serial: 21, ..WANTED[0] }).await.unwrap_err();
    assert_eq!((error.code, &*error.reason), (Code::PermissionDenied, "SUBJECT_KEY_REVOKED"));
    assert_eq!(error.rule.as_deref(), Some("ledger.subject_key"));
    sign(&client, &Wanted { serial: 22, ..WANTED[1] }).await.unwrap();
    daemon.kill();

    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let error = sign(&client, &Wanted { serial: 23, ..WANTED[0] }).await.unwrap_err();
    assert_eq!(error.reason, "SUBJECT_KEY_REVOKED");
    sign(&client, &Wanted { serial: 24, ..WANTED[1] }).await.unwrap();
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
}
