#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_44_SIGNING, PqdsaKeyPair};
use countersign_tbs::key::{MlDsaPublicKey, ParameterSet};

use super::*;

fn record(key: &PublicKey, scheme: Scheme) -> Record {
    Record {
        format: Format::V1,
        how: How::Generated,
        note: None,
        key: "user-ca".to_owned(),
        purpose: "ssh-user-ca".to_owned(),
        scheme: scheme.name().to_owned(),
        time: "2026-11-27T00:00:00Z".to_owned(),
        operator: Operator { uid: 0, name: Some("root".to_owned()), login_uid: None },
        host: "hsm-1".to_owned(),
        program: "countersign 0.1.0".to_owned(),
        module: None,
        token: Token {
            name: "soft".to_owned(),
            label: Some("one".to_owned()),
            serial: "1f2e".to_owned(),
            manufacturer: None,
            model: "model".to_owned(),
            firmware: "1.0".to_owned(),
        },
        place: Place { label: Some("user-ca".to_owned()), id: Some("01".to_owned()), slot: None },
        attributes: vec![Attribute {
            name: "CKA_SENSITIVE".to_owned(),
            expected: Some("true".to_owned()),
            told: Some("true".to_owned()),
            accepted: None,
        }],
        public_key: Public::of(key),
        attestation: None,
    }
}

/// A key in software, and its public half.
fn key() -> (Ed25519KeyPair, PublicKey) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
    (pair, public)
}

fn signed() -> SignedRecord {
    let (pair, public) = key();
    record(&public, Scheme::Ed25519).sign(|message| Ok(pair.sign(message).as_ref().to_vec())).unwrap()
}

#[test]
fn a_record_has_one_encoding() {
    let signed = signed();
    assert_eq!(Record::parse(signed.bytes()).unwrap(), *signed.record());
    let text = String::from_utf8(signed.bytes().to_vec()).unwrap();
    for other in [text.trim_end().to_owned(), text.replace(": ", ":"), format!("{text}\n")] {
        assert!(matches!(Record::parse(other.as_bytes()), Err(RecordError::Encoding)), "{other}");
    }
    for other in
        [text.replacen('{', "{\"more\": 1,", 1), text.replace("record 1", "record 2"), "{}".to_owned()]
    {
        assert!(matches!(Record::parse(other.as_bytes()), Err(RecordError::Json(_))), "{other}");
    }
    let long = vec![b' '; MAX_LEN + 1];
    assert!(matches!(Record::parse(&long), Err(RecordError::TooLong { limit: MAX_LEN })));
}

#[test]
fn only_the_key_itself_signs_its_record() {
    let signed = signed();
    let check = |bytes: &[u8], signature: &str| SignedRecord::check(bytes.to_vec(), signature.to_owned());
    assert!(check(signed.bytes(), signed.signature()).is_ok());
    let changed =
        String::from_utf8(signed.bytes().to_vec()).unwrap().replace("\"generated\"", "\"imported\"");
    let error = check(changed.as_bytes(), signed.signature()).unwrap_err();
    assert!(matches!(error, RecordError::Signature(BadSignature::Wrong { .. })), "{error}");
    let (other, _) = key();
    let raw = other.sign(&sshsig::to_sign(NAMESPACE, signed.bytes()));
    let public = PublicKey::Ed25519(other.public_key().as_ref().try_into().unwrap());
    let of = |namespace| sshsig::armored(&public, Scheme::Ed25519, namespace, raw.as_ref()).unwrap();
    let error = check(signed.bytes(), &of(NAMESPACE)).unwrap_err();
    assert!(matches!(error, RecordError::OtherKey { .. }), "{error}");
    let error = check(signed.bytes(), &of("file")).unwrap_err();
    assert!(matches!(error, RecordError::Signature(BadSignature::Namespace { .. })), "{error}");
    assert!(matches!(check(signed.bytes(), ""), Err(RecordError::Signature(BadSignature::Form(_)))));
    // A scheme that SSH has is signed in SSH's form, and in no other.
    let raw = armor(&[1; 64]);
    assert!(matches!(check(signed.bytes(), &raw), Err(RecordError::Signature(BadSignature::Form(_)))));
}

