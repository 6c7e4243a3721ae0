//! Numbers that are none, that have been signed, and what a delta list adds to.

use super::{CRL_NUMBER, Case, DELTA_CRL_INDICATOR, Forgery, Signer, forged};
use crate::corpus::Row;
use crate::corpus::x509::der::{critical, extension, int};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Signer::CrlCa, "cRLNumber", NUMBERS),
        forged(Signer::CrlKey, "cRLNumber", OLD),
        forged(Signer::CrlCa, "deltaCRLIndicator", COMPLETE_ONLY),
        forged(Signer::CrlKey, "deltaCRLIndicator", DELTAS),
    ];
    lists.concat()
}

const NUMBERS: &[Row<Forgery>] = &[
    (
        "absent",
        "a list that cannot be told from an older one",
        "RFC 5280 §5.2.3",
        "EXTENSION_MISSING",
        |tbs| {
            tbs.remove("cRLNumber");
        },
    ),
    ("negative", "a number below all others", "RFC 5280 §5.2.3", "DER_INTEGER_NEGATIVE", |tbs| {
        tbs.number(&[0xff]);
    }),
    ("padded", "a second encoding of a number", "X.690 §8.3.2", "DER_INTEGER_NOT_MINIMAL", |tbs| {
        tbs.number(&[0, 1]);
    }),
    ("no-octets", "a number of no octets", "X.690 §8.3.1", "DER_INTEGER_NOT_MINIMAL", |tbs| tbs.number(&[])),
    ("21-octets", "a number after which none may come", "RFC 5280 §5.2.3", "CRL_NUMBER", |tbs| {
        tbs.number(&[0x42; 21]);
    }),
    ("critical", "a number that readers must know", "RFC 5280 §5.2.3", "EXTENSION_CRITICALITY", |tbs| {
        tbs.replace("cRLNumber", critical(CRL_NUMBER, &int(&[1])));
    }),
    ("twice", "two numbers, one for each reader", "RFC 5280 §5.2", "EXTENSION_DUPLICATE", |tbs| {
        tbs.add("cRLNumber", extension(CRL_NUMBER, &int(&[2])));
    }),
    (
        "zero-again",
        "another list of the first number",
        "RFC 5280 §5.2.3",
        "CRL_NUMBER_NOT_NEWER by ledger.crl_number",
        |tbs| tbs.number(&[0]),
    ),
];

const OLD: &[Row<Forgery>] = &[
    (
        "again",
        "another list of the same number, without the entry",
        "RFC 5280 §5.2.3",
        "CRL_NUMBER_NOT_NEWER by ledger.crl_number",
        |tbs| {
            tbs.number(&[1, 0]);
            tbs.entries = None;
        },
    ),
    (
        "rolled-back",
        "the list before, made now",
        "RFC 5280 §5.2.3",
        "CRL_NUMBER_NOT_NEWER by ledger.crl_number",
        |tbs| tbs.number(&[0, 0xff]),
    ),
    (
        "rolled-back-to-zero",
        "the first list, made now",
        "RFC 5280 §5.2.3",
        "CRL_NUMBER_NOT_NEWER by ledger.crl_number",
        |tbs| tbs.number(&[0]),
    ),
    (
        "last-there-is",
        "a list after which there can be no other",
        "RFC 5280 §5.2.3",
        "CRL_NUMBER_TOO_FAR by number_step",
        |tbs| {
            let mut last = [0xff; 20];
            last[0] = 0x7f;
            tbs.number(&last);
        },
    ),
    (
        "first-octet-higher",
        "a lower number that sorts higher as bytes",
        "R35",
        "CRL_NUMBER_NOT_NEWER by ledger.crl_number",
        |tbs| tbs.number(&[2]),
    ),
];

const COMPLETE_ONLY: &[Row<Forgery>] = &[
    (
        "not-allowed",
        "a list that leaves out what was revoked before",
        "RFC 5280 §5.2.4",
        "DELTA_NOT_ALLOWED by delta",
        |tbs| tbs.delta(&[0]),
    ),
    (
        "not-critical",
        "a delta list, which readers take for a complete one",
        "RFC 5280 §5.2.4",
        "EXTENSION_CRITICALITY",
        |tbs| tbs.add("deltaCRLIndicator", extension(DELTA_CRL_INDICATOR, &int(&[0]))),
    ),
];

const DELTAS: &[Row<Forgery>] = &[
    (
        "base-same",
        "a delta list to itself",
        "RFC 5280 §5.2.4",
        "DELTA_BASE_NOT_OLDER by built-in.delta_base",
        |tbs| tbs.delta(&[1, 1]),
    ),
    (
        "base-above",
        "a delta list to a list that is not there yet",
        "RFC 5280 §5.2.4",
        "DELTA_BASE_NOT_OLDER by built-in.delta_base",
        |tbs| tbs.delta(&[1, 2]),
    ),
    ("base-negative", "a delta list to a list below all", "RFC 5280 §5.2.4", "DER_INTEGER_NEGATIVE", |tbs| {
        tbs.delta(&[0xff]);
    }),
    (
        "rolled-back",
        "a delta list that is older than the complete one",
        "RFC 5280 §5.2.4",
        "CRL_NUMBER_NOT_NEWER by ledger.crl_number",
        |tbs| {
            tbs.number(&[0, 0xff]);
            tbs.delta(&[0]);
        },
    ),
];
