//! A soak: 64 callers at the real daemon while its token breaks in one way after another, and is well again in between.
//!
//! For a minute, or as long as `COUNTERSIGN_SOAK_SECONDS` says. What must hold whatever breaks is asserted: no signature
//! without an entry, none that does not verify, the daemon never ends, every intent has its outcome, and service comes back
//! soon after the fault has gone. How long that took is printed, too (`--nocapture`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "tests: a panic is how they fail, and nothing outside can reach them"
)]

#[allow(dead_code, reason = "the contract needs more of it")]
#[path = "../yubikey/desk.rs"]
mod desk;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/forge.rs"]
mod forge;
#[allow(dead_code, reason = "the contract needs more of it")]
#[path = "../contract/hsm.rs"]
mod hsm;
#[allow(dead_code, reason = "the contract needs more of it")]
#[path = "../contract/load.rs"]
mod load;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/pki.rs"]
mod pki;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/site.rs"]
mod site;
#[allow(dead_code, reason = "the contract needs more of it")]
#[path = "../contract/token.rs"]
mod token;

use std::time::{Duration, Instant};

use countersign_faulty::{Action, Call, Code, Heals, On, Script, Token as Faults};

use crate::load::{Caller, Load, settled};
use crate::token::{Kind, P256, Token};

/// How long rounds of all faults begin; a round takes about that long.
const SOAK: Duration = Duration::from_secs(30);
/// The variable that says otherwise, in seconds.
const SOAK_VARIABLE: &str = "COUNTERSIGN_SOAK_SECONDS";
/// How long a fault lasts: longer than the token's deadline.
const FAULT: Duration = Duration::from_secs(3);
const DEADLINE: &str = "deadline = \"1s\"";
/// Callers on each of as many connections.
const SQUARE: usize = 8;

/// How long the first certificate may take after a fault that is healed in the token's process.
const HEALED: Duration = Duration::from_secs(2);
/// And after one that may cost the process: that long is the pause before another is started, after many.
const REPLACED: Duration = Duration::from_secs(5);

/// Faults that may leave the PIN latched, until an operator says that it is right.
const REFUSED: &str = "the PIN is refused";
const HANGS: &str = "C_Login hangs";

/// What breaks, in the order of a round, and how long service may take to come back.
fn faults() -> Vec<(&'static str, Script, Duration)> {
    let sign = |action| Script::on(On::call(Call::Sign, action));
    let die = |heals, code| sign(Action::Die { heals, code });
    let crash = |after| On::call(Call::Sign, Action::Crash).after(after).times(1);
    let expiry = Faults { expire_idle_millis: Some(2), ..Faults::default() };
    let logged_out = || die(Heals::Login, Code::CKR_USER_NOT_LOGGED_IN);
    let refused = On::call(Call::Login, Action::Fail(Code::CKR_PIN_INCORRECT)).times(1);
    let mut capped = die(Heals::Reopen, Code::CKR_SESSION_CLOSED);
    capped.token.max_sessions = Some(1);
    vec![
        ("C_Sign hangs", sign(Action::Hang), REPLACED),
        ("CKR_DEVICE_ERROR", sign(Action::Fail(Code::CKR_DEVICE_ERROR)), REPLACED),
        ("sessions die", die(Heals::Reopen, Code::CKR_SESSION_HANDLE_INVALID), HEALED),
        ("wrong signatures", sign(Action::WrongSignature), REPLACED),
        ("crashes", Script::on(crash(0)).and(crash(100)).and(crash(200)), REPLACED),
        ("20 ms of latency", sign(Action::DelayMicros(20_000)), HEALED),
        ("sessions expire", Script::token(expiry), REPLACED),
        // This and what the last one needs wear out the lower rungs, which costs the process; and each login hashes the PIN.
        ("logged out", logged_out(), REPLACED),
        (REFUSED, logged_out().and(refused), REPLACED),
        (HANGS, logged_out().and(On::call(Call::Login, Action::Hang)), REPLACED),
        ("one session is left", capped, REPLACED),
        ("device rebooted", die(Heals::Initialize, Code::CKR_DEVICE_REMOVED), REPLACED),
    ]
}

