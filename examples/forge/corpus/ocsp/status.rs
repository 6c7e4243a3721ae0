//! What is said of a certificate, and for how long.

use super::{Case, Forgery, Signer, Single, forged, time};
use crate::corpus::Row;
use crate::corpus::x509::der::{der, utc};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Signer::OcspKey, "certStatus", STATUSES),
        forged(Signer::OcspKey, "thisUpdate", THIS),
        forged(Signer::OcspKey, "nextUpdate", NEXT),
    ];
    lists.concat()
}

/// Revoked so many seconds from now, with what follows the time.
fn revoked(seconds: i32, rest: &[u8]) -> Vec<u8> {
    der(0xa1, &[&time(seconds), rest].concat())
}

/// A revocationReason of this code.
fn reason(code: u8) -> Vec<u8> {
    der(0xa0, &[10, 1, code])
}

const STATUSES: &[Row<Forgery>] = &[
    (
        "revoked-in-the-future",
        "a revocation to come, which readers take for one that is",
        "RFC 6960 §4.2.1",
        "REVOKED_IN_FUTURE by built-in.revocation_times",
        |tbs| tbs.single().status = revoked(60, &[]),
    ),
    (
        "revoked-a-second-later",
        "a revocation just after producedAt, behind a good answer",
        "RFC 6960 §4.2.1",
        "REVOKED_IN_FUTURE by built-in.revocation_times",
        |tbs| tbs.responses.push(Single { status: revoked(1, &[]), ..Single::of(&[0x43; 16]) }),
    ),
    (
        "reason-0",
        "unspecified, which is written by leaving it out",
        "RFC 5280 §5.3.1",
        "REASON_CODE",
        |tbs| {
            tbs.single().status = revoked(-60, &reason(0));
        },
    ),
    ("reason-7", "the code that is not used", "RFC 5280 §5.3.1", "REASON_CODE", |tbs| {
        tbs.single().status = revoked(-60, &reason(7));
    }),
    ("reason-8", "a certificate that is revoked and good again", "RFC 5280 §5.3.1", "REASON_CODE", |tbs| {
        tbs.single().status = revoked(-60, &reason(8));
    }),
    ("reason-implicit", "a reason without its own tag", "RFC 6960 §4.2.1", "DER_TRAILING_BYTES", |tbs| {
        tbs.single().status = revoked(-60, &[0x80, 1, 1]);
    }),
    ("revoked-without-time", "a revocation of no time", "RFC 6960 §4.2.1", "DER_TRUNCATED", |tbs| {
        tbs.single().status = der(0xa1, &[]);
    }),
    ("good-with-contents", "good, with bytes in it", "X.690 §8.8", "DER_TRAILING_BYTES", |tbs| {
        tbs.single().status = der(0x80, &[0]);
    }),
    (
        "good-explicit",
        "good, in another tag than the standard's",
        "RFC 6960 §4.2.1",
        "DER_UNEXPECTED_TAG",
        |tbs| {
            tbs.single().status = der(0xa0, &[5, 0]);
        },
    ),
    ("absent", "an answer that says nothing", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.single().status.clear();
    }),
    ("two", "good and unknown, one for each reader", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.single().status.extend([0x82, 0]);
    }),
    ("fourth-choice", "a status that does not exist", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.single().status = der(0x83, &[]);
    }),
];

const THIS: &[Row<Forgery>] = &[
    (
        "after-produced",
        "a status that was looked up after it was given",
        "RFC 6960 §2.4",
        "STATUS_IN_FUTURE by built-in.this_update",
        |tbs| tbs.single().this_update = time(1),
    ),
    ("absent", "a status of no time", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.single().this_update.clear();
    }),
];

/// nextUpdate so many seconds from now.
fn next(seconds: i32) -> Vec<u8> {
    der(0xa0, &time(seconds))
}

const NEXT: &[Row<Forgery>] = &[
    (
        "absent",
        "good for ever, whatever is revoked",
        "RFC 6960 §4.2.2.1",
        "NEXT_UPDATE_MISSING by max_next_update",
        |tbs| tbs.single().next_update.clear(),
    ),
    (
        "second-absent",
        "good for ever, behind an answer that ends",
        "RFC 6960 §4.2.2.1",
        "NEXT_UPDATE_MISSING by max_next_update",
        |tbs| tbs.responses.push(Single { next_update: Vec::new(), ..Single::of(&[0x43; 16]) }),
    ),
    (
        "too-late",
        "good for longer than it may be shown",
        "RFC 6960 §4.2.2.1",
        "NEXT_UPDATE_TOO_LATE by max_next_update",
        |tbs| tbs.single().next_update = next(3600 + 60),
    ),
    (
        "second-too-late",
        "the same behind an answer that ends in time",
        "RFC 6960 §4.2.2.1",
        "NEXT_UPDATE_TOO_LATE by max_next_update",
        |tbs| tbs.responses.push(Single { next_update: next(3600 + 60), ..Single::of(&[0x43; 16]) }),
    ),
    ("9999", "the time that stands for never", "R35", "NEXT_UPDATE_TOO_LATE by max_next_update", |tbs| {
        tbs.single().next_update = der(0xa0, &der(0x18, b"99991231235959Z"));
    }),
    (
        "passed",
        "an answer that is over when it is made",
        "RFC 6960 §4.2.2.1",
        "NEXT_UPDATE_PASSED by built-in.next_update",
        |tbs| {
            tbs.produced_at = time(-50);
            tbs.single().this_update = time(-50);
            tbs.single().next_update = next(-20);
        },
    ),
    ("before-this", "an answer that ends before it begins", "RFC 6960 §4.2.2.1", "TIME_ORDER", |tbs| {
        tbs.single().next_update = next(-1);
    }),
    ("utc", "a year of two digits", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.single().next_update = der(0xa0, &der(0x17, &utc(600)));
    }),
];
