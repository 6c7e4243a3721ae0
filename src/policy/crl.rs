//! Certificate revocation lists, as policy reads them (RFC 5280 §5).
//!
//! Which certificates are revoked, the caller says: nothing here knows. What is bounded is whose list it is, of when, how
//! long, and about what. That its number is new, and not too far above the newest, the ledger sees to.

use countersign_tbs::TbsKind;
use countersign_tbs::crl::TbsCertList;

use crate::policy::format::{Bounded, BuiltIn, Format};
use crate::policy::profile;
use crate::policy::validity::Period;

mod bounds;
mod built_in;
mod number_step;
mod saw;

pub(crate) use bounds::{Bounds, SCOPES, Scopes};
pub(crate) use built_in::MAX_LEN;
pub(crate) use number_step::{FirstNumber, NumberStep, Numbering};

type Case<'a> = crate::policy::Case<'a, TbsCertList>;

impl Format for TbsCertList {
    type Bounds = Bounds;
    const KIND: TbsKind = TbsKind::X509Crl;
    const BUILT_IN: &'static [BuiltIn<Self>] = built_in::RULES;
    const BOUNDED: &'static [Bounded<Self>] = bounds::RULES;

    fn bounds(bounds: &profile::Bounds) -> Option<&Bounds> {
        match bounds {
            profile::Bounds::Crl(bounds) => Some(bounds),
            _ => None,
        }
    }
}

fn period(tbs: &TbsCertList) -> Period {
    Period {
        fields: ["thisUpdate", "nextUpdate"],
        after: tbs.this_update().unix_secs(),
        before: tbs.next_update().unix_secs(),
    }
}
