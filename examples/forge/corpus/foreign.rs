//! Bytes of other protocols, which a CA key must never sign (field note B7), and requests for the wrong key or kind.

use countersign_tbs::der::{Oid, StringKind, Time, oids};
use countersign_tbs::key::PublicKey;
use countersign_tbs::x509::{
    Attribute, CertificateBuilder, Name, SerialNumber, SignatureAlgorithm, Validity,
};

use super::{Case, base};
use crate::forge::string;

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = FOREIGN
        .iter()
        .map(|&(name, attack, source, reason, make)| {
            Case::new("foreign", (name, attack, source, reason), vec![("bytes", make())])
        })
        .collect();
    for kind in ["x509-certificate", "x509-crl", "ocsp-response"] {
        let head = (kind, "an SSH certificate in the dress of another kind", "B7", "TBS_KIND_NOT_ALLOWED");
        cases.push(Case { kind: kind.to_owned(), ..Case::new("kind", head, base().fields()) });
    }
    let head = ("x509-for-ssh-ca", "an X.509 certificate from an SSH CA", "B7", "TBS_KIND_NOT_ALLOWED");
    let case = Case::new("kind", head, vec![("bytes", x509())]);
    cases.push(Case { kind: "x509-certificate".to_owned(), ..case });
    for (name, key) in [
        ("unknown", "no-such-key"),
        ("other-case", "User-CA"),
        ("traversal", "../user-ca"),
        ("two", "user-ca,host-ca"),
    ] {
        let head = (name, "a key that is not there", "R11", "KEY_NOT_AVAILABLE");
        cases.push(Case::new("key", head, base().fields()).of_key(key));
    }
    cases
}

/// A TBSCertificate that is valid in itself.
fn x509() -> Vec<u8> {
    let common_name = Oid::from_contents(oids::COMMON_NAME).unwrap();
    let name = |text: &str| {
        Name::new(vec![vec![Attribute::new(common_name.clone(), StringKind::Utf8, text).unwrap()]]).unwrap()
    };
    let time = |seconds| Time::from_unix_secs(seconds).unwrap();
    let validity = Validity { not_before: time(1_800_000_000), not_after: time(1_800_086_400) };
    let key = PublicKey::Ed25519([0x5a; 32]);
    let tbs = CertificateBuilder::new(SignatureAlgorithm::ALL[0], name("CA"), validity, key)
        .serial(SerialNumber::new(&[0x42; 16]).unwrap())
        .subject(name("alice"))
        .build();
    tbs.unwrap().as_bytes().to_vec()
}

/// What a client signs to log in (RFC 4252 §7), for a session of this identifier.
fn userauth(session: &[u8]) -> Vec<u8> {
    let key = [string(b"ssh-ed25519"), string(&[0x5a; 32])].concat();
    [
        string(session),
        vec![50],
        string(b"root"),
        string(b"ssh-connection"),
        string(b"publickey"),
        vec![1],
        string(b"ssh-ed25519"),
        string(&key),
    ]
    .concat()
}

/// What `ssh-keygen -Y sign` signs (PROTOCOL.sshsig).
fn sshsig(namespace: &[u8]) -> Vec<u8> {
    [b"SSHSIG".to_vec(), string(namespace), string(b""), string(b"sha512"), string(&[0x5a; 64])].concat()
}

type Foreign = (&'static str, &'static str, &'static str, &'static str, fn() -> Vec<u8>);

