//! A profile of an X.509 key for CRLs.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use super::{RawUpdates, callers, given, is_set, one_of, x509};
use crate::caller::CallerName;
use crate::config::checks::integer;
use crate::config::section::{List, Number, Section, Text};
use crate::policy::crl::{Bounds, FirstNumber, NumberStep, Numbering, SCOPES, Scopes};

/// The most entries that a profile can allow, and what it allows if it does not say: whatever the ledger has a list name is among them,
/// and a list that must be longer than it may be is none. It is more than [`crate::policy::crl::MAX_LEN`] has room for.
const MAX_ENTRIES: usize = 65_536;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Raw {
    callers: List,
    max_entries: Number,
    number_step: Number,
    max_first_number: Number,
    delta: Option<Spanned<bool>>,
    scopes: List,
    crl_urls: List,
    max_next_update: Text,
    backdating: Text,
    start_within: Text,
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Option<(BTreeSet<CallerName>, Bounds)> {
    let extension_values = x509::extension_values(section);
    let raw: Raw = section.read();
    let callers = callers(section, raw.callers);
    let max_entries = section.or("max_entries", raw.max_entries, MAX_ENTRIES, integer(0..=MAX_ENTRIES));
    let number_step = section.or("number_step", raw.number_step, NumberStep::DEFAULT, NumberStep::new);
    let max_first = number_step.and_then(|step| {
        section.or("max_first_number", raw.max_first_number, FirstNumber::from(step), FirstNumber::new)
    });
    let scopes = section
        .optional_list("scopes", raw.scopes, |text| one_of(&SCOPES, "a scope of a list", &text))
        .map(given);
    let crl_urls = section.list("crl_urls", raw.crl_urls, x509::url);
    let updates = RawUpdates {
        max_next_update: raw.max_next_update,
        backdating: raw.backdating,
        start_within: raw.start_within,
    };
    let updates = updates.read(section);
    let bounds = Bounds {
        delta: is_set(raw.delta),
        scopes: scopes?.unwrap_or_else(|| Scopes::from(["all"])),
        crl_urls: crl_urls?,
        max_entries: max_entries?,
        numbering: Numbering { step: number_step?, max_first: max_first? },
        extension_values: extension_values?,
        updates: updates?,
    };
    Some((callers?, bounds))
}
