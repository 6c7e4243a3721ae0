//! SSH certificates, as policy reads them (PROTOCOL.certkeys).

use countersign_tbs::TbsKind;
use countersign_tbs::ssh::CertificateTbs;

use crate::policy::format::{Bounded, BuiltIn, Format};
use crate::policy::profile;
use crate::policy::validity::Period;

mod bounds;
mod built_in;
mod saw;
pub(crate) mod value;

pub(crate) use bounds::Bounds;
pub(crate) use built_in::{MAX_PRINCIPALS, is_principal};

type Case<'a> = crate::policy::Case<'a, CertificateTbs>;

impl Format for CertificateTbs {
    type Bounds = Bounds;
    const KIND: TbsKind = TbsKind::SshCertificate;
    const BUILT_IN: &'static [BuiltIn<Self>] = built_in::RULES;
    const BOUNDED: &'static [Bounded<Self>] = bounds::RULES;

    fn bounds(bounds: &profile::Bounds) -> Option<&Bounds> {
        match bounds {
            profile::Bounds::Ssh(bounds) => Some(bounds),
            _ => None,
        }
    }
}

fn period(tbs: &CertificateTbs) -> Period {
    Period { fields: ["valid_after", "valid_before"], after: tbs.valid_after(), before: tbs.valid_before() }
}
