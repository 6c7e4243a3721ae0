//! Profiles of an X.509 CA key for what it signs about itself: the request for its certificate, and a root's own.
//!
//! The callers are users of the signer's own host: nobody asks for a CA over the network.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::{RawValidity, x509};
use crate::caller::CallerName;
use crate::config::checks::integer;
use crate::config::section::{List, Number, Section, Text};
use crate::policy::own::{RequestBounds, RootBounds, Subject};
use crate::policy::profile::Bounds;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawRequest {
    callers: List,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawRoot {
    callers: List,
    max_path_length: Number,
    max_lifetime: Text,
    min_lifetime: Text,
    backdating: Text,
    start_within: Text,
}

/// How long a root may live: longer than anything that it signs.
const THIRTY_YEARS: Duration = Duration::from_secs(30 * 366 * 24 * 3600);

pub(super) fn read_request(section: &mut Section<'_, '_>) -> Option<(BTreeSet<CallerName>, Bounds)> {
    let subject = subject(section);
    let raw: RawRequest = section.read();
    let callers = operators(section, raw.callers);
    Some((callers?, Bounds::Request(RequestBounds { subject: subject? })))
}

pub(super) fn read_root(section: &mut Section<'_, '_>) -> Option<(BTreeSet<CallerName>, Bounds)> {
    let subject = subject(section);
    let raw: RawRoot = section.read();
    let callers = operators(section, raw.callers);
    let length = |number| integer(0..=16)(number).map(|length| u16::try_from(length).ok());
    let max_path_length = section.or("max_path_length", raw.max_path_length, None, length);
    let validity = RawValidity {
        max_lifetime: raw.max_lifetime,
        min_lifetime: raw.min_lifetime,
        backdating: raw.backdating,
        start_within: raw.start_within,
    };
    let validity = validity.read_up_to(THIRTY_YEARS, section);
    let bounds = RootBounds { subject: subject?, max_path_length: max_path_length?, validity: validity? };
    Some((callers?, Bounds::Root(bounds)))
}

/// The name that the CA may have, which is never any.
fn subject(section: &mut Section<'_, '_>) -> Option<Subject> {
    let subject =
        section.child("subject").map_or(Some(BTreeMap::new()), |mut table| x509::subject(&mut table))?;
    if subject.is_empty() {
        section.fault("allows no name: add a table `subject`");
        return None;
    }
    Some(subject)
}

fn operators(section: &mut Section<'_, '_>, raw: List) -> Option<BTreeSet<CallerName>> {
    section.required_list("callers", raw, |text| match CallerName::parse(&text) {
        Ok(caller) if !caller.as_str().starts_with("uid:") => {
            Err("a CA is asked for on the signer's own host: list users, such as \"uid:0\"".to_owned())
        }
        Ok(caller) => Ok(caller),
        Err(error) => Err(error.to_string()),
    })
}
