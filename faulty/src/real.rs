//! The module that is forwarded to, and the few calls of it that are made unasked.

use std::path::Path;
use std::ptr;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_FUNCTION_LIST, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CKA_CLASS, CKA_ID,
    CKO_PRIVATE_KEY, CKR_ARGUMENTS_BAD, CKR_FUNCTION_NOT_SUPPORTED, CKR_OK,
};

/// A loaded module. Never unloaded.
pub(crate) struct Real {
    pub(crate) functions: CK_FUNCTION_LIST,
    _library: cryptoki_sys::Pkcs11,
}

/// Calls a function of the real module; one that it lacks is `CKR_FUNCTION_NOT_SUPPORTED`.
macro_rules! call {
    ($real:expr, $function:ident($($argument:expr),*)) => {
        match $real.functions.$function {
            // SAFETY: the arguments are the caller's own, or as the standard wants them of any caller.
            Some(function) => $crate::real::check(unsafe { function($($argument),*) }),
            None => Err(cryptoki_sys::CKR_FUNCTION_NOT_SUPPORTED),
        }
    };
}
pub(crate) use call;

/// A code as a result.
pub(crate) fn check(code: CK_RV) -> Result<(), CK_RV> {
    if code == CKR_OK { Ok(()) } else { Err(code) }
}

/// A length or a count that a caller gave.
pub(crate) fn size(length: u64) -> Result<usize, CK_RV> {
    usize::try_from(length).map_err(|_| CKR_ARGUMENTS_BAD)
}

impl Real {
    /// Loads a module.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: loading runs the library's constructors; whoever names it in the environment wants that.
        let library = unsafe { cryptoki_sys::Pkcs11::new(path) }
            .map_err(|error| format!("cannot load {}: {error}", path.display()))?;
        let mut list = ptr::null_mut();
        let get = library.C_GetFunctionList.as_ref().map_err(ToString::to_string)?;
        // SAFETY: `list` is a place for the pointer that the function returns.
        let code = unsafe { get(&raw mut list) };
        if code != CKR_OK || list.is_null() {
            return Err(format!("C_GetFunctionList of {} failed: {code:#x}", path.display()));
        }
        // SAFETY: the module gave a pointer to its list, which every version of PKCS#11 starts with.
        let functions = unsafe { *list };
        Ok(Self { functions, _library: library })
    }

    /// The private keys that this session sees, by `CKA_ID`.
    pub(crate) fn private_keys(&self, session: CK_SESSION_HANDLE) -> Result<Vec<CK_OBJECT_HANDLE>, CK_RV> {
        let mut class = CKO_PRIVATE_KEY;
        let mut template = attribute(CKA_CLASS, (&raw mut class).cast(), size_of_val(&class));
        call!(self, C_FindObjectsInit(session, &raw mut template, 1))?;
        let (mut handles, mut count) = ([0; 64], 0);
        let found = call!(self, C_FindObjects(session, handles.as_mut_ptr(), 64, &raw mut count));
        call!(self, C_FindObjectsFinal(session))?;
        found?;
        let mut keys = Vec::new();
        for handle in handles.into_iter().take(size(count)?) {
            keys.push((self.id(session, handle)?, handle));
        }
        keys.sort();
        Ok(keys.into_iter().map(|(_, handle)| handle).collect())
    }

    fn id(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<Vec<u8>, CK_RV> {
        let mut id = [0_u8; 64];
        let mut template = attribute(CKA_ID, id.as_mut_ptr().cast(), id.len());
        call!(self, C_GetAttributeValue(session, object, &raw mut template, 1))?;
        Ok(id.get(..size(template.ulValueLen)?).ok_or(CKR_FUNCTION_NOT_SUPPORTED)?.to_vec())
    }
}

fn attribute(kind: u64, value: *mut std::ffi::c_void, length: usize) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE { type_: kind, pValue: value, ulValueLen: u64::try_from(length).unwrap_or(u64::MAX) }
}
