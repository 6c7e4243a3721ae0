//! The extensions that say where to look and under which policy, and those that nobody here knows.

use countersign_tbs::der::oids;
use countersign_tbs::x509::{ExtensionValue, TbsCertificate};

use super::{Bounds, Case, listed_in, unlisted};
use crate::policy::format::Limits;
use crate::policy::quote::{listed, quoted};
use crate::policy::{Reason, Verdict, object};

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
    url(limits, "CRL distribution point", unlisted(names, &limits.bounds.crl_urls))
}

pub(super) fn ocsp_urls(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    let locations =
        access(case.tbs).filter(|(method, _)| *method == oids::AD_OCSP).map(|(_, location)| location);
    url(limits, "OCSP responder", unlisted(locations, &limits.bounds.ocsp_urls))
}

/// Also refuses what authorityInfoAccess says beside OCSP responders and the CA's certificates.
pub(super) fn ca_issuers_urls(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    let is_other = |(method, _): &(&[u8], _)| ![oids::AD_OCSP, oids::AD_CA_ISSUERS].contains(method);
    if let Some((_, location)) = access(case.tbs).find(is_other) {
        return url(limits, "access method", Some(location.to_string()));
    }
    let locations =
        access(case.tbs).filter(|(method, _)| *method == oids::AD_CA_ISSUERS).map(|(_, location)| location);
    url(limits, "place of the CA's certificate", unlisted(locations, &limits.bounds.ca_issuers_urls))
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

/// Extensions that are not known here, by name and value; none is critical, or the parser had refused it.
pub(super) fn extension_values(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let allowed = &limits.bounds.extension_values;
    for (oid, value) in tbs.unknown_extensions() {
        let Some(values) = allowed.get(oid) else {
            let allowed = listed(allowed.keys());
            let message =
                format!("extension {oid} is not among those of profile {}: {allowed}", limits.profile);
            return object(Reason::ExtensionNotAllowed, message);
        };
        if !values.contains(value) {
            let message =
                format!("extension {oid} has a value that profile {} does not allow", limits.profile);
            return object(Reason::ExtensionValueNotAllowed, message);
        }
    }
    Ok(())
}

/// The method's identifier and the location of each description.
fn access(tbs: &TbsCertificate) -> impl Iterator<Item = (&[u8], &countersign_tbs::x509::GeneralName)> {
    let found = listed_in(tbs, |value| match value {
        ExtensionValue::AuthorityInfoAccess(descriptions) => Some(descriptions),
        _ => None,
    });
    found.iter().map(|description| (description.method.as_bytes(), &description.location))
}

fn url(limits: &Limits<'_, Bounds>, noun: &str, unlisted: Option<String>) -> Verdict {
    let Some(bad) = unlisted else { return Ok(()) };
    object(
        Reason::UrlNotAllowed,
        format!("{noun} {} is not among those of profile {}", quoted(&bad), limits.profile),
    )
}
