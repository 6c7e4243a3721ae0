//! What each rule looks at in a CRL, in words: for explanations, never for decisions.

use countersign_tbs::crl::TbsCertList;

use super::{Case, period};
use crate::key::UnixTime;
use crate::policy::quote::listed;
use crate::policy::signer;

pub(super) fn length(Case { tbs, .. }: &Case<'_>) -> String {
    format!("{} bytes", tbs.as_bytes().len())
}

pub(super) fn issuer(Case { tbs, .. }: &Case<'_>) -> String {
    signer::saw_issuer(tbs.issuer())
}

pub(super) fn authority_key_id(Case { tbs, .. }: &Case<'_>) -> String {
    signer::saw_authority_key_id(Some(tbs.authority_key_id()))
}

pub(super) fn signature_algorithm(Case { tbs, .. }: &Case<'_>) -> String {
    format!("signature algorithm {}", tbs.signature_algorithm().name())
}

pub(super) fn updates(case: &Case<'_>) -> String {
    let period = period(case.tbs);
    format!("thisUpdate {}, nextUpdate {}, now {}", UnixTime(period.after), UnixTime(period.before), case.now)
}

pub(super) fn beginning(case: &Case<'_>) -> String {
    period(case.tbs).beginning(case.now)
}

pub(super) fn number(Case { tbs, .. }: &Case<'_>) -> String {
    words(tbs)
}

pub(super) fn entries(Case { tbs, .. }: &Case<'_>) -> String {
    format!("entries: {}", tbs.entry_count())
}

pub(super) fn distribution_point(Case { tbs, .. }: &Case<'_>) -> String {
    match tbs.issuing_distribution_point() {
        None => "no issuingDistributionPoint".to_owned(),
        Some(point) => format!(
            "issuingDistributionPoint of {} certificates at {}",
            super::bounds::scope_name(point.scope),
            listed(point.full_name.iter())
        ),
    }
}

pub(super) fn extensions(Case { tbs, .. }: &Case<'_>) -> String {
    let unknown: Vec<String> = tbs.unknown_extensions().map(|(oid, _)| oid.to_string()).collect();
    format!("extensions that are not known here: {}", listed(unknown.iter()))
}

/// Which list it is: complete, or what it adds to.
pub(super) fn words(tbs: &TbsCertList) -> String {
    match tbs.delta_base() {
        None => format!("complete list {}", tbs.number()),
        Some(base) => format!("delta list {} to {base}", tbs.number()),
    }
}
