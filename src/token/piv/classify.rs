//! What to do about what pcscd and the card say. Sources: PC/SC part 5 and pcsclite's `pcsclite.h` for pcscd's codes,
//! SP 800-73-4 part 2 §3 and ISO 7816-4 §5.6 for status words, and what was seen with pcscd 1.9 and a virtual YubiKey.
//!
//! `pcsc::Error` is not `non_exhaustive`, and its match has no `_` arm: a new code must be decided by a person.

use pcsc::Error;

/// What helps after pcscd failed a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remedy {
    /// Let go of the card, and find it again by its serial number through a new connection to pcscd.
    Reopen,
    /// Another program has the card to itself: only its end helps.
    Held,
    /// This process is in no state to work: only a fresh one is.
    Restart,
}

pub(super) fn remedy(error: Error) -> Remedy {
    match error {
        Error::SharingViolation => Remedy::Held,

        // The card went, came, or was reset by another program, and every handle of before is void.
        Error::ResetCard
        | Error::RemovedCard
        | Error::UnpoweredCard
        | Error::UnresponsiveCard
        | Error::NoSmartcard
        | Error::UnknownCard
        | Error::ReaderUnavailable
        | Error::UnknownReader
        | Error::NoReadersAvailable
        | Error::NotReady
        // pcscd ended: its old connections stay dead when it is back.
        | Error::NoService
        | Error::ServiceStopped
        | Error::Shutdown
        | Error::InvalidHandle
        | Error::ServerTooBusy
        // Something was lost between reader and card; a card that was pulled in mid-command ends so, too.
        | Error::CommError
        | Error::CommDataLost
        | Error::NotTransacted
        | Error::ProtoMismatch
        | Error::InvalidAtr
        | Error::Timeout
        | Error::WaitedTooLong
        | Error::Cancelled
        | Error::SystemCancelled
        | Error::CantDispose
        | Error::Eof
        | Error::UnknownError
        | Error::InternalError => Remedy::Reopen,

        // Memory, arguments and buffers of this process; what a reader or a card will never do; other systems' codes.
        Error::NoMemory
        | Error::InvalidParameter
        | Error::InvalidTarget
        | Error::InvalidValue
        | Error::InsufficientBuffer
        | Error::PciTooSmall
        | Error::ReaderUnsupported
        | Error::DuplicateReader
        | Error::CardUnsupported
        | Error::UnsupportedCard
        | Error::UnsupportedFeature
        | Error::IccInstallation
        | Error::IccCreateorder
        | Error::DirNotFound
        | Error::FileNotFound
        | Error::NoDir
        | Error::NoFile
        | Error::NoAccess
        | Error::WriteTooMany
        | Error::BadSeek
        | Error::InvalidChv
        | Error::UnknownResMng
        | Error::NoSuchCertificate
        | Error::CertificateUnavailable
        | Error::NoKeyContainer
        | Error::SecurityViolation
        | Error::WrongChv
        | Error::ChvBlocked
        | Error::CancelledByUser
        | Error::CardNotAuthenticated
        | Error::CacheItemNotFound
        | Error::CacheItemStale
        | Error::CacheItemTooBig => Remedy::Restart,
    }
}

/// What an operator can do, in a few words.
pub(super) fn advice(error: Error) -> &'static str {
    match error {
        Error::NoService | Error::ServiceStopped | Error::Shutdown => {
            "pcscd is not running, or this user may not use it; start it"
        }
        Error::SharingViolation => {
            "the card is held by another process, for itself alone; end that (gpg-agent's scdaemon does so without `pcsc-shared`)"
        }
        _ => "check that the YubiKey is plugged in, and pcscd's log",
    }
}

/// What a status word says, as far as it makes a difference here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// 9000.
    Done,
    /// 63Cx: a PIN was wrong, or none was brought; this many tries are left.
    Tries(u8),
    /// 6983: no try is left.
    Blocked,
    /// 6982: the PIN is missing, or a touch that did not come.
    Forbidden,
    /// 6A80, 6A82, 6A86 and 6A88: there is no such key, or it is of another kind.
    NoSuchKey,
    /// 6D00, 6D81 and 6E00: the applet does not know the command.
    Unknown,
    /// Anything else: the card is in no state to sign.
    Broken,
}

pub(super) fn said(status: u16) -> Said {
    match status {
        0x9000 => Said::Done,
        0x63C0..=0x63CF => Said::Tries(u8::try_from(status & 0xF).unwrap_or(0)),
        0x6983 => Said::Blocked,
        0x6982 => Said::Forbidden,
        0x6A80 | 0x6A82 | 0x6A86 | 0x6A88 => Said::NoSuchKey,
        0x6D00 | 0x6D81 | 0x6E00 => Said::Unknown,
        _ => Said::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_another_program_reset_or_somebody_pulled_is_opened_again() {
        for error in [Error::ResetCard, Error::RemovedCard, Error::NoService, Error::NotTransacted] {
            assert_eq!(remedy(error), Remedy::Reopen, "{error:?}");
        }
        assert_eq!(remedy(Error::SharingViolation), Remedy::Held);
    }

    #[test]
    fn a_wrong_pin_is_never_taken_for_anything_else() {
        assert_eq!(said(0x63C2), Said::Tries(2));
        assert_eq!(said(0x63C0), Said::Tries(0));
        assert_eq!(said(0x6983), Said::Blocked);
    }
}
