//! Critical options and extensions: two lists of the same form (PROTOCOL.certkeys, "Critical options").
//!
//! In: the content of either field. Out: names and values, sorted by name, each once.
//! Promised: a value is either absent or wrapped exactly once, and the options that PROTOCOL.certkeys defines have the
//! shape that it defines. Not done here: whether an option is allowed, or its value sensible (policy).

use std::cmp::Ordering;

use super::wire::{Reader, excerpt, put_string};
use super::{OPTION_NAME_MAX_LEN, OPTION_VALUE_MAX_LEN, OPTIONS_MAX, OptionSection, ParseError};

/// The flags and the options with a value that PROTOCOL.certkeys defines, by section.
const CRITICAL_FLAGS: [&str; 1] = ["verify-required"];
const CRITICAL_WITH_VALUE: [&str; 2] = ["force-command", "source-address"];
const EXTENSION_FLAGS: [&str; 6] = [
    "no-touch-required",
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// Names and values, sorted by name, each name once. A flag has no value, and its data field is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Options(Vec<(String, Option<Vec<u8>>)>);

impl Options {
    /// Every option, in order: its name, and its value unless it is a flag.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// The option of this name: `None` if there is none, `Some(None)` if it is a flag.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Option<&[u8]>> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one at its place, for the builder. A name that is there already is added again, for the parser to refuse.
    pub(super) fn insert(&mut self, name: String, value: Option<Vec<u8>>) {
        let place = self.0.partition_point(|(other, _)| *other <= name);
        self.0.insert(place, (name, value));
    }

    pub(super) fn parse(section: OptionSection, bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let mut options: Vec<(String, Option<Vec<u8>>)> = Vec::new();
        while !reader.is_empty() {
            if options.len() == OPTIONS_MAX {
                return Err(ParseError::OptionsTooMany { section });
            }
            let name = parse_name(section, reader.string("option's name")?)?;
            if let Some((previous, _)) = options.last() {
                check_order(section, previous, name)?;
            }
            let value = parse_value(section, name, reader.string("option's data")?)?;
            options.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        }
        Ok(Self(options))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in self.iter() {
            let mut data = Vec::new();
            if let Some(value) = value {
                put_string(&mut data, value);
            }
            put_string(&mut out, name.as_bytes());
            put_string(&mut out, &data);
        }
        out
    }
}

fn parse_name(section: OptionSection, bytes: &[u8]) -> Result<&str, ParseError> {
    let fits = (1..=OPTION_NAME_MAX_LEN).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    str::from_utf8(bytes)
        .ok()
        .filter(|_| fits)
        .ok_or_else(|| ParseError::OptionNameInvalid { section, name: excerpt(bytes) })
}

fn check_order(section: OptionSection, previous: &str, name: &str) -> Result<(), ParseError> {
    match previous.cmp(name) {
        Ordering::Less => Ok(()),
        Ordering::Equal => Err(ParseError::OptionDuplicate { section, name: name.to_owned() }),
        Ordering::Greater => Err(ParseError::OptionsNotSorted {
            section,
            name: name.to_owned(),
            previous: previous.to_owned(),
        }),
    }
}

fn parse_value<'a>(
    section: OptionSection,
    name: &str,
    data: &'a [u8],
) -> Result<Option<&'a [u8]>, ParseError> {
    let value = if data.is_empty() { None } else { Some(unwrap_value(section, name, data)?) };
    match Shape::of(section, name) {
        Shape::Flag if value.is_some() => {
            Err(ParseError::OptionTakesNoValue { section, name: name.to_owned() })
        }
        Shape::Value if value.is_none_or(<[u8]>::is_empty) => {
            Err(ParseError::OptionNeedsValue { section, name: name.to_owned() })
        }
        Shape::Flag | Shape::Value | Shape::Either => Ok(value),
    }
}

fn unwrap_value<'a>(section: OptionSection, name: &str, data: &'a [u8]) -> Result<&'a [u8], ParseError> {
    let name = || name.to_owned();
    let mut reader = Reader::new(data);
    let value = reader
        .string("option's value")
        .map_err(|_| ParseError::OptionNotWrapped { section, name: name() })?;
    if !reader.is_empty() {
        return Err(ParseError::OptionTrailingBytes { section, name: name(), count: reader.left() });
    }
    if value.len() > OPTION_VALUE_MAX_LEN {
        return Err(ParseError::OptionValueTooLong { section, name: name(), len: value.len() });
    }
    Ok(value)
}

/// Whether an option has a value.
enum Shape {
    Flag,
    Value,
    /// A name that PROTOCOL.certkeys does not define.
    Either,
}

impl Shape {
    fn of(section: OptionSection, name: &str) -> Self {
        let (flags, with_value): (&[&str], &[&str]) = match section {
            OptionSection::Critical => (&CRITICAL_FLAGS, &CRITICAL_WITH_VALUE),
            OptionSection::Extension => (&EXTENSION_FLAGS, &[]),
        };
        if flags.contains(&name) {
            Self::Flag
        } else if with_value.contains(&name) {
            Self::Value
        } else {
            Self::Either
        }
    }
}
