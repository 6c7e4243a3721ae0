//! Text from outside, made safe for one line of a message: escaped and of bounded length. Numbers of seconds, as people write them.

use std::fmt::Write;

use countersign_tbs::der::Time;

use crate::key::UnixTime;

/// How many characters of one value a message shows.
const MAX_VALUE: usize = 64;

/// How many items of a list a message shows.
const MAX_ITEMS: usize = 8;

/// `value` in quotes, escaped, and cut at 64 characters.
pub(super) fn quoted(value: &str) -> String {
    let (start, mark) = cut(value);
    format!("{start:?}{mark}")
}

/// Items from the configuration, separated by commas: the first eight, each cut at 64 characters; "none" if there are none.
pub(super) fn listed<T: ToString>(items: impl ExactSizeIterator<Item = T>) -> String {
    let more = items.len().saturating_sub(MAX_ITEMS);
    let shown: Vec<String> = items.take(MAX_ITEMS).map(|item| shortened(&item.to_string())).collect();
    match (shown.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// So many seconds as a configuration writes them: `7d`, `16h`, `1m 30s`.
pub(super) fn duration(secs: u64) -> String {
    let (mut rest, mut parts) = (secs, Vec::new());
    for (unit, len) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if rest >= len {
            parts.push(format!("{}{unit}", rest / len));
            rest %= len;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// A second of a certificate, a list or a response: RFC 3339, in UTC.
pub(super) fn at(time: Time) -> UnixTime {
    UnixTime(time.unix_secs())
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn shortened(item: &str) -> String {
    let (start, mark) = cut(item);
    format!("{start}{mark}")
}

/// The start of `value`, and the mark of what was cut off.
fn cut(value: &str) -> (&str, &'static str) {
    let end = value.char_indices().nth(MAX_VALUE).and_then(|(end, _)| value.get(..end));
    end.map_or((value, ""), |start| (start, "…"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{duration, listed, quoted};

    #[test]
    fn keeps_outside_text_on_one_short_line() {
        assert_eq!(quoted("a\n\u{1b}[31m\"b"), r#""a\n\u{1b}[31m\"b""#);
        assert_eq!(quoted(&"ä".repeat(65)), format!("{:?}…", "ä".repeat(64)));
        assert!(quoted(&"\u{7}".repeat(100_000)).len() < 1_000);
    }

    #[test]
    fn durations_are_what_a_configuration_may_say() {
        for (secs, text) in [
            (0, "0s"),
            (90, "1m 30s"),
            (57_600, "16h"),
            (86_400, "1d"),
            (604_800, "7d"),
            (2_592_001, "30d 1s"),
        ] {
            assert_eq!(duration(secs), text);
            assert_eq!(humantime::parse_duration(text).unwrap().as_secs(), secs);
        }
        assert_eq!(duration(u64::MAX), "213503982334601d 7h 15s");
    }

    #[test]
    fn shows_the_start_of_a_long_list() {
        assert_eq!(listed([0; 0].iter()), "none");
        assert_eq!(listed(["a", "b"].iter()), "a, b");
        assert_eq!(listed(["x".repeat(65)].iter()), format!("{}…", "x".repeat(64)));
        assert_eq!(listed(0..10), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
