//! The ledger: whether it opens, whether it can be written, how much room there is, and whether the clock is after its newest entry.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

use super::finding::Finding;
use crate::config::Fault;
use crate::daemon::lists;
use crate::key::Keys;
use crate::ledger::entry::UnixMillis;
use crate::ledger::{Config, Ledger, LedgerError, Reader};

/// With less room the next entries are not written, and nothing is signed: a day of refusals at worst, and the log's index.
const NO_ROOM: u64 = 64 << 20;
/// Ten days of the worst that one caller can fill.
const LITTLE_ROOM: u64 = 1 << 30;

/// Everything about it that needs no token.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let opened = Ledger::check(config);
    if let Err(error) = &opened {
        findings.push(unusable(error));
    }
    let directory = config.path.parent().unwrap_or(Path::new("."));
    if directory.is_dir() {
        findings.push(room(directory));
        findings.extend(writable(&config.path, directory));
    }
    if opened.is_ok() && config.path.exists() {
        findings.push(newest(config).unwrap_or_else(|error| unusable(&error)));
    }
    findings
}

/// Which lists are about to have too many entries.
pub(super) fn lists(config: &crate::config::Config, keys: &Keys) -> Vec<Finding> {
    match lists::tight(&config.ledger, lists::limits(config, keys)) {
        Ok(tight) => tight
            .into_iter()
            .map(|Fault { at, cause, fix, .. }| Finding::warning(at, cause, fix.unwrap_or_default()))
            .collect(),
        Err(error) => vec![unusable(&error)],
    }
}

fn unusable(error: &LedgerError) -> Finding {
    Finding::of_fault(&Fault::caused("ledger.path", error))
}

fn room(directory: &Path) -> Finding {
    let here = directory.display();
    let stat = match statvfs(directory) {
        Ok(stat) => stat,
        Err(error) => {
            let fix = "look at the file system that it is on";
            return Finding::fault("ledger.space", format!("{here} cannot be asked: {error}"), fix);
        }
    };
    if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
        let fix = "mount it writable: what cannot be recorded is not signed";
        return Finding::fault(
            "ledger.path",
            format!("{here} is on a file system that is mounted read-only"),
            fix,
        );
    }
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let cause = format!("{here} has {} MiB left", free >> 20);
    let fix =
        "make room, or move the ledger: with a full disk nothing is recorded, so that nothing is signed";
    match free {
        ..NO_ROOM => Finding::fault("ledger.space", cause, fix),
        NO_ROOM..LITTLE_ROOM => Finding::warning("ledger.space", cause, fix),
        _ => Finding::well("ledger.space", cause),
    }
}

fn writable(path: &Path, directory: &Path) -> Option<Finding> {
    let places = [directory, path].into_iter().filter(|place| place.exists());
    let denied = places.into_iter().find(|place| access(*place, Access::WRITE_OK).is_err())?;
    let cause = format!("{} cannot be written by this user", denied.display());
    let fix = "run this command as the daemon's user; if that is who you are, give it the directory and what is in it with `chown -R`";
    Some(Finding::fault("ledger.path", cause, fix))
}

fn newest(config: &Config) -> Result<Finding, LedgerError> {
    let reader = Reader::open(&config.path)?;
    let entries = reader.len()?;
    let Some(newest) = reader.newest_time()? else {
        return Ok(Finding::well("ledger", "it opens, and has no entry yet".to_owned()));
    };
    let now = UnixMillis::now();
    let behind = Duration::from_millis(newest.0.saturating_sub(now.0));
    if behind > config.clock_tolerance {
        let behind = humantime::format_duration(Duration::from_secs(behind.as_secs()));
        let cause = format!("the clock is {behind} behind the newest entry of the ledger");
        let fix =
            "set the clock, and keep it with NTP: certificates would be dated back, and nothing is signed";
        return Ok(Finding::fault("clock", cause, fix));
    }
    let ago = humantime::format_duration(Duration::from_secs(now.0.saturating_sub(newest.0) / 1000));
    Ok(Finding::well(
        "ledger",
        format!("it opens; entries: {entries}, the newest {ago} ago; the clock is not behind it"),
    ))
}
