//! What the log says of a token that fails: once for each cause, not for each caller, and not for each try (R34).

use countersign_faulty::{Action, Call, On, Script};

use super::faulty::Broken;
use super::fixture::{Fixture, signal};
use super::log::Log;
use super::*;

/// Lines that an operator is to act on.
fn told(log: &Log) -> Vec<String> {
    [log.lines("ERROR"), log.lines("WARN")].concat()
}

#[tokio::test]
async fn a_token_that_hangs_or_dies_under_a_load_is_told_once() {
    for (action, said) in [
        (Action::Hang, &["did not answer in time"][..]),
        (Action::Crash, &["the token process hung up", "the token process ended"]),
    ] {
        let mut broken = Broken::new();
        (broken.fixture.config.sessions, broken.fixture.config.deadline) = (4, Duration::from_secs(1));
        let (tokens, _) = broken.fixture.start().await.unwrap();
        let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
        // A fifth call of it is in the process that takes the place of the first.
        broken.set(&Script::on(On::call(Call::Sign, action).times(4)));
        let log = Log::hold();
        let asked = (0..64).map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { sign(&tokens, "ca", P256).await.is_err() })
        });
        let mut failed = 0;
        for caller in asked.collect::<Vec<_>>() {
            failed += usize::from(caller.await.unwrap());
            broken.control.clear().unwrap();
        }
        assert!(failed > 1, "one cause, and several to whom it happened");
        reaches(&mut health, |health| health == Health::Ready).await;
        let told = told(&log);
        let [line] = &told[..] else { panic!("{told:#?}") };
        assert!(line.contains("token=t") && said.iter().any(|said| line.contains(said)), "{line}");
        tokens.shutdown().await;
    }
}

/// Waits until the token was tried so often, in all.
async fn tried(fixture: &Fixture, times: usize) {
    let is_tried = async {
        while fixture.processes().len() < times {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_tried).await.expect("it is tried again and again");
}

#[tokio::test]
async fn an_outage_is_told_once_however_often_the_token_is_tried_and_the_next_one_again() {
    let fixture = Fixture::with_key();
    let (tokens, _) = fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    let log = Log::hold();
    for outage in 1..=2 {
        std::fs::rename(fixture.path("pin"), fixture.path("no-pin")).unwrap();
        let started = fixture.processes();
        signal(*started.last().unwrap(), Signal::KILL);
        tried(&fixture, started.len() + 4).await;
        let told = log.lines("the token does not come up");
        assert_eq!(told.len(), outage, "{told:#?}");
        assert!(told[0].contains("cannot open the PIN file"), "{told:#?}");
        std::fs::rename(fixture.path("no-pin"), fixture.path("pin")).unwrap();
        reaches(&mut health, |health| health == Health::Ready).await;
    }
    fixture.destroy("ca");
    fixture.generate("ca", "EC:prime256v1");
    let started = fixture.processes();
    signal(*started.last().unwrap(), Signal::KILL);
    tried(&fixture, started.len() + 4).await;
    assert_eq!(log.lines("THE TOKEN HOLDS OTHER KEYS").len(), 1);
    tokens.shutdown().await;
}

/// Dozens of processes, each of which is told to let go of the token: none crashes in that, or has to be killed (R41).
#[tokio::test]
async fn a_process_ends_well_however_often_it_is_asked_to() {
    let fixture = Fixture::with_key();
    let log = Log::hold();
    for _ in 0..30 {
        let (tokens, _) = fixture.start().await.unwrap();
        sign(&tokens, "ca", P256).await.unwrap();
        tokens.shutdown().await;
    }
    assert_eq!(fixture.processes().len(), 30);
    for bad in ["when it was to let go of the token", "did not end within", "CANNOT BE KILLED"] {
        assert!(log.lines(bad).is_empty(), "{:#?}", log.lines(bad));
    }
}

#[tokio::test]
async fn a_module_that_crashes_when_it_is_to_let_go_of_its_token_is_told_of_and_keeps_nobody() {
    let broken = Broken::new();
    let (tokens, _) = broken.fixture.start().await.unwrap();
    broken.set(&Script::on(On::call(Call::Finalize, Action::Crash)));
    let log = Log::hold();
    tokens.shutdown().await;
    let told = told(&log);
    let [line] = &told[..] else { panic!("{told:#?}") };
    assert!(
        line.contains("failed when it was to let go of the token") && line.contains("signal: 11"),
        "{line}"
    );
}
