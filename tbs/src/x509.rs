//! X.509 certificates (RFC 5280 §4): the TBSCertificate, its builder, and the finished certificate.
//!
//! In: DER that a caller wants signed. Out: [`TbsCertificate`], which keeps those bytes and says what they say.
//! Promised: what parses encodes to the same bytes; each rule of [`Rule`] holds; a verifier has no second way to read
//! it. Not done here: policy, whether the issuer is the one that signs, whether names may be certified.

mod algorithm;
mod builder;
mod certificate;
mod error;
pub(crate) mod extension;
mod general_name;
mod name;
mod root;
mod serial;

pub use algorithm::{AlgorithmMismatch, PssHash, SignatureAlgorithm};
pub use builder::{BuildError, CertificateBuilder};
pub use certificate::Certificate;
pub use error::{ParseError, Rule};
pub use extension::{
    AccessDescription, BasicConstraints, CertificatePolicy, DistributionPoint, Extension, ExtensionValue,
    IpPrefix, KeyId, KeyUsage, NameConstraints, PolicyQualifier, Subtree,
};
pub use general_name::GeneralName;
pub use name::{Attribute, Name};
pub use root::RootCertificate;
pub use serial::SerialNumber;

pub(crate) use algorithm::{same, signed};
pub(crate) use serial::Digits;

use crate::der::{Oid, Reader, Time, Writer, tag};
use crate::key::PublicKey;

/// A TBSCertificate of version 3.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TbsCertificate {
    bytes: Vec<u8>,
    fields: Fields,
}

/// What the bytes say.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Fields {
    serial: SerialNumber,
    algorithm: SignatureAlgorithm,
    issuer: Name,
    validity: Validity,
    subject: Name,
    public_key: PublicKey,
    extensions: Vec<Extension>,
}

/// When a certificate is valid: both seconds included.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Validity {
    /// The first second.
    pub not_before: Time,
    /// The last second, at or after the first. [`Time::MAX`] means no expiry: policy refuses that.
    pub not_after: Time,
}

impl TbsCertificate {
    /// The longest TBS that is taken, in bytes.
    pub const MAX_LEN: usize = 32 * 1024;

