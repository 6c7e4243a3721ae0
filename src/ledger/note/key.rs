//! The keys that sign notes, as their verifiers know them.
//!
//! In: a name and a public key, or the one line of text that has both (a "vkey"). Out: a [`VerifierKey`]. Kinds, by the byte
//! that C2SP signed-note gives them: 0x01 Ed25519, 0x02 ECDSA with SHA-256 (of P-256 alone here), 0x04 an Ed25519 witness.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey};
use base64ct::{Base64, Encoding};

use countersign_tbs::key::Curve;

use crate::key::PublicKey;
use crate::ledger::entry::sha256;
use crate::ledger::note::{Statement, decode};

const ED25519_KIND: u8 = 0x01;
const ECDSA_KIND: u8 = 0x02;
const COSIGNER_KIND: u8 = 0x04;

/// Who signs: some text without white space, control characters and `+`, by custom a URL without its scheme.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SignerName(String);

/// Which of a signer's keys, and which kind of signature. It is too short to identify a key without its name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct KeyId(pub [u8; 4]);

/// A public key by which notes are verified.
#[derive(Clone, Debug)]
pub struct VerifierKey {
    name: SignerName,
    id: KeyId,
    kind: u8,
    /// As its kind encodes it: 32 bytes of Ed25519, or the DER SubjectPublicKeyInfo.
    encoded: Vec<u8>,
    parsed: ParsedPublicKey,
}

/// Why there is no [`VerifierKey`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteKeyError {
    /// Not a [`SignerName`].
    #[error("{0:?} cannot sign notes: a name is not empty and has no white space, control characters or '+'")]
    Name(String),
    /// A key that signs no notes.
    #[error(
        "notes are signed with Ed25519 or ECDSA P-256 keys, and this is none; generate one with `countersign key generate`"
    )]
    Kind,
    /// Not the text of a key.
    #[error(transparent)]
    Text(#[from] InvalidKeyText),
}

/// Not the text of a [`VerifierKey`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no verifier key; it is NAME+ID+KEY, with an id of 8 lower-case hexadecimal digits that belongs to the key, of a known kind, in base64"
)]
pub struct InvalidKeyText(pub String);

impl SignerName {
    /// # Errors
    /// [`NoteKeyError::Name`] if `name` has another form.
    pub fn new(name: impl Into<String>) -> Result<Self, NoteKeyError> {
        let name = name.into();
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c < ' ' || c == '+') {
            return Err(NoteKeyError::Name(name));
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SignerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl VerifierKey {
    /// The key of a log: Ed25519 (0x01) or ECDSA P-256 (0x02).
    ///
    /// # Errors
    /// [`NoteKeyError::Kind`] for a key of another algorithm, or a point that is off the curve.
    pub fn new(name: SignerName, key: &PublicKey) -> Result<Self, NoteKeyError> {
        match key {
            PublicKey::Ed25519(bytes) => Self::of(name, ED25519_KIND, bytes.to_vec()),
            PublicKey::Ecdsa(_) => Self::of(name, ECDSA_KIND, key.to_spki_der()),
            PublicKey::Rsa(_) | PublicKey::MlDsa(_) => None,
        }
        .ok_or(NoteKeyError::Kind)
    }

    /// The Ed25519 key of a witness, which signs checkpoints together with the time (0x04).
    ///
    /// # Errors
    /// [`NoteKeyError::Kind`] if it is no Ed25519 key.
    pub fn cosigner(name: SignerName, key: [u8; 32]) -> Result<Self, NoteKeyError> {
        Self::of(name, COSIGNER_KIND, key.to_vec()).ok_or(NoteKeyError::Kind)
    }

    fn of(name: SignerName, kind: u8, encoded: Vec<u8>) -> Option<Self> {
        let (parsed, hash) = match kind {
            ED25519_KIND | COSIGNER_KIND if encoded.len() == 32 => {
                let hash = sha256(&[name.as_str().as_bytes(), b"\n", &[kind], &encoded]);
                (ParsedPublicKey::new(&ED25519, &encoded), hash)
            }
            ECDSA_KIND => match PublicKey::from_spki_der(&encoded).ok()? {
                PublicKey::Ecdsa(point) if point.curve() == Curve::P256 => {
                    (ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point.as_bytes()), sha256(&[&encoded]))
                }
                _ => return None,
            },
            _ => return None,
        };
        let [a, b, c, d, ..] = hash;
        Some(Self { name, id: KeyId([a, b, c, d]), kind, encoded, parsed: parsed.ok()? })
    }

    /// Whose key it is.
    #[must_use]
    pub fn name(&self) -> &SignerName {
        &self.name
    }

    /// The key itself; nothing if it is a witness's, which is no key of this signer.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        match self.kind {
            ED25519_KIND => self.encoded.as_slice().try_into().ok().map(PublicKey::Ed25519),
            ECDSA_KIND => PublicKey::from_spki_der(&self.encoded).ok(),
            _ => None,
        }
    }

    /// What its signature lines are found by, together with the name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether it is a witness's (0x04).
    #[must_use]
    pub fn is_cosigner(&self) -> bool {
        self.kind == COSIGNER_KIND
    }

    /// Whether it is the same key pair, whatever it is called: a witness's signature does not say by which name it is.
    #[must_use]
    pub fn is_pair_of(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }

    /// What a signature of `text` says; `None` if it is none by this key.
    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> Option<Statement> {
        if self.kind != COSIGNER_KIND {
            self.parsed.verify_sig(text.as_bytes(), signature).ok()?;
            return Some(Statement::Signed);
        }
        let (time, signature) = signature.split_first_chunk()?;
        let time = u64::from_be_bytes(*time);
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        self.parsed.verify_sig(message.as_bytes(), signature).ok()?;
        i64::try_from(time).is_ok().then_some(Statement::Cosigned { time })
    }
}

/// As verifiers are configured with it: `NAME+ID+KEY`.
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind][..], &self.encoded].concat();
        write!(f, "{}+{}+{}", self.name, self.id, Base64::encode_string(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidKeyText;

    fn from_str(text: &str) -> Result<Self, InvalidKeyText> {
        let read = || {
            let (name, rest) = text.split_once('+')?;
            let (_, base64) = rest.split_once('+')?;
            let (kind, encoded) = decode(base64).and_then(|key| {
                let (kind, encoded) = key.split_first()?;
                Some((*kind, encoded.to_vec()))
            })?;
            // The id follows from the rest.
            Self::of(SignerName::new(name).ok()?, kind, encoded).filter(|key| key.to_string() == text)
        };
        read().ok_or_else(|| InvalidKeyText(text.to_owned()))
    }
}
