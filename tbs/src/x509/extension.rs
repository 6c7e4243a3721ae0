//! Certificate extensions (RFC 5280 §4.2): the list, and what each says.
//!
//! In: the extensions field. Out: typed values. An extension that is not known here keeps its bytes if it is not
//! critical, for policy to decide; a critical one is refused. Nothing may follow a value inside its OCTET STRING.

mod access;
mod constraints;
mod usage;

pub use access::{AccessDescription, CertificatePolicy, DistributionPoint, PolicyQualifier};
pub use constraints::{BasicConstraints, IpPrefix, NameConstraints, Subtree};
pub use usage::KeyUsage;

use std::fmt;

use super::general_name::{other_name, write_other_name};
use super::name::has_duplicates;
use super::{GeneralName, ParseError, Rule};
use crate::der::{DerError, Oid, Reader, Writer, oids, tag};

/// The most extensions in one list, and the most items in a list inside one.
pub(crate) const MAX_EXTENSIONS: usize = 32;
const MAX_ITEMS: usize = 64;

/// A certificate extension.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Extension {
    /// Whether a verifier that does not know it must reject the certificate.
    pub critical: bool,
    /// What it says.
    pub value: ExtensionValue,
}

/// What a certificate extension says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ExtensionValue {
    /// basicConstraints (§4.2.1.9).
    BasicConstraints(BasicConstraints),
    /// keyUsage (§4.2.1.3).
    KeyUsage(KeyUsage),
    /// extKeyUsage (§4.2.1.12): at least one purpose, each once.
    ExtKeyUsage(Vec<Oid>),
    /// subjectAltName (§4.2.1.6): at least one.
    SubjectAltName(Vec<GeneralName>),
    /// authorityKeyIdentifier (§4.2.1.1) with a key identifier alone.
    AuthorityKeyId(KeyId),
    /// subjectKeyIdentifier (§4.2.1.2).
    SubjectKeyId(KeyId),
    /// cRLDistributionPoints (§4.2.1.13).
    CrlDistributionPoints(Vec<DistributionPoint>),
    /// authorityInfoAccess (§4.2.2.1).
    AuthorityInfoAccess(Vec<AccessDescription>),
    /// certificatePolicies (§4.2.1.4): each once.
    CertificatePolicies(Vec<CertificatePolicy>),
    /// nameConstraints (§4.2.1.10).
    NameConstraints(NameConstraints),
    /// The account's security identifier, `S-1-5-21-…` ([MS-WCCE] §2.2.2.7.7.4).
    SecurityIdentifier(String),
    /// id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1).
    OcspNoCheck,
    /// TLS feature (RFC 7633): ascending is not asked for, but each once.
    TlsFeature(Vec<u16>),
    /// Not known here, and not critical.
    Unknown {
        /// Its identifier.
        oid: Oid,
        /// The contents of its OCTET STRING, unread.
        value: Vec<u8>,
    },
}

/// A key identifier of 1 to 64 octets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct KeyId(Vec<u8>);

