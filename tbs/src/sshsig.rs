//! Signatures of files in SSH's form (PROTOCOL.sshsig): what is signed, and the signature in its armour.
//!
//! In: a namespace and a message's hash, or an armoured signature. Out: the bytes to sign, or an [`SshSignature`]. Promised: what was
//! read encodes to the bytes that were read, and the signature's algorithm is one that the key in it has. Security keys (PROTOCOL.u2f)
//! are read, too. Not done here: hashing the message, and verifying.

use base64ct::{Base64, Encoding};

use crate::key::PublicKey;
use crate::signature::{self, Scheme, SignatureError, ssh_signature_blob};
use crate::ssh::wire::{Reader, excerpt, put_string};
use crate::ssh::{ParseError, SubjectKey};

const PREAMBLE: &[u8; 6] = b"SSHSIG";
const VERSION: u32 = 1;
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// Characters in a line of the armour, as `ssh-keygen` writes them.
const LINE_LEN: usize = 70;

/// How the message was hashed; the format has no other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageHash {
    /// SHA-256.
    Sha256,
    /// SHA-512, which is what `ssh-keygen` uses unless it is told otherwise.
    Sha512,
}

impl MessageHash {
    const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Its name in the signature.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// The signature itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Raw {
    /// Of [`signed_bytes`].
    Plain {
        /// How it was made.
        scheme: Scheme,
        /// As a token gives it: `r || s`, or whole.
        bytes: Vec<u8>,
    },
    /// By a security key, of what its authenticator adds to their hash (PROTOCOL.u2f).
    SecurityKey {
        /// As above; the scheme follows from the key.
        bytes: Vec<u8>,
        /// What the authenticator says about its user: 1, touched; 4, a PIN or a finger.
        flags: u8,
        /// How often it has signed.
        counter: u32,
    },
}

/// One signature, and who says to have made it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SshSignature {
    /// The signer's key, never a certificate.
    pub public_key: SubjectKey,
    /// What kind of message it is of; never empty.
    pub namespace: String,
    /// How the message was hashed.
    pub hash: MessageHash,
    /// The signature.
    pub raw: Raw,
}

/// Why something is not an armoured signature, or cannot become one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SshSigError {
    /// Over the limit, before anything was read.
    #[error("a signature of {len} bytes is too large; the limit is {}", SshSignature::MAX_LEN)]
    TooLarge {
        /// Its length in bytes.
        len: usize,
    },
    /// No line says where it begins or ends, or something is outside of them.
    #[error(
        "not a signature in SSH's form: it must be all between \"{BEGIN}\" and \"{END}\", as `ssh-keygen -Y sign` writes it"
    )]
    Armour,
    /// Not padded, canonical base64.
    #[error("what is between the signature's first and last line is not base64")]
    Base64,
    /// Something else is in the armour.
    #[error("the signature does not begin with SSHSIG")]
    Preamble,
    /// Of a later format.
    #[error("the signature is of version {version}; this program reads version {VERSION}")]
    Version {
        /// What it says.
        version: u32,
    },
    /// Empty, or not text.
    #[error("the signature's namespace is empty, or no text")]
    Namespace,
    /// What version 1 leaves empty.
    #[error("the signature's reserved field is not empty")]
    Reserved,
    /// Neither of the two.
    #[error("the signature is of a \"{name}\" hash; only sha256 and sha512 are known")]
    Hash {
        /// What it says.
        name: String,
    },
    /// The signature is by an algorithm that its key does not have.
    #[error("the signature is by {signature}, which its key of type {key} cannot make")]
    Mismatch {
        /// The signature's algorithm.
        signature: String,
        /// The key's type.
        key: &'static str,
    },
    /// SSH has no such keys or signatures, or the token's signature is none.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A field of it is wrong.
    #[error("in the signature: {0}")]
    Field(#[from] ParseError),
}

/// What a key signs for a message with this hash.
#[must_use]
pub fn signed_bytes(namespace: &str, hash: MessageHash, digest: &[u8]) -> Vec<u8> {
    let mut out = PREAMBLE.to_vec();
    for part in [namespace.as_bytes(), b"", hash.name().as_bytes(), digest] {
        put_string(&mut out, part);
    }
    out
}

impl SshSignature {
    /// The largest armoured signature, in bytes: one of RSA with 16,384 bits takes a third of it.
    pub const MAX_LEN: usize = 16 * 1024;

    /// A signature that a token made of [`signed_bytes`] with SHA-512.
    ///
    /// # Errors
    /// [`SshSigError`] if SSH has no such key or scheme, or `raw` is no such signature.
    pub fn new(key: &PublicKey, namespace: &str, scheme: Scheme, raw: &[u8]) -> Result<Self, SshSigError> {
        let signature = Self {
            public_key: SubjectKey::Plain(key.clone()),
            namespace: namespace.to_owned(),
            hash: MessageHash::Sha512,
            raw: Raw::Plain { scheme, bytes: raw.to_vec() },
        };
        // What this could not read again is none.
        Self::parse(&signature.encode()?)
    }

    /// Reads an armoured signature that is all of `text`, but for white space around it.
    ///
    /// # Errors
    /// [`SshSigError`]
    pub fn parse_armored(text: &str) -> Result<Self, SshSigError> {
        if text.len() > Self::MAX_LEN {
            return Err(SshSigError::TooLarge { len: text.len() });
        }
        let body = text.trim_ascii().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let body = body.filter(|body| body.starts_with(['\r', '\n']) && body.ends_with('\n'));
        let lines = body.ok_or(SshSigError::Armour)?.lines().map(str::trim_ascii);
        let blob = Base64::decode_vec(&lines.collect::<String>()).map_err(|_| SshSigError::Base64)?;
        Self::parse(&blob)
    }

