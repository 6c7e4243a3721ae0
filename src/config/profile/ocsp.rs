//! A profile of an X.509 key for OCSP responses.

use std::collections::BTreeSet;

use countersign_tbs::ocsp::ResponseData;
use serde::Deserialize;
use toml::Spanned;

use super::{RawUpdates, callers, is_set};
use crate::caller::CallerName;
use crate::config::checks::integer;
use crate::config::section::{List, Number, Section, Text};
use crate::policy::ocsp::Bounds;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Raw {
    callers: List,
    max_responses: Number,
    nonce: Option<Spanned<bool>>,
    max_next_update: Text,
    backdating: Text,
    start_within: Text,
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Option<(BTreeSet<CallerName>, Bounds)> {
    let raw: Raw = section.read();
    let callers = callers(section, raw.callers);
    let most = ResponseData::MAX_RESPONSES;
    let max_responses = section.or("max_responses", raw.max_responses, 1, integer(1..=most));
    let updates = RawUpdates {
        max_next_update: raw.max_next_update,
        backdating: raw.backdating,
        start_within: raw.start_within,
    };
    let updates = updates.read(section);
    let bounds = Bounds { max_responses: max_responses?, nonce: is_set(raw.nonce), updates: updates? };
    Some((callers?, bounds))
}
