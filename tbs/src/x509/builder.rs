//! Builds a TBSCertificate for a front-end that has somebody else sign it.

use super::{
    BasicConstraints, Extension, ExtensionValue, Fields, GeneralName, KeyId, KeyUsage, Name, ParseError,
    SerialNumber, SignatureAlgorithm, TbsCertificate, Validity,
};
use crate::der::Oid;
use crate::key::PublicKey;

/// Fields of a TBSCertificate in the making. Holds no private key.
///
/// Extensions come out in the order in which they are added.
#[derive(Clone, Debug)]
pub struct CertificateBuilder {
    serial: Option<SerialNumber>,
    algorithm: SignatureAlgorithm,
    issuer: Name,
    validity: Validity,
    subject: Name,
    public_key: PublicKey,
    extensions: Vec<Extension>,
}

/// Why a builder's fields make no TBS.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The parser refuses what was built.
    #[error("these fields break a rule: {0}")]
    Refused(#[from] ParseError),
    /// No random serial number or nonce.
    #[error("the operating system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

impl CertificateBuilder {
    /// For `public_key` under `issuer`, which signs with `algorithm`; an empty subject and no extensions.
    #[must_use]
    pub fn new(
        algorithm: SignatureAlgorithm,
        issuer: Name,
        validity: Validity,
        public_key: PublicKey,
    ) -> Self {
        let subject = Name::empty();
        Self { serial: None, algorithm, issuer, validity, subject, public_key, extensions: Vec::new() }
    }

    /// Sets the serial number; otherwise it is random.
    #[must_use]
    pub fn serial(mut self, serial: SerialNumber) -> Self {
        self.serial = Some(serial);
        self
    }

    /// Sets the subject.
    #[must_use]
    pub fn subject(mut self, subject: Name) -> Self {
        self.subject = subject;
        self
    }

    /// Adds any extension.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Adds basicConstraints, critical.
    #[must_use]
    pub fn basic_constraints(self, constraints: BasicConstraints) -> Self {
        self.extension(Extension::critical(ExtensionValue::BasicConstraints(constraints)))
    }

    /// Adds keyUsage, critical.
    #[must_use]
    pub fn key_usage(self, usage: KeyUsage) -> Self {
        self.extension(Extension::critical(ExtensionValue::KeyUsage(usage)))
    }

    /// Adds extKeyUsage, not critical.
    #[must_use]
    pub fn ext_key_usage(self, purposes: Vec<Oid>) -> Self {
        self.extension(Extension::non_critical(ExtensionValue::ExtKeyUsage(purposes)))
    }

    /// Adds subjectAltName: critical if the subject is empty (RFC 5280 §4.2.1.6), so set the subject first.
    #[must_use]
    pub fn subject_alt_names(self, names: Vec<GeneralName>) -> Self {
        let critical = self.subject.is_empty();
        self.extension(Extension { critical, value: ExtensionValue::SubjectAltName(names) })
    }

    /// Adds authorityKeyIdentifier.
    #[must_use]
    pub fn authority_key_id(self, id: KeyId) -> Self {
        self.extension(Extension::non_critical(ExtensionValue::AuthorityKeyId(id)))
    }

    /// Adds subjectKeyIdentifier.
    #[must_use]
    pub fn subject_key_id(self, id: KeyId) -> Self {
        self.extension(Extension::non_critical(ExtensionValue::SubjectKeyId(id)))
    }

    /// Encodes the fields and has the strict parser read them.
    ///
    /// # Errors
    /// [`BuildError::Refused`] if they break a rule, [`BuildError::Random`] if there is no random serial number.
    pub fn build(self) -> Result<TbsCertificate, BuildError> {
        let serial = self.serial.map_or_else(SerialNumber::random, Ok)?;
        let fields = Fields {
            serial,
            algorithm: self.algorithm,
            issuer: self.issuer,
            validity: self.validity,
            subject: self.subject,
            public_key: self.public_key,
            extensions: self.extensions,
        };
        Ok(TbsCertificate::parse(&fields.encode())?)
    }
}
