//! The recovery ladder with a real module: each fault at the rung that heals it, and no key that is another's after any of them.

use countersign_faulty::{Action, Call, Code, Control, Heals, On, Script, Token};

use super::faulty::{Broken, all_sign, signs};
use super::fixture::signal;
use super::*;

#[tokio::test]
async fn a_fault_is_healed_at_its_rung_and_no_higher_and_no_caller_notices() {
    for (heals, code, finalized, logins) in [
        (Heals::Reopen, Code::CKR_SESSION_HANDLE_INVALID, 0, 0),
        (Heals::Reopen, Code::CKR_DEVICE_ERROR, 0, 0),
        (Heals::Login, Code::CKR_USER_NOT_LOGGED_IN, 0, 1),
        // Each of the two sessions tries to log in before it comes to that.
        (Heals::Initialize, Code::CKR_GENERAL_ERROR, 1, 3),
    ] {
        for call in [Call::SignInit, Call::Sign] {
            let broken = Broken::new();
            let (tokens, keys) = broken.fixture.start().await.unwrap();
            let (initialized, logged_in) = (broken.control.calls(Call::Finalize), broken.logins());
            broken.set(&Script::on(On::call(call, Action::Die { heals, code }).times(1)));
            all_sign(&tokens, &keys, 10).await;
            let logged_in = broken.logins() - logged_in;
            assert_eq!(broken.control.calls(Call::Finalize) - initialized, finalized, "{heals:?} {code}");
            assert!(logged_in <= logins, "{heals:?} {code}: {logged_in} logins");
            assert_eq!(broken.fixture.processes().len(), 1, "{heals:?} {code}");
            tokens.shutdown().await;
        }
    }
}

#[tokio::test]
async fn a_handle_that_denotes_nothing_any_more_costs_a_search() {
    let broken = Broken::new();
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let calls = [Call::OpenSession, Call::Login, Call::Finalize];
    let before = calls.map(|call| broken.control.calls(call));
    // Or that denotes another object now.
    for code in [Code::CKR_KEY_HANDLE_INVALID, Code::CKR_KEY_TYPE_INCONSISTENT] {
        let searches = broken.control.calls(Call::FindObjectsInit);
        broken.set(&Script::on(On::call(Call::SignInit, Action::Fail(code)).times(1)));
        all_sign(&tokens, &keys, 10).await;
        assert_eq!(calls.map(|call| broken.control.calls(call)), before, "{code}");
        assert!(broken.control.calls(Call::FindObjectsInit) > searches, "{code}");
    }
    assert_eq!(broken.fixture.processes().len(), 1);
    tokens.shutdown().await;
}

/// Nor does it matter which of the module's tokens comes first (R17).
#[tokio::test]
async fn a_token_is_found_by_its_name_whatever_number_its_slot_has_after_an_initialisation() {
    let broken = Broken::with(Token { renumber_slots: true, ..Token::default() });
    broken.fixture.init_another("u");
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    signs(&tokens, &keys).await;
    let finalized = broken.control.calls(Call::Finalize);
    for code in [Code::CKR_SLOT_ID_INVALID, Code::CKR_DEVICE_REMOVED] {
        let action = Action::Die { heals: Heals::Initialize, code };
        let like = Token { renumber_slots: true, ..Token::default() };
        broken.set(&Script { token: like, on: vec![On::call(Call::SignInit, action).times(1)] });
        all_sign(&tokens, &keys, 5).await;
        // A process initialises its module once in ten seconds.
        signal(*broken.fixture.processes().last().unwrap(), Signal::KILL);
        reaches(&mut health, |health| health != Health::Ready).await;
        reaches(&mut health, |health| health == Health::Ready).await;
        broken.fixture.init_another("v");
    }
    signs(&tokens, &keys).await;
    assert_eq!(broken.control.calls(Call::Finalize) - finalized, 2);
    assert_eq!(broken.fixture.processes().len(), 3);
    tokens.shutdown().await;
}

