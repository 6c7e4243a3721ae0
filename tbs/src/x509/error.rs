//! Which rule of X.509 some bytes broke, and where. One error for certificates, CRLs and OCSP: they share their parts.

use crate::der::{DerError, DerRule, Oid, Reader};

/// Why bytes are not the one canonical encoding of a TBSCertificate, a TBSCertList or an OCSP ResponseData.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field} at byte {offset}: {rule}")]
pub struct ParseError {
    /// The rule.
    pub rule: Rule,
    /// The field that was being read, by its name in the standard.
    pub field: &'static str,
    /// Bytes from the start of the TBS.
    pub offset: usize,
}

/// A rule for X.509 objects, from RFC 5280, RFC 6960 or stricter.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// Not DER, or not the element that must come.
    #[error("{0}")]
    Der(DerRule),
    /// Above the size that this crate takes.
    #[error("longer than {max} bytes")]
    TooLong {
        /// The largest size in bytes.
        max: usize,
    },
    /// What was read encodes to other bytes. A defence in depth: a rule before this one should have caught it.
    #[error("not the canonical encoding of what it says")]
    NotCanonical,
    /// RFC 5280 §4.1.2.1 and §5.1.2.1: certificates v3, CRLs v2.
    #[error("not the one version that is signed here")]
    Version,
    /// RFC 5280 §4.1.2.2: positive, at most 20 octets.
    #[error("a serial number that is zero or longer than 20 octets")]
    SerialNumber,
    /// An unknown or broken signature algorithm (SHA-1, MD5, DSA), or parameters other than the standard's.
    #[error("an unknown or broken signature algorithm, or parameters that do not fit it")]
    SignatureAlgorithm,
    /// RFC 5280 §4.1.1.2: both algorithms of a certificate are the same.
    #[error("another signature algorithm than in the TBS")]
    AlgorithmDiffers,
    /// Not a public key that this crate can name.
    #[error("{0}")]
    PublicKey(crate::key::KeyError),
    /// RFC 5280 §4.1.2.4.
    #[error("an empty issuer")]
    IssuerEmpty,
    /// RFC 5280 §4.1.2.6: an empty subject needs a critical subjectAltName.
    #[error("an empty subject without a critical subjectAltName")]
    SubjectEmpty,
    /// notAfter before notBefore, or nextUpdate not after thisUpdate.
    #[error("ends before it begins")]
    TimeOrder,
    /// RFC 5280 §4.1.2.8: must not be used.
    #[error("a unique identifier")]
    UniqueId,
    /// An attribute value outside the string type or length that Appendix A gives it.
    #[error("an attribute value of a type or length that RFC 5280 does not give it")]
    AttributeValue,
    /// X.501 §9.3: the types in one RDN are distinct.
    #[error("two attributes of one type in one relative name")]
    AttributeDuplicate,
    /// RFC 5280 §4.2: one instance of each.
    #[error("a second extension {0}")]
    ExtensionDuplicate(Oid),
    /// RFC 5280 §4.2: a critical extension must be understood.
    #[error("extension {0} is critical and unknown")]
    UnknownCriticalExtension(Oid),
    /// The standard fixes whether it is critical.
    #[error("extension {0} must be critical where it is not, or must not be where it is")]
    ExtensionCriticality(Oid),
    /// An extension that the object must have.
    #[error("a required extension is missing")]
    ExtensionMissing,
    /// RFC 2986 §4.1: extensionRequest alone, once.
    #[error("an attribute other than one extensionRequest")]
    RequestAttribute,
    /// RFC 5280 §3.2: a root is a CA, and its own issuer.
    #[error("no root: the subject is not the issuer, or basicConstraints does not say that it is a CA's")]
    NoRoot,
    /// RFC 5280 §4.2.1.9: a path length needs cA and keyCertSign.
    #[error("a path length without cA and keyCertSign")]
    PathLength,
    /// RFC 5280 §4.2.1.3: keyCertSign needs cA.
    #[error("keyCertSign without cA")]
    CertSignWithoutCa,
    /// RFC 5280 §4.2.1.10: only in CA certificates.
    #[error("name constraints in a certificate that is not a CA's")]
    NameConstraintsWithoutCa,
    /// RFC 5280 §4.2.1.10: not both lists empty, and no minimum or maximum.
    #[error("name constraints without a subtree")]
    NameConstraintsEmpty,
    /// Twice the same purpose, policy, feature or access location.
    #[error("an item that is in the list already")]
    ItemDuplicate,
    /// A kind of GeneralName that is not signed here (x400Address, ediPartyName, registeredID, other otherNames).
    #[error("a kind of general name that is not signed here")]
    GeneralNameKind,
    /// Letters, digits and hyphens in labels of 1 to 63; a wildcard only as the whole first label.
    #[error("not a DNS name")]
    DnsName,
    /// RFC 5280 §4.2.1.6: `local@domain`.
    #[error("not a mailbox")]
    Mailbox,
    /// RFC 3986: a scheme, and only characters of a URI.
    #[error("not an absolute URI")]
    Uri,
    /// 4 or 16 octets, and no IPv4 within IPv6; in constraints 8 or 32, a prefix mask and no host bits.
    #[error("not an IP address, or not a prefix")]
    IpAddress,
    /// `S-1-…` ([MS-DTYP] §2.4.2.1).
    #[error("not a security identifier")]
    SecurityIdentifier,
    /// RFC 5280 §4.2.1.1: one key identifier of 1 to 64 octets.
    #[error("not a key identifier of 1 to 64 octets")]
    KeyIdentifier,
    /// Only CPS pointers and notices with an explicit UTF8String.
    #[error("a policy qualifier other than a CPS pointer or an explicit notice")]
    PolicyQualifier,
    /// RFC 5280 §5.2.3: 0 or above, at most 20 octets.
    #[error("a CRL number longer than 20 octets")]
    CrlNumber,
    /// RFC 5280 §5.3.1: 0 is left out, 7 does not exist, 8 is for delta CRLs.
    #[error("a reason code that no entry may have")]
    ReasonCode,
    /// RFC 5280 §5.2.5: at most one of the onlyContains flags; no indirect CRL, no reasons.
    #[error("an issuing distribution point for indirect, partial or contradictory lists")]
    IssuingDistributionPoint,
    /// Two entries for one certificate.
    #[error("a serial number that is in the list already")]
    EntryDuplicate,
    /// RFC 6960 §4.2.1: the SHA-1 of a key.
    #[error("a responder key hash that is not 20 octets")]
    ResponderKeyHash,
    /// Not SHA-1 or SHA-256, or hashes of another length.
    #[error("a CertID hash other than SHA-1 or SHA-256, or of another length")]
    CertIdHash,
    /// RFC 9654 §2.1: 1 to 128 octets.
    #[error("a nonce that is not 1 to 128 octets")]
    Nonce,
}

