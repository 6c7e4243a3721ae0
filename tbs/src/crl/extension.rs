//! Extensions of a list (RFC 5280 §5.2).

use std::fmt;

use crate::der::{Oid, Reader, Writer, oids, tag};
use crate::x509::extension::{RawExtension, write_one};
use crate::x509::{Digits, DistributionPoint, GeneralName, KeyId, ParseError, Rule};

/// A CRL extension.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CrlExtension {
    /// Whether a verifier that does not know it must reject the list.
    pub critical: bool,
    /// What it says.
    pub value: CrlExtensionValue,
}

/// What a CRL extension says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CrlExtensionValue {
    /// authorityKeyIdentifier (§5.2.1) with a key identifier alone.
    AuthorityKeyId(KeyId),
    /// cRLNumber (§5.2.3).
    CrlNumber(CrlNumber),
    /// deltaCRLIndicator (§5.2.4): the number of the complete list.
    DeltaCrlIndicator(CrlNumber),
    /// issuingDistributionPoint (§5.2.5).
    IssuingDistributionPoint(IssuingDistributionPoint),
    /// Not known here, and not critical.
    Unknown {
        /// Its identifier.
        oid: Oid,
        /// The contents of its OCTET STRING, unread.
        value: Vec<u8>,
    },
}

/// A CRL's number: 0 or above, of at most 20 octets. They sort as numbers.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CrlNumber(Digits);

/// Which certificates a list is about, and where it is published. At least one of the two is said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuingDistributionPoint {
    /// fullName; empty if absent.
    pub full_name: Vec<GeneralName>,
    /// Which certificates.
    pub scope: Scope,
}

/// Which of an issuer's certificates a list is about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scope {
    /// All.
    All,
    /// onlyContainsUserCerts.
    UserCertificates,
    /// onlyContainsCACerts.
    CaCertificates,
}

impl CrlNumber {
    /// Zero.
    pub const ZERO: Self = Self(Digits::ZERO);

    /// From a big-endian magnitude; `None` above 20 octets of INTEGER.
    #[must_use]
    pub fn new(magnitude: &[u8]) -> Option<Self> {
        Digits::new(magnitude).map(Self)
    }

    /// The big-endian magnitude, without leading zeros: 0 is empty.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The sum; `None` above 20 octets of INTEGER.
    #[must_use]
    pub fn checked_add(self, more: u64) -> Option<Self> {
        self.0.checked_add(more).map(Self)
    }

    fn parse(r: &mut Reader<'_>, field: &'static str) -> Result<Self, ParseError> {
        let value = r.unsigned(tag::INTEGER, field)?;
        Self::new(value.rest()).ok_or_else(|| Rule::CrlNumber.at(&value, field))
    }

    fn write(self, w: &mut Writer) {
        w.unsigned(tag::INTEGER, self.as_bytes());
    }
}

impl From<u64> for CrlNumber {
    fn from(number: u64) -> Self {
        // Eight octets fit.
        Self::new(&number.to_be_bytes()).unwrap_or(Self::ZERO)
    }
}

impl fmt::Display for CrlNumber {
    /// Hexadecimal, as OpenSSL shows it: `0x10ff`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.as_bytes().is_empty() { "0x00" } else { "0x" })?;
        self.as_bytes().iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CrlNumber({self})")
    }
}

impl IssuingDistributionPoint {
    const FIELD: &'static str = "issuingDistributionPoint";
    const USER: u8 = tag::primitive(1);
    const CA: u8 = tag::primitive(2);

    /// onlySomeReasons, indirectCRL and onlyContainsAttributeCerts are refused.
    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        r.nested(tag::SEQUENCE, Self::FIELD, |r| {
            let start = *r;
            let has_name = r.next_is(tag::constructed(0));
            let full_name = has_name.then(|| DistributionPoint::parse_name(r, Self::FIELD)).transpose()?;
            let (user, ca) = (r.flag(Self::USER, Self::FIELD)?, r.flag(Self::CA, Self::FIELD)?);
            let scope = match (user, ca) {
                (false, false) => Scope::All,
                (true, false) => Scope::UserCertificates,
                (false, true) => Scope::CaCertificates,
                (true, true) => return Err(Rule::IssuingDistributionPoint.at(&start, Self::FIELD)),
            };
            let says_nothing = start.is_empty();
            if says_nothing || !r.is_empty() {
                return Err(Rule::IssuingDistributionPoint.at(r, Self::FIELD));
            }
            Ok(Self { full_name: full_name.unwrap_or_default(), scope })
        })
    }

    fn write(&self, w: &mut Writer) {
        w.sequence(|w| {
            if !self.full_name.is_empty() {
                DistributionPoint::write_name(&self.full_name, w);
            }
            match self.scope {
                Scope::All => {}
                Scope::UserCertificates => w.set_flag(Self::USER),
                Scope::CaCertificates => w.set_flag(Self::CA),
            }
        });
    }
}

impl CrlExtension {
    fn oid(&self) -> &[u8] {
        match &self.value {
            CrlExtensionValue::AuthorityKeyId(_) => oids::AUTHORITY_KEY_ID,
            CrlExtensionValue::CrlNumber(_) => oids::CRL_NUMBER,
            CrlExtensionValue::DeltaCrlIndicator(_) => oids::DELTA_CRL_INDICATOR,
            CrlExtensionValue::IssuingDistributionPoint(_) => oids::ISSUING_DISTRIBUTION_POINT,
            CrlExtensionValue::Unknown { oid, .. } => oid.as_bytes(),
        }
    }

    pub(super) fn parse(raw: &RawExtension<'_>) -> Result<Self, ParseError> {
        use CrlExtensionValue as Value;
        let value = match raw.oid.as_bytes() {
            oids::AUTHORITY_KEY_ID => {
                let field = "authorityKeyIdentifier";
                raw.must_be(false, field)?;
                Value::AuthorityKeyId(raw.read(field, |r| KeyId::parse_authority(r, field))?)
            }
            oids::CRL_NUMBER => {
                raw.must_be(false, "cRLNumber")?;
                Value::CrlNumber(raw.read("cRLNumber", |r| CrlNumber::parse(r, "cRLNumber"))?)
            }
            oids::DELTA_CRL_INDICATOR => {
                let field = "deltaCRLIndicator";
                raw.must_be(true, field)?;
                Value::DeltaCrlIndicator(raw.read(field, |r| CrlNumber::parse(r, field))?)
            }
            oids::ISSUING_DISTRIBUTION_POINT => {
                let field = IssuingDistributionPoint::FIELD;
                raw.must_be(true, field)?;
                Value::IssuingDistributionPoint(raw.read(field, IssuingDistributionPoint::parse)?)
            }
            _ => {
                let (oid, value) = raw.unknown("crlExtensions")?;
                Value::Unknown { oid, value }
            }
        };
        Ok(Self { critical: raw.critical, value })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        write_one(w, self.oid(), self.critical, |w| match &self.value {
            CrlExtensionValue::AuthorityKeyId(id) => id.write_authority(w),
            CrlExtensionValue::CrlNumber(number) | CrlExtensionValue::DeltaCrlIndicator(number) => {
                number.write(w);
            }
            CrlExtensionValue::IssuingDistributionPoint(point) => point.write(w),
            CrlExtensionValue::Unknown { value, .. } => w.raw(value),
        });
    }
}
