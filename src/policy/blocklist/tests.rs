#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::process::Command;

use countersign_tbs::key::{Curve, EcPoint, PublicKey, RsaPublicKey};
use countersign_tbs::ssh::SubjectKey;

use super::{Blocklist, KeyList, ListError, ListFormat, openssl_hash};

/// The modulus of an RSA key that a flawed Debian made (CVE-2008-0166), with exponent 65537: public test data of badkeys
/// (PyPI, badkeys 0.0.21, tests/data/rsa-debianweak.key, MIT). Nobody's key.
const WEAK: &str = include_str!("debian-weak.hex");

/// That of another: a certificate of 2008 by which scanners test whether they find such keys ("CN=CA, OU=Test, O=Testlib").
const WEAK_2008: &str = include_str!("debian-weak-2008.hex");

fn bytes(hex: &str) -> Vec<u8> {
    let (pairs, _) = hex.trim().as_bytes().as_chunks::<2>();
    pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn rsa(modulus: &str, exponent: &[u8]) -> PublicKey {
    PublicKey::Rsa(RsaPublicKey::new(bytes(modulus), exponent.to_vec()).unwrap())
}

fn has(list: &KeyList, key: &PublicKey) -> bool {
    list.has(key, key.to_ssh_wire().as_deref())
}

fn list(format: ListFormat, bytes: &[u8]) -> KeyList {
    KeyList::parse(format, bytes.to_vec()).unwrap()
}

/// A record of badkeys for each hash, sorted.
fn badkeys(hashes: &[&str]) -> KeyList {
    let mut records: Vec<Vec<u8>> = hashes.iter().map(|hash| [bytes(hash), vec![1]].concat()).collect();
    records.sort();
    list(ListFormat::Badkeys, &records.concat())
}

#[test]
fn finds_a_weak_key_of_debian_in_the_list_of_badkeys_whatever_its_exponent() {
    // What `openssl rsa -modulus | … | sha256sum` says of it, as docs/BLOCKLISTFORMAT.md of badkeys has it.
    let others = ["00".repeat(15), "31c152529eb033a010f8c272fd8d41".into(), "ff".repeat(15)];
    let others = others.each_ref().map(String::as_str);
    let found = badkeys(&[&others[..], &["31c152529eb033a010f8c272fd8d42"]].concat());
    for exponent in [&[1, 0, 1][..], &[3]] {
        assert!(has(&found, &rsa(WEAK, exponent)));
        assert!(!has(&badkeys(&others), &rsa(WEAK, exponent)));
    }
    assert!(!has(&found, &rsa(WEAK_2008, &[1, 0, 1])));
}

#[test]
fn finds_a_weak_key_of_debian_in_the_list_of_openssl_blacklist() {
    let text = "# 2008\n00008be7025d9f1a9088\nd10d992069d592fe1766\n\n";
    let found = list(ListFormat::Openssl, text.as_bytes());
    assert_eq!(found.count(), 2);
    assert!(has(&found, &rsa(WEAK_2008, &[1, 0, 1])));
    assert!(!has(&found, &rsa(WEAK, &[1, 0, 1])));
    let other = list(ListFormat::Openssl, &text.replace("1766", "1767").into_bytes());
    assert!(!has(&other, &rsa(WEAK_2008, &[1, 0, 1])));
}

#[test]
fn hashes_a_modulus_as_openssl_prints_it() {
    // Of 2052 bits, so that its first digit is alone in its byte.
    for bits in [2048, 2052] {
        let run = format!(
            "openssl genrsa {bits} 2>/dev/null | openssl rsa -noout -modulus | tee /dev/stderr | sha1sum"
        );
        let output = Command::new("sh").args(["-c", &run]).output().unwrap();
        let modulus = String::from_utf8(output.stderr).unwrap();
        let modulus = modulus.trim().strip_prefix("Modulus=").unwrap().to_owned();
        let even = format!("{}{modulus}", if modulus.len().is_multiple_of(2) { "" } else { "0" });
        let hash = openssl_hash(&rsa(&even, &[1, 0, 1])).unwrap();
        assert_eq!(hash.as_slice(), bytes(str::from_utf8(&output.stdout[20..40]).unwrap()), "{modulus}");
    }
}

#[test]
fn finds_keys_of_every_kind_by_what_badkeys_takes_for_them() {
    // SHA-256 of the number without its leading zeros: the X of a point, the bytes of an Ed25519 key.
    let number = [7; 31];
    let hash = super::sha256(&[&number])
        .iter()
        .take(15)
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let found = badkeys(&[&hash]);
    let ed25519 = [&[0][..], &number].concat().try_into().unwrap();
    assert!(has(&found, &PublicKey::Ed25519(ed25519)));
    assert!(!has(&found, &PublicKey::Ed25519([7; 32])));
    let point = |x: &[u8]| PublicKey::Ecdsa(EcPoint::new(Curve::P256, [&[4], x, &[9; 32]].concat()).unwrap());
    assert!(has(&found, &point(&ed25519)));
    assert!(!has(&found, &point(&[9; 32])));
}

#[test]
fn finds_keys_by_fingerprint_as_ssh_keygen_and_openssl_say_it() {
    let directory = tempfile::tempdir().unwrap();
    let run = |script: &str| {
        let output = Command::new("sh").args(["-ec", script]).current_dir(directory.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let ssh = run("ssh-keygen -q -t ecdsa -N '' -f id && ssh-keygen -l -f id.pub | cut -d' ' -f2");
    let spki = run(
        "ssh-keygen -e -m PKCS8 -f id.pub | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1",
    );
    let line = std::fs::read_to_string(directory.path().join("id.pub")).unwrap();
    let SubjectKey::Plain(key) = SubjectKey::from_openssh_line(&line).unwrap() else { panic!("{line}") };
    for name in [ssh, spki] {
        assert!(has(&list(ListFormat::Fingerprints, name.as_bytes()), &key), "{name}");
    }
    assert!(!has(&list(ListFormat::Fingerprints, "5a".repeat(32).as_bytes()), &key));
}

#[test]
fn finds_a_security_key_by_its_own_fingerprint_and_by_that_of_the_key_in_it() {
    let security_key = SubjectKey::SkEd25519 { key: [7; 32], application: "ssh:".to_owned() };
    let inner = PublicKey::Ed25519([7; 32]);
    for name in [security_key.fingerprint(), inner.fingerprint()] {
        assert!(
            list(ListFormat::Fingerprints, name.as_bytes()).has(&inner, Some(&security_key.to_wire())),
            "{name}"
        );
    }
}

#[test]
fn what_is_no_list_is_an_error_that_names_the_line() {
    let parse = |format, bytes: &[u8]| KeyList::parse(format, bytes.to_vec()).unwrap_err();
    for format in ListFormat::ALL {
        assert_eq!(parse(format, b""), ListError::Empty);
    }
    assert_eq!(parse(ListFormat::Openssl, b"# only a comment\n"), ListError::Empty);
    assert_eq!(parse(ListFormat::Badkeys, &[0; 33]), ListError::Records(33));
    let unsorted = [[1; 16], [3; 16], [2; 16], [4; 16]].concat();
    assert_eq!(parse(ListFormat::Badkeys, &unsorted), ListError::NotSorted(3));
    let good = "d10d992069d592fe1766";
    let fingerprint = SubjectKey::Plain(PublicKey::Ed25519([7; 32])).fingerprint();
    for (format, bad) in [
        (ListFormat::Openssl, "d10d992069d592fe176"),
        (ListFormat::Openssl, "d10d992069d592fe17660"),
        (ListFormat::Openssl, "d10d992069d592fe176g"),
        (ListFormat::Openssl, "d10d992069d592fe1766 d10d992069d592fe1766"),
        (ListFormat::Openssl, &fingerprint),
        (ListFormat::Fingerprints, good),
        (ListFormat::Fingerprints, "SHA256:"),
        (ListFormat::Fingerprints, "MD5:d1:0d"),
        (ListFormat::Fingerprints, &format!("{fingerprint}=")),
        (ListFormat::Fingerprints, &format!("2048 {fingerprint} a comment (RSA)")),
    ] {
        let text = format!("# first\n\n{bad}\n");
        let error = parse(format, text.as_bytes());
        assert!(matches!(error, ListError::Line { line: 3, .. }), "{bad}: {error:?}");
    }
    assert!(matches!(parse(ListFormat::Openssl, &[0xff; 20]), ListError::Line { line: 1, .. }));
}

#[test]
fn the_order_of_the_lists_does_not_matter() {
    let lists = || vec![badkeys(&[&"00".repeat(15)]), list(ListFormat::Openssl, b"d10d992069d592fe1766")];
    let one = Blocklist::new(lists());
    let other = Blocklist::new(lists().into_iter().rev().collect());
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
    let weak = rsa(WEAK_2008, &[1, 0, 1]);
    assert_eq!(one.find(&weak, weak.to_ssh_wire().as_deref()), Some(ListFormat::Openssl));
    assert_eq!(Blocklist::default().find(&weak, weak.to_ssh_wire().as_deref()), None);
}
