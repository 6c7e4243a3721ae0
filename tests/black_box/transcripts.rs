//! Transcripts of the commands that an operator lives with: what they say, when all is well and when it is not.

use crate::crl_ocsp::authority::Authority;
use crate::rotate::two;
use crate::site::{Daemon, FRONT_END, Site, USER_CA, ssh_keygen};
use crate::terminal::Terminal;
use crate::transcript::Transcript;

/// An X.509 CA that awaits its certificate.
const TLS_CA: &str = r#"
[key.tls-ca]
purpose = "x509-ca"
scheme = "rsa-pss-sha256"
token = "soft"

[key.tls-ca.allow.itself]
signs = "certificate-request"
callers = ["uid:0"]
subject = { CN = ["TLS CA *"] }
budget = "10/h"
"#;

fn replace(site: &Site, from: &str, to: &str) {
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    assert!(config.contains(from), "{from}");
    site.configure(&config.replace(from, to));
}

/// A command of a caller over the network.
fn call(transcript: &mut Transcript, site: &Site, daemon: &Daemon, args: &[&str]) {
    let output = site.client_command(daemon, FRONT_END, args).output().unwrap();
    transcript.tell(args, &output);
}

#[test]
fn of_tokens() {
    let site = Site::without_token(USER_CA);
    let mut transcript = Transcript::new("tokens", &site);
    let init = ["token", "init", "soft", "--generate-pins", "--so-pin-file", "so-pin"];
    for args in [
        &["token", "list"][..],
        &["token", "init", "hard", "--so-pin-file", "so-pin"],
        &init,
        &init,
        &["token", "list"],
        &["key", "generate", "user-ca"],
        &["token", "info", "soft"],
        &["token", "info", "tset"],
        &["token", "change-pin", "soft", "--generate-pin"],
        &["token", "unlock", "soft", "--so-pin-file", "so-pin", "--generate-pin"],
        &["token", "set-pin-source", "soft", "--credential", "hsm-pin"],
        &["key", "list"],
    ] {
        transcript.run(&site, args);
    }
    transcript.compare();
}

#[test]
fn of_keys() {
    let site = Site::without_keys(&format!("{USER_CA}{TLS_CA}"));
    let mut transcript = Transcript::new("keys", &site);
    for args in [
        &["key", "list"][..],
        &["key", "generate", "user-ca"],
        &["key", "generate", "user-ca"],
        &["key", "generate", "host-ca"],
        &["key", "generate", "tls-ca", "--rsa-bits", "2048"],
        &["key", "list"],
        &["key", "show", "user-ca"],
        &["key", "show", "tls-ca"],
        &["key", "show", "tls-ca", "--openssh"],
    ] {
        transcript.run(&site, args);
    }
    for format in ["openssh", "pem", "trusted-user-ca", "cert-authority"] {
        transcript.run(&site, &["key", "export-public", "user-ca", "--format", format]);
    }
    transcript.run(&site, &["key", "export-public", "tls-ca", "--format", "trusted-user-ca"]);
    replace(&site, "[key.user-ca]\n", "[key.user-ca]\nlabel = \"another\"\n");
    transcript.run(&site, &["key", "list"]);
    transcript.run(&site, &["key", "show", "user-ca"]);
    transcript.compare();
}

#[test]
fn of_a_check_and_of_what_it_finds() {
    let site = Site::new(USER_CA);
    let mut transcript = Transcript::new("check", &site);
    transcript.run(&site, &["check"]);
    replace(&site, "[key.user-ca]\n", "[key.user-ca]\nlabel = \"another\"\n");
    transcript.run(&site, &["check"]);
    replace(&site, "label = \"another\"\n", "");
    std::fs::write(site.path("pin"), "wrong-4711").unwrap();
    transcript.run(&site, &["check"]);
    transcript.run(&site, &["check"]);
    transcript.run(&site, &["token", "unlatch", "soft"]);
    replace(&site, "label = \"test\"", "label = \"tset\"");
    transcript.run(&site, &["check"]);
    replace(&site, "label = \"tset\"", "label = \"tset\"\nlable = \"test\"\nsessions = 0");
    replace(&site, "max_lifetime = \"1h\"", "max_lifetime = \"1 hour and a bit\"");
    replace(&site, "tls_certificate = \"mtls/server.pem\"", "tls_certificate = \"mtls/none.pem\"");
    transcript.run(&site, &["check"]);
    transcript.run(&site, &["serve"]);
    site.configure("[server]\nlisten = \"127.0.0.1:0\n");
    transcript.run(&site, &["check"]);
    transcript.compare();
}

