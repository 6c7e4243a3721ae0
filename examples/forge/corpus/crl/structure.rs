//! DER: lengths, ends, tags, and the fields of a TBSCertList that are missing, doubled or out of place.

use super::{Case, Forgery, Signer, case, forged};
use crate::corpus::Row;
use crate::corpus::x509::der::{der, extension, int, octets, seq};

pub fn cases() -> Vec<Case> {
    let bytes = WHOLE.iter().map(|&(name, attack, reason, make)| {
        let tbs = make(Forgery::of(Signer::CrlCa).encode());
        case(Signer::CrlCa, "tbsCertList", (name, attack, "X.690 §10", reason), vec![("bytes", tbs)])
    });
    let mut cases: Vec<Case> = bytes.collect();
    cases.extend(forged(Signer::CrlCa, "tbsCertList", FIELDS));
    cases.extend(forged(Signer::CrlCa, "version", VERSIONS));
    cases
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
    ("length-one-less", "a last byte that is outside", "DER_TRUNCATED", |tbs| {
        let mut tbs = tbs;
        tbs[2] -= 1;
        tbs
    }),
    ("trailing-nul", "a byte that nobody reads", "DER_TRAILING_BYTES", |tbs| [tbs, vec![0]].concat()),
    ("trailing-list", "two lists for one signature", "DER_TRAILING_BYTES", |tbs| [tbs.clone(), tbs].concat()),
    ("trailing-inside", "a field that the standard does not know", "DER_TRAILING_BYTES", |tbs| {
        seq(&[contents(&tbs), &[5, 0]])
    }),
    ("set", "a SET for a SEQUENCE", "DER_UNEXPECTED_TAG", |tbs| der(0x31, contents(&tbs))),
];

const FIELDS: &[Row<Forgery>] = &[
    (
        "no-algorithm",
        "no signature algorithm: the issuer's name takes its place",
        "RFC 5280 §5.1.2.2",
        "DER_UNEXPECTED_TAG",
        |tbs| tbs.signature.clear(),
    ),
    ("no-issuer", "a list of nobody", "RFC 5280 §5.1.2.3", "DER_UNEXPECTED_TAG", |tbs| tbs.issuer.clear()),
    ("too-large", "a list to fill ledgers with", "R28", "LIST_TOO_LONG by built-in.list_length", |tbs| {
        let filler = extension("1.3.6.1.4.1.99999.2", &octets(&[0; 1024 * 1024]));
        tbs.add("filler", filler);
    }),
];

const VERSIONS: &[Row<Forgery>] = &[
    (
        "absent",
        "version 1, whose readers skip extensions: a delta list is taken for a complete one",
        "RFC 5280 §5.1.2.1",
        "VERSION",
        |tbs| tbs.version.clear(),
    ),
    ("1", "version 1, which is written by leaving it out", "RFC 5280 §5.1.2.1", "VERSION", |tbs| {
        tbs.version = int(&[0]);
    }),
    ("3", "a version that does not exist", "RFC 5280 §5.1.2.1", "VERSION", |tbs| tbs.version = int(&[2])),
    ("negative", "a version below zero", "X.690 §8.3", "DER_INTEGER_NEGATIVE", |tbs| {
        tbs.version = int(&[0xff]);
    }),
    ("padded", "a second encoding of version 2", "X.690 §8.3.2", "DER_INTEGER_NOT_MINIMAL", |tbs| {
        tbs.version = int(&[0, 1]);
    }),
    ("tagged", "the version of a certificate", "RFC 5280 §5.1", "VERSION", |tbs| {
        tbs.version = der(0xa0, &int(&[1]));
    }),
];
