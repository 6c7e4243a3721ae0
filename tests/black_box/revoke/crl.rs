//! CRLs of what the ledger says is revoked: made, signed and believed.

use std::process::{Child, Stdio};

use countersign_faulty::{Action, Call, Control, On, Script};
use countersign_tbs::Tbs;
use countersign_tbs::crl::{EntryExtension, Reason, RevokedEntry};

use super::*;
use crate::crl_ocsp::authority::{Authority, CRL_URL, time, try_openssl};
use crate::crl_ocsp::{bytes, list, sign as sign_list};
use crate::faulty::faulty;
use crate::site::{Log, PATIENCE};

/// An authority whose front-end may read the ledger.
async fn authority() -> Authority {
    let authority = Authority::new().await;
    let config = std::fs::read_to_string(authority.site.path("countersign.toml")).unwrap();
    let readers = "[ledger]\nreaders = [\"spiffe://countersign.example/front-end\"]\n";
    authority.site.configure(&config.replace("[ledger]\n", readers));
    authority
}

fn crl(site: &Site, daemon: &Daemon, more: &[&str]) -> std::process::Output {
    let mut args = vec!["crl", "ca", "--certificate", "ca.pem", "--pem", "--next-update", "1h"];
    if !more.contains(&"--output") {
        args.extend(["--output", "ca.crl"]);
    }
    site.client_command(daemon, FRONT_END, &[&args, more].concat()).output().unwrap()
}

