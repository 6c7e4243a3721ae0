//! A new caller's profiles in the text of a configuration.
//!
//! In: the text. Out: the same text with more lines. Promised: every line that was there is there, in its order, comments too. What
//! the lines mean is checked by whoever reads configurations, not here.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

/// A configuration that is being added to.
pub(super) struct Document(DocumentMut);

/// The text as it is to be.
pub(super) struct Changed {
    pub(super) text: String,
    /// Each new line, and its number.
    pub(super) added: Vec<(usize, String)>,
}

/// What a new profile for SSH certificates bounds, as it is to be written.
pub(super) struct Bounds<'a> {
    pub(super) principals: &'a [String],
    pub(super) max_lifetime: &'a str,
    pub(super) budget: &'a str,
    pub(super) extensions: &'a [String],
}

impl Document {
    /// # Errors
    /// It is not TOML.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(Self(text.parse().context("the configuration is not TOML")?))
    }

    /// The key that signs clients' certificates, `named` or the only one, and the first pattern of its profile for them that one name
    /// fits into.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub(super) fn client_ca(&self, named: Option<&str>) -> anyhow::Result<(String, Option<String>)> {
        let mut found = Vec::new();
        for (key, profile, table) in self.profiles() {
            if table.get("signs").and_then(Item::as_str) == Some("tls-client")
                && named.is_none_or(|named| named == key)
            {
                let pattern = strings(table, "uris").find(|uri| uri.matches('*').count() == 1);
                found.push((key, profile, pattern.map(str::to_owned)));
            }
        }
        match found.as_slice() {
            [(key, _, pattern)] => Ok(((*key).to_owned(), pattern.clone())),
            [] => bail!(
                "no key{} has a profile with signs = \"tls-client\", by which clients' certificates are signed: `countersign init` writes one, and docs/getting-started.md shows it",
                named.map(|named| format!(" {named}")).unwrap_or_default()
            ),
            many => {
                let all: Vec<_> =
                    many.iter().map(|(key, profile, _)| format!("{key}.allow.{profile}")).collect();
                bail!("several profiles sign \"tls-client\": {}; name the key with --ca", all.join(", "))
            }
        }
    }

    /// Where this identity is a caller, or a reader of the ledger, already.
    pub(super) fn mentions(&self, identity: &str) -> Option<String> {
        let calls = |table: &dyn TableLike| strings(table, "callers").any(|caller| caller == identity);
        let found = self.profiles().find(|(_, _, table)| calls(*table));
        if let Some((key, profile, _)) = found {
            return Some(format!("key.{key}.allow.{profile}"));
        }
        let ledger = self.0.get("ledger").and_then(Item::as_table_like)?;
        strings(ledger, "readers").any(|reader| reader == identity).then(|| "ledger.readers".to_owned())
    }

    /// Where there is a profile of this name.
    pub(super) fn profile(&self, name: &str) -> Option<String> {
        let (key, profile, _) = self.profiles().find(|(_, profile, _)| *profile == name)?;
        Some(format!("key.{key}.allow.{profile}"))
    }

    /// Adds a profile `name` to every key that has one for `other`, the same but for its caller.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn copy(&mut self, name: &str, identity: &str, other: &str) -> anyhow::Result<()> {
        let is_others = |table: &dyn TableLike| strings(table, "callers").any(|caller| caller == other);
        let found = self.profiles().filter(|(_, _, table)| is_others(*table));
        let found: Vec<_> = found.map(|(key, profile, _)| (key.to_owned(), profile.to_owned())).collect();
        ensure!(
            !found.is_empty(),
            "{other} is in no profile, so that there is nothing to be like; {}. Nothing was changed",
            self.front_ends()
        );
        for (key, profile) in &found {
            let several = found.iter().filter(|(other, _)| other == key).count() > 1;
            let name = if several { format!("{name}-{profile}") } else { name.to_owned() };
            let allow = self.allow(key)?;
            let mut copy = allow.get(profile).and_then(Item::as_table).cloned().with_context(|| {
                format!(
                    "key.{key}.allow.{profile} is written in one line; give it a section of its own first"
                )
            })?;
            detach(&mut copy);
            copy.insert("callers", value(Array::from_iter([identity])));
            copy.decor_mut().set_prefix(format!("\n# As {profile}, for {identity}.\n"));
            allow.insert(&name, Item::Table(copy));
        }
        Ok(())
    }

    /// Those that somebody can be like, for a person.
    fn front_ends(&self) -> String {
        let callers = self.profiles().flat_map(|(_, _, table)| strings(table, "callers"));
        let networked: BTreeSet<_> = callers.filter(|caller| !caller.starts_with("uid:")).collect();
        let named: Vec<_> = networked.into_iter().collect();
        if named.is_empty() {
            "nobody is yet: give --key and what follows it".to_owned()
        } else {
            format!("there are: {}", named.join(", "))
        }
    }

    /// Adds a profile `name` to the key.
    ///
    /// # Errors
    /// There is no such key.
    pub(super) fn add(
        &mut self,
        key: &str,
        name: &str,
        identity: &str,
        bounds: &Bounds<'_>,
    ) -> anyhow::Result<()> {
        let allow = self.allow(key)?;
        let list = |texts: &[String]| value(texts.iter().map(String::as_str).collect::<Array>());
        let mut table = Table::new();
        table.insert("callers", value(Array::from_iter([identity])));
        table.insert("principals", list(bounds.principals));
        table.insert("max_lifetime", value(bounds.max_lifetime));
        table.insert("budget", value(bounds.budget));
        if !bounds.extensions.is_empty() {
            table.insert("extensions", list(bounds.extensions));
        }
        table.decor_mut().set_prefix("\n");
        allow.insert(name, Item::Table(table));
        Ok(())
    }

    /// # Errors
    /// More than lines would be added: the file is written in a way that this cannot keep.
    pub(super) fn finish(&self, before: &str) -> anyhow::Result<Changed> {
        let text = self.0.to_string();
        let (mut old, mut added) = (before.lines().peekable(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            if old.next_if_eq(&line).is_none() {
                added.push((index + 1, line.to_owned()));
            }
        }
        ensure!(
            old.next().is_none(),
            "the profile cannot be added without changing other lines: write it by hand, as docs/policy.md shows. Nothing was changed"
        );
        Ok(Changed { text, added })
    }

    /// Every profile: its key, its name, and what it says.
    fn profiles(&self) -> impl Iterator<Item = (&str, &str, &dyn TableLike)> {
        let keys = self.0.get("key").and_then(Item::as_table_like);
        let keys = keys.into_iter().flat_map(TableLike::iter);
        keys.flat_map(|(key, section)| {
            let allow = section.get("allow").and_then(Item::as_table_like);
            let profiles = allow.into_iter().flat_map(TableLike::iter);
            profiles.filter_map(move |(profile, item)| Some((key, profile, item.as_table_like()?)))
        })
    }

    /// Where a key's profiles are.
    fn allow(&mut self, key: &str) -> anyhow::Result<&mut Table> {
        let keys = self.0.get_mut("key").and_then(Item::as_table_like_mut);
        let section = keys.and_then(|keys| keys.get_mut(key)).and_then(Item::as_table_mut);
        let section =
            section.with_context(|| format!("there is no section [key.{key}]; nothing was changed"))?;
        let allow = section.entry("allow").or_insert_with(|| {
            let mut allow = Table::new();
            allow.set_implicit(true);
            Item::Table(allow)
        });
        allow.as_table_mut().with_context(|| {
            format!("key.{key}.allow is written in one line; give it sections first. Nothing was changed")
        })
    }
}

