//! The fuzz targets of `fuzz/`, run on stable: a bounded number of mutants of valid inputs, the same ones each time.
//!
//! A failure prints the target, the number of the mutant and its bytes, and happens again at each run. libFuzzer looks
//! further: `cargo +nightly fuzz run TARGET`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stderr,
    unreachable_pub,
    reason = "tests: a panic is how they fail, and nothing outside can reach them"
)]

use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;
mod mutate;

use fuzz::{TARGETS, Target};
use mutate::{Random, mutant};

/// Says which mutant a target fell over.
struct Report<'a> {
    target: &'static str,
    number: u64,
    input: &'a [u8],
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex = self.input.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            eprintln!("target {}, mutant {}: {hex}", self.target, self.number);
        }
    }
}

fn run(target: &Target, number: u64, input: &[u8]) -> bool {
    let _report = Report { target: target.name, number, input };
    (target.run)(input)
}

fn smoke(name: &str, mutants: u64) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = (target.seeds)();
    for seed in &seeds {
        assert!(run(target, 0, seed), "a seed of {name} does not parse: {seed:02x?}");
    }
    // Each mutant has a random number generator of its own, so that it does not depend on how many came before.
    let parsed =
        (1..=mutants).filter(|&number| run(target, number, &mutant(&mut Random::new(number), &seeds)));
    let parsed = parsed.count() as u64;
    assert!((mutants / 200..mutants).contains(&parsed), "{parsed} of {mutants} mutants of {name} parse");
}

/// One test for each target, with its number of mutants.
macro_rules! targets {
    ($($name:ident: $mutants:literal,)*) => {
        /// In all.
        const MUTANTS: u64 = 0 $(+ $mutants)*;
        /// Every target that is run.
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        mod takes_mutants_without_panic_and_reencodes_what_parses {
            $(#[test]
            fn $name() {
                super::smoke(stringify!($name), $mutants);
            })*
        }
    };
}

targets! {
    ssh_tbs: 24_000,
    ssh_certificate: 16_000,
    ssh_public_key: 16_000,
    ssh_public_key_line: 16_000,
    ssh_signature_blob: 16_000,
    sshsig: 16_000,
    spki: 16_000,
    der_reader: 6_000,
    x509_tbs: 12_000,
    x509_certificate: 8_000,
    x509_request: 8_000,
    crl: 12_000,
    krl: 20_000,
    ocsp: 12_000,
    ledger_entry: 20_000,
    provisioning_record: 8_000,
    note: 12_000,
    note_key: 12_000,
    checkpoint: 12_000,
    caller_name: 20_000,
    config: 3_000,
    pattern: 16_000,
    network: 16_000,
    key_list: 16_000,
    agent_frame: 16_000,
}

const _: () = assert!(MUTANTS >= 200_000);

#[test]
fn every_target_is_run_here_and_by_cargo_fuzz() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    assert!(TARGETS.iter().map(|target| target.name).eq(NAMES.iter().copied()));
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in NAMES {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "no [[bin]] for {name}");
        let file = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(file.contains(&format!("countersign_fuzz::{name}(data)")), "{file}");
    }
}
