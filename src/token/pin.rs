//! A token's PIN: read from its file in the token process, and nowhere else.
//!
//! In: a path. Out: a [`Pin`], whose bytes stay out of the swap where the kernel lets us, are wiped when it is dropped,
//! and are shown to one call only. The daemon never reads the file; it knows a [`Stamp`] of its metadata, which tells
//! whether somebody has changed it since.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cryptoki::types::{AuthPin, RawAuthPin};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::latch::PinMark;
use crate::secret_file::{self, Unusable};

pub(crate) mod source;
pub(crate) mod stage;

/// No token takes a longer PIN.
const MAX_LEN: u64 = 256;

/// A PIN. Neither `Clone` nor `Display`; its `Debug` says nothing.
pub(crate) struct Pin(Zeroizing<Vec<u8>>, InMemory);

/// Whether the kernel keeps a PIN's pages out of the swap.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum InMemory {
    /// It does.
    Locked,
    /// It does not: the limit of locked memory is too low (`ulimit -l`, `LimitMEMLOCK=`).
    Swappable,
}

/// Why a PIN file cannot be used. The cause is in the message, which crosses a socket as text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinFileError {
    /// Missing, unreadable, or there already when it was to be made.
    #[error("cannot open the PIN file {}: {cause}; {}", path.display(), remedy(cause.kind()))]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Others may read it.
    #[error("the PIN file {} has mode {mode:04o}: others than its owner can use it; run `chmod 0600 {}`", path.display(), path.display())]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no `$CREDENTIALS_DIRECTORY`.
    #[error(
        "the PIN is in the systemd credential {name}, and systemd has handed none to this process: run it as a service with `LoadCredentialEncrypted={name}:…`, or under `systemd-run -p LoadCredentialEncrypted={name}:… --pty`"
    )]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
    /// There is said to be none.
    #[error(
        "the token wants a login, and `pin_none` says that it needs none; name `pin_file`, `pin_credential` or `pin_pad` instead"
    )]
    Needed,
    /// Not a regular file, empty, or too long to be a PIN.
    #[error("the PIN file {} must be a regular file of 1 to {MAX_LEN} bytes", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
    },
}

/// What to do about a PIN file that cannot be opened. Only where there is none may a token be new: one that is initialised anew
/// is without its keys.
fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            "run this command as the daemon's user; if that is who you are, give it the file with `chown`"
        }
        io::ErrorKind::NotFound => {
            "correct the path; only for a token that was never initialised, `countersign token init NAME` with --generate-pins makes one"
        }
        io::ErrorKind::AlreadyExists => "name another, or move that one away",
        _ => "see that it is a file which this user can read, on a disk that works",
    }
}

impl Pin {
    /// Reads a file of mode 0600 or stricter; one trailing newline is no part of the PIN.
    ///
    /// # Errors
    /// [`PinFileError`], which never holds what is in the file.
    pub(crate) fn read(path: &Path) -> Result<Self, PinFileError> {
        Self::read_of_mode(path, 0o600)
    }

    fn read_of_mode(path: &Path, allowed: u32) -> Result<Self, PinFileError> {
        let path = || path.to_owned();
        match secret_file::read(&path(), allowed, MAX_LEN) {
            Ok(bytes) => Ok(Self::hold(bytes)),
            Err(Unusable::Open(cause)) => Err(PinFileError::Open { path: path(), cause }),
            Err(Unusable::Mode(mode)) => Err(PinFileError::Mode { path: path(), mode }),
            Err(Unusable::Content) => Err(PinFileError::Content { path: path() }),
        }
    }

    /// Stands for one that nobody has here: somebody types it at the token's own pad, or the token needs none. No other PIN is empty.
    pub(crate) fn at_pad() -> Self {
        Self(Zeroizing::default(), InMemory::Locked)
    }

    /// Whether it is that.
    pub(crate) fn is_at_pad(&self) -> bool {
        self.0.is_empty()
    }

    /// For the one call that unlocks something other than a token with it.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Keeps what was read or typed.
    pub(crate) fn hold(bytes: Zeroizing<Vec<u8>>) -> Self {
        let held = lock(&bytes);
        Self(bytes, held)
    }

    /// What tells this PIN, on the token of this serial number, from others; if the random source works.
    pub(super) fn mark(&self, serial: &str) -> Option<PinMark> {
        if self.is_at_pad() { Some(PinMark::at_pad()) } else { PinMark::of(&self.on(serial)) }
    }

