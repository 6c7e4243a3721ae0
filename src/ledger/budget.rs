//! What a caller has left: of a profile's budget, of patience before it is frozen, of refusals that are recorded whole.
//!
//! In: what the ledger's file says of a caller, what policy allows, the time. Out: what it says from now on. The writer
//! asks within the transaction that is to append the entry, so that what is counted and what is in the log are the same
//! after any crash, and no two requests have the last of a budget. Nothing here does I/O.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::ledger::bucket::{Bucket, Size};
use crate::ledger::entry::UnixMillis;
use crate::policy::budget::{Budget, Rate};
use crate::policy::{Reason, Refusal};

/// What one caller has spent of one profile's budget.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Spent {
    pub(super) rate: Bucket,
    pub(super) volume: Bucket,
}

/// A bound of a budget that is reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over {
    /// The key of the configuration that sets it.
    bound: &'static str,
    rate: Rate,
    /// How long until there is something to spend again.
    pub(super) wait: Duration,
}

/// How one caller stands with one key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Standing {
    /// Requests beyond a budget since `since`.
    pub(super) over: u32,
    pub(super) since: UnixMillis,
    /// The index of the entry that froze it, if it is frozen.
    pub(super) frozen: Option<u64>,
}

/// What one caller's refusals leave in the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    pub(super) whole: Bucket,
    /// Refusals since `since` that have no entry of their own.
    pub(super) count: u64,
    pub(super) since: UnixMillis,
}

/// How many of one caller's refusals are recorded whole: 1,000 at once, and 600 an hour.
///
/// With the longest TBS, names and message that is 8 KiB each, 115 MB a day. More are counted: one entry a minute at most.
const WHOLE: Size = Size::every(6, 1_000);

impl Spent {
    /// Takes one of everything that `budget` bounds, or nothing.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn charge(&mut self, budget: &Budget, now: UnixMillis) -> Result<(), Over> {
        let rate = size(budget.rate, budget.burst);
        let volume = budget.volume.map(|volume| (volume, size(volume, volume.count())));
        // Also if nothing is taken: else a bucket would stay empty for as long as the clock was set back.
        self.rate = self.rate.settled(rate, now);
        self.volume = volume.map_or(self.volume, |(_, size)| self.volume.settled(size, now));
        let over = |bound, rate| move |wait| Over { bound, rate, wait };
        let after = Self {
            rate: self.rate.take(rate, now).map_err(over("budget", budget.rate))?,
            volume: match volume {
                None => self.volume,
                Some((rate, size)) => self.volume.take(size, now).map_err(over("volume", rate))?,
            },
        };
        *self = after;
        Ok(())
    }
}

impl Over {
    /// The refusal, by the profile `rule`.
    pub(super) fn refusal(&self, rule: &str) -> Refusal {
        let Self { bound, rate, wait } = self;
        // Whole seconds are enough for a person, and never too few.
        let wait = humantime::format_duration(Duration::from_secs(wait.as_secs() + 1));
        Refusal {
            reason: Reason::BudgetExhausted,
            rule: format!("{rule}.{bound}"),
            message: format!("this caller has used up its {rate} by {rule}; ask again in {wait}"),
        }
    }
}

impl Standing {
    /// Counts one more request beyond a budget; whether it is one too many.
    pub(super) fn count(&mut self, freeze_after: Rate, now: UnixMillis) -> bool {
        // A clock that went back begins no new period, and makes none longer.
        self.since = self.since.min(now);
        if Duration::from_millis(now.0 - self.since.0) >= freeze_after.period() {
            (self.over, self.since) = (0, now);
        }
        self.over = self.over.saturating_add(1);
        self.over >= freeze_after.count().get()
    }

    /// The refusal of whoever is frozen, if it is.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.frozen?;
        Some(Refusal {
            reason: Reason::Frozen,
            rule: "ledger.freeze".to_owned(),
            message: "this caller went on asking beyond its budget and is frozen for this key, until the signer's operator \
                      has looked into it and thaws it (`countersign policy thaw`)"
                .to_owned(),
        })
    }
}