/// One fault, as its callers saw it.
struct Seen {
    fault: &'static str,
    /// How long it may take.
    within: Duration,
    /// From the fault's end to the first certificate of somebody who asks without a pause.
    first: Duration,
    /// And to one of every caller.
    all: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_wrong_is_released_and_service_comes_back_whatever_breaks() {
    soak_with(DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_where_the_token_has_two_processes() {
    soak_with(&format!("{DEADLINE}\nprocesses = 2")).await;
}

async fn soak_with(settings: &str) {
    let token = Token::new(Kind::Faulty);
    token.configure(&[("user-ca", P256)], settings);
    let control = token.control.as_ref().unwrap();
    let daemon = token.site.serve();
    let mut callers = Vec::new();
    for _ in 0..SQUARE {
        callers.push(Caller::new(&token.site, &daemon, "user-ca").await);
    }
    let probe = Caller::new(&token.site, &daemon, "user-ca").await;
    let load = Load::start(callers, SQUARE);
    load.progress(1).await;

    let (since, soak) = (Instant::now(), soak());
    let mut seen = Vec::new();
    while since.elapsed() < soak {
        for (fault, script, within) in faults() {
            control.set(&script).unwrap();
            tokio::time::sleep(FAULT).await;
            control.clear().unwrap();
            if [REFUSED, HANGS].contains(&fault) {
                token.site.run_ok(&["token", "unlatch", "soft"]);
            }
            let (all, first) = tokio::join!(load.progress(1), probe.sign_at_last());
            seen.push(Seen { fault, within, first, all });
        }
    }
    let tally = load.stop().await;
    let (status, log) = daemon.stop();
    let settled = settled(&token.site);
    print(since.elapsed(), &seen, &tally, &settled);
    println!("token processes replaced: {}", log.matches("the token process is replaced").count());

    assert!(status.success(), "the daemon that was started first served to the end: {status}: {log}");
    let raced = log.matches("a session ended without being asked to").count();
    assert_eq!(raced, 0, "replacements whose sessions saw the queue closed");
    for Seen { fault, within, first, .. } in &seen {
        assert!(first < within, "{fault}: service was back after {first:?}, and not within {within:?}");
    }
    assert_eq!(tally.wrong, 0, "wrong signatures were released");
    let probed = u64::try_from(seen.len()).unwrap();
    assert_eq!(
        settled.signed,
        tally.signed + probed,
        "signatures that were released, and entries that say so"
    );
    assert!(log.contains("A SIGNATURE THAT DOES NOT VERIFY"), "the faults broke something: {settled:?}");
    assert!(log.contains("the token refused the PIN"), "a login was refused while others signed");
    assert_eq!(control.violations(), 0, "a session had two calls at once");
}

fn soak() -> Duration {
    match std::env::var(SOAK_VARIABLE) {
        Ok(seconds) => Duration::from_secs(seconds.parse().expect("whole seconds")),
        Err(_) => SOAK,
    }
}

fn print(took: Duration, seen: &[Seen], tally: &load::Tally, settled: &load::Settled) {
    println!("{} callers, {:.0} s", SQUARE * SQUARE, took.as_secs_f64());
    println!("| fault | first answer after its end | every caller's |\n|---|---|---|");
    for Seen { fault, first, all, .. } in seen {
        println!("| {fault} | {:.2} s | {:.2} s |", first.as_secs_f64(), all.as_secs_f64());
    }
    let errors: u64 = tally.errors.values().sum();
    let requests = tally.signed + tally.wrong + errors;
    println!("| requests | {requests} |\n|---|---|\n| signed | {} |", tally.signed);
    println!("| wrong signatures | {} |", tally.wrong);
    for (class, count) in &tally.errors {
        println!("| {class} | {count} |");
    }
    println!("in the ledger: {settled:?}");
}
