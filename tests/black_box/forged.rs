//! The corpus of forged TBSs in `tests/forged/`, sent to a real signer. `examples/forge/` writes the files.

use std::path::PathBuf;

use countersign::ledger::Entry;
use countersign::ledger::entry::Asked;
use countersign_proto::v1::{self, sign_request::Tbs};
use countersign_tbs::ssh::SubjectKey;

use crate::corpus::{self, Case};
use crate::file;
use crate::site::{Daemon, FRONT_END, Site, USER_CA, now, request};

/// A second CA, so that a caller has one to confuse with the first.
const HOST_CA: &str = r#"
[key.host-ca]
purpose = "ssh-host-ca"
scheme = "ecdsa-p256-sha256"
token = "soft"

[key.host-ca.allow.hosts]
callers = ["spiffe://countersign.example/front-end"]
principals = ["*.example.org"]
max_lifetime = "1h"
budget = "100/h"
"#;

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forged/ssh"))
}

/// What the files say, sorted by name.
fn files() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> =
        entries.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect();
    files.sort();
    files
}

fn cases() -> Vec<Case> {
    files().iter().map(|(name, text)| file::read(name.strip_suffix(".txt").unwrap(), text)).collect()
}

/// The point of a CA key on P-256: the last 65 bytes of its blob.
async fn point(site: &Site, daemon: &Daemon, key: &str) -> Vec<u8> {
    let key = site.client(daemon, FRONT_END).await.get_key(key).await.unwrap();
    let blob = SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire();
    blob[blob.len() - 65..].to_vec()
}

fn to_request(case: &Case, bytes: Vec<u8>) -> v1::SignRequest {
    let tbs = match case.kind.as_str() {
        "ssh-certificate" => Tbs::SshCertificate(bytes.into()),
        "x509-certificate" => Tbs::X509Certificate(bytes.into()),
        "x509-crl" => Tbs::X509Crl(bytes.into()),
        "ocsp-response" => Tbs::OcspResponse(bytes.into()),
        other => panic!("{}: no kind {other}", case.name),
    };
    v1::SignRequest { tbs: Some(tbs), ..request(&case.key, Vec::new()) }
}

/// What a refusal's entry says.
fn refusal(entry: &Entry) -> Option<(&Asked, &String, &String, &String)> {
    match entry {
        Entry::Refusal { asked, rule, reason, message, .. } => Some((asked, rule, reason, message)),
        _ => None,
    }
}

#[test]
fn the_corpus_is_what_its_generator_writes() {
    let mut written: Vec<_> =
        corpus::all().iter().map(|case| (case.file_name(), file::write(case))).collect();
    written.sort();
    let names = |files: &[(String, String)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let committed = files();
    assert_eq!(names(&committed), names(&written), "run: cargo run --example forge");
    for (committed, written) in committed.iter().zip(&written) {
        assert_eq!(committed, written, "run: cargo run --example forge");
    }
    assert!(written.len() >= 150 && written.windows(2).all(|pair| pair[0].0 != pair[1].0));
}

#[test]
fn a_case_reads_back_as_it_was_written() {
    for case in corpus::all() {
        assert_eq!(file::read(&case.name, &file::write(&case)), case);
    }
}

#[tokio::test]
async fn refuses_every_forged_tbs_for_its_reason_and_records_it() {
    let site = Site::new(&format!("{USER_CA}{HOST_CA}"));
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let (user_ca, host_ca) = (point(&site, &daemon, "user-ca").await, point(&site, &daemon, "host-ca").await);

    let cases = cases();
    let good = corpus::good();
    let bytes = file::bytes(&good, &user_ca, &host_ca, now());
    client.sign(to_request(&good, bytes)).await.expect("the TBS that the forgeries start from");

    let mut wrong = Vec::new();
    for case in &cases {
        let bytes = file::bytes(case, &user_ca, &host_ca, now());
        match client.sign(to_request(case, bytes)).await {
            Ok(_) => wrong.push(format!("{}: signed", case.name)),
            Err(error) if (&error.reason, error.rule.as_ref()) == (&case.reason, Some(&case.rule)) => {}
            Err(error) => wrong.push(format!("{}: {error}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));

    let entries = site.entries();
    let intents = entries.iter().filter(|entry| matches!(entry, Entry::Intent { .. })).count();
    assert_eq!(intents, 1, "only the good one came as far as a token");
    let refusals: Vec<_> = entries.iter().filter_map(refusal).collect();
    assert_eq!(refusals.len(), cases.len(), "one entry each");
    for (case, (asked, rule, reason, message)) in cases.iter().zip(refusals) {
        assert_eq!((reason, rule, &asked.kind), (&case.reason, &case.rule, &case.kind), "{}", case.name);
        assert!(!message.contains(char::is_control), "{}: {message:?}", case.name);
    }
}
