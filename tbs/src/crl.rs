//! Certificate revocation lists (RFC 5280 §5): the TBSCertList, its builder, and the finished list.
//!
//! In: DER that a caller wants signed. Out: [`TbsCertList`], which keeps those bytes and says what they say. Entries are
//! read one at a time, when asked for: a list of any size costs its bytes and, while it is parsed, its serial numbers.
//! Promised: what parses encodes to the same bytes, version 2, a next update, a number, no certificate twice. Not done
//! here: whether the number is new, whether the issuer is the one that signs.

mod builder;
mod entry;
mod extension;

pub use builder::{CrlBuilder, Updates};
pub use entry::{EntryExtension, Reason, RevokedEntry};
pub use extension::{CrlExtension, CrlExtensionValue, CrlNumber, IssuingDistributionPoint, Scope};

use std::ops::Range;

use crate::der::{DerError, DerRule, Oid, Reader, Time, Writer, tag};
use crate::x509::extension::parse_list;
use crate::x509::{
    AlgorithmMismatch, KeyId, Name, ParseError, Rule, SerialNumber, SignatureAlgorithm, same, signed,
};

/// A TBSCertList of version 2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TbsCertList {
    bytes: Vec<u8>,
    fields: Fields,
    number: CrlNumber,
    authority_key_id: KeyId,
    entries: Entries,
}

/// What the bytes say, but for the entries.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Fields {
    algorithm: SignatureAlgorithm,
    issuer: Name,
    this_update: Time,
    next_update: Time,
    extensions: Vec<CrlExtension>,
}

/// Where the entries are in the bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Entries {
    range: Range<usize>,
    count: usize,
    has_removals: bool,
}

impl TbsCertList {
    /// The longest TBS that is taken, in bytes: about 400,000 entries.
    pub const MAX_LEN: usize = 16 * 1024 * 1024;

    /// Parses a DER TBSCertList.
    ///
    /// # Errors
    /// [`ParseError`] with the first [`Rule`] that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let field = "tbsCertList";
        let mut reader = Reader::new(bytes);
        if bytes.len() > Self::MAX_LEN {
            return Err(Rule::TooLong { max: Self::MAX_LEN }.at(&reader, field));
        }
        let (fields, entries) = reader.nested(tag::SEQUENCE, field, Fields::parse)?;
        reader.finish(field)?;
        let (number, authority_key_id) = fields.check(&entries)?;
        // Each entry has been compared with its own encoding already.
        if fields.encode(bytes.get(entries.range.clone()).unwrap_or_default()) != bytes {
            return Err(Rule::NotCanonical.at(&Reader::new(bytes), field));
        }
        Ok(Self { bytes: bytes.to_vec(), fields, number, authority_key_id, entries })
    }

    /// The TBSCertList in the DER of a CertificateList: what was signed, whatever it says.
    ///
    /// # Errors
    /// [`DerError`] if the DER does not begin as a CertificateList does.
    pub fn signed_in(certificate_list: &[u8]) -> Result<&[u8], DerError> {
        let mut list = Reader::new(certificate_list).value(tag::SEQUENCE, "certificateList")?;
        Ok(list.element(tag::SEQUENCE, "tbsCertList")?.rest())
    }

    /// The exact bytes that were parsed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
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

    /// When the list was made.
    #[must_use]
    pub fn this_update(&self) -> Time {
        self.fields.this_update
    }

    /// When the next list comes at the latest: after [`Self::this_update`].
    #[must_use]
    pub fn next_update(&self) -> Time {
        self.fields.next_update
    }

    /// The list's number.
    #[must_use]
    pub fn number(&self) -> CrlNumber {
        self.number
    }

    /// The identifier of the key that signs.
    #[must_use]
    pub fn authority_key_id(&self) -> &KeyId {
        &self.authority_key_id
    }

    /// Which certificates the list is about, if not all of its issuer's.
    #[must_use]
    pub fn issuing_distribution_point(&self) -> Option<&IssuingDistributionPoint> {
        self.extensions().iter().find_map(|extension| match &extension.value {
            CrlExtensionValue::IssuingDistributionPoint(point) => Some(point),
            _ => None,
        })
    }

    /// The number of the complete list that this one only adds to; `None` for a complete list.
    #[must_use]
    pub fn delta_base(&self) -> Option<CrlNumber> {
        self.fields.delta_base()
    }

    /// Every extension, in order.
    #[must_use]
    pub fn extensions(&self) -> &[CrlExtension] {
        &self.fields.extensions
    }

    /// Extensions that are not known here: none is critical.
    pub fn unknown_extensions(&self) -> impl Iterator<Item = (&Oid, &[u8])> {
        self.extensions().iter().filter_map(|extension| match &extension.value {
            CrlExtensionValue::Unknown { oid, value } => Some((oid, value.as_slice())),
            _ => None,
        })
    }

    /// How many certificates are revoked.
    #[must_use]
    pub fn entry_count(&self) -> usize {
        self.entries.count
    }

    /// Every entry, in order, read as it is asked for.
    pub fn entries(&self) -> impl Iterator<Item = RevokedEntry> {
        let mut reader = Reader::new(self.bytes.get(self.entries.range.clone()).unwrap_or_default());
        // All of them have been read once: none fails now.
        std::iter::from_fn(move || RevokedEntry::parse(&mut reader).ok())
    }

    /// The finished CertificateList. `signature` is in X.509's encoding: DER for ECDSA. It is not verified here.
    ///
    /// # Errors
    /// [`AlgorithmMismatch`] unless the TBS says `algorithm`.
    pub fn certificate_list(
        &self,
        algorithm: SignatureAlgorithm,
        signature: &[u8],
    ) -> Result<Vec<u8>, AlgorithmMismatch> {
        same(self.fields.algorithm, algorithm)?;
        Ok(signed(&self.bytes, algorithm, signature, |_| {}))
    }
}

