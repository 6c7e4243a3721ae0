#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

/// `openssl genpkey` and `openssl pkey -pubout -outform DER`, without the key material.
const ED25519_HEADER: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const P256_HEADER: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const P384_HEADER: &[u8] =
    b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
const P521_HEADER: &[u8] =
    b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00";
const RSA_1024_HEADER: &[u8] =
    b"\x30\x81\x9f\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x81\x8d\x00\x30\x81\x89\x02\x81\x81\x00";
const RSA_65537: &[u8] = b"\x02\x03\x01\x00\x01";
const SECP256K1_HEADER: &[u8] =
    b"\x30\x56\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a\x03\x42\x00";

const ML_DSA_44_HEADER: &[u8] =
    b"\x30\x82\x05\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11\x03\x82\x05\x21\x00";
const ML_DSA_65_HEADER: &[u8] =
    b"\x30\x82\x07\xb2\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12\x03\x82\x07\xa1\x00";
const ML_DSA_87_HEADER: &[u8] =
    b"\x30\x82\x0a\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13\x03\x82\x0a\x21\x00";

fn point(curve: Curve) -> Vec<u8> {
    [vec![4], vec![7; 2 * curve.field_len()]].concat()
}

fn keys_and_their_der() -> Vec<(PublicKey, Vec<u8>)> {
    let ecdsa = |curve| PublicKey::Ecdsa(EcPoint::new(curve, point(curve)).unwrap());
    let rsa = RsaPublicKey::new(vec![0xc1; 128], vec![1, 0, 1]).unwrap();
    let ml_dsa = |parameters: ParameterSet, header: &[u8]| {
        let bytes = vec![5; parameters.public_key_len()];
        let der = [header, &bytes].concat();
        (PublicKey::MlDsa(MlDsaPublicKey::new(parameters, bytes).unwrap()), der)
    };
    vec![
        (PublicKey::Ed25519([5; 32]), [ED25519_HEADER, &[5; 32]].concat()),
        (ecdsa(Curve::P256), [P256_HEADER, &point(Curve::P256)].concat()),
        (ecdsa(Curve::P384), [P384_HEADER, &point(Curve::P384)].concat()),
        (ecdsa(Curve::P521), [P521_HEADER, &point(Curve::P521)].concat()),
        (PublicKey::Rsa(rsa), [RSA_1024_HEADER, &[0xc1; 128], RSA_65537].concat()),
        ml_dsa(ParameterSet::MlDsa44, ML_DSA_44_HEADER),
        ml_dsa(ParameterSet::MlDsa65, ML_DSA_65_HEADER),
        ml_dsa(ParameterSet::MlDsa87, ML_DSA_87_HEADER),
    ]
}

#[test]
fn reads_and_writes_the_spki_of_openssl() {
    for (key, der) in keys_and_their_der() {
        assert_eq!(key.to_spki_der(), der);
        assert_eq!(PublicKey::from_spki_der(&der), Ok(key));
    }
}

#[test]
fn reads_back_the_largest_rsa_key() {
    let key = PublicKey::Rsa(RsaPublicKey::new(vec![0xc1; 2048], vec![0xff; 8]).unwrap());
    assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()), Ok(key));
}

#[test]
fn refuses_every_strict_prefix_and_any_trailing_byte_of_an_spki() {
    for (_, der) in keys_and_their_der() {
        for len in 0..der.len() {
            assert!(PublicKey::from_spki_der(&der[..len]).is_err());
        }
        assert_eq!(PublicKey::from_spki_der(&[der.as_slice(), &[0]].concat()), Err(KeyError::Spki));
    }
}

/// A flipped bit is refused, or it changes the key and nothing else.
#[test]
fn no_two_spkis_are_one_key() {
    for (key, der) in keys_and_their_der() {
        for bit in 0..der.len() * 8 {
            let mut other = der.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = PublicKey::from_spki_der(&other) {
                assert_ne!(read, key);
                assert_eq!(read.to_spki_der(), other);
            }
        }
    }
}

