//! The test's side: writes the script, reads the scoreboard, finds the module.
//!
//! In: a [`Script`]. Out: a file that the module follows from its next call on, and what it counted. The script is replaced
//! as a whole; its generation is its modification time in seconds, so that one `stat` per call tells the module of a new one.
//! Promised: no test passes in which a session had two calls at once, unless it says that it means to.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::board::Board;
use crate::{CONTROL_VARIABLE, Call, MODULE_VARIABLE, Script};

/// How often [`Control::wait_until`] looks.
const LOOK: Duration = Duration::from_millis(1);

/// Drives the faulty module of one token, in every process that loads it.
#[derive(Debug)]
pub struct Control {
    script: PathBuf,
    board: Board,
    may_violate: AtomicBool,
}

/// Whatever a test did: PKCS#11 has one operation at a time in a session, which most modules do not enforce (field-notes R21).
impl Drop for Control {
    fn drop(&mut self) {
        if !self.may_violate.load(Ordering::Relaxed) && !std::thread::panicking() {
            assert_eq!(
                self.violations(),
                0,
                "a session had two calls at once, or a signature within another"
            );
        }
    }
}

impl Control {
    /// Takes control of the module whose script is at `script`. What was said and counted before stays.
    ///
    /// # Errors
    /// If the scoreboard beside the script cannot be made.
    pub fn new(script: &Path) -> io::Result<Self> {
        let board = Board::open(&board_path(script))?;
        Ok(Self { script: script.to_owned(), board, may_violate: AtomicBool::new(false) })
    }

    /// What must be in the environment of whoever loads the module in front of `real`.
    #[must_use]
    pub fn environment(&self, real: &str) -> [(String, String); 2] {
        [
            (MODULE_VARIABLE.to_owned(), real.to_owned()),
            (CONTROL_VARIABLE.to_owned(), self.script.display().to_string()),
        ]
    }

    /// Replaces the script. Calls that start from now on follow the new one.
    ///
    /// # Errors
    /// If the file cannot be replaced.
    pub fn set(&self, script: &Script) -> io::Result<()> {
        let text = toml::to_string(script).map_err(io::Error::other)?;
        let new = self.script.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.set_modified(UNIX_EPOCH + Duration::from_secs(u64::from(generation(&self.script)?) + 1))?;
        fs::rename(new, &self.script)
    }

    /// Nothing goes wrong any more; what is dead stays so until it is healed.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn clear(&self) -> io::Result<()> {
        self.set(&Script::default())
    }

    /// How often a function was called, whatever came of it.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.board.calls(call)
    }

    /// How many of these only asked for a signature's length.
    #[must_use]
    pub fn length_queries(&self) -> u64 {
        self.board.length_queries()
    }

    /// How many calls of a function began to hang.
    #[must_use]
    pub fn hangs(&self, call: Call) -> u64 {
        self.board.hangs(call)
    }

    /// This test means to violate: what was counted does not fail it when this is dropped.
    pub fn expect_violations(&self) {
        self.may_violate.store(true, Ordering::Relaxed);
    }

    /// How often a session had two calls at once, or was to begin a signature before it ended another. Other than none is a failure
    /// when this is dropped, unless [`Self::expect_violations`] was called.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.board.violations()
    }

    /// How often each entry of `script` has struck, if it was the last to be set.
    ///
    /// # Errors
    /// If the script's file cannot be looked at.
    pub fn struck(&self, script: &Script) -> io::Result<Vec<u32>> {
        let generation = generation(&self.script)?;
        let entries = script.on.iter().enumerate();
        Ok(entries.map(|(slot, on)| self.board.struck(generation, slot, on)).collect())
    }

    /// How many sessions were found to have been idle for too long.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.board.expired()
    }

    /// How many sessions were refused because there were as many as there may be.
    #[must_use]
    pub fn capped(&self) -> u64 {
        self.board.capped()
    }

    /// Every attribute of the standard that anybody has asked for, `CKA_…` by number.
    #[must_use]
    pub fn attributes(&self) -> BTreeSet<u64> {
        self.board.attributes().collect()
    }

    /// How many wrong PINs the token has seen since the last right one.
    #[must_use]
    pub fn wrong_pins(&self) -> u64 {
        self.board.wrong_pins()
    }

    /// Gives every PIN try back, as an operator does with the SO PIN.
    pub fn unlock_pin(&self) {
        self.board.forget_wrong_pins();
    }

    /// Waits until something is so; whether it came to that within `patience`.
    #[must_use]
    pub fn wait_until(&self, patience: Duration, so: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + patience;
        while !so(self) {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }
}

/// The scoreboard lies beside the script.
pub(crate) fn board_path(script: &Path) -> PathBuf {
    script.with_extension("board")
}

/// The generation of the script at this path; 0 if there is none.
pub(crate) fn generation(script: &Path) -> io::Result<u32> {
    match script.metadata() {
        Ok(metadata) => Ok(generation_of(&metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

pub(crate) fn generation_of(metadata: &fs::Metadata) -> u32 {
    u32::try_from(metadata.mtime()).unwrap_or(u32::MAX)
}

/// The built module. Cargo puts it beside the test programs of every package that depends on this one.
///
/// # Errors
/// If it is not there: the caller was not built by Cargo as a test, an example or a benchmark.
pub fn module() -> io::Result<PathBuf> {
    const FILE: &str = "libcountersign_faulty.so";
    let program = std::env::current_exe()?;
    let places =
        [program.parent().map(Path::to_owned), program.ancestors().nth(2).map(|dir| dir.join("deps"))];
    let found = places.into_iter().flatten().map(|dir| dir.join(FILE)).find(|path| path.exists());
    let missing = || io::Error::other(format!("there is no {FILE} beside {}", program.display()));
    found.ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn no_test_passes_in_which_a_session_had_two_calls_at_once() {
        for (is_meant, passes) in [(false, false), (true, true)] {
            let dir = tempfile::tempdir().unwrap();
            let control = Control::new(&dir.path().join("script.toml")).unwrap();
            if is_meant {
                control.expect_violations();
            }
            control.board.count_violation();
            assert_eq!(catch_unwind(AssertUnwindSafe(|| drop(control))).is_ok(), passes);
        }
    }
}
