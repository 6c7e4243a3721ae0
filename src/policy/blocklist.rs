//! Subject keys whose private half is known to others, by lists that the operator names.
//!
//! In: the bytes of each list; later, a public key. Out: the list that has it. Three public formats are read, each strictly:
//! a list that protects from less than it seems to is an error. A look-up is a hash and a binary search for each list. Not
//! done here: opening files, and getting lists. docs/policy.md says where they come from.

use std::fmt::{self, Write};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use countersign_tbs::key::PublicKey;

use crate::ledger::entry::sha256;

mod read;

/// How a list says which keys are in it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ListFormat {
    /// `blocklist.dat` of badkeys (docs/BLOCKLISTFORMAT.md there): sorted records of 15 bytes of a SHA-256, and the number of
    /// a list. The hash is of one number of the key, so that one modulus stands for each of its exponents.
    Badkeys,
    /// `blacklist.RSA-*` of Debian's openssl-blacklist (openssl-vulnkey(1)): lines of the last 20 hexadecimal digits of the
    /// SHA-1 of what `openssl rsa -noout -modulus` prints.
    Openssl,
    /// Lines of `SHA256:` and a fingerprint, as `ssh-keygen -l` prints it, or of 64 hexadecimal digits: the SHA-256 of a DER
    /// SubjectPublicKeyInfo.
    Fingerprints,
}

/// One list, read.
#[derive(Clone)]
pub struct KeyList {
    format: ListFormat,
    sha256: [u8; 32],
    keys: Hashes,
}

/// The keys of a list, sorted.
#[derive(Clone)]
enum Hashes {
    /// Records of 16 bytes: 60 MB of them are not copied.
    Badkeys(Vec<u8>),
    Openssl(Vec<[u8; 10]>),
    Fingerprints(Vec<[u8; 32]>),
}

/// Every list. Immutable, and cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocklist(Arc<[KeyList]>);

/// Why bytes are not a list of a format.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// A file without a key is a download that failed.
    #[error("has no key in it")]
    Empty,
    /// Not whole records.
    #[error(
        "has {0} bytes, which are no records of 16: it should be badkeys' blocklist.dat, unpacked with `xz -d`"
    )]
    Records(usize),
    /// A binary search would miss keys. The number of the first record that is below the one before it, from 1.
    #[error("is not sorted at record {0}: it should be badkeys' blocklist.dat, unpacked with `xz -d`")]
    NotSorted(usize),
    /// A line of another form.
    #[error("line {line} should be {wanted}, a comment that starts with `#`, or empty")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What the format has on its lines.
        wanted: &'static str,
    },
}

impl ListFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Badkeys, Self::Openssl, Self::Fingerprints];

    /// The key of `[blocklist]` in configuration that names files of this format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Badkeys => "badkeys",
            Self::Openssl => "openssl",
            Self::Fingerprints => "fingerprints",
        }
    }
}

impl KeyList {
    /// Reads a list.
    ///
    /// # Errors
    /// [`ListError`] if the bytes are not one of this format, or it has no key.
    pub fn parse(format: ListFormat, bytes: Vec<u8>) -> Result<Self, ListError> {
        let sha256 = sha256(&[&bytes]);
        let keys = match format {
            ListFormat::Badkeys => Hashes::Badkeys(read::badkeys(bytes)?),
            ListFormat::Openssl => Hashes::Openssl(read::openssl(&bytes)?),
            ListFormat::Fingerprints => Hashes::Fingerprints(read::fingerprints(&bytes)?),
        };
        let list = Self { format, sha256, keys };
        if list.count() == 0 { Err(ListError::Empty) } else { Ok(list) }
    }

    /// How many keys are in it. One that stands there twice counts once, but for badkeys, where it may be in several lists.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.keys {
            Hashes::Badkeys(records) => records.len() / read::RECORD,
            Hashes::Openssl(hashes) => hashes.len(),
            Hashes::Fingerprints(hashes) => hashes.len(),
        }
    }

    /// Its format.
    #[must_use]
    pub fn format(&self) -> ListFormat {
        self.format
    }

    /// The SHA-256 of its file.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Whether `key` is in it; `ssh` is the form in which SSH names it, if it does, which for a security key is more than the key.
    #[must_use]
    pub fn has(&self, key: &PublicKey, ssh: Option<&[u8]>) -> bool {
        match &self.keys {
            Hashes::Badkeys(records) => read::has_record(records, &badkeys_hash(key)),
            Hashes::Openssl(hashes) => openssl_hash(key).is_some_and(|hash| has(hashes, &hash)),
            Hashes::Fingerprints(hashes) => {
                let plain = key.to_ssh_wire();
                let forms = [ssh, plain.as_deref(), Some(&key.to_spki_der())];
                forms.into_iter().flatten().any(|form| has(hashes, &sha256(&[form])))
            }
        }
    }
}

fn has<const N: usize>(sorted: &[[u8; N]], hash: &[u8; N]) -> bool {
    sorted.binary_search(hash).is_ok()
}

/// The first 120 bits of the SHA-256 of the number that badkeys takes for a key, big-endian without leading zeros: an RSA
/// key's modulus, a point's X, the bytes of an Ed25519 key.
fn badkeys_hash(key: &PublicKey) -> [u8; 15] {
    let number = match key {
        PublicKey::Rsa(rsa) => rsa.modulus(),
        PublicKey::Ecdsa(point) => point.as_bytes().get(1..=point.curve().field_len()).unwrap_or_default(),
        PublicKey::Ed25519(bytes) => bytes,
        PublicKey::MlDsa(key) => key.as_bytes(),
    };
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let mut hash = [0; 15];
    for (to, from) in hash.iter_mut().zip(sha256(&[number.get(zeros..).unwrap_or_default()])) {
        *to = from;
    }
    hash
}

/// The last 80 bits of the SHA-1 of `Modulus=`, the modulus in upper-case hexadecimal without leading zeros, and a line feed.
fn openssl_hash(key: &PublicKey) -> Option<[u8; 10]> {
    let PublicKey::Rsa(rsa) = key else { return None };
    let (first, rest) = rsa.modulus().split_first()?;
    let mut line = format!("Modulus={first:X}");
    for byte in rest {
        // Writing to a String never fails.
        let _ = write!(line, "{byte:02X}");
    }
    line.push('\n');
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, line.as_bytes());
    hash.as_ref().last_chunk().copied()
}

impl Blocklist {
    /// The lists, in an order that does not depend on the one in which they were read.
    pub(crate) fn new(mut lists: Vec<KeyList>) -> Self {
        lists.sort_by_key(|list| (list.format, list.sha256));
        Self(lists.into())
    }

    pub(crate) fn lists(&self) -> &[KeyList] {
        &self.0
    }

    /// The format of the first list that has `key`; see [`KeyList::has`].
    pub(crate) fn find(&self, key: &PublicKey, ssh: Option<&[u8]>) -> Option<ListFormat> {
        self.0.iter().find(|list| list.has(key, ssh)).map(KeyList::format)
    }
}

/// Not the keys: there are millions.
impl fmt::Debug for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, sha256, .. } = self;
        f.debug_struct("KeyList").field("format", format).field("sha256", sha256).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
