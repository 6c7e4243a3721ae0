//! A PIN that a token refused is not tried again: not by the next process, and not by the next daemon (field-notes R9).
//!
//! In: a token process's word that it is about to try a PIN, with a [`PinMark`] of it, and what became of that. Out: a file beside
//! the ledger that tells every later token process which PINs not to try, until the PIN file holds another or an operator has the
//! latch removed. It is written before the PIN is tried, so that a login that nobody lives to tell of is known as well.
//! The daemon never sees the PIN: the mark is a salted and slow hash, made and compared in the token process. Operators' commands write
//! the same file: whoever changes it holds a lock of the kernel on another beside it, which stays.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{pbkdf2, rand};
use rustix::fs::OFlags;
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

/// How many PINs are remembered. With more than these nobody knows any longer what was tried, and nothing is.
const MOST: usize = 8;
/// How many logins with one PIN may end without an answer.
const UNANSWERED: u8 = 2;

/// A PIN that was tried, and that the token did not take.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Tried {
    mark: PinMark,
    answer: Answer,
}

/// What the token said to a PIN; the worst is the greatest.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
enum Answer {
    /// Nothing, so many times: the process died or was killed in the login, or it failed for what need not be the PIN, or is under way.
    Unknown(u8),
    /// That it is wrong.
    Refused,
}

/// What is known of the logins since the last one that the token took.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Past {
    /// Why the last login was refused, or not tried.
    held: Option<String>,
    tried: Vec<Tried>,
}

/// What the past says of a PIN.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing: it may be tried.
    Untried,
    /// A login with it did not come back, and nobody knows why. It may be tried once more if the token counts no wrong PIN.
    Doubtful(PinMark),
    /// It may not be tried; why, and what to do.
    Barred(&'static str),
}

const REFUSED: &str = "the PIN in `pin_file` is the one that the token refused before, and is not tried again; put the right one there, or run `countersign token unlatch NAME` if this is it";
const NO_ANSWER: &str = "two logins with the PIN in `pin_file` never came back, or failed without a word about it, and each may have cost a try; see why the token's process died, hung or failed in `C_Login`, then run `countersign token unlatch NAME`, and it is tried once more";
const TOO_MANY: &str = "eight PINs were tried since the token took one, and no other is; find the right one, put it into `pin_file`, and run `countersign token unlatch NAME`";

impl Past {
    /// Whether `pin` may be tried on the token of this serial number. Slow: about 50 ms for each PIN that is remembered.
    pub(crate) fn judge(&self, pin: &Pin, serial: &str) -> Verdict {
        if pin.is_at_pad() {
            // Nobody knows what will be typed, and whether anybody stands there.
            let is_held = self.held.is_some() || !self.tried.is_empty();
            return if is_held { Verdict::Barred(super::pkcs11::NOBODY_AT_PAD) } else { Verdict::Untried };
        }
        // Each process has a mark of its own of the same PIN.
        let same = self.tried.iter().filter(|tried| pin.is_marked(&tried.mark, serial));
        match same.max_by_key(|tried| tried.answer) {
            Some(Tried { answer: Answer::Refused, .. }) => Verdict::Barred(REFUSED),
            Some(Tried { answer: Answer::Unknown(times), .. }) if *times >= UNANSWERED => {
                Verdict::Barred(NO_ANSWER)
            }
            Some(Tried { mark, answer: Answer::Unknown(_) }) => Verdict::Doubtful(mark.clone()),
            None if self.tried.len() >= MOST => Verdict::Barred(TOO_MANY),
            None => Verdict::Untried,
        }
    }

    /// Whether a note of it would keep this PIN from being tried: one of no PIN keeps nobody from trying his.
    pub(crate) fn tells_of(&self, pin: &Pin, serial: &str) -> bool {
        self.tried.is_empty() || self.tried.iter().any(|tried| pin.is_marked(&tried.mark, serial))
    }

    /// The PINs that it knows of; equal as long as nothing was tried.
    pub(super) fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// One more login with this PIN begins.
    fn begin(&mut self, mark: &PinMark) {
        match self.tried.iter_mut().find(|tried| tried.mark == *mark) {
            Some(Tried { answer: Answer::Unknown(times), .. }) => *times = times.saturating_add(1),
            Some(_) => {}
            None => self.tried.push(Tried { mark: mark.clone(), answer: Answer::Unknown(1) }),
        }
    }

    /// The login that began last has not shown the token the PIN.
    fn undo(&mut self, mark: &PinMark) {
        for tried in &mut self.tried {
            if let Tried { answer: Answer::Unknown(times), .. } = tried
                && tried.mark == *mark
            {
                *times = times.saturating_sub(1);
            }
        }
        self.tried.retain(|tried| tried.answer != Answer::Unknown(0));
    }

    fn refuse(&mut self, mark: &PinMark) {
        match self.tried.iter_mut().find(|tried| tried.mark == *mark) {
            Some(tried) => tried.answer = Answer::Refused,
            None => self.tried.push(Tried { mark: mark.clone(), answer: Answer::Refused }),
        }
    }
}

/// One token's latch.
pub(crate) struct Latch {
    path: PathBuf,
    /// What could not be written, which then lasts as long as the daemon.
    unwritten: Mutex<Option<Unwritten>>,
}

