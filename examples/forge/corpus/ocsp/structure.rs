//! DER: lengths, ends, tags, and the fields of a ResponseData that are missing, doubled or out of place.

use super::{
    Case, Forgery, SERIAL, SHA256, Signer, Single, by_sha1, case, forged, sha1_of_name, sha256_of_name,
};
use crate::corpus::Row;
use crate::corpus::signers::{SHA1_OF_OCSP_CA, SHA256_OF_OCSP_CA};
use crate::corpus::x509::der::{der, int, octets, oid, seq};

pub fn cases() -> Vec<Case> {
    let bytes = WHOLE.iter().map(|&(name, attack, reason, make)| {
        let tbs = make(Forgery::of(Signer::OcspKey).encode());
        case(Signer::OcspKey, "responseData", (name, attack, "X.690 §10", reason), vec![("bytes", tbs)])
    });
    let mut cases: Vec<Case> = bytes.collect();
    cases.extend(forged(Signer::OcspKey, "version", VERSIONS));
    cases.extend(forged(Signer::OcspKey, "responses", RESPONSES));
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
    ("trailing-nul", "a byte that nobody reads", "DER_TRAILING_BYTES", |tbs| [tbs, vec![0]].concat()),
    ("trailing-response", "two responses for one signature", "DER_TRAILING_BYTES", |tbs| {
        [tbs.clone(), tbs].concat()
    }),
    ("trailing-inside", "a field that the standard does not know", "DER_TRAILING_BYTES", |tbs| {
        seq(&[contents(&tbs), &[5, 0]])
    }),
    ("set", "a SET for a SEQUENCE", "DER_UNEXPECTED_TAG", |tbs| der(0x31, contents(&tbs))),
    ("too-large", "more bytes than any answer has", "TBS_TOO_LONG", |tbs| [tbs, vec![0; 33 * 1024]].concat()),
];

const VERSIONS: &[Row<Forgery>] = &[
    ("1", "version 1, which is written by leaving it out", "X.690 §11.5", "VERSION", |tbs| {
        tbs.version = der(0xa0, &int(&[0]));
    }),
    ("2", "a version that does not exist", "RFC 6960 §4.2.1", "VERSION", |tbs| {
        tbs.version = der(0xa0, &int(&[1]));
    }),
    ("untagged", "a version without its own tag", "RFC 6960 §4.2.1", "DER_UNEXPECTED_TAG", |tbs| {
        tbs.version = int(&[0]);
    }),
];

const RESPONSES: &[Row<Forgery>] = &[
    ("empty", "an answer about nothing", "RFC 6960 §4.2.1", "DER_LIST_EMPTY", |tbs| tbs.responses.clear()),
    ("too-many", "answers that nobody asked for", "R28", "RESPONSES_ABOVE_LIMIT by max_responses", |tbs| {
        tbs.responses = [1, 2, 3].map(|serial| Single::of(&[serial; 16])).to_vec();
    }),
    ("twice", "two answers about one certificate", "RFC 6960 §4.2.1", "ITEM_DUPLICATE", |tbs| {
        let again = tbs.single().clone();
        tbs.responses.push(again);
    }),
    (
        "twice-other-parameters",
        "good and unknown, the issuer's hash written in two ways",
        "RFC 4055 §2.1",
        "ITEM_DUPLICATE",
        |tbs| {
            let hashes = [octets(&sha256_of_name(Signer::OcspCa)), octets(SHA256_OF_OCSP_CA)].concat();
            let cert_id = seq(&[&seq(&[&oid(SHA256)]), &hashes, &int(SERIAL)]);
            let unknown = Single { cert_id, status: vec![0x82, 0], ..tbs.single().clone() };
            tbs.responses.push(unknown);
        },
    ),
    (
        "twice-other-hash",
        "good for who asks by SHA-256, and unknown for who asks by SHA-1",
        "RFC 6960 §4.1.1",
        "ITEM_DUPLICATE",
        |tbs| {
            let cert_id = by_sha1(&sha1_of_name(Signer::OcspCa), SHA1_OF_OCSP_CA);
            let unknown = Single { cert_id, status: vec![0x82, 0], ..tbs.single().clone() };
            tbs.responses.push(unknown);
        },
    ),
    ("twice-unlike", "good and unknown, one for each reader", "RFC 6960 §4.2.1", "ITEM_DUPLICATE", |tbs| {
        let unknown = Single { status: vec![0x82, 0], ..tbs.single().clone() };
        tbs.responses.push(unknown);
    }),
];
