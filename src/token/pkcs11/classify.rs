//! What to do about each PKCS#11 return code. Sources: PKCS#11 v2.40 base §5.1 and v3.2 §5.1 for what a code means, field-notes
//! R1, R2, R9 and R34 for what modules really mean by it.
//!
//! `RvError` is not `non_exhaustive`, and the match may have no `_` arm: a new code must be decided by a person. So are those that
//! `cryptoki` has no name for ([`unnamed`]). The tests hold the whole table.

use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};

use crate::token::frame::CallFailure;

/// What helps after a failed call: the lowest rung of the ladder (`ladder`) that may, or what to do instead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remedy {
    /// Nothing is broken: this call was wrong, another may be right.
    Answer,
    /// The handles are stale: find the keys again.
    Refind,
    /// The session is dead, or whatever is dead may be so for this session only: open it again.
    Reopen,
    /// Nobody is logged in: log in again.
    LogIn,
    /// The module is in no state to work: finalise and initialise it (R2: yubihsm-shell#541, krill#761).
    Reinitialize,
    /// This process is in no state to work: only a fresh one is.
    Restart,
    /// An operator must act, and no login may be tried meanwhile (R9).
    Pin,
}

/// What helps after `error`.
pub(super) fn remedy(error: &Error) -> Remedy {
    match error {
        Error::Pkcs11(code, _) => remedy_of_code(*code),
        // None is of the module's state, only of what there is of it. It has no such function (v2.40 base §5.1: where it has
        // none there is a null pointer), or what it answered is nothing that `cryptoki` 0.12 knows: a kind of object or of
        // mechanism, a truth value that is neither (`object.rs`, `types.rs`). It will answer the same again.
        Error::NotSupported
        | Error::NullFunctionPointer
        | Error::MissingSymbol(_)
        | Error::InvalidValue
        // `cryptoki` 0.12 makes neither: no path, and no PIN that it kept.
        | Error::NulError(_)
        | Error::PinNotSet => Remedy::Answer,
        // The library is not there, or not what its file says, which loading it once more in this process does not change
        // (dlopen(3) has it in memory). And what a module that was well cannot have said: a length that is none, a value
        // shorter than its own type, a time that is no digits (`cryptoki` 0.12, where it reads answers): its memory may be gone.
        Error::LibraryLoading(_)
        | Error::TryFromInt(_)
        | Error::TryFromSlice(_)
        | Error::ParseInt(_)
        | Error::Utf8(_) => Remedy::Restart,
    }
}

