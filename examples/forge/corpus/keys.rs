//! The key that is certified, the key that certifies, the certificate's algorithm, and the nonce.

use super::{Case, HOST_CA, Row, USER_CA, base, forged, p256, p256_blob};
use crate::forge::{Forgery, string};

pub fn cases() -> Vec<Case> {
    let type_rows = TYPES.iter().map(|&(name, attack, source, reason, algorithm)| {
        let tbs = Forgery { certificate_type: algorithm.to_vec(), ..base() };
        Case::new("type", (name, attack, source, reason), tbs.fields())
    });
    let lists = [
        forged("subject key", ELLIPTIC),
        forged("subject key", CERTIFICATES),
        forged("subject key", RSA),
        forged("ca key", CA_KEYS),
        forged("nonce", NONCES),
        type_rows.collect(),
    ];
    lists.concat()
}

/// Makes the subject an ECDSA key on the curve of this name.
fn ecdsa(tbs: &mut Forgery, curve: &str, point: &[u8]) {
    tbs.certificate_type = format!("ecdsa-sha2-{curve}-cert-v01@openssh.com").into_bytes();
    tbs.subject = [string(curve.as_bytes()), string(point)].concat();
}

/// Makes the subject a security key.
fn security_key(tbs: &mut Forgery, algorithm: &str, key: &[u8], application: &[u8]) {
    tbs.certificate_type = format!("{algorithm}-cert-v01@openssh.com").into_bytes();
    tbs.subject = [key.to_vec(), string(application)].concat();
}

/// Makes the subject an RSA key of these two integers, written as they are.
fn rsa(tbs: &mut Forgery, exponent: &[u8], modulus: &[u8]) {
    tbs.certificate_type = b"ssh-rsa-cert-v01@openssh.com".to_vec();
    tbs.subject = [string(exponent), string(modulus)].concat();
}

/// An odd number of `bits` bits, a multiple of 8, as an mpint: nobody factors it here, so that it need be no product.
fn modulus(bits: usize) -> Vec<u8> {
    [&[0, 0x80][..], &vec![0x5a; bits / 8 - 2], &[1]].concat()
}

const F4: &[u8] = &[1, 0, 1];

/// A point with these two coordinates.
fn point(x: u8, y: u8, len: usize) -> Vec<u8> {
    [&[4][..], &vec![x; len], &vec![y; len]].concat()
}

const CERTIFICATES: &[Row<Forgery>] = &[
    (
        "certificate",
        "a certificate where a plain key belongs",
        "CVE-2025-49825, R39",
        "SUBJECT_IS_CERTIFICATE",
        |tbs| {
            tbs.subject = string(&tbs.encode());
        },
    ),
    (
        "nested-certificates",
        "certificates within certificates, to exhaust a stack",
        "golang/crypto 90f76b8",
        "SUBJECT_IS_CERTIFICATE",
        |tbs| {
            for _ in 0..16 {
                tbs.subject = string(&tbs.encode());
            }
        },
    ),
    (
        "other-certificate",
        "a certificate of another algorithm",
        "CVE-2025-49825",
        "SUBJECT_IS_CERTIFICATE",
        |tbs| {
            let inner = Forgery { certificate_type: b"ssh-rsa-cert-v01@openssh.com".to_vec(), ..tbs.clone() };
            tbs.subject = string(&inner.encode());
        },
    ),
    ("own-ca-key", "the CA's own key, to make a sub-CA of", "B6", "SUBJECT_KEY_IS_CA_KEY", |tbs| {
        ecdsa(tbs, "nistp256", &USER_CA);
    }),
    ("other-ca-key", "the key of another CA of this signer", "B6", "SUBJECT_KEY_IS_CA_KEY", |tbs| {
        ecdsa(tbs, "nistp256", &HOST_CA);
    }),
    (
        "ca-key-as-security-key",
        "the CA's own key in the dress of a security key",
        "B6",
        "SUBJECT_KEY_IS_CA_KEY",
        |tbs| {
            security_key(tbs, "sk-ecdsa-sha2-nistp256", &p256(&USER_CA), b"ssh:");
            tbs.certificate_type = b"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com".to_vec();
        },
    ),
];

