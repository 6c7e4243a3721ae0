//! The files of bundles: what sshd, ssh and relying parties read of the keys that are to be trusted.
//!
//! In: the lines, whenever they change. Out: for every name of a key in each line a file in the configured directory:
//! `NAME.trusted_user_ca_keys`, `NAME.known_hosts` or `NAME.pem`. Promised: a reader finds the old text or the new one, whole; what
//! cannot be written is said once, in the log and by the health, and tried again; nobody who wants a signature waits for it.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use crate::directory::whole_file::{self, Ownership};
use crate::key::{KeyName, KeyPurpose, UnixTime};
use crate::rotation::{Bundle, Line, Rotations, Writing};

/// How long until what could not be written is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// The `[bundles]` section of the configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory, which must exist.
    pub directory: PathBuf,
    /// The hosts that host CAs are trusted for: patterns as known_hosts has them.
    pub host_patterns: Vec<String>,
}

/// Writes the files.
pub(super) struct Files {
    config: Config,
    rotations: Rotations,
    failing: bool,
}

impl Files {
    pub(super) fn new(config: Config, rotations: Rotations) -> Self {
        Self { config, rotations, failing: false }
    }

    /// Writes what is not there already, of every key; whether all is there now.
    pub(super) fn write(&mut self) -> bool {
        let lines = self.rotations.all_lines(UnixTime::now());
        // A name that another key has by now is that one's.
        let is_others =
            |line: &Line, name: &str| !line.has(name) && lines.iter().any(|other| other.has(name));
        let failures = lines.iter().flat_map(|line| self.write_line(line, |name| !is_others(line, name)));
        let failures: Vec<_> = failures.collect();
        let was_failing = std::mem::replace(&mut self.failing, !failures.is_empty());
        self.rotations.writes(if self.failing { Writing::Failing } else { Writing::Current });
        for (path, error) in failures.iter().filter(|_| !was_failing) {
            tracing::warn!(path = %path.display(), %error, "A BUNDLE CANNOT BE WRITTEN; what is there stays, and it is tried again");
        }
        if was_failing && !self.failing {
            tracing::warn!(directory = %self.config.directory.display(), "bundles are written again");
        }
        !self.failing
    }

    /// Under every name that a key of the line has or had, so that nobody who reads one of them has to follow.
    fn write_line(&self, line: &Line, is_its: impl Fn(&str) -> bool) -> Vec<(PathBuf, io::Error)> {
        let bundle = Bundle::of(line);
        let (suffix, text) = match bundle.purpose() {
            Some(KeyPurpose::SshUserCa) => ("trusted_user_ca_keys", bundle.openssh()),
            Some(KeyPurpose::SshHostCa) => {
                ("known_hosts", bundle.known_hosts(&self.config.host_patterns.join(",")))
            }
            Some(KeyPurpose::X509Ca) => ("pem", bundle.certificates()),
            Some(KeyPurpose::X509Crl | KeyPurpose::Ocsp | KeyPurpose::Ledger) | None => return Vec::new(),
        };
        // That of a CA which has no certificate yet: nobody can trust it, and an empty file would have nobody trusted.
        if text.is_empty() {
            return Vec::new();
        }
        let names = line.names().into_iter().filter(|name| is_its(name) && KeyName::new(*name).is_ok());
        let paths = names.map(|name| self.config.directory.join(format!("{name}.{suffix}")));
        paths.filter_map(|path| replace(&path, &text).err().map(|error| (path, error))).collect()
    }
}

/// Puts `text` in place of the file at `path`, unless it is there; returns once the disk has it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    // It is for everybody.
    whole_file::replace(path, text.as_bytes(), Ownership::Own(0o644))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_only_if_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
        replace(&path, "one").unwrap();
        let first = inode();
        replace(&path, "one").unwrap();
        assert_eq!(inode(), first);
        // Somebody who has it open goes on reading what was there.
        let mut reader = File::open(&path).unwrap();
        fs::write(directory.path().join(".ca.pem.new"), "half of").unwrap();
        replace(&path, "two").unwrap();
        let mut old = String::new();
        io::Read::read_to_string(&mut reader, &mut old).unwrap();
        assert_eq!((old.as_str(), fs::read_to_string(&path).unwrap().as_str()), ("one", "two"));
        assert_ne!(inode(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_leaves_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        replace(&path, "one").unwrap();
        fs::create_dir(directory.path().join(".ca.pem.new")).unwrap();
        replace(&path, "two").unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }
}
