#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use countersign_proto::client::CallError;

use super::*;
use crate::key::{KeyName, Scheme, UnixTime};
use crate::ledger::{LedgerError, RevokeError};
use crate::policy::{Reason, Refusal};
use crate::rotation::StepError;
use crate::token::{TokenError, TokenName};
use crate::verify::VerifyError;

const ERRORS: &str = include_str!("../../../docs/errors.md");

fn refused(reason: Reason, message: &str) -> Failure {
    let refusal = Refusal {
        reason,
        rule: "key.user-ca.allow.staff.principals".to_owned(),
        message: message.to_owned(),
    };
    let retry_after = (reason == Reason::BudgetExhausted).then_some(Duration::from_secs(7));
    Failure::Refused(Refused { refusal, entry: Some(7), retry_after })
}

/// One failure of each kind that does not come from a table of its own.
fn failures() -> Vec<Failure> {
    vec![
        Failure::Ledger(LedgerError::Closed),
        Failure::Ledger(LedgerError::ClockBehind {
            path: "/ledger".into(),
            behind: Duration::from_secs(60),
            tolerance: Duration::from_secs(5),
        }),
        Failure::Ledger(LedgerError::OtherThanCheckpoint {
            path: "/ledger".into(),
            file: "/ledger-checkpoint".into(),
            signed: 7,
        }),
        Failure::Verify(VerifyError { scheme: Scheme::Ed25519 }),
        Failure::TooLate,
    ]
}

/// Every step of a rotation that is not taken, but for what the ledger says.
fn steps() -> impl Iterator<Item = StepError> {
    let (state, next, key) = (String::new(), String::new(), String::new());
    let until = UnixTime(7);
    let (end, step) = ("old", "stage");
    [
        StepError::NoKey(String::new()),
        StepError::OtherEnd { key: key.clone(), end, step, other: String::new() },
        StepError::NoLine(String::new()),
        StepError::OutOfOrder { state, next },
        StepError::Time(until),
        StepError::StillValid { key, entry: 7, until },
        StepError::Unsettled,
    ]
    .into_iter()
}

/// Every reason that a caller can see.
fn rejections() -> Vec<Rejection> {
    let revocations = RevocationFault::ALL.into_iter().map(Rejection::from);
    let rotations = RotationFault::ALL.into_iter().map(Rejection::from).chain(steps().map(Rejection::from));
    let operators = OperatorFault::ALL.into_iter().map(Rejection::from);
    let readers = ReadingFault::ALL.into_iter().map(Rejection::from);
    let faults = Fault::ALL.into_iter().map(Rejection::from);
    let faults = faults.chain(operators).chain(readers).chain(revocations).chain(rotations);
    let refusals = Reason::ALL.iter().map(|reason| refused(*reason, "no").into());
    let failures = failures().into_iter().map(Rejection::from);
    faults.chain(refusals).chain(failures).chain(CLASSES.map(Rejection::from)).collect()
}

#[test]
fn a_revocation_of_too_many_is_told_how_many_that_is_and_what_to_do() {
    let (told, error) = (Rejection::from(RevokeError::TooMany).message, RevokeError::TooMany.to_string());
    let most = error.split(' ').find(|word| word.parse::<u64>().is_ok()).unwrap();
    assert!(told.replace(',', "").contains(&format!("more than {most} certificates")), "{told}");
    for way in ["--since", "--until", "[blocklist]", "replace the CA key"] {
        assert!(told.contains(way), "{way}: {told}");
    }
}

const CLASSES: [TokenErrorClass; 5] = [
    TokenErrorClass::Busy,
    TokenErrorClass::Unavailable,
    TokenErrorClass::Expired,
    TokenErrorClass::TimedOut,
    TokenErrorClass::Internal,
];

/// One failure of a token of each kind.
fn token_errors() -> [TokenError; 9] {
    let token = || TokenName::new("hsm-7").unwrap();
    let (call, code) = ("C_Sign".to_owned(), "CKR_DATA_LEN_RANGE".to_owned());
    [
        TokenError::Busy { token: token(), given: true },
        TokenError::Expired { token: token(), given: true },
        TokenError::TimedOut { token: token(), after: Duration::from_secs(10) },
        TokenError::Unavailable { token: token() },
        TokenError::PinRefused { token: token(), given: true },
        TokenError::KeyChanged { token: token() },
        TokenError::Failed { token: token(), call, code },
        TokenError::TooLong { len: 1_048_577, limit: 1_048_576 },
        TokenError::NotInService { key: KeyName::new("user-ca").unwrap() },
    ]
}

