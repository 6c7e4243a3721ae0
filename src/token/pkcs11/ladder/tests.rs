#![allow(clippy::unwrap_used, reason = "tests")]

use cryptoki::context::Function;
use cryptoki::error::{Rv, RvError};

use super::*;

/// What comes of a login.
#[derive(Clone, Copy, Debug)]
enum Login {
    Taken,
    Refused,
    /// Another process is in one.
    Busy,
    /// A process that starts has to try it.
    Left,
}

/// A token that stays broken until a rung is climbed, with the code that it answers until then.
struct Token {
    code: RvError,
    heals: Option<Rung>,
    whole: bool,
    climbed: Vec<Rung>,
    /// Another session has just climbed this rung, for a trouble of before.
    already: Option<Rung>,
    login: Login,
    /// What climbing a rung is answered.
    fails: Option<RvError>,
    /// Where it fails.
    function: Function,
    /// Whether another session has logged in since, with another PIN.
    is_outdated: bool,
    /// Whether it is too late once a rung was climbed.
    is_slow: bool,
    allowance: Allowance,
}

fn token(code: RvError, heals: Option<Rung>) -> Token {
    Token {
        code,
        heals,
        whole: false,
        climbed: Vec::new(),
        already: None,
        login: Login::Taken,
        fails: None,
        function: Function::Sign,
        is_outdated: false,
        is_slow: false,
        allowance: Allowance::default(),
    }
}

impl Climber for Token {
    fn attempt(&mut self) -> Result<Vec<u8>, Trouble> {
        if self.whole { Ok(vec![1]) } else { Err(Error::Pkcs11(self.code, self.function).into()) }
    }

    fn climb(&mut self, rung: Rung) -> Result<Climbed, Trouble> {
        if !self.allowance.take(rung, Instant::now()) {
            return Ok(Climbed::TooOften);
        }
        self.climbed.push(rung);
        match self.login {
            Login::Refused if rung == Rung::LogIn => {
                return Err(Trouble::Pin(PinRefusal { message: "no".to_owned(), mark: None }));
            }
            Login::Busy if rung == Rung::LogIn => return Err(Trouble::Busy),
            Login::Left if rung == Rung::LogIn => return Err(Trouble::Left),
            Login::Taken | Login::Refused | Login::Busy | Login::Left => {}
        }
        if self.already.take_if(|already| *already == rung).is_some() {
            return Ok(Climbed::Already);
        }
        if let Some(code) = self.fails {
            return Err(Error::Pkcs11(code, Function::FindObjectsInit).into());
        }
        self.whole = self.heals.is_some_and(|heals| heals <= rung);
        Ok(Climbed::Done)
    }

    fn refused(&mut self, failure: CallFailure) -> Option<SignError> {
        if std::mem::take(&mut self.is_outdated) {
            (self.already, self.whole) = (Some(Rung::LogIn), self.heals.is_some());
            return None;
        }
        let refusal = PinRefusal { message: failure.call, mark: None };
        Some(SignError::Pin { refusal, given: false })
    }
}

fn healed(token: &mut Token) -> (Option<Healing>, Result<Vec<u8>, SignError>) {
    let mut told = None;
    let is_slow = token.is_slow;
    let result = sign(token, || is_slow, &mut |recovery| told = Some(recovery.healing));
    (told, result)
}

#[test]
fn every_fault_is_healed_at_its_rung_and_no_higher() {
    for (code, heals, climbed) in [
        (RvError::KeyHandleInvalid, Rung::Refind, vec![Rung::Refind]),
        (RvError::SessionHandleInvalid, Rung::Reopen, vec![Rung::Reopen]),
        (RvError::UserNotLoggedIn, Rung::LogIn, vec![Rung::LogIn]),
        (RvError::DeviceError, Rung::Reopen, vec![Rung::Reopen]),
        (RvError::DeviceError, Rung::LogIn, vec![Rung::Reopen, Rung::LogIn]),
        (RvError::GeneralError, Rung::Reinitialize, vec![Rung::Reopen, Rung::LogIn, Rung::Reinitialize]),
        (RvError::CryptokiNotInitialized, Rung::Reinitialize, vec![Rung::Reinitialize]),
    ] {
        let mut token = token(code, Some(heals));
        let (told, result) = healed(&mut token);
        assert!(result.is_ok(), "{code:?}");
        assert_eq!((told, token.climbed), (Some(heals.healing()), climbed), "{code:?}");
    }
}

