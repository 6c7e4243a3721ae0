//! Which certificates are revoked, since when, and why.

use super::{Case, Forgery, Signer, entry, entry_at, forged, reason, time};
use crate::corpus::Row;
use crate::corpus::x509::der::{critical, der, directory, extension, generalized, int, oid, seq};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Signer::CrlCa, "revokedCertificates", ENTRIES),
        forged(Signer::CrlCa, "userCertificate", SERIALS),
        forged(Signer::CrlCa, "revocationDate", DATES),
        forged(Signer::CrlCa, "reasonCode", REASONS),
        forged(Signer::CrlCa, "crlEntryExtensions", EXTENSIONS),
        forged(Signer::CrlKey, "reasonCode", OF_DELTAS),
    ];
    lists.concat()
}

const SERIAL: &[u8] = &[0x42; 16];

const ENTRIES: &[Row<Forgery>] = &[
    (
        "empty",
        "a list of nothing, which is written by leaving it out",
        "RFC 5280 §5.1.2.6",
        "DER_LIST_EMPTY",
        |tbs| {
            tbs.entries(&[]);
        },
    ),
    ("twice", "a certificate that is revoked twice", "RFC 5280 §5.3", "ENTRY_DUPLICATE", |tbs| {
        tbs.entries(&[entry(SERIAL, &[]), entry(SERIAL, &[])]);
    }),
    (
        "twice-apart",
        "two reasons for one certificate, one for each reader",
        "RFC 5280 §5.3",
        "ENTRY_DUPLICATE",
        |tbs| {
            let [one, other] = [&[10, 1, 1], &[10, 1, 6]].map(|code| entry(SERIAL, &[&reason(code)]));
            tbs.entries(&[one, entry(&[0x43; 16], &[]), other]);
        },
    ),
    ("too-many", "a list to wear readers out", "R28", "ENTRIES_ABOVE_LIMIT by max_entries", |tbs| {
        let entries: Vec<_> = (1..=4).map(|n| entry(&[n; 16], &[])).collect();
        tbs.entries(&entries);
    }),
    ("no-date", "a revocation of no time", "RFC 5280 §5.1", "DER_TRUNCATED", |tbs| {
        tbs.entries(&[seq(&[&int(SERIAL)])]);
    }),
    ("trailing", "a byte string that rides along", "RFC 5280 §5.1", "DER_TRAILING_BYTES", |tbs| {
        tbs.entries(&[seq(&[&int(SERIAL), &time(-60), &seq(&[&reason(&[10, 1, 1])]), &[5, 0]])]);
    }),
    ("certificate", "a number alone where an entry belongs", "RFC 5280 §5.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.entries(&[int(SERIAL)]);
    }),
];

const SERIALS: &[Row<Forgery>] = &[
    ("zero", "the number of no certificate", "RFC 5280 §4.1.2.2", "SERIAL_NUMBER", |tbs| {
        tbs.entries(&[entry(&[0], &[])]);
    }),
    ("negative", "a number below zero", "RFC 5280 §4.1.2.2", "DER_INTEGER_NEGATIVE", |tbs| {
        tbs.entries(&[entry(&[0xc2; 16], &[])]);
    }),
    (
        "padded",
        "a second encoding, which lookups do not find",
        "X.690 §8.3.2",
        "DER_INTEGER_NOT_MINIMAL",
        |tbs| {
            tbs.entries(&[entry(&[&[0], SERIAL].concat(), &[])]);
        },
    ),
    ("21-octets", "a number that is too long", "RFC 5280 §4.1.2.2", "SERIAL_NUMBER", |tbs| {
        tbs.entries(&[entry(&[0x42; 21], &[])]);
    }),
    (
        "revoked-left-out",
        "a list by which a stolen certificate is good again",
        "RFC 5280 §3.3",
        "REVOKED_NOT_LISTED by ledger.revoked",
        |tbs| {
            tbs.entries(&[entry(&[0x43; 16], &[&reason(&[10, 1, 1])])]);
        },
    ),
    (
        "revoked-nothing",
        "a list by which nothing is revoked",
        "RFC 5280 §3.3",
        "REVOKED_NOT_LISTED by ledger.revoked",
        |tbs| {
            tbs.entries = None;
        },
    ),
    (
        "revoked-held",
        "a compromised key that may be trusted again",
        "RFC 5280 §5.3.1",
        "REVOKED_NOT_LISTED by ledger.revoked",
        |tbs| {
            tbs.entries(&[entry(SERIAL, &[&reason(&[10, 1, 6])])]);
        },
    ),
    (
        "revoked-for-less",
        "a compromised key whose earlier signatures are to count",
        "RFC 5280 §5.3.1",
        "REVOKED_NOT_LISTED by ledger.revoked",
        |tbs| {
            tbs.entries(&[entry(SERIAL, &[&reason(&[10, 1, 4])])]);
        },
    ),
];

const DATES: &[Row<Forgery>] = &[
    (
        "tomorrow",
        "a revocation to come, which readers take for one that is",
        "RFC 5280 §5.1.2.6",
        "REVOKED_IN_FUTURE by built-in.revocation_times",
        |tbs| tbs.entries(&[entry_at(SERIAL, &time(86_400), &[])]),
    ),
    (
        "a-second-later",
        "a revocation just after thisUpdate",
        "RFC 5280 §5.1.2.6",
        "REVOKED_IN_FUTURE by built-in.revocation_times",
        |tbs| tbs.entries(&[entry(&[0x43; 16], &[]), entry_at(SERIAL, &time(1), &[])]),
    ),
    (
        "2050",
        "a revocation that nobody here will see",
        "R35",
        "REVOKED_IN_FUTURE by built-in.revocation_times",
        |tbs| tbs.entries(&[entry_at(SERIAL, &der(0x18, b"20500101000000Z"), &[])]),
    ),
    ("generalized", "a time in the form of after 2049", "RFC 5280 §5.1.2.6", "DER_TIME_TYPE", |tbs| {
        tbs.entries(&[entry_at(SERIAL, &der(0x18, &generalized(-60)), &[])]);
    }),
];

