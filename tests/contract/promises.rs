//! The promises, each for whatever kind of token it is asked of.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use countersign_faulty::{Script, Token as Faults};
use countersign_proto::client::Health;
use rustix::process::{Signal, kill_process};
use tokio::task::JoinSet;

pub use crate::carried::{
    a_key_moves_to_another_token_of_its_kind, a_token_that_takes_no_key_says_so_and_keeps_nothing,
    a_token_that_wraps_nothing_says_what_it_lacks, an_imported_key_of_every_scheme_serves,
};
use crate::load::{Caller, Load, settled};
pub use crate::ml_dsa::{
    ml_dsa_keys_sign_requests_and_roots_that_cryptography_verifies, ml_dsa_signs_what_cryptography_verifies,
};
pub use crate::rsa::rsa_of_every_size_signs_certificates_that_openssl_verifies;
use crate::site::{Daemon, FRONT_END, PATIENCE, Site};
use crate::token::{Kind, P256, Token};

/// Callers of a load here: more than the sessions, so that some always wait.
const CALLERS: usize = 16;
/// A token's own lockout is far from this many tries.
const TRIES: u32 = 3;

/// Keys made by `countersign key generate` are found, pinned and tested at start-up, and sign what ssh-keygen verifies.
pub async fn every_scheme_signs_and_verifies(kind: Kind) {
    let names: Vec<String> = kind.schemes().iter().map(|(scheme, _)| format!("ca-{scheme}")).collect();
    let keys: Vec<_> = names.iter().map(String::as_str).zip(kind.schemes().iter().copied()).collect();
    let token = Token::with_keys(kind, &keys);
    token.site.run_ok(&["check"]);
    let daemon = token.site.serve();
    for (name, _) in &keys {
        let caller = Caller::new(&token.site, &daemon, name).await;
        let certificate = caller.sign().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let line = certificate.to_openssh_line("");
        assert!(ssh_keygen_verifies(&token.site, &line), "{name}: {line}");
        assert!(
            !ssh_keygen_verifies(&token.site, &damaged(&line)),
            "{name}: ssh-keygen looks at no signature"
        );
    }
    ends_well(daemon);
    let settled = settled(&token.site);
    assert_eq!(settled.signed, settled.intents, "{settled:?}");
}

/// `ssh-keygen -L` reads no certificate whose signature does not verify.
pub fn ssh_keygen_verifies(site: &Site, line: &str) -> bool {
    std::fs::write(site.path("certificate.pub"), line).unwrap();
    let read = Command::new("ssh-keygen").args(["-L", "-f"]).arg(site.path("certificate.pub")).output();
    read.unwrap().status.success()
}

/// The same line with a letter of its end, which is the signature's, changed.
fn damaged(line: &str) -> String {
    let line = line.trim_end();
    let at = line.trim_end_matches('=').len() - 8;
    let other = if line.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &line[..at], &line[at + 1..])
}

pub async fn a_hundred_callers_at_once_are_all_answered(kind: Kind) {
    let token = Token::new(kind);
    let daemon = token.site.serve();
    let caller = std::sync::Arc::new(Caller::new(&token.site, &daemon, "user-ca").await);
    let mut asked = JoinSet::new();
    for _ in 0..100 {
        let caller = caller.clone();
        asked.spawn(async move { caller.sign().await.map(|certificate| caller.verifies(&certificate)) });
    }
    let answers = asked.join_all().await;
    assert!(answers.iter().all(|answer| *answer == Ok(true)), "{answers:?}");
    ends_well(daemon);
    let settled = settled(&token.site);
    assert_eq!((settled.intents, settled.signed), (100, 100), "{settled:?}");
}

pub async fn two_keys_of_one_label_are_refused_with_the_candidates(kind: Kind) {
    let token = Token::new(kind);
    token.generate_by_tool("user-ca", "EC:prime256v1", "d0b1");
    let message = token.site.run_refused(&["serve"], 2);
    let candidates = message.split("set `id` to one of: ").nth(1).unwrap_or_else(|| panic!("{message}"));
    assert!(candidates.contains("d0b1") && candidates.contains(", "), "{message}");
}

