//! The functions of PKCS#11 v2.40 by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! calls {
    ($($name:ident)*) => {
        /// A function of the module, named without its `C_`.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "String", into = "&'static str")]
        #[expect(missing_docs, reason = "the standard's own names")]
        pub enum Call { $($name,)* }

        impl Call {
            /// Every function there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// `C_Sign`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => concat!("C_", stringify!($name)),)* }
            }
        }
    };
}

calls! {
    Initialize Finalize GetInfo GetFunctionList GetSlotList GetSlotInfo GetTokenInfo GetMechanismList GetMechanismInfo
    InitToken InitPIN SetPIN OpenSession CloseSession CloseAllSessions GetSessionInfo GetOperationState
    SetOperationState Login Logout CreateObject CopyObject DestroyObject GetObjectSize GetAttributeValue
    SetAttributeValue FindObjectsInit FindObjects FindObjectsFinal EncryptInit Encrypt EncryptUpdate EncryptFinal
    DecryptInit Decrypt DecryptUpdate DecryptFinal DigestInit Digest DigestUpdate DigestKey DigestFinal SignInit Sign
    SignUpdate SignFinal SignRecoverInit SignRecover VerifyInit Verify VerifyUpdate VerifyFinal VerifyRecoverInit
    VerifyRecover DigestEncryptUpdate DecryptDigestUpdate SignEncryptUpdate DecryptVerifyUpdate GenerateKey
    GenerateKeyPair WrapKey UnwrapKey DeriveKey SeedRandom GenerateRandom GetFunctionStatus CancelFunction
    WaitForSlotEvent
}

/// No function of PKCS#11 v2.40 has this name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no PKCS#11 function; write it as the standard does: C_Sign")]
pub struct UnknownCall(String);

impl FromStr for Call {
    type Err = UnknownCall;

    fn from_str(name: &str) -> Result<Self, UnknownCall> {
        Self::ALL.iter().copied().find(|call| call.name() == name).ok_or_else(|| UnknownCall(name.to_owned()))
    }
}

impl TryFrom<String> for Call {
    type Error = UnknownCall;

    fn try_from(name: String) -> Result<Self, UnknownCall> {
        name.parse()
    }
}

impl From<Call> for &'static str {
    fn from(call: Call) -> Self {
        call.name()
    }
}

impl fmt::Display for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
