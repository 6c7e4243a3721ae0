//! The key that is certified.

use super::der::{SUBJECT_KEY_ID, ec, ed25519, extension, int, octets, oid, p256, rsa, seq, spki};
use super::{Case, Kind, Row, forged};
use crate::corpus::{CODE_CA, SERVER_CA, USER_CA};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Kind::Server, "subjectPublicKeyInfo", ELLIPTIC),
        forged(Kind::Server, "subjectPublicKeyInfo", RSA),
        forged(Kind::Server, "subjectPublicKeyInfo", ML_DSA),
        forged(Kind::Server, "subjectKeyIdentifier", KEY_IDS),
    ];
    lists.concat()
}

const ELLIPTIC: &[Row] = &[
    (
        "own-ca-key",
        "the CA's own key, for a certificate that may stand for it",
        "B6",
        "SUBJECT_KEY_IS_CA_KEY by built-in.subject_key",
        |tbs| {
            tbs.subject_key = p256(&SERVER_CA);
        },
    ),
    (
        "other-ca-key",
        "the key of another CA of this signer",
        "B6",
        "SUBJECT_KEY_IS_CA_KEY by built-in.subject_key",
        |tbs| {
            tbs.subject_key = p256(&CODE_CA);
        },
    ),
    (
        "ssh-ca-key",
        "the key of this signer's SSH CA",
        "B6, B7",
        "SUBJECT_KEY_IS_CA_KEY by built-in.subject_key",
        |tbs| {
            tbs.subject_key = p256(&USER_CA);
        },
    ),
    (
        "off-curve",
        "a point on a weaker curve",
        "CVE-2015-7940, R39",
        "SUBJECT_KEY_INVALID by built-in.subject_key",
        |tbs| {
            tbs.subject_key = p256(&[&[4][..], &[0x11; 32], &[0x22; 32]].concat());
        },
    ),
    ("infinity", "the point at infinity", "R39", "PUBLIC_KEY", |tbs| tbs.subject_key = p256(&[0])),
    ("compressed", "a compressed point, which not all readers take", "RFC 5480 §2.2", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = p256(&[&[2][..], &[0x11; 32]].concat());
    }),
    ("other-length", "a point of another curve's length", "R39", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = p256(&[&[4][..], &[0x11; 96]].concat());
    }),
    (
        "p384",
        "a curve that the profile does not list",
        "R39",
        "SUBJECT_KEY_NOT_ALLOWED by subject_keys",
        |tbs| {
            tbs.subject_key = ec("1.3.132.0.34", &hex(P384));
        },
    ),
    ("secp256k1", "a curve that is not ours", "R39", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = ec("1.3.132.0.10", &[&[4][..], &[0x11; 64]].concat());
    }),
    (
        "explicit-curve",
        "a curve of the attacker's own, with a generator that makes any key theirs",
        "CVE-2020-0601",
        "PUBLIC_KEY",
        |tbs| {
            let algorithm = seq(&[
                &oid("1.2.840.10045.2.1"),
                &seq(&[&int(&[1]), &seq(&[&oid("1.2.840.10045.1.1"), &int(&[7])])]),
            ]);
            tbs.subject_key = spki(&algorithm, &SERVER_CA);
        },
    ),
    ("implicit-curve", "a curve that the issuer is to supply", "RFC 5480 §2.1.1", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = spki(&seq(&[&oid("1.2.840.10045.2.1"), &[5, 0]]), &SERVER_CA);
    }),
    (
        "ed25519-identity",
        "a point of order 1, for which anybody signs",
        "RFC 8032 §5.1.7, R39",
        "SUBJECT_KEY_INVALID by built-in.subject_key",
        |tbs| {
            tbs.subject_key = ed25519(&[&[1][..], &[0; 31]].concat());
        },
    ),
    ("ed25519-order-8", "a point of order 8", "R39", "SUBJECT_KEY_INVALID by built-in.subject_key", |tbs| {
        tbs.subject_key = ed25519(&ORDER_8);
    }),
    (
        "ed25519-not-canonical",
        "a second encoding of a point",
        "RFC 8032 §5.1.3",
        "SUBJECT_KEY_INVALID by built-in.subject_key",
        |tbs| {
            tbs.subject_key = ed25519(&[&[0xee][..], &[0xff; 30], &[0x7f]].concat());
        },
    ),
    ("ed25519-31-bytes", "a key that is too short", "RFC 8410 §4", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = ed25519(&[0x5a; 31]);
    }),
    ("ed25519-null", "NULL where no parameters belong", "RFC 8410 §3", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = spki(&seq(&[&oid("1.3.101.112"), &[5, 0]]), &[0x5a; 32]);
    }),
    ("x25519", "a key that cannot sign", "RFC 8410 §3", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = spki(&seq(&[&oid("1.3.101.110")]), &[0x5a; 32]);
    }),
    ("dsa", "a DSA key", "R39", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = spki(&seq(&[&oid("1.2.840.10040.4.1")]), &int(&[1; 128]));
    }),
    ("unused-bits", "a key with bits that nobody reads", "X.690 §11.2", "PUBLIC_KEY", |tbs| {
        let bits = super::der::der(3, &[&[1][..], &[0x5a; 32]].concat());
        tbs.subject_key = seq(&[&seq(&[&oid("1.3.101.112")]), &bits]);
    }),
    ("certificate", "a certificate where a plain key belongs", "CVE-2025-49825", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = tbs.encode();
    }),
];

