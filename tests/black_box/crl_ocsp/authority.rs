//! A CA on a token: its own key, one for its CRLs, one that answers for it by OCSP, and two leaves of it.

use std::process::{Command, Output};

use countersign_proto::v1::{self, sign_request::Tbs};
use countersign_tbs::der::{Oid, StringKind, Time, oids};
use countersign_tbs::key::PublicKey;
use countersign_tbs::x509::{
    Attribute, Certificate, CertificateBuilder, DistributionPoint, Extension, ExtensionValue, GeneralName,
    KeyId, KeyUsage, Name, SerialNumber, SignatureAlgorithm, TbsCertificate, Validity,
};

use crate::site::{Daemon, FRONT_END, Site, now, text};

/// Where the CA's lists are published.
pub const CRL_URL: &str = "http://crl.example.org/ca.crl";

/// The CA's key, and the one for its lists.
const KEYS: &str = r#"
[key.ca]
purpose = "x509-ca"
scheme = "ecdsa-p256-sha256"
token = "soft"
certificate = "ca.pem"
[key.ca.allow.web]
budget = "1000/h"
callers = ["spiffe://countersign.example/front-end"]
signs = "tls-server"
dns_names = ["*.example.org"]
crl_urls = ["http://crl.example.org/ca.crl"]
max_lifetime = "1d"
[key.ca.allow.responders]
budget = "1000/h"
callers = ["spiffe://countersign.example/front-end"]
signs = "ocsp-responder"
subject.CN = ["responder"]
max_lifetime = "1d"
[key.ca.allow.lists]
budget = "1000/h"
callers = ["spiffe://countersign.example/front-end"]
signs = "crl"
delta = true
crl_urls = ["http://crl.example.org/ca.crl"]
max_entries = 65536
max_next_update = "1d"
[key.ca.allow.responses]
budget = "1000/h"
callers = ["spiffe://countersign.example/front-end"]
signs = "ocsp-response"
nonce = true
max_next_update = "1h"

[key.lists]
purpose = "x509-crl"
scheme = "ecdsa-p256-sha256"
token = "soft"
certificate = "lists.pem"
[key.lists.allow.all]
budget = "1000/h"
callers = ["spiffe://countersign.example/front-end"]
signs = "crl"
max_entries = 2
max_next_update = "1d"
"#;

/// The key that answers for the CA.
const RESPONDER: &str = r#"
[key.responder]
purpose = "ocsp"
scheme = "ecdsa-p256-sha256"
token = "soft"
certificate = "responder.pem"
issuer_certificate = "ca.pem"
[key.responder.allow.all]
budget = "1000/h"
callers = ["spiffe://countersign.example/front-end"]
signs = "ocsp-response"
max_next_update = "1h"
"#;

const LISTS_USAGE: &str = "keyUsage=critical,cRLSign";

/// All of it, in the files of a site: `root.pem`, `ca.pem`, `lists.pem`, `responder.pem`, `good.pem`, `revoked.pem`.
pub struct Authority {
    pub site: Site,
    pub ca: TbsCertificate,
    pub lists: TbsCertificate,
    pub good: SerialNumber,
    pub revoked: SerialNumber,
}

impl Authority {
    pub async fn new() -> Self {
        let site = Site::new(&format!("{KEYS}{RESPONDER}"));
        let root = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.pem -subj /CN=root \
                    -addext keyUsage=critical,keyCertSign,cRLSign";
        openssl(&site, root);
        let ca_usage =
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign,digitalSignature";
        let ca = certify(&site, "ca", "/CN=ca", ca_usage);
        let lists = certify(&site, "lists", "/CN=ca", LISTS_USAGE);
        let responder_key = public_key(&site, "responder");
        // The responder's certificate is the CA's own work, so that key comes into service after the CA's.
        site.configure(&format!("{}{KEYS}", site.base_config()));
        let daemon = site.serve();
        let responder = leaf(&ca, "responder", responder_key)
            .ext_key_usage(vec![oid(oids::OCSP_SIGNING)])
            .extension(Extension::non_critical(ExtensionValue::OcspNoCheck));
        issue(&site, &daemon, "responder", responder).await;
        let good = issue(&site, &daemon, "good", server(&site, &ca, "good")).await;
        let revoked = issue(&site, &daemon, "revoked", server(&site, &ca, "revoked")).await;
        daemon.stop();
        site.configure(&format!("{}{KEYS}{RESPONDER}", site.base_config()));
        Self { site, ca, lists, good, revoked }
    }

    /// Has the key for lists certified for another name.
    pub fn certify_lists_for(&self, subject: &str) {
        certify(&self.site, "lists", subject, LISTS_USAGE);
    }

