//! Builds a TBSCertList for a front-end that has somebody else sign it.

use super::{
    CrlExtension, CrlExtensionValue, CrlNumber, Fields, IssuingDistributionPoint, RevokedEntry, TbsCertList,
};
use crate::der::{Time, Writer};
use crate::x509::{BuildError, KeyId, Name, SignatureAlgorithm};

/// Fields of a TBSCertList in the making. Holds no private key.
#[derive(Clone, Debug)]
pub struct CrlBuilder {
    pub(super) fields: Fields,
    pub(super) entries: Vec<u8>,
}

/// When a list was made, and when the next one comes at the latest.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Updates {
    /// thisUpdate.
    pub this: Time,
    /// nextUpdate.
    pub next: Time,
}

impl CrlBuilder {
    /// A list of `issuer`, which signs with `algorithm`, without entries and extensions.
    #[must_use]
    pub const fn new(algorithm: SignatureAlgorithm, issuer: Name, updates: Updates) -> Self {
        let Updates { this: this_update, next: next_update } = updates;
        let fields = Fields { algorithm, issuer, this_update, next_update, extensions: Vec::new() };
        Self { fields, entries: Vec::new() }
    }

    /// Adds an entry.
    #[must_use]
    pub fn entry(mut self, entry: &RevokedEntry) -> Self {
        self.entries.extend(Writer::collect(|w| entry.write(w)));
        self
    }

    /// Adds any extension.
    #[must_use]
    pub fn extension(mut self, extension: CrlExtension) -> Self {
        self.fields.extensions.push(extension);
        self
    }

    /// Adds authorityKeyIdentifier, which a list must have.
    #[must_use]
    pub fn authority_key_id(self, id: KeyId) -> Self {
        self.extension(CrlExtension { critical: false, value: CrlExtensionValue::AuthorityKeyId(id) })
    }

    /// Adds cRLNumber, which a list must have.
    #[must_use]
    pub fn number(self, number: CrlNumber) -> Self {
        self.extension(CrlExtension { critical: false, value: CrlExtensionValue::CrlNumber(number) })
    }

    /// Adds issuingDistributionPoint.
    #[must_use]
    pub fn issuing_distribution_point(self, point: IssuingDistributionPoint) -> Self {
        let value = CrlExtensionValue::IssuingDistributionPoint(point);
        self.extension(CrlExtension { critical: true, value })
    }

    /// Adds deltaCRLIndicator: the list only adds to the complete one with number `base`.
    #[must_use]
    pub fn delta_base(self, base: CrlNumber) -> Self {
        self.extension(CrlExtension { critical: true, value: CrlExtensionValue::DeltaCrlIndicator(base) })
    }

    /// Encodes the fields and has the strict parser read them.
    ///
    /// # Errors
    /// [`BuildError::Refused`] if they break a rule.
    pub fn build(self) -> Result<TbsCertList, BuildError> {
        Ok(TbsCertList::parse(&self.fields.encode(&self.entries))?)
    }
}