#[test]
fn what_no_rung_heals_ends_the_process_with_its_name() {
    let mut token = token(RvError::DeviceRemoved, None);
    let (told, result) = healed(&mut token);
    assert!(told.is_none());
    assert!(matches!(result, Err(SignError::Process(failure)) if failure.code == "CKR_DEVICE_REMOVED"));
    assert_eq!(token.climbed, [Rung::Reopen, Rung::LogIn, Rung::Reinitialize]);
}

/// So that what a caller is told is known for each: a request's failure, that the token is out of service, or that its PIN is refused.
#[test]
fn every_code_that_nothing_heals_ends_as_its_remedy_says() {
    for number in 1..0x400 {
        let Err(Error::Pkcs11(code, function)) = Rv::from(number).into_result(Function::Sign) else {
            panic!("{number:#x} is a code")
        };
        let remedy = classify::remedy(&Error::Pkcs11(code, function));
        let error = healed(&mut token(code, None)).1.unwrap_err();
        let is_right = match remedy {
            Remedy::Answer => matches!(error, SignError::Request(_)),
            Remedy::Refind | Remedy::Reopen | Remedy::LogIn | Remedy::Reinitialize | Remedy::Restart => {
                matches!(error, SignError::Process(_))
            }
            Remedy::Pin => matches!(error, SignError::Pin { .. }),
        };
        assert!(is_right, "{code:?}, whose remedy is {remedy:?}: {error:?}");
    }
}

#[test]
fn a_request_that_is_wrong_is_answered_without_a_climb() {
    let mut token = token(RvError::DataLenRange, None);
    assert!(matches!(healed(&mut token).1, Err(SignError::Request(_))));
    assert_eq!(token.climbed, []);
}

/// What `C_SignInit` says of a handle that denotes another object than the key.
const ANOTHER_OBJECT: [RvError; 4] = [
    RvError::KeyTypeInconsistent,
    RvError::KeyFunctionNotPermitted,
    RvError::KeySizeRange,
    RvError::MechanismInvalid,
];

#[test]
fn a_handle_that_may_denote_another_object_is_found_again_and_then_it_is_the_request() {
    for code in ANOTHER_OBJECT {
        let mut stale = token(code, Some(Rung::Refind));
        stale.function = Function::SignInit;
        let (told, result) = healed(&mut stale);
        assert!(result.is_ok(), "{code:?}");
        assert_eq!((told, stale.climbed), (Some(Healing::Refound), vec![Rung::Refind]), "{code:?}");
        let mut refused = token(code, None);
        refused.function = Function::SignInit;
        assert!(matches!(healed(&mut refused).1, Err(SignError::Request(_))), "{code:?}");
        assert_eq!(refused.climbed, [Rung::Refind], "{code:?}");
        // It has seen what is to be signed.
        let mut late = token(code, None);
        assert!(matches!(healed(&mut late).1, Err(SignError::Request(_))), "{code:?}");
        assert_eq!(late.climbed, [], "{code:?}");
    }
}

#[test]
fn a_token_that_refuses_for_ever_is_searched_a_few_times_and_ends_no_process() {
    let mut token = token(RvError::KeyFunctionNotPermitted, None);
    token.function = Function::SignInit;
    for _ in 0..100 {
        let (told, result) = healed(&mut token);
        assert!(told.is_none() && matches!(result, Err(SignError::Request(_))), "{result:?}");
    }
    assert_eq!(token.climbed, [Rung::Refind; 4]);
}

#[test]
fn a_refused_pin_ends_the_climb_at_once() {
    let mut token = token(RvError::UserNotLoggedIn, None);
    token.login = Login::Refused;
    assert!(matches!(healed(&mut token).1, Err(SignError::Pin { .. })));
    assert_eq!(token.climbed, [Rung::LogIn]);
}

#[test]
fn a_pin_that_another_call_than_a_login_refuses_ends_the_climb_at_once() {
    let mut direct = token(RvError::PinIncorrect, None);
    assert!(
        matches!(healed(&mut direct).1, Err(SignError::Pin { refusal, .. }) if refusal.message == "C_Sign")
    );
    assert_eq!(direct.climbed, []);
    let mut late = token(RvError::DeviceError, None);
    late.fails = Some(RvError::PinExpired);
    assert!(
        matches!(healed(&mut late).1, Err(SignError::Pin { refusal, .. }) if refusal.message == "C_FindObjectsInit")
    );
    assert_eq!(late.climbed, [Rung::Reopen]);
}

