//! What the log says of a token that fails: once for each cause, not for each caller, and not for each try (R34).

use countersign_faulty::{Action, Call, On, Script};

use super::faulty::Broken;
use super::fixture::{Fixture, signal};
use super::*;
use crate::logged::Log;

/// Lines that an operator is to act on.
fn told(log: &Log) -> Vec<String> {
    [log.lines("ERROR"), log.lines("WARN")].concat()
}

#[tokio::test]
async fn a_token_that_hangs_or_dies_under_a_load_is_told_once() {
    for (action, said, deadline) in [
        (Action::Hang, &["did not answer in time"][..], 1),
        (Action::Crash, &["the token process hung up", "the token process ended"], 60),
    ] {
        let mut broken = Broken::new();
        (broken.fixture.config.sessions, broken.fixture.config.deadline) = (4, Duration::from_secs(deadline));
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
        // One, where the machine keeps up: of a signature that it held up the next process is lost, too.
        let (told, lost) = (told(&log), broken.fixture.processes().len() - 1);
        assert!((1..=lost).contains(&told.len()), "of {lost} that were lost: {told:#?}");
        for line in told {
            assert!(line.contains("token=t") && said.iter().any(|said| line.contains(said)), "{line}");
        }
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

/// Waits for so many lines with these words.
async fn says(log: &Log, words: &str, times: usize) {
    let are_there = async {
        while log.lines(words).len() < times {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), are_there).await;
    assert!(waited.is_ok(), "{words}: {:#?}", told(log));
}

#[tokio::test]
async fn what_was_told_before_something_else_happened_is_told_again() {
    let fixture = Fixture::with_key();
    let (tokens, _) = fixture.start().await.unwrap();
    let log = Log::hold();
    std::fs::remove_file(fixture.path("pin")).unwrap();
    signal(*fixture.processes().last().unwrap(), Signal::KILL);
    says(&log, "the token does not come up", 1).await;
    fixture.write_pin("0000");
    says(&log, "the PIN is not tried again until", 1).await;
    std::fs::remove_file(fixture.path("pin")).unwrap();
    says(&log, "the token does not come up", 2).await;
    let before = fixture.processes().len();
    tried(&fixture, before + 3).await;
    assert_eq!(log.lines("the token does not come up").len(), 2, "and again once");
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_module_that_crashes_at_the_end_of_each_try_is_told_of_once() {
    let broken = Broken::new();
    let (tokens, _) = broken.fixture.start().await.unwrap();
    broken.fixture.destroy("ca");
    broken.fixture.generate("ca", "EC:prime256v1");
    broken.set(&Script::on(On::call(Call::Finalize, Action::Crash)));
    let log = Log::hold();
    signal(broken.fixture.processes()[0], Signal::KILL);
    tried(&broken.fixture, 5).await;
    for once in ["THE TOKEN HOLDS OTHER KEYS", "failed when it was to let go of the token"] {
        assert_eq!(log.lines(once).len(), 1, "{:#?}", told(&log));
    }
    tokens.shutdown().await;
}

/// Dozens of processes, each of which is told to let go of the token: none crashes in that (R41).
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
    for bad in ["failed when it was to let go of the token", "CANNOT BE KILLED"] {
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
    let failed = log.lines("failed when it was to let go of the token");
    let [line] = &failed[..] else { panic!("{:#?}", told(&log)) };
    assert!(line.contains("signal: 11"), "{line}");
    assert!(log.lines("CANNOT BE KILLED").is_empty());
}