impl KeyId {
    /// `None` unless it has 1 to 64 octets.
    #[must_use]
    pub fn new(octets: &[u8]) -> Option<Self> {
        (1..=64).contains(&octets.len()).then(|| Self(octets.to_vec()))
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads it under `tag`, OCTET STRING or an implicit tag of one.
    fn parse(r: &mut Reader<'_>, tag: u8, field: &'static str) -> Result<Self, ParseError> {
        let value = r.value(tag, field)?;
        Self::new(value.rest()).ok_or_else(|| Rule::KeyIdentifier.at(&value, field))
    }

    /// The value of authorityKeyIdentifier. Issuer and serial number are refused: they name a certificate, not a key,
    /// and go stale when the issuer's certificate is renewed.
    pub(crate) fn parse_authority(r: &mut Reader<'_>, field: &'static str) -> Result<Self, ParseError> {
        r.nested(tag::SEQUENCE, field, |r| Self::parse(r, tag::primitive(0), field))
    }

    pub(crate) fn write_authority(&self, w: &mut Writer) {
        w.sequence(|w| w.value(tag::primitive(0), &self.0));
    }
}

impl fmt::Display for KeyId {
    /// Lowercase hexadecimal, two digits an octet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// One item of a list of extensions, its value unread.
pub(crate) struct RawExtension<'a> {
    pub(crate) oid: Oid,
    pub(crate) critical: bool,
    pub(crate) value: Reader<'a>,
}

/// Reads a list of extensions: at least one, each kind once.
pub(crate) fn parse_list<'a>(
    r: &mut Reader<'a>,
    field: &'static str,
) -> Result<Vec<RawExtension<'a>>, ParseError> {
    let mut seen: Vec<Oid> = Vec::new();
    r.list(tag::SEQUENCE, field, MAX_EXTENSIONS, |r| {
        let start = *r;
        let extension = r.nested(tag::SEQUENCE, field, |r| {
            let oid = r.oid(field)?;
            let critical = r.flag(tag::BOOLEAN, field)?;
            Ok::<_, DerError>(RawExtension { oid, critical, value: r.value(tag::OCTET_STRING, field)? })
        })?;
        if seen.contains(&extension.oid) {
            return Err(Rule::ExtensionDuplicate(extension.oid).at(&start, field));
        }
        seen.push(extension.oid.clone());
        Ok(extension)
    })
}

/// Writes one item of a list of extensions.
pub(crate) fn write_one(w: &mut Writer, oid: &[u8], critical: bool, value: impl FnOnce(&mut Writer)) {
    w.sequence(|w| {
        w.known_oid(oid);
        if critical {
            w.set_flag(tag::BOOLEAN);
        }
        w.nested(tag::OCTET_STRING, value);
    });
}

impl RawExtension<'_> {
    /// Reads the value with `parse`, which must use it up.
    pub(crate) fn read<T>(
        &self,
        field: &'static str,
        parse: impl FnOnce(&mut Reader<'_>) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        let mut value = self.value;
        let parsed = parse(&mut value)?;
        value.finish(field)?;
        Ok(parsed)
    }

    /// Refuses an extension whose standard fixes the other criticality.
    pub(crate) fn must_be(&self, critical: bool, field: &'static str) -> Result<(), ParseError> {
        if self.critical == critical {
            return Ok(());
        }
        Err(Rule::ExtensionCriticality(self.oid.clone()).at(&self.value, field))
    }

    /// Keeps an extension that is not known, unless it is critical.
    pub(crate) fn unknown(&self, field: &'static str) -> Result<(Oid, Vec<u8>), ParseError> {
        if self.critical {
            return Err(Rule::UnknownCriticalExtension(self.oid.clone()).at(&self.value, field));
        }
        Ok((self.oid.clone(), self.value.rest().to_vec()))
    }
}

impl Extension {
    /// A critical extension.
    #[must_use]
    pub const fn critical(value: ExtensionValue) -> Self {
        Self { critical: true, value }
    }

    /// An extension that verifiers may skip.
    #[must_use]
    pub const fn non_critical(value: ExtensionValue) -> Self {
        Self { critical: false, value }
    }

