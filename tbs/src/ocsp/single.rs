//! What is said about one certificate.

use sha2::{Digest, Sha256};

use super::UnknownExtension;
use crate::crl::Reason;
use crate::der::{DerError, Reader, Time, Writer, oids, tag};
use crate::key::PublicKey;
use crate::x509::{Name, ParseError, Rule, SerialNumber};

/// SingleResponse (RFC 6960 §4.2.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SingleResponse {
    /// Which certificate.
    pub cert_id: CertId,
    /// Its status.
    pub status: CertStatus,
    /// When the status was known to be right.
    pub this_update: Time,
    /// When newer information comes at the latest: after [`Self::this_update`]. Unset: it is always there.
    pub next_update: Option<Time>,
    /// singleExtensions; empty if absent.
    pub extensions: Vec<UnknownExtension>,
}

/// CertID (RFC 6960 §4.1.1).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CertId {
    /// The issuer.
    pub issuer: IssuerHashes,
    /// How the hash algorithm's parameters are written: as in the request.
    pub parameters: HashParameters,
    /// The serial number.
    pub serial: SerialNumber,
}

/// Hashes of an issuer's name (its DER) and key ([`public_key_bits`]). They name the issuer and prove nothing, so that
/// SHA-1, which nearly every client asks with, is no weakness here.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum IssuerHashes {
    /// SHA-1.
    Sha1 {
        /// Of the name.
        name: [u8; 20],
        /// Of the key.
        key: [u8; 20],
    },
    /// SHA-256.
    Sha256 {
        /// Of the name.
        name: [u8; 32],
        /// Of the key.
        key: [u8; 32],
    },
}

/// The parameters of a hash's AlgorithmIdentifier: RFC 4055 §2.1 has both mean the same.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum HashParameters {
    /// Left out.
    Absent,
    /// NULL.
    Null,
}

/// CertStatus (RFC 6960 §4.2.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CertStatus {
    /// good: at least not revoked.
    Good,
    /// revoked, for good or on hold.
    Revoked {
        /// revocationTime.
        at: Time,
        /// revocationReason.
        reason: Option<Reason>,
    },
    /// unknown to the responder.
    Unknown,
}

/// The contents of the BIT STRING of a SubjectPublicKeyInfo, without the octet of unused bits: what OCSP hashes.
#[must_use]
pub fn public_key_bits(key: &PublicKey) -> Vec<u8> {
    let spki = key.to_spki_der();
    let bits = Reader::new(&spki).nested(tag::SEQUENCE, "subjectPublicKeyInfo", |r| {
        r.element(tag::SEQUENCE, "algorithm")?;
        r.bit_string("subjectPublicKey")
    });
    // What was just written is read back.
    bits.map(|bits| bits.rest().to_vec()).unwrap_or_default()
}

impl CertId {
    /// The certificate with this serial number of the CA with this name and key, with SHA-256.
    #[must_use]
    pub fn sha256(issuer: &Name, key: &PublicKey, serial: SerialNumber) -> Self {
        let hash = |bytes: &[u8]| Sha256::digest(bytes).into();
        let issuer = IssuerHashes::Sha256 { name: hash(issuer.as_der()), key: hash(&public_key_bits(key)) };
        // What OpenSSL and most clients write.
        Self { issuer, parameters: HashParameters::Null, serial }
    }