/// What a caller is told of it. No `_` arm: a new kind has to be decided by a person, and put among those above.
fn told_of(error: &TokenError) -> (usize, Code, &'static str) {
    match error {
        TokenError::Busy { .. } => (0, Code::ResourceExhausted, "TOKEN_BUSY"),
        TokenError::Expired { .. } => (1, Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        TokenError::TimedOut { .. } => (2, Code::Unavailable, "TOKEN_TIMED_OUT"),
        TokenError::Unavailable { .. } => (3, Code::Unavailable, "TOKEN_UNAVAILABLE"),
        TokenError::PinRefused { .. } => (4, Code::Unavailable, "TOKEN_UNAVAILABLE"),
        TokenError::KeyChanged { .. } => (5, Code::Unavailable, "TOKEN_UNAVAILABLE"),
        TokenError::Failed { .. } => (6, Code::Internal, "TOKEN_FAILED"),
        TokenError::TooLong { .. } => (7, Code::Internal, "TOKEN_FAILED"),
        TokenError::NotInService { .. } => (8, Code::Internal, "TOKEN_FAILED"),
    }
}

#[test]
fn every_failure_of_a_token_has_its_reason_and_tells_nothing_of_the_inside() {
    for (place, error) in token_errors().into_iter().enumerate() {
        let Rejection { code, reason, message, .. } = Failure::Token(error.clone()).into();
        assert_eq!((place, code, reason), told_of(&error));
        for inside in ["hsm-7", "C_Sign", "CKR_", "PIN", "10s", "1048576", "process"] {
            assert!(!message.contains(inside), "{inside}: {message}");
        }
        let row = format!("\n| `{reason}` | `{}` |", error.word());
        assert_eq!(ERRORS.matches(&row).count(), 1, "rows of docs/errors.md that begin {row}");
    }
}

#[test]
fn every_reason_is_listed_in_docs_with_its_code() {
    for Rejection { code, reason, .. } in rejections() {
        let row = format!("| `{reason}` | {} |", code_name(code));
        assert!(ERRORS.contains(&row), "docs/errors.md has no row that begins {row}");
    }
}

/// The sources of the words of what is no TBS, and the words in them that are about files: no request holds a finished
/// certificate, a signature or a public key line.
const PARSERS: [(&str, &[&str]); 3] = [
    (include_str!("../../../tbs/src/ssh/error.rs"), &["SIGNATURE_", "LINE_"]),
    (include_str!("../../../tbs/src/x509/error.rs"), &["ALGORITHM_DIFFERS"]),
    (include_str!("../../../tbs/src/der/error.rs"), &[]),
];

/// The parsers have no list of their words but their sources: each is the value of an arm of a `match`, alone on its line.
fn words_of(source: &'static str, of_files: &[&str]) -> Vec<&'static str> {
    let is_word =
        |word: &&str| word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let values = source.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","));
    values.filter(is_word).filter(|word| !of_files.iter().any(|prefix| word.starts_with(prefix))).collect()
}

#[test]
fn every_word_of_the_parsers_of_tbss_is_listed_in_docs() {
    for (source, of_files) in PARSERS {
        let words = words_of(source, of_files);
        assert!(words.len() >= 25, "{words:?}");
        for word in words {
            let Rejection { code, reason, .. } = refused(Reason::Malformed(word), "no").into();
            let row = format!("\n| `{reason}` | {} |", code_name(code));
            assert_eq!(ERRORS.matches(&row).count(), 1, "rows of docs/errors.md that begin {row}");
        }
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::Internal => "INTERNAL",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::Unavailable => "UNAVAILABLE",
        other => panic!("{other:?} is not a code that we answer"),
    }
}

#[test]
fn status_and_stream_error_say_the_same() {
    for rejection in rejections() {
        let by_call = CallError::from(Status::from(rejection.clone()));
        let by_stream = CallError::from(v1::Error::from(rejection.clone()));
        assert_eq!(by_call, by_stream);
        assert_eq!((by_call.code, by_call.reason.as_str()), (rejection.code, rejection.reason));
    }
}

#[test]
fn refusal_names_its_rule_and_its_entry() {
    let error =
        CallError::from(Status::from(Rejection::from(refused(Reason::KeyNotAvailable, "no such key"))));
    assert_eq!(error.rule.as_deref(), Some("key.user-ca.allow.staff.principals"));
    assert_eq!((error.entry, error.message.as_str()), (Some(7), "no such key"));
}

#[test]
fn asks_to_try_again_exactly_where_that_can_help() {
    for rejection in rejections() {
        let transient = matches!(rejection.code, Code::Unavailable | Code::ResourceExhausted);
        assert_eq!(rejection.retry_after.is_some(), transient, "{}", rejection.reason);
    }
}

#[test]
fn caller_learns_nothing_of_the_inside() {
    for failure in failures() {
        let inside = failure.to_string();
        assert_ne!(Rejection::from(failure).message, inside);
    }
}

#[test]
fn long_message_is_cut_between_characters() {
    let message = "ä".repeat(MAX_MESSAGE_BYTES);
    let rejection = Rejection::from(refused(Reason::KeyNotAvailable, &message));
    assert_eq!(rejection.message, format!("{}…", "ä".repeat(MAX_MESSAGE_BYTES / 2)));
}