    /// Reads what is in the armour.
    ///
    /// # Errors
    /// [`SshSigError`]
    pub fn parse(blob: &[u8]) -> Result<Self, SshSigError> {
        let fields = blob.strip_prefix(PREAMBLE).ok_or(SshSigError::Preamble)?;
        let mut reader = Reader::new(fields);
        let version = reader.uint32("version")?;
        if version != VERSION {
            return Err(SshSigError::Version { version });
        }
        let public_key = SubjectKey::from_wire(reader.string("public key")?)?;
        let namespace = read_namespace(reader.string("namespace")?)?;
        if !reader.string("reserved field")?.is_empty() {
            return Err(SshSigError::Reserved);
        }
        let name = reader.string("hash's name")?;
        let known = MessageHash::ALL.into_iter().find(|hash| hash.name().as_bytes() == name);
        let hash = known.ok_or_else(|| SshSigError::Hash { name: excerpt(name) })?;
        let raw = Raw::read(&public_key, reader.string("signature")?)?;
        reader.finish("signature")?;
        let signature = Self { public_key, namespace, hash, raw };
        if signature.encode()? == blob { Ok(signature) } else { Err(ParseError::NotCanonical.into()) }
    }

    /// What is in the armour.
    ///
    /// # Errors
    /// [`SshSigError::Signature`] if the signature does not fit its scheme.
    pub fn encode(&self) -> Result<Vec<u8>, SshSigError> {
        let mut out = PREAMBLE.to_vec();
        out.extend(VERSION.to_be_bytes());
        let raw = self.raw.encode(&self.public_key)?;
        let hash = self.hash.name().as_bytes();
        for part in [&self.public_key.to_wire(), self.namespace.as_bytes(), b"", hash, &raw] {
            put_string(&mut out, part);
        }
        Ok(out)
    }

    /// The armour, with a line's end after it, as `ssh-keygen -Y verify` reads it.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn to_armored(&self) -> Result<String, SshSigError> {
        let mut text = format!("{BEGIN}\n");
        let base64 = Base64::encode_string(&self.encode()?);
        for (at, letter) in base64.chars().enumerate() {
            if at > 0 && at % LINE_LEN == 0 {
                text.push('\n');
            }
            text.push(letter);
        }
        Ok(format!("{text}\n{END}\n"))
    }
}

fn read_namespace(bytes: &[u8]) -> Result<String, SshSigError> {
    let text = str::from_utf8(bytes).ok().filter(|text| !text.is_empty() && !text.contains(char::is_control));
    text.map(str::to_owned).ok_or(SshSigError::Namespace)
}

/// How a security key of this type signs what its authenticator makes of a message; `None` for other keys.
fn security_key_scheme(key: &SubjectKey) -> Option<Scheme> {
    match key {
        SubjectKey::Plain(_) => None,
        SubjectKey::SkEd25519 { .. } => Some(Scheme::Ed25519),
        SubjectKey::SkEcdsaP256 { .. } => Some(Scheme::EcdsaP256Sha256),
    }
}

impl Raw {
    fn read(key: &SubjectKey, blob: &[u8]) -> Result<Self, SshSigError> {
        let mismatch = |signature| SshSigError::Mismatch { signature, key: key.algorithm() };
        let Some(scheme) = security_key_scheme(key) else {
            let (scheme, bytes) = signature::from_ssh_signature_blob(blob)?;
            let SubjectKey::Plain(plain) = key else { return Err(mismatch(scheme.to_string())) };
            let fits = scheme.fits(plain);
            return if fits { Ok(Self::Plain { scheme, bytes }) } else { Err(mismatch(scheme.to_string())) };
        };
        let mut reader = Reader::new(blob);
        let name = reader.string("signature algorithm")?;
        if name != key.algorithm().as_bytes() {
            return Err(mismatch(excerpt(name)));
        }
        let bytes = signature::from_ssh(scheme, reader.string("signature")?)?;
        let (flags, counter) = (reader.byte("flags")?, reader.uint32("counter")?);
        reader.finish("counter")?;
        Ok(Self::SecurityKey { bytes, flags, counter })
    }

    fn encode(&self, key: &SubjectKey) -> Result<Vec<u8>, SshSigError> {
        match (self, security_key_scheme(key)) {
            (Self::Plain { scheme, bytes }, None) => Ok(ssh_signature_blob(*scheme, bytes)?),
            (Self::SecurityKey { bytes, flags, counter }, Some(scheme)) => {
                let mut out = Vec::new();
                put_string(&mut out, key.algorithm().as_bytes());
                put_string(&mut out, &signature::to_ssh(scheme, bytes)?);
                out.push(*flags);
                out.extend(counter.to_be_bytes());
                Ok(out)
            }
            (Self::Plain { scheme, .. }, Some(_)) => {
                Err(SshSigError::Mismatch { signature: scheme.to_string(), key: key.algorithm() })
            }
            (Self::SecurityKey { .. }, None) => Err(SshSigError::Mismatch {
                signature: "a security key's algorithm".to_owned(),
                key: key.algorithm(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
