//! What a profile bounds in an X.509 certificate.
//!
//! In: a [`Case`]. Out: the first rule that objects. To add a rule, write one function, one line in [`RULES`] and one key in
//! `config/profile/x509.rs`; its name in [`RULES`] is that key.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use countersign_tbs::der::Oid;
use countersign_tbs::key::{Curve, ParameterSet, PublicKey};
use countersign_tbs::x509::{BasicConstraints, ExtensionValue, KeyUsage, NameConstraints, TbsCertificate};

use super::kind::CertificateKind;
use super::names::{self, NameBounds};
use super::{Case, extensions, period, saw};
use crate::policy::canonical::{write_each, write_validity};
use crate::policy::format::{Bounded, Limits};
use crate::policy::listing::{ExtensionValues, write_extension_values};
use crate::policy::quote::listed;
use crate::policy::validity::ValidityBounds;
use crate::policy::{Reason, Verdict, object};

/// Every field bounds something; an empty set allows nothing.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// What the certificate is for.
    pub(crate) signs: CertificateKind,
    /// The subject key's algorithm, of [`SUBJECT_KEYS`].
    pub(crate) subject_keys: BTreeSet<&'static str>,
    /// How long an RSA subject key is, at least.
    pub(crate) min_rsa_bits: usize,
    /// All that keyUsage may have.
    pub(crate) key_usage: KeyUsage,
    /// All that extKeyUsage may have.
    pub(crate) ext_key_usage: BTreeSet<Oid>,
    /// How many CAs may follow below a CA.
    pub(crate) max_path_length: u16,
    /// Exactly what a CA's nameConstraints are; empty for none.
    pub(crate) name_constraints: NameConstraints,
    /// Whom it is for.
    pub(crate) names: NameBounds,
    /// The certificate policies that may be there, without qualifiers.
    pub(crate) policies: BTreeSet<Oid>,
    /// Where CRLs may be said to be.
    pub(crate) crl_urls: BTreeSet<String>,
    /// Where OCSP responders may be said to be.
    pub(crate) ocsp_urls: BTreeSet<String>,
    /// Where the CA's certificate may be said to be.
    pub(crate) ca_issuers_urls: BTreeSet<String>,
    /// Whether the TLS feature `status_request` may be there.
    pub(crate) must_staple: bool,
    /// Extensions that are not known here, and the values that they may have.
    pub(crate) extension_values: ExtensionValues,
    /// When it is valid.
    pub(crate) validity: ValidityBounds,
}

/// Every subject key algorithm that the TBS parser knows.
pub(crate) const SUBJECT_KEYS: [&str; 8] =
    ["ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"];
/// Those that a profile allows that says nothing of them.
pub(crate) const DEFAULT_SUBJECT_KEYS: [&str; 4] = ["ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521"];

/// The rules, in the order in which they are asked, each under the key of the configuration that sets it.
pub(super) const RULES: &[Bounded<TbsCertificate>] = &[
    ("signs", saw::basic_constraints, signs),
    ("subject_keys", saw::subject_algorithm, subject_keys),
    ("min_rsa_bits", saw::rsa_bits, min_rsa_bits),
    ("key_usage", saw::key_usage, key_usage),
    ("ext_key_usage", saw::ext_key_usage, ext_key_usage),
    ("max_path_length", saw::basic_constraints, max_path_length),
    ("name_constraints", saw::name_constraints, exact_name_constraints),
    ("max_names", saw::count_of_names, names::max_names),
    ("dns_names", saw::names, names::dns_names),
    ("wildcard_dns_names", saw::names, names::wildcard_dns_names),
    ("ip_addresses", saw::names, names::ip_addresses),
    ("email_addresses", saw::names, names::email_addresses),
    ("uris", saw::names, names::uris),
    ("user_principal_names", saw::names, names::user_principal_names),
    ("security_identifiers", saw::extensions, names::security_identifiers),
    ("upn_without_sid", saw::names, names::upn_without_sid),
    ("subject", saw::subject, names::subject),
    ("policies", saw::extensions, extensions::policies),
    ("crl_urls", saw::extensions, extensions::crl_urls),
    ("ocsp_urls", saw::extensions, extensions::ocsp_urls),
    ("ca_issuers_urls", saw::extensions, extensions::ca_issuers_urls),
    ("must_staple", saw::extensions, extensions::must_staple),
    ("extension_values", saw::extensions, extensions::extension_values),
    ("backdating", saw::beginning, backdating),
    ("start_within", saw::beginning, start_within),
    ("min_lifetime", saw::lifetime, min_lifetime),
    ("max_lifetime", saw::lifetime, max_lifetime),
];

