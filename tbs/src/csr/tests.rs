#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::der::{Oid, StringKind};
use crate::x509::{Attribute, BasicConstraints, ExtensionValue, KeyUsage};

fn name(common_name: &str) -> Name {
    let oid = Oid::from_contents(oids::COMMON_NAME).unwrap();
    Name::new(vec![vec![Attribute::new(oid, StringKind::Utf8, common_name).unwrap()]]).unwrap()
}

fn plain() -> CertificationRequestInfo {
    RequestBuilder::new(name("TLS CA 1"), PublicKey::Ed25519([7; 32])).build().unwrap()
}

fn with_extensions() -> CertificationRequestInfo {
    RequestBuilder::new(name("TLS CA 1"), PublicKey::Ed25519([7; 32]))
        .extension(Extension::critical(ExtensionValue::BasicConstraints(BasicConstraints::Ca {
            path_len: None,
        })))
        .extension(Extension::critical(ExtensionValue::KeyUsage(KeyUsage::KEY_CERT_SIGN)))
        .build()
        .unwrap()
}

/// The bytes with the first `old` replaced, which must have the same length so that no length changes.
fn changed(info: &CertificationRequestInfo, old: &[u8], new: &[u8]) -> Vec<u8> {
    let bytes = info.as_bytes();
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    [bytes.get(..at).unwrap(), new, bytes.get(at + old.len()..).unwrap()].concat()
}

fn rule(bytes: &[u8]) -> Rule {
    CertificationRequestInfo::parse(bytes).unwrap_err().rule
}

#[test]
fn says_what_was_built_and_is_the_same_bytes_again() {
    for info in [plain(), with_extensions()] {
        let again = CertificationRequestInfo::parse(info.as_bytes()).unwrap();
        assert_eq!(again, info);
        assert_eq!((again.subject(), again.public_key()), (&name("TLS CA 1"), &PublicKey::Ed25519([7; 32])));
    }
    assert!(plain().extensions().is_empty());
    assert_eq!(with_extensions().extensions().len(), 2);
    assert!(plain().as_bytes().ends_with(&[0xa0, 0]), "RFC 2986: attributes are not optional");
}

#[test]
fn a_finished_request_parses_to_its_parts() {
    let info = with_extensions();
    let der = info.request(SignatureAlgorithm::Ed25519, &[5; 64]);
    let request = CertificationRequest::parse(&der).unwrap();
    assert_eq!((request.info(), request.signature()), (&info, [5; 64].as_slice()));
    assert_eq!(request.signature_algorithm(), SignatureAlgorithm::Ed25519);
    assert!(CertificationRequest::parse(&[der.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn refuses_a_request_of_another_version() {
    assert_eq!(rule(&changed(&plain(), &[2, 1, 0], &[2, 1, 1])), Rule::Version);
}

#[test]
fn refuses_any_attribute_but_extension_request() {
    let mut challenge_password = oids::EXTENSION_REQUEST.to_vec();
    *challenge_password.last_mut().unwrap() = 7;
    let bytes = changed(&with_extensions(), oids::EXTENSION_REQUEST, &challenge_password);
    assert_eq!(rule(&bytes), Rule::RequestAttribute);
}

#[test]
fn refuses_a_second_attribute() {
    let info = with_extensions();
    let attributes = Writer::collect(|w| {
        w.nested(Fields::ATTRIBUTES, |w| {
            for _ in 0..2 {
                w.sequence(|w| {
                    w.known_oid(oids::EXTENSION_REQUEST);
                    w.nested(tag::SET, |w| {
                        w.sequence(|w| info.extensions().iter().for_each(|one| one.write(w)));
                    });
                });
            }
        });
    });
    let twice = Writer::collect(|w| {
        w.sequence(|w| {
            w.small(tag::INTEGER, 0);
            info.subject().write(w);
            w.raw(&info.public_key().to_spki_der());
            w.raw(&attributes);
        });
    });
    assert!(matches!(rule(&twice), Rule::Der(_)));
}

#[test]
fn refuses_what_follows_or_is_too_long() {
    assert!(matches!(rule(&[plain().as_bytes(), &[0]].concat()), Rule::Der(_)));
    let max = CertificationRequestInfo::MAX_LEN;
    assert_eq!(rule(&vec![0x30; max + 1]), Rule::TooLong { max });
}
