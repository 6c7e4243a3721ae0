//! Signature algorithms as X.509 names them, each with the one form of parameters that its standard allows.

use super::{ParseError, Rule};
use crate::der::{Reader, Writer, oids, tag};
use crate::key::ParameterSet;
use crate::signature::Scheme;

/// How the issuer signs, as the TBS says. SHA-1 and MD5 have no name here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256, parameters absent (RFC 5758 §3.2).
    EcdsaSha256,
    /// ecdsa-with-SHA384, parameters absent.
    EcdsaSha384,
    /// ecdsa-with-SHA512, parameters absent.
    EcdsaSha512,
    /// Ed25519, parameters absent (RFC 8410 §3).
    Ed25519,
    /// sha256WithRSAEncryption, parameters NULL (RFC 4055 §5).
    RsaPkcs1Sha256,
    /// sha384WithRSAEncryption, parameters NULL.
    RsaPkcs1Sha384,
    /// sha512WithRSAEncryption, parameters NULL.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with this hash, MGF1 with the same, and a salt as long as its output (RFC 4055 §3.1).
    RsaPss(PssHash),
    /// ML-DSA in its pure mode with an empty context, parameters absent (RFC 9881 §2).
    MlDsa(ParameterSet),
}

/// The hash of an RSASSA-PSS signature and of its mask generation.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PssHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

#[derive(Clone, Copy)]
enum Parameters {
    Absent,
    Null,
    Pss(PssHash),
}

impl SignatureAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 13] = [
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::Ed25519,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
        Self::RsaPss(PssHash::Sha256),
        Self::RsaPss(PssHash::Sha384),
        Self::RsaPss(PssHash::Sha512),
        Self::MlDsa(ParameterSet::MlDsa44),
        Self::MlDsa(ParameterSet::MlDsa65),
        Self::MlDsa(ParameterSet::MlDsa87),
    ];

    /// The name in messages: `ecdsa-with-SHA256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaSha256 => "ecdsa-with-SHA256",
            Self::EcdsaSha384 => "ecdsa-with-SHA384",
            Self::EcdsaSha512 => "ecdsa-with-SHA512",
            Self::Ed25519 => "Ed25519",
            Self::RsaPkcs1Sha256 => "sha256WithRSAEncryption",
            Self::RsaPkcs1Sha384 => "sha384WithRSAEncryption",
            Self::RsaPkcs1Sha512 => "sha512WithRSAEncryption",
            Self::RsaPss(PssHash::Sha256) => "RSASSA-PSS-SHA256",
            Self::RsaPss(PssHash::Sha384) => "RSASSA-PSS-SHA384",
            Self::RsaPss(PssHash::Sha512) => "RSASSA-PSS-SHA512",
            Self::MlDsa(parameters) => parameters.name(),
        }
    }

    /// Reads an AlgorithmIdentifier. Each has one encoding, so that is compared with the algorithms of its identifier.
    pub(crate) fn parse(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, ParseError> {
        let element = reader.element(tag::SEQUENCE, field)?;
        let mut contents = element;
        let oid = contents.value(tag::SEQUENCE, field)?.oid(field)?;
        let mut candidates =
            Self::ALL.into_iter().filter(|algorithm| algorithm.identifier().0 == oid.as_bytes());
        let found = candidates.find(|algorithm| algorithm.to_der() == element.rest());
        found.ok_or_else(|| Rule::SignatureAlgorithm.at(&element, field))
    }

    /// The AlgorithmIdentifier.
    #[must_use]
    pub fn to_der(self) -> Vec<u8> {
        let (oid, parameters) = self.identifier();
        Writer::collect(|w| {
            w.sequence(|w| {
                w.known_oid(oid);
                match parameters {
                    Parameters::Absent => {}
                    Parameters::Null => w.value(tag::NULL, &[]),
                    Parameters::Pss(hash) => hash.write_parameters(w),
                }
            });
        })
    }

    const fn identifier(self) -> (&'static [u8], Parameters) {
        match self {
            Self::EcdsaSha256 => (oids::ECDSA_SHA256, Parameters::Absent),
            Self::EcdsaSha384 => (oids::ECDSA_SHA384, Parameters::Absent),
            Self::EcdsaSha512 => (oids::ECDSA_SHA512, Parameters::Absent),
            Self::Ed25519 => (oids::ED25519, Parameters::Absent),
            Self::RsaPkcs1Sha256 => (oids::RSA_SHA256, Parameters::Null),
            Self::RsaPkcs1Sha384 => (oids::RSA_SHA384, Parameters::Null),
            Self::RsaPkcs1Sha512 => (oids::RSA_SHA512, Parameters::Null),
            Self::RsaPss(hash) => (oids::RSA_PSS, Parameters::Pss(hash)),
            Self::MlDsa(ParameterSet::MlDsa44) => (oids::ML_DSA_44, Parameters::Absent),
            Self::MlDsa(ParameterSet::MlDsa65) => (oids::ML_DSA_65, Parameters::Absent),
            Self::MlDsa(ParameterSet::MlDsa87) => (oids::ML_DSA_87, Parameters::Absent),
        }
    }
}

