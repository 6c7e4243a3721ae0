//! What a certificate says of who signs it, how, under which number and for how long.

use super::der::{
    AUTHORITY_KEY_ID, CN, O, attribute, authority, critical, der, extension, int, name, oid, seq, set, utc,
    utf8, validity,
};
use super::{Case, Kind, Row, forged, issuer_name};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Kind::Server, "serialNumber", SERIALS),
        forged(Kind::Server, "signature", ALGORITHMS),
        forged(Kind::Server, "issuer", ISSUERS),
        forged(Kind::Server, "authorityKeyIdentifier", KEY_IDS),
        forged(Kind::Server, "validity", VALIDITIES),
    ];
    lists.concat()
}

const SERIALS: &[Row] = &[
    (
        "zero",
        "a certificate that no list can revoke by itself",
        "R29, RFC 5280 §4.1.2.2",
        "SERIAL_NUMBER",
        |tbs| tbs.serial = int(&[0]),
    ),
    (
        "one",
        "a counter, which lets collisions be prepared",
        "R29",
        "SERIAL_TOO_SHORT by built-in.serial",
        |tbs| tbs.serial = int(&[1]),
    ),
    (
        "7-octets",
        "a number that is guessed",
        "R29, chris2511/xca#56",
        "SERIAL_TOO_SHORT by built-in.serial",
        |tbs| {
            tbs.serial = int(&[0x42; 7]);
        },
    ),
    ("negative", "a number below zero", "R29, RFC 5280 §4.1.2.2", "DER_INTEGER_NEGATIVE", |tbs| {
        tbs.serial = int(&[0xc2; 16]);
    }),
    ("21-octets", "a number that is too long", "R29, RFC 5280 §4.1.2.2", "SERIAL_NUMBER", |tbs| {
        tbs.serial = int(&[0x42; 21]);
    }),
    ("20-octets-and-sign", "a number of 21 octets with its sign", "R29", "SERIAL_NUMBER", |tbs| {
        tbs.serial = int(&[&[0][..], &[0xff; 20]].concat());
    }),
    (
        "padded",
        "a second encoding of a number, which lists do not find",
        "X.690 §8.3.2",
        "DER_INTEGER_NOT_MINIMAL",
        |tbs| {
            tbs.serial = int(&[&[0][..], &[0x42; 16]].concat());
        },
    ),
    ("no-octets", "a number of no octets", "X.690 §8.3.1", "DER_INTEGER_NOT_MINIMAL", |tbs| {
        tbs.serial = int(&[]);
    }),
    ("1-kib", "a number to fill lists with", "R29", "SERIAL_NUMBER", |tbs| tbs.serial = int(&[0x42; 1024])),
];

