//! One CA key takes the place of another: step by step, at a second, with what hosts trust, and whatever kills the signer between.

use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use countersign::ledger::Entry;
use countersign::ledger::entry::{RotationStep, UnixMillis};
use countersign_proto::client::{CallError, Health, HealthOf};
use countersign_proto::v1::{self, KeyState, RotateRequest};
use countersign_proto::{Client, v1::SignResponse};
use countersign_tbs::ssh::SubjectKey;
use serde_json::Value;
use tonic::Code;

use crate::forge::Forgery;
use crate::login::{Sshd, certify, keys, user};
use crate::site::{Daemon, FRONT_END, STRANGER, Site, USER_CA, at, now, request, ssh_keygen, text};

#[path = "rotate/x509.rs"]
mod x509;

/// The section of a key that takes the place of `old`.
fn successor(config: &str, old: &str, new: &str) -> String {
    let (itself, profiles) = (format!("[key.{old}]"), format!("[key.{old}."));
    let mut within = false;
    let own = config.lines().filter(|line| {
        if line.starts_with('[') {
            within = **line == itself || line.starts_with(&profiles);
        }
        within
    });
    let own = own.map(|line| line.replace(&format!("[key.{old}"), &format!("[key.{new}")) + "\n");
    own.collect::<String>().replacen("token = ", &format!("succeeds = \"{old}\"\ntoken = "), 1)
}

/// A user CA and its successor.
pub fn two() -> String {
    format!("{USER_CA}{}", successor(USER_CA, "user-ca", "user-ca-2"))
}

fn rotate(site: &Site, args: &[&str]) -> String {
    site.run_ok(&[&["rotate"], args, &["--why", "a test"]].concat())
}

fn refused(site: &Site, args: &[&str]) -> String {
    site.run_refused(&[&["rotate"], args, &["--why", "a test"]].concat(), 1)
}

/// The states of the line of `user-ca-2`, the oldest key first.
fn states(site: &Site) -> Vec<String> {
    let shown: Value =
        serde_json::from_str(&site.run_ok(&["rotate", "status", "user-ca-2", "--json"])).unwrap();
    let keys = shown[0]["keys"].as_array().unwrap();
    keys.iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect()
}

