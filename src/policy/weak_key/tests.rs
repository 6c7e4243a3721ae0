#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::process::Command;

use num_bigint::BigUint;

use super::{P, SMALL_ORDER, Weakness, is_sound_ed25519, of_rsa};

/// p and the prime after p + 2^500; made for this test.
const CLOSE_PRIMES: &str = include_str!("close-primes.hex");
/// Two primes k * M + (65537^a mod M), where M is the product of the first 126 primes; made for this test.
const ROCA: &str = include_str!("roca.hex");

fn bytes(hex: &str) -> Vec<u8> {
    BigUint::parse_bytes(hex.trim().as_bytes(), 16).unwrap().to_bytes_be()
}

/// The modulus of a new key of `openssl`.
fn openssl(bits: u32) -> Vec<u8> {
    let run = format!("openssl genrsa {bits} 2>/dev/null | openssl rsa -noout -modulus");
    let output = Command::new("sh").args(["-c", &run]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    bytes(text.strip_prefix("Modulus=").unwrap())
}

#[test]
fn finds_primes_that_are_too_close() {
    assert_eq!(of_rsa(&bytes(CLOSE_PRIMES)), Some(Weakness::ClosePrimes));
}

#[test]
fn finds_a_square_of_one_prime() {
    let p = (BigUint::from(1_u32) << 1279_u32) - 1_u32;
    assert_eq!(of_rsa(&(&p * &p).to_bytes_be()), Some(Weakness::ClosePrimes));
}

#[test]
fn finds_keys_of_infineon() {
    assert_eq!(of_rsa(&bytes(ROCA)), Some(Weakness::Roca));
}

#[test]
fn finds_every_factor_below_752_and_none_above() {
    // Mersenne primes, so that the only other factors are large ones.
    let large = (BigUint::from(1_u32) << 2203_u32) - 1_u32;
    for prime in [3_u32, 5, 7, 29, 31, 163, 167, 173, 499, 743, 751] {
        assert_eq!(of_rsa(&(&large * prime).to_bytes_be()), Some(Weakness::SmallFactor), "{prime}");
    }
    assert_eq!(of_rsa(&(&large * 757_u32).to_bytes_be()), None);
}

#[test]
fn finds_nothing_in_good_keys() {
    for bits in [2048, 3072] {
        assert_eq!(of_rsa(&openssl(bits)), None);
    }
}

#[test]
fn refuses_ed25519_points_of_small_order_and_second_encodings() {
    for mut key in SMALL_ORDER {
        assert!(!is_sound_ed25519(&key));
        key[31] |= 0x80;
        assert!(!is_sound_ed25519(&key));
    }
    // y = 3 + p is another encoding of 3; 2^255 - 1 is the last such.
    let mut second = P;
    for low in 0xed..=0xff {
        second[0] = low;
        assert!(!is_sound_ed25519(&second), "{low}");
    }
}

#[test]
fn takes_ed25519_points_of_large_order() {
    let mut three = [0; 32];
    three[0] = 3;
    let mut minus_two = P;
    minus_two[0] = 0xeb;
    for mut key in [three, minus_two, [7; 32]] {
        assert!(is_sound_ed25519(&key));
        key[31] |= 0x80;
        assert!(is_sound_ed25519(&key));
    }
}
