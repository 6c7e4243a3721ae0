//! Profiles: what one group of callers may have signed with one key.

use std::collections::BTreeSet;

use countersign_tbs::TbsKind;

use crate::caller::CallerName;
use crate::policy::budget::Budget;
use crate::policy::{crl, ocsp, own, ssh, x509};

/// One `[key.KEY.allow.NAME]` section, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Its place in the configuration, `key.user-ca.allow.staff`: the first part of its rules' names.
    pub(crate) path: String,
    /// Its name.
    pub(crate) name: String,
    /// Who may use it.
    pub(crate) callers: BTreeSet<CallerName>,
    /// What they may have signed.
    pub(crate) bounds: Bounds,
    /// How many certificates each of the callers may have; the ledger counts them.
    pub(crate) budget: Budget,
}

/// What may be signed, by the format of the TBS. Every field of each bounds something.
#[derive(Clone, Debug)]
pub(crate) enum Bounds {
    /// An SSH certificate.
    Ssh(Box<ssh::Bounds>),
    /// An X.509 certificate.
    X509(Box<x509::Bounds>),
    /// A CRL.
    Crl(crl::Bounds),
    /// An OCSP response.
    Ocsp(ocsp::Bounds),
    /// A request of the key itself for its certificate.
    Request(own::RequestBounds),
    /// A root's own certificate.
    Root(own::RootBounds),
}

impl Profile {
    /// Whether it is for CRLs.
    pub(crate) const fn signs_lists(&self) -> bool {
        matches!(self.bounds, Bounds::Crl(_))
    }

    /// How the numbers of lists may go on; the least where no list is bounded.
    pub(crate) const fn numbering(&self) -> crl::Numbering {
        match &self.bounds {
            Bounds::Crl(bounds) => bounds.numbering,
            Bounds::Ssh(_) | Bounds::X509(_) | Bounds::Ocsp(_) | Bounds::Request(_) | Bounds::Root(_) => {
                crl::Numbering::LEAST
            }
        }
    }
}

impl Bounds {
    /// The kind of TBS that these bound.
    pub(crate) const fn kind(&self) -> TbsKind {
        match self {
            Self::Ssh(_) => TbsKind::SshCertificate,
            Self::X509(_) => TbsKind::X509Certificate,
            Self::Crl(_) => TbsKind::X509Crl,
            Self::Ocsp(_) => TbsKind::OcspResponse,
            Self::Request(_) => TbsKind::X509Request,
            Self::Root(_) => TbsKind::X509Root,
        }
    }
}
