//! Roots that are none, are another's, or are more than their profile lets them be.

use super::{DAY, Row, SHA1_OF_REQUEST_CA, key_id, of_root};
use crate::corpus::x509::Forgery;
use crate::corpus::x509::der::{
    self, CN, O, authority, critical, der as element, dns, ed25519, generalized, int, is_ca, key_usage, name,
    names, oid, p256, purposes, seq, utc, validity,
};
use crate::corpus::{Case, REQUEST_CA};

pub fn cases() -> Vec<Case> {
    let lists = [
        of_root("serialNumber", SERIALS),
        of_root("signature", SIGNATURES),
        of_root("issuer", ISSUERS),
        of_root("validity", VALIDITIES),
        of_root("subject", SUBJECTS),
        of_root("subjectPublicKeyInfo", KEYS),
        of_root("extensions", EXTENSIONS),
        of_root("basicConstraints", CONSTRAINTS),
        of_root("keyUsage", USAGES),
        of_root("keyIdentifier", KEY_IDS),
    ];
    lists.concat()
}

/// Issuer and subject at once.
fn rename(tbs: &mut Forgery, attributes: &[(&str, &str)]) {
    tbs.issuer = name(attributes);
    tbs.subject = name(attributes);
}

const SERIALS: &[Row<Forgery>] = &[
    (
        "short",
        "a serial number that can be guessed",
        "CA/B BR §7.1",
        "SERIAL_TOO_SHORT by built-in.serial",
        |tbs| {
            tbs.serial = int(&[0x42; 7]);
        },
    ),
    ("zero", "a serial number that is none", "RFC 5280 §4.1.2.2", "SERIAL_NUMBER", |tbs| {
        tbs.serial = int(&[0]);
    }),
    ("negative", "a serial number below zero", "RFC 5280 §4.1.2.2", "DER_INTEGER_NEGATIVE", |tbs| {
        tbs.serial = int(&[0x80; 16]);
    }),
    ("21-octets", "a serial number that readers cut", "RFC 5280 §4.1.2.2", "SERIAL_NUMBER", |tbs| {
        tbs.serial = int(&[0x42; 21]);
    }),
];

const ALGORITHM: &str = "SIGNATURE_ALGORITHM_MISMATCH by built-in.signature_algorithm";

const SIGNATURES: &[Row<Forgery>] = &[
    ("other", "an algorithm that the key does not sign by", "RFC 5280 §4.1.1.2", ALGORITHM, |tbs| {
        tbs.signature = seq(&[&oid("1.3.101.112")]);
    }),
    ("other-hash", "another hash than the key's", "RFC 5758 §3.2", ALGORITHM, |tbs| {
        tbs.signature = seq(&[&oid("1.2.840.10045.4.3.3")]);
    }),
    ("sha1", "a hash that collides", "RFC 6194", "SIGNATURE_ALGORITHM", |tbs| {
        tbs.signature = seq(&[&oid("1.2.840.10045.4.1")]);
    }),
];

const ISSUERS: &[Row<Forgery>] = &[
    ("other", "a certificate by another CA, signed by nobody's leave", "RFC 5280 §3.2", "NO_ROOT", |tbs| {
        tbs.issuer = name(&[(O, "Example"), (CN, "Root 2")]);
    }),
    ("other-string-type", "the same name for some readers alone", "RFC 5280 §7.1", "NO_ROOT", |tbs| {
        let printable = |kind, value: &[u8]| der::set(&[&der::attribute(kind, &element(0x13, value))]);
        tbs.issuer = seq(&[&printable(O, b"Example"), &printable(CN, b"Root 1")]);
    }),
    ("of-this-signer", "another CA of this signer as the issuer", "RFC 5280 §3.2", "NO_ROOT", |tbs| {
        tbs.issuer = crate::corpus::x509::issuer_name("server-ca");
    }),
    ("empty", "no issuer", "RFC 5280 §4.1.2.4", "ISSUER_EMPTY", |tbs| tbs.issuer = name(&[])),
];

const VALIDITIES: &[Row<Forgery>] = &[
    ("forever", "a root that never ends", "RFC 5280 §4.1.2.5", "VALID_FOREVER by built-in.validity", |tbs| {
        tbs.validity = seq(&[&element(0x17, &utc(0)), &element(0x18, b"99991231235959Z")]);
    }),
    ("over", "a root of the past", "RFC 5280 §4.1.2.5", "CERTIFICATE_EXPIRED by built-in.validity", |tbs| {
        tbs.validity = validity(-30 * DAY, -DAY);
    }),
    ("backdated", "a root that was there before", "-", "BACKDATED_TOO_FAR by backdating", |tbs| {
        tbs.validity = validity(-DAY, 10 * DAY);
    }),
    ("later", "a root for a time that nobody watches", "-", "STARTS_TOO_LATE by start_within", |tbs| {
        tbs.validity = validity(DAY, 10 * DAY);
    }),
    ("long", "a root that outlives its profile", "-", "LIFETIME_TOO_LONG by max_lifetime", |tbs| {
        tbs.validity = validity(0, 31 * DAY);
    }),
    (
        "short",
        "a root that is gone before anybody trusts it",
        "-",
        "LIFETIME_TOO_SHORT by min_lifetime",
        |tbs| {
            tbs.validity = validity(0, 600);
        },
    ),
    ("turned", "an end before the beginning", "RFC 5280 §4.1.2.5", "TIME_ORDER", |tbs| {
        tbs.validity = validity(10 * DAY, 0);
    }),
    (
        "generalized",
        "a time before 2050 in the form for those after",
        "RFC 5280 §4.1.2.5",
        "DER_TIME_TYPE",
        |tbs| {
            tbs.validity = seq(&[&element(0x18, &generalized(0)), &element(0x18, &generalized(10 * DAY))]);
        },
    ),
];

