//! Certificates for services: SPIFFE IDs, signers of code, and OCSP responders.

use super::der::{
    CLIENT_AUTH, CN, CODE_SIGNING, OCSP_SIGNING, SERVER_AUTH, dns, extension, key_usage, name, names,
    purposes, seq, uri,
};
use super::{Case, Kind, Row, forged, purposes::promote};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Kind::Service, "service", SERVICES),
        forged(Kind::Code, "code", CODE),
        forged(Kind::Responder, "responder", RESPONDERS),
    ];
    lists.concat()
}

const SERVICES: &[Row] = &[
    (
        "two-ids",
        "two SPIFFE IDs, one for each reader",
        "X.509-SVID §2",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.names(&[uri("spiffe://example.org/web"), uri("spiffe://example.org/admin")]);
        },
    ),
    (
        "two-equal-ids",
        "the same SPIFFE ID twice",
        "X.509-SVID §2",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.names(&[uri("spiffe://example.org/web"), uri("spiffe://example.org/web")]);
        },
    ),
    ("no-id", "a name that is no SPIFFE ID", "X.509-SVID §2", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.names(&[dns("web.example.org")]);
    }),
    ("id-and-url", "a SPIFFE ID and a URL", "X.509-SVID §2", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.names(&[uri("spiffe://example.org/web"), uri("https://example.org/web")]);
    }),
    ("other-id", "another workload", "R11", "NAME_NOT_ALLOWED by uris", |tbs| {
        tbs.names(&[uri("spiffe://example.org/admin")]);
    }),
    (
        "other-trust-domain",
        "the same workload of another trust domain",
        "R11",
        "NAME_NOT_ALLOWED by uris",
        |tbs| tbs.names(&[uri("spiffe://evil.example/web")]),
    ),
    (
        "no-path",
        "a trust domain, which is a CA's name",
        "SPIFFE-ID §2",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| tbs.names(&[uri("spiffe://example.org")]),
    ),
    ("empty-path", "a path of nothing", "SPIFFE-ID §2.2", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.names(&[uri("spiffe://example.org/")]);
    }),
    ("empty-segment", "a path with a hole", "SPIFFE-ID §2.2", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.names(&[uri("spiffe://example.org//web")]);
    }),
    ("traversal", "a path that climbs", "SPIFFE-ID §2.2", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.names(&[uri("spiffe://example.org/web/../admin")]);
    }),
    ("query", "a SPIFFE ID with a query", "SPIFFE-ID §2", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.names(&[uri("spiffe://example.org/web?admin")]);
    }),
    (
        "fragment",
        "a SPIFFE ID with a fragment",
        "SPIFFE-ID §2",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| tbs.names(&[uri("spiffe://example.org/web#admin")]),
    ),
    ("port", "a SPIFFE ID with a port", "SPIFFE-ID §2.1", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.names(&[uri("spiffe://example.org:443/web")]);
    }),
    (
        "user",
        "a SPIFFE ID with a user before its trust domain",
        "SPIFFE-ID §2.1",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.names(&[uri("spiffe://example.org@evil.example/web")]);
        },
    ),
    (
        "percent",
        "a SPIFFE ID in escapes, which readers take apart or not",
        "SPIFFE-ID §2",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.names(&[uri("spiffe://example.org/we%62")]);
        },
    ),
    (
        "scheme-case",
        "a scheme in capital letters",
        "SPIFFE-ID §2",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| tbs.names(&[uri("SPIFFE://example.org/web")]),
    ),
    (
        "domain-case",
        "a trust domain in capital letters",
        "SPIFFE-ID §2.1",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| tbs.names(&[uri("spiffe://EXAMPLE.org/web")]),
    ),
    ("nul", "a SPIFFE ID that ends early in C", "CVE-2009-2408", "DER_STRING_CONTROL", |tbs| {
        tbs.names(&[uri("spiffe://example.org/web\0admin")]);
    }),
    ("client-alone", "half of its purposes", "R11", "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage", |tbs| {
        tbs.replace("extKeyUsage", purposes(&[CLIENT_AUTH]));
    }),
    ("dns-beside", "a server's name beside the SPIFFE ID", "R11", "NAME_NOT_ALLOWED by dns_names", |tbs| {
        tbs.names(&[uri("spiffe://example.org/web"), dns("www.example.org")]);
    }),
];

const CODE: &[Row] = &[
    ("server", "a server's purpose", "R11", "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage", |tbs| {
        tbs.replace("extKeyUsage", purposes(&[CODE_SIGNING, SERVER_AUTH]));
    }),
    (
        "time-stamping",
        "a witness of time",
        "RFC 3161 §2.3",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| {
            tbs.replace("extKeyUsage", purposes(&[CODE_SIGNING, "1.3.6.1.5.5.7.3.8"]));
        },
    ),
    ("names", "a server's name", "R11", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.add("subjectAltName", names(&[dns("www.example.org")]));
    }),
    ("other-subject", "another publisher", "R11", "SUBJECT_NOT_ALLOWED by subject", |tbs| {
        tbs.subject = name(&[(CN, "Example Corporation")]);
    }),
    ("no-subject", "no publisher", "RFC 5280 §4.1.2.6", "SUBJECT_EMPTY", |tbs| tbs.subject = seq(&[])),
    ("ca", "a CA of publishers", "R38", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| promote(tbs, None)),
];

const RESPONDERS: &[Row] = &[
    (
        "checked",
        "a responder about which another must answer",
        "RFC 6960 §4.2.2.2.1",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| tbs.remove("ocspNoCheck"),
    ),
    ("no-check-of-bytes", "ocsp-nocheck with contents", "RFC 6960 §4.2.2.2.1", "DER_TRAILING_BYTES", |tbs| {
        tbs.replace("ocspNoCheck", extension("1.3.6.1.5.5.7.48.1.5", &[5, 1, 0]));
    }),
    (
        "no-purpose",
        "a responder that may do everything",
        "RFC 6960 §4.2.2.2",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| tbs.remove("extKeyUsage"),
    ),
    (
        "server",
        "a responder that is a server, too",
        "R11",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| {
            tbs.replace("extKeyUsage", purposes(&[OCSP_SIGNING, SERVER_AUTH]));
        },
    ),
    ("names", "a server's name", "R11", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.add("subjectAltName", names(&[dns("www.example.org")]));
    }),
    ("crl-sign", "a responder that signs lists, too", "R11", "KEY_USAGE_NOT_ALLOWED by key_usage", |tbs| {
        tbs.replace("keyUsage", key_usage(&[1, 0x82]));
    }),
    ("ca", "a responder that is a CA", "R38", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| promote(tbs, None)),
];
