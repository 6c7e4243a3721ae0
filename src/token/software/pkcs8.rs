//! PKCS#8 (RFC 5958), which `openssl` makes: as it is, or encrypted by PBES2 with PBKDF2 and AES-CBC (RFC 8018).

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA384, PBKDF2_HMAC_SHA512};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use countersign_tbs::key::Curve;
use zeroize::Zeroizing;

use super::{RsaNumbers, SoftwareKey, SoftwareKeyError, number, significant};
use crate::token::pin::Pin;
use crate::token::piv::tlv;

const INTEGER: u32 = 0x02;
const OCTETS: u32 = 0x04;
const OID: u32 = 0x06;
const SEQUENCE: u32 = 0x30;

const PBES2: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0D];
const PBKDF2: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0C];
/// id-hmacWithSHA1 to -SHA512 differ in the last byte.
const HMAC: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x02];
/// aes128-CBC-PAD and its longer kin as well.
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];
const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
/// A minute or so.
const MOST_ROUNDS: u32 = 100_000_000;

/// What is left of a SEQUENCE's elements.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn of(sequence: &'a [u8]) -> Option<Self> {
        tlv::find(sequence, SEQUENCE).map(Self)
    }

    /// The next one, which must be of this type.
    fn next(&mut self, tag: u32) -> Option<&'a [u8]> {
        let (_, value, rest) = tlv::next(self.0).filter(|(found, _, _)| *found == tag)?;
        self.0 = rest;
        Some(value)
    }

    fn sequence(&mut self) -> Option<Self> {
        self.next(SEQUENCE).map(Self)
    }
}

/// Reads a PrivateKeyInfo.
///
/// # Errors
/// [`SoftwareKeyError::Kind`], [`SoftwareKeyError::Broken`]
pub(super) fn read(der: &[u8]) -> Result<SoftwareKey, SoftwareKeyError> {
    for (curve, algorithm) in [
        (Curve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
        (Curve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
        (Curve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING),
    ] {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, der) {
            let scalar = pair.private_key().as_be_bytes().map_err(|_| SoftwareKeyError::Broken)?;
            return SoftwareKey::ecdsa(curve, scalar.as_ref());
        }
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        let seed = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| SoftwareKeyError::Broken)?;
        return SoftwareKey::ed25519(seed.as_ref(), pair.public_key().as_ref());
    }
    let (algorithm, key) = private_key_info(der).ok_or(SoftwareKeyError::Broken)?;
    if algorithm != RSA {
        return Err(SoftwareKeyError::Kind);
    }
    rsa(key).unwrap_or(Err(SoftwareKeyError::Broken))
}

fn private_key_info(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = Elements::of(der)?;
    info.next(INTEGER)?;
    let algorithm = info.sequence()?.next(OID)?;
    Some((algorithm, info.next(OCTETS)?))
}

/// RSAPrivateKey (RFC 8017 §A.1.2).
fn rsa(der: &[u8]) -> Option<Result<SoftwareKey, SoftwareKeyError>> {
    let mut key = Elements::of(der)?;
    let _version = key.next(INTEGER)?;
    let (modulus, exponent) = (key.next(INTEGER)?, key.next(INTEGER)?);
    let mut next = || key.next(INTEGER).map(number);
    let numbers =
        RsaNumbers { d: next()?, p: next()?, q: next()?, dp: next()?, dq: next()?, q_inverse: next()? };
    Some(SoftwareKey::rsa(significant(modulus), significant(exponent), numbers))
}

/// How an EncryptedPrivateKeyInfo is encrypted.
struct Encrypted<'a> {
    salt: &'a [u8],
    rounds: NonZeroU32,
    prf: pbkdf2::Algorithm,
    cipher: &'static aws_lc_rs::cipher::Algorithm,
    key_len: usize,
    iv: &'a [u8],
    data: &'a [u8],
}

/// The PrivateKeyInfo that is encrypted in it.
///
/// # Errors
/// [`SoftwareKeyError::Encryption`], [`SoftwareKeyError::WrongPassphrase`]
pub(super) fn decrypt(der: &[u8], passphrase: &Pin) -> Result<Zeroizing<Vec<u8>>, SoftwareKeyError> {
    let unknown = || SoftwareKeyError::Encryption("something else than PBKDF2 and AES-CBC".to_owned());
    let Encrypted { salt, rounds, prf, cipher, key_len, iv, data } = encrypted(der).ok_or_else(unknown)?;
    let mut key = Zeroizing::new(vec![0; key_len]);
    pbkdf2::derive(prf, rounds, salt, passphrase.expose(), &mut key);
    let iv = FixedLength::<16>::try_from(iv).map_err(|_| SoftwareKeyError::Broken)?;
    let key = UnboundCipherKey::new(cipher, &key).map_err(|_| SoftwareKeyError::Broken)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| SoftwareKeyError::Broken)?;
    let mut data = Zeroizing::new(data.to_vec());
    let len = key
        .decrypt(&mut data, DecryptionContext::Iv128(iv))
        .map_err(|_| SoftwareKeyError::WrongPassphrase)?
        .len();
    data.truncate(len);
    // One wrong passphrase in 256 has a padding that looks right.
    if private_key_info(&data).is_some() { Ok(data) } else { Err(SoftwareKeyError::WrongPassphrase) }
}

fn encrypted(der: &[u8]) -> Option<Encrypted<'_>> {
    let mut outer = Elements::of(der)?;
    let mut scheme = outer.sequence()?;
    let data = outer.next(OCTETS)?;
    scheme.next(OID).filter(|oid| *oid == PBES2)?;
    let mut parts = scheme.sequence()?;
    let (mut derivation, mut encryption) = (parts.sequence()?, parts.sequence()?);

    derivation.next(OID).filter(|oid| *oid == PBKDF2)?;
    let mut parameters = derivation.sequence()?;
    let salt = parameters.next(OCTETS)?;
    let rounds = parameters
        .next(INTEGER)?
        .iter()
        .try_fold(0_u32, |number, byte| number.checked_mul(0x100).map(|number| number | u32::from(*byte)));
    let rounds = NonZeroU32::new(rounds?).filter(|rounds| rounds.get() <= MOST_ROUNDS)?;
    // The key's length may be told, which the cipher tells as well.
    let _ = parameters.next(INTEGER);
    let prf = match parameters.sequence() {
        None => PBKDF2_HMAC_SHA1,
        Some(mut prf) => match prf.next(OID)?.strip_prefix(HMAC)? {
            [0x07] => PBKDF2_HMAC_SHA1,
            [0x09] => PBKDF2_HMAC_SHA256,
            [0x0A] => PBKDF2_HMAC_SHA384,
            [0x0B] => PBKDF2_HMAC_SHA512,
            _ => return None,
        },
    };
    let (cipher, key_len) = match encryption.next(OID)?.strip_prefix(AES)? {
        [0x02] => (&AES_128, 16),
        [0x16] => (&AES_192, 24),
        [0x2A] => (&AES_256, 32),
        _ => return None,
    };
    Some(Encrypted { salt, rounds, prf, cipher, key_len, iv: encryption.next(OCTETS)?, data })
}
