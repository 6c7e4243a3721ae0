//! That no command needs more memory for a longer log. Each runs in a process of its own, which is this test.
#![allow(clippy::print_stdout, reason = "tests")]

use std::env;
use std::process;

use super::*;

/// This test, for the process that it runs itself as.
const NAME: &str = "cli::ledger::tests::memory::no_command_needs_more_memory_for_a_longer_log";
/// What that process is to run: its arguments, a line each.
const COMMAND: &str = "COUNTERSIGN_TEST_MEMORY_COMMAND";

/// By how much the peak may be higher with the longer log, in KiB: a quarter of what that has.
const SLACK: u64 = 16 * 1024;

/// A log of so many entries, of 640 bytes each.
fn log(entries: u64) -> Fixture {
    let fixture = Fixture::in_file();
    let (time, caller) = (UnixMillis(1_700_000_000_000), vec![b'x'; 600]);
    let entry = |count| Entry::Refusals { time, caller: caller.clone(), since: time, count };
    fixture.append((0..entries).map(|count| entry(count).encode().unwrap()));
    fixture
}

/// The peak of this process, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// That of a process that runs `command` of the log.
fn peak_of(command: &[&str], log: &Fixture) -> u64 {
    let ledger = log.config.path.to_str().unwrap();
    let args = [&["ledger"], command, &["--ledger", ledger]].concat().join("\n");
    let mut test = process::Command::new(env::current_exe().unwrap());
    test.args(["--exact", NAME, "--nocapture"]).env(COMMAND, args).current_dir(log.directory());
    let output = test.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    said.lines().find_map(|line| line.strip_prefix("peak ")).unwrap().parse().unwrap()
}

#[test]
fn no_command_needs_more_memory_for_a_longer_log() {
    if let Ok(command) = env::var(COMMAND) {
        Cli::try_parse_from(command.lines()).unwrap().command.run(&mut std::io::sink()).unwrap();
        println!("\npeak {}", peak());
        return;
    }
    let (short, long) = (log(1_000), log(100_000));
    for command in [&["stats"][..], &["export", "export"], &["verify", "--accept-uncovered"]] {
        let (less, more) = (peak_of(command, &short), peak_of(command, &long));
        assert!(more < less + SLACK, "{command:?}: {more} KiB of 100,000 entries, {less} KiB of 1,000");
    }
}
