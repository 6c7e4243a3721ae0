#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::key::MlDsaPublicKey;

/// Made by `ssh-keygen -t ed25519`; the fingerprint is what `ssh-keygen -l` says.
const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFjAi0ydvY1yZAFjhb2oTVjaDMGaNkdJsrjujP8iMqXa alice";
const FINGERPRINT: &str = "SHA256:RbGshbm+p5FF3NuLHwvvUIMgAoqiH0OGIf41iwLPfPU";

#[test]
fn reads_and_writes_the_line_of_ssh_keygen() {
    let key = SubjectKey::from_openssh_line(&format!("{LINE}\n")).unwrap();
    assert_eq!((key.algorithm(), key.fingerprint().as_str()), ("ssh-ed25519", FINGERPRINT));
    let SubjectKey::Plain(plain) = &key else { panic!("a security key") };
    assert_eq!(
        (plain.to_openssh_line("alice").as_deref(), plain.fingerprint().as_str()),
        (Some(LINE), FINGERPRINT)
    );
    assert_eq!(PublicKey::from_ssh_wire(&key.to_wire()).as_ref(), Ok(plain));
}

#[test]
fn a_line_needs_no_comment() {
    let (line, _) = LINE.rsplit_once(' ').unwrap();
    let SubjectKey::Plain(key) = SubjectKey::from_openssh_line(line).unwrap() else {
        panic!("a security key")
    };
    assert_eq!(key.to_openssh_line("").as_deref(), Some(line));
}

#[test]
fn ml_dsa_has_no_form_in_ssh_and_is_named_by_its_spki() {
    let parameters = ParameterSet::MlDsa65;
    let key = MlDsaPublicKey::new(parameters, vec![7; parameters.public_key_len()]).unwrap();
    let key = PublicKey::MlDsa(key);
    assert_eq!((key.to_ssh_wire(), key.to_openssh_line("alice")), (None, None));
    assert_eq!(key.fingerprint(), fingerprint(&key.to_spki_der()));
    assert_eq!(SubjectKey::Plain(key.clone()).fingerprint(), key.fingerprint());
    // What is written of one for an SSH certificate, no parser takes.
    let blob = SubjectKey::Plain(key).to_wire();
    assert_eq!(SubjectKey::from_wire(&blob).unwrap_err().rule(), "KEY_TYPE_UNKNOWN");
    assert_eq!(PublicKey::from_ssh_wire(&blob).unwrap_err().rule(), "KEY_TYPE_UNKNOWN");
}

#[test]
fn a_comment_cannot_start_another_line() {
    let line = PublicKey::Ed25519([5; 32]).to_openssh_line("alice\r\nssh-ed25519 AAAA").unwrap();
    assert_eq!(line.lines().count(), 1);
    assert!(line.ends_with(" alice??ssh-ed25519 AAAA"), "{line}");
}

#[test]
fn refuses_another_encoding_of_the_same_base64() {
    let (start, _) = LINE.rsplit_once(' ').unwrap();
    // A 51-byte blob has no padding, so an added "=" is wrong.
    assert_eq!(SubjectKey::from_openssh_line(&format!("{start}=")), Err(ParseError::LineNotBase64));
}

#[test]
fn refuses_a_security_key_as_ca_and_takes_it_as_subject() {
    let key = SubjectKey::SkEd25519 { key: [3; 32], application: "ssh:".into() };
    assert_eq!(SubjectKey::from_wire(&key.to_wire()).as_ref(), Ok(&key));
    let name = "sk-ssh-ed25519@openssh.com";
    assert_eq!(PublicKey::from_ssh_wire(&key.to_wire()), Err(ParseError::CaKeyIsSecurityKey { name }));
}