    /// The identifier's contents octets.
    #[must_use]
    pub fn oid(&self) -> &[u8] {
        match &self.value {
            ExtensionValue::BasicConstraints(_) => oids::BASIC_CONSTRAINTS,
            ExtensionValue::KeyUsage(_) => oids::KEY_USAGE,
            ExtensionValue::ExtKeyUsage(_) => oids::EXT_KEY_USAGE,
            ExtensionValue::SubjectAltName(_) => oids::SUBJECT_ALT_NAME,
            ExtensionValue::AuthorityKeyId(_) => oids::AUTHORITY_KEY_ID,
            ExtensionValue::SubjectKeyId(_) => oids::SUBJECT_KEY_ID,
            ExtensionValue::CrlDistributionPoints(_) => oids::CRL_DISTRIBUTION_POINTS,
            ExtensionValue::AuthorityInfoAccess(_) => oids::AUTHORITY_INFO_ACCESS,
            ExtensionValue::CertificatePolicies(_) => oids::CERTIFICATE_POLICIES,
            ExtensionValue::NameConstraints(_) => oids::NAME_CONSTRAINTS,
            ExtensionValue::SecurityIdentifier(_) => oids::NTDS_CA_SECURITY,
            ExtensionValue::OcspNoCheck => oids::OCSP_NO_CHECK,
            ExtensionValue::TlsFeature(_) => oids::TLS_FEATURE,
            ExtensionValue::Unknown { oid, .. } => oid.as_bytes(),
        }
    }

    pub(crate) fn parse(raw: &RawExtension<'_>) -> Result<Self, ParseError> {
        use ExtensionValue as Value;
        let value = match raw.oid.as_bytes() {
            oids::BASIC_CONSTRAINTS => {
                let constraints = raw.read("basicConstraints", BasicConstraints::parse)?;
                if constraints != BasicConstraints::Leaf {
                    raw.must_be(true, "basicConstraints")?;
                }
                Value::BasicConstraints(constraints)
            }
            oids::KEY_USAGE => Value::KeyUsage(raw.read("keyUsage", KeyUsage::parse)?),
            oids::EXT_KEY_USAGE => Value::ExtKeyUsage(raw.read("extKeyUsage", parse_purposes)?),
            oids::SUBJECT_ALT_NAME => {
                Value::SubjectAltName(raw.read("subjectAltName", |r| {
                    GeneralName::parse_list(r, tag::SEQUENCE, "subjectAltName")
                })?)
            }
            oids::AUTHORITY_KEY_ID => {
                raw.must_be(false, "authorityKeyIdentifier")?;
                let field = "authorityKeyIdentifier";
                Value::AuthorityKeyId(raw.read(field, |r| KeyId::parse_authority(r, field))?)
            }
            oids::SUBJECT_KEY_ID => {
                raw.must_be(false, "subjectKeyIdentifier")?;
                let field = "subjectKeyIdentifier";
                Value::SubjectKeyId(raw.read(field, |r| KeyId::parse(r, tag::OCTET_STRING, field))?)
            }
            oids::CRL_DISTRIBUTION_POINTS => Value::CrlDistributionPoints(
                raw.read("cRLDistributionPoints", DistributionPoint::parse_list)?,
            ),
            oids::AUTHORITY_INFO_ACCESS => {
                raw.must_be(false, "authorityInfoAccess")?;
                Value::AuthorityInfoAccess(raw.read("authorityInfoAccess", AccessDescription::parse_list)?)
            }
            oids::CERTIFICATE_POLICIES => {
                Value::CertificatePolicies(raw.read("certificatePolicies", CertificatePolicy::parse_list)?)
            }
            oids::NAME_CONSTRAINTS => {
                raw.must_be(true, "nameConstraints")?;
                Value::NameConstraints(raw.read("nameConstraints", NameConstraints::parse)?)
            }
            oids::NTDS_CA_SECURITY => {
                Value::SecurityIdentifier(raw.read("securityIdentifier", parse_security_identifier)?)
            }
            oids::OCSP_NO_CHECK => {
                raw.read("ocspNoCheck", |r| Ok(r.null(tag::NULL, "ocspNoCheck")?))?;
                Value::OcspNoCheck
            }
            oids::TLS_FEATURE => Value::TlsFeature(raw.read("tlsFeature", parse_tls_feature)?),
            _ => {
                let (oid, value) = raw.unknown("extensions")?;
                Value::Unknown { oid, value }
            }
        };
        Ok(Self { critical: raw.critical, value })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        write_one(w, self.oid(), self.critical, |w| match &self.value {
            ExtensionValue::BasicConstraints(constraints) => constraints.write(w),
            ExtensionValue::KeyUsage(usage) => usage.write(w),
            ExtensionValue::ExtKeyUsage(purposes) => {
                w.sequence(|w| purposes.iter().for_each(|purpose| w.oid(purpose)));
            }
            ExtensionValue::SubjectAltName(names) => GeneralName::write_list(names, tag::SEQUENCE, w),
            ExtensionValue::AuthorityKeyId(id) => id.write_authority(w),
            ExtensionValue::SubjectKeyId(id) => w.value(tag::OCTET_STRING, id.as_bytes()),
            ExtensionValue::CrlDistributionPoints(points) => DistributionPoint::write_list(points, w),
            ExtensionValue::AuthorityInfoAccess(items) => AccessDescription::write_list(items, w),
            ExtensionValue::CertificatePolicies(policies) => CertificatePolicy::write_list(policies, w),
            ExtensionValue::NameConstraints(constraints) => constraints.write(w),
            ExtensionValue::SecurityIdentifier(sid) => write_security_identifier(sid, w),
            ExtensionValue::OcspNoCheck => w.value(tag::NULL, &[]),
            ExtensionValue::TlsFeature(features) => {
                w.sequence(|w| features.iter().for_each(|&feature| w.small(tag::INTEGER, feature)));
            }
            ExtensionValue::Unknown { value, .. } => w.raw(value),
        });
    }
}

