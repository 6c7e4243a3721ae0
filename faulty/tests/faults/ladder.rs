//! Deaths that heal at one rung of the ladder, and at no lower one.

use countersign_faulty::{Action, Call, Code, Heals, On, Script};
use cryptoki::error::RvError;

use crate::place::{self, Token, code, log_in, private_key, sign};

/// A token that dies once, at its next signature.
fn dies(heals: Heals, code: Code) -> Script {
    Script::on(On::call(Call::Sign, Action::Die { heals, code }).times(1))
}

alone! {
    fn a_new_session_heals(token) {
        let session = token.log_in();
        let other = token.open().unwrap();
        let key = private_key(&session, "a");
        token.control.set(&dies(Heals::Reopen, Code::CKR_SESSION_HANDLE_INVALID)).unwrap();
        assert_eq!(code(sign(&session, key)), RvError::SessionHandleInvalid);
        assert_eq!(code(sign(&session, key)), RvError::SessionHandleInvalid, "it stays dead");
        assert_eq!(code(sign(&other, key)), RvError::SessionHandleInvalid, "and so is every other");
        let fresh = token.open().unwrap();
        sign(&fresh, key).expect("without a login");
    }
}

alone! {
    fn a_login_heals_and_a_new_session_does_not(token) {
        let session = token.log_in();
        let key = private_key(&session, "a");
        token.control.set(&dies(Heals::Login, Code::CKR_USER_NOT_LOGGED_IN)).unwrap();
        assert_eq!(code(sign(&session, key)), RvError::UserNotLoggedIn);
        let fresh = token.open().unwrap();
        assert_eq!(code(sign(&fresh, key)), RvError::UserNotLoggedIn);
        log_in(&fresh).unwrap();
        sign(&session, private_key(&session, "a")).unwrap();
    }
}

/// The token looks well and signs nothing.
fn is_dead(token: &Token, as_if: RvError) {
    token.info();
    let session = token.open().unwrap();
    session.get_session_info().unwrap();
    assert_eq!(code(log_in(&session)), as_if);
    assert_eq!(code(session.find_objects(&[])), as_if);
}

alone! {
    fn initialisation_heals_and_nothing_less(token) {
        let session = token.log_in();
        let key = private_key(&session, "a");
        token.control.set(&dies(Heals::Initialize, Code::CKR_DEVICE_ERROR)).unwrap();
        assert_eq!(code(sign(&session, key)), RvError::DeviceError);
        assert_eq!(code(sign(&session, key)), RvError::DeviceError);
        is_dead(token, RvError::DeviceError);
        token.control.clear().unwrap();
        is_dead(token, RvError::DeviceError);
        token.finalize();
        let session = token.log_in();
        sign(&session, private_key(&session, "a")).unwrap();
    }
}

#[test]
fn another_process_heals_and_nothing_less() {
    let name = concat!(module_path!(), "::another_process_heals_and_nothing_less");
    let outside = place::outside(name, |token| {
        let session = token.log_in();
        let key = private_key(&session, "a");
        if token.run() > 0 {
            sign(&session, key).unwrap();
            return;
        }
        assert_eq!(code(sign(&session, key)), RvError::GeneralError);
        is_dead(token, RvError::GeneralError);
        token.finalize();
        token.initialize();
        is_dead(token, RvError::GeneralError);
    });
    if let Some(place) = outside {
        place.control.set(&dies(Heals::Process, Code::CKR_GENERAL_ERROR)).unwrap();
        place.run_ok();
        place.run_ok();
    }
}