const REASONS: &[Row<Forgery>] = &[
    ("0", "unspecified, which is written by leaving it out", "RFC 5280 §5.3.1", "REASON_CODE", |tbs| {
        tbs.entries(&[entry(SERIAL, &[&reason(&[10, 1, 0])])]);
    }),
    ("7", "the code that is not used", "RFC 5280 §5.3.1", "REASON_CODE", |tbs| {
        tbs.entries(&[entry(SERIAL, &[&reason(&[10, 1, 7])])]);
    }),
    ("11", "a code that does not exist", "RFC 5280 §5.3.1", "REASON_CODE", |tbs| {
        tbs.entries(&[entry(SERIAL, &[&reason(&[10, 1, 11])])]);
    }),
    (
        "remove-from-complete-list",
        "a certificate that is good again, in a list that is to have only bad ones",
        "RFC 5280 §5.3.1",
        "REASON_CODE",
        |tbs| tbs.entries(&[entry(SERIAL, &[&reason(&[10, 1, 8])])]),
    ),
    ("integer", "an INTEGER for an ENUMERATED", "RFC 5280 §5.3.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.entries(&[entry(SERIAL, &[&reason(&[2, 1, 1])])]);
    }),
    ("padded", "a second encoding of a code", "X.690 §8.3.2", "DER_INTEGER_NOT_MINIMAL", |tbs| {
        tbs.entries(&[entry(SERIAL, &[&reason(&[10, 2, 0, 1])])]);
    }),
    ("critical", "a reason that readers must know", "RFC 5280 §5.3.1", "EXTENSION_CRITICALITY", |tbs| {
        tbs.entries(&[entry(SERIAL, &[&critical(super::REASON_CODE, &[10, 1, 1])])]);
    }),
    ("twice", "two reasons, one for each reader", "RFC 5280 §5.3", "EXTENSION_DUPLICATE", |tbs| {
        tbs.entries(&[entry(SERIAL, &[&reason(&[10, 1, 1]), &reason(&[10, 1, 6])])]);
    }),
];

/// Of a key that signs delta lists, where the code has its place.
const OF_DELTAS: &[Row<Forgery>] = &[(
    "remove-by-key-for-deltas",
    "a certificate that is good again, in a complete list",
    "RFC 5280 §5.3.1",
    "REASON_CODE",
    |tbs| tbs.entries(&[entry(SERIAL, &[&reason(&[10, 1, 8])])]),
)];

const CERTIFICATE_ISSUER: &str = "2.5.29.29";
const INVALIDITY_DATE: &str = "2.5.29.24";

const EXTENSIONS: &[Row<Forgery>] = &[
    (
        "empty",
        "no extensions, which is written by leaving them out",
        "RFC 5280 §5.1",
        "DER_LIST_EMPTY",
        |tbs| {
            tbs.entries(&[seq(&[&int(SERIAL), &time(-60), &seq(&[])])]);
        },
    ),
    (
        "certificate-issuer",
        "a certificate of another CA, in the list of this one",
        "RFC 5280 §5.3.3",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| {
            let names = seq(&[&directory(&Signer::OcspCa.name())]);
            tbs.entries(&[entry(SERIAL, &[&critical(CERTIFICATE_ISSUER, &names)])]);
        },
    ),
    (
        "certificate-issuer-not-critical",
        "the same, so that only some readers see it",
        "RFC 5280 §5.3.3",
        "EXTENSION_NOT_ALLOWED by built-in.entry_extensions",
        |tbs| {
            let names = seq(&[&directory(&Signer::OcspCa.name())]);
            tbs.entries(&[entry(SERIAL, &[&extension(CERTIFICATE_ISSUER, &names)])]);
        },
    ),
    (
        "hold-instruction",
        "an instruction of long ago",
        "RFC 5280 §5.3",
        "EXTENSION_NOT_ALLOWED by built-in.entry_extensions",
        |tbs| {
            let instruction = extension("2.5.29.23", &oid("1.2.840.10040.2.3"));
            tbs.entries(&[entry(SERIAL, &[&instruction])]);
        },
    ),
    (
        "allowed-in-list",
        "what the profile allows in the list, in an entry",
        "R28",
        "EXTENSION_NOT_ALLOWED by built-in.entry_extensions",
        |tbs| tbs.entries(&[entry(SERIAL, &[&extension("1.3.6.1.4.1.99999.2", &[5, 0])])]),
    ),
    (
        "unknown-critical",
        "an entry that makes readers drop the list",
        "RFC 5280 §5.3",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| {
            tbs.entries(&[entry(SERIAL, &[&critical("1.3.6.1.4.1.99999.7", &[5, 0])])]);
        },
    ),
    ("invalidity-utc", "a date in two digits", "RFC 5280 §5.3.2", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.entries(&[entry(SERIAL, &[&extension(INVALIDITY_DATE, &time(-60))])]);
    }),
];
