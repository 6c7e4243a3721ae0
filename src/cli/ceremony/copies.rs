//! Private copies of the files that a step reads: the very bytes that were compared.
//!
//! In: the files, and the digests that the operators agreed to or that earlier steps recorded. Out: a directory of its own in the ceremony's,
//! which goes when the step ends. Promised: a command is never given bytes that were not compared, whoever can write the files themselves.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, ensure};

use super::action::Action;
use super::transcript::{FileDigest, sha256};

/// Copies, for as long as this lives.
pub(super) struct Copies {
    directory: PathBuf,
    /// What the script calls each directory that files were copied from.
    parents: Vec<PathBuf>,
}

impl Copies {
    /// Copies what `action` reads; its paths begin at `from`.
    ///
    /// # Errors
    /// That a file cannot be copied, or is not what it was a moment ago.
    pub(super) fn make(
        action: &Action,
        from: &Path,
        compared: &[FileDigest],
        ceremony: &Path,
    ) -> anyhow::Result<Self> {
        let directory = absolute(ceremony)?.join("inputs");
        let mut copies = Self { directory, parents: Vec::new() };
        for file in action.inputs() {
            let content = fs::read(from.join(&file)).with_context(|| format!("cannot read {file}"))?;
            let digest = sha256(&content);
            let is_it = |read: &FileDigest| read.path == file && read.sha256 == digest;
            ensure!(compared.iter().any(is_it), "{file} was changed while it was read");
            let parent = parent(&file);
            if !copies.parents.contains(&parent) {
                copies.parents.push(parent);
            }
            let copy = copies.path(&file);
            let write = || -> io::Result<()> {
                DirBuilder::new().mode(0o700).recursive(true).create(copy.parent().unwrap_or(&copy))?;
                fs::write(&copy, content)
            };
            write().with_context(|| format!("cannot write {}", copy.display()))?;
        }
        Ok(copies)
    }

    /// Where the copy of a file is. Files of one directory are in one again: some are found beside others.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        let place = self.parents.iter().position(|known| *known == parent(file)).unwrap_or_default();
        self.directory.join(place.to_string()).join(Path::new(file).file_name().unwrap_or_default())
    }
}

fn parent(file: &str) -> PathBuf {
    Path::new(file).parent().unwrap_or(Path::new("")).to_owned()
}

impl Drop for Copies {
    fn drop(&mut self) {
        // There is none where nothing was copied.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_compared_is_what_the_command_gets() {
        let (from, ceremony) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("a")).unwrap();
        let action = Action::KeyRecordVerify { file: "a/record".to_owned(), fingerprint: None };
        let write = |file: &str, content: &str| fs::write(from.path().join(file), content).unwrap();
        let compared = ["a/record", "a/record.sig"].map(|file| {
            write(file, file);
            FileDigest { what: "input".to_owned(), path: file.to_owned(), sha256: sha256(file.as_bytes()) }
        });
        let make = || Copies::make(&action, from.path(), &compared, ceremony.path());

        let copies = make().unwrap();
        write("a/record", "swapped");
        let moved = action.reading(&|file| copies.path(file).display().to_string());
        let Action::KeyRecordVerify { file, .. } = &moved else { panic!("{moved:?}") };
        assert_eq!(fs::read_to_string(file).unwrap(), "a/record");
        assert_eq!(
            fs::read_to_string(format!("{file}.sig")).unwrap(),
            "a/record.sig",
            "beside it, as it was"
        );
        let inputs = ceremony.path().join("inputs");
        assert_eq!(inputs.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(copies);
        assert!(!inputs.exists());

        let error = make().err().unwrap().to_string();
        assert_eq!(error, "a/record was changed while it was read");
        assert!(!inputs.exists());
    }
}
