//! What a commit asks of the kernel: this test runs itself again under `strace`, as a process that records.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::process::Command;
use std::{env, fs, mem};

use super::fixture::Fixture;

/// Set for the process that is traced.
const TRACED: &str = "COUNTERSIGN_TEST_TRACED";

/// How many records it waits for, one after the other.
const RECORDS: usize = 40;

/// How many commits at its begin and end are not looked at: there SQLite opens its files and closes them.
const ENDS: usize = 5;

/// A `fsync` writes the file's times, and whoever reads them has the next write note new ones (Linux 6.13 and later): either is another
/// transaction of the file system that each commit waits for.
#[tokio::test]
async fn no_commit_has_the_file_system_write_times() {
    if env::var_os(TRACED).is_some() {
        return record().await;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let traced = Command::new("strace")
        .args(["--follow-forks", "--decode-fds=path", "--trace=%%stat,fsync,fdatasync", "--output"])
        .arg(&trace)
        .arg(env::current_exe().unwrap())
        .args(["--exact", "ledger::tests::disk::no_commit_has_the_file_system_write_times"])
        .env(TRACED, "")
        .output()
        .unwrap();
    assert!(traced.status.success(), "{}", String::from_utf8_lossy(&[traced.stdout, traced.stderr].concat()));
    let trace = fs::read_to_string(trace).unwrap();
    // `PID CALL(ARGUMENTS`, of the log and its write-ahead log: `log.sqlite-wal>` is a descriptor's, with a quotation mark it is a path.
    let ours = |call: &&str| {
        ["log.sqlite>", "log.sqlite\"", "log.sqlite-wal>", "log.sqlite-wal\""]
            .iter()
            .any(|name| call.contains(name))
    };
    let calls: Vec<&str> =
        trace.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start())).filter(ours).collect();
    let syncs: Vec<usize> =
        (0..calls.len()).filter(|at| calls[*at].contains("sync(") && calls[*at].contains("-wal")).collect();
    assert!(syncs.len() >= RECORDS, "each commit is on the disk before it is told: {calls:#?}");
    let steady = &calls[syncs[ENDS]..syncs[syncs.len() - ENDS]];
    for call in steady {
        assert!(call.starts_with("fdatasync(") || call.contains(", STATX_INO, "), "{call}");
    }
    assert!(steady.iter().any(|call| call.starts_with("statx(")), "it looks for its files: {steady:#?}");
}

async fn record() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    for _ in 0..RECORDS {
        mem::forget(ledger.record_self_test(fixture.key()).await.unwrap());
    }
    ledger.close().await;
}
