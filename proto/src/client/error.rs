//! What a call or a connection failed with.
//!
//! In: a gRPC status, or an error message of a stream. Out: a [`CallError`], the same for both. Promised: none of its text has anything
//! that a terminal would obey, whoever sent it.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

use super::{TlsError, escaped};
use crate::{ERROR_DOMAIN, v1};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Not an address of a signer.
    #[error("{0:?} is not a signer's address; it must be https://HOST:PORT, or unix:PATH for a socket")]
    Address(String),
    /// The certificates or the key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody answers there, or somebody who cannot prove to be the signer, or the signer refused this client.
    #[error("cannot connect to {address}: {cause}")]
    Unreachable {
        /// Where.
        address: String,
        /// Every cause down to the first, joined by colons.
        cause: String,
    },
}

impl ConnectError {
    pub(super) fn unreachable(address: &str, error: &(dyn Error + 'static)) -> Self {
        let nobody = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
        let mut kinds =
            chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
        let advice = if kinds.any(|kind| nobody.contains(&kind)) {
            "; is `countersign serve` running there?"
        } else {
            ""
        };
        Self::Unreachable { address: address.to_owned(), cause: causes(error) + advice }
    }
}

/// Why a call failed: the gRPC status, with what its `google.rpc.ErrorInfo` says.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", self.line())]
pub struct CallError {
    /// The gRPC code.
    pub code: Code,
    /// One line for a person.
    pub message: String,
    /// The word to branch on (docs/errors.md); empty if the answer is not countersign's own.
    pub reason: String,
    /// The rule that refused.
    pub rule: Option<String>,
    /// Where the ledger holds the refusal.
    pub entry: Option<u64>,
    /// How long the server asks to wait before the next try.
    pub retry_after: Option<Duration>,
}

impl CallError {
    /// An answer without a result, which no countersign sends.
    pub(super) fn empty_answer() -> Self {
        let message = "the server answered with neither a response nor an error".to_owned();
        Self {
            code: Code::Internal,
            message,
            reason: String::new(),
            rule: None,
            entry: None,
            retry_after: None,
        }
    }

    /// This side gave up; tonic would call it CANCELLED.
    fn deadline_exceeded() -> Self {
        let message = "the signer did not answer before the deadline; it may have signed".to_owned();
        Self { code: Code::DeadlineExceeded, message, ..Self::empty_answer() }
    }

    fn line(&self) -> String {
        if self.reason.is_empty() {
            format!("{:?}: {}", self.code, self.message)
        } else {
            format!("{}: {}", self.reason, self.message)
        }
    }

    fn with_metadata(mut self, mut metadata: HashMap<String, String>) -> Self {
        self.rule = metadata.remove("rule").map(|rule| escaped(&rule));
        self.entry = metadata.remove("entry").and_then(|entry| entry.parse().ok());
        self
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        if is_own_timeout(&status) {
            return Self::deadline_exceeded();
        }
        let details = status.get_error_details();
        // A status that was made on this side has the cause in its source and little in its message.
        let message = match status.source() {
            Some(source) => causes(source),
            None => status.message().to_owned(),
        };
        let retry_after = details.retry_info().and_then(|retry| retry.retry_delay);
        let plain = Self {
            code: status.code(),
            message: escaped(&message),
            reason: String::new(),
            rule: None,
            entry: None,
            retry_after,
        };
        match details.error_info().filter(|info| info.domain == ERROR_DOMAIN) {
            Some(info) => {
                Self { reason: escaped(&info.reason), ..plain }.with_metadata(info.metadata.clone())
            }
            None => plain,
        }
    }
}

impl From<v1::Error> for CallError {
    fn from(error: v1::Error) -> Self {
        let v1::Error { code, message, reason, metadata } = error;
        let retry_after =
            metadata.get("retry_after_ms").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        let (code, message, reason) = (Code::from_i32(code), escaped(&message), escaped(&reason));
        Self { code, message, reason, rule: None, entry: None, retry_after }.with_metadata(metadata)
    }
}

fn is_own_timeout(status: &Status) -> bool {
    chain(status).any(<dyn Error>::is::<TimeoutExpired>)
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What was told last is what went wrong; hyper's and tonic's own layers before it say nothing to a person.
fn causes(error: &(dyn Error + 'static)) -> String {
    let layers = ["transport error", "connection error", "client error (Connect)"];
    let mut lines: Vec<String> = chain(error).map(ToString::to_string).collect();
    lines.retain(|line| !layers.contains(&line.as_str()));
    lines.dedup();
    lines.join(": ")
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn refusal(domain: &str) -> Status {
        let metadata = HashMap::from([
            ("rule".to_owned(), "key.user-ca.allow.staff.principals".to_owned()),
            ("entry".to_owned(), "7".to_owned()),
        ]);
        let mut details = ErrorDetails::with_error_info("PRINCIPAL_NOT_ALLOWED", domain, metadata);
        details.set_retry_info(Some(Duration::from_secs(2)));
        Status::with_error_details(Code::PermissionDenied, "no", details)
    }

    #[test]
    fn carries_what_error_info_says() {
        let error = CallError::from(refusal(ERROR_DOMAIN));
        assert_eq!(error.reason, "PRINCIPAL_NOT_ALLOWED");
        assert_eq!(error.rule.as_deref(), Some("key.user-ca.allow.staff.principals"));
        assert_eq!(error.entry, Some(7));
        assert_eq!(error.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(error.to_string(), "PRINCIPAL_NOT_ALLOWED: no");
    }

    #[test]
    fn takes_no_reason_from_another_domain() {
        let error = CallError::from(refusal("example.org"));
        assert_eq!((error.reason.as_str(), error.rule), ("", None));
    }

    #[test]
    fn own_timeout_is_a_passed_deadline() {
        let error = CallError::from(Status::from_error(Box::new(TimeoutExpired(()))));
        assert_eq!(error.code, Code::DeadlineExceeded);
        assert_eq!(CallError::from(Status::cancelled("by the server")).code, Code::Cancelled);
    }

    #[test]
    fn reads_a_stream_error_like_a_status() {
        let error = v1::Error {
            code: 7,
            message: "no".to_owned(),
            reason: "PRINCIPAL_NOT_ALLOWED".to_owned(),
            metadata: HashMap::from([
                ("entry".to_owned(), "7".to_owned()),
                ("retry_after_ms".to_owned(), "250".to_owned()),
            ]),
        };
        let error = CallError::from(error);
        assert_eq!((error.code, error.entry), (Code::PermissionDenied, Some(7)));
        assert_eq!(error.retry_after, Some(Duration::from_millis(250)));
    }

    #[test]
    fn what_a_signer_says_is_nothing_that_a_terminal_obeys() {
        let said = "\u{1b}[2J\u{9b}\nno".to_owned();
        let metadata = HashMap::from([("rule".to_owned(), said.clone())]);
        let details = ErrorDetails::with_error_info(&*said, ERROR_DOMAIN, metadata.clone());
        let status = Status::with_error_details(Code::Unknown, &*said, details);
        let (code, message, reason) = (2, said.clone(), said);
        for error in [CallError::from(status), v1::Error { code, message, reason, metadata }.into()] {
            let shown = format!("{error} {}", error.rule.clone().unwrap_or_default());
            assert_eq!(shown.matches("\\u{1b}[2J\\u{9b}\\u{a}no").count(), 3, "{shown:?}");
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
    }
}