impl Tally {
    /// Whether one more refusal is recorded whole; else it is counted.
    pub(super) fn admit(&mut self, now: UnixMillis) -> bool {
        self.whole = self.whole.settled(WHOLE, now);
        if let Ok(after) = self.whole.take(WHOLE, now) {
            self.whole = after;
            return true;
        }
        if self.count == 0 {
            self.since = now;
        }
        self.count = self.count.saturating_add(1);
        false
    }
}

fn size(rate: Rate, burst: NonZeroU32) -> Size {
    Size::new(rate.count(), rate.period(), burst)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn rate(text: &str) -> Rate {
        Rate::parse(text).unwrap()
    }

    fn budget(text: &str, volume: Option<&str>) -> Budget {
        let burst = rate(text).count();
        Budget { rate: rate(text), burst, volume: volume.map(rate), freeze_after: rate("3/h") }
    }

    fn later(secs: u64) -> UnixMillis {
        NOW.after(Duration::from_secs(secs))
    }

    #[test]
    fn a_volume_bounds_what_the_rate_allows_and_each_says_so() {
        let (budget, mut spent) = (budget("2/h", Some("3/30days")), Spent::default());
        spent.charge(&budget, NOW).unwrap();
        spent.charge(&budget, NOW).unwrap();
        let over = spent.charge(&budget, NOW).unwrap_err();
        assert_eq!((over.bound, over.wait), ("budget", Duration::from_secs(1800)));
        spent.charge(&budget, later(1800)).unwrap();
        let over = spent.charge(&budget, later(3600)).unwrap_err();
        assert_eq!(over.bound, "volume");
        let refusal = over.refusal("key.user-ca.allow.staff");
        assert_eq!(refusal.rule, "key.user-ca.allow.staff.volume");
        assert!(refusal.message.contains("3/30days by key.user-ca.allow.staff"), "{}", refusal.message);
    }

    #[test]
    fn what_is_refused_costs_nothing_of_either_bound() {
        let (budget, mut spent) = (budget("5/h", Some("1/day")), Spent::default());
        spent.charge(&budget, NOW).unwrap();
        let before = spent;
        for _ in 0..10 {
            spent.charge(&budget, NOW).unwrap_err();
        }
        assert_eq!(spent, before);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_lock_a_caller_out() {
        let (budget, mut spent) = (budget("1/h", Some("10/day")), Spent::default());
        let future = later(365 * 86_400);
        for hour in 0..10 {
            spent.charge(&budget, future.after(Duration::from_secs(3600 * hour))).unwrap();
        }
        spent.charge(&budget, NOW).unwrap_err();
        spent.charge(&budget, later(8640)).unwrap();
    }

    #[test]
    fn one_try_too_many_within_the_period_freezes() {
        let mut standing = Standing::default();
        let tries = |standing: &mut Standing, at: &[u64]| {
            at.iter().map(|at| standing.count(rate("3/h"), later(*at))).collect::<Vec<_>>()
        };
        assert_eq!(tries(&mut standing, &[0, 3599]), [false, false]);
        assert_eq!(tries(&mut standing, &[3600, 3601, 3602]), [false, false, true], "a new period");
    }

    #[test]
    fn a_clock_that_goes_back_forgets_no_try() {
        let mut standing = Standing::default();
        standing.count(rate("3/h"), later(7200));
        standing.count(rate("3/h"), later(7199));
        assert!(standing.count(rate("3/h"), NOW));
    }

    #[test]
    fn refusals_are_whole_up_to_the_bound_and_counted_beyond_it() {
        let mut tally = Tally::default();
        assert_eq!((0..2000).filter(|_| tally.admit(NOW)).count(), 1000);
        assert_eq!((tally.count, tally.since), (1000, NOW));
        assert_eq!((0..2000).filter(|_| tally.admit(later(60))).count(), 10);
        assert_eq!((tally.count, tally.since), (2990, NOW));
    }
}