const SUBJECTS: &[Row<Forgery>] = &[
    ("other", "another CA's name", "-", "SUBJECT_NOT_ALLOWED by subject", |tbs| {
        rename(tbs, &[(O, "Example"), (CN, "CA 1")]);
    }),
    ("other-organization", "another organisation's root", "-", "SUBJECT_NOT_ALLOWED by subject", |tbs| {
        rename(tbs, &[(O, "Example.org"), (CN, "Root 1")]);
    }),
    (
        "unknown-attribute",
        "an attribute that the profile does not bound",
        "-",
        "SUBJECT_NOT_ALLOWED by subject",
        |tbs| {
            rename(tbs, &[(O, "Example"), (CN, "Root 1"), ("2.5.4.11", "Payments")]);
        },
    ),
    ("empty", "a root without a name", "RFC 5280 §4.1.2.6", "ISSUER_EMPTY", |tbs| rename(tbs, &[])),
];

const KEYS: &[Row<Forgery>] = &[
    ("other", "somebody else's key, as a root", "-", "CA_KEY_MISMATCH by built-in.own_key", |tbs| {
        tbs.subject_key = ed25519(&[0x5a; 32]);
        tbs.remove("subjectKeyIdentifier");
    }),
    (
        "other-of-this-signer",
        "another CA's key, as a root",
        "-",
        "CA_KEY_MISMATCH by built-in.own_key",
        |tbs| {
            tbs.subject_key = p256(&REQUEST_CA);
        },
    ),
];

const MORE: &str = "CERTIFICATE_KIND_MISMATCH by built-in.extensions";
const NO_ROOT: &str = "CERTIFICATE_KIND_MISMATCH by built-in.root";

const EXTENSIONS: &[Row<Forgery>] = &[
    ("none", "a root that is good for everything", "RFC 5280 §4.2", "DER_LIST_EMPTY", |tbs| {
        tbs.extensions.clear();
    }),
    ("alternative-name", "a root that is a web server as well", "RFC 5280 §4.2.1.6", MORE, |tbs| {
        tbs.add("subjectAltName", names(&[dns("www.example.org")]));
    }),
    ("purpose", "a root for a purpose", "RFC 5280 §4.2.1.12", MORE, |tbs| {
        tbs.add("extKeyUsage", purposes(&[der::CODE_SIGNING]));
    }),
    ("name-constraints", "constraints that readers of a root skip", "RFC 5280 §6.1", MORE, |tbs| {
        let subtrees = element(0xa0, &seq(&[&dns("example.org")]));
        tbs.add("nameConstraints", critical(der::NAME_CONSTRAINTS, &seq(&[&subtrees])));
    }),
    ("unknown", "an extension that nobody here reads", "-", MORE, |tbs| {
        tbs.add("unknown", der::extension("1.3.6.1.4.1.99999.2", &[5, 0]));
    }),
];

const CONSTRAINTS: &[Row<Forgery>] = &[
    ("absent", "a root that is no CA", "RFC 5280 §4.2.1.9", "CERT_SIGN_WITHOUT_CA", |tbs| {
        tbs.remove("basicConstraints");
    }),
    ("leaf", "a leaf that signs itself", "RFC 5280 §4.2.1.9", "NO_ROOT", |tbs| {
        tbs.replace("basicConstraints", critical(der::BASIC_CONSTRAINTS, &seq(&[])));
        tbs.replace("keyUsage", key_usage(der::SIGNS_DATA));
    }),
    (
        "not-critical",
        "a CA that old readers take for a leaf",
        "RFC 5280 §4.2.1.9",
        "EXTENSION_CRITICALITY",
        |tbs| {
            tbs.replace("basicConstraints", der::extension(der::BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0xff]])));
        },
    ),
    (
        "path-2",
        "a longer path than the profile lets it have",
        "-",
        "PATH_LENGTH_NOT_ALLOWED by max_path_length",
        |tbs| {
            tbs.replace("basicConstraints", is_ca(Some(2)));
        },
    ),
    ("path-any", "a path of any length", "-", "PATH_LENGTH_NOT_ALLOWED by max_path_length", |tbs| {
        tbs.replace("basicConstraints", is_ca(None));
    }),
];

const USAGES: &[Row<Forgery>] = &[
    ("absent", "a root that may do anything", "RFC 5280 §4.2.1.3", NO_ROOT, |tbs| {
        tbs.remove("keyUsage");
        tbs.replace("basicConstraints", is_ca(None));
    }),
    ("no-certificates", "a root that signs no certificates", "RFC 5280 §4.2.1.3", MORE, |tbs| {
        tbs.replace("basicConstraints", is_ca(None));
        tbs.replace("keyUsage", key_usage(&[1, 0x02]));
    }),
    ("agreement", "a root's key that agrees on keys as well", "RFC 5280 §4.2.1.3", MORE, |tbs| {
        tbs.replace("keyUsage", key_usage(&[1, 0x0e]));
    }),
];

const KEY_IDS: &[Row<Forgery>] = &[
    ("absent", "a root that leaves cannot name", "RFC 5280 §4.2.1.2", NO_ROOT, |tbs| {
        tbs.remove("subjectKeyIdentifier");
    }),
    ("other", "another CA's identifier", "RFC 5280 §4.2.1.2", MORE, |tbs| {
        tbs.replace("subjectKeyIdentifier", key_id(SHA1_OF_REQUEST_CA));
    }),
    ("authority-other", "a root that names another CA as its issuer", "RFC 5280 §4.2.1.1", MORE, |tbs| {
        tbs.add("authorityKeyIdentifier", authority(&[0xa0; 20]));
    }),
];
