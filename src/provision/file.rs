//! A record's two files: `NAME.json`, and `NAME.json.sig` beside it.
//!
//! In: a record, or paths. Out: files that are whole or not there; or a record whose signature was verified. No file is read further
//! than the longest record, and nothing is waited for.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{MAX_LEN, MAX_SIGNATURE, RecordError, SignedRecord};
use crate::directory;
use crate::directory::whole_file::{self, Ownership};
use crate::ledger::entry::sha256;
use crate::token::pkcs11::key::hex;

/// A record that was found, or what is wrong with it.
type Found = (PathBuf, Result<SignedRecord, RecordError>);

impl SignedRecord {
    /// Reads the file of a record, and the one of its signature beside it.
    ///
    /// # Errors
    /// [`RecordError`]
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let bytes = read_up_to(path, MAX_LEN)?;
        let beside = signature_path(path);
        let signature = String::from_utf8(read_up_to(&beside, MAX_SIGNATURE)?);
        let signature = signature.map_err(|_| {
            let source = io::Error::new(io::ErrorKind::InvalidData, "is not text");
            RecordError::Io { path: beside, source }
        })?;
        Self::check(bytes, signature)
    }

    /// Writes both files, the signature first: a record without one is none. Each is whole or not there, and others may read it.
    ///
    /// # Errors
    /// [`RecordError::Io`]
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        write_whole(&signature_path(path), self.signature.as_bytes())?;
        write_whole(path, &self.bytes)
    }

    /// A name for its file, of the key and of what it says: `user-ca-0123456789abcdef.json`.
    #[must_use]
    pub fn file_name(&self) -> String {
        let digest = sha256(&[&self.bytes]);
        let digest = hex(digest.get(..8).unwrap_or_default());
        format!("{}-{digest}.json", self.record.key)
    }
}

/// The file of a record's signature: as `ssh-keygen -Y sign` names it.
#[must_use]
pub fn signature_path(record: &Path) -> PathBuf {
    let mut name = record.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// The records in a directory, by name, each with what is wrong with it; none if there is no directory.
///
/// # Errors
/// [`RecordError::Io`] if it cannot be listed.
pub fn in_directory(directory: &Path) -> Result<Vec<Found>, RecordError> {
    let failed = |source| RecordError::Io { path: directory.to_owned(), source };
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in listed {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths.into_iter().map(|path| (path.clone(), SignedRecord::read(&path))).collect())
}

/// Makes the directory for records, if it is not there.
///
/// # Errors
/// [`RecordError::Io`]; a symbolic link is none.
pub fn make_directory(directory: &Path) -> Result<(), RecordError> {
    let failed = |source| RecordError::Io { path: directory.to_owned(), source };
    // Whatever the umask says: the signer, who may be another user, reads them at its start.
    match directory::make(directory, 0o755) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => directory::is_one(directory),
        made => made,
    }
    .map_err(failed)
}

fn read_up_to(path: &Path, limit: usize) -> Result<Vec<u8>, RecordError> {
    let failed = |source| RecordError::Io { path: path.to_owned(), source };
    // A named pipe would wait for a writer.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file")));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit { Err(RecordError::TooLong { limit }) } else { Ok(bytes) }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    let written = whole_file::replace(path, bytes, Ownership::Own(0o644));
    written.map_err(|source| RecordError::Io { path: path.to_owned(), source })
}
