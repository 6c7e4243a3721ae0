//! Text that came from a signer, or through it from anybody, for whoever shows it.

/// The text in one line, without anything that a terminal would obey, or that would change the order of letters.
#[must_use]
pub fn escaped(text: &str) -> String {
    let is_odd = |letter: char| {
        (letter.is_control() && letter != '\t')
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::new(), |mut escaped, letter| {
        if is_odd(letter) {
            escaped.extend(letter.escape_unicode());
        } else {
            escaped.push(letter);
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(escaped("a\u{1b}[2Jb\u{202e}c\td"), "a\\u{1b}[2Jb\\u{202e}c\td");
        assert_eq!(escaped("one\nor \u{9b}two: \"é…\""), "one\\u{a}or \\u{9b}two: \"é…\"");
    }
}
