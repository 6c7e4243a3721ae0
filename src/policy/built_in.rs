//! The rules that no configuration can loosen, for SSH certificates.
//!
//! In: a [`Case`]. Out: the first rule that objects. The parser has seen to what makes a certificate well formed: that
//! there are 1 to 256 principals, that the validity ends after it begins, that nothing has control characters. To add a rule, write one function and one line in [`RULES`]; its
//! name there is the rule's name in refusals, after `built-in.`.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey,
    VerificationAlgorithm,
};
use countersign_tbs::key::{Curve, EcPoint, PublicKey, RsaPublicKey};
use countersign_tbs::ssh::{CertificateType, SubjectKey};

use crate::key::KeyPurpose;
use crate::policy::ask::{Comparison, Place, Witness, answer};
use crate::policy::quote::{listed, quoted};
use crate::policy::weak_key::{self, Weakness};
use crate::policy::{Case, Objection, Reason, Refusal, Verdict, object, saw};

/// A rule's name, what it looks at in words, and the rule: it objects, or it does not.
type Rule = (&'static str, fn(&Case<'_>) -> String, fn(&Case<'_>) -> Verdict);

/// The rules, in the order in which they are asked.
const RULES: &[Rule] = &[
    ("ca_key", saw::ca_key, ca_key),
    ("certificate_type", saw::certificate_type, certificate_type),
    ("serial", saw::serial, serial),
    ("key_id", saw::key_id, key_id),
    ("principals", saw::principals, principals),
    ("validity", saw::validity, validity),
    ("subject_key", saw::subject_key, subject_key),
];

/// The most principals in a certificate: the parser refuses more, as OpenSSH does (`SSHKEY_CERT_MAX_PRINCIPALS`).
pub(crate) const MAX_PRINCIPALS: usize = 256;

/// The sizes of RSA keys, in bits, that a certificate may be for.
pub(crate) const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The rules' names, in order.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, ..)| *name)
}

/// Asks every rule.
pub(super) fn check(case: &Case<'_>, witness: &mut impl Witness) -> Result<(), Refusal> {
    let mut rules = RULES.iter();
    rules.try_for_each(|(name, saw, rule)| answer(witness, Place::BuiltIn(name), || saw(case), rule(case)))
}

/// Whether a principal is made of characters that every implementation reads alike: no list separator, no wildcard, no
/// white space, nothing that a shell or a log reads differently (CVE-2026-35414, field-notes B2).
pub(crate) fn is_principal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@-+:/".contains(&byte))
}

fn ca_key(Case { ca_keys, key, tbs, .. }: &Case<'_>) -> Verdict {
    match ca_keys.compare(key, tbs.ca_key()) {
        Comparison::Same => Ok(()),
        Comparison::Other(wanted) => {
            let found = tbs.ca_key().ssh_fingerprint();
            object(Reason::CaKeyMismatch, format!("the TBS names CA key {found}; key {key} is {wanted}"))
        }
        Comparison::Unknown(why) => Err(Objection::Unknown(why.to_owned())),
    }
}

fn certificate_type(Case { key, purpose, tbs, .. }: &Case<'_>) -> Verdict {
    let found = tbs.certificate_type();
    match (purpose, found) {
        (KeyPurpose::SshUserCa, CertificateType::User) | (KeyPurpose::SshHostCa, CertificateType::Host) => {
            Ok(())
        }
        (KeyPurpose::SshUserCa, CertificateType::Host) | (KeyPurpose::SshHostCa, CertificateType::User) => {
            object(
                Reason::CertificateTypeNotAllowed,
                format!("this is a {found} certificate; key {key} is for purpose {purpose}"),
            )
        }
    }
}

fn serial(Case { tbs, .. }: &Case<'_>) -> Verdict {
    if tbs.serial() != 0 {
        return Ok(());
    }
    object(
        Reason::SerialZero,
        "the serial is 0; use a random one, so that this certificate can be revoked by itself",
    )
}

fn key_id(Case { tbs, .. }: &Case<'_>) -> Verdict {
    if !tbs.key_id().is_empty() {
        return Ok(());
    }
    object(
        Reason::KeyIdEmpty,
        "the key id is empty; sshd logs it at each login: name who or what this is for",
    )
}

