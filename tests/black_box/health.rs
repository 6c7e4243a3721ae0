//! `grpc.health.v1`: what it says, to whom, and that nothing which breaks keeps it from answering.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use countersign::ledger::Entry;
use countersign_faulty::{Action, Call, Code as Ckr, On, Script, Token};
use countersign_proto::client::{CallError, Health, HealthChanges};
use countersign_proto::{Client, v1};
use countersign_tbs::ssh::SubjectKey;
use rustix::process::{Signal, kill_process};
use tokio::task::JoinSet;
use tonic::Code;

use crate::faulty::{Broken, Caller};
use crate::forge::Forgery;
use crate::site::{Daemon, FRONT_END, Log, PATIENCE, STRANGER, Site, USER_CA, now, request, text};

/// Far less than any token's deadline, and enough for a machine that is busy.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Asks, and sees that the answer comes at once.
async fn asked(client: &Client, key: Option<&str>) -> Health {
    let since = Instant::now();
    let health = client.health(key).await.unwrap();
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    health
}

/// The next health that is told.
pub async fn told(changes: &mut HealthChanges) -> Option<Health> {
    tokio::time::timeout(PATIENCE, changes.next()).await.expect("a change").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn says_how_the_signer_and_its_keys_are_over_tls_and_the_socket() {
    let site = Site::new(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let by_uid = format!("callers = [\"uid:{}\", ", rustix::process::geteuid().as_raw());
    site.configure(&config.replace("callers = [", &by_uid));
    let daemon = site.serve();
    let by_socket = Client::connect_unix(&site.path("signer.sock")).await.unwrap();
    for client in [site.client(&daemon, FRONT_END).await, by_socket] {
        for key in [None, Some("user-ca")] {
            assert_eq!(asked(&client, key).await, Health::Serving, "{key:?}");
            let mut changes = client.watch_health(key).await.unwrap();
            assert_eq!(told(&mut changes).await, Some(Health::Serving));
        }
    }
    daemon.stop();
    assert_eq!(site.entries().len(), 2, "the self-test alone: nothing is signed, and nothing recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_use_a_key_does_not_learn_that_it_exists() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let stranger = site.client(&daemon, STRANGER).await;
    assert_eq!(asked(&stranger, None).await, Health::Serving, "how the signer is, every caller may know");
    let [theirs, none, no_name] = ["user-ca", "no-such-key", "Not A Name"];
    let error = stranger.health(Some(theirs)).await.unwrap_err();
    assert_eq!((error.code, error.reason.as_str()), (Code::NotFound, "SERVICE_UNKNOWN"));
    let mut watched = Vec::new();
    for key in [theirs, none, no_name] {
        assert_eq!(stranger.health(Some(key)).await.unwrap_err(), error, "{key}");
        let mut changes = stranger.watch_health(Some(key)).await.unwrap();
        assert_eq!(told(&mut changes).await, Some(Health::Unknown), "{key}");
        watched.push(changes);
    }
    kill_process(daemon.token_processes()[0], Signal::STOP).unwrap();
    let front_end = site.client(&daemon, FRONT_END).await;
    let mut known = front_end.watch_health(Some("user-ca")).await.unwrap();
    assert_eq!(told(&mut known).await, Some(Health::Serving));
    kill_process(daemon.token_processes()[0], Signal::KILL).unwrap();
    assert_eq!(told(&mut known).await, Some(Health::NotServing));
    assert_eq!(told(&mut known).await, Some(Health::Serving));
    daemon.signal(Signal::TERM);
    for mut changes in watched {
        assert_eq!(told(&mut changes).await, None, "not a word of how the key is");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_while_every_token_hangs_and_its_queue_is_full() {
    let site = Site::new(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    // The deadline is long: all of the rest happens before it has passed, whatever else the machine does.
    site.configure(&config.replace("label = \"test\"", "label = \"test\"\nqueue = 4\ndeadline = \"20s\""));
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let openssh = client.get_key("user-ca").await.unwrap().openssh;
    let ca_key = SubjectKey::from_openssh_line(&openssh).unwrap().to_wire();
    let mut changes = client.watch_health(Some("user-ca")).await.unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    kill_process(daemon.token_processes()[0], Signal::STOP).unwrap();
    let mut working = JoinSet::new();
    for serial in 1..=100 {
        let (client, tbs) = (client.clone(), Forgery { serial, ..Forgery::user(ca_key.clone(), now()) });
        working.spawn(async move { client.sign(request("user-ca", tbs.encode())).await });
    }
    // The first is shed while sessions have nothing yet: the queue is full once no more are left than it and the four sessions hold, and one
    // more is shed. One that is not answered has taken a place that was free still.
    while working.len() > 4 + 4 {
        let shed = working.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!((shed.code, shed.reason.as_str()), (Code::ResourceExhausted, "TOKEN_BUSY"));
    }
    for serial in 101.. {
        let (client, tbs) = (client.clone(), Forgery { serial, ..Forgery::user(ca_key.clone(), now()) });
        let asked = tokio::spawn(async move { client.sign(request("user-ca", tbs.encode())).await });
        if tokio::time::timeout(Duration::from_secs(1), asked).await.is_ok() {
            break;
        }
    }
    sheds_at_once(&client, &ca_key, &mut working).await;
    let other = site.client(&daemon, STRANGER).await;
    for (client, key) in [(&client, None), (&client, Some("user-ca")), (&other, None)] {
        assert_eq!(
            asked(client, key).await,
            Health::Serving,
            "nobody has waited for the token's deadline yet"
        );
    }
    assert_eq!(told(&mut changes).await, Some(Health::NotServing), "the deadline has passed");
    assert_eq!(told(&mut changes).await, Some(Health::Serving), "its process is replaced");
}

/// There is no place for any of them, which each is told without waiting for anything: every session of the token hangs, and nobody who has a
/// place is answered, which would be at its deadline. How soon is a figure (`./ci/bench-limits shed`), for others may have the machine.
async fn sheds_at_once(
    client: &Client,
    ca_key: &[u8],
    working: &mut JoinSet<Result<v1::SignResponse, CallError>>,
) {
    for serial in 1_000..1_021 {
        let tbs = Forgery { serial, ..Forgery::user(ca_key.to_vec(), now()) };
        let shed = client.sign(request("user-ca", tbs.encode())).await.unwrap_err();
        assert_eq!((shed.code, shed.reason.as_str()), (Code::ResourceExhausted, "TOKEN_BUSY"));
        assert!(shed.retry_after.is_some_and(|after| !after.is_zero()), "{shed:?}");
        while let Some(answer) = working.try_join_next() {
            let error = answer.unwrap().expect_err("every session hangs");
            assert_eq!(error.reason, "TOKEN_BUSY", "it has waited until the token's deadline");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_token_hangs_is_not_serving_and_the_others_are() {
    let Broken { site, control } = Broken::new();
    let daemon = site.serve();
    let caller = Caller::new(&site, &daemon).await;
    let client = site.client(&daemon, FRONT_END).await;
    let mut changes = client.watch_health(Some("user-ca")).await.unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    // The process that hangs in a signature is killed, and the one that is to replace it hangs, too.
    let script = Script::on(On::call(Call::Sign, Action::Hang)).and(On::call(Call::Login, Action::Hang));
    control.set(&script).unwrap();
    let error = caller.sign("user-ca").await.unwrap_err();
    assert_eq!(error.reason, "TOKEN_TIMED_OUT");
    assert_eq!(told(&mut changes).await, Some(Health::NotServing));
    assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Login) > 0));
    assert_eq!(asked(&client, Some("user-ca")).await, Health::NotServing);
    assert_eq!(asked(&client, Some("other-ca")).await, Health::Serving);
    assert_eq!(asked(&client, None).await, Health::Serving, "the signer can still sign with one key");
    control.clear().unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_token_refuses_it_is_not_serving_until_it_signs_by_itself() {
    let Broken { site, control } = Broken::new();
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let by_uid = format!("callers = [\"uid:{}\", ", rustix::process::geteuid().as_raw());
    site.configure(&config.replace("callers = [", &by_uid));
    let mut daemon = site.serve();
    let caller = Caller::new(&site, &daemon).await;
    let client = site.client(&daemon, FRONT_END).await;
    let mut changes = client.watch_health(Some("user-ca")).await.unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    let (processes, since) = (daemon.token_processes(), Instant::now());
    control.set(&Script::on(On::call(Call::SignInit, Action::Fail(Ckr::CKR_KEY_TYPE_INCONSISTENT)))).unwrap();
    for _ in 0..3 {
        let error = caller.sign("user-ca").await.unwrap_err();
        assert_eq!(error.reason, "TOKEN_FAILED");
    }
    assert_eq!(told(&mut changes).await, Some(Health::NotServing));
    assert_eq!(asked(&client, Some("other-ca")).await, Health::Serving);
    let server = format!("unix:{}", site.path("signer.sock").display());
    let why = site.run_refused(&["health", "user-ca", "--server", &server], 1);
    let says = |word: &str| why.contains(word);
    assert!(
        says("token/soft: TOKEN_FAILED") && says("CKR_KEY_TYPE_INCONSISTENT") && says("key user-ca"),
        "{why}"
    );
    for _ in 0..50 {
        caller.sign("user-ca").await.unwrap_err();
    }
    control.clear().unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    let pauses = since.elapsed().as_millis() / 500;
    daemon.wait_for("the token signs with this key again");
    caller.sign("user-ca").await.expect("nobody had to do anything");
    assert_eq!(daemon.token_processes(), processes, "no process is ended for it");
    let (_, log) = daemon.stop();
    let each = log.lines().filter(|line| line.contains("WARN") && line.contains("word=\"TOKEN_FAILED\""));
    assert_eq!(each.count(), 0, "{log}");
    let tests = site.entries().into_iter().filter(|entry| matches!(entry, Entry::SelfTest { .. })).count();
    let challenges = u128::try_from(tests - 2).unwrap();
    assert!((2..=1 + pauses).contains(&challenges), "{challenges} in {pauses} of the shortest pauses");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_at_fault_change_no_health() {
    let Broken { site, control } = Broken::new();
    let mut daemon = site.serve();
    let caller = Caller::new(&site, &daemon).await;
    let client = site.client(&daemon, FRONT_END).await;
    let mut changes = client.watch_health(Some("user-ca")).await.unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    control.set(&Script::on(On::call(Call::Sign, Action::Fail(Ckr::CKR_DATA_LEN_RANGE)).times(3))).unwrap();
    for _ in 0..3 {
        assert_eq!(caller.sign("user-ca").await.unwrap_err().reason, "TOKEN_FAILED");
    }
    daemon.wait_for("what it refused was at fault");
    assert_eq!(asked(&client, Some("user-ca")).await, Health::Serving);
    let (status, log) = daemon.stop();
    assert!(status.success() && !log.contains("REFUSES TO SIGN WITH THIS KEY"), "{log}");
    assert_eq!(
        told(&mut changes).await,
        Some(Health::NotServing),
        "the signer stops: nothing was told before"
    );
    assert_eq!(told(&mut changes).await, None);
    let tests = site.entries().into_iter().filter(|entry| matches!(entry, Entry::SelfTest { .. }));
    assert_eq!(tests.count(), 3, "of each key at the start, and one challenge");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_takes_nothing_is_not_serving_until_it_does_again_by_itself() {
    let site = Site::new(USER_CA);
    // As a full disk: tests/black_box/ledger.rs says how.
    let mut limited = Command::new("sh");
    let exe = env!("CARGO_BIN_EXE_countersign");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 400; exec \"$0\" serve", exe]);
    limited.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
    let daemon = Daemon::start(limited.stdout(Stdio::null()));
    let client = site.client(&daemon, FRONT_END).await;
    let mut changes = client.watch_health(None).await.unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    let refused = (0..10_000).find(|_| {
        let answer = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(client.sign(request("no-such-key", vec![1; 4096])))
        });
        answer.unwrap_err().reason == "LEDGER_UNAVAILABLE"
    });
    refused.expect("the limit was never met");
    assert_eq!(told(&mut changes).await, Some(Health::NotServing));
    assert_eq!(asked(&client, Some("user-ca")).await, Health::NotServing);
    let why = site.run_refused(&["health", "--server", &unix(&site)], 1);
    let file = site.path("ledger.sqlite");
    let what = format!("\n  ledger: LEDGER_UNAVAILABLE: ledger {} takes no entries", file.display());
    assert!(why.contains(&what) && why.contains("; check the space and health of its disk"), "{why}");
    let output = site.client_command(&daemon, FRONT_END, &["health"]).output().unwrap();
    assert!(text(&output.stderr).contains("now; its log says why"), "callers are not told what is inside");
    let pid = daemon.pid().as_raw_nonzero().to_string();
    let lifted = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &pid]).output().unwrap();
    assert!(lifted.status.success(), "{}", text(&lifted.stderr));
    assert_eq!(told(&mut changes).await, Some(Health::Serving), "nobody has asked for a signature");
    assert_eq!(site.run_ok(&["health", "--server", &unix(&site)]), "serving\n");
    let tests = site.entries().iter().filter(|entry| matches!(entry, Entry::SelfTest { .. })).count();
    assert_eq!(tests, 2, "one at start, and one that the ledger took at last");
}

/// A file size limit stands for a full disk, as above; of nothing here.
#[test]
fn on_a_full_disk_a_wrong_pin_costs_no_try_at_every_start() {
    let Broken { site, control } = Broken::new();
    let pin = std::fs::read(site.path("pin")).unwrap();
    std::fs::write(site.path("pin"), "wrong-4711\n").unwrap();
    control.set(&Script::token(Token { pin_tries: Some(10), ..Token::default() })).unwrap();
    let logins = control.calls(Call::Login);
    for _ in 0..2 {
        let mut limited = Command::new("sh");
        let exe = env!("CARGO_BIN_EXE_countersign");
        limited.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" serve", exe]);
        limited.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
        let output = limited.output().unwrap();
        assert!(!output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(control.calls(Call::Login), logins, "nothing could be noted");
    std::fs::write(site.path("pin"), pin).unwrap();
    drop(site.serve());
}

pub fn unix(site: &Site) -> String {
    format!("unix:{}", site.path("signer.sock").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_told_what_is_wrong_with_a_token() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let mut changes = client.watch_health(None).await.unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    std::fs::rename(site.path("pin"), site.path("no-pin")).unwrap();
    kill_process(daemon.token_processes()[0], Signal::KILL).unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::NotServing));
    let why = || site.run_refused(&["health", "--server", &unix(&site)], 1);
    assert!(why().contains("\n  token/soft: TOKEN_UNAVAILABLE: "), "{}", why());
    std::fs::write(site.path("pin"), "4711").unwrap();
    std::fs::set_permissions(site.path("pin"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let since = Instant::now();
    while !why().contains("\n  token/soft: TOKEN_PIN_REFUSED: token soft refused the PIN") {
        assert!(since.elapsed() < PATIENCE, "{}", why());
    }
    std::fs::rename(site.path("no-pin"), site.path("pin")).unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    assert_eq!(site.run_ok(&["health", "--server", &unix(&site)]), "serving\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_stops_says_so_and_is_not_kept_by_those_who_watch() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let mut watched = Vec::new();
    for key in [None, Some("user-ca")] {
        let mut changes = client.watch_health(key).await.unwrap();
        assert_eq!(told(&mut changes).await, Some(Health::Serving));
        watched.push(changes);
    }
    let since = Instant::now();
    daemon.signal(Signal::TERM);
    for mut changes in watched {
        assert_eq!(told(&mut changes).await, Some(Health::NotServing));
        assert_eq!(told(&mut changes).await, None);
    }
    let (status, log) = daemon.stop();
    assert!(status.success() && since.elapsed() < Duration::from_secs(4), "{:?}: {log}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_cannot_watch_for_all_the_others() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let mut watched = Vec::new();
    for _ in 0..64 {
        watched.push(client.watch_health(None).await.unwrap());
    }
    let error = client.watch_health(None).await.unwrap_err();
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "TOO_MANY_WATCHES"));
    assert_eq!(asked(&client, None).await, Health::Serving);
    site.client(&daemon, STRANGER).await.watch_health(None).await.expect("another caller's share");
    drop(watched);
    let since = Instant::now();
    while let Err(error) = client.watch_health(None).await {
        assert!(since.elapsed() < PATIENCE, "{error}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_has_a_word_and_an_exit_status_for_each_health() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let run = |identity: &str, args: &[&str]| {
        let output = site.client_command(&daemon, identity, args).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for args in [&["health"][..], &["health", "user-ca"]] {
        assert_eq!(run(FRONT_END, args), (Some(0), "serving\n".into(), String::new()), "{args:?}");
    }
    let (status, out, error) = run(STRANGER, &["health", "user-ca"]);
    assert_eq!((status, out.as_str()), (Some(2), ""));
    assert!(error.contains("SERVICE_UNKNOWN"), "{error}");
    let token = daemon.token_processes()[0];
    // No process can replace it: its PIN file is gone.
    std::fs::rename(site.path("pin"), site.path("no-pin")).unwrap();
    let mut changes = site.client(&daemon, FRONT_END).await.watch_health(None).await.unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    kill_process(token, Signal::KILL).unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::NotServing));
    let (status, out, error) = run(FRONT_END, &["health", "user-ca"]);
    assert_eq!((status, out.as_str()), (Some(1), "not serving\n"));
    assert!(error.contains("cannot sign with key user-ca now"), "{error}");
    let mut watch = site.client_command(&daemon, FRONT_END, &["health", "--watch"]);
    let mut watching = watch.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = Log::follow(watching.stdout.take().unwrap());
    lines.wait_for("serving");
    std::fs::rename(site.path("no-pin"), site.path("pin")).unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    daemon.stop();
    lines.wait_for("not serving");
    assert_eq!(watching.wait().unwrap().code(), Some(1));
    let output = site.run(&["health", "--server", &format!("unix:{}", site.path("signer.sock").display())]);
    assert_eq!(output.status.code(), Some(2), "nobody is there");
}
