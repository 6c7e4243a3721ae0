//! Files that hold a secret: a PIN, a password.
//!
//! In: a path, and who may use the file. Out: its bytes without the newline at their end, in memory that is wiped. Promised: nothing waits for
//! a named pipe, a file that others could read is refused, and no error holds what is in it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

/// Why a file is no secret's.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It cannot be opened or read.
    Open(io::Error),
    /// It has this mode, which lets others use it.
    Mode(u32),
    /// It is no regular file, empty, or too long.
    Content,
}

/// Whether it names what a process has open, and no file by itself. No link is followed.
pub(crate) fn is_descriptor(path: &Path) -> bool {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => _ = plain.pop(),
            other => plain.push(other),
        }
    }
    let is_standard =
        ["/dev/stdin", "/dev/stdout", "/dev/stderr"].iter().any(|name| plain == Path::new(name));
    let is_of_process = |rest: &Path| rest.iter().any(|name| name == "fd");
    is_standard || plain.starts_with("/dev/fd") || plain.strip_prefix("/proc").is_ok_and(is_of_process)
}

/// The bytes of a file that has no other permissions than `allowed`: 1 to `longest`; one trailing newline is not among them.
///
/// # Errors
/// [`Unusable`]
pub(crate) fn read(path: &Path, allowed: u32, longest: u64) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    // Asked before opening, because opening a FIFO waits for somebody to write into it.
    if !fs::metadata(path).map_err(Unusable::Open)?.is_file() {
        return Err(Unusable::Content);
    }
    let file = File::open(path).map_err(Unusable::Open)?;
    let mode = file.metadata().map_err(Unusable::Open)?.mode() & 0o7777;
    if mode & !allowed != 0 {
        return Err(Unusable::Mode(mode));
    }
    let most = longest.saturating_add(2);
    // Of such a capacity that reading does not move it and leave a copy behind; and of no greater one, for what is given back of that others
    // write over at once, so that no test finds that it was not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        usize::try_from(most).map_err(io::Error::other).map_err(Unusable::Open)?,
    ));
    file.take(most).read_to_end(&mut bytes).map_err(Unusable::Open)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    let fits = u64::try_from(bytes.len()).is_ok_and(|len| (1..=longest).contains(&len));
    if fits { Ok(bytes) } else { Err(Unusable::Content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_open_is_a_descriptor_by_whatever_name() {
        for path in [
            "/dev/stdin",
            "/dev/stdout",
            "/dev/stderr",
            "/dev/fd/3",
            "//dev/./fd/3",
            "/dev/../dev/fd/3",
            "/run/../../dev/stdin",
            "/proc/self/fd/3",
            "/proc/thread-self/fd/3",
            "/proc/1234/fd/3",
            "/proc/self/task/1234/fd/3",
            "/proc/self/../1234/fd/3",
        ] {
            assert!(is_descriptor(Path::new(path)), "{path}");
        }
        for path in [
            "/etc/pin",
            "pin",
            "fd/3",
            "dev/fd/3",
            "/etc/dev/fd/3",
            "/dev/shm/pin",
            "/dev/fd/../shm",
            "/home/fd/pin",
        ] {
            assert!(!is_descriptor(Path::new(path)), "{path}");
        }
    }
}
