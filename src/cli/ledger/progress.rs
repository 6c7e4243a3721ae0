//! One line that says how far a long command is, on a terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How often the line changes.
const PACE: Duration = Duration::from_millis(100);

/// The line. It is gone when this is dropped.
pub(super) struct Progress {
    doing: &'static str,
    /// Whether somebody sees it.
    shown: bool,
    since: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new(doing: &'static str) -> Self {
        Self { doing, shown: stderr().is_terminal(), since: Instant::now(), drawn: None }
    }

    /// `done` of `total` entries are done.
    pub(super) fn show(&mut self, done: u64, total: u64) {
        if self.shown && self.drawn.is_none_or(|drawn| drawn.elapsed() >= PACE) {
            self.drawn = Some(Instant::now());
            draw(&format!("\r{}\x1b[K", line(self.doing, done, total, self.since.elapsed())));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            draw("\r\x1b[K");
        }
    }
}

fn draw(text: &str) {
    // A terminal that is gone is no reason to stop.
    let _ = stderr().write_all(text.as_bytes());
}

fn line(doing: &str, done: u64, total: u64, elapsed: Duration) -> String {
    const WIDTH: u64 = 30;
    let of = |whole: u64| {
        u64::try_from(u128::from(whole) * u128::from(done) / u128::from(total.max(1))).unwrap_or(whole)
    };
    let bar: String = (0..WIDTH).map(|at| if at < of(WIDTH) { '#' } else { '.' }).collect();
    let rate = u128::from(done) * 1000 / elapsed.as_millis().max(1);
    let left = u64::try_from(u128::from(total.saturating_sub(done)) / rate.max(1)).unwrap_or(u64::MAX);
    let left = humantime::format_duration(Duration::from_secs(left));
    format!("{doing} [{bar}] {}%  {done} of {total} entries, {rate}/s, {left} left", of(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_far_it_is_how_fast_and_how_long_it_takes() {
        assert_eq!(
            line("verifying", 500, 2000, Duration::from_secs(10)),
            "verifying [#######.......................] 25%  500 of 2000 entries, 50/s, 30s left"
        );
        assert!(line("verifying", 0, 0, Duration::ZERO).contains(" 0%"));
        assert!(line("verifying", u64::MAX, u64::MAX, Duration::ZERO).contains(" 100%"));
    }
}
