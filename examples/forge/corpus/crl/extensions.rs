//! What a list is about, where it is published, and extensions that nobody here knows.

use super::{CRL_NUMBER, Case, Forgery, ISSUING_DISTRIBUTION_POINT, Signer, forged};
use crate::corpus::Row;
use crate::corpus::x509::der::{critical, der, directory, extension, int, octets, oid, seq, uri};

pub fn cases() -> Vec<Case> {
    let mut cases = forged(Signer::CrlCa, "crlExtensions", EXTENSIONS);
    cases.extend(forged(Signer::CrlCa, "issuingDistributionPoint", POINTS));
    cases
}

const EXTENSIONS: &[Row<Forgery>] = &[
    ("none", "a list without a number or a key", "RFC 5280 §5.2", "DER_LIST_EMPTY", |tbs| {
        tbs.extensions.clear();
    }),
    (
        "unknown",
        "an extension that nobody here knows",
        "R28",
        "EXTENSION_NOT_ALLOWED by extension_values",
        |tbs| {
            tbs.add("unknown", extension("1.3.6.1.4.1.99999.7", &[5, 0]));
        },
    ),
    (
        "other-value",
        "a value that the profile does not list",
        "R28",
        "EXTENSION_VALUE_NOT_ALLOWED by extension_values",
        |tbs| tbs.add("listed", extension("1.3.6.1.4.1.99999.2", &[1, 1, 0xff])),
    ),
    (
        "freshest",
        "another place for revocations",
        "RFC 5280 §5.2.6",
        "EXTENSION_NOT_ALLOWED by extension_values",
        |tbs| {
            let point = seq(&[&der(0xa0, &der(0xa0, &uri("http://pki.example.net/delta.crl")))]);
            tbs.add("freshestCRL", extension("2.5.29.46", &seq(&[&point])));
        },
    ),
    (
        "unknown-critical",
        "a list that readers must drop",
        "RFC 5280 §5.2",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| {
            tbs.add("unknown", critical("1.3.6.1.4.1.99999.7", &[5, 0]));
        },
    ),
    (
        "listed-critical",
        "what the profile lists, made critical",
        "RFC 5280 §5.2",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| tbs.add("listed", critical("1.3.6.1.4.1.99999.2", &[5, 0])),
    ),
    (
        "basic-constraints",
        "an extension of a certificate, to make the list one for some reader",
        "B6",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| tbs.add("basicConstraints", critical("2.5.29.19", &seq(&[&[1, 1, 0xff]]))),
    ),
    ("critical-false", "FALSE, which DER leaves out", "X.690 §11.5", "DER_DEFAULT_ENCODED", |tbs| {
        tbs.replace("cRLNumber", seq(&[&oid(CRL_NUMBER), &[1, 1, 0], &octets(&int(&[1]))]));
    }),
    ("33", "more extensions than anybody needs", "-", "DER_LIST_TOO_LONG", |tbs| {
        for index in tbs.extensions.len()..33 {
            tbs.add("unknown", extension(&format!("1.3.6.1.4.1.99999.7.{index}"), &[5, 0]));
        }
    }),
];

/// Its fullName.
fn names(names: &[&[u8]]) -> Vec<u8> {
    der(0xa0, &der(0xa0, &names.concat()))
}

fn point(tbs: &mut Forgery, parts: &[&[u8]]) {
    tbs.add("issuingDistributionPoint", critical(ISSUING_DISTRIBUTION_POINT, &seq(parts)));
}

/// onlyContainsUserCerts, onlyContainsCACerts, indirectCRL, onlyContainsAttributeCerts.
const USER: &[u8] = &[0x81, 1, 0xff];
const CA: &[u8] = &[0x82, 1, 0xff];
const INDIRECT: &[u8] = &[0x84, 1, 0xff];
const ATTRIBUTE: &[u8] = &[0x85, 1, 0xff];
const LISTED: &str = "http://pki.example.org/ca.crl";

const POINTS: &[Row<Forgery>] = &[
    (
        "indirect",
        "a list about certificates of other CAs",
        "RFC 5280 §5.2.5",
        "ISSUING_DISTRIBUTION_POINT",
        |tbs| point(tbs, &[&names(&[&uri(LISTED)]), INDIRECT]),
    ),
    (
        "some-reasons",
        "a list that leaves revocations out",
        "RFC 5280 §5.2.5",
        "ISSUING_DISTRIBUTION_POINT",
        |tbs| point(tbs, &[&names(&[&uri(LISTED)]), &der(0x83, &[6, 0x40])]),
    ),
    (
        "attribute-certificates",
        "a list that is about no public-key certificate",
        "RFC 5280 §5.2.5",
        "ISSUING_DISTRIBUTION_POINT",
        |tbs| point(tbs, &[ATTRIBUTE]),
    ),
    ("user-and-ca", "a list about nothing at all", "RFC 5280 §5.2.5", "ISSUING_DISTRIBUTION_POINT", |tbs| {
        point(tbs, &[USER, CA]);
    }),
    ("empty", "an extension that says nothing", "RFC 5280 §5.2.5", "ISSUING_DISTRIBUTION_POINT", |tbs| {
        point(tbs, &[]);
    }),
    ("user", "a list that is silent on CAs", "RFC 5280 §5.2.5", "SCOPE_NOT_ALLOWED by scopes", |tbs| {
        point(tbs, &[&names(&[&uri(LISTED)]), USER]);
    }),
    ("ca", "a list that is silent on leaves", "RFC 5280 §5.2.5", "SCOPE_NOT_ALLOWED by scopes", |tbs| {
        point(tbs, &[CA]);
    }),
    (
        "other",
        "the list of another place, where more may be revoked",
        "RFC 5280 §5.2.5",
        "URL_NOT_ALLOWED by crl_urls",
        |tbs| point(tbs, &[&names(&[&uri("http://pki.example.net/ca.crl")])]),
    ),
    ("longer", "a place that begins with the listed one", "R28", "URL_NOT_ALLOWED by crl_urls", |tbs| {
        point(tbs, &[&names(&[&uri("http://pki.example.org/ca.crl2")])]);
    }),
    ("beside-listed", "another place beside the listed one", "R28", "URL_NOT_ALLOWED by crl_urls", |tbs| {
        point(tbs, &[&names(&[&uri(LISTED), &uri("http://pki.example.net/ca.crl")])]);
    }),
    ("directory", "a place in a directory", "R28", "URL_NOT_ALLOWED by crl_urls", |tbs| {
        point(tbs, &[&names(&[&directory(&Signer::CrlCa.name())])]);
    }),
    ("false", "FALSE, which DER leaves out", "X.690 §11.5", "DER_DEFAULT_ENCODED", |tbs| {
        point(tbs, &[&names(&[&uri(LISTED)]), &[0x81, 1, 0]]);
    }),
    (
        "not-critical",
        "a list about a part, which readers take for the whole",
        "RFC 5280 §5.2.5",
        "EXTENSION_CRITICALITY",
        |tbs| {
            let value = seq(&[&names(&[&uri(LISTED)])]);
            tbs.add("issuingDistributionPoint", extension(ISSUING_DISTRIBUTION_POINT, &value));
        },
    ),
];