    /// Whether both may be about one certificate. However the parameters are written is one; and nobody can tell two issuers apart by
    /// hashes of two kinds.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        let same_kind = matches!(
            (&self.issuer, &other.issuer),
            (IssuerHashes::Sha1 { .. }, IssuerHashes::Sha1 { .. })
                | (IssuerHashes::Sha256 { .. }, IssuerHashes::Sha256 { .. })
        );
        self.serial == other.serial && (!same_kind || self.issuer == other.issuer)
    }

    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        r.nested(tag::SEQUENCE, "certID", |r| {
            let start = *r;
            let (algorithm, parameters) = r.nested(tag::SEQUENCE, "hashAlgorithm", |r| {
                let oid = r.oid("hashAlgorithm")?;
                let null =
                    r.optional(tag::NULL, "hashAlgorithm", |_| Ok::<_, DerError>(HashParameters::Null))?;
                Ok::<_, DerError>((oid, null.unwrap_or(HashParameters::Absent)))
            })?;
            let name = r.value(tag::OCTET_STRING, "issuerNameHash")?.rest();
            let key = r.value(tag::OCTET_STRING, "issuerKeyHash")?.rest();
            let issuer = IssuerHashes::new(algorithm.as_bytes(), name, key);
            let issuer = issuer.ok_or_else(|| Rule::CertIdHash.at(&start, "certID"))?;
            Ok(Self { issuer, parameters, serial: SerialNumber::parse(r, "serialNumber")? })
        })
    }

    fn write(&self, w: &mut Writer) {
        let (oid, name, key): (_, &[u8], &[u8]) = match &self.issuer {
            IssuerHashes::Sha1 { name, key } => (oids::SHA1, name, key),
            IssuerHashes::Sha256 { name, key } => (oids::SHA256, name, key),
        };
        w.sequence(|w| {
            w.sequence(|w| {
                w.known_oid(oid);
                match self.parameters {
                    HashParameters::Absent => {}
                    HashParameters::Null => w.value(tag::NULL, &[]),
                }
            });
            w.value(tag::OCTET_STRING, name);
            w.value(tag::OCTET_STRING, key);
            self.serial.write(w);
        });
    }
}

impl IssuerHashes {
    fn new(algorithm: &[u8], name: &[u8], key: &[u8]) -> Option<Self> {
        match algorithm {
            oids::SHA1 => Some(Self::Sha1 { name: name.try_into().ok()?, key: key.try_into().ok()? }),
            oids::SHA256 => Some(Self::Sha256 { name: name.try_into().ok()?, key: key.try_into().ok()? }),
            _ => None,
        }
    }
}

impl CertStatus {
    /// The word of the standard (RFC 6960 §2.2): `good`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Revoked { .. } => "revoked",
            Self::Unknown => "unknown",
        }
    }

    const GOOD: u8 = tag::primitive(0);
    const REVOKED: u8 = tag::constructed(1);
    const UNKNOWN: u8 = tag::primitive(2);

    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let field = "certStatus";
        if r.next_is(Self::REVOKED) {
            return r.nested(Self::REVOKED, field, |r| {
                let at = r.generalized_time("revocationTime")?;
                let start = *r;
                let reason = r.optional(tag::constructed(0), "revocationReason", Reason::parse)?;
                if reason == Some(Reason::RemoveFromCrl) {
                    return Err(Rule::ReasonCode.at(&start, "revocationReason"));
                }
                Ok(Self::Revoked { at, reason })
            });
        }
        if r.next_is(Self::UNKNOWN) {
            r.null(Self::UNKNOWN, field)?;
            return Ok(Self::Unknown);
        }
        r.null(Self::GOOD, field)?;
        Ok(Self::Good)
    }

    fn write(self, w: &mut Writer) {
        match self {
            Self::Good => w.value(Self::GOOD, &[]),
            Self::Unknown => w.value(Self::UNKNOWN, &[]),
            Self::Revoked { at, reason } => w.nested(Self::REVOKED, |w| {
                w.generalized_time(at);
                if let Some(reason) = reason {
                    w.nested(tag::constructed(0), |w| reason.write(w));
                }
            }),
        }
    }
}

impl SingleResponse {
    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        r.nested(tag::SEQUENCE, "responses", |r| {
            let cert_id = CertId::parse(r)?;
            let status = CertStatus::parse(r)?;
            let this_update = r.generalized_time("thisUpdate")?;
            let start = *r;
            let next_update =
                r.optional(tag::constructed(0), "nextUpdate", |r| r.generalized_time("nextUpdate"))?;
            if next_update.is_some_and(|next| next <= this_update) {
                return Err(Rule::TimeOrder.at(&start, "nextUpdate"));
            }
            let extensions =
                r.optional(tag::constructed(1), "singleExtensions", UnknownExtension::parse_list)?;
            Ok(Self { cert_id, status, this_update, next_update, extensions: extensions.unwrap_or_default() })
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.sequence(|w| {
            self.cert_id.write(w);
            self.status.write(w);
            w.generalized_time(self.this_update);
            if let Some(next) = self.next_update {
                w.nested(tag::constructed(0), |w| w.generalized_time(next));
            }
            if !self.extensions.is_empty() {
                w.nested(tag::constructed(1), |w| {
                    w.sequence(|w| self.extensions.iter().for_each(|extension| extension.write(w)));
                });
            }
        });
    }
}