struct Unwritten {
    past: Past,
    /// Whether there is a file of before: who removes it means this as well.
    over_file: bool,
}

/// The file. What a daemon wrote that remembered one PIN is read as well.
#[derive(Deserialize, Serialize)]
struct Note {
    message: Option<String>,
    #[serde(default, skip_serializing)]
    mark: Option<PinMark>,
    #[serde(default)]
    tried: Vec<Tried>,
}

impl Latch {
    /// The latch of `token` in the directory of the ledger.
    pub(crate) fn new(state: &Path, token: &TokenName) -> Self {
        Self { path: state.join(format!("{token}.pin-refused")), unwritten: Mutex::default() }
    }

    /// Notes a refusal, durably.
    pub(super) fn set(&self, refusal: &PinRefusal) {
        self.remember(|past| {
            past.held = Some(refusal.message.clone());
            refusal.mark.iter().for_each(|mark| past.refuse(mark));
        });
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

    /// Notes, durably, that the PIN of this mark is about to be tried: whatever happens from here on, it was.
    ///
    /// # Errors
    /// If that cannot be noted: then it must not be tried.
    pub(super) fn begin(&self, mark: &PinMark) -> io::Result<()> {
        let mut unwritten = self.unwritten();
        let _lock = self.lock()?;
        let mut past = self.load(&mut unwritten)?;
        past.begin(mark);
        self.write(&past)?;
        *unwritten = None;
        Ok(())
    }

    /// Notes that a login with this PIN ended, and nobody knows how.
    pub(super) fn lost(&self, mark: &PinMark) {
        self.remember(|past| past.begin(mark));
    }

    /// Takes back what [`Self::begin`] noted: the PIN was not tried.
    pub(super) fn undo(&self, mark: &PinMark) {
        self.remember(|past| past.undo(mark));
    }

    fn remember(&self, edit: impl FnOnce(&mut Past)) {
        let mut unwritten = self.unwritten();
        let lock = self.lock();
        let mut past = self.load(&mut unwritten).unwrap_or_default();
        edit(&mut past);
        let kept = lock.and_then(|_lock| {
            if past == Past::default() { self.remove().map(|_| ()) } else { self.write(&past) }
        });
        *unwritten = kept.err().map(|error| {
            tracing::error!(
                path = %self.path.display(), %error,
                "what became of a login cannot be noted: a restart of the daemon may try the PIN again, and tries are few"
            );
            Unwritten { past, over_file: self.path.exists() }
        });
    }

    /// Waits until no other process changes the note, and keeps them from it for as long as the file lives.
    fn lock(&self) -> io::Result<File> {
        let path = self.path.with_extension("pin-refused.lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let lock = match options.clone().create_new(true).open(&path) {
            Ok(new) => {
                self.give_away(&new);
                new
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(&path)?,
            Err(error) => return Err(error),
        };
        lock.lock()?;
        Ok(lock)
    }

    /// The daemon has to be able to open what a command of root's made.
    fn give_away(&self, file: &File) {
        if let Ok(owner) = self.directory().metadata() {
            let _ = fchown(file, Some(owner.uid()), Some(owner.gid()));
        }
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn write(&self, past: &Past) -> io::Result<()> {
        let note = Note { message: past.held.clone(), mark: None, tried: past.tried.clone() };
        let new = self.path.with_extension("pin-refused.new");
        // Never what is there, be it left over or a link to another file: an operator's command may be root's, and whoever is the
        // daemon's user may put things into this directory.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        self.give_away(&file);
        file.write_all(&serde_json::to_vec(&note)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(self.directory())?.sync_all()
    }

    /// What is known of the logins since the last one that the token took.
    ///
    /// # Errors
    /// If the file cannot be read: then no PIN may be tried.
    pub(crate) fn past(&self) -> io::Result<Past> {
        self.load(&mut self.unwritten())
    }

    fn load(&self, unwritten: &mut Option<Unwritten>) -> io::Result<Past> {
        match (fs::read(&self.path), unwritten.as_ref()) {
            (Ok(_), Some(unwritten)) => Ok(unwritten.past.clone()),
            (Ok(bytes), None) => {
                let Note { message, mark, mut tried } = serde_json::from_slice(&bytes)?;
                tried.extend(mark.map(|mark| Tried { mark, answer: Answer::Refused }));
                Ok(Past { held: message, tried })
            }
            (Err(error), known) if error.kind() == io::ErrorKind::NotFound => {
                let known = known.filter(|known| !known.over_file).map(|known| known.past.clone());
                if known.is_none() {
                    *unwritten = None;
                }
                Ok(known.unwrap_or_default())
            }
            (Err(error), _) => Err(error),
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, Option<Unwritten>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a refusal is noted that nobody has removed.
    pub(super) fn is_set(&self) -> bool {
        self.past().map_or(true, |past| past.held.is_some())
    }

    /// Forgets all refusals: every PIN may be tried. Whether there was one.
    ///
    /// # Errors
    /// If the file is there and cannot be removed.
    pub(crate) fn clear(&self) -> io::Result<bool> {
        let mut unwritten = self.unwritten();
        // An operator's word counts, too, where nothing can be locked.
        let _lock = self.lock();
        Ok(self.remove()? | unwritten.take().is_some())
    }

    /// Whether there was a file.
    fn remove(&self) -> io::Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where it is noted, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests;
