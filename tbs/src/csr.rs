//! Certificate requests (PKCS#10, RFC 2986): the CertificationRequestInfo, its builder, and the finished request.
//!
//! In: DER that a key's owner wants signed with that very key, or a request from elsewhere. Out:
//! [`CertificationRequestInfo`], which keeps those bytes and says what they say. Promised: what parses encodes to the same
//! bytes; the only attribute is extensionRequest (RFC 2985 §5.4.2), once. Not done here: policy, and whether a finished
//! request's signature is of its key. CertificationRequestInfo does not say how it is to be signed.

use crate::der::{Reader, Writer, oids, tag};
use crate::key::PublicKey;
use crate::x509::extension::parse_list;
use crate::x509::{BuildError, Extension, Name, ParseError, Rule, SignatureAlgorithm, signed};

/// A CertificationRequestInfo of version 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificationRequestInfo {
    bytes: Vec<u8>,
    fields: Fields,
}

/// What the bytes say.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Fields {
    subject: Name,
    public_key: PublicKey,
    extensions: Vec<Extension>,
}

/// A CertificationRequest, as strict as what it signs. Its signature is not verified here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificationRequest {
    info: CertificationRequestInfo,
    info_algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

/// Fields of a CertificationRequestInfo in the making. Holds no private key.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    fields: Fields,
}

impl CertificationRequestInfo {
    /// The longest that is taken, in bytes.
    pub const MAX_LEN: usize = 32 * 1024;

    /// Parses a DER CertificationRequestInfo.
    ///
    /// # Errors
    /// [`ParseError`] with the first [`Rule`] that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let field = "certificationRequestInfo";
        let mut reader = Reader::new(bytes);
        if bytes.len() > Self::MAX_LEN {
            return Err(Rule::TooLong { max: Self::MAX_LEN }.at(&reader, field));
        }
        let fields = reader.nested(tag::SEQUENCE, field, Fields::parse)?;
        reader.finish(field)?;
        if fields.encode() != bytes {
            return Err(Rule::NotCanonical.at(&Reader::new(bytes), field));
        }
        Ok(Self { bytes: bytes.to_vec(), fields })
    }

    /// The exact bytes that were parsed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name that is asked for; it may be empty.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.fields.subject
    }

    /// The key that is to be certified, which is to sign this.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.fields.public_key
    }

    /// The extensions that are asked for, in order; empty if there is no extensionRequest.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.fields.extensions
    }

    /// The finished CertificationRequest. `signature` is in X.509's encoding: DER for ECDSA. It is not verified here.
    #[must_use]
    pub fn request(&self, algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
        signed(&self.bytes, algorithm, signature, |_| {})
    }
}

impl CertificationRequest {
    /// The longest that is taken, in bytes: what is signed and the longest RSA signature.
    pub const MAX_LEN: usize = CertificationRequestInfo::MAX_LEN + 4096;

    /// Parses a DER CertificationRequest.
    ///
    /// # Errors
    /// [`ParseError`] with the first [`Rule`] that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let field = "certificationRequest";
        let mut reader = Reader::new(bytes);
        if bytes.len() > Self::MAX_LEN {
            return Err(Rule::TooLong { max: Self::MAX_LEN }.at(&reader, field));
        }
        let request = reader.nested(tag::SEQUENCE, field, |r| {
            let info = r.element(tag::SEQUENCE, "certificationRequestInfo")?;
            let info = CertificationRequestInfo::parse(info.rest())?;
            let info_algorithm = SignatureAlgorithm::parse(r, "signatureAlgorithm")?;
            let signature = r.bit_string("signature")?.rest().to_vec();
            Ok::<_, ParseError>(Self { info, info_algorithm, signature })
        })?;
        reader.finish(field)?;
        Ok(request)
    }

    /// What was signed.
    #[must_use]
    pub fn info(&self) -> &CertificationRequestInfo {
        &self.info
    }

    /// How it was signed.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.info_algorithm
    }

    /// The signature, in X.509's encoding.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl RequestBuilder {
    /// For `public_key` as `subject`, without extensions.
    #[must_use]
    pub const fn new(subject: Name, public_key: PublicKey) -> Self {
        Self { fields: Fields { subject, public_key, extensions: Vec::new() } }
    }

    /// Asks for an extension.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.fields.extensions.push(extension);
        self
    }

    /// Encodes the fields and has the strict parser read them.
    ///
    /// # Errors
    /// [`BuildError::Refused`] if they break a rule.
    pub fn build(self) -> Result<CertificationRequestInfo, BuildError> {
        Ok(CertificationRequestInfo::parse(&self.fields.encode())?)
    }
}

impl Fields {
    /// The tag of the attributes, which are there even if there are none.
    const ATTRIBUTES: u8 = tag::constructed(0);

    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let version = *r;
        if r.small(tag::INTEGER, "version", 255)? != 0 {
            return Err(Rule::Version.at(&version, "version"));
        }
        let subject = Name::parse(r, "subject")?;
        let spki = r.element(tag::SEQUENCE, "subjectPKInfo")?;
        let public_key = PublicKey::from_spki_der(spki.rest())
            .map_err(|error| Rule::PublicKey(error).at(&spki, "subjectPKInfo"))?;
        let extensions = r.nested(Self::ATTRIBUTES, "attributes", |r| {
            if r.is_empty() { Ok(Vec::new()) } else { extension_request(r) }
        })?;
        Ok(Self { subject, public_key, extensions })
    }

    fn encode(&self) -> Vec<u8> {
        Writer::collect(|w| {
            w.sequence(|w| {
                w.small(tag::INTEGER, 0);
                self.subject.write(w);
                w.raw(&self.public_key.to_spki_der());
                w.nested(Self::ATTRIBUTES, |w| {
                    if !self.extensions.is_empty() {
                        w.sequence(|w| {
                            w.known_oid(oids::EXTENSION_REQUEST);
                            w.nested(tag::SET, |w| {
                                w.sequence(|w| {
                                    self.extensions.iter().for_each(|extension| extension.write(w));
                                });
                            });
                        });
                    }
                });
            });
        })
    }
}

/// The one attribute that is known here: a challenge password, the other of RFC 2985, is a secret in a public file.
fn extension_request(r: &mut Reader<'_>) -> Result<Vec<Extension>, ParseError> {
    let field = "extensionRequest";
    r.nested(tag::SEQUENCE, "attribute", |r| {
        let start = *r;
        if r.oid("attribute")?.as_bytes() != oids::EXTENSION_REQUEST {
            return Err(Rule::RequestAttribute.at(&start, "attribute"));
        }
        r.nested(tag::SET, field, |r| parse_list(r, field)?.iter().map(Extension::parse).collect())
    })
}

#[cfg(test)]
mod tests;
