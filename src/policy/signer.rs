//! The certificate of the key that is to sign, which what it signs must agree with.
//!
//! In: a [`Case`] of any format of X.509, and what its TBS says. Out: an objection, or none. Offline the certificate may be
//! unknown, and then so is the answer.

use countersign_tbs::x509::{KeyId, KeyUsage, Name, SignatureAlgorithm};

use crate::policy::quote::{at, quoted};
use crate::policy::{Case, Objection, Reason, Verdict, object};

/// The issuer is who is certified.
pub(super) fn issuer<T>(case: &Case<'_, T>, found: &Name) -> Verdict {
    let wanted = case.certificate()?.own().subject();
    if found == wanted {
        return Ok(());
    }
    let (found, wanted) = (quoted(&found.to_string()), quoted(&wanted.to_string()));
    let message = format!("the issuer is {found}; the certificate of key {} is for {wanted}", case.key);
    object(Reason::IssuerMismatch, message)
}

/// The issuer's key is the one that is certified.
pub(super) fn authority_key_id<T>(case: &Case<'_, T>, found: Option<&KeyId>) -> Verdict {
    if found == case.certificate()?.key_id() {
        return Ok(());
    }
    let message = format!(
        "{}; it is to be the subjectKeyIdentifier in the certificate of key {}",
        saw_authority_key_id(found),
        case.key
    );
    object(Reason::AuthorityKeyIdMismatch, message)
}

/// The algorithm in the TBS is the key's.
pub(super) fn signature_algorithm<T>(case: &Case<'_, T>, found: SignatureAlgorithm) -> Verdict {
    let scheme = case.ca_keys.scheme(case.key);
    let scheme = scheme.ok_or_else(|| Objection::Unknown("the key is not in service".to_owned()))?;
    let wanted = SignatureAlgorithm::from(scheme);
    if found == wanted {
        return Ok(());
    }
    let message = format!("the TBS says {}; key {} signs by {}", found.name(), case.key, wanted.name());
    object(Reason::SignatureAlgorithmMismatch, message)
}

/// The certificate lets the key sign such things. Without keyUsage it lets it sign everything (RFC 5280 §4.2.1.3).
pub(super) fn key_usage<T>(case: &Case<'_, T>, wanted: KeyUsage) -> Verdict {
    match case.certificate()?.own().key_usage() {
        Some(usage) if !usage.contains(wanted) => {
            let message =
                format!("keyUsage in the certificate of key {} is {usage}, without {wanted}", case.key);
            object(Reason::SignerKeyUsageMissing, message)
        }
        _ => Ok(()),
    }
}

/// The certificate is valid now, and a delegated responder's CA's too.
pub(super) fn validity<T>(case: &Case<'_, T>) -> Verdict {
    case.certificate()?.valid(case.now).or_else(|error| {
        let message = format!("the certificate of key {}: {error}", case.key);
        object(Reason::SignerCertificateNotValid, message)
    })
}

pub(super) fn saw_issuer(found: &Name) -> String {
    format!("issuer {}", quoted(&found.to_string()))
}

pub(super) fn saw_authority_key_id(found: Option<&KeyId>) -> String {
    found.map_or("no authorityKeyIdentifier".to_owned(), |id| format!("authorityKeyIdentifier {id}"))
}

pub(super) fn saw_key_usage<T>(case: &Case<'_, T>) -> String {
    match case.certificate().map(|certificate| certificate.own().key_usage()) {
        Ok(Some(usage)) => format!("keyUsage of the key's certificate {usage}"),
        Ok(None) => "no keyUsage in the key's certificate".to_owned(),
        Err(_) => "keyUsage of the key's certificate".to_owned(),
    }
}

pub(super) fn saw_validity<T>(case: &Case<'_, T>) -> String {
    let Ok(certificate) = case.certificate() else { return format!("now {}", case.now) };
    let validity = certificate.own().validity();
    let (from, to) = (at(validity.not_before), at(validity.not_after));
    format!("the key's certificate valid {from} to {to}, now {}", case.now)
}
