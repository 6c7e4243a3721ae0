//! Generated messages to the pipeline's types, and back.
//!
//! In: what a caller sent. Out: a [`Request`], or the [`Fault`] that it is none. Nothing is judged here that policy
//! judges: a key's name goes through as it is, so that asking for a bad one is recorded like asking for a wrong one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign_proto::v1;
use countersign_proto::v1::sign_request::Tbs;
use countersign_tbs::TbsKind;
use tonic::metadata::MetadataMap;

use super::status::Fault;
use crate::caller::Caller;
use crate::key::{Key, KeyPurpose, Scheme};
use crate::ledger::Receipt;
use crate::sign::{Priority, Request, RequestId, Signed};

pub(super) mod log;
mod rotation;
#[cfg(test)]
mod tests;

pub(super) use rotation::{bundle, line};

/// Reads one request of `caller`, which has just arrived in a call with this deadline.
///
/// # Errors
/// [`Fault::TbsMissing`], [`Fault::RequestIdInvalid`].
pub(super) fn request(
    caller: &Caller,
    deadline: Option<Instant>,
    message: v1::SignRequest,
) -> Result<Request, Fault> {
    let priority = priority(message.priority());
    let deadline = earlier(deadline, message.timeout_ms, Instant::now());
    let request_id = match message.request_id.as_str() {
        "" => None,
        id => Some(RequestId::new(id).map_err(|_| Fault::RequestIdInvalid)?),
    };
    let (kind, bytes) = match message.tbs.ok_or(Fault::TbsMissing)? {
        Tbs::SshCertificate(bytes) => (TbsKind::SshCertificate, bytes),
        Tbs::X509Certificate(bytes) => (TbsKind::X509Certificate, bytes),
        Tbs::X509Crl(bytes) => (TbsKind::X509Crl, bytes),
        Tbs::OcspResponse(bytes) => (TbsKind::OcspResponse, bytes),
        Tbs::X509Request(bytes) => (TbsKind::X509Request, bytes),
        Tbs::X509Root(bytes) => (TbsKind::X509Root, bytes),
    };
    Ok(Request { caller: caller.clone(), key: message.key, kind, bytes, request_id, priority, deadline })
}

/// A number that this server does not know is bulk, too: the better lane must be asked for.
fn priority(priority: v1::Priority) -> Priority {
    match priority {
        v1::Priority::Interactive => Priority::Interactive,
        v1::Priority::Unspecified | v1::Priority::Bulk => Priority::Bulk,
    }
}

/// When the caller no longer wants an answer: now and its `grpc-timeout` (gRPC over HTTP2, "Requests").
///
/// # Errors
/// [`Fault::DeadlineInvalid`]: to sign without a deadline for somebody who meant to set one would be worse.
pub(super) fn deadline(headers: &MetadataMap, now: Instant) -> Result<Option<Instant>, Fault> {
    let Some(timeout) = headers.get("grpc-timeout") else { return Ok(None) };
    let timeout = timeout.to_str().ok().and_then(timeout_value).ok_or(Fault::DeadlineInvalid)?;
    // The largest, 99,999,999 hours, is within what an Instant holds; if it were not, there would be no deadline to miss.
    Ok(now.checked_add(timeout))
}

/// The call's deadline or the request's own, which is so many milliseconds from `now` unless it is 0.
fn earlier(deadline: Option<Instant>, timeout_ms: u32, now: Instant) -> Option<Instant> {
    let own = Some(timeout_ms).filter(|&ms| ms > 0);
    let own = own.and_then(|ms| now.checked_add(Duration::from_millis(ms.into())));
    [deadline, own].into_iter().flatten().min()
}

fn timeout_value(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// The answer to a signed request; `log_origin` is the name of the ledger that recorded it.
pub(super) fn response(signed: Signed, log_origin: &str) -> v1::SignResponse {
    let receipt = receipt(signed.receipt, signed.log.as_deref().unwrap_or(log_origin));
    v1::SignResponse {
        signature: signed.signature.into(),
        object: signed.object.into(),
        scheme: scheme(signed.scheme).into(),
        receipt: Some(receipt),
    }
}

/// Where an entry is in the log of this name.
pub(super) fn receipt(receipt: Receipt, log_origin: &str) -> v1::Receipt {
    v1::Receipt {
        log_origin: log_origin.to_owned(),
        entry_index: receipt.index,
        leaf_hash: Bytes::copy_from_slice(&receipt.leaf_hash),
    }
}

/// A key as callers see it.
pub(super) fn key(key: &Key) -> v1::Key {
    let spki = key.public_key.to_spki_der();
    let spki_sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
    v1::Key {
        name: key.name.to_string(),
        purpose: purpose(key.purpose).into(),
        scheme: scheme(key.scheme).into(),
        openssh: key.public_key.to_openssh_line(key.name.as_str()).unwrap_or_default(),
        ssh_fingerprint: key.public_key.fingerprint(),
        spki_sha256: Bytes::copy_from_slice(spki_sha256.as_ref()),
        spki: spki.into(),
    }
}

fn purpose(purpose: KeyPurpose) -> v1::Purpose {
    match purpose {
        KeyPurpose::SshUserCa => v1::Purpose::SshUserCa,
        KeyPurpose::X509Ca => v1::Purpose::X509Ca,
        KeyPurpose::X509Crl => v1::Purpose::X509Crl,
        KeyPurpose::Ocsp => v1::Purpose::Ocsp,
        KeyPurpose::SshHostCa => v1::Purpose::SshHostCa,
        // No caller is told of such a key.
        KeyPurpose::Ledger => v1::Purpose::Unspecified,
    }
}

fn scheme(scheme: Scheme) -> v1::Scheme {
    match scheme {
        Scheme::EcdsaP256Sha256 => v1::Scheme::EcdsaP256Sha256,
        Scheme::EcdsaP384Sha384 => v1::Scheme::EcdsaP384Sha384,
        Scheme::EcdsaP521Sha512 => v1::Scheme::EcdsaP521Sha512,
        Scheme::Ed25519 => v1::Scheme::Ed25519,
        Scheme::RsaPkcs1Sha256 => v1::Scheme::RsaPkcs1Sha256,
        Scheme::RsaPkcs1Sha512 => v1::Scheme::RsaPkcs1Sha512,
        Scheme::RsaPkcs1Sha384 => v1::Scheme::RsaPkcs1Sha384,
        Scheme::RsaPssSha256 => v1::Scheme::RsaPssSha256,
        Scheme::RsaPssSha384 => v1::Scheme::RsaPssSha384,
        Scheme::RsaPssSha512 => v1::Scheme::RsaPssSha512,
        Scheme::MlDsa44 => v1::Scheme::MlDsa44,
        Scheme::MlDsa65 => v1::Scheme::MlDsa65,
        Scheme::MlDsa87 => v1::Scheme::MlDsa87,
    }
}
