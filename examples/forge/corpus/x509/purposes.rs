//! What a server's certificate is for: a CA's constraints, usages and purposes that it must not have.

use super::der::{
    ANY_PURPOSE, BASIC_CONSTRAINTS, CLIENT_AUTH, CODE_SIGNING, EXT_KEY_USAGE, KEY_USAGE, OCSP_SIGNING,
    SERVER_AUTH, SIGNS_CERTIFICATES, critical, der, extension, int, is_ca, key_usage, purposes, seq,
};
use super::{Case, Forgery, Kind, Row, forged};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Kind::Server, "basicConstraints", BASIC),
        forged(Kind::Server, "keyUsage", USAGES),
        forged(Kind::Server, "extKeyUsage", PURPOSES),
    ];
    lists.concat()
}

/// Makes it a CA's in every respect.
pub(super) fn promote(tbs: &mut Forgery, path_length: Option<u8>) {
    tbs.replace("basicConstraints", is_ca(path_length));
    tbs.replace("keyUsage", key_usage(SIGNS_CERTIFICATES));
}

const BASIC: &[Row] = &[
    (
        "ca",
        "a CA below this one, where a server's certificate belongs",
        "R38",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| promote(tbs, None),
    ),
    (
        "ca-of-path-length-0",
        "a CA that certifies leaves alone",
        "R38",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| promote(tbs, Some(0)),
    ),
    (
        "ca-without-key-usage",
        "a CA that does not say what its key is for",
        "CVE-2002-0862",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.replace("basicConstraints", is_ca(None));
            tbs.remove("keyUsage");
        },
    ),
    (
        "ca-in-all-but-key-usage",
        "a CA, for readers that do not look at keyUsage",
        "CVE-2002-0862",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.replace("basicConstraints", is_ca(None));
        },
    ),
    (
        "ca-not-critical",
        "a CA that old readers take for a leaf",
        "RFC 5280 §4.2.1.9",
        "EXTENSION_CRITICALITY",
        |tbs| {
            promote(tbs, None);
            tbs.replace("basicConstraints", extension(BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0xff]])));
        },
    ),
    ("false-written", "FALSE, which DER leaves out", "X.690 §11.5", "DER_DEFAULT_ENCODED", |tbs| {
        tbs.replace("basicConstraints", critical(BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0]])));
    }),
    ("true-as-one", "a TRUE that not all readers take for one", "X.690 §11.1", "DER_BOOLEAN_VALUE", |tbs| {
        tbs.replace("basicConstraints", critical(BASIC_CONSTRAINTS, &seq(&[&[1, 1, 1]])));
    }),
    ("path-length-of-leaf", "a path length without a CA", "RFC 5280 §4.2.1.9", "PATH_LENGTH", |tbs| {
        tbs.replace("basicConstraints", critical(BASIC_CONSTRAINTS, &seq(&[&int(&[0])])));
    }),
    (
        "path-length-without-cert-sign",
        "a path length for a key that signs no certificates",
        "RFC 5280 §4.2.1.9",
        "PATH_LENGTH",
        |tbs| {
            tbs.replace("basicConstraints", is_ca(Some(3)));
        },
    ),
];

const USAGES: &[Row] = &[
    (
        "absent",
        "a key that is good for everything",
        "RFC 5280 §4.2.1.3",
        "KEY_USAGE_NOT_ALLOWED by key_usage",
        |tbs| tbs.remove("keyUsage"),
    ),
    (
        "cert-sign",
        "a leaf that signs certificates, for readers that look at keyUsage alone",
        "RFC 5280 §4.2.1.3",
        "CERT_SIGN_WITHOUT_CA",
        |tbs| {
            tbs.replace("keyUsage", key_usage(&[2, 0x84]));
        },
    ),
    (
        "crl-sign",
        "a leaf that signs lists",
        "RFC 5280 §4.2.1.3",
        "KEY_USAGE_NOT_ALLOWED by key_usage",
        |tbs| {
            tbs.replace("keyUsage", key_usage(&[1, 0x82]));
        },
    ),
    (
        "non-repudiation",
        "signatures that bind in court",
        "RFC 5280 §4.2.1.3",
        "KEY_USAGE_NOT_ALLOWED by key_usage",
        |tbs| {
            tbs.replace("keyUsage", key_usage(&[6, 0xc0]));
        },
    ),
    (
        "encipherment-alone",
        "no digitalSignature, which TLS 1.3 needs",
        "RFC 8446 §4.4.2.2",
        "KEY_USAGE_NOT_ALLOWED by key_usage",
        |tbs| {
            tbs.replace("keyUsage", key_usage(&[5, 0x20]));
        },
    ),
    (
        "no-bit",
        "no use at all, which some read as every use",
        "RFC 5280 §4.2.1.3",
        "DER_NAMED_BITS_EMPTY",
        |tbs| tbs.replace("keyUsage", key_usage(&[0])),
    ),
    ("trailing-zeros", "a second encoding of bits", "X.690 §11.2.2", "DER_NAMED_BITS_TRAILING_ZERO", |tbs| {
        tbs.replace("keyUsage", key_usage(&[0, 0x80]));
    }),
    ("unused-set", "a bit where none is", "X.690 §11.2.1", "DER_BIT_STRING_UNUSED", |tbs| {
        tbs.replace("keyUsage", key_usage(&[7, 0xc0]));
    }),
    ("tenth-bit", "a bit without a name", "RFC 5280 §4.2.1.3", "DER_NAMED_BITS_UNKNOWN", |tbs| {
        tbs.replace("keyUsage", key_usage(&[6, 0x80, 0x40]));
    }),
    (
        "32-bits",
        "more bits than a reader's integer has",
        "RFC 5280 §4.2.1.3",
        "DER_NAMED_BITS_UNKNOWN",
        |tbs| {
            tbs.replace("keyUsage", key_usage(&[0, 0x80, 0, 0, 0, 1]));
        },
    ),
    ("as-integer", "a number where bits belong", "RFC 5280 §4.2.1.3", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.replace("keyUsage", critical(KEY_USAGE, &int(&[1])));
    }),
];

