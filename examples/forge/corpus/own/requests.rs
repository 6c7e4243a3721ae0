//! Requests that say another name or key than they may, or more than a CA asks for.

use super::{Own, Request, Row, SHA1_OF_ROOT_CA, case, key_id, of_request};
use crate::corpus::x509::der::{
    self, CN, O, critical, dns, ed25519, extension, int, key_usage, name, names, oid, p256, purposes, seq,
    set, spki, utf8,
};
use crate::corpus::{Case, ROOT_CA, SERVER_CA};

pub fn cases() -> Vec<Case> {
    let lists = [
        of_request("subject", SUBJECTS),
        of_request("subjectPKInfo", KEYS),
        of_request("extensions", EXTENSIONS),
        of_request("basicConstraints", CONSTRAINTS),
        of_request("keyUsage", USAGES),
        of_request("subjectKeyIdentifier", KEY_IDS),
    ];
    let other = case(
        Own::Request,
        "certificationRequestInfo",
        (
            "finished",
            "a request that is signed already, as its own TBS",
            "RFC 2986 §4.2",
            "DER_UNEXPECTED_TAG",
        ),
        vec![("bytes", finished())],
    );
    [lists.concat(), vec![other]].concat()
}

/// With a signature behind it.
fn finished() -> Vec<u8> {
    let info: Vec<u8> = Request::base().fields().into_iter().flat_map(|(_, bytes)| bytes).collect();
    seq(&[&info, &seq(&[&oid("1.2.840.10045.4.3.2")]), &der::der(3, &[0, 0x30, 6, 2, 1, 1, 2, 1, 1])])
}

const SUBJECTS: &[Row<Request>] = &[
    ("empty", "a CA without a name", "RFC 5280 §4.1.2.6", "SUBJECT_NOT_ALLOWED by built-in.subject", |tbs| {
        tbs.subject = name(&[]);
    }),
    ("other", "another CA's name", "-", "SUBJECT_NOT_ALLOWED by subject", |tbs| {
        tbs.subject = name(&[(O, "Example"), (CN, "Root 1")]);
    }),
    ("other-organization", "another organisation's CA", "-", "SUBJECT_NOT_ALLOWED by subject", |tbs| {
        tbs.subject = name(&[(O, "Example.org"), (CN, "CA 1")]);
    }),
    (
        "second-name",
        "a second common name, for readers that take the last",
        "-",
        "SUBJECT_NOT_ALLOWED by subject",
        |tbs| {
            tbs.subject = name(&[(O, "Example"), (CN, "CA 1"), (CN, "Root 1")]);
        },
    ),
    (
        "unknown-attribute",
        "an attribute that the profile does not bound",
        "-",
        "SUBJECT_NOT_ALLOWED by subject",
        |tbs| {
            tbs.subject = name(&[(O, "Example"), (CN, "CA 1"), ("2.5.4.11", "Payments")]);
        },
    ),
    ("nul", "a name that ends for readers in C", "CVE-2009-2408", "DER_STRING_CONTROL", |tbs| {
        tbs.subject = name(&[(O, "Example"), (CN, "CA 1\0.example.org")]);
    }),
    (
        "teletex",
        "a string type that readers do not agree about",
        "RFC 5280 §4.1.2.4",
        "ATTRIBUTE_VALUE",
        |tbs| {
            tbs.subject = seq(&[&set(&[&der::attribute(CN, &der::der(0x14, b"CA 1"))])]);
        },
    ),
    ("empty-value", "a common name that is none", "X.520", "DER_STRING_LENGTH", |tbs| {
        tbs.subject = name(&[(O, "Example"), (CN, "")]);
    }),
    ("long-value", "a common name of 65 characters", "RFC 5280 App. A", "ATTRIBUTE_VALUE", |tbs| {
        tbs.subject = name(&[(O, "Example"), (CN, &format!("CA {}", "1".repeat(62)))]);
    }),
    ("unsorted", "a relative name whose parts are in no order", "X.690 §11.6", "DER_SET_ORDER", |tbs| {
        let parts = [der::attribute(O, &utf8("Example")), der::attribute(CN, &utf8("CA 1"))];
        tbs.subject = seq(&[&set(&[&parts[0], &parts[1]])]);
    }),
];