fn made(site: &Site, daemon: &Daemon, more: &[&str]) -> String {
    let output = crl(site, daemon, more);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Whether openssl takes the list for the CA's, and this leaf for revoked by it.
fn is_revoked(authority: &Authority, by: &str, leaf: &str) -> bool {
    let verified = authority.openssl(&format!("crl -in ca.crl -CAfile {by}.pem -noout"));
    assert!(verified.contains("verify OK"), "{verified}");
    let check = "verify -x509_strict -extended_crl -crl_check -CAfile root.pem -untrusted ca.pem -untrusted lists.pem \
                 -CRLfile ca.crl";
    let output = try_openssl(&authority.site, &format!("{check} {leaf}.pem"));
    let said = text(&output.stderr);
    assert!(output.status.success() || said.contains("certificate revoked"), "{said}");
    !output.status.success()
}

fn listed(authority: &Authority) -> String {
    authority.openssl("crl -in ca.crl -noout -text -nameopt oneline")
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_believes_the_list_that_is_made_of_the_ledger() {
    let authority = authority().await;
    let Authority { site, good, revoked, .. } = &authority;
    let daemon = site.serve();
    let said = made(site, &daemon, &["--url", CRL_URL]);
    assert!(said.contains("CRL 0x01 of key ca, 0 certificates"), "{said}");
    assert!(!is_revoked(&authority, "ca", "good") && !is_revoked(&authority, "ca", "revoked"));

    let revoke = ["revoke", "ca", "--why", "a test", "--yes", "--reason", "key-compromise", "--serial"];
    site.run_ok(&[&revoke[..], &[&revoked.to_string()]].concat());
    let said = made(site, &daemon, &[]);
    assert!(said.contains("CRL 0x02 of key ca, 1 certificates"), "{said}");
    assert!(!is_revoked(&authority, "ca", "good") && is_revoked(&authority, "ca", "revoked"));
    assert!(listed(&authority).contains("Key Compromise"), "{}", listed(&authority));

    // By a key of its own, whose lists have numbers of their own.
    let said = made(site, &daemon, &["--signer", "lists", "--signer-certificate", "lists.pem"]);
    assert!(said.contains("CRL 0x01 of key ca, 1 certificates"), "{said}");
    assert!(!is_revoked(&authority, "lists", "good") && is_revoked(&authority, "lists", "revoked"));

    // Whoever revokes is no front-end, and may have no list signed.
    let bare =
        site.run_refused(&["revoke", "ca", "--why", "a test", "--yes", "--principal", "good.example.org"], 1);
    assert!(
        bare.contains("NOTHING_TO_REVOKE") && bare.contains("--principal DNS:good.example.org"),
        "{bare}"
    );
    let said =
        site.run_ok(&["revoke", "ca", "--why", "a test", "--yes", "--principal", "DNS:good.example.org"]);
    assert!(said.contains("add \"uid:") && said.contains("to the callers of [key.ca.allow.lists]"), "{said}");
    made(site, &daemon, &["--number", "0x09"]);
    assert!(is_revoked(&authority, "ca", "good") && is_revoked(&authority, "ca", "revoked"));
    let list = listed(&authority);
    assert_eq!(list.matches("Serial Number").count(), 2, "{list}");
    let number = authority.openssl("crl -in ca.crl -noout -crlnumber");
    assert_eq!(number.trim(), "crlNumber=0x09");
    assert_ne!(good, revoked);
    daemon.stop();

    // The key for lists may name no more: said before one more is refused.
    let tight = "a list has to name 2 certificates now, and may have 2 entries";
    let (_, log) = site.serve().stop();
    assert!(log.contains(&format!("key.lists.allow.all.max_entries: {tight}")), "{log}");
    assert!(!log.contains("key.ca.allow.lists.max_entries"), "{log}");
    let found = text(&site.run(&["doctor"]).stdout);
    assert!(found.contains("key.lists.allow.all.max_entries") && found.contains(tight), "{found}");
}

/// A list has serials alone, so nothing is signed that would make it longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_subject_keys_certificates_are_listed_and_it_has_no_more() {
    let authority = authority().await;
    let Authority { site, .. } = &authority;
    let daemon = site.serve();
    site.run_ok(&["revoke", "ca", "--why", "a test", "--yes", "--subject", "good.pem"]);
    made(site, &daemon, &[]);
    assert!(is_revoked(&authority, "ca", "good") && !is_revoked(&authority, "ca", "revoked"));

    assert_eq!(again(site, &daemon, "good").await, "SUBJECT_KEY_REVOKED");
    daemon.stop();
}

/// Why the certificate of `name` is not signed again with another serial.
async fn again(site: &Site, daemon: &Daemon, name: &str) -> String {
    let entries = site.entries();
    let tbs = entries.iter().find_map(|entry| match entry {
        Entry::Intent { asked, .. } => {
            let countersign::ledger::entry::AskedTbs::Whole(bytes) = &asked.tbs else { return None };
            match Tbs::parse(countersign_tbs::TbsKind::from_name(&asked.kind)?, bytes) {
                Ok(Tbs::X509(tbs)) => {
                    let dns = format!("DNS:{name}.example.org");
                    tbs.subject_alt_names()
                        .iter()
                        .any(|own| own.to_string() == dns)
                        .then_some((tbs, bytes.clone()))
                }
                _ => None,
            }
        }
        _ => None,
    });
    let (tbs, mut bytes) = tbs.unwrap();
    let old = tbs.serial().as_bytes();
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    bytes[at + old.len() - 1] ^= 1;
    let tbs = countersign_proto::v1::sign_request::Tbs::X509Certificate(bytes.into());
    let request = crate::crl_ocsp::authority::request("ca", tbs);
    site.client(daemon, FRONT_END).await.sign(request).await.unwrap_err().reason
}

/// Whichever signer of a database was told, and whichever makes the list.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_what_any_signer_of_the_database_revoked() {
    let authority = authority().await;
    let Authority { site, revoked, .. } = &authority;
    let database = test_postgres::Server::shared().database();
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let postgres = format!("path = \"signer\"\npostgres = \"{}\"", database.connection());
    let config = config.replace("path = \"ledger.sqlite\"", &postgres);
    site.configure(&config);
    let two = config.replace("\"signer\"", "\"two\"").replace("signer.sock", "two.sock");
    let two = two.replace("test.countersign.example/ledger", "two.countersign.example/ledger");
    std::fs::write(site.path("two.toml"), two).unwrap();
    let with_two = |args: &[&str]| {
        let mut command = site.command(args);
        command.env("COUNTERSIGN_CONFIG", site.path("two.toml"));
        command
    };
    let daemon = site.serve();
    let two = Daemon::start(with_two(&["serve"]).stdout(std::process::Stdio::null()));
    let serial = revoked.to_string();
    let revoke = ["revoke", "ca", "--why", "a test", "--yes", "--serial", &serial, "--not-in-ledger"];
    let output = with_two(&revoke).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (made_by, number) in [(&daemon, 1), (&two, 2)] {
        let said = made(site, made_by, &[]);
        assert!(said.contains(&format!("CRL 0x0{number} of key ca, 1 certificates")), "{said}");
        assert!(!is_revoked(&authority, "ca", "good") && is_revoked(&authority, "ca", "revoked"));
    }
    daemon.stop();
    two.stop();
}