    /// Whether `mark` was made of this PIN on this token. Any mark is one of what is typed, for nobody knows what that will be.
    pub(crate) fn is_marked(&self, mark: &PinMark, serial: &str) -> bool {
        self.is_at_pad() || mark.is_of(&self.on(serial))
    }

    /// Another token behind the same section has refused nothing.
    fn on(&self, serial: &str) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(serial.len() + 1 + self.0.len()));
        bytes.extend_from_slice(serial.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&self.0);
        bytes
    }

    /// Whether its bytes can reach the swap.
    pub(super) fn in_memory(&self) -> InMemory {
        self.1
    }

    /// A random PIN of 24 characters, or of `longest` where that is fewer: `0-9 a-z` without the look-alikes. A token whose longest
    /// PIN has no character means that there is no limit (kryoptic).
    ///
    /// # Errors
    /// If the random source fails.
    pub(crate) fn random(longest: usize) -> Result<Self, aws_lc_rs::error::Unspecified> {
        // 32 characters, so that five random bits choose one without bias.
        const ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
        let len = if longest == 0 { 24 } else { longest.min(24) };
        let mut bytes = Zeroizing::new(vec![0; len]);
        aws_lc_rs::rand::fill(&mut bytes)?;
        for byte in bytes.iter_mut() {
            *byte = ALPHABET.get(usize::from(*byte & 31)).copied().unwrap_or(b'2');
        }
        Ok(Self::hold(bytes))
    }

    /// Writes a new file of mode 0600, durably; never over one that exists.
    ///
    /// # Errors
    /// [`PinFileError::Open`].
    pub(crate) fn write_new(&self, path: &Path) -> Result<(), PinFileError> {
        let open = |cause| PinFileError::Open { path: path.to_owned(), cause };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(open)?;
        self.write_to(&mut file).map_err(open)
    }

    fn write_to(&self, file: &mut File) -> io::Result<()> {
        file.write_all(&self.0)?;
        file.write_all(b"\n")?;
        file.sync_all()
    }

    /// For `C_Login`, which takes any bytes. Wiped when dropped.
    pub(super) fn for_login(&self) -> RawAuthPin {
        let copy = self.0.to_vec();
        lock(&copy);
        RawAuthPin::new(Box::new(copy))
    }

    /// For PIV's VERIFY: filled up with FF (SP 800-73-4 part 2 §2.4.3). `None` if it has not 6 to 8 bytes. Wiped when dropped.
    pub(crate) fn for_piv(&self) -> Option<Zeroizing<Vec<u8>>> {
        // First of all: a longer one would have the copy grow, and leave what it was behind.
        if !matches!(self.0.len(), 6..=8) {
            return None;
        }
        let mut padded = Zeroizing::new(Vec::with_capacity(8));
        padded.extend_from_slice(&self.0);
        padded.resize(8, 0xFF);
        lock(&padded);
        Some(padded)
    }

    /// The bytes that it is the hexadecimal form of, if it is one.
    pub(super) fn decoded_hex(&self) -> Option<Zeroizing<Vec<u8>>> {
        let (pairs, rest) = self.0.as_chunks::<2>();
        let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
        for [high, low] in pairs {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        }
        rest.is_empty().then_some(bytes)
    }

    /// The hexadecimal form of these bytes.
    pub(super) fn hex_of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        let mut text = Zeroizing::new(Vec::with_capacity(bytes.len() * 2));
        for byte in bytes {
            text.extend([digit(byte >> 4), digit(byte & 0xF)]);
        }
        Self::hold(text)
    }

    /// For `C_InitToken` and `C_InitPIN`, which `cryptoki` gives text only; `None` if it is not UTF-8. Wiped when dropped.
    pub(super) fn for_init(&self) -> Option<AuthPin> {
        let copy: Box<str> = Box::from(std::str::from_utf8(&self.0).ok()?);
        lock(copy.as_bytes());
        Some(AuthPin::new(copy))
    }
}

/// Keeps the pages of `bytes` out of the swap, for as long as the process lives: pages are shared, and to unlock one PIN's
/// would unlock another's.
fn lock(bytes: &[u8]) -> InMemory {
    match region::lock(bytes.as_ptr(), bytes.len().max(1)) {
        Ok(guard) => {
            std::mem::forget(guard);
            InMemory::Locked
        }
        Err(_) => InMemory::Swappable,
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin")
    }
}

/// A file's metadata, equal as long as nobody has written, replaced or touched it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    len: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// The file's stamp now; `None` if there is no file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests;
