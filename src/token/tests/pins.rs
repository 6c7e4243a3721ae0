//! A wrong PIN costs one try of the token: whatever the number of sessions, processes and restarts, and however a login ends.

use countersign_faulty::{Action, Call, Code, Heals, On, Script, Token};

use super::faulty::{Broken, signs};
use super::fixture::{PIN, signal};
use super::latch::{Latch, Past};
use super::*;

/// Enough tries that a token which loses more than one of them says how many.
const TRIES: u32 = 10;

fn counting() -> Token {
    Token { pin_tries: Some(TRIES), ..Token::default() }
}

fn with(token: Token, on: impl IntoIterator<Item = On>) -> Script {
    Script { token, on: on.into_iter().collect() }
}

/// The user is logged out, and a signature finds out.
fn logged_out() -> On {
    On::call(Call::Sign, Action::Die { heals: Heals::Login, code: Code::CKR_USER_NOT_LOGGED_IN })
}

/// So many at once, each of whom asks once, whatever comes of it.
async fn all_ask(tokens: &Tokens, callers: usize) {
    let asking = |tokens: Tokens| async move { sign(&tokens, "ca", P256).await.is_ok() };
    for caller in (0..callers).map(|_| tokio::spawn(asking(tokens.clone()))).collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

/// A signature is refused for its PIN, and nothing is signed any more, nor by the next daemon.
async fn is_refused_for_good(broken: &Broken, tokens: Tokens, was_given: bool) {
    let mut health = health(&tokens);
    let error = sign(&tokens, "ca", P256).await.err().unwrap();
    let TokenError::PinRefused { given, .. } = error else { panic!("{error}") };
    assert_eq!(given, was_given, "it may have signed, or cannot have");
    reaches(&mut health, |health| health == Health::Down).await;
    all_ask(&tokens, 100).await;
    tokens.shutdown().await;
    assert!(mentions(&faults(&broken.fixture).await, &["token.t.pin_file", "refused before"]));
}

/// Waits until a refusal is noted.
async fn latched(broken: &Broken) {
    let is_set = async {
        while !broken.latch().is_set() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_set).await.expect("it is tried again and again");
}

fn health(tokens: &Tokens) -> watch::Receiver<Health> {
    tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_goes_wrong_between_two_signatures_is_refused_once() {
    for processes in [1, 2] {
        let always = Token { always_authenticate: true, ..Token::default() };
        let mut broken = Broken::with(always.clone());
        (broken.fixture.config.processes, broken.fixture.config.sessions) = (processes, 4);
        let (tokens, _) = broken.fixture.start().await.unwrap();
        let mut health = health(&tokens);
        let wrong = On::call(Call::Login, Action::Fail(Code::CKR_PIN_INCORRECT));
        broken.set(&with(always, [wrong]));
        let before = broken.logins();
        all_ask(&tokens, 8).await;
        // Whoever has not asked yet asks now.
        while *health.borrow_and_update() != Health::Down {
            all_ask(&tokens, 8).await;
        }
        tokens.shutdown().await;
        assert_eq!(broken.logins() - before, 1, "{processes} processes");
    }
}

#[tokio::test]
async fn a_wrong_pin_costs_one_try_where_only_signatures_want_it() {
    let open = Token { always_authenticate: true, needs_no_login: Some(PIN.to_owned()), ..counting() };
    let broken = Broken::with(open);
    broken.fixture.write_pin("0000");
    let (tokens, _) = broken.fixture.start().await.unwrap();
    is_refused_for_good(&broken, tokens, false).await;
    assert_eq!((broken.control.wrong_pins(), broken.logins()), (1, 1));

    broken.fixture.write_pin(PIN);
    let (tokens, _) = broken.fixture.start().await.unwrap();
    for _ in 0..3 {
        sign(&tokens, "ca", P256).await.unwrap();
    }
    assert!(!broken.latch().path().exists());
    tokens.shutdown().await;
}

/// Also where its module is initialised again, which takes everybody's login away.
#[tokio::test]
async fn a_token_that_needs_no_login_signs_without_a_pin_and_one_that_does_is_refused() {
    let open = Token { needs_no_login: Some(PIN.to_owned()), ..Token::default() };
    let mut broken = Broken::with(open.clone());
    std::fs::remove_file(broken.fixture.path("pin")).unwrap();
    broken.fixture.config.pin_file = PinFile::None;
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    signs(&tokens, &keys).await;
    let die = Action::Die { heals: Heals::Initialize, code: Code::CKR_DEVICE_ERROR };
    broken.set(&with(open.clone(), [On::call(Call::SignInit, die).times(1)]));
    signs(&tokens, &keys).await;
    assert_eq!((broken.control.calls(Call::Finalize), broken.fixture.processes().len()), (1, 1));
    tokens.shutdown().await;
    assert_eq!(broken.logins(), 0);

    broken.set(&Script::token(Token { always_authenticate: true, ..open }));
    assert!(mentions(&faults(&broken.fixture).await, &["key.ca", "for each signature", "`pin_none`"]));
    broken.set(&Script::default());
    assert!(mentions(&faults(&broken.fixture).await, &["token.t.pin_none", "the token wants a login"]));
    assert_eq!(broken.logins(), 0);
}

#[tokio::test]
async fn a_signature_that_wants_the_pin_does_not_spend_the_last_try() {
    let always = Token { always_authenticate: true, ..Token::default() };
    let broken = Broken::with(always.clone());
    let (tokens, _) = broken.fixture.start().await.unwrap();
    broken.set(&Script::token(Token { pin_tries: Some(1), ..always }));
    let before = broken.logins();
    let error = sign(&tokens, "ca", P256).await.err().unwrap();
    assert!(matches!(error, TokenError::PinRefused { .. }), "{error}");
    assert_eq!(broken.logins(), before);
    tokens.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_at_a_login_that_all_sessions_need_is_refused_once() {
    for processes in [1, 3] {
        let mut broken = Broken::with(counting());
        (broken.fixture.config.processes, broken.fixture.config.sessions) = (processes, 4);
        let (tokens, _) = broken.fixture.start().await.unwrap();
        let mut health = health(&tokens);
        for round in 1..=3 {
            broken.fixture.write_pin("0000");
            broken.set(&with(counting(), [logged_out()]));
            while *health.borrow_and_update() != Health::Down {
                all_ask(&tokens, 64).await;
            }
            assert_eq!(broken.control.wrong_pins(), 1, "{processes} processes, round {round}");
            broken.set(&Script::token(counting()));
            broken.fixture.write_pin(PIN);
            reaches(&mut health, |health| health == Health::Ready).await;
            assert_eq!(broken.control.wrong_pins(), 0, "the right one was taken");
        }
        tokens.shutdown().await;
    }
}

#[tokio::test]
async fn a_login_that_kills_its_process_is_tried_twice_and_then_by_nobody() {
    let broken = Broken::new();
    let (tokens, _) = broken.fixture.start().await.unwrap();
    let mut health = health(&tokens);
    broken.set(&Script::on(On::call(Call::Login, Action::Crash)));
    let before = broken.logins();
    signal(broken.fixture.processes()[0], Signal::KILL);
    reaches(&mut health, |health| health == Health::Down).await;
    latched(&broken).await;
    tokens.shutdown().await;
    assert!(mentions(&faults(&broken.fixture).await, &["never came back", "countersign token unlatch"]));
    assert_eq!(broken.logins() - before, 2, "and no restart has it tried again");
    broken.set(&Script::default());
    assert!(broken.latch().clear().unwrap());
    let (tokens, _) = broken.fixture.start().await.unwrap();
    assert!(!broken.latch().path().exists());
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_wrong_pin_whose_refusal_nobody_was_told_of_is_not_tried_again() {
    for action in [Action::CrashAfter, Action::HangAfter] {
        let mut broken = Broken::with(counting());
        broken.fixture.config.deadline = Duration::from_millis(500);
        let (tokens, _) = broken.fixture.start().await.unwrap();
        let mut health = health(&tokens);
        broken.fixture.write_pin("0000");
        let before = broken.logins();
        broken.set(&with(counting(), [logged_out().times(1), On::call(Call::Login, action)]));
        assert!(sign(&tokens, "ca", P256).await.is_err());
        reaches(&mut health, |health| health == Health::Down).await;
        latched(&broken).await;
        tokens.shutdown().await;
        assert!(mentions(&faults(&broken.fixture).await, &["has counted a wrong PIN since"]));
        assert_eq!((broken.logins() - before, broken.control.wrong_pins()), (1, 1), "{action:?}");
    }
}

#[tokio::test]
async fn a_failure_by_which_the_token_counts_a_wrong_pin_is_a_refusal() {
    let broken = Broken::with(counting());
    broken.fixture.write_pin("0000");
    // The real module counts it, and this one answers what says nothing of a PIN.
    broken.set(&with(counting(), [On::call(Call::Login, Action::Mask(Code::CKR_FUNCTION_FAILED))]));
    for _ in 0..3 {
        assert!(mentions(&faults(&broken.fixture).await, &["token.t.pin_file", "refused"]));
    }
    assert_eq!(broken.control.wrong_pins(), 1);
}

#[tokio::test]
async fn a_failure_that_hides_whether_a_try_was_counted_is_not_followed_by_another() {
    let masked = On::call(Call::Login, Action::Mask(Code::CKR_DEVICE_REMOVED));
    let thrice = async |broken: &Broken| {
        for _ in 0..3 {
            assert!(mentions(&faults(&broken.fixture).await, &["token.t"]));
        }
        assert!(mentions(&faults(&broken.fixture).await, &["has counted a wrong PIN since"]));
    };

    // A flag that is set already is not set again.
    let broken = Broken::with(counting());
    broken.fixture.write_pin("1111");
    assert!(mentions(&faults(&broken.fixture).await, &["CKR_PIN_INCORRECT"]));
    broken.fixture.write_pin("0000");
    broken.set(&with(counting(), [masked.clone()]));
    thrice(&broken).await;
    assert_eq!(broken.control.wrong_pins(), 2, "one for each");

    // A token that is gone tells no flags.
    let broken = Broken::with(counting());
    let before = broken.control.calls(Call::GetTokenInfo);
    let (tokens, _) = broken.fixture.start().await.unwrap();
    let looks = broken.control.calls(Call::GetTokenInfo) - before;
    tokens.shutdown().await;
    broken.fixture.write_pin("0000");
    let gone = On::call(Call::GetTokenInfo, Action::Fail(Code::CKR_DEVICE_REMOVED));
    let after_login = gone.after(u32::try_from(looks).unwrap()).times(1);
    broken.set(&with(counting(), [masked, after_login]));
    thrice(&broken).await;
    assert_eq!(broken.control.wrong_pins(), 1);
}

/// Two in a row would be latched: each may have cost a try.
#[tokio::test(flavor = "multi_thread")]
async fn logins_that_a_load_slows_down_do_not_make_a_right_pin_a_wrong_one() {
    let always = Token { always_authenticate: true, ..Token::default() };
    for (token, lost) in [(Token::default(), Some(logged_out().times(2))), (always, None)] {
        let mut broken = Broken::with(token.clone());
        (broken.fixture.config.processes, broken.fixture.config.sessions) = (2, 4);
        broken.fixture.config.deadline = Duration::from_secs(1);
        let (tokens, keys) = broken.fixture.start().await.unwrap();
        let slow = On::call(Call::Login, Action::DelayMicros(1_500_000));
        broken.set(&with(token.clone(), lost.into_iter().chain([slow])));
        while broken.fixture.processes().len() < 4 {
            all_ask(&tokens, 8).await;
        }
        broken.set(&Script::token(token));
        reaches(&mut health(&tokens), |health| health == Health::Ready).await;
        // The other process may have been in its login still, or wait for one that starts: that is no refusal.
        let since = Instant::now();
        while sign(&tokens, "ca", P256).await.is_err() {
            assert!(!broken.latch().is_set() && since.elapsed() < Duration::from_secs(60));
        }
        signs(&tokens, &keys).await;
        tokens.shutdown().await;
        assert!(!broken.latch().is_set());
    }
}

#[tokio::test]
async fn a_login_that_fails_for_its_session_says_nothing_of_the_pin() {
    let broken = Broken::with(counting());
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    // Somebody else's, so that the flags tell nothing of ours.
    broken.fixture.write_pin("1111");
    assert!(broken.fixture.start().await.is_err());
    assert_eq!(broken.control.wrong_pins(), 1);
    broken.fixture.write_pin(PIN);
    let dead = On::call(Call::Login, Action::Fail(Code::CKR_SESSION_HANDLE_INVALID));
    broken.set(&with(counting(), [logged_out().times(1), dead.times(1)]));
    signs(&tokens, &keys).await;
    assert!(!broken.latch().path().exists());
    tokens.shutdown().await;
}

/// Of a token that loses its PIN while it serves, the fixture's keys would go with it: here it says so, and has one.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_pin_has_refused_none_and_serves_once_it_has_one() {
    let broken = Broken::with(counting());
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let mut health = health(&tokens);
    let unset = On::call(Call::Login, Action::Fail(Code::CKR_USER_PIN_NOT_INITIALIZED));
    broken.set(&with(counting(), [logged_out(), unset.clone()]));
    let error = sign(&tokens, "ca", P256).await.err().unwrap();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    reaches(&mut health, |health| health == Health::Down).await;
    // More often than a PIN may be tried whose login says nothing of it.
    let before = broken.logins();
    assert!(
        broken.control.wait_until(Duration::from_secs(30), |control| control.calls(Call::Login) > before + 2)
    );
    assert!(!broken.latch().is_set());
    broken.set(&Script::token(counting()));
    reaches(&mut health, |health| health == Health::Ready).await;
    signs(&tokens, &keys).await;
    tokens.shutdown().await;

    broken.set(&with(counting(), [unset]));
    for _ in 0..3 {
        assert!(mentions(
            &faults(&broken.fixture).await,
            &["token.t: ", "has no user PIN yet", "token unlock"]
        ));
    }
    assert!(broken.latch().past().unwrap() == Past::default(), "nothing is noted of it");
}

/// A module may say of a user who is blocked what the standard has for one without a PIN, and count.
#[tokio::test]
async fn a_token_that_says_it_has_no_pin_and_may_have_counted_one_is_not_shown_it_again() {
    let broken = Broken::with(counting());
    broken.fixture.write_pin("1111");
    assert!(mentions(&faults(&broken.fixture).await, &["CKR_PIN_INCORRECT"]));
    broken.fixture.write_pin("0000");
    let unset = Action::Mask(Code::CKR_USER_PIN_NOT_INITIALIZED);
    broken.set(&with(counting(), [On::call(Call::Login, unset)]));
    let said = faults(&broken.fixture).await;
    assert!(mentions(&said, &["CKR_USER_PIN_NOT_INITIALIZED", "has no user PIN yet", "token unlock"]));
    for _ in 0..3 {
        assert!(mentions(&faults(&broken.fixture).await, &["has counted a wrong PIN since"]));
    }
    assert_eq!(broken.control.wrong_pins(), 2, "one for each");
}

#[tokio::test]
async fn a_token_whose_flags_say_that_it_has_no_pin_is_shown_none_and_none_is_noted() {
    let mut bare = Fixture::new();
    bare.init_token_without_pin("bare");
    bare.device().label = "bare".to_owned();
    bare.configure("ca", "ca", P256);
    for _ in 0..2 {
        assert!(mentions(&faults(&bare).await, &["token.t: ", "has no user PIN yet"]));
        assert!(!Latch::new(&bare.path(""), &bare.config.name).path().exists());
    }
    bare.set_pin("bare");
    assert!(mentions(&faults(&bare).await, &["key.ca: ", "\"ca\""]), "it is logged in to, and has no key");
}

#[tokio::test]
async fn a_pin_that_another_call_than_a_login_refuses_is_not_tried_again() {
    let wrong = Action::Fail(Code::CKR_PIN_INCORRECT);
    let die = Action::Die { heals: Heals::Reopen, code: Code::CKR_SESSION_HANDLE_INVALID };
    let at_once = vec![On::call(Call::Sign, wrong)];
    let on_the_ladder = vec![On::call(Call::Sign, die).times(1), On::call(Call::FindObjectsInit, wrong)];
    for on in [at_once, on_the_ladder] {
        let broken = Broken::new();
        let (tokens, _) = broken.fixture.start().await.unwrap();
        broken.set(&with(Token::default(), on));
        let before = broken.logins();
        is_refused_for_good(&broken, tokens, true).await;
        assert_eq!(broken.logins(), before);
    }
}

#[tokio::test]
async fn pins_that_take_turns_cost_one_try_each() {
    let broken = Broken::with(counting());
    for pin in ["0000", "1111", "0000", "1111"] {
        broken.fixture.write_pin(pin);
        assert!(mentions(&faults(&broken.fixture).await, &["token.t.pin_file"]));
    }
    assert_eq!(broken.control.wrong_pins(), 2);
}

#[tokio::test]
async fn where_nothing_can_be_noted_no_pin_is_tried_and_service_comes_back_by_itself() {
    let broken = Broken::with(counting());
    let (tokens, _) = broken.fixture.start().await.unwrap();
    let mut health = health(&tokens);
    let before = broken.logins();
    // As on a full disk: no new file is to be had.
    let in_the_way = broken.fixture.path("t.pin-refused.new");
    std::fs::create_dir(&in_the_way).unwrap();
    signal(broken.fixture.processes()[0], Signal::KILL);
    reaches(&mut health, |health| health == Health::Down).await;
    assert_eq!(broken.logins(), before);
    std::fs::remove_dir(&in_the_way).unwrap();
    reaches(&mut health, |health| health == Health::Ready).await;
    tokens.shutdown().await;
    std::fs::create_dir(&in_the_way).unwrap();
    assert!(mentions(&faults(&broken.fixture).await, &["t.pin-refused cannot be written", "make room"]));
    assert_eq!(broken.logins(), before + 1);
}

/// The process that was kept from trying the PIN is still ending: what it says then was true before.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_takes_away_while_a_barred_process_ends_is_not_noted_again() {
    let broken = Broken::new();
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let refuses = On::call(Call::Login, Action::Fail(Code::CKR_PIN_INCORRECT)).times(1);
    broken
        .set(&Script::on(logged_out().times(1)).and(refuses).and(On::call(Call::CloseSession, Action::Hang)));
    assert!(sign(&tokens, "ca", P256).await.is_err());
    assert!(
        broken.control.wait_until(Duration::from_secs(30), |control| control.hangs(Call::CloseSession) == 1)
    );
    assert!(broken.latch().clear().unwrap());
    broken.control.clear().unwrap();
    let signed = async {
        while sign(&tokens, "ca", P256).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), signed).await.expect("the PIN is not tried");
    signs(&tokens, &keys).await;
    tokens.shutdown().await;
}