/// Who may have lists signed cannot have one without what is revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_caller_has_no_list_signed_that_leaves_a_certificate_out() {
    let authority = authority().await;
    let Authority { site, ca, revoked, .. } = &authority;
    let daemon = site.serve();
    let serial = revoked.to_string();
    site.run_ok(&[
        "revoke",
        "ca",
        "--why",
        "a test",
        "--yes",
        "--reason",
        "key-compromise",
        "--serial",
        &serial,
    ]);
    let hold = vec![EntryExtension::Reason(Reason::CertificateHold)];
    let weaker = RevokedEntry { extensions: hold, ..RevokedEntry::new(*revoked, time(now())) };
    for (what, list) in [("empty", list(ca, 7)), ("weaker", list(ca, 7).entry(&weaker))] {
        let error = sign_list(site, &daemon, "ca", bytes(list)).await.unwrap_err();
        assert_eq!(
            (&*error.reason, error.rule.as_deref()),
            ("REVOKED_NOT_LISTED", Some("ledger.revoked")),
            "{what}"
        );
        assert!(matches!(site.entries().last(), Some(Entry::Refusal { .. })), "{what}");
    }
    made(site, &daemon, &["--number", "7"]);
    daemon.stop();
}

fn begun(site: &Site, daemon: &Daemon) -> Child {
    let args = ["crl", "ca", "--certificate", "ca.pem", "--output", "ca.crl", "--pem", "--next-update", "1h"];
    let mut command = site.client_command(daemon, FRONT_END, &args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn number(authority: &Authority) -> String {
    authority.openssl("crl -in ca.crl -noout -crlnumber").trim().to_owned()
}

/// Whoever begins later knows of more, whoever is done first.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_takes_the_place_of_no_newer_one() {
    let authority = authority().await;
    let Authority { site, revoked, .. } = &authority;
    std::fs::create_dir(site.path("script")).unwrap();
    let control = Control::new(&site.path("script/script.toml")).unwrap();
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&faulty(&config, &control).replace("deadline = \"2s\"", "deadline = \"1m\""));
    let daemon = site.serve();
    let hang = || {
        let on = vec![On { call: Call::Sign, action: Action::Hang, after: 0, times: Some(1) }];
        let before = control.hangs(Call::Sign);
        control.set(&Script { on, ..Script::default() }).unwrap();
        let slow = begun(site, &daemon);
        assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) > before));
        slow
    };

    let slow = hang();
    let revoke = ["revoke", "ca", "--why", "a test", "--yes", "--serial"];
    site.run_ok(&[&revoke[..], &[&revoked.to_string()]].concat());
    let mut next = begun(site, &daemon);
    let mut said = Log::follow(next.stderr.take().unwrap());
    said.wait_for("another command makes ca.crl; waiting for it");
    control.clear().unwrap();
    for command in [slow, next] {
        let output = command.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(number(&authority), "crlNumber=0x02");
    assert!(is_revoked(&authority, "ca", "revoked"));

    // From another directory or host, whose lock is another.
    let slow = hang();
    made(site, &daemon, &["--output", "other.crl"]);
    std::fs::rename(site.path("other.crl"), site.path("ca.crl")).unwrap();
    control.clear().unwrap();
    let output = slow.wait_with_output().unwrap();
    let message = text(&output.stderr);
    assert!(
        !output.status.success() && message.contains("is CRL 0x04 already, and this is 0x03"),
        "{message}"
    );
    assert_eq!(number(&authority), "crlNumber=0x04");
    daemon.stop();
}

/// How often a signature was asked for.
fn asked(site: &Site) -> usize {
    let is_asked = |entry: &&Entry| matches!(entry, Entry::Intent { .. } | Entry::Refusal { .. });
    site.entries().iter().filter(is_asked).count()
}

