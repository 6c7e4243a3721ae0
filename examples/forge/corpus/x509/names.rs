//! Whom a certificate is for: DNS names, addresses, other names, and the subject.

use super::der::{
    CN, O, SUBJECT_ALT_NAME, attribute, critical, der, directory, dns, email, extension, int, ip, name, oid,
    other, seq, set, upn, uri, utf8,
};
use super::{Case, Kind, Row, forged};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Kind::Server, "dNSName", DNS),
        forged(Kind::Server, "iPAddress", ADDRESSES),
        forged(Kind::Server, "subjectAltName", OTHERS),
        forged(Kind::Server, "subject", SUBJECTS),
    ];
    lists.concat()
}

const DNS: &[Row] = &[
    ("other", "somebody else's name", "R11", "NAME_NOT_ALLOWED by dns_names", |tbs| {
        tbs.names(&[dns("www.example.com")]);
    }),
    (
        "other-after-good",
        "somebody else's name, behind the right one",
        "R11",
        "NAME_NOT_ALLOWED by dns_names",
        |tbs| {
            tbs.names(&[dns("www.example.org"), dns("www.example.com")]);
        },
    ),
    ("longer", "a name that begins like the right one", "R11", "NAME_NOT_ALLOWED by dns_names", |tbs| {
        tbs.names(&[dns("www.example.org.evil.example")]);
    }),
    ("prefixed", "a name that ends like the right one", "R11", "NAME_NOT_ALLOWED by dns_names", |tbs| {
        tbs.names(&[dns("evil-www.example.org")]);
    }),
    ("parent", "the name above", "R11", "NAME_NOT_ALLOWED by dns_names", |tbs| {
        tbs.names(&[dns("example.org")]);
    }),
    (
        "pattern-over-dot",
        "a name that a star would have to cross a dot for",
        "R11",
        "NAME_NOT_ALLOWED by dns_names",
        |tbs| {
            tbs.names(&[dns("web-a.evil.example.org")]);
        },
    ),
    (
        "upper-case",
        "the right name in other letters",
        "RFC 4343",
        "NAME_NOT_ALLOWED by built-in.name_case",
        |tbs| {
            tbs.names(&[dns("WWW.example.org")]);
        },
    ),
    (
        "wildcard",
        "every name of the domain",
        "CVE-2022-25243",
        "NAME_NOT_ALLOWED by wildcard_dns_names",
        |tbs| tbs.names(&[dns("*.example.org")]),
    ),
    ("wildcard-of-all", "every name", "CVE-2022-25243", "DNS_NAME", |tbs| tbs.names(&[dns("*")])),
    (
        "wildcard-of-tld",
        "every name of a top-level domain",
        "CVE-2022-25243",
        "NAME_NOT_ALLOWED by wildcard_dns_names",
        |tbs| tbs.names(&[dns("*.org")]),
    ),
    (
        "wildcard-below",
        "every name below the ones that are listed",
        "CVE-2022-25243",
        "NAME_NOT_ALLOWED by wildcard_dns_names",
        |tbs| {
            tbs.names(&[dns("*.a.apps.example.org")]);
        },
    ),
    (
        "wildcard-within-label",
        "a star within a label, which readers expand or not",
        "RFC 6125 §6.4.3",
        "DNS_NAME",
        |tbs| tbs.names(&[dns("w*.example.org")]),
    ),
    ("wildcard-later", "a star in a later label", "RFC 6125 §6.4.3", "DNS_NAME", |tbs| {
        tbs.names(&[dns("www.*.org")]);
    }),
    ("two-stars", "two stars", "RFC 6125 §6.4.3", "DNS_NAME", |tbs| tbs.names(&[dns("*.*.example.org")])),
    ("nul", "a name that ends early in C", "CVE-2009-2408", "DER_STRING_CONTROL", |tbs| {
        tbs.names(&[dns("www.example.org\0.evil.example")]);
    }),
    ("newline", "a name that forges a line in a log", "B2", "DER_STRING_CONTROL", |tbs| {
        tbs.names(&[dns("www.example.org\nevil")]);
    }),
    ("comma", "two names in one", "B2", "DNS_NAME", |tbs| tbs.names(&[dns("www.example.org,evil.example")])),
    ("space", "two names in one", "B2", "DNS_NAME", |tbs| tbs.names(&[dns("www.example.org evil.example")])),
    ("slash", "a path behind a name", "B2", "DNS_NAME", |tbs| tbs.names(&[dns("www.example.org/evil")])),
    (
        "trailing-dot",
        "the right name with its root, which readers take for another",
        "RFC 5280 §4.2.1.6",
        "DNS_NAME",
        |tbs| tbs.names(&[dns("www.example.org.")]),
    ),
    (
        "leading-dot",
        "every name below, for readers that take it for a constraint",
        "RFC 5280 §4.2.1.6",
        "DNS_NAME",
        |tbs| tbs.names(&[dns(".example.org")]),
    ),
    ("two-dots", "a label of nothing", "RFC 1034 §3.5", "DNS_NAME", |tbs| {
        tbs.names(&[dns("www..example.org")]);
    }),
    ("underscore", "a character that host names do not have", "RFC 1034 §3.5", "DNS_NAME", |tbs| {
        tbs.names(&[dns("_www.example.org")]);
    }),
    ("leading-hyphen", "an option, for who runs commands on names", "RFC 1034 §3.5", "DNS_NAME", |tbs| {
        tbs.names(&[dns("-www.example.org")]);
    }),
    ("idn", "a name whose letters look like others", "RFC 5280 §7.2", "DER_STRING_CHARACTER", |tbs| {
        tbs.names(&[dns("www.ехample.org")]);
    }),
    ("idn-punycode", "the same in ASCII", "RFC 5280 §7.2", "NAME_NOT_ALLOWED by dns_names", |tbs| {
        tbs.names(&[dns("www.xn--ample-5qfb.org")]);
    }),
    ("label-64-bytes", "a label that is too long", "RFC 1034 §3.1", "DNS_NAME", |tbs| {
        tbs.names(&[dns(&format!("{}.example.org", "a".repeat(64)))]);
    }),
    ("254-bytes", "a name that is too long", "RFC 1034 §3.1", "DER_STRING_LENGTH", |tbs| {
        tbs.names(&[dns(&format!("{}example.org", "a.".repeat(122)))]);
    }),
    ("empty", "a name of nothing", "RFC 5280 §4.2.1.6", "DER_STRING_LENGTH", |tbs| tbs.names(&[dns("")])),
    (
        "address",
        "an address as a name, which some readers take for one",
        "RFC 5280 §4.2.1.6",
        "NAME_NOT_ALLOWED by dns_names",
        |tbs| tbs.names(&[dns("198.51.100.7")]),
    ),
    ("bidi", "a character that turns the text around", "warpgate#2397", "DER_STRING_CHARACTER", |tbs| {
        tbs.names(&[dns("www\u{202e}.example.org")]);
    }),
];

