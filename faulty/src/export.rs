//! The module as C sees it: the list of functions, most of which only ask the engine and forward.
//!
//! The functions that need more are in `export/`: [`token`] (initialisation, sessions, PINs), [`slot`],
//! [`object`] (finding, attributes), [`sign`].
#![allow(non_snake_case, reason = "the standard's own names")]

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_FUNCTION_LIST, CK_INFO, CK_MECHANISM, CK_OBJECT_HANDLE, CK_RV,
    CK_SESSION_HANDLE, CK_ULONG, CK_UTF8CHAR, CK_VERSION, CKR_ARGUMENTS_BAD, CKR_OK,
};

use self::object::{C_FindObjects, C_FindObjectsFinal, C_FindObjectsInit, C_GetAttributeValue};
use self::sign::{C_Sign, C_SignFinal, C_SignInit, C_SignUpdate};
use self::slot::{
    C_GetMechanismInfo, C_GetMechanismList, C_GetSessionInfo, C_GetSlotInfo, C_GetSlotList, C_InitToken,
    C_WaitForSlotEvent,
};
use self::token::{
    C_CloseAllSessions, C_CloseSession, C_Finalize, C_GetTokenInfo, C_InitPIN, C_Initialize, C_Login,
    C_OpenSession,
};
use crate::Call;
use crate::engine::{Engine, engine};
use crate::real::call;
use crate::session::lock;

mod object;
mod sign;
mod slot;
mod token;

/// Runs a call's body, and makes a code of its result.
fn answer(body: impl FnOnce(&Engine) -> Result<(), CK_RV>) -> CK_RV {
    match engine().and_then(body) {
        Ok(()) => CKR_OK,
        Err(code) => code,
    }
}

/// Functions without a session: `Name C_Name(argument: Type, …);`.
macro_rules! forward {
    ($($name:ident $function:ident($($argument:ident: $kind:ty),*);)*) => { $(
        unsafe extern "C" fn $function($($argument: $kind),*) -> CK_RV {
            answer(|engine| {
                let _entered = engine.enter(Call::$name, None)?;
                call!(engine.real, $function($($argument),*))
            })
        }
    )* };
}

/// Functions on a session, which are told apart by what they do with object handles: `in` are the caller's, to be made
/// the real module's; `out` are places for the real module's, to be made the caller's.
macro_rules! forward_on_session {
    ($($name:ident $function:ident($($argument:ident: $kind:ty),*) in [$($in:ident),*] out [$($out:ident),*];)*) => { $(
        unsafe extern "C" fn $function(session: CK_SESSION_HANDLE $(, $argument: $kind)*) -> CK_RV {
            answer(|engine| {
                let _entered = engine.enter(Call::$name, Some(session))?;
                $(let $in = engine.inward(session, $in);)*
                call!(engine.real, $function(session $(, $argument)*))?;
                // SAFETY: the real module has just written a handle there.
                $(unsafe { engine.rewrite($out) };)*
                Ok(())
            })
        }
    )* };
}

forward! {
    GetInfo C_GetInfo(info: *mut CK_INFO);
}