#[test]
fn refuses_ber_forms_of_an_spki() {
    let (_, ed25519) = keys_and_their_der().remove(0);
    let long_length = [&[0x30, 0x81], &ed25519[1..]].concat();
    let indefinite = [&[0x30, 0x80], &ed25519[2..], &[0, 0]].concat();
    let mut unused_bits = ed25519.clone();
    unused_bits[11] = 1;
    for der in [long_length, indefinite, unused_bits] {
        assert_eq!(PublicKey::from_spki_der(&der), Err(KeyError::Spki));
    }
    let padded_modulus =
        b"\x30\x81\xa0\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x81\x8e\x00\x30\x81\x8a\x02\x81\x82\x00\x00";
    let negative_modulus =
        b"\x30\x81\x9e\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x81\x8c\x00\x30\x81\x88\x02\x81\x80";
    for header in [padded_modulus.as_slice(), negative_modulus] {
        let der = [header, &[0xc1; 128], RSA_65537].concat();
        assert_eq!(PublicKey::from_spki_der(&der), Err(KeyError::Spki));
    }
}

#[test]
fn refuses_other_algorithms_and_parameters() {
    let secp256k1 = [SECP256K1_HEADER, &point(Curve::P256)].concat();
    // `rsaEncryption` without its NULL, which RFC 3279 §2.3.1 demands.
    let rsa_without_null = b"\x30\x1a\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x03\x0b\x00\x30\x08\x02\x01\x03\x02\x03\x01\x00\x01";
    for der in [secp256k1.as_slice(), rsa_without_null] {
        assert_eq!(PublicKey::from_spki_der(der), Err(KeyError::Algorithm));
    }
}

#[test]
fn refuses_ml_dsa_keys_of_another_length() {
    for parameters in ParameterSet::ALL {
        for other in [0, 32, parameters.public_key_len() - 1, parameters.public_key_len() + 1] {
            let wrong = Err(KeyError::MlDsaLength { parameters, len: other });
            assert_eq!(MlDsaPublicKey::new(parameters, vec![5; other]), wrong);
        }
    }
    // A key of ML-DSA-44 under the identifier of ML-DSA-65.
    let header = [&ML_DSA_44_HEADER[..16], &[0x12], &ML_DSA_44_HEADER[17..]].concat();
    let wrong = KeyError::MlDsaLength { parameters: ParameterSet::MlDsa65, len: 1312 };
    assert_eq!(PublicKey::from_spki_der(&[header.as_slice(), &[5; 1312]].concat()), Err(wrong));
}

#[test]
fn ml_dsa_takes_no_parameters() {
    // RFC 9881 §2: absent, and so not NULL.
    let header =
        b"\x30\x82\x05\x34\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11\x05\x00\x03\x82\x05\x21\x00";
    let der = [header.as_slice(), &[5; 1312]].concat();
    assert_eq!(PublicKey::from_spki_der(&der), Err(KeyError::Algorithm));
}

#[test]
fn refuses_points_that_are_not_uncompressed() {
    let (p256, p384) = (point(Curve::P256), point(Curve::P384));
    let compressed = [&[2], &p256[1..33]].concat();
    let hybrid = [&[6], &p256[1..]].concat();
    for bytes in [compressed, hybrid, p384, vec![0], Vec::new()] {
        assert_eq!(EcPoint::new(Curve::P256, bytes), Err(KeyError::PointEncoding));
    }
}

#[test]
fn refuses_rsa_keys_of_odd_form() {
    let new = |modulus: &[u8], exponent: &[u8]| RsaPublicKey::new(modulus.to_vec(), exponent.to_vec());
    let modulus = [0xc1; 256];
    let even = [[0xc1; 255].as_slice(), &[2]].concat();
    let leading_zero = [&[0], modulus.as_slice()].concat();
    let bits_1023 = [&[0x7f], [0xc1; 127].as_slice()].concat();
    for bad in [even.as_slice(), &leading_zero, &bits_1023, &[0xc1; 2049], &[]] {
        assert_eq!(new(bad, &[3]), Err(KeyError::RsaModulus));
    }
    for bad in [[].as_slice(), &[1], &[2], &[0, 3], &[1; 9]] {
        assert_eq!(new(&modulus, bad), Err(KeyError::RsaExponent));
    }
    for good in [[3].as_slice(), &[1, 0, 1], &[0xff; 8]] {
        assert_eq!(new(&modulus, good).unwrap().exponent(), good);
    }
}

#[test]
fn counts_the_bits_of_a_modulus() {
    let bits = |first| RsaPublicKey::new([vec![first], vec![1; 256]].concat(), vec![3]).unwrap().bits();
    assert_eq!([1, 2, 0x7f, 0x80, 0xff].map(bits), [2049, 2050, 2055, 2056, 2056]);
    assert_eq!(RsaPublicKey::new(vec![0x81; 128], vec![3]).unwrap().bits(), 1024);
}
