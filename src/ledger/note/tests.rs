#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use countersign_tbs::key::{Curve, EcPoint};

use super::*;
use crate::key::PublicKey;
use crate::ledger::entry::sha256;

/// The example of Go's golang.org/x/mod/sumdb/note: a public test vector.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETERS: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

/// The key of Sigstore's Rekor log, with its id: a public ECDSA key.
const REKOR_KEY: &str = "AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/\
    4sueRoVj//QP22Ni4Qt9DPfkWLc=";

fn name(name: &str) -> SignerName {
    SignerName::new(name).unwrap()
}

fn ed25519() -> (Ed25519KeyPair, VerifierKey) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
    (pair, VerifierKey::new(name("log.example/one"), &key).unwrap())
}

fn p256() -> (EcdsaKeyPair, VerifierKey) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = EcPoint::new(Curve::P256, pair.public_key().as_ref().to_vec()).unwrap();
    (pair, VerifierKey::new(name("log.example/two"), &PublicKey::Ecdsa(point)).unwrap())
}

/// A note that both sign.
fn signed() -> (Note, VerifierKey, VerifierKey) {
    let ((ed25519, one), (p256, two)) = (ed25519(), p256());
    let mut note = Note::new("a text\n\nwith an empty line\n").unwrap();
    let text = note.text().to_owned();
    note.sign(&one, Scheme::Ed25519, ed25519.sign(text.as_bytes()).as_ref()).unwrap();
    let raw = p256.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    note.sign(&two, Scheme::EcdsaP256Sha256, raw.as_ref()).unwrap();
    (note, one, two)
}

#[test]
fn verifies_the_public_example_and_prints_it_again() {
    let key: VerifierKey = PETER.parse().unwrap();
    assert_eq!(key.to_string(), PETER);
    let note = Note::parse(PETERS.as_bytes()).unwrap();
    assert_eq!(note.verify(&key), Ok(Statement::Signed));
    assert_eq!(note.to_string(), PETERS);
    let changed = PETERS.replace("answer", "Answer");
    assert!(matches!(Note::parse(changed.as_bytes()).unwrap().verify(&key), Err(NoteError::Forged { .. })));
}

#[test]
fn the_id_of_an_ecdsa_key_is_of_its_spki_alone() {
    let spki = Base64::decode_vec(REKOR_KEY).unwrap().split_off(1);
    // As Rekor publishes it in hexadecimal: c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d.
    assert_eq!(sha256(&[&spki])[..4], [0xc0, 0xd2, 0x3d, 0x6a]);
    let key = VerifierKey::new(name("rekor.example"), &PublicKey::from_spki_der(&spki).unwrap()).unwrap();
    assert_eq!(key.to_string(), format!("rekor.example+c0d23d6a+{REKOR_KEY}"));
    assert_eq!(key.to_string().parse::<VerifierKey>().unwrap().id(), key.id());
}

#[test]
fn signs_with_ed25519_and_ecdsa_and_each_is_found_by_its_key() {
    let (note, one, two) = signed();
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(read, note);
    assert_eq!(read.verify(&one), Ok(Statement::Signed));
    assert_eq!(read.verify(&two), Ok(Statement::Signed));
    assert_eq!(read.signatures()[1].bytes[0], 0x30, "DER");
    let (_, other) = ed25519();
    assert!(matches!(read.verify(&other), Err(NoteError::Unsigned { .. })));
    // The same key under another name is another key.
    let renamed = one.to_string().replace("log.example/one", "log.example/three");
    assert!(renamed.parse::<VerifierKey>().is_err(), "its id belongs to the name");
}

