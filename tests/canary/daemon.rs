//! The daemon, whose token processes alone read PINs.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use countersign_faulty::{Action, Call, Code, Heals, On, Script, Token};
use countersign_proto::Client;
use countersign_tbs::ssh::SubjectKey;
use rustix::process::{Pid, Signal, kill_process};

use crate::canary::{USER, WRONG, whole, wrong};
use crate::forge::Forgery;
use crate::nest::{COMES, INIT, Nest};
use crate::process::{self, daemon_knows_nothing};
use crate::site::{Daemon, FRONT_END, PATIENCE, now, request};

/// Parts of one PIN, which is so long that it is found where it was: an allocator writes its own into the first bytes of what it is given
/// back, and others into what they were given of that. Of a short PIN nothing is left to be found then, and of this one enough.
const LONG: [&str; 12] = [
    "Bsi4Ref4Mhi1Zfo0",
    "Fxg0Sxu7Eww0Boq9",
    "Xuv8Xip0Qbp3Zqf6",
    "Iei6Qeo3Jyq8Dvw4",
    "Dek1Pfs1Cav9Wbj3",
    "Iko9Iha1Tkd7Yyr8",
    "Pzw4Fnh4Ddk0Wwt4",
    "Bsc2Vbx8Hsc4Mjb7",
    "Biw4Sem6Jcr4Osu0",
    "Ndf5Fxs5Eyo7Por8",
    "Yvo4Wme0Ypf8Zjh3",
    "Qoc1Eqc7Zes4Zid3",
];

/// A front-end, and all that it is told.
pub struct Caller<'a> {
    nest: &'a Nest,
    client: Client,
    ca_key: Vec<u8>,
    serial: AtomicU64,
}

impl<'a> Caller<'a> {
    pub async fn new(nest: &'a Nest, daemon: &Daemon) -> Self {
        let client = nest.site.client(daemon, FRONT_END).await;
        let key = client.get_key("user-ca").await.unwrap();
        let ca_key = SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire();
        Self { nest, client, ca_key, serial: AtomicU64::new(1) }
    }

    /// Whether one certificate is signed; the answer shows nothing, nor does the health.
    pub async fn signs(&self) -> bool {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let tbs = Forgery { serial, ..Forgery::user(self.ca_key.clone(), now()) };
        let answer = self.client.sign(request("user-ca", tbs.encode())).await;
        let health = self.client.health(Some("user-ca")).await;
        self.nest.shows_nothing("an answer", format!("{answer:?} {health:?}").as_bytes());
        answer.is_ok()
    }