/// A module that has to be initialised again and again is not: another process begins anew.
#[tokio::test]
async fn a_process_initialises_its_module_again_once_in_a_while() {
    let broken = Broken::new();
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    let finalized = broken.control.calls(Call::Finalize);
    let action = Action::Die { heals: Heals::Initialize, code: Code::CKR_DEVICE_REMOVED };
    broken.set(&Script::on(On::call(Call::SignInit, action).times(1)));
    all_sign(&tokens, &keys, 10).await;
    assert_eq!(broken.fixture.processes().len(), 1);
    broken.set(&Script::on(On::call(Call::SignInit, action).times(1)));
    let error = sign(&tokens, "ca", P256).await.err().unwrap();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    reaches(&mut health, |health| health == Health::Ready).await;
    signs(&tokens, &keys).await;
    assert_eq!(broken.control.calls(Call::Finalize) - finalized, 1);
    assert_eq!(broken.fixture.processes().len(), 2);
    tokens.shutdown().await;
}

#[tokio::test]
async fn what_no_rung_heals_gets_a_fresh_process() {
    let broken = Broken::new();
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    let action = Action::Die { heals: Heals::Process, code: Code::CKR_GENERAL_ERROR };
    broken.set(&Script::on(On::call(Call::SignInit, action).times(1)));
    let error = sign(&tokens, "ca", P256).await.err().unwrap();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    reaches(&mut health, |health| health == Health::Ready).await;
    signs(&tokens, &keys).await;
    assert_eq!(broken.fixture.processes().len(), 2);
    tokens.shutdown().await;
}

/// Each attempt costs the token a login: a module that fails each time is not started as fast as it fails.
#[tokio::test(flavor = "multi_thread")]
async fn fresh_processes_come_further_and_further_apart() {
    let broken = Broken::new();
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    let action = Action::Die { heals: Heals::Process, code: Code::CKR_GENERAL_ERROR };
    let fails = On::call(Call::Initialize, Action::Fail(Code::CKR_GENERAL_ERROR));
    broken.set(&Script::on(On::call(Call::SignInit, action).times(1)).and(fails));
    sign(&tokens, "ca", P256).await.err().unwrap();
    let (before, since) = (broken.control.calls(Call::Initialize), Instant::now());
    let tried = |control: &Control| control.calls(Call::Initialize) >= before + 5;
    assert!(broken.control.wait_until(Duration::from_secs(60), tried));
    // Between the first and the last 100, 200, 400 and 800 ms, however fast each fails.
    assert!(since.elapsed() >= Duration::from_millis(1500), "{:?}", since.elapsed());
    broken.control.clear().unwrap();
    reaches(&mut health, |health| health == Health::Ready).await;
    signs(&tokens, &keys).await;
    tokens.shutdown().await;
}

/// Whichever rung healed it.
#[tokio::test]
async fn a_key_that_was_exchanged_meanwhile_signs_nothing_after_a_recovery() {
    let die = |heals, code| Action::Die { heals, code };
    for failure in [
        Action::Fail(Code::CKR_KEY_HANDLE_INVALID),
        Action::Fail(Code::CKR_KEY_TYPE_INCONSISTENT),
        die(Heals::Reopen, Code::CKR_SESSION_HANDLE_INVALID),
        die(Heals::Login, Code::CKR_USER_NOT_LOGGED_IN),
        die(Heals::Initialize, Code::CKR_DEVICE_REMOVED),
    ] {
        let broken = Broken::new();
        let (tokens, _) = broken.fixture.start().await.unwrap();
        let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
        broken.fixture.destroy("ca");
        broken.fixture.generate("ca", "EC:prime256v1");
        let told = format!("{failure:?}");
        broken.set(&Script::on(On::call(Call::SignInit, failure).times(1)));
        assert!(sign(&tokens, "ca", P256).await.is_err(), "{told}");
        reaches(&mut health, |health| health == Health::Down).await;
        let error = sign(&tokens, "ca", P256).await.err().unwrap();
        assert!(matches!(error, TokenError::KeyChanged { .. }), "{told}: {error}");
        tokens.shutdown().await;
    }
}

