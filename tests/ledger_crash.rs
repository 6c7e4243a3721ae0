//! A signer that is killed: what it was told to be durable is there, and the next one goes on after it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, mem};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use countersign::key::{Key, KeyName, KeyPurpose, PublicKey, Scheme};
use countersign::ledger::{Config, Entry, Ledger, Reader, leaf_hash};

/// Where the child finds the log: this test runs itself as the process that is killed.
const CHILD: &str = "COUNTERSIGN_TEST_LEDGER";

fn config(path: PathBuf) -> Config {
    Config {
        path,
        postgres: None,
        origin: "test.example/log".to_owned(),
        clock_tolerance: Duration::from_secs(5),
        checkpoints: None,
        readers: BTreeSet::new(),
    }
}

fn key() -> Arc<Key> {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public_key = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
    let name = KeyName::new("user-ca").unwrap();
    Arc::new(Key::new(name, KeyPurpose::SshUserCa, Scheme::Ed25519, public_key).unwrap())
}

/// Records without end, and says what is durable.
async fn record_until_killed(path: PathBuf) {
    let (ledger, key, mut out) = (Ledger::open(&config(path)).unwrap(), key(), stdout());
    loop {
        let test = ledger.record_self_test(&key).await.unwrap();
        let receipt = test.intent().receipt();
        writeln!(out, "\ndurable {} {:?}", receipt.index, receipt.leaf_hash).unwrap();
        // Every other one leaves an outcome in the queue.
        if receipt.index % 2 == 0 { drop(test) } else { mem::forget(test) }
    }
}

#[tokio::test]
async fn what_was_durable_survives_kill_9() {
    if let Some(path) = env::var_os(CHILD) {
        return record_until_killed(path.into()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.sqlite");
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "what_was_durable_survives_kill_9", "--nocapture"])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut durable = lines.filter_map(|line| line.strip_prefix("durable ").map(str::to_owned));
    let mut promised: Vec<String> = durable.by_ref().take(200).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    promised.extend(durable);
    assert!(promised.len() >= 200, "{}", promised.len());

    // The lock died with the process; the log goes on at the next index.
    let ledger = Ledger::open(&config(path.clone())).unwrap();
    let reader = Reader::open(&path).unwrap();
    let before = reader.len().unwrap();
    let next = ledger.record_self_test(&key()).await.unwrap();
    assert_eq!(next.intent().receipt().index, before);
    let entries: Vec<Entry> = reader.entries(0..u64::MAX).map(|entry| entry.unwrap().1).collect();
    assert_eq!(u64::try_from(entries.len()).unwrap(), before + 1);
    for promise in promised {
        let (index, hash) = promise.split_once(' ').unwrap();
        let entry = entries.get(index.parse::<usize>().unwrap()).unwrap();
        assert_eq!(format!("{:?}", leaf_hash(&entry.encode().unwrap())), hash, "entry {index}");
    }
    ledger.close().await;
}