#[test]
fn a_pin_that_is_refused_once_another_session_has_logged_in_with_another_ends_nothing() {
    let (wrong, heals) = (RvError::PinIncorrect, Some(Rung::LogIn));
    for (code, heals, fails, climbed) in [
        (wrong, heals, None, vec![Rung::LogIn]),
        (wrong, None, None, vec![Rung::LogIn]),
        (RvError::DeviceError, heals, Some(wrong), vec![Rung::Reopen, Rung::LogIn]),
    ] {
        let mut token = token(code, heals);
        (token.is_outdated, token.fails) = (true, fails);
        match healed(&mut token).1 {
            Ok(_) => assert!(heals.is_some()),
            // The other's is refused as well.
            Err(error) => assert!(heals.is_none() && matches!(error, SignError::Pin { .. }), "{error:?}"),
        }
        assert_eq!(token.climbed, climbed, "{code:?}");
    }
}

#[test]
fn a_pin_that_is_left_to_a_process_that_starts_ends_this_one_at_once() {
    let mut token = token(RvError::UserNotLoggedIn, Some(Rung::Reinitialize));
    token.login = Login::Left;
    assert!(
        matches!(healed(&mut token).1, Err(SignError::Process(failure)) if failure.code == LEFT_TO_START)
    );
    assert_eq!(token.climbed, [Rung::LogIn]);
}

#[test]
fn who_is_refused_for_a_pin_or_a_login_is_told_whether_the_token_was_given_it_before() {
    for (function, was_given) in
        [(Function::SignInit, false), (Function::Sign, true), (Function::SignFinal, true)]
    {
        for login in [Login::Refused, Login::Busy] {
            let mut token = token(RvError::UserNotLoggedIn, None);
            (token.function, token.login) = (function, login);
            let Err(SignError::Pin { given, .. } | SignError::Busy { given }) = healed(&mut token).1 else {
                panic!("{function:?}: it is refused");
            };
            assert_eq!(given, was_given, "{function:?}, {login:?}");
        }
    }
}

#[test]
fn what_took_too_long_to_heal_is_not_tried_again() {
    for (function, was_given) in [(Function::SignInit, false), (Function::Sign, true)] {
        let mut token = token(RvError::SessionHandleInvalid, Some(Rung::Reopen));
        (token.function, token.is_slow) = (function, true);
        let (told, result) = healed(&mut token);
        assert!(told.is_none(), "nothing was signed that would show it");
        let Err(SignError::Late { given }) = result else { panic!("{function:?}: {result:?}") };
        assert_eq!(given, was_given, "{function:?}");
        assert_eq!(token.climbed, [Rung::Reopen]);
        // For the next one it is healed.
        token.is_slow = false;
        assert!(healed(&mut token).1.is_ok());
    }
}

#[test]
fn a_rung_that_another_session_climbed_is_climbed_again_if_that_was_not_enough() {
    let mut token = token(RvError::UserNotLoggedIn, Some(Rung::LogIn));
    token.already = Some(Rung::LogIn);
    assert!(healed(&mut token).1.is_ok());
    assert_eq!(token.climbed, [Rung::LogIn, Rung::LogIn]);
}

#[test]
fn a_token_that_breaks_again_and_again_gets_a_fresh_process() {
    let mut token = token(RvError::SessionHandleInvalid, Some(Rung::Reopen));
    let mut climbs = 0;
    loop {
        token.whole = false;
        climbs += 1;
        if healed(&mut token).1.is_err() {
            break;
        }
    }
    // Reopen 4 times, log in 4 times, initialise once; then it is enough.
    assert_eq!((climbs, token.climbed.len()), (10, 9));
}

#[test]
fn an_allowance_comes_back_with_time() {
    let (mut allowance, now) = (Allowance::default(), Instant::now());
    assert!(allowance.take(Rung::Reinitialize, now));
    assert!(!allowance.take(Rung::Reinitialize, now));
    assert!(allowance.take(Rung::Reopen, now), "each rung has its own");
    assert!(allowance.take(Rung::Reinitialize, now + WINDOW));
    allowance.give_back(Rung::Reinitialize);
    assert!(allowance.take(Rung::Reinitialize, now + WINDOW), "it was not climbed");
}
