#![allow(clippy::unwrap_used, reason = "tests")]
use std::path::Path;

use countersign_tbs::der::{Oid, StringKind, Time, oids};
use countersign_tbs::x509::{
    Attribute, BasicConstraints, CertificateBuilder, KeyId, KeyUsage, Name, SignatureAlgorithm, Validity,
};

use super::{CertificateFiles, KeyCertificate, UnfitCertificate};
use crate::key::{Config, KeyName, KeyPurpose, PublicKey, Scheme};
use crate::token::TokenName;

fn name(text: &str) -> Name {
    let oid = Oid::from_contents(oids::COMMON_NAME).unwrap();
    Name::new(vec![vec![Attribute::new(oid, StringKind::Utf8, text).unwrap()]]).unwrap()
}

fn builder(issuer: &str, subject: &str) -> CertificateBuilder {
    let validity = Validity { not_before: Time::from_unix_secs(0).unwrap(), not_after: Time::MAX };
    let key = PublicKey::Ed25519([7; 32]);
    CertificateBuilder::new(SignatureAlgorithm::Ed25519, name(issuer), validity, key).subject(name(subject))
}

fn write(path: &Path, builder: CertificateBuilder) {
    let object = builder.build().unwrap().certificate(SignatureAlgorithm::Ed25519, &[0; 64]).unwrap();
    std::fs::write(path, object).unwrap();
}

/// A responder that names `issuer` and `authority`, beside the CA `Root` with the identifier `ca`.
fn load(
    issuer: &str,
    authority: Option<&[u8]>,
    ca: Option<&[u8]>,
) -> Result<KeyCertificate, UnfitCertificate> {
    let directory = tempfile::tempdir().unwrap();
    let (own, root) = (directory.path().join("own"), directory.path().join("root"));
    let id = |octets: &[u8]| KeyId::new(octets).unwrap();
    let mut responder = builder(issuer, "Responder")
        .key_usage(KeyUsage::DIGITAL_SIGNATURE)
        .ext_key_usage(vec![Oid::from_contents(oids::OCSP_SIGNING).unwrap()]);
    if let Some(authority) = authority {
        responder = responder.authority_key_id(id(authority));
    }
    let mut issuer = builder("Root", "Root")
        .basic_constraints(BasicConstraints::Ca { path_len: None })
        .key_usage(KeyUsage::KEY_CERT_SIGN);
    if let Some(ca) = ca {
        issuer = issuer.subject_key_id(id(ca));
    }
    write(&own, responder);
    write(&root, issuer);
    KeyCertificate::load(&Config {
        name: KeyName::new("responder").unwrap(),
        purpose: KeyPurpose::Ocsp,
        scheme: Scheme::Ed25519,
        token: TokenName::new("soft").unwrap(),
        copies: Vec::new(),
        accept: std::collections::BTreeSet::new(),
        label: "responder".to_owned(),
        id: None,
        slot: None,
        fingerprint: None,
        certificate: Some(CertificateFiles { own, issuer: Some(root) }),
        succeeds: None,
    })
}

#[test]
fn a_responder_answers_only_for_the_ca_that_its_certificate_names() {
    let loaded = load("Root", Some(b"ca"), Some(b"ca")).unwrap();
    assert_eq!(loaded.ca().subject(), &name("Root"));
    for (issuer, authority, ca) in [
        ("Other", Some(&b"ca"[..]), Some(&b"ca"[..])),
        ("Root", Some(b"other"), Some(b"ca")),
        ("Root", None, Some(b"ca")),
        ("Root", None, None),
    ] {
        let refused = load(issuer, authority, ca).unwrap_err();
        assert!(matches!(refused, UnfitCertificate::OtherIssuer(_)), "{refused}");
    }
}
