//! What a token is given to sign.
//!
//! In: a message in the parent, bytes off the wire in the child. Out: an [`Input`] of exactly the length that its scheme
//! fixes, and the block that the raw mechanism wants. `CKM_ECDSA` and `CKM_RSA_PKCS` sign whatever they are given, so
//! that lengths and DigestInfo are enforced here, on both sides of the socket.

use std::borrow::Cow;

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};

use crate::key::Scheme;

/// A digest of the length that its scheme fixes, or for Ed25519 and ML-DSA the whole message.
pub(super) struct Input {
    scheme: Scheme,
    bytes: Vec<u8>,
}

/// Bytes that are no digest of the scheme's hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{scheme} signs a digest of {expected} bytes, not {len}")]
pub(super) struct WrongLength {
    scheme: Scheme,
    expected: usize,
    len: usize,
}

impl Input {
    /// What `scheme` signs of `message`.
    pub(super) fn of(scheme: Scheme, message: &[u8]) -> Self {
        let bytes = match hash(scheme) {
            Some(algorithm) => digest::digest(algorithm, message).as_ref().to_vec(),
            None => message.to_vec(),
        };
        Self { scheme, bytes }
    }

    /// What came over the socket, checked again.
    ///
    /// # Errors
    /// [`WrongLength`] unless it has the length of the scheme's digest.
    pub(super) fn from_wire(scheme: Scheme, bytes: Vec<u8>) -> Result<Self, WrongLength> {
        match hash(scheme) {
            Some(algorithm) if algorithm.output_len() != bytes.len() => {
                Err(WrongLength { scheme, expected: algorithm.output_len(), len: bytes.len() })
            }
            _ => Ok(Self { scheme, bytes }),
        }
    }

    /// How it is to be signed.
    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The digest, or the message.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What the raw mechanisms take: for `CKM_RSA_PKCS` the DER of a DigestInfo (RFC 8017 §9.2), else the input itself.
    pub(super) fn block(&self) -> Cow<'_, [u8]> {
        let prefix: &[u8] = match self.scheme {
            Scheme::EcdsaP256Sha256
            | Scheme::EcdsaP384Sha384
            | Scheme::EcdsaP521Sha512
            | Scheme::Ed25519
            | Scheme::RsaPssSha256
            | Scheme::RsaPssSha384
            | Scheme::RsaPssSha512
            | Scheme::MlDsa44
            | Scheme::MlDsa65
            | Scheme::MlDsa87 => return Cow::Borrowed(&self.bytes),
            Scheme::RsaPkcs1Sha256 => &DIGEST_INFO_SHA256,
            Scheme::RsaPkcs1Sha384 => &DIGEST_INFO_SHA384,
            Scheme::RsaPkcs1Sha512 => &DIGEST_INFO_SHA512,
        };
        Cow::Owned([prefix, &self.bytes].concat())
    }
}

/// RFC 8017 §9.2, note 1: everything of a DigestInfo before the digest.
const DIGEST_INFO_SHA256: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];
const DIGEST_INFO_SHA384: [u8; 19] = [
    0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00,
    0x04, 0x30,
];
const DIGEST_INFO_SHA512: [u8; 19] = [
    0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00,
    0x04, 0x40,
];

/// The hash that is computed outside the token; Ed25519 and ML-DSA hash by themselves, the latter the key along with the
/// message.
fn hash(scheme: Scheme) -> Option<&'static Algorithm> {
    match scheme {
        Scheme::EcdsaP256Sha256 | Scheme::RsaPkcs1Sha256 | Scheme::RsaPssSha256 => Some(&SHA256),
        Scheme::EcdsaP384Sha384 | Scheme::RsaPkcs1Sha384 | Scheme::RsaPssSha384 => Some(&SHA384),
        Scheme::EcdsaP521Sha512 | Scheme::RsaPkcs1Sha512 | Scheme::RsaPssSha512 => Some(&SHA512),
        Scheme::Ed25519 | Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87 => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn refuses_a_digest_of_another_hash() {
        for scheme in Scheme::ALL.into_iter().filter(|scheme| hash(*scheme).is_some()) {
            for len in [0, 20, 28, 31, 33, 63, 65] {
                assert!(Input::from_wire(scheme, vec![0; len]).is_err(), "{scheme} took {len} bytes");
            }
        }
    }

    #[test]
    fn what_the_parent_hashes_the_child_accepts() {
        for scheme in Scheme::ALL {
            let sent = Input::of(scheme, b"message").into_bytes();
            assert_eq!(Input::from_wire(scheme, sent.clone()).unwrap().into_bytes(), sent);
        }
    }

    #[test]
    fn digest_info_states_the_digest_length() {
        let schemes =
            [(Scheme::RsaPkcs1Sha256, 32_u8), (Scheme::RsaPkcs1Sha384, 48), (Scheme::RsaPkcs1Sha512, 64)];
        for (scheme, len) in schemes {
            let block = Input::of(scheme, b"message").block().into_owned();
            // SEQUENCE { SEQUENCE { OID, NULL }, OCTET STRING }, each length short form.
            assert_eq!(block.get(..2), Some([0x30, 17 + len].as_slice()));
            assert_eq!(block.get(17..19), Some([0x04, len].as_slice()));
            assert_eq!(block.len(), 19 + usize::from(len));
        }
    }
}
