#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

const P256: Scheme = Scheme::EcdsaP256Sha256;

/// `r || s` on P-256: r with two leading zeros and then its high bit clear, s with its high bit set.
fn awkward() -> Vec<u8> {
    [vec![0, 0], vec![0x7f; 30], vec![0x80; 32]].concat()
}

/// A raw signature that fits, for each scheme.
fn fitting() -> [(Scheme, usize); 13] {
    Scheme::ALL.map(|scheme| match scheme {
        Scheme::EcdsaP256Sha256 | Scheme::Ed25519 => (scheme, 64),
        Scheme::EcdsaP384Sha384 => (scheme, 96),
        Scheme::EcdsaP521Sha512 => (scheme, 132),
        Scheme::MlDsa44 => (scheme, 2420),
        Scheme::MlDsa65 => (scheme, 3309),
        Scheme::MlDsa87 => (scheme, 4627),
        _ => (scheme, 256),
    })
}

#[test]
fn ecdsa_becomes_two_shortest_mpints_in_ssh() {
    let expected = [
        b"\0\0\0\x13ecdsa-sha2-nistp256\0\0\0\x47".as_slice(),
        b"\0\0\0\x1e",
        &[0x7f; 30],
        b"\0\0\0\x21\0",
        &[0x80; 32],
    ];
    assert_eq!(ssh_signature_blob(P256, &awkward()), Ok(expected.concat()));
}

#[test]
fn ecdsa_becomes_two_shortest_integers_in_der() {
    let expected = [b"\x30\x43\x02\x1e".as_slice(), &[0x7f; 30], b"\x02\x21\0", &[0x80; 32]].concat();
    assert_eq!(x509_signature(P256, &awkward()), Ok(expected));
}

#[test]
fn der_of_p521_has_a_long_length() {
    let expected = [b"\x30\x81\x88\x02\x42".as_slice(), &[1; 66], b"\x02\x42", &[1; 66]].concat();
    assert_eq!(x509_signature(Scheme::EcdsaP521Sha512, &[1; 132]), Ok(expected));
}

#[test]
fn ed25519_and_rsa_stay_as_they_are() {
    assert_eq!(x509_signature(Scheme::Ed25519, &[0; 64]), Ok(vec![0; 64]));
    assert_eq!(x509_signature(Scheme::RsaPkcs1Sha256, &[0; 256]), Ok(vec![0; 256]));
    let blob = ssh_signature_blob(Scheme::RsaPkcs1Sha512, &[0; 256]).unwrap();
    assert_eq!(blob, [b"\0\0\0\x0crsa-sha2-512\0\0\x01\0".as_slice(), &[0; 256]].concat());
}

#[test]
fn refuses_any_other_length() {
    for (scheme, len) in fitting().into_iter().filter(|(scheme, _)| scheme.ssh_name().is_some()) {
        let mut wrong = vec![0, 1, 32, 65, 127, 2049];
        if scheme.curve().is_some() || scheme == Scheme::Ed25519 {
            wrong.extend([len - 1, len + 1, len / 2, len * 2]);
        }
        for len in wrong {
            let error = SignatureError::Length { scheme, len };
            assert_eq!(ssh_signature_blob(scheme, &vec![1; len]), Err(error));
            assert_eq!(x509_signature(scheme, &vec![1; len]), Err(error));
        }
    }
}

#[test]
fn refuses_a_zero_r_or_s() {
    for raw in [[[0; 32], [1; 32]], [[1; 32], [0; 32]], [[0; 32], [0; 32]]].map(|halves| halves.concat()) {
        let error = SignatureError::Zero { scheme: P256 };
        assert_eq!(ssh_signature_blob(P256, &raw), Err(error));
        assert_eq!(x509_signature(P256, &raw), Err(error));
    }
}

#[test]
fn reads_back_what_it_wrote() {
    for (scheme, len) in fitting().into_iter().filter(|(scheme, _)| scheme.ssh_name().is_some()) {
        let raw = vec![1; len];
        let blob = ssh_signature_blob(scheme, &raw).unwrap();
        assert_eq!(from_ssh_signature_blob(&blob), Ok((scheme, raw)));
    }
    let blob = ssh_signature_blob(P256, &awkward()).unwrap();
    assert_eq!(from_ssh_signature_blob(&blob), Ok((P256, awkward())));
}

