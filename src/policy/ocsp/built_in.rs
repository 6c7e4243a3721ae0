//! The rules that no configuration can loosen, for OCSP responses.
//!
//! In: a [`Case`]. Out: the first rule that objects. The parser has seen to the grammar: that there are 1 to 256 answers, none
//! about one certificate twice, and that each ends after it begins. A response does not say how it is to be signed.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use countersign_tbs::der::Oid;
use countersign_tbs::ocsp::{
    CertStatus, IssuerHashes, ResponderId, ResponseData, ResponseExtension, public_key_bits,
};
use countersign_tbs::x509::{KeyUsage, TbsCertificate};

use super::{Case, saw};
use crate::policy::format::BuiltIn;
use crate::policy::quote::at;
use crate::policy::{Reason, Verdict, object, signer};

/// The rules, in the order in which they are asked.
pub(super) const RULES: &[BuiltIn<ResponseData>] = &[
    ("responder", saw::responder, responder),
    ("issuer", saw::certificates, issuer),
    ("signer_key_usage", signer::saw_key_usage, key_usage),
    ("signer_validity", signer::saw_validity, signer::validity),
    ("this_update", saw::updates, this_update),
    ("next_update", saw::updates, next_update),
    ("revocation_times", saw::certificates, revocation_times),
    ("extensions", saw::extensions, extensions),
];

/// RFC 6960 §4.2.1: the subject of the responder's certificate, or the SHA-1 of its key.
fn responder(case: &Case<'_>) -> Verdict {
    let own = case.certificate()?.own();
    let same = match case.tbs.responder() {
        ResponderId::Name(name) => name == own.subject(),
        ResponderId::KeyHash(hash) => hash[..] == *key_hash(&SHA1_FOR_LEGACY_USE_ONLY, own).as_ref(),
    };
    if same {
        return Ok(());
    }
    let message = format!(
        "{}; it is to be the subject in the certificate of key {}, or the SHA-1 of its key",
        saw::responder(case),
        case.key
    );
    object(Reason::ResponderMismatch, message)
}

/// RFC 6960 §4.1.1: every answer is about a certificate of the CA that the key may answer for.
fn issuer(case: &Case<'_>) -> Verdict {
    let ca = case.certificate()?.ca();
    let is_of = |algorithm, name: &[u8], key: &[u8]| {
        digest(algorithm, ca.subject().as_der()).as_ref() == name && key_hash(algorithm, ca).as_ref() == key
    };
    let is_own = |issuer: &IssuerHashes| match issuer {
        IssuerHashes::Sha1 { name, key } => is_of(&SHA1_FOR_LEGACY_USE_ONLY, name, key),
        IssuerHashes::Sha256 { name, key } => is_of(&SHA256, name, key),
    };
    match case.tbs.responses().iter().find(|response| !is_own(&response.cert_id.issuer)) {
        None => Ok(()),
        Some(response) => {
            let message = format!(
                "certificate {} is said to be of another CA than the one that key {} answers for",
                response.cert_id.serial, case.key
            );
            object(Reason::IssuerMismatch, message)
        }
    }
}

fn key_hash(algorithm: &'static Algorithm, certificate: &TbsCertificate) -> aws_lc_rs::digest::Digest {
    digest(algorithm, &public_key_bits(certificate.public_key()))
}

fn key_usage(case: &Case<'_>) -> Verdict {
    signer::key_usage(case, KeyUsage::DIGITAL_SIGNATURE)
}

/// RFC 6960 §2.4: the status was known before the response was made.
fn this_update(Case { tbs, .. }: &Case<'_>) -> Verdict {
    let made = tbs.produced_at();
    match tbs.responses().iter().find(|response| response.this_update > made) {
        None => Ok(()),
        Some(response) => {
            let (serial, this, made) = (&response.cert_id.serial, at(response.this_update), at(made));
            let message = format!("thisUpdate {this} of certificate {serial} is after producedAt, {made}");
            object(Reason::StatusInFuture, message)
        }
    }
}

fn next_update(Case { tbs, now, .. }: &Case<'_>) -> Verdict {
    let passed = |response: &&countersign_tbs::ocsp::SingleResponse| {
        response.next_update.is_some_and(|next| next.unix_secs() <= now.0)
    };
    match tbs.responses().iter().find(passed) {
        None => Ok(()),
        Some(response) => {
            let serial = &response.cert_id.serial;
            let message = format!("nextUpdate of certificate {serial} has passed; it is {now} now");
            object(Reason::NextUpdatePassed, message)
        }
    }
}

fn revocation_times(Case { tbs, .. }: &Case<'_>) -> Verdict {
    let made = tbs.produced_at();
    for response in tbs.responses() {
        match response.status {
            CertStatus::Revoked { at: revoked, .. } if revoked > made => {
                let (serial, revoked, made) = (&response.cert_id.serial, at(revoked), at(made));
                let message =
                    format!("certificate {serial} is revoked at {revoked}, after producedAt, {made}");
                return object(Reason::RevokedInFuture, message);
            }
            CertStatus::Revoked { .. } | CertStatus::Good | CertStatus::Unknown => {}
        }
    }
    Ok(())
}

fn extensions(Case { tbs, .. }: &Case<'_>) -> Verdict {
    match unknown(tbs).next() {
        None => Ok(()),
        Some(oid) => object(
            Reason::ExtensionNotAllowed,
            format!("extension {oid} is not known here; a response may have a nonce, and an answer none"),
        ),
    }
}

/// Of the response, and of each answer.
pub(super) fn unknown(tbs: &ResponseData) -> impl Iterator<Item = &Oid> {
    let of_all = tbs.extensions().iter().filter_map(|extension| match extension {
        ResponseExtension::Nonce(_) => None,
        ResponseExtension::Unknown(unknown) => Some(&unknown.oid),
    });
    of_all.chain(tbs.responses().iter().flat_map(|one| one.extensions.iter().map(|unknown| &unknown.oid)))
}
