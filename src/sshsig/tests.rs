#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
    RsaKeyPair,
};
use countersign_tbs::key::{Curve, EcPoint};

use super::*;

const MESSAGE: &[u8] = b"what was agreed\n";
const NAMESPACE: &str = "test@countersign";

/// A token in software.
enum Token {
    Ed25519(Ed25519KeyPair),
    Ec(Curve, EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Token {
    fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    fn ec(curve: Curve) -> Self {
        let algorithm: &'static EcdsaSigningAlgorithm = match curve {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        };
        Self::Ec(curve, EcdsaKeyPair::generate(algorithm).unwrap())
    }

    fn public_key(&self) -> PublicKey {
        match self {
            Self::Ed25519(pair) => PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap()),
            Self::Ec(curve, pair) => {
                PublicKey::Ecdsa(EcPoint::new(*curve, pair.public_key().as_ref().to_vec()).unwrap())
            }
            Self::Rsa(pair) => {
                let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
                PublicKey::from_spki_der(spki.as_ref()).unwrap()
            }
        }
    }

    fn sign(&self, scheme: Scheme, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Ec(_, pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let padding =
                    if scheme == Scheme::RsaPkcs1Sha256 { &RSA_PKCS1_SHA256 } else { &RSA_PKCS1_SHA512 };
                let mut raw = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut raw).unwrap();
                raw
            }
        }
    }

    /// As a security key, which says `flags` of whoever is there.
    fn authenticate(&self, flags: u8) -> (SubjectKey, String) {
        let (application, counter) = ("ssh:".to_owned(), 41);
        let message = by_authenticator(&application, flags, counter, &to_sign(NAMESPACE, MESSAGE));
        let bytes = self.sign(Scheme::Ed25519, &message);
        let public_key = match self.public_key() {
            PublicKey::Ed25519(key) => SubjectKey::SkEd25519 { key, application },
            PublicKey::Ecdsa(point) => SubjectKey::SkEcdsaP256 { point, application },
            other => panic!("no security key is {other:?}"),
        };
        let signature = SshSignature {
            public_key: public_key.clone(),
            namespace: NAMESPACE.to_owned(),
            hash: MessageHash::Sha512,
            raw: Raw::SecurityKey { bytes, flags, counter },
        };
        (public_key, signature.to_armored().unwrap())
    }
}

/// Runs `ssh-keygen -Y` with the message as its input; whether it was content.
fn ssh_keygen(dir: &Path, args: &[&str], message: &[u8]) -> bool {
    let mut command = Command::new("ssh-keygen");
    command.current_dir(dir).arg("-Y").args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(message).unwrap();
    child.wait().unwrap().success()
}

/// What `ssh-keygen` says to a signature: of anybody, and of one whom it knows.
fn accepts(key: &SubjectKey, armored: &str, message: &[u8]) -> [bool; 2] {
    use base64ct::{Base64, Encoding};

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("sig"), armored).unwrap();
    let line = format!("signer {} {}\n", key.algorithm(), Base64::encode_string(&key.to_wire()));
    fs::write(dir.path().join("allowed"), line).unwrap();
    let known = ["verify", "-f", "allowed", "-I", "signer", "-n", NAMESPACE, "-s", "sig"];
    [
        ssh_keygen(dir.path(), &["check-novalidate", "-n", NAMESPACE, "-s", "sig"], message),
        ssh_keygen(dir.path(), &known, message),
    ]
}

#[test]
fn ssh_keygen_verifies_what_a_token_signed() {
    let rsa = || Token::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    let tokens = [
        (Token::ed25519(), Scheme::Ed25519),
        (Token::ec(Curve::P256), Scheme::EcdsaP256Sha256),
        (Token::ec(Curve::P384), Scheme::EcdsaP384Sha384),
        (Token::ec(Curve::P521), Scheme::EcdsaP521Sha512),
        (rsa(), Scheme::RsaPkcs1Sha256),
        (rsa(), Scheme::RsaPkcs1Sha512),
    ];
    for (token, scheme) in tokens {
        let public_key = token.public_key();
        let raw = token.sign(scheme, &to_sign(NAMESPACE, MESSAGE));
        let armored = armored(&public_key, scheme, NAMESPACE, &raw).unwrap();
        let key = SubjectKey::Plain(public_key);
        assert_eq!(accepts(&key, &armored, MESSAGE), [true; 2], "{scheme}");
        assert_eq!(accepts(&key, &armored, b"something else"), [false; 2], "{scheme}");
        assert_eq!(verify(&armored, NAMESPACE, MESSAGE), Ok(key), "{scheme}");
    }
}