const ALGORITHMS: &[Row] = &[
    (
        "ecdsa-sha1",
        "SHA-1, for which collisions are made",
        "R7, CVE-2005-4900",
        "SIGNATURE_ALGORITHM",
        |tbs| {
            tbs.signature = seq(&[&oid("1.2.840.10045.4.1")]);
        },
    ),
    ("rsa-sha1", "SHA-1, for which collisions are made", "R7, CVE-2005-4900", "SIGNATURE_ALGORITHM", |tbs| {
        tbs.signature = seq(&[&oid("1.2.840.113549.1.1.5"), &[5, 0]]);
    }),
    ("rsa-md5", "MD5, with which a CA was forged", "CVE-2004-2761", "SIGNATURE_ALGORITHM", |tbs| {
        tbs.signature = seq(&[&oid("1.2.840.113549.1.1.4"), &[5, 0]]);
    }),
    ("unknown", "an algorithm that does not exist", "-", "SIGNATURE_ALGORITHM", |tbs| {
        tbs.signature = seq(&[&oid("1.3.6.1.4.1.99999.3")]);
    }),
    ("public-key", "a key's algorithm for a signature's", "RFC 5480 §2", "SIGNATURE_ALGORITHM", |tbs| {
        tbs.signature = seq(&[&oid("1.2.840.10045.2.1"), &oid("1.2.840.10045.3.1.7")]);
    }),
    (
        "other-hash",
        "another hash than the key signs with",
        "R23",
        "SIGNATURE_ALGORITHM_MISMATCH by built-in.signature_algorithm",
        |tbs| {
            tbs.signature = seq(&[&oid("1.2.840.10045.4.3.3")]);
        },
    ),
    (
        "ed25519",
        "the algorithm of another kind of key",
        "R23",
        "SIGNATURE_ALGORITHM_MISMATCH by built-in.signature_algorithm",
        |tbs| {
            tbs.signature = seq(&[&oid("1.3.101.112")]);
        },
    ),
    (
        "rsa",
        "the algorithm of another kind of key",
        "R23",
        "SIGNATURE_ALGORITHM_MISMATCH by built-in.signature_algorithm",
        |tbs| {
            tbs.signature = seq(&[&oid("1.2.840.113549.1.1.11"), &[5, 0]]);
        },
    ),
    (
        "ml-dsa",
        "an algorithm that the key does not have",
        "RFC 9881 §2",
        "SIGNATURE_ALGORITHM_MISMATCH by built-in.signature_algorithm",
        |tbs| {
            tbs.signature = seq(&[&oid("2.16.840.1.101.3.4.3.17")]);
        },
    ),
    ("hash-ml-dsa", "a digest for what is signed whole", "RFC 9881 §3", "SIGNATURE_ALGORITHM", |tbs| {
        tbs.signature = seq(&[&oid("2.16.840.1.101.3.4.3.32")]);
    }),
    ("null", "NULL where no parameters belong", "RFC 5758 §3.2", "SIGNATURE_ALGORITHM", |tbs| {
        tbs.signature = seq(&[&oid("1.2.840.10045.4.3.2"), &[5, 0]]);
    }),
    ("parameters", "parameters that hide bytes", "RFC 5758 §3.2", "SIGNATURE_ALGORITHM", |tbs| {
        tbs.signature = seq(&[&oid("1.2.840.10045.4.3.2"), &seq(&[&int(&[1])])]);
    }),
    (
        "pss-without-parameters",
        "PSS with SHA-1, which is its default",
        "RFC 4055 §3.1",
        "SIGNATURE_ALGORITHM",
        |tbs| {
            tbs.signature = seq(&[&oid("1.2.840.113549.1.1.10"), &seq(&[])]);
        },
    ),
    ("empty", "an algorithm without a name", "RFC 5280 §4.1.1.2", "DER_TRUNCATED", |tbs| {
        tbs.signature = seq(&[]);
    }),
];

const ISSUERS: &[Row] = &[
    ("other", "a certificate of somebody else", "R38", "ISSUER_MISMATCH by built-in.issuer", |tbs| {
        tbs.issuer = name(&[(O, "Example"), (CN, "some other CA")]);
    }),
    (
        "other-of-this-signer",
        "a certificate of another CA of this signer",
        "B6",
        "ISSUER_MISMATCH by built-in.issuer",
        |tbs| {
            tbs.issuer = issuer_name(Kind::Code.key());
        },
    ),
    ("empty", "a certificate of nobody", "RFC 5280 §4.1.2.4", "ISSUER_EMPTY", |tbs| tbs.issuer = seq(&[])),
    ("subject", "a certificate of the subject's own", "R38", "ISSUER_MISMATCH by built-in.issuer", |tbs| {
        tbs.issuer = tbs.subject.clone();
    }),
    (
        "string-type",
        "the name in another string type, which byte-wise readers do not chain",
        "RFC 5280 §4.1.2.4",
        "ISSUER_MISMATCH by built-in.issuer",
        |tbs| {
            let printable = |kind, text: &str| set(&[&attribute(kind, &der(0x13, text.as_bytes()))]);
            tbs.issuer = seq(&[&printable(O, "Example"), &printable(CN, "server-ca")]);
        },
    ),
    ("case", "the name in other letters", "RFC 5280 §7.1", "ISSUER_MISMATCH by built-in.issuer", |tbs| {
        tbs.issuer = name(&[(O, "Example"), (CN, "Server-CA")]);
    }),
    (
        "order",
        "the name's parts in another order",
        "RFC 5280 §7.1",
        "ISSUER_MISMATCH by built-in.issuer",
        |tbs| {
            tbs.issuer = name(&[(CN, "server-ca"), (O, "Example")]);
        },
    ),
    ("longer", "the name with a part more", "R38", "ISSUER_MISMATCH by built-in.issuer", |tbs| {
        tbs.issuer = name(&[(O, "Example"), (CN, "server-ca"), (CN, "server-ca")]);
    }),
    ("set-order", "a SET that is not sorted", "X.690 §11.6", "DER_SET_ORDER", |tbs| {
        let (one, other) = (attribute(CN, &utf8("server-ca")), attribute(O, &utf8("Example")));
        tbs.issuer = seq(&[&set(&[&one, &other])]);
    }),
    ("set-twice", "two common names in one place", "X.501 §9.3", "ATTRIBUTE_DUPLICATE", |tbs| {
        let (one, other) = (attribute(CN, &utf8("a")), attribute(CN, &utf8("b")));
        tbs.issuer = seq(&[&set(&[&one, &other])]);
    }),
];

