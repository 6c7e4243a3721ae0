//! Signs and verifies files in SSH's form (PROTOCOL.sshsig), as `ssh-keygen -Y` does.
//!
//! In: a message in a namespace; a token's signature of [`to_sign`], or an armoured one. Out: the armour, or the key that signed.
//! Promised: a signature counts in its namespace only; a security key's only if somebody touched it. Not done here: who may sign.
//! No certificate, CRL or OCSP response begins with the six bytes that all such messages begin with, so that none can be passed
//! off as one of the other, whichever key signs.

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use countersign_tbs::ssh::SubjectKey;
pub use countersign_tbs::sshsig::SshSigError;
use countersign_tbs::sshsig::{MessageHash, Raw, SshSignature, signed_bytes};

use crate::key::{PublicKey, Scheme};
use crate::verify::{UnfitKey, Verifier};

/// Somebody touched the authenticator, or pressed its button (WebAuthn §6.1).
const TOUCHED: u8 = 0x01;

/// Why an armoured signature is not one of the message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadSignature {
    /// It is not even the form of one.
    #[error(transparent)]
    Form(#[from] SshSigError),
    /// It may be a good one, of another kind of message.
    #[error("the signature is in the namespace \"{found}\"; it must be made with `-n {wanted}`")]
    Namespace {
        /// What it says.
        found: String,
        /// What it must say.
        wanted: String,
    },
    /// A program could have had it made.
    #[error("the security key {fingerprint} signed without a touch; sign again with a key that asks for one")]
    NotTouched {
        /// The key.
        fingerprint: String,
    },
    /// The key that it names is none.
    #[error("the key {fingerprint} cannot have signed: {source}")]
    Key {
        /// The key.
        fingerprint: String,
        /// What is wrong with it.
        source: UnfitKey,
    },
    /// Another message, another key, or damage.
    #[error(
        "the signature is not one of this very text by {fingerprint}; was the text changed after it was signed?"
    )]
    Wrong {
        /// The key that the signature names.
        fingerprint: String,
    },
}

/// What a token signs for `message`, by a scheme that SSH has: the scheme's own hash comes on top.
#[must_use]
pub fn to_sign(namespace: &str, message: &[u8]) -> Vec<u8> {
    signed_bytes(namespace, MessageHash::Sha512, digest(&SHA512, message).as_ref())
}

/// The armour of a token's signature of [`to_sign`]. Does not verify it.
///
/// # Errors
/// [`SshSigError`] if SSH has no such key or scheme, or `raw` is no such signature.
pub fn armored(key: &PublicKey, scheme: Scheme, namespace: &str, raw: &[u8]) -> Result<String, SshSigError> {
    SshSignature::new(key, namespace, scheme, raw)?.to_armored()
}

/// The key that signed `message` in `namespace`; whoever asks decides what it may.
///
/// # Errors
/// [`BadSignature`]
pub fn verify(armored: &str, namespace: &str, message: &[u8]) -> Result<SubjectKey, BadSignature> {
    let signature = SshSignature::parse_armored(armored)?;
    if signature.namespace != namespace {
        let wanted = namespace.to_owned();
        return Err(BadSignature::Namespace { found: signature.namespace, wanted });
    }
    let hash = match signature.hash {
        MessageHash::Sha256 => &SHA256,
        MessageHash::Sha512 => &SHA512,
    };
    let signed = signed_bytes(namespace, signature.hash, digest(hash, message).as_ref());
    let fingerprint = || signature.public_key.fingerprint();
    let (key, scheme, signed, raw) = match (&signature.public_key, &signature.raw) {
        (SubjectKey::Plain(key), Raw::Plain { scheme, bytes }) => (key.clone(), *scheme, signed, bytes),
        (_, Raw::SecurityKey { flags, .. }) if flags & TOUCHED == 0 => {
            return Err(BadSignature::NotTouched { fingerprint: fingerprint() });
        }
        (SubjectKey::SkEd25519 { key, application }, Raw::SecurityKey { bytes, flags, counter }) => {
            let signed = by_authenticator(application, *flags, *counter, &signed);
            (PublicKey::Ed25519(*key), Scheme::Ed25519, signed, bytes)
        }
        (SubjectKey::SkEcdsaP256 { point, application }, Raw::SecurityKey { bytes, flags, counter }) => {
            let signed = by_authenticator(application, *flags, *counter, &signed);
            (PublicKey::Ecdsa(point.clone()), Scheme::EcdsaP256Sha256, signed, bytes)
        }
        // The parser lets no such pair through.
        (SubjectKey::Plain(_), Raw::SecurityKey { .. })
        | (SubjectKey::SkEd25519 { .. } | SubjectKey::SkEcdsaP256 { .. }, Raw::Plain { .. }) => {
            return Err(BadSignature::Wrong { fingerprint: fingerprint() });
        }
    };
    let verifier = Verifier::new(scheme, &key)
        .map_err(|source| BadSignature::Key { fingerprint: fingerprint(), source })?;
    match verifier.verify(&signed, raw) {
        Ok(()) => Ok(signature.public_key),
        Err(_) => Err(BadSignature::Wrong { fingerprint: fingerprint() }),
    }
}

/// What a security key really signs: its application's hash, its flags, its counter, the message's hash.
fn by_authenticator(application: &str, flags: u8, counter: u32, message: &[u8]) -> Vec<u8> {
    let application = digest(&SHA256, application.as_bytes());
    [application.as_ref(), &[flags], &counter.to_be_bytes(), digest(&SHA256, message).as_ref()].concat()
}

#[cfg(test)]
mod tests;