const KEYS: &[Row<Request>] = &[
    (
        "other",
        "a key whose owner is certified as the CA",
        "-",
        "CA_KEY_MISMATCH by built-in.own_key",
        |tbs| {
            tbs.subject_key = ed25519(&[0x5a; 32]);
        },
    ),
    ("other-of-this-signer", "another CA's key", "-", "CA_KEY_MISMATCH by built-in.own_key", |tbs| {
        tbs.subject_key = p256(&SERVER_CA);
    }),
    (
        "root-of-this-signer",
        "the root's key, below itself",
        "-",
        "CA_KEY_MISMATCH by built-in.own_key",
        |tbs| {
            tbs.subject_key = p256(&ROOT_CA);
        },
    ),
    (
        "off-curve",
        "a point that is on no curve",
        "CVE-2020-0601",
        "CA_KEY_MISMATCH by built-in.own_key",
        |tbs| {
            tbs.subject_key = p256(&[&[4][..], &[1; 64]].concat());
        },
    ),
    ("explicit-curve", "a curve of the attacker's own", "CVE-2020-0601", "PUBLIC_KEY", |tbs| {
        let curve = seq(&[&int(&[1]), &seq(&[&oid("1.2.840.10045.1.1"), &int(&[7])])]);
        tbs.subject_key = spki(&seq(&[&oid("1.2.840.10045.2.1"), &curve]), &[4; 65]);
    }),
    ("algorithm-null", "NULL where the algorithm has no parameters", "RFC 8410 §3", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = spki(&seq(&[&oid("1.3.101.112"), &[5, 0]]), &[0x5a; 32]);
    }),
    ("absent", "a request for nothing", "RFC 2986 §4.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.subject_key.clear();
    }),
    ("twice", "two keys, one for each reader", "RFC 2986 §4.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.subject_key = tbs.subject_key.repeat(2);
    }),
];

const MORE: &str = "CERTIFICATE_KIND_MISMATCH by built-in.extensions";

const EXTENSIONS: &[Row<Request>] = &[
    ("alternative-name", "a CA that is a web server as well", "RFC 5280 §4.2.1.6", MORE, |tbs| {
        tbs.add("subjectAltName", names(&[dns("www.example.org")]));
    }),
    ("purpose", "a CA for one purpose that is asked for as another", "RFC 5280 §4.2.1.12", MORE, |tbs| {
        tbs.add("extKeyUsage", purposes(&[der::SERVER_AUTH]));
    }),
    ("unknown", "an extension that nobody here reads", "-", MORE, |tbs| {
        tbs.add("unknown", extension("1.3.6.1.4.1.99999.2", &[5, 0]));
    }),
    ("unknown-critical", "one that nobody may skip", "RFC 5280 §4.2", "EXTENSION_UNKNOWN_CRITICAL", |tbs| {
        tbs.add("unknown", critical("1.3.6.1.4.1.99999.2", &[5, 0]));
    }),
    ("twice", "two key usages, one for each reader", "RFC 5280 §4.2", "EXTENSION_DUPLICATE", |tbs| {
        tbs.add("keyUsage", key_usage(&[7, 0x80]));
    }),
];

const CONSTRAINTS: &[Row<Request>] = &[
    ("leaf", "a CA's key asked for as a leaf's", "RFC 5280 §4.2.1.9", MORE, |tbs| {
        tbs.extensions = Some(vec![("basicConstraints", critical(der::BASIC_CONSTRAINTS, &seq(&[])))]);
    }),
    ("false", "FALSE, which DER leaves out", "X.690 §11.5", "DER_DEFAULT_ENCODED", |tbs| {
        tbs.replace("basicConstraints", critical(der::BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0]])));
    }),
    ("negative-path", "a path length below zero", "RFC 5280 §4.2.1.9", "DER_INTEGER_NEGATIVE", |tbs| {
        tbs.replace(
            "basicConstraints",
            critical(der::BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0xff], &int(&[0xff])])),
        );
    }),
];

const USAGES: &[Row<Request>] = &[
    ("no-certificates", "a CA that signs no certificates", "RFC 5280 §4.2.1.3", MORE, |tbs| {
        tbs.replace("keyUsage", key_usage(&[1, 0x02]));
    }),
    ("encipherment", "a CA's key that decrypts as well", "RFC 5280 §4.2.1.3", MORE, |tbs| {
        tbs.replace("keyUsage", key_usage(&[1, 0x26]));
    }),
    (
        "trailing-zeros",
        "zero bits that DER leaves out",
        "X.690 §11.2",
        "DER_NAMED_BITS_TRAILING_ZERO",
        |tbs| {
            tbs.replace("keyUsage", key_usage(&[0, 0x06]));
        },
    ),
];

const KEY_IDS: &[Row<Request>] = &[
    (
        "other",
        "another CA's identifier: its leaves would seem to be this one's",
        "RFC 5280 §4.2.1.2",
        MORE,
        |tbs| {
            tbs.replace("subjectKeyIdentifier", key_id(SHA1_OF_ROOT_CA));
        },
    ),
    ("chosen", "an identifier by which another CA's is found", "RFC 5280 §4.2.1.2", MORE, |tbs| {
        tbs.replace("subjectKeyIdentifier", key_id(&[0xa0; 20]));
    }),
    ("empty", "an identifier of nothing", "RFC 5280 §4.2.1.2", "KEY_IDENTIFIER", |tbs| {
        tbs.replace("subjectKeyIdentifier", key_id(&[]));
    }),
];
