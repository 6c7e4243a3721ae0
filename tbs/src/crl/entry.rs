//! One revoked certificate.

use crate::der::{Oid, Reader, Time, Writer, oids, tag};
use crate::x509::extension::{parse_list, write_one};
use crate::x509::{ParseError, Rule, SerialNumber};

/// One of revokedCertificates (RFC 5280 §5.1.2.6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevokedEntry {
    /// userCertificate.
    pub serial: SerialNumber,
    /// revocationDate.
    pub revoked: Time,
    /// crlEntryExtensions; empty if absent.
    pub extensions: Vec<EntryExtension>,
}

/// An extension of one entry (RFC 5280 §5.3). None is critical: certificateIssuer, which must be, is for indirect
/// lists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EntryExtension {
    /// reasonCode (§5.3.1).
    Reason(Reason),
    /// invalidityDate (§5.3.2): since when the key may have been known to others.
    InvalidityDate(Time),
    /// Not known here.
    Unknown {
        /// Its identifier.
        oid: Oid,
        /// The contents of its OCTET STRING, unread.
        value: Vec<u8>,
    },
}

/// CRLReason (RFC 5280 §5.3.1). "Unspecified" is written by leaving the extension out.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// keyCompromise.
    KeyCompromise,
    /// cACompromise.
    CaCompromise,
    /// affiliationChanged.
    AffiliationChanged,
    /// superseded.
    Superseded,
    /// cessationOfOperation.
    CessationOfOperation,
    /// certificateHold.
    CertificateHold,
    /// removeFromCRL, in delta lists only.
    RemoveFromCrl,
    /// privilegeWithdrawn.
    PrivilegeWithdrawn,
    /// aACompromise.
    AaCompromise,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The number in the standard.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::RemoveFromCrl => 8,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }

    pub(crate) fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let start = *r;
        let code = r.small(tag::ENUMERATED, "reasonCode", u16::MAX)?;
        let found = Self::ALL.into_iter().find(|reason| reason.code() == code);
        found.ok_or_else(|| Rule::ReasonCode.at(&start, "reasonCode"))
    }

    pub(crate) fn write(self, w: &mut Writer) {
        w.small(tag::ENUMERATED, self.code());
    }
}

impl RevokedEntry {
    /// An entry without extensions.
    #[must_use]
    pub const fn new(serial: SerialNumber, revoked: Time) -> Self {
        Self { serial, revoked, extensions: Vec::new() }
    }

    /// Why it was revoked; `None` is unspecified.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.extensions.iter().find_map(|extension| match extension {
            EntryExtension::Reason(reason) => Some(*reason),
            _ => None,
        })
    }

    /// Since when the key may have been known to others.
    #[must_use]
    pub fn invalidity_date(&self) -> Option<Time> {
        self.extensions.iter().find_map(|extension| match extension {
            EntryExtension::InvalidityDate(date) => Some(*date),
            _ => None,
        })
    }

    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        r.nested(tag::SEQUENCE, "revokedCertificates", |r| {
            let serial = SerialNumber::parse(r, "userCertificate")?;
            let revoked = r.time("revocationDate")?;
            let extensions = if r.is_empty() { Vec::new() } else { EntryExtension::parse_list(r)? };
            Ok(Self { serial, revoked, extensions })
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.sequence(|w| {
            self.serial.write(w);
            w.time(self.revoked);
            if !self.extensions.is_empty() {
                w.sequence(|w| self.extensions.iter().for_each(|extension| extension.write(w)));
            }
        });
    }
}

impl EntryExtension {
    fn parse_list(r: &mut Reader<'_>) -> Result<Vec<Self>, ParseError> {
        let extensions = parse_list(r, "crlEntryExtensions")?;
        let parsed = extensions.iter().map(|raw| match raw.oid.as_bytes() {
            oids::CRL_REASON => {
                raw.must_be(false, "reasonCode")?;
                raw.read("reasonCode", Reason::parse).map(Self::Reason)
            }
            oids::INVALIDITY_DATE => {
                raw.must_be(false, "invalidityDate")?;
                raw.read("invalidityDate", |r| Ok(r.generalized_time("invalidityDate")?))
                    .map(Self::InvalidityDate)
            }
            _ => raw.unknown("crlEntryExtensions").map(|(oid, value)| Self::Unknown { oid, value }),
        });
        parsed.collect()
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Reason(reason) => write_one(w, oids::CRL_REASON, false, |w| reason.write(w)),
            Self::InvalidityDate(date) => {
                write_one(w, oids::INVALIDITY_DATE, false, |w| w.generalized_time(*date));
            }
            Self::Unknown { oid, value } => write_one(w, oid.as_bytes(), false, |w| w.raw(value)),
        }
    }
}
