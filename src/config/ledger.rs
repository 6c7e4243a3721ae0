//! `[ledger]`: where the record is, its name, who may read it, and how checkpoints of it are signed.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::caller::CallerName;
use crate::config::checks::{duration, integer, path};
use crate::config::key::KnownKeys;
use crate::config::section::{List, Number, Section, Text};
use crate::ledger::checkpoint::file;
use crate::ledger::{Config, checkpoints, postgres};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    path: Text,
    postgres: Text,
    postgres_password_file: Text,
    postgres_root_certificates: Text,
    postgres_timeout: Text,
    origin: Text,
    clock_tolerance: Text,
    checkpoint_key: Text,
    checkpoint_interval: Text,
    checkpoint_entries: Number,
    checkpoint_file: Text,
    readers: List,
}

pub(super) fn read(keys: &mut KnownKeys, section: &mut Section<'_, '_>) -> Option<Config> {
    let raw: Raw = section.read();
    let directory = section.directory();
    let here = path(&directory);
    let path = section.required("path", raw.path, &here);
    let origin = section.required("origin", raw.origin, origin);
    let password =
        section.or("postgres_password_file", raw.postgres_password_file, None, |text| here(text).map(Some));
    let roots = section
        .or("postgres_root_certificates", raw.postgres_root_certificates, None, |text| here(text).map(Some));
    let timeout = section.or(
        "postgres_timeout",
        raw.postgres_timeout,
        Duration::from_secs(5),
        duration(Duration::from_secs(1)..=Duration::from_secs(60)),
    );
    let database = password.zip(roots).zip(timeout);
    let postgres = section.or("postgres", raw.postgres, None, |text| {
        let Some(((password, roots), timeout)) = database else { return Ok(None) };
        postgres::Config::new(&text, password, roots, timeout).map(|config| Some(Arc::new(config)))
    });
    let clock_tolerance = section.or(
        "clock_tolerance",
        raw.clock_tolerance,
        Duration::from_secs(5),
        duration(Duration::ZERO..=Duration::from_secs(3653 * 86_400)),
    );
    let key = section.or("checkpoint_key", raw.checkpoint_key, None, |name| keys.for_ledger(&name).map(Some));
    let interval = section.or(
        "checkpoint_interval",
        raw.checkpoint_interval,
        Duration::from_secs(10),
        duration(Duration::from_millis(100)..=Duration::from_secs(86_400)),
    );
    let entries = section.or("checkpoint_entries", raw.checkpoint_entries, 1000, integer(1..=1_000_000_000));
    let file = section.or("checkpoint_file", raw.checkpoint_file, None, |text| here(text).map(Some));
    let readers = section.optional_list("readers", raw.readers, |text| CallerName::parse(&text));
    let path = path?;
    let file = file?.unwrap_or_else(|| file::beside(&path));
    let (interval, entries) = (interval?, u64::try_from(entries?).ok()?);
    let checkpoints = key?.map(|key| checkpoints::Config { key, interval, entries, file });
    let (origin, clock_tolerance) = (origin?, clock_tolerance?);
    Some(Config { path, postgres: postgres?, origin, clock_tolerance, checkpoints, readers: readers? })
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
