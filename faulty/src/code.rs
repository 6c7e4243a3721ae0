//! Return codes by name or number.

use std::fmt;
use std::str::FromStr;

use cryptoki_sys::CK_RV;
use serde::{Deserialize, Serialize};

/// What a call returns: a code of the standard by its name, or any other by its number.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Code(CK_RV);

/// Neither a name of the standard nor a number.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no return code; write a name of the standard (CKR_DEVICE_ERROR) or a number (0x80000001)")]
pub struct UnknownCode(String);

impl Code {
    /// Any code.
    #[must_use]
    pub const fn new(value: CK_RV) -> Self {
        Self(value)
    }

    pub(crate) const fn value(self) -> CK_RV {
        self.0
    }
}

macro_rules! codes {
    ($($name:ident)*) => {
        const NAMES: &[(&str, CK_RV)] = &[$((stringify!($name), cryptoki_sys::$name),)*];

        impl Code {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub const $name: Self = Self(cryptoki_sys::$name);
            )*
        }
    };
}

codes! {
    CKR_OK CKR_CANCEL CKR_HOST_MEMORY CKR_SLOT_ID_INVALID CKR_GENERAL_ERROR CKR_FUNCTION_FAILED
    CKR_ARGUMENTS_BAD CKR_NO_EVENT CKR_NEED_TO_CREATE_THREADS CKR_CANT_LOCK CKR_ATTRIBUTE_READ_ONLY
    CKR_ATTRIBUTE_SENSITIVE CKR_ATTRIBUTE_TYPE_INVALID CKR_ATTRIBUTE_VALUE_INVALID CKR_ACTION_PROHIBITED
    CKR_DATA_INVALID CKR_DATA_LEN_RANGE CKR_DEVICE_ERROR CKR_DEVICE_MEMORY CKR_DEVICE_REMOVED
    CKR_ENCRYPTED_DATA_INVALID CKR_ENCRYPTED_DATA_LEN_RANGE CKR_AEAD_DECRYPT_FAILED CKR_FUNCTION_CANCELED
    CKR_FUNCTION_NOT_PARALLEL CKR_FUNCTION_NOT_SUPPORTED CKR_KEY_HANDLE_INVALID CKR_KEY_SIZE_RANGE
    CKR_KEY_TYPE_INCONSISTENT CKR_KEY_NOT_NEEDED CKR_KEY_CHANGED CKR_KEY_NEEDED CKR_KEY_INDIGESTIBLE
    CKR_KEY_FUNCTION_NOT_PERMITTED CKR_KEY_NOT_WRAPPABLE CKR_KEY_UNEXTRACTABLE CKR_MECHANISM_INVALID
    CKR_MECHANISM_PARAM_INVALID CKR_OBJECT_HANDLE_INVALID CKR_OPERATION_ACTIVE CKR_OPERATION_NOT_INITIALIZED
    CKR_PIN_INCORRECT CKR_PIN_INVALID CKR_PIN_LEN_RANGE CKR_PIN_EXPIRED CKR_PIN_LOCKED CKR_SESSION_CLOSED
    CKR_SESSION_COUNT CKR_SESSION_HANDLE_INVALID CKR_SESSION_PARALLEL_NOT_SUPPORTED CKR_SESSION_READ_ONLY
    CKR_SESSION_EXISTS CKR_SESSION_READ_ONLY_EXISTS CKR_SESSION_READ_WRITE_SO_EXISTS CKR_SIGNATURE_INVALID
    CKR_SIGNATURE_LEN_RANGE CKR_TEMPLATE_INCOMPLETE CKR_TEMPLATE_INCONSISTENT CKR_TOKEN_NOT_PRESENT
    CKR_TOKEN_NOT_RECOGNIZED CKR_TOKEN_WRITE_PROTECTED CKR_UNWRAPPING_KEY_HANDLE_INVALID
    CKR_UNWRAPPING_KEY_SIZE_RANGE CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT CKR_USER_ALREADY_LOGGED_IN
    CKR_USER_NOT_LOGGED_IN CKR_USER_PIN_NOT_INITIALIZED CKR_USER_TYPE_INVALID
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN CKR_USER_TOO_MANY_TYPES CKR_WRAPPED_KEY_INVALID
    CKR_WRAPPED_KEY_LEN_RANGE CKR_WRAPPING_KEY_HANDLE_INVALID CKR_WRAPPING_KEY_SIZE_RANGE
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT CKR_RANDOM_SEED_NOT_SUPPORTED CKR_RANDOM_NO_RNG
    CKR_DOMAIN_PARAMS_INVALID CKR_CURVE_NOT_SUPPORTED CKR_BUFFER_TOO_SMALL CKR_SAVED_STATE_INVALID
    CKR_INFORMATION_SENSITIVE CKR_STATE_UNSAVEABLE CKR_CRYPTOKI_NOT_INITIALIZED
    CKR_CRYPTOKI_ALREADY_INITIALIZED CKR_MUTEX_BAD CKR_MUTEX_NOT_LOCKED CKR_NEW_PIN_MODE CKR_NEXT_OTP
    CKR_EXCEEDED_MAX_ITERATIONS CKR_FIPS_SELF_TEST_FAILED CKR_LIBRARY_LOAD_FAILED CKR_PIN_TOO_WEAK
    CKR_PUBLIC_KEY_INVALID CKR_FUNCTION_REJECTED CKR_TOKEN_RESOURCE_EXCEEDED CKR_OPERATION_CANCEL_FAILED
    CKR_KEY_EXHAUSTED CKR_PENDING CKR_SESSION_ASYNC_NOT_SUPPORTED CKR_SEED_RANDOM_REQUIRED
    CKR_OPERATION_NOT_VALIDATED CKR_TOKEN_NOT_INITIALIZED CKR_PARAMETER_SET_NOT_SUPPORTED
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        if let Some((_, value)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*value));
        }
        let number = match text.strip_prefix("0x") {
            Some(digits) => CK_RV::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.map(Self).map_err(|_| UnknownCode(text.to_owned()))
    }
}

impl TryFrom<String> for Code {
    type Error = UnknownCode;

    fn try_from(text: String) -> Result<Self, UnknownCode> {
        text.parse()
    }
}

impl From<Code> for String {
    fn from(code: Code) -> Self {
        code.to_string()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, value)| *value == self.0) {
            Some((name, _)) => out.write_str(name),
            None => write!(out, "{:#010x}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_codes_by_name_and_by_number() {
        for (text, code) in [
            ("CKR_DEVICE_ERROR", Code::CKR_DEVICE_ERROR),
            ("0x30", Code::CKR_DEVICE_ERROR),
            ("48", Code::CKR_DEVICE_ERROR),
            ("0x80000001", Code::new(0x8000_0001)),
        ] {
            assert_eq!(text.parse::<Code>().unwrap(), code);
            assert_eq!(code.to_string().parse::<Code>().unwrap(), code);
        }
        assert!("CKR_DEVICE_EROR".parse::<Code>().is_err());
    }
}
