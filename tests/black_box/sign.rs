//! What a caller gets: a certificate that ssh-keygen reads as it was asked for, a receipt, and answers in a stream.

use std::collections::BTreeSet;
use std::process::Command;

use countersign::ledger::entry::{AskedTbs, Outcome};
use countersign::ledger::{Entry, leaf_hash};
use countersign_proto::v1;
use countersign_tbs::ssh::{Certificate, CertificateBuilder, CertificateType, SubjectKey};

use crate::forge::Forgery;
use crate::site::{FRONT_END, STRANGER, Site, USER_CA, at, now, request, ssh_keygen, text};

#[tokio::test]
async fn ssh_keygen_agrees_with_every_field() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let key = client.get_key("user-ca").await.unwrap();
    let subject = SubjectKey::from_openssh_line(&ssh_keygen(&site.path("id"), &["-t", "ed25519"])).unwrap();
    let SubjectKey::Plain(ca_key) = SubjectKey::from_openssh_line(&key.openssh).unwrap() else {
        panic!("{key:?}")
    };
    // 2026-11-23 would be too old one day: whole minutes from now, which -L prints in local time.
    let (after, before) = (now() - now() % 60, now() - now() % 60 + 1800);
    let tbs = CertificateBuilder::new(CertificateType::User, subject, ca_key)
        .serial(0xdead_beef)
        .key_id("alice@laptop")
        .principal("alice")
        .principal("deploy-web")
        .valid_after(after)
        .valid_before(before)
        .critical_option("force-command", Some("/usr/bin/backup"))
        .critical_option("source-address", Some("10.1.0.0/16,10.2.3.4/32"))
        .extension("permit-pty", None)
        .build()
        .unwrap();
    let answer = client.sign(request("user-ca", tbs.as_bytes().to_vec())).await.unwrap();

    let certificate = Certificate::parse(&answer.object).unwrap();
    std::fs::write(site.path("id-cert.pub"), certificate.to_openssh_line("")).unwrap();
    let listing = Command::new("ssh-keygen")
        .args(["-L", "-f"])
        .arg(site.path("id-cert.pub"))
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let lines: Vec<String> =
        text(&listing.stdout).lines().skip(1).map(|line| line.trim().to_owned()).collect();
    let expected = format!(
        "Type: ssh-ed25519-cert-v01@openssh.com user certificate
Public key: ED25519-CERT {subject}
Signing CA: ECDSA {ca} (using ecdsa-sha2-nistp256)
Key ID: \"alice@laptop\"
Serial: 3735928559
Valid: from {after} to {before}
Principals:
alice
deploy-web
Critical Options:
force-command /usr/bin/backup
source-address 10.1.0.0/16,10.2.3.4/32
Extensions:
permit-pty",
        subject = certificate.tbs().subject_key().fingerprint(),
        ca = key.ssh_fingerprint,
        after = utc(after),
        before = utc(before),
    );
    assert_eq!(lines.join("\n"), expected);
}

/// As ssh-keygen prints it in UTC.
fn utc(time: u64) -> String {
    let date =
        Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S", "-d", &format!("@{time}")]).output().unwrap();
    text(&date.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_names_an_intent_that_holds_the_bytes_and_an_outcome_follows() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let key = client.get_key("user-ca").await.unwrap();
    let ca_key = SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire();
    let tbs = Forgery::user(ca_key, now()).encode();
    let mut asked = request("user-ca", tbs.clone());
    asked.request_id = "ticket-1".into();
    let answer = client.sign(asked).await.unwrap();
    let receipt = answer.receipt.unwrap();
    assert_eq!(receipt.log_origin, "test.countersign.example/ledger");
    daemon.stop();

    let entries = site.entries();
    let entry = &entries[at(receipt.entry_index)];
    let Entry::Intent { asked, .. } = entry else { panic!("{entry:?}") };
    assert_eq!(asked.caller, b"spiffe://countersign.example/front-end");
    assert_eq!(asked.request_id.as_deref(), Some(b"ticket-1".as_slice()));
    assert_eq!(asked.tbs, AskedTbs::Whole(tbs));
    assert_eq!(leaf_hash(&entry.encode().unwrap()).as_slice(), receipt.leaf_hash);
    let outcome = entries.iter().find_map(|entry| match entry {
        Entry::Outcome { intent, outcome, .. } if *intent == receipt.entry_index => Some(outcome),
        _ => None,
    });
    assert!(matches!(outcome, Some(Outcome::Signed(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_stream_answers_each_request_by_its_id_and_goes_on_after_an_error() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let key = client.get_key("user-ca").await.unwrap();
    let ca_key = SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire();
    let requests = (0..500_u64).map(move |n| {
        let mut tbs = Forgery::user(ca_key.clone(), now());
        tbs.serial = n + 1;
        if n % 10 == 0 {
            tbs.principals = vec![b"root".to_vec()];
        }
        v1::SignRequest { request_id: format!("n-{n}"), ..request("user-ca", tbs.encode()) }
    });
    let mut answers = client.sign_stream(tokio_stream::iter(requests.collect::<Vec<_>>())).await.unwrap();

    let mut seen = BTreeSet::new();
    while let Some(answer) = answers.next().await.unwrap() {
        let n: u64 = answer.request_id.strip_prefix("n-").unwrap().parse().unwrap();
        match answer.result {
            Ok(signed) => {
                let certificate = Certificate::parse(&signed.object).unwrap();
                assert_eq!(certificate.tbs().serial(), n + 1, "the answer to another request");
                assert_ne!(n % 10, 0);
            }
            Err(error) => assert_eq!((error.reason.as_str(), n % 10), ("PRINCIPAL_NOT_ALLOWED", 0)),
        }
        assert!(seen.insert(n), "answered twice");
    }
    assert_eq!(seen.len(), 500);
}

#[tokio::test]
async fn a_stream_refuses_a_request_without_an_id() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let nameless = request("user-ca", Vec::new());
    let mut answers = client.sign_stream(tokio_stream::iter(vec![nameless])).await.unwrap();
    let error = answers.next().await.unwrap().unwrap().result.unwrap_err();
    assert_eq!(error.reason, "REQUEST_ID_INVALID");
}

#[tokio::test]
async fn the_unix_socket_knows_its_caller_by_user_id() {
    let uid = rustix::process::getuid().as_raw();
    let keys = USER_CA.replace("\"spiffe://countersign.example/front-end\"", &format!("\"uid:{uid}\""));
    let site = Site::new(&keys);
    let daemon = site.serve();
    let local = countersign_proto::Client::connect_unix(&site.path("signer.sock")).await.unwrap();
    let names: Vec<_> = local.list_keys().await.unwrap().into_iter().map(|key| key.name).collect();
    assert_eq!(names, ["user-ca"]);
    assert!(site.client(&daemon, FRONT_END).await.list_keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn one_caller_after_another_sees_only_its_own_keys() {
    let keys = format!(
        "{USER_CA}{}",
        USER_CA.replace("key.user-ca", "key.other-ca").replace("/front-end", "/stranger")
    );
    let site = Site::new(&keys);
    let daemon = site.serve();
    for (identity, expected) in [(FRONT_END, "user-ca"), (STRANGER, "other-ca")] {
        let listed = site.client(&daemon, identity).await.list_keys().await.unwrap();
        assert_eq!(listed.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), [expected]);
        assert_eq!(listed[0].purpose(), v1::Purpose::SshUserCa);
        assert_eq!(listed[0].scheme(), v1::Scheme::EcdsaP256Sha256);
    }
}
