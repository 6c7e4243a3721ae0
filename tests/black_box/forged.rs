//! The corpus of forged TBSs in `tests/forged/`, sent to a real signer. `examples/forge/` writes the files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use countersign::ledger::Entry;
use countersign::ledger::entry::Asked;
use countersign_proto::Client;
use countersign_proto::v1::{self, sign_request::Tbs};

use countersign_tbs::key::PublicKey;
use countersign_tbs::signature::Scheme;
use rcgen::KeyUsagePurpose;

use crate::ca::{self, certify_as, certify_between, certify_for, certify_responder, generate};
use crate::corpus::own::Own;
use crate::corpus::signers::Signer;
use crate::corpus::x509::Kind;
use crate::corpus::{self, Case, crl, ocsp};
use crate::file;
use crate::site::{Daemon, FRONT_END, STRANGER, Site, USER_CA, key_sections, now, request};

/// Who sends the files of each format. Two callers, since of one the ledger records 1,000 refusals whole, and counts the rest.
const SENDERS: [(&str, &str); 5] =
    [("ssh", FRONT_END), ("x509", FRONT_END), ("crl", STRANGER), ("ocsp", STRANGER), ("own", OPERATOR)];
/// A user of the signer's host, on its Unix socket: nobody else asks for what a CA signs about itself.
const OPERATOR: &str = "operator";

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

/// What the one profile of each X.509 key says, beside its caller and its lifetime.
const fn profile(kind: Kind) -> &'static str {
    match kind {
        Kind::Server => {
            r#"signs = "tls-server"
subject_keys = ["ed25519", "ecdsa-p256", "rsa"]
dns_names = ["www.example.org", "web-*.example.org"]
wildcard_dns_names = ["*.apps.example.org"]
ip_addresses = ["192.0.2.0/24"]
max_names = 4
policies = ["1.3.6.1.4.1.99999.1"]
crl_urls = ["http://pki.example.org/ca.crl"]
ocsp_urls = ["http://ocsp.example.org"]
ca_issuers_urls = ["http://pki.example.org/ca.der"]
min_lifetime = "1m"
extension_values = { "1.3.6.1.4.1.99999.2" = ["0500"] }
subject = { CN = ["www.example.org"] }"#
        }
        Kind::Client => {
            r#"signs = "tls-client"
email_addresses = ["alice@example.org"]
subject = { CN = ["alice"] }"#
        }
        Kind::Service => {
            r#"signs = "mtls-service"
uris = ["spiffe://example.org/web"]
dns_names = ["web.example.org"]
subject = { CN = ["web.example.org"] }"#
        }
        Kind::Logon => {
            r#"signs = "smart-card-logon"
user_principal_names = ["alice@corp.example"]
security_identifiers = ["S-1-5-21-1-2-3-1001"]
subject = { CN = ["alice"] }"#
        }
        Kind::Code => {
            r#"signs = "code-signing"
subject = { CN = ["pipeline"] }"#
        }
        Kind::Responder => {
            r#"signs = "ocsp-responder"
subject = { CN = ["responder"] }"#
        }
        Kind::Subordinate => {
            r#"signs = "intermediate-ca"
max_path_length = 0
permitted_names = ["dns:example.org"]
excluded_names = ["dns:secret.example.org", "ip:0.0.0.0/0", "ip:::/0"]
subject = { CN = ["subordinate"] }"#
        }
    }
}

/// The CA whose lists [`Signer::CrlKey`] signs, by its name.
const LISTED_CA: &str = "crl-key-ca";

/// What is beside the token in the section of each key for lists and answers, and its one profile.
const fn signer_profile(signer: Signer) -> [&'static str; 2] {
    match signer {
        Signer::CrlCa => [
            r#"purpose = "x509-ca""#,
            r#"signs = "crl"
crl_urls = ["http://pki.example.org/ca.crl"]
max_entries = 3
extension_values = { "1.3.6.1.4.1.99999.2" = ["0500"] }
max_next_update = "1d""#,
        ],
        Signer::CrlKey => [
            r#"purpose = "x509-crl""#,
            r#"signs = "crl"
delta = true
max_next_update = "1d""#,
        ],
        Signer::OcspCa => [
            r#"purpose = "x509-ca""#,
            r#"signs = "ocsp-response"
max_responses = 2
max_next_update = "1h""#,
        ],
        Signer::OcspKey => [
            r#"purpose = "ocsp"
issuer_certificate = "ocsp-ca.pem""#,
            r#"signs = "ocsp-response"
max_responses = 2
nonce = true
max_next_update = "1h""#,
        ],
    }
}

