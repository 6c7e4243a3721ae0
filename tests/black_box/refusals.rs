//! What must never be signed, and that each refusal has its reason, its ledger entry and a clear error.

use std::process::{Command, Stdio};

use countersign::ledger::Entry;
use countersign_proto::client::CallError;
use countersign_tbs::ssh::CertificateTbs;
use prost::Message;

use crate::forge::{Forgery, string};
use crate::site::{Daemon, FRONT_END, STRANGER, Site, USER_CA, now, request, text};

/// One way to be wrong: a name, what it does to a good TBS, and the reason that must come back.
type Case = (&'static str, fn(&mut Forgery), &'static str);

const FORGED_FIELDS: &[Case] = &[
    ("no principals", |tbs| tbs.principals.clear(), "PRINCIPALS_EMPTY"),
    ("an empty principal", |tbs| tbs.principals = vec![Vec::new()], "PRINCIPAL_EMPTY"),
    ("an unlisted principal", |tbs| tbs.principals = vec![b"root".to_vec()], "PRINCIPAL_NOT_ALLOWED"),
    (
        "a listed and an unlisted principal",
        |tbs| tbs.principals.push(b"root".to_vec()),
        "PRINCIPAL_NOT_ALLOWED",
    ),
    ("a comma in a principal", |tbs| tbs.principals = vec![b"alice,root".to_vec()], "PRINCIPAL_INVALID"),
    ("a wildcard principal", |tbs| tbs.principals = vec![b"*".to_vec()], "PRINCIPAL_INVALID"),
    ("too long a lifetime", |tbs| tbs.valid_before += 7200, "LIFETIME_TOO_LONG"),
    ("valid for ever", |tbs| tbs.valid_before = u64::MAX, "VALID_FOREVER"),
    ("backdated by a day", |tbs| tbs.valid_after -= 86_400, "BACKDATED_TOO_FAR"),
    (
        "expired",
        |tbs| (tbs.valid_after, tbs.valid_before) = (tbs.valid_after - 600, tbs.valid_after - 1),
        "CERTIFICATE_EXPIRED",
    ),
    ("ends before it starts", |tbs| tbs.valid_before = tbs.valid_after - 1, "VALIDITY_INVERTED"),
    (
        "a host certificate",
        |tbs| (tbs.kind, tbs.extensions) = (2, Vec::new()),
        "CERTIFICATE_TYPE_NOT_ALLOWED",
    ),
    ("neither user nor host", |tbs| tbs.kind = 3, "CERTIFICATE_TYPE_UNKNOWN"),
    (
        "another CA key",
        |tbs| tbs.ca_key = [string(b"ssh-ed25519"), string(&[9; 32])].concat(),
        "CA_KEY_MISMATCH",
    ),
    (
        "an unknown critical option",
        |tbs| tbs.critical_options = vec![(b"trust-me".to_vec(), Vec::new())],
        "CRITICAL_OPTION_NOT_ALLOWED",
    ),
    (
        "a force-command that is not listed",
        |tbs| tbs.critical_options = vec![(b"force-command".to_vec(), string(b"/bin/sh"))],
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
    ),
    (
        "an empty source-address",
        |tbs| tbs.critical_options = vec![(b"source-address".to_vec(), string(b""))],
        "OPTION_NEEDS_VALUE",
    ),
    (
        "a source-address outside the profile's",
        |tbs| tbs.critical_options = vec![(b"source-address".to_vec(), string(b"192.0.2.0/24"))],
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
    ),
    (
        "an extension that is not listed",
        |tbs| tbs.extensions = vec![(b"permit-port-forwarding".to_vec(), Vec::new())],
        "EXTENSION_NOT_ALLOWED",
    ),
    ("serial zero", |tbs| tbs.serial = 0, "SERIAL_ZERO"),
    ("a reserved field with something in it", |tbs| tbs.reserved = vec![1], "RESERVED_NOT_EMPTY"),
    ("no key id", |tbs| tbs.key_id.clear(), "KEY_ID_EMPTY"),
    ("a NUL in the key id", |tbs| tbs.key_id.push(0), "KEY_ID_CONTROL_CHARACTER"),
    (
        "a certificate as the subject key",
        |tbs| {
            let certificate = tbs.encode();
            tbs.subject = string(&certificate);
        },
        "SUBJECT_IS_CERTIFICATE",
    ),
    ("a certificate as the CA key", |tbs| tbs.ca_key = tbs.encode(), "CA_KEY_IS_CERTIFICATE"),
];

fn good(daemon_key: &[u8]) -> Forgery {
    Forgery::user(daemon_key.to_vec(), now())
}

async fn ca_key(site: &Site, daemon: &Daemon, name: &str) -> Vec<u8> {
    let key = site.client(daemon, FRONT_END).await.get_key(name).await.unwrap();
    countersign_tbs::ssh::SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire()
}

/// The refusal's reason, after checking that it names its rule and that the newest entry tells the same.
fn refused(
    site: &Site,
    what: &str,
    result: Result<countersign_proto::v1::SignResponse, CallError>,
) -> String {
    let error = result.err().unwrap_or_else(|| panic!("{what} was signed"));
    let entries = site.entries();
    let Some(Entry::Refusal { reason, rule, message, .. }) = entries.last() else {
        panic!("{what}: {:?}", entries.last())
    };
    assert_eq!((Some(rule), reason), (error.rule.as_ref(), &error.reason), "{what}");
    assert_eq!(error.entry, Some(entries.len() as u64 - 1), "{what}");
    assert!(error.message.starts_with(message.as_str()) && !message.contains('\n'), "{what}: {error}");
    error.reason
}