#[test]
fn ssh_keygen_takes_security_keys_for_what_they_are_taken_for_here() {
    for token in [Token::ed25519(), Token::ec(Curve::P256)] {
        let (key, armored) = token.authenticate(TOUCHED);
        assert_eq!(accepts(&key, &armored, MESSAGE), [true; 2], "{key:?}");
        assert_eq!(verify(&armored, NAMESPACE, MESSAGE), Ok(key.clone()));
        assert_eq!(accepts(&key, &armored, b"something else"), [false; 2]);
        let wrong = BadSignature::Wrong { fingerprint: key.fingerprint() };
        assert_eq!(verify(&armored, NAMESPACE, b"something else"), Err(wrong.clone()));
        // What the authenticator says is signed, too.
        let mut signature = SshSignature::parse_armored(&armored).unwrap();
        if let Raw::SecurityKey { flags, .. } = &mut signature.raw {
            *flags |= 4;
        }
        assert_eq!(verify(&signature.to_armored().unwrap(), NAMESPACE, MESSAGE), Err(wrong));
        let (key, armored) = token.authenticate(0);
        let untouched = BadSignature::NotTouched { fingerprint: key.fingerprint() };
        assert_eq!(verify(&armored, NAMESPACE, MESSAGE), Err(untouched));
    }
}

/// A key of `ssh-keygen`, and what it signed with it.
fn signed(dir: &Path, kind: &[&str], options: &[&str]) -> (SubjectKey, String) {
    let file: PathBuf = dir.join(kind.concat());
    if !file.exists() {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-N", "", "-t"]).args(kind).arg("-f").arg(&file);
        assert!(keygen.status().unwrap().success());
    }
    let line = fs::read_to_string(file.with_extension("pub")).unwrap();
    let (message, signature) = (dir.join("message"), dir.join("message.sig"));
    fs::write(&message, MESSAGE).unwrap();
    let _ = fs::remove_file(&signature);
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-Y", "sign", "-n", NAMESPACE]).args(options).arg("-f").arg(&file).arg(&message);
    assert!(keygen.status().unwrap().success());
    (SubjectKey::from_openssh_line(&line).unwrap(), fs::read_to_string(signature).unwrap())
}

#[test]
fn verifies_what_ssh_keygen_signed() {
    let dir = tempfile::tempdir().unwrap();
    let kinds: [&[&str]; 5] = [
        &["ed25519"],
        &["ecdsa", "-b", "256"],
        &["ecdsa", "-b", "384"],
        &["ecdsa", "-b", "521"],
        &["rsa", "-b", "2048"],
    ];
    for kind in kinds {
        for options in [&[][..], &["-O", "hashalg=sha256"]] {
            let (key, armored) = signed(dir.path(), kind, options);
            assert_eq!(verify(&armored, NAMESPACE, MESSAGE), Ok(key.clone()), "{kind:?} {options:?}");
            let wrong = BadSignature::Wrong { fingerprint: key.fingerprint() };
            assert_eq!(verify(&armored, NAMESPACE, b"something else"), Err(wrong));
            let (found, wanted) = (NAMESPACE.to_owned(), "file".to_owned());
            assert_eq!(verify(&armored, "file", MESSAGE), Err(BadSignature::Namespace { found, wanted }));
        }
    }
}

#[test]
fn a_signature_says_who_made_it_and_nobody_else_did() {
    let dir = tempfile::tempdir().unwrap();
    let (_, armored) = signed(dir.path(), &["ed25519"], &[]);
    let mut signature = SshSignature::parse_armored(&armored).unwrap();
    let other = SubjectKey::Plain(Token::ed25519().public_key());
    signature.public_key = other.clone();
    let wrong = BadSignature::Wrong { fingerprint: other.fingerprint() };
    assert_eq!(verify(&signature.to_armored().unwrap(), NAMESPACE, MESSAGE), Err(wrong));
    assert!(matches!(
        verify("no signature", NAMESPACE, MESSAGE),
        Err(BadSignature::Form(SshSigError::Armour))
    ));
}

#[test]
fn a_key_that_is_too_small_has_signed_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (key, armored) = signed(dir.path(), &["rsa", "-b", "1024"], &[]);
    let source = UnfitKey { scheme: Scheme::RsaPkcs1Sha512 };
    let unfit = BadSignature::Key { fingerprint: key.fingerprint(), source };
    assert_eq!(verify(&armored, NAMESPACE, MESSAGE), Err(unfit));
}

/// Of these there may be no entry before (docs/ledger.md).
#[test]
fn what_is_signed_in_a_namespace_is_nothing_else() {
    for namespace in [crate::provision::NAMESPACE, "transcript@ceremony.countersign", ""] {
        let message = to_sign(namespace, b"anything");
        for kind in countersign_tbs::TbsKind::ALL {
            assert!(countersign_tbs::Tbs::parse(kind, &message).is_err(), "{namespace}: {kind:?}");
        }
        assert!(message.starts_with(b"SSHSIG\0"), "no checkpoint has a zero");
    }
}