const KEY_IDS: &[Row] = &[
    (
        "absent",
        "no word on which key signs",
        "R38, RFC 5280 §4.2.1.1",
        "AUTHORITY_KEY_ID_MISMATCH by built-in.authority_key_id",
        |tbs| {
            tbs.remove("authorityKeyIdentifier");
        },
    ),
    (
        "other",
        "the key of another CA",
        "R38",
        "AUTHORITY_KEY_ID_MISMATCH by built-in.authority_key_id",
        |tbs| {
            tbs.replace("authorityKeyIdentifier", authority(&[9; 20]));
        },
    ),
    (
        "other-of-this-signer",
        "the key of another CA of this signer",
        "B6",
        "AUTHORITY_KEY_ID_MISMATCH by built-in.authority_key_id",
        |tbs| {
            tbs.replace("authorityKeyIdentifier", authority(&Kind::Code.key_id()));
        },
    ),
    (
        "prefix",
        "the beginning of the right one",
        "R38",
        "AUTHORITY_KEY_ID_MISMATCH by built-in.authority_key_id",
        |tbs| {
            tbs.replace("authorityKeyIdentifier", authority(&Kind::Server.key_id()[..19]));
        },
    ),
    ("empty", "a key without a name", "RFC 5280 §4.2.1.1", "KEY_IDENTIFIER", |tbs| {
        tbs.replace("authorityKeyIdentifier", authority(&[]));
    }),
    ("1-kib", "a name to fill lists with", "RFC 5280 §4.2.1.1", "KEY_IDENTIFIER", |tbs| {
        tbs.replace("authorityKeyIdentifier", authority(&[9; 1024]));
    }),
    (
        "critical",
        "an identifier that readers must understand",
        "RFC 5280 §4.2.1.1",
        "EXTENSION_CRITICALITY",
        |tbs| {
            tbs.replace(
                "authorityKeyIdentifier",
                critical(AUTHORITY_KEY_ID, &seq(&[&der(0x80, &Kind::Server.key_id())])),
            );
        },
    ),
    (
        "issuer-and-serial",
        "a certificate of the CA's, beside its key",
        "RFC 5280 §4.2.1.1",
        "DER_TRAILING_BYTES",
        |tbs| {
            let directory = der(0xa1, &super::der::directory(&issuer_name("server-ca")));
            let parts = [der(0x80, &Kind::Server.key_id()), directory, der(0x82, &[1])];
            tbs.replace("authorityKeyIdentifier", extension(AUTHORITY_KEY_ID, &der(0x30, &parts.concat())));
        },
    ),
];

