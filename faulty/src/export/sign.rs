//! Signing: damaged signatures, logins for each signature, and operations that end when they fail.

use cryptoki_sys::{
    CK_BYTE, CK_EDDSA_PARAMS, CK_FALSE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_ULONG,
    CKM_EDDSA, CKR_BUFFER_TOO_SMALL, CKR_MECHANISM_PARAM_INVALID, CKR_USER_NOT_LOGGED_IN,
};

use super::answer;
use crate::engine::{Damage, Engine, Entered};
use crate::real::{call, size};
use crate::session::Signing;
use crate::{Call, Token};

/// Longer than any signature.
const LONGEST: usize = 64 * 1024;

pub(super) unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    answer(|engine| {
        let entered = engine.enter(Call::SignInit, Some(session))?;
        // Without a mechanism it ends what was begun (v3.0).
        if !mechanism.is_null() && entered.signing().is_some() {
            engine.board.count_violation();
        }
        let key = engine.inward(session, key);
        // SAFETY: the mechanism is the caller's.
        let mut bare = unsafe { without_parameters(mechanism, &entered.plan.script.token)? };
        let mechanism = bare.as_mut().map_or(mechanism, std::ptr::from_mut);
        call!(engine.real, C_SignInit(session, mechanism, key))?;
        entered.set_signing((!mechanism.is_null()).then(Signing::default));
        Ok(())
    })
}

/// What the real module is shown of a mechanism that must have parameters, where the script wants that; SoftHSM2 looks at none.
///
/// # Safety
/// `mechanism` is null or a mechanism whose parameters are as long as it says.
unsafe fn without_parameters(
    mechanism: *const CK_MECHANISM,
    token: &Token,
) -> Result<Option<CK_MECHANISM>, CK_RV> {
    // SAFETY: as the caller promises.
    let given = unsafe { mechanism.as_ref() };
    let Some(given) = given.filter(|given| token.eddsa_parameters && given.mechanism == CKM_EDDSA) else {
        return Ok(None);
    };
    let parameters: *const CK_EDDSA_PARAMS = given.pParameter.cast();
    if parameters.is_null() || size(given.ulParameterLen)? != size_of::<CK_EDDSA_PARAMS>() {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    // SAFETY: they are of this type's length.
    let parameters = unsafe { parameters.read_unaligned() };
    if parameters.phFlag != CK_FALSE || parameters.ulContextDataLen != 0 {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    Ok(Some(CK_MECHANISM { pParameter: std::ptr::null_mut(), ulParameterLen: 0, ..*given }))
}

pub(super) unsafe extern "C" fn C_SignUpdate(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
) -> CK_RV {
    answer(|engine| {
        let entered = engine.enter(Call::SignUpdate, Some(session))?;
        if !entered.plan.script.token.always_authenticate {
            return call!(engine.real, C_SignUpdate(session, data, length));
        }
        entered.authenticated()?;
        // SAFETY: the caller gave data of this length.
        entered.keep_part(unsafe { bytes(data, length)? });
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: *mut CK_ULONG,
) -> CK_RV {
    let real =
        |engine: &Engine, to, to_length| call!(engine.real, C_Sign(session, data, length, to, to_length));
    // SAFETY: the buffer is the caller's.
    unsafe { finish(Call::Sign, session, signature, signature_length, real) }
}

pub(super) unsafe extern "C" fn C_SignFinal(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    signature_length: *mut CK_ULONG,
) -> CK_RV {
    let real = |engine: &Engine, to, to_length| {
        let signing = engine.sessions.get(session).and_then(|session| session.signing());
        match signing.and_then(|signing| signing.parts) {
            None => call!(engine.real, C_SignFinal(session, to, to_length)),
            Some(mut whole) => {
                let length = u64::try_from(whole.len()).unwrap_or(u64::MAX);
                call!(engine.real, C_Sign(session, whole.as_mut_ptr(), length, to, to_length))
            }
        }
    };
    // SAFETY: the buffer is the caller's.
    unsafe { finish(Call::SignFinal, session, signature, signature_length, real) }
}

/// Ends a signature as the script has it. Without a buffer it only asks for the length, which the script leaves alone.
///
/// # Safety
/// `signature` is null or as long as `length` says.
unsafe fn finish(
    function: Call,
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    length: *mut CK_ULONG,
    real: impl Fn(&Engine, *mut CK_BYTE, *mut CK_ULONG) -> Result<(), CK_RV>,
) -> CK_RV {
    answer(|engine| {
        if signature.is_null() {
            engine.board.count_length_query();
            let _entered = engine.admit(function, Some(session))?;
            return real(engine, signature, length);
        }
        let entered = engine
            .enter(function, Some(session))
            .and_then(|entered| entered.authenticated().map(|()| entered))
            .inspect_err(|_| abandon(engine, session, &real))?;
        let result = real(engine, signature, length);
        if result != Err(CKR_BUFFER_TOO_SMALL) {
            entered.set_signing(None);
        }
        result?;
        // SAFETY: the real module has just written a signature of this length.
        unsafe { damage(entered.damage, signature, &mut *length) }
    })
}

/// Ends the real module's operation of a signature that is not to be.
fn abandon(
    engine: &Engine,
    session: CK_SESSION_HANDLE,
    real: &impl Fn(&Engine, *mut CK_BYTE, *mut CK_ULONG) -> Result<(), CK_RV>,
) {
    let mut scratch = vec![0; LONGEST];
    let mut length = u64::try_from(scratch.len()).unwrap_or(u64::MAX);
    // What comes of it is nobody's.
    let _ = real(engine, scratch.as_mut_ptr(), &raw mut length);
    if let Some(session) = engine.sessions.get(session) {
        session.set_signing(None);
    }
}

/// Does to a signature what the script has for it.
///
/// # Safety
/// There is a signature of `length` bytes.
unsafe fn damage(
    damage: Option<Damage>,
    signature: *mut CK_BYTE,
    length: &mut CK_ULONG,
) -> Result<(), CK_RV> {
    match damage {
        Some(Damage::Wrong) => {
            // SAFETY: as the caller promises.
            let bytes = unsafe { std::slice::from_raw_parts_mut(signature, size(*length)?) };
            bytes.iter_mut().skip(1).take(1).for_each(|byte| *byte ^= 1);
        }
        Some(Damage::Short) => *length = length.saturating_sub(1),
        None => {}
    }
    Ok(())
}

/// # Safety
/// `data` is null or as long as that.
unsafe fn bytes<'a>(data: *const CK_BYTE, length: CK_ULONG) -> Result<&'a [u8], CK_RV> {
    if data.is_null() {
        return Ok(&[]);
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts(data, size(length)?) })
}

impl Entered {
    fn signing(&self) -> Option<Signing> {
        self.busy.as_ref().and_then(|busy| busy.session.signing())
    }

    fn set_signing(&self, signing: Option<Signing>) {
        if let Some(busy) = &self.busy {
            busy.session.set_signing(signing);
        }
    }

    /// Keeps data for the end: many modules take a raw mechanism's in one piece only.
    fn keep_part(&self, part: &[u8]) {
        if let Some(mut signing) = self.signing() {
            signing.parts.get_or_insert_default().extend_from_slice(part);
            self.set_signing(Some(signing));
        }
    }

    /// # Errors
    /// If each signature needs a login, and this one has had none.
    fn authenticated(&self) -> Result<(), CK_RV> {
        let missing = self.signing().is_some_and(|signing| !signing.authenticated);
        if self.plan.script.token.always_authenticate && missing {
            Err(CKR_USER_NOT_LOGGED_IN)
        } else {
            Ok(())
        }
    }
}
