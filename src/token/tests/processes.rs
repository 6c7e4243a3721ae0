//! Several processes on one token.

use countersign_faulty::{Action, Call, Code, Control, Heals, On, Script, Token, module};

use rustix::process::{Pid, test_kill_process};

use super::fixture::{Fixture, signal};
use super::*;
use crate::token::child::Spawner;
use crate::token::gatekeeper::Gatekeeper;
use crate::token::latch::Latch;
use crate::token::pool::{Pool, State};
use crate::token::start::setup;
use crate::token::supervise::Supervisor;

const REAL: &str = "/usr/lib/softhsm/libsofthsm2.so";

fn with_processes(processes: usize) -> Fixture {
    let mut fixture = Fixture::with_key();
    (fixture.config.processes, fixture.config.sessions) = (processes, 4);
    fixture
}

/// Eight callers, each of whom signs so often, and none of whom may fail.
fn load(tokens: &Tokens, times: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let caller = |tokens: Tokens| async move {
        for _ in 0..times {
            sign(&tokens, "ca", P256).await.unwrap();
        }
    };
    (0..8).map(|_| tokio::spawn(caller(tokens.clone()))).collect()
}

async fn ends(load: Vec<tokio::task::JoinHandle<()>>) {
    for caller in load {
        caller.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_under_load_costs_no_caller_anything() {
    let fixture = with_processes(2);
    let (tokens, _) = fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    reaches(&mut health, |health| health == Health::Ready).await;
    let load = load(&tokens, 200);
    let [first, _] = fixture.processes()[..] else { panic!("two processes") };
    signal(first, Signal::KILL);
    ends(load).await;
    assert!(!health.has_changed().unwrap(), "the token was in service all the while");
    while fixture.processes().len() < 3 {
        sign(&tokens, "ca", P256).await.unwrap();
    }
    tokens.shutdown().await;
}

/// A token of so many processes behind the faulty module.
fn broken(processes: usize) -> (Fixture, Control) {
    let mut fixture = with_processes(processes);
    let dir = fixture.path("faulty");
    std::fs::create_dir(&dir).unwrap();
    let control = Control::new(&dir.join("script.toml")).unwrap();
    fixture.device().module = module().unwrap();
    fixture.config.limits.writable = vec![dir, fixture.path("tokens")];
    fixture.config.environment.extend(control.environment(REAL));
    (fixture, control)
}

/// Returns once the login that hung has ended, and what needs one is signed again.
async fn login_ends(tokens: &Tokens) {
    let served = async { while matches!(sign(tokens, "ca", P256).await, Err(TokenError::Busy { .. })) {} };
    tokio::time::timeout(Duration::from_secs(30), served).await.unwrap();
    sign(tokens, "ca", P256).await.unwrap();
}

/// How many of these processes are there still.
fn alive(processes: &[Pid]) -> usize {
    processes.iter().filter(|process| test_kill_process(**process).is_ok()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_killed_and_costs_nobody_else_anything() {
    let (mut fixture, control) = broken(2);
    fixture.config.deadline = Duration::from_millis(500);
    let (tokens, _) = fixture.start().await.unwrap();
    control.set(&Script::on(On::call(Call::Sign, Action::Hang).times(1))).unwrap();
    let hung = tokio::spawn({
        let tokens = tokens.clone();
        async move { sign(&tokens, "ca", P256).await }
    });
    assert!(control.wait_until(Duration::from_secs(10), |control| control.hangs(Call::Sign) == 1));
    ends(load(&tokens, 20)).await;
    assert!(matches!(hung.await.unwrap(), Err(TokenError::TimedOut { .. })));
    assert_eq!(control.hangs(Call::Sign), 1);
    while fixture.processes().len() < 3 {
        sign(&tokens, "ca", P256).await.unwrap();
    }
    tokens.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_in_a_login_has_no_other_taken_for_hung() {
    let always = || Script::token(Token { always_authenticate: true, ..Token::default() });
    let (mut fixture, control) = broken(2);
    fixture.config.deadline = Duration::from_secs(2);
    control.set(&always()).unwrap();
    let (tokens, _) = fixture.start().await.unwrap();
    let [first, second] = fixture.processes()[..] else { panic!("two processes") };
    control.set(&always().and(On::call(Call::Login, Action::Hang).times(1))).unwrap();
    signal(first, Signal::KILL);
    assert!(control.wait_until(Duration::from_secs(30), |control| control.hangs(Call::Login) == 1));
    // The two sessions of the other, at once and one after the other.
    for _ in 0..3 {
        let callers = [(); 2].map(|()| {
            tokio::spawn({
                let tokens = tokens.clone();
                async move { sign(&tokens, "ca", P256).await }
            })
        });
        for caller in callers {
            let answer = caller.await.unwrap();
            assert!(matches!(answer, Err(TokenError::Busy { .. })), "{answer:?}");
        }
    }
    control.set(&always()).unwrap();
    login_ends(&tokens).await;
    assert!(test_kill_process(second).is_ok());
    assert_eq!((fixture.processes().len(), control.violations()), (3, 0));
    tokens.shutdown().await;
}

/// Whether the PIN is still right is found out by the one that replaces it, and the other waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_in_a_login_for_a_signature_ends_no_other() {
    let always = || Script::token(Token { always_authenticate: true, ..Token::default() });
    let (fixture, control) = broken(2);
    control.set(&always()).unwrap();
    let (tokens, _) = fixture.start().await.unwrap();
    let started = fixture.processes();
    // The one that replaces it comes up after all of this, and takes no note away before.
    let dies = On::call(Call::Login, Action::Crash).times(1);
    control.set(&always().and(dies).and(On::call(Call::Initialize, Action::Hang))).unwrap();
    let before = control.calls(Call::Login);
    let since = Instant::now();
    while control.hangs(Call::Initialize) == 0 {
        assert!(since.elapsed() < Duration::from_secs(30), "none replaces it");
        assert!(matches!(sign(&tokens, "ca", P256).await, Ok(_) | Err(TokenError::Busy { .. })));
    }
    let known = control.calls(Call::Login);
    for _ in 0..3 {
        assert!(matches!(sign(&tokens, "ca", P256).await, Err(TokenError::Busy { given: false, .. })));
    }
    assert_eq!((known - before, control.calls(Call::Login) - known), (1, 0));
    control.set(&always()).unwrap();
    login_ends(&tokens).await;
    ends(load(&tokens, 5)).await;
    assert_eq!(alive(&started), 1);
    tokens.shutdown().await;
}

/// It would be left logged out, with the one time spent that it may begin anew.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_to_begin_anew_closes_nothing_before_it_may_log_in() {
    let (mut fixture, control) = broken(2);
    fixture.config.deadline = Duration::from_secs(2);
    let (tokens, _) = fixture.start().await.unwrap();
    let [first, second] = fixture.processes()[..] else { panic!("two processes") };
    let die = Action::Die { heals: Heals::Initialize, code: Code::CKR_CRYPTOKI_NOT_INITIALIZED };
    let script = Script::on(On::call(Call::SignInit, die).times(1));
    control.set(&script.and(On::call(Call::Login, Action::Hang).times(1))).unwrap();
    signal(first, Signal::KILL);
    assert!(control.wait_until(Duration::from_secs(30), |control| control.hangs(Call::Login) == 1));
    let before = [Call::CloseSession, Call::Finalize].map(|call| control.calls(call));
    for _ in 0..3 {
        let answer = sign(&tokens, "ca", P256).await;
        assert!(matches!(answer, Err(TokenError::Busy { given: false, .. })), "{answer:?}");
    }
    assert_eq!([Call::CloseSession, Call::Finalize].map(|call| control.calls(call)), before);
    control.clear().unwrap();
    login_ends(&tokens).await;
    assert!(test_kill_process(second).is_ok());
    assert_eq!((fixture.processes().len(), control.violations()), (3, 0));
    tokens.shutdown().await;
}

/// It was sent away from each of its logins, and has made none.
#[tokio::test]
async fn one_that_waited_for_a_login_may_log_in_as_often_as_before() {
    let (mut fixture, control) = broken(2);
    (fixture.config.sessions, fixture.config.deadline) = (2, Duration::from_secs(2));
    let (tokens, _) = fixture.start().await.unwrap();
    let log = Log::hold();
    let logged_out = || On::call(Call::SignInit, Action::Fail(Code::CKR_USER_NOT_LOGGED_IN));
    control.set(&Script::on(logged_out()).and(On::call(Call::Login, Action::Hang).times(1))).unwrap();
    signal(fixture.processes()[0], Signal::KILL);
    let hangs = async {
        while control.hangs(Call::Login) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), hangs).await.unwrap();
    // Once more than it may log in.
    for _ in 0..5 {
        let answer = sign(&tokens, "ca", P256).await;
        assert!(matches!(answer, Err(TokenError::Busy { .. })), "{answer:?}");
    }
    control.clear().unwrap();
    while log.lines("the token process is replaced").is_empty() {
        sign(&tokens, "ca", P256).await.unwrap();
    }
    // Alone again; beginning anew, which is the next rung, would hang.
    control.set(&Script::on(logged_out().times(1)).and(On::call(Call::Initialize, Action::Hang))).unwrap();
    signal(fixture.processes()[2], Signal::KILL);
    sign(&tokens, "ca", P256).await.unwrap();
    control.clear().unwrap();
    tokens.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_hangs_costs_a_caller_one_deadline_and_itself_one_process() {
    let (mut fixture, control) = broken(3);
    let deadline = Duration::from_secs(1);
    fixture.config.deadline = deadline;
    let (tokens, _) = fixture.start().await.unwrap();
    let started = fixture.processes();
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    let since = Instant::now();
    let answer = sign(&tokens, "ca", P256).await;
    let took = since.elapsed();
    assert!(matches!(answer, Err(TokenError::TimedOut { .. })), "{answer:?}");
    assert!((deadline..deadline * 3 / 2).contains(&took), "{took:?}");
    assert_eq!(control.hangs(Call::Sign), 1);
    control.clear().unwrap();
    while fixture.processes().len() < 4 {
        sign(&tokens, "ca", P256).await.unwrap();
    }
    assert_eq!(alive(&started), 2, "the other processes live");
    tokens.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_crashes_a_module_is_not_fed_to_every_process() {
    let (fixture, control) = broken(3);
    let (tokens, _) = fixture.start().await.unwrap();
    control.set(&Script::on(On::call(Call::Sign, Action::Crash))).unwrap();
    let before = control.calls(Call::SignInit);
    let answer = sign(&tokens, "ca", P256).await;
    assert!(matches!(answer, Err(TokenError::Unavailable { .. })), "{answer:?}");
    assert_eq!(control.calls(Call::SignInit) - before, 2, "the third process never saw it");
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_request_that_its_token_refuses_is_not_brought_to_its_other_processes() {
    let (fixture, control) = broken(2);
    let (tokens, _) = fixture.start().await.unwrap();
    let log = Log::hold();
    control.set(&Script::on(On::call(Call::SignInit, Action::Fail(Code::CKR_DATA_INVALID)))).unwrap();
    let before = control.calls(Call::SignInit);
    let answer = sign(&tokens, "ca", P256).await;
    assert!(matches!(answer, Err(TokenError::Failed { .. })), "{answer:?}");
    assert_eq!(control.calls(Call::SignInit) - before, 1);
    assert!(log.lines(GOES_ON).is_empty(), "{:?}", log.lines(""));
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_request_that_is_shed_does_not_come_back_to_the_same_queue() {
    let mut fixture = with_processes(2);
    fixture.config.queue = 0;
    let (tokens, _) = fixture.start().await.unwrap();
    let log = Log::hold();
    let answer = sign(&tokens, "ca", P256).await;
    assert!(matches!(answer, Err(TokenError::Busy { .. })), "{answer:?}");
    assert!(log.lines(GOES_ON).is_empty(), "{:?}", log.lines(""));
    tokens.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_die_at_once_are_replaced_one_after_the_other() {
    let fixture = with_processes(3);
    let (tokens, _) = fixture.start().await.unwrap();
    for round in 1..=3 {
        let started = fixture.processes();
        for process in &started[started.len() - 3..] {
            signal(*process, Signal::KILL);
        }
        while fixture.processes().len() < 3 * (round + 1) {
            // It is refused between the second death and the new process.
            let _ = sign(&tokens, "ca", P256).await;
        }
    }
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    reaches(&mut health, |health| health == Health::Ready).await;
    sign(&tokens, "ca", P256).await.unwrap();
    tokens.shutdown().await;
    assert_eq!(fixture.processes().len(), 12, "none was in another's way");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_in_its_start_does_not_keep_the_other_from_being_replaced() {
    let (fixture, control) = broken(2);
    let (tokens, keys) = fixture.start().await.unwrap();
    tokens.shutdown().await;
    let config = &fixture.config;
    let latch = Latch::new(&fixture.path(""), &config.name);
    let keeper = Arc::new(Gatekeeper::new(config.name.clone(), latch, config.deadline));
    let (pool, spawner) = (Arc::new(Pool::new(config.clone())), Spawner::new().unwrap());
    control.set(&Script::on(On::call(Call::Initialize, Action::Hang).times(1))).unwrap();
    let stop = watch::Sender::new(false);
    let supervisors = [0, 1].map(|place| {
        let supervisor = Supervisor {
            pool: pool.clone(),
            place,
            launch: fixture.launch(),
            spawner: spawner.clone(),
            setup: setup(config, &fixture.keys),
            keeper: keeper.clone(),
            pinned: keys.iter().map(|key| key.public_key.to_spki_der()).collect(),
            first_try: Duration::from_millis(300),
            stop: stop.subscribe(),
        };
        tokio::spawn(supervisor.run(None))
    });
    let mut state = pool.state.subscribe();
    let up = state.wait_for(State::is_up);
    let came = tokio::time::timeout(Duration::from_secs(40), up).await.is_ok();
    assert!(came, "it waits for the one that hangs");
    assert_eq!(control.hangs(Call::Initialize), 1);
    stop.send_replace(true);
    for supervisor in supervisors {
        supervisor.await.unwrap();
    }
}

#[tokio::test]
async fn a_replacement_that_gets_fewer_sessions_says_so() {
    let (fixture, control) = broken(1);
    let (tokens, _) = fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    let log = Log::hold();
    for (most, said) in [(None, 0), (Some(2), 1)] {
        control.set(&Script::token(Token { max_sessions: most, ..Token::default() })).unwrap();
        signal(*fixture.processes().last().unwrap(), Signal::KILL);
        reaches(&mut health, |health| health != Health::Ready).await;
        reaches(&mut health, |health| health == Health::Ready).await;
        let lines = log.lines("the token allows fewer sessions than configured");
        assert_eq!(lines.len(), said, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("configured=4 sessions=2")), "{lines:?}");
    }
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_token_of_several_processes_goes_down_with_the_last_one() {
    let fixture = with_processes(2);
    let (tokens, _) = fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    fixture.write_pin("0000");
    for process in fixture.processes() {
        signal(process, Signal::KILL);
    }
    reaches(&mut health, |health| health == Health::Down).await;
    let log = Log::hold();
    assert!(matches!(sign(&tokens, "ca", P256).await, Err(TokenError::PinRefused { .. })));
    assert!(log.lines(GOES_ON).is_empty(), "both have one queue, which is closed: {:?}", log.lines(""));
    drop(log);
    fixture.write_pin(fixture::PIN);
    reaches(&mut health, |health| health == Health::Ready).await;
    sign(&tokens, "ca", P256).await.unwrap();
    tokens.shutdown().await;
}

#[test]
fn sessions_are_split_to_the_last_one() {
    for (processes, sessions, split) in [(1, 4, vec![4]), (2, 4, vec![2, 2]), (3, 4, vec![2, 1, 1])] {
        let mut fixture = Fixture::new();
        (fixture.config.processes, fixture.config.sessions) = (processes, sessions);
        let found: Vec<_> = (0..processes).map(|place| fixture.config.sessions_of(place)).collect();
        assert_eq!(found, split);
    }
}
