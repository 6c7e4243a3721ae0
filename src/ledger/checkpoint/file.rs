//! The file of the newest signed checkpoint: what the signer last told the world of its log.
//!
//! In: a note that was signed and verified. Out: the file, replaced at once, on the disk before anybody is given the note;
//! and its bytes again. Not done here: verifying it; comparing it with the log.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::directory::whole_file::{self, Ownership};
use crate::ledger::note::MAX_LEN;

/// Where it is if the configuration does not say.
pub(crate) fn beside(ledger: &Path) -> PathBuf {
    with_suffix(ledger, "-checkpoint")
}

/// The bytes of the file at `path`, `None` if there is none. Of one that is too long for a note, too many for one.
pub(in crate::ledger) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(u64::try_from(MAX_LEN).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts `note` in place of the file at `path`; returns once the disk has it. Everybody may read it: it is made to be given away.
pub(in crate::ledger) fn write(path: &Path, note: &str) -> io::Result<()> {
    whole_file::replace(path, note.as_bytes(), Ownership::Own(0o644))
}

/// The path with `suffix` after its name.
pub(in crate::ledger) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
