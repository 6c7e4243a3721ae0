//! Whose list it is, and how it is to be signed.

use super::{Case, Forgery, Signer, forged};
use crate::corpus::Row;
use crate::corpus::x509::der::{
    AUTHORITY_KEY_ID, CN, O, attribute, authority, critical, der, extension, int, name, oid, seq, set, utf8,
};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Signer::CrlCa, "issuer", ISSUERS),
        forged(Signer::CrlCa, "authorityKeyIdentifier", KEY_IDS),
        forged(Signer::CrlCa, "signature", ALGORITHMS),
        forged(Signer::CrlKey, "delegated issuer", DELEGATED),
    ];
    lists.concat()
}

const ISSUERS: &[Row<Forgery>] = &[
    ("other", "a list of another CA", "R38", "ISSUER_MISMATCH by built-in.issuer", |tbs| {
        tbs.issuer = name(&[(O, "Example"), (CN, "some other CA")]);
    }),
    (
        "other-of-this-signer",
        "a list of another CA of this signer",
        "B6",
        "ISSUER_MISMATCH by built-in.issuer",
        |tbs| tbs.issuer = Signer::OcspCa.name(),
    ),
    (
        "other-string-type",
        "the same letters in another type, which some readers take for the same name",
        "R38",
        "ISSUER_MISMATCH by built-in.issuer",
        |tbs| {
            let printable = set(&[&attribute(CN, &der(0x13, b"crl-ca"))]);
            tbs.issuer = seq(&[&set(&[&attribute(O, &utf8("Example"))]), &printable]);
        },
    ),
    ("empty", "a list of nobody", "RFC 5280 §5.1.2.3", "ISSUER_EMPTY", |tbs| tbs.issuer = seq(&[])),
    ("unsorted", "a SET in another order than DER's", "X.690 §11.6", "DER_SET_ORDER", |tbs| {
        let parts = [attribute(O, &utf8("Example")), attribute(CN, &utf8("crl-ca"))];
        tbs.issuer = seq(&[&set(&[&parts[0], &parts[1]])]);
    }),
];

const KEY_IDS: &[Row<Forgery>] = &[
    ("absent", "a list of any key of that name", "RFC 5280 §5.2.1", "EXTENSION_MISSING", |tbs| {
        tbs.remove("authorityKeyIdentifier");
    }),
    (
        "other",
        "a list of another key of that name",
        "R38",
        "AUTHORITY_KEY_ID_MISMATCH by built-in.authority_key_id",
        |tbs| tbs.replace("authorityKeyIdentifier", authority(&[0xee; 20])),
    ),
    (
        "other-of-this-signer",
        "a list of another key of this signer",
        "B6",
        "AUTHORITY_KEY_ID_MISMATCH by built-in.authority_key_id",
        |tbs| tbs.replace("authorityKeyIdentifier", authority(&Signer::CrlKey.key_id())),
    ),
    (
        "prefix",
        "the beginning of the key identifier",
        "R38",
        "AUTHORITY_KEY_ID_MISMATCH by built-in.authority_key_id",
        |tbs| tbs.replace("authorityKeyIdentifier", authority(&[0xb0; 19])),
    ),
    ("empty", "a key identifier of no octets", "RFC 5280 §5.2.1", "KEY_IDENTIFIER", |tbs| {
        tbs.replace("authorityKeyIdentifier", authority(&[]));
    }),
    ("critical", "a list that no standard reader reads", "RFC 5280 §5.2.1", "EXTENSION_CRITICALITY", |tbs| {
        let value = seq(&[&der(0x80, &Signer::CrlCa.key_id())]);
        tbs.replace("authorityKeyIdentifier", critical(AUTHORITY_KEY_ID, &value));
    }),
    (
        "issuer-and-serial",
        "a certificate of the CA beside its key, to lead readers to another one",
        "RFC 5280 §4.2.1.1",
        "DER_TRAILING_BYTES",
        |tbs| {
            let issuer = der(0xa1, &der(0xa4, &Signer::OcspCa.name()));
            let value = seq(&[&der(0x80, &Signer::CrlCa.key_id()), &issuer, &der(0x82, &[1])]);
            tbs.replace("authorityKeyIdentifier", extension(AUTHORITY_KEY_ID, &value));
        },
    ),
    ("twice", "two keys, one for each reader", "RFC 5280 §5.2", "EXTENSION_DUPLICATE", |tbs| {
        tbs.add("authorityKeyIdentifier", authority(&Signer::CrlKey.key_id()));
    }),
];

const ALGORITHMS: &[Row<Forgery>] = &[
    (
        "ecdsa-sha1",
        "SHA-1, for which collisions are made",
        "R7, CVE-2005-4900",
        "SIGNATURE_ALGORITHM",
        |tbs| tbs.signature = seq(&[&oid("1.2.840.10045.4.1")]),
    ),
    (
        "other-hash",
        "another hash than the key signs with",
        "R23",
        "SIGNATURE_ALGORITHM_MISMATCH by built-in.signature_algorithm",
        |tbs| tbs.signature = seq(&[&oid("1.2.840.10045.4.3.3")]),
    ),
    (
        "rsa",
        "the algorithm of another CA's key",
        "R23",
        "SIGNATURE_ALGORITHM_MISMATCH by built-in.signature_algorithm",
        |tbs| tbs.signature = seq(&[&oid("1.2.840.113549.1.1.11"), &[5, 0]]),
    ),
    ("parameters", "parameters that hide bytes", "RFC 5758 §3.2", "SIGNATURE_ALGORITHM", |tbs| {
        tbs.signature = seq(&[&oid("1.2.840.10045.4.3.2"), &seq(&[&int(&[1])])]);
    }),
];

const DELEGATED: &[Row<Forgery>] = &[
    (
        "ca",
        "a list of the CA by a key for lists that is not certified for its name",
        "B6",
        "ISSUER_MISMATCH by built-in.issuer",
        |tbs| tbs.issuer = Signer::CrlCa.name(),
    ),
    (
        "ca-key",
        "a list that says to be signed by the CA's own key",
        "B6",
        "AUTHORITY_KEY_ID_MISMATCH by built-in.authority_key_id",
        |tbs| tbs.replace("authorityKeyIdentifier", authority(&Signer::CrlCa.key_id())),
    ),
];