const PURPOSES: &[Row] = &[
    (
        "absent",
        "a certificate that is good for every purpose",
        "RFC 5280 §4.2.1.12",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| tbs.remove("extKeyUsage"),
    ),
    ("empty", "no purpose, on which a reader crashed", "CVE-2026-40097", "DER_LIST_EMPTY", |tbs| {
        tbs.replace("extKeyUsage", purposes(&[]));
    }),
    (
        "no-bytes",
        "an extension without a list, on which a reader crashed",
        "CVE-2026-40097",
        "DER_TRUNCATED",
        |tbs| {
            tbs.replace("extKeyUsage", extension(EXT_KEY_USAGE, &[]));
        },
    ),
    ("any", "every purpose", "RFC 5280 §4.2.1.12", "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage", |tbs| {
        tbs.replace("extKeyUsage", purposes(&[ANY_PURPOSE]));
    }),
    (
        "any-beside-server",
        "every purpose, behind the right one",
        "RFC 5280 §4.2.1.12",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| {
            tbs.replace("extKeyUsage", purposes(&[SERVER_AUTH, ANY_PURPOSE]));
        },
    ),
    ("client", "a client's purpose", "R11", "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage", |tbs| {
        tbs.replace("extKeyUsage", purposes(&[CLIENT_AUTH]));
    }),
    (
        "client-beside-server",
        "a client's purpose, behind the right one",
        "R11",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| {
            tbs.replace("extKeyUsage", purposes(&[SERVER_AUTH, CLIENT_AUTH]));
        },
    ),
    (
        "ocsp-signing",
        "a responder for this CA",
        "RFC 6960 §4.2.2.2",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| {
            tbs.replace("extKeyUsage", purposes(&[SERVER_AUTH, OCSP_SIGNING]));
        },
    ),
    ("code-signing", "a signer of code", "R11", "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage", |tbs| {
        tbs.replace("extKeyUsage", purposes(&[SERVER_AUTH, CODE_SIGNING]));
    }),
    (
        "prefix",
        "a purpose that begins like the right one",
        "R11",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| {
            tbs.replace("extKeyUsage", purposes(&["1.3.6.1.5.5.7.3"]));
        },
    ),
    (
        "longer",
        "a purpose that goes on behind the right one",
        "R11",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| {
            tbs.replace("extKeyUsage", purposes(&["1.3.6.1.5.5.7.3.1.0"]));
        },
    ),
    ("twice", "the same purpose twice", "RFC 5280 §4.2.1.12", "ITEM_DUPLICATE", |tbs| {
        tbs.replace("extKeyUsage", purposes(&[SERVER_AUTH, SERVER_AUTH]));
    }),
    ("set", "a SET for a SEQUENCE", "RFC 5280 §4.2.1.12", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.replace("extKeyUsage", extension(EXT_KEY_USAGE, &der(0x31, &super::der::oid(SERVER_AUTH))));
    }),
    ("65", "more purposes than anybody has", "-", "DER_LIST_TOO_LONG", |tbs| {
        let many: Vec<String> = (0..65).map(|index| format!("1.3.6.1.4.1.99999.{index}")).collect();
        tbs.replace("extKeyUsage", purposes(&many.iter().map(String::as_str).collect::<Vec<_>>()));
    }),
];
