//! What callers see of a token that breaks: its process dies, and nothing else does.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use countersign::ledger::Entry;
use countersign::ledger::entry::Outcome;
use countersign_faulty::{Action, Call, Code as Ckr, Control, On, Script, module};
use countersign_proto::client::{CallError, Health};
use countersign_proto::{Client, v1};
use countersign_tbs::ssh::SubjectKey;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::forge::Forgery;
use crate::site::{Daemon, FRONT_END, PATIENCE, Site, USER_CA, at, children, now, request, text};

const REAL: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The deadline of the token that breaks.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long a token's process may take to be replaced.
const REPLACED: Duration = Duration::from_secs(5);

/// Two tokens with one key each: `user-ca` behind the faulty module, `other-ca` behind none.
pub struct Broken {
    pub site: Site,
    pub control: Control,
}

impl Broken {
    pub fn new() -> Self {
        let other = USER_CA.replace("key.user-ca", "key.other-ca").replace("\"soft\"", "\"other\"");
        let site = Site::without_token("");
        std::fs::create_dir(site.path("script")).unwrap();
        let control = Control::new(&site.path("script/script.toml")).unwrap();
        let config =
            format!("{}{}{USER_CA}{other}", faulty(&site.base_config(), &control), other_token(site.dir()));
        site.configure(&config);
        for token in ["soft", "other"] {
            let so_pin = site.path(&format!("{token}-so-pin"));
            site.run_ok(&[
                "token",
                "init",
                token,
                "--generate-pins",
                "--so-pin-file",
                so_pin.to_str().unwrap(),
            ]);
        }
        site.run_ok(&["key", "generate", "user-ca"]);
        site.run_ok(&["key", "generate", "other-ca"]);
        Self { site, control }
    }

    /// The same, with more settings of the token that breaks, which has a minute for a signature.
    pub fn patient(settings: &str) -> Self {
        let broken = Self::new();
        let config = std::fs::read_to_string(broken.site.path("countersign.toml")).unwrap();
        let deadline = format!("deadline = \"{}s\"", DEADLINE.as_secs());
        broken.site.configure(&config.replace(&deadline, &format!("deadline = \"60s\"\n{settings}")));
        broken
    }
}

/// The configuration with the faulty module before token `soft`.
pub fn faulty(config: &str, control: &Control) -> String {
    let environment = control.environment(REAL).map(|(name, value)| format!("{name} = {value:?}\n")).concat();
    let module =
        // The module counts its calls beside its script.
        format!(
            "module = \"{}\"\ndeadline = \"{}s\"\nwritable = [\"script\"]",
            module().unwrap().display(),
            DEADLINE.as_secs()
        );
    let config = config.replace(&format!("module = {REAL:?}"), &module);
    config.replace("[token.soft.environment]\n", &format!("[token.soft.environment]\n{environment}"))
}

pub fn other_token(dir: &Path) -> String {
    format!(
        "\n[token.other]\nmodule = {REAL:?}\nlabel = \"other\"\npin_file = \"other-pin\"\n\
         [token.other.environment]\nSOFTHSM2_CONF = \"{}/softhsm2.conf\"\n",
        dir.display()
    )
}

/// A front-end that asks for one certificate after another.
pub struct Caller {
    client: Client,
    serial: AtomicU64,
}

impl Caller {
    pub async fn new(site: &Site, daemon: &Daemon) -> Self {
        Self { client: site.client(daemon, FRONT_END).await, serial: AtomicU64::new(1) }
    }

    pub async fn sign(&self, key: &str) -> Result<v1::SignResponse, CallError> {
        self.sign_as(key, key).await
    }

    /// Asks for a certificate of the CA `key` by the name of another.
    pub async fn sign_as(&self, key: &str, name: &str) -> Result<v1::SignResponse, CallError> {
        let openssh = self.client.get_key(key).await.unwrap().openssh;
        let ca_key = SubjectKey::from_openssh_line(&openssh).unwrap().to_wire();
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let tbs = Forgery { serial, ..Forgery::user(ca_key, now()) };
        self.client.sign(request(name, tbs.encode())).await
    }

