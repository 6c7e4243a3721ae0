//! Extensions of a response. RFC 6960 §4.4 has none of them critical, and none is here.

use crate::der::{Oid, Reader, Writer, oids, tag};
use crate::x509::extension::{RawExtension, parse_list, write_one};
use crate::x509::{BuildError, ParseError, Rule};

/// One of responseExtensions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ResponseExtension {
    /// id-pkix-ocsp-nonce (RFC 9654).
    Nonce(Nonce),
    /// Not known here.
    Unknown(UnknownExtension),
}

/// An extension that is not known here and not critical.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UnknownExtension {
    /// Its identifier.
    pub oid: Oid,
    /// The contents of its OCTET STRING, unread.
    pub value: Vec<u8>,
}

/// 1 to 128 octets that bind a response to its request (RFC 9654 §2.1).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Nonce(Vec<u8>);

impl Nonce {
    /// `None` unless it has 1 to 128 octets.
    #[must_use]
    pub fn new(octets: &[u8]) -> Option<Self> {
        (1..=128).contains(&octets.len()).then(|| Self(octets.to_vec()))
    }

    /// 32 octets from the operating system.
    ///
    /// # Errors
    /// [`BuildError::Random`] if it has none to give.
    pub fn random() -> Result<Self, BuildError> {
        let mut octets = vec![0; 32];
        getrandom::fill(&mut octets)?;
        Ok(Self(octets))
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let value = r.value(tag::OCTET_STRING, "nonce")?;
        Self::new(value.rest()).ok_or_else(|| Rule::Nonce.at(&value, "nonce"))
    }
}

impl ResponseExtension {
    pub(super) fn parse_list(r: &mut Reader<'_>) -> Result<Vec<Self>, ParseError> {
        let extensions = parse_list(r, "responseExtensions")?;
        let parsed = extensions.iter().map(|raw| {
            if raw.oid.as_bytes() != oids::OCSP_NONCE {
                return UnknownExtension::new(raw).map(Self::Unknown);
            }
            raw.must_be(false, "nonce")?;
            raw.read("nonce", Nonce::parse).map(Self::Nonce)
        });
        parsed.collect()
    }

    pub(super) fn write(&self, w: &mut Writer) {
        match self {
            Self::Nonce(nonce) => {
                write_one(w, oids::OCSP_NONCE, false, |w| w.value(tag::OCTET_STRING, nonce.as_bytes()));
            }
            Self::Unknown(unknown) => unknown.write(w),
        }
    }
}

impl UnknownExtension {
    fn new(raw: &RawExtension<'_>) -> Result<Self, ParseError> {
        let (oid, value) = raw.unknown("extensions")?;
        Ok(Self { oid, value })
    }

    pub(super) fn parse_list(r: &mut Reader<'_>) -> Result<Vec<Self>, ParseError> {
        parse_list(r, "singleExtensions")?.iter().map(Self::new).collect()
    }

    pub(super) fn write(&self, w: &mut Writer) {
        write_one(w, self.oid.as_bytes(), false, |w| w.raw(&self.value));
    }
}
