//! DER: lengths, ends, tags, and the fields of a TBSCertificate that are missing, doubled or out of place.

use super::der::{BASIC_CONSTRAINTS, KEY_USAGE, der, int, seq};
use super::{Case, Forgery, Kind, Row, case, fields, forged, whole};

pub fn cases() -> Vec<Case> {
    let bytes = WHOLE.iter().map(|&(name, attack, reason, make)| {
        case(
            Kind::Server,
            "tbsCertificate",
            (name, attack, "X.690 §10", reason),
            whole(make(Kind::Server.base().encode())),
        )
    });
    let mut cases: Vec<Case> = bytes.collect();
    let good = Kind::Server.base().fields();
    for (index, (field, bytes)) in good.iter().enumerate().skip(1) {
        let mut cut = good[..=index].to_vec();
        cut[index].1.truncate(bytes.len() / 2);
        let row = ("cut-within", "a TBS that ends within a field", "X.690 §8.1", "DER_TRUNCATED");
        cases.push(case(Kind::Server, field, row, fields(cut)));
    }
    let lists = [
        cases,
        forged(Kind::Server, "tbsCertificate", FIELDS),
        forged(Kind::Server, "version", VERSION),
        forged(Kind::Server, "extensions", EXTENSIONS),
    ];
    lists.concat()
}

/// The contents of a good TBS: what follows `30 82 xx xx` or `30 81 xx`.
fn contents(tbs: &[u8]) -> &[u8] {
    &tbs[2 + usize::from(tbs[1] & 0x7f)..]
}

type Whole = (&'static str, &'static str, &'static str, fn(Vec<u8>) -> Vec<u8>);

const WHOLE: &[Whole] = &[
    ("empty", "nothing at all", "DER_TRUNCATED", |_| Vec::new()),
    ("tag-alone", "a tag without a length", "DER_TRUNCATED", |_| vec![0x30]),
    ("length-indefinite", "BER's indefinite length", "DER_LENGTH_INDEFINITE", |tbs| {
        [&[0x30, 0x80], contents(&tbs), &[0, 0]].concat()
    }),
    ("length-padded", "a length in more octets than it needs", "DER_LENGTH_NOT_MINIMAL", |tbs| {
        let len = u16::try_from(contents(&tbs).len()).unwrap().to_be_bytes();
        [&[0x30, 0x83, 0], &len[..], contents(&tbs)].concat()
    }),
    ("length-4-gib", "a length to allocate by", "DER_TRUNCATED", |tbs| {
        [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], contents(&tbs)].concat()
    }),
    ("length-9-octets", "a length that overflows a machine word", "DER_LENGTH_TOO_BIG", |tbs| {
        [&[0x30, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0], contents(&tbs)].concat()
    }),
    ("length-one-more", "a length just beyond the end", "DER_TRUNCATED", |tbs| {
        let mut tbs = tbs;
        tbs[3] += 1;
        tbs
    }),
    ("length-one-less", "a last byte that is outside", "DER_TRUNCATED", |tbs| {
        let mut tbs = tbs;
        tbs[3] -= 1;
        tbs
    }),
    ("trailing-nul", "a byte that nobody reads", "DER_TRAILING_BYTES", |tbs| [tbs, vec![0]].concat()),
    ("trailing-certificate", "two certificates for one signature", "DER_TRAILING_BYTES", |tbs| {
        [tbs.clone(), tbs].concat()
    }),
    ("trailing-inside", "a field that the standard does not know", "DER_TRAILING_BYTES", |tbs| {
        seq(&[contents(&tbs), &[5, 0]])
    }),
    ("set", "a SET for a SEQUENCE", "DER_UNEXPECTED_TAG", |tbs| der(0x31, contents(&tbs))),
    ("primitive", "a SEQUENCE that is not constructed", "DER_UNEXPECTED_TAG", |tbs| {
        der(0x10, contents(&tbs))
    }),
    ("long-tag", "a SEQUENCE under a tag of two octets", "DER_UNEXPECTED_TAG", |tbs| {
        [&[0x3f, 0x10], &tbs[1..]].concat()
    }),
    ("too-large", "more bytes than any certificate has", "TBS_TOO_LONG", |tbs| {
        [tbs, vec![0; 33 * 1024]].concat()
    }),
];

const FIELDS: &[Row] = &[
    (
        "no-serial",
        "a certificate that no list can revoke",
        "RFC 5280 §4.1.2.2",
        "DER_UNEXPECTED_TAG",
        |tbs| {
            tbs.serial.clear();
        },
    ),
    (
        "no-algorithm",
        "no signature algorithm: the issuer's name takes its place",
        "RFC 5280 §4.1.2.3",
        "DER_UNEXPECTED_TAG",
        |tbs| {
            tbs.signature.clear();
        },
    ),
    ("no-validity", "no end", "RFC 5280 §4.1.2.5", "DER_UNEXPECTED_TAG", |tbs| tbs.validity.clear()),
    ("no-subject-key", "a certificate for nothing", "RFC 5280 §4.1.2.7", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.subject_key.clear();
    }),
    (
        "two-serials",
        "two serial numbers, one for each reader",
        "RFC 5280 §4.1",
        "DER_UNEXPECTED_TAG",
        |tbs| {
            tbs.serial = [tbs.serial.clone(), int(&[0x43; 16])].concat();
        },
    ),
    (
        "two-subject-keys",
        "two subject keys, one for each reader",
        "RFC 5280 §4.1",
        "DER_TRAILING_BYTES",
        |tbs| {
            tbs.subject_key = tbs.subject_key.repeat(2);
        },
    ),
    (
        "issuer-unique-id",
        "an identifier that allows names to be used again",
        "RFC 5280 §4.1.2.8",
        "UNIQUE_ID",
        |tbs| {
            tbs.subject_key.extend(der(0x81, &[0, 1]));
        },
    ),
    (
        "subject-unique-id",
        "an identifier that allows names to be used again",
        "RFC 5280 §4.1.2.8",
        "UNIQUE_ID",
        |tbs| {
            tbs.subject_key.extend(der(0x82, &[0, 1]));
        },
    ),
];

