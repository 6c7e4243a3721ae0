//! The one table from what went wrong to what a caller is told.
//!
//! In: a [`Failure`] of the pipeline, or one of the server's own. Out: a [`Rejection`], which is a gRPC status or a
//! stream's error with the same code, message and details. What the signer's inside looks like stays inside: a caller
//! learns that the token is out of service, the log says why. docs/errors.md lists every reason.

use std::collections::HashMap;
use std::time::Duration;

use countersign_proto::{ERROR_DOMAIN, v1};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::ledger::{LedgerError, Refused};
use crate::policy::ReasonClass;
use crate::sign::{Failure, InvalidRequestId};
use crate::token::TokenErrorClass;

mod operator;
mod reading;
mod revocation;
mod rotation;
#[cfg(test)]
mod tests;

pub(super) use operator::OperatorFault;
pub(super) use reading::ReadingFault;
pub(super) use revocation::RevocationFault;
pub(super) use rotation::RotationFault;

/// The longest message, in bytes: HTTP/2 clients take about 8 KiB of trailers, and a status has its message in them
/// twice, percent-encoded and in base64.
const MAX_MESSAGE_BYTES: usize = 1024;

/// A request that is answered with an error.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rejection {
    code: Code,
    reason: &'static str,
    message: String,
    /// The rule that refused and the ledger's index of the refusal, if the request came that far and has one of its own.
    refusal: Option<(String, Option<u64>)>,
    retry_after: Option<Duration>,
}

/// What the server itself refuses, before the pipeline or after it has given up. The ledger knows nothing of the former.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// The client certificate ran out since the connection was made.
    CallerExpired,
    /// No field of the oneof `tbs` is set.
    TbsMissing,
    /// The request id is malformed, or missing where it is required.
    RequestIdInvalid,
    /// Another request of this stream has the same id and is not answered yet.
    RequestIdInUse,
    /// The header `grpc-timeout` is not one (gRPC over HTTP2, "Requests").
    DeadlineInvalid,
    /// The caller's deadline passed while the request was worked on.
    DeadlineExceeded,
    /// As `GetKey` says it: no such key, or not for this caller.
    KeyNotAvailable,
    /// As `grpc.health.v1.Health/Check` says it: no such service, or a key that is not for this caller.
    ServiceUnknown,
    /// This caller, or all callers together, have as many requests in work as they may.
    TooManyRequests,
    /// The same, of calls of `SignStream`.
    TooManyStreams,
    /// The rest of a request did not come in time.
    RequestTooSlow,
    /// The same, of calls that watch the signer's health, or its ledger.
    TooManyWatches,
    /// The server is shutting down.
    ShuttingDown,
    /// A call of the operator's, by somebody else.
    OperatorOnly,
    /// A bug.
    Internal,
}

impl Fault {
    /// Every fault.
    #[cfg(test)]
    pub(super) const ALL: [Self; 15] = [
        Self::CallerExpired,
        Self::TbsMissing,
        Self::RequestIdInvalid,
        Self::RequestIdInUse,
        Self::DeadlineInvalid,
        Self::DeadlineExceeded,
        Self::KeyNotAvailable,
        Self::ServiceUnknown,
        Self::TooManyRequests,
        Self::TooManyStreams,
        Self::RequestTooSlow,
        Self::TooManyWatches,
        Self::ShuttingDown,
        Self::OperatorOnly,
        Self::Internal,
    ];
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::CallerExpired => Self::new(
                Code::Unauthenticated,
                "CALLER_EXPIRED",
                "the client certificate has expired; connect again with a new one",
            ),
            Fault::TbsMissing => Self::new(
                Code::InvalidArgument,
                "TBS_MISSING",
                "the request has nothing to sign; set one field of `tbs`",
            ),
            Fault::RequestIdInvalid => {
                Self::new(Code::InvalidArgument, "REQUEST_ID_INVALID", &InvalidRequestId.to_string())
            }
            Fault::RequestIdInUse => Self::new(
                Code::InvalidArgument,
                "REQUEST_ID_IN_USE",
                "a request of this stream with the same request_id is not answered yet; give each its own",
            ),
            Fault::DeadlineInvalid => Self::new(
                Code::InvalidArgument,
                "DEADLINE_INVALID",
                "the header grpc-timeout is not 1 to 8 digits and one of H, M, S, m, u, n",
            ),
            Fault::DeadlineExceeded => Self::new(
                Code::DeadlineExceeded,
                "DEADLINE_EXCEEDED",
                "the deadline passed before there was a signature; if one is made, it is discarded",
            ),
            Fault::KeyNotAvailable => Self::new(
                Code::NotFound,
                "KEY_NOT_AVAILABLE",
                "there is no such key, or this caller may not use it; ListKeys shows those that it may",
            ),
            Fault::ServiceUnknown => Self::new(
                Code::NotFound,
                "SERVICE_UNKNOWN",
                "name no service for the signer as a whole, or `key/NAME` for a key that ListKeys shows to this caller",
            ),
            Fault::TooManyWatches => Self::new(
                Code::ResourceExhausted,
                "TOO_MANY_WATCHES",
                "this caller, or all, have too many calls that watch; end those that nobody reads",
            )
            .retry_after(Duration::from_secs(1)),
            Fault::TooManyRequests => Self::new(
                Code::ResourceExhausted,
                "TOO_MANY_REQUESTS",
                "too many requests of this caller, or of all, are on their way, in work, or answered and not read; have fewer in flight",
            )
            .retry_after(Duration::from_millis(100)),
            Fault::TooManyStreams => Self::new(
                Code::ResourceExhausted,
                "TOO_MANY_STREAMS",
                "this caller, or all, have too many calls of SignStream; send more requests over fewer of them",
            )
            .retry_after(Duration::from_secs(1)),
            Fault::RequestTooSlow => Self::new(
                Code::DeadlineExceeded,
                "REQUEST_TOO_SLOW",
                "a request did not arrive whole within 30 seconds of its first byte; send it at once",
            ),
            Fault::ShuttingDown => {
                Self::new(Code::Unavailable, "SHUTTING_DOWN", "the signer is shutting down; connect again")
                    .retry_after(Duration::from_secs(1))
            }
            Fault::OperatorOnly => Self::new(
                Code::PermissionDenied,
                "OPERATOR_ONLY",
                "this is for root and the signer's own user, over its Unix socket",
            ),
            Fault::Internal => Self::new(Code::Internal, "INTERNAL", "the signer failed; its log says how"),
        }
    }
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refused) => refused.into(),
            Failure::Ledger(LedgerError::ClockBehind { .. }) => Self::new(
                Code::Unavailable,
                "CLOCK_BEHIND",
                "the signer's clock is behind its ledger, so it signs nothing; tell its operator, and try again later",
            )
            .retry_after(Duration::from_secs(5)),
            Failure::Ledger(
                LedgerError::OlderThanCheckpoint { .. } | LedgerError::OtherThanCheckpoint { .. },
            ) => Self::new(
                Code::Internal,
                "LEDGER_CONTRADICTS_CHECKPOINT",
                "the signer's record is not the one that it has signed, so it signs nothing; tell its operator at once",
            ),
            Failure::Ledger(_) => Self::new(
                Code::Unavailable,
                "LEDGER_UNAVAILABLE",
                "the signer cannot record requests, so it signs nothing; try again later",
            )
            .retry_after(Duration::from_secs(5)),
            Failure::Token(error) => error.class().into(),
            Failure::Verify(_) => Self::new(
                Code::Internal,
                "SIGNATURE_WITHHELD",
                "the token's signature does not verify, so it was withheld; tell the signer's operator",
            ),
            Failure::TooLate => Fault::DeadlineExceeded.into(),
        }
    }
}

