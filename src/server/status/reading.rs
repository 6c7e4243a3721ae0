//! What is wrong with a question about the ledger, and what its reader is told of it.

use std::time::Duration;

use tonic::Code;

use super::{Fault, Rejection};
use crate::ledger::{ArchiveError, NoSerial};

/// A question that is not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::server) enum ReadingFault {
    /// A search for what cannot be.
    FilterInvalid,
    /// An entry or a size that the ledger does not have.
    NoSuchEntry,
    /// The ledger cannot be read.
    LedgerUnreadable,
    /// The newest checkpoint of a signer that signs none.
    CheckpointsOff,
    /// The newest checkpoint before the first is signed.
    NoCheckpointYet,
}

impl ReadingFault {
    /// Every fault.
    #[cfg(test)]
    pub(super) const ALL: [Self; 5] = [
        Self::FilterInvalid,
        Self::NoSuchEntry,
        Self::LedgerUnreadable,
        Self::CheckpointsOff,
        Self::NoCheckpointYet,
    ];
}

impl From<ReadingFault> for Rejection {
    fn from(fault: ReadingFault) -> Self {
        match fault {
            ReadingFault::FilterInvalid => Self::new(
                Code::InvalidArgument,
                "FILTER_INVALID",
                &format!("the filter's serial is none, or `revocations_of` is not 32 bytes: {NoSerial}"),
            ),
            ReadingFault::NoSuchEntry => Self::new(
                Code::OutOfRange,
                "NO_SUCH_ENTRY",
                "the ledger has no such entry, or no such size, yet; GetTree says how many entries it has",
            ),
            ReadingFault::LedgerUnreadable => Self::new(
                Code::Unavailable,
                "LEDGER_UNREADABLE",
                "the ledger or its index cannot be read; the signer's log says why",
            )
            .retry_after(Duration::from_secs(5)),
            ReadingFault::CheckpointsOff => Self::new(
                Code::NotFound,
                "CHECKPOINTS_OFF",
                "this signer signs no checkpoints; set `ledger.checkpoint_key` in its configuration",
            ),
            ReadingFault::NoCheckpointYet => Self::new(
                Code::NotFound,
                "NO_CHECKPOINT_YET",
                "no checkpoint has been signed with this key yet; ask again once the ledger's token is in service",
            ),
        }
    }
}

/// Logs what a reader is not told.
impl From<ArchiveError> for Rejection {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::NoSuchEntry { .. } | ArchiveError::NoSuchSize { .. } => {
                ReadingFault::NoSuchEntry.into()
            }
            ArchiveError::Closed => Fault::ShuttingDown.into(),
            ArchiveError::Ledger(_)
            | ArchiveError::Index(_)
            | ArchiveError::Damaged(_)
            | ArchiveError::Disagree { .. } => {
                let cause = std::error::Error::source(&error).map(crate::causes::in_one_line);
                tracing::error!(cause, "{error}");
                ReadingFault::LedgerUnreadable.into()
            }
        }
    }
}
