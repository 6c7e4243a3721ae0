//! What is no ResponseData and is sent as one, and good responses that are sent to other keys or under another kind.

use super::{Case, Forgery, SERIAL, Signer, case, of_issuer, sha256_of_name};
use crate::corpus::signers::SHA256_OF_CRL_CA;
use crate::corpus::x509::der::{der, octets, oid, seq};
use crate::corpus::x509::{case_of, server_under, whole};
use crate::corpus::{self, crl};

const CRL: &str = "x509-crl";
const CERTIFICATE: &str = "x509-certificate";
const OCSP: &str = "ocsp-response";
const REFUSED: &str = "TBS_KIND_NOT_ALLOWED by built-in.tbs_kind";
const BY_SIGNS: &str = "TBS_KIND_NOT_ALLOWED by signs";
const NO_CRL_SIGN: &str = "SIGNER_KEY_USAGE_MISSING by built-in.signer_key_usage";

pub fn cases() -> Vec<Case> {
    [bytes(), crossed(), misdirected()].concat()
}

/// Other bytes, as a response of the key that answers.
fn bytes() -> Vec<Case> {
    let key = Signer::OcspKey;
    let signature = [seq(&[&oid("1.2.840.10045.4.3.2")]), der(3, &[&[0][..], &[1; 70]].concat())].concat();
    let basic = seq(&[&Forgery::of(key).encode(), &signature]);
    let wrapped = der(0xa0, &seq(&[&oid("1.3.6.1.5.5.7.48.1.1"), &octets(&basic)]));
    let request = seq(&[&seq(&[&seq(&[&of_issuer(&[7; 32], &[7; 32], SERIAL)])])]);
    let rows = [
        ("basic-response", "a finished response", "DER_UNEXPECTED_TAG", basic.clone()),
        (
            "response",
            "a finished response as it is sent",
            "DER_UNEXPECTED_TAG",
            seq(&[&[10, 1, 0], &wrapped]),
        ),
        ("request", "what a requestor signs", "DER_UNEXPECTED_TAG", request),
        ("digest", "a digest without a name", "DER_UNEXPECTED_TAG", vec![7; 32]),
    ];
    rows.map(|(name, attack, reason, tbs)| {
        case(key, "foreign", (name, attack, "B7", reason), vec![("bytes", tbs)])
    })
    .to_vec()
}

/// TBSs of one kind under the name of another, of a key that signs both, or one of them.
fn crossed() -> Vec<Case> {
    let of = |signer: Signer| server_under(signer.key(), &signer.key_id());
    let response = |signer: Signer| whole(Forgery::of(signer).encode());
    let list = |signer: Signer| whole(crl::tbs_of(signer));
    let ssh = || corpus::good().tbs;
    let (ca, key) = (Signer::OcspCa, Signer::OcspKey);
    let rows = [
        ("certificate-as-response", OCSP, ca, "a certificate by who may have answers", "VERSION", of(ca)),
        (
            "certificate-as-response-by-ocsp-key",
            OCSP,
            key,
            "a certificate by the key that answers",
            "VERSION",
            of(ca),
        ),
        ("list-as-response", OCSP, ca, "a list by who may have answers", "DER_UNEXPECTED_TAG", list(ca)),
        (
            "list-as-response-by-ocsp-key",
            OCSP,
            key,
            "a list by the key that answers",
            "DER_UNEXPECTED_TAG",
            list(ca),
        ),
        ("ssh-as-response", OCSP, ca, "an SSH login by who may have answers", "DER_UNEXPECTED_TAG", ssh()),
        ("response-as-list", CRL, ca, "an answer that is checked as a list", "VERSION", response(ca)),
        (
            "response-as-certificate",
            CERTIFICATE,
            ca,
            "an answer that is checked as a certificate",
            "VERSION",
            response(ca),
        ),
        (
            "certificate",
            CERTIFICATE,
            ca,
            "a good certificate for who may have answers only",
            BY_SIGNS,
            of(ca),
        ),
        ("list", CRL, ca, "a list by a CA whose certificate does not let it sign any", NO_CRL_SIGN, list(ca)),
        (
            "certificate-by-ocsp-key",
            CERTIFICATE,
            key,
            "a good certificate by the key that answers",
            REFUSED,
            of(ca),
        ),
        ("list-by-ocsp-key", CRL, key, "a good list by the key that answers", REFUSED, list(ca)),
        ("ssh-by-ocsp-key", "ssh-certificate", key, "an SSH login by the key that answers", REFUSED, ssh()),
    ];
    rows.map(|(name, kind, signer, attack, verdict, tbs)| {
        case_of(kind, signer.key(), "kind", (name, attack, "B6", verdict), tbs)
    })
    .to_vec()
}

/// A good response, of keys that do not sign it.
fn misdirected() -> Vec<Case> {
    let response = || Forgery::of(Signer::OcspKey).encode();
    let of_crl_ca = || {
        let mut tbs = Forgery::of(Signer::CrlCa);
        tbs.single().cert_id = of_issuer(&sha256_of_name(Signer::CrlCa), SHA256_OF_CRL_CA, SERIAL);
        tbs.encode()
    };
    let rows = [
        ("response-by-ssh-ca", "user-ca", "an answer by the SSH CA", REFUSED, response()),
        ("response-by-crl-key", "crl-key", "an answer by the key for lists", REFUSED, response()),
        (
            "response-by-ca-of-certificates",
            "crl-ca",
            "an answer by a CA whose certificate does not let it answer",
            "SIGNER_KEY_USAGE_MISSING by built-in.signer_key_usage",
            of_crl_ca(),
        ),
        (
            "response-by-other-ca",
            "crl-ca",
            "the answers of one CA by another",
            "RESPONDER_MISMATCH by built-in.responder",
            response(),
        ),
    ];
    rows.map(|(name, key, attack, verdict, tbs)| {
        case_of(OCSP, key, "kind", (name, attack, "B6", verdict), whole(tbs))
    })
    .to_vec()
}
