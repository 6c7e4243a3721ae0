//! How many certificates one caller may have by one profile in some time, and after how many tries beyond that it is frozen.
//!
//! In: text such as `500/h`. Out: a [`Budget`]. Nothing here counts: what is left of a budget only the ledger knows, which
//! counts in the transaction that appends the intent. So a decision is the same however much is left.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// What bounds the number of certificates of one caller by one profile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Budget {
    /// How many in how long.
    pub(crate) rate: Rate,
    /// How many of them at once: 1 to the rate's count.
    pub(crate) burst: NonZeroU32,
    /// A second bound, over a longer time.
    pub(crate) volume: Option<Rate>,
    /// How many requests beyond the budget, in how long, freeze the caller for this key.
    pub(crate) freeze_after: Rate,
}

/// So many in so long: `500/h`. 1 to 1,000,000,000 in 1 second to 366 days.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rate {
    count: NonZeroU32,
    period: Duration,
}

/// Not a [`Rate`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is not a number and a time, such as \"500/h\" or \"10000/30days\": 1 to {MAX_COUNT} in 1s to 366days"
)]
pub(crate) struct InvalidRate(String);

/// The largest count: with it, one second has a nanosecond for each.
pub(crate) const MAX_COUNT: u32 = 1_000_000_000;

const PERIODS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600);

impl Rate {
    /// Reads `COUNT/PERIOD`; a period is a duration (`90s`, `30days`) or a unit alone (`h`).
    ///
    /// # Errors
    /// [`InvalidRate`] if it is none, or beyond the bounds.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidRate> {
        let read = || {
            let (count, period) = text.split_once('/')?;
            let is_number = count.bytes().all(|byte| byte.is_ascii_digit());
            let count =
                count.parse::<NonZeroU32>().ok().filter(|count| is_number && count.get() <= MAX_COUNT)?;
            let one = if period.starts_with(|c: char| c.is_ascii_alphabetic()) { "1" } else { "" };
            let period = humantime::parse_duration(&format!("{one}{period}")).ok()?;
            let whole = period.subsec_nanos() == 0 && PERIODS.contains(&period);
            whole.then_some(Self { count, period })
        };
        read().ok_or_else(|| InvalidRate(text.to_owned()))
    }

    /// How many.
    pub(crate) fn count(self) -> NonZeroU32 {
        self.count
    }

    /// In how long: whole seconds.
    pub(crate) fn period(self) -> Duration {
        self.period
    }
}

/// `500/1h`
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, humantime::format_duration(self.period))
    }
}

/// `500/1h, 500 at once, 10000/30days`
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} at once", self.rate, self.burst)?;
        self.volume.map_or(Ok(()), |volume| write!(f, ", {volume}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_time() {
        let hour = Rate::parse("500/h").unwrap();
        assert_eq!((hour.count().get(), hour.period()), (500, Duration::from_secs(3600)));
        assert_eq!(Rate::parse("500/1h").unwrap(), hour);
        assert_eq!(Rate::parse("500/60m").unwrap().to_string(), "500/1h");
        assert_eq!(Rate::parse("10000/30days").unwrap().period(), Duration::from_secs(30 * 86_400));
        assert_eq!(Rate::parse("1000000000/s").unwrap().count().get(), MAX_COUNT);
    }

    #[test]
    fn a_rate_without_a_bound_is_none() {
        for text in [
            "",
            "500",
            "h",
            "/h",
            "500/",
            "0/h",
            "-1/h",
            "+5/h",
            "1e3/h",
            "5 /h",
            "1000000001/s",
            "5/0s",
            "5/1ms",
            "5/1s 1ms",
            "5/367days",
            "5/-1h",
            "5/h/h",
            "unlimited",
            "5/forever",
        ] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }
}
