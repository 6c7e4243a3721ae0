//! Certificates for people and their machines: TLS clients, and logging in with a smart card.

use super::der::{
    ANY_PURPOSE, CLIENT_AUTH, CN, O, SERVER_AUTH, SMART_CARD_LOGON, der, dns, email, name, purposes,
    security_id, upn, uri,
};
use super::{Case, Kind, Row, forged};

pub fn cases() -> Vec<Case> {
    let lists = [forged(Kind::Client, "client", CLIENTS), forged(Kind::Logon, "logon", LOGONS)];
    lists.concat()
}

const CLIENTS: &[Row] = &[
    ("server", "a server's purpose", "R11", "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage", |tbs| {
        tbs.replace("extKeyUsage", purposes(&[CLIENT_AUTH, SERVER_AUTH]));
    }),
    (
        "smart-card",
        "a login to Windows",
        "CVE-2022-26923",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| {
            tbs.replace("extKeyUsage", purposes(&[CLIENT_AUTH, SMART_CARD_LOGON]));
        },
    ),
    ("other-email", "somebody else's mail", "R11", "NAME_NOT_ALLOWED by email_addresses", |tbs| {
        tbs.names(&[email("root@example.org")]);
    }),
    ("email-of-two", "two mailboxes in one", "B2", "MAILBOX", |tbs| {
        tbs.names(&[email("alice@example.org,root@example.org")]);
    }),
    ("email-nul", "a mailbox that ends early in C", "CVE-2009-2408", "DER_STRING_CONTROL", |tbs| {
        tbs.names(&[email("alice@example.org\0.evil.example")]);
    }),
    (
        "email-quoted",
        "a mailbox with a quoted part, which readers take apart differently",
        "RFC 5321 §4.1.2",
        "MAILBOX",
        |tbs| {
            tbs.names(&[email("\"alice@example.org\"@evil.example")]);
        },
    ),
    (
        "email-not-ascii",
        "a mailbox with a letter that looks like another",
        "RFC 5280 §4.2.1.6",
        "DER_STRING_CHARACTER",
        |tbs| tbs.names(&[email("аlice@example.org")]),
    ),
    (
        "upn",
        "a login to Windows, by its name alone",
        "CVE-2022-26923",
        "NAME_NOT_ALLOWED by user_principal_names",
        |tbs| {
            tbs.names(&[email("alice@example.org"), upn("administrator@corp.example")]);
        },
    ),
    ("spiffe-id", "a workload's name", "R11", "NAME_NOT_ALLOWED by uris", |tbs| {
        tbs.names(&[email("alice@example.org"), uri("spiffe://example.org/web")]);
    }),
    ("dns", "a server's name", "R11", "NAME_NOT_ALLOWED by dns_names", |tbs| {
        tbs.names(&[email("alice@example.org"), dns("www.example.org")]);
    }),
    ("other-subject", "somebody else", "R11", "SUBJECT_NOT_ALLOWED by subject", |tbs| {
        tbs.subject = name(&[(CN, "root")]);
    }),
    (
        "subject-of-two",
        "two common names: readers take the first or the last",
        "B2",
        "SUBJECT_NOT_ALLOWED by subject",
        |tbs| {
            tbs.subject = name(&[(CN, "alice"), (CN, "root")]);
        },
    ),
    (
        "organization",
        "membership of a group, which some take from the subject",
        "R11",
        "SUBJECT_NOT_ALLOWED by subject",
        |tbs| {
            tbs.subject = name(&[(O, "system:masters"), (CN, "alice")]);
        },
    ),
    (
        "security-identifier",
        "an account, by its identifier",
        "CVE-2022-26923",
        "NAME_NOT_ALLOWED by security_identifiers",
        |tbs| {
            tbs.add("securityIdentifier", security_id("S-1-5-21-1-2-3-500"));
        },
    ),
];

