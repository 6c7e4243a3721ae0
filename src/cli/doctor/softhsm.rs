//! A SoftHSM2's directory: whose it is. A token that was made by root and is used by another user fails with codes that say nothing.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::finding::Finding;
use crate::token::{Config, Device};

/// What SoftHSM2 reads if `SOFTHSM2_CONF` is not set.
const DEFAULT: &str = "/etc/softhsm/softhsm2.conf";
const CREATE: &str = "correct SOFTHSM2_CONF in the token's `environment`; only if there is no SoftHSM2 of yours yet, make a place for one with `softhsm/create DIR`";
const DENIED: &str = "run this command as the daemon's user; if that is who you are, give it the file and its directory with `chown`";

/// Nothing, if the token is another kind of thing.
pub(super) fn examine(token: &Config) -> Vec<Finding> {
    let Device::Pkcs11(device) = &token.device else { return Vec::new() };
    let name = device.module.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if !name.contains("softhsm") {
        return Vec::new();
    }
    let what = format!("token.{}.environment", token.name);
    let conf = token.environment.get("SOFTHSM2_CONF").map_or(DEFAULT, String::as_str);
    match directory(Path::new(conf)) {
        Ok(directory) => owners(&what, &directory).into_iter().collect(),
        Err((cause, fix)) => vec![Finding::fault(what, cause, fix)],
    }
}

/// `directories.tokendir`, or what is wrong and what to do.
fn directory(conf: &Path) -> Result<PathBuf, (String, &'static str)> {
    let text = fs::read_to_string(conf).map_err(|error| {
        let fix = if error.kind() == ErrorKind::PermissionDenied { DENIED } else { CREATE };
        (format!("{} cannot be read: {error}", conf.display()), fix)
    })?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "directories.tokendir").then(|| PathBuf::from(value.trim()))
    });
    let directory =
        value.ok_or_else(|| (format!("{} has no directories.tokendir", conf.display()), CREATE))?;
    match fs::metadata(&directory) {
        Ok(there) if there.is_dir() => Ok(directory),
        Ok(_) => Err((format!("{} is no directory", directory.display()), CREATE)),
        Err(error) => {
            let fix = if error.kind() == ErrorKind::PermissionDenied { DENIED } else { CREATE };
            Err((format!("{}: {error}", directory.display()), fix))
        }
    }
}

/// The first thing in it that this user cannot use, or that is another's.
fn owners(what: &str, directory: &Path) -> Option<Finding> {
    let user = rustix::process::geteuid().as_raw();
    let mut places = vec![directory.to_owned()];
    while let Some(place) = places.pop() {
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) => return Some(unusable(what, &place, &error.to_string())),
        };
        let (needed, others) = if metadata.is_dir() {
            (Access::READ_OK | Access::EXEC_OK, 0o005)
        } else {
            (Access::READ_OK, 0o004)
        };
        // A token process gives up its capabilities: what root may do beside an owner's rights, it may not.
        let is_roots_right = user == 0 && metadata.uid() != 0 && metadata.mode() & others != others;
        if access(&place, needed).is_err() || is_roots_right {
            return Some(unusable(what, &place, &format!("it belongs to user {}", metadata.uid())));
        }
        if metadata.uid() != user {
            let cause =
                format!("{} belongs to user {}, and this is user {user}", place.display(), metadata.uid());
            let fix = format!(
                "run this command as the daemon's user; everything below {} should be that one's",
                directory.display()
            );
            return Some(Finding::warning(what, cause, fix));
        }
        if metadata.is_dir() {
            let entries = fs::read_dir(&place).into_iter().flatten().flatten();
            places.extend(entries.map(|entry| entry.path()));
        }
    }
    None
}

fn unusable(what: &str, place: &Path, why: &str) -> Finding {
    let cause = format!("{} cannot be used by the token process of this user: {why}", place.display());
    let fix = "run this command as the daemon's user; if that is who you are, give it the directory with `chown -R`, or make the token as that user";
    Finding::fault(what, cause, fix)
}