/// The key's whole section.
fn own_section(own: Own) -> String {
    let (key, user) = (own.key(), rustix::process::geteuid().as_raw());
    let profile = match own {
        Own::Request => "signs = \"certificate-request\"\nsubject = { O = [\"Example\"], CN = [\"CA *\"] }",
        Own::Root => {
            "signs = \"root-ca\"\nsubject = { O = [\"Example\"], CN = [\"Root *\"] }\n\
             max_path_length = 1\nmin_lifetime = \"1h\"\nmax_lifetime = \"30d\""
        }
    };
    format!(
        "\n[key.{key}]\npurpose = \"x509-ca\"\nscheme = \"ecdsa-p256-sha256\"\ntoken = \"soft\"\n\
         [key.{key}.allow.all]\ncallers = [\"uid:{user}\"]\nbudget = \"100000/h\"\n{profile}\n"
    )
}

/// A key's one profile; `bounds` is what it says beside its caller.
fn allow(key: &str, bounds: &str) -> String {
    format!(
        "\n[key.{key}.allow.all]\ncallers = [\"spiffe://countersign.example/front-end\"]\n\
         budget = \"100000/h\"\n{bounds}\n"
    )
}

fn x509_keys() -> String {
    let cas = Kind::ALL.map(|kind| {
        let section = ca::key(kind.key(), Scheme::EcdsaP256Sha256);
        section + &allow(kind.key(), &format!("max_lifetime = \"1h\"\n{}", profile(kind)))
    });
    let signers = Signer::ALL.map(|signer| {
        let (key, [purpose, profile]) = (signer.key(), signer_profile(signer));
        let section = format!(
            "\n[key.{key}]\nscheme = \"ecdsa-p256-sha256\"\ntoken = \"soft\"\n\
             certificate = \"{key}.pem\"\n{purpose}\n"
        );
        section + &allow(key, profile)
    });
    let listed = ca::key(LISTED_CA, Scheme::EcdsaP256Sha256);
    let listed = listed + &allow(LISTED_CA, "signs = \"ocsp-response\"\nmax_next_update = \"1h\"");
    [cas.concat(), signers.concat(), listed, Own::ALL.map(own_section).concat()].concat()
}

/// Every key of the corpus, certified as it says: each since two hours ago, and for two days.
fn site() -> Site {
    let keys = [USER_CA, HOST_CA, &x509_keys()].concat();
    let uri = |caller| format!("\"spiffe://countersign.example/{caller}\"");
    let keys = keys.replace(&uri(FRONT_END), &[uri(FRONT_END), uri(STRANGER)].join(", "));
    let site = Site::without_keys(&keys);
    key_sections(&keys).for_each(|name| generate(&site, name));
    let between = [-7200, 2 * 86_400];
    for kind in Kind::ALL {
        certify_between(&site, kind.key(), &kind.key_id(), between);
    }
    for signer in Signer::ALL {
        let (key, key_id) = (signer.key(), signer.key_id());
        match signer {
            Signer::CrlCa => certify_between(&site, key, &key_id, between),
            Signer::CrlKey => {
                certify_for(&site, key, &key_id, between, vec![KeyUsagePurpose::CrlSign]);
                let usages = vec![KeyUsagePurpose::KeyCertSign];
                certify_as(&site, LISTED_CA, key, &[0xb4; 20], between, usages);
            }
            Signer::OcspCa => {
                let usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
                certify_for(&site, key, &key_id, between, usages);
            }
            Signer::OcspKey => {
                let ca = Signer::OcspCa;
                certify_responder(&site, key, (ca.key(), &ca.key_id()), between);
            }
        }
    }
    site
}

/// What the forgeries start from, or nearly so: each must be signed.
fn good() -> Vec<Case> {
    let lists = [Signer::CrlCa, Signer::CrlKey].map(crl::good);
    let answers = [Signer::OcspCa, Signer::OcspKey].map(ocsp::good);
    let good = Kind::ALL.map(Kind::good).into_iter().chain([corpus::good()]).chain(lists).chain(answers);
    good.chain(Own::ALL.map(Own::good)).collect()
}

fn directory(format: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forged")).join(format)
}

/// What the files of a format say, sorted by name.
fn files(format: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(directory(format)).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> =
        entries.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect();
    files.sort();
    files
}

fn cases(format: &str) -> Vec<Case> {
    files(format).iter().map(|(name, text)| file::read(name.strip_suffix(".txt").unwrap(), text)).collect()
}