    pub fn openssl(&self, arguments: &str) -> String {
        openssl(&self.site, arguments)
    }

    pub fn write(&self, name: &str, contents: &[u8]) {
        std::fs::write(self.site.path(name), contents).unwrap();
    }
}

pub fn time(secs: u64) -> Time {
    Time::from_unix_secs(secs).unwrap()
}

pub fn name(common_name: &str) -> Name {
    Name::new(vec![vec![Attribute::new(oid(oids::COMMON_NAME), StringKind::Utf8, common_name).unwrap()]])
        .unwrap()
}

/// Runs `openssl` in the site's directory; both of its outputs.
pub fn openssl(site: &Site, arguments: &str) -> String {
    let output = try_openssl(site, arguments);
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "openssl {arguments}: {said}");
    said
}

pub fn try_openssl(site: &Site, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new("openssl").args(arguments).current_dir(site.dir()).output().unwrap()
}

/// A request for `key`.
pub fn request(key: &str, tbs: Tbs) -> v1::SignRequest {
    v1::SignRequest {
        key: key.into(),
        tbs: Some(tbs),
        request_id: String::new(),
        priority: v1::Priority::Interactive.into(),
        ..v1::SignRequest::default()
    }
}

fn oid(contents: &[u8]) -> Oid {
    Oid::from_contents(contents).unwrap()
}

/// Has the root certify the key `name` of the token, and writes `name.pem`.
fn certify(site: &Site, name: &str, subject: &str, extensions: &str) -> TbsCertificate {
    std::fs::write(site.path(&format!("{name}.pub")), site.run_ok(&["key", "show", name, "--pem"])).unwrap();
    let common = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid";
    std::fs::write(site.path("extensions"), format!("{extensions}\n{common}\n")).unwrap();
    openssl(
        site,
        &format!(
            "x509 -new -force_pubkey {name}.pub -subj {subject} -CA root.pem -CAkey root.key -extfile extensions \
             -days 30 -out {name}.pem"
        ),
    );
    openssl(site, &format!("x509 -in {name}.pem -outform DER -out {name}.der"));
    Certificate::parse(&std::fs::read(site.path(&format!("{name}.der"))).unwrap()).unwrap().tbs().clone()
}

fn public_key(site: &Site, name: &str) -> PublicKey {
    std::fs::write(site.path(&format!("{name}.pub")), site.run_ok(&["key", "show", name, "--pem"])).unwrap();
    spki(site, &format!("{name}.pub"))
}

fn spki(site: &Site, file: &str) -> PublicKey {
    openssl(site, &format!("pkey -pubin -in {file} -outform DER -out spki.der"));
    PublicKey::from_spki_der(&std::fs::read(site.path("spki.der")).unwrap()).unwrap()
}

fn leaf(ca: &TbsCertificate, subject: &str, key: PublicKey) -> CertificateBuilder {
    let validity = Validity { not_before: time(now()), not_after: time(now() + 3600) };
    CertificateBuilder::new(SignatureAlgorithm::EcdsaSha256, ca.subject().clone(), validity, key)
        .subject(if subject == "responder" { name(subject) } else { Name::empty() })
        .authority_key_id(key_id(ca))
        .key_usage(KeyUsage::DIGITAL_SIGNATURE)
}

pub fn key_id(certificate: &TbsCertificate) -> KeyId {
    certificate.subject_key_id().unwrap().clone()
}

/// A TLS server's certificate for a new key, which says where the CA's lists are.
fn server(site: &Site, ca: &TbsCertificate, name: &str) -> CertificateBuilder {
    openssl(site, "genpkey -algorithm ED25519 -out leaf.key");
    openssl(site, "pkey -in leaf.key -pubout -out leaf.pub");
    let points = vec![DistributionPoint { full_name: vec![GeneralName::Uri(CRL_URL.to_owned())] }];
    leaf(ca, "", spki(site, "leaf.pub"))
        .subject_alt_names(vec![GeneralName::Dns(format!("{name}.example.org"))])
        .ext_key_usage(vec![oid(oids::SERVER_AUTH)])
        .extension(Extension::non_critical(ExtensionValue::CrlDistributionPoints(points)))
}

/// Has the CA issue it, and writes `name.pem`.
async fn issue(site: &Site, daemon: &Daemon, name: &str, builder: CertificateBuilder) -> SerialNumber {
    let tbs = builder.build().unwrap();
    let asked = request("ca", Tbs::X509Certificate(tbs.as_bytes().to_vec().into()));
    let answer = site.client(daemon, FRONT_END).await.sign(asked).await.unwrap();
    std::fs::write(site.path("issued.der"), answer.object).unwrap();
    openssl(site, &format!("x509 -inform DER -in issued.der -out {name}.pem"));
    *tbs.serial()
}