forward_on_session! {
    SetPIN C_SetPIN(old: *mut CK_UTF8CHAR, old_len: CK_ULONG, new: *mut CK_UTF8CHAR, new_len: CK_ULONG) in [] out [];
    GetOperationState C_GetOperationState(state: *mut CK_BYTE, len: *mut CK_ULONG) in [] out [];
    SetOperationState C_SetOperationState(state: *mut CK_BYTE, len: CK_ULONG, a: CK_OBJECT_HANDLE, b: CK_OBJECT_HANDLE) in [a, b] out [];
    Logout C_Logout() in [] out [];
    CreateObject C_CreateObject(template: *mut CK_ATTRIBUTE, count: CK_ULONG, made: *mut CK_OBJECT_HANDLE) in [] out [made];
    CopyObject C_CopyObject(object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG, made: *mut CK_OBJECT_HANDLE) in [object] out [made];
    DestroyObject C_DestroyObject(object: CK_OBJECT_HANDLE) in [object] out [];
    GetObjectSize C_GetObjectSize(object: CK_OBJECT_HANDLE, size: *mut CK_ULONG) in [object] out [];
    SetAttributeValue C_SetAttributeValue(object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG) in [object] out [];
    EncryptInit C_EncryptInit(mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) in [key] out [];
    Encrypt C_Encrypt(data: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    EncryptUpdate C_EncryptUpdate(data: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    EncryptFinal C_EncryptFinal(to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    DecryptInit C_DecryptInit(mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) in [key] out [];
    Decrypt C_Decrypt(data: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    DecryptUpdate C_DecryptUpdate(data: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    DecryptFinal C_DecryptFinal(to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    DigestInit C_DigestInit(mechanism: *mut CK_MECHANISM) in [] out [];
    Digest C_Digest(data: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    DigestUpdate C_DigestUpdate(data: *mut CK_BYTE, len: CK_ULONG) in [] out [];
    DigestKey C_DigestKey(key: CK_OBJECT_HANDLE) in [key] out [];
    DigestFinal C_DigestFinal(to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    SignRecoverInit C_SignRecoverInit(mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) in [key] out [];
    SignRecover C_SignRecover(data: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    VerifyInit C_VerifyInit(mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) in [key] out [];
    Verify C_Verify(data: *mut CK_BYTE, len: CK_ULONG, signature: *mut CK_BYTE, signature_len: CK_ULONG) in [] out [];
    VerifyUpdate C_VerifyUpdate(data: *mut CK_BYTE, len: CK_ULONG) in [] out [];
    VerifyFinal C_VerifyFinal(signature: *mut CK_BYTE, len: CK_ULONG) in [] out [];
    VerifyRecoverInit C_VerifyRecoverInit(mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) in [key] out [];
    VerifyRecover C_VerifyRecover(signature: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    DigestEncryptUpdate C_DigestEncryptUpdate(data: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    DecryptDigestUpdate C_DecryptDigestUpdate(data: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    SignEncryptUpdate C_SignEncryptUpdate(data: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    DecryptVerifyUpdate C_DecryptVerifyUpdate(data: *mut CK_BYTE, len: CK_ULONG, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [] out [];
    GenerateKey C_GenerateKey(mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, count: CK_ULONG, made: *mut CK_OBJECT_HANDLE) in [] out [made];
    GenerateKeyPair C_GenerateKeyPair(mechanism: *mut CK_MECHANISM, public: *mut CK_ATTRIBUTE, public_count: CK_ULONG, private: *mut CK_ATTRIBUTE, private_count: CK_ULONG, made_public: *mut CK_OBJECT_HANDLE, made_private: *mut CK_OBJECT_HANDLE) in [] out [made_public, made_private];
    WrapKey C_WrapKey(mechanism: *mut CK_MECHANISM, with: CK_OBJECT_HANDLE, key: CK_OBJECT_HANDLE, to: *mut CK_BYTE, to_len: *mut CK_ULONG) in [with, key] out [];
    UnwrapKey C_UnwrapKey(mechanism: *mut CK_MECHANISM, with: CK_OBJECT_HANDLE, wrapped: *mut CK_BYTE, len: CK_ULONG, template: *mut CK_ATTRIBUTE, count: CK_ULONG, made: *mut CK_OBJECT_HANDLE) in [with] out [made];
    DeriveKey C_DeriveKey(mechanism: *mut CK_MECHANISM, from: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG, made: *mut CK_OBJECT_HANDLE) in [from] out [made];
    SeedRandom C_SeedRandom(seed: *mut CK_BYTE, len: CK_ULONG) in [] out [];
    GenerateRandom C_GenerateRandom(to: *mut CK_BYTE, len: CK_ULONG) in [] out [];
    GetFunctionStatus C_GetFunctionStatus() in [] out [];
    CancelFunction C_CancelFunction() in [] out [];
}

impl Engine {
    /// The real module's handle of an object. Finds the private keys first where they have numbers of their own.
    fn inward(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
        self.learn_keys(session);
        lock(&self.objects).inward(object)
    }

    /// Makes a real handle the caller's.
    ///
    /// # Safety
    /// There is a handle at `place`.
    unsafe fn rewrite(&self, place: *mut CK_OBJECT_HANDLE) {
        // SAFETY: as the caller promises.
        unsafe { *place = lock(&self.objects).outward(*place) };
    }

    /// Where the private keys have numbers of their own, finds them, unless that is done or the session cannot.
    fn learn_keys(&self, session: CK_SESSION_HANDLE) {
        if !lock(&self.objects).wants_keys() {
            return;
        }
        if let Ok(keys) = self.real.private_keys(session) {
            lock(&self.objects).set_keys(keys);
        }
    }
}

macro_rules! list {
    ($($function:ident)*) => {
        CK_FUNCTION_LIST { version: CK_VERSION { major: 2, minor: 40 }, $($function: Some($function),)* }
    };
}

static FUNCTIONS: CK_FUNCTION_LIST = list! {
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList
    C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo
    C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject C_DestroyObject C_GetObjectSize
    C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal C_EncryptInit C_Encrypt
    C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest
    C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover
    C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate
    C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey
    C_DeriveKey C_SeedRandom C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
};

/// The module's way in: gives a pointer to its functions. Loads the real module at the first call.
///
/// # Safety
/// `list` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    answer(|engine| {
        let _entered = engine.enter(Call::GetFunctionList, None)?;
        if list.is_null() {
            return Err(CKR_ARGUMENTS_BAD);
        }
        // SAFETY: the caller gave a place for a pointer. Nobody writes through it: the standard's type is not const, its use is.
        unsafe { *list = (&raw const FUNCTIONS).cast_mut() };
        Ok(())
    })
}
