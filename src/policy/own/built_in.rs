//! The rules that no configuration can loosen, for what a CA key signs about itself.
//!
//! In: a [`Case`]. Out: the first rule that objects. A request and a root's certificate are for the key that signs them, for the name
//! that it has if it has one, and say of it what makes a CA.

use countersign_tbs::csr::CertificationRequestInfo;
use countersign_tbs::der::Time;
use countersign_tbs::x509::{BasicConstraints, ExtensionValue, KeyUsage, RootCertificate};

use super::{Own, is_a_cas, saw_beginning, saw_extensions, saw_public_key, saw_subject};
use crate::policy::ask::Comparison;
use crate::policy::format::BuiltIn;
use crate::policy::quote::at;
use crate::policy::x509::{MIN_SERIAL_OCTETS, derived_from};
use crate::policy::{Case, Objection, Reason, Verdict, object, signer};

/// The rules of requests, in the order in which they are asked.
pub(super) const OF_REQUESTS: &[BuiltIn<CertificationRequestInfo>] = &[
    ("own_key", saw_public_key, own_key),
    ("subject", saw_subject, subject),
    ("extensions", saw_extensions, extensions),
];

/// Those of roots.
pub(super) const OF_ROOTS: &[BuiltIn<RootCertificate>] = &[
    ("own_key", saw_public_key, own_key),
    ("subject", saw_subject, subject),
    ("extensions", saw_extensions, extensions),
    ("root", saw_extensions, root),
    ("signature_algorithm", saw_public_key, |case| {
        signer::signature_algorithm(case, case.tbs.tbs().signature_algorithm())
    }),
    ("serial", saw_serial, serial),
    ("validity", saw_beginning, validity),
];

/// A signature of somebody else's key as the CA's own would be a lie about who has it.
fn own_key<T: Own>(case: &Case<'_, T>) -> Verdict {
    match case.ca_keys.compare(case.key, case.tbs.public_key()) {
        Comparison::Same => Ok(()),
        Comparison::Other(own) => {
            let found = case.tbs.public_key().fingerprint();
            let message =
                format!("this is for {found}; key {} is {own}, and signs this for itself alone", case.key);
            object(Reason::CaKeyMismatch, message)
        }
        Comparison::Unknown(why) => Err(Objection::Unknown(why.to_owned())),
    }
}

/// Whoever trusts a CA knows it by its name.
fn subject<T: Own>(case: &Case<'_, T>) -> Verdict {
    let found = case.tbs.subject();
    if found.is_empty() {
        return object(Reason::SubjectNotAllowed, "the subject is empty; a CA has a name");
    }
    match case.ca_keys.certificate(case.key).map(|certificate| certificate.own().subject()) {
        Some(own) if own != found => {
            let (found, own) = (quoted_name(found), quoted_name(own));
            let message = format!("the subject is {found}; the certificate of key {} is for {own}", case.key);
            object(Reason::SubjectNotAllowed, message)
        }
        Some(_) | None => Ok(()),
    }
}

fn quoted_name(name: &countersign_tbs::x509::Name) -> String {
    crate::policy::quote::quoted(&name.to_string())
}

/// What a CA says of itself, and nothing that would make it anything else.
fn extensions<T: Own>(case: &Case<'_, T>) -> Verdict {
    let no_ca = |lack: &str| object(Reason::CertificateKindMismatch, format!("this is no CA's: {lack}"));
    for extension in case.tbs.extensions() {
        let lack = match &extension.value {
            ExtensionValue::BasicConstraints(BasicConstraints::Ca { .. }) => None,
            ExtensionValue::BasicConstraints(BasicConstraints::Leaf) => {
                Some("basicConstraints say that it is none")
            }
            ExtensionValue::KeyUsage(usage) => usage_lack(*usage),
            ExtensionValue::SubjectKeyId(id) | ExtensionValue::AuthorityKeyId(id) => {
                (!derived_from(case.tbs.public_key(), id.as_bytes()))
                    .then_some("a key identifier is not derived from its key")
            }
            other => (!is_a_cas(other)).then_some("it has an extension that is not for a CA alone"),
        };
        if let Some(lack) = lack {
            return no_ca(lack);
        }
    }
    Ok(())
}

fn usage_lack(usage: KeyUsage) -> Option<&'static str> {
    let most = KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN | KeyUsage::DIGITAL_SIGNATURE;
    if !usage.contains(KeyUsage::KEY_CERT_SIGN) {
        return Some("keyUsage lacks keyCertSign");
    }
    (!most.contains(usage)).then_some("keyUsage has more than keyCertSign, cRLSign and digitalSignature")
}

/// RFC 5280 §4.2.1.2: a CA's certificate has a subjectKeyIdentifier; and §4.2.1.3: a keyUsage.
fn root(case: &Case<'_, RootCertificate>) -> Verdict {
    let tbs = case.tbs.tbs();
    let lack = match (tbs.key_usage(), tbs.subject_key_id(), tbs.authority_key_id()) {
        (None, ..) => "there is no keyUsage",
        (_, None, _) => "there is no subjectKeyIdentifier",
        (_, Some(own), Some(issuer)) if own != issuer => "its authorityKeyIdentifier is another's",
        (Some(_), Some(_), _) => return Ok(()),
    };
    object(Reason::CertificateKindMismatch, format!("this is no root's: {lack}"))
}

fn serial(case: &Case<'_, RootCertificate>) -> Verdict {
    let octets = case.tbs.tbs().serial().as_bytes().len();
    if octets >= MIN_SERIAL_OCTETS {
        return Ok(());
    }
    let message = format!("the serial number has {octets} octets; make it of 64 random bits at least");
    object(Reason::SerialTooShort, message)
}

fn validity(case: &Case<'_, RootCertificate>) -> Verdict {
    let not_after = case.tbs.tbs().validity().not_after;
    if not_after == Time::MAX {
        return object(
            Reason::ValidForever,
            "notAfter is the end of 9999, which means forever; give it an end",
        );
    }
    if not_after.unix_secs() < case.now.0 {
        let message = format!("notAfter {} is over; it is {} now", at(not_after), case.now);
        return object(Reason::CertificateExpired, message);
    }
    Ok(())
}

fn saw_serial(case: &Case<'_, RootCertificate>) -> String {
    format!("serial {}", case.tbs.tbs().serial())
}