/// The names of the keys in a file for sshd.
fn trusted(site: &Site, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(site.path("bundles").join(file)).unwrap();
    text.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

async fn ca_key(client: &Client, key: &str) -> SubjectKey {
    SubjectKey::from_openssh_line(&client.get_key(key).await.unwrap().openssh).unwrap()
}

async fn sign(client: &Client, key: &str) -> Result<SignResponse, CallError> {
    let ca_key = ca_key(client, key).await;
    let tbs = Forgery { serial: now_ms(), ..Forgery::user(ca_key.to_wire(), now()) };
    client.sign(request(key, tbs.encode())).await
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// A time some seconds from now, as the command takes it.
fn in_secs(secs: u64) -> (u64, String) {
    let at = now() + secs;
    (at, humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(at)).to_string())
}

/// What certifies a host, but for the key.
const HOST: [&str; 7] =
    ["--host", "--public-key", "host_key.pub", "--principal", "127.0.0.1", "--lifetime", "10m"];

/// A site whose user CA and host CA have successors, where files of bundles are written.
fn overlapping() -> (Site, String) {
    let base = keys("ed25519");
    let new = [successor(&base, "user-ca", "user-ca-2"), successor(&base, "host-ca", "host-ca-2")].concat();
    let site = Site::new(&format!("{base}{new}"));
    let bundles =
        "\n[bundles]\ndirectory = \"bundles\"\nhost_patterns = [\"127.0.0.1\", \"[127.0.0.1]:*\"]\n";
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap() + bundles;
    site.configure(&config);
    std::fs::create_dir(site.path("bundles")).unwrap();
    for pair in ["id", "host_key"] {
        ssh_keygen(&site.path(pair), &["-t", "ed25519"]);
    }
    (site, config)
}

/// sshd, and a client, that read the files which the daemon writes.
fn reading_sshd(site: &Site) -> Sshd {
    for (file, bundle) in
        [("user_ca.pub", "user-ca.trusted_user_ca_keys"), ("known_hosts", "host-ca.known_hosts")]
    {
        let _ = std::fs::remove_file(site.path(file));
        symlink(site.path("bundles").join(bundle), site.path(file)).unwrap();
    }
    Sshd::start_reading(site)
}

fn user_certificate(site: &Site, daemon: &Daemon, key: &str, out: &str) {
    let args = [key, "--public-key", "id.pub", "--principal", &user(), "--lifetime", "10m", "--out", out];
    certify(site, daemon, &args);
}

/// Whether the certificate lets its user in.
fn logs_in(site: &Site, sshd: &mut Sshd, certificate: &str) -> bool {
    std::fs::copy(site.path(certificate), site.path("id-cert.pub")).unwrap();
    let login = sshd.login(site);
    assert_eq!(login.status.success(), text(&login.stdout) == "it works\n", "{}", text(&login.stderr));
    login.status.success()
}

/// Each step is followed by a kill or a restart.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_trust_both_keys_while_they_overlap_and_one_before_and_after() {
    let (site, config) = overlapping();
    let daemon = site.serve();
    certify(&site, &daemon, &[&["host-ca"], &HOST[..]].concat());
    user_certificate(&site, &daemon, "user-ca", "old.pub");
    let mut sshd = reading_sshd(&site);
    let files = ["user-ca.trusted_user_ca_keys", "user-ca-2.trusted_user_ca_keys"];
    let trust = |names: &[&str]| files.map(|file| assert_eq!(trusted(&site, file), names, "{file}"));
    trust(&["user-ca"]);
    assert!(logs_in(&site, &mut sshd, "old.pub"));

    let said = rotate(&site, &["stage", "user-ca-2"]);
    assert!(said.contains("staged user-ca-2: entry ") && said.contains("rotate publish user-ca-2"), "{said}");
    daemon.kill();
    let daemon = site.serve();
    assert_eq!(states(&site), ["active", "staged"]);
    trust(&["user-ca"]);
    let client = site.client(&daemon, FRONT_END).await;
    assert_eq!(sign(&client, "user-ca-2").await.unwrap_err().reason, "KEY_NOT_ACTIVE");

    rotate(&site, &["publish", "user-ca-2"]);
    trust(&["user-ca", "user-ca-2"]);
    daemon.stop();
    let daemon = site.serve();
    assert_eq!(states(&site), ["active", "published"]);
    trust(&["user-ca", "user-ca-2"]);

    rotate(&site, &["activate", "user-ca-2", "--at", "1h"]);
    daemon.kill();
    let mut daemon = site.serve();
    assert_eq!(states(&site), ["active", "scheduled"]);
    rotate(&site, &["activate", "user-ca-2", "--at", "1s"]);
    daemon.wait_for("key user-ca-2 signs certificates from now on, and key user-ca signs none");
    assert_eq!(states(&site), ["superseded", "active"]);
    user_certificate(&site, &daemon, "user-ca-2", "new.pub");
    assert!(logs_in(&site, &mut sshd, "old.pub") && logs_in(&site, &mut sshd, "new.pub"));

    let still = refused(&site, &["retire", "user-ca"]);
    assert!(still.contains("CERTIFICATES_STILL_VALID") && still.contains("--force"), "{still}");
    assert_eq!(states(&site), ["superseded", "active"]);
    rotate(&site, &["retire", "user-ca", "--force"]);
    trust(&["user-ca-2"]);
    assert!(!logs_in(&site, &mut sshd, "old.pub"), "the old key is trusted no more");
    assert!(logs_in(&site, &mut sshd, "new.pub"));
    daemon.kill();

    // Its section goes; whoever reads its file, or asks by its name, has the key that took its place.
    let (begins, ends) = (config.find("[key.user-ca]").unwrap(), config.find("[key.host-ca]").unwrap());
    site.configure(&(config[..begins].to_owned() + &config[ends..]).replace("succeeds = \"user-ca\"\n", ""));
    let daemon = site.serve();
    trust(&["user-ca-2"]);
    let mut bundle = site.client_command(&daemon, FRONT_END, &["bundle", "user-ca", "--format", "openssh"]);
    let printed = bundle.output().unwrap();
    assert!(text(&printed.stdout).ends_with(" user-ca-2\n"), "{}", text(&printed.stderr));
    assert_eq!(states(&site), ["retired", "active"]);
    let (_, log) = daemon.stop();
    assert!(!log.contains("user-ca has no section"), "{log}");
    let shown = site.run_ok(&["ledger", "find", "--rotations", "--key", "user-ca"]);
    assert!(
        shown.lines().count() == 5 && shown.contains("retire, forced, in the place of user-ca"),
        "{shown}"
    );
    site.run_ok(&["ledger", "verify", "--accept-uncovered", "--skip-signatures"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_trust_a_host_whose_certificate_is_by_either_key() {
    let (site, _) = overlapping();
    let mut daemon = site.serve();
    user_certificate(&site, &daemon, "user-ca", "user.pub");
    certify(&site, &daemon, &[&["host-ca"], &HOST[..]].concat());
    for step in
        [&["stage", "host-ca-2"][..], &["publish", "host-ca-2"], &["activate", "host-ca-2", "--at", "1s"]]
    {
        rotate(&site, step);
    }
    let mut old = reading_sshd(&site);
    assert!(logs_in(&site, &mut old, "user.pub"));
    daemon.wait_for("key host-ca-2 signs certificates from now on, and key host-ca signs none");
    certify(&site, &daemon, &[&["host-ca-2"], &HOST[..]].concat());
    let mut new = reading_sshd(&site);
    assert!(logs_in(&site, &mut new, "user.pub"));
    rotate(&site, &["retire", "host-ca", "--force"]);
    assert!(logs_in(&site, &mut new, "user.pub"));
    certify_is_refused(&site, &daemon);
}

/// The old host key certifies nothing any more, and says who does.
fn certify_is_refused(site: &Site, daemon: &Daemon) {
    let refused = site.sign_command(daemon, FRONT_END, &[&["host-ca"], &HOST[..]].concat()).output().unwrap();
    let said = text(&refused.stderr);
    assert!(said.contains("KEY_SUPERSEDED") && said.contains("ask for host-ca-2"), "{said}");
}

/// What is asked for before the second is the old key's, what is asked for after it the new one's, whoever asks and however many.
#[tokio::test(flavor = "multi_thread")]
async fn keys_change_places_at_the_second_under_load() {
    let site = Site::new(&two());
    let daemon = site.serve();
    for step in [&["stage", "user-ca-2"], &["publish", "user-ca-2"]] {
        rotate(&site, step);
    }
    let client = site.client(&daemon, FRONT_END).await;
    let names = ["user-ca", "user-ca-2"];
    let ca_keys = [ca_key(&client, names[0]).await, ca_key(&client, names[1]).await];
    let (second, time) = in_secs(4);
    rotate(&site, &["activate", "user-ca-2", "--at", &time]);
    let turn = second * 1000;
    let mut load = tokio::task::JoinSet::new();
    for caller in 0..8_u64 {
        let (client, which, time) = (client.clone(), usize::from(caller % 2 == 1), time.clone());
        let ca_key = ca_keys[which].to_wire();
        load.spawn(async move {
            let (mut signed, mut refused) = (0, 0);
            for serial in 1.. {
                let sent = now_ms();
                let serial = caller * 1_000_000 + serial;
                let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) }.encode();
                let answer = client.sign(request(names[which], tbs)).await;
                let answered = now_ms();
                match (answer, which) {
                    (Ok(_), 0) => {
                        assert!(sent < turn, "the old key signed what was sent {} ms after", sent - turn);
                    }
                    (Ok(_), _) => {
                        assert!(answered >= turn, "the new key signed {} ms before", turn - answered);
                    }
                    (Err(error), 0) => {
                        assert_eq!(error.reason, "KEY_SUPERSEDED", "{error}");
                        assert!(answered >= turn && error.message.contains("ask for user-ca-2"), "{error}");
                        refused += 1;
                        break;
                    }
                    (Err(error), _) => {
                        assert_eq!(error.reason, "KEY_NOT_ACTIVE", "{error}");
                        assert!(sent < turn && error.message.contains(&time), "{error}");
                        refused += 1;
                        // What is refused is not worth a load.
                        let left = turn.saturating_sub(now_ms());
                        tokio::time::sleep(Duration::from_millis(left.clamp(1, 100))).await;
                        continue;
                    }
                }
                signed += 1;
                if which == 1 && signed == 20 {
                    break;
                }
            }
            (signed, refused)
        });
    }
    for (signed, refused) in load.join_all().await {
        assert!(signed > 0 && refused > 0, "{signed} {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_an_entry_and_what_is_not_next_is_refused_with_what_is() {
    let site = Site::new(&two());
    let daemon = site.serve();
    let status = site.run_ok(&["rotate", "status"]);
    assert!(
        status.contains("user-ca  ") && status.contains("named") && status.contains("rotate stage user-ca-2"),
        "{status}"
    );
    for (args, says) in [
        (&["publish", "user-ca-2"][..], "run `countersign rotate stage user-ca-2 --why TEXT`"),
        (&["activate", "user-ca-2", "--at", "1h"], "run `countersign rotate stage user-ca-2 --why TEXT`"),
        (&["retire", "user-ca"], "run `countersign rotate stage user-ca-2 --why TEXT`"),
        (&["retire", "user-ca-2"], "NO_SUCH_LINE: user-ca-2 is the new key; retire user-ca"),
        (&["stage", "user-ca"], "NO_SUCH_LINE: user-ca is the old key; stage user-ca-2"),
        (&["stage", "nobody"], "NO_SUCH_LINE: there is no [key.nobody]"),
    ] {
        let message = refused(&site, args);
        assert!(message.contains(says), "{args:?}: {message}");
    }
    rotate(&site, &["stage", "user-ca-2"]);
    rotate(&site, &["publish", "user-ca-2"]);
    let past = refused(&site, &["activate", "user-ca-2", "--at", "2020-01-01T00:00:00Z"]);
    assert!(past.contains("ROTATION_TIME") && past.contains("nothing was done"), "{past}");
    let (second, time) = in_secs(3600);
    rotate(&site, &["activate", "user-ca-2", "--at", &time]);
    let early = refused(&site, &["retire", "user-ca", "--force"]);
    assert!(early.contains(&time) && early.contains("rotate cancel user-ca-2"), "{early}");
    rotate(&site, &["cancel", "user-ca-2"]);
    assert_eq!(states(&site), ["active", "published"]);
    let entries = site.entries();
    let steps: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Rotation { step, key, old, by, why, .. } => {
                assert_eq!(
                    (&key[..], &old[..], &why[..]),
                    (&b"user-ca-2"[..], &b"user-ca"[..], &b"a test"[..])
                );
                assert_eq!(by, format!("uid:{}", rustix::process::geteuid().as_raw()).as_bytes());
                Some(*step)
            }
            _ => None,
        })
        .collect();
    let set = RotationStep::Activate(UnixMillis(second * 1000));
    assert_eq!(steps, [RotationStep::Stage, RotationStep::Publish, set, RotationStep::Cancel]);
    // What is staged has signed a challenge first, beside that of the start.
    let tests =
        entries.iter().filter(|entry| matches!(entry, Entry::SelfTest { key, .. } if key == "user-ca-2"));
    assert_eq!(tests.count(), 2);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_for_whoever_may_use_a_key_of_it_and_steps_are_the_operators() {
    let site = Site::new(&format!("{}{}", two(), USER_CA.replace("key.user-ca", "key.alone")));
    let daemon = site.serve();
    let (client, stranger) = (site.client(&daemon, FRONT_END).await, site.client(&daemon, STRANGER).await);
    let members = |bundle: &v1::Bundle| -> Vec<(String, KeyState)> {
        bundle.members.iter().map(|member| (member.key.clone().unwrap().name, member.state())).collect()
    };
    for key in ["user-ca", "user-ca-2"] {
        let bundle = client.get_bundle(key).await.unwrap();
        assert_eq!(members(&bundle), [("user-ca".to_owned(), KeyState::Active)], "{key}");
    }
    rotate(&site, &["stage", "user-ca-2"]);
    assert_eq!(
        client.get_bundle("user-ca").await.unwrap().members.len(),
        1,
        "what is staged is nobody's business"
    );
    rotate(&site, &["publish", "user-ca-2"]);
    let (second, time) = in_secs(3600);
    rotate(&site, &["activate", "user-ca-2", "--at", &time]);
    let bundle = client.get_bundle("user-ca-2").await.unwrap();
    let expected = [("user-ca".to_owned(), KeyState::Active), ("user-ca-2".to_owned(), KeyState::Scheduled)];
    assert_eq!((members(&bundle), &*bundle.active), (expected.to_vec(), "user-ca"));
    assert_eq!(bundle.members[1].at_ms, second * 1000);
    assert_eq!((bundle.openssh.lines().count(), bundle.pem.matches("BEGIN PUBLIC KEY").count()), (2, 2));
    assert_eq!(members(&client.get_bundle("alone").await.unwrap()), [("alone".to_owned(), KeyState::Active)]);
    let unknown = client.get_key("nobody").await.unwrap_err();
    assert_eq!(client.get_bundle("nobody").await.unwrap_err(), unknown);
    for key in ["user-ca", "user-ca-2", "alone"] {
        assert_eq!(stranger.get_bundle(key).await.unwrap_err(), unknown);
    }
    assert_eq!(client.rotate(RotateRequest::default()).await.unwrap_err().code, Code::Unimplemented);
    assert_eq!(client.lines("").await.unwrap_err().code, Code::Unimplemented);

    let print = |args: &[&str]| {
        site.client_command(&daemon, FRONT_END, &[&["bundle"], args].concat()).output().unwrap()
    };
    assert_eq!(text(&print(&["user-ca", "--format", "openssh"]).stdout), bundle.openssh);
    assert_eq!(text(&print(&["user-ca", "--format", "pem"]).stdout), bundle.pem);
    let json: Value = serde_json::from_slice(&print(&["user-ca", "--format", "json"]).stdout).unwrap();
    assert_eq!((&json["active"], &json["keys"][1]["at"]), (&"user-ca".into(), &time.as_str().into()));
    for form in ["known-hosts", "cert-authority"] {
        let wrong = print(&["user-ca", "--format", form, "--hosts", "*.example.org"]);
        let said = text(&wrong.stderr);
        assert!(!wrong.status.success() && said.contains("is not for key user-ca"), "{said}");
        assert_eq!(print(&["user-ca", "--format", form]).status.code(), Some(2), "without --hosts");
    }
    assert!(print(&["user-ca", "--format", "openssh", "--out", "cas"]).status.success());
    assert_eq!(std::fs::read_to_string(site.path("cas")).unwrap(), bundle.openssh);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_cannot_be_written_is_said_and_keeps_nobody_from_signing() {
    let site = Site::new(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&format!("{config}\n[bundles]\ndirectory = \"bundles\"\n"));
    let mut daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    assert_eq!(client.health(HealthOf::Bundles).await.unwrap(), Health::NotServing);
    sign(&client, "user-ca").await.unwrap();
    std::fs::create_dir(site.path("bundles")).unwrap();
    daemon.wait_for("bundles are written again");
    assert_eq!(client.health(HealthOf::Bundles).await.unwrap(), Health::Serving);
    assert_eq!(trusted(&site, "user-ca.trusted_user_ca_keys"), ["user-ca"]);
    let (_, log) = daemon.stop();
    assert!(log.contains("A BUNDLE CANNOT BE WRITTEN"), "{log}");
}

/// A section that is deleted too soon is no way around the steps.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_drops_a_key_too_soon_is_told_so() {
    let site = Site::new(&two());
    let daemon = site.serve();
    rotate(&site, &["stage", "user-ca-2"]);
    daemon.stop();
    let alone = successor(USER_CA, "user-ca", "user-ca-2").replace("succeeds = \"user-ca\"\n", "");
    site.configure(&format!("{}{alone}", site.base_config()));
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    assert_eq!(sign(&client, "user-ca-2").await.unwrap_err().reason, "KEY_NOT_ACTIVE");
    let (_, log) = daemon.stop();
    assert!(log.contains("key user-ca has no section in the configuration, and is not retired"), "{log}");
    let unnamed = format!("{}{USER_CA}", site.base_config());
    site.configure(&unnamed);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let signed = sign(&client, "user-ca").await.unwrap();
    assert!(matches!(site.entries()[at(signed.receipt.unwrap().entry_index)], Entry::Intent { .. }));
    let (_, log) = daemon.stop();
    assert!(log.contains("key user-ca-2 is in the ledger as what takes the place of key user-ca"), "{log}");
    let typo = two().replace("succeeds = \"user-ca\"", "succeeds = \"user-cb\"");
    site.configure(&format!("{}{typo}", site.base_config()));
    let message = site.run_refused(&["serve"], 2);
    assert!(message.contains("key.user-ca-2.succeeds: is \"user-cb\", but there is no section"), "{message}");
}