#[deny(clippy::wildcard_enum_match_arm, reason = "a new code must be decided by a person")]
fn remedy_of_code(code: RvError) -> Remedy {
    match code {
        // The arguments of this call, or the attributes of this key (base §5.1.6): the next call may be right.
        RvError::ArgumentsBad
        | RvError::AttributeReadOnly
        | RvError::AttributeSensitive
        | RvError::AttributeTypeInvalid
        | RvError::AttributeValueInvalid
        | RvError::ActionProhibited
        | RvError::DataInvalid
        | RvError::DataLenRange
        | RvError::EncryptedDataInvalid
        | RvError::EncryptedDataLenRange
        | RvError::FunctionNotParallel
        | RvError::FunctionNotSupported
        | RvError::CurveNotSupported
        | RvError::KeySizeRange
        | RvError::KeyTypeInconsistent
        | RvError::KeyNotNeeded
        | RvError::KeyChanged
        | RvError::KeyNeeded
        | RvError::KeyIndigestible
        | RvError::KeyFunctionNotPermitted
        | RvError::KeyNotWrappable
        | RvError::KeyUnextractable
        | RvError::MechanismInvalid
        | RvError::MechanismParamInvalid
        | RvError::SignatureInvalid
        | RvError::SignatureLenRange
        | RvError::TemplateIncomplete
        | RvError::TemplateInconsistent
        | RvError::TokenWriteProtected
        | RvError::UnwrappingKeyHandleInvalid
        | RvError::UnwrappingKeySizeRange
        | RvError::UnwrappingKeyTypeInconsistent
        | RvError::WrappedKeyInvalid
        | RvError::WrappedKeyLenRange
        | RvError::WrappingKeyHandleInvalid
        | RvError::WrappingKeySizeRange
        | RvError::WrappingKeyTypeInconsistent
        | RvError::RandomSeedNotSupported
        | RvError::RandomNoRng
        | RvError::DomainParamsInvalid
        | RvError::BufferTooSmall
        | RvError::SavedStateInvalid
        | RvError::InformationSensitive
        | RvError::StateUnsaveable
        | RvError::ExceededMaxIterations
        | RvError::PublicKeyInvalid
        | RvError::NoEvent
        | RvError::SessionReadOnly
        | RvError::SessionParallelNotSupported
        // The module knows no CKU_CONTEXT_SPECIFIC (base §5.6, C_Login): nor will it.
        | RvError::UserTypeInvalid
        // Nobody has set a user PIN (base §5.1.6): no rung does, and what was shown to the token was compared with none. An operator's business.
        | RvError::UserPinNotInitialized
        // A person at the token said no to this one (v3.0 §5.1.6); a try again would ask them again.
        | RvError::FunctionRejected => Remedy::Answer,

        // The handle denotes nothing any more, in a session that answers (R20: pkcs11-provider#494; base §5.1.6).
        RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid => Remedy::Refind,

        // The session is gone (R1: boulder#3468, parsec#607), or an operation was left half done in it.
        RvError::SessionClosed
        | RvError::SessionHandleInvalid
        | RvError::SessionExists
        | RvError::SessionReadOnlyExists
        | RvError::SessionReadWriteSoExists
        | RvError::OperationActive
        | RvError::OperationNotInitialized
        | RvError::Cancel
        | RvError::FunctionCanceled
        // The device: for ykcs11 and OpenSC a new session is enough, p11-kit wants C_Finalize, tpm2-pkcs11 says
        // GENERAL_ERROR and wants it, too. The ladder finds out (R1, R2; the closed list of thin-edge.io#4353).
        | RvError::GeneralError
        | RvError::FunctionFailed
        | RvError::DeviceError
        | RvError::DeviceMemory
        | RvError::DeviceRemoved
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        | RvError::SessionCount
        // A vendor's own code may mean anything, a lost connection above all (yubihsm, CloudHSM).
        | RvError::VendorDefined(_) => Remedy::Reopen,

        // So may one below theirs that no version of the standard has.
        RvError::UnknownErrorCode(number) => unnamed(number).map_or(Remedy::Reopen, |(_, remedy)| remedy),

        // Another session's logout or end took this one's login (R3: cfssl#404, SoftHSMv2#509; R4: crypto11#9).
        RvError::UserNotLoggedIn => Remedy::LogIn,

        // The module was finalised behind our back (R41), numbers its slots anew (R17), or has somebody else logged in.
        RvError::CryptokiNotInitialized
        | RvError::SlotIdInvalid
        | RvError::UserAlreadyLoggedIn
        | RvError::UserAnotherAlreadyLoggedIn
        | RvError::UserTooManyTypes => Remedy::Reinitialize,

        // Memory, locks and self-tests of the module: nothing that it does afterwards can be trusted (base §5.1.1, §5.1.4).
        RvError::HostMemory
        | RvError::CryptokiAlreadyInitialized
        | RvError::NeedToCreateThreads
        | RvError::CantLock
        | RvError::MutexBad
        | RvError::MutexNotLocked
        | RvError::FipsSelfTestFailed
        | RvError::LibraryLoadFailed => Remedy::Restart,

        // C_Login (base §5.6) and what sets a PIN (R9: krill retries these, which locks tokens).
        RvError::PinIncorrect
        | RvError::PinInvalid
        | RvError::PinLenRange
        | RvError::PinExpired
        | RvError::PinLocked
        | RvError::PinTooWeak
        | RvError::NewPinMode
        | RvError::NextOtp => Remedy::Pin,
    }
}

/// A code of the standard that `cryptoki` 0.12 hands on as a number: its name, and what helps. The numbers are those of
/// the header of PKCS#11 v3.2 (`pkcs11t.h`).
fn unnamed(number: u64) -> Option<(&'static str, Remedy)> {
    Some(match number {
        // An authenticated text that was tampered with (v3.0 §5.1.6): of decryption, as `EncryptedDataInvalid`.
        0x042 => ("CKR_AEAD_DECRYPT_FAILED", Remedy::Answer),
        // Too much of something is taken, as with `DeviceMemory` and `SessionCount`: what a session holds it gives back
        // when it is closed. kryoptic says so of a database that somebody else has locked.
        0x201 => ("CKR_TOKEN_RESOURCE_EXCEEDED", Remedy::Reopen),
        // C_SessionCancel could not end what was begun in the session (v3.0 §5.1.6), as `OperationActive`.
        0x202 => ("CKR_OPERATION_CANCEL_FAILED", Remedy::Reopen),
        // A key of one-time signatures has none left (v3.1, HSS and XMSS): it will have none after any rung.
        0x203 => ("CKR_KEY_EXHAUSTED", Remedy::Answer),
        // The operation goes on without us (v3.2 §5.1.6), in a session that nobody asked to be asynchronous: half done.
        0x204 => ("CKR_PENDING", Remedy::Reopen),
        // The token has no sessions of this kind (v3.2 §5.1.6), as `SessionParallelNotSupported`.
        0x205 => ("CKR_SESSION_ASYNC_NOT_SUPPORTED", Remedy::Answer),
        // Its random numbers want a seed by C_SeedRandom (v3.2 §5.1.6), which is no rung: an operator's business.
        0x206 => ("CKR_SEED_RANDOM_REQUIRED", Remedy::Answer),
        // What was asked for is outside what the token is validated for (v3.2 §5.1.1): so it stays.
        0x207 => ("CKR_OPERATION_NOT_VALIDATED", Remedy::Answer),
        // The token in this slot is as it left the factory (v3.2 §5.1.3). It was not when it was opened: the slots may have
        // other numbers now (R17), and only C_Initialize has them looked through again, by the token's name.
        0x208 => ("CKR_TOKEN_NOT_INITIALIZED", Remedy::Reinitialize),
        // Of ML-DSA and its kin (v3.2 §5.1.6), as `CurveNotSupported`.
        0x209 => ("CKR_PARAMETER_SET_NOT_SUPPORTED", Remedy::Answer),
        _ => return None,
    })
}

