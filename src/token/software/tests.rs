//! Keys that `ssh-keygen` and `openssl` make, in every form that is read, and what is refused.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use super::*;

const PASSPHRASE: &str = "canary passphrase";

struct Made {
    dir: TempDir,
}

impl Made {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    fn run(&self, program: &str, args: &[&str]) {
        let output = Command::new(program).args(args).current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        if self.path().exists() {
            std::fs::set_permissions(self.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn ssh(kind: &[&str], passphrase: &str) -> Self {
        let made = Self::new();
        made.run("ssh-keygen", &[&["-q", "-f", "key", "-C", "a CA", "-N", passphrase], kind].concat());
        made
    }

    fn openssl(kind: &[&str], more: &[&str]) -> Self {
        let made = Self::new();
        made.run("openssl", &[&["genpkey", "-out", "key"], kind, more].concat());
        made
    }

    fn read(&self, passphrase: &str) -> Result<SoftwareKey, SoftwareKeyError> {
        let pin = || Ok(Pin::hold(Zeroizing::new(passphrase.as_bytes().to_vec())));
        SoftwareKey::read(&self.path(), pin)
    }

    /// By a program that is not countersign.
    fn public(&self) -> PublicKey {
        let arguments = ["-y", "-P", PASSPHRASE, "-f", "key"];
        let output =
            Command::new("ssh-keygen").args(arguments).current_dir(self.dir.path()).output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        let wire = Base64::decode_vec(line.split_whitespace().nth(1).unwrap()).unwrap();
        PublicKey::from_ssh_wire(&wire).unwrap()
    }
}

#[test]
fn reads_what_ssh_keygen_makes_with_a_passphrase_and_without() {
    for kind in [
        &["-t", "ecdsa", "-b", "256"][..],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "ecdsa", "-b", "521"],
        &["-t", "ed25519"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "ed25519", "-Z", "aes128-ctr"],
    ] {
        for passphrase in ["", PASSPHRASE] {
            let made = Made::ssh(kind, passphrase);
            assert!(made.read(PASSPHRASE).unwrap().public == made.public(), "{kind:?}");
        }
    }
}

#[test]
fn reads_what_openssl_makes_with_a_passphrase_and_without() {
    let pass = format!("pass:{PASSPHRASE}");
    for kind in [
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    ] {
        for more in [&[][..], &["-aes-256-cbc", "-pass", &pass], &["-aes-128-cbc", "-pass", &pass]] {
            let made = Made::openssl(kind, more);
            assert!(made.read(PASSPHRASE).unwrap().public == made.public(), "{kind:?} {more:?}");
        }
    }
    let made = Made::openssl(&["-algorithm", "ED25519"], &["-aes-192-cbc", "-pass", &pass]);
    assert!(matches!(made.read(PASSPHRASE).unwrap().public, PublicKey::Ed25519(_)));
}

#[test]
fn a_wrong_passphrase_is_called_so() {
    let pass = format!("pass:{PASSPHRASE}");
    let by_openssl = Made::openssl(&["-algorithm", "ED25519"], &["-aes-256-cbc", "-pass", &pass]);
    for made in [Made::ssh(&["-t", "ed25519"], PASSPHRASE), by_openssl] {
        assert!(matches!(made.read("another"), Err(SoftwareKeyError::WrongPassphrase)));
    }
}

#[test]
fn what_is_not_read_is_refused_with_what_to_do() {
    let other = Made::ssh(&["-t", "ed25519", "-Z", "chacha20-poly1305@openssh.com"], PASSPHRASE);
    let message = other.read(PASSPHRASE).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("chacha20") && message.contains("ssh-keygen -p -Z aes256-ctr"), "{message}");
    let old = Made::ssh(&["-t", "rsa", "-b", "2048", "-m", "PEM"], PASSPHRASE);
    let message = old.read(PASSPHRASE).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("RSA PRIVATE KEY") && message.contains("openssl pkcs8 -topk8"), "{message}");
    let made = Made::ssh(&["-t", "ed25519"], "");
    std::fs::set_permissions(made.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(made.read(""), Err(SoftwareKeyError::Mode { mode: 0o640, .. })));
    std::fs::copy(made.dir.path().join("key.pub"), made.path()).unwrap();
    std::fs::set_permissions(made.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(made.read(""), Err(SoftwareKeyError::NoKey { .. })));
}

/// Cut anywhere, or with any bit of it turned, a key is refused or is the same key: never another one, and never a panic.
#[test]
fn a_broken_key_is_no_other_key() {
    let forms = [Made::ssh(&["-t", "ecdsa"], ""), Made::openssl(&["-algorithm", "ED25519"], &[])];
    for made in forms {
        let whole = made.read("").unwrap().public;
        let text = std::fs::read(made.path()).unwrap();
        let (label, bytes) = pem(&text).unwrap();
        let read = |bytes: &[u8]| match label {
            "PRIVATE KEY" => pkcs8::read(bytes),
            _ => openssh::read(bytes, || Err(SoftwareKeyError::Broken)),
        };
        for at in 0..bytes.len() {
            assert!(read(bytes.get(..at).unwrap()).map_or(true, |key| key.public == whole), "cut at {at}");
            if label == "PRIVATE KEY" {
                // Nothing in it tells what the key is but the key itself.
                continue;
            }
            let mut turned = bytes.to_vec();
            *turned.get_mut(at).unwrap() ^= 1;
            assert!(read(&turned).map_or(true, |key| key.public == whole), "byte {at}");
        }
    }
}