impl PssHash {
    const fn oid_and_len(self) -> (&'static [u8], u16) {
        match self {
            Self::Sha256 => (oids::SHA256, 32),
            Self::Sha384 => (oids::SHA384, 48),
            Self::Sha512 => (oids::SHA512, 64),
        }
    }

    /// RSASSA-PSS-params. The trailer field is left out: 1 is its default.
    fn write_parameters(self, w: &mut Writer) {
        let (oid, salt_len) = self.oid_and_len();
        let hash = |w: &mut Writer| {
            w.sequence(|w| {
                w.known_oid(oid);
                w.value(tag::NULL, &[]);
            });
        };
        w.sequence(|w| {
            w.nested(tag::constructed(0), hash);
            w.nested(tag::constructed(1), |w| {
                w.sequence(|w| {
                    w.known_oid(oids::MGF1);
                    hash(w);
                });
            });
            w.nested(tag::constructed(2), |w| w.small(tag::INTEGER, salt_len));
        });
    }
}

impl From<Scheme> for SignatureAlgorithm {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::EcdsaP256Sha256 => Self::EcdsaSha256,
            Scheme::EcdsaP384Sha384 => Self::EcdsaSha384,
            Scheme::EcdsaP521Sha512 => Self::EcdsaSha512,
            Scheme::Ed25519 => Self::Ed25519,
            Scheme::RsaPkcs1Sha256 => Self::RsaPkcs1Sha256,
            Scheme::RsaPkcs1Sha512 => Self::RsaPkcs1Sha512,
            Scheme::RsaPkcs1Sha384 => Self::RsaPkcs1Sha384,
            Scheme::RsaPssSha256 => Self::RsaPss(PssHash::Sha256),
            Scheme::RsaPssSha384 => Self::RsaPss(PssHash::Sha384),
            Scheme::RsaPssSha512 => Self::RsaPss(PssHash::Sha512),
            Scheme::MlDsa44 => Self::MlDsa(ParameterSet::MlDsa44),
            Scheme::MlDsa65 => Self::MlDsa(ParameterSet::MlDsa65),
            Scheme::MlDsa87 => Self::MlDsa(ParameterSet::MlDsa87),
        }
    }
}

/// A signature was made with another algorithm than the TBS says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the TBS says {}, the signature is {}", stated.name(), used.name())]
pub struct AlgorithmMismatch {
    /// What the TBS says.
    pub stated: SignatureAlgorithm,
    /// What the signature was made with.
    pub used: SignatureAlgorithm,
}

/// SEQUENCE { tbs, algorithm, signature, and what `more` writes }: RFC 5280 §4.1.1 and §5.1.1, RFC 6960 §4.2.1.
pub(crate) fn signed(
    tbs: &[u8],
    algorithm: SignatureAlgorithm,
    signature: &[u8],
    more: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    Writer::collect(|w| {
        w.sequence(|w| {
            w.raw(tbs);
            w.raw(&algorithm.to_der());
            w.bit_string(signature);
            more(w);
        });
    })
}

/// Refuses a `used` algorithm other than the `stated` one.
pub(crate) fn same(stated: SignatureAlgorithm, used: SignatureAlgorithm) -> Result<(), AlgorithmMismatch> {
    if stated == used { Ok(()) } else { Err(AlgorithmMismatch { stated, used }) }
}