/// The word for a key's algorithm in configuration and messages.
pub(super) fn algorithm(key: &PublicKey) -> &'static str {
    match key {
        PublicKey::Ed25519(_) => "ed25519",
        PublicKey::Ecdsa(point) => match point.curve() {
            Curve::P256 => "ecdsa-p256",
            Curve::P384 => "ecdsa-p384",
            Curve::P521 => "ecdsa-p521",
        },
        PublicKey::Rsa(_) => "rsa",
        PublicKey::MlDsa(key) => match key.parameters() {
            ParameterSet::MlDsa44 => "ml-dsa-44",
            ParameterSet::MlDsa65 => "ml-dsa-65",
            ParameterSet::MlDsa87 => "ml-dsa-87",
        },
    }
}

pub(super) fn name_constraints(tbs: &TbsCertificate) -> Option<&NameConstraints> {
    tbs.extensions().iter().find_map(|extension| match &extension.value {
        ExtensionValue::NameConstraints(constraints) => Some(constraints),
        _ => None,
    })
}

fn signs(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let kind = limits.bounds.signs;
    if let Some(name) = names::directory_name(tbs) {
        return object(
            Reason::NameNotAllowed,
            format!("{name} is an alternative name that no profile can bound"),
        );
    }
    match kind.lack(tbs) {
        None => Ok(()),
        Some(lack) => object(
            Reason::CertificateKindMismatch,
            format!(
                "this is no certificate of kind {}, which profile {} is for: {lack}",
                kind.name(),
                limits.profile
            ),
        ),
    }
}

fn subject_keys(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let algorithm = algorithm(tbs.public_key());
    if limits.bounds.subject_keys.contains(algorithm) {
        return Ok(());
    }
    let (profile, allowed) = (limits.profile, listed(limits.bounds.subject_keys.iter()));
    let message =
        format!("subject key algorithm {algorithm} is not among those of profile {profile}: {allowed}");
    object(Reason::SubjectKeyNotAllowed, message)
}

fn min_rsa_bits(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    match tbs.public_key() {
        PublicKey::Rsa(rsa) if rsa.bits() < limits.bounds.min_rsa_bits => {
            let (bits, profile, wanted) = (rsa.bits(), limits.profile, limits.bounds.min_rsa_bits);
            let message = format!("the RSA subject key has {bits} bits; profile {profile} wants {wanted}");
            object(Reason::SubjectKeyTooShort, message)
        }
        _ => Ok(()),
    }
}

/// What a key that only signs may be for.
const SIGNING: KeyUsage = KeyUsage::DIGITAL_SIGNATURE
    .with(KeyUsage::NON_REPUDIATION)
    .with(KeyUsage::KEY_CERT_SIGN)
    .with(KeyUsage::CRL_SIGN);

/// RFC 5280 §4.2.1.3: without keyUsage the key may be used for everything. RFC 9881 §5: ML-DSA keys can only sign.
fn key_usage(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let (required, allowed) = (limits.bounds.signs.required_usage(), limits.bounds.key_usage);
    match (tbs.key_usage(), tbs.public_key()) {
        (Some(found), PublicKey::MlDsa(_)) if !SIGNING.contains(found) => {
            let message = format!("keyUsage is {found}, of which an ML-DSA key can do {SIGNING} at most");
            object(Reason::KeyUsageNotAllowed, message)
        }
        (Some(found), _) if found.contains(required) && allowed.contains(found) => Ok(()),
        (found, _) => {
            let found = found.map_or("none".to_owned(), |found| found.to_string());
            let message = format!(
                "keyUsage is {found}; profile {} wants {required}, and allows {allowed}",
                limits.profile
            );
            object(Reason::KeyUsageNotAllowed, message)
        }
    }
}

