//! When a certificate, a list or a response is valid, as a profile bounds it.
//!
//! In: a [`Period`] and the time. Out: an objection, or none.

use std::time::Duration;

use crate::key::UnixTime;
use crate::policy::quote::duration;
use crate::policy::{Reason, Verdict, object};

/// A validity, in seconds since 1970, and what its format calls the two.
pub(super) struct Period {
    pub(super) fields: [&'static str; 2],
    pub(super) after: u64,
    pub(super) before: u64,
}

/// What a profile bounds in a validity. Every field is whole seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValidityBounds {
    /// How far in the past it may begin, so that a host whose clock is behind accepts it at once.
    pub(crate) backdating: Duration,
    /// How far in the future it may begin.
    pub(crate) start_within: Duration,
    /// How long the certificate must be usable, counted as for the maximum.
    pub(crate) min_lifetime: Duration,
    /// How long the certificate may be used, from now or, if that is later, from its beginning.
    pub(crate) max_lifetime: Duration,
}

/// What a profile bounds in the updates of a list or a response. Every field is whole seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpdateBounds {
    /// How far in the past it may have been made.
    pub(crate) backdating: Duration,
    /// How far in the future it may be said to be made.
    pub(crate) start_within: Duration,
    /// When the next one comes at the latest, from now or, if that is later, from when it is made.
    pub(crate) max_next_update: Duration,
}

impl Period {
    /// Counted from now for a backdated certificate, so that backdating neither eats the lifetime nor adds to it.
    pub(super) fn usable(&self, now: UnixTime) -> u64 {
        self.before.saturating_sub(now.0.max(self.after))
    }

    /// Where it begins, in words.
    pub(super) fn beginning(&self, now: UnixTime) -> String {
        let [after, _] = self.fields;
        match now.0.checked_sub(self.after) {
            Some(past) => format!("{after} is {} ago", duration(past)),
            None => format!("{after} is {} ahead", duration(self.after.saturating_sub(now.0))),
        }
    }
}

impl ValidityBounds {
    pub(super) fn backdating(&self, profile: &str, period: &Period, now: UnixTime) -> Verdict {
        backdating(self.backdating, profile, period, now)
    }

    pub(super) fn start_within(&self, profile: &str, period: &Period, now: UnixTime) -> Verdict {
        start_within(self.start_within, profile, period, now)
    }

    pub(super) fn min_lifetime(&self, profile: &str, period: &Period, now: UnixTime) -> Verdict {
        let (lifetime, limit) = (period.usable(now), self.min_lifetime.as_secs());
        if lifetime >= limit {
            return Ok(());
        }
        let message = format!(
            "the certificate could be used for {}; profile {profile} wants {} at least",
            duration(lifetime),
            duration(limit)
        );
        object(Reason::LifetimeTooShort, message)
    }

    pub(super) fn max_lifetime(&self, profile: &str, period: &Period, now: UnixTime) -> Verdict {
        let (lifetime, limit) = (period.usable(now), self.max_lifetime.as_secs());
        if lifetime <= limit {
            return Ok(());
        }
        let (lifetime, limit) = (duration(lifetime), duration(limit));
        let message =
            format!("the certificate could be used for {lifetime}; profile {profile} allows {limit}");
        object(Reason::LifetimeTooLong, message)
    }
}

impl UpdateBounds {
    pub(super) fn backdating(&self, profile: &str, period: &Period, now: UnixTime) -> Verdict {
        backdating(self.backdating, profile, period, now)
    }

    pub(super) fn start_within(&self, profile: &str, period: &Period, now: UnixTime) -> Verdict {
        start_within(self.start_within, profile, period, now)
    }

    pub(super) fn max_next_update(&self, profile: &str, period: &Period, now: UnixTime) -> Verdict {
        let (ahead, limit) = (period.usable(now), self.max_next_update.as_secs());
        if ahead <= limit {
            return Ok(());
        }
        let [_, next] = period.fields;
        let (ahead, limit) = (duration(ahead), duration(limit));
        let message = format!("{next} is {ahead} ahead; profile {profile} allows {limit}");
        object(Reason::NextUpdateTooLate, message)
    }
}

fn backdating(limit: Duration, profile: &str, period: &Period, now: UnixTime) -> Verdict {
    let (past, limit) = (now.0.saturating_sub(period.after), limit.as_secs());
    if past <= limit {
        return Ok(());
    }
    let message = format!("{}; profile {profile} allows {}", period.beginning(now), duration(limit));
    object(Reason::BackdatedTooFar, message)
}

fn start_within(limit: Duration, profile: &str, period: &Period, now: UnixTime) -> Verdict {
    let (ahead, limit) = (period.after.saturating_sub(now.0), limit.as_secs());
    if ahead <= limit {
        return Ok(());
    }
    let message = format!("{}; profile {profile} allows {}", period.beginning(now), duration(limit));
    object(Reason::StartsTooLate, message)
}