const VALIDITIES: &[Row] = &[
    (
        "forever",
        "the end that means none",
        "R35, RFC 5280 §4.1.2.5",
        "VALID_FOREVER by built-in.validity",
        |tbs| {
            tbs.validity = until(b"99991231235959Z");
        },
    ),
    (
        "nearly-forever",
        "an end that only looks like one",
        "R35",
        "OUTLIVES_ISSUER by built-in.issuer_validity",
        |tbs| {
            tbs.validity = until(b"99991231235958Z");
        },
    ),
    ("year-10000", "an end behind the last year", "RFC 5280 §4.1.2.5", "DER_TIME_FORM", |tbs| {
        tbs.validity = until(b"100000101000000Z");
    }),
    ("expired", "over already", "-", "CERTIFICATE_EXPIRED by built-in.validity", |tbs| {
        tbs.validity = validity(-3600, -60);
    }),
    ("inverted", "an end before the beginning", "R35", "TIME_ORDER", |tbs| tbs.validity = validity(600, 0)),
    (
        "outlives-issuer",
        "longer than its CA",
        "R38, smallstep/certificates#381",
        "OUTLIVES_ISSUER by built-in.issuer_validity",
        |tbs| {
            tbs.validity = validity(0, 3 * 86_400);
        },
    ),
    ("precedes-issuer", "from before its CA", "R38", "PRECEDES_ISSUER by built-in.issuer_validity", |tbs| {
        tbs.validity = validity(-86_400, 600);
    }),
    ("backdated", "from before a revocation", "R28", "BACKDATED_TOO_FAR by backdating", |tbs| {
        tbs.validity = validity(-3600, 600);
    }),
    ("postdated", "one for later, when the thief is gone", "R11", "STARTS_TOO_LATE by start_within", |tbs| {
        tbs.validity = validity(7200, 7800);
    }),
    ("two-hours", "twice what the profile allows", "R11", "LIFETIME_TOO_LONG by max_lifetime", |tbs| {
        tbs.validity = validity(0, 7200);
    }),
    (
        "a-second",
        "one that is over before anybody sees it",
        "R11",
        "LIFETIME_TOO_SHORT by min_lifetime",
        |tbs| {
            tbs.validity = validity(0, 20);
        },
    ),
    ("generalized", "GeneralizedTime where UTCTime belongs", "RFC 5280 §4.1.2.5", "DER_TIME_TYPE", |tbs| {
        tbs.validity = until(b"20491231235959Z");
    }),
    (
        "offset",
        "a time zone, which readers add or take away",
        "RFC 5280 §4.1.2.5.1",
        "DER_TIME_FORM",
        |tbs| {
            tbs.validity = seq(&[&der(0x17, &utc(0)), &der(0x17, b"491231235959+0000")]);
        },
    ),
    ("no-seconds", "a time without seconds", "RFC 5280 §4.1.2.5.1", "DER_TIME_FORM", |tbs| {
        tbs.validity = seq(&[&der(0x17, &utc(0)), &der(0x17, b"4912312359Z")]);
    }),
    ("fraction", "fractions of a second", "RFC 5280 §4.1.2.5.2", "DER_TIME_FORM", |tbs| {
        tbs.validity = until(b"20500101000000.5Z");
    }),
    ("february-30", "a day that does not exist", "RFC 5280 §4.1.2.5", "DER_TIME_NOT_A_DATE", |tbs| {
        tbs.validity = seq(&[&der(0x17, &utc(0)), &der(0x17, b"490230000000Z")]);
    }),
    ("1950", "a year that some read as 2050", "RFC 5280 §4.1.2.5.1", "DER_TIME_NOT_A_DATE", |tbs| {
        tbs.validity = seq(&[&der(0x17, b"500101000000Z"), &der(0x17, &utc(600))]);
    }),
    ("no-end", "a beginning alone", "RFC 5280 §4.1.2.5", "DER_TRUNCATED", |tbs| {
        tbs.validity = seq(&[&der(0x17, &utc(0))]);
    }),
];

/// From now to a GeneralizedTime.
fn until(generalized: &[u8]) -> Vec<u8> {
    seq(&[&der(0x17, &utc(0)), &der(0x18, generalized)])
}
