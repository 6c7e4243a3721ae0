//! That the record comes first: kill -9, a full disk, and what is there afterwards.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use countersign::ledger::{Entry, leaf_hash as hash};
use countersign_proto::v1;
use countersign_tbs::ssh::SubjectKey;

use crate::forge::Forgery;
use crate::site::{Daemon, FRONT_END, Site, USER_CA, at, now, request, text};

async fn ca_key(site: &Site, daemon: &Daemon) -> Vec<u8> {
    let key = site.client(daemon, FRONT_END).await.get_key("user-ca").await.unwrap();
    SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_every_released_signature_has_its_intent() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let ca_key = ca_key(&site, &daemon).await;
    let (answers, mut released) = tokio::sync::mpsc::unbounded_channel::<v1::SignResponse>();
    for caller in 0..16_u64 {
        let (answers, ca_key) = (answers.clone(), ca_key.clone());
        let client = site.client(&daemon, FRONT_END).await;
        tokio::spawn(async move {
            for n in 1_u64.. {
                let mut tbs = Forgery::user(ca_key.clone(), now());
                tbs.serial = caller << 32 | n;
                let Ok(answer) = client.sign(request("user-ca", tbs.encode())).await else { return };
                answers.send(answer).unwrap();
            }
        });
    }
    drop(answers);
    let mut receipts = BTreeMap::new();
    let mut keep = |answer: v1::SignResponse| {
        let receipt = answer.receipt.unwrap();
        assert!(receipts.insert(receipt.entry_index, receipt.leaf_hash).is_none(), "one index, two receipts");
    };
    for _ in 0..300 {
        keep(released.recv().await.unwrap());
    }
    daemon.kill();
    while let Some(answer) = released.recv().await {
        keep(answer);
    }

    let again = site.serve();
    let entries = site.entries();
    for (index, leaf_hash) in &receipts {
        let entry = &entries[at(*index)];
        assert!(matches!(entry, Entry::Intent { .. }), "{index}: {entry:?}");
        assert_eq!(hash(&entry.encode().unwrap()).as_slice(), leaf_hash);
    }
    let client = site.client(&again, FRONT_END).await;
    client.sign(request("user-ca", Forgery::user(ca_key, now()).encode())).await.expect("service goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_cannot_grow_signs_nothing_until_it_can() {
    let site = Site::new(USER_CA);
    // A file size limit stands for a full disk; with SIGXFSZ ignored, writes past it fail like those on one.
    let mut limited = Command::new("sh");
    let exe = env!("CARGO_BIN_EXE_countersign");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 400; exec \"$0\" serve", exe]);
    limited.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
    let daemon = Daemon::start(limited.stdout(Stdio::null()));
    let ca_key = ca_key(&site, &daemon).await;
    let client = site.client(&daemon, FRONT_END).await;
    let mut signed = 0_usize;
    let error = loop {
        let tbs = Forgery { serial: 1 + signed as u64, ..Forgery::user(ca_key.clone(), now()) };
        match client.sign(request("user-ca", tbs.encode())).await {
            Ok(_) => signed += 1,
            Err(error) => break error,
        }
        assert!(signed < 10_000, "the limit was never met");
    };
    assert_eq!(error.reason, "LEDGER_UNAVAILABLE", "{error}");
    assert!(signed > 0);

    let pid = daemon.pid().as_raw_nonzero().to_string();
    let lifted = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &pid]).output().unwrap();
    assert!(lifted.status.success(), "{}", text(&lifted.stderr));
    let tbs = Forgery { serial: u64::MAX, ..Forgery::user(ca_key, now()) };
    client.sign(request("user-ca", tbs.encode())).await.expect("service returns by itself");
    signed += 1;

    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    let entries = site.entries();
    let intents = entries.iter().filter(|entry| matches!(entry, Entry::Intent { .. })).count();
    assert_eq!(intents, signed, "a request that the ledger could not hold was not signed");
    let outcomes = entries.iter().filter(|entry| matches!(entry, Entry::Outcome { .. })).count();
    let tests = entries.iter().filter(|entry| matches!(entry, Entry::SelfTest { .. })).count();
    assert_eq!(outcomes, signed + tests, "no outcome was lost, those of self-tests included");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_intent_without_an_outcome() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let ca_key = ca_key(&site, &daemon).await;
    for n in 0..50_u64 {
        let client = site.client(&daemon, FRONT_END).await;
        let tbs = Forgery { serial: n + 1, ..Forgery::user(ca_key.clone(), now()) };
        let asked = tokio::spawn(async move { client.sign(request("user-ca", tbs.encode())).await });
        tokio::task::yield_now().await;
        asked.abort();
    }
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    let entries = site.entries();
    let open = entries.iter().enumerate().filter(|(index, entry)| {
        matches!(entry, Entry::Intent { .. })
            && !entries
                .iter()
                .any(|other| matches!(other, Entry::Outcome { intent, .. } if at(*intent) == *index))
    });
    assert_eq!(open.count(), 0);
}

#[test]
fn a_disk_that_is_read_only_keeps_the_signer_from_starting_until_it_is_not() {
    let site = Site::new(USER_CA);
    site.serve().stop();
    let before = site.entries();
    let read_only = "mount --bind . . && mount -o remount,bind,ro . && cd \"$PWD\" && exec \"$0\" serve";
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", read_only, env!("CARGO_BIN_EXE_countersign")]);
    unshare.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
    let output = unshare.output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{message}");
    assert!(message.contains("ledger.path") && message.contains("Read-only file system"), "{message}");
    site.serve().stop();
    let after = site.entries();
    assert!(after.len() > before.len() && after.starts_with(&before), "{} entries after", after.len());
}