#[test]
fn of_a_rotation() {
    let site = Site::new(&two());
    let mut daemon = site.serve();
    let mut transcript = Transcript::new("rotation", &site);
    let why = |args: &[&'static str]| [&["rotate"], args, &["--why", "yearly, ticket 4711"]].concat();
    for args in [
        &["rotate", "status"][..],
        &why(&["publish", "user-ca-2"]),
        &why(&["stage", "user-ca"]),
        &why(&["stage", "user-ca-2"]),
        &why(&["publish", "user-ca-2"]),
        &why(&["activate", "user-ca-2", "--at", "2020-01-31T08:00:00Z"]),
        &why(&["activate", "user-ca-2", "--at", "tomorrow"]),
        &why(&["activate", "user-ca-2", "--at", "30days"]),
        &why(&["retire", "user-ca"]),
    ] {
        transcript.run(&site, args);
    }
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let sign =
        |key: &'static str| ["sign", key, "--public-key", "id.pub", "--principal", "alice", "--serial", "7"];
    let bundle = |key: &'static str| ["bundle", key, "--format", "openssh"];
    call(&mut transcript, &site, &daemon, &sign("user-ca-2"));
    call(&mut transcript, &site, &daemon, &bundle("user-ca"));
    call(&mut transcript, &site, &daemon, &bundle("nobody"));
    let as_hosts = ["bundle", "user-ca", "--format", "known-hosts", "--hosts", "a.example"];
    call(&mut transcript, &site, &daemon, &as_hosts);
    call(&mut transcript, &site, &daemon, &sign("user-ca"));
    transcript.run(&site, &why(&["cancel", "user-ca-2"]));
    transcript.run(&site, &why(&["activate", "user-ca-2", "--at", "1s"]));
    daemon.wait_for("key user-ca-2 signs certificates from now on");
    call(&mut transcript, &site, &daemon, &sign("user-ca"));
    for args in [
        &["rotate", "status", "user-ca"][..],
        &why(&["cancel", "user-ca-2"]),
        &why(&["retire", "user-ca"]),
        &why(&["retire", "user-ca", "--force"]),
        &["ledger", "find", "--rotations"],
    ] {
        transcript.run(&site, args);
    }
    transcript.compare();
}

#[test]
fn of_the_doctor() {
    let site = Site::new(&USER_CA.replace("100000/h", "100/h"));
    let mut transcript = Transcript::new("doctor", &site);
    transcript.run(&site, &["doctor"]);
    replace(&site, "\"deploy-*\"", "\"*\"");
    transcript.run(&site, &["doctor"]);
    std::fs::set_permissions(
        site.path("countersign.toml"),
        std::os::unix::fs::PermissionsExt::from_mode(0o664),
    )
    .unwrap();
    std::fs::write(site.path("pin"), "wrong-4711").unwrap();
    transcript.run(&site, &["doctor"]);
    transcript.run(&site, &["doctor", "--no-login"]);
    replace(&site, "module = \"/usr/lib/softhsm/libsofthsm2.so\"", "module = \"/no/such/module.so\"");
    replace(&site, "path = \"ledger.sqlite\"", "path = \"none/ledger.sqlite\"");
    transcript.run(&site, &["doctor"]);
    replace(&site, "label =", "lable =");
    transcript.run(&site, &["doctor"]);
    transcript.compare();
}

#[test]
fn of_a_ledger() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let mut transcript = Transcript::new("ledger", &site);
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let sign = ["sign", "user-ca", "--public-key", "id.pub", "--lifetime", "10m", "--serial"];
    call(&mut transcript, &site, &daemon, &[&sign[..], &["1", "--principal", "alice"]].concat());
    call(&mut transcript, &site, &daemon, &[&sign[..], &["2", "--principal", "root"]].concat());
    transcript.run(&site, &["ledger", "show"]);
    transcript.run(&site, &["ledger", "find", "--principal", "root"]);
    let served = ["--server", "unix:signer.sock"];
    transcript.run(&site, &[&["ledger", "verify"], &served[..]].concat());
    transcript.run(&site, &[&["ledger", "verify", "--accept-uncovered"], &served[..]].concat());
    transcript.run(&site, &[&["ledger", "export", "export"], &served[..]].concat());
    daemon.stop();
    transcript.run(&site, &["ledger", "show", "--last", "1"]);
    transcript.run(&site, &["ledger", "verify", "--accept-uncovered"]);
    transcript.run(&site, &["ledger", "verify"]);
    let ledger = rusqlite::Connection::open(site.path("ledger.sqlite")).unwrap();
    ledger.execute_batch("DROP TRIGGER entry_is_never_removed; DELETE FROM entry WHERE idx = 2").unwrap();
    drop(ledger);
    transcript.run(&site, &["ledger", "verify", "--accept-uncovered"]);
    transcript.run(&site, &["ledger", "show"]);
    transcript.compare();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_revocation_and_its_list() {
    let Authority { site, revoked, .. } = Authority::new().await;
    replace(&site, "[ledger]\n", "[ledger]\nreaders = [\"spiffe://countersign.example/front-end\"]\n");
    let mut transcript = Transcript::new("revocation", &site);
    let serial = revoked.to_string();
    let daemon = site.serve();
    let revoke = ["revoke", "ca", "--why", "it was lost", "--reason", "key-compromise", "--serial", &serial];
    transcript.run(&site, &[&revoke[..], &["--dry-run"]].concat());
    transcript.run(&site, &revoke);
    let asked = ["revoke", "ca", "--why", "lost", "--serial", &serial, "--long"];
    let mut terminal = Terminal::start(&site, &asked);
    terminal.answer("yes", "no");
    transcript.shown(&asked, &terminal.end().1);
    transcript.run(&site, &[&revoke[..], &["--yes"]].concat());
    transcript.run(&site, &["revoke", "ca", "--why", "it was lost", "--serial", "4711", "--dry-run"]);
    let crl = ["crl", "ca", "--certificate", "ca.pem", "--out", "ca.crl", "--next-update", "1h"];
    call(&mut transcript, &site, &daemon, &crl);
    call(&mut transcript, &site, &daemon, &[&crl[..], &["--number", "0x01"]].concat());
    call(
        &mut transcript,
        &site,
        &daemon,
        &["crl", "ca", "--certificate", "none.pem", "--out", "ca.crl", "--next-update", "1h"],
    );
    transcript.run(&site, &["ledger", "find", "--revocations"]);
    daemon.stop();
    transcript.run(&site, &revoke);
    transcript.compare();
}
