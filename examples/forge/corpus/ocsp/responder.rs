//! Who answers, and when.

use super::{Case, Forgery, Signer, by_key, by_name, forged, time};
use crate::corpus::Row;
use crate::corpus::signers::{SHA1_OF_OCSP_CA, SHA1_OF_OCSP_KEY, SHA256_OF_OCSP_KEY};
use crate::corpus::x509::der::{CN, O, der, name, octets, seq, utc};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Signer::OcspKey, "responderID", RESPONDERS),
        forged(Signer::OcspCa, "responderID", CAS),
        forged(Signer::OcspKey, "producedAt", TIMES),
    ];
    lists.concat()
}

const MISMATCH: &str = "RESPONDER_MISMATCH by built-in.responder";

const RESPONDERS: &[Row<Forgery>] = &[
    ("name-other", "an answer of another responder", "RFC 6960 §4.2.2.2", MISMATCH, |tbs| {
        tbs.responder = der(0xa1, &name(&[(O, "Example"), (CN, "some other responder")]));
    }),
    ("name-of-ca", "an answer of the CA itself", "RFC 6960 §4.2.2.2", MISMATCH, |tbs| {
        tbs.responder = by_name(Signer::OcspCa);
    }),
    ("name-of-other-ca", "an answer of another CA of this signer", "B6", MISMATCH, |tbs| {
        tbs.responder = by_name(Signer::CrlCa);
    }),
    ("name-part", "the beginning of the responder's name", "RFC 6960 §4.2.2.2", MISMATCH, |tbs| {
        tbs.responder = der(0xa1, &name(&[(O, "Example")]));
    }),
    ("name-empty", "an answer of nobody", "RFC 6960 §4.2.1", "ISSUER_EMPTY", |tbs| {
        tbs.responder = der(0xa1, &seq(&[]));
    }),
    ("key-of-ca", "an answer by the CA's own key", "RFC 6960 §4.2.2.2", MISMATCH, |tbs| {
        tbs.responder = by_key(SHA1_OF_OCSP_CA);
    }),
    ("key-other", "an answer by another key", "RFC 6960 §4.2.2.2", MISMATCH, |tbs| {
        tbs.responder = by_key(&[0xee; 20]);
    }),
    ("key-sha256", "another hash of the right key", "RFC 6960 §4.2.1", "RESPONDER_KEY_HASH", |tbs| {
        tbs.responder = by_key(SHA256_OF_OCSP_KEY);
    }),
    ("key-19-octets", "the beginning of a hash", "RFC 6960 §4.2.1", "RESPONDER_KEY_HASH", |tbs| {
        tbs.responder = by_key(&[0xee; 19]);
    }),
    ("key-empty", "a hash of no octets", "RFC 6960 §4.2.1", "RESPONDER_KEY_HASH", |tbs| {
        tbs.responder = by_key(&[]);
    }),
    ("key-implicit", "a hash without its own tag", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.responder = der(0x82, SHA1_OF_OCSP_KEY);
    }),
    ("both", "a name and a key, one for each reader", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.responder = [by_name(Signer::OcspKey), by_key(SHA1_OF_OCSP_KEY)].concat();
    }),
    ("absent", "an answer of no one", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| tbs.responder.clear()),
    ("third-choice", "a choice that does not exist", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.responder = der(0xa3, &octets(SHA1_OF_OCSP_KEY));
    }),
];

const CAS: &[Row<Forgery>] = &[
    ("ca-by-name-of-key", "the CA in its responder's name", "RFC 6960 §4.2.2.2", MISMATCH, |tbs| {
        tbs.responder = by_name(Signer::OcspKey);
    }),
    ("ca-by-key-of-key", "the CA by its responder's key", "RFC 6960 §4.2.2.2", MISMATCH, |tbs| {
        tbs.responder = by_key(SHA1_OF_OCSP_KEY);
    }),
    ("ca-by-key-id", "the CA's key identifier for its key's hash", "RFC 6960 §4.2.1", MISMATCH, |tbs| {
        tbs.responder = by_key(&Signer::OcspCa.key_id());
    }),
];

const TIMES: &[Row<Forgery>] = &[
    (
        "in-the-future",
        "an answer for later, when it is no longer true",
        "RFC 6960 §2.4",
        "STARTS_TOO_LATE by start_within",
        |tbs| tbs.produced_at = time(300),
    ),
    (
        "an-hour-ago",
        "an answer of before a revocation, made now",
        "RFC 6960 §2.4",
        "BACKDATED_TOO_FAR by backdating",
        |tbs| {
            tbs.produced_at = time(-3600);
            tbs.single().this_update = time(-3600);
        },
    ),
    ("absent", "an answer of no time", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.produced_at.clear();
    }),
    ("utc", "a year of two digits", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.produced_at = der(0x17, &utc(0));
    }),
    ("fraction", "a time between seconds", "RFC 6960 §4.2.2.1", "DER_TIME_FORM", |tbs| {
        tbs.produced_at = der(0x18, b"20261101000000.5Z");
    }),
    ("local", "a time of no zone", "RFC 6960 §4.2.2.1", "DER_TIME_FORM", |tbs| {
        tbs.produced_at = der(0x18, b"20261101000000");
    }),
];
