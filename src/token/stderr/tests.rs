#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn line(text: &str) -> Entry {
    Entry::Line(text.to_owned())
}

#[test]
fn a_line_that_comes_in_pieces_is_one_line() {
    let now = Instant::now();
    let mut lines = Lines::new(now);
    assert_eq!(lines.feed(b"slot 0: ", now), []);
    assert_eq!(lines.feed(b"no token\n\nbye", now), [line("slot 0: no token")]);
    assert_eq!(lines.finish(), [line("bye")]);
}

#[test]
fn nothing_that_steers_a_terminal_or_begins_a_line_gets_through() {
    let now = Instant::now();
    let entries = Lines::new(now).feed(b"\x1b[2J\rfake\xff\0\n", now);
    assert_eq!(entries, [line("\\u{1b}[2J\\rfake\u{fffd}\\0")]);
}

#[test]
fn an_endless_line_is_cut_and_takes_no_memory() {
    let now = Instant::now();
    let mut lines = Lines::new(now);
    for _ in 0..1000 {
        assert_eq!(lines.feed(&[b'x'; 4096], now), []);
    }
    assert!(lines.line.capacity() <= 2 * MAX_LINE);
    assert_eq!(
        lines.feed(b"\nshort\n", now),
        [line(&format!("{} (cut)", "x".repeat(MAX_LINE))), line("short")]
    );
}

#[test]
fn a_flood_is_counted_and_the_next_window_begins_anew() {
    let now = Instant::now();
    let mut lines = Lines::new(now);
    let flood = "chatter\n".repeat(1000);
    assert_eq!(lines.feed(flood.as_bytes(), now).len(), usize::try_from(MAX_LINES).unwrap());
    let later = lines.feed(b"quiet again\n", now + WINDOW);
    assert_eq!(later, [Entry::Dropped(1000 - u64::from(MAX_LINES)), line("quiet again")]);
    assert_eq!(lines.finish(), []);
}