const ELLIPTIC: &[Row<Forgery>] = &[
    ("ed25519-empty", "a key of no bytes", "RFC 8709 §4", "KEY_INVALID", |tbs| tbs.subject = string(b"")),
    ("ed25519-31-bytes", "a key that is too short", "RFC 8709 §4", "KEY_INVALID", |tbs| {
        tbs.subject = string(&[0x5a; 31]);
    }),
    ("ed25519-33-bytes", "a key that is too long", "RFC 8709 §4", "KEY_INVALID", |tbs| {
        tbs.subject = string(&[0x5a; 33]);
    }),
    ("ed25519-64-bytes", "a private key", "RFC 8709 §4", "KEY_INVALID", |tbs| {
        tbs.subject = string(&[0x5a; 64]);
    }),
    ("p256-off-curve", "a point on no curve", "SEC 1 §3.2.2", "SUBJECT_KEY_INVALID", |tbs| {
        ecdsa(tbs, "nistp256", &point(0x5a, 0xa5, 32));
    }),
    ("p384-off-curve", "a point on no curve", "SEC 1 §3.2.2", "SUBJECT_KEY_INVALID", |tbs| {
        ecdsa(tbs, "nistp384", &point(0x5a, 0xa5, 48));
    }),
    ("p521-off-curve", "a point on no curve", "SEC 1 §3.2.2", "SUBJECT_KEY_INVALID", |tbs| {
        ecdsa(tbs, "nistp521", &point(0, 1, 66));
    }),
    ("p256-zero", "the point (0, 0)", "SEC 1 §3.2.2", "SUBJECT_KEY_INVALID", |tbs| {
        ecdsa(tbs, "nistp256", &point(0, 0, 32));
    }),
    (
        "p256-beyond-field",
        "coordinates above the field's prime",
        "SEC 1 §3.2.2",
        "SUBJECT_KEY_INVALID",
        |tbs| ecdsa(tbs, "nistp256", &point(0xff, 0xff, 32)),
    ),
    ("p256-infinity", "the point at infinity", "SEC 1 §2.3.3", "KEY_INVALID", |tbs| {
        ecdsa(tbs, "nistp256", &[0]);
    }),
    ("p256-empty", "a point of no bytes", "SEC 1 §2.3.3", "KEY_INVALID", |tbs| ecdsa(tbs, "nistp256", &[])),
    ("p256-compressed", "a second encoding of a point", "SEC 1 §2.3.3", "KEY_INVALID", |tbs| {
        ecdsa(tbs, "nistp256", &[&[2][..], &[0x5a; 32]].concat());
    }),
    ("p256-hybrid", "a third encoding of a point", "SEC 1 §2.3.3", "KEY_INVALID", |tbs| {
        let mut hybrid = USER_CA;
        hybrid[0] = 6;
        ecdsa(tbs, "nistp256", &hybrid);
    }),
    ("p256-short", "a point without its last byte", "SEC 1 §2.3.3", "KEY_INVALID", |tbs| {
        ecdsa(tbs, "nistp256", &point(0x5a, 0xa5, 32)[..64]);
    }),
    ("p256-of-p384-length", "a point of another curve's length", "RFC 5656 §3.1", "KEY_INVALID", |tbs| {
        ecdsa(tbs, "nistp256", &point(0x5a, 0xa5, 48));
    }),
    (
        "other-curve",
        "a type that says P-256 and a key that says P-384",
        "RFC 5656 §3.1",
        "KEY_CURVE_MISMATCH",
        |tbs| {
            ecdsa(tbs, "nistp256", &USER_CA);
            tbs.subject = [string(b"nistp384"), string(&point(0x5a, 0xa5, 48))].concat();
        },
    ),
    ("curve-nul", "a curve's name that ends early in C", "RFC 5656 §3.1", "KEY_CURVE_MISMATCH", |tbs| {
        ecdsa(tbs, "nistp256", &USER_CA);
        tbs.subject = [string(b"nistp256\0"), string(&USER_CA)].concat();
    }),
    (
        "sk-ed25519-no-application",
        "a security key for any relying party",
        "PROTOCOL.u2f",
        "APPLICATION_INVALID",
        |tbs| {
            security_key(tbs, "sk-ssh-ed25519", &string(&[0x5a; 32]), b"");
        },
    ),
    (
        "sk-ed25519-application-nul",
        "an application that ends early in C",
        "PROTOCOL.u2f",
        "APPLICATION_INVALID",
        |tbs| {
            security_key(tbs, "sk-ssh-ed25519", &string(&[0x5a; 32]), b"ssh:\0");
        },
    ),
    (
        "sk-ed25519-application-257-bytes",
        "an application without end",
        "PROTOCOL.u2f",
        "APPLICATION_INVALID",
        |tbs| {
            security_key(tbs, "sk-ssh-ed25519", &string(&[0x5a; 32]), &[b'a'; 257]);
        },
    ),
    (
        "sk-ecdsa-off-curve",
        "a security key's point on no curve",
        "SEC 1 §3.2.2",
        "SUBJECT_KEY_INVALID",
        |tbs| {
            security_key(tbs, "sk-ecdsa-sha2-nistp256", &p256(&point(0x5a, 0xa5, 32)), b"ssh:");
        },
    ),
];