const ADDRESSES: &[Row] = &[
    ("outside", "an address of another network", "R11", "NAME_NOT_ALLOWED by ip_addresses", |tbs| {
        tbs.names(&[ip(&[192, 0, 3, 1])]);
    }),
    (
        "after-good",
        "an address of another network, behind a good one",
        "R11",
        "NAME_NOT_ALLOWED by ip_addresses",
        |tbs| {
            tbs.names(&[ip(&[192, 0, 2, 1]), ip(&[8, 8, 8, 8])]);
        },
    ),
    ("loopback", "every host's own address", "R11", "NAME_NOT_ALLOWED by ip_addresses", |tbs| {
        tbs.names(&[ip(&[127, 0, 0, 1])]);
    }),
    ("mapped", "a good address within IPv6", "RFC 4291 §2.5.5.2", "IP_ADDRESS", |tbs| {
        tbs.names(&[ip(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1])]);
    }),
    (
        "network",
        "an address and a mask, for readers that take it for a network",
        "RFC 5280 §4.2.1.6",
        "IP_ADDRESS",
        |tbs| {
            tbs.names(&[ip(&[192, 0, 2, 0, 255, 255, 255, 0])]);
        },
    ),
    ("text", "an address as text", "RFC 5280 §4.2.1.6", "IP_ADDRESS", |tbs| tbs.names(&[ip(b"192.0.2.1")])),
    ("empty", "no address", "RFC 5280 §4.2.1.6", "IP_ADDRESS", |tbs| tbs.names(&[ip(&[])])),
    ("5-octets", "an address and one octet", "RFC 5280 §4.2.1.6", "IP_ADDRESS", |tbs| {
        tbs.names(&[ip(&[192, 0, 2, 1, 0])]);
    }),
];

