//! The character sets of the string types that RFC 5280 lets a certificate authority write.

use super::{DerRule, tag};

/// A string type; its character set is checked when it is read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum StringKind {
    /// UTF8String.
    Utf8,
    /// PrintableString: letters, digits, space and `'()+,-./:=?`.
    Printable,
    /// IA5String: ASCII.
    Ia5,
}

impl StringKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Utf8, Self::Printable, Self::Ia5];

    /// The universal identifier octet.
    #[must_use]
    pub const fn tag(self) -> u8 {
        match self {
            Self::Utf8 => tag::UTF8_STRING,
            Self::Printable => tag::PRINTABLE_STRING,
            Self::Ia5 => tag::IA5_STRING,
        }
    }

    /// The text of `bytes`, if each character is in the set and none is a control character.
    pub(crate) fn check(self, bytes: &[u8]) -> Result<&str, DerRule> {
        let text = std::str::from_utf8(bytes).map_err(|_| DerRule::StringCharacter)?;
        let in_set = match self {
            Self::Utf8 => true,
            Self::Printable => text.bytes().all(is_printable),
            Self::Ia5 => text.is_ascii(),
        };
        if text.chars().any(char::is_control) {
            return Err(DerRule::StringControl);
        }
        if in_set { Ok(text) } else { Err(DerRule::StringCharacter) }
    }
}

fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}
