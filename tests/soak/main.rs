//! A soak: 64 callers at the real daemon while its token breaks in one way after another, and is well again in between.
//!
//! Once each fault, which takes a minute, or for as long as `COUNTERSIGN_SOAK_SECONDS` says. What must hold whatever breaks is asserted: no signature
//! without an entry, none that does not verify, the daemon never ends, every intent has its outcome; that every fault struck;
//! and that every caller is served again, and the key said to serve, within 2 seconds of its end, or 5 where a process was replaced.
//! How long that took is printed, too (`--nocapture`).
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
mod faults;
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

use countersign_proto::Client;
use countersign_proto::client::Health;
use rustix::process::Pid;

use crate::faults::{Course, Fault, Strikes, faults};
use crate::load::{Caller, Load, settled};
use crate::site::{Daemon, FRONT_END, PATIENCE};
use crate::token::{Kind, P256, Token};

/// How long rounds of all faults begin; a round takes a minute.
const SOAK: Duration = Duration::from_secs(30);
/// The variable that says otherwise, in seconds.
const SOAK_VARIABLE: &str = "COUNTERSIGN_SOAK_SECONDS";
const DEADLINE: &str = "deadline = \"1s\"";
/// Callers on each of as many connections.
const SQUARE: usize = 8;

/// How soon everybody is served again where the token's process healed, or had nothing to heal. A process that begins anew all by
/// itself takes a tenth of that on a machine with nothing else on it, which leaves room for the load and the other soak.
const HEALED: Duration = Duration::from_secs(2);
/// And where a process was replaced since the fault's end: after many, 2 seconds of it are the pause before the next is started.
const REPLACED: Duration = Duration::from_secs(5);
/// What the log says of each start of the daemon.
const START: &str = "listening";
/// What the log says for each of them.
const REPLACEMENT: &str = "the token process is replaced; its keys are those";