#[test]
fn every_changed_bit_of_a_signed_note_is_noticed() {
    let (note, one, two) = signed();
    let bytes = note.to_string().into_bytes();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let holds = |key| Note::parse(&changed).is_ok_and(|note| note.verify(key).is_ok());
            assert!(!(holds(&one) && holds(&two)), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn one_bad_line_of_a_known_key_condemns_the_note() {
    let (note, one, _) = signed();
    let mut forged = note.clone();
    let mut line = note.signatures[0].clone();
    line.bytes[0] ^= 1;
    forged.signatures.push(line);
    assert!(matches!(forged.verify(&one), Err(NoteError::Forged { .. })));
}

#[test]
fn adds_no_signature_that_does_not_verify() {
    let (pair, key) = ed25519();
    let mut note = Note::new("text\n").unwrap();
    let raw = pair.sign(b"another text\n");
    assert!(matches!(note.sign(&key, Scheme::Ed25519, raw.as_ref()), Err(NoteError::Forged { .. })));
    assert!(matches!(note.sign(&key, Scheme::Ed25519, &[0; 63]), Err(NoteError::Signature(_))));
    assert_eq!(note.signatures(), []);
}

#[test]
fn a_cosignature_is_of_the_text_and_the_time() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let key =
        VerifierKey::cosigner(name("witness.example/w1"), pair.public_key().as_ref().try_into().unwrap());
    let key: VerifierKey = key.unwrap().to_string().parse().unwrap();
    let cosigned = |message: &str, time: u64| {
        let bytes = [&time.to_be_bytes()[..], pair.sign(message.as_bytes()).as_ref()].concat();
        let line = NoteSignature { name: key.name().clone(), id: key.id(), bytes };
        Note::parse(format!("log\n1\nroot\n\n{line}\n").as_bytes()).unwrap()
    };
    let good = cosigned("cosignature/v1\ntime 1679315147\nlog\n1\nroot\n", 1_679_315_147);
    assert_eq!(good.verify(&key), Ok(Statement::Cosigned { time: 1_679_315_147 }));
    let other_time = cosigned("cosignature/v1\ntime 1679315147\nlog\n1\nroot\n", 1_679_315_148);
    assert!(matches!(other_time.verify(&key), Err(NoteError::Forged { .. })));
    let plain = cosigned("log\n1\nroot\n", 0);
    assert!(matches!(plain.verify(&key), Err(NoteError::Forged { .. })));
    let beyond = cosigned(&format!("cosignature/v1\ntime {}\nlog\n1\nroot\n", 1_u64 << 63), 1 << 63);
    assert!(matches!(beyond.verify(&key), Err(NoteError::Forged { .. })));
}

#[test]
fn refuses_what_is_no_note() {
    let line = PETERS.lines().last().unwrap();
    let many = format!("text\n\n{}", format!("{line}\n").repeat(101));
    let long = format!("{}\n\n{line}\n", "x".repeat(MAX_LEN));
    for (bad, why) in [
        ("", "no empty line"),
        ("text\n", "no empty line"),
        ("text\n\n", "does not end with a newline"),
        (&format!("text\n{line}\n"), "no empty line"),
        (&format!("text\n\n{line}"), "does not end with a newline"),
        (&format!("text\r\n\n{line}\n"), "control character"),
        (&format!("text\n\n{}\n", line.replace("\u{2014}", "-")), "another form"),
        (&format!("text\n\n{}\n", line.replace("Peter", "Peter+")), "another form"),
        (&format!("text\n\n{}\n", line.replace("Peter", "Peter\u{a0}")), "another form"),
        (&format!("text\n\n{}\n", line.replace("PeterNeumann", "")), "another form"),
        // Bits that say nothing, and no padding.
        (&format!("text\n\n{}\n", line.replace("nAM=", "nAN=")), "another form"),
        (&format!("text\n\n{}\n", line.replace("nAM=", "nAM")), "another form"),
        ("text\n\n\u{2014} name x08goA==\n", "another form"),
        (&many, "more than 100"),
        (&long, "longer than"),
    ] {
        let error = Note::parse(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{bad:.80}: {error}");
    }
    assert!(Note::parse(b"\xff\n\n").unwrap_err().to_string().contains("UTF-8"));
    assert!(Note::new("no newline").is_err());
}

#[test]
fn refuses_what_is_no_key() {
    for bad in [
        "",
        "name",
        "name+c74f20a3",
        &PETER.replace("c74f20a3", "c74f20a4"),
        &PETER.replace("c74f20a3", "C74F20A3"),
        &PETER.replace("c74f20a3", "0c74f20a3"),
        &PETER.replace("Peter", "Peter "),
        &PETER.replace("+AR", "+AB"),
        &format!("{PETER}\n"),
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
    let p384 = EcPoint::new(Curve::P384, [&[4][..], &[1; 96]].concat()).unwrap();
    let off_the_curve = EcPoint::new(Curve::P256, [&[4][..], &[1; 64]].concat()).unwrap();
    for point in [p384, off_the_curve] {
        let error = VerifierKey::new(name("x"), &PublicKey::Ecdsa(point)).unwrap_err();
        assert_eq!(error, NoteKeyError::Kind);
    }
    for bad in ["", "a b", "a+b", "a\nb", "a\u{2003}b", "\u{7}"] {
        assert_eq!(SignerName::new(bad), Err(NoteKeyError::Name(bad.to_owned())));
    }
}
