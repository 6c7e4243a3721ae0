//! Files that hold a secret: a PIN, a password.
//!
//! In: a path, and who may use the file. Out: its bytes without the newline at their end, in memory that is wiped. Promised: nothing waits for
//! a named pipe, a file that others could read is refused, and no error holds what is in it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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

/// Whether it names what a process has open, and no file by itself.
pub(crate) fn is_descriptor(path: &Path) -> bool {
    path == Path::new("/dev/stdin") || path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
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
