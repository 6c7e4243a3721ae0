//! Seconds since 1970, and their two spellings in DER.

use std::fmt;

use super::DerRule;

/// Cumulative days before each month of a year without a leap day.
const DAYS_BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const SECS_PER_DAY: u64 = 86_400;

/// A point in time: whole seconds since 1970-01-01T00:00:00Z, through the year 9999. No leap seconds.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Time(u64);

impl Time {
    /// 9999-12-31T23:59:59Z, which RFC 5280 §4.1.2.5 uses for "no well-defined expiration date".
    pub const MAX: Self = Self(253_402_300_799);
    /// 2050-01-01T00:00:00Z, the first GeneralizedTime.
    const FIRST_GENERALIZED: u64 = 2_524_608_000;

    /// `None` after the year 9999.
    #[must_use]
    pub fn from_unix_secs(secs: u64) -> Option<Self> {
        (secs <= Self::MAX.0).then_some(Self(secs))
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn unix_secs(self) -> u64 {
        self.0
    }

    /// Whether RFC 5280 §4.1.2.5 writes it as UTCTime.
    #[must_use]
    pub const fn is_utc_time(self) -> bool {
        self.0 < Self::FIRST_GENERALIZED
    }

    /// `YYMMDDHHMMSSZ`. Years 50 to 69 are 1950 to 1969, which this crate refuses.
    pub(super) fn from_utc_time(contents: &[u8]) -> Result<Self, DerRule> {
        let [year, month, day, hour, minute, second] = two_digit_groups(contents)?;
        let year = if year >= 50 { 1900 + year } else { 2000 + year };
        Self::from_civil(year, month, day, [hour, minute, second])
    }

    /// `YYYYMMDDHHMMSSZ`.
    pub(super) fn from_generalized_time(contents: &[u8]) -> Result<Self, DerRule> {
        let [century, year, month, day, hour, minute, second] = two_digit_groups(contents)?;
        Self::from_civil(century * 100 + year, month, day, [hour, minute, second])
    }

    /// `YYMMDDHHMMSSZ`, the century left out.
    pub(super) fn to_utc_time(self) -> String {
        self.to_generalized_time().chars().skip(2).collect()
    }

    /// `YYYYMMDDHHMMSSZ`.
    pub(super) fn to_generalized_time(self) -> String {
        let (year, month, day) = self.civil_date();
        let [hour, minute, second] = self.clock();
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z")
    }

    fn from_civil(year: u64, month: u64, day: u64, clock: [u64; 3]) -> Result<Self, DerRule> {
        let [hour, minute, second] = clock;
        if year < 1970 || day == 0 || hour > 23 || minute > 59 || second > 59 {
            return Err(DerRule::TimeNotADate);
        }
        let first = days_before_month(year, month).ok_or(DerRule::TimeNotADate)?;
        // The month after December is missing from the table: January of the next year.
        let next = days_before_month(year, month + 1).unwrap_or_else(|| days_before_year(year + 1));
        let days = first + day - 1;
        if days >= next {
            return Err(DerRule::TimeNotADate);
        }
        Ok(Self(days * SECS_PER_DAY + hour * 3600 + minute * 60 + second))
    }

    fn civil_date(self) -> (u64, u64, u64) {
        let days = self.0 / SECS_PER_DAY;
        // No year is longer than 366 days, so this starts at or before the right one, by at most six.
        let mut year = 1970 + days / 366;
        while days_before_year(year + 1) <= days {
            year += 1;
        }
        let month =
            (1..=12).rev().find(|&month| days_before_month(year, month).is_some_and(|first| first <= days));
        let month = month.unwrap_or(1);
        (year, month, days - days_before_month(year, month).unwrap_or(days) + 1)
    }

    const fn clock(self) -> [u64; 3] {
        [self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60]
    }
}

impl fmt::Display for Time {
    /// `2026-11-23T07:02:20Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil_date();
        let [hour, minute, second] = self.clock();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// `N` numbers of two decimal digits each, and a final `Z`.
fn two_digit_groups<const N: usize>(contents: &[u8]) -> Result<[u64; N], DerRule> {
    let [digits @ .., b'Z'] = contents else {
        return Err(DerRule::TimeForm);
    };
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DerRule::TimeForm);
    }
    let mut groups = [0; N];
    for (group, pair) in groups.iter_mut().zip(digits.chunks_exact(2)) {
        *group = pair.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    }
    Ok(groups)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days from 1970-01-01 to the first day of `year`, which is 1970 or later.
const fn days_before_year(year: u64) -> u64 {
    const LEAP_DAYS_BEFORE_1970: u64 = 1969 / 4 - 1969 / 100 + 1969 / 400;
    let last = year - 1;
    365 * (year - 1970) + (last / 4 - last / 100 + last / 400) - LEAP_DAYS_BEFORE_1970
}

/// Days from 1970-01-01 to the first day of `month`, 1 to 12.
fn days_before_month(year: u64, month: u64) -> Option<u64> {
    let index = usize::try_from(month.checked_sub(1)?).ok()?;
    let days = DAYS_BEFORE_MONTH.get(index)?;
    Some(days_before_year(year) + days + u64::from(month > 2 && is_leap(year)))
}
