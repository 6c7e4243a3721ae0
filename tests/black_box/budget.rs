//! What a stolen front-end cannot have more of, and what it cannot fill.

use std::time::Duration;

use countersign::ledger::Entry;
use countersign_proto::client::CallError;
use countersign_proto::v1::ThawRequest;
use countersign_proto::{Client, v1};
use countersign_tbs::ssh::SubjectKey;
use tokio::task::JoinSet;
use tonic::Code;

use crate::forge::Forgery;
use crate::site::{Daemon, FRONT_END, STRANGER, Site, USER_CA, at, now, request, text};

/// As [`USER_CA`], for both callers, with this budget.
fn site(budget: &str) -> Site {
    let callers = "\"spiffe://countersign.example/front-end\", \"spiffe://countersign.example/stranger\"";
    let keys = USER_CA.replace("\"spiffe://countersign.example/front-end\"", callers);
    Site::new(&keys.replace("budget = \"100000/h\"", budget))
}

/// A client, and what makes it TBSs of one serial after another.
struct Asker {
    client: Client,
    ca_key: Vec<u8>,
    serial: u64,
}

impl Asker {
    async fn new(site: &Site, daemon: &Daemon, identity: &str, serial: u64) -> Self {
        let client = site.client(daemon, identity).await;
        let key = client.get_key("user-ca").await.unwrap();
        let ca_key = SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire();
        Self { client, ca_key, serial }
    }

    fn tbs(&mut self) -> Forgery {
        self.serial += 1;
        Forgery { serial: self.serial, ..Forgery::user(self.ca_key.clone(), now()) }
    }

    async fn ask(&mut self) -> Result<v1::SignResponse, CallError> {
        let tbs = self.tbs();
        self.client.sign(request("user-ca", tbs.encode())).await
    }

    async fn refused(&mut self) -> CallError {
        self.ask().await.expect_err("beyond the budget")
    }
}

#[tokio::test]
async fn a_budget_that_is_used_up_says_until_when_and_survives_kill_9() {
    let site = site("budget = \"3/h\"");
    let daemon = site.serve();
    let mut front_end = Asker::new(&site, &daemon, FRONT_END, 0).await;
    let tbs = front_end.tbs();
    let first = v1::SignRequest { request_id: "first".into(), ..request("user-ca", tbs.encode()) };
    let answer = front_end.client.sign(first.clone()).await.unwrap();
    front_end.ask().await.unwrap();
    front_end.ask().await.unwrap();
    let error = front_end.refused().await;
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "BUDGET_EXHAUSTED"));
    assert_eq!(error.rule.as_deref(), Some("key.user-ca.allow.staff.budget"));
    let wait = error.retry_after.unwrap();
    assert!(wait <= Duration::from_secs(1200) && wait > Duration::from_secs(1000), "{wait:?}");
    let Entry::Refusal { reason, .. } = &site.entries()[at(error.entry.unwrap())] else {
        panic!("{error:?}")
    };
    assert_eq!(reason, "BUDGET_EXHAUSTED");
    assert_eq!(front_end.client.sign(first).await.unwrap(), answer, "the same request again costs nothing");
    let mut other = Asker::new(&site, &daemon, STRANGER, 1000).await;
    other.ask().await.expect("another caller has a budget of its own");

    daemon.kill();
    let daemon = site.serve();
    let mut front_end = Asker::new(&site, &daemon, FRONT_END, 100).await;
    assert_eq!(front_end.refused().await.reason, "BUDGET_EXHAUSTED");
}

