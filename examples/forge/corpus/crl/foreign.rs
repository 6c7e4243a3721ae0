//! What is no TBSCertList and is sent as one, and good lists that are sent to other keys or under another kind.

use super::{Case, Forgery, Signer, case};
use crate::corpus::x509::der::{der, oid, seq};
use crate::corpus::x509::{Kind, case_of, server_under, whole};
use crate::corpus::{self, ocsp};

const CRL: &str = "x509-crl";
const CERTIFICATE: &str = "x509-certificate";
const OCSP: &str = "ocsp-response";
const REFUSED: &str = "TBS_KIND_NOT_ALLOWED by built-in.tbs_kind";

pub fn cases() -> Vec<Case> {
    [bytes(), crossed(), misdirected()].concat()
}

fn finished(tbs: &[u8]) -> Vec<u8> {
    seq(&[tbs, &seq(&[&oid("1.2.840.10045.4.3.2")]), &der(3, &[&[0][..], &[1; 70]].concat())])
}

/// Other bytes, as a list of the CA.
fn bytes() -> Vec<Case> {
    let ca = Signer::CrlCa;
    let rows = [
        ("finished-list", "a finished list", "VERSION", finished(&Forgery::of(ca).encode())),
        ("digest", "a digest without a name", "DER_UNEXPECTED_TAG", vec![7; 32]),
        ("pem", "a list as text", "DER_UNEXPECTED_TAG", b"-----BEGIN X509 CRL-----\n".to_vec()),
    ];
    rows.map(|(name, attack, reason, tbs)| {
        case(ca, "foreign", (name, attack, "B7", reason), vec![("bytes", tbs)])
    })
    .to_vec()
}

/// TBSs of one kind under the name of another, of a key that signs both, or one of them.
fn crossed() -> Vec<Case> {
    let of = |signer: Signer| server_under(signer.key(), &signer.key_id());
    let list = |signer: Signer| whole(Forgery::of(signer).encode());
    let ssh = || corpus::good().tbs;
    let (ca, key) = (Signer::CrlCa, Signer::CrlKey);
    let rows = [
        ("certificate-as-list", CRL, ca, "a certificate by who may have lists", "VERSION", of(ca)),
        (
            "certificate-as-list-by-crl-key",
            CRL,
            key,
            "a certificate by the key for lists",
            "VERSION",
            of(key),
        ),
        (
            "response-as-list",
            CRL,
            ca,
            "an answer by who may have lists",
            "VERSION",
            whole(ocsp::tbs_of(Signer::OcspCa)),
        ),
        (
            "response-as-list-by-crl-key",
            CRL,
            key,
            "an answer by the key for lists",
            "VERSION",
            whole(ocsp::tbs_of(Signer::OcspCa)),
        ),
        ("ssh-as-list", CRL, ca, "an SSH login by who may have lists", "DER_UNEXPECTED_TAG", ssh()),
        (
            "list-as-certificate",
            CERTIFICATE,
            ca,
            "a list that is checked as a certificate",
            "VERSION",
            list(ca),
        ),
        ("list-as-response", OCSP, ca, "a list that is checked as an answer", "DER_UNEXPECTED_TAG", list(ca)),
        (
            "certificate",
            CERTIFICATE,
            ca,
            "a good certificate for who may have lists only",
            "TBS_KIND_NOT_ALLOWED by signs",
            of(ca),
        ),
        (
            "certificate-by-crl-key",
            CERTIFICATE,
            key,
            "a good certificate by the key for lists",
            REFUSED,
            of(key),
        ),
        (
            "response-by-crl-key",
            OCSP,
            key,
            "an answer by the key for lists",
            REFUSED,
            whole(ocsp::tbs_of(Signer::OcspCa)),
        ),
        ("ssh", "ssh-certificate", ca, "an SSH login by an X.509 CA", REFUSED, ssh()),
        ("ssh-by-crl-key", "ssh-certificate", key, "an SSH login by the key for lists", REFUSED, ssh()),
    ];
    rows.map(|(name, kind, signer, attack, verdict, tbs)| {
        case_of(kind, signer.key(), "kind", (name, attack, "B6", verdict), tbs)
    })
    .to_vec()
}

/// A good list, of keys that do not sign it.
fn misdirected() -> Vec<Case> {
    let list = || Forgery::of(Signer::CrlCa).encode();
    let of_server_ca = || {
        let mut tbs = Forgery::of(Signer::CrlCa);
        tbs.issuer = corpus::x509::issuer_name(Kind::Server.key());
        tbs.replace("authorityKeyIdentifier", corpus::x509::der::authority(&Kind::Server.key_id()));
        tbs.encode()
    };
    let rows = [
        ("list-by-ssh-ca", "user-ca", "a list by the SSH CA", REFUSED, list()),
        ("list-by-ocsp-key", "ocsp-key", "a list by the key that answers", REFUSED, list()),
        (
            "list-of-issuer",
            "server-ca",
            "a list of a CA whose certificates one may have, and not its lists",
            "TBS_KIND_NOT_ALLOWED by signs",
            of_server_ca(),
        ),
        (
            "list-by-unknown",
            "root-ca",
            "a key that does not exist",
            "KEY_NOT_AVAILABLE by built-in.key_available",
            list(),
        ),
    ];
    rows.map(|(name, key, attack, verdict, tbs)| {
        case_of(CRL, key, "kind", (name, attack, "B6", verdict), whole(tbs))
    })
    .to_vec()
}
