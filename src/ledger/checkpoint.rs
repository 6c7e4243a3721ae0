//! Checkpoints (C2SP tlog-checkpoint): the log's name, its size and its root, as the text of a signed note.
//!
//! In: the three, or a note. Out: the text to sign, or a [`Checkpoint`] whose signature was verified. Promised: what parses
//! is printed again byte for byte. Not done here: whether one checkpoint continues another; a consistency proof says it.

use std::fmt;

use base64ct::{Base64, Encoding};

use crate::ledger::merkle::Hash;
use crate::ledger::note::{Note, NoteError, SignerName, VerifierKey, decode};

pub(crate) mod file;

/// The longest origin, in bytes: witnesses cannot sign for a longer one.
pub const MAX_ORIGIN: usize = 255;

/// What a log's key signs: that the log has so many entries, with this root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

/// Why there is no checkpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not a text that begins with a log's name, size and root.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// Not a signed note, or not signed by the log's key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Another log's.
    #[error("the checkpoint is of the log {found:?}, not of {wanted:?}; give that of this log")]
    OtherOrigin {
        /// The log that it is of.
        found: String,
        /// The log that it was to be of.
        wanted: String,
    },
}

impl Checkpoint {
    /// A checkpoint of the log `origin`, without extension lines.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] if `origin` is no log's name.
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let origin = origin.into();
        if !(1..=MAX_ORIGIN).contains(&origin.len()) || origin.contains(|c: char| c < ' ') {
            return Err(CheckpointError::Malformed(
                "a log's name is 1 to 255 bytes without control characters",
            ));
        }
        Ok(Self { origin, size, root, extensions: Vec::new() })
    }

    /// A checkpoint of the log that `name` signs for.
    pub(super) fn signed_by(name: &SignerName, size: u64, root: Hash) -> Self {
        Self { origin: name.as_str().to_owned(), size, root, extensions: Vec::new() }
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] for everything that `to_string` would not print so.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        use CheckpointError::Malformed;
        let lines = text.strip_suffix('\n').ok_or(Malformed("its last line does not end with a newline"))?;
        let mut lines = lines.split('\n');
        let mut line = || lines.next().ok_or(Malformed("it has less than three lines"));
        let (origin, size, root) = (line()?, line()?, line()?);
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size);
        let size = number.ok_or(Malformed("its size is not a decimal number without leading zeros"))?;
        let root = decode(root).and_then(|root| root.try_into().ok());
        let root = root.ok_or(Malformed("its root is not the base64 of 32 bytes"))?;
        let extensions: Vec<_> = lines.map(str::to_owned).collect();
        if extensions.iter().any(|line| line.is_empty() || line.contains(|c: char| c < ' ')) {
            return Err(Malformed("an extension line is empty or has a control character"));
        }
        Ok(Self { extensions, ..Self::new(origin, size, root)? })
    }

    /// Reads a signed checkpoint of the log `origin`, and verifies the signature of the log's `key`.
    ///
    /// # Errors
    /// [`CheckpointError`] if it is none, is not signed by `key`, or is another log's.
    pub fn open(note: &[u8], origin: &str, key: &VerifierKey) -> Result<(Self, Note), CheckpointError> {
        let note = Note::parse(note)?;
        note.verify(key)?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::OtherOrigin { found: checkpoint.origin, wanted: origin.to_owned() });
        }
        Ok((checkpoint, note))
    }

    /// The note that is to be signed.
    #[must_use]
    pub fn to_note(&self) -> Note {
        Note::of(self.to_string())
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries the log has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree over them.
    #[must_use]
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// Further lines, which nobody checks. countersign writes none.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, Base64::encode_string(&self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests;
