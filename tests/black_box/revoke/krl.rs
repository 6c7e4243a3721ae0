//! KRLs: what ssh-keygen says of them, what sshd makes of them, and that they come from a file as from a signer.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use countersign_tbs::key::PublicKey;
use countersign_tbs::krl::Krl;
use countersign_tbs::ssh::SubjectKey;

use super::*;
use crate::login::{Sshd, certify, keys, user};
use crate::site::ssh_keygen;

fn krl(site: &Site, name: &str, source: &[&str]) -> Krl {
    site.run_ok(&[&["ssh-krl", "user-ca", "--output", name], source].concat());
    Krl::parse(&std::fs::read(site.path(name)).unwrap()).unwrap()
}

/// Whether `ssh-keygen -Q` says that a key or certificate is revoked.
fn is_revoked(site: &Site, list: &str, file: &str) -> bool {
    let asked =
        Command::new("ssh-keygen").args(["-Q", "-f", list, file]).current_dir(site.dir()).output().unwrap();
    let said = format!("{}{}", text(&asked.stdout), text(&asked.stderr));
    assert!(said.contains("REVOKED") || said.contains("ok"), "{said}");
    assert_eq!(asked.status.success(), !said.contains("REVOKED"), "{said}");
    !asked.status.success()
}

fn ca_key(site: &Site) -> PublicKey {
    let line = site.run_ok(&["key", "show", "user-ca", "--openssh"]);
    match SubjectKey::from_openssh_line(&line).unwrap() {
        SubjectKey::Plain(key) => key,
        other => panic!("{other:?}"),
    }
}

