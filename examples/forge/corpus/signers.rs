//! The keys that sign lists and answers, and what is known of them before they exist.
//!
//! Their names and key identifiers are fixed: the test certifies them so. The hashes of their keys, which OCSP names keys
//! by, have stand-ins ([`KEY_HASHES`]).

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::x509::issuer_name;

/// A key, and what its one profile is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signer {
    /// A CA that signs its complete lists itself.
    CrlCa,
    /// A key of purpose `x509-crl`, for complete and delta lists.
    CrlKey,
    /// A CA that answers for itself, without nonces.
    OcspCa,
    /// A key of purpose `ocsp`, which [`Self::OcspCa`] delegates to; with nonces.
    OcspKey,
}

impl Signer {
    pub const ALL: [Self; 4] = [Self::CrlCa, Self::CrlKey, Self::OcspCa, Self::OcspKey];

    /// The key's name; its certificate is for `O=Example, CN=` this.
    pub const fn key(self) -> &'static str {
        match self {
            Self::CrlCa => "crl-ca",
            Self::CrlKey => "crl-key",
            Self::OcspCa => "ocsp-ca",
            Self::OcspKey => "ocsp-key",
        }
    }

    /// subjectKeyIdentifier of the key's certificate.
    pub const fn key_id(self) -> [u8; 20] {
        match self {
            Self::CrlCa => [0xb0; 20],
            Self::CrlKey => [0xb1; 20],
            Self::OcspCa => [0xb2; 20],
            Self::OcspKey => [0xb3; 20],
        }
    }

    /// The subject of the key's certificate.
    pub fn name(self) -> Vec<u8> {
        issuer_name(self.key())
    }
}

/// A hash of a key, which exists only at run time.
#[derive(Debug)]
pub struct KeyHash {
    /// What a file calls it, between angle brackets.
    pub name: &'static str,
    pub key: &'static str,
    /// As long as the hash.
    pub stand_in: &'static [u8],
    algorithm: &'static Algorithm,
}

impl KeyHash {
    pub fn of(&self, point: &[u8]) -> Vec<u8> {
        digest(self.algorithm, point).as_ref().to_vec()
    }
}

pub const SHA1_OF_OCSP_CA: &[u8; 20] = b"SHA-1 of ocsp-ca key";
pub const SHA1_OF_REQUEST_CA: &[u8; 20] = b"SHA-1 of request-ca.";
pub const SHA1_OF_ROOT_CA: &[u8; 20] = b"SHA-1 of root-ca key";
pub const SHA1_OF_OCSP_KEY: &[u8; 20] = b"SHA-1 of ocsp-key's.";
pub const SHA256_OF_CRL_CA: &[u8; 32] = b"SHA-256 of the key of crl-ca....";
pub const SHA256_OF_OCSP_CA: &[u8; 32] = b"SHA-256 of the key of ocsp-ca...";
pub const SHA256_OF_OCSP_KEY: &[u8; 32] = b"SHA-256 of the key of ocsp-key..";

/// Every stand-in for a hash of a key.
pub static KEY_HASHES: &[KeyHash] = &[
    sha1("sha1:ocsp-ca", "ocsp-ca", SHA1_OF_OCSP_CA),
    sha1("sha1:ocsp-key", "ocsp-key", SHA1_OF_OCSP_KEY),
    sha1("sha1:request-ca", "request-ca", SHA1_OF_REQUEST_CA),
    sha1("sha1:root-ca", "root-ca", SHA1_OF_ROOT_CA),
    sha256("sha256:crl-ca", "crl-ca", SHA256_OF_CRL_CA),
    sha256("sha256:ocsp-ca", "ocsp-ca", SHA256_OF_OCSP_CA),
    sha256("sha256:ocsp-key", "ocsp-key", SHA256_OF_OCSP_KEY),
];

const fn sha1(name: &'static str, key: &'static str, stand_in: &'static [u8; 20]) -> KeyHash {
    KeyHash { name, key, stand_in, algorithm: &SHA1_FOR_LEGACY_USE_ONLY }
}

const fn sha256(name: &'static str, key: &'static str, stand_in: &'static [u8; 32]) -> KeyHash {
    KeyHash { name, key, stand_in, algorithm: &SHA256 }
}
