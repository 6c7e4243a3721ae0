//! How far the number of a CRL may be above the newest of its CA key.
//!
//! Numbers only grow, and end at 20 octets (RFC 5280 §5.2.3). Without this bound one list with the highest number would be the
//! CA's last: whoever may have lists could end them all. Which number is the newest, only the ledger knows, and asks there.

use std::fmt;

/// So many numbers at most: 1 to [`Self::MAX`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NumberStep(u64);

/// Not a [`NumberStep`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is {0}; 1 to {max} is allowed", max = NumberStep::MAX)]
pub(crate) struct NumberStepOutOfRange(i64);

impl NumberStep {
    /// 115 days in nanoseconds, for numbers that are times. From 20 octets it takes away nothing that lists could use up.
    pub(crate) const MAX: u64 = 10_000_000_000_000_000;
    /// One by one.
    pub(crate) const LEAST: Self = Self(1);
    /// For numbers that are counted, some of which were given out and lost.
    pub(crate) const DEFAULT: Self = Self(1000);

    /// # Errors
    /// [`NumberStepOutOfRange`] if it is below 1 or above [`Self::MAX`].
    pub(crate) fn new(step: i64) -> Result<Self, NumberStepOutOfRange> {
        let in_range = |step: &u64| (1..=Self::MAX).contains(step);
        u64::try_from(step).ok().filter(in_range).map(Self).ok_or(NumberStepOutOfRange(step))
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NumberStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
