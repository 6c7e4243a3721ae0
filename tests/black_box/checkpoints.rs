//! Checkpoints: when they come, who verifies them, what they refuse, and that their token's trouble is theirs alone.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use countersign::key::PublicKey;
use countersign::ledger::Entry;
use countersign::ledger::checkpoint::Checkpoint;
use countersign::ledger::entry::Outcome;
use countersign::ledger::note::{Note, SignerName, VerifierKey};
use countersign_faulty::{Action, Call, Control, On, Script};
use countersign_proto::client::{Health, HealthChanges, HealthOf};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use serde_json::Value;

use crate::faulty::{Caller, faulty, other_token};
use crate::site::{FRONT_END, PATIENCE, Site, USER_CA, at, key_sections, text};

const ORIGIN: &str = "test.countersign.example/ledger";

/// The log's own key on token `soft`.
fn log_key(scheme: &str) -> String {
    format!("\n[key.log]\npurpose = \"ledger\"\nscheme = {scheme:?}\ntoken = \"soft\"\n")
}

/// The configuration with these lines in `[ledger]`.
fn with_checkpoints(config: &str, lines: &str) -> String {
    config.replace("[ledger]\n", &format!("[ledger]\ncheckpoint_key = \"log\"\n{lines}\n"))
}

/// A site of one token with a user CA and the log's key.
pub fn site(scheme: &str, lines: &str) -> Site {
    let site = Site::without_token("");
    let config = format!("{}{USER_CA}{}", site.base_config(), log_key(scheme));
    make(&site, &with_checkpoints(&config, lines), &["soft"]);
    site
}

/// Makes the tokens and all keys of a configuration.
fn make(site: &Site, config: &str, tokens: &[&str]) {
    site.configure(config);
    for token in tokens {
        let so_pin = site.path(&format!("{token}-so-pin"));
        let so_pin = so_pin.to_str().unwrap();
        site.run_ok(&["token", "init", token, "--generate-pins", "--so-pin-file", so_pin]);
    }
    for name in key_sections(config) {
        site.run_ok(&["key", "generate", name]);
    }
}

/// What verifies this site's checkpoints, as `key show` says.
pub fn verifier(site: &Site) -> VerifierKey {
    let shown: Value = serde_json::from_str(&site.run_ok(&["key", "show", "log", "--json"])).unwrap();
    let key = shown["verifier_key"].as_str().unwrap();
    assert!(key.starts_with(&format!("{ORIGIN}+")), "{key}");
    assert!(site.run_ok(&["key", "show", "log"]).contains(&format!("verifies checkpoints: {key}\n")));
    key.parse().unwrap()
}

/// The newest checkpoint, verified.
fn newest(site: &Site, key: &VerifierKey) -> Checkpoint {
    let note = std::fs::read(site.path("ledger.sqlite-checkpoint")).unwrap();
    Checkpoint::open(&note, ORIGIN, key).unwrap().0
}

/// Waits for one of `size` entries at least.
pub fn wait_for(site: &Site, key: &VerifierKey, entries: u64) -> Checkpoint {
    until_file(site, || Some(newest(site, key)).filter(|found| found.size() >= entries))
}

/// Waits until a file that is put into the site's directory has what is looked for.
pub fn until_file<T>(site: &Site, found: impl Fn() -> Option<T>) -> T {
    let since = Instant::now();
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&changes, site.dir(), inotify::WatchFlags::MOVED_TO).unwrap();
    loop {
        if let Some(found) = found() {
            return found;
        }
        let patience = PATIENCE.saturating_sub(since.elapsed()).try_into().unwrap();
        let comes = poll(&mut [PollFd::new(&changes, PollFlags::IN)], Some(&patience)).unwrap();
        assert_eq!(comes, 1, "no file came that has it");
        // Whatever it was: the file is read again.
        rustix::io::read(&changes, &mut [0_u8; 4096]).unwrap();
    }
}

/// The next health that is told.
async fn told(changes: &mut HealthChanges) -> Option<Health> {
    tokio::time::timeout(PATIENCE, changes.next()).await.expect("a change").unwrap()
}

fn checkpoints(site: &Site) -> usize {
    site.entries().iter().filter(|entry| matches!(entry, Entry::Checkpoint { .. })).count()
}

/// What became of the entry at `index`.
fn outcome_of(entries: &[Entry], index: usize) -> Option<&Outcome> {
    entries.iter().find_map(|entry| match entry {
        Entry::Outcome { intent, outcome, .. } if at(*intent) == index => Some(outcome),
        _ => None,
    })
}

