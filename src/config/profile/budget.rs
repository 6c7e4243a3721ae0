//! The keys that bound how many certificates a profile's callers may have, in every format.

use std::num::NonZeroU32;

use serde::Deserialize;

use crate::config::section::{Number, Section, Text};
use crate::policy::budget::{Budget, MAX_COUNT, Rate};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Raw {
    budget: Text,
    burst: Number,
    volume: Text,
    freeze_after: Text,
}

/// After how many requests beyond the budget a caller is frozen.
const FREEZE_AFTER: &str = "100/h";

/// Takes these keys out of a profile.
pub(super) fn read(profile: &mut Section<'_, '_>) -> Option<Budget> {
    let mut section = profile.part(&["budget", "burst", "volume", "freeze_after"]);
    let raw: Raw = section.read();
    let parse = |text: String| Rate::parse(&text);
    let rate = section.required("budget", raw.budget, parse);
    let volume = section.or("volume", raw.volume, None, |text| parse(text).map(Some));
    let freeze_after = match raw.freeze_after {
        None => Rate::parse(FREEZE_AFTER).ok(),
        given => section.required("freeze_after", given, parse),
    };
    let count = rate.map_or(MAX_COUNT, |rate| rate.count().get());
    let burst = section.or("burst", raw.burst, rate.map(Rate::count), |number| {
        let burst = u32::try_from(number).ok().and_then(NonZeroU32::new);
        let fits = burst.filter(|burst| burst.get() <= count);
        fits.map(Some).ok_or_else(|| format!("is {number}; 1 to {count} is allowed, which is the budget"))
    });
    Some(Budget { rate: rate?, burst: burst??, volume: volume?, freeze_after: freeze_after? })
}
