#![allow(clippy::unwrap_used, reason = "tests")]

use cryptoki::context::Function;
use cryptoki::error::Rv;

use super::*;

/// What helps after each code of PKCS#11 v3.2, by its number and its name in `pkcs11t.h`. A copy of the arms on purpose: one
/// that moves to another arm has to be moved here, too.
const TABLE: [(Remedy, &[(u64, &str)]); 7] = [
    (
        Remedy::Answer,
        &[
            (0x007, "CKR_ARGUMENTS_BAD"),
            (0x008, "CKR_NO_EVENT"),
            (0x010, "CKR_ATTRIBUTE_READ_ONLY"),
            (0x011, "CKR_ATTRIBUTE_SENSITIVE"),
            (0x012, "CKR_ATTRIBUTE_TYPE_INVALID"),
            (0x013, "CKR_ATTRIBUTE_VALUE_INVALID"),
            (0x01b, "CKR_ACTION_PROHIBITED"),
            (0x020, "CKR_DATA_INVALID"),
            (0x021, "CKR_DATA_LEN_RANGE"),
            (0x040, "CKR_ENCRYPTED_DATA_INVALID"),
            (0x041, "CKR_ENCRYPTED_DATA_LEN_RANGE"),
            (0x042, "CKR_AEAD_DECRYPT_FAILED"),
            (0x051, "CKR_FUNCTION_NOT_PARALLEL"),
            (0x054, "CKR_FUNCTION_NOT_SUPPORTED"),
            (0x062, "CKR_KEY_SIZE_RANGE"),
            (0x063, "CKR_KEY_TYPE_INCONSISTENT"),
            (0x064, "CKR_KEY_NOT_NEEDED"),
            (0x065, "CKR_KEY_CHANGED"),
            (0x066, "CKR_KEY_NEEDED"),
            (0x067, "CKR_KEY_INDIGESTIBLE"),
            (0x068, "CKR_KEY_FUNCTION_NOT_PERMITTED"),
            (0x069, "CKR_KEY_NOT_WRAPPABLE"),
            (0x06a, "CKR_KEY_UNEXTRACTABLE"),
            (0x070, "CKR_MECHANISM_INVALID"),
            (0x071, "CKR_MECHANISM_PARAM_INVALID"),
            (0x0b4, "CKR_SESSION_PARALLEL_NOT_SUPPORTED"),
            (0x0b5, "CKR_SESSION_READ_ONLY"),
            (0x0c0, "CKR_SIGNATURE_INVALID"),
            (0x0c1, "CKR_SIGNATURE_LEN_RANGE"),
            (0x0d0, "CKR_TEMPLATE_INCOMPLETE"),
            (0x0d1, "CKR_TEMPLATE_INCONSISTENT"),
            (0x0e2, "CKR_TOKEN_WRITE_PROTECTED"),
            (0x0f0, "CKR_UNWRAPPING_KEY_HANDLE_INVALID"),
            (0x0f1, "CKR_UNWRAPPING_KEY_SIZE_RANGE"),
            (0x0f2, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT"),
            (0x102, "CKR_USER_PIN_NOT_INITIALIZED"),
            (0x103, "CKR_USER_TYPE_INVALID"),
            (0x110, "CKR_WRAPPED_KEY_INVALID"),
            (0x112, "CKR_WRAPPED_KEY_LEN_RANGE"),
            (0x113, "CKR_WRAPPING_KEY_HANDLE_INVALID"),
            (0x114, "CKR_WRAPPING_KEY_SIZE_RANGE"),
            (0x115, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT"),
            (0x120, "CKR_RANDOM_SEED_NOT_SUPPORTED"),
            (0x121, "CKR_RANDOM_NO_RNG"),
            (0x130, "CKR_DOMAIN_PARAMS_INVALID"),
            (0x140, "CKR_CURVE_NOT_SUPPORTED"),
            (0x150, "CKR_BUFFER_TOO_SMALL"),
            (0x160, "CKR_SAVED_STATE_INVALID"),
            (0x170, "CKR_INFORMATION_SENSITIVE"),
            (0x180, "CKR_STATE_UNSAVEABLE"),
            (0x1b5, "CKR_EXCEEDED_MAX_ITERATIONS"),
            (0x1b9, "CKR_PUBLIC_KEY_INVALID"),
            (0x200, "CKR_FUNCTION_REJECTED"),
            (0x203, "CKR_KEY_EXHAUSTED"),
            (0x205, "CKR_SESSION_ASYNC_NOT_SUPPORTED"),
            (0x206, "CKR_SEED_RANDOM_REQUIRED"),
            (0x207, "CKR_OPERATION_NOT_VALIDATED"),
            (0x209, "CKR_PARAMETER_SET_NOT_SUPPORTED"),
        ],
    ),
    (Remedy::Refind, &[(0x060, "CKR_KEY_HANDLE_INVALID"), (0x082, "CKR_OBJECT_HANDLE_INVALID")]),
    (
        Remedy::Reopen,
        &[
            (0x001, "CKR_CANCEL"),
            (0x005, "CKR_GENERAL_ERROR"),
            (0x006, "CKR_FUNCTION_FAILED"),
            (0x030, "CKR_DEVICE_ERROR"),
            (0x031, "CKR_DEVICE_MEMORY"),
            (0x032, "CKR_DEVICE_REMOVED"),
            (0x050, "CKR_FUNCTION_CANCELED"),
            (0x090, "CKR_OPERATION_ACTIVE"),
            (0x091, "CKR_OPERATION_NOT_INITIALIZED"),
            (0x0b0, "CKR_SESSION_CLOSED"),
            (0x0b1, "CKR_SESSION_COUNT"),
            (0x0b3, "CKR_SESSION_HANDLE_INVALID"),
            (0x0b6, "CKR_SESSION_EXISTS"),
            (0x0b7, "CKR_SESSION_READ_ONLY_EXISTS"),
            (0x0b8, "CKR_SESSION_READ_WRITE_SO_EXISTS"),
            (0x0e0, "CKR_TOKEN_NOT_PRESENT"),
            (0x0e1, "CKR_TOKEN_NOT_RECOGNIZED"),
            (0x201, "CKR_TOKEN_RESOURCE_EXCEEDED"),
            (0x202, "CKR_OPERATION_CANCEL_FAILED"),
            (0x204, "CKR_PENDING"),
        ],
    ),
    (Remedy::LogIn, &[(0x101, "CKR_USER_NOT_LOGGED_IN")]),
    (
        Remedy::Reinitialize,
        &[
            (0x003, "CKR_SLOT_ID_INVALID"),
            (0x100, "CKR_USER_ALREADY_LOGGED_IN"),
            (0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN"),
            (0x105, "CKR_USER_TOO_MANY_TYPES"),
            (0x190, "CKR_CRYPTOKI_NOT_INITIALIZED"),
            (0x208, "CKR_TOKEN_NOT_INITIALIZED"),
        ],
    ),
    (
        Remedy::Restart,
        &[
            (0x002, "CKR_HOST_MEMORY"),
            (0x009, "CKR_NEED_TO_CREATE_THREADS"),
            (0x00a, "CKR_CANT_LOCK"),
            (0x191, "CKR_CRYPTOKI_ALREADY_INITIALIZED"),
            (0x1a0, "CKR_MUTEX_BAD"),
            (0x1a1, "CKR_MUTEX_NOT_LOCKED"),
            (0x1b6, "CKR_FIPS_SELF_TEST_FAILED"),
            (0x1b7, "CKR_LIBRARY_LOAD_FAILED"),
        ],
    ),
    (
        Remedy::Pin,
        &[
            (0x0a0, "CKR_PIN_INCORRECT"),
            (0x0a1, "CKR_PIN_INVALID"),
            (0x0a2, "CKR_PIN_LEN_RANGE"),
            (0x0a3, "CKR_PIN_EXPIRED"),
            (0x0a4, "CKR_PIN_LOCKED"),
            (0x1b0, "CKR_NEW_PIN_MODE"),
            (0x1b1, "CKR_NEXT_OTP"),
            (0x1b8, "CKR_PIN_TOO_WEAK"),
        ],
    ),
];

/// What `cryptoki` makes of a number that a module answers.
fn answered(number: u64) -> Error {
    Rv::from(number).into_result(Function::Sign).unwrap_err()
}

#[test]
fn every_code_of_the_standard_has_its_remedy_and_its_name() {
    for (wanted, codes) in TABLE {
        for (number, name) in codes {
            let error = answered(*number);
            assert_eq!((remedy(&error), code(&error).as_str()), (wanted, *name), "{number:#05x}");
        }
    }
}

const TOKENS: &str = include_str!("../../../../docs/tokens.md");

/// Each code is in the one row of its remedy, which says what callers are told.
#[test]
fn docs_say_what_becomes_of_every_code() {
    let rows: Vec<_> = TOKENS.lines().filter(|line| line.starts_with("| `CKR_")).collect();
    assert_eq!(rows.len(), TABLE.len());
    for (remedy, codes) in TABLE {
        let reason = if remedy == Remedy::Answer { "`TOKEN_FAILED`" } else { "`TOKEN_UNAVAILABLE`" };
        let mut of_remedy: Vec<_> = rows.iter().filter(|row| row.contains(reason)).collect();
        for (_, name) in codes {
            of_remedy.retain(|row| row.contains(&format!("`{name}`")));
            let said = rows.iter().filter(|row| row.contains(&format!("`{name}`"))).count();
            assert_eq!(said, 1, "{name} should be in one row of docs/tokens.md");
        }
        assert_eq!(of_remedy.len(), 1, "{remedy:?} has no row of its own that says {reason}");
    }
}

/// Twice as far as the standard has come.
#[test]
fn a_code_that_no_standard_has_goes_by_its_number_and_may_mean_anything() {
    let known = |number| TABLE.iter().any(|(_, codes)| codes.iter().any(|(known, _)| *known == number));
    for number in (1..0x400).filter(|number| !known(*number)).chain([0x7fff_ffff, 0x8000_0001]) {
        let error = answered(number);
        let said = (remedy(&error), code(&error));
        assert_eq!(said, (Remedy::Reopen, format!("code {number:#010x}")), "the table lacks it");
    }
}

#[test]
fn a_refused_pin_is_never_taken_for_a_broken_session() {
    for code in [RvError::PinIncorrect, RvError::PinLocked, RvError::PinLenRange, RvError::PinExpired] {
        assert!(concerns_pin(&Error::Pkcs11(code, Function::Login)), "{code:?}");
    }
}

#[test]
fn a_dead_session_is_replaced_and_never_kept() {
    let codes = [
        RvError::SessionHandleInvalid,
        RvError::SessionClosed,
        RvError::DeviceError,
        RvError::DeviceRemoved,
        RvError::TokenNotPresent,
        RvError::GeneralError,
        RvError::CryptokiNotInitialized,
        RvError::UserNotLoggedIn,
        RvError::KeyHandleInvalid,
        RvError::VendorDefined(0x8000_0001),
    ];
    for code in codes {
        assert_ne!(remedy(&Error::Pkcs11(code, Function::Sign)), Remedy::Answer, "{code:?}");
    }
}

#[test]
fn a_token_without_a_session_left_is_not_said_to_be_unplugged() {
    let said = advice(&Error::Pkcs11(RvError::SessionCount, Function::OpenSession));
    assert!(
        said.contains("is taken") && said.contains("`sessions`") && !said.contains("connected"),
        "{said}"
    );
    assert!(advice(&Error::Pkcs11(RvError::TokenNotPresent, Function::OpenSession)).contains("connected"));
}

#[test]
fn a_failure_names_call_and_code_as_the_standard_does() {
    let failure = describe(&Error::Pkcs11(RvError::SessionHandleInvalid, Function::SignInit));
    assert_eq!((failure.call.as_str(), failure.code.as_str()), ("C_SignInit", "CKR_SESSION_HANDLE_INVALID"));
    let failure = describe(&Error::Pkcs11(RvError::VendorDefined(0x8000_0001), Function::Sign));
    assert_eq!(failure.code, "code 0x80000001");
}
