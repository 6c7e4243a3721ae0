//! What witnesses say: where they are, cosignatures of another text, key or form.
#![allow(clippy::unwrap_used, reason = "tests")]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::ledger::note::SignerName;

const TEXT: &str = "test.example/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

fn witness(name: &str) -> (Ed25519KeyPair, VerifierKey) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public = pair.public_key().as_ref().try_into().unwrap();
    let key = VerifierKey::cosigner(SignerName::new(name).unwrap(), public).unwrap();
    (pair, key)
}

/// A signature line, as a witness makes it.
fn line((pair, key): &(Ed25519KeyPair, VerifierKey), time: u64, text: &str) -> String {
    let signature = pair.sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
    let bytes = [&key.id().0[..], &time.to_be_bytes(), signature.as_ref()].concat();
    format!("\u{2014} {} {}\n", key.name(), Base64::encode_string(&bytes))
}

#[test]
fn https_is_asked_anywhere_and_http_on_this_host_alone() {
    for (text, tls, host, port, path) in [
        ("https://w.example", true, "w.example", 443, ""),
        ("https://w.example:8443/a/b/", true, "w.example", 8443, "/a/b"),
        ("http://127.0.0.1:80", false, "127.0.0.1", 80, ""),
        ("http://[::1]/x", false, "::1", 80, "/x"),
    ] {
        let url: Url = text.parse().unwrap();
        assert_eq!((url.tls, &*url.host, url.port, &*url.path), (tls, host, port, path), "{text}");
    }
    for text in [
        "http://w.example",
        "http://localhost",
        "http://10.0.0.1",
        "http://127.0.0.1@w.example",
        "https://u:p@w.example",
        "https://w.example/?q",
        "https://w.example/#f",
        "ftp://w.example",
        "w.example",
        "/x",
        "",
    ] {
        assert!(text.parse::<Url>().is_err(), "{text}");
    }
}

#[test]
fn a_cosignature_is_by_the_key_and_of_the_text() {
    let (ours, other) = (witness("w.example/1"), witness("w.example/2"));
    let mut note = Note::new(TEXT).unwrap();
    let good = line(&ours, 1_700_000_000, TEXT);
    let found = note.cosignature(&ours.1, &format!("{}{good}", line(&other, 7, TEXT))).unwrap();
    assert_eq!(found.time(), 1_700_000_000);
    note.add(found.clone());
    note.add(found);
    assert_eq!(note.to_string(), format!("{TEXT}\n{good}"), "once, and no other's");

    let forged = |lines: &str| note.cosignature(&ours.1, lines).unwrap_err();
    assert!(matches!(forged(&line(&ours, 7, "test.example/log\n2\n")), NoteError::Forged { .. }));
    let another = format!("{}{}", line(&ours, 7, TEXT), line(&ours, 7, "another\n"));
    assert!(matches!(forged(&another), NoteError::Forged { .. }), "no line that names it may be wrong");
    assert!(matches!(forged(&line(&other, 7, TEXT)), NoteError::Unsigned { .. }));
    let moved = format!("more\n\n{good}");
    for lines in ["", "\n", good.trim_end(), "no line\n", &moved] {
        note.cosignature(&ours.1, lines).unwrap_err();
    }
}