/// Whether the PIN is at fault, so that it must not be tried again.
pub(super) fn concerns_pin(error: &Error) -> bool {
    remedy(error) == Remedy::Pin
}

/// Whether the token says that it has no user PIN, so that none was tried (base §5.1.6: it "has not yet been initialized with `C_InitPIN`").
pub(super) fn lacks_pin(error: &Error) -> bool {
    matches!(error, Error::Pkcs11(RvError::UserPinNotInitialized, _))
}

/// Whether `C_Login` says of its session, or of its arguments, what it finds before it looks at a PIN (base §5.6, C_Login): no try is spent
/// then. A session that is closed *during* a call (`CKR_SESSION_CLOSED`, base §5.1.2) is none of these.
pub(super) fn precedes_pin(error: &Error) -> bool {
    let Error::Pkcs11(code, _) = error else { return false };
    matches!(
        code,
        RvError::CryptokiNotInitialized
            | RvError::SessionHandleInvalid
            | RvError::SessionReadOnlyExists
            | RvError::OperationActive
            | RvError::OperationNotInitialized
            | RvError::UserAnotherAlreadyLoggedIn
            | RvError::UserTooManyTypes
            | RvError::UserTypeInvalid
    )
}

/// Whether the handle of a key that has signed may denote something else now, for it does not fit the mechanism that it was found for
/// (R20; base §5.1.6): `C_SignInit` has not seen what is to be signed.
pub(super) fn doubts_handle(error: &Error) -> bool {
    let Error::Pkcs11(code, Function::SignInit) = error else { return false };
    matches!(
        code,
        RvError::KeyTypeInconsistent
            | RvError::KeyFunctionNotPermitted
            | RvError::KeySizeRange
            | RvError::MechanismInvalid
    )
}

/// Whether a try to sign failed no earlier than when the token was given what is to be signed. What `cryptoki` says itself may have come
/// of an answer.
pub(super) fn reached_token(error: &Error) -> bool {
    match error {
        Error::Pkcs11(_, function) => {
            matches!(function, Function::Sign | Function::SignUpdate | Function::SignFinal)
        }
        _ => true,
    }
}

/// The call and the code by name, as an operator finds them in the vendor's manual. Never the standard's prose.
pub(in crate::token) fn describe(error: &Error) -> CallFailure {
    let call = match error {
        Error::Pkcs11(_, function) => format!("C_{function:?}"),
        _ => "the module".to_owned(),
    };
    CallFailure { call, code: code(error) }
}

/// The code alone: `CKR_DEVICE_ERROR`.
pub(crate) fn code(error: &Error) -> String {
    match error {
        Error::Pkcs11(RvError::VendorDefined(code), _) => number(*code),
        Error::Pkcs11(RvError::UnknownErrorCode(code), _) => {
            unnamed(*code).map_or_else(|| number(*code), |(name, _)| name.to_owned())
        }
        Error::Pkcs11(code, _) => ckr_name(&format!("{code:?}")),
        other => other.to_string(),
    }
}

/// What an operator can do, in a few words.
pub(super) fn advice(error: &Error) -> &'static str {
    if let Error::Pkcs11(RvError::SessionCount, _) = error {
        return "every session that the token allows is taken: stop the signer or whatever else uses the token, or lower `sessions`, \
                if this is to run beside it";
    }
    if lacks_pin(error) {
        return super::NO_PIN;
    }
    match remedy(error) {
        Remedy::Answer => "the module may lack a function or a mechanism; check its documentation",
        Remedy::Refind | Remedy::LogIn => "another program may have ended the login",
        Remedy::Reopen | Remedy::Reinitialize | Remedy::Restart => {
            "check that the token is connected and that this user may use it"
        }
        Remedy::Pin => "check `pin_file`",
    }
}

/// A code that has no name.
fn number(code: u64) -> String {
    format!("code {code:#010x}")
}

/// `SessionHandleInvalid` as `CKR_SESSION_HANDLE_INVALID`.
fn ckr_name(variant: &str) -> String {
    let mut name = "CKR".to_owned();
    for letter in variant.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests;
