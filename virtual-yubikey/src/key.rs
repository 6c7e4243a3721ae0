//! Private keys of slots: made, imported, and used as PIV uses them.
//!
//! In: an [`Algorithm`], or the parts of a key. Out: public keys as GENERATE gives them, and raw signatures. Nothing is
//! padded or hashed here: RSA signs a whole block, ECDSA a digest, Ed25519 a message.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384};
use aws_lc_rs::digest::{self, Digest, SHA256, SHA384};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use num_bigint::BigUint;
use serde::{Deserialize, Serialize};

use crate::tlv;

/// What a key is for, by PIV's algorithm identifier.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Algorithm {
    /// 07
    Rsa2048,
    /// 05
    Rsa3072,
    /// 16
    Rsa4096,
    /// 11
    P256,
    /// 14
    P384,
    /// E0
    Ed25519,
}

impl Algorithm {
    pub(crate) fn of_id(id: u8) -> Option<Self> {
        [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::P256, Self::P384, Self::Ed25519]
            .into_iter()
            .find(|algorithm| algorithm.id() == id)
    }

    pub(crate) fn id(self) -> u8 {
        match self {
            Self::Rsa2048 => 0x07,
            Self::Rsa3072 => 0x05,
            Self::Rsa4096 => 0x16,
            Self::P256 => 0x11,
            Self::P384 => 0x14,
            Self::Ed25519 => 0xE0,
        }
    }

    pub(crate) fn wants_5_7(self) -> bool {
        matches!(self, Self::Rsa3072 | Self::Rsa4096 | Self::Ed25519)
    }

    /// Bytes of an RSA modulus.
    fn modulus_len(self) -> Option<usize> {
        match self {
            Self::Rsa2048 => Some(256),
            Self::Rsa3072 => Some(384),
            Self::Rsa4096 => Some(512),
            Self::P256 | Self::P384 | Self::Ed25519 => None,
        }
    }
}

/// A private key, as the state keeps it: an RSA key's primes one after the other, a scalar, or a seed.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct PrivateKey {
    pub(crate) algorithm: Algorithm,
    #[serde(with = "crate::hex")]
    secret: Vec<u8>,
}

/// A public key by its parts.
pub(crate) enum Public {
    Rsa {
        modulus: Vec<u8>,
    },
    /// An uncompressed point, or 32 bytes of Ed25519.
    Point(Vec<u8>),
}

const EXPONENT: [u8; 3] = [1, 0, 1];

impl Public {
    /// As GENERATE's 7F49 and METADATA's 04 hold it.
    pub(crate) fn tlvs(&self) -> Vec<u8> {
        match self {
            Self::Rsa { modulus } => [tlv::of(0x81, modulus), tlv::of(0x82, &EXPONENT)].concat(),
            Self::Point(point) => tlv::of(0x86, point),
        }
    }

    /// As a certificate's bit string holds it.
    pub(crate) fn bit_string(&self) -> Vec<u8> {
        match self {
            Self::Rsa { modulus } => {
                // The top bit of a modulus is set, so a zero keeps the INTEGER positive.
                let integers =
                    [tlv::of(0x02, &[&[0], modulus.as_slice()].concat()), tlv::of(0x02, &EXPONENT)];
                tlv::of(0x30, &integers.concat())
            }
            Self::Point(point) => point.clone(),
        }
    }
}

