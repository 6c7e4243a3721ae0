#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding, RsaKeyPair,
};
use countersign_tbs::key::{Curve, EcPoint, MlDsaPublicKey, ParameterSet};

use super::*;

const MESSAGE: &[u8] = b"what was to be signed";

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, curve: Curve) -> (PublicKey, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let point = EcPoint::new(curve, pair.public_key().as_ref().to_vec()).unwrap();
    let signature = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
    (PublicKey::Ecdsa(point), signature.as_ref().to_vec())
}

fn rsa(encoding: &'static dyn RsaEncoding) -> (PublicKey, Vec<u8>) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
    let spki = pair.public_key().as_der().unwrap();
    (PublicKey::from_spki_der(spki.as_ref()).unwrap(), signature)
}

fn ed25519() -> (PublicKey, Vec<u8>) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
    (key, pair.sign(MESSAGE).as_ref().to_vec())
}

fn ml_dsa(algorithm: &'static PqdsaSigningAlgorithm, parameters: ParameterSet) -> (PublicKey, Vec<u8>) {
    let pair = PqdsaKeyPair::generate(algorithm).unwrap();
    let key = MlDsaPublicKey::new(parameters, pair.public_key().as_ref().to_vec()).unwrap();
    let mut signature = vec![0; algorithm.signature_len()];
    pair.sign(MESSAGE, &mut signature).unwrap();
    (PublicKey::MlDsa(key), signature)
}

fn one(scheme: Scheme) -> (PublicKey, Vec<u8>) {
    match scheme {
        Scheme::EcdsaP256Sha256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, Curve::P256),
        Scheme::EcdsaP384Sha384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, Curve::P384),
        Scheme::EcdsaP521Sha512 => ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING, Curve::P521),
        Scheme::Ed25519 => ed25519(),
        Scheme::RsaPkcs1Sha256 => rsa(&RSA_PKCS1_SHA256),
        Scheme::RsaPkcs1Sha512 => rsa(&RSA_PKCS1_SHA512),
        Scheme::RsaPkcs1Sha384 => rsa(&RSA_PKCS1_SHA384),
        Scheme::RsaPssSha256 => rsa(&RSA_PSS_SHA256),
        Scheme::RsaPssSha384 => rsa(&RSA_PSS_SHA384),
        Scheme::RsaPssSha512 => rsa(&RSA_PSS_SHA512),
        Scheme::MlDsa44 => ml_dsa(&ML_DSA_44_SIGNING, ParameterSet::MlDsa44),
        Scheme::MlDsa65 => ml_dsa(&ML_DSA_65_SIGNING, ParameterSet::MlDsa65),
        Scheme::MlDsa87 => ml_dsa(&ML_DSA_87_SIGNING, ParameterSet::MlDsa87),
    }
}

#[test]
fn accepts_the_signature_of_every_scheme_and_no_other() {
    for scheme in Scheme::ALL {
        let (key, good) = one(scheme);
        let verifier = Verifier::new(scheme, &key).unwrap();
        assert_eq!(verifier.verify(MESSAGE, &good), Ok(()), "{scheme}");

        let wrong = Err(VerifyError { scheme });
        assert_eq!(verifier.verify(b"what was not", &good), wrong, "{scheme}: another message");
        assert_eq!(verifier.verify(MESSAGE, &[]), wrong, "{scheme}: nothing");
        assert_eq!(verifier.verify(MESSAGE, &good[1..]), wrong, "{scheme}: too short");
        assert_eq!(verifier.verify(MESSAGE, &[&good[..], &[0]].concat()), wrong, "{scheme}: too long");
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            assert_eq!(verifier.verify(MESSAGE, &flipped), wrong, "{scheme}: bit {at}");
        }
        let (_, of_another) = one(scheme);
        assert_eq!(verifier.verify(MESSAGE, &of_another), wrong, "{scheme}: another key");
    }
}

#[test]
fn refuses_ecdsa_in_der() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let point = EcPoint::new(Curve::P256, pair.public_key().as_ref().to_vec()).unwrap();
    let verifier = Verifier::new(Scheme::EcdsaP256Sha256, &PublicKey::Ecdsa(point)).unwrap();
    let der = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
    assert!(verifier.verify(MESSAGE, der.as_ref()).is_err());
}

#[test]
fn refuses_another_hash_under_the_same_rsa_key() {
    let (key, signature) = rsa(&RSA_PKCS1_SHA256);
    let verifier = Verifier::new(Scheme::RsaPkcs1Sha512, &key).unwrap();
    assert!(verifier.verify(MESSAGE, &signature).is_err());
}

#[test]
fn pins_no_key_of_another_algorithm() {
    for scheme in Scheme::ALL {
        let (key, _) = one(scheme);
        for other in Scheme::ALL {
            assert_eq!(Verifier::new(other, &key).is_ok(), other.fits(&key), "{key:?} for {other}");
        }
    }
}

#[test]
fn pins_no_point_off_its_curve_and_no_rsa_key_of_another_size() {
    let mut point = vec![1; 65];
    point[0] = 4;
    let off = PublicKey::Ecdsa(EcPoint::new(Curve::P256, point).unwrap());
    let scheme = Scheme::EcdsaP256Sha256;
    assert_eq!(Verifier::new(scheme, &off).unwrap_err(), UnfitKey { scheme });

    let scheme = Scheme::RsaPkcs1Sha256;
    for bytes in [128, 255, 1032] {
        let rsa = RsaPublicKey::new(vec![0xff; bytes], vec![1, 0, 1]).unwrap();
        assert_eq!(Verifier::new(scheme, &PublicKey::Rsa(rsa)).unwrap_err(), UnfitKey { scheme }, "{bytes}");
    }
}

/// The certificates of RFC 9881, appendix C.3: published vectors, each signed with its own key.
#[test]
fn accepts_the_certificates_of_rfc_9881() {
    let schemes =
        [(Scheme::MlDsa44, "ml-dsa-44"), (Scheme::MlDsa65, "ml-dsa-65"), (Scheme::MlDsa87, "ml-dsa-87")];
    for (scheme, name) in schemes {
        let path = format!("{}/src/verify/rfc9881/{name}.pem", env!("CARGO_MANIFEST_DIR"));
        let (der, certificate) = crate::key::read_certificate(&path.into()).unwrap();
        let tbs = certificate.tbs();
        let verifier = Verifier::new(scheme, tbs.public_key()).unwrap();
        assert_eq!(verifier.verify(tbs.as_bytes(), certificate.signature()), Ok(()), "{name}");
        assert_eq!(tbs.certificate(scheme.into(), certificate.signature()), Ok(der), "{name}");
        let mut other = tbs.as_bytes().to_vec();
        other[20] ^= 1;
        assert!(verifier.verify(&other, certificate.signature()).is_err(), "{name}: another message");
    }
}
