//! Whose certificates the answers are about.

use super::{
    Case, Forgery, SERIAL, SHA256, Signer, Single, by_sha1, cert_id, forged, of_issuer, sha1_of_name,
    sha256_of_name,
};
use crate::corpus::Row;
use crate::corpus::signers::{SHA1_OF_OCSP_CA, SHA1_OF_OCSP_KEY, SHA256_OF_OCSP_CA, SHA256_OF_OCSP_KEY};
use crate::corpus::x509::der::{int, octets, oid, seq};

pub fn cases() -> Vec<Case> {
    let mut cases = forged(Signer::OcspKey, "certID", CERT_IDS);
    cases.extend(forged(Signer::OcspCa, "certID", OF_CA));
    cases
}

const MISMATCH: &str = "ISSUER_MISMATCH by built-in.issuer";

fn name_hash() -> Vec<u8> {
    sha256_of_name(Signer::OcspCa)
}

const CERT_IDS: &[Row<Forgery>] = &[
    ("name-other", "a certificate of a CA of another name", "RFC 6960 §4.1.1", MISMATCH, |tbs| {
        tbs.single().cert_id = of_issuer(&sha256_of_name(Signer::CrlCa), SHA256_OF_OCSP_CA, SERIAL);
    }),
    ("key-other", "a certificate of another key of that name", "RFC 6960 §4.1.1", MISMATCH, |tbs| {
        tbs.single().cert_id = of_issuer(&name_hash(), &[0xee; 32], SERIAL);
    }),
    ("key-of-responder", "a certificate by the responder's own key", "RFC 6960 §4.1.1", MISMATCH, |tbs| {
        tbs.single().cert_id = of_issuer(&name_hash(), SHA256_OF_OCSP_KEY, SERIAL);
    }),
    ("name-of-responder", "a certificate by the responder", "RFC 6960 §4.1.1", MISMATCH, |tbs| {
        let name = sha256_of_name(Signer::OcspKey);
        tbs.single().cert_id = of_issuer(&name, SHA256_OF_OCSP_KEY, SERIAL);
    }),
    ("sha1-name-other", "the same by SHA-1: another name", "RFC 6960 §4.1.1", MISMATCH, |tbs| {
        tbs.single().cert_id = by_sha1(&sha1_of_name(Signer::CrlCa), SHA1_OF_OCSP_CA);
    }),
    ("sha1-key-other", "the same by SHA-1: another key", "RFC 6960 §4.1.1", MISMATCH, |tbs| {
        tbs.single().cert_id = by_sha1(&sha1_of_name(Signer::OcspCa), SHA1_OF_OCSP_KEY);
    }),
    ("swapped", "the key's hash for the name's", "RFC 6960 §4.1.1", MISMATCH, |tbs| {
        tbs.single().cert_id = of_issuer(SHA256_OF_OCSP_CA, &name_hash(), SERIAL);
    }),
    ("second-other", "a certificate of another CA behind a good one", "R28", MISMATCH, |tbs| {
        let cert_id = of_issuer(&name_hash(), &[0xee; 32], &[0x43; 16]);
        tbs.responses.push(Single { cert_id, ..Single::of(SERIAL) });
    }),
    ("sha1-of-32-octets", "one hash under another's name", "RFC 6960 §4.1.1", "CERT_ID_HASH", |tbs| {
        tbs.single().cert_id = by_sha1(&name_hash(), SHA256_OF_OCSP_CA);
    }),
    ("sha256-of-20-octets", "the other way round", "RFC 6960 §4.1.1", "CERT_ID_HASH", |tbs| {
        tbs.single().cert_id = of_issuer(&sha1_of_name(Signer::OcspCa), SHA1_OF_OCSP_CA, SERIAL);
    }),
    ("md5", "a hash for which CAs of one hash are made", "CVE-2004-2761", "CERT_ID_HASH", |tbs| {
        let algorithm = seq(&[&oid("1.2.840.113549.2.5"), &[5, 0]]);
        tbs.single().cert_id = cert_id(&algorithm, &[7; 16], &[7; 16], SERIAL);
    }),
    ("sha384", "a hash that is not read here", "RFC 6960 §4.1.1", "CERT_ID_HASH", |tbs| {
        let algorithm = seq(&[&oid("2.16.840.1.101.3.4.2.2"), &[5, 0]]);
        tbs.single().cert_id = cert_id(&algorithm, &[7; 48], &[7; 48], SERIAL);
    }),
    ("no-octets", "a CA without a hash", "RFC 6960 §4.1.1", "CERT_ID_HASH", |tbs| {
        tbs.single().cert_id = of_issuer(&[], &[], SERIAL);
    }),
    ("parameters", "parameters that hide bytes", "RFC 4055 §2.1", "DER_TRAILING_BYTES", |tbs| {
        let algorithm = seq(&[&oid(SHA256), &octets(&[7; 32])]);
        tbs.single().cert_id = cert_id(&algorithm, &name_hash(), SHA256_OF_OCSP_CA, SERIAL);
    }),
    ("trailing", "a second number, for another reader", "RFC 6960 §4.1.1", "DER_TRAILING_BYTES", |tbs| {
        let algorithm = seq(&[&oid(SHA256), &[5, 0]]);
        let hashes = [octets(&name_hash()), octets(SHA256_OF_OCSP_CA)].concat();
        tbs.single().cert_id = seq(&[&algorithm, &hashes, &int(SERIAL), &int(&[0x43; 16])]);
    }),
    ("serial-zero", "the number of no certificate", "RFC 5280 §4.1.2.2", "SERIAL_NUMBER", |tbs| {
        tbs.responses = vec![Single::of(&[0])];
    }),
    ("serial-negative", "a number below zero", "RFC 5280 §4.1.2.2", "DER_INTEGER_NEGATIVE", |tbs| {
        tbs.responses = vec![Single::of(&[0xc2; 16])];
    }),
    ("serial-padded", "a second encoding of a number", "X.690 §8.3.2", "DER_INTEGER_NOT_MINIMAL", |tbs| {
        tbs.responses = vec![Single::of(&[&[0], SERIAL].concat())];
    }),
    ("serial-21-octets", "a number that is too long", "RFC 5280 §4.1.2.2", "SERIAL_NUMBER", |tbs| {
        tbs.responses = vec![Single::of(&[0x42; 21])];
    }),
];

const OF_CA: &[Row<Forgery>] = &[
    ("other-by-ca", "the CA on a certificate of another one", "B6", MISMATCH, |tbs| {
        tbs.single().cert_id = by_sha1(&sha1_of_name(Signer::CrlCa), SHA1_OF_OCSP_CA);
    }),
    ("key-other-by-ca", "the CA on a certificate by another key", "B6", MISMATCH, |tbs| {
        tbs.single().cert_id = by_sha1(&sha1_of_name(Signer::OcspCa), &Signer::OcspCa.key_id());
    }),
];