    /// Parses a DER TBSCertificate.
    ///
    /// # Errors
    /// [`ParseError`] with the first [`Rule`] that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > Self::MAX_LEN {
            return Err(Rule::TooLong { max: Self::MAX_LEN }.at(&reader, "tbsCertificate"));
        }
        let fields = reader.nested(tag::SEQUENCE, "tbsCertificate", Fields::parse)?;
        reader.finish("tbsCertificate")?;
        fields.check()?;
        if fields.encode() != bytes {
            return Err(Rule::NotCanonical.at(&Reader::new(bytes), "tbsCertificate"));
        }
        Ok(Self { bytes: bytes.to_vec(), fields })
    }

    /// The exact bytes that were parsed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The serial number.
    #[must_use]
    pub fn serial(&self) -> &SerialNumber {
        &self.fields.serial
    }

    /// How the issuer is to sign.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.fields.algorithm
    }

    /// The issuer's name, never empty.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.fields.issuer
    }

    /// When it is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.fields.validity
    }

    /// The subject's name, empty only beside a critical subjectAltName.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.fields.subject
    }

    /// The subject's key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.fields.public_key
    }

    /// Every extension, in order.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.fields.extensions
    }

    /// Whether it is a CA's certificate, and for how long a path. `None` if basicConstraints is absent: not a CA's.
    #[must_use]
    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.fields.basic_constraints()
    }

    /// The key usage, if it is limited.
    #[must_use]
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.fields.key_usage()
    }

    /// The extended key usage; empty if it is not limited.
    #[must_use]
    pub fn ext_key_usage(&self) -> &[Oid] {
        let found = self.extensions().iter().find_map(|extension| match &extension.value {
            ExtensionValue::ExtKeyUsage(purposes) => Some(purposes.as_slice()),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// The subject's alternative names.
    #[must_use]
    pub fn subject_alt_names(&self) -> &[GeneralName] {
        let found = self.extensions().iter().find_map(|extension| match &extension.value {
            ExtensionValue::SubjectAltName(names) => Some(names.as_slice()),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// The identifier of the key that signs.
    #[must_use]
    pub fn authority_key_id(&self) -> Option<&KeyId> {
        self.extensions().iter().find_map(|extension| match &extension.value {
            ExtensionValue::AuthorityKeyId(id) => Some(id),
            _ => None,
        })
    }

    /// The identifier of the subject's key.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<&KeyId> {
        self.extensions().iter().find_map(|extension| match &extension.value {
            ExtensionValue::SubjectKeyId(id) => Some(id),
            _ => None,
        })
    }

    /// Extensions that are not known here: none is critical.
    pub fn unknown_extensions(&self) -> impl Iterator<Item = (&Oid, &[u8])> {
        self.extensions().iter().filter_map(|extension| match &extension.value {
            ExtensionValue::Unknown { oid, value } => Some((oid, value.as_slice())),
            _ => None,
        })
    }

    /// The finished Certificate. `signature` is in X.509's encoding: DER for ECDSA. It is not verified here.
    ///
    /// # Errors
    /// [`AlgorithmMismatch`] unless the TBS says `algorithm`.
    pub fn certificate(
        &self,
        algorithm: SignatureAlgorithm,
        signature: &[u8],
    ) -> Result<Vec<u8>, AlgorithmMismatch> {
        same(self.fields.algorithm, algorithm)?;
        Ok(signed(&self.bytes, algorithm, signature, |_| {}))
    }
}

impl Fields {
    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let version = *r;
        let number = r.optional(tag::constructed(0), "version", |r| r.small(tag::INTEGER, "version", 255))?;
        if number != Some(2) {
            return Err(Rule::Version.at(&version, "version"));
        }
        let serial = SerialNumber::parse(r, "serialNumber")?;
        let algorithm = SignatureAlgorithm::parse(r, "signature")?;
        let issuer = Name::parse(r, "issuer")?;
        let validity = Validity::parse(r)?;
        let subject = Name::parse(r, "subject")?;
        let spki = r.element(tag::SEQUENCE, "subjectPublicKeyInfo")?;
        let public_key = PublicKey::from_spki_der(spki.rest())
            .map_err(|error| Rule::PublicKey(error).at(&spki, "subjectPublicKeyInfo"))?;
        if let Some(&(0x81 | 0x82 | 0xa1 | 0xa2)) = r.rest().first() {
            return Err(Rule::UniqueId.at(r, "uniqueID"));
        }
        let extensions = r.optional(tag::constructed(3), "extensions", |r| {
            extension::parse_list(r, "extensions")?.iter().map(Extension::parse).collect()
        })?;
        let extensions = extensions.unwrap_or_default();
        Ok(Self { serial, algorithm, issuer, validity, subject, public_key, extensions })
    }

    /// The rules that are about more than one field: the place that they name is the TBS.
    fn check(&self) -> Result<(), ParseError> {
        let fail = |rule: Rule, field| Err(ParseError { rule, field, offset: 0 });
        if self.issuer.is_empty() {
            return fail(Rule::IssuerEmpty, "issuer");
        }
        let is_san = |extension: &Extension| matches!(extension.value, ExtensionValue::SubjectAltName(_));
        if self.subject.is_empty()
            && !self.extensions.iter().any(|extension| extension.critical && is_san(extension))
        {
            return fail(Rule::SubjectEmpty, "subject");
        }
        let signs_certificates =
            self.key_usage().is_some_and(|usage| usage.contains(KeyUsage::KEY_CERT_SIGN));
        match self.basic_constraints() {
            Some(BasicConstraints::Ca { path_len: Some(_) }) if !signs_certificates => {
                return fail(Rule::PathLength, "basicConstraints");
            }
            Some(BasicConstraints::Ca { .. }) => {}
            Some(BasicConstraints::Leaf) | None if signs_certificates => {
                return fail(Rule::CertSignWithoutCa, "keyUsage");
            }
            Some(BasicConstraints::Leaf) | None => {
                if self
                    .extensions
                    .iter()
                    .any(|extension| matches!(extension.value, ExtensionValue::NameConstraints(_)))
                {
                    return fail(Rule::NameConstraintsWithoutCa, "nameConstraints");
                }
            }
        }
        Ok(())
    }

    fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.extensions.iter().find_map(|extension| match extension.value {
            ExtensionValue::BasicConstraints(constraints) => Some(constraints),
            _ => None,
        })
    }

    fn key_usage(&self) -> Option<KeyUsage> {
        self.extensions.iter().find_map(|extension| match extension.value {
            ExtensionValue::KeyUsage(usage) => Some(usage),
            _ => None,
        })
    }

    fn encode(&self) -> Vec<u8> {
        Writer::collect(|w| {
            w.sequence(|w| {
                w.nested(tag::constructed(0), |w| w.small(tag::INTEGER, 2));
                self.serial.write(w);
                w.raw(&self.algorithm.to_der());
                self.issuer.write(w);
                w.sequence(|w| {
                    w.time(self.validity.not_before);
                    w.time(self.validity.not_after);
                });
                self.subject.write(w);
                w.raw(&self.public_key.to_spki_der());
                if !self.extensions.is_empty() {
                    w.nested(tag::constructed(3), |w| {
                        w.sequence(|w| self.extensions.iter().for_each(|extension| extension.write(w)));
                    });
                }
            });
        })
    }
}

impl Validity {
    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let start = *r;
        r.nested(tag::SEQUENCE, "validity", |r| {
            let not_before = r.time("notBefore")?;
            let not_after = r.time("notAfter")?;
            if not_after < not_before {
                return Err(Rule::TimeOrder.at(&start, "validity"));
            }
            Ok(Self { not_before, not_after })
        })
    }
}

#[cfg(test)]
mod tests;