/// A token whose sessions look after it as soon as nobody asks.
fn looked_after() -> Broken {
    let mut broken = Broken::new();
    broken.fixture.config.keepalive = Duration::from_millis(20);
    broken
}

#[tokio::test]
async fn a_token_that_is_gone_is_out_of_service_before_anybody_asks_and_back_by_itself() {
    let broken = looked_after();
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    let before = broken.control.calls(Call::SignInit);
    for call in [Call::GetSessionInfo, Call::GenerateRandom] {
        let gone = |call| On::call(call, Action::Fail(Code::CKR_DEVICE_REMOVED));
        broken.set(&Script::on(gone(call)).and(gone(Call::Initialize)));
        reaches(&mut health, |health| health == Health::Down).await;
        broken.control.clear().unwrap();
        reaches(&mut health, |health| health == Health::Ready).await;
    }
    assert_eq!(broken.control.calls(Call::SignInit), before, "no key was used");
    signs(&tokens, &keys).await;
    tokens.shutdown().await;
}

/// Waits until every session has looked since, by this call, and has healed what it found: they take turns.
fn all_look(broken: &Broken, by: Call) {
    let before = broken.control.calls(by);
    let looked = |control: &Control| control.calls(by) > before + 10;
    assert!(broken.control.wait_until(Duration::from_secs(30), looked));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_while_nobody_asks_is_healed_before_somebody_does() {
    for (heals, code, healed) in [
        (Heals::Reopen, Code::CKR_SESSION_HANDLE_INVALID, Call::OpenSession),
        (Heals::Login, Code::CKR_USER_NOT_LOGGED_IN, Call::Login),
    ] {
        let broken = looked_after();
        let (tokens, keys) = broken.fixture.start().await.unwrap();
        let sound = broken.control.calls(healed);
        broken.set(&Script::on(On::call(Call::GenerateRandom, Action::Die { heals, code }).times(1)));
        assert!(broken.control.wait_until(Duration::from_secs(30), |control| control.calls(healed) > sound));
        all_look(&broken, Call::GenerateRandom);
        let before = broken.control.calls(healed);
        signs(&tokens, &keys).await;
        assert_eq!(
            (broken.control.calls(healed), broken.fixture.processes().len()),
            (before, 1),
            "{heals:?}"
        );
        tokens.shutdown().await;
    }
}

/// Whatever its module calls that: it is asked for what it says of itself, or else for its sessions alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_no_random_bytes_to_give_is_there() {
    let none = || Script::on(On::call(Call::GenerateRandom, Action::Fail(Code::CKR_GENERAL_ERROR)));
    let broken = looked_after();
    broken.set(&none());
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    all_look(&broken, Call::GetTokenInfo);
    signs(&tokens, &keys).await;
    assert_eq!((broken.fixture.processes().len(), broken.control.violations()), (1, 0));
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    broken.set(&none().and(On::call(Call::GetTokenInfo, Action::Fail(Code::CKR_TOKEN_NOT_PRESENT))));
    reaches(&mut health, |health| health == Health::Down).await;
    tokens.shutdown().await;
}

/// Another token may have the key.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_token_that_is_found_gone_goes_on_at_once() {
    let mut broken = looked_after();
    (broken.fixture.config.sessions, broken.fixture.config.deadline) = (1, Duration::from_secs(2));
    let (tokens, _) = broken.fixture.start().await.unwrap();
    let hangs = |call| On::call(call, Action::Hang);
    broken.set(&Script::on(hangs(Call::GenerateRandom)).and(hangs(Call::Initialize)));
    let looks = |control: &Control| control.hangs(Call::GenerateRandom) == 1;
    assert!(broken.control.wait_until(Duration::from_secs(10), looks));
    // It would wait for the process that replaces it, for as long again, and no longer be wanted.
    let answer = sign_until(&tokens, "ca", P256, Some(Instant::now() + Duration::from_secs(3))).await;
    assert!(matches!(answer, Err(TokenError::Unavailable { .. })), "{answer:?}");
    broken.control.clear().unwrap();
    tokens.shutdown().await;
}
