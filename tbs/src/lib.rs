//! To-be-signed (TBS) objects: strict parsers and canonical builders.
//!
//! In: the exact bytes that a caller wants signed. Out: a value that keeps those bytes and tells what they say.
//! Promised: what parses re-encodes to the same bytes, nothing is allocated before its length is checked, and no input
//! panics. Not done here: policy, cryptography, I/O.

use std::fmt;

pub mod crl;
pub mod csr;
pub mod der;
pub mod key;
pub mod krl;
pub mod ocsp;
pub mod signature;
pub mod ssh;
pub mod sshsig;
pub mod x509;

/// Which grammar a caller says its bytes are in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TbsKind {
    /// An OpenSSH certificate up to and including its signature key.
    SshCertificate,
    /// A DER TBSCertificate.
    X509Certificate,
    /// A DER TBSCertList.
    X509Crl,
    /// A DER OCSP ResponseData.
    OcspResponse,
    /// A DER CertificationRequestInfo of the key that signs it.
    X509Request,
    /// A DER TBSCertificate of the key that signs it: a root's own.
    X509Root,
}

impl TbsKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::SshCertificate,
        Self::X509Certificate,
        Self::X509Crl,
        Self::OcspResponse,
        Self::X509Request,
        Self::X509Root,
    ];

    /// The kind that [`Self::name`] calls `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The word in ledger entries and messages: `ssh-certificate`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SshCertificate => "ssh-certificate",
            Self::X509Certificate => "x509-certificate",
            Self::X509Crl => "x509-crl",
            Self::OcspResponse => "ocsp-response",
            Self::X509Request => "x509-request",
            Self::X509Root => "x509-root",
        }
    }

    /// What its standard calls the TBS.
    const fn asn1_name(self) -> &'static str {
        match self {
            Self::SshCertificate => "certificate of OpenSSH",
            Self::X509Certificate | Self::X509Root => "TBSCertificate",
            Self::X509Crl => "TBSCertList",
            Self::OcspResponse => "ResponseData",
            Self::X509Request => "CertificationRequestInfo",
        }
    }
}

impl fmt::Display for TbsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A parsed TBS of any kind.
#[derive(Clone, Debug)]
pub enum Tbs {
    /// An OpenSSH certificate's TBS.
    Ssh(ssh::CertificateTbs),
    /// A TBSCertificate.
    X509(x509::TbsCertificate),
    /// A TBSCertList.
    Crl(crl::TbsCertList),
    /// A ResponseData.
    Ocsp(ocsp::ResponseData),
    /// A CertificationRequestInfo.
    Request(csr::CertificationRequestInfo),
    /// A root's TBSCertificate.
    Root(x509::RootCertificate),
}

/// Why bytes are not a TBS of the kind that they were said to be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Not an OpenSSH certificate's TBS.
    #[error("not an OpenSSH certificate's TBS: {0}")]
    Ssh(#[from] ssh::ParseError),
    /// Not a TBSCertificate, a TBSCertList, a ResponseData or a CertificationRequestInfo.
    #[error("not a DER {}: {error}", kind.asn1_name())]
    X509 {
        /// What it was said to be.
        kind: TbsKind,
        /// Why it is none.
        error: x509::ParseError,
    },
}

impl ParseError {
    /// The stable word for the rule that was broken, to branch on: `PRINCIPALS_EMPTY`.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Ssh(error) => error.rule(),
            Self::X509 { error, .. } => error.rule(),
        }
    }
}

impl Tbs {
    /// Parses `bytes` as `kind`, strictly.
    ///
    /// # Errors
    /// [`ParseError`] for anything but the one canonical encoding.
    pub fn parse(kind: TbsKind, bytes: &[u8]) -> Result<Self, ParseError> {
        let der = |error| ParseError::X509 { kind, error };
        match kind {
            TbsKind::SshCertificate => Ok(Self::Ssh(ssh::CertificateTbs::parse(bytes)?)),
            TbsKind::X509Certificate => x509::TbsCertificate::parse(bytes).map(Self::X509).map_err(der),
            TbsKind::X509Crl => crl::TbsCertList::parse(bytes).map(Self::Crl).map_err(der),
            TbsKind::X509Request => {
                csr::CertificationRequestInfo::parse(bytes).map(Self::Request).map_err(der)
            }
            TbsKind::X509Root => x509::RootCertificate::parse(bytes).map(Self::Root).map_err(der),
            TbsKind::OcspResponse => ocsp::ResponseData::parse(bytes).map(Self::Ocsp).map_err(der),
        }
    }

    /// The exact bytes that were parsed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ssh(tbs) => tbs.as_bytes(),
            Self::X509(tbs) => tbs.as_bytes(),
            Self::Crl(tbs) => tbs.as_bytes(),
            Self::Ocsp(tbs) => tbs.as_bytes(),
            Self::Request(tbs) => tbs.as_bytes(),
            Self::Root(root) => root.tbs().as_bytes(),
        }
    }
}
