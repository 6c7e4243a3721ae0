#![allow(clippy::unwrap_used, reason = "tests")]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::key::{PublicKey, Scheme};
use crate::ledger::note::SignerName;

/// The example of C2SP tlog-checkpoint: a public test vector, whose key is not published.
const BEHIND_THE_SOFA: &str =
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

#[test]
fn reads_and_prints_the_example_of_the_specification() {
    let checkpoint = Checkpoint::parse(BEHIND_THE_SOFA).unwrap();
    assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size(), 20_852_163);
    assert_eq!(checkpoint.root()[..4], [0x0a, 0xc5, 0x18, 0x6a]);
    assert_eq!(checkpoint.to_string(), BEHIND_THE_SOFA);
    let again = Checkpoint::new(checkpoint.origin(), checkpoint.size(), *checkpoint.root()).unwrap();
    assert_eq!(again, checkpoint);
    let extended = format!("{BEHIND_THE_SOFA}an extension\nand another\n");
    let checkpoint = Checkpoint::parse(&extended).unwrap();
    assert_eq!(checkpoint.extensions(), ["an extension", "and another"]);
    assert_eq!(checkpoint.to_string(), extended);
}

#[test]
fn refuses_what_is_no_checkpoint() {
    let [origin, size, root] = ["log.example", "7", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="];
    for (bad, why) in [
        (String::new(), "newline"),
        (format!("{origin}\n{size}\n"), "less than three lines"),
        (format!("{origin}\n{size}\n{root}"), "newline"),
        (format!("\n{size}\n{root}\n"), "name"),
        (format!("{}\n{size}\n{root}\n", "x".repeat(256)), "name"),
        (format!("{origin}\t\n{size}\n{root}\n"), "name"),
        (format!("{origin}\n07\n{root}\n"), "size"),
        (format!("{origin}\n+7\n{root}\n"), "size"),
        (format!("{origin}\n-7\n{root}\n"), "size"),
        (format!("{origin}\n18446744073709551616\n{root}\n"), "size"),
        (format!("{origin}\n\n{root}\n"), "size"),
        (format!("{origin}\n{size}\n{}\n", root.replace("2I=", "2J=")), "root"),
        (format!("{origin}\n{size}\nAAAA\n"), "root"),
        (format!("{origin}\n{size}\n{root}\n\n"), "extension"),
        (format!("{origin}\n{size}\n{root}\n\nx\n"), "extension"),
    ] {
        let error = Checkpoint::parse(&bad).unwrap_err().to_string();
        assert!(error.contains(why), "{bad:?}: {error}");
    }
}

#[test]
fn opens_only_a_checkpoint_of_this_log_by_its_key() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public_key = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
    let key = VerifierKey::new(SignerName::new("log.example").unwrap(), &public_key).unwrap();
    let checkpoint = Checkpoint::new("log.example", 3, [7; 32]).unwrap();
    let mut note = checkpoint.to_note();
    note.sign(&key, Scheme::Ed25519, pair.sign(note.text().as_bytes()).as_ref()).unwrap();
    let signed = note.to_string();
    let (opened, _) = Checkpoint::open(signed.as_bytes(), "log.example", &key).unwrap();
    assert_eq!(opened, checkpoint);
    let error = Checkpoint::open(signed.as_bytes(), "log.example/2", &key).unwrap_err();
    assert!(matches!(error, CheckpointError::OtherOrigin { .. }), "{error}");
    let changed = signed.replace("\n3\n", "\n4\n");
    let error = Checkpoint::open(changed.as_bytes(), "log.example", &key).unwrap_err();
    assert!(matches!(error, CheckpointError::Note(NoteError::Forged { .. })), "{error}");
    let unsigned = Checkpoint::open(checkpoint.to_string().as_bytes(), "log.example", &key);
    assert!(matches!(unsigned, Err(CheckpointError::Note(NoteError::Malformed(_)))));
}
