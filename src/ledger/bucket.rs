//! A bucket of tokens, as what is missing from it and when that was so.
//!
//! In: a size and the time. Out: a token, or how long until there is one. A clock that is set back gives nobody a token and
//! takes nobody's. Nothing here does I/O or reads a clock.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::ledger::entry::UnixMillis;

/// How much is missing. The default is full.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Bucket {
    /// For how many nanoseconds tokens must come until it is full.
    pub(super) missing: u64,
    /// When that was so.
    pub(super) at: UnixMillis,
}

/// How many tokens a bucket holds and how fast they come, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// From one token to the next; rounded up, so that no period has more tokens than it should.
    interval: u64,
    /// From empty to full.
    depth: u64,
}

impl Size {
    /// `burst` tokens, one of which comes every `secs` seconds.
    pub(super) const fn every(secs: u64, burst: u64) -> Self {
        let interval = secs * 1_000 * NANOS_PER_MILLI;
        Self { interval, depth: interval * burst }
    }

    /// `burst` tokens, which come at `count` in `period`.
    pub(super) fn new(count: NonZeroU32, period: Duration, burst: NonZeroU32) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let interval = period.div_ceil(u64::from(count.get()));
        Self { interval, depth: interval.saturating_mul(u64::from(burst.get())) }
    }
}

impl Bucket {
    /// As it is now. What a larger size before did not have is forgiven.
    ///
    /// Requests of one moment come in any order, so that a little earlier is the same moment, and counts once.
    pub(super) fn settled(self, size: Size, now: UnixMillis) -> Self {
        let elapsed = now.0.saturating_sub(self.at.0).saturating_mul(NANOS_PER_MILLI);
        let was_set_back = self.at.0.saturating_sub(now.0) > MOMENT_MILLIS;
        let at = if was_set_back { now } else { self.at.max(now) };
        Self { missing: self.missing.saturating_sub(elapsed).min(size.depth), at }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// How long until there is one, in whole milliseconds.
    pub(super) fn take(self, size: Size, now: UnixMillis) -> Result<Self, Duration> {
        let Self { missing, at } = self.settled(size, now);
        let missing = missing.saturating_add(size.interval);
        match missing.saturating_sub(size.depth) {
            0 => Ok(Self { missing, at }),
            short => Err(Duration::from_millis(short.div_ceil(NANOS_PER_MILLI) + (at.0 - now.0))),
        }
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The ledger's clock tolerance is less, unless an operator raised it because the clock is to be set back.
const MOMENT_MILLIS: u64 = 60_000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const MINUTE: u64 = 60_000;

    fn size(count: u32, secs: u64, burst: u32) -> Size {
        let number = |number| NonZeroU32::new(number).unwrap();
        Size::new(number(count), Duration::from_secs(secs), number(burst))
    }

    /// Takes as many as there are, and how long until the next.
    fn drain(bucket: &mut Bucket, size: Size, now: u64) -> (u32, Duration) {
        let mut taken = 0;
        loop {
            *bucket = bucket.settled(size, UnixMillis(now));
            match bucket.take(size, UnixMillis(now)) {
                Ok(after) => (*bucket, taken) = (after, taken + 1),
                Err(wait) => return (taken, wait),
            }
        }
    }

    #[test]
    fn a_bucket_holds_a_burst_and_refills_at_the_rate() {
        let (size, mut bucket) = (size(60, 3600, 5), Bucket::default());
        assert_eq!(drain(&mut bucket, size, NOW), (5, Duration::from_secs(60)));
        assert_eq!(drain(&mut bucket, size, NOW + MINUTE - 1), (0, Duration::from_millis(1)));
        assert_eq!(drain(&mut bucket, size, NOW + MINUTE), (1, Duration::from_secs(60)));
        assert_eq!(drain(&mut bucket, size, NOW + 4 * MINUTE).0, 3);
        assert_eq!(drain(&mut bucket, size, NOW + 100 * MINUTE).0, 5, "it holds no more than it holds");
    }

    #[test]
    fn waiting_as_long_as_was_said_is_long_enough() {
        for count in [1, 3, 7, 997, 1_000_000_000] {
            let (size, mut bucket) = (size(count, 1, 1), Bucket::default());
            let (taken, wait) = drain(&mut bucket, size, NOW);
            let then = NOW + u64::try_from(wait.as_millis()).unwrap();
            assert_eq!((taken, drain(&mut bucket, size, then).0 >= 1), (1, true), "{count}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_gives_no_token_and_takes_none() {
        let (size, mut bucket) = (size(60, 3600, 5), Bucket::default());
        bucket = bucket.take(size, UnixMillis(NOW)).unwrap();
        let back = NOW - 365 * 24 * 60 * MINUTE;
        assert_eq!(drain(&mut bucket, size, back), (4, Duration::from_secs(60)));
        assert_eq!(drain(&mut bucket, size, back + MINUTE).0, 1, "it refills by the clock as it is now");
    }

    #[test]
    fn requests_of_one_moment_in_any_order_count_its_time_once() {
        let (size, mut bucket) = (size(60, 3600, 5), Bucket::default());
        drain(&mut bucket, size, NOW);
        for _ in 0..1000 {
            assert_eq!(drain(&mut bucket, size, NOW - 5_000), (0, Duration::from_secs(65)));
            assert_eq!(drain(&mut bucket, size, NOW), (0, Duration::from_secs(60)));
        }
    }

    #[test]
    fn a_new_size_forgives_what_it_does_not_hold() {
        let (slow, fast, mut bucket) = (size(1, 30 * 86_400, 1), size(60, 3600, 60), Bucket::default());
        drain(&mut bucket, slow, NOW);
        assert_eq!(drain(&mut bucket, fast, NOW), (0, Duration::from_secs(60)));
    }

    #[test]
    fn nothing_overflows() {
        let size = size(1, 366 * 86_400, 1);
        let worst = Bucket { missing: u64::MAX, at: UnixMillis(u64::MAX) };
        for now in [0, NOW, u64::MAX - MOMENT_MILLIS, u64::MAX] {
            assert!(worst.take(size, UnixMillis(now)).is_err());
            assert!(Bucket::default().take(size, UnixMillis(now)).is_ok());
        }
    }
}
