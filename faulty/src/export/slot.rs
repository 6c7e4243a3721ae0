//! Slots: listed and described under the numbers that they have for the caller.

use std::ffi::c_void;

use cryptoki_sys::{
    CK_BBOOL, CK_FLAGS, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO,
    CK_SLOT_ID, CK_SLOT_INFO, CK_ULONG, CK_UTF8CHAR,
};

use super::answer;
use crate::Call;
use crate::real::{call, size};
use crate::session::lock;

/// Functions of a slot: `Name C_Name(argument: Type, …);`.
macro_rules! forward_on_slot {
    ($($name:ident $function:ident($($argument:ident: $kind:ty),*);)*) => { $(
        pub(super) unsafe extern "C" fn $function(slot: CK_SLOT_ID $(, $argument: $kind)*) -> CK_RV {
            answer(|engine| {
                let _entered = engine.enter(Call::$name, None)?;
                let slot = lock(&engine.slots).inward(slot)?;
                call!(engine.real, $function(slot $(, $argument)*))
            })
        }
    )* };
}

forward_on_slot! {
    GetSlotInfo C_GetSlotInfo(info: *mut CK_SLOT_INFO);
    GetMechanismList C_GetMechanismList(list: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG);
    GetMechanismInfo C_GetMechanismInfo(kind: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO);
    InitToken C_InitToken(pin: *mut CK_UTF8CHAR, length: CK_ULONG, label: *mut CK_UTF8CHAR);
}

pub(super) unsafe extern "C" fn C_GetSlotList(
    present: CK_BBOOL,
    list: *mut CK_SLOT_ID,
    count: *mut CK_ULONG,
) -> CK_RV {
    answer(|engine| {
        let _entered = engine.enter(Call::GetSlotList, None)?;
        call!(engine.real, C_GetSlotList(present, list, count))?;
        if !list.is_null() {
            // SAFETY: the real module has just written the count, and that many numbers.
            lock(&engine.slots).rewrite(unsafe { std::slice::from_raw_parts_mut(list, size(*count)?) });
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_GetSessionInfo(
    session: CK_SESSION_HANDLE,
    info: *mut CK_SESSION_INFO,
) -> CK_RV {
    answer(|engine| {
        let _entered = engine.enter(Call::GetSessionInfo, Some(session))?;
        call!(engine.real, C_GetSessionInfo(session, info))?;
        // SAFETY: the real module has just filled it in, and the caller holds it until the call returns.
        let info = unsafe { &mut *info };
        info.slotID = lock(&engine.slots).outward(info.slotID);
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_WaitForSlotEvent(
    flags: CK_FLAGS,
    slot: *mut CK_SLOT_ID,
    reserved: *mut c_void,
) -> CK_RV {
    answer(|engine| {
        let _entered = engine.enter(Call::WaitForSlotEvent, None)?;
        call!(engine.real, C_WaitForSlotEvent(flags, slot, reserved))?;
        // SAFETY: the real module has just written the number there.
        unsafe { *slot = lock(&engine.slots).outward(*slot) };
        Ok(())
    })
}
