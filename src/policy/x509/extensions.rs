//! The extensions that say where to look and under which policy, and those that nobody here knows.

use countersign_tbs::der::oids;
use countersign_tbs::x509::{ExtensionValue, TbsCertificate};

use super::{Bounds, Case, listed_in};
use crate::policy::format::Limits;
use crate::policy::quote::listed;
use crate::policy::{Reason, Verdict, listing, object};

/// RFC 7633 §4.2.3.1: `status_request`, the only TLS feature that a profile can allow.
const STATUS_REQUEST: u16 = 5;

pub(super) fn policies(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let found = listed_in(tbs, |value| match value {
        ExtensionValue::CertificatePolicies(policies) => Some(policies),
        _ => None,
    });
    for policy in found {
        if !limits.bounds.policies.contains(&policy.oid) {
            let (allowed, oid) = (listed(limits.bounds.policies.iter()), &policy.oid);
            let message = format!(
                "certificate policy {oid} is not among those of profile {}: {allowed}",
                limits.profile
            );
            return object(Reason::CertificatePolicyNotAllowed, message);
        }
        if !policy.qualifiers.is_empty() {
            let message = format!("certificate policy {} has qualifiers; no profile allows them", policy.oid);
            return object(Reason::CertificatePolicyNotAllowed, message);
        }
    }
    Ok(())
}

pub(super) fn crl_urls(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let points = listed_in(tbs, |value| match value {
        ExtensionValue::CrlDistributionPoints(points) => Some(points),
        _ => None,
    });
    let names = points.iter().flat_map(|point| &point.full_name);
    listing::urls(limits.profile, "CRL distribution point", names, &limits.bounds.crl_urls)
}

pub(super) fn ocsp_urls(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    let locations =
        access(case.tbs).filter(|(method, _)| *method == oids::AD_OCSP).map(|(_, location)| location);
    listing::urls(limits.profile, "OCSP responder", locations, &limits.bounds.ocsp_urls)
}

/// Also refuses what authorityInfoAccess says beside OCSP responders and the CA's certificates.
pub(super) fn ca_issuers_urls(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    let is_other = |(method, _): &(&[u8], _)| ![oids::AD_OCSP, oids::AD_CA_ISSUERS].contains(method);
    if let Some((_, location)) = access(case.tbs).find(is_other) {
        return listing::url_not_allowed(limits.profile, "access method", location);
    }
    let locations =
        access(case.tbs).filter(|(method, _)| *method == oids::AD_CA_ISSUERS).map(|(_, location)| location);
    let allowed = &limits.bounds.ca_issuers_urls;
    listing::urls(limits.profile, "place of the CA's certificate", locations, allowed)
}

pub(super) fn must_staple(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let features = listed_in(tbs, |value| match value {
        ExtensionValue::TlsFeature(features) => Some(features),
        _ => None,
    });
    match features {
        [] => Ok(()),
        [STATUS_REQUEST] if limits.bounds.must_staple => Ok(()),
        _ => object(
            Reason::ExtensionNotAllowed,
            format!("the TLS features {features:?} are not among those of profile {}", limits.profile),
        ),
    }
}

pub(super) fn extension_values(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    listing::extension_values(limits.profile, tbs.unknown_extensions(), &limits.bounds.extension_values)
}

/// The method's identifier and the location of each description.
fn access(tbs: &TbsCertificate) -> impl Iterator<Item = (&[u8], &countersign_tbs::x509::GeneralName)> {
    let found = listed_in(tbs, |value| match value {
        ExtensionValue::AuthorityInfoAccess(descriptions) => Some(descriptions),
        _ => None,
    });
    found.iter().map(|description| (description.method.as_bytes(), &description.location))
}
