//! CAs below: how far down they go, and for which names.

use super::der::{
    BASIC_CONSTRAINTS, NAME_CONSTRAINTS, OCSP_SIGNING, SERVER_AUTH, SUBJECT_ALT_NAME, critical, der, dns,
    extension, int, ip, is_ca, key_usage, names, purposes, seq,
};
use super::{Case, Kind, Row, constraints, forged};

pub fn cases() -> Vec<Case> {
    forged(Kind::Subordinate, "subordinate", SUBORDINATES)
}

const SUBORDINATES: &[Row] = &[
    (
        "unlimited",
        "a CA that makes CAs, and so on",
        "R38",
        "PATH_LENGTH_NOT_ALLOWED by max_path_length",
        |tbs| tbs.replace("basicConstraints", is_ca(None)),
    ),
    (
        "path-length-1",
        "a CA that makes one more",
        "R38",
        "PATH_LENGTH_NOT_ALLOWED by max_path_length",
        |tbs| tbs.replace("basicConstraints", is_ca(Some(1))),
    ),
    (
        "path-length-negative",
        "a path length below zero, which some read as the largest",
        "RFC 5280 §4.2.1.9",
        "DER_INTEGER_NEGATIVE",
        |tbs| {
            tbs.replace("basicConstraints", is_ca(Some(0xff)));
        },
    ),
    (
        "path-length-256",
        "a path length that is zero in 8 bits",
        "RFC 5280 §4.2.1.9",
        "DER_INTEGER_TOO_BIG",
        |tbs| {
            tbs.replace(
                "basicConstraints",
                critical(BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0xff], &int(&[1, 0])])),
            );
        },
    ),
    ("leaf", "a leaf where a CA belongs", "R38", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.replace("basicConstraints", critical(BASIC_CONSTRAINTS, &seq(&[])));
        tbs.replace("keyUsage", key_usage(&[7, 0x80]));
        tbs.remove("nameConstraints");
    }),
    (
        "leaf-that-signs",
        "a leaf that signs certificates",
        "RFC 5280 §4.2.1.3",
        "CERT_SIGN_WITHOUT_CA",
        |tbs| {
            tbs.replace("basicConstraints", critical(BASIC_CONSTRAINTS, &seq(&[])));
        },
    ),
    (
        "no-cert-sign",
        "a CA that signs lists alone",
        "RFC 5280 §4.2.1.3",
        "KEY_USAGE_NOT_ALLOWED by key_usage",
        |tbs| {
            tbs.replace("basicConstraints", is_ca(None));
            tbs.replace("keyUsage", key_usage(&[1, 0x02]));
        },
    ),
    (
        "encipherment",
        "a CA that decrypts, too",
        "RFC 5280 §4.2.1.3",
        "KEY_USAGE_NOT_ALLOWED by key_usage",
        |tbs| tbs.replace("keyUsage", key_usage(&[1, 0x26])),
    ),
    ("unconstrained", "a CA for every name", "R38", "NAME_CONSTRAINTS_MISMATCH by name_constraints", |tbs| {
        tbs.remove("nameConstraints");
    }),
    (
        "not-excluded",
        "a CA for the secret names, too",
        "R38",
        "NAME_CONSTRAINTS_MISMATCH by name_constraints",
        |tbs| {
            tbs.replace("nameConstraints", constraints(&[dns("example.org")], &[]));
        },
    ),
    (
        "not-permitted",
        "a CA for every name but the secret ones",
        "R38",
        "NAME_CONSTRAINTS_MISMATCH by name_constraints",
        |tbs| {
            tbs.replace("nameConstraints", constraints(&[], &[dns("secret.example.org")]));
        },
    ),
    (
        "every-address",
        "a CA for every address of IPv6, too",
        "RFC 5280 §4.2.1.10",
        "NAME_CONSTRAINTS_MISMATCH by name_constraints",
        |tbs| {
            let permitted = der(0xa0, &seq(&[&dns("example.org")]));
            let v4 = seq(&[&ip(&[0; 8])]);
            let excluded = der(0xa1, &[seq(&[&dns("secret.example.org")]), v4.clone(), v4].concat());
            tbs.replace("nameConstraints", critical(NAME_CONSTRAINTS, &seq(&[&permitted, &excluded])));
        },
    ),
    ("wider", "a CA for a name above", "R38", "NAME_CONSTRAINTS_MISMATCH by name_constraints", |tbs| {
        tbs.replace("nameConstraints", constraints(&[dns("org")], &[dns("secret.example.org")]));
    }),
    ("one-more", "a CA for one name more", "R38", "NAME_CONSTRAINTS_MISMATCH by name_constraints", |tbs| {
        tbs.replace(
            "nameConstraints",
            constraints(&[dns("example.org"), dns("example.com")], &[dns("secret.example.org")]),
        );
    }),
    (
        "every-name",
        "a CA for the empty name, which is every name",
        "R38",
        "NAME_CONSTRAINTS_MISMATCH by name_constraints",
        |tbs| {
            tbs.replace(
                "nameConstraints",
                constraints(&[dns("example.org"), dns("")], &[dns("secret.example.org")]),
            );
        },
    ),
    (
        "permitted-twice",
        "the permitted name twice, in the place of the excluded one",
        "R38",
        "NAME_CONSTRAINTS_MISMATCH by name_constraints",
        |tbs| {
            tbs.replace(
                "nameConstraints",
                constraints(&[dns("example.org"), dns("example.org")], &[dns("secret.example.org")]),
            );
        },
    ),
    (
        "constraints-swapped",
        "a CA for the secret names alone",
        "R38",
        "NAME_CONSTRAINTS_MISMATCH by name_constraints",
        |tbs| {
            tbs.replace("nameConstraints", constraints(&[dns("secret.example.org")], &[dns("example.org")]));
        },
    ),
    (
        "constraints-empty",
        "constraints without a name",
        "RFC 5280 §4.2.1.10",
        "NAME_CONSTRAINTS_EMPTY",
        |tbs| {
            tbs.replace("nameConstraints", critical(NAME_CONSTRAINTS, &seq(&[])));
        },
    ),
    (
        "constraints-not-critical",
        "constraints that readers may skip",
        "RFC 5280 §4.2.1.10",
        "EXTENSION_CRITICALITY",
        |tbs| {
            let list = der(0xa0, &seq(&[&dns("example.org")]));
            tbs.replace("nameConstraints", extension(NAME_CONSTRAINTS, &seq(&[&list])));
        },
    ),
    (
        "constraints-minimum",
        "constraints from a depth on, which no reader knows",
        "RFC 5280 §4.2.1.10",
        "DER_TRAILING_BYTES",
        |tbs| {
            let list = der(0xa0, &seq(&[&dns("example.org"), &der(0x80, &[1])]));
            tbs.replace("nameConstraints", critical(NAME_CONSTRAINTS, &seq(&[&list])));
        },
    ),
    ("constraints-mask", "a network with a hole in its mask", "RFC 5280 §4.2.1.10", "IP_ADDRESS", |tbs| {
        tbs.replace("nameConstraints", constraints(&[ip(&[10, 0, 0, 0, 255, 0, 255, 0])], &[]));
    }),
    (
        "constraints-of-leaf",
        "constraints in a leaf",
        "RFC 5280 §4.2.1.10",
        "NAME_CONSTRAINTS_WITHOUT_CA",
        |tbs| {
            tbs.replace("basicConstraints", critical(BASIC_CONSTRAINTS, &seq(&[])));
            tbs.replace("keyUsage", key_usage(&[7, 0x80]));
        },
    ),
    ("server", "a CA that is a server, too", "R38", "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage", |tbs| {
        tbs.add("extKeyUsage", purposes(&[SERVER_AUTH]));
    }),
    (
        "no-check",
        "ocsp-nocheck in a CA's certificate: no list revokes it",
        "RFC 6960 §4.2.2.2.1",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.add("ocspNoCheck", extension("1.3.6.1.5.5.7.48.1.5", &[5, 0]));
        },
    ),
    (
        "responder",
        "a CA that is a responder, too",
        "R11",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| tbs.add("extKeyUsage", purposes(&[OCSP_SIGNING])),
    ),
    ("names", "a CA with a server's name", "R38", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.add("subjectAltName", names(&[dns("www.example.org")]));
    }),
    ("no-subject", "a CA without a name", "RFC 5280 §4.1.2.6", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.subject = seq(&[]);
        tbs.add("subjectAltName", critical(SUBJECT_ALT_NAME, &seq(&[&dns("www.example.org")])));
    }),
    (
        "own-name",
        "a CA of the issuer's name, whose certificates pass for the issuer's",
        "RFC 5280 §6.1",
        "SUBJECT_IS_ISSUER by built-in.subject",
        |tbs| {
            tbs.subject = tbs.issuer.clone();
        },
    ),
    (
        "no-key-identifier",
        "a CA without a name for its key",
        "RFC 5280 §4.2.1.2",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.remove("subjectKeyIdentifier");
        },
    ),
];