#[test]
fn pss_and_sha384_are_for_x509_only() {
    for scheme in [Scheme::RsaPkcs1Sha384, Scheme::RsaPssSha256, Scheme::RsaPssSha384, Scheme::RsaPssSha512] {
        assert_eq!(ssh_signature_blob(scheme, &[1; 256]), Err(SignatureError::NotInSsh { scheme }));
        assert_eq!(x509_signature(scheme, &[1; 256]), Ok(vec![1; 256]));
    }
}

#[test]
fn ml_dsa_is_for_x509_only_and_of_one_length() {
    for (scheme, len) in fitting().into_iter().filter(|(scheme, _)| scheme.parameters().is_some()) {
        assert_eq!(ssh_signature_blob(scheme, &vec![1; len]), Err(SignatureError::NotInSsh { scheme }));
        assert_eq!(x509_signature(scheme, &vec![1; len]), Ok(vec![1; len]));
        for len in [0, 64, 2048, len - 1, len + 1] {
            assert_eq!(x509_signature(scheme, &vec![1; len]), Err(SignatureError::Length { scheme, len }));
        }
    }
}

#[test]
fn reads_back_what_it_wrote_for_x509_and_nothing_else() {
    for (scheme, len) in fitting() {
        let raw = vec![1; len];
        let signature = x509_signature(scheme, &raw).unwrap();
        assert_eq!(from_x509_signature(scheme, &signature), Ok(raw));
        let longer = [signature.as_slice(), &[0]].concat();
        // RSA's block is as long as its key, which is not known here.
        if !scheme.is_rsa() {
            for bytes in [&longer, &signature[..signature.len() - 1]] {
                assert!(from_x509_signature(scheme, bytes).is_err(), "{scheme}");
            }
        }
    }
    let signature = x509_signature(P256, &awkward()).unwrap();
    assert_eq!(from_x509_signature(P256, &signature), Ok(awkward()));
    let encoding = Err(SignatureError::Encoding { scheme: P256 });
    for len in 0..signature.len() {
        assert_eq!(from_x509_signature(P256, &signature[..len]), encoding);
    }
    // r too long for the curve; s with a zero in front that it does not need; neither DER's.
    let too_long = integers(&[1; 33], &[1; 32]);
    let padded = [&[0x30, 0x07, 0x02, 0x01, 0x01, 0x02, 0x02, 0x00, 0x01][..]].concat();
    for bytes in [too_long, padded, awkward()] {
        assert_eq!(from_x509_signature(P256, &bytes), encoding);
    }
    let zero = integers(&[], &[1]);
    assert!(from_x509_signature(P256, &zero).is_err());
}

#[test]
fn refuses_every_strict_prefix_and_any_trailing_byte_of_a_blob() {
    let blob = ssh_signature_blob(P256, &awkward()).unwrap();
    for len in 0..blob.len() {
        assert!(from_ssh_signature_blob(&blob[..len]).is_err());
    }
    let error = from_ssh_signature_blob(&[blob.as_slice(), &[0]].concat()).unwrap_err();
    assert_eq!(error, ParseError::TrailingBytes { after: "signature", count: 1 });
}

#[test]
fn a_scheme_fits_the_keys_of_its_kind_only() {
    use crate::key::{EcPoint, MlDsaPublicKey, RsaPublicKey};
    let ecdsa = |curve: Curve| {
        let point = [vec![4], vec![7; 2 * curve.field_len()]].concat();
        PublicKey::Ecdsa(EcPoint::new(curve, point).unwrap())
    };
    let rsa = PublicKey::Rsa(RsaPublicKey::new(vec![0xc1; 256], vec![3]).unwrap());
    let fits =
        |key: &PublicKey| Scheme::ALL.into_iter().filter(|scheme| scheme.fits(key)).collect::<Vec<_>>();
    assert_eq!(fits(&ecdsa(Curve::P256)), [P256]);
    assert_eq!(fits(&ecdsa(Curve::P384)), [Scheme::EcdsaP384Sha384]);
    assert_eq!(fits(&ecdsa(Curve::P521)), [Scheme::EcdsaP521Sha512]);
    assert_eq!(fits(&PublicKey::Ed25519([5; 32])), [Scheme::Ed25519]);
    assert_eq!(fits(&rsa), Scheme::ALL[4..10]);
    for (parameters, scheme) in ParameterSet::ALL.into_iter().zip(&Scheme::ALL[10..]) {
        let bytes = vec![7; parameters.public_key_len()];
        let key = PublicKey::MlDsa(MlDsaPublicKey::new(parameters, bytes).unwrap());
        assert_eq!((fits(&key), scheme.parameters()), (vec![*scheme], Some(parameters)));
    }
}