/// As a stranger verifies it, who has our public key, openssl and the specification.
fn openssl_verifies(site: &Site, scheme: &str) {
    let note = Note::parse(&std::fs::read(site.path("ledger.sqlite-checkpoint")).unwrap()).unwrap();
    std::fs::write(site.path("text"), note.text()).unwrap();
    let line = note.to_string().lines().last().unwrap().rsplit(' ').next().unwrap().to_owned();
    std::fs::write(site.path("signature"), &Base64::decode_vec(&line).unwrap()[4..]).unwrap();
    std::fs::write(site.path("log.pem"), site.run_ok(&["key", "show", "log", "--pem"])).unwrap();
    let args: &[&str] = match scheme {
        "ed25519" => &[
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            "log.pem",
            "-rawin",
            "-in",
            "text",
            "-sigfile",
            "signature",
        ],
        _ => &["dgst", "-sha256", "-verify", "log.pem", "-signature", "signature", "text"],
    };
    let verified = Command::new("openssl").args(args).current_dir(site.dir()).output().unwrap();
    assert!(verified.status.success(), "{}{}", text(&verified.stdout), text(&verified.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn they_come_by_count_and_openssl_verifies_them() {
    for scheme in ["ed25519", "ecdsa-p256-sha256"] {
        let site = site(scheme, "checkpoint_interval = \"1h\"\ncheckpoint_entries = 20");
        let daemon = site.serve();
        let key = verifier(&site);
        let first = newest(&site, &key);
        assert!(
            (2..=4).contains(&first.size()),
            "the self-tests, before anybody is served: {}",
            first.size()
        );
        let caller = Caller::new(&site, &daemon).await;
        for _ in 0..9 {
            caller.sign("user-ca").await.unwrap();
        }
        assert_eq!((newest(&site, &key), checkpoints(&site)), (first, 1), "too few, and too soon");
        for _ in 0..3 {
            caller.sign("user-ca").await.unwrap();
        }
        wait_for(&site, &key, 20);
        openssl_verifies(&site, scheme);
        let (status, log) = daemon.stop();
        assert!(status.success(), "{log}");
        let (log_key, newest) = (key.to_string(), "ledger.sqlite-checkpoint");
        // The key's own self-test, too: nothing in the log says what the key is, and --log-key does.
        site.run_ok(&["ledger", "verify", "--log-key", &log_key, "--checkpoint", newest]);
        let entries = site.entries();
        let signed =
            entries.iter().enumerate().filter(|(_, entry)| matches!(entry, Entry::Checkpoint { .. }));
        let unsigned =
            signed.filter(|(index, _)| !matches!(outcome_of(&entries, *index), Some(Outcome::Signed(_))));
        assert_eq!(unsigned.count(), 0, "each use of the key is in the log");
    }
}

#[test]
fn the_log_key_is_known_by_its_record_or_asked_for_by_its_name() {
    let site = site("ed25519", "checkpoint_interval = \"1h\"");
    site.serve().stop();
    let refused = site.run(&["ledger", "verify", "--accept-uncovered"]);
    let said = text(&refused.stdout);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("not checked: 2 signatures by the ledger key log (SPKI sha256 "), "{said}");
    let recorded = self::site("ed25519", "checkpoint_interval = \"1h\"");
    recorded.serve_with_records().stop();
    // Its self-test comes before its record.
    recorded.run_ok(&["ledger", "verify", "--accept-uncovered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_come_by_time_and_of_nothing_new_there_is_none() {
    let site = site("ed25519", "checkpoint_interval = \"100ms\"");
    let daemon = site.serve();
    let (key, caller) = (verifier(&site), Caller::new(&site, &daemon).await);
    for _ in 0..2 {
        caller.sign("user-ca").await.unwrap();
        let newest_intent =
            site.entries().iter().rposition(|entry| matches!(entry, Entry::Intent { .. })).unwrap();
        wait_for(&site, &key, u64::try_from(newest_intent).unwrap() + 2);
    }
    let before = checkpoints(&site);
    // There is no event for what must not come.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(checkpoints(&site), before);
    let shown = site.run_ok(&["ledger", "show"]);
    assert!(shown.contains("  checkpoint  ") && shown.contains(&format!("of log {ORIGIN}")), "{shown}");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_before_a_stop_is_of_every_intent() {
    let site = site("ed25519", "checkpoint_interval = \"1h\"");
    let daemon = site.serve();
    let (key, caller) = (verifier(&site), Caller::new(&site, &daemon).await);
    for _ in 0..3 {
        caller.sign("user-ca").await.unwrap();
    }
    let newest_intent = || site.entries().iter().rposition(|entry| matches!(entry, Entry::Intent { .. }));
    let newest_intent = u64::try_from(newest_intent().unwrap()).unwrap();
    assert!(newest(&site, &key).size() <= newest_intent, "none is due");
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    // And of its outcome.
    assert!(newest(&site, &key).size() >= newest_intent + 2, "{log}");
    site.run_ok(&[
        "ledger",
        "verify",
        "--skip-signatures",
        "--log-key",
        &key.to_string(),
        "--checkpoint",
        "ledger.sqlite-checkpoint",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_the_logs_key() {
    let site = site("ed25519", "");
    let uid = format!("\"uid:{}\"", rustix::process::geteuid().as_raw());
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("callers = [", &format!("callers = [{uid}, ")));
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let listed: Vec<_> = client.list_keys().await.unwrap().into_iter().map(|key| key.name).collect();
    assert_eq!(listed, ["user-ca"]);
    let caller = Caller::new(&site, &daemon).await;
    let mut answers = Vec::new();
    for name in ["log", "gone"] {
        let got = client.get_key(name).await.unwrap_err();
        let signed = caller.sign_as("user-ca", name).await.unwrap_err();
        let health = client.health(Some(name)).await.unwrap_err();
        let told = |error: &countersign_proto::client::CallError| {
            (error.code, error.reason.clone(), error.message.clone())
        };
        answers.push([told(&got), told(&signed), told(&health)]);
    }
    assert_eq!(answers[0], answers[1], "it is as if there were no such key");
    assert_eq!(client.health(HealthOf::Checkpoints).await.unwrap(), Health::Serving);
}

/// Puts a copy of the log and its index back, without what SQLite keeps beside it.
fn restore(site: &Site, copy: &Path) {
    for of in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(site.path(&format!("ledger.sqlite{of}")));
    }
    std::fs::remove_dir_all(site.path("ledger.sqlite-index")).unwrap();
    let copied = Command::new("cp").arg("-a").arg(copy.join(".")).arg(site.dir()).status().unwrap();
    assert!(copied.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_is_refused_though_its_index_agrees() {
    let site = site("ed25519", "");
    let daemon = site.serve();
    Caller::new(&site, &daemon).await.sign("user-ca").await.unwrap();
    daemon.stop();
    let copy = site.path("backup");
    std::fs::create_dir(&copy).unwrap();
    let files = ["ledger.sqlite", "ledger.sqlite-index"].map(|name| site.path(name));
    assert!(Command::new("cp").arg("-a").args(&files).arg(&copy).status().unwrap().success());
    let daemon = site.serve();
    let key = verifier(&site);
    let signed = newest(&site, &key).size();
    daemon.stop();
    restore(&site, &copy);
    for command in ["check", "serve"] {
        let refused = site.run_refused(&[command], 2);
        assert!(
            refused.contains("an older copy") && refused.contains(&format!("is of {signed}")),
            "{refused}"
        );
    }
    let before = site.entries().len();
    site.run_refused(&["serve"], 2);
    assert_eq!(site.entries().len(), before, "nothing was signed or written");
}

/// Which key is behind the faulty module; the other is on a token that is well.
enum Behind {
    Log,
    UserCa,
}

/// Two tokens with a key each.
fn broken(behind: &Behind) -> (Site, Control) {
    let site = Site::without_token("");
    std::fs::create_dir(site.path("script")).unwrap();
    let control = Control::new(&site.path("script/script.toml")).unwrap();
    let well = |keys: &str| keys.replace("\"soft\"", "\"other\"");
    let (user_ca, log) = match behind {
        Behind::Log => (well(USER_CA), log_key("ed25519")),
        Behind::UserCa => (USER_CA.to_owned(), well(&log_key("ed25519"))),
    };
    let tokens = format!("{}{}", faulty(&site.base_config(), &control), other_token(site.dir()));
    let config = format!("{tokens}{user_ca}{log}");
    make(&site, &with_checkpoints(&config, "checkpoint_interval = \"100ms\""), &["soft", "other"]);
    (site, control)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_sign_them_stops_nobody_else() {
    let (site, control) = broken(&Behind::Log);
    let mut daemon = site.serve();
    let (key, caller) = (verifier(&site), Caller::new(&site, &daemon).await);
    let client = site.client(&daemon, FRONT_END).await;
    let mut health = client.watch_health(HealthOf::Checkpoints).await.unwrap();
    assert_eq!(told(&mut health).await, Some(Health::Serving));
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    caller.sign("user-ca").await.unwrap();
    assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) == 1));
    for _ in 0..20 {
        caller.sign("user-ca").await.expect("its own token is well");
    }
    daemon.wait_for("NO CHECKPOINT CAN BE SIGNED");
    assert_eq!(told(&mut health).await, Some(Health::NotServing));
    assert_eq!(client.health(None).await.unwrap(), Health::Serving);
    let old = newest(&site, &key).size();
    control.clear().unwrap();
    daemon.wait_for("checkpoints are signed again");
    assert_eq!(told(&mut health).await, Some(Health::Serving));
    assert!(newest(&site, &key).size() > old + 40);

    control.set(&Script::on(On::call(Call::Sign, Action::WrongSignature).times(1))).unwrap();
    caller.sign("user-ca").await.unwrap();
    daemon.wait_for("NO CHECKPOINT CAN BE SIGNED");
    daemon.wait_for("checkpoints are signed again");
    newest(&site, &key);
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    for word in ["TOKEN_TIMED_OUT", "SIGNATURE_WITHHELD"] {
        let failed = |entry: &Entry| matches!(entry, Entry::Outcome { outcome: Outcome::Failed(why), .. } if why == word);
        assert!(site.entries().iter().any(failed), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_hangs_at_a_stop_costs_it_a_few_seconds() {
    let (site, control) = broken(&Behind::Log);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("\"100ms\"", "\"1h\""));
    let daemon = site.serve();
    let caller = Caller::new(&site, &daemon).await;
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    caller.sign("user-ca").await.unwrap();
    let since = Instant::now();
    let (status, log) = daemon.stop();
    assert!(status.success() && since.elapsed() < Duration::from_secs(25), "{:?}: {log}", since.elapsed());
    let entries = site.entries();
    let checkpoint = entries.iter().rposition(|entry| matches!(entry, Entry::Checkpoint { .. })).unwrap();
    let outcome = outcome_of(&entries, checkpoint);
    assert!(matches!(outcome, Some(Outcome::Failed(_))), "each that was begun has its outcome: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_the_intent_and_the_file_leaves_what_was_given_out() {
    let (site, control) = broken(&Behind::Log);
    let daemon = site.serve();
    let (key, caller) = (verifier(&site), Caller::new(&site, &daemon).await);
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    caller.sign("user-ca").await.unwrap();
    assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) == 1));
    let (old, entries) = (newest(&site, &key), site.entries());
    let begun = entries.iter().rposition(|entry| matches!(entry, Entry::Checkpoint { .. })).unwrap();
    assert!(outcome_of(&entries, begun).is_none());
    daemon.kill();
    assert_eq!(newest(&site, &key), old);
    control.clear().unwrap();
    let daemon = site.serve();
    assert!(newest(&site, &key).size() > old.size());
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_key_is_none_that_the_signer_can_sign_with() {
    let (site, control) = broken(&Behind::UserCa);
    let daemon = site.serve();
    let (caller, client) = (Caller::new(&site, &daemon).await, site.client(&daemon, FRONT_END).await);
    let mut health = client.watch_health(None).await.unwrap();
    assert_eq!(told(&mut health).await, Some(Health::Serving));
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    assert_eq!(caller.sign("user-ca").await.unwrap_err().reason, "TOKEN_TIMED_OUT");
    assert_eq!(told(&mut health).await, Some(Health::NotServing));
    assert_eq!(client.health(HealthOf::Checkpoints).await.unwrap(), Health::Serving);
}

/// What a reader is given is what the file has; `--log-key` prints nothing that another key would have signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_given_the_newest_over_the_network() {
    let site = site("ed25519", "checkpoint_interval = \"1h\"");
    let daemon = site.serve();
    let key = verifier(&site).to_string();
    let note = std::fs::read_to_string(site.path("ledger.sqlite-checkpoint")).unwrap();
    let ask = ["ledger", "checkpoint", "--server", "unix:signer.sock"];
    assert_eq!(site.run_ok(&ask), note);
    assert_eq!(site.run_ok(&[&ask[..], &["--log-key", &key]].concat()), note);
    let stranger = PublicKey::Ed25519([7; 32]);
    let other = VerifierKey::new(SignerName::new(ORIGIN).unwrap(), &stranger).unwrap().to_string();
    let message = site.run_refused(&[&ask[..], &["--log-key", &other]].concat(), 1);
    assert!(message.contains("is not the one that --log-key signs"), "{message}");
    daemon.stop();

    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let message = site.run_refused(&ask, 1);
    assert!(message.contains("CHECKPOINTS_OFF") && message.contains("ledger.checkpoint_key"), "{message}");
    daemon.stop();
}
