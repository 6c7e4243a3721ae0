#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use countersign_tbs::TbsKind;
use test_postgres::{Cut, Proxy, Server};

use super::step::MOST_AHEAD;
use super::*;
use crate::caller::Caller;
use crate::key::{OutOfTurn, PublicKey, Scheme};
use crate::ledger::entry::{RotationStep, UnixMillis};
use crate::ledger::fixture::{CONFIG, Fixture, use_database};
use crate::ledger::rotation::Stage;
use crate::ledger::{Receipt, Rotation};

const CERTIFICATE: TbsKind = TbsKind::SshCertificate;

/// Three user CAs, of which the second takes the place of the first, and the third that of the second.
fn config() -> Vec<Config> {
    let key = |name: &str, old: &str| {
        format!(
            "[key.{name}]\npurpose = \"ssh-user-ca\"\nscheme = \"ed25519\"\ntoken = \"one\"\nsucceeds = \"{old}\"\n\
             [key.{name}.allow.staff]\ncallers = [\"uid:1000\"]\nprincipals = [\"alice\"]\nmax_lifetime = \"1h\"\nbudget = \"1/h\"\n"
        )
    };
    let text = format!("{CONFIG}{}{}", key("second", "user-ca"), key("third", "second"));
    crate::config::Config::parse(std::path::Path::new("cs.toml"), &text).unwrap().keys
}

/// A log, and the keys of the configuration.
struct Desk {
    fixture: Fixture,
    keys: Keys,
}

impl Desk {
    fn new() -> Self {
        let keys = config().into_iter().map(|config| {
            let pair = Ed25519KeyPair::generate().unwrap();
            let public_key = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
            Key::new(config.name, config.purpose, Scheme::Ed25519, public_key).unwrap()
        });
        Self { fixture: Fixture::new(), keys: keys.collect() }
    }

    fn open(&self) -> (Ledger, Rotations, Keys) {
        let ledger = self.fixture.open();
        let (rotations, keys) = Rotations::new(ledger.clone(), self.keys.clone(), &config());
        (ledger, rotations, keys)
    }

    fn member(&self, name: &str) -> Member {
        let key = self.keys.get(&KeyName::new(name).unwrap()).unwrap();
        Member::new(name.to_owned(), key.public_key.to_spki_der())
    }

    /// Records a step that nobody checks.
    async fn record(&self, ledger: &Ledger, old: &str, new: &str, step: RotationStep) {
        let (old, new, by) = (self.member(old), self.member(new), Caller::from_uid(0).name().clone());
        let (purpose, scheme, why) = ("ssh-user-ca".into(), "ed25519".into(), "a test".into());
        ledger.rotate(Rotation { old, new, purpose, scheme, step, by, why }).await.unwrap();
    }
}

async fn step(rotations: &Rotations, key: &str, step: RotationStep) -> Result<Receipt, StepError> {
    let by = Caller::from_uid(0).name().clone();
    let wanted = StepRequest { key: key.to_owned(), step, by, why: "a test".to_owned() };
    rotations.step(wanted, async |_: &Arc<Key>| Ok::<(), StepError>(())).await
}

fn in_secs(secs: u64) -> UnixTime {
    UnixTime(UnixTime::now().0 + secs)
}

fn at(UnixTime(secs): UnixTime) -> RotationStep {
    RotationStep::Activate(UnixMillis(secs * 1000))
}

fn states(rotations: &Rotations) -> Vec<State> {
    let line = rotations.line("second", UnixTime::now()).unwrap();
    line.members.into_iter().map(|member| member.state).collect()
}

/// Who signs certificates at a second.
fn signs(keys: &Keys, now: UnixTime) -> Vec<&str> {
    let signs = |key: &&Arc<Key>| key.turn.as_ref().is_none_or(|turn| turn.at(now, CERTIFICATE).is_ok());
    keys.iter().filter(signs).map(|key| key.name.as_str()).collect()
}

#[tokio::test]
async fn a_key_at_the_other_end_and_a_name_of_no_key_are_told_apart() {
    let desk = Desk::new();
    let (_ledger, rotations, _) = desk.open();
    for (key, of, says) in [
        ("user-ca", RotationStep::Stage, "user-ca is the old key; stage second"),
        ("user-ca", RotationStep::Cancel, "user-ca is the old key; cancel second"),
        ("third", RotationStep::Retire(false), "third is the new key; retire second"),
        (
            "user-ca",
            RotationStep::Retire(false),
            "key second is to take the place of key user-ca, and is not staged yet",
        ),
        ("secnd", RotationStep::Stage, "there is no [key.secnd]"),
        ("Second", RotationStep::Retire(true), "there is no [key.Second]"),
    ] {
        let error = step(&rotations, key, of).await.unwrap_err().to_string();
        assert!(error.starts_with(says), "{key} {of:?}: {error}");
    }
}

