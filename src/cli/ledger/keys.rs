//! Public keys from files, in the forms that people have them.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use base64ct::{Base64, Encoding};
use countersign_tbs::ssh::{self, SubjectKey};
use countersign_tbs::x509::Certificate;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

use crate::cli::Usage;
use crate::key::PublicKey;
use crate::ledger::entry::{fingerprint, from_fingerprint, key_sha256};

/// Every key of a file: PEM public keys and certificates, or lines as in OpenSSH's `.pub` files.
pub(in crate::cli) fn read(path: &Path) -> anyhow::Result<Vec<PublicKey>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let keys =
        if bytes.windows(11).any(|window| window == b"-----BEGIN ") { pem(&bytes) } else { lines(&bytes) };
    let keys = keys.with_context(|| format!("{}", path.display()))?;
    ensure!(
        !keys.is_empty(),
        "{} has no public key: it should hold PEM public keys or certificates, or lines as in OpenSSH's .pub files",
        path.display()
    );
    Ok(keys)
}

fn pem(bytes: &[u8]) -> anyhow::Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for spki in SubjectPublicKeyInfoDer::pem_slice_iter(bytes) {
        keys.push(PublicKey::from_spki_der(&spki?)?);
    }
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        keys.push(Certificate::parse(&certificate?)?.tbs().public_key().clone());
    }
    Ok(keys)
}

fn lines(bytes: &[u8]) -> anyhow::Result<Vec<PublicKey>> {
    let text = str::from_utf8(bytes).context("it is neither PEM nor text")?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let key = |line| match SubjectKey::from_openssh_line(line)? {
        SubjectKey::Plain(key) => Ok(key),
        _ => {
            bail!("a security key signs no certificates")
        }
    };
    lines.map(key).collect()
}

/// The fingerprint itself, or that of the one key in a file.
pub(in crate::cli) fn subject(text: &str) -> anyhow::Result<String> {
    if text.starts_with("SHA256:") {
        ensure!(
            from_fingerprint(text).is_some(),
            Usage(format!("{text} is no fingerprint; `ssh-keygen -l` prints SHA256 and 43 characters"))
        );
        return Ok(text.to_owned());
    }
    let path = PathBuf::from(text);
    let content = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read {text}; --subject takes SHA256:… or a file with a public key or a certificate")
    })?;
    if let Some(key) = ssh_key(&content) {
        return Ok(fingerprint(&key_sha256(&key)));
    }
    Ok(one(&path)?.fingerprint())
}

/// Of the one OpenSSH line: the key, or the key that a certificate is for. A security key is one, too.
fn ssh_key(content: &str) -> Option<SubjectKey> {
    let mut lines = content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    if let Ok(key) = SubjectKey::from_openssh_line(line) {
        return Some(key);
    }
    let base64 = line.split_ascii_whitespace().nth(1)?;
    let certificate = ssh::Certificate::parse(&Base64::decode_vec(base64).ok()?).ok()?;
    Some(certificate.tbs().subject_key().clone())
}

fn one(path: &Path) -> anyhow::Result<PublicKey> {
    let keys =
        read(path).with_context(|| format!("{} is not one key or certificate; give one", path.display()))?;
    match keys.as_slice() {
        [key] => Ok(key.clone()),
        _ => bail!(
            "{} has {} keys; give one, or the fingerprint of the one that is meant",
            path.display(),
            keys.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::policy::fixture::public_key;

    fn read_text(text: &str) -> anyhow::Result<Vec<PublicKey>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn reads_keys_in_every_form_that_people_have() {
        let (one, two) = (public_key("one"), public_key("two"));
        let pem = |key: &PublicKey| crate::cli::pem("PUBLIC KEY", &key.to_spki_der());
        let keys = read_text(&format!("a comment\n{}{}", pem(&one), pem(&two))).unwrap();
        assert_eq!(keys, [one.clone(), two.clone()]);
        let lines = format!(
            "# CAs\n\n{}\n{}\n",
            one.to_openssh_line("a ca").unwrap(),
            two.to_openssh_line("").unwrap()
        );
        assert_eq!(read_text(&lines).unwrap(), [one, two]);
        let certified = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        let keys = read_text(&certified.cert.pem()).unwrap();
        let point = certified.signing_key.public_key_raw();
        assert!(matches!(keys.as_slice(), [PublicKey::Ecdsa(key)] if key.as_bytes() == point));
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        for (text, why) in [
            ("", "has no public key"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "has no public key"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "SubjectPublicKeyInfo"),
            ("ssh-ed25519 AAAA\n", "key"),
        ] {
            let error = format!("{:#}", read_text(text).unwrap_err());
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
