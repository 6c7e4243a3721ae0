//! A finished certificate: a TBS and its signature.
//!
//! In: the bytes that a signer gave back, or that a file holds. Out: the TBS, the scheme and the raw signature.
//! Promised: as strict as the TBS parser, and the scheme fits the CA key. Not done here: verifying the signature.

use super::fields::Fields;
use super::public_key::openssh_line;
use super::wire::Reader;
use super::{CertificateTbs, ParseError};
use crate::signature::{Scheme, SignatureError, from_ssh_signature_blob};

/// A certificate with its signature, which nobody has verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    bytes: Vec<u8>,
    tbs: CertificateTbs,
    scheme: Scheme,
    signature: Vec<u8>,
}

impl Certificate {
    /// The largest TBS, and an RSA signature of 16,384 bits with its names and lengths.
    const MAX_LEN: usize = CertificateTbs::MAX_LEN + 2048 + 64;

    /// Reads a certificate that is all of `bytes`.
    ///
    /// # Errors
    /// [`ParseError`], by the first rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(ParseError::TooLarge { len: bytes.len(), limit: Self::MAX_LEN });
        }
        let mut reader = Reader::new(bytes);
        Fields::read(&mut reader)?;
        let (tbs, _) = bytes.split_at(bytes.len() - reader.left());
        let tbs = CertificateTbs::parse(tbs)?;
        let blob = reader.string("signature")?;
        reader.finish("signature")?;
        let (scheme, signature) = from_ssh_signature_blob(blob)?;
        if !scheme.fits(tbs.ca_key()) {
            let algorithm = tbs.ca_key().ssh_algorithm();
            return Err(SignatureError::KeyMismatch { scheme, algorithm }.into());
        }
        Ok(Self { bytes: bytes.to_vec(), tbs, scheme, signature })
    }

    /// Exactly what was parsed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is signed.
    #[must_use]
    pub fn tbs(&self) -> &CertificateTbs {
        &self.tbs
    }

    /// How it is signed.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The raw signature: `r || s` of the curve's length, 64 bytes, or the RSA block.
    #[must_use]
    pub fn raw_signature(&self) -> &[u8] {
        &self.signature
    }

    /// `TYPE BASE64 COMMENT`, the content of a `-cert.pub` file but for its line break; control characters in the
    /// comment become `?`.
    #[must_use]
    pub fn to_openssh_line(&self, comment: &str) -> String {
        let name = self.tbs.subject_key().kind().certificate_name();
        openssh_line(name, &self.bytes, comment)
    }
}