/// Also when the daemon is started again and again: as a supervisor would.
pub async fn a_wrong_pin_costs_one_try(kind: Kind) {
    let token = Token::new(kind);
    if let Some(control) = &token.control {
        control.set(&Script::token(Faults { pin_tries: Some(TRIES), ..Faults::default() })).unwrap();
    }
    let pin = std::fs::read_to_string(token.site.path("pin")).unwrap();
    let before = tries(&token);
    std::fs::write(token.site.path("pin"), if kind == Kind::YubiKey { "000000" } else { "not-the-pin" })
        .unwrap();
    for _ in 0..2 {
        let message = token.site.run_refused(&["serve"], 2);
        assert!(message.contains("PIN"), "{message}");
        assert_eq!(tries(&token), before + 1, "{message}");
    }
    std::fs::write(token.site.path("pin"), pin).unwrap();
    let daemon = token.site.serve();
    Caller::new(&token.site, &daemon, "user-ca").await.sign().await.unwrap();
    ends_well(daemon);
}

/// How many wrong PINs the token itself has counted.
fn tries(token: &Token) -> u64 {
    if token.kind == Kind::Kryoptic {
        return tries_in_database(&token.site.path("tokens/kryoptic.sql"));
    }
    match (&token.control, &token.hsm, &token.desk) {
        (Some(control), _, _) => control.wrong_pins(),
        (None, Some(hsm), _) => hsm.lockout_counter().into(),
        (None, None, Some(desk)) => desk.card.counts().wrong_pins,
        (None, None, None) => panic!("{:?} counts no tries", token.kind),
    }
}

/// kryoptic tells nobody before there are few tries left, but it keeps a count.
fn tries_in_database(path: &Path) -> u64 {
    let database = rusqlite::Connection::open(path).unwrap();
    let count = "SELECT data FROM meta WHERE name = 'USER COUNTER' AND value = 'USER'";
    let count: Vec<u8> = database.query_row(count, [], |row| row.get(0)).unwrap();
    u32::from_le_bytes(count.try_into().unwrap()).into()
}

/// Requests that come once the daemon has seen the death wait for the replacement, and succeed.
pub async fn a_token_process_killed_under_load_is_replaced(kind: Kind) {
    let token = Token::new(kind);
    let mut daemon = token.site.serve();
    let caller = Caller::new(&token.site, &daemon, "user-ca").await;
    let load = load(&token, &daemon).await;
    load.progress(2).await;
    let [before] = daemon.token_processes()[..] else { panic!("one token, one process") };
    kill_process(before, Signal::KILL).unwrap();
    daemon.wait_for("it is replaced");
    for _ in 0..20 {
        match caller.sign().await {
            Ok(certificate) => assert!(caller.verifies(&certificate)),
            Err(error) => panic!("a later request: {error}\n{}", daemon.stop().1),
        }
    }
    load.progress(2).await;
    let [after] = daemon.token_processes()[..] else { panic!("one token, one process") };
    assert_ne!(before, after);
    let tally = load.stop().await;
    assert_eq!(tally.wrong, 0);
    ends_well(daemon);
    let settled = settled(&token.site);
    assert_eq!(settled.signed, tally.signed + 20, "{settled:?} {tally:?}");
}

/// It is killed under load, and nobody is refused anything.
pub async fn one_of_two_processes_is_not_missed(kind: Kind) {
    let token = Token::new(kind);
    token.configure(&[("user-ca", P256)], "processes = 2");
    let mut daemon = token.site.serve();
    let load = load(&token, &daemon).await;
    load.progress(2).await;
    let [first, second] = daemon.token_processes()[..] else { panic!("one token, two processes") };
    kill_process(first, Signal::KILL).unwrap();
    daemon.wait_for("it is replaced");
    load.progress(2).await;
    daemon.wait_for("the token process is replaced");
    load.progress(2).await;
    let after = daemon.token_processes();
    assert!(after.len() == 2 && after.contains(&second) && !after.contains(&first), "{after:?}");
    let tally = load.stop().await;
    assert_eq!((tally.wrong, &tally.errors), (0, &BTreeMap::new()));
    ends_well(daemon);
    assert_eq!(settled(&token.site).signed, tally.signed);
}

