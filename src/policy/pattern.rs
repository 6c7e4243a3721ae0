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

    /// Whether all of `value` matches. Takes time in proportion to the product of the two lengths, whatever the value.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        // One flag for each step of the pattern: whether what was read so far can end right after that step.
        let mut ends = vec![false; self.0.len()];
        let mut at_start = true;
        for byte in value.bytes() {
            let mut before = at_start;
            for (step, end) in self.0.bytes().zip(&mut ends) {
                let was = *end;
                *end = match step {
                    b'*' => is_word(byte) && (before || was),
                    literal => literal == byte && before,
                };
                before = was;
            }
            at_start = false;
        }
        ends.last() == Some(&true)
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
    use super::{InvalidPattern, Pattern};

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
