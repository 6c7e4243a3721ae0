//! OCSP responses (RFC 6960): the ResponseData, its builder, and the finished response.
//!
//! In: DER that a caller wants signed. Out: [`ResponseData`], which keeps those bytes and says what they say. Promised:
//! what parses encodes to the same bytes, at least one response, none twice. Not done here: whether the responder is the
//! one that signs, whether the statuses are true, whether the times are near now. ResponseData does not say how it is
//! to be signed (unlike certificates and CRLs).

mod builder;
mod extension;
mod single;

pub use builder::ResponseBuilder;
pub use extension::{Nonce, ResponseExtension, UnknownExtension};
pub use single::{CertId, CertStatus, HashParameters, IssuerHashes, SingleResponse, public_key_bits};

use crate::der::{Reader, Time, Writer, oids, tag};
use crate::x509::{Name, ParseError, Rule, SignatureAlgorithm, signed};

/// A ResponseData of version 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResponseData {
    bytes: Vec<u8>,
    fields: Fields,
}

/// What the bytes say.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Fields {
    responder: ResponderId,
    produced_at: Time,
    responses: Vec<SingleResponse>,
    extensions: Vec<ResponseExtension>,
}

/// Who signs (RFC 6960 §4.2.1).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ResponderId {
    /// byName: the subject of the responder's certificate, never empty.
    Name(Name),
    /// byKey: the SHA-1 of [`public_key_bits`] of the responder's key. SHA-1 is a name here, not a proof.
    KeyHash([u8; 20]),
}

impl ResponseData {
    /// The longest TBS that is taken, in bytes.
    pub const MAX_LEN: usize = 32 * 1024;
    /// The most responses in one.
    pub const MAX_RESPONSES: usize = 256;

    /// Parses a DER ResponseData.
    ///
    /// # Errors
    /// [`ParseError`] with the first [`Rule`] that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > Self::MAX_LEN {
            return Err(Rule::TooLong { max: Self::MAX_LEN }.at(&reader, "responseData"));
        }
        let fields = reader.nested(tag::SEQUENCE, "responseData", Fields::parse)?;
        reader.finish("responseData")?;
        if fields.encode() != bytes {
            return Err(Rule::NotCanonical.at(&Reader::new(bytes), "responseData"));
        }
        Ok(Self { bytes: bytes.to_vec(), fields })
    }

    /// The exact bytes that were parsed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Who signs.
    #[must_use]
    pub fn responder(&self) -> &ResponderId {
        &self.fields.responder
    }

    /// When the response was signed.
    #[must_use]
    pub fn produced_at(&self) -> Time {
        self.fields.produced_at
    }

    /// What is said about each certificate: at least one.
    #[must_use]
    pub fn responses(&self) -> &[SingleResponse] {
        &self.fields.responses
    }

    /// responseExtensions, in order; empty if absent.
    #[must_use]
    pub fn extensions(&self) -> &[ResponseExtension] {
        &self.fields.extensions
    }

    /// The request's nonce, echoed.
    #[must_use]
    pub fn nonce(&self) -> Option<&Nonce> {
        self.extensions().iter().find_map(|extension| match extension {
            ResponseExtension::Nonce(nonce) => Some(nonce),
            ResponseExtension::Unknown(_) => None,
        })
    }

    /// The finished OCSPResponse: "successful", with a BasicOCSPResponse of these data. `signature` is in X.509's
    /// encoding and is not verified here; `certificates` are DER, and may be empty if the CA itself signs.
    #[must_use]
    pub fn response(
        &self,
        algorithm: SignatureAlgorithm,
        signature: &[u8],
        certificates: &[&[u8]],
    ) -> Vec<u8> {
        let basic = signed(&self.bytes, algorithm, signature, |w| {
            if !certificates.is_empty() {
                w.nested(tag::constructed(0), |w| {
                    w.sequence(|w| certificates.iter().for_each(|der| w.raw(der)));
                });
            }
        });
        Writer::collect(|w| {
            w.sequence(|w| {
                w.small(tag::ENUMERATED, 0);
                w.nested(tag::constructed(0), |w| {
                    w.sequence(|w| {
                        w.known_oid(oids::OCSP_BASIC);
                        w.value(tag::OCTET_STRING, &basic);
                    });
                });
            });
        })
    }
}

impl Fields {
    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        // Version 1 is the default, so it is left out.
        if r.next_is(tag::constructed(0)) {
            return Err(Rule::Version.at(r, "version"));
        }
        let responder = ResponderId::parse(r)?;
        let produced_at = r.generalized_time("producedAt")?;
        let start = *r;
        let responses =
            r.list(tag::SEQUENCE, "responses", ResponseData::MAX_RESPONSES, SingleResponse::parse)?;
        if is_one_twice(responses.iter().map(|response| &response.cert_id)) {
            return Err(Rule::ItemDuplicate.at(&start, "responses"));
        }
        let extensions =
            r.optional(tag::constructed(1), "responseExtensions", ResponseExtension::parse_list)?;
        Ok(Self { responder, produced_at, responses, extensions: extensions.unwrap_or_default() })
    }

    fn encode(&self) -> Vec<u8> {
        Writer::collect(|w| {
            w.sequence(|w| {
                self.responder.write(w);
                w.generalized_time(self.produced_at);
                w.sequence(|w| self.responses.iter().for_each(|response| response.write(w)));
                if !self.extensions.is_empty() {
                    w.nested(tag::constructed(1), |w| {
                        w.sequence(|w| self.extensions.iter().for_each(|extension| extension.write(w)));
                    });
                }
            });
        })
    }
}

/// Whether two of a short list may be about one certificate.
fn is_one_twice<'a>(mut rest: impl Iterator<Item = &'a CertId> + Clone) -> bool {
    while let Some(one) = rest.next() {
        if rest.clone().any(|other| one.may_be(other)) {
            return true;
        }
    }
    false
}

impl ResponderId {
    const BY_NAME: u8 = tag::constructed(1);
    const BY_KEY: u8 = tag::constructed(2);

    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let field = "responderID";
        if r.next_is(Self::BY_KEY) {
            return r.nested(Self::BY_KEY, field, |r| {
                let value = r.value(tag::OCTET_STRING, field)?;
                let hash = value.rest().try_into().map_err(|_| Rule::ResponderKeyHash.at(&value, field))?;
                Ok(Self::KeyHash(hash))
            });
        }
        let start = *r;
        let name = r.nested(Self::BY_NAME, field, |r| Name::parse(r, field))?;
        if name.is_empty() { Err(Rule::IssuerEmpty.at(&start, field)) } else { Ok(Self::Name(name)) }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Name(name) => w.nested(Self::BY_NAME, |w| name.write(w)),
            Self::KeyHash(hash) => w.nested(Self::BY_KEY, |w| w.value(tag::OCTET_STRING, hash)),
        }
    }
}

#[cfg(test)]
mod tests;
