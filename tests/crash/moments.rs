//! When to kill, and what callers do next: chosen at random, by a seed that is printed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SEED_VARIABLE: &str = "COUNTERSIGN_CRASH_SEED";

/// The longest that a signer is left alone under load.
const LONGEST_LOAD_US: u64 = 150_000;
/// And after its token is ready: about as long as the self-tests and the first checkpoint take.
const LONGEST_PROOF_US: u64 = 40_000;

/// When to kill.
pub enum Moment {
    /// So long after the start began, in thousandths of what the first start took: mostly before anything listens.
    Start(u32),
    /// So long after the token is ready, when each key signs a challenge, and then the first checkpoint is signed.
    Proof(Duration),
    /// So long after it listens, with callers.
    Load(Duration),
}

/// SplitMix64.
pub struct Moments(u64);

impl Moments {
    /// By the seed that the environment gives, or else by the clock.
    pub fn from_environment() -> Self {
        let seed = match std::env::var(SEED_VARIABLE) {
            Ok(seed) => seed.parse().expect("a seed as it was printed"),
            Err(_) => u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()),
        };
        println!("{SEED_VARIABLE}={seed}");
        Self(seed)
    }

    /// The next one: every fourth at a start.
    pub fn next(&mut self) -> Moment {
        match self.below(8) {
            0 => Moment::Start(u32::try_from(self.below(1100)).unwrap()),
            1 => Moment::Proof(Duration::from_micros(self.below(LONGEST_PROOF_US))),
            _ => Moment::Load(Duration::from_micros(self.below(LONGEST_LOAD_US))),
        }
    }

    /// Another, which depends on this one.
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }

    /// From 0 to `end`, without `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
