#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use clap::Parser;

use crate::cli::Faults;
use crate::cli::policy::Command;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What `policy test` prints, and how it ends.
fn run(cases: &Path) -> (String, anyhow::Result<()>) {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/countersign.example.toml");
    let args = ["policy", "test", "--config", config, cases.to_str().unwrap()];
    let mut out = Vec::new();
    let result = Cli::try_parse_from(args).unwrap().command.run(&mut out);
    (String::from_utf8(out).unwrap(), result)
}

fn run_text(text: &str) -> (String, anyhow::Result<()>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    run(file.path())
}

const CASE: &str = r#"
[case.alice]
expect = "allow"
caller = "spiffe://countersign.example/front-end"
key = "user-ca"
principals = ["alice"]
"#;

#[test]
fn examples_of_the_manual_all_pass() {
    let (text, result) =
        run(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy-cases.example.toml")));
    assert!(result.is_ok(), "{text}");
    assert!(text.lines().filter(|line| line.starts_with("ok ")).count() >= 6, "{text}");
    assert!(text.contains(" passed, 0 failed\nnot checked offline: built-in.ca_key"), "{text}");
}

#[test]
fn a_case_that_is_decided_otherwise_fails_with_its_line() {
    let refused = CASE.replace("\"allow\"", "\"refuse\"\nreason = \"KEY_ID_EMPTY\"");
    let other_rule = CASE.replace("\"allow\"", "\"allow\"\nrule = \"key.user-ca.allow.other\"");
    let other_reason = refused.replace("alice\"]", "root\"]");
    for (text, wanted) in [
        (&refused, "expected refuse with KEY_ID_EMPTY; it is allowed by key.user-ca.allow.staff\n"),
        (
            &other_rule,
            "expected allow by key.user-ca.allow.other; it is allowed by key.user-ca.allow.staff\n",
        ),
        (&other_reason, "it is refused with PRINCIPAL_NOT_ALLOWED by key.user-ca.allow.staff.principals: "),
    ] {
        let (text, result) = run_text(text);
        assert!(
            text.starts_with("FAIL  ") && text.contains(":2: alice: ") && text.contains(wanted),
            "{text}"
        );
        assert!(text.contains("\n0 passed, 1 failed\n"), "{text}");
        assert_eq!(result.unwrap_err().to_string(), "1 of 1 cases failed");
    }
}

#[test]
fn what_the_parser_refuses_is_a_case_too() {
    let none = CASE.replace("\"allow\"", "\"refuse\"\nreason = \"PRINCIPALS_EMPTY\"\nrule = \"tbs\"");
    let (text, result) = run_text(&none.replace("[\"alice\"]", "[]"));
    assert!(result.is_ok(), "{text}");
}

#[test]
fn every_fault_of_a_case_file_has_its_line() {
    for (text, wanted) in [
        ("", "case: is missing"),
        ("x = ", ":1: is not TOML"),
        ("[cases.a]", "cases: is not a section"),
        (&CASE.replace("allow", "permit"), ":3: case.alice.expect: is \"permit\""),
        (&CASE.replace("allow", "refuse"), ":2: case.alice.reason: is missing"),
        (&format!("{CASE}reason = \"X\"\n"), ":7: case.alice.reason: has no place"),
        (&format!("{CASE}lifetime = \"soon\"\n"), ":7: case.alice.lifetime: "),
        (&format!("{CASE}tbs = \"file\"\n"), ":2: case.alice: has a TBS and fields"),
        (&format!("{CASE}at = \"today\"\n"), ":7: case.alice.at: "),
        (&format!("{CASE}principal = \"x\"\n"), ":7: case.alice.principal: is not a key"),
        (&CASE.replace("spiffe://", "http://"), ":4: case.alice.caller: "),
    ] {
        let error = run_text(text).1.unwrap_err();
        assert!(error.is::<Faults>() && error.to_string().contains(wanted), "{wanted}: {error}");
    }
}
