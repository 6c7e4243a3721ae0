//! What each rule looks at in an X.509 certificate, in words: for explanations, never for decisions.

use countersign_tbs::key::PublicKey;
use countersign_tbs::x509::{BasicConstraints, ExtensionValue};

use super::{Case, bounds, period};
use crate::key::UnixTime;
use crate::policy::quote::{duration, listed, quoted};
use crate::policy::signer;

pub(super) fn issuer(Case { tbs, .. }: &Case<'_>) -> String {
    signer::saw_issuer(tbs.issuer())
}

pub(super) fn authority_key_id(Case { tbs, .. }: &Case<'_>) -> String {
    signer::saw_authority_key_id(tbs.authority_key_id())
}

pub(super) fn signature_algorithm(Case { tbs, .. }: &Case<'_>) -> String {
    format!("signature algorithm {}", tbs.signature_algorithm().name())
}

pub(super) fn serial(Case { tbs, .. }: &Case<'_>) -> String {
    format!("serial number {}", tbs.serial())
}

pub(super) fn validity(case: &Case<'_>) -> String {
    let period = period(case.tbs);
    format!("notBefore {}, notAfter {}, now {}", UnixTime(period.after), UnixTime(period.before), case.now)
}

pub(super) fn beginning(case: &Case<'_>) -> String {
    period(case.tbs).beginning(case.now)
}

pub(super) fn lifetime(case: &Case<'_>) -> String {
    format!("usable for {}", duration(period(case.tbs).usable(case.now)))
}

pub(super) fn subject_key(case: &Case<'_>) -> String {
    format!("{} {}", subject_algorithm(case), case.tbs.public_key().fingerprint())
}

pub(super) fn subject_algorithm(Case { tbs, .. }: &Case<'_>) -> String {
    format!("subject key {}", bounds::algorithm(tbs.public_key()))
}

pub(super) fn rsa_bits(Case { tbs, .. }: &Case<'_>) -> String {
    match tbs.public_key() {
        PublicKey::Rsa(rsa) => format!("an RSA subject key of {} bits", rsa.bits()),
        _ => "no RSA subject key".to_owned(),
    }
}

pub(super) fn subject_key_id(Case { tbs, .. }: &Case<'_>) -> String {
    tbs.subject_key_id()
        .map_or("no subjectKeyIdentifier".to_owned(), |id| format!("subjectKeyIdentifier {id}"))
}

pub(super) fn basic_constraints(Case { tbs, .. }: &Case<'_>) -> String {
    match tbs.basic_constraints() {
        None | Some(BasicConstraints::Leaf) => "a leaf".to_owned(),
        Some(BasicConstraints::Ca { path_len: None }) => "a CA's, without a path length".to_owned(),
        Some(BasicConstraints::Ca { path_len: Some(length) }) => format!("a CA's, path length {length}"),
    }
}

pub(super) fn key_usage(Case { tbs, .. }: &Case<'_>) -> String {
    tbs.key_usage().map_or("no keyUsage".to_owned(), |usage| format!("keyUsage {usage}"))
}

pub(super) fn ext_key_usage(Case { tbs, .. }: &Case<'_>) -> String {
    format!("extKeyUsage {}", listed(tbs.ext_key_usage().iter()))
}

pub(super) fn name_constraints(Case { tbs, .. }: &Case<'_>) -> String {
    match bounds::name_constraints(tbs) {
        None => "no nameConstraints".to_owned(),
        Some(found) => {
            format!(
                "nameConstraints with {} permitted and {} excluded",
                found.permitted.len(),
                found.excluded.len()
            )
        }
    }
}

pub(super) fn subject(Case { tbs, .. }: &Case<'_>) -> String {
    format!("subject {}", quoted(&tbs.subject().to_string()))
}

pub(super) fn names(Case { tbs, .. }: &Case<'_>) -> String {
    let names = tbs.subject_alt_names().iter().map(|name| quoted(&name.to_string()));
    format!("alternative names {}", listed(names))
}

pub(super) fn count_of_names(Case { tbs, .. }: &Case<'_>) -> String {
    format!("alternative names: {}", tbs.subject_alt_names().len())
}

pub(super) fn extensions(Case { tbs, .. }: &Case<'_>) -> String {
    let words: Vec<&str> = tbs.extensions().iter().map(|extension| word(&extension.value)).collect();
    format!("extensions: {}", listed(words.iter()))
}

/// By its name in its standard.
const fn word(value: &ExtensionValue) -> &'static str {
    match value {
        ExtensionValue::BasicConstraints(_) => "basicConstraints",
        ExtensionValue::KeyUsage(_) => "keyUsage",
        ExtensionValue::ExtKeyUsage(_) => "extKeyUsage",
        ExtensionValue::SubjectAltName(_) => "subjectAltName",
        ExtensionValue::AuthorityKeyId(_) => "authorityKeyIdentifier",
        ExtensionValue::SubjectKeyId(_) => "subjectKeyIdentifier",
        ExtensionValue::CrlDistributionPoints(_) => "cRLDistributionPoints",
        ExtensionValue::AuthorityInfoAccess(_) => "authorityInfoAccess",
        ExtensionValue::CertificatePolicies(_) => "certificatePolicies",
        ExtensionValue::NameConstraints(_) => "nameConstraints",
        ExtensionValue::SecurityIdentifier(_) => "szOID_NTDS_CA_SECURITY_EXT",
        ExtensionValue::OcspNoCheck => "ocsp-nocheck",
        ExtensionValue::TlsFeature(_) => "tlsfeature",
        ExtensionValue::Unknown { .. } => "one that is not known here",
    }
}
