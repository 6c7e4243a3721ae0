//! That a request is one request, and a serial one certificate: asked again it has the same answer, and its id and its
//! serial stand for nothing else.

use countersign::ledger::Entry;
use countersign::ledger::entry::{Outcome, UnixMillis};
use countersign_proto::client::CallError;
use countersign_proto::{Client, v1};
use countersign_tbs::ssh::SubjectKey;
use rustix::process::{Signal, kill_process};

use crate::forge::Forgery;
use crate::site::{Daemon, FRONT_END, STRANGER, Site, USER_CA, at, now, request};

/// A site and its CA key, as a TBS names it.
async fn site() -> (Site, Daemon, Client, Vec<u8>) {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let key = client.get_key("user-ca").await.unwrap();
    let ca_key = SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire();
    (site, daemon, client, ca_key)
}

fn ask(id: &str, tbs: &Forgery) -> v1::SignRequest {
    v1::SignRequest { request_id: id.into(), ..request("user-ca", tbs.encode()) }
}

fn count(site: &Site, of_kind: fn(&Entry) -> bool) -> usize {
    site.entries().iter().filter(|entry| of_kind(entry)).count()
}

fn intents(site: &Site) -> usize {
    count(site, |entry| matches!(entry, Entry::Intent { .. }))
}

/// The refusal, after checking that the ledger has it where it says.
fn recorded(site: &Site, error: CallError) -> String {
    let entries = site.entries();
    let Entry::Refusal { reason, rule, .. } = &entries[at(error.entry.unwrap())] else { panic!("{error:?}") };
    assert_eq!((reason, Some(rule)), (&error.reason, error.rule.as_ref()));
    error.reason
}

#[tokio::test]
async fn the_same_request_has_the_same_answer_and_is_signed_once() {
    let (site, daemon, client, ca_key) = site().await;
    let tbs = Forgery::user(ca_key, now());
    let first = client.sign(ask("one", &tbs)).await.unwrap();
    // ECDSA is randomised: equal bytes are the same signature, not another one of the same.
    assert_eq!(client.sign(ask("one", &tbs)).await.unwrap(), first);
    let mut answers = client.sign_stream(tokio_stream::iter([ask("one", &tbs)])).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().result.unwrap(), first);
    assert_eq!(intents(&site), 1);

    daemon.stop();
    let again = site.serve();
    let client = site.client(&again, FRONT_END).await;
    assert_eq!(client.sign(ask("one", &tbs)).await.unwrap(), first);
    assert_eq!(intents(&site), 1);
}

#[tokio::test]
async fn after_kill_9_what_the_log_knew_and_its_index_did_not_is_still_taken() {
    let (site, daemon, client, ca_key) = site().await;
    let tbs = Forgery::user(ca_key, now());
    let first = client.sign(ask("one", &tbs)).await.unwrap();
    // That it is answered again says that its outcome is in the log.
    assert_eq!(client.sign(ask("one", &tbs)).await.unwrap(), first);
    let manifest = std::fs::read_to_string(site.path("ledger.sqlite-index/manifest.json")).unwrap();
    assert!(manifest.contains("\"entries\": 0,"), "{manifest}");
    daemon.kill();

    let again = site.serve();
    let client = site.client(&again, FRONT_END).await;
    assert_eq!(client.sign(ask("one", &tbs)).await.unwrap(), first);
    let other = Forgery { key_id: b"another".to_vec(), ..tbs };
    let error = client.sign(request("user-ca", other.encode())).await.unwrap_err();
    assert_eq!(recorded(&site, error), "SERIAL_REUSED");
    assert_eq!(intents(&site), 1);
}

#[tokio::test]
async fn an_id_for_other_bytes_or_another_key_is_refused_and_recorded() {
    let keys = format!("{USER_CA}{}", USER_CA.replace("key.user-ca", "key.other-ca"));
    let site = Site::new(&keys);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let mut tbs = Vec::new();
    for name in ["user-ca", "other-ca"] {
        let key = client.get_key(name).await.unwrap();
        let ca_key = SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire();
        tbs.push((name, Forgery::user(ca_key, now())));
    }
    client.sign(ask("one", &tbs[0].1)).await.unwrap();
    let other_bytes = Forgery { serial: 43, ..tbs[0].1.clone() };
    let other_key = v1::SignRequest { key: tbs[1].0.into(), ..ask("one", &tbs[1].1) };
    for other in [ask("one", &other_bytes), other_key] {
        let error = client.sign(other).await.unwrap_err();
        assert_eq!(error.code, tonic::Code::AlreadyExists);
        assert_eq!(recorded(&site, error), "REQUEST_ID_REUSED");
    }
    assert_eq!(intents(&site), 1);
}

