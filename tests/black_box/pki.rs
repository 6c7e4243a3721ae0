//! Mutual TLS for one site: a CA, the server's certificate, and clients with SPIFFE identities.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// The CA of a site's clients and server.
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "countersign test mTLS CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Writes `DIR/NAME.pem` and `DIR/NAME.key`.
    pub fn issue(
        &self,
        dir: &Path,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) {
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        write_private(&dir.join(format!("{name}.pem")), &certificate.pem());
        write_private(&dir.join(format!("{name}.key")), &key.serialize_pem());
    }

    /// Parameters of a client whose identity is `spiffe://countersign.example/NAME`.
    pub fn client(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = format!("spiffe://countersign.example/{name}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params
    }
}

/// Writes `ca.pem`, the server's pair and a pair for each client into `dir`.
pub fn write(dir: &Path, clients: &[&str]) -> Pki {
    fs::create_dir(dir).unwrap();
    let pki = Pki::new();
    write_private(&dir.join("ca.pem"), &pki.certificate);
    let server = CertificateParams::new(vec!["localhost".into()]).unwrap();
    pki.issue(dir, "server", server, ExtendedKeyUsagePurpose::ServerAuth);
    for name in clients {
        pki.issue(dir, name, Pki::client(name), ExtendedKeyUsagePurpose::ClientAuth);
    }
    pki
}

fn write_private(path: &Path, content: &str) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}
