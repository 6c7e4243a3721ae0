#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    sign: SignCsrArgs,
}

const NOW: u64 = 1_800_000_000;

fn args(more: &[&str]) -> SignCsrArgs {
    let common = ["countersign", "tls-ca", "--server", "unix:/run/x", "--csr", "www.csr", "--out", "www.pem"];
    Command::try_parse_from(common.iter().chain(more)).unwrap().sign
}

/// From `begin` to `end` seconds after [`NOW`].
fn ca(begin: i64, end: i64) -> Validity {
    let time = |offset| Time::from_unix_secs(NOW.checked_add_signed(offset).unwrap()).unwrap();
    Validity { not_before: time(begin), not_after: time(end) }
}

fn validity(more: &[&str], ca: &Validity) -> anyhow::Result<(u64, u64)> {
    let validity = args(more).validity(ca, UnixTime(NOW))?;
    Ok((validity.not_before.unix_secs(), validity.not_after.unix_secs()))
}

#[test]
fn command_line_is_consistent() {
    <Command as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn begins_a_little_before_now_but_not_before_its_ca() {
    let long = ["--lifetime", "1h"];
    assert_eq!(validity(&long, &ca(-1000, 100_000)).unwrap(), (NOW - 30, NOW + 3600));
    assert_eq!(validity(&long, &ca(-5, 100_000)).unwrap(), (NOW - 5, NOW + 3600));
    let early = [&long[..], &["--backdate", "5m"]].concat();
    assert_eq!(validity(&early, &ca(-1000, 100_000)).unwrap(), (NOW - 300, NOW + 3600));
}

#[test]
fn refuses_a_ca_that_is_over_and_a_certificate_that_would_outlive_it() {
    let over = validity(&["--lifetime", "1h"], &ca(-1000, -1)).unwrap_err().to_string();
    assert!(over.contains("tls-ca ended at 2027-01-15T07:59:59") && over.contains("renewed"), "{over}");
    assert!(validity(&["--lifetime", "1h"], &ca(-1000, 3600)).is_ok());
    let outlives = validity(&["--lifetime", "1h"], &ca(-1000, 3599)).unwrap_err().to_string();
    assert!(outlives.contains("outlive its CA's") && outlives.contains("--lifetime"), "{outlives}");
}

#[test]
fn a_lifetime_of_nothing_is_refused_with_an_example() {
    for wrong in ["0s", "900ms", "tomorrow"] {
        let common =
            ["countersign", "tls-ca", "--server", "unix:/x", "--csr", "c", "--out", "o", "--lifetime"];
        let error = Command::try_parse_from(common.iter().chain(&[wrong])).unwrap_err().to_string();
        assert!(error.contains("such as 1h or 30days"), "{error}");
    }
}

#[test]
fn only_an_rsa_server_may_encrypt_keys() {
    use countersign_tbs::key::RsaPublicKey;

    let rsa = PublicKey::Rsa(RsaPublicKey::new(vec![0xc1; 256], vec![3]).unwrap());
    let ed25519 = PublicKey::Ed25519([5; 32]);
    let both = KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT;
    assert_eq!(End::Server.key_usage(&rsa), both);
    for (end, key) in [(End::Client, &rsa), (End::Both, &rsa), (End::Server, &ed25519)] {
        assert_eq!(end.key_usage(key), KeyUsage::DIGITAL_SIGNATURE, "{end:?}");
    }
}