/// RFC 5280 §4.2.1.12: without extKeyUsage a leaf may be used for everything. So may what a CA certifies, by those verifiers
/// that look for purposes along the path: where purposes are listed, a CA has some of them.
fn ext_key_usage(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let (found, allowed) = (tbs.ext_key_usage(), &limits.bounds.ext_key_usage);
    let required = limits.bounds.signs.purposes();
    if let Some(bad) = found.iter().find(|purpose| !allowed.contains(*purpose)) {
        let (profile, allowed) = (limits.profile, listed(allowed.iter()));
        let message = format!("extKeyUsage {bad} is not among those of profile {profile}: {allowed}");
        return object(Reason::ExtKeyUsageNotAllowed, message);
    }
    let has = |purpose: &[u8]| found.iter().any(|found| found.as_bytes() == purpose);
    match required.iter().find(|purpose| !has(purpose)) {
        None if found.is_empty() && !allowed.is_empty() => {
            let (profile, allowed) = (limits.profile, listed(allowed.iter()));
            let message = format!("extKeyUsage is missing; profile {profile} wants some of {allowed}");
            object(Reason::ExtKeyUsageNotAllowed, message)
        }
        None => Ok(()),
        Some(missing) => {
            let missing = Oid::from_contents(missing).map(|oid| oid.to_string()).unwrap_or_default();
            let message = format!("extKeyUsage {missing} is missing; profile {} wants it", limits.profile);
            object(Reason::ExtKeyUsageNotAllowed, message)
        }
    }
}

fn max_path_length(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let limit = limits.bounds.max_path_length;
    match tbs.basic_constraints() {
        None | Some(BasicConstraints::Leaf) => Ok(()),
        Some(BasicConstraints::Ca { path_len: Some(length) }) if length <= limit => Ok(()),
        Some(BasicConstraints::Ca { path_len }) => {
            let found = path_len.map_or("not limited".to_owned(), |length| length.to_string());
            let message = format!("the path length is {found}; profile {} allows {limit}", limits.profile);
            object(Reason::PathLengthNotAllowed, message)
        }
    }
}

/// The same subtrees, in any order: neither list has one that the other lacks, and none is there once more.
fn exact_name_constraints(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let none = NameConstraints::default();
    let (found, wanted) = (name_constraints(tbs).unwrap_or(&none), &limits.bounds.name_constraints);
    let within = |a: &[_], b: &[_]| a.iter().all(|subtree| b.contains(subtree));
    let alike = |a: &[_], b: &[_]| a.len() == b.len() && within(a, b) && within(b, a);
    if alike(&found.permitted, &wanted.permitted) && alike(&found.excluded, &wanted.excluded) {
        return Ok(());
    }
    let message = format!("nameConstraints are not exactly those of profile {}", limits.profile);
    object(Reason::NameConstraintsMismatch, message)
}

fn backdating(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.validity.backdating(limits.profile, &period(case.tbs), case.now)
}

fn start_within(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.validity.start_within(limits.profile, &period(case.tbs), case.now)
}

fn min_lifetime(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.validity.min_lifetime(limits.profile, &period(case.tbs), case.now)
}

fn max_lifetime(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.validity.max_lifetime(limits.profile, &period(case.tbs), case.now)
}

impl Bounds {
    /// As the policy's digest covers them.
    pub(in crate::policy) fn canonical(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "signs {}", self.signs.name())?;
        write_each(out, "subject_key", &self.subject_keys)?;
        writeln!(out, "min_rsa_bits {}", self.min_rsa_bits)?;
        writeln!(out, "key_usage {}", self.key_usage)?;
        write_each(out, "ext_key_usage", &self.ext_key_usage)?;
        writeln!(out, "max_path_length {}", self.max_path_length)?;
        write_each(out, "permitted_name", &self.name_constraints.permitted)?;
        write_each(out, "excluded_name", &self.name_constraints.excluded)?;
        self.names.canonical(out)?;
        write_each(out, "policy", &self.policies)?;
        write_each(out, "crl_url", &self.crl_urls)?;
        write_each(out, "ocsp_url", &self.ocsp_urls)?;
        write_each(out, "ca_issuers_url", &self.ca_issuers_urls)?;
        writeln!(out, "must_staple {}", self.must_staple)?;
        write_extension_values(out, &self.extension_values)?;
        write_validity(out, &self.validity)
    }
}