fn principals(Case { tbs, .. }: &Case<'_>) -> Verdict {
    let Some(bad) = tbs.principals().iter().find(|principal| !is_principal(principal)) else { return Ok(()) };
    let message = format!("principal {} is not made of A-Z a-z 0-9 . _ @ - + : /", quoted(bad));
    object(Reason::PrincipalInvalid, message)
}

fn validity(Case { tbs, now, .. }: &Case<'_>) -> Verdict {
    let before = tbs.valid_before();
    if before == u64::MAX {
        return object(Reason::ValidForever, "valid_before is 2^64-1, which means forever; give it an end");
    }
    if before <= now.0 {
        let message = format!("valid_before {before} is over; it is {} now", now.0);
        return object(Reason::CertificateExpired, message);
    }
    Ok(())
}

fn subject_key(Case { ca_keys, tbs, .. }: &Case<'_>) -> Verdict {
    let subject = tbs.subject_key();
    let bare = bare_key(subject);
    if ca_keys.contain(&bare) {
        // Which one is not said: the caller may not know that key.
        let message =
            format!("the certificate is for {}, which is a CA key of this signer", subject.fingerprint());
        return object(Reason::SubjectKeyIsCaKey, message);
    }
    match &bare {
        // Whether there is a point at all, aws-lc finds out when it verifies, and so does sshd.
        PublicKey::Ed25519(key) if weak_key::is_sound_ed25519(key) => Ok(()),
        PublicKey::Ed25519(_) => object(
            Reason::SubjectKeyInvalid,
            "the Ed25519 subject key is a point of small order, or not the one encoding of its point",
        ),
        PublicKey::Ecdsa(point) => on_curve(point),
        PublicKey::Rsa(rsa) => safe_rsa(rsa),
    }?;
    match ca_keys.unknown() {
        unknown if unknown.is_empty() => Ok(()),
        unknown => Err(Objection::Unknown(format!(
            "only the token knows whether it is the CA key {}; set its `fingerprint`",
            listed(unknown.into_iter())
        ))),
    }
}

/// The key itself, without what a security key adds to it.
fn bare_key(subject: &SubjectKey) -> PublicKey {
    match subject {
        SubjectKey::Plain(key) => key.clone(),
        SubjectKey::SkEd25519 { key, .. } => PublicKey::Ed25519(*key),
        SubjectKey::SkEcdsaP256 { point, .. } => PublicKey::Ecdsa(point.clone()),
    }
}

fn on_curve(point: &EcPoint) -> Verdict {
    let algorithm: &'static dyn VerificationAlgorithm = match point.curve() {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED,
    };
    if ParsedPublicKey::new(algorithm, point.as_bytes()).is_ok() {
        return Ok(());
    }
    object(
        Reason::SubjectKeyInvalid,
        format!("the subject key is not a point on {}", point.curve().ssh_name()),
    )
}

fn safe_rsa(rsa: &RsaPublicKey) -> Verdict {
    let bits = rsa.bits();
    if !RSA_BITS.contains(&bits) {
        let message = format!(
            "the subject key is RSA of {bits} bits; {} to {} are allowed",
            RSA_BITS.start(),
            RSA_BITS.end()
        );
        return object(Reason::SubjectKeyInvalid, message);
    }
    // At least 65537, and odd: 3 bytes without a leading zero, and not 0x010000 itself.
    let exponent = rsa.exponent();
    if exponent.len() < 3 || exponent.last().is_none_or(|last| last % 2 == 0) {
        return object(Reason::SubjectKeyInvalid, "the RSA subject key's exponent is even, or below 65537");
    }
    weak_key::of_rsa(rsa.modulus()).map_or(Ok(()), weak)
}

fn weak(weakness: Weakness) -> Verdict {
    match weakness {
        Weakness::SmallFactor => object(
            Reason::SubjectKeySmallFactor,
            "a prime below 752 divides the RSA subject key's modulus; make a new key",
        ),
        Weakness::ClosePrimes => object(
            Reason::SubjectKeyClosePrimes,
            "the primes of the RSA subject key are so close that anybody can find them; make a new key",
        ),
        Weakness::Roca => object(
            Reason::SubjectKeyRoca,
            "the RSA subject key was made by a flawed library (ROCA, CVE-2017-15361); make a new key in software, or \
             of another type",
        ),
    }
}
