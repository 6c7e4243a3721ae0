//! The rules that no configuration can loosen, for X.509 certificates.
//!
//! In: a [`Case`]. Out: the first rule that objects. The parser has seen to the grammar, to known critical extensions, and to
//! what RFC 5280 says about them together; here a certificate is compared with the CA that is to sign it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use countersign_tbs::der::Time;
use countersign_tbs::key::PublicKey;
use countersign_tbs::ocsp::public_key_bits;
use countersign_tbs::x509::{BasicConstraints, GeneralName, TbsCertificate};

use super::{Case, saw};
use crate::policy::format::BuiltIn;
use crate::policy::quote::{at, quoted};
use crate::policy::{Reason, Verdict, object, signer, subject_key as any_key};

/// The rules, in the order in which they are asked.
pub(super) const RULES: &[BuiltIn<TbsCertificate>] = &[
    ("issuer", saw::issuer, issuer),
    ("subject", saw::subject, subject),
    ("authority_key_id", saw::authority_key_id, authority_key_id),
    ("signature_algorithm", saw::signature_algorithm, signature_algorithm),
    ("serial", saw::serial, serial),
    ("validity", saw::validity, validity),
    ("issuer_validity", saw::validity, issuer_validity),
    ("issuer_path_length", saw::basic_constraints, issuer_path_length),
    ("subject_key", saw::subject_key, subject_key),
    ("subject_key_id", saw::subject_key_id, subject_key_id),
    ("name_case", saw::names, name_case),
];

/// What is left of 64 random bits in all but one certificate of 2^64, if the serial number has a fixed first octet (CA/Browser
/// Forum Baseline Requirements §7.1); a counter does not get there.
pub(in crate::policy) const MIN_SERIAL_OCTETS: usize = 8;

fn issuer(case: &Case<'_>) -> Verdict {
    signer::issuer(case, case.tbs.issuer())
}

/// RFC 5280 §4.1.2.6 and §6.1: a CA below of the same name counts in no path length, is held to no name constraints, and its
/// CRLs pass for those of this CA.
fn subject(case: &Case<'_>) -> Verdict {
    if !case.tbs.subject().matches(case.certificate()?.ca().subject()) {
        return Ok(());
    }
    let message =
        format!("{} is the name of the CA itself; give the certificate another subject", saw::subject(case));
    object(Reason::SubjectIsIssuer, message)
}

fn authority_key_id(case: &Case<'_>) -> Verdict {
    signer::authority_key_id(case, case.tbs.authority_key_id())
}

fn signature_algorithm(case: &Case<'_>) -> Verdict {
    signer::signature_algorithm(case, case.tbs.signature_algorithm())
}

/// RFC 5280 §4.1.2.2: a root's own certificate has one of its serial numbers, which the ledger does not know.
fn serial(case: &Case<'_>) -> Verdict {
    let serial = case.tbs.serial();
    let octets = serial.as_bytes().len();
    if octets < MIN_SERIAL_OCTETS {
        let message = format!("the serial number has {octets} octets; make it of 64 random bits at least");
        return object(Reason::SerialTooShort, message);
    }
    let ca = case.certificate()?.ca();
    if ca.issuer() == ca.subject() && ca.serial() == serial {
        let message = format!("serial number {serial} is that of the CA's own certificate");
        return object(Reason::SerialReused, message);
    }
    Ok(())
}

fn validity(Case { tbs, now, .. }: &Case<'_>) -> Verdict {
    let not_after = tbs.validity().not_after;
    if not_after == Time::MAX {
        return object(
            Reason::ValidForever,
            "notAfter is the end of 9999, which means forever; give it an end",
        );
    }
    if not_after.unix_secs() < now.0 {
        let message = format!("notAfter {} is over; it is {now} now", at(not_after));
        return object(Reason::CertificateExpired, message);
    }
    Ok(())
}