async fn connect(site: &Site, daemon: &Daemon, sender: &str) -> Client {
    match sender {
        OPERATOR => Client::connect_unix(&site.path("signer.sock")).await.unwrap(),
        sender => site.client(daemon, sender).await,
    }
}

/// The points of the CA keys, by name.
async fn points(site: &Site, daemon: &Daemon) -> BTreeMap<String, Vec<u8>> {
    let mut keys = connect(site, daemon, FRONT_END).await.list_keys().await.unwrap();
    keys.extend(connect(site, daemon, OPERATOR).await.list_keys().await.unwrap());
    let point = |spki: &[u8]| match PublicKey::from_spki_der(spki).unwrap() {
        PublicKey::Ecdsa(point) => point.as_bytes().to_vec(),
        other => panic!("{other:?}"),
    };
    keys.into_iter().map(|key| (key.name, point(&key.spki))).collect()
}

fn to_request(case: &Case, bytes: Vec<u8>) -> v1::SignRequest {
    let tbs = match case.kind.as_str() {
        "ssh-certificate" => Tbs::SshCertificate(bytes.into()),
        "x509-certificate" => Tbs::X509Certificate(bytes.into()),
        "x509-crl" => Tbs::X509Crl(bytes.into()),
        "ocsp-response" => Tbs::OcspResponse(bytes.into()),
        "x509-request" => Tbs::X509Request(bytes.into()),
        "x509-root" => Tbs::X509Root(bytes.into()),
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
    for (format, cases) in corpus::directories() {
        let mut written: Vec<_> = cases.iter().map(|case| (case.file_name(), file::write(case))).collect();
        written.sort();
        let names =
            |files: &[(String, String)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let committed = files(format);
        assert_eq!(names(&committed), names(&written), "run: cargo run --example forge");
        for (committed, written) in committed.iter().zip(&written) {
            assert_eq!(committed, written, "run: cargo run --example forge");
        }
        assert!(written.len() >= 80 && written.windows(2).all(|pair| pair[0].0 != pair[1].0), "{format}");
    }
}

#[test]
fn a_case_reads_back_as_it_was_written() {
    for case in corpus::directories().into_iter().flat_map(|(_, cases)| cases) {
        assert_eq!(file::read(&case.name, &file::write(&case)), case);
    }
}

#[tokio::test]
async fn refuses_every_forged_tbs_for_its_reason_and_records_it() {
    let site = site();
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let operator = connect(&site, &daemon, OPERATOR).await;
    let points = points(&site, &daemon).await;
    let bytes = |case: &Case| file::bytes(case, |key| points[key].clone(), now());

    let good = good();
    for case in &good {
        let sender = if Own::ALL.iter().any(|own| own.key() == case.key) { &operator } else { &client };
        let answer = sender.sign(to_request(case, bytes(case))).await;
        answer.unwrap_or_else(|error| panic!("what forgeries of {} start from: {error}", case.key));
    }

    // What the lists of the corpus name, but for those that leave it out.
    let serial = "42".repeat(16);
    let revoke = ["revoke", Signer::CrlCa.key(), "--serial", &serial, "--reason", "key-compromise"];
    site.run_ok(&[&revoke[..], &["--not-in-ledger", "--why", "a test", "--yes"]].concat());

    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for (format, sender) in SENDERS {
        let (cases, client) = (cases(format), connect(&site, &daemon, sender).await);
        for case in &cases {
            match client.sign(to_request(case, bytes(case))).await {
                Ok(_) => wrong.push(format!("{format} {}: signed", case.name)),
                Err(error) if (&error.reason, error.rule.as_ref()) == (&case.reason, Some(&case.rule)) => {}
                Err(error) => wrong.push(format!("{format} {}: {error}, by {:?}", case.name, error.rule)),
            }
        }
        all.extend(cases);
    }
    let cases = all;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));

    let entries = site.entries();
    let intents = entries.iter().filter(|entry| matches!(entry, Entry::Intent { .. })).count();
    assert_eq!(intents, good.len(), "only the good ones came as far as a token");
    let refusals: Vec<_> = entries.iter().filter_map(refusal).collect();
    assert_eq!(refusals.len(), cases.len(), "one entry each");
    for (case, (asked, rule, reason, message)) in cases.iter().zip(refusals) {
        assert_eq!((reason, rule, &asked.kind), (&case.reason, &case.rule, &case.kind), "{}", case.name);
        assert!(!message.contains(char::is_control), "{}: {message:?}", case.name);
    }
}
