//! When a list is made, and when the next one comes.

use super::{Case, Forgery, Signer, forged, time};
use crate::corpus::Row;
use crate::corpus::x509::der::{der, generalized};

pub fn cases() -> Vec<Case> {
    let mut cases = forged(Signer::CrlCa, "thisUpdate", THIS);
    cases.extend(forged(Signer::CrlCa, "nextUpdate", NEXT));
    cases
}

const THIS: &[Row<Forgery>] = &[
    (
        "an-hour-ago",
        "a list of before a revocation, made now",
        "RFC 5280 §5.1.2.4",
        "BACKDATED_TOO_FAR by backdating",
        |tbs| {
            tbs.this_update = time(-3600);
            tbs.entries = None;
        },
    ),
    ("1970", "a list of before everything", "R35", "BACKDATED_TOO_FAR by backdating", |tbs| {
        tbs.this_update = der(0x17, b"700101000000Z");
        tbs.entries = None;
    }),
    (
        "in-the-future",
        "a list that outranks the ones to come",
        "RFC 5280 §5.1.2.4",
        "STARTS_TOO_LATE by start_within",
        |tbs| tbs.this_update = time(300),
    ),
    ("absent", "a list of one time", "RFC 5280 §5.1.2.4", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.this_update.clear();
    }),
    (
        "generalized",
        "a time in the form of after 2049, which some readers reject",
        "RFC 5280 §5.1.2.4",
        "DER_TIME_TYPE",
        |tbs| tbs.this_update = der(0x18, &generalized(0)),
    ),
    ("no-seconds", "a time that may be any of sixty", "RFC 5280 §4.1.2.5.1", "DER_TIME_FORM", |tbs| {
        tbs.this_update = der(0x17, b"2611010000Z");
    }),
    ("offset", "a time of another zone", "RFC 5280 §4.1.2.5.1", "DER_TIME_FORM", |tbs| {
        tbs.this_update = der(0x17, b"261101000000+0100");
    }),
];

const NEXT: &[Row<Forgery>] = &[
    (
        "absent",
        "a list that is good for ever: no revocation reaches who has it",
        "RFC 5280 §5.1.2.5",
        "DER_UNEXPECTED_TAG",
        |tbs| tbs.next_update.clear(),
    ),
    (
        "too-late",
        "a list that hides revocations for longer than it may",
        "RFC 5280 §5.1.2.5",
        "NEXT_UPDATE_TOO_LATE by max_next_update",
        |tbs| tbs.next_update = time(86_400 + 60),
    ),
    (
        "after-certificate",
        "a list that outlives the key that signs it",
        "R38",
        "OUTLIVES_ISSUER by built-in.next_update",
        |tbs| tbs.next_update = time(3 * 86_400),
    ),
    ("9999", "the time that stands for never", "R35", "OUTLIVES_ISSUER by built-in.next_update", |tbs| {
        tbs.next_update = der(0x18, b"99991231235959Z");
    }),
    (
        "passed",
        "a list that is over when it is made",
        "RFC 5280 §5.1.2.5",
        "NEXT_UPDATE_PASSED by built-in.next_update",
        |tbs| {
            tbs.this_update = time(-50);
            tbs.next_update = time(-20);
            tbs.entries = None;
        },
    ),
    ("before-this", "a list that ends before it begins", "RFC 5280 §5.1.2.5", "TIME_ORDER", |tbs| {
        tbs.next_update = time(-1);
    }),
    ("same", "a list that ends as it begins", "RFC 5280 §5.1.2.5", "TIME_ORDER", |tbs| {
        tbs.next_update = time(0);
    }),
];