/// Writes `spec`, and the list that OpenSSH makes of it.
fn by_ssh_keygen(site: &Site, spec: &str) -> Krl {
    std::fs::write(site.path("spec"), spec).unwrap();
    std::fs::write(site.path("ca.pub"), site.run_ok(&["key", "show", "user-ca", "--openssh"])).unwrap();
    let made = Command::new("ssh-keygen")
        .args(["-k", "-f", "theirs.krl", "-s", "ca.pub", "spec"])
        .current_dir(site.dir())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    Krl::parse(&std::fs::read(site.path("theirs.krl")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_means_what_ssh_keygens_own_list_of_the_same_means() {
    let (site, daemon, _, _) = signed().await;
    let hash = fingerprint(9);
    let mut spec = format!("id: alice@home\nhash: {hash}\n");
    for serial in (100..130).chain([5000, 1 << 40, u64::MAX]) {
        revoke(&site, &["--serial", &serial.to_string(), "--not-in-ledger"]);
        writeln!(spec, "serial: {serial}").unwrap();
    }
    revoke(&site, &["--key-id", "alice@home"]);
    revoke(&site, &["--subject", &hash, "--not-in-ledger"]);
    let (ours, theirs, ca) = (krl(&site, "ours.krl", &[]), by_ssh_keygen(&site, &spec), ca_key(&site));
    assert_eq!(ours.serials(&ca), theirs.serials(&ca));
    assert_eq!(ours.key_ids(&ca), theirs.key_ids(&ca));
    assert_eq!(ours.fingerprints(), theirs.fingerprints());
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_the_same_log_has_the_same_bytes_and_never_goes_back() {
    let (site, daemon, client, _) = signed().await;
    let empty = krl(&site, "list", &[]);
    assert!(empty.sections.is_empty(), "nothing is revoked yet, and sshd needs a file");
    revoke(&site, &["--principal", "alice"]);
    sign(&client, &Wanted { serial: 30, ..WANTED[0] }).await.unwrap();
    sign(&client, &Wanted { serial: 31, ..WANTED[1] }).await.unwrap();
    let live = krl(&site, "live.krl", &["--server", "unix:signer.sock"]);
    let serials: Vec<_> = live.serials(&ca_key(&site)).iter().map(|run| (run.first, run.last)).collect();
    assert_eq!(serials, [(11, 11)], "a principal's certificates until the revocation");
    daemon.stop();
    let file = krl(&site, "list", &[]);
    assert!(file.version >= live.version && live.version > empty.version, "a number that grows");
    assert_eq!(Krl { version: 0, generated: 0, ..file.clone() }, Krl { version: 0, generated: 0, ..live });
    krl(&site, "again", &["--ledger", "ledger.sqlite"]);
    let read = |name: &str| std::fs::read(site.path(name)).unwrap();
    assert_eq!(read("list"), read("again"));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(site.path("list")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o644);

    // The same key under another name has the same certificates.
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let renamed =
        config.replace("[key.user-ca", "[key.login-ca").replace("purpose", "label = \"user-ca\"\npurpose");
    site.configure(&renamed);
    site.serve().stop();
    site.run_ok(&["ssh-krl", "login-ca", "--output", "renamed"]);
    let renamed = Krl::parse(&read("renamed")).unwrap();
    assert_eq!(renamed.sections, file.sections);

    let newer = Krl { version: file.version + 1000, ..file };
    std::fs::write(site.path("list"), newer.encode()).unwrap();
    let message = site.run_refused(&["ssh-krl", "user-ca", "--output", "list"], 1);
    assert!(message.contains("would forget revocations"), "{message}");
    assert_eq!(Krl::parse(&read("list")).unwrap(), newer, "it is as it was");
    let message = site.run_refused(&["ssh-krl", "user-cb", "--output", "other"], 1);
    assert!(message.contains("knows no key user-cb"), "{message}");
    assert!(!site.path("other").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_not_replaced_by_one_that_lacks_any_of_it() {
    let (site, daemon, _, _) = signed().await;
    revoke(&site, &["--serial", "11"]);
    let hash = fingerprint(9);
    for spec in ["serial: 11-12\n", "serial: 11\nid: bob@desk\n", &format!("hash: {hash}\n")] {
        let theirs = by_ssh_keygen(&site, spec);
        let message = site.run_refused(&["ssh-krl", "user-ca", "--output", "theirs.krl"], 1);
        assert!(message.contains("would forget"), "{spec}: {message}");
        assert_eq!(Krl::parse(&std::fs::read(site.path("theirs.krl")).unwrap()).unwrap(), theirs);
    }
    by_ssh_keygen(&site, "serial: 11\n");
    krl(&site, "theirs.krl", &[]);
    std::fs::write(site.path("theirs.krl"), "no list").unwrap();
    let message = site.run_refused(&["ssh-krl", "user-ca", "--output", "theirs.krl"], 1);
    assert!(message.contains("cannot be read"), "{message}");
    let replaced = krl(&site, "theirs.krl", &["--replace"]);
    assert_eq!(replaced.serials(&ca_key(&site)).len(), 1);
    // A file that somebody made for it.
    std::fs::write(site.path("theirs.krl"), "").unwrap();
    let said: Value =
        serde_json::from_str(&site.run_ok(&["ssh-krl", "user-ca", "--output", "theirs.krl", "--json"]))
            .unwrap();
    let expected = serde_json::json!({
        "file": "theirs.krl", "keys": ["user-ca"], "version": replaced.version, "revocations": 1, "listed": 1,
    });
    assert_eq!(said, expected);
    daemon.stop();
}

/// Logs in as `id` with the certificate `id-cert.pub`.
fn logs_in(site: &Site, host: &mut Sshd, id: &str) -> bool {
    for end in ["", "-cert.pub"] {
        let (from, to) = (site.path(&format!("{id}{end}")), site.path(&format!("id{end}")));
        std::fs::copy(from, &to).unwrap();
    }
    let login = host.login(site);
    let (said, log) = (text(&login.stderr), host.log.so_far());
    assert!(login.status.success() || said.contains("Permission denied"), "{said}\n{log}");
    login.status.success()
}

fn certified(site: &Site, daemon: &Daemon, id: &str, serial: &str) {
    ssh_keygen(&site.path(id), &["-t", "ed25519"]);
    recertified(site, daemon, id, serial);
}

fn recertified(site: &Site, daemon: &Daemon, id: &str, serial: &str) {
    let (key, principal) = (format!("{id}.pub"), user());
    let args =
        ["user-ca", "--public-key", &key, "--principal", &principal, "--serial", serial, "--key-id", id];
    certify(site, daemon, &args);
}

#[test]
fn sshd_refuses_what_is_revoked_and_takes_what_is_not() {
    let site = Site::new(&keys("ed25519"));
    let daemon = site.serve();
    ssh_keygen(&site.path("host_key"), &["-t", "ed25519"]);
    let host = ["host-ca", "--host", "--public-key", "host_key.pub", "--principal", "127.0.0.1"];
    certify(&site, &daemon, &host);
    let ids = ["by-serial", "by-key-id", "by-subject", "good"];
    for (serial, id) in (1000..).zip(ids) {
        certified(&site, &daemon, id, &format!("{serial}"));
    }
    site.run_ok(&["ssh-krl", "user-ca", "--output", "revoked.krl"]);
    let krl = site.path("revoked.krl");
    let mut sshd = Sshd::start_with(&site, &format!("RevokedKeys {}\n", krl.display()));
    for id in ids {
        assert!(logs_in(&site, &mut sshd, id), "{id}: nothing is revoked yet");
    }
    revoke(&site, &["--serial", "1000"]);
    revoke(&site, &["--key-id", "by-key-id"]);
    let read = |id: &str| std::fs::read_to_string(site.path(&format!("{id}-cert.pub"))).unwrap();
    std::fs::write(site.path("two.pub"), read("by-subject") + &read("good")).unwrap();
    let two = ["revoke", "user-ca", "--why", "a test", "--yes", "--subject", "two.pub"];
    let message = site.run_refused(&two, 1);
    assert!(message.contains("give one"), "one of two would be forgotten: {message}");
    revoke(&site, &["--subject", "by-subject-cert.pub"]);
    site.run_ok(&["ssh-krl", "user-ca", "--output", "revoked.krl", "--server", "unix:signer.sock"]);
    for (id, good) in ids.into_iter().zip([false, false, false, true]) {
        assert_eq!(logs_in(&site, &mut sshd, id), good, "{id}");
        assert_eq!(is_revoked(&site, "revoked.krl", &format!("{id}-cert.pub")), !good, "{id}");
    }
    // What is signed later with a key id or for a key that is revoked is covered by the list of before.
    for (serial, id) in (2000..).zip(ids) {
        recertified(&site, &daemon, id, &format!("{serial}"));
    }
    for (id, good) in ids.into_iter().zip([true, false, false, true]) {
        assert_eq!(logs_in(&site, &mut sshd, id), good, "{id}, certified again");
    }
    assert!(Path::new(&krl).exists());
    daemon.stop();
}

/// Alone, and among other names; but neither what is called otherwise nor what is signed later.
#[test]
fn ssh_keygen_finds_what_a_principal_means_and_nothing_else() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let sign = |id: &str, serial: &str, principals: &str| {
        ssh_keygen(&site.path(id), &["-t", "ed25519"]);
        let key = format!("{id}.pub");
        let args = ["user-ca", "--public-key", &key, "--serial", serial, "--key-id", id];
        let principals = principals.split(' ').flat_map(|principal| ["--principal", principal]);
        certify(&site, &daemon, &args.into_iter().chain(principals).collect::<Vec<_>>());
    };
    let before = [("alone", "alice"), ("among", "bob alice"), ("another", "bob"), ("longer", "deploy-alice")];
    for (serial, (id, principals)) in (1000..).zip(before) {
        sign(id, &format!("{serial}"), principals);
    }
    revoke(&site, &["--principal", "alice"]);
    sign("later", "2000", "alice");
    site.run_ok(&["ssh-krl", "user-ca", "--output", "revoked.krl"]);
    let ids = ["alone", "among", "another", "longer", "later"];
    for (id, expected) in ids.into_iter().zip([true, true, false, false, false]) {
        assert_eq!(is_revoked(&site, "revoked.krl", &format!("{id}-cert.pub")), expected, "{id}");
    }
    daemon.stop();
}

/// Each certificate by itself: no other selection has these two and not the two beside them.
#[test]
fn ssh_keygen_finds_what_a_time_means_and_neither_what_was_before_it_nor_after() {
    let site = Site::new(&keys("ed25519"));
    let daemon = site.serve();
    let ids = ["before", "first", "last", "after"];
    for (serial, id) in (1000..).zip(ids) {
        certified(&site, &daemon, id, &format!("{serial}"));
    }
    let entries = site.entries();
    let intents = entries.iter().filter(|entry| matches!(entry, Entry::Intent { .. }));
    let times: Vec<_> = intents.map(|intent| Duration::from_millis(intent.time().0)).collect();
    let at = |time: Duration| humantime::format_rfc3339_millis(UNIX_EPOCH + time).to_string();
    // From the very moment of the first to that of the one that it means no more.
    revoke(&site, &["--since", &at(times[1]), "--until", &at(times[3])]);
    site.run_ok(&["ssh-krl", "user-ca", "--output", "revoked.krl"]);
    for (id, expected) in ids.into_iter().zip([false, true, true, false]) {
        assert_eq!(is_revoked(&site, "revoked.krl", &format!("{id}-cert.pub")), expected, "{id}");
    }
    daemon.stop();
}