#[tokio::test]
async fn who_goes_on_asking_is_frozen_until_the_operator_thaws() {
    let site = site("budget = \"1000/s\"\nburst = 1\nvolume = \"2/20s\"\nfreeze_after = \"3/h\"");
    let daemon = site.serve();
    let mut front_end = Asker::new(&site, &daemon, FRONT_END, 0).await;
    let mut error = loop {
        if let Err(error) = front_end.ask().await {
            break error;
        }
    };
    while error.reason == "BUDGET_EXHAUSTED" {
        error = front_end.refused().await;
    }
    assert_eq!((error.code, error.reason.as_str()), (Code::PermissionDenied, "FROZEN"));
    assert_eq!((error.rule.as_deref(), error.retry_after), (Some("ledger.freeze"), None));
    assert_eq!(front_end.refused().await.reason, "FROZEN");
    let mut other = Asker::new(&site, &daemon, STRANGER, 1000).await;
    other.ask().await.expect("a freeze is of one caller");
    let (_, log) = daemon.stop();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("frozen")).collect();
    let [line] = lines[..] else { panic!("one line: {log}") };
    assert!(line.contains("ERROR") && line.contains("spiffe://countersign.example/front-end"), "{line}");

    let daemon = site.serve();
    let mut front_end = Asker::new(&site, &daemon, FRONT_END, 100).await;
    assert_eq!(front_end.refused().await.reason, "FROZEN", "a restart does not thaw");
    let name = "spiffe://countersign.example/front-end";
    let thaw = ["policy", "thaw", "user-ca", name, "--why", "it was a test"];
    let said = site.run_ok(&thaw);
    assert!(
        said.starts_with("thawed spiffe://countersign.example/front-end for key user-ca: entry "),
        "{said}"
    );
    let again = site.run_refused(&thaw, 1);
    assert!(again.contains("not frozen"), "{again}");
    // What the budget has by now, it gives; the tries before the thaw no longer count.
    let later = front_end.ask().await.map_or_else(|error| error.reason, |_| "OK".to_owned());
    assert!(later == "OK" || later == "BUDGET_EXHAUSTED", "{later}");

    let freezes = site.entries().into_iter().filter(|entry| matches!(entry, Entry::Freeze { .. })).count();
    let thaws: Vec<_> =
        site.entries().into_iter().filter(|entry| matches!(entry, Entry::Thaw { .. })).collect();
    let [Entry::Thaw { caller, by, why, .. }] = &thaws[..] else { panic!("{thaws:?}") };
    let own = format!("uid:{}", rustix::process::geteuid().as_raw());
    assert_eq!(
        (freezes, text(caller), text(by), text(why)),
        (1, name.to_owned(), own, "it was a test".to_owned())
    );
    let shown = site.run_ok(&["ledger", "show", "--last", "100"]);
    for kind in ["freeze", "thaw"] {
        let is_shown = |line: &str| line.split_whitespace().skip(2).take(2).eq([kind, name]);
        assert!(shown.lines().any(is_shown), "{kind}: {shown}");
    }
}

#[tokio::test]
async fn nobody_thaws_over_the_network() {
    let site = site("budget = \"1/h\"");
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let caller = "spiffe://countersign.example/front-end".to_owned();
    let thaw = ThawRequest { key: "user-ca".to_owned(), caller, why: "let me".to_owned() };
    assert_eq!(client.thaw(thaw).await.unwrap_err().code, Code::Unimplemented);
}

#[test]
fn a_thaw_without_a_socket_says_what_to_do() {
    let site = Site::new(USER_CA);
    let thaw = ["policy", "thaw", "user-ca", "dns:nobody.example", "--why", "x"];
    let message = site.run_refused(&thaw, 1);
    assert!(message.contains("signer.sock"), "nobody serves there: {message}");
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("unix_socket = \"signer.sock\"\n", ""));
    let message = site.run_refused(&thaw, 2);
    assert!(message.contains("server.unix_socket") && message.contains("set it"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_does_not_fill_the_ledger_and_none_is_lost() {
    const FLOOD: usize = 3000;
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let mut asked = JoinSet::new();
    for _ in 0..30 {
        let stranger = site.client(&daemon, STRANGER).await;
        asked.spawn(async move {
            let mut with_entry = 0;
            for _ in 0..FLOOD / 30 {
                let error = stranger.sign(request("user-ca", vec![0x5a; 100])).await.unwrap_err();
                assert_eq!(error.reason, "KEY_NOT_AVAILABLE", "the answer is the same");
                with_entry += usize::from(error.entry.is_some());
            }
            with_entry
        });
    }
    let with_entry: usize = asked.join_all().await.into_iter().sum();
    let mut front_end = Asker::new(&site, &daemon, FRONT_END, 0).await;
    front_end.ask().await.expect("others are served");
    let error = front_end.client.sign(request("user-ca", Vec::new())).await.unwrap_err();
    assert!(error.entry.is_some(), "and their refusals are recorded whole");
    daemon.stop();

    let entries = site.entries();
    let whole = entries.iter().filter(|entry| matches!(entry, Entry::Refusal { .. })).count();
    let counted = entries.iter().filter_map(|entry| match entry {
        Entry::Refusals { count, .. } => Some(usize::try_from(*count).unwrap()),
        _ => None,
    });
    let counted: Vec<usize> = counted.collect();
    // 1,000 at once and one every six seconds; the flood takes no minutes.
    assert!((1000..1100).contains(&with_entry), "{with_entry}");
    assert_eq!((whole, counted.iter().sum::<usize>()), (with_entry + 1, FLOOD - with_entry), "{counted:?}");
    assert!((1..=3).contains(&counted.len()), "{counted:?}");
}