/// What each stage of the second key lets an operator do, and that the next is what the refusal names. Between stages the signer is
/// started anew.
#[tokio::test]
async fn only_the_next_step_is_taken_and_a_restart_changes_nothing() {
    let (desk, soon) = (Desk::new(), in_secs(1000));
    let all = [RotationStep::Stage, RotationStep::Publish, at(soon), RotationStep::Cancel];
    let stages: [(&[usize], State, &str); 5] = [
        (&[0], State::Named, "rotate stage second"),
        (&[1], State::Staged, "rotate publish second"),
        (&[2], State::Published, "rotate activate second --at TIME --why TEXT"),
        (&[2, 3], State::Scheduled(soon), "rotate cancel second --why TEXT"),
        (&[2], State::Published, "rotate activate second --at TIME --why TEXT"),
    ];
    for (index, (allowed, state, says)) in stages.into_iter().enumerate() {
        let (ledger, rotations, keys) = desk.open();
        assert_eq!(states(&rotations), [State::Active, state, State::Named]);
        assert_eq!(signs(&keys, UnixTime::now()), ["user-ca"]);
        for other in (0..all.len()).filter(|other| !allowed.contains(other)) {
            let error = step(&rotations, "second", all[other]).await.unwrap_err();
            assert!(matches!(error, StepError::OutOfOrder { .. }), "{state:?} {:?}: {error}", all[other]);
            assert!(error.to_string().contains(says), "{error}");
        }
        let error = step(&rotations, "user-ca", RotationStep::Retire(true)).await.err();
        assert!(matches!(error, Some(StepError::OutOfOrder { .. } | StepError::NoLine(_))), "{error:?}");
        // The third waits for the second.
        assert!(
            step(&rotations, "third", RotationStep::Stage)
                .await
                .unwrap_err()
                .to_string()
                .contains("own place")
        );
        let Some(next) = [0, 1, 2, 3].get(index) else { continue };
        step(&rotations, "second", all[*next]).await.unwrap();
        ledger.close().await;
    }
}

#[tokio::test]
async fn after_its_turn_a_key_is_superseded_and_then_retired() {
    let desk = Desk::new();
    let (ledger, rotations, keys) = desk.open();
    let since = UnixTime(UnixTime::now().0 - 5);
    for taken in [RotationStep::Stage, RotationStep::Publish, at(since)] {
        desk.record(&ledger, "user-ca", "second", taken).await;
    }
    rotations.settle();
    assert_eq!(states(&rotations), [State::Superseded(since), State::Active, State::Named]);
    assert_eq!(signs(&keys, UnixTime::now()), ["second"]);
    // What was, is not changed any more.
    for late in [at(in_secs(1000)), RotationStep::Cancel, RotationStep::Publish, RotationStep::Stage] {
        let error = step(&rotations, "second", late).await.unwrap_err().to_string();
        assert!(error.contains("run `countersign rotate retire user-ca --why TEXT`"), "{error}");
    }
    step(&rotations, "user-ca", RotationStep::Retire(false)).await.unwrap();
    step(&rotations, "third", RotationStep::Stage).await.unwrap();
    assert_eq!(states(&rotations), [State::Retired, State::Active, State::Staged]);
    assert_eq!(signs(&keys, UnixTime::now()), ["second"]);
    let line = rotations.line("third", UnixTime::now()).unwrap();
    let trusted: Vec<_> = Bundle::of(&line).iter().map(|(key, _)| key.name.to_string()).collect();
    assert_eq!((trusted, line.active().unwrap().name.as_str()), (vec!["second".to_owned()], "second"));
}

/// Whatever the time is set to, and set to again, and while that is not durable yet.
#[tokio::test]
async fn at_no_second_do_two_keys_of_a_line_sign() {
    let desk = Desk::new();
    let (_ledger, rotations, keys) = desk.open();
    for taken in [RotationStep::Stage, RotationStep::Publish] {
        step(&rotations, "second", taken).await.unwrap();
    }
    let now = UnixTime::now().0;
    let (old, new) = (desk.member("user-ca"), desk.member("second"));
    let mut stage = Some(Stage::Published);
    for wanted in [Some(100), Some(50), Some(200), None, Some(70)] {
        let wanted = wanted.map(|secs| UnixTime(now + secs));
        let before = stage.and_then(Stage::takes_over);
        let next = wanted.map_or(RotationStep::Cancel, at);
        rotations.hold_for(&old, &new, stage, next);
        for second in now..now + 300 {
            let second = UnixTime(second);
            let (is_before, is_after) =
                (before.is_some_and(|at| at <= second), wanted.is_some_and(|at| at <= second));
            let expected: &[&str] = match (is_before, is_after) {
                (false, false) => &["user-ca"],
                (true, true) => &["second"],
                // One or the other will have held.
                _ => &[],
            };
            assert_eq!(signs(&keys, second), expected, "{before:?} {wanted:?} {second:?}");
        }
        // What others make of the log meanwhile does not count.
        rotations.settle();
        assert_eq!(*rotations.hold(), Hold::Step);
        *rotations.hold() = Hold::Free;
        step(&rotations, "second", next).await.unwrap();
        for second in now..now + 300 {
            let taken = wanted.is_some_and(|at| at.0 <= second);
            assert_eq!(signs(&keys, UnixTime(second)), [if taken { "second" } else { "user-ca" }]);
        }
        stage = Some(wanted.map_or(Stage::Published, Stage::Activated));
    }
}

