//! What an RSA key in a card is given: a whole block, padded here, because a card's operation is the raw one.
//!
//! In: a scheme and a digest. Out: a block as long as the modulus. PKCS#1 v1.5 and PSS, both of RFC 8017.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;

use crate::key::Scheme;
use crate::token::input::Input;

/// The block of `len` bytes that is signed for `input`; none if it is too short, or the scheme is none of RSA.
///
/// # Errors
/// If the random source fails.
pub(super) fn block(input: &Input, len: usize) -> Result<Option<Vec<u8>>, Unspecified> {
    let of = match input.scheme() {
        Scheme::EcdsaP256Sha256
        | Scheme::EcdsaP384Sha384
        | Scheme::EcdsaP521Sha512
        | Scheme::Ed25519
        | Scheme::MlDsa44
        | Scheme::MlDsa65
        | Scheme::MlDsa87 => return Ok(None),
        Scheme::RsaPkcs1Sha256 | Scheme::RsaPkcs1Sha384 | Scheme::RsaPkcs1Sha512 => {
            return Ok(pkcs1(&input.block(), len));
        }
        Scheme::RsaPssSha256 => &SHA256,
        Scheme::RsaPssSha384 => &SHA384,
        Scheme::RsaPssSha512 => &SHA512,
    };
    let mut salt = vec![0; of.output_len()];
    rand::fill(&mut salt)?;
    Ok(pss(of, &input.block(), &salt, len))
}

/// EMSA-PKCS1-v1_5 (§9.2) of a DigestInfo.
fn pkcs1(digest_info: &[u8], len: usize) -> Option<Vec<u8>> {
    const SHORTEST_FILL: usize = 8;
    let fill = len.checked_sub(digest_info.len() + 3).filter(|fill| *fill >= SHORTEST_FILL)?;
    Some([&[0, 1][..], &vec![0xFF; fill], &[0], digest_info].concat())
}

/// EMSA-PSS (§9.1.1), for a modulus whose bits are a multiple of eight: one bit of the block stays clear.
fn pss(of: &'static Algorithm, digest: &[u8], salt: &[u8], len: usize) -> Option<Vec<u8>> {
    let fill = len.checked_sub(of.output_len() + salt.len() + 2)?;
    let hash = digest::digest(of, &[&[0; 8], digest, salt].concat());
    let mut block = [&vec![0; fill], &[1][..], salt].concat();
    for (byte, mask) in block.iter_mut().zip(mgf1(of, hash.as_ref())) {
        *byte ^= mask;
    }
    if let Some(first) = block.first_mut() {
        *first &= 0x7F;
    }
    block.extend_from_slice(hash.as_ref());
    block.push(0xBC);
    Some(block)
}

/// MGF1 (§B.2.1), without end.
fn mgf1(of: &'static Algorithm, seed: &[u8]) -> impl Iterator<Item = u8> {
    (0_u32..).flat_map(move |counter| {
        let hash = digest::digest(of, &[seed, &counter.to_be_bytes()].concat());
        hash.as_ref().to_vec()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{self, KeyPair as _, UnparsedPublicKey, VerificationAlgorithm};
    use num_bigint::BigUint;

    use super::super::tlv;
    use super::*;

    const SCHEMES: [(Scheme, &dyn VerificationAlgorithm); 6] = [
        (Scheme::RsaPkcs1Sha256, &signature::RSA_PKCS1_2048_8192_SHA256),
        (Scheme::RsaPkcs1Sha384, &signature::RSA_PKCS1_2048_8192_SHA384),
        (Scheme::RsaPkcs1Sha512, &signature::RSA_PKCS1_2048_8192_SHA512),
        (Scheme::RsaPssSha256, &signature::RSA_PSS_2048_8192_SHA256),
        (Scheme::RsaPssSha384, &signature::RSA_PSS_2048_8192_SHA384),
        (Scheme::RsaPssSha512, &signature::RSA_PSS_2048_8192_SHA512),
    ];

    /// Modulus and private exponent, out of PKCS#8: RSAPrivateKey is version, n, e, d, … (RFC 8017 §A.1.2).
    fn numbers(pair: &KeyPair) -> (BigUint, BigUint) {
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(pair).unwrap();
        let key = tlv::find(tlv::find(der.as_ref(), 0x30).unwrap(), 0x04).unwrap();
        let (mut rest, mut found) = (tlv::find(key, 0x30).unwrap(), Vec::new());
        while let Some((_, number, after)) = tlv::next(rest) {
            found.push(BigUint::from_bytes_be(number));
            rest = after;
        }
        (found.swap_remove(1), found.swap_remove(3))
    }

    #[test]
    fn padded_blocks_make_signatures_that_verify() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let (modulus, exponent) = numbers(&pair);
        for (scheme, algorithm) in SCHEMES {
            let block = block(&Input::of(scheme, b"it"), 256).unwrap().unwrap();
            assert_eq!(block.len(), 256);
            let signed = BigUint::from_bytes_be(&block).modpow(&exponent, &modulus).to_bytes_be();
            let padded = [vec![0; 256 - signed.len()], signed].concat();
            let public = UnparsedPublicKey::new(algorithm, pair.public_key());
            public.verify(b"it", &padded).unwrap_or_else(|_| panic!("{scheme}"));
            assert!(public.verify(b"other", &padded).is_err());
        }
    }

    #[test]
    fn a_modulus_that_is_too_short_gives_no_block() {
        for (scheme, _) in SCHEMES {
            assert_eq!(block(&Input::of(scheme, b"it"), 61).unwrap(), None, "{scheme}");
        }
        assert_eq!(block(&Input::of(Scheme::Ed25519, b"it"), 256).unwrap(), None);
    }
}
