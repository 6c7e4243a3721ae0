//! Verifies what a token answered against the public key that was pinned at start-up.
//!
//! In: a [`RawSignature`] and the [`Intent`] that it answers, or one that the ledger remembers. Out: a [`Signature`], the only thing that the ledger
//! settles and the server releases. A faulty signature never leaves (field-notes R36).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ML_DSA_44, ML_DSA_65,
    ML_DSA_87, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents,
};
use countersign_tbs::key::RsaPublicKey;

use crate::key::{PublicKey, Scheme};
use crate::ledger::{Intent, Order};
use crate::token::RawSignature;

/// A signature that verifies under the pinned public key.
#[derive(Debug)]
pub struct Signature(RawSignature);

/// The token's answer is not a signature of the intent's message under the pinned key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the token's {scheme} signature does not verify under the key pinned at start-up; check the token")]
pub struct VerifyError {
    /// What it was to be.
    pub scheme: Scheme,
}

/// A public key that no `scheme` signature can be verified with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the public key is no {scheme} key: another algorithm, a point off the curve, or RSA outside 2048 to 8192 bits"
)]
pub struct UnfitKey {
    /// How it was to sign.
    pub scheme: Scheme,
}

/// A public key with its scheme, parsed once and not per signature.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    scheme: Scheme,
    public_key: ParsedPublicKey,
}

impl RawSignature {
    /// Verifies this answer to `intent`.
    ///
    /// # Errors
    /// [`VerifyError`] unless it is a signature of exactly the intent's message under exactly its key.
    pub fn verify(self, intent: &Intent) -> Result<Signature, VerifyError> {
        self.verify_order(intent.order())
    }

    /// Verifies this answer to what was ordered, now or before.
    pub(crate) fn verify_order(self, order: &Order) -> Result<Signature, VerifyError> {
        order.key().verifier().verify(order.message(), self.as_bytes())?;
        Ok(Signature(self))
    }
}

impl Signature {
    /// As the token gave it: `r || s`, the RSA block, or what Ed25519 and ML-DSA make.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl VerifyError {
    /// A stable word to branch on, as in a status's `reason`.
    #[must_use]
    pub fn word(self) -> &'static str {
        "SIGNATURE_WITHHELD"
    }
}

impl Verifier {
    /// Parses `public_key` for `scheme`.
    pub(crate) fn new(scheme: Scheme, public_key: &PublicKey) -> Result<Self, UnfitKey> {
        let parsed = match (public_key, scheme) {
            (PublicKey::Ed25519(key), Scheme::Ed25519) => ParsedPublicKey::new(&ED25519, key).ok(),
            (PublicKey::Ecdsa(point), Scheme::EcdsaP256Sha256) => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.as_bytes()).ok()
            }
            (PublicKey::Ecdsa(point), Scheme::EcdsaP384Sha384) => {
                ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point.as_bytes()).ok()
            }
            (PublicKey::Ecdsa(point), Scheme::EcdsaP521Sha512) => {
                ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point.as_bytes()).ok()
            }
            (PublicKey::Rsa(key), scheme) => {
                rsa_parameters(scheme).and_then(|parameters| parse_rsa(key, parameters))
            }
            (PublicKey::MlDsa(key), Scheme::MlDsa44) => ParsedPublicKey::new(&ML_DSA_44, key.as_bytes()).ok(),
            (PublicKey::MlDsa(key), Scheme::MlDsa65) => ParsedPublicKey::new(&ML_DSA_65, key.as_bytes()).ok(),
            (PublicKey::MlDsa(key), Scheme::MlDsa87) => ParsedPublicKey::new(&ML_DSA_87, key.as_bytes()).ok(),
            (PublicKey::Ed25519(_) | PublicKey::Ecdsa(_) | PublicKey::MlDsa(_), _) => None,
        };
        parsed.map(|public_key| Self { scheme, public_key }).ok_or(UnfitKey { scheme })
    }

    /// Whether `raw` is a signature of `message`.
    pub(crate) fn verify(&self, message: &[u8], raw: &[u8]) -> Result<(), VerifyError> {
        self.public_key.verify_sig(message, raw).map_err(|_| VerifyError { scheme: self.scheme })
    }
}

/// How a signature by an RSA scheme is verified; PSS with a salt as long as the hash, which aws-lc-rs insists on.
fn rsa_parameters(scheme: Scheme) -> Option<&'static RsaParameters> {
    match scheme {
        Scheme::EcdsaP256Sha256
        | Scheme::EcdsaP384Sha384
        | Scheme::EcdsaP521Sha512
        | Scheme::Ed25519
        | Scheme::MlDsa44
        | Scheme::MlDsa65
        | Scheme::MlDsa87 => None,
        Scheme::RsaPkcs1Sha256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Scheme::RsaPkcs1Sha512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Scheme::RsaPkcs1Sha384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Scheme::RsaPssSha256 => Some(&RSA_PSS_2048_8192_SHA256),
        Scheme::RsaPssSha384 => Some(&RSA_PSS_2048_8192_SHA384),
        Scheme::RsaPssSha512 => Some(&RSA_PSS_2048_8192_SHA512),
    }
}

/// aws-lc-rs would accept the size here and refuse every signature later.
fn parse_rsa(key: &RsaPublicKey, parameters: &'static RsaParameters) -> Option<ParsedPublicKey> {
    if !(2048..=8192).contains(&key.bits()) {
        return None;
    }
    RsaPublicKeyComponents { n: key.modulus(), e: key.exponent() }.to_parsed_public_key(parameters).ok()
}

#[cfg(test)]
mod tests;