const VERSION: &[Row] = &[
    (
        "absent",
        "version 1, whose readers skip extensions: a leaf becomes a CA",
        "RFC 5280 §4.1.2.1",
        "VERSION",
        |tbs| {
            tbs.version.clear();
        },
    ),
    ("1", "version 1, said twice over", "RFC 5280 §4.1.2.1", "VERSION", |tbs| {
        tbs.version = der(0xa0, &int(&[0]));
    }),
    ("2", "version 2 with extensions", "RFC 5280 §4.1.2.1", "VERSION", |tbs| {
        tbs.version = der(0xa0, &int(&[1]));
    }),
    ("4", "a version that does not exist", "RFC 5280 §4.1.2.1", "VERSION", |tbs| {
        tbs.version = der(0xa0, &int(&[3]));
    }),
    ("negative", "a version below zero", "RFC 5280 §4.1.2.1", "DER_INTEGER_NEGATIVE", |tbs| {
        tbs.version = der(0xa0, &int(&[0xfe]));
    }),
    ("padded", "a second encoding of version 3", "X.690 §8.3.2", "DER_INTEGER_NOT_MINIMAL", |tbs| {
        tbs.version = der(0xa0, &int(&[0, 2]));
    }),
    ("implicit", "a version without its own tag", "X.690 §8.14", "VERSION", |tbs| {
        tbs.version = der(0x80, &[2]);
    }),
];

const EXTENSIONS: &[Row] = &[
    ("none", "a certificate that is good for everything", "RFC 5280 §4.1.2.9", "DER_LIST_EMPTY", |tbs| {
        tbs.extensions.clear();
    }),
    ("twice", "two key usages, one for each reader", "RFC 5280 §4.2", "EXTENSION_DUPLICATE", |tbs| {
        tbs.add("keyUsage", super::der::key_usage(&[1, 0x06]));
    }),
    ("twice-alike", "the same extension again", "RFC 5280 §4.2", "EXTENSION_DUPLICATE", |tbs| {
        let again = tbs.extensions[0].clone();
        tbs.extensions.push(again);
    }),
    ("critical-false", "FALSE, which DER leaves out", "X.690 §11.5", "DER_DEFAULT_ENCODED", |tbs| {
        tbs.replace("basicConstraints", with_critical(BASIC_CONSTRAINTS, &[1, 1, 0]));
    }),
    ("critical-one", "a TRUE that not all readers take for one", "X.690 §11.1", "DER_BOOLEAN_VALUE", |tbs| {
        tbs.replace("basicConstraints", with_critical(BASIC_CONSTRAINTS, &[1, 1, 1]));
    }),
    (
        "value-trailing",
        "bytes behind a value, inside its OCTET STRING",
        "X.690 §10",
        "DER_TRAILING_BYTES",
        |tbs| {
            tbs.replace("keyUsage", super::der::critical(KEY_USAGE, &[3, 2, 7, 0x80, 0]));
        },
    ),
    ("value-empty", "an extension that says nothing", "RFC 5280 §4.2", "DER_TRUNCATED", |tbs| {
        tbs.replace("keyUsage", super::der::critical(KEY_USAGE, &[]));
    }),
    ("no-value", "an extension of a name alone", "RFC 5280 §4.1", "DER_TRUNCATED", |tbs| {
        tbs.replace("keyUsage", seq(&[&super::der::oid(KEY_USAGE)]));
    }),
    ("constructed-value", "an OCTET STRING in pieces", "X.690 §10.2", "DER_UNEXPECTED_TAG", |tbs| {
        let pieces = der(0x24, &[der(4, &[3, 2]), der(4, &[7, 0x80])].concat());
        tbs.replace("keyUsage", seq(&[&super::der::oid(KEY_USAGE), &[1, 1, 0xff], &pieces]));
    }),
    (
        "oid-padded",
        "a second encoding of an identifier, which some readers do not know",
        "X.690 §8.19.2",
        "DER_OID_MALFORMED",
        |tbs| {
            let padded = der(6, &[0x55, 0x1d, 0x80, 0x0f]);
            tbs.replace("keyUsage", seq(&[&padded, &[1, 1, 0xff], &super::der::octets(&[3, 2, 7, 0x80])]));
        },
    ),
    ("33", "more extensions than anybody needs", "-", "DER_LIST_TOO_LONG", |tbs| many(tbs, 33)),
];

fn with_critical(kind: &str, flag: &[u8]) -> Vec<u8> {
    seq(&[&super::der::oid(kind), flag, &super::der::octets(&seq(&[]))])
}

/// Fills up with extensions that nobody knows.
fn many(tbs: &mut Forgery, count: usize) {
    for index in tbs.extensions.len()..count {
        tbs.add("unknown", super::der::extension(&format!("1.3.6.1.4.1.99999.7.{index}"), &[5, 0]));
    }
}
