//! PINs: tries that are counted, in every process, and a lock.

use countersign_faulty::{Call, Script, Token as Like};
use cryptoki::error::RvError;
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

use crate::place::{self, Token, code, log_in};

fn wrong(session: &Session) -> RvError {
    code(session.login(UserType::User, Some(&AuthPin::new("00000000".into()))))
}

/// Low, final try, locked.
fn flags(token: &Token) -> [bool; 3] {
    let info = token.info();
    [info.user_pin_count_low(), info.user_pin_final_try(), info.user_pin_locked()]
}

#[test]
fn wrong_pins_lock_the_token_in_all_processes() {
    let name = concat!(module_path!(), "::wrong_pins_lock_the_token_in_all_processes");
    let outside = place::outside(name, |token| {
        token.initialize();
        let session = token.open().unwrap();
        match token.run() {
            0 => {
                assert_eq!(flags(token), [false, false, false]);
                assert_eq!(wrong(&session), RvError::PinIncorrect);
                assert_eq!(flags(token), [true, false, false]);
                log_in(&session).expect("two tries are left");
                assert_eq!(flags(token), [false, false, false], "a right one gives every try back");
                session.logout().unwrap();
                assert_eq!(wrong(&session), RvError::PinIncorrect);
                assert_eq!(wrong(&session), RvError::PinIncorrect);
            }
            1 => {
                assert_eq!(flags(token), [true, true, false], "another process knows");
                assert_eq!(wrong(&session), RvError::PinIncorrect);
            }
            _ => {
                assert_eq!(flags(token), [false, false, true]);
                assert_eq!(code(log_in(&session)), RvError::PinLocked, "the right one comes too late");
                token.control.clear().unwrap();
                log_in(&session).expect("SoftHSM2 never locks");
            }
        }
    });
    if let Some(place) = outside {
        place.control.set(&Script::token(Like { pin_tries: Some(3), ..Like::default() })).unwrap();
        place.run_ok();
        assert_eq!(place.control.wrong_pins(), 2);
        place.run_ok();
        assert_eq!((place.control.wrong_pins(), place.control.calls(Call::Login)), (3, 5));
        place.run_ok();
    }
}

alone! {
    fn an_operator_gives_the_tries_back(token) {
        token.control.set(&Script::token(Like { pin_tries: Some(1), ..Like::default() })).unwrap();
        token.initialize();
        let session = token.open().unwrap();
        assert_eq!(flags(token), [false, true, false]);
        assert_eq!(wrong(&session), RvError::PinIncorrect);
        assert_eq!(code(log_in(&session)), RvError::PinLocked);
        token.control.unlock_pin();
        log_in(&session).unwrap();
    }
}
