//! Reads one table of the file into a raw struct, and the raw values into checked ones.
//!
//! In: a parsed TOML table. Out: checked values, or a [`Fault`] for each one that is missing, unknown, of the wrong type
//! or out of bounds; one fault never hides another. Values are not shown in faults of type: they may be secrets.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::config::Fault;

/// A string of the file.
pub(super) type Text = Option<Spanned<String>>;
/// An integer of the file.
pub(super) type Number = Option<Spanned<i64>>;
/// A list of strings of the file.
pub(super) type List = Option<Spanned<Vec<Spanned<String>>>>;

const MISSING: &str = "is missing: it has no default";
/// How alike a key and what was meant by it are at least (Jaro and Winkler): one letter off, or two in a long word.
const ALIKE: f64 = 0.9;

/// The faults of one file.
pub(super) struct Faults<'i> {
    path: &'i Path,
    text: &'i str,
    found: Vec<Fault>,
    /// The keys that somebody meant by others, and that are therefore not told to be missing.
    meant: Vec<String>,
}

/// One table, while it is read.
pub(super) struct Section<'a, 'i> {
    at: String,
    span: Range<usize>,
    table: DeTable<'i>,
    /// The keys that were asked for on their own, there or not: for the list of those that may be.
    asked: Vec<String>,
    faults: &'a mut Faults<'i>,
}

impl<'i> Faults<'i> {
    pub(super) fn new(path: &'i Path, text: &'i str) -> Self {
        Self { path, text, found: Vec::new(), meant: Vec::new() }
    }

    /// Adds a fault at a byte offset of the text.
    pub(super) fn add(&mut self, at: String, offset: usize, message: impl Display) {
        let line = self.line_of(offset);
        let fault = Fault::new(at, message.to_string());
        self.found.push(Fault { file: Some(self.path.to_owned()), line: Some(line), ..fault });
    }

    /// The line of a byte of the text, from 1.
    fn line_of(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    /// All of them, in the order of the file.
    pub(super) fn into_sorted(mut self) -> Vec<Fault> {
        self.found.sort_by(|a, b| (a.line, &a.at).cmp(&(b.line, &b.at)));
        self.found
    }
}

impl<'a, 'i> Section<'a, 'i> {
    /// The whole file.
    pub(super) fn root(faults: &'a mut Faults<'i>, table: Spanned<DeTable<'i>>) -> Self {
        Self { at: String::new(), span: table.span(), table: table.into_inner(), asked: Vec::new(), faults }
    }

    /// Takes the table `key` out of this one. Another value there is a fault.
    pub(super) fn child(&mut self, key: &str) -> Option<Section<'_, 'i>> {
        self.asked.push(key.to_owned());
        let (key, value) = self.table.remove_entry(key)?;
        let at = self.path_of(key.get_ref());
        let DeValue::Table(table) = value.into_inner() else {
            self.faults.add(at.clone(), key.span().start, format!("is a table: write [{at}]"));
            return None;
        };
        Some(Section { at, span: key.span(), table, asked: Vec::new(), faults: self.faults })
    }

    /// As [`Self::child`]; that there is none is a fault.
    pub(super) fn required_child(&mut self, key: &str) -> Option<Section<'_, 'i>> {
        if !self.has(key) {
            self.missing(key);
        }
        self.child(key)
    }

    /// Whether anything is under `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The names in a table of sections, `NAME` of each `[token.NAME]`. That there are none is a fault.
    pub(super) fn names(&mut self) -> Vec<String> {
        if self.table.is_empty() {
            self.fault(format!("is empty: add a section [{}.NAME]", self.at));
        }
        self.table.keys().map(|key| key.get_ref().to_string()).collect()
    }

    /// The string under `key`, which stays in this table.
    pub(super) fn peek(&self, key: &str) -> Option<&str> {
        self.table.get(key)?.get_ref().as_str()
    }

    /// Takes the string under `key` out of this table. Anything else that is there stays, for [`Self::read`] to say so.
    pub(super) fn take(&mut self, key: &str) -> Text {
        self.asked.push(key.to_owned());
        let (_, value) = self.table.get_key_value(key)?;
        let text = Spanned::new(value.span(), value.get_ref().as_str()?.to_owned());
        self.table.remove(key);
        Some(text)
    }

