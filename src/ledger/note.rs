//! Signed notes (C2SP signed-note): a text and lines that sign it, as checkpoints are published.
//!
//! In: bytes from anybody, or a text and a token's signature of it. Out: a [`Note`], and what a [`VerifierKey`] says of it.
//! Promised: what parses is printed again byte for byte; [`Note::sign`] adds no line that does not verify. A note that was
//! parsed proves nothing until [`Note::verify`] was asked. Not done here: what the text says.

use std::fmt;

use base64ct::{Base64, Encoding};
use countersign_tbs::signature::{SignatureError, x509_signature};

use crate::key::Scheme;

mod key;

pub use key::{InvalidKeyText, KeyId, NoteKeyError, SignerName, VerifierKey};

/// The longest note that is read, in bytes: room for sixteen post-quantum signatures, and more.
pub const MAX_LEN: usize = 256 * 1024;

/// The most signature lines that are read.
const MAX_SIGNATURES: usize = 100;

/// What every signature line begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// A text and its signature lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line. Nobody has verified it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoteSignature {
    /// Who is said to have signed.
    pub name: SignerName,
    /// Which key and kind of signature it is said to be.
    pub id: KeyId,
    /// What the kind of signature says that is here; at least one byte.
    pub bytes: Vec<u8>,
}

/// What a key's signature of a note says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Statement {
    /// It signed the text.
    Signed,
    /// It saw the checkpoint that the text is, and that it continues all earlier ones (C2SP tlog-cosignature).
    Cosigned {
        /// When: seconds since 1970-01-01T00:00:00Z.
        time: u64,
    },
}

/// What is wrong with a note.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Not the form of a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// The signature of a key that is known does not verify: a forgery, or a text that was changed.
    #[error("the signature of {name}+{id} does not verify: the text was changed, or another key signed")]
    Forged {
        /// Whose it is said to be.
        name: SignerName,
        /// Which key's.
        id: KeyId,
    },
    /// There is no line by this key.
    #[error("the note has no signature of {name}+{id}; have that key sign it, or give the key that did")]
    Unsigned {
        /// Whose is missing.
        name: SignerName,
        /// Which key's.
        id: KeyId,
    },
    /// A raw signature of another scheme's length.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Note {
    /// A note that nobody has signed yet.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] if `text` does not end with a newline, or has another control character.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed("its text does not end with a newline"));
        }
        if text.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed("it has a control character other than newline"));
        }
        Ok(Self::of(text))
    }

    /// As [`Self::new`], of a text that has the form.
    pub(super) fn of(text: String) -> Self {
        Self { text, signatures: Vec::new() }
    }

    /// Reads a note with at least one signature line, and verifies none.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] for everything that [`Self`]'s `to_string` would not print so.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_LEN {
            return Err(NoteError::Malformed("it is longer than 256 KiB"));
        }
        let whole = str::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
        let end =
            whole.rfind("\n\n").ok_or(NoteError::Malformed("it has no empty line before its signatures"))?;
        let (text, rest) = whole.split_at(end + 1);
        let mut note = Self::new(text)?;
        let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(NoteError::Malformed("its last line does not end with a newline"))?;
        for line in lines.split('\n') {
            if note.signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::Malformed("it has more than 100 signatures"));
            }
            let signature = NoteSignature::parse(line);
            note.signatures.push(signature.ok_or(NoteError::Malformed("a signature line has another form"))?);
        }
        Ok(note)
    }

    /// The text that is signed, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in their order.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// What `key` says of the text.
    ///
    /// # Errors
    /// - [`NoteError::Unsigned`] if it says nothing.
    /// - [`NoteError::Forged`] if a line that names it, any of them, does not verify.
    pub fn verify(&self, key: &VerifierKey) -> Result<Statement, NoteError> {
        let (name, id) = (key.name(), key.id());
        let mut statement = None;
        for line in self.signatures.iter().filter(|line| line.name == *name && line.id == id) {
            let forged = || NoteError::Forged { name: name.clone(), id };
            statement = Some(key.verify(&self.text, &line.bytes).ok_or_else(forged)?);
        }
        statement.ok_or_else(|| NoteError::Unsigned { name: name.clone(), id })
    }

    /// Adds the signature that a token made of [`Self::text`]: `raw` is `r || s`, or 64 bytes of Ed25519.
    ///
    /// # Errors
    /// [`NoteError::Forged`] if it does not verify under `key`, which must not be a cosigner's; [`NoteError::Signature`] if
    /// it has another length.
    pub fn sign(&mut self, key: &VerifierKey, scheme: Scheme, raw: &[u8]) -> Result<(), NoteError> {
        let (name, id) = (key.name().clone(), key.id());
        let bytes = x509_signature(scheme, raw)?;
        if key.verify(&self.text, &bytes) != Some(Statement::Signed) {
            return Err(NoteError::Forged { name, id });
        }
        self.signatures.push(NoteSignature { name, id, bytes });
        Ok(())
    }
}

/// A witness's statement that it saw a checkpoint, which was verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cosignature {
    line: NoteSignature,
    time: u64,
}

impl Cosignature {
    /// When: seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time
    }
}

impl Note {
    /// The cosignature of this text by the witness with this key, among signature lines, each with its newline; others are ignored.
    ///
    /// # Errors
    /// [`NoteError`] if there is none, or a line that names the key does not verify.
    pub fn cosignature(&self, key: &VerifierKey, lines: &str) -> Result<Cosignature, NoteError> {
        let theirs = Self::parse(format!("{}\n{lines}", self.text).as_bytes())?;
        let (name, id) = (key.name(), key.id());
        let unsigned = || NoteError::Unsigned { name: name.clone(), id };
        if theirs.text != self.text {
            return Err(unsigned());
        }
        let Statement::Cosigned { time } = theirs.verify(key)? else { return Err(unsigned()) };
        let line = theirs.signatures.into_iter().rfind(|line| line.name == *name && line.id == id);
        line.map(|line| Cosignature { line, time }).ok_or_else(unsigned)
    }

    /// Adds the signature line of a witness.
    pub fn add(&mut self, Cosignature { line, .. }: Cosignature) {
        self.signatures.retain(|known| (&known.name, known.id) != (&line.name, line.id));
        self.signatures.push(line);
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl NoteSignature {
    fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = decode(base64)?;
        let (id, bytes) = bytes.split_first_chunk()?;
        let name = SignerName::new(name).ok()?;
        (!bytes.is_empty()).then(|| Self { name, id: KeyId(*id), bytes: bytes.to_vec() })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id.0[..], &self.bytes].concat();
        write!(f, "{DASH}{} {}", self.name, Base64::encode_string(&bytes))
    }
}

/// Only what would be encoded so: no other padding, and no bits that say nothing.
pub(super) fn decode(base64: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(base64).ok().filter(|bytes| Base64::encode_string(bytes) == base64)
}

#[cfg(test)]
mod tests;
