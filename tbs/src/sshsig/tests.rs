#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::key::{Curve, EcPoint, MlDsaPublicKey, ParameterSet};

const KEY: PublicKey = PublicKey::Ed25519([7; 32]);

fn signature() -> SshSignature {
    SshSignature::new(&KEY, "file", Scheme::Ed25519, &[9; 64]).unwrap()
}

fn by_security_key() -> SshSignature {
    SshSignature {
        public_key: SubjectKey::SkEd25519 { key: [7; 32], application: "ssh:".to_owned() },
        raw: Raw::SecurityKey { bytes: vec![9; 64], flags: 1, counter: 3 },
        ..signature()
    }
}

/// The fields after the version, to be changed one at a time.
fn blob(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = b"SSHSIG\0\0\0\x01".to_vec();
    for field in fields {
        put_string(&mut out, field);
    }
    out
}

#[test]
fn what_is_signed_is_what_the_protocol_says() {
    let signed = signed_bytes("file", MessageHash::Sha512, &[1, 2]);
    assert_eq!(signed, b"SSHSIG\0\0\0\x04file\0\0\0\0\0\0\0\x06sha512\0\0\0\x02\x01\x02");
}

#[test]
fn reads_what_it_writes() {
    for signature in [signature(), by_security_key()] {
        let armored = signature.to_armored().unwrap();
        assert!(armored.lines().all(|line| line.len() <= LINE_LEN), "{armored}");
        for text in [armored.clone(), armored.replace('\n', "\r\n"), format!("\n{armored}\n\n")] {
            assert_eq!(SshSignature::parse_armored(&text).as_ref(), Ok(&signature));
        }
    }
}

#[test]
fn refuses_another_armour() {
    let good = signature().to_armored().unwrap();
    let parse = SshSignature::parse_armored;
    for bad in [
        String::new(),
        format!("hello\n{good}"),
        format!("{good}hello\n"),
        good.replace("BEGIN SSH", "BEGIN PGP"),
        good.replace("-----END", "----END"),
        BEGIN.to_owned(),
        format!("{BEGIN}{END}"),
    ] {
        assert_eq!(parse(&bad), Err(SshSigError::Armour), "{bad}");
    }
    assert_eq!(parse(&good.replacen("\nU", "\n!", 1)), Err(SshSigError::Base64));
    assert_eq!(parse(&format!("{good}{good}")), Err(SshSigError::Base64), "two in one");
    let long = "x".repeat(SshSignature::MAX_LEN + 1);
    assert_eq!(parse(&long), Err(SshSigError::TooLarge { len: long.len() }));
}

#[test]
fn refuses_each_field_that_is_wrong() {
    let (key, raw) =
        (SubjectKey::Plain(KEY).to_wire(), ssh_signature_blob(Scheme::Ed25519, &[9; 64]).unwrap());
    let good: [&[u8]; 5] = [&key, b"file", b"", b"sha512", &raw];
    assert_eq!(SshSignature::parse(&blob(&good)), Ok(signature()));
    let other = |at: usize, field: &[u8]| {
        let mut fields = good;
        *fields.get_mut(at).unwrap() = field;
        SshSignature::parse(&blob(&fields)).unwrap_err()
    };
    assert_eq!(other(1, b""), SshSigError::Namespace);
    assert_eq!(other(1, b"\xff"), SshSigError::Namespace);
    assert_eq!(other(1, b"a\nb"), SshSigError::Namespace);
    assert_eq!(other(2, b"x"), SshSigError::Reserved);
    assert_eq!(other(3, b"md5"), SshSigError::Hash { name: "md5".to_owned() });
    assert!(matches!(other(0, b"no key"), SshSigError::Field(_)));
    assert!(matches!(other(4, b""), SshSigError::Field(ParseError::Truncated { .. })));
    let p256 = ssh_signature_blob(Scheme::EcdsaP256Sha256, &[9; 64]).unwrap();
    assert!(matches!(other(4, &p256), SshSigError::Mismatch { .. }));
    let trailing = [blob(&good), vec![0]].concat();
    assert!(matches!(
        SshSignature::parse(&trailing),
        Err(SshSigError::Field(ParseError::TrailingBytes { .. }))
    ));
    assert_eq!(SshSignature::parse(b"SSHSIH"), Err(SshSigError::Preamble));
    assert_eq!(SshSignature::parse(b"SSHSIG\0\0\0\x02"), Err(SshSigError::Version { version: 2 }));
    for len in 0..blob(&good).len() {
        assert!(SshSignature::parse(blob(&good).get(..len).unwrap()).is_err(), "{len} bytes of it");
    }
}

#[test]
fn a_security_keys_signature_is_of_its_own_form() {
    let sk = by_security_key();
    let plain = Raw::Plain { scheme: Scheme::Ed25519, bytes: vec![9; 64] };
    assert!(matches!(SshSignature { raw: plain, ..sk.clone() }.encode(), Err(SshSigError::Mismatch { .. })));
    assert!(matches!(
        SshSignature { raw: sk.raw.clone(), ..signature() }.encode(),
        Err(SshSigError::Mismatch { .. })
    ));
    let short = Raw::SecurityKey { bytes: vec![9; 63], flags: 1, counter: 3 };
    assert!(matches!(SshSignature { raw: short, ..sk.clone() }.encode(), Err(SshSigError::Signature(_))));
    let key = sk.public_key.to_wire();
    let plain = ssh_signature_blob(Scheme::Ed25519, &[9; 64]).unwrap();
    let bytes = blob(&[&key, b"file", b"", b"sha512", &plain]);
    assert!(matches!(SshSignature::parse(&bytes), Err(SshSigError::Mismatch { .. })));
    let point = [&[4][..], &[1; 64]].concat();
    let key = SubjectKey::SkEcdsaP256 {
        point: EcPoint::new(Curve::P256, point).unwrap(),
        application: "ssh:".to_owned(),
    };
    let ecdsa = SshSignature { public_key: key, ..sk };
    assert_eq!(SshSignature::parse(&ecdsa.encode().unwrap()), Ok(ecdsa));
}

#[test]
fn ssh_has_no_form_for_all_keys_and_schemes() {
    let set = ParameterSet::MlDsa44;
    let key = PublicKey::MlDsa(MlDsaPublicKey::new(set, vec![1; 1312]).unwrap());
    let raw = vec![1; set.signature_len()];
    let made = SshSignature::new(&key, "file", Scheme::MlDsa44, &raw);
    assert_eq!(made, Err(SshSigError::Signature(SignatureError::NotInSsh { scheme: Scheme::MlDsa44 })));
    let made = SshSignature::new(&KEY, "", Scheme::Ed25519, &[9; 64]);
    assert_eq!(made, Err(SshSigError::Namespace));
    assert!(SshSignature::new(&KEY, "file", Scheme::EcdsaP256Sha256, &[9; 64]).is_err());
}