    /// Takes these keys out of this table, as a table of their own under the same path.
    pub(super) fn part(&mut self, keys: &[&str]) -> Section<'_, 'i> {
        self.asked.extend(keys.iter().map(|key| (*key).to_owned()));
        let table = keys.iter().filter_map(|key| self.table.remove_entry(*key)).collect();
        Section {
            at: self.at.clone(),
            span: self.span.clone(),
            table,
            asked: Vec::new(),
            faults: self.faults,
        }
    }

    /// Makes a fault of each key of a file's top level that is none of a table.
    pub(super) fn refuse_loose_keys(&mut self) {
        let is_loose =
            |(_, value): &(&Spanned<_>, &Spanned<DeValue<'_>>)| value.get_ref().as_table().is_none();
        let loose: Vec<_> = self.table.iter().filter(is_loose).map(|(key, _)| key.clone()).collect();
        for key in loose {
            let message =
                "is outside of any section; is the line of its section, such as [server], missing above it?";
            self.faults.add(self.path_of(key.get_ref()), key.span().start, message);
            self.table.remove(key.get_ref().as_ref());
        }
    }

    /// Makes a fault of each key that was not taken out.
    pub(super) fn refuse_others(&mut self, message: &str) {
        for key in self.table.keys() {
            let meant = nearest(key.get_ref(), self.asked.iter().map(String::as_str)).map(str::to_owned);
            let hint = meant.as_ref().map(|meant| format!("; did you mean [{meant}]?")).unwrap_or_default();
            self.faults.add(self.path_of(key.get_ref()), key.span().start, format!("{message}{hint}"));
            if let Some(meant) = meant {
                let at = self.path_of(&meant);
                self.faults.found.retain(|fault| fault.at != at || fault.cause != MISSING);
            }
        }
    }

    /// Where this table begins.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The line on which something of the file begins, from 1.
    pub(super) fn line_of(&self, span: &Range<usize>) -> usize {
        self.faults.line_of(span.start)
    }

    /// This table's path in the file.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// The directory of the file, which relative paths are relative to.
    ///
    /// Absolute where the system tells: a module named without any directory would be looked for in the library path.
    pub(super) fn directory(&self) -> PathBuf {
        let directory = self.faults.path.parent().unwrap_or(Path::new(""));
        std::path::absolute(directory.join(".")).unwrap_or_else(|_| directory.join("."))
    }

    /// Reads the table into a raw struct, all of whose fields are optional. A key that does not fit is a fault and is
    /// left out, so that the others are still checked.
    pub(super) fn read<T: DeserializeOwned + Default>(&mut self) -> T {
        loop {
            let table = Spanned::new(self.span.clone(), DeValue::Table(self.table.clone()));
            let error = match T::deserialize(ValueDeserializer::from(table)) {
                Ok(raw) => return raw,
                Err(error) => error,
            };
            let offset = error.span().map_or(self.span.start, |span| span.start);
            let key = self.key_at(offset).unwrap_or_default();
            let (message, meant) = describe(error.message(), &key, &self.asked);
            self.faults.add(self.path_of(&key), offset, message);
            self.faults.meant.extend(meant.map(|meant| self.path_of(&meant)));
            if self.table.remove(key.as_str()).is_none() {
                return T::default();
            }
        }
    }

    /// A fault of this table as a whole.
    pub(super) fn fault(&mut self, message: impl Display) {
        self.faults.add(self.at.clone(), self.span.start, message);
    }

    /// A fault of the value of `key`.
    pub(super) fn fault_at(&mut self, key: &str, span: &Range<usize>, message: impl Display) {
        self.faults.add(self.path_of(key), span.start, message);
    }

    /// A value that must be there.
    pub(super) fn required<T, U, E: Display>(
        &mut self,
        key: &str,
        raw: Option<Spanned<T>>,
        check: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        if raw.is_none() {
            self.missing(key);
        }
        self.checked(key, raw?, check)
    }

    /// A value that has a default.
    pub(super) fn or<T, U, E: Display>(
        &mut self,
        key: &str,
        raw: Option<Spanned<T>>,
        default: U,
        check: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        match raw {
            None => Some(default),
            Some(raw) => self.checked(key, raw, check),
        }
    }

    /// A list that must be there and hold something, as a set.
    pub(super) fn required_list<U: Ord, E: Display>(
        &mut self,
        key: &str,
        raw: List,
        check: impl FnMut(String) -> Result<U, E>,
    ) -> Option<BTreeSet<U>> {
        match &raw {
            None => self.missing(key),
            Some(list) if list.get_ref().is_empty() => {
                self.fault_at(key, &list.span(), "is empty: list at least one");
            }
            Some(_) => {}
        }
        self.list(key, raw, check).filter(|set| !set.is_empty())
    }

    /// A list that may be missing, which gives the empty set, but holds something if it is there.
    pub(super) fn optional_list<U: Ord, E: Display>(
        &mut self,
        key: &str,
        raw: List,
        check: impl FnMut(String) -> Result<U, E>,
    ) -> Option<BTreeSet<U>> {
        if raw.is_none() { Some(BTreeSet::new()) } else { self.required_list(key, raw, check) }
    }

    /// A list that may be missing, as a set; listing a thing twice is a fault.
    pub(super) fn list<U: Ord, E: Display>(
        &mut self,
        key: &str,
        raw: List,
        mut check: impl FnMut(String) -> Result<U, E>,
    ) -> Option<BTreeSet<U>> {
        let items = raw.map(Spanned::into_inner).unwrap_or_default();
        let (count, mut set) = (items.len(), BTreeSet::new());
        for item in items {
            let (span, text) = (item.span(), item.get_ref().clone());
            if let Some(checked) = self.checked(key, item, &mut check)
                && !set.insert(checked)
            {
                self.fault_at(key, &span, format!("lists {text:?} twice"));
            }
        }
        (set.len() == count).then_some(set)
    }

    fn checked<T, U, E: Display>(
        &mut self,
        key: &str,
        raw: Spanned<T>,
        check: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        let span = raw.span();
        check(raw.into_inner()).map_err(|error| self.fault_at(key, &span, error)).ok()
    }

    /// Says that `key` is missing, unless it is there and its fault is known.
    fn missing(&mut self, key: &str) {
        let at = self.path_of(key);
        if !self.faults.meant.contains(&at) && !self.faults.found.iter().any(|fault| fault.at == at) {
            self.faults.add(at, self.span.start, MISSING);
        }
    }

    fn path_of(&self, key: &str) -> String {
        match (self.at.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.at.clone(),
            (false, false) => format!("{}.{key}", self.at),
        }
    }

    /// The key of this table that the byte at `offset` belongs to, or whose value it belongs to.
    fn key_at(&self, offset: usize) -> Option<String> {
        let mut entries = self.table.iter();
        let (key, _) = entries.find(|(key, value)| key.span().contains(&offset) || holds(value, offset))?;
        Some(key.get_ref().to_string())
    }
}

/// Whether a value, or anything in a table of its own, is at `offset`.
fn holds(value: &Spanned<DeValue<'_>>, offset: usize) -> bool {
    value.span().contains(&offset)
        || value.get_ref().as_table().is_some_and(|table| {
            table.iter().any(|(key, value)| key.span().contains(&offset) || holds(value, offset))
        })
}

/// What does not fit, from serde's words, without the value that serde quotes; and the key that was meant, if that can be told.
fn describe(error: &str, key: &str, asked: &[String]) -> (String, Option<String>) {
    let expected = error.split_once(", expected ").map_or("nothing", |(_, expected)| expected);
    if !error.starts_with("unknown field") {
        let is_number = ["integer", "floating point"].iter().any(|kind| error.contains(kind));
        let expected = match expected {
            "i64" => "an integer",
            "a sequence" => "a list of strings",
            "a map" => "a table of strings",
            "a string" if is_number && DURATIONS.iter().any(|word| key.contains(word)) => {
                "a duration in quotes, such as \"90s\" or \"16h\","
            }
            other => other,
        };
        return (format!("has the wrong type: {expected} is wanted"), None);
    }
    if ["pin", "password", "secret"].iter().any(|word| key.contains(word)) {
        let message = "is not a key: a PIN is never in this file; put it into a file of mode 0600 and name that in `pin_file`";
        return (message.to_owned(), None);
    }
    let known: Vec<String> = asked.iter().map(|key| format!(", `{key}`")).collect();
    let words = expected.split('`').skip(1).step_by(2).chain(asked.iter().map(String::as_str));
    let meant = nearest(key, words).map(str::to_owned);
    let hint = meant.as_ref().map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    (format!("is not a key of this section: expected {expected}{}{hint}", known.concat()), meant)
}

/// Words in the names of keys that are durations.
const DURATIONS: [&str; 9] =
    ["lifetime", "deadline", "keepalive", "grace", "tolerance", "interval", "within", "backdating", "update"];

/// The word that is most like another, if it is like it at all.
fn nearest<'w>(key: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let alike =
        words.map(|word| (strsim::jaro_winkler(key, word), word)).filter(|(alike, _)| *alike >= ALIKE);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, word)| word)
}
