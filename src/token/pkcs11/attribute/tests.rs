#![allow(clippy::unwrap_used, reason = "tests")]

use cryptoki::types::Ulong;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// A DER value of a length below 256.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let len = u8::try_from(contents.len()).unwrap();
    let head: &[u8] = if len < 128 { &[tag, len] } else { &[tag, 0x81, len] };
    [head, contents].concat()
}

/// Every way in which modules write a point.
fn dialects(raw: &[u8]) -> [Vec<u8>; 3] {
    [raw.to_vec(), der(0x04, raw), der(0x03, &[&[0], raw].concat())]
}

/// A curve, every way to name it, and how many bytes follow a point's first one.
fn curves() -> impl Strategy<Value = (Vec<&'static [u8]>, usize)> {
    let named = |curve| NAMED.into_iter().filter(move |(_, of)| *of == curve).map(|(name, _)| name);
    let nist = |oid, curve: Curve| (named(curve).chain([oid]).collect(), 2 * curve.field_len());
    select(vec![
        nist(OID_P256, Curve::P256),
        nist(OID_P384, Curve::P384),
        nist(OID_P521, Curve::P521),
        (vec![OID_ED25519, OLD_OID_ED25519, NAME_ED25519], 31),
    ])
}

/// Points whose first bytes may look like the head of their own DER.
fn points() -> impl Strategy<Value = (Vec<&'static [u8]>, Vec<u8>)> {
    let heads = [[0x04, 0x41], [0x04, 0x81], [0x04, 0x20], [0x04, 0x03], [0x04, 0x00]];
    (curves(), select(heads.to_vec()), proptest::collection::vec(any::<u8>(), 132)).prop_map(
        |((names, rest), head, random)| {
            let raw = head.into_iter().chain(random).take(1 + rest).collect();
            (names, raw)
        },
    )
}

proptest! {
    #[test]
    fn every_dialect_of_a_key_is_the_same_key((names, raw) in points()) {
        let bytes = |key| match key {
            PublicKey::Ecdsa(point) => point.as_bytes().to_vec(),
            PublicKey::Ed25519(key) => key.to_vec(),
            PublicKey::Rsa(_) | PublicKey::MlDsa(_) => Vec::new(),
        };
        for name in names {
            for point in dialects(&raw) {
                prop_assert_eq!(ec_public_key(name, &point).map(bytes), Ok(raw.clone()), "{:02x?}", point);
            }
        }
    }

    #[test]
    fn what_is_cut_lengthened_or_wrapped_twice_is_no_key((names, raw) in points(), extra in any::<u8>()) {
        for name in names {
            for point in dialects(&raw) {
                let longer = [point.as_slice(), &[extra]].concat();
                prop_assert_eq!(ec_public_key(name, &longer), Err(KeyError::PointEncoding));
                let shorter = point.split_last().unwrap().1;
                prop_assert_eq!(ec_public_key(name, shorter), Err(KeyError::PointEncoding));
            }
            for wrapped in [der(0x04, &der(0x04, &raw)), der(0x03, &raw), der(0x30, &raw)] {
                prop_assert_eq!(ec_public_key(name, &wrapped), Err(KeyError::PointEncoding));
            }
        }
    }
}

#[test]
fn refuses_unknown_curves_and_explicit_parameters() {
    let secp256k1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
    let x25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x6e];
    for params in [secp256k1, x25519, b"\x13\x0acurve25519", b"\x30\x00", b"secp256r1", b""] {
        assert_eq!(ec_public_key(params, &[4; 65]), Err(KeyError::Algorithm), "{params:02x?}");
    }
}

#[test]
fn refuses_a_compressed_point() {
    let compressed: Vec<u8> = [2].into_iter().chain([7; 32]).collect();
    for point in dialects(&compressed) {
        assert_eq!(ec_public_key(OID_P256, &point), Err(KeyError::PointEncoding));
    }
}

#[test]
fn strips_leading_zeros_of_rsa_numbers() {
    let modulus = [0xff; 256];
    let padded = [&[0][..], &modulus].concat();
    assert_eq!(rsa_public_key(&padded, &[0, 1, 0, 1]), rsa_public_key(&modulus, &[1, 0, 1]));
}

#[test]
fn reads_ml_dsa_keys_of_each_parameter_set_and_of_no_other() {
    // CKP_ML_DSA_44 and so on are 1 to 3 (PKCS#11 v3.2).
    for (number, parameters) in (1..).zip(ParameterSet::ALL) {
        let set = || ParameterSetType::try_from(Ulong::new(number)).unwrap();
        let value = vec![7; parameters.public_key_len()];
        let Ok(PublicKey::MlDsa(key)) = ml_dsa_public_key(set(), value.clone()) else { panic!("{number}") };
        assert_eq!((key.parameters(), key.as_bytes()), (parameters, value.as_slice()));
        let wrong = Err(KeyError::MlDsaLength { parameters, len: value.len() - 1 });
        assert_eq!(ml_dsa_public_key(set(), vec![7; value.len() - 1]), wrong);
    }
    for number in [0, 4, u64::MAX] {
        let set = ParameterSetType::try_from(Ulong::new(number)).unwrap();
        assert_eq!(ml_dsa_public_key(set, vec![7; 1312]), Err(KeyError::Algorithm), "{number}");
    }
}