/// Has it follow what is before it, with what is below it.
fn detach(table: &mut Table) {
    table.set_position(None);
    for (_, item) in table.iter_mut() {
        if let Item::Table(below) = item {
            detach(below);
        }
    }
}

/// The strings of a list.
fn strings<'a>(table: &'a dyn TableLike, key: &str) -> impl Iterator<Item = &'a str> {
    let list = table.get(key).and_then(Item::as_array);
    list.into_iter().flatten().filter_map(|item| item.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TEXT: &str = "# Head.
[key.user-ca]
purpose = \"ssh-user-ca\" # why

# The first.
[key.user-ca.allow.first]
callers = [\"spiffe://example.org/first\"]   # alone
principals = [
    \"alice\", # and nobody else
]
[key.user-ca.allow.first.critical_options]
source-address = [\"10.0.0.0/8\"]

[key.log] # the last
purpose = \"ledger\"
";

    fn copied(text: &str) -> anyhow::Result<Changed> {
        let mut document = Document::parse(text)?;
        document.copy("second", "spiffe://example.org/second", "spiffe://example.org/first")?;
        document.finish(text)
    }

    #[test]
    fn a_copy_has_what_is_below_it_and_follows_it() {
        let changed = copied(TEXT).unwrap();
        let added: Vec<_> = changed.added.iter().map(|(_, line)| line.as_str()).collect();
        let expected = [
            "# As first, for spiffe://example.org/second.",
            "[key.user-ca.allow.second]",
            "callers = [\"spiffe://example.org/second\"]",
            "principals = [",
            "    \"alice\", # and nobody else",
            "]",
            "[key.user-ca.allow.second.critical_options]",
            "source-address = [\"10.0.0.0/8\"]",
            "",
        ];
        assert_eq!(added, expected, "{}", changed.text);
        assert!(changed.text.ends_with("[key.log] # the last\npurpose = \"ledger\"\n"), "{}", changed.text);
    }

    #[test]
    fn a_caller_with_two_profiles_of_a_key_is_copied_with_both() {
        let text = format!("{TEXT}[key.user-ca.allow.more]\ncallers = [\"spiffe://example.org/first\"]\n");
        let changed = copied(&text).unwrap();
        for name in ["[key.user-ca.allow.second-first]", "[key.user-ca.allow.second-more]"] {
            assert!(changed.text.contains(name), "{}", changed.text);
        }
    }

    #[test]
    fn what_cannot_be_added_to_is_refused() {
        let inline = "[key.user-ca]\nallow = { first = { callers = [\"spiffe://example.org/first\"] } }\n";
        let refused = copied(inline).err().unwrap().to_string();
        assert!(refused.contains("in one line"), "{refused}");
        let one = "[key.user-ca.allow]\nfirst = { callers = [\"spiffe://example.org/first\"] }\n";
        assert!(copied(one).err().unwrap().to_string().contains("in one line"));
        let nobody = TEXT.replace("example.org/first", "example.org/other");
        assert!(copied(&nobody).err().unwrap().to_string().contains("is in no profile"));
    }

    #[test]
    fn a_file_that_ends_without_a_newline_keeps_its_last_line() {
        let changed = copied(TEXT.trim_end()).unwrap();
        assert!(changed.text.contains("[key.user-ca.allow.second]"));
    }
}