/// The commit was not answered: until the ledger has said whether it has the step, what both answers allow.
#[tokio::test]
async fn a_step_that_nobody_was_told_of_holds_both_ways_until_the_ledger_says() {
    let server = Server::shared();
    for cut in [Cut::Before, Cut::After] {
        let (mut desk, database, proxy) = (Desk::new(), server.database(), Proxy::new(server));
        use_database(&mut desk.fixture.config, &proxy.database(&database));
        let (ledger, rotations, keys) = desk.open();
        for taken in [RotationStep::Stage, RotationStep::Publish, at(in_secs(100))] {
            step(&rotations, "second", taken).await.unwrap();
        }
        proxy.cut(cut);
        let error = step(&rotations, "second", at(in_secs(200))).await.unwrap_err();
        assert!(matches!(error, StepError::Ledger(_)) && rotations.is_in_doubt(), "{error}");
        let signers = || [50, 150, 250].map(|secs| signs(&keys, in_secs(secs)).concat());
        assert_eq!(signers(), ["user-ca", "", "second"], "{cut:?}");
        let error = step(&rotations, "second", RotationStep::Cancel).await.unwrap_err();
        assert!(matches!(error, StepError::Unsettled), "{error}");
        // Whatever it takes next, it has found out before.
        drop(desk.fixture.intent(&ledger).await);
        rotations.settle();
        let between = match cut {
            Cut::Before => "second",
            Cut::After => "user-ca",
        };
        assert_eq!(signers(), ["user-ca", between, "second"], "{cut:?}");
        step(&rotations, "second", RotationStep::Cancel).await.unwrap();
        ledger.close().await;
    }
}

/// Its client went away while the ledger was asked, which has the step all the same.
#[tokio::test]
async fn a_step_goes_on_without_whoever_asked_for_it() {
    let desk = Desk::new();
    let (ledger, rotations, keys) = desk.open();
    for taken in [RotationStep::Stage, RotationStep::Publish] {
        step(&rotations, "second", taken).await.unwrap();
    }
    let (turn, mut changes) = (in_secs(100), rotations.watch());
    let mut asked = Box::pin(step(&rotations, "second", at(turn)));
    assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(*rotations.hold(), Hold::Step);
    drop(asked);
    tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap().unwrap();
    assert_eq!(*rotations.hold(), Hold::Free);
    assert_eq!(ledger.links().iter().next().unwrap().stage, Stage::Activated(turn));
    assert_eq!(states(&rotations), [State::Active, State::Scheduled(turn), State::Named]);
    assert_eq!([50, 150].map(|secs| signs(&keys, in_secs(secs)).concat()), ["user-ca", "second"]);
    step(&rotations, "second", RotationStep::Cancel).await.unwrap();
}

#[tokio::test]
async fn a_turn_begins_at_a_whole_second_that_has_not_come() {
    let desk = Desk::new();
    let (_ledger, rotations, _) = desk.open();
    for taken in [RotationStep::Stage, RotationStep::Publish] {
        step(&rotations, "second", taken).await.unwrap();
    }
    let now = UnixTime::now().0 * 1000;
    for bad in [0, now - 1000, now, now + 60_500, now + (MOST_AHEAD + 10) * 1000, u64::MAX] {
        let error = step(&rotations, "second", RotationStep::Activate(UnixMillis(bad))).await.unwrap_err();
        assert!(matches!(error, StepError::Time(_)), "{bad}: {error}");
    }
}

