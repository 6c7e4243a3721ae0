#![allow(clippy::unwrap_used, reason = "tests")]

use countersign_tbs::ssh::{CertificateBuilder, CertificateType, SubjectKey};

use super::*;

fn listed(purpose: v1::Purpose, scheme: v1::Scheme) -> v1::Key {
    let spki = PublicKey::Ed25519([7; 32]).to_spki_der();
    v1::Key {
        name: "ca".to_owned(),
        purpose: purpose.into(),
        scheme: scheme.into(),
        spki: spki.into(),
        ..v1::Key::default()
    }
}

fn ca() -> CaKey {
    CaKey::from_listed(listed(v1::Purpose::SshUserCa, v1::Scheme::Ed25519)).unwrap()
}

fn tbs(ca: PublicKey, serial: u64) -> CertificateTbs {
    let subject = SubjectKey::Plain(PublicKey::Ed25519([8; 32]));
    let builder =
        CertificateBuilder::new(CertificateType::User, subject, ca).serial(serial).principal("alice");
    builder.valid_after(1).valid_before(2).build().unwrap()
}

/// What a signer would answer; the signature verifies under no key.
fn response(tbs: &CertificateTbs) -> SignResponse {
    let object = tbs.certificate(Scheme::Ed25519, &[9; 64]).unwrap();
    let signature = object.get(tbs.as_bytes().len() + 4..).unwrap().to_vec();
    SignResponse { signature: signature.into(), object: object.into(), ..SignResponse::default() }
}

#[test]
fn lists_no_key_of_x509_and_no_scheme_that_ssh_has_not() {
    for purpose in [v1::Purpose::SshUserCa, v1::Purpose::SshHostCa] {
        assert!(CaKey::from_listed(listed(purpose, v1::Scheme::Ed25519)).is_some());
        assert!(CaKey::from_listed(listed(purpose, v1::Scheme::RsaPssSha256)).is_none());
    }
    for purpose in [v1::Purpose::Unspecified, v1::Purpose::X509Ca, v1::Purpose::X509Crl, v1::Purpose::Ocsp] {
        assert!(CaKey::from_listed(listed(purpose, v1::Scheme::Ed25519)).is_none(), "{purpose:?}");
    }
}

#[test]
fn flags_must_ask_for_the_scheme_of_the_key() {
    let allowed = |scheme| {
        let key = CaKey { scheme, ..ca() };
        (0..=8).chain([u32::MAX]).filter(|flags| key.check_flags(*flags).is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(allowed(Scheme::RsaPkcs1Sha256), [2]);
    assert_eq!(allowed(Scheme::RsaPkcs1Sha512), [4]);
    assert_eq!(allowed(Scheme::Ed25519), [0]);
    assert_eq!(allowed(Scheme::EcdsaP256Sha256), [0]);
}

#[test]
fn releases_the_signature_of_exactly_what_was_asked_for() {
    let (key, asked) = (ca(), tbs(ca().public_key, 1));
    let good = response(&asked);
    assert_eq!(key.released(&asked, &good).unwrap(), good.signature);

    let another = response(&tbs(ca().public_key, 2));
    let swapped = SignResponse { signature: vec![1; good.signature.len()].into(), ..good.clone() };
    let short = SignResponse { signature: good.signature.slice(1..), ..good.clone() };
    let empty = SignResponse::default();
    for wrong in [another, swapped, short, empty] {
        assert!(matches!(key.released(&asked, &wrong), Err(Refusal::Another { .. })), "{wrong:?}");
    }
    let anothers = tbs(PublicKey::Ed25519([6; 32]), 1);
    assert!(key.released(&anothers, &response(&anothers)).is_err(), "the CA key is not the asked key");
    assert!(CaKey { scheme: Scheme::EcdsaP256Sha256, ..key }.released(&asked, &good).is_err());
}

#[test]
fn names_what_is_no_certificate_for_the_log() {
    let name = |data: &[u8]| kind_of(&CertificateTbs::parse(data), data);
    assert_eq!(name(tbs(ca().public_key, 1).as_bytes()), "a certificate");
    assert_eq!(name(b"SSHSIG and more"), "an SSHSIG signature of a file");
    assert_eq!(name(&[&[0, 0, 0, 32][..], &[1; 32], &[50, 0]].concat()), "a login");
    assert_eq!(name(&[&[0, 0, 0, 32][..], &[1; 32], &[51, 0]].concat()), "what is no certificate");
    assert_eq!(name(&[0, 0, 0, 32]), "what is no certificate");
    assert_eq!(name(&[0; 48]), "what may be a digest");
    assert_eq!(name(&[]), "what is no certificate");
}
