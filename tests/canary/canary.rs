//! PINs that nobody writes by chance, and the forms in which one could be found.

use base64ct::{Base64, Base64Unpadded, Encoding};
use memchr::memmem;

/// The user's and the security officer's PIN, one that the token refuses, and one that takes the user's place. Halves: some things
/// print a beginning only.
pub const USER: [&str; 2] = ["Kq7vXw2mZp9r", "Tn4bYc8sLd6h"];
pub const SO: [&str; 2] = ["Gf3jRu5kWe1x", "Vb9nMs4tQh7z"];
pub const WRONG: [&str; 2] = ["Jd8wPy6cNa2v", "Hx5rBk3qUf9m"];
pub const NEW: [&str; 2] = ["Rw6tCz9gFk2p", "Ym3hSv8dXj5n"];
/// All of them: what a token behind a module has.
pub const PINS: [[&str; 2]; 4] = [USER, SO, WRONG, NEW];

/// The PIN of these halves.
pub fn whole(halves: [&str; 2]) -> String {
    halves.concat()
}

/// One that is refused, and another for each number: a token is never asked about the same twice.
pub fn wrong(number: u32) -> String {
    format!("{}{number}", whole(WRONG))
}

/// Every byte string whose presence gives a secret, or half of it, away, and what it is.
fn forms_of(half: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = half.as_bytes();
    let joined = |separator: &str, each: fn(&u8) -> String| {
        bytes.iter().map(each).collect::<Vec<_>>().join(separator).into_bytes()
    };
    let mut forms = vec![
        ("itself", bytes.to_vec()),
        ("backwards", bytes.iter().rev().copied().collect()),
        ("in hexadecimal", joined("", |byte| format!("{byte:02x}"))),
        ("in capital hexadecimal", joined("", |byte| format!("{byte:02X}"))),
        ("in hexadecimal with colons", joined(":", |byte| format!("{byte:02x}"))),
        ("as a list of numbers", joined(", ", ToString::to_string)),
        ("as a list without spaces", joined(",", ToString::to_string)),
        ("in UTF-16", bytes.iter().flat_map(|byte| [*byte, 0]).collect()),
    ];
    // Wherever the base64 of a longer text has it: without the characters that its neighbours are part of.
    for before in 0..3 {
        let padded = [&vec![b'.'; before][..], bytes].concat();
        let (skip, text) = ((before * 8).div_ceil(6), Base64Unpadded::encode_string(&padded));
        let end = padded.len() * 8 / 6;
        forms.push(("in base64", text.as_bytes()[skip..end].to_vec()));
    }
    forms.into_iter().map(|(what, form)| (format!("{half} {what}"), form)).collect()
}

/// Looks for all forms.
pub struct Hunt(Vec<(String, memmem::Finder<'static>)>);

impl Hunt {
    /// For these secrets, or halves of them.
    pub fn new(secrets: &[&str]) -> Self {
        let finder = |(what, form): (String, Vec<u8>)| (what, memmem::Finder::new(&form).into_owned());
        Self(secrets.iter().copied().flat_map(forms_of).map(finder).collect())
    }

    /// A form that is in these bytes, and where.
    pub fn find<'a>(&'a self, bytes: &'a [u8]) -> Option<(&'a str, usize)> {
        self.find_all(bytes).next()
    }

    /// Every one, wherever it is.
    pub fn find_all<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (&'a str, usize)> {
        self.0.iter().flat_map(|(what, finder)| finder.find_iter(bytes).map(|at| (what.as_str(), at)))
    }
}

#[test]
fn a_hunt_finds_a_pin_in_every_form_and_nothing_else() {
    let (hunt, pin) = (Hunt::new(PINS.as_flattened()), whole(USER));
    assert_eq!(hunt.find(b"Kq7vXw2mZp9 Tn4bYc8sLd6"), None);
    for prefix in ["", "a", "ab", "abc"] {
        let text = format!("{prefix}{pin}\n");
        let forms = [
            text.clone(),
            format!("{:?}", text.as_bytes()),
            serde_json::to_string(text.as_bytes()).unwrap(),
            Base64::encode_string(text.as_bytes()),
            text.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat(),
        ];
        for form in forms {
            assert!(hunt.find(form.as_bytes()).is_some(), "{form}");
        }
    }
}