/// One fault, as its callers saw it.
struct Seen {
    fault: &'static str,
    /// Whether processes were replaced that should not have been.
    is_lossy: bool,
    /// How long it may take.
    within: Duration,
    /// From the fault's end to the first certificate of somebody who asks without a pause.
    first: Duration,
    /// And to one of every caller.
    all: Duration,
    /// And until its key was said to serve.
    told: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_wrong_is_released_and_service_comes_back_whatever_breaks() {
    soak_with(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_where_the_token_has_two_processes() {
    soak_with(2).await;
}

async fn soak_with(processes: usize) {
    let token = Token::new(Kind::Faulty);
    // What a handle could mean instead.
    token.generate_by_tool("other", "EC:prime256v1", "0b");
    token.configure(&[("user-ca", P256)], &format!("{DEADLINE}\nprocesses = {processes}"));
    let daemon = token.site.serve();
    let mut callers = Vec::new();
    for _ in 0..SQUARE {
        callers.push(Caller::new(&token.site, &daemon, "user-ca").await);
    }
    let probe = Caller::new(&token.site, &daemon, "user-ca").await;
    let load = Load::start(callers, SQUARE);
    let monitor = token.site.client(&daemon, FRONT_END).await;
    let mut service = Service { token: &token, processes, daemon, probe, monitor, load };
    service.load.progress(1).await;

    let (since, soak) = (Instant::now(), soak());
    let mut seen = Vec::new();
    while since.elapsed() < soak {
        for fault in faults() {
            seen.push(service.suffer(&fault).await);
        }
    }
    let Service { daemon, load, probe, .. } = service;
    let mut tally = load.stop().await;
    tally.released.0.extend(probe.released());
    let (status, log) = daemon.stop();
    let settled = settled(&token.site);
    print(since.elapsed(), &seen, &tally, &settled);
    let (released, recorded) = (&tally.released.0, &settled.released.0);
    let unrecorded = released.difference(recorded).count();
    let unreleased = recorded.difference(released).count();
    let restarts = log.matches(START).count() - 1;
    println!("signatures without an entry: {unrecorded}");
    println!("entries of signatures that nobody was given: {unreleased}");
    println!("restarts of the parent: {restarts}");
    println!("token processes replaced: {}", log.matches(REPLACEMENT).count());

    assert!(status.success(), "the daemon that was started first served to the end: {status}: {log}");
    let raced = log.matches("a session ended without being asked to").count();
    assert_eq!(raced, 0, "replacements whose sessions saw the queue closed");
    for Seen { fault, is_lossy, within, first, all, told } in &seen {
        assert!(!is_lossy, "{fault}: the token's process was replaced, and should have healed: {log}");
        let late = format!("not within {within:?}: {log}");
        assert!(first < within, "{fault}: service was back after {first:?}, and {late}");
        assert!(all < within, "{fault}: every caller was served after {all:?}, and {late}");
        assert!(told < within, "{fault}: the key was said to serve after {told:?}, and {late}");
    }
    assert_eq!(tally.wrong, 0, "wrong signatures were released");
    assert_eq!((unrecorded, unreleased), (0, 0), "signatures that were released, and entries that say so");
    assert_eq!(restarts, 0, "the daemon began anew: {log}");
    assert_eq!(token.control.as_ref().unwrap().violations(), 0, "a session had two calls at once");
}

/// A daemon under load, and its token, which breaks.
struct Service<'a> {
    token: &'a Token,
    processes: usize,
    daemon: Daemon,
    probe: Caller,
    monitor: Client,
    load: Load,
}

impl Service<'_> {
    /// Breaks the token, and mends it once that was noticed. An operator's part in it is in the time that it took.
    async fn suffer(&mut self, fault: &Fault) -> Seen {
        let control = self.token.control.as_ref().unwrap();
        // One that is replaced still, of the fault before, is none that this one cost. And one that starts keeps another from healing:
        // SoftHSM2 fails where two initialise it at once.
        let (daemon, processes) = (&self.daemon, self.processes);
        let serving = || daemon.token_processes().into_iter().filter(|process| serves(*process)).count();
        let complete = control.wait_until(PATIENCE, |_| serving() == processes);
        assert!(complete, "{}: the processes of before are not back", fault.name);
        let before = self.daemon.token_processes();
        self.daemon.log.so_far();
        let strikes = Strikes::begin(control);
        control.set(&fault.script).unwrap();
        tokio::time::sleep(fault.course.lasts()).await;
        strikes.wait_for(fault);
        // What passes is over by now. What lasts is for a moment more: the log has told of it long ago.
        let ended = Instant::now();
        if let Some(said) = fault.said {
            self.daemon.log.wait_for(said);
        }
        let replaced = self.replaced();
        control.clear().unwrap();
        if fault.course == Course::Latches {
            self.token.site.run_ok(&["token", "unlatch", "soft"]);
        }
        let all = async {
            self.load.progress(1).await;
            ended.elapsed()
        };
        let first = async {
            self.probe.sign_at_last().await;
            ended.elapsed()
        };
        let told = async {
            self.is_said_to_serve().await;
            ended.elapsed()
        };
        let (all, first, told) = tokio::join!(all, first, told);
        let is_lossy = fault.course.keeps_processes() && self.daemon.token_processes() != before;
        let within = if self.replaced() == replaced { HEALED } else { REPLACED };
        Seen { fault: fault.name, is_lossy, within, first, all, told }
    }

    async fn is_said_to_serve(&self) {
        let mut health = self.monitor.watch_health(Some("user-ca")).await.unwrap();
        let serves = async { while health.next().await.unwrap() != Some(Health::Serving) {} };
        tokio::time::timeout(PATIENCE, serves).await.expect("the key is never said to serve");
    }

    /// How many processes were replaced until now.
    fn replaced(&mut self) -> usize {
        self.daemon.log.so_far().matches(REPLACEMENT).count()
    }
}

/// Whether a token process has its sessions: a thread for each, by this name.
fn serves(process: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).into_iter().flatten();
    let mut names = threads.flatten().map(|thread| std::fs::read_to_string(thread.path().join("comm")));
    names.any(|name| name.is_ok_and(|name| name == "session\n"))
}

fn soak() -> Duration {
    match std::env::var(SOAK_VARIABLE) {
        Ok(seconds) => Duration::from_secs(seconds.parse().expect("whole seconds")),
        Err(_) => SOAK,
    }
}

fn print(took: Duration, seen: &[Seen], tally: &load::Tally, settled: &load::Settled) {
    println!("{} callers, {:.0} s", SQUARE * SQUARE, took.as_secs_f64());
    println!(
        "| fault | first answer after its end | every caller's | its key serves | within |\n|---|---|---|---|---|"
    );
    for Seen { fault, within, first, all, told, .. } in seen {
        let [first, all, told] = [first, all, told].map(Duration::as_secs_f64);
        println!("| {fault} | {first:.2} s | {all:.2} s | {told:.2} s | {within:?} |");
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
