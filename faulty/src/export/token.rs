//! Initialisation, sessions and PINs: where a token's limits and its memory of wrong PINs are played.

use std::ffi::c_void;
use std::hash::{DefaultHasher, Hasher};

use cryptoki_sys::{
    CK_FLAGS, CK_NOTIFY, CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID, CK_TOKEN_INFO, CK_ULONG, CK_USER_TYPE,
    CK_UTF8CHAR, CKF_LOGIN_REQUIRED, CKF_PROTECTED_AUTHENTICATION_PATH, CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED, CKR_FUNCTION_CANCELED, CKR_OPERATION_NOT_INITIALIZED,
    CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_SESSION_COUNT, CKU_CONTEXT_SPECIFIC, CKU_USER,
};

use super::answer;
use crate::Call;
use crate::engine::{Engine, Entered};
use crate::real::{call, size};
use crate::session::{Signing, lock};

pub(super) unsafe extern "C" fn C_Initialize(arguments: *mut c_void) -> CK_RV {
    answer(|engine| {
        let entered = engine.enter(Call::Initialize, None)?;
        call!(engine.real, C_Initialize(arguments))?;
        let token = &entered.plan.script.token;
        lock(&engine.objects).initialized(token.renumber);
        let epoch = token.renumber_slots.then(|| engine.board.calls(Call::Initialize));
        lock(&engine.slots).initialized(epoch);
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    answer(|engine| {
        let _entered = engine.enter(Call::Finalize, None)?;
        call!(engine.real, C_Finalize(reserved))?;
        engine.finalized();
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    answer(|engine| {
        let entered = engine.enter(Call::GetTokenInfo, None)?;
        let slot = lock(&engine.slots).inward(slot)?;
        call!(engine.real, C_GetTokenInfo(slot, info))?;
        // SAFETY: the real module has just filled it in, and the caller holds it until the call returns.
        let info = unsafe { &mut *info };
        let token = &entered.plan.script.token;
        if let Some(most) = token.max_sessions {
            (info.ulMaxSessionCount, info.ulMaxRwSessionCount) = (most.into(), most.into());
            info.ulSessionCount = engine.sessions.alive(slot);
        }
        if token.needs_no_login.is_some() {
            info.flags &= !CKF_LOGIN_REQUIRED;
        }
        if token.pad.is_some() {
            info.flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
        }
        if let Some(tries) = token.pin_tries {
            info.flags &= !(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED);
            info.flags |= pin_flags(engine.board.wrong_pins(), tries.into());
        }
        Ok(())
    })
}

/// What a token says of its user PIN after so many wrong ones.
fn pin_flags(wrong: u64, tries: u64) -> CK_FLAGS {
    let low = if wrong > 0 { CKF_USER_PIN_COUNT_LOW } else { 0 };
    let last = if wrong + 1 == tries { CKF_USER_PIN_FINAL_TRY } else { 0 };
    if wrong >= tries { CKF_USER_PIN_LOCKED } else { low | last }
}

pub(super) unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: *mut c_void,
    notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    answer(|engine| {
        let entered = engine.enter(Call::OpenSession, None)?;
        let slot = lock(&engine.slots).inward(slot)?;
        let _one_at_a_time = lock(&engine.opening);
        let most = entered.plan.script.token.max_sessions;
        if most.is_some_and(|most| engine.sessions.alive(slot) >= most.into()) {
            engine.board.count_capped();
            return Err(CKR_SESSION_COUNT);
        }
        call!(engine.real, C_OpenSession(slot, flags, application, notify, session))?;
        // SAFETY: the real module has just written the handle there.
        let session = unsafe { *session };
        engine.sessions.opened(session, slot);
        if let Some(pin) = &entered.plan.script.token.needs_no_login {
            log_in_unasked(engine, session, pin.clone().into_bytes());
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    answer(|engine| {
        let known = engine.sessions.get(session);
        let entered = match engine.enter(Call::CloseSession, Some(session)) {
            Ok(entered) => entered,
            Err(code) => {
                if known.is_some_and(|session| session.dead().is_some()) {
                    let _ = call!(engine.real, C_CloseSession(session));
                    engine.sessions.closed(session);
                }
                return Err(code);
            }
        };
        call!(engine.real, C_CloseSession(session))?;
        engine.sessions.closed(session);
        let slot = entered.busy.as_ref().map(|busy| busy.session.slot());
        if entered.plan.script.token.logout_on_close
            && let Some(sibling) = slot.and_then(|slot| engine.sessions.sibling(slot))
        {
            // Nobody need have been logged in.
            let _ = call!(engine.real, C_Logout(sibling));
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    answer(|engine| {
        let _entered = engine.enter(Call::CloseAllSessions, None)?;
        let slot = lock(&engine.slots).inward(slot)?;
        call!(engine.real, C_CloseAllSessions(slot))?;
        engine.sessions.closed_all(slot);
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_InitPIN(
    session: CK_SESSION_HANDLE,
    pin: *mut CK_UTF8CHAR,
    length: CK_ULONG,
) -> CK_RV {
    answer(|engine| {
        let _entered = engine.enter(Call::InitPIN, Some(session))?;
        call!(engine.real, C_InitPIN(session, pin, length))?;
        engine.board.forget_wrong_pins();
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    length: CK_ULONG,
) -> CK_RV {
    answer(|engine| {
        let entered = engine.enter(Call::Login, Some(session))?;
        let token = &entered.plan.script.token;
        let is_users = user == CKU_USER || user == CKU_CONTEXT_SPECIFIC;
        if is_users && token.pin_tries.is_some_and(|tries| engine.board.wrong_pins() >= tries.into()) {
            return Err(CKR_PIN_LOCKED);
        }
        let mut typed = token.pad.clone().filter(|_| pin.is_null()).map(String::into_bytes);
        if typed.as_ref().is_some_and(Vec::is_empty) {
            return Err(CKR_FUNCTION_CANCELED);
        }
        let (pin, length) = match &mut typed {
            Some(typed) => (typed.as_mut_ptr(), CK_ULONG::try_from(typed.len()).unwrap_or_default()),
            None => (pin, length),
        };
        // SAFETY: the caller gave a PIN of this length, or it is what was typed, which lives until the call returns.
        let hash = unsafe { hash(pin, size(length)?) };
        let result = if user == CKU_CONTEXT_SPECIFIC && token.always_authenticate {
            authenticate(engine, &entered, hash)
        } else {
            call!(engine.real, C_Login(session, user, pin, length))
        };
        if is_users {
            remember(engine, result, hash);
        }
        engine.leave(Call::Login, &entered, result)
    })
}

/// Without which the real module would show no private key. One that is logged in already is so.
fn log_in_unasked(engine: &Engine, session: CK_SESSION_HANDLE, mut pin: Vec<u8>) {
    let length = CK_ULONG::try_from(pin.len()).unwrap_or_default();
    let _ = call!(engine.real, C_Login(session, CKU_USER, pin.as_mut_ptr(), length));
    // SAFETY: the PIN has this length.
    *lock(&engine.pin) = Some(unsafe { hash(pin.as_ptr(), pin.len()) });
}

/// The login for one signature, which was begun: the PIN must be the one that the user logged in with.
fn authenticate(engine: &Engine, entered: &Entered, hash: u64) -> Result<(), CK_RV> {
    let session = entered.busy.as_ref().map(|busy| &busy.session);
    let begun = session.and_then(|session| Some((session, session.signing()?)));
    let (session, signing) = begun.ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
    if *lock(&engine.pin) != Some(hash) {
        return Err(CKR_PIN_INCORRECT);
    }
    session.set_signing(Some(Signing { authenticated: true, ..signing }));
    Ok(())
}

/// What the token learns from a login.
fn remember(engine: &Engine, result: Result<(), CK_RV>, hash: u64) {
    match result {
        Ok(()) => {
            *lock(&engine.pin) = Some(hash);
            engine.board.forget_wrong_pins();
            engine.logged_in();
        }
        Err(CKR_PIN_INCORRECT) => engine.board.count_wrong_pin(),
        Err(_) => {}
    }
}

/// A PIN that can be compared and not read.
///
/// # Safety
/// `pin` is null or `length` bytes.
unsafe fn hash(pin: *const CK_UTF8CHAR, length: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    if !pin.is_null() {
        // SAFETY: as the caller promises.
        hasher.write(unsafe { std::slice::from_raw_parts(pin, length) });
    }
    hasher.finish()
}
