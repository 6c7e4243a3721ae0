//! `[bundles]`: where the daemon writes what hosts and relying parties are to trust.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::config::checks::path;
use crate::config::section::{List, Section, Text};
use crate::daemon::bundles::Config;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    directory: Text,
    host_patterns: List,
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Config> {
    let raw: Raw = section.read();
    let directory = section.directory();
    let here = path(&directory);
    let directory = section.required("directory", raw.directory, here);
    let host_patterns: Option<BTreeSet<String>> =
        section.optional_list("host_patterns", raw.host_patterns, |pattern| {
            if is_host_pattern(&pattern) {
                Ok(pattern)
            } else {
                Err(format!("{pattern:?} is no pattern as known_hosts has them, such as \"*.example.org\""))
            }
        });
    Some(Config { directory: directory?, host_patterns: host_patterns?.into_iter().collect() })
}

/// Whether it is one pattern of a line of known_hosts, and nothing that ends or changes the line.
pub(crate) fn is_host_pattern(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|letter| letter.is_ascii_graphic() && !matches!(letter, '#' | ',' | '@' | '|'))
}
