//! What a card says of a key that was made in it: a certificate by its own attestation key, which Yubico certified.
//!
//! In: certificates. Out: an [`Attestation`], and, for those who ask, that it leads to a root that they trust. Offline: no list of
//! what was revoked is looked at, and no validity, which Yubico's cards cannot keep.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use countersign_tbs::key::Curve;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::BasicConstraints;

use super::card::Firmware;
use super::policy::{PinPolicy, TouchPolicy};
use crate::key::PublicKey;

/// What a card attests of one key.
pub(crate) struct Attestation {
    pub(crate) public_key: PublicKey,
    pub(crate) firmware: Option<Firmware>,
    pub(crate) serial: Option<u32>,
    pub(crate) pin_policy: PinPolicy,
    pub(crate) touch_policy: TouchPolicy,
}

/// Why an attestation says nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttestationError {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("the certificate of {subject:?} is none of a CA, and cannot attest anything")]
    NoCa { subject: String },
    #[error(
        "no certificate of {issuer:?}, which issued that of {subject:?}, is among the roots, or its signature is another's"
    )]
    NoIssuer { subject: String, issuer: String },
    #[error("the way to a root is longer than {LONGEST} certificates")]
    TooLong,
}

/// Yubico's extensions (PIV attestation): raw bytes, but for the serial number, which is an INTEGER.
const FIRMWARE: &str = "1.3.6.1.4.1.41482.3.3";
const SERIAL: &str = "1.3.6.1.4.1.41482.3.7";
const POLICIES: &str = "1.3.6.1.4.1.41482.3.8";
/// The longest way from a card's attestation key to a root.
const LONGEST: usize = 5;

impl Attestation {
    /// Reads a certificate, whoever issued it.
    ///
    /// # Errors
    /// [`AttestationError::Unreadable`]
    pub(super) fn read(certificate: &Certificate) -> Result<Self, AttestationError> {
        let unreadable = |why: &dyn fmt::Display| AttestationError::Unreadable(why.to_string());
        let Some(&[pin, touch]) = extension(certificate, POLICIES) else {
            return Err(unreadable(&"it has no policies"));
        };
        let spki = certificate.tbs_certificate().subject_public_key_info();
        let spki = spki.to_der().map_err(|error| unreadable(&error))?;
        Ok(Self {
            public_key: PublicKey::from_spki_der(&spki).map_err(|error| unreadable(&error))?,
            firmware: extension(certificate, FIRMWARE).and_then(|bytes| bytes.try_into().ok()).map(Firmware),
            serial: extension(certificate, SERIAL).and_then(|der| u32::from_der(der).ok()),
            pin_policy: PinPolicy(pin),
            touch_policy: TouchPolicy(touch),
        })
    }
}

impl Attestation {
    /// Whether the card's firmware makes this key weak: EUCLEAK is one of ECDSA.
    pub(crate) fn has_eucleak(&self) -> bool {
        matches!(self.public_key, PublicKey::Ecdsa(_)) && self.firmware.is_none_or(Firmware::has_eucleak)
    }
}

/// Reads a certificate.
///
/// # Errors
/// [`AttestationError::Unreadable`]
pub(super) fn certificate(der: &[u8]) -> Result<Certificate, AttestationError> {
    Certificate::from_der(der).map_err(|error| AttestationError::Unreadable(error.to_string()))
}

/// Checks the way from an attestation over the card's own certificate to a root; the root's name. Of `trusted`, those that
/// issued themselves are roots, and the others may stand in between.
///
/// # Errors
/// [`AttestationError`]
pub(crate) fn verify(
    attestation: &Certificate,
    card: &Certificate,
    trusted: &[Certificate],
) -> Result<String, AttestationError> {
    let mut current = attestation;
    let mut issuer = Some(card).filter(|card| issued(card, attestation));
    for _ in 0..LONGEST {
        let found = issuer.ok_or_else(|| AttestationError::NoIssuer {
            subject: subject(current),
            issuer: current.tbs_certificate().issuer().to_string(),
        })?;
        if !is_ca(found) {
            return Err(AttestationError::NoCa { subject: subject(found) });
        }
        let is_root = !std::ptr::eq(found, card) && issued(found, found);
        if is_root {
            return Ok(subject(found));
        }
        current = found;
        issuer = trusted.iter().find(|candidate| issued(candidate, current));
    }
    Err(AttestationError::TooLong)
}

fn subject(certificate: &Certificate) -> String {
    certificate.tbs_certificate().subject().to_string()
}

fn extension<'a>(certificate: &'a Certificate, oid: &str) -> Option<&'a [u8]> {
    let extensions = certificate.tbs_certificate().extensions()?;
    let found = extensions.iter().find(|extension| extension.extn_id.to_string() == oid)?;
    Some(found.extn_value.as_bytes())
}

fn is_ca(certificate: &Certificate) -> bool {
    const BASIC_CONSTRAINTS: &str = "2.5.29.19";
    let constraints = extension(certificate, BASIC_CONSTRAINTS).map(BasicConstraints::from_der);
    matches!(constraints, Some(Ok(BasicConstraints { ca: true, .. })))
}

/// Whether the name and the signature say so.
fn issued(issuer: &Certificate, subject: &Certificate) -> bool {
    let signature = || {
        let algorithm = algorithm(issuer, subject)?;
        let spki = issuer.tbs_certificate().subject_public_key_info();
        let key = UnparsedPublicKey::new(algorithm, spki.subject_public_key.as_bytes()?);
        let message = subject.tbs_certificate().to_der().ok()?;
        key.verify(&message, subject.signature().as_bytes()?).ok()
    };
    issuer.tbs_certificate().subject() == subject.tbs_certificate().issuer() && signature().is_some()
}

/// How the issuer's key signs by the subject's signature algorithm.
fn algorithm(issuer: &Certificate, subject: &Certificate) -> Option<&'static dyn VerificationAlgorithm> {
    const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
    const ECDSA_SHA384: &str = "1.2.840.10045.4.3.3";
    const RSA_SHA256: &str = "1.2.840.113549.1.1.11";
    const RSA_SHA384: &str = "1.2.840.113549.1.1.12";
    const RSA_SHA512: &str = "1.2.840.113549.1.1.13";
    let spki = issuer.tbs_certificate().subject_public_key_info().to_der().ok()?;
    let oid = subject.signature_algorithm().oid.to_string();
    match (PublicKey::from_spki_der(&spki).ok()?, oid.as_str()) {
        (PublicKey::Ecdsa(point), ECDSA_SHA256) if point.curve() == Curve::P256 => {
            Some(&ECDSA_P256_SHA256_ASN1)
        }
        (PublicKey::Ecdsa(point), ECDSA_SHA384) if point.curve() == Curve::P256 => {
            Some(&ECDSA_P256_SHA384_ASN1)
        }
        (PublicKey::Ecdsa(point), ECDSA_SHA256) if point.curve() == Curve::P384 => {
            Some(&ECDSA_P384_SHA256_ASN1)
        }
        (PublicKey::Ecdsa(point), ECDSA_SHA384) if point.curve() == Curve::P384 => {
            Some(&ECDSA_P384_SHA384_ASN1)
        }
        (PublicKey::Rsa(_), RSA_SHA256) => Some(&RSA_PKCS1_2048_8192_SHA256),
        (PublicKey::Rsa(_), RSA_SHA384) => Some(&RSA_PKCS1_2048_8192_SHA384),
        (PublicKey::Rsa(_), RSA_SHA512) => Some(&RSA_PKCS1_2048_8192_SHA512),
        _ => None,
    }
}