#[tokio::test]
async fn refuses_every_forged_field_and_records_it() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let ca_key = ca_key(&site, &daemon, "user-ca").await;
    client
        .sign(request("user-ca", good(&ca_key).encode()))
        .await
        .expect("the TBS that the forgeries start from");

    for (what, forge, reason) in FORGED_FIELDS {
        let mut tbs = good(&ca_key);
        forge(&mut tbs);
        let answer = client.sign(request("user-ca", tbs.encode())).await;
        assert_eq!(refused(&site, what, answer), *reason, "{what}");
    }
}

#[tokio::test]
async fn refuses_truncated_and_trailing_bytes_at_every_length() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let whole = good(&ca_key(&site, &daemon, "user-ca").await).encode();

    for len in 0..whole.len() {
        let answer = client.sign(request("user-ca", whole[..len].to_vec())).await;
        assert_eq!(refused(&site, &format!("the first {len} bytes"), answer), "TBS_TRUNCATED");
    }
    let answer = client.sign(request("user-ca", [whole, vec![0]].concat())).await;
    assert_eq!(refused(&site, "a trailing byte", answer), "TBS_TRAILING_BYTES");
}

#[tokio::test]
async fn refuses_a_finished_certificate_in_place_of_a_tbs() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let tbs = good(&ca_key(&site, &daemon, "user-ca").await).encode();
    let signed = client.sign(request("user-ca", tbs)).await.unwrap();
    let answer = client.sign(request("user-ca", signed.object.to_vec())).await;
    assert_eq!(refused(&site, "a certificate with its signature", answer), "TBS_TRAILING_BYTES");
}

#[tokio::test]
async fn refuses_the_ca_key_as_the_subject_key() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let ca_key = ca_key(&site, &daemon, "user-ca").await;
    let mut tbs = good(&ca_key);
    tbs.certificate_type = b"ecdsa-sha2-nistp256-cert-v01@openssh.com".to_vec();
    tbs.subject = ca_key[string(b"ecdsa-sha2-nistp256").len()..].to_vec();
    assert!(CertificateTbs::parse(&tbs.encode()).is_ok(), "only policy knows that this is a CA's key");
    let answer = client.sign(request("user-ca", tbs.encode())).await;
    let message = &answer.as_ref().unwrap_err().message;
    assert!(!message.contains("user-ca"), "it may be a key that the caller does not know: {message}");
    assert_eq!(refused(&site, "the CA's own key", answer), "SUBJECT_KEY_IS_CA_KEY");
}

#[tokio::test]
async fn a_stranger_cannot_tell_a_key_from_no_key() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let tbs = good(&ca_key(&site, &daemon, "user-ca").await).encode();
    let stranger = site.client(&daemon, STRANGER).await;

    assert!(stranger.list_keys().await.unwrap().is_empty());
    let not_mine = stranger.get_key("user-ca").await.unwrap_err();
    let not_there = stranger.get_key("no-such-key").await.unwrap_err();
    assert_eq!(not_mine, not_there);
    assert_eq!(not_mine.reason, "KEY_NOT_AVAILABLE");

    let mut answers = Vec::new();
    for key in ["user-ca", "no-such-key"] {
        let error = stranger.sign(request(key, tbs.clone())).await.unwrap_err();
        assert_eq!(error.reason, "KEY_NOT_AVAILABLE");
        answers.push(CallError { entry: None, ..error });
    }
    assert_eq!(answers[0], answers[1]);
    let recorded = site.entries().into_iter().filter(|entry| matches!(entry, Entry::Refusal { .. })).count();
    assert_eq!(recorded, 2, "each refused Sign is an entry");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_request_whose_deadline_has_passed() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let tbs = good(&ca_key(&site, &daemon, "user-ca").await).encode();
    // curl, because a gRPC library keeps such a request to itself.
    let message = request("user-ca", tbs).encode_to_vec();
    let frame = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    std::fs::write(site.path("frame"), frame).unwrap();
    let curl = Command::new("curl")
        .args(["-sS", "--http2", "-X", "POST", "-H", "content-type: application/grpc", "-H", "te: trailers"])
        .args(["-H", "grpc-timeout: 1n", "--data-binary", "@frame", "-D", "-", "-o", "/dev/null"])
        .args(["--cacert", "mtls/ca.pem", "--cert", "mtls/front-end.pem", "--key", "mtls/front-end.key"])
        .arg(format!("https://localhost:{}/countersign.v1.Signer/Sign", daemon.address.port()))
        .current_dir(site.dir())
        .output()
        .unwrap();
    assert!(text(&curl.stdout).contains("grpc-status: 4"), "DEADLINE_EXCEEDED: {curl:?}");
    daemon.stop();
    let entries = site.entries();
    let Some(Entry::Refusal { reason, .. }) = entries.last() else { panic!("{:?}", entries.last()) };
    assert_eq!(reason, "REQUEST_EXPIRED");
}

#[tokio::test]
async fn without_a_client_certificate_there_is_no_service() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let address = format!("localhost:{}", daemon.address.port());
    let ca = site.path("mtls/ca.pem");
    let client = Command::new("openssl")
        // Not done at the end of its input, but when the server has said why.
        .args(["s_client", "-ign_eof", "-connect", &address, "-alpn", "h2", "-CAfile"])
        .arg(ca)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}{}", text(&client.stdout), text(&client.stderr));
    assert!(said.contains("certificate required"), "{said}");
    let asked = |entry: &Entry| matches!(entry, Entry::Intent { .. } | Entry::Refusal { .. });
    assert!(!site.entries().iter().any(asked), "nothing reached the pipeline");
}
