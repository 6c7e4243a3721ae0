//! Anchored patterns: literal characters and `*`.
//!
//! In: text from the configuration, then values from a TBS. Out: whether the whole value matches. `*` stands for one
//! or more of `A-Z a-z 0-9 _ -` and nothing else: it never crosses a `.`, `@`, `:`, `/` or space, so `*.example.org`
//! is one host name deep and `deploy-*` never reaches another realm. There is no escape: a literal `*` cannot be asked for.

use std::collections::BTreeSet;
use std::fmt;

/// A pattern of 1 to 256 printable ASCII characters, matched against a whole value, case-sensitively.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Pattern(String);

/// Why text is not a [`Pattern`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidPattern {
    /// Empty, or above [`Pattern::MAX_LEN`].
    #[error("a pattern is 1 to {} characters", Pattern::MAX_LEN)]
    Length,
    /// Something that no value in a TBS may hold, so that the pattern could never match as meant.
    #[error("a pattern is printable ASCII")]
    Character,
    /// `**` means what `*` means.
    #[error("write `*` for `**`: one already stands for any number of characters")]
    DoubleStar,
}

impl Pattern {
    /// The longest pattern, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`InvalidPattern`] for anything that could not match as its author means.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidPattern> {
        let text = text.into();
        if !(1..=Self::MAX_LEN).contains(&text.len()) {
            return Err(InvalidPattern::Length);
        }
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(InvalidPattern::Character);
        }
        if text.contains("**") { Err(InvalidPattern::DoubleStar) } else { Ok(Self(text)) }
    }

    /// Whether all of `value` matches. Reads each byte about once, and at worst as often as there are bytes between two stars:
    /// a caller may send 32 KiB of names for each of many patterns.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let (pattern, value) = (self.0.as_bytes(), value.as_bytes());
        let (mut step, mut at) = (0, 0);
        // What is after the last star, in both. It is enough to let that one stand for more: what an earlier one could reach,
        // it reaches too.
        let mut star = None;
        loop {
            match (pattern.get(step), value.get(at)) {
                (None, None) => return true,
                (Some(b'*'), Some(byte)) if is_word(*byte) => {
                    (step, at) = (step + 1, at + 1);
                    star = Some((step, at));
                }
                (Some(literal), Some(byte)) if literal == byte && *literal != b'*' => {
                    (step, at) = (step + 1, at + 1);
                }
                _ => match star {
                    Some((after, end)) if value.get(end).copied().is_some_and(is_word) => {
                        (step, at) = (after, end + 1);
                        star = Some((step, at));
                    }
                    _ => return false,
                },
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether one of `patterns` matches.
pub(super) fn any_matches(patterns: &BTreeSet<Pattern>, value: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(value))
}

/// What `*` stands for.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{InvalidPattern, Pattern, is_word};

    #[test]
    fn matches_whole_values_and_keeps_stars_inside_one_word() {
        let cases = [
            ("alice", "alice", true),
            ("alice", "Alice", false),
            ("alice", "alice2", false),
            ("alice", "malice", false),
            ("alice", "", false),
            ("*", "alice", true),
            ("*", "", false),
            ("*", "a.b", false),
            ("deploy-*", "deploy-a_b-9", true),
            ("deploy-*", "deploy-", false),
            ("deploy-*", "deploy-x@other", false),
            ("*.example.org", "web.example.org", true),
            ("*.example.org", "a.b.example.org", false),
            ("*.example.org", ".example.org", false),
            ("*.*", "given.family", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "abc", false),
            ("*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("run --job=*", "run --job=nightly", true),
            ("run --job=*", "run --job=x; rm", false),
            ("*", "käse", false),
        ];
        for (pattern, value, expected) in cases {
            assert_eq!(Pattern::new(pattern).unwrap().matches(value), expected, "{pattern} against {value}");
        }
    }

    /// By the definition: each star takes every number of characters that it may.
    fn matches(pattern: &[u8], value: &[u8]) -> bool {
        match (pattern, value) {
            ([], []) => true,
            ([b'*', rest @ ..], [byte, after @ ..]) => {
                is_word(*byte) && (matches(rest, after) || matches(pattern, after))
            }
            ([literal, rest @ ..], [byte, after @ ..]) => literal == byte && matches(rest, after),
            _ => false,
        }
    }

    /// Every text of up to `max` of these characters.
    fn texts(characters: &str, max: usize) -> Vec<String> {
        let (mut all, mut last) = (vec![String::new()], vec![String::new()]);
        for _ in 0..max {
            last =
                last.iter().flat_map(|text| characters.chars().map(move |c| format!("{text}{c}"))).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn agrees_with_the_definition() {
        let values = texts("ab.*", 5);
        for pattern in texts("ab.*", 5).into_iter().filter_map(|text| Pattern::new(text).ok()) {
            for value in &values {
                let expected = matches(pattern.0.as_bytes(), value.as_bytes());
                assert_eq!(pattern.matches(value), expected, "{pattern} against {value}");
            }
        }
    }

    #[test]
    fn refuses_patterns_that_cannot_match_as_meant() {
        for (pattern, why) in [
            ("", InvalidPattern::Length),
            (&*"x".repeat(257), InvalidPattern::Length),
            ("a\nb", InvalidPattern::Character),
            ("käse", InvalidPattern::Character),
            ("a**", InvalidPattern::DoubleStar),
        ] {
            assert_eq!(Pattern::new(pattern), Err(why), "{pattern:?}");
        }
    }
}
