//! Nonces, and extensions that nobody here knows.

use super::{Case, Forgery, Signer, forged, time};
use crate::corpus::Row;
use crate::corpus::x509::der::{critical, der, extension, octets, seq};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Signer::OcspCa, "nonce", WITHOUT),
        forged(Signer::OcspKey, "nonce", NONCES),
        forged(Signer::OcspKey, "responseExtensions", EXTENSIONS),
        forged(Signer::OcspKey, "singleExtensions", SINGLE),
    ];
    lists.concat()
}

const NONCE: &str = "1.3.6.1.5.5.7.48.1.2";

const WITHOUT: &[Row<Forgery>] = &[(
    "not-allowed",
    "32 bytes of the caller's choice under the CA's key",
    "R28",
    "NONCE_NOT_ALLOWED by nonce",
    |tbs| tbs.add("nonce", extension(NONCE, &octets(&[7; 32]))),
)];

const NONCES: &[Row<Forgery>] = &[
    ("empty", "a nonce that binds to every request", "RFC 9654 §2.1", "NONCE", |tbs| {
        tbs.add("nonce", extension(NONCE, &octets(&[])));
    }),
    ("129-octets", "more of the caller's choice than a nonce needs", "RFC 9654 §2.1", "NONCE", |tbs| {
        tbs.add("nonce", extension(NONCE, &octets(&[7; 129])));
    }),
    ("bare", "a nonce without its OCTET STRING", "RFC 6960 §4.4.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.add("nonce", extension(NONCE, &[7; 16]));
    }),
    ("trailing", "bytes behind the nonce", "X.690 §10", "DER_TRAILING_BYTES", |tbs| {
        tbs.add("nonce", extension(NONCE, &[&octets(&[7; 16])[..], &[5, 0]].concat()));
    }),
    ("critical", "a nonce that readers must know", "RFC 6960 §4.4", "EXTENSION_CRITICALITY", |tbs| {
        tbs.add("nonce", critical(NONCE, &octets(&[7; 16])));
    }),
    ("twice", "two nonces, for two requests", "RFC 6960 §4.4", "EXTENSION_DUPLICATE", |tbs| {
        tbs.add("nonce", extension(NONCE, &octets(&[7; 16])));
        tbs.add("nonce", extension(NONCE, &octets(&[8; 16])));
    }),
];

const NOT_ALLOWED: &str = "EXTENSION_NOT_ALLOWED by built-in.extensions";
const CRL_REFERENCES: &str = "1.3.6.1.5.5.7.48.1.3";
const ARCHIVE_CUTOFF: &str = "1.3.6.1.5.5.7.48.1.6";
const EXTENDED_REVOKE: &str = "1.3.6.1.5.5.7.48.1.9";

const EXTENSIONS: &[Row<Forgery>] = &[
    ("unknown", "an extension that nobody here knows", "R28", NOT_ALLOWED, |tbs| {
        tbs.add("unknown", extension("1.3.6.1.4.1.99999.7", &[5, 0]));
    }),
    (
        "extended-revoke",
        "every unknown certificate counts as revoked",
        "RFC 6960 §4.4.8",
        NOT_ALLOWED,
        |tbs| {
            tbs.add("extendedRevoke", extension(EXTENDED_REVOKE, &[5, 0]));
        },
    ),
    (
        "unknown-critical",
        "an answer that readers must drop",
        "RFC 6960 §4.4",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| {
            tbs.add("unknown", critical("1.3.6.1.4.1.99999.7", &[5, 0]));
        },
    ),
    ("critical-false", "FALSE, which DER leaves out", "X.690 §11.5", "DER_DEFAULT_ENCODED", |tbs| {
        let nonce = crate::corpus::x509::der::oid(NONCE);
        tbs.add("nonce", seq(&[&nonce, &[1, 1, 0], &octets(&octets(&[7; 16]))]));
    }),
    (
        "empty",
        "no extensions, which is written by leaving them out",
        "RFC 6960 §4.2.1",
        "DER_LIST_EMPTY",
        |tbs| {
            // An extension of no bytes: its list is there, and empty.
            tbs.add("none", Vec::new());
        },
    ),
];

fn single(tbs: &mut Forgery, extensions: &[&[u8]]) {
    tbs.single().extensions = der(0xa1, &seq(extensions));
}

const SINGLE: &[Row<Forgery>] = &[
    ("archive-cutoff", "an answer on certificates of long ago", "RFC 6960 §4.4.4", NOT_ALLOWED, |tbs| {
        single(tbs, &[&extension(ARCHIVE_CUTOFF, &time(-86_400))]);
    }),
    ("crl-reference", "a list to look at instead", "RFC 6960 §4.4.2", NOT_ALLOWED, |tbs| {
        single(tbs, &[&extension(CRL_REFERENCES, &seq(&[&der(0xa1, &[2, 1, 1])]))]);
    }),
    ("nonce", "a nonce where none belongs", "RFC 6960 §4.4.1", NOT_ALLOWED, |tbs| {
        single(tbs, &[&extension(NONCE, &octets(&[7; 16]))]);
    }),
    (
        "unknown-critical",
        "an answer that readers must drop",
        "RFC 6960 §4.4",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| {
            single(tbs, &[&critical("1.3.6.1.4.1.99999.7", &[5, 0])]);
        },
    ),
    ("twice", "the same extension again", "RFC 6960 §4.4", "EXTENSION_DUPLICATE", |tbs| {
        let again = extension("1.3.6.1.4.1.99999.7", &[5, 0]);
        single(tbs, &[&again, &again]);
    }),
    ("empty", "a list of nothing", "RFC 6960 §4.2.1", "DER_LIST_EMPTY", |tbs| single(tbs, &[])),
];
