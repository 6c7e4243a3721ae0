//! What `serve` says at start of a certificate that is not the key's, or not one to sign with (field-notes R38).

use super::{ISSUER, issuer};
use crate::ca::{self, certify, certify_between, openssl, words};
use crate::site::{Site, text};

/// What is wrong, what `serve` says of it, and how it comes about: from a site with a good certificate.
type Fault = (&'static str, &'static str, fn(&Site));

const FAULTS: &[Fault] = &[
    ("no file", "there is no", |site| std::fs::remove_file(site.path("issuing-ca.pem")).unwrap()),
    ("another key's", "the token holds SHA256:", |site| {
        ca::make_key(site, "other");
        openssl(site, &words("pkey -in other.key -pubout -out issuing-ca.pub.pem"));
        certify(site, ISSUER, ca::CA);
    }),
    ("the root's", "the token holds SHA256:", |site| {
        std::fs::copy(site.path("root.pem"), site.path("issuing-ca.pem")).unwrap();
    }),
    ("a leaf's", "it is not a CA's (basicConstraints)", |site| {
        certify(site, ISSUER, "basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash");
    }),
    ("without basicConstraints", "it is not a CA's (basicConstraints)", |site| {
        certify(site, ISSUER, "subjectKeyIdentifier=hash");
    }),
    ("without keyCertSign", "its keyUsage lacks keyCertSign", |site| {
        certify(site, ISSUER, &ca::CA.replace("keyCertSign,", ""));
    }),
    ("without a key identifier", "it has no subjectKeyIdentifier", |site| {
        certify(site, ISSUER, &ca::CA.replace("subjectKeyIdentifier=hash", "subjectKeyIdentifier=none"));
    }),
    ("over", "renew it", |site| {
        certify_between(site, ISSUER, &[1; 20], [-7200, -3600]);
    }),
    ("not yet valid", "renew it", |site| {
        certify_between(site, ISSUER, &[1; 20], [3600, 7200]);
    }),
    ("of no bytes", "holds no certificate", |site| write(site, b"")),
    ("garbage", "holds no certificate", |site| write(site, b"not a certificate\n")),
    ("garbage in DER", "tbsCertificate", |site| write(site, b"\x30\x03\x02\x01\x01")),
    ("cut", "ends too early", |site| {
        openssl(site, &words("x509 -in issuing-ca.pem -outform DER -out whole.der"));
        let whole = std::fs::read(site.path("whole.der")).unwrap();
        write(site, &whole[..whole.len() - 1]);
    }),
    ("a private key alone", "holds a private key", |site| {
        std::fs::copy(site.path("root.key"), site.path("issuing-ca.pem")).unwrap();
    }),
    ("a private key before the certificate", "holds a private key", |site| {
        let files = ["root.key", "issuing-ca.pem"].map(|name| std::fs::read(site.path(name)).unwrap());
        write(site, &files.concat());
    }),
    ("an encrypted private key behind the certificate", "holds a private key", |site| {
        openssl(site, &words("pkcs8 -topk8 -in root.key -passout pass:secret -out encrypted.key"));
        let files = ["issuing-ca.pem", "encrypted.key"].map(|name| std::fs::read(site.path(name)).unwrap());
        write(site, &files.concat());
    }),
];

fn write(site: &Site, content: &[u8]) {
    std::fs::write(site.path("issuing-ca.pem"), content).unwrap();
}

#[test]
fn a_certificate_that_does_not_fit_is_a_fault_that_names_it() {
    let site = issuer("");
    site.run_ok(&["check"]);
    let good = std::fs::read(site.path("issuing-ca.pem")).unwrap();
    let public_key = std::fs::read(site.path("issuing-ca.pub.pem")).unwrap();
    for (what, wanted, make) in FAULTS {
        make(&site);
        let checked = site.run(&["check"]);
        let said = text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(2), "{what}: {said}");
        assert!(said.contains("key.issuing-ca.certificate"), "{what}: {said}");
        assert!(said.contains(wanted), "{what}: {said}");
        write(&site, &good);
        std::fs::write(site.path("issuing-ca.pub.pem"), &public_key).unwrap();
    }
    site.run_ok(&["check"]);

    std::fs::remove_file(site.path("issuing-ca.pem")).unwrap();
    let said = site.run_refused(&["serve"], 2);
    assert!(said.contains("key.issuing-ca.certificate: there is no"), "{said}");
}