const RSA: &[Row<Forgery>] = &[
    ("rsa-512", "a key that a laptop factors", "R39", "KEY_INVALID", |tbs| rsa(tbs, F4, &modulus(512))),
    ("rsa-1024", "a key that a state factors", "R39", "SUBJECT_KEY_INVALID", |tbs| {
        rsa(tbs, F4, &modulus(1024));
    }),
    ("rsa-2040", "a key just below the limit", "R39", "SUBJECT_KEY_INVALID", |tbs| {
        rsa(tbs, F4, &modulus(2040));
    }),
    ("rsa-8200", "a key that is slow to verify with", "CVE-2026-39829", "SUBJECT_KEY_INVALID", |tbs| {
        rsa(tbs, F4, &modulus(8200));
    }),
    ("rsa-16384", "a key that is very slow to verify with", "CVE-2026-39829", "SUBJECT_KEY_INVALID", |tbs| {
        rsa(tbs, F4, &modulus(16_384));
    }),
    ("rsa-16392", "a key that nobody can verify with", "CVE-2026-39829", "KEY_INVALID", |tbs| {
        rsa(tbs, F4, &modulus(16_392));
    }),
    (
        "rsa-not-listed",
        "a good RSA key where the profile wants none",
        "R39",
        "SUBJECT_KEY_NOT_ALLOWED",
        // No prime below 752 divides this one.
        |tbs| rsa(tbs, F4, &[&[0, 0x80][..], &[1; 382], &[7]].concat()),
    ),
    ("rsa-small-factor", "a key that anybody factors", "R39", "SUBJECT_KEY_SMALL_FACTOR", |tbs| {
        rsa(tbs, F4, &modulus(3072));
    }),
    ("rsa-even-modulus", "a modulus with the factor 2", "R39", "KEY_INVALID", |tbs| {
        let mut even = modulus(2048);
        even[256] = 2;
        rsa(tbs, F4, &even);
    }),
    ("rsa-no-modulus", "a modulus of zero", "R39", "KEY_INVALID", |tbs| rsa(tbs, F4, &[])),
    ("rsa-exponent-zero", "an exponent of zero", "R39", "KEY_INVALID", |tbs| rsa(tbs, &[], &modulus(2048))),
    ("rsa-exponent-1", "signatures that anybody makes", "R39", "KEY_INVALID", |tbs| {
        rsa(tbs, &[1], &modulus(2048));
    }),
    ("rsa-exponent-2", "an even exponent", "R39", "KEY_INVALID", |tbs| rsa(tbs, &[2], &modulus(2048))),
    (
        "rsa-exponent-3",
        "a small exponent, where padding bugs forge signatures",
        "CVE-2006-4339",
        "SUBJECT_KEY_INVALID",
        |tbs| rsa(tbs, &[3], &modulus(2048)),
    ),
    ("rsa-exponent-65535", "an exponent just below the limit", "R39", "SUBJECT_KEY_INVALID", |tbs| {
        rsa(tbs, &[0, 0xff, 0xff], &modulus(2048));
    }),
    ("rsa-exponent-65536", "an even exponent", "R39", "KEY_INVALID", |tbs| {
        rsa(tbs, &[1, 0, 0], &modulus(2048));
    }),
    (
        "rsa-exponent-9-bytes",
        "an exponent that is slow to verify with",
        "CVE-2026-39829",
        "KEY_INVALID",
        |tbs| rsa(tbs, &[1; 9], &modulus(2048)),
    ),
    ("rsa-swapped", "modulus and exponent swapped", "RFC 4253 §6.6", "KEY_INVALID", |tbs| {
        rsa(tbs, &modulus(2048), F4);
    }),
    ("rsa-negative-modulus", "a modulus below zero", "RFC 4251 §5", "INTEGER_NEGATIVE", |tbs| {
        rsa(tbs, F4, &modulus(2048)[1..]);
    }),
    ("rsa-negative-exponent", "an exponent below zero", "RFC 4251 §5", "INTEGER_NEGATIVE", |tbs| {
        rsa(tbs, &[0x80, 0, 1], &modulus(2048));
    }),
    ("rsa-padded-modulus", "a second encoding of a modulus", "RFC 4251 §5", "INTEGER_NOT_MINIMAL", |tbs| {
        rsa(tbs, F4, &[&[0][..], &modulus(2048)].concat());
    }),
    (
        "rsa-padded-exponent",
        "a second encoding of an exponent",
        "RFC 4251 §5",
        "INTEGER_NOT_MINIMAL",
        |tbs| rsa(tbs, &[0, 1, 0, 1], &modulus(2048)),
    ),
];

