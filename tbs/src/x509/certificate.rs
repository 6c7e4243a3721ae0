//! A finished certificate, such as the CA's own that is configured beside its key.

use super::{ParseError, Rule, SignatureAlgorithm, TbsCertificate};
use crate::der::{Reader, tag};

/// A Certificate (RFC 5280 §4.1), as strict as its TBS. Its signature is not verified here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    tbs: TbsCertificate,
    signature: Vec<u8>,
}

impl Certificate {
    /// The longest that is taken, in bytes: a TBS and the longest RSA signature.
    pub const MAX_LEN: usize = TbsCertificate::MAX_LEN + 8192;

    /// Parses a DER Certificate.
    ///
    /// # Errors
    /// [`ParseError`] with the first [`Rule`] that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let field = "certificate";
        let mut reader = Reader::new(bytes);
        if bytes.len() > Self::MAX_LEN {
            return Err(Rule::TooLong { max: Self::MAX_LEN }.at(&reader, field));
        }
        let certificate = reader.nested(tag::SEQUENCE, field, |r| {
            let tbs = TbsCertificate::parse(r.element(tag::SEQUENCE, "tbsCertificate")?.rest())?;
            let start = *r;
            if SignatureAlgorithm::parse(r, "signatureAlgorithm")? != tbs.signature_algorithm() {
                return Err(Rule::AlgorithmDiffers.at(&start, "signatureAlgorithm"));
            }
            let signature = r.bit_string("signatureValue")?.rest().to_vec();
            Ok(Self { tbs, signature })
        })?;
        reader.finish(field)?;
        Ok(certificate)
    }

    /// What was signed.
    #[must_use]
    pub fn tbs(&self) -> &TbsCertificate {
        &self.tbs
    }

    /// The signature, in X.509's encoding.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}
