//! What is no TBSCertificate at all, and could be signed to the same effect.

use super::der::{CN, critical, der, int, name, oid, seq, utc};
use super::{Case, Kind, case, whole};
use crate::corpus;

pub fn cases() -> Vec<Case> {
    let foreign = CASES.iter().map(|&(name, attack, reason, make)| {
        case(Kind::Server, "foreign", (name, attack, "B7", reason), whole(make(Kind::Server.base().encode())))
    });
    let mut cases: Vec<Case> = foreign.collect();
    cases.extend(crossed());
    cases
}

/// A good TBS of one purpose, asked of a key of another.
fn crossed() -> Vec<Case> {
    let tbs = || whole(Kind::Server.base().encode());
    let refused = "TBS_KIND_NOT_ALLOWED by built-in.tbs_kind";
    let to_ssh = ("x509-for-ssh-ca", "a certificate for TLS from the SSH CA", "B6", refused);
    let to_x509 = ("ssh-for-x509-ca", "an SSH login from the CA of TLS servers", "B6", refused);
    let unknown =
        ("unknown", "a key that does not exist", "B3", "KEY_NOT_AVAILABLE by built-in.key_available");
    let other =
        ("other-ca", "a certificate of one CA from another", "B6", "ISSUER_MISMATCH by built-in.issuer");
    vec![
        case(Kind::Server, "kind", to_ssh, tbs()).of_key("user-ca"),
        Case {
            kind: "ssh-certificate".to_owned(),
            ..case(Kind::Server, "kind", to_x509, corpus::good().tbs)
        },
        case(Kind::Server, "key", unknown, tbs()).of_key("root-ca"),
        Case { field: "issuer".to_owned(), ..case(Kind::Code, "key", other, tbs()) },
    ]
}

type Foreign = (&'static str, &'static str, &'static str, fn(Vec<u8>) -> Vec<u8>);

const CASES: &[Foreign] = &[
    ("certificate", "a finished certificate", "VERSION", |tbs| {
        seq(&[&tbs, &seq(&[&oid("1.2.840.10045.4.3.2")]), &der(3, &[&[0][..], &[1; 70]].concat())])
    }),
    ("digest-info", "a digest, to be signed as anything", "VERSION", |_| {
        seq(&[&seq(&[&oid("2.16.840.1.101.3.4.2.1"), &[5, 0]]), &super::der::octets(&[7; 32])])
    }),
    ("digest", "a digest without a name", "DER_UNEXPECTED_TAG", |_| vec![7; 32]),
    ("request", "what a certificate request's subject signs", "VERSION", |_| {
        seq(&[
            &int(&[0]),
            &name(&[(CN, "www.example.org")]),
            &super::der::ed25519(&[0x5a; 32]),
            &der(0xa0, &[]),
        ])
    }),
    ("crl", "a list of revoked certificates", "VERSION", |_| {
        let issuer = super::issuer_name("server-ca");
        let times = [der(0x17, &utc(0)), der(0x17, &utc(600))].concat();
        seq(&[&int(&[1]), &seq(&[&oid("1.2.840.10045.4.3.2")]), &issuer, &times])
    }),
    ("ocsp-response", "a word that a certificate is good", "VERSION", |_| {
        seq(&[&der(0xa2, &super::der::octets(&[7; 20])), &der(0x18, b"20300101000000Z"), &seq(&[])])
    }),
    ("public-key", "a SubjectPublicKeyInfo", "VERSION", |_| super::der::ed25519(&[0x5a; 32])),
    (
        "ssh-certificate",
        "an SSH certificate under the name of a TBSCertificate",
        "DER_UNEXPECTED_TAG",
        |_| corpus::good().tbs.into_iter().flat_map(|(_, bytes)| bytes).collect(),
    ),
    (
        "cms-attributes",
        "the signed attributes of a CMS message, which are a SET",
        "DER_UNEXPECTED_TAG",
        |_| der(0x31, &seq(&[&oid("1.2.840.113549.1.9.3"), &der(0x31, &oid("1.2.840.113549.1.7.1"))])),
    ),
    ("time-stamp", "the time of a document", "VERSION", |_| {
        seq(&[
            &int(&[1]),
            &oid("1.3.6.1.4.1.99999.1"),
            &seq(&[&seq(&[&oid("2.16.840.1.101.3.4.2.1")]), &super::der::octets(&[7; 32])]),
        ])
    }),
    ("attribute-certificate", "a privilege, without a key", "VERSION", |_| {
        seq(&[&int(&[1]), &seq(&[&der(0xa1, &super::der::directory(&name(&[(CN, "alice")])))])])
    }),
    ("tls13-server", "a TLS 1.3 server's proof that it holds the key", "DER_UNEXPECTED_TAG", |_| {
        [&[0x20; 64][..], b"TLS 1.3, server CertificateVerify\0", &[7; 32]].concat()
    }),
    ("pem", "a certificate as text", "DER_UNEXPECTED_TAG", |_| b"-----BEGIN CERTIFICATE-----\n".to_vec()),
    ("extension-alone", "one extension, to be put into another certificate", "VERSION", |_| {
        critical(super::der::BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0xff]]))
    }),
];
