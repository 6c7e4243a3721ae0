//! OCSP responses, as policy reads them (RFC 6960).
//!
//! Which certificates are good, the caller says: nothing here knows. What is bounded is who answers, about whose
//! certificates, of when, and for how long. A response claims nothing for itself: any number may say the same.

use countersign_tbs::TbsKind;
use countersign_tbs::ocsp::ResponseData;

use crate::policy::format::{Bounded, BuiltIn, Format};
use crate::policy::profile;
use crate::policy::validity::Period;

mod bounds;
mod built_in;
mod saw;

pub(crate) use bounds::Bounds;

type Case<'a> = crate::policy::Case<'a, ResponseData>;

impl Format for ResponseData {
    type Bounds = Bounds;
    const KIND: TbsKind = TbsKind::OcspResponse;
    const BUILT_IN: &'static [BuiltIn<Self>] = built_in::RULES;
    const BOUNDED: &'static [Bounded<Self>] = bounds::RULES;

    fn bounds(bounds: &profile::Bounds) -> Option<&Bounds> {
        match bounds {
            profile::Bounds::Ocsp(bounds) => Some(bounds),
            _ => None,
        }
    }
}

/// From when it is made to when the last of its answers is over.
fn period(tbs: &ResponseData) -> Period {
    let made = tbs.produced_at().unix_secs();
    let ends = tbs.responses().iter().filter_map(|response| Some(response.next_update?.unix_secs()));
    Period { fields: ["producedAt", "nextUpdate"], after: made, before: ends.max().unwrap_or(made) }
}
