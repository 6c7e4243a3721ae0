//! DER: lengths, ends, tags, and fields that are cut, missing, doubled or out of place.

use super::{Own, Request, attribute, case, of_request, of_root};
use crate::corpus::x509::der::{der, int, octets, seq, utf8};
use crate::corpus::{Case, own::EXTENSION_REQUEST};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for own in Own::ALL {
        let good = own.fields();
        let bytes: Vec<u8> = good.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        cases.extend(WHOLE.iter().map(|&(name, attack, reason, make)| {
            let head = (name, attack, "X.690 §10", reason);
            case(own, own.whole(), head, vec![("bytes", make(bytes.clone()))])
        }));
        for (index, (field, bytes)) in good.iter().enumerate().skip(1) {
            let mut cut = good[..=index].to_vec();
            cut[index].1.truncate(bytes.len() / 2);
            let head = ("cut-within", "a TBS that ends within a field", "X.690 §8.1", "DER_TRUNCATED");
            cases.push(case(own, field, head, cut));
        }
    }
    let lists = [
        cases,
        of_request("version", VERSIONS),
        of_request("attributes", ATTRIBUTES),
        of_root("version", ROOT_VERSIONS),
    ];
    lists.concat()
}

/// The contents of a good TBS: what follows `30 81 xx`.
fn contents(tbs: &[u8]) -> &[u8] {
    &tbs[2 + usize::from(tbs[1] & 0x7f)..]
}

type Whole = (&'static str, &'static str, &'static str, fn(Vec<u8>) -> Vec<u8>);

const WHOLE: &[Whole] = &[
    ("empty", "nothing at all", "DER_TRUNCATED", |_| Vec::new()),
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
    ("trailing-nul", "a byte that nobody reads", "DER_TRAILING_BYTES", |tbs| [tbs, vec![0]].concat()),
    ("trailing-again", "two for one signature", "DER_TRAILING_BYTES", |tbs| [tbs.clone(), tbs].concat()),
    ("trailing-inside", "a field that the standard does not know", "DER_TRAILING_BYTES", |tbs| {
        seq(&[contents(&tbs), &[5, 0]])
    }),
    ("set", "a SET for a SEQUENCE", "DER_UNEXPECTED_TAG", |tbs| der(0x31, contents(&tbs))),
    ("too-large", "more bytes than any has", "TBS_TOO_LONG", |tbs| [tbs, vec![0; 33 * 1024]].concat()),
];

const VERSIONS: &[super::Row<Request>] = &[
    ("2", "a version that does not exist", "RFC 2986 §4.1", "VERSION", |tbs| tbs.version = int(&[1])),
    ("negative", "a version below zero", "RFC 2986 §4.1", "DER_INTEGER_NEGATIVE", |tbs| {
        tbs.version = int(&[0xff]);
    }),
    ("padded", "a second encoding of version 1", "X.690 §8.3.2", "DER_INTEGER_NOT_MINIMAL", |tbs| {
        tbs.version = int(&[0, 0]);
    }),
    ("absent", "no version", "RFC 2986 §4.1", "DER_UNEXPECTED_TAG", |tbs| tbs.version.clear()),
    (
        "tagged",
        "a certificate's version: a TBSCertificate's reader may go on",
        "RFC 2986 §4.1",
        "DER_UNEXPECTED_TAG",
        |tbs| {
            tbs.version = der(0xa0, &int(&[2]));
        },
    ),
];

const ROOT_VERSIONS: &[super::Row<crate::corpus::x509::Forgery>] = &[
    ("absent", "version 1, whose readers skip extensions", "RFC 5280 §4.1.2.1", "VERSION", |tbs| {
        tbs.version.clear();
    }),
    ("4", "a version that does not exist", "RFC 5280 §4.1.2.1", "VERSION", |tbs| {
        tbs.version = der(0xa0, &int(&[3]));
    }),
];

/// `challengePassword` and `unstructuredName`, of RFC 2985.
const CHALLENGE_PASSWORD: &str = "1.2.840.113549.1.9.7";
const UNSTRUCTURED_NAME: &str = "1.2.840.113549.1.9.2";

const ATTRIBUTES: &[super::Row<Request>] = &[
    ("password", "a secret that a public file would carry", "RFC 2985 §5.4.1", "REQUEST_ATTRIBUTE", |tbs| {
        tbs.extensions = None;
        tbs.more = attribute(CHALLENGE_PASSWORD, &[&utf8("hunter2")]);
    }),
    (
        "password-as-well",
        "a secret behind what is looked at",
        "RFC 2985 §5.4.1",
        "DER_TRAILING_BYTES",
        |tbs| {
            tbs.more = attribute(CHALLENGE_PASSWORD, &[&utf8("hunter2")]);
        },
    ),
    ("name", "another name, for readers that prefer it", "RFC 2985 §5.4.3", "REQUEST_ATTRIBUTE", |tbs| {
        tbs.extensions = None;
        tbs.more = attribute(UNSTRUCTURED_NAME, &[&utf8("Root 1")]);
    }),
    ("twice", "two lists of extensions, one for each reader", "RFC 2986 §4.1", "DER_TRAILING_BYTES", |tbs| {
        tbs.more = attribute(EXTENSION_REQUEST, &[&seq(&[&super::is_ca(None)])]);
    }),
    (
        "two-values",
        "two lists of extensions in one attribute",
        "RFC 2985 §5.4.2",
        "DER_TRAILING_BYTES",
        |tbs| {
            tbs.extensions = None;
            let list = seq(&[&super::is_ca(Some(0))]);
            tbs.more = attribute(EXTENSION_REQUEST, &[&list, &list]);
        },
    ),
    ("no-value", "an attribute that says nothing", "RFC 2985 §5.4.2", "DER_TRUNCATED", |tbs| {
        tbs.extensions = None;
        tbs.more = attribute(EXTENSION_REQUEST, &[]);
    }),
    ("no-extension", "a list without extensions", "RFC 2985 §5.4.2", "DER_LIST_EMPTY", |tbs| {
        tbs.extensions = Some(Vec::new());
    }),
    ("octets", "extensions in an OCTET STRING", "RFC 2985 §5.4.2", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.extensions = None;
        tbs.more = attribute(EXTENSION_REQUEST, &[&octets(&seq(&[&super::is_ca(Some(0))]))]);
    }),
    (
        "of-microsoft",
        "extensions by an older name, which some CAs read",
        "MS-WCCE §2.2.2.7.7.4",
        "REQUEST_ATTRIBUTE",
        |tbs| {
            tbs.extensions = None;
            tbs.more = attribute("1.3.6.1.4.1.311.2.1.14", &[&seq(&[&super::is_ca(Some(0))])]);
        },
    ),
];