impl Fields {
    fn parse(r: &mut Reader<'_>) -> Result<(Self, Entries), ParseError> {
        let version = *r;
        if !r.next_is(tag::INTEGER) || r.small(tag::INTEGER, "version", u16::MAX)? != 1 {
            return Err(Rule::Version.at(&version, "version"));
        }
        let algorithm = SignatureAlgorithm::parse(r, "signature")?;
        let issuer = Name::parse(r, "issuer")?;
        let this_update = r.time("thisUpdate")?;
        let next_update = r.time("nextUpdate")?;
        let none = Entries { range: r.offset()..r.offset(), count: 0, has_removals: false };
        let entries = r.optional(tag::SEQUENCE, "revokedCertificates", Entries::parse)?.unwrap_or(none);
        let extensions = r.nested(tag::constructed(0), "crlExtensions", |r| {
            parse_list(r, "crlExtensions")?.iter().map(CrlExtension::parse).collect()
        })?;
        Ok((Self { algorithm, issuer, this_update, next_update, extensions }, entries))
    }

    /// The rules that are about more than one field: the place that they name is the TBS. Returns the extensions that a
    /// list must have.
    fn check(&self, entries: &Entries) -> Result<(CrlNumber, KeyId), ParseError> {
        let fail = |rule, field| Err(ParseError { rule, field, offset: 0 });
        if self.issuer.is_empty() {
            return fail(Rule::IssuerEmpty, "issuer");
        }
        if self.next_update <= self.this_update {
            return fail(Rule::TimeOrder, "nextUpdate");
        }
        let Some(number) = self.number() else {
            return fail(Rule::ExtensionMissing, "cRLNumber");
        };
        let Some(authority_key_id) = self.authority_key_id() else {
            return fail(Rule::ExtensionMissing, "authorityKeyIdentifier");
        };
        if entries.has_removals && self.delta_base().is_none() {
            return fail(Rule::ReasonCode, "reasonCode");
        }
        Ok((number, authority_key_id.clone()))
    }

    fn number(&self) -> Option<CrlNumber> {
        self.extensions.iter().find_map(|extension| match extension.value {
            CrlExtensionValue::CrlNumber(number) => Some(number),
            _ => None,
        })
    }

    fn delta_base(&self) -> Option<CrlNumber> {
        self.extensions.iter().find_map(|extension| match extension.value {
            CrlExtensionValue::DeltaCrlIndicator(number) => Some(number),
            _ => None,
        })
    }

    fn authority_key_id(&self) -> Option<&KeyId> {
        self.extensions.iter().find_map(|extension| match &extension.value {
            CrlExtensionValue::AuthorityKeyId(id) => Some(id),
            _ => None,
        })
    }

    /// `entries` is their encodings, one after the other.
    fn encode(&self, entries: &[u8]) -> Vec<u8> {
        Writer::collect(|w| {
            w.sequence(|w| {
                w.small(tag::INTEGER, 1);
                w.raw(&self.algorithm.to_der());
                self.issuer.write(w);
                w.time(self.this_update);
                w.time(self.next_update);
                if !entries.is_empty() {
                    w.sequence(|w| w.raw(entries));
                }
                w.nested(tag::constructed(0), |w| {
                    w.sequence(|w| self.extensions.iter().for_each(|extension| extension.write(w)));
                });
            });
        })
    }
}

impl Entries {
    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let field = "revokedCertificates";
        let start = *r;
        let mut serials: Vec<SerialNumber> = Vec::new();
        let mut has_removals = false;
        while !r.is_empty() {
            let place = *r;
            let entry = RevokedEntry::parse(r)?;
            let read = place.rest().len() - r.rest().len();
            if place.rest().get(..read) != Some(&Writer::collect(|w| entry.write(w))) {
                return Err(Rule::NotCanonical.at(&place, field));
            }
            has_removals |= entry.reason() == Some(Reason::RemoveFromCrl);
            serials.push(entry.serial);
        }
        let count = serials.len();
        if count == 0 {
            return Err(r.error(DerRule::ListEmpty, field).into());
        }
        serials.sort_unstable();
        if serials.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err(Rule::EntryDuplicate.at(&start, field));
        }
        Ok(Self { range: start.offset()..r.offset(), count, has_removals })
    }
}

#[cfg(test)]
mod tests;