const CA_KEYS: &[Row<Forgery>] = &[
    ("other-ed25519", "the key of another CA", "B6", "CA_KEY_MISMATCH", |tbs| {
        tbs.ca_key = [string(b"ssh-ed25519"), string(&[9; 32])].concat();
    }),
    ("other-of-this-signer", "the key of another CA of this signer", "B6", "CA_KEY_MISMATCH", |tbs| {
        tbs.ca_key = p256_blob(&HOST_CA);
    }),
    ("other-rsa", "the RSA key of another CA", "B6", "CA_KEY_MISMATCH", |tbs| {
        tbs.ca_key = [string(b"ssh-rsa"), string(F4), string(&modulus(3072))].concat();
    }),
    (
        "certificate",
        "a chain, which the format does not have",
        "golang/crypto 0ae49b8, c6fce02",
        "CA_KEY_IS_CERTIFICATE",
        |tbs| tbs.ca_key = tbs.encode(),
    ),
    ("security-key", "a security key as a CA", "-", "CA_KEY_IS_SECURITY_KEY", |tbs| {
        tbs.ca_key = [string(b"sk-ssh-ed25519@openssh.com"), string(&[9; 32]), string(b"ssh:")].concat();
    }),
    ("dsa", "a DSA key", "R39", "KEY_TYPE_UNKNOWN", |tbs| {
        tbs.ca_key = [string(b"ssh-dss"), string(&[1; 128])].concat();
    }),
    ("signature-algorithm", "a signature algorithm as a key's type", "R7", "KEY_TYPE_UNKNOWN", |tbs| {
        tbs.ca_key = [string(b"rsa-sha2-512"), string(F4), string(&modulus(3072))].concat();
    }),
    ("empty", "no CA key", "-", "TBS_TRUNCATED", |tbs| tbs.ca_key.clear()),
    ("type-only", "a CA key without its key", "-", "TBS_TRUNCATED", |tbs| {
        tbs.ca_key = string(b"ssh-ed25519");
    }),
    ("trailing-byte", "the right key and a byte that nobody reads", "-", "TBS_TRAILING_BYTES", |tbs| {
        tbs.ca_key.push(0);
    }),
    ("two", "the right key and another", "-", "TBS_TRAILING_BYTES", |tbs| {
        tbs.ca_key = [p256_blob(&USER_CA), p256_blob(&HOST_CA)].concat();
    }),
    ("compressed", "a second encoding of a point", "SEC 1 §2.3.3", "KEY_INVALID", |tbs| {
        tbs.ca_key = p256_blob(&[&[2][..], &[0x5a; 32]].concat());
    }),
    (
        "other-curve",
        "the right point under another curve's name",
        "RFC 5656 §3.1",
        "KEY_CURVE_MISMATCH",
        |tbs| {
            tbs.ca_key = [string(b"ecdsa-sha2-nistp256"), string(b"nistp384"), string(&USER_CA)].concat();
        },
    ),
    ("negative-rsa", "a modulus below zero", "RFC 4251 §5", "INTEGER_NEGATIVE", |tbs| {
        tbs.ca_key = [string(b"ssh-rsa"), string(F4), string(&modulus(3072)[1..])].concat();
    }),
];

