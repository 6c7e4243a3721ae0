//! The rules that no configuration can loosen, for SSH certificates.
//!
//! In: a [`Case`]. Out: the first rule that objects. The parser has seen to what makes a certificate well formed: that
//! there are 1 to 256 principals, that the validity ends after it begins, that nothing has control characters.

use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{CertificateTbs, CertificateType, SubjectKey};

use super::{Case, saw};
use crate::key::{KeyPurpose, UnixTime};
use crate::policy::ask::Comparison;
use crate::policy::format::BuiltIn;
use crate::policy::quote::quoted;
use crate::policy::{Objection, Reason, Verdict, object, subject_key as any_key};

/// The rules, in the order in which they are asked.
pub(super) const RULES: &[BuiltIn<CertificateTbs>] = &[
    ("ca_key", saw::ca_key, ca_key),
    ("certificate_type", saw::certificate_type, certificate_type),
    ("serial", saw::serial, serial),
    ("key_id", saw::key_id, key_id),
    ("principals", saw::principals, principals),
    ("validity", saw::validity, validity),
    ("subject_key", saw::subject_key, subject_key),
];

/// The most principals in a certificate: the parser refuses more, as OpenSSH does (`SSHKEY_CERT_MAX_PRINCIPALS`).
pub(crate) const MAX_PRINCIPALS: usize = 256;

/// Whether a principal is made of characters that every implementation reads alike: no list separator, no wildcard, no
/// white space, nothing that a shell or a log reads differently (CVE-2026-35414, field-notes B2).
pub(crate) fn is_principal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@-+:/".contains(&byte))
}

fn ca_key(Case { ca_keys, key, tbs, .. }: &Case<'_>) -> Verdict {
    match ca_keys.compare(key, tbs.ca_key()) {
        Comparison::Same => Ok(()),
        Comparison::Other(wanted) => {
            let found = tbs.ca_key().fingerprint();
            object(Reason::CaKeyMismatch, format!("the TBS names CA key {found}; key {key} is {wanted}"))
        }
        Comparison::Unknown(why) => Err(Objection::Unknown(why.to_owned())),
    }
}

fn certificate_type(Case { key, purpose, tbs, .. }: &Case<'_>) -> Verdict {
    let found = tbs.certificate_type();
    match (purpose, found) {
        (KeyPurpose::SshUserCa, CertificateType::User) | (KeyPurpose::SshHostCa, CertificateType::Host) => {
            Ok(())
        }
        _ => object(
            Reason::CertificateTypeNotAllowed,
            format!("this is a {found} certificate; key {key} is for purpose {purpose}"),
        ),
    }
}

fn serial(Case { tbs, .. }: &Case<'_>) -> Verdict {
    if tbs.serial() != 0 {
        return Ok(());
    }
    object(
        Reason::SerialZero,
        "the serial is 0; use a random one, so that this certificate can be revoked by itself",
    )
}

fn key_id(Case { tbs, .. }: &Case<'_>) -> Verdict {
    if !tbs.key_id().is_empty() {
        return Ok(());
    }
    object(
        Reason::KeyIdEmpty,
        "the key id is empty; sshd logs it at each login: name who or what this is for",
    )
}

fn principals(Case { tbs, .. }: &Case<'_>) -> Verdict {
    let Some(bad) = tbs.principals().iter().find(|principal| !is_principal(principal)) else { return Ok(()) };
    let message = format!("principal {} is not made of A-Z a-z 0-9 . _ @ - + : /", quoted(bad));
    object(Reason::PrincipalInvalid, message)
}

fn validity(Case { tbs, now, .. }: &Case<'_>) -> Verdict {
    let before = tbs.valid_before();
    if before == u64::MAX {
        return object(Reason::ValidForever, "valid_before is 2^64-1, which means forever; give it an end");
    }
    if before <= now.0 {
        let message = format!("valid_before {} is over; it is {now} now", UnixTime(before));
        return object(Reason::CertificateExpired, message);
    }
    Ok(())
}

fn subject_key(case: &Case<'_>) -> Verdict {
    let subject = case.tbs.subject_key();
    any_key::check(case, &bare_key(subject), Some(&subject.to_wire()))
}

/// The key itself, without what a security key adds to it.
fn bare_key(subject: &SubjectKey) -> PublicKey {
    match subject {
        SubjectKey::Plain(key) => key.clone(),
        SubjectKey::SkEd25519 { key, .. } => PublicKey::Ed25519(*key),
        SubjectKey::SkEcdsaP256 { point, .. } => PublicKey::Ecdsa(point.clone()),
    }
}