const OTHERS: &[Row] = &[
    (
        "absent",
        "a server without a name: readers look at the subject",
        "RFC 6125 §6.4.4",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| tbs.remove("subjectAltName"),
    ),
    ("empty", "a list of nothing", "RFC 5280 §4.2.1.6", "DER_LIST_EMPTY", |tbs| tbs.names(&[])),
    ("email", "a mailbox beside a server's name", "R11", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.names(&[dns("www.example.org"), email("alice@example.org")]);
    }),
    ("uri", "a workload's name beside a server's", "R11", "CERTIFICATE_KIND_MISMATCH by signs", |tbs| {
        tbs.names(&[dns("www.example.org"), uri("spiffe://example.org/admin")]);
    }),
    (
        "upn",
        "a login to Windows beside a server's name",
        "CVE-2022-26923",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.names(&[dns("www.example.org"), upn("administrator@corp.example")]);
        },
    ),
    ("directory", "a directory name, which no profile bounds", "R11", "NAME_NOT_ALLOWED by signs", |tbs| {
        tbs.names(&[dns("www.example.org"), directory(&name(&[(CN, "evil.example")]))]);
    }),
    ("registered-id", "an identifier, which no profile bounds", "-", "GENERAL_NAME_KIND", |tbs| {
        tbs.names(&[dns("www.example.org"), der(0x88, &[0x2a, 3, 4])]);
    }),
    ("x400", "an X.400 address, on which a reader crashed", "CVE-2023-0286", "GENERAL_NAME_KIND", |tbs| {
        tbs.names(&[dns("www.example.org"), der(0xa3, &seq(&[]))]);
    }),
    ("edi", "an EDI name, on which a reader crashed", "CVE-2020-1971", "GENERAL_NAME_KIND", |tbs| {
        tbs.names(&[dns("www.example.org"), der(0xa5, &der(0xa1, &utf8("x")))]);
    }),
    ("other-name", "a name of a kind that nobody knows", "-", "GENERAL_NAME_KIND", |tbs| {
        tbs.names(&[dns("www.example.org"), other("1.3.6.1.4.1.99999.4", &utf8("x"))]);
    }),
    (
        "smtp-utf8",
        "a mailbox in UTF-8, which overflowed a reader's buffer",
        "CVE-2022-3602",
        "GENERAL_NAME_KIND",
        |tbs| {
            tbs.names(&[other("1.3.6.1.5.5.7.8.9", &utf8("alice@xn--example-9d0b.org"))]);
        },
    ),
    ("five", "more names than the profile allows", "R12", "NAMES_ABOVE_LIMIT by max_names", |tbs| {
        tbs.names(&[1, 2, 3, 4, 5].map(|host| ip(&[192, 0, 2, host])));
    }),
    ("257", "more names than anybody has", "R12", "DER_LIST_TOO_LONG", |tbs| {
        tbs.names(&vec![dns("www.example.org"); 257]);
    }),
    (
        "beside-issuer-alt-name",
        "names of the issuer, which no profile bounds",
        "RFC 5280 §4.2.1.7",
        "EXTENSION_NOT_ALLOWED by extension_values",
        |tbs| {
            tbs.add("issuerAltName", extension("2.5.29.18", &seq(&[&dns("www.example.org")])));
        },
    ),
    ("universal-tag", "a name under a string's own tag", "RFC 5280 §4.2.1.6", "GENERAL_NAME_KIND", |tbs| {
        tbs.names(&[der(0x16, b"www.example.org")]);
    }),
    ("constructed", "a name in pieces", "X.690 §10.2", "GENERAL_NAME_KIND", |tbs| {
        tbs.names(&[der(0xa2, &[der(0x16, b"www.example"), der(0x16, b".org")].concat())]);
    }),
];