#[test]
fn what_a_record_says_of_its_key_agrees_with_the_key() {
    let (pair, public) = key();
    let (_, other) = key();
    let changes: [fn(&mut Record, &PublicKey); 4] = [
        |record, other| record.public_key.fingerprint = other.fingerprint(),
        |record, other| record.public_key.openssh = other.to_openssh_line(""),
        |record, _| record.public_key.spki = "AAAA".to_owned(),
        |record, _| record.scheme = Scheme::EcdsaP256Sha256.name().to_owned(),
    ];
    for change in changes {
        let mut record = record(&public, Scheme::Ed25519);
        change(&mut record, &other);
        let bytes = record.to_bytes();
        let raw = pair.sign(&sshsig::to_sign(NAMESPACE, &bytes));
        let signature = sshsig::armored(&public, Scheme::Ed25519, NAMESPACE, raw.as_ref()).unwrap();
        let error = SignedRecord::check(bytes, signature).unwrap_err();
        assert!(matches!(error, RecordError::Disagrees(_)), "{error}");
    }
}

/// SSH has no such keys, so that the raw signature of the same bytes stands beside the record.
#[test]
fn a_key_that_ssh_does_not_have_signs_its_record_too() {
    let pair = PqdsaKeyPair::generate(&ML_DSA_44_SIGNING).unwrap();
    let public = MlDsaPublicKey::new(ParameterSet::MlDsa44, pair.public_key().as_ref().to_vec()).unwrap();
    let sign = |message: &[u8]| {
        let mut raw = vec![0; ParameterSet::MlDsa44.signature_len()];
        pair.sign(message, &mut raw)?;
        Ok(raw)
    };
    let signed = record(&PublicKey::MlDsa(public), Scheme::MlDsa44).sign(sign).unwrap();
    assert!(signed.signature().starts_with(BEGIN));
    let changed =
        String::from_utf8(signed.bytes().to_vec()).unwrap().replace("\"generated\"", "\"imported\"");
    let error = SignedRecord::check(changed.into_bytes(), signed.signature().to_owned()).unwrap_err();
    assert!(matches!(error, RecordError::Wrong { .. }), "{error}");
    for bad in ["", "no signature", &signed.signature().replace('\n', "\r\n"), &armor(&[1; 64])] {
        let error = SignedRecord::check(signed.bytes().to_vec(), bad.to_owned()).unwrap_err();
        assert!(matches!(error, RecordError::Form { .. } | RecordError::Wrong { .. }), "{error}");
    }
}

#[test]
fn both_files_are_read_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let (signed, path) = (signed(), dir.path().join("records"));
    assert!(in_directory(&path).unwrap().is_empty());
    make_directory(&path).unwrap();
    make_directory(&path).unwrap();
    let file = path.join(signed.file_name());
    signed.write(&file).unwrap();
    signed.write(&file).unwrap();
    let read = SignedRecord::read(&file).unwrap();
    assert_eq!((read.bytes(), read.signature()), (signed.bytes(), signed.signature()));
    let found = in_directory(&path).unwrap();
    assert_eq!(found.len(), 1, "neither its signature nor what is unfinished is a record");
    std::fs::remove_file(signature_path(&file)).unwrap();
    assert!(matches!(SignedRecord::read(&file), Err(RecordError::Io { .. })));
    std::fs::write(signature_path(&file), vec![b'x'; MAX_SIGNATURE + 1]).unwrap();
    assert!(matches!(SignedRecord::read(&file), Err(RecordError::TooLong { .. })));
    std::fs::create_dir(path.join("directory.json")).unwrap();
    assert!(in_directory(&path).unwrap().iter().all(|(_, found)| found.is_err()));
}

/// Whoever may write where root makes it, gets no mode of anything else changed.
#[test]
fn a_link_is_no_directory_for_records() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, link) = (dir.path().join("secret"), dir.path().join("records"));
    std::fs::DirBuilder::new().mode(0o700).create(&secret).unwrap();
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    let error = make_directory(&link).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::remove_file(&link).unwrap();
    make_directory(&link).unwrap();
    assert_eq!(std::fs::metadata(&link).unwrap().permissions().mode() & 0o777, 0o755);
}

/// A row that nobody accepts differs; what is not told, or may be either, does not.
#[test]
fn only_another_value_than_was_asked_for_differs() {
    let row = |expected: Option<&str>, told: Option<&str>, accepted: Option<&str>| {
        let text = |text: &str| text.to_owned();
        let (expected, told, accepted) = (expected.map(text), told.map(text), accepted.map(text));
        Attribute { name: String::new(), expected, told, accepted }.differs()
    };
    assert!(row(Some("true"), Some("false"), None));
    assert!(!row(Some("true"), Some("true"), None));
    assert!(!row(Some("true"), Some("false"), Some("not-local")));
    assert!(!row(Some("true"), None, None));
    assert!(!row(None, Some("true"), None));
}
