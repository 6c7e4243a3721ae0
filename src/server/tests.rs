#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

//! What the server's tests share: a PKI in a private directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::*;

/// One CA, and the files of one server. The CA is for both sides.
pub(super) struct Pki {
    pub(super) directory: tempfile::TempDir,
    pub(super) ca: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

pub(super) fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `name`, DNS or IP address, that ended with `last_year` or ends far in the future.
pub(super) fn issue(ca: &CertifiedIssuer<'static, KeyPair>, name: &str, last_year: i32) -> Pair {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
    sign(ca, &params)
}

/// As [`issue`], with two DNS names, so that it names nobody.
pub(super) fn issue_nameless(ca: &CertifiedIssuer<'static, KeyPair>) -> Pair {
    sign(ca, &CertificateParams::new(["a.example".to_owned(), "b.example".to_owned()]).unwrap())
}

fn sign(ca: &CertifiedIssuer<'static, KeyPair>, params: &CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    let certificate: Certificate = params.signed_by(&key, ca).unwrap();
    Pair { certificate: certificate.pem(), key: key.serialize_pem() }
}

impl Pki {
    pub(super) fn new() -> Self {
        let pki = Self { directory: tempfile::tempdir().unwrap(), ca: issuer("ca") };
        pki.write("ca.pem", &pki.ca.pem());
        pki.install(&pki.server());
        pki
    }

    pub(super) fn server(&self) -> Pair {
        issue(&self.ca, "127.0.0.1", 2099)
    }

    pub(super) fn install(&self, pair: &Pair) {
        self.write("server.pem", &pair.certificate);
        self.write("server.key", &pair.key);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(super) fn config(&self) -> Config {
        Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls_certificate: self.path("server.pem"),
            tls_key: self.path("server.key"),
            client_ca: self.path("ca.pem"),
            unix_socket: None,
            max_connections: 8,
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

fn at(faults: &[Fault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.at.as_str()).collect()
}

fn faults(config: &Config) -> Vec<Fault> {
    Listener::bind(config).err().expect("faults")
}

#[tokio::test]
async fn binds_what_the_configuration_says() {
    let pki = Pki::new();
    let config = Config { unix_socket: Some(pki.path("socket")), ..pki.config() };
    let listener = Listener::bind(&config).ok().unwrap();
    assert_ne!(listener.local_addr().unwrap().port(), 0);
    assert!(pki.path("socket").exists());
}

#[tokio::test]
async fn reports_everything_that_is_wrong_at_once() {
    let pki = Pki::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    pki.write("socket", "");
    let config = Config {
        listen: taken.local_addr().unwrap(),
        tls_certificate: pki.path("missing"),
        tls_key: pki.path("ca.pem"),
        client_ca: pki.path("server.key"),
        unix_socket: Some(pki.path("socket")),
        ..pki.config()
    };
    let faults = faults(&config);
    let expected = [
        "server.tls_certificate",
        "server.tls_key",
        "server.client_ca",
        "server.listen",
        "server.unix_socket",
    ];
    assert_eq!(at(&faults), expected);
}

#[tokio::test]
async fn refuses_key_file_that_others_can_read() {
    let pki = Pki::new();
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(pki.path("server.key"), fs::Permissions::from_mode(mode)).unwrap();
        let faults = faults(&pki.config());
        assert_eq!(at(&faults), ["server.tls_key"], "{mode:o}");
        assert!(faults[0].message().contains("chmod 0600"), "{}", faults[0].message());
    }
}

#[tokio::test]
async fn refuses_key_of_another_certificate() {
    let pki = Pki::new();
    pki.write("server.key", &pki.server().key);
    let faults = faults(&pki.config());
    assert_eq!(at(&faults), ["server.tls_key"]);
    assert!(faults[0].message().contains("does not belong"), "{}", faults[0].message());
}

#[tokio::test]
async fn refuses_expired_server_certificate() {
    let pki = Pki::new();
    pki.install(&issue(&pki.ca, "127.0.0.1", 2020));
    let faults = faults(&pki.config());
    assert_eq!(at(&faults), ["server.tls_certificate"]);
    assert!(faults[0].message().contains("expired at 2020-12-31"), "{}", faults[0].message());
}

#[tokio::test]
async fn never_quotes_the_key_file() {
    let pki = Pki::new();
    pki.write("server.key", "-----BEGIN SECRET KEY\nsecret\n");
    let faults = faults(&pki.config());
    assert!(!faults[0].message().to_lowercase().contains("secret"), "{}", faults[0].message());
}
