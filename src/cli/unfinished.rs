//! A file that is written in one step, and promised before what it is to hold is there.
//!
//! In: where it is to be. Out: the file, whole, or none. Promised: a reader sees the old one or the new one, never half of one; what can be
//! wrong with the place is found before anything is signed that would have to be written there.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};

#[cfg(test)]
mod tests;

/// What becomes of a file that is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Existing {
    Replaced,
    Kept,
}

/// A file that is to take the place of another: a reader sees the old one or the new one, never half of one.
pub(super) struct Unfinished {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl Unfinished {
    /// `None` for `-`, which is standard output: for commands that say so.
    pub(super) fn unless_stdout(target: &Path) -> anyhow::Result<Option<Self>> {
        if target == Path::new("-") {
            return Ok(None);
        }
        let made = Self::beside(target);
        made.map(Some).map_err(|error| anyhow!("{error}; `-` writes to standard output"))
    }

    pub(super) fn beside(target: &Path) -> anyhow::Result<Self> {
        // Taking its place would remove it: /dev/null, of the whole machine.
        ensure!(
            fs::metadata(target).map_or(true, |there| there.is_file()),
            "cannot write {}: it is there, and no regular file",
            target.display()
        );
        let mut path = target.as_os_str().to_owned();
        path.push(format!(".{}", std::process::id()));
        let path = PathBuf::from(path);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| cannot(&error, target))?;
        Ok(Self { file, path, target: target.to_owned() })
    }

    /// Lets everybody read it.
    pub(super) fn for_all(self) -> anyhow::Result<Self> {
        self.file.set_permissions(Permissions::from_mode(0o644))?;
        Ok(self)
    }

    pub(super) fn finish(self, content: &[u8]) -> anyhow::Result<()> {
        self.finish_as(content, Existing::Replaced)
    }

    /// As [`Self::finish`]; of a file that has come to be there meanwhile, as `existing` says.
    pub(super) fn finish_as(mut self, content: &[u8], existing: Existing) -> anyhow::Result<()> {
        let written = self.file.write_all(content).and_then(|()| self.file.sync_all());
        let finished = written.and_then(|()| match existing {
            Existing::Replaced => fs::rename(&self.path, &self.target),
            // It fails if there is one. What it is linked from goes when this is dropped.
            Existing::Kept => fs::hard_link(&self.path, &self.target),
        });
        // The directory, too, has it once its disk does.
        let beside = self.target.parent().filter(|parent| *parent != Path::new(""));
        let directory = File::open(beside.unwrap_or(Path::new(".")));
        // One that may not be listed cannot be opened; its disk is left to its time.
        let kept = finished.and_then(|()| directory.map_or(Ok(()), |directory| directory.sync_all()));
        kept.with_context(|| format!("cannot write {}", self.target.display()))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is gone if it has taken its target's place, and of no use otherwise.
        let _ = fs::remove_file(&self.path);
    }
}

/// Why nothing can be written there, and what to do.
fn cannot(error: &io::Error, target: &Path) -> anyhow::Error {
    let (file, directory) = (target.display(), target.parent().unwrap_or(Path::new("/")));
    if error.kind() == io::ErrorKind::NotFound {
        anyhow!(
            "cannot write {file}: there is no directory {}; make it, or name another file",
            directory.display()
        )
    } else {
        anyhow!("cannot write {file}, nor beside it: {error}")
    }
}
