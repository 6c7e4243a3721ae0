//! A PIN that a token refused is not tried again: not by the next process, and not by the next daemon (field-notes R9).
//!
//! In: the token process's word that the PIN was refused, with a [`PinMark`] of it. Out: a file beside the ledger that tells
//! every later token process which PIN not to try, until the PIN file holds another or an operator has the latch removed.
//! The daemon never sees the PIN: the mark is a salted and slow hash, made and compared in the token process.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::{pbkdf2, rand};
use serde::{Deserialize, Serialize};

use super::TokenName;
use super::frame::PinRefusal;
use super::pin::Pin;

/// Slows down whoever got hold of the file and guesses: about 50 ms for each guess.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(199_999);
const ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA256;

/// Tells whether a PIN is the one that was refused, and nothing else about it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct PinMark {
    salt: [u8; 16],
    hash: [u8; 32],
}

impl PinMark {
    /// A mark of these bytes; `None` if the random source fails.
    pub(super) fn of(pin: &[u8]) -> Option<Self> {
        let (mut salt, mut hash) = ([0; 16], [0; 32]);
        rand::fill(&mut salt).ok()?;
        pbkdf2::derive(ALGORITHM, ROUNDS, &salt, pin, &mut hash);
        Some(Self { salt, hash })
    }

    /// Of what somebody typed at a token's own pad: of nothing that is known here.
    pub(super) fn at_pad() -> Self {
        Self { salt: [0; 16], hash: [0; 32] }
    }

    /// Whether it was made of these bytes.
    pub(super) fn is_of(&self, pin: &[u8]) -> bool {
        pbkdf2::verify(ALGORITHM, ROUNDS, &self.salt, pin, &self.hash).is_ok()
    }
}

/// One token's latch.
pub(crate) struct Latch {
    path: PathBuf,
    /// What could not be written, which then lasts as long as the daemon.
    unwritten: Mutex<Option<PinRefusal>>,
}

/// The file.
#[derive(Deserialize, Serialize)]
struct Note {
    message: String,
    mark: Option<PinMark>,
}

impl Latch {
    /// The latch of `token` in the directory of the ledger.
    pub(crate) fn new(state: &Path, token: &TokenName) -> Self {
        Self { path: state.join(format!("{token}.pin-refused")), unwritten: Mutex::default() }
    }

    /// Notes a refusal, durably.
    pub(super) fn set(&self, refusal: &PinRefusal) {
        if let Err(error) = self.write(refusal) {
            tracing::error!(
                path = %self.path.display(), %error,
                "that the PIN was refused cannot be noted: a restart of the daemon may try the PIN again, and tries are few"
            );
            *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal.clone());
        }
    }

    /// Notes what was refused to an operator's command, if a PIN was tried at all.
    pub(crate) fn note(&self, refusal: &PinRefusal) {
        if refusal.mark.is_some() {
            self.set(refusal);
        }
    }

    /// Notes that the token of this serial number refused `pin` to an operator's command.
    pub(crate) fn refuse(&self, pin: &Pin, serial: &str, message: String) {
        self.set(&PinRefusal { message, mark: pin.mark(serial) });
    }

    fn write(&self, refusal: &PinRefusal) -> io::Result<()> {
        let note = Note { message: refusal.message.clone(), mark: refusal.mark.clone() };
        let new = self.path.with_extension("pin-refused.new");
        // Never what is there, be it left over or a link to another file: an operator's command may be root's, and whoever is the
        // daemon's user may put things into this directory.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        // The daemon has to be able to read what a command of root's wrote.
        if let Ok(owner) = directory.metadata() {
            let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
        }
        file.write_all(&serde_json::to_vec(&note)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        fs::File::open(directory)?.sync_all()
    }

    /// The PIN not to try, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read: then no PIN may be tried.
    pub(crate) fn mark(&self) -> io::Result<Option<PinMark>> {
        match fs::read(&self.path) {
            Ok(bytes) => {
                let note: Note = serde_json::from_slice(&bytes)?;
                Ok(note.mark)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(unwritten.as_ref().and_then(|refusal| refusal.mark.clone()))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a refusal is noted that nobody has removed.
    pub(super) fn is_set(&self) -> bool {
        self.path.exists() || self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Forgets the refusal: the PIN may be tried. Whether there was one.
    ///
    /// # Errors
    /// If the file is there and cannot be removed.
    pub(crate) fn clear(&self) -> io::Result<bool> {
        let unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(unwritten),
            Err(error) => Err(error),
        }
    }

    /// Where it is noted, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn refusal(pin: &[u8]) -> PinRefusal {
        PinRefusal { message: "no".to_owned(), mark: PinMark::of(pin) }
    }

    #[test]
    fn a_later_daemon_knows_the_pin_that_was_refused_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let name = TokenName::new("t").unwrap();
        Latch::new(dir.path(), &name).set(&refusal(b"0000"));
        let later = Latch::new(dir.path(), &name);
        let mark = later.mark().unwrap().unwrap();
        assert!(mark.is_of(b"0000"));
        assert!(!mark.is_of(b"1111"));
        assert!(later.clear().unwrap());
        assert!(!later.is_set());
        assert_eq!(later.mark().unwrap(), None);
        assert!(!later.clear().unwrap(), "there was none");
    }

    #[test]
    fn the_file_shows_no_pin_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
        latch.set(&refusal(b"canary-pin"));
        assert!(!fs::read_to_string(latch.path()).unwrap().contains("canary"));
        assert_eq!(latch.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(PinMark::of(b"0000"), PinMark::of(b"0000"), "the salt differs");
    }

    #[test]
    fn a_link_in_its_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("t.pin-refused.new")).unwrap();
        latch.set(&refusal(b"0000"));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(fs::symlink_metadata(latch.path()).unwrap().is_file());
        assert!(latch.mark().unwrap().unwrap().is_of(b"0000"));
    }

    #[test]
    fn without_a_place_to_note_it_the_daemon_remembers() {
        let latch = Latch::new(Path::new("/nonexistent"), &TokenName::new("t").unwrap());
        latch.set(&refusal(b"0000"));
        assert!(latch.is_set());
        assert!(latch.mark().unwrap().unwrap().is_of(b"0000"));
    }

    #[test]
    fn a_file_that_cannot_be_read_lets_no_pin_be_tried() {
        let dir = tempfile::tempdir().unwrap();
        let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
        fs::write(latch.path(), "{").unwrap();
        assert!(latch.mark().is_err());
    }
}
