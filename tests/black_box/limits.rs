//! What a stolen front-end, a crowd or an upgrade cannot take from the others.

use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use countersign::ledger::Entry;
use countersign::ledger::entry::AskedTbs;
use countersign_tbs::ssh::SubjectKey;
use rustix::process::{Signal, kill_process};
use tokio::task::JoinSet;

use crate::forge::Forgery;
use crate::site::{Daemon, FRONT_END, STRANGER, Site, USER_CA, now, request};

pub async fn ca_key(site: &Site, daemon: &Daemon) -> Vec<u8> {
    let key = site.client(daemon, FRONT_END).await.get_key("user-ca").await.unwrap();
    SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_has_512_requests_in_work_and_the_rest_are_shed() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let ca_key = ca_key(&site, &daemon).await;
    let token = daemon.token_processes()[0];
    // A token that answers nobody: what is asked stays in work.
    kill_process(token, Signal::STOP).unwrap();
    let mut asked = JoinSet::new();
    for connection in 0..6_u64 {
        let client = site.client(&daemon, FRONT_END).await;
        for n in 0..100_u64 {
            let (client, serial) = (client.clone(), 1 + connection * 100 + n);
            let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) };
            asked.spawn(async move { client.sign(request("user-ca", tbs.encode())).await });
        }
    }
    for shed in 0..88 {
        let error = asked.join_next().await.unwrap().unwrap().expect_err("the token is stopped");
        assert_eq!(error.reason, "TOO_MANY_REQUESTS", "{shed}: {error}");
        assert!(error.retry_after.is_some());
    }
    let other = site.client(&daemon, STRANGER).await.sign(request("user-ca", Vec::new())).await.unwrap_err();
    assert_eq!(other.reason, "KEY_NOT_AVAILABLE", "another caller is still answered");
    kill_process(token, Signal::CONT).unwrap();
    while let Some(answer) = asked.join_next().await {
        answer.unwrap().expect("what was taken on is signed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_leaves_little_in_the_ledger() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let stranger = site.client(&daemon, STRANGER).await;
    stranger.sign(request("no-such-key", vec![0x5a; 30 * 1024])).await.unwrap_err();
    let entries = site.entries();
    let Some(Entry::Refusal { asked, .. }) = entries.last() else { panic!("{entries:?}") };
    assert!(matches!(asked.tbs, AskedTbs::Digest(_, 30_720)), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_the_program_does_not_reach_a_daemon_that_runs() {
    let site = Site::new(USER_CA);
    let program = site.path("countersign");
    fs::copy(env!("CARGO_BIN_EXE_countersign"), &program).unwrap();
    let mut serve = Command::new(&program);
    serve.arg("serve").current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
    let mut daemon = Daemon::start(serve.stdout(Stdio::null()));
    let ca_key = ca_key(&site, &daemon).await;
    fs::remove_file(&program).unwrap();
    fs::copy("/bin/false", &program).unwrap();
    kill_process(daemon.token_processes()[0], Signal::KILL).unwrap();
    daemon.wait_for("its keys are those pinned at start-up");
    let client = site.client(&daemon, FRONT_END).await;
    client
        .sign(request("user-ca", Forgery::user(ca_key, now()).encode()))
        .await
        .expect("the old program goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_with_a_hung_token_ends_and_says_what_it_cut_off() {
    let site = Site::new(USER_CA);
    let config = fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("shutdown_grace = \"5s\"", "shutdown_grace = \"1s\""));
    let daemon = site.serve();
    let ca_key = ca_key(&site, &daemon).await;
    kill_process(daemon.token_processes()[0], Signal::STOP).unwrap();
    let client = site.client(&daemon, FRONT_END).await;
    let asked =
        tokio::spawn(
            async move { client.sign(request("user-ca", Forgery::user(ca_key, now()).encode())).await },
        );
    // The intent is the sign that the request is in work; there is no event for it outside the daemon.
    while !site.entries().iter().any(|entry| matches!(entry, Entry::Intent { .. })) {
        tokio::task::yield_now().await;
    }
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("1 requests were still in work"), "{log}");
    asked.await.unwrap().expect_err("a stopped token signs nothing");
}

#[test]
fn a_daemon_that_does_not_get_the_ledger_leaves_the_socket_alone() {
    let site = Site::new(USER_CA);
    let lock = File::create(site.path("ledger.sqlite.lock")).unwrap();
    lock.try_lock().unwrap();
    // As the daemon that holds the lock has it before it listens: bound, and deaf.
    drop(UnixListener::bind(site.path("signer.sock")).unwrap());
    let message = site.run_refused(&["serve"], 2);
    assert!(message.contains("ledger.path"), "{message}");
    assert!(site.path("signer.sock").exists(), "the first daemon's callers would find nobody");
}

#[test]
fn a_limit_of_open_files_below_the_connections_is_a_fault_at_start() {
    let site = Site::new(USER_CA);
    let mut limited = Command::new("bash");
    limited.args(["-c", "ulimit -n 1024; exec \"$0\" serve", env!("CARGO_BIN_EXE_countersign")]);
    limited.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
    let output = limited.output().unwrap();
    let message = crate::site::text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("server.max_connections") && message.contains("1024"), "{message}");
}
