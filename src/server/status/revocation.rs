//! What is wrong with a revocation, and what an operator is told of it.

use tonic::Code;

use super::Rejection;
use crate::ledger::RevokeError;
use crate::sign::Failure;

/// A revocation that is not recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::server) enum RevocationFault {
    /// By a key that is not there.
    NoSuchKey,
    /// By a key that has no such certificates.
    Key,
    /// Of what is no serial of the key's format.
    Serial,
    /// Of nothing in particular, or for no reason.
    Invalid,
    /// Of certificates that the ledger does not have.
    Nothing,
    /// Of more than is written at once.
    TooMany,
}

impl RevocationFault {
    /// Every fault.
    #[cfg(test)]
    pub(super) const ALL: [Self; 6] =
        [Self::NoSuchKey, Self::Key, Self::Serial, Self::Invalid, Self::Nothing, Self::TooMany];
}

impl From<RevokeError> for Rejection {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Ledger(error) => Failure::from(error).into(),
            RevokeError::Archive(error) => error.into(),
            RevokeError::TooMany => RevocationFault::TooMany.into(),
        }
    }
}

impl From<RevocationFault> for Rejection {
    fn from(fault: RevocationFault) -> Self {
        match fault {
            RevocationFault::NoSuchKey => Self::new(
                Code::NotFound,
                "NO_SUCH_KEY",
                "this signer has no key of this name in service; its configuration has a section [key.NAME] for each",
            ),
            RevocationFault::Key => Self::new(
                Code::InvalidArgument,
                "REVOCATION_KEY",
                "this key signs no such certificates: name an ssh-user-ca, an ssh-host-ca or an x509-ca; only SSH certificates have key ids",
            ),
            RevocationFault::Serial => Self::new(
                Code::InvalidArgument,
                "REVOKED_SERIAL",
                "a serial of SSH is decimal, from 1 to 18446744073709551615; one of X.509 is hexadecimal, 1 to 20 octets, and not zero",
            ),
            RevocationFault::Invalid => Self::new(
                Code::InvalidArgument,
                "REVOCATION_INVALID",
                "a revocation is of a serial, a key id, a name (1 to 1024 bytes), a subject key (SHA256:…), a time that ends after it \
                 begins or an entry, with a known reason, and with a `why` of 1 to 1024 bytes without control characters; \
                 `not_in_ledger` is for serials, key ids and subject keys",
            ),
            RevocationFault::Nothing => Self::new(
                Code::NotFound,
                "NOTHING_TO_REVOKE",
                "nothing that this log signed with this key matches; check the selection, or allow what is not in the ledger \
                 (--not-in-ledger) to revoke a serial, a key id or a subject key that was signed elsewhere",
            ),
            RevocationFault::TooMany => Self::new(
                Code::OutOfRange,
                "TOO_MANY_REVOKED",
                "this means more than 100,000 certificates that have not expired, which are not revoked at once: every request would wait for it. \
                 Nothing was recorded. Revoke them in pieces, by several ranges of --since and --until that are short enough, each of which means \
                 every certificate of its time; bar a subject key at once by its fingerprint in [blocklist]; or replace the CA key, since no \
                 CRL has room for so many",
            ),
        }
    }
}