fn issuer_validity(case: &Case<'_>) -> Verdict {
    let (found, issuer) = (case.tbs.validity(), case.certificate()?.ca().validity());
    if found.not_after > issuer.not_after {
        let (found, issuer) = (at(found.not_after), at(issuer.not_after));
        let message = format!("notAfter {found} is after that of the CA's certificate, {issuer}");
        return object(Reason::OutlivesIssuer, message);
    }
    if found.not_before < issuer.not_before {
        let (found, issuer) = (at(found.not_before), at(issuer.not_before));
        let message = format!("notBefore {found} is before that of the CA's certificate, {issuer}");
        return object(Reason::PrecedesIssuer, message);
    }
    Ok(())
}

/// RFC 5280 §4.2.1.9: a CA below this one has a shorter path, if this one's is limited.
fn issuer_path_length(case: &Case<'_>) -> Verdict {
    let Some(BasicConstraints::Ca { path_len: found }) = case.tbs.basic_constraints() else { return Ok(()) };
    let Some(BasicConstraints::Ca { path_len: Some(limit) }) = case.certificate()?.ca().basic_constraints()
    else {
        return Ok(());
    };
    if found.is_some_and(|found| found < limit) {
        return Ok(());
    }
    let found = found.map_or("not limited".to_owned(), |found| found.to_string());
    let message =
        format!("the path length is {found}; that of the CA's certificate is {limit}, so it must be below");
    object(Reason::PathLengthNotAllowed, message)
}

fn subject_key(case: &Case<'_>) -> Verdict {
    let subject = case.tbs.public_key();
    any_key::check(case, subject, subject.to_ssh_wire().as_deref())
}

/// RFC 5280 §4.2.1.2 and RFC 7093 §2: an identifier of the key. Free text there could send verifiers after another CA's key.
fn subject_key_id(Case { tbs, .. }: &Case<'_>) -> Verdict {
    let Some(found) = tbs.subject_key_id() else { return Ok(()) };
    if derived_from(tbs.public_key(), found.as_bytes()) {
        return Ok(());
    }
    let message = "subjectKeyIdentifier is not derived from the key: take its SHA-1 (RFC 5280 §4.2.1.2), or the first 160 \
                   bits of its SHA-256 (RFC 7093 §2)";
    object(Reason::SubjectKeyIdMismatch, message)
}

/// Verifiers do not tell the case of domains; a ledger that is searched and revokes by name does, so each has one spelling.
fn name_case(Case { tbs, .. }: &Case<'_>) -> Verdict {
    let is_spelt_otherwise = |name: &&GeneralName| match name {
        GeneralName::Dns(name) => name.contains(|c: char| c.is_ascii_uppercase()),
        GeneralName::Email(address) => {
            let domain = address.rsplit_once('@').map_or(address.as_str(), |(_, domain)| domain);
            domain.contains(|c: char| c.is_ascii_uppercase())
        }
        GeneralName::Uri(_)
        | GeneralName::Ip(_)
        | GeneralName::UserPrincipalName(_)
        | GeneralName::Directory(_) => false,
    };
    match tbs.subject_alt_names().iter().find(is_spelt_otherwise) {
        None => Ok(()),
        Some(name) => {
            let message = format!(
                "{} has a domain with capital letters; write it in small ones",
                quoted(&name.to_string())
            );
            object(Reason::NameNotAllowed, message)
        }
    }
}

/// Whether `found` is one of the identifiers that RFC 5280 and RFC 7093 derive from `key`.
pub(in crate::policy) fn derived_from(key: &PublicKey, found: &[u8]) -> bool {
    let bits = public_key_bits(key);
    let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, &bits);
    let sha256 = digest(&SHA256, &bits);
    let spki = digest(&SHA256, &key.to_spki_der());
    let derived =
        [Some(sha1.as_ref()), sha256.as_ref().get(..20), Some(sha256.as_ref()), Some(spki.as_ref())];
    derived.contains(&Some(found))
}