/// A list of items under SEQUENCE, each once.
fn parse_distinct<T: PartialEq>(
    r: &mut Reader<'_>,
    field: &'static str,
    item: impl FnMut(&mut Reader<'_>) -> Result<T, ParseError>,
) -> Result<Vec<T>, ParseError> {
    let start = *r;
    let items = r.list(tag::SEQUENCE, field, MAX_ITEMS, item)?;
    if has_duplicates(items.iter()) { Err(Rule::ItemDuplicate.at(&start, field)) } else { Ok(items) }
}

fn parse_purposes(r: &mut Reader<'_>) -> Result<Vec<Oid>, ParseError> {
    parse_distinct(r, "extKeyUsage", |r| Ok(r.oid("extKeyUsage")?))
}

fn parse_tls_feature(r: &mut Reader<'_>) -> Result<Vec<u16>, ParseError> {
    parse_distinct(r, "tlsFeature", |r| Ok(r.small(tag::INTEGER, "tlsFeature", u16::MAX)?))
}

/// GeneralNames with one otherName of type szOID_NTDS_OBJECTSID, whose value is an OCTET STRING.
fn parse_security_identifier(r: &mut Reader<'_>) -> Result<String, ParseError> {
    let field = "securityIdentifier";
    r.nested(tag::SEQUENCE, field, |r| {
        r.nested(tag::constructed(0), field, |r| {
            other_name(r, oids::NTDS_OBJECT_SID, field, |r| {
                let value = r.value(tag::OCTET_STRING, field)?;
                let sid = std::str::from_utf8(value.rest()).ok().filter(|sid| is_security_identifier(sid));
                sid.map(str::to_owned).ok_or_else(|| Rule::SecurityIdentifier.at(&value, field))
            })
        })
    })
}

fn write_security_identifier(sid: &str, w: &mut Writer) {
    w.sequence(|w| {
        w.nested(tag::constructed(0), |w| {
            write_other_name(w, oids::NTDS_OBJECT_SID, |w| w.value(tag::OCTET_STRING, sid.as_bytes()));
        });
    });
}

/// `S-1-` and 2 to 16 numbers below 2^48, without superfluous zeros ([MS-DTYP] §2.4.2.1).
fn is_security_identifier(text: &str) -> bool {
    let is_number = |digits: &str| {
        (digits == "0" || !digits.starts_with('0'))
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.parse::<u64>().is_ok_and(|number| number < 1 << 48)
    };
    text.strip_prefix("S-1-")
        .is_some_and(|rest| (2..=16).contains(&rest.split('-').count()) && rest.split('-').all(is_number))
}