impl From<Refused> for Rejection {
    fn from(Refused { refusal, entry, retry_after }: Refused) -> Self {
        let code = match refusal.reason.class() {
            ReasonClass::Malformed => Code::InvalidArgument,
            ReasonClass::Denied | ReasonClass::TooFar | ReasonClass::Frozen | ReasonClass::Turn => {
                Code::PermissionDenied
            }
            ReasonClass::NotFound => Code::NotFound,
            ReasonClass::Expired => Code::DeadlineExceeded,
            ReasonClass::Taken => Code::AlreadyExists,
            ReasonClass::Pending => Code::Unavailable,
            ReasonClass::Spent => Code::ResourceExhausted,
        };
        let rejection = Self::new(code, refusal.reason.code_word(), &refusal.message);
        let soon = (code == Code::Unavailable).then_some(Duration::from_millis(250));
        Self { refusal: Some((refusal.rule, entry)), retry_after: retry_after.or(soon), ..rejection }
    }
}

impl From<TokenErrorClass> for Rejection {
    fn from(class: TokenErrorClass) -> Self {
        match class {
            TokenErrorClass::Busy => Self::new(
                Code::ResourceExhausted,
                "TOKEN_BUSY",
                "the token has more to sign than it can; try again a little later",
            )
            .retry_after(Duration::from_millis(250)),
            TokenErrorClass::Unavailable => Self::new(
                Code::Unavailable,
                "TOKEN_UNAVAILABLE",
                "the token is out of service; try again later",
            )
            .retry_after(Duration::from_secs(5)),
            TokenErrorClass::Expired => Fault::DeadlineExceeded.into(),
            TokenErrorClass::TimedOut => Self::new(
                Code::Unavailable,
                "TOKEN_TIMED_OUT",
                "the token did not answer in time; a late signature is discarded; try again later",
            )
            .retry_after(Duration::from_secs(5)),
            TokenErrorClass::Internal => Self::new(
                Code::Internal,
                "TOKEN_FAILED",
                "the token did not sign this; trying again will not help; tell the signer's operator",
            ),
        }
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let metadata = rejection.metadata();
        let mut details = ErrorDetails::with_error_info(rejection.reason, ERROR_DOMAIN, metadata);
        if rejection.retry_after.is_some() {
            details.set_retry_info(rejection.retry_after);
        }
        Status::with_error_details(rejection.code, rejection.message, details)
    }
}

impl From<Rejection> for v1::Error {
    fn from(rejection: Rejection) -> Self {
        let metadata = rejection.metadata();
        let Rejection { code, reason, message, .. } = rejection;
        Self { code: code.into(), message, reason: reason.to_owned(), metadata }
    }
}

impl Rejection {
    fn new(code: Code, reason: &'static str, message: &str) -> Self {
        Self { code, reason, message: clip(message), refusal: None, retry_after: None }
    }

    fn retry_after(self, delay: Duration) -> Self {
        Self { retry_after: Some(delay), ..self }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let mut metadata = HashMap::new();
        if let Some((rule, entry)) = &self.refusal {
            metadata.insert("rule".to_owned(), rule.clone());
            entry.map(|entry| metadata.insert("entry".to_owned(), entry.to_string()));
        }
        if let Some(delay) = self.retry_after {
            metadata.insert("retry_after_ms".to_owned(), delay.as_millis().to_string());
        }
        metadata
    }
}

fn clip(message: &str) -> String {
    if message.len() <= MAX_MESSAGE_BYTES {
        return message.to_owned();
    }
    let head = (0..=MAX_MESSAGE_BYTES).rev().find_map(|end| message.get(..end)).unwrap_or_default();
    format!("{head}…")
}