impl Rule {
    /// The rule's name in ledger entries and test vectors: `EXTENSION_DUPLICATE`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Der(rule) => rule.name(),
            Self::TooLong { .. } => "TBS_TOO_LONG",
            Self::NotCanonical => "NOT_CANONICAL",
            Self::Version => "VERSION",
            Self::SerialNumber => "SERIAL_NUMBER",
            Self::SignatureAlgorithm => "SIGNATURE_ALGORITHM",
            Self::AlgorithmDiffers => "ALGORITHM_DIFFERS",
            Self::PublicKey(_) => "PUBLIC_KEY",
            Self::IssuerEmpty => "ISSUER_EMPTY",
            Self::SubjectEmpty => "SUBJECT_EMPTY",
            Self::TimeOrder => "TIME_ORDER",
            Self::UniqueId => "UNIQUE_ID",
            Self::AttributeValue => "ATTRIBUTE_VALUE",
            Self::AttributeDuplicate => "ATTRIBUTE_DUPLICATE",
            Self::ExtensionDuplicate(_) => "EXTENSION_DUPLICATE",
            Self::UnknownCriticalExtension(_) => "EXTENSION_UNKNOWN_CRITICAL",
            Self::ExtensionCriticality(_) => "EXTENSION_CRITICALITY",
            Self::ExtensionMissing => "EXTENSION_MISSING",
            Self::RequestAttribute => "REQUEST_ATTRIBUTE",
            Self::NoRoot => "NO_ROOT",
            Self::PathLength => "PATH_LENGTH",
            Self::CertSignWithoutCa => "CERT_SIGN_WITHOUT_CA",
            Self::NameConstraintsWithoutCa => "NAME_CONSTRAINTS_WITHOUT_CA",
            Self::NameConstraintsEmpty => "NAME_CONSTRAINTS_EMPTY",
            Self::ItemDuplicate => "ITEM_DUPLICATE",
            Self::GeneralNameKind => "GENERAL_NAME_KIND",
            Self::DnsName => "DNS_NAME",
            Self::Mailbox => "MAILBOX",
            Self::Uri => "URI",
            Self::IpAddress => "IP_ADDRESS",
            Self::SecurityIdentifier => "SECURITY_IDENTIFIER",
            Self::KeyIdentifier => "KEY_IDENTIFIER",
            Self::PolicyQualifier => "POLICY_QUALIFIER",
            Self::CrlNumber => "CRL_NUMBER",
            Self::ReasonCode => "REASON_CODE",
            Self::IssuingDistributionPoint => "ISSUING_DISTRIBUTION_POINT",
            Self::EntryDuplicate => "ENTRY_DUPLICATE",
            Self::ResponderKeyHash => "RESPONDER_KEY_HASH",
            Self::CertIdHash => "CERT_ID_HASH",
            Self::Nonce => "NONCE",
        }
    }

    /// This rule broken at `reader`.
    pub(crate) const fn at(self, reader: &Reader<'_>, field: &'static str) -> ParseError {
        ParseError { rule: self, field, offset: reader.offset() }
    }
}

impl ParseError {
    /// The rule's name: `EXTENSION_DUPLICATE`.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        self.rule.name()
    }
}

impl From<DerError> for ParseError {
    fn from(error: DerError) -> Self {
        Self { rule: Rule::Der(error.rule), field: error.field, offset: error.offset }
    }
}