const LOGONS: &[Row] = &[
    ("other-upn", "somebody else", "CVE-2022-26923", "NAME_NOT_ALLOWED by user_principal_names", |tbs| {
        tbs.names(&[upn("administrator@corp.example")]);
    }),
    (
        "other-domain",
        "the same name of another domain",
        "CVE-2022-26923",
        "NAME_NOT_ALLOWED by user_principal_names",
        |tbs| tbs.names(&[upn("alice@evil.example")]),
    ),
    (
        "two-upns",
        "two principals: readers take the first or the last",
        "CVE-2022-26923",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.names(&[upn("alice@corp.example"), upn("administrator@corp.example")]);
        },
    ),
    (
        "no-upn",
        "no principal: the directory looks at the subject",
        "CVE-2022-26931",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| tbs.remove("subjectAltName"),
    ),
    ("upn-nul", "a principal that ends early in C", "CVE-2009-2408", "DER_STRING_CONTROL", |tbs| {
        tbs.names(&[upn("alice@corp.example\0administrator")]);
    }),
    (
        "upn-trailing-space",
        "a principal that a directory trims",
        "B2",
        "NAME_NOT_ALLOWED by user_principal_names",
        |tbs| tbs.names(&[upn("alice@corp.example ")]),
    ),
    (
        "upn-dollar",
        "a machine's account",
        "CVE-2021-42278",
        "NAME_NOT_ALLOWED by user_principal_names",
        |tbs| tbs.names(&[upn("alice$@corp.example")]),
    ),
    (
        "upn-cyrillic",
        "a letter that looks like another",
        "-",
        "NAME_NOT_ALLOWED by user_principal_names",
        |tbs| tbs.names(&[upn("аlice@corp.example")]),
    ),
    (
        "upn-full-width",
        "an @ that a directory normalises",
        "B2",
        "NAME_NOT_ALLOWED by user_principal_names",
        |tbs| tbs.names(&[upn("alice＠corp.example")]),
    ),
    ("upn-empty", "a principal of nothing", "B1", "DER_STRING_LENGTH", |tbs| tbs.names(&[upn("")])),
    ("upn-not-utf8", "bytes that are no text", "-", "DER_STRING_CHARACTER", |tbs| {
        tbs.names(&[super::der::other("1.3.6.1.4.1.311.20.2.3", &der(12, &[0xff, 0xfe]))]);
    }),
    ("upn-ia5", "a principal in another string type", "[MS-WCCE]", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.names(&[super::der::other("1.3.6.1.4.1.311.20.2.3", &der(0x16, b"alice@corp.example"))]);
    }),
    (
        "no-sid",
        "no account: the directory guesses one from the name",
        "CVE-2022-26931",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.remove("securityIdentifier");
        },
    ),
    (
        "other-sid",
        "the administrator's account",
        "CVE-2022-26923",
        "NAME_NOT_ALLOWED by security_identifiers",
        |tbs| {
            tbs.replace("securityIdentifier", security_id("S-1-5-21-1-2-3-500"));
        },
    ),
    ("sid-not-one", "an account of no form", "[MS-DTYP] §2.4.2.1", "SECURITY_IDENTIFIER", |tbs| {
        tbs.replace("securityIdentifier", security_id("S-1-5-21-1-2-3-1001,S-1-5-18"));
    }),
    ("sid-padded", "a second spelling of an account", "[MS-DTYP] §2.4.2.1", "SECURITY_IDENTIFIER", |tbs| {
        tbs.replace("securityIdentifier", security_id("S-1-5-21-1-2-3-01001"));
    }),
    (
        "no-smart-card",
        "a client's purpose alone",
        "R11",
        "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage",
        |tbs| tbs.replace("extKeyUsage", purposes(&[CLIENT_AUTH])),
    ),
    ("any", "every purpose", "RFC 5280 §4.2.1.12", "EXT_KEY_USAGE_NOT_ALLOWED by ext_key_usage", |tbs| {
        tbs.replace("extKeyUsage", purposes(&[CLIENT_AUTH, SMART_CARD_LOGON, ANY_PURPOSE]));
    }),
];
