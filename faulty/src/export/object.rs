//! Finding objects and reading their attributes.

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_TRUE, CK_ULONG, CK_UNAVAILABLE_INFORMATION,
    CKA_ALWAYS_AUTHENTICATE, CKR_ATTRIBUTE_TYPE_INVALID,
};

use super::answer;
use crate::real::{call, size};
use crate::session::lock;
use crate::{Call, Token};

pub(super) unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    answer(|engine| {
        let entered = engine.enter(Call::FindObjectsInit, Some(session))?;
        engine.learn_keys(session);
        let count = if entered.plan.script.token.ignore_template { 0 } else { count };
        call!(engine.real, C_FindObjectsInit(session, template, count))
    })
}

pub(super) unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    objects: *mut CK_OBJECT_HANDLE,
    most: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    answer(|engine| {
        let _entered = engine.enter(Call::FindObjects, Some(session))?;
        call!(engine.real, C_FindObjects(session, objects, most, count))?;
        // SAFETY: the real module has just written the count, and that many handles.
        let found = unsafe { std::slice::from_raw_parts_mut(objects, size(*count)?) };
        let names = lock(&engine.objects);
        for object in found {
            *object = names.outward(*object);
        }
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    answer(|engine| {
        let entered = engine.enter(Call::FindObjectsFinal, Some(session));
        let ended = call!(engine.real, C_FindObjectsFinal(session));
        entered.and(ended)
    })
}

pub(super) unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    answer(|engine| {
        let entered = engine.enter(Call::GetAttributeValue, Some(session))?;
        let object = engine.inward(session, object);
        let result = call!(engine.real, C_GetAttributeValue(session, object, template, count));
        if template.is_null() {
            return result;
        }
        // SAFETY: the caller gave a template of so many attributes, which the real module has filled in.
        let attributes = unsafe { std::slice::from_raw_parts_mut(template, size(count)?) };
        for one in attributes.iter() {
            engine.board.note_attribute(one.type_);
        }
        let token = &entered.plan.script.token;
        // SAFETY: the attributes' values are the caller's, as long as the lengths that the real module wrote.
        unsafe { claim(attributes, token) };
        if forget_attributes(attributes, token) { Err(CKR_ATTRIBUTE_TYPE_INVALID) } else { result }
    })
}

/// What the script has true is told to be true: `CKA_ALWAYS_AUTHENTICATE` of private keys that tell it, and others by number.
///
/// # Safety
/// Each value that is not null is as long as it says.
unsafe fn claim(attributes: &mut [CK_ATTRIBUTE], token: &Token) {
    let is_claimed = |kind| {
        token.attribute_true.contains(&kind) || (token.always_authenticate && kind == CKA_ALWAYS_AUTHENTICATE)
    };
    for attribute in attributes.iter_mut().filter(|one| is_claimed(one.type_) && one.ulValueLen == 1) {
        if !attribute.pValue.is_null() {
            // SAFETY: the value is one byte long.
            unsafe { *attribute.pValue.cast() = CK_TRUE };
        }
    }
}

/// Takes back what the token is not to know; whether there was any of it.
fn forget_attributes(attributes: &mut [CK_ATTRIBUTE], token: &Token) -> bool {
    let unknown = |one: &&mut CK_ATTRIBUTE| token.attribute_invalid.contains(&one.type_);
    let mut any = false;
    for attribute in attributes.iter_mut().filter(unknown) {
        attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
        any = true;
    }
    any
}
