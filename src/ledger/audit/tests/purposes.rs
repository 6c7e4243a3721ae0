//! What one key is used for.

use super::*;

#[test]
fn a_key_has_one_purpose_and_what_that_includes() {
    fn test(purpose: &str, ca: &str) -> Entry {
        let ca_key = ca_key(purpose, &public_key(ca));
        Entry::SelfTest {
            time: UnixMillis(T + 110),
            key: "a-key".to_owned(),
            ca_key,
            challenge: challenge(&[1; 32]),
        }
    }
    fn revoked(purpose: &str, ca: &str) -> Entry {
        revocation(110, (purpose, ca), Revoked::KeyId(b"a key id".to_vec()), RevocationReason::Unspecified)
    }
    check(&[
        // Each by itself is right: an SSH certificate, a list, an answer.
        (
            |log| {
                let tbs = list(9_u64.into(), None, 1).as_bytes().to_vec();
                log.push(intent_of(110, "x509-ca", "x509-crl", "ssh-ca", AskedTbs::Whole(tbs)));
            },
            &[(22, "PURPOSE")],
        ),
        (
            |log| {
                let tbs = response("CA").as_bytes().to_vec();
                log.push(intent_of(110, "ocsp", "ocsp-response", "ssh-ca", AskedTbs::Whole(tbs)));
            },
            &[(22, "PURPOSE")],
        ),
        (
            |log| {
                let tbs = AskedTbs::Whole(certificate("ca", 1, "alice"));
                log.push(intent_of(110, "ssh-user-ca", "ssh-certificate", "ca", tbs));
            },
            &[(22, "PURPOSE")],
        ),
        (|log| log.push(test("ssh-host-ca", "ssh-ca")), &[(22, "PURPOSE")]),
        (|log| log.push(test("ledger", "ssh-ca")), &[(22, "PURPOSE")]),
        (|log| log.push(revoked("ssh-user-ca", "ca")), &[(22, "PURPOSE")]),
        // What a CA may sign itself it may leave to a key, which may become the CA's again.
        (|log| log.extend([test("x509-crl", "ca"), test("ocsp", "ca"), test("x509-ca", "ca")]), &[]),
        (|log| log.extend([test("x509-crl", "new"), test("x509-ca", "new"), test("ocsp", "new")]), &[]),
        (|log| log.extend([test("x509-crl", "new"), test("ocsp", "new")]), &[(23, "PURPOSE")]),
        // A host's certificate by a CA of users.
        (
            |log| {
                let tbs = AskedTbs::Whole(host_certificate());
                log.push(intent_of(110, "ssh-user-ca", "ssh-certificate", "ssh-ca", tbs));
            },
            &[(22, "PURPOSE")],
        ),
        (
            |log| {
                let tbs = AskedTbs::Whole(host_certificate());
                log.push(intent_of(110, "ssh-host-ca", "ssh-certificate", "ssh-ca", tbs));
            },
            &[(22, "PURPOSE")],
        ),
    ]);
}

fn host_certificate() -> Vec<u8> {
    let subject = SubjectKey::Plain(public_key("a subject"));
    let tbs =
        CertificateBuilder::new(CertificateType::Host, subject, public_key("ssh-ca")).key_id("a key id");
    let tbs = tbs.principal("host.example").serial(77).valid_after(T / 1000).valid_before(T / 1000 + 600);
    tbs.build().unwrap().as_bytes().to_vec()
}
