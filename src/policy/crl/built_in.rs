//! The rules that no configuration can loosen, for CRLs.
//!
//! In: a [`Case`]. Out: the first rule that objects. The parser has seen to the grammar: that there are a number, a key
//! identifier and a next update after this one, that no certificate is there twice, that no unknown extension is critical.

use countersign_tbs::crl::{EntryExtension, TbsCertList};
use countersign_tbs::x509::KeyUsage;

use super::{Case, saw};
use crate::key::KeyPurpose;
use crate::policy::format::BuiltIn;
use crate::policy::quote::{at, quoted};
use crate::policy::{Reason, Verdict, object, signer};

/// The rules, in the order in which they are asked.
pub(super) const RULES: &[BuiltIn<TbsCertList>] = &[
    ("list_length", saw::length, length),
    ("issuer", saw::issuer, issuer),
    ("listed_ca", saw::issuer, listed_ca),
    ("authority_key_id", saw::authority_key_id, authority_key_id),
    ("signature_algorithm", saw::signature_algorithm, signature_algorithm),
    ("signer_key_usage", signer::saw_key_usage, key_usage),
    ("signer_validity", signer::saw_validity, signer::validity),
    ("next_update", saw::updates, next_update),
    ("delta_base", saw::number, delta_base),
    ("revocation_times", saw::entries, revocation_times),
    ("entry_extensions", saw::entries, entry_extensions),
];

/// The longest TBSCertList that any key signs, in bytes: some 20,000 entries. Beyond that a list is better split, or
/// replaced by OCSP: every caller who may have one may send as much.
pub(crate) const MAX_LEN: usize = 1024 * 1024;

fn length(Case { tbs, .. }: &Case<'_>) -> Verdict {
    let len = tbs.as_bytes().len();
    if len <= MAX_LEN {
        return Ok(());
    }
    let message = format!(
        "the list has {len} bytes; no key signs one above {MAX_LEN}: leave out what has expired, split it by scope, or go on with \
         another CA key"
    );
    object(Reason::ListTooLong, message)
}

fn issuer(case: &Case<'_>) -> Verdict {
    signer::issuer(case, case.tbs.issuer())
}

/// The ledger compares a list with what it knows of the CAs of its issuer's name: if there is none, with nothing.
fn listed_ca(case: &Case<'_>) -> Verdict {
    let name = case.certificate()?.own().subject();
    if case.purpose != KeyPurpose::X509Crl || case.ca_keys.certify_as(name) {
        return Ok(());
    }
    let message = format!(
        "no x509-ca key of this signer is certified for {}, so nobody can tell what a list must name; wait until the CA's key is",
        quoted(&name.to_string())
    );
    object(Reason::CertificateAwaited, message)
}

fn authority_key_id(case: &Case<'_>) -> Verdict {
    signer::authority_key_id(case, Some(case.tbs.authority_key_id()))
}

fn signature_algorithm(case: &Case<'_>) -> Verdict {
    signer::signature_algorithm(case, case.tbs.signature_algorithm())
}

fn key_usage(case: &Case<'_>) -> Verdict {
    signer::key_usage(case, KeyUsage::CRL_SIGN)
}

/// Who reads the list must be able to verify it until the next one comes.
fn next_update(case: &Case<'_>) -> Verdict {
    let (next, end) = (case.tbs.next_update(), case.certificate()?.own().validity().not_after);
    if next.unix_secs() <= case.now.0 {
        let message = format!("nextUpdate {} has passed; it is {} now", at(next), case.now);
        return object(Reason::NextUpdatePassed, message);
    }
    if next > end {
        let (next, end) = (at(next), at(end));
        let message = format!("nextUpdate {next} is after the end of the key's certificate, {end}");
        return object(Reason::OutlivesIssuer, message);
    }
    Ok(())
}

/// RFC 5280 §5.2.4: a delta list adds to a complete one that came before it.
fn delta_base(Case { tbs, .. }: &Case<'_>) -> Verdict {
    match tbs.delta_base() {
        Some(base) if base >= tbs.number() => {
            let message = format!("{}: the base of a delta list has a lower number", saw::words(tbs));
            object(Reason::DeltaBaseNotOlder, message)
        }
        _ => Ok(()),
    }
}

fn revocation_times(Case { tbs, .. }: &Case<'_>) -> Verdict {
    let this = tbs.this_update();
    match tbs.entries().find(|entry| entry.revoked > this) {
        None => Ok(()),
        Some(entry) => {
            let (serial, revoked, this) = (entry.serial, at(entry.revoked), at(this));
            let message = format!("certificate {serial} is revoked at {revoked}, after thisUpdate, {this}");
            object(Reason::RevokedInFuture, message)
        }
    }
}

fn entry_extensions(Case { tbs, .. }: &Case<'_>) -> Verdict {
    let unknown = tbs.entries().find_map(|entry| {
        entry.extensions.into_iter().find_map(|extension| match extension {
            EntryExtension::Unknown { oid, .. } => Some((entry.serial, oid)),
            EntryExtension::Reason(_) | EntryExtension::InvalidityDate(_) => None,
        })
    });
    match unknown {
        None => Ok(()),
        Some((serial, oid)) => object(
            Reason::ExtensionNotAllowed,
            format!(
                "the entry of certificate {serial} has extension {oid}; there may be reasonCode and invalidityDate"
            ),
        ),
    }
}
