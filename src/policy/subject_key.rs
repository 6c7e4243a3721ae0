//! The subject key of a certificate of any format: that it is sound, no CA key of this signer, and in no list of keys
//! that others have.
//!
//! In: a public key, the CA keys and the lists. Out: an objection, or none. The work is bounded and below a millisecond.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey,
    VerificationAlgorithm,
};
use countersign_tbs::key::{Curve, EcPoint, PublicKey, RsaPublicKey};

use crate::policy::quote::listed;
use crate::policy::weak_key::{self, Weakness};
use crate::policy::{Case, Objection, Reason, Verdict, object};

/// The sizes of RSA keys, in bits, that a certificate may be for.
pub(crate) const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Whether a certificate may be for this key at all; `ssh` is the form in which SSH names it, if it does, with what a
/// security key adds.
pub(super) fn check<T>(
    Case { ca_keys, blocklist, .. }: &Case<'_, T>,
    subject: &PublicKey,
    ssh: Option<&[u8]>,
) -> Verdict {
    if ca_keys.contain(subject) {
        // Which one is not said: the caller may not know that key.
        let fingerprint = subject.fingerprint();
        let message = format!("the certificate is for {fingerprint}, which is a CA key of this signer");
        return object(Reason::SubjectKeyIsCaKey, message);
    }
    if let Some(format) = blocklist.find(subject, ssh) {
        let (key, format) = (subject.fingerprint(), format.name());
        let message = format!(
            "others know the private half of subject key {key}: it is in the blocklist `{format}`; make a new key"
        );
        return object(Reason::SubjectKeyBlocked, message);
    }
    sound(subject)?;
    match ca_keys.unknown() {
        unknown if unknown.is_empty() => Ok(()),
        unknown => Err(Objection::Unknown(format!(
            "only the token knows whether it is the CA key {}; set its `fingerprint`",
            listed(unknown.into_iter())
        ))),
    }
}

fn sound(subject: &PublicKey) -> Verdict {
    match subject {
        // Whether there is a point at all, aws-lc finds out when it verifies, and so does sshd.
        PublicKey::Ed25519(key) if weak_key::is_sound_ed25519(key) => Ok(()),
        PublicKey::Ed25519(_) => object(
            Reason::SubjectKeyInvalid,
            "the Ed25519 subject key is a point of small order, or not the one encoding of its point",
        ),
        PublicKey::Ecdsa(point) => on_curve(point),
        PublicKey::Rsa(rsa) => safe_rsa(rsa),
        // Every byte string of the right length is a key, and the parser has seen to the length.
        PublicKey::MlDsa(_) => Ok(()),
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
