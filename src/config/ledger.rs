//! `[ledger]`: where the record is, and its name.

use std::time::Duration;

use serde::Deserialize;

use crate::config::checks::{duration, path};
use crate::config::section::{Section, Text};
use crate::ledger::Config;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    path: Text,
    origin: Text,
    clock_tolerance: Text,
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Config> {
    let raw: Raw = section.read();
    let path = section.required("path", raw.path, path(&section.directory()));
    let origin = section.required("origin", raw.origin, origin);
    let clock_tolerance = section.or(
        "clock_tolerance",
        raw.clock_tolerance,
        Duration::from_secs(5),
        duration(Duration::ZERO..=Duration::from_secs(3653 * 86_400)),
    );
    Some(Config { path: path?, origin: origin?, clock_tolerance: clock_tolerance? })
}

/// A checkpoint's first line and a key name in it (C2SP tlog-checkpoint, signed-note): no white space and no `+`.
fn origin(text: String) -> Result<String, &'static str> {
    let fits = (1..=255).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+')
        && !text.contains("://");
    if fits {
        Ok(text)
    } else {
        Err("should be a URL without its scheme, such as \"signer-1.example.org/countersign\"")
    }
}
