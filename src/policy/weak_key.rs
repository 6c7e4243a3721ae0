//! Subject keys that are well formed and known to be weak: whoever sees the public half can find the private one.
//!
//! In: an RSA modulus of at most 8192 bits, or an Ed25519 key. Out: the weakness, if one of these finds it. The work is
//! bounded and below a millisecond. Not done here: keys that only a list can tell
//! (`policy::blocklist`), primality.

use num_bigint::BigUint;

/// A weakness, and where the check comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Weakness {
    /// A prime below 752 divides the modulus (NIST SP 800-89 §5.3.3).
    SmallFactor,
    /// The primes are so close that Fermat's method finds them (CVE-2022-26320).
    ClosePrimes,
    /// Made by Infineon's RSALib (CVE-2017-15361; Nemec et al., "The Return of Coppersmith's Attack", CCS 2017).
    Roca,
}

impl Weakness {
    /// What is wrong with the key.
    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::SmallFactor => "a prime below 752 divides its modulus",
            Self::ClosePrimes => "its primes are so close that anybody can find them",
            Self::Roca => "it was made by a flawed library (ROCA, CVE-2017-15361)",
        }
    }
}

/// NIST SP 800-89 §5.3.3: a modulus has no factors smaller than this.
const FACTOR_BOUND: u32 = 752;

/// The largest of the 39 primes whose product is the M of RSALib's 512-bit keys, and divides that of all longer ones.
const ROCA_LAST: u32 = 167;

/// How many candidates for (p + q) / 2 are tried. Primes that a generator picked as neighbours need one or two.
const FERMAT_STEPS: u32 = 100;

/// The first weakness of an RSA modulus, big-endian.
pub(super) fn of_rsa(modulus: &[u8]) -> Option<Weakness> {
    let n = BigUint::from_bytes_be(modulus);
    let residues = residues(&n);
    if residues.iter().any(|(_, residue)| *residue == 0) {
        return Some(Weakness::SmallFactor);
    }
    // RSALib's primes are k * M + (65537^a mod M), so that modulo each prime that divides M, N is a power of 65537.
    let mut of_roca = residues.iter().filter(|(prime, _)| *prime <= ROCA_LAST);
    if of_roca.all(|(prime, residue)| is_power_of_65537(*residue, *prime)) {
        return Some(Weakness::Roca);
    }
    has_close_primes(&n).then_some(Weakness::ClosePrimes)
}

/// Whether an Ed25519 key is the one encoding of a point whose order is large: y is below 2^255 - 19 (RFC 8032 §5.1.3), and
/// not that of one of the eight points of small order, with which a signature proves nothing. x = 0 is only of such points.
/// Not whether there is a point with this y.
pub(super) fn is_sound_ed25519(key: &[u8; 32]) -> bool {
    let mut y = *key;
    // RFC 8032 §5.1.2: the top bit is the sign of x.
    y[31] &= 0x7f;
    let is_canonical = y.iter().rev().lt(P.iter().rev());
    is_canonical && !SMALL_ORDER.contains(&y)
}

/// Each odd prime below [`FACTOR_BOUND`], and what `n` leaves over it.
fn residues(n: &BigUint) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let (mut group, mut product) = (Vec::new(), 1_u32);
    let mut leave = |group: &mut Vec<u32>, product: u32| {
        // One long division for several primes; the remainder fits, being below a u32.
        let rest = u32::try_from(n % product).unwrap_or_default();
        found.extend(group.drain(..).map(|prime| (prime, rest % prime)));
    };
    for prime in (3..FACTOR_BOUND).step_by(2).filter(|number| is_prime(*number)) {
        product = product.checked_mul(prime).unwrap_or_else(|| {
            leave(&mut group, product);
            prime
        });
        group.push(prime);
    }
    leave(&mut group, product);
    found
}

/// For odd numbers below 29^2.
fn is_prime(number: u32) -> bool {
    [3, 5, 7, 11, 13, 17, 19, 23].iter().all(|prime| number == *prime || !number.is_multiple_of(*prime))
}

fn is_power_of_65537(residue: u32, prime: u32) -> bool {
    let mut power = 1;
    (0..prime).any(|_| {
        power = power * (65_537 % prime) % prime;
        power == residue
    })
}

/// Fermat: if N = a^2 - b^2, then its factors are a + b and a - b, and for close primes a is little more than the root of N.
fn has_close_primes(n: &BigUint) -> bool {
    let root = n.sqrt();
    let first = if &root * &root == *n { root } else { root + 1_u32 };
    (0..FERMAT_STEPS).any(|step| {
        let a = &first + step;
        is_square(&(&a * &a - n))
    })
}

/// Remainders rule out all but a few numbers in a hundred before a root is taken.
fn is_square(number: &BigUint) -> bool {
    let may_be = [64_u32, 63, 65, 11, 17, 19, 23, 31].iter().all(|modulus| {
        let rest = u32::try_from(number % *modulus).unwrap_or_default();
        (0..*modulus).any(|root| root * root % modulus == rest)
    });
    if !may_be {
        return false;
    }
    let root = number.sqrt();
    &root * &root == *number
}

/// 2^255 - 19, little-endian.
const P: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// The y of the points whose order divides 8, little-endian (RFC 7748 §7 has why they matter): 0, 1, -1, and the two of order 8.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = P;
        minus_one[0] = 0xec;
        minus_one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

#[cfg(test)]
mod tests;