/// And the right ones, once they are back, sign again.
pub async fn other_keys_after_a_restart_sign_nothing(kind: Kind) {
    let mut token = Token::new(kind);
    token.prepare_other();
    let mut daemon = token.site.serve();
    let caller = Caller::new(&token.site, &daemon, "user-ca").await;
    caller.sign().await.unwrap();
    token.exchange();
    kill_process(daemon.token_processes()[0], Signal::KILL).unwrap();
    daemon.wait_for("THE TOKEN HOLDS OTHER KEYS");
    let error = caller.sign().await.expect_err("the key is another");
    assert_eq!(error.reason, "TOKEN_UNAVAILABLE", "{error}");
    token.exchange();
    caller.sign_at_last().await;
    ends_well(daemon);
    assert_eq!(settled(&token.site).signed, 2);
}

pub async fn an_hsm_that_died_under_load_comes_back_to_the_same_daemon(kind: Kind) {
    let mut token = Token::new(kind);
    let daemon = token.site.serve();
    let caller = Caller::new(&token.site, &daemon, "user-ca").await;
    let load = load(&token, &daemon).await;
    load.progress(2).await;
    token.kill_hsm();
    let error = tokio::time::timeout(PATIENCE, fails_at_last(&caller)).await.expect("it is noticed");
    assert!(matches!(error.as_str(), "TOKEN_UNAVAILABLE" | "TOKEN_TIMED_OUT"), "{error}");
    token.start_hsm();
    load.progress(2).await;
    let tally = load.stop().await;
    assert_eq!(tally.wrong, 0);
    ends_well(daemon);
    let settled = settled(&token.site);
    assert!(settled.signed >= tally.signed, "{settled:?} {tally:?}");
}

pub async fn an_hsm_that_died_while_nobody_asked_is_noticed_and_comes_back(kind: Kind) {
    let mut token = Token::new(kind);
    token.configure(&[("user-ca", P256)], "keepalive = \"1s\"");
    let daemon = token.site.serve();
    let client = token.site.client(&daemon, FRONT_END).await;
    let mut changes = client.watch_health(Some("user-ca")).await.unwrap();
    let mut becomes = async |wanted| {
        let reached = async { while changes.next().await.unwrap() != Some(wanted) {} };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("it is never {wanted:?}"));
    };
    becomes(Health::Serving).await;
    token.kill_hsm();
    becomes(Health::NotServing).await;
    token.start_hsm();
    becomes(Health::Serving).await;
    Caller::new(&token.site, &daemon, "user-ca").await.sign().await.unwrap();
    ends_well(daemon);
}

/// Asks until the token is out of service; the word.
async fn fails_at_last(caller: &Caller) -> String {
    loop {
        if let Err(error) = caller.sign().await {
            return error.reason;
        }
    }
}

pub async fn sigterm_under_load_settles_every_intent(kind: Kind) {
    let token = Token::new(kind);
    let daemon = token.site.serve();
    let load = load(&token, &daemon).await;
    load.progress(2).await;
    ends_well(daemon);
    let tally = load.stop().await;
    assert_eq!(tally.wrong, 0);
    let settled = settled(&token.site);
    assert_eq!(settled.signed, tally.signed, "{settled:?} {tally:?}");
}

async fn load(token: &Token, daemon: &Daemon) -> Load {
    let mut callers = Vec::new();
    for _ in 0..4 {
        callers.push(Caller::new(&token.site, daemon, "user-ca").await);
    }
    Load::start(callers, CALLERS / 4)
}

/// SIGTERM ends it with 0.
pub fn ends_well(daemon: Daemon) {
    let (status, log) = daemon.stop();
    assert!(status.success(), "{status}: {log}");
}