impl PrivateKey {
    /// Makes a new one.
    pub(crate) fn generate(algorithm: Algorithm) -> Option<Self> {
        let secret = match algorithm {
            Algorithm::Rsa2048 => rsa_primes(KeySize::Rsa2048)?,
            Algorithm::Rsa3072 => rsa_primes(KeySize::Rsa3072)?,
            Algorithm::Rsa4096 => rsa_primes(KeySize::Rsa4096)?,
            Algorithm::P256 => scalar(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
            Algorithm::P384 => scalar(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
            Algorithm::Ed25519 => {
                Ed25519KeyPair::generate().ok()?.seed().ok()?.as_be_bytes().ok()?.as_ref().to_vec()
            }
        };
        Some(Self { algorithm, secret })
    }

    /// Takes one from its parts, as IMPORT gives them.
    pub(crate) fn import(algorithm: Algorithm, parts: &[tlv::Tlv<'_>]) -> Option<Self> {
        let part = |tag| tlv::find(parts, tag);
        let secret = match algorithm.modulus_len() {
            Some(len) => {
                let (p, q) = (part(0x01)?, part(0x02)?);
                (p.len() == len / 2 && q.len() == len / 2).then(|| [p, q].concat())?
            }
            None if algorithm == Algorithm::Ed25519 => part(0x07)?.to_vec(),
            None => part(0x06)?.to_vec(),
        };
        let key = Self { algorithm, secret };
        key.public().is_some_and(|public| key.fits(&public)).then_some(key)
    }

    fn fits(&self, public: &Public) -> bool {
        match public {
            Public::Rsa { modulus } => Some(modulus.len()) == self.algorithm.modulus_len(),
            Public::Point(_) => true,
        }
    }

    /// The other half; none if the secret is no key.
    pub(crate) fn public(&self) -> Option<Public> {
        let point = match self.algorithm {
            Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => {
                let (p, q) = self.primes()?;
                return Some(Public::Rsa { modulus: (p * q).to_bytes_be() });
            }
            Algorithm::P256 => self.point(&ECDH_P256)?,
            Algorithm::P384 => self.point(&ECDH_P384)?,
            Algorithm::Ed25519 => self.ed25519()?.public_key().as_ref().to_vec(),
        };
        Some(Public::Point(point))
    }

    /// The raw operation. None if the input has not the length that the algorithm wants.
    pub(crate) fn sign(&self, input: &[u8]) -> Option<Vec<u8>> {
        match self.algorithm {
            Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => self.rsa(input),
            Algorithm::P256 => self.ecdsa(input, &SHA256),
            Algorithm::P384 => self.ecdsa(input, &SHA384),
            Algorithm::Ed25519 => Some(self.ed25519()?.sign(input).as_ref().to_vec()),
        }
    }

    /// As PKCS#8, for those who issue certificates with it.
    pub(crate) fn to_pkcs8(&self) -> Option<Vec<u8>> {
        match self.algorithm {
            Algorithm::P256 | Algorithm::P384 => Some(self.ec()?.to_pkcs8v1().ok()?.as_ref().to_vec()),
            Algorithm::Ed25519 => Some(self.ed25519()?.to_pkcs8v1().ok()?.as_ref().to_vec()),
            Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => None,
        }
    }

    fn point(&self, curve: &'static agreement::Algorithm) -> Option<Vec<u8>> {
        let key = agreement::PrivateKey::from_private_key(curve, &self.secret).ok()?;
        Some(key.compute_public_key().ok()?.as_ref().to_vec())
    }

    fn ec(&self) -> Option<EcdsaKeyPair> {
        let (signing, curve) = match self.algorithm {
            Algorithm::P384 => (&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDH_P384),
            _ => (&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDH_P256),
        };
        EcdsaKeyPair::from_private_key_and_public_key(signing, &self.secret, &self.point(curve)?).ok()
    }

    /// A shorter digest is the same number with zeros before it (FIPS 186-5 §6.4).
    fn ecdsa(&self, digest: &[u8], of: &'static digest::Algorithm) -> Option<Vec<u8>> {
        let mut padded = vec![0; of.output_len().checked_sub(digest.len())?];
        padded.extend(digest);
        let digest = Digest::import_less_safe(&padded, of).ok()?;
        Some(self.ec()?.sign_digest(&digest).ok()?.as_ref().to_vec())
    }

    fn ed25519(&self) -> Option<Ed25519KeyPair> {
        Ed25519KeyPair::from_seed_unchecked(&self.secret).ok()
    }

    fn primes(&self) -> Option<(BigUint, BigUint)> {
        let (p, q) = self.secret.split_at_checked(self.secret.len() / 2)?;
        Some((BigUint::from_bytes_be(p), BigUint::from_bytes_be(q)))
    }

    /// By the Chinese remainder theorem (RFC 8017 §5.1.2). In no constant time: no key here is worth that.
    fn rsa(&self, block: &[u8]) -> Option<Vec<u8>> {
        let len = self.algorithm.modulus_len()?;
        let (p, q) = self.primes()?;
        let input = BigUint::from_bytes_be(block);
        if block.len() != len || input >= &p * &q {
            return None;
        }
        let power = |prime: &BigUint| {
            let exponent = BigUint::from_bytes_be(&EXPONENT).modinv(&(prime - 1_u8))?;
            Some(input.modpow(&exponent, prime))
        };
        let (by_p, by_q) = (power(&p)?, power(&q)?);
        let factor = (&p + by_p - &by_q % &p) * q.modinv(&p)? % &p;
        let signed = (by_q + factor * q).to_bytes_be();
        let mut padded = vec![0; len.checked_sub(signed.len())?];
        padded.extend(signed);
        Some(padded)
    }
}

fn scalar(algorithm: &'static EcdsaSigningAlgorithm) -> Option<Vec<u8>> {
    let pair = EcdsaKeyPair::generate(algorithm).ok()?;
    Some(pair.private_key().as_be_bytes().ok()?.as_ref().to_vec())
}

fn rsa_primes(size: KeySize) -> Option<Vec<u8>> {
    let pair = rsa::KeyPair::generate(size).ok()?;
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).ok()?;
    let outer = tlv::read_all(tlv::only(pkcs8.as_ref(), 0x30)?)?;
    // RSAPrivateKey: version, n, e, d, p, q, … (RFC 8017 §A.1.2).
    let parts = tlv::read_all(tlv::only(tlv::find(&outer, 0x04)?, 0x30)?)?;
    let prime = |at: usize| {
        let (_, integer) = parts.get(at)?;
        let number = integer.strip_prefix(&[0]).unwrap_or(integer);
        (number.len() == size.len() / 2).then(|| number.to_vec())
    };
    Some([prime(4)?, prime(5)?].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use aws_lc_rs::signature::{self, UnparsedPublicKey};

    use super::*;

    #[test]
    fn rsa_of_every_size_makes_signatures_that_verify() {
        for algorithm in [Algorithm::Rsa2048, Algorithm::Rsa3072, Algorithm::Rsa4096] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let public = key.public().unwrap();
            let digest_info = [&SHA256_PREFIX[..], digest::digest(&SHA256, b"it").as_ref()].concat();
            let filling = vec![0xFF; algorithm.modulus_len().unwrap() - digest_info.len() - 3];
            let block = [&[0, 1], filling.as_slice(), &[0], &digest_info].concat();
            let signed = key.sign(&block).unwrap();
            UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, public.bit_string())
                .verify(b"it", &signed)
                .unwrap();
        }
    }

    #[test]
    fn curves_make_signatures_that_verify() {
        let message = b"it";
        for (algorithm, of, verify) in [
            (Algorithm::P256, &SHA256, &signature::ECDSA_P256_SHA256_ASN1),
            (Algorithm::P384, &SHA384, &signature::ECDSA_P384_SHA384_ASN1),
        ] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let signed = key.sign(digest::digest(of, message).as_ref()).unwrap();
            let public = key.public().unwrap().bit_string();
            UnparsedPublicKey::new(verify, public).verify(message, &signed).unwrap();
        }
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let public = key.public().unwrap().bit_string();
        UnparsedPublicKey::new(&signature::ED25519, public)
            .verify(message, &key.sign(message).unwrap())
            .unwrap();
    }

    const SHA256_PREFIX: [u8; 19] =
        [0x30, 0x31, 0x30, 0x0D, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
}
