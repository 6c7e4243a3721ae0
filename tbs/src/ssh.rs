//! OpenSSH certificates (PROTOCOL.certkeys, draft-ietf-sshm-cert): the TBS, its builder, and the finished certificate.
//!
//! In: the bytes from the type up to and including the signature key, or what a builder is told. Out: a
//! [`CertificateTbs`], which keeps the exact bytes. Promised: whatever breaks a rule of [`ParseError`] is refused, and
//! what was read encodes to the bytes that were read. Not done here: whether a certificate *may* say what it says
//! (policy), and verifying signatures.

mod builder;
mod certificate;
mod error;
mod fields;
mod options;
mod public_key;
pub(crate) mod wire;

use std::fmt;
use std::ops::RangeInclusive;

pub use builder::{BuildError, CertificateBuilder};
pub use certificate::Certificate;
pub use error::{KeyRole, OptionSection, ParseError};
pub use options::Options;
pub use public_key::SubjectKey;

use crate::key::PublicKey;
use crate::signature::{Scheme, SignatureError, ssh_signature_blob};
use fields::Fields;
use wire::{Reader, put_string};

/// Bytes in a nonce. The format allows any; OpenSSH writes 32, and under 16 a caller could search for collisions.
const NONCE_LEN: RangeInclusive<usize> = 16..=64;
/// Bytes in a key id.
const KEY_ID_MAX_LEN: usize = 1024;
/// Principals in a certificate: OpenSSH refuses more (`SSHKEY_CERT_MAX_PRINCIPALS`).
const PRINCIPALS_MAX: usize = 256;
/// Bytes in a principal: more than a DNS name (253) or a user name can have.
const PRINCIPAL_MAX_LEN: usize = 256;
/// Critical options, and extensions, in a certificate.
const OPTIONS_MAX: usize = 64;
/// Bytes in an option's name (RFC 4251 §6).
const OPTION_NAME_MAX_LEN: usize = 64;
/// Bytes in an option's value.
const OPTION_VALUE_MAX_LEN: usize = 16 * 1024;
/// Bytes in a security key's application.
const APPLICATION_MAX_LEN: usize = 256;

/// What a certificate identifies.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CertificateType {
    /// A user, to a server.
    User,
    /// A host, to a client.
    Host,
}

impl fmt::Display for CertificateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Host => "host",
        })
    }
}

/// A certificate without its signature: the exact bytes, and what they say.
#[derive(Clone, Eq, PartialEq)]
pub struct CertificateTbs {
    bytes: Vec<u8>,
    fields: Fields,
}

impl CertificateTbs {
    /// Whether a certificate may have `text` for its key id: it is short, and no character of it hides others.
    #[must_use]
    pub fn is_key_id(text: &str) -> bool {
        fields::read_key_id(text.as_bytes()).is_ok()
    }

    /// The largest TBS, in bytes.
    pub const MAX_LEN: usize = 32 * 1024;

    /// Reads a TBS that is all of `bytes`, and keeps a copy of exactly those bytes.
    ///
    /// # Errors
    /// [`ParseError`], by the first rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(ParseError::TooLarge { len: bytes.len(), limit: Self::MAX_LEN });
        }
        let mut reader = Reader::new(bytes);
        let fields = Fields::read(&mut reader)?;
        reader.finish("CA key")?;
        fields.check_canonical(bytes)?;
        Ok(Self { bytes: bytes.to_vec(), fields })
    }

    /// Exactly what was parsed: what a CA signs.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key that the certificate is for.
    #[must_use]
    pub fn subject_key(&self) -> &SubjectKey {
        &self.fields.subject_key
    }

    /// 16 to 64 bytes that the caller chose at random.
    #[must_use]
    pub fn nonce(&self) -> &[u8] {
        &self.fields.nonce
    }

    /// The number to revoke it by; zero if it has none.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.fields.serial
    }

    /// User or host.
    #[must_use]
    pub fn certificate_type(&self) -> CertificateType {
        self.fields.certificate_type
    }

    /// What sshd logs: up to 1024 bytes without control characters, perhaps empty.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.fields.key_id
    }

    /// User or host names: 1 to 256, all different, each 1 to 256 bytes without control characters. In the caller's order.
    #[must_use]
    pub fn principals(&self) -> &[String] {
        &self.fields.principals
    }

    /// The first second of validity, since 1970.
    #[must_use]
    pub fn valid_after(&self) -> u64 {
        self.fields.valid_after
    }

    /// The first second after validity, since 1970; later than `valid_after`. [`u64::MAX`] is "forever", for policy to refuse.
    #[must_use]
    pub fn valid_before(&self) -> u64 {
        self.fields.valid_before
    }

    /// Options that a server must know, or refuse the certificate.
    #[must_use]
    pub fn critical_options(&self) -> &Options {
        &self.fields.critical_options
    }

    /// Options that a server may ignore: mostly what a user may do.
    #[must_use]
    pub fn extensions(&self) -> &Options {
        &self.fields.extensions
    }

    /// The key that the certificate says it is signed with.
    #[must_use]
    pub fn ca_key(&self) -> &PublicKey {
        &self.fields.ca_key
    }

    /// The finished certificate: these bytes, and `raw` as a signature blob. Does not verify it.
    ///
    /// # Errors
    /// [`SignatureError`] if `raw` does not fit `scheme`, or `scheme` does not fit [`Self::ca_key`].
    pub fn certificate(&self, scheme: Scheme, raw: &[u8]) -> Result<Vec<u8>, SignatureError> {
        if !scheme.fits(self.ca_key()) {
            return Err(SignatureError::KeyMismatch { scheme, algorithm: self.ca_key().ssh_algorithm() });
        }
        let mut certificate = self.bytes.clone();
        put_string(&mut certificate, &ssh_signature_blob(scheme, raw)?);
        Ok(certificate)
    }
}

/// Names the certificate without its bytes.
impl fmt::Debug for CertificateTbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateTbs")
            .field("certificate_type", &self.certificate_type())
            .field("serial", &self.serial())
            .field("key_id", &self.key_id())
            .field("principals", &self.principals())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
