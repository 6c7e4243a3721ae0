//! Runs `openssl` in a private directory.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use countersign_tbs::der::{Oid, Reader, StringKind, oids, tag};
use countersign_tbs::key::PublicKey;
use countersign_tbs::x509::{Attribute, Name, PssHash, SignatureAlgorithm};
use tempfile::TempDir;

/// How `openssl` makes a key, what its signatures are called, and how it makes them.
pub(crate) struct KeyType {
    pub(crate) newkey: &'static [&'static str],
    pub(crate) algorithm: SignatureAlgorithm,
    pub(crate) digest: &'static [&'static str],
}

const PSS: [&str; 4] = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];

pub(crate) const KEY_TYPES: [KeyType; 9] = [
    KeyType { newkey: EC_P256, algorithm: SignatureAlgorithm::EcdsaSha256, digest: &["-sha256"] },
    KeyType { newkey: EC_P384, algorithm: SignatureAlgorithm::EcdsaSha384, digest: &["-sha384"] },
    KeyType { newkey: EC_P521, algorithm: SignatureAlgorithm::EcdsaSha512, digest: &["-sha512"] },
    KeyType { newkey: &["-algorithm", "ED25519"], algorithm: SignatureAlgorithm::Ed25519, digest: &[] },
    KeyType { newkey: RSA, algorithm: SignatureAlgorithm::RsaPkcs1Sha256, digest: &["-sha256"] },
    KeyType { newkey: RSA, algorithm: SignatureAlgorithm::RsaPkcs1Sha384, digest: &["-sha384"] },
    KeyType { newkey: RSA, algorithm: SignatureAlgorithm::RsaPkcs1Sha512, digest: &["-sha512"] },
    KeyType {
        newkey: RSA,
        algorithm: SignatureAlgorithm::RsaPss(PssHash::Sha256),
        digest: &["-sha256", PSS[0], PSS[1], PSS[2], PSS[3]],
    },
    KeyType {
        newkey: RSA,
        algorithm: SignatureAlgorithm::RsaPss(PssHash::Sha512),
        digest: &["-sha512", PSS[0], PSS[1], PSS[2], PSS[3]],
    },
];

const EC_P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const EC_P384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
const EC_P521: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

/// A directory that `openssl` runs in.
pub(crate) struct Directory(TempDir);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), contents).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap()
    }

    pub(crate) fn try_run(&self, arguments: &[&str]) -> Output {
        Command::new("openssl")
            .args(arguments)
            .current_dir(self.path())
            .output()
            .expect("openssl is installed")
    }

    /// Standard output; a failure fails the test.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes `name.key` and returns its public half.
    pub(crate) fn make_key(&self, name: &str, key_type: &KeyType) -> PublicKey {
        let file = format!("{name}.key");
        self.run(&[&["genpkey", "-out", &file], key_type.newkey].concat());
        self.run(&["pkey", "-in", &file, "-pubout", "-outform", "DER", "-out", "spki.der"]);
        PublicKey::from_spki_der(&self.read("spki.der")).unwrap()
    }

    /// Signs with `name.key`, in X.509's encoding of signatures.
    pub(crate) fn sign(&self, name: &str, key_type: &KeyType, tbs: &[u8]) -> Vec<u8> {
        let file = format!("{name}.key");
        self.write("tbs.der", tbs);
        if key_type.digest.is_empty() {
            self.run(&["pkeyutl", "-sign", "-rawin", "-inkey", &file, "-in", "tbs.der", "-out", "signature"]);
        } else {
            let arguments = ["-sign", &file, "-out", "signature", "tbs.der"];
            self.run(&[&["dgst"], key_type.digest, &arguments].concat());
        }
        self.read("signature")
    }
}

/// The TBS of a signed object: the first element inside its SEQUENCE.
pub(crate) fn tbs_of(signed: &[u8]) -> Vec<u8> {
    let mut inner = Reader::new(signed).value(tag::SEQUENCE, "signed").unwrap();
    inner.element(tag::SEQUENCE, "tbs").unwrap().rest().to_vec()
}

pub(crate) fn oid(contents: &[u8]) -> Oid {
    Oid::from_contents(contents).unwrap()
}

pub(crate) fn common_name(value: &str) -> Name {
    Name::new(vec![vec![Attribute::new(oid(oids::COMMON_NAME), StringKind::Utf8, value).unwrap()]]).unwrap()
}

pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
