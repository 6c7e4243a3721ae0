//! A second opinion: Python's `cryptography` reads in 1,000 random certificates what we read in them.
//!
//! Needs `python3` with `cryptography` 42 or later (`pip install cryptography`); without it the test fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod describe;
mod generate;

use std::fs;
use std::path::Path;
use std::process::Command;

use countersign_tbs::x509::Certificate;

#[test]
fn agrees_with_cryptography_on_each_field_of_1000_random_certificates() {
    let mut random = generate::Random(0x0123_4567_89ab_cdef);
    let (mut file, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        let built = generate::certificate(&mut random);
        // Nobody checks this signature.
        let der = built.certificate(built.signature_algorithm(), &[0; 64]).unwrap();
        let read = Certificate::parse(&der).unwrap();
        assert_eq!(*read.tbs(), built);
        file.extend((der.len() as u32).to_be_bytes());
        file.extend(der);
        ours.extend(describe::describe(read.tbs()));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("certificates");
    fs::write(&path, file).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second_reader/read.py");
    let output = Command::new("python3").arg(script).arg(path).env("PYTHONUTF8", "1").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let theirs = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<_> = theirs.split_terminator('\n').collect();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert!(output.status.success(), "read.py: {stderr}");
    assert_eq!(ours.len(), theirs.len());
}