/// A point of order 8 on the curve of Ed25519.
const ORDER_8: [u8; 32] = [
    0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
    0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
];

/// The generator of P-384 (SEC 2 §2.5.1).
const ML_DSA: &[Row] = &[
    (
        "ml-dsa-44",
        "a key that the profile does not list",
        "FIPS 204 table 2",
        "SUBJECT_KEY_NOT_ALLOWED by subject_keys",
        |tbs| {
            tbs.subject_key = spki(&seq(&[&oid("2.16.840.1.101.3.4.3.17")]), &[0x5a; 1312]);
        },
    ),
    ("ml-dsa-44-short", "a key that is a byte short", "FIPS 204 table 2", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = spki(&seq(&[&oid("2.16.840.1.101.3.4.3.17")]), &[0x5a; 1311]);
    }),
    ("ml-dsa-44-as-65", "a key under the name of a longer one", "FIPS 204 table 2", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = spki(&seq(&[&oid("2.16.840.1.101.3.4.3.18")]), &[0x5a; 1312]);
    }),
    ("ml-dsa-null", "NULL where no parameters belong", "RFC 9881 §2", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = spki(&seq(&[&oid("2.16.840.1.101.3.4.3.17"), &[5, 0]]), &[0x5a; 1312]);
    }),
    (
        "hash-ml-dsa",
        "a key for signatures of digests, which certificates do not have",
        "RFC 9881 §3",
        "PUBLIC_KEY",
        |tbs| {
            tbs.subject_key = spki(&seq(&[&oid("2.16.840.1.101.3.4.3.32")]), &[0x5a; 1312]);
        },
    ),
];

const P384: &str = "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7\
                    3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f";
/// Moduli that policy's own tests have, too.
const ROCA: &str = include_str!("../../../../src/policy/weak_key/roca.hex");
const CLOSE_PRIMES: &str = include_str!("../../../../src/policy/weak_key/close-primes.hex");

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// An RSA key of F4 and a modulus in hexadecimal.
fn rsa_hex(modulus: &str) -> Vec<u8> {
    rsa(&[vec![0], hex(modulus)].concat(), F4)
}

/// An odd number of `bits` bits: nobody factors it here, so that it need be no product.
fn modulus(bits: usize) -> Vec<u8> {
    [&[0, 0x80][..], &vec![1; bits / 8 - 2], &[7]].concat()
}

const F4: &[u8] = &[1, 0, 1];