    /// Asks until it is signed; how long that took.
    pub async fn sign_at_last(&self, key: &str) -> Duration {
        let since = Instant::now();
        while let Err(error) = self.sign(key).await {
            assert!(since.elapsed() < PATIENCE, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        since.elapsed()
    }
}

/// What became of each request, in order; self-tests are none. Complete once the daemon has stopped.
fn outcomes(site: &Site) -> Vec<Outcome> {
    let entries = site.entries();
    let outcome = |entry: &Entry| match entry {
        Entry::Outcome { intent, outcome, .. } => {
            matches!(entries[at(*intent)], Entry::Intent { .. }).then(|| outcome.clone())
        }
        _ => None,
    };
    entries.iter().filter_map(outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streams_deadline_is_each_requests_own() {
    let Broken { site, control } = Broken::patient("");
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await.with_deadline(Duration::from_millis(100));
    let (requests, stream) = tokio::sync::mpsc::channel(1);
    let mut answers = client.sign_stream(ReceiverStream::new(stream)).await.unwrap();
    let mut ask = async |key: &str, timeout_ms| {
        let openssh = client.get_key(key).await.unwrap().openssh;
        let tbs = Forgery::user(SubjectKey::from_openssh_line(&openssh).unwrap().to_wire(), now()).encode();
        let request = v1::SignRequest { request_id: key.to_owned(), timeout_ms, ..request(key, tbs) };
        requests.send(request).await.unwrap();
        answers.next().await.unwrap().expect("the stream goes on").result
    };
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    let late = ask("user-ca", 0).await.unwrap_err();
    assert_eq!((late.code, late.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    // By now the client's deadline is over for whatever began with the stream.
    ask("other-ca", 30_000).await.expect("its own time is not over");
    // Now the token signs, after all.
    control.clear().unwrap();
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let mut outcomes = outcomes(&site);
    outcomes.sort_by_key(|outcome| matches!(outcome, Outcome::Signed(_)));
    assert!(matches!(outcomes[..], [Outcome::Discarded, Outcome::Signed(_)]), "{outcomes:?}");
}

/// The token signs after the caller has been told that its deadline passed: the ledger says that nobody got that signature.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_comes_after_its_callers_deadline_is_discarded() {
    // Not a hang: the token takes longer than this caller waits.
    let Broken { site, control } = Broken::patient("");
    let daemon = site.serve();
    let mut hurried = Caller::new(&site, &daemon).await;
    // No two of them ask for the same certificate.
    let patient = Caller { client: hurried.client.clone(), serial: AtomicU64::new(1000) };
    hurried.client = hurried.client.with_deadline(Duration::from_secs(1));
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    let asked = tokio::spawn(async move { hurried.sign("user-ca").await });
    assert!(
        control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) == 1),
        "it was not given to the token"
    );
    let late = asked.await.unwrap().expect_err("the token has not signed");
    assert_eq!(late.code, Code::DeadlineExceeded, "{late}");
    // By its own clock. The signer's began when it had read the request.
    tokio::time::sleep(Duration::from_millis(500)).await;
    control.clear().unwrap();
    patient.sign("user-ca").await.expect("the token is well");
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let outcomes = outcomes(&site);
    assert!(matches!(outcomes[..], [Outcome::Discarded, Outcome::Signed(_)]), "{outcomes:?}");
}

#[test]
fn a_signal_ends_a_start_in_which_a_module_hangs_and_leaves_no_process() {
    let Broken { site, control } = Broken::new();
    control.set(&Script::on(On::call(Call::Initialize, Action::Hang))).unwrap();
    for (signal, said) in [(Signal::TERM, "SIGTERM: stopping"), (Signal::INT, "SIGINT: stopping")] {
        let before = control.hangs(Call::Initialize);
        let mut serve = site.command(&["serve"]);
        let daemon = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Initialize) > before));
        let pid = Pid::from_child(&daemon);
        let processes: Vec<_> =
            children(pid).into_iter().map(|child| pidfd_open(child, PidfdFlags::empty()).unwrap()).collect();
        assert!(!processes.is_empty());
        let since = Instant::now();
        kill_process(pid, signal).unwrap();
        let output = daemon.wait_with_output().unwrap();
        assert!(since.elapsed() < REPLACED, "{:?}", since.elapsed());
        assert!(output.status.success() && text(&output.stderr).contains(said), "{output:?}");
        let patience = REPLACED.try_into().unwrap();
        for process in &processes {
            let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&patience)).unwrap();
            assert_eq!(ended, 1, "a token process is there still");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_token_fails_its_callers_in_time_and_nobody_elses() {
    let Broken { site, control } = Broken::new();
    let daemon = site.serve();
    let (hung, other) = (Caller::new(&site, &daemon).await, Caller::new(&site, &daemon).await);
    hung.sign("user-ca").await.expect("the token is well");
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    let asked = tokio::spawn(async move {
        let since = Instant::now();
        let answer = hung.sign("user-ca").await;
        (hung, answer, since.elapsed())
    });
    assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) == 1));
    for _ in 0..20 {
        other.sign("other-ca").await.expect("the other token is well");
    }
    assert!(!asked.is_finished(), "the other token signed while this one hung");
    let (hung, answer, took) = asked.await.unwrap();
    let error = answer.expect_err("nothing was signed");
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "TOKEN_TIMED_OUT"));
    assert!((DEADLINE..DEADLINE * 2).contains(&took), "{took:?}");

    control.clear().unwrap();
    let back = hung.sign_at_last("user-ca").await;
    assert!(back < REPLACED, "{back:?}");
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert!(outcomes(&site).contains(&Outcome::Failed("TOKEN_TIMED_OUT".into())), "{:?}", outcomes(&site));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_signature_never_leaves_and_its_token_must_prove_itself() {
    let Broken { site, control } = Broken::new();
    let mut daemon = site.serve();
    let caller = Caller::new(&site, &daemon).await;
    for damage in [Action::WrongSignature, Action::ShortSignature] {
        let mut health = caller.client.watch_health(Some("user-ca")).await.unwrap();
        assert_eq!(health.next().await.unwrap(), Some(Health::Serving));
        control.set(&Script::on(On::call(Call::Sign, damage).times(1))).unwrap();
        let processes = daemon.token_processes();
        let error = caller.sign("user-ca").await.expect_err("it was withheld");
        assert_eq!((error.code, error.reason.as_str()), (Code::Internal, "SIGNATURE_WITHHELD"), "{damage:?}");
        assert_eq!(health.next().await.unwrap(), Some(Health::NotServing));
        daemon.wait_for("has proven itself");
        assert_eq!(health.next().await.unwrap(), Some(Health::Serving));
        assert_ne!(daemon.token_processes(), processes, "whatever made it lie is gone with its process");
        caller.sign("user-ca").await.expect("it signs again");
    }
    daemon.stop();
    let withheld = Outcome::Failed("SIGNATURE_WITHHELD".into());
    let outcomes = outcomes(&site);
    let [first, Outcome::Signed(_), third, Outcome::Signed(_)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!([first, third], [&withheld, &withheld]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_signs_for_callers_serves_though_its_token_has_not_proven_itself() {
    let Broken { site, control } = Broken::new();
    let mut daemon = site.serve();
    let caller = Caller::new(&site, &daemon).await;
    let mut health = caller.client.watch_health(Some("user-ca")).await.unwrap();
    assert_eq!(health.next().await.unwrap(), Some(Health::Serving));
    let lie = || On::call(Call::Sign, Action::WrongSignature);
    control.set(&Script::on(lie())).unwrap();
    caller.sign("user-ca").await.expect_err("it was withheld");
    assert_eq!(health.next().await.unwrap(), Some(Health::NotServing));
    // From here on the token is waited for before it is tested again, and fails each test.
    daemon.wait_for("does not prove itself");
    control.set(&Script::on(lie().after(1))).unwrap();
    caller.sign_at_last("user-ca").await;
    let next = tokio::time::timeout(PATIENCE, health.next()).await;
    assert_eq!(next.expect("a caller was served").unwrap(), Some(Health::Serving));
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_goes_on_lying_is_told_of_once_and_again_after_it_was_sound() {
    let Broken { site, control } = Broken::new();
    let mut daemon = site.serve();
    let caller = Caller::new(&site, &daemon).await;
    // The caller's signature, challenges that are refuted, and one more.
    for begun in [4, 3] {
        control.set(&Script::on(On::call(Call::Sign, Action::WrongSignature))).unwrap();
        let before = control.calls(Call::SignInit);
        caller.sign("user-ca").await.expect_err("it was withheld");
        let goes_on = |control: &Control| control.calls(Call::SignInit) >= before + begun;
        assert!(control.wait_until(PATIENCE, goes_on));
        control.clear().unwrap();
        daemon.wait_for("has proven itself");
    }
    let (_, log) = daemon.stop();
    let told: Vec<_> = log.lines().filter(|line| line.contains("does not prove itself")).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_crashes_is_replaced_and_the_daemon_goes_on() {
    let Broken { site, control } = Broken::new();
    let daemon = site.serve();
    let caller = Caller::new(&site, &daemon).await;
    let before = daemon.token_processes();
    control.set(&Script::on(On::call(Call::Sign, Action::Crash).times(1))).unwrap();
    let error = caller.sign("user-ca").await.expect_err("its process died of it");
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "TOKEN_UNAVAILABLE"));
    let back = caller.sign_at_last("user-ca").await;
    assert!(back < REPLACED, "{back:?}");
    caller.sign("other-ca").await.unwrap();
    let after = daemon.token_processes();
    let kept = after.iter().filter(|process| before.contains(process)).count();
    assert_eq!((before.len(), after.len(), kept), (2, 2, 1), "one process is another");
}

/// One code for each thing that can be done about a code; classify.rs has them all.
#[tokio::test(flavor = "multi_thread")]
async fn callers_are_told_a_reason_and_the_operator_the_token_the_call_and_the_code() {
    let Broken { site, control } = Broken::patient("");
    let mut daemon = site.serve();
    let caller = Caller::new(&site, &daemon).await;
    for (call, code, reason) in [
        (Call::SignInit, Ckr::CKR_DATA_INVALID, "TOKEN_FAILED"),
        (Call::SignInit, Ckr::CKR_KEY_HANDLE_INVALID, "TOKEN_UNAVAILABLE"),
        (Call::Sign, Ckr::CKR_DEVICE_ERROR, "TOKEN_UNAVAILABLE"),
        (Call::SignInit, Ckr::CKR_USER_NOT_LOGGED_IN, "TOKEN_UNAVAILABLE"),
        (Call::Sign, Ckr::CKR_CRYPTOKI_NOT_INITIALIZED, "TOKEN_UNAVAILABLE"),
        (Call::Sign, Ckr::CKR_HOST_MEMORY, "TOKEN_UNAVAILABLE"),
        (Call::Sign, Ckr::CKR_PIN_LOCKED, "TOKEN_UNAVAILABLE"),
    ] {
        control.set(&Script::on(On::call(call, Action::Fail(code)))).unwrap();
        let error = caller.sign("user-ca").await.expect_err("every call fails");
        assert_eq!(error.reason, reason, "{code}: {error}");
        for inside in ["soft", "C_Sign", "CKR_", "PIN", "process"] {
            assert!(!error.message.contains(inside), "{inside}: {error}");
        }
        let line = daemon.wait_for(&code.to_string());
        assert!(line.contains("token=soft") && line.contains(call.name()), "{line}");
        control.clear().unwrap();
        if code == Ckr::CKR_PIN_LOCKED {
            site.run_ok(&["token", "unlatch", "soft"]);
        }
        caller.sign_at_last("user-ca").await;
    }
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_hangs_under_a_load_is_told_once_and_not_for_each_caller() {
    let Broken { site, control } = Broken::new();
    let daemon = site.serve();
    let caller = std::sync::Arc::new(Caller::new(&site, &daemon).await);
    // As many as there are sessions: a fifth call is in the process that takes the place of the first.
    control.set(&Script::on(On::call(Call::Sign, Action::Hang).times(4))).unwrap();
    let mut asked = JoinSet::new();
    for _ in 0..64 {
        let caller = caller.clone();
        asked.spawn(async move { caller.sign("user-ca").await.map(drop) });
    }
    let answers = asked.join_all().await;
    caller.sign_at_last("user-ca").await;
    let timed_out = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert!(timed_out.filter(|error| error.reason == "TOKEN_TIMED_OUT").count() > 0, "{answers:?}");
    let (_, log) = daemon.stop();
    // One, where the machine keeps up: of a signature that it held up the next process is lost, too.
    let lines = |words| log.lines().filter(|line| line.contains(words)).collect::<Vec<_>>();
    let (told, replaced) = (lines("did not answer"), lines("the token process is replaced").len());
    assert!((1..=replaced).contains(&told.len()), "{replaced} were replaced: {told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_keys_asks_no_token() {
    let Broken { site, control } = Broken::new();
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("label = \"test\"", "label = \"test\"\nkeepalive = \"1h\""));
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let calls = || Call::ALL.iter().map(|call| control.calls(*call)).collect::<Vec<_>>();
    let before = calls();
    assert!(before.iter().sum::<u64>() > 0, "the token is there");
    for _ in 0..10 {
        assert_eq!(client.list_keys().await.unwrap().len(), 2);
        client.get_key("user-ca").await.unwrap();
        client.get_bundle("user-ca").await.unwrap();
        client.health(Some("user-ca")).await.unwrap();
    }
    assert_eq!(calls(), before);
    daemon.stop();
}
