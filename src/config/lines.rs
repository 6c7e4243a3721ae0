//! Where each key of a configuration is in its file, for `countersign policy explain`.
//!
//! In: the text of a file that was read without a fault. Out: the line of a path of keys. A running signer has no use for it.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// The line of every key, by its path: `["key", "user-ca", "purpose"]`.
#[derive(Debug, Default)]
pub(crate) struct Lines(BTreeMap<Vec<String>, usize>);

impl Lines {
    /// The lines of `text`; none if it is not TOML.
    pub(crate) fn of(text: &str) -> Self {
        let mut lines = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            lines.add(text, &[], table.get_ref());
        }
        lines
    }

    /// The line, from 1, of the key at `path`; `None` if the file does not set it.
    pub(crate) fn get(&self, path: &[&str]) -> Option<usize> {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        self.0.get(&path).copied()
    }

    /// Tables do not nest deeper than the configuration does: it was read without a fault.
    fn add(&mut self, text: &str, parent: &[String], table: &DeTable<'_>) {
        for (key, value) in table {
            let path = [parent, &[key.get_ref().to_string()]].concat();
            let before = text.bytes().take(key.span().start);
            self.0.insert(path.clone(), 1 + before.filter(|byte| *byte == b'\n').count());
            if let DeValue::Table(inner) = value.get_ref() {
                self.add(text, &path, inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn finds_the_line_of_a_key_however_its_table_is_written() {
        let text = "[key.a.allow.b]\nmax = 1\nd.e = 2\n[key.\"a.allow.b\"]\nf = { g = 1 }\n";
        let lines = Lines::of(text);
        assert_eq!(lines.get(&["key", "a", "allow", "b"]), Some(1));
        assert_eq!(lines.get(&["key", "a", "allow", "b", "max"]), Some(2));
        assert_eq!(lines.get(&["key", "a", "allow", "b", "d", "e"]), Some(3));
        assert_eq!(lines.get(&["key", "a.allow.b", "f", "g"]), Some(5));
        assert_eq!(lines.get(&["key", "a.allow.b", "max"]), None);
    }
}