/// The log says so, whatever the configuration says by now.
#[tokio::test]
async fn what_the_ledger_says_holds_without_succeeds() {
    let desk = Desk::new();
    let (ledger, rotations, _) = desk.open();
    for taken in [RotationStep::Stage, RotationStep::Publish] {
        step(&rotations, "second", taken).await.unwrap();
    }
    let mut silent = config();
    for key in &mut silent {
        key.succeeds = None;
    }
    let (rotations, keys) = Rotations::new(ledger.clone(), desk.keys.clone(), &silent);
    assert_eq!(signs(&keys, UnixTime::now()), ["third", "user-ca"]);
    let says = rotations.disagreements();
    assert!(says.len() == 1 && says[0].contains("write succeeds = \"user-ca\" into it"), "{says:?}");
    // And where the old key is gone, before it is retired.
    let keys: Keys =
        desk.keys.iter().filter(|key| key.name.as_str() == "second").map(|key| Key::clone(key)).collect();
    let (rotations, keys) = Rotations::new(ledger, keys, &silent);
    assert!(signs(&keys, UnixTime::now()).is_empty());
    let says = rotations.disagreements();
    assert!(says.len() == 1 && says[0].contains("user-ca has no section"), "{says:?}");
    step(&rotations, "second", at(in_secs(1000))).await.unwrap();
    assert_eq!(states(&rotations)[0], State::Active);
}

/// A clock that is set back brings no turn back, in this process or the next.
#[tokio::test]
async fn a_turn_that_has_begun_stays() {
    let turn = Turn::new(Some("old".to_owned()), Some("new".to_owned()));
    let (now, later) = (UnixTime(1000), UnixTime(2000));
    turn.set(Some(now), Some(later), later);
    for moment in [UnixTime(1), now, later] {
        assert!(turn.at(moment, CERTIFICATE).is_err(), "{moment:?}");
    }
    turn.set(Some(UnixTime(5000)), None, UnixTime(1));
    assert!(turn.at(UnixTime(1), CERTIFICATE).is_err());
    let begun = Turn::new(Some("old".to_owned()), None);
    begun.set(Some(now), None, now);
    begun.set(Some(later), None, now);
    assert!(begun.at(UnixTime(1), CERTIFICATE).is_ok());
}

/// The successor's time has come, by an entry of the log or by what this process saw, and the clock was set back to before it.
#[tokio::test]
async fn what_came_by_its_time_is_not_taken_back_with_the_clock() {
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    for ahead in [0, 30] {
        let mut desk = Desk::new();
        desk.fixture.config.clock_tolerance = Duration::from_secs(60);
        let ledger = desk.fixture.open_by(|| UnixMillis(UnixMillis::now().0 + AHEAD.load(Ordering::Relaxed)));
        let (rotations, keys) = Rotations::new(ledger.clone(), desk.keys.clone(), &config());
        for taken in [RotationStep::Stage, RotationStep::Publish] {
            step(&rotations, "second", taken).await.unwrap();
        }
        let turn = in_secs(20);
        step(&rotations, "second", at(turn)).await.unwrap();
        if ahead == 0 {
            let second = keys.get(&KeyName::new("second").unwrap()).unwrap();
            second.turn.as_ref().unwrap().set(Some(turn), None, turn);
        } else {
            AHEAD.store(ahead * 1000, Ordering::Relaxed);
            drop(desk.fixture.intent(&ledger).await);
            AHEAD.store(0, Ordering::Relaxed);
        }
        for late in [RotationStep::Cancel, at(in_secs(1000))] {
            let error = step(&rotations, "second", late).await.unwrap_err();
            assert!(matches!(error, StepError::OutOfOrder { .. }), "{ahead}: {error}");
            assert!(error.to_string().contains("has taken the place of key user-ca"), "{error}");
        }
        rotations.settle();
        assert_eq!(signs(&keys, turn), ["second"], "{ahead}");
        ledger.close().await;
    }
}

#[test]
fn a_key_out_of_turn_goes_on_with_what_is_about_its_own() {
    let (t, u) = (UnixTime(1000), UnixTime(2000));
    let turn = Turn::new(Some("old".to_owned()), Some("new".to_owned()));
    turn.set(Some(t), Some(u), UnixTime(1));
    let own = [TbsKind::X509Request, TbsKind::X509Root];
    let lists = [TbsKind::X509Crl, TbsKind::OcspResponse];
    let certificates = [TbsKind::SshCertificate, TbsKind::X509Certificate];
    for (moment, signed) in [(999, own.to_vec()), (2000, [own, lists].concat())] {
        for kind in [own, lists, certificates].concat() {
            assert_eq!(turn.at(UnixTime(moment), kind).is_ok(), signed.contains(&kind), "{moment} {kind}");
        }
    }
    let early = OutOfTurn::Early { predecessor: "old", from: Some(t) };
    assert_eq!(turn.at(UnixTime(999), CERTIFICATE), Err(early));
    assert_eq!(turn.at(u, CERTIFICATE), Err(OutOfTurn::Over { successor: "new", since: u }));
    assert!(turn.at(UnixTime(1999), CERTIFICATE).is_ok());
}