    pub async fn signs_at_last(&self) {
        let since = Instant::now();
        while !self.signs().await {
            assert!(since.elapsed() < PATIENCE, "service comes back");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_has_no_pin_whatever_its_token_does() {
    let nest = Nest::with_key();
    process::try_to_leave_a_core(&nest.site);
    let mut daemon = Daemon::start(nest.command(&["serve"]).stdout(Stdio::null()));
    let caller = Caller::new(&nest, &daemon).await;
    assert!(caller.signs().await);
    daemon_knows_nothing(&nest.hunt, &daemon);
    // The module is logged in, and needs no PIN any more.
    for pid in daemon.token_processes() {
        let places = process::memory(&nest.hunt, pid).unwrap_or_default();
        assert!(places.is_empty(), "a token process keeps its PIN: {places:#?}");
    }

    let sign = |action| On::call(Call::Sign, action);
    let faults = [
        sign(Action::Crash).times(1),
        sign(Action::WrongSignature).times(1),
        sign(Action::Hang),
        sign(Action::Fail(Code::CKR_DEVICE_ERROR)),
        sign(Action::Die { heals: Heals::Reopen, code: Code::CKR_SESSION_HANDLE_INVALID }),
        sign(Action::Die { heals: Heals::Login, code: Code::CKR_USER_NOT_LOGGED_IN }),
        sign(Action::Die { heals: Heals::Initialize, code: Code::CKR_DEVICE_REMOVED }),
    ];
    for fault in faults {
        nest.control.set(&Script::on(fault)).unwrap();
        caller.signs().await;
        daemon_knows_nothing(&nest.hunt, &daemon);
        nest.control.clear().unwrap();
        caller.signs_at_last().await;
    }
    for signal in [Signal::ABORT, Signal::SEGV] {
        let before = daemon.token_processes();
        kill_process(before[0], signal).unwrap();
        daemon.wait_for("the token process is replaced");
        caller.signs_at_last().await;
    }
    daemon_knows_nothing(&nest.hunt, &daemon);
    end(&nest, daemon);
}

/// A token whose PIN is [`LONG`], and a key.
fn with_long_pin() -> Nest {
    let nest = Nest::hunting(&LONG);
    nest.write("pin", LONG.concat().as_bytes());
    for args in [&INIT[..], &["key", "generate", "user-ca"]] {
        assert_eq!(nest.run(args), Some(0), "{args:?}");
    }
    nest
}

/// Neither where it is kept, nor where it was on its way: read, compared with those that were refused, marked, shown to the module.
/// The module is SoftHSM2, which is assumed to keep no PIN, and does not: a copy of its own would be found as ours is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_is_gone_from_memory_after_the_login() {
    let nest = with_long_pin();
    nest.write("pin", wrong(1).as_bytes());
    nest.fails(&["key", "list"], "CKR_PIN_INCORRECT");
    nest.write("pin", LONG.concat().as_bytes());
    let daemon = Daemon::start(nest.command(&["serve"]).stdout(Stdio::null()));
    let caller = Caller::new(&nest, &daemon).await;
    let is_gone = async || {
        caller.signs_at_last().await;
        daemon_knows_nothing(&nest.hunt, &daemon);
        for pid in daemon.token_processes() {
            let places = process::memory(&nest.hunt, pid).unwrap_or_default();
            assert!(places.is_empty(), "a token process has what is left of its PIN: {places:#?}");
        }
    };
    is_gone().await;
    for (heals, code) in
        [(Heals::Login, Code::CKR_USER_NOT_LOGGED_IN), (Heals::Initialize, Code::CKR_DEVICE_REMOVED)]
    {
        let before = nest.control.calls(Call::Login);
        nest.control.set(&Script::on(On::call(Call::Sign, Action::Die { heals, code }).times(1))).unwrap();
        is_gone().await;
        assert!(nest.control.calls(Call::Login) > before, "{heals:?}");
    }
    end(&nest, daemon);
}

/// Of what was copied from it for a login, nothing is left either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_is_needed_for_each_signature_is_in_one_place() {
    let nest = with_long_pin();
    let wants_it = Token { always_authenticate: true, ..Token::default() };
    nest.control.set(&Script::token(wants_it)).unwrap();
    let daemon = Daemon::start(nest.command(&["serve"]).stdout(Stdio::null()));
    let caller = Caller::new(&nest, &daemon).await;
    for _ in 0..10 {
        assert!(caller.signs().await);
    }
    daemon_knows_nothing(&nest.hunt, &daemon);
    if let Some(places) = process::memory(&nest.hunt, daemon.token_processes()[0]) {
        assert_eq!(places.len(), LONG.len(), "each part once: {places:#?}");
    }
    end(&nest, daemon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_has_no_pin_while_a_process_hangs_with_it_in_hand() {
    let nest = Nest::with_key();
    let daemon = Daemon::start(nest.command(&["serve"]).stdout(Stdio::null()));
    let caller = Caller::new(&nest, &daemon).await;
    let before = nest.control.hangs(Call::Login);
    nest.control.set(&Script::on(On::call(Call::Login, Action::Hang))).unwrap();
    kill_process(daemon.token_processes()[0], Signal::KILL).unwrap();
    assert!(nest.control.wait_until(COMES, |control| control.hangs(Call::Login) > before));
    daemon_knows_nothing(&nest.hunt, &daemon);
    let hung: Pid = daemon.token_processes()[0];
    if let Some(places) = process::memory(&nest.hunt, hung) {
        assert!(!places.is_empty(), "it has read its PIN");
        assert!(places.iter().all(|place| place.is_locked), "a PIN may be swapped: {places:#?}");
    }
    kill_process(hung, Signal::ABORT).unwrap();
    nest.control.clear().unwrap();
    caller.signs_at_last().await;
    end(&nest, daemon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_has_no_pin_that_is_refused_while_it_serves() {
    let nest = Nest::with_key();
    let mut daemon = Daemon::start(nest.command(&["serve"]).stdout(Stdio::null()));
    let caller = Caller::new(&nest, &daemon).await;
    nest.write("pin", whole(WRONG).as_bytes());
    let logged_out = Action::Die { heals: Heals::Login, code: Code::CKR_USER_NOT_LOGGED_IN };
    nest.control.set(&Script::on(On::call(Call::Sign, logged_out).times(1))).unwrap();
    assert!(!caller.signs().await, "the token wants a login, and the PIN is wrong now");
    daemon.wait_for("CKR_PIN_INCORRECT");
    daemon_knows_nothing(&nest.hunt, &daemon);
    assert!(!caller.signs().await);
    assert!(nest.site.path("soft.pin-refused").exists());
    nest.write("pin", whole(USER).as_bytes());
    nest.control.clear().unwrap();
    caller.signs_at_last().await;
    end(&nest, daemon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_is_needed_for_each_signature_stays_in_locked_memory() {
    let nest = Nest::with_key();
    let wants_it = Token { always_authenticate: true, ..Token::default() };
    nest.control.set(&Script::token(wants_it)).unwrap();
    let daemon = Daemon::start(nest.command(&["serve"]).stdout(Stdio::null()));
    let caller = Caller::new(&nest, &daemon).await;
    assert!(caller.signs().await);
    daemon_knows_nothing(&nest.hunt, &daemon);
    if let Some(places) = process::memory(&nest.hunt, daemon.token_processes()[0]) {
        assert!(!places.is_empty(), "it keeps its PIN");
        assert!(places.iter().all(|place| place.is_locked), "a PIN may be swapped: {places:#?}");
    }
    end(&nest, daemon);
}

/// Its whole log shows nothing, and nothing is left behind.
pub fn end(nest: &Nest, daemon: Daemon) {
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert!(log.contains("TRACE"), "it said all that it can");
    nest.shows_nothing("the daemon's log", log.as_bytes());
    nest.leaves_nothing();
}
