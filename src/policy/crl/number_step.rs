//! How far the number of a CRL may be above the newest of its CA key, and how high a key may begin.
//!
//! Numbers only grow, and end at 20 octets (RFC 5280 §5.2.3). Without these bounds one list with the highest number would be the
//! CA's last: whoever may have lists could end them all. Which number is the newest, only the ledger knows, and asks there.

use std::fmt;

/// So many numbers at most: 1 to [`Self::MAX`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NumberStep(u64);

/// Not a [`NumberStep`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is {0}; 1 to {max} is allowed", max = NumberStep::MAX)]
pub(crate) struct NumberStepOutOfRange(i64);

/// How the numbers of a CA key's lists may go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Numbering {
    /// How far one may be above the newest.
    pub(crate) step: NumberStep,
    /// The highest that the first may have.
    pub(crate) max_first: FirstNumber,
}

/// The highest first number: 0 to 2^63-1, which has room for a time in nanoseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FirstNumber(u64);

/// Not a [`FirstNumber`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is {0}; 0 to {max} is allowed", max = i64::MAX)]
pub(crate) struct FirstNumberOutOfRange(i64);

impl Numbering {
    /// One by one.
    pub(crate) const LEAST: Self = Self { step: NumberStep(1), max_first: FirstNumber(1) };
}

impl FirstNumber {
    /// # Errors
    /// [`FirstNumberOutOfRange`] if it is below 0.
    pub(crate) fn new(number: i64) -> Result<Self, FirstNumberOutOfRange> {
        u64::try_from(number).map(Self).map_err(|_| FirstNumberOutOfRange(number))
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

impl From<NumberStep> for FirstNumber {
    /// As if the newest were 0.
    fn from(step: NumberStep) -> Self {
        Self(step.get())
    }
}

impl fmt::Display for FirstNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl NumberStep {
    /// 115 days in nanoseconds, for numbers that are times. From 20 octets it takes away nothing that lists could use up.
    pub(crate) const MAX: u64 = 10_000_000_000_000_000;
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
