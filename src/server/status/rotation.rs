//! What is wrong with a step of a rotation, and what an operator is told of it.

use std::time::Duration;

use tonic::Code;

use super::Rejection;
use crate::rotation::StepError;
use crate::sign::Failure;

/// A step, or a question about one, that makes no sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::server) enum RotationFault {
    /// No step, no reason, or what belongs to another step.
    Invalid,
    /// A key that is in no line.
    NoSuchLine,
}

impl RotationFault {
    /// Every fault.
    #[cfg(test)]
    pub(super) const ALL: [Self; 2] = [Self::Invalid, Self::NoSuchLine];
}

impl From<RotationFault> for Rejection {
    fn from(fault: RotationFault) -> Self {
        match fault {
            RotationFault::Invalid => Self::new(
                Code::InvalidArgument,
                "ROTATION_INVALID",
                "a step is one of stage, publish, activate (with `at_ms`), cancel and retire (perhaps with `force`), with a `why` of 1 to \
                 1024 bytes without control characters",
            ),
            RotationFault::NoSuchLine => Self::new(
                Code::NotFound,
                "NO_SUCH_LINE",
                "no key takes this one's place, and it takes no other's; write `succeeds` into the section of the one that is to",
            ),
        }
    }
}

/// To the operator, who may know all of it.
impl From<StepError> for Rejection {
    fn from(error: StepError) -> Self {
        let (code, reason) = match error {
            StepError::Ledger(error) => return Failure::from(error).into(),
            StepError::Archive(error) => return error.into(),
            StepError::Unsettled => {
                return Self::new(Code::Unavailable, "ROTATION_UNSETTLED", &error.to_string())
                    .retry_after(Duration::from_secs(1));
            }
            StepError::NoKey(_) | StepError::OtherEnd { .. } | StepError::NoLine(_) => {
                (Code::NotFound, "NO_SUCH_LINE")
            }
            StepError::OutOfOrder { .. } => (Code::PermissionDenied, "ROTATION_OUT_OF_ORDER"),
            StepError::Time(_) => (Code::InvalidArgument, "ROTATION_TIME"),
            StepError::StillValid { .. } => (Code::PermissionDenied, "CERTIFICATES_STILL_VALID"),
        };
        Self::new(code, reason, &error.to_string())
    }
}