const SUBJECTS: &[Row] = &[
    (
        "other-cn",
        "somebody else's name, for readers that still look there",
        "RFC 6125 §6.4.4",
        "SUBJECT_NOT_ALLOWED by subject",
        |tbs| {
            tbs.subject = name(&[(CN, "www.example.com")]);
        },
    ),
    (
        "two-cns",
        "two common names: readers take the first or the last",
        "RFC 6125 §6.4.4",
        "SUBJECT_NOT_ALLOWED by subject",
        |tbs| {
            tbs.subject = name(&[(CN, "www.example.org"), (CN, "evil.example")]);
        },
    ),
    ("organization", "somebody's good name", "R11", "SUBJECT_NOT_ALLOWED by subject", |tbs| {
        tbs.subject = name(&[(O, "Example Corporation"), (CN, "www.example.org")]);
    }),
    (
        "email-address",
        "a mailbox in the subject",
        "RFC 5280 §4.1.2.6",
        "SUBJECT_NOT_ALLOWED by subject",
        |tbs| {
            tbs.subject = seq(&[&set(&[&attribute("1.2.840.113549.1.9.1", &der(0x16, b"a@evil.example"))])]);
        },
    ),
    ("unknown-attribute", "an attribute that nobody knows", "-", "SUBJECT_NOT_ALLOWED by subject", |tbs| {
        tbs.subject = name(&[("1.3.6.1.4.1.99999.5", "x"), (CN, "www.example.org")]);
    }),
    ("nul", "a name that ends early in C", "CVE-2009-2408", "DER_STRING_CONTROL", |tbs| {
        tbs.subject = name(&[(CN, "www.example.org\0.evil.example")]);
    }),
    ("newline", "a name that forges a line in a log", "warpgate#2397", "DER_STRING_CONTROL", |tbs| {
        tbs.subject = name(&[(CN, "www.example.org\nO=Root")]);
    }),
    (
        "embedded",
        "an attribute within a value, for readers that print and split",
        "CVE-2021-44533",
        "SUBJECT_NOT_ALLOWED by subject",
        |tbs| {
            tbs.subject = name(&[(CN, "www.example.org, O=Root")]);
        },
    ),
    ("cyrillic", "letters that look like others", "RFC 5280 §7", "SUBJECT_NOT_ALLOWED by subject", |tbs| {
        tbs.subject = name(&[(CN, "www.ехample.org")]);
    }),
    (
        "empty",
        "no subject, beside names that readers may skip",
        "RFC 5280 §4.1.2.6",
        "SUBJECT_EMPTY",
        |tbs| tbs.subject = seq(&[]),
    ),
    ("empty-rdn", "a relative name of nothing", "RFC 5280 §4.1.2.4", "DER_LIST_EMPTY", |tbs| {
        tbs.subject = seq(&[&set(&[])]);
    }),
    ("empty-value", "a value of nothing", "RFC 5280 Appendix A", "DER_STRING_LENGTH", |tbs| {
        tbs.subject = name(&[(CN, "")]);
    }),
    ("65-characters", "a value that is too long", "RFC 5280 Appendix A", "ATTRIBUTE_VALUE", |tbs| {
        tbs.subject = name(&[(CN, &"a".repeat(65))]);
    }),
    (
        "teletex",
        "a string type that every reader decodes its own way",
        "RFC 5280 §4.1.2.4",
        "ATTRIBUTE_VALUE",
        |tbs| {
            tbs.subject = seq(&[&set(&[&attribute(CN, &der(0x14, b"www.example.org"))])]);
        },
    ),
    (
        "bmp",
        "a string type of two bytes a letter: one text, two readings",
        "RFC 5280 §4.1.2.4",
        "ATTRIBUTE_VALUE",
        |tbs| {
            tbs.subject = seq(&[&set(&[&attribute(CN, &der(0x1e, b"\0w\0w\0w"))])]);
        },
    ),
    (
        "printable-star",
        "a character that PrintableString does not have",
        "X.680 §41.4",
        "DER_STRING_CHARACTER",
        |tbs| {
            tbs.subject = seq(&[&set(&[&attribute(CN, &der(0x13, b"*.example.org"))])]);
        },
    ),
    ("not-utf8", "bytes that are no text", "RFC 3629 §3", "DER_STRING_CHARACTER", |tbs| {
        tbs.subject = seq(&[&set(&[&attribute(CN, &der(12, &[0xc0, 0xae]))])]);
    }),
    ("country-3", "a country of three letters", "RFC 5280 Appendix A", "ATTRIBUTE_VALUE", |tbs| {
        tbs.subject = seq(&[&set(&[&attribute("2.5.4.6", &der(0x13, b"CHE"))])]);
    }),
    ("33-rdns", "a name to fill lists with", "-", "DER_LIST_TOO_LONG", |tbs| {
        tbs.subject = name(&[(CN, "www.example.org"); 33]);
    }),
    ("integer", "a number where a name belongs", "RFC 5280 §4.1.2.4", "ATTRIBUTE_VALUE", |tbs| {
        tbs.subject = seq(&[&set(&[&seq(&[&oid(CN), &int(&[1])])])]);
    }),
    (
        "critical-alone",
        "no subject, and names of another server",
        "R11",
        "NAME_NOT_ALLOWED by dns_names",
        |tbs| {
            tbs.subject = seq(&[]);
            tbs.replace("subjectAltName", critical(SUBJECT_ALT_NAME, &seq(&[&dns("www.example.com")])));
        },
    ),
];
