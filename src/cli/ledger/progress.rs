//! One line that says how far a long command is, on a terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use super::columns;
use super::short::cut;

/// How often the line changes.
const PACE: Duration = Duration::from_millis(100);

/// How long its bar is, where there is room for it.
const BAR: usize = 30;

/// A shorter one says nothing, and is left out.
const SHORTEST: usize = 8;

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

    /// `done` of `total` entries are done, or of nobody knows how many.
    pub(super) fn show(&mut self, done: u64, total: Option<u64>) {
        if self.shown && self.drawn.is_none_or(|drawn| drawn.elapsed() >= PACE) {
            // Each time, for a window may be made narrower meanwhile.
            let columns = columns(&stderr()).unwrap_or_default();
            self.drawn = Some(Instant::now());
            draw(&format!("\r{}\x1b[K", line(self.doing, done, total, self.since.elapsed(), columns)));
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

/// The line, for a terminal of so many columns. It is shorter than they are: what wraps is not cleared with the row that it ends in.
fn line(doing: &str, done: u64, total: Option<u64>, elapsed: Duration, columns: usize) -> String {
    let most = columns.saturating_sub(1);
    let rate = u128::from(done) * 1000 / elapsed.as_millis().max(1);
    let Some(total) = total else { return cut(&format!("{doing}  {done} entries, {rate}/s"), most) };
    let left = u64::try_from(u128::from(total.saturating_sub(done)) / rate.max(1)).unwrap_or(u64::MAX);
    let left = humantime::format_duration(Duration::from_secs(left));
    let percent = part(100, done, total);
    let told = format!("{percent}%  {done} of {total} entries, {rate}/s, {left} left");
    // The brackets, and the spaces around them.
    let beside = doing.len() + told.len() + 4;
    match most.saturating_sub(beside).min(BAR) {
        ..SHORTEST => cut(&format!("{doing} {told}"), most),
        length => format!("{doing} [{}] {told}", bar(length, done, total)),
    }
}

fn bar(length: usize, done: u64, total: u64) -> String {
    let full = usize::try_from(part(u64::try_from(length).unwrap_or(0), done, total)).unwrap_or(length);
    format!("{}{}", "#".repeat(full), ".".repeat(length.saturating_sub(full)))
}

/// As much of `whole` as `done` is of `total`.
fn part(whole: u64, done: u64, total: u64) -> u64 {
    let part = u128::from(whole) * u128::from(done) / u128::from(total.max(1));
    u64::try_from(part).map_or(whole, |part| part.min(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_far_it_is_how_fast_and_how_long_it_takes() {
        let line = |done, total, elapsed| line("verifying", done, Some(total), elapsed, 200);
        assert_eq!(
            line(500, 2000, Duration::from_secs(10)),
            "verifying [#######.......................] 25%  500 of 2000 entries, 50/s, 30s left"
        );
        assert!(line(0, 0, Duration::ZERO).contains(" 0%"));
        assert!(line(u64::MAX, u64::MAX, Duration::ZERO).contains(" 100%"));
    }

    #[test]
    fn a_line_fits_the_terminal_with_a_shorter_bar_first_and_then_with_less_text() {
        let line = |columns| line("verifying", 500_000, Some(1_000_000), Duration::from_secs(20), columns);
        assert_eq!(
            line(200),
            "verifying [###############...............] 50%  500000 of 1000000 entries, 25000/s, 20s left"
        );
        assert_eq!(
            line(80),
            "verifying [########.........] 50%  500000 of 1000000 entries, 25000/s, 20s left"
        );
        assert_eq!(line(80).len(), 79);
        assert_eq!(line(71), "verifying [####....] 50%  500000 of 1000000 entries, 25000/s, 20s left");
        assert_eq!(line(70), "verifying 50%  500000 of 1000000 entries, 25000/s, 20s left");
        assert_eq!(line(20), "verifying 50%  50..");
        for columns in 0..100 {
            assert!(line(columns).len() <= columns.saturating_sub(1).max(2), "{columns}");
        }
    }

    #[test]
    fn of_nobody_knows_how_many_it_says_how_many_are_done_and_how_fast() {
        let line = |columns| line("verifying", 500_000, None, Duration::from_secs(20), columns);
        assert_eq!(line(80), "verifying  500000 entries, 25000/s");
        assert_eq!(line(20), "verifying  500000..");
    }
}
