//! What a token does to sessions: expires them, counts them, logs them out.

use std::time::Duration;

use countersign_faulty::{Action, Call, On, Script, Token as Like};
use cryptoki::error::RvError;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Limit;
use cryptoki::types::AuthPin;
use cryptoki_sys::{CK_SESSION_INFO, CKR_OK};

use crate::place::{DIGEST, PATIENCE, PIN, code, functions, log_in, open_in_c, private_key, sign, verifies};

alone! {
    fn an_idle_session_expires_and_another_takes_its_place(token) {
        const IDLE: Duration = Duration::from_millis(50);
        let session = token.log_in();
        let key = private_key(&session, "a");
        let expires = Like { expire_idle_millis: Some(50), ..Like::default() };
        token.control.set(&Script::token(expires)).unwrap();
        let busy = token.open().unwrap();
        sign(&busy, key).unwrap();
        std::thread::sleep(IDLE * 2);
        assert_eq!(code(sign(&busy, key)), RvError::SessionHandleInvalid);
        assert_eq!(code(busy.get_session_info()), RvError::SessionHandleInvalid, "for good");
        assert_eq!(token.control.expired(), 1, "it died once");
        let fresh = token.open().unwrap();
        sign(&fresh, key).expect("the login outlives the session");

        token.control.clear().unwrap();
        std::thread::sleep(IDLE * 2);
        sign(&fresh, key).unwrap();
    }
}

alone! {
    fn a_token_has_so_many_sessions_and_says_so(token) {
        token.initialize();
        let two = Like { max_sessions: Some(2), ..Like::default() };
        token.control.set(&Script::token(two)).unwrap();
        let info = token.info();
        assert!(matches!(info.max_session_count(), Limit::Max(2)), "{:?}", info.max_session_count());
        let (first, _second) = (token.open().unwrap(), token.open().unwrap());
        assert_eq!(code(token.open()), RvError::SessionCount);
        drop(first);
        let _third = token.open().unwrap();
        assert_eq!(code(token.open()), RvError::SessionCount);
        assert_eq!(token.control.capped(), 2);
        token.control.clear().unwrap();
        token.open().unwrap();
        assert!(!matches!(token.info().max_session_count(), Limit::Max(2)));
    }
}

alone! {
    fn closing_any_session_logs_out(token) {
        let session = token.log_in();
        let key = private_key(&session, "a");
        drop(token.open().unwrap());
        sign(&session, key).expect("not without a script");
        token.control.set(&Script::token(Like { logout_on_close: true, ..Like::default() })).unwrap();
        drop(token.open().unwrap());
        assert!(sign(&session, key).is_err());
        log_in(&session).expect("it was logged out");
        token.control.clear().unwrap();
        let key = private_key(&session, "a");
        drop(token.open().unwrap());
        sign(&session, key).unwrap();
    }
}

alone! {
    fn a_signature_begun_within_another_is_counted(token) {
        token.control.expect_violations();
        let session = token.log_in();
        let key = private_key(&session, "a");
        session.sign_init(&Mechanism::Ecdsa, key).unwrap();
        assert_eq!(token.control.violations(), 0);
        assert_eq!(code(session.sign_init(&Mechanism::Ecdsa, key)), RvError::OperationActive);
        assert_eq!(token.control.violations(), 1);
    }
}

alone! {
    fn two_calls_at_once_in_one_session_are_counted(token) {
        token.control.expect_violations();
        token.initialize();
        let slot = token.slot().id();
        let functions = functions();
        let session = open_in_c(&functions, slot);
        let info = || {
            let (ask, mut info) = (functions.C_GetSessionInfo.unwrap(), CK_SESSION_INFO::default());
            // SAFETY: the arguments are as the standard wants them.
            unsafe { ask(session, &raw mut info) }
        };
        assert_eq!((info(), token.control.violations()), (CKR_OK, 0));
        let hang = On::call(Call::GetSessionInfo, Action::Hang).times(1);
        token.control.set(&Script::on(hang)).unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(info);
            assert!(token.control.wait_until(PATIENCE, |control| control.hangs(Call::GetSessionInfo) == 1));
            assert_eq!((info(), token.control.violations()), (CKR_OK, 1));
            token.control.clear().unwrap();
            assert_eq!(first.join().unwrap(), CKR_OK);
        });
        assert_eq!((info(), token.control.violations()), (CKR_OK, 1));
    }
}

alone! {
    fn each_signature_wants_a_login_of_its_own(token) {
        let always = Like { always_authenticate: true, ..Like::default() };
        token.control.set(&Script::token(always)).unwrap();
        let session = token.log_in();
        let key = private_key(&session, "a");
        assert!(always_authenticate(&session, key));
        assert_eq!(code(sign(&session, key)), RvError::UserNotLoggedIn);
        let context = |pin: &str| session.login(UserType::ContextSpecific, Some(&AuthPin::new(pin.into())));
        assert_eq!(code(context(PIN)), RvError::OperationNotInitialized, "nothing was begun");
        for _ in 0..3 {
            session.sign_init(&Mechanism::Ecdsa, key).unwrap();
            assert_eq!(code(context("00000000")), RvError::PinIncorrect);
            context(PIN).unwrap();
            DIGEST.chunks(16).for_each(|part| session.sign_update(part).unwrap());
            assert!(verifies(&session, "a", &session.sign_final().unwrap()));
        }
        token.control.clear().unwrap();
        assert!(!always_authenticate(&session, key));
        sign(&session, key).unwrap();
        assert_eq!(token.control.violations(), 0);
    }
}

fn always_authenticate(session: &Session, key: ObjectHandle) -> bool {
    let told = session.get_attributes(key, &[AttributeType::AlwaysAuthenticate]).unwrap();
    matches!(told[..], [Attribute::AlwaysAuthenticate(true)])
}