const RSA: &[Row] = &[
    ("rsa-512", "a key that a laptop factors", "R39", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = rsa(&modulus(512), F4);
    }),
    ("rsa-1024", "a key that a state factors", "R39", "SUBJECT_KEY_INVALID by built-in.subject_key", |tbs| {
        tbs.subject_key = rsa(&modulus(1024), F4);
    }),
    (
        "rsa-16384",
        "a key that is very slow to verify with",
        "CVE-2026-39829",
        "SUBJECT_KEY_INVALID by built-in.subject_key",
        |tbs| {
            tbs.subject_key = rsa(&modulus(16_384), F4);
        },
    ),
    ("rsa-16392", "a key that nobody can verify with", "CVE-2026-39829", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = rsa(&modulus(16_392), F4);
    }),
    (
        "rsa-2048",
        "a key that is shorter than the profile wants",
        "R39",
        "SUBJECT_KEY_TOO_SHORT by min_rsa_bits",
        |tbs| {
            tbs.subject_key = rsa(&modulus(2048), F4);
        },
    ),
    (
        "rsa-small-factor",
        "a key that anybody factors",
        "R39",
        "SUBJECT_KEY_SMALL_FACTOR by built-in.subject_key",
        |tbs| {
            tbs.subject_key = rsa(&[&[0, 0x80][..], &[0x5a; 382], &[1]].concat(), F4);
        },
    ),
    ("rsa-even-modulus", "a modulus with the factor 2", "R39", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = rsa(&[&[0, 0x80][..], &[1; 254], &[2]].concat(), F4);
    }),
    ("rsa-exponent-1", "signatures that anybody makes", "R39", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = rsa(&modulus(3072), &[1]);
    }),
    (
        "rsa-exponent-3",
        "a small exponent, where padding bugs forge signatures",
        "CVE-2006-4339, R39",
        "SUBJECT_KEY_INVALID by built-in.subject_key",
        |tbs| {
            tbs.subject_key = rsa(&modulus(3072), &[3]);
        },
    ),
    ("rsa-exponent-even", "an even exponent", "R39", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = rsa(&modulus(3072), &[1, 0, 0]);
    }),
    ("rsa-negative-modulus", "a modulus below zero", "X.690 §8.3", "PUBLIC_KEY", |tbs| {
        tbs.subject_key = rsa(&modulus(3072)[1..], F4);
    }),
    ("rsa-without-null", "an RSA key without its NULL", "RFC 3279 §2.3.1", "PUBLIC_KEY", |tbs| {
        let key = seq(&[&int(&modulus(3072)), &int(F4)]);
        tbs.subject_key = spki(&seq(&[&oid("1.2.840.113549.1.1.1")]), &key);
    }),
    (
        "rsa-pss",
        "an RSA key that is bound to PSS, which few readers take",
        "RFC 4055 §1.2",
        "PUBLIC_KEY",
        |tbs| {
            let key = seq(&[&int(&modulus(3072)), &int(F4)]);
            tbs.subject_key = spki(&seq(&[&oid("1.2.840.113549.1.1.10")]), &key);
        },
    ),
    ("rsa-trailing", "bytes behind a key, inside its BIT STRING", "X.690 §10", "PUBLIC_KEY", |tbs| {
        let key = [seq(&[&int(&modulus(3072)), &int(F4)]), vec![5, 0]].concat();
        tbs.subject_key = spki(&seq(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]), &key);
    }),
    (
        "rsa-roca",
        "a key that a flawed library made",
        "CVE-2017-15361",
        "SUBJECT_KEY_ROCA by built-in.subject_key",
        |tbs| {
            tbs.subject_key = rsa_hex(ROCA);
        },
    ),
    (
        "rsa-close-primes",
        "a key whose primes are found by Fermat's method",
        "CVE-2022-26320",
        "SUBJECT_KEY_CLOSE_PRIMES by built-in.subject_key",
        |tbs| {
            tbs.subject_key = rsa_hex(CLOSE_PRIMES);
        },
    ),
];

const KEY_IDS: &[Row] = &[
    (
        "other",
        "the identifier of another key, to send readers astray",
        "RFC 5280 §4.2.1.2",
        "SUBJECT_KEY_ID_MISMATCH by built-in.subject_key_id",
        |tbs| {
            tbs.add("subjectKeyIdentifier", extension(SUBJECT_KEY_ID, &octets(&[9; 20])));
        },
    ),
    (
        "of-the-ca",
        "the CA's identifier, to stand for it",
        "RFC 5280 §4.2.1.2",
        "SUBJECT_KEY_ID_MISMATCH by built-in.subject_key_id",
        |tbs| {
            tbs.add("subjectKeyIdentifier", extension(SUBJECT_KEY_ID, &octets(&Kind::Server.key_id())));
        },
    ),
    ("empty", "an identifier of no octets", "RFC 5280 §4.2.1.2", "KEY_IDENTIFIER", |tbs| {
        tbs.add("subjectKeyIdentifier", extension(SUBJECT_KEY_ID, &octets(&[])));
    }),
    ("65-octets", "an identifier to fill lists with", "RFC 5280 §4.2.1.2", "KEY_IDENTIFIER", |tbs| {
        tbs.add("subjectKeyIdentifier", extension(SUBJECT_KEY_ID, &octets(&[9; 65])));
    }),
    (
        "critical",
        "an identifier that readers must understand",
        "RFC 5280 §4.2.1.2",
        "EXTENSION_CRITICALITY",
        |tbs| {
            tbs.add(
                "subjectKeyIdentifier",
                super::der::critical(SUBJECT_KEY_ID, &octets(&super::subject_key_id())),
            );
        },
    ),
];