const FOREIGN: &[Foreign] = &[
    ("nothing", "no bytes", "-", "TBS_TRUNCATED", Vec::new),
    ("zeros", "zeros", "-", "TYPE_UNKNOWN", || vec![0; 1024]),
    ("ones", "ones", "-", "TBS_TRUNCATED", || vec![0xff; 1024]),
    ("digest", "a digest: the CA key as an oracle", "B7, gosuda/portal-tunnel#469", "TBS_TRUNCATED", || {
        vec![0x5a; 32]
    }),
    ("digest-info", "a PKCS#1 DigestInfo", "B7", "TBS_TRUNCATED", || {
        [
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20".to_vec(),
            vec![0x5a; 32],
        ]
        .concat()
    }),
    ("userauth", "the bytes that log the CA key in as root", "RFC 4252 §7", "TYPE_UNKNOWN", || {
        userauth(&[0x5a; 32])
    }),
    (
        "userauth-session-as-type",
        "the same, with a session that is called like a certificate",
        "RFC 4252 §7",
        "TBS_TRUNCATED",
        || userauth(b"ssh-ed25519-cert-v01@openssh.com"),
    ),
    (
        "userauth-64-byte-session",
        "the same with a session of SHA-512",
        "RFC 4252 §7",
        "TYPE_UNKNOWN",
        || userauth(&[0x5a; 64]),
    ),
    ("sshsig-file", "a signed file", "PROTOCOL.sshsig", "TBS_TRUNCATED", || sshsig(b"file")),
    ("sshsig-git", "a signed commit", "PROTOCOL.sshsig", "TBS_TRUNCATED", || sshsig(b"git")),
    ("exchange-hash", "the hash that proves a host", "RFC 4253 §8", "TBS_TRUNCATED", || vec![0x3c; 64]),
    ("agent-request", "an agent's request to sign", "draft-ietf-sshm-ssh-agent", "TBS_TRUNCATED", || {
        [vec![13], string(&string(b"ssh-ed25519")), string(b"data"), vec![0; 4]].concat()
    }),
    ("public-key", "a plain public key", "B6", "TYPE_UNKNOWN", || {
        [string(b"ssh-ed25519"), string(&[0x5a; 32])].concat()
    }),
    ("public-key-line", "a public key as text", "B6", "TBS_TRUNCATED", || {
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFpa alice\n".to_vec()
    }),
    ("private-key", "a private key file", "PROTOCOL.key", "TBS_TRUNCATED", || {
        [b"openssh-key-v1\0".to_vec(), string(b"none")].concat()
    }),
    ("krl", "a revocation list of keys", "PROTOCOL.krl", "TBS_TRUNCATED", || {
        [b"SSHKRL\n\0".to_vec(), 1_u32.to_be_bytes().to_vec(), 7_u64.to_be_bytes().to_vec(), vec![0; 24]]
            .concat()
    }),
    ("x509-certificate", "an X.509 TBSCertificate", "B7", "TBS_TRUNCATED", x509),
    ("x509-crl", "the start of a revocation list", "B7", "TBS_TRUNCATED", || {
        b"\x30\x81\x90\x02\x01\x01\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02".to_vec()
    }),
    ("certificate-request", "the start of a PKCS#10 request", "B7", "TBS_TRUNCATED", || {
        b"\x30\x81\x90\x02\x01\x00\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x03".to_vec()
    }),
    ("ocsp-response", "the start of an OCSP response", "B7", "TBS_TRUNCATED", || {
        b"\x30\x81\x90\xa2\x16\x04\x14\x5a\x5a\x5a\x5a".to_vec()
    }),
    ("pem", "PEM", "RFC 7468", "TBS_TRUNCATED", || {
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_vec()
    }),
    ("tls13-server", "the proof of a TLS 1.3 server", "RFC 8446 §4.4.3", "TBS_TRUNCATED", || {
        [vec![0x20; 64], b"TLS 1.3, server CertificateVerify\0".to_vec(), vec![0x5a; 32]].concat()
    }),
    ("tls13-client", "the proof of a TLS 1.3 client", "RFC 8446 §4.4.3", "TBS_TRUNCATED", || {
        [vec![0x20; 64], b"TLS 1.3, client CertificateVerify\0".to_vec(), vec![0x5a; 32]].concat()
    }),
    ("jwt", "a token for a web service", "RFC 7515 §5.1", "TBS_TRUNCATED", || {
        b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJyb290In0".to_vec()
    }),
    (
        "checkpoint",
        "a checkpoint of this signer's own ledger",
        "C2SP tlog-checkpoint",
        "TBS_TRUNCATED",
        || b"test.countersign.example/ledger\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".to_vec(),
    ),
    ("self-test", "this signer's own challenge at start-up", "R15", "TBS_TRUNCATED", || {
        b"countersign self-test\0".to_vec()
    }),
    ("openpgp", "an OpenPGP signature's hashed part", "RFC 9580 §5.2.4", "TBS_TRUNCATED", || {
        b"\x04\x00\x13\x08\x00\x1d\x16\x21\x04\x5a\x5a\x5a\x5a".to_vec()
    }),
    ("transaction-hash", "a message that moves money", "romanz/trezor-agent#371", "TBS_TRUNCATED", || {
        b"\x19Ethereum Signed Message:\n32Z".to_vec()
    }),
];
