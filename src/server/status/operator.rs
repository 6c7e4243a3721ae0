//! What is wrong with what an operator asks to be recorded, and what it is told of it.

use tonic::Code;

use super::Rejection;

/// A call of the operator's that records nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::server) enum OperatorFault {
    /// A thaw of what is no key, of nobody, or without a reason.
    ThawInvalid,
    /// A thaw of a caller that is not frozen for the key.
    NotFrozen,
    /// A deletion of what is no key, from nowhere, or without a reason.
    KeyDeletionInvalid,
    /// A ceremony without a title, a transcript's digest, or anybody.
    CeremonyInvalid,
    /// A deletion of a key that this signer uses.
    KeyInService,
    /// A provisioning record that the key did not sign.
    KeyRecordInvalid,
    /// A wrapping of what is no key, for what is no RSA key, from nowhere, or without a reason.
    KeyWrappingInvalid,
}

impl OperatorFault {
    /// Every fault.
    #[cfg(test)]
    pub(super) const ALL: [Self; 7] = [
        Self::ThawInvalid,
        Self::NotFrozen,
        Self::KeyDeletionInvalid,
        Self::CeremonyInvalid,
        Self::KeyInService,
        Self::KeyRecordInvalid,
        Self::KeyWrappingInvalid,
    ];
}

impl From<OperatorFault> for Rejection {
    fn from(fault: OperatorFault) -> Self {
        match fault {
            OperatorFault::ThawInvalid => Self::new(
                Code::InvalidArgument,
                "THAW_INVALID",
                "a thaw has a key's name, a caller's name, and a reason of 1 to 1024 bytes without control characters",
            ),
            OperatorFault::NotFrozen => Self::new(
                Code::NotFound,
                "NOT_FROZEN",
                "this caller is not frozen for this key; `countersign ledger show` has each freeze",
            ),
            OperatorFault::KeyDeletionInvalid => Self::new(
                Code::InvalidArgument,
                "KEY_DELETION_INVALID",
                "a deletion has a token's name, a public key, and a place and a reason of 1 to 1024 bytes without control characters",
            ),
            OperatorFault::CeremonyInvalid => Self::new(
                Code::InvalidArgument,
                "CEREMONY_INVALID",
                "a ceremony has a title of 1 to 1024 bytes without control characters, a SHA-256 of 32 bytes, and 1 to 32 names of participants",
            ),
            OperatorFault::KeyInService => Self::new(
                Code::PermissionDenied,
                "KEY_IN_SERVICE",
                "this signer has the key in service; take its section out of the configuration, restart the signer, and delete it then",
            ),
            OperatorFault::KeyRecordInvalid => Self::new(
                Code::InvalidArgument,
                "KEY_RECORD_INVALID",
                "this is no provisioning record that its own key has signed; `countersign key record verify FILE` says what is wrong with it",
            ),
            OperatorFault::KeyWrappingInvalid => Self::new(
                Code::InvalidArgument,
                "KEY_WRAPPING_INVALID",
                "a wrapping has a token's name, a public key, an RSA key that it is for, and a place and a reason of 1 to 1024 bytes without control characters",
            ),
        }
    }
}