#[tokio::test]
async fn a_caller_that_lost_its_permission_gets_no_answer_again() {
    let (site, daemon, client, ca_key) = site().await;
    let tbs = Forgery::user(ca_key, now());
    client.sign(ask("one", &tbs)).await.unwrap();
    daemon.stop();
    site.configure(&format!("{}{}", site.base_config(), USER_CA.replace("/front-end", "/stranger")));
    let daemon = site.serve();
    let error = site.client(&daemon, FRONT_END).await.sign(ask("one", &tbs)).await.unwrap_err();
    assert_eq!(recorded(&site, error), "KEY_NOT_AVAILABLE");
    // The id is another caller's own, and so is what it stands for.
    let other = Forgery { serial: 43, ..tbs };
    site.client(&daemon, STRANGER).await.sign(ask("one", &other)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_token_works_the_request_is_not_begun_twice() {
    let (site, daemon, client, ca_key) = site().await;
    let tbs = Forgery::user(ca_key, now());
    let token = daemon.token_processes();
    for pid in &token {
        kill_process(*pid, Signal::STOP).unwrap();
    }
    let first = tokio::spawn({
        let (client, asked) = (client.clone(), ask("one", &tbs));
        async move { client.sign(asked).await }
    });
    let second = loop {
        if intents(&site) == 1 {
            break client.sign(ask("one", &tbs)).await.unwrap_err();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(second.code, tonic::Code::Unavailable);
    assert!(second.retry_after.is_some());
    assert_eq!(recorded(&site, second), "REQUEST_IN_PROGRESS");
    for pid in &token {
        kill_process(*pid, Signal::CONT).unwrap();
    }
    let first = first.await.unwrap().unwrap();
    assert_eq!(client.sign(ask("one", &tbs)).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_whose_token_failed_is_usable_again() {
    let (site, daemon, client, ca_key) = site().await;
    let tbs = Forgery::user(ca_key, now());
    let token = daemon.token_processes();
    for pid in &token {
        kill_process(*pid, Signal::STOP).unwrap();
    }
    let first = tokio::spawn({
        let (client, asked) = (client.clone(), ask("one", &tbs));
        async move { client.sign(asked).await }
    });
    while intents(&site) == 0 {
        tokio::task::yield_now().await;
    }
    for pid in &token {
        kill_process(*pid, Signal::KILL).unwrap();
    }
    assert_eq!(first.await.unwrap().unwrap_err().reason, "TOKEN_UNAVAILABLE");
    // Some more tries may meet the old process on its way out; the id is as good for each.
    let mut tries = 1;
    while let Err(error) = client.sign(ask("one", &tbs)).await {
        assert_eq!(error.reason, "TOKEN_UNAVAILABLE");
        tries += 1;
        assert!(tries < 10_000, "{error}");
    }
    assert_eq!(intents(&site), tries + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_whose_signer_was_killed_is_burned() {
    let (site, daemon, client, ca_key) = site().await;
    let tbs = Forgery::user(ca_key, now());
    for pid in daemon.token_processes() {
        kill_process(pid, Signal::STOP).unwrap();
    }
    let asked = ask("one", &tbs);
    let first = tokio::spawn(async move { client.sign(asked).await });
    while intents(&site) == 0 {
        tokio::task::yield_now().await;
    }
    daemon.kill();
    first.await.unwrap().unwrap_err();

    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    for _ in 0..2 {
        let error = client.sign(ask("one", &tbs)).await.unwrap_err();
        assert_eq!(error.code, tonic::Code::AlreadyExists);
        assert_eq!(recorded(&site, error), "REQUEST_OUTCOME_UNKNOWN");
    }
    client.sign(ask("two", &Forgery { serial: 43, ..tbs })).await.expect("a new id and serial");
}

#[tokio::test]
async fn a_serial_is_one_certificates_under_whatever_name_and_caller() {
    // One key on the token, under two names one after the other: the serial is the key's, not the name's.
    let (site, daemon, client, ca_key) = site().await;
    let tbs = Forgery::user(ca_key, now());
    client.sign(ask("one", &tbs)).await.unwrap();
    let twin = Forgery { key_id: b"bob@example".to_vec(), ..tbs.clone() };
    let error = client.sign(ask("two", &twin)).await.unwrap_err();
    assert_eq!(error.code, tonic::Code::AlreadyExists);
    assert_eq!(recorded(&site, error), "SERIAL_REUSED");

    daemon.stop();
    let renamed = USER_CA
        .replace("[key.user-ca]\n", "[key.renamed]\nlabel = \"user-ca\"\n")
        .replace("key.user-ca", "key.renamed")
        .replace("/front-end", "/stranger");
    site.configure(&format!("{}{renamed}", site.base_config()));
    let daemon = site.serve();
    let stranger = site.client(&daemon, STRANGER).await;
    let renamed = |tbs: &Forgery| v1::SignRequest { key: "renamed".into(), ..ask("", tbs) };
    for again in [&tbs, &twin] {
        let error = stranger.sign(renamed(again)).await.unwrap_err();
        assert_eq!(recorded(&site, error), "SERIAL_REUSED");
    }
    stranger.sign(renamed(&Forgery { serial: 43, ..twin })).await.unwrap();
}

#[test]
fn a_clock_behind_the_newest_entry_keeps_the_signer_from_starting() {
    let site = Site::new(USER_CA);
    site.serve().stop();
    let entries = site.entries();
    let future = UnixMillis(UnixMillis::now().0 + 3_600_000);
    let entry =
        Entry::Outcome { time: future, intent: 0, outcome: Outcome::Abandoned, latency_us: 0, token: None };
    let ledger = rusqlite::Connection::open(site.path("ledger.sqlite")).unwrap();
    let values = (i64::try_from(entries.len()).unwrap(), entry.encode().unwrap());
    ledger.execute("INSERT INTO entry (idx, leaf) VALUES (?1, ?2)", values).unwrap();
    drop(ledger);

    let message = site.run_refused(&["serve"], 75);
    assert!(message.contains("behind the newest entry") && message.contains("set the clock"), "{message}");
    assert_eq!(site.entries().len(), entries.len() + 1, "nothing was signed");
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("[ledger]\n", "[ledger]\nclock_tolerance = \"2h\"\n"));
    site.serve().stop();
    site.configure(&config);
    site.serve();
}