const NONCES: &[Row<Forgery>] = &[
    (
        "empty",
        "a certificate whose hash is known before it is asked for",
        "PROTOCOL.certkeys",
        "NONCE_LENGTH",
        |tbs| tbs.nonce.clear(),
    ),
    (
        "15-bytes",
        "a nonce that is too short to be unpredictable",
        "PROTOCOL.certkeys",
        "NONCE_LENGTH",
        |tbs| tbs.nonce.truncate(15),
    ),
    ("65-bytes", "room to search for a collision in", "PROTOCOL.certkeys", "NONCE_LENGTH", |tbs| {
        tbs.nonce = vec![7; 65];
    }),
    ("30-kib", "much room to search for a collision in", "PROTOCOL.certkeys", "NONCE_LENGTH", |tbs| {
        tbs.nonce = vec![7; 30 * 1024];
    }),
];

/// Rows whose type is given.
const TYPES: &[(&str, &str, &str, &str, &[u8])] = &[
    ("empty", "no type", "-", "TYPE_UNKNOWN", b""),
    ("dsa", "a certificate for a DSA key", "R39", "TYPE_UNKNOWN", b"ssh-dss-cert-v01@openssh.com"),
    (
        "v00",
        "the format without nonce and serial",
        "PROTOCOL.certkeys",
        "TYPE_UNKNOWN",
        b"ssh-rsa-cert-v00@openssh.com",
    ),
    (
        "v02",
        "a version that does not exist",
        "PROTOCOL.certkeys",
        "TYPE_UNKNOWN",
        b"ssh-ed25519-cert-v02@openssh.com",
    ),
    (
        "ed448",
        "an algorithm that is not read here",
        "RFC 8709",
        "TYPE_UNKNOWN",
        b"ssh-ed448-cert-v01@openssh.com",
    ),
    ("x509", "an X.509 certificate in SSH", "RFC 6187", "TYPE_UNKNOWN", b"x509v3-ecdsa-sha2-nistp256"),
    ("plain-key", "a plain key's type", "B6", "TYPE_UNKNOWN", b"ssh-ed25519"),
    (
        "other-domain",
        "a type of somebody else's",
        "RFC 4251 §6",
        "TYPE_UNKNOWN",
        b"ssh-ed25519-cert-v01@example.org",
    ),
    (
        "other-case",
        "a type that a lenient reader takes for another",
        "RFC 4251 §6",
        "TYPE_UNKNOWN",
        b"SSH-ED25519-cert-v01@openssh.com",
    ),
    (
        "nul",
        "a type that ends early in C",
        "RFC 4251 §6",
        "TYPE_UNKNOWN",
        b"ssh-ed25519-cert-v01@openssh.com\0",
    ),
    (
        "newline",
        "a type with a second line",
        "RFC 4251 §6",
        "TYPE_UNKNOWN",
        b"ssh-ed25519-cert-v01@openssh.com\n",
    ),
    (
        "nested",
        "a certificate for a certificate",
        "golang/crypto 90f76b8",
        "SUBJECT_IS_CERTIFICATE",
        b"ssh-ed25519-cert-v01@openssh.com-cert-v01@openssh.com",
    ),
    (
        "rsa-sha2-256",
        "a signature algorithm as a certificate's type",
        "PROTOCOL.certkeys",
        "TYPE_IS_SIGNATURE_ALGORITHM",
        b"rsa-sha2-256-cert-v01@openssh.com",
    ),
    (
        "rsa-sha2-512",
        "a signature algorithm as a certificate's type",
        "PROTOCOL.certkeys",
        "TYPE_IS_SIGNATURE_ALGORITHM",
        b"rsa-sha2-512-cert-v01@openssh.com",
    ),
    (
        "other-key",
        "a type that says P-256 before a key that is Ed25519",
        "B6",
        "KEY_CURVE_MISMATCH",
        b"ecdsa-sha2-nistp256-cert-v01@openssh.com",
    ),
];
