//! A good TBS of one kind, asked for as another, or of a key that is not for it.

use super::{Own, Request, SHA1_OF_REQUEST_CA, SHA1_OF_ROOT_CA, case, key_id, root};
use crate::corpus::x509::der::p256;
use crate::corpus::x509::{case_of, server_under, whole};
use crate::corpus::{Case, REQUEST_CA, ROOT_CA, crl, signers::Signer};

pub fn cases() -> Vec<Case> {
    let request = || Request::base().fields().into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>();
    let kind = |key: &str, kind: &str, name, attack, verdict, bytes| {
        case_of(kind, key, "kind", (name, attack, "-", verdict), whole(bytes))
    };
    let own = |own, name, attack, verdict, bytes| {
        case(own, "kind", (name, attack, "-", verdict), vec![("bytes", bytes)])
    };
    let certificate =
        || server_under("request-ca", &[0xa0; 20]).into_iter().flat_map(|(_, bytes)| bytes).collect();
    vec![
        own(
            Own::Request,
            "certificate",
            "a certificate where a request is expected",
            "DER_UNEXPECTED_TAG",
            certificate(),
        ),
        own(
            Own::Request,
            "root",
            "a root where a request is expected",
            "DER_UNEXPECTED_TAG",
            root().encode(),
        ),
        own(Own::Root, "request", "a request where a root is expected", "VERSION", request()),
        own(Own::Root, "certificate", "a leaf where a root is expected", "NO_ROOT", certificate()),
        kind(
            "request-ca",
            "x509-root",
            "root-by-request-ca",
            "a CA that makes itself a root",
            "TBS_KIND_NOT_ALLOWED by signs",
            root_of_request_ca(),
        ),
        kind(
            "root-ca",
            "x509-request",
            "request-by-root-ca",
            "a root that asks to be certified by another",
            "TBS_KIND_NOT_ALLOWED by signs",
            request_of_root_ca(),
        ),
        kind(
            "root-ca",
            "x509-certificate",
            "root-as-certificate",
            "a root's TBS by the rules of certificates",
            "CERTIFICATE_AWAITED by built-in.certificate",
            root().encode(),
        ),
        kind(
            "request-ca",
            "x509-certificate",
            "certificate-before-its-own",
            "a certificate by a CA that has none itself",
            "CERTIFICATE_AWAITED by built-in.certificate",
            certificate(),
        ),
        kind(
            "root-ca",
            "x509-crl",
            "list-before-its-own",
            "a list by a CA that has no certificate",
            "CERTIFICATE_AWAITED by built-in.certificate",
            crl::tbs_of(Signer::CrlCa),
        ),
        kind(
            "no-such-ca",
            "x509-request",
            "request-by-unknown",
            "a key that there is not",
            "KEY_NOT_AVAILABLE by built-in.key_available",
            request(),
        ),
        kind(
            "server-ca",
            "x509-request",
            "request-by-server-ca",
            "another CA's key, which this caller may not use",
            "KEY_NOT_AVAILABLE by built-in.key_available",
            request(),
        ),
    ]
}

/// With the key that is to sign it, and its identifier.
fn root_of_request_ca() -> Vec<u8> {
    let mut tbs = root();
    tbs.subject_key = p256(&REQUEST_CA);
    tbs.replace("subjectKeyIdentifier", key_id(SHA1_OF_REQUEST_CA));
    tbs.encode()
}

fn request_of_root_ca() -> Vec<u8> {
    let mut tbs = Request::base();
    tbs.subject_key = p256(&ROOT_CA);
    tbs.replace("subjectKeyIdentifier", key_id(SHA1_OF_ROOT_CA));
    tbs.fields().into_iter().flat_map(|(_, bytes)| bytes).collect()
}
