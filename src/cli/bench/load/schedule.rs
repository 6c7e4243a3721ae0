//! When requests of an open loop are due.
//!
//! In: a rate, and how many askers share it. Out: for each of them its moments, which no answer moves. Who comes late is told the moment
//! that it was, so that what waited counts from then.

use std::time::{Duration, Instant};

use super::float;

/// The moments of one asker: every `step`th of `rate` a second from `start`, as long as they are before `until`.
pub(super) struct Schedule {
    start: Instant,
    until: Instant,
    rate: u32,
    next: u64,
    step: u64,
}

impl Schedule {
    /// All of `rate` a second, from now on.
    pub(super) fn alone(rate: u32, until: Instant) -> Self {
        Self { start: Instant::now(), until, rate, next: 0, step: 1 }
    }

    /// `rate` a second for so many askers together, who take turns.
    pub(super) fn shared(rate: u32, askers: usize, until: Instant) -> impl Iterator<Item = Self> {
        let (start, step) = (Instant::now(), u64::try_from(askers).unwrap_or(u64::MAX));
        (0..step).map(move |next| Self { start, until, rate, next, step })
    }

    /// The next moment, when it has come; None if none is left. May be dropped and asked again.
    pub(super) async fn wait(&mut self) -> Option<Instant> {
        let due = self.start + Duration::from_secs(1).mul_f64(float(self.next) / f64::from(self.rate));
        if due >= self.until {
            return None;
        }
        tokio::time::sleep_until(due.into()).await;
        self.next += self.step;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn askers_take_turns_and_a_moment_that_was_waited_for_in_vain_comes_still() {
        const EACH: Duration = Duration::from_millis(5);
        let mut due = Vec::new();
        for mut schedule in Schedule::shared(200, 3, Instant::now() + 20 * EACH) {
            loop {
                match tokio::time::timeout(EACH / 2, schedule.wait()).await {
                    Ok(Some(at)) => due.push(at),
                    Ok(None) => break,
                    Err(_) => {}
                }
            }
        }
        due.sort();
        assert!((20..=21).contains(&due.len()), "{} in twenty turns", due.len());
        let apart: Vec<_> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(apart.iter().all(|apart| apart.abs_diff(EACH) < EACH / 100), "{apart:?}");
    }
}
