#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::process::Command as Process;

use clap::Parser;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::policy::Command;
use crate::ledger::fixture::{CONFIG, Fixture};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The configuration of the ledger's tests and a key pair, in a directory of their own.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("cs.toml"), CONFIG).unwrap();
    let mut keygen = Process::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(directory.path().join("id"));
    assert!(keygen.status().unwrap().success());
    directory
}

fn explain(directory: &std::path::Path, args: &[&str]) -> anyhow::Result<String> {
    let config = directory.join("cs.toml");
    let all = ["policy", "explain", "--config", config.to_str().unwrap()];
    let command = Cli::try_parse_from(all.iter().chain(args)).map_err(anyhow::Error::from)?.command;
    let mut out = Vec::new();
    command.run(&mut out)?;
    Ok(String::from_utf8(out)?)
}

/// `uid:1000` asks for `principal`.
fn fields(directory: &TempDir, principal: &str, more: &[&str]) -> String {
    let public_key = directory.path().join("id.pub");
    let public_key = public_key.to_str().unwrap();
    let args =
        ["--caller", "uid:1000", "--key", "user-ca", "--public-key", public_key, "--principal", principal];
    explain(directory.path(), &[&args, more].concat()).unwrap()
}

fn line_of(text: &str) -> usize {
    1 + CONFIG.lines().position(|line| line.starts_with(text)).unwrap()
}

#[test]
fn names_the_line_that_decided() {
    let directory = directory();
    let text = fields(&directory, "root", &[]);
    let place = format!("cs.toml:{}): PRINCIPAL_NOT_ALLOWED\n", line_of("principals"));
    assert!(text.ends_with(&place), "{text}");
    assert!(text.contains("staff.principals") && text.contains(r#"principals "root""#), "{text}");
    assert!(text.contains("staff.max_principals (default): principals: 1"), "{text}");
    assert!(text.contains("built-in.serial (built-in): serial "), "{text}");
    let callers = format!(
        "built-in.key_available ({}:{})",
        directory.path().join("cs.toml").display(),
        line_of("callers")
    );
    assert!(text.contains(&callers), "{text}");
}

#[test]
fn says_what_was_not_checked() {
    let directory = directory();
    // As `sign` does, this asks for permit-pty, which the profile does not allow.
    let json: Value = serde_json::from_str(&fields(&directory, "alice", &["--json"])).unwrap();
    assert_eq!((&json["verdict"], &json["reason"]), (&"refuse".into(), &"EXTENSION_NOT_ALLOWED".into()));
    assert_eq!(json["source"], "default");
    assert_eq!(json["not_checked"], serde_json::json!(["built-in.ca_key", "built-in.subject_key"]));
    let open: Vec<_> =
        json["steps"].as_array().unwrap().iter().filter(|step| step["answer"] == "not-checked").collect();
    assert_eq!(open.len(), 2);
}

#[tokio::test]
async fn explains_an_entry_at_the_time_when_it_was_recorded() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let mut request = fixture.request("alice");
    ledger.record(fixture.decide(fixture.request("root"))).await.unwrap().permitted().unwrap_err();
    request.bytes = vec![7].into();
    ledger.record(fixture.decide(request)).await.unwrap().permitted().unwrap_err();
    fixture.intent(&ledger).await;
    ledger.close().await;
    std::fs::write(fixture.directory().join("cs.toml"), CONFIG).unwrap();
    let entry = |index: &str| explain(fixture.directory(), &["--entry", index]);

    let text = entry("2").unwrap();
    assert!(
        text.contains("\nentry 2 was permitted by key.user-ca.allow.staff, under this policy\n"),
        "{text}"
    );
    assert!(text.contains("\npermitted by key.user-ca.allow.staff ("), "{text}");
    assert!(
        text.contains("holds: built-in.ca_key and built-in.subject_key and key.user-ca.allow.staff.budget\n"),
        "{text}"
    );
    let text = entry("0").unwrap();
    assert!(
        text.contains("refused by key.user-ca.allow.staff.principals: PRINCIPAL_NOT_ALLOWED, under this"),
        "{text}"
    );
    let text = entry("1").unwrap();
    assert!(text.contains("\nrefused by tbs (built-in): "), "{text}");
    assert!(entry("3").unwrap_err().to_string().contains("entry 3 is what became of entry 2"));
    assert!(entry("9").unwrap_err().to_string().contains("no entry 9"));

    let late = explain(fixture.directory(), &["--entry", "2", "--at", "2099-01-01T00:00:00Z"]).unwrap();
    assert!(late.contains("CERTIFICATE_EXPIRED"), "{late}");
}

#[test]
fn wants_one_request() {
    let directory = directory();
    let caller = ["--caller", "uid:1000", "--key", "user-ca"];
    for args in
        [&[][..], &caller, &["--tbs", "x"], &["--entry", "0", "--tbs", "x"], &["--entry", "0", "--key", "x"]]
    {
        assert!(explain(directory.path(), args).unwrap_err().is::<clap::Error>(), "{args:?}");
    }
    let missing = explain(directory.path(), &[&caller[..], &["--certificate", "/no-such-file"]].concat());
    assert!(missing.unwrap_err().to_string().contains("/no-such-file"));
}
