//! `[ledger]`: where the record is, its name, who may read it, and how checkpoints of it are signed.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::caller::CallerName;
use crate::config::checks::{duration, integer, path};
use crate::config::key::KnownKeys;
use crate::config::section::{List, Number, Section, Text};
use crate::ledger::checkpoint::file;
use crate::ledger::note::VerifierKey;
use crate::ledger::witness::{Url, Witness};
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
    quorum: Number,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWitness {
    url: Text,
    newest_url: Text,
    verifier_key: Text,
    ca_file: Text,
}

pub(super) fn read(keys: &mut KnownKeys, section: &mut Section<'_, '_>) -> Option<Config> {
    let witnesses = section.child("witness").map(|mut section| witnesses(&mut section));
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
    let witnesses = witnesses.unwrap_or(Some(Vec::new()));
    let count = witnesses.as_ref().map_or(usize::MAX, Vec::len);
    let quorum =
        section.or("quorum", raw.quorum, count, |quorum| match (count, integer(1..=count)(quorum)) {
            (0, _) => Err("is of witnesses, and there is no section [ledger.witness.NAME]".to_owned()),
            (_, quorum) => quorum,
        });
    if count > 0 && matches!(key, Some(None)) {
        section.fault("has witnesses and no `checkpoint_key`: there is nothing that they could cosign");
        return None;
    }
    let path = path?;
    let file = file?.unwrap_or_else(|| file::beside(&path));
    let (interval, entries) = (interval?, u64::try_from(entries?).ok()?);
    let (witnesses, quorum) = (witnesses?, quorum?);
    let checkpoints = key?.map(|key| checkpoints::Config { key, interval, entries, file, witnesses, quorum });
    let (origin, clock_tolerance) = (origin?, clock_tolerance?);
    Some(Config { path, postgres: postgres?, origin, clock_tolerance, checkpoints, readers: readers? })
}

/// Each `[ledger.witness.NAME]`. A key that is there twice would count twice.
fn witnesses(section: &mut Section<'_, '_>) -> Option<Vec<Witness>> {
    let names = section.names();
    let mut witnesses: Vec<Witness> = Vec::new();
    for name in &names {
        let Some(mut section) = section.child(name) else { continue };
        let Some(witness) = witness(name, &mut section) else { continue };
        if let Some(other) = witnesses.iter().find(|other| other.key.is_pair_of(&witness.key)) {
            section.fault(format!("has the key of [ledger.witness.{}], and would count twice", other.name));
            continue;
        }
        witnesses.push(witness);
    }
    (witnesses.len() == names.len()).then_some(witnesses)
}

fn witness(name: &str, section: &mut Section<'_, '_>) -> Option<Witness> {
    let raw: RawWitness = section.read();
    let directory = section.directory();
    let here = path(&directory);
    let is_name = !name.is_empty() && name.len() <= 64;
    if !is_name || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        section.fault("should have a name of 1 to 64 letters, digits, '-', '_' and '.'");
    }
    let url = section.required("url", raw.url, |text| text.parse::<Url>());
    let newest_url = section.or("newest_url", raw.newest_url, None, |text| text.parse::<Url>().map(Some));
    let key = section.required("verifier_key", raw.verifier_key, |text| {
        match text.parse::<VerifierKey>().map_err(|error| error.to_string())? {
            key if key.is_cosigner() => Ok(key),
            _ => Err("is the key of no witness: its kind is not 0x04 (C2SP tlog-cosignature)".to_owned()),
        }
    });
    let ca_file = section.or("ca_file", raw.ca_file, None, |text| here(text).map(Some));
    let (url, newest_url, ca_file) = (url?, newest_url?, ca_file?);
    if ca_file.is_none() && (url.tls || newest_url.as_ref().is_some_and(|url| url.tls)) {
        section.fault("has https:// and no `ca_file`: name the CA certificates of its server, PEM");
        return None;
    }
    Some(Witness { name: name.to_owned(), url, newest_url, key: key?, ca_file })
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