/// Whatever else is there stays, and no number is used up.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_takes_the_place_of_lists_of_its_issuer_alone() {
    let authority = authority().await;
    let Authority { site, .. } = &authority;
    let daemon = site.serve();
    made(site, &daemon, &[]);
    let own = std::fs::read(site.path("ca.crl")).unwrap();
    authority.openssl("crl -in ca.crl -outform DER -out list.der");
    let der = std::fs::read(site.path("list.der")).unwrap();
    let issued_by = |name: &[u8; 2]| {
        let at = der.windows(4).position(|window| window == *b"\x0c\x02ca").unwrap();
        [&der[..at + 2], name, &der[at + 4..]].concat()
    };
    let certificate = std::fs::read(site.path("ca.pem")).unwrap();
    let before = asked(site);
    for (there, says) in [
        (certificate, "is there, and is no CRL that can be read"),
        (own.repeat(2), "it has 2 parts in PEM"),
        (issued_by(b"cb"), "is a CRL of \"CN=cb\", and this is one of \"CN=ca\""),
    ] {
        authority.write("there", &there);
        let output = crl(site, &daemon, &["--output", "there"]);
        let message = text(&output.stderr);
        assert!(!output.status.success() && message.contains(says), "{message}");
        assert!(message.trim_end().ends_with("; move it away, or write to another file"), "{message}");
        assert!(std::fs::read(site.path("there")).unwrap() == there, "it is as it was: {says}");
    }
    assert_eq!(asked(site), before, "nothing was signed, nor refused");
    // What verifiers take for the same name, and a file that somebody made for it.
    for (there, number) in [(issued_by(b"cA"), "0x02"), (Vec::new(), "0x03")] {
        authority.write("there", &there);
        let said = made(site, &daemon, &["--output", "there", "--json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&said["number"], &said["file"]), (&number.into(), &"there".into()));
    }
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_where_its_list_is_recorded() {
    let authority = authority().await;
    let Authority { site, revoked, .. } = &authority;
    let daemon = site.serve();
    site.run_ok(&["revoke", "ca", "--why", "a test", "--yes", "--serial", &revoked.to_string()]);
    let said: Value = serde_json::from_str(&made(site, &daemon, &["--json"])).unwrap();
    let Entry::Intent { asked, .. } = &site.entries()[at(said["entry"].as_u64().unwrap())] else {
        panic!("{said}");
    };
    assert_eq!(asked.kind, "x509-crl");
    let until = said["next_update"].as_str().unwrap().parse::<u64>().unwrap();
    assert!((now() + 3500..=now() + 3600).contains(&until), "{said}");
    let expected = serde_json::json!({
        "file": "ca.crl", "key": "ca", "number": "0x01", "certificates": 1, "next_update": said["next_update"],
        "entry": said["entry"],
    });
    assert_eq!(said, expected);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_list_of_the_ca_is_refused_with_what_to_do() {
    let authority = authority().await;
    let Authority { site, .. } = &authority;
    let daemon = site.serve();
    let refused = |more: &[&str], says: &str| {
        let output = crl(site, &daemon, more);
        let message = text(&output.stderr);
        assert!(!output.status.success() && message.contains(says), "{more:?}: {message}");
        assert!(!site.path("ca.crl").exists(), "nothing is written");
    };
    refused(&["--next-update", "7d"], "cannot be used multiple times");
    refused(&["--signer", "lists"], "--signer-certificate");
    refused(&["--signer", "lists", "--signer-certificate", "ca.pem"], "is not the one that is certified");
    refused(&["--signer", "nobody", "--signer-certificate", "lists.pem"], "KEY_NOT_AVAILABLE");
    refused(&["--url", "http://elsewhere.example/ca.crl"], "URL_NOT_ALLOWED");
    made(site, &daemon, &["--number", "5"]);
    let number = crl(site, &daemon, &["--number", "5"]);
    assert!(text(&number.stderr).contains("CRL_NUMBER_NOT_NEWER"), "{}", text(&number.stderr));
    let message = site.run_refused(&["ssh-krl", "ca", "--output", "krl"], 1);
    assert!(message.contains("`countersign crl ca` makes its list"), "{message}");
    let key_id = ["revoke", "ca", "--key-id", "x", "--why", "a test", "--yes"];
    assert!(site.run_refused(&key_id, 1).contains("REVOCATION_KEY"));
    daemon.stop();
}
