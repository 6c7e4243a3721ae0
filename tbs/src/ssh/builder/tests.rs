#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::key::{MlDsaPublicKey, ParameterSet};

fn builder() -> CertificateBuilder {
    for_and_by(PublicKey::Ed25519([5; 32]), PublicKey::Ed25519([6; 32]))
}

fn for_and_by(subject: PublicKey, ca: PublicKey) -> CertificateBuilder {
    CertificateBuilder::new(CertificateType::User, SubjectKey::Plain(subject), ca)
        .principal("alice")
        .valid_after(100)
        .valid_before(200)
}

/// A key that SSH does not have.
fn ml_dsa() -> PublicKey {
    PublicKey::MlDsa(MlDsaPublicKey::new(ParameterSet::MlDsa44, vec![7; 1312]).unwrap())
}

#[test]
fn draws_a_new_serial_and_nonce_each_time() {
    let [one, two] = [builder().build().unwrap(), builder().build().unwrap()];
    assert_ne!(one.serial(), 0);
    assert_ne!(one.serial(), two.serial());
    assert_eq!(one.nonce().len(), 32);
    assert_ne!(one.nonce(), two.nonce());
}

#[test]
fn keeps_a_given_serial() {
    assert_eq!(builder().serial(7).build().unwrap().serial(), 7);
}

#[test]
fn sorts_options_by_name() {
    let tbs =
        builder().extension("permit-pty", None).extension("permit-X11-forwarding", None).build().unwrap();
    let names: Vec<_> = tbs.extensions().iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["permit-X11-forwarding", "permit-pty"]);
}

#[test]
fn refuses_what_the_parser_refuses() {
    let without_principals = CertificateBuilder::new(
        CertificateType::Host,
        SubjectKey::Plain(PublicKey::Ed25519([5; 32])),
        PublicKey::Ed25519([6; 32]),
    )
    .valid_before(1);
    let bad = [
        (without_principals, "PRINCIPALS_EMPTY"),
        (for_and_by(ml_dsa(), PublicKey::Ed25519([6; 32])), "TYPE_UNKNOWN"),
        (for_and_by(PublicKey::Ed25519([5; 32]), ml_dsa()), "KEY_TYPE_UNKNOWN"),
        (builder().valid_before(100), "VALIDITY_INVERTED"),
        (builder().principal("alice"), "PRINCIPAL_DUPLICATE"),
        (builder().key_id("\0"), "KEY_ID_CONTROL_CHARACTER"),
        (builder().extension("permit-pty", None).extension("permit-pty", None), "OPTION_DUPLICATE"),
        (builder().critical_option("force-command", None), "OPTION_NEEDS_VALUE"),
        (builder().key_id("x".repeat(70_000)), "TBS_TOO_LARGE"),
    ];
    for (builder, rule) in bad {
        let BuildError::Refused(error) = builder.build().unwrap_err() else {
            panic!("no randomness");
        };
        assert_eq!(error.rule(), rule);
    }
}
