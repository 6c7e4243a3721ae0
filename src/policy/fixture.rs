//! A CA, and the keys that it lets sign CRLs and OCSP responses for it: for tests of policy, and of what comes after it.

#![allow(clippy::unwrap_used, reason = "tests")]
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use countersign_tbs::crl::{CrlBuilder, CrlNumber, RevokedEntry, Updates};
use countersign_tbs::der::{Oid, StringKind, Time, oids};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ocsp::{
    CertId, CertStatus, ResponderId, ResponseBuilder, SingleResponse, public_key_bits,
};
use countersign_tbs::x509::{
    Attribute, BasicConstraints, CertificateBuilder, Extension, ExtensionValue, KeyId, KeyUsage, Name,
    SerialNumber, SignatureAlgorithm, Validity,
};
use countersign_tbs::{Tbs, TbsKind};
use tempfile::TempDir;

use crate::caller::Caller;
use crate::config::{Config, Fault};
use crate::key::{CertificateFiles, Clock, Key, KeyCertificate, KeyName, KeyPurpose, Keys, UnixTime};
use crate::policy::Decision;
use crate::policy::ask::{CaKeys, Offline, Question};
use crate::policy::explain::Explanation;
use crate::sign::{Priority, Request, RequestId};

/// Keys for lists and responses, one profile each for `dns:front`, and one more for `dns:delta`; `stray-lists` is for those of a
/// CA that is not here.
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
tls_certificate = "c"
tls_key = "k"
client_ca = "a"
[ledger]
path = "log.sqlite"
origin = "o"
[token.t]
module = "m"
label = "t"
pin_file = "p"

[key.ca]
purpose = "x509-ca"
scheme = "ed25519"
token = "t"
certificate = "ca.der"
[key.ca.allow.web]
budget = "1000/h"
callers = ["dns:front"]
signs = "tls-server"
dns_names = ["*.example.org"]
max_lifetime = "1d"
[key.ca.allow.people]
budget = "1000/h"
callers = ["dns:front"]
signs = "tls-client"
user_principal_names = ["*@*.org"]
upn_without_sid = true
max_lifetime = "1d"
[key.ca.allow.responders]
budget = "1000/h"
callers = ["dns:front"]
signs = "ocsp-responder"
subject.CN = ["Responder"]
max_lifetime = "1d"
[key.ca.allow.lists]
budget = "1000/h"
callers = ["dns:front"]
signs = "crl"
max_entries = 3
crl_urls = ["http://crl.example.org/ca.crl"]
extension_values."1.3.6.1.4.1.99999.1" = ["0500"]
max_next_update = "7d"
[key.ca.allow.delta]
budget = "1000/h"
callers = ["dns:delta"]
signs = "crl"
delta = true
max_entries = 2000
scopes = ["all", "user"]
max_next_update = "1d"
[key.ca.allow.responses]
budget = "1000/h"
callers = ["dns:front"]
signs = "ocsp-response"
max_responses = 2
max_next_update = "1d"

[key.weak-ca]
purpose = "x509-ca"
scheme = "ed25519"
token = "t"
label = "weak-ca"
certificate = "weak-ca.der"
[key.weak-ca.allow.lists]
budget = "1000/h"
callers = ["dns:front"]
signs = "crl"
max_next_update = "7d"
[key.weak-ca.allow.responses]
budget = "1000/h"
callers = ["dns:front"]
signs = "ocsp-response"
max_next_update = "1d"

[key.lists]
purpose = "x509-crl"
scheme = "ed25519"
token = "t"
certificate = "lists.der"
[key.lists.allow.lists]
budget = "1000/h"
callers = ["dns:front"]
signs = "crl"
max_next_update = "7d"

[key.stray-lists]
purpose = "x509-crl"
scheme = "ed25519"
token = "t"
certificate = "stray-lists.der"
[key.stray-lists.allow.lists]
budget = "1000/h"
callers = ["dns:front"]
signs = "crl"
max_next_update = "7d"

[key.responder]
purpose = "ocsp"
scheme = "ed25519"
token = "t"
certificate = "responder.der"
issuer_certificate = "ca.der"
[key.responder.allow.responses]
budget = "1000/h"
callers = ["dns:front"]
signs = "ocsp-response"
nonce = true
max_next_update = "1d"
"#;

/// When the tests of policy are: 2046-01-19T18:40:00Z. Those of the ledger go by the clock of the machine, by which what is valid then has not expired.
pub(crate) const NOW: u64 = 2_400_000_000;
pub(crate) const DAY: u64 = 24 * 3600;

/// The keys with their certificates, which are valid for the 10 days around [`NOW`].
pub(crate) struct Authority {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    _directory: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::by(CONFIG)
    }

    /// With this instead of each profile's budget.
    pub(crate) fn with_budget(budget: &str) -> Self {
        Self::by(&CONFIG.replace("budget = \"1000/h\"", budget))
    }

    fn by(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::parse(&directory.path().join("cs.toml"), config).unwrap();
        let subject = |key: &KeyName| match key.as_str() {
            "weak-ca" => name("Weak CA"),
            "stray-lists" => name("Stray CA"),
            "responder" => name("Responder"),
            _ => name("CA"),
        };
        let keys = config.keys.iter().map(|key| certified(key, subject(&key.name))).collect();
        Self { config, keys, _directory: directory }
    }

    /// Has one key certified for another name.
    pub(crate) fn rename(&mut self, key: &str, subject: Name) {
        let config = self.config.keys.iter().find(|config| config.name.as_str() == key).unwrap();
        let renamed = certified(config, subject);
        let others = self.keys.iter().filter(|own| own.name != renamed.name);
        self.keys = others.map(|own| Key::clone(own)).chain([renamed.clone()]).collect();
    }

    /// Reads the certificates again, as a daemon does when it starts.
    pub(crate) fn certified(&self) -> Result<Keys, Vec<Fault>> {
        self.keys.clone().certified(&self.config.keys, UnixTime(NOW))
    }

    /// A request for `tbs`.
    pub(crate) fn request(caller: &str, key: &str, tbs: &Tbs, id: Option<&str>) -> Request {
        let kind = match tbs {
            Tbs::Ssh(_) => TbsKind::SshCertificate,
            Tbs::X509(_) => TbsKind::X509Certificate,
            Tbs::Crl(_) => TbsKind::X509Crl,
            Tbs::Ocsp(_) => TbsKind::OcspResponse,
            Tbs::Request(_) => TbsKind::X509Request,
            Tbs::Root(_) => TbsKind::X509Root,
        };
        Request {
            caller: Caller::for_test(caller),
            key: key.to_owned(),
            kind,
            bytes: tbs.as_bytes().to_vec().into(),
            request_id: id.map(|id| RequestId::new(id).unwrap()),
            priority: Priority::Bulk,
            deadline: None,
        }
    }

    pub(crate) fn decide(&self, request: Request, now: u64) -> Decision {
        let tbs = Tbs::parse(request.kind, &request.bytes);
        let now = Clock { unix: UnixTime(now), instant: Instant::now() };
        self.config.policy.decide(&self.keys, request, tbs, now)
    }
}

impl Authority {
    /// Explains the request as the daemon would decide it at [`NOW`], or as somebody who has no certificate of the keys.
    pub(crate) fn explain(&self, request: &Request, knows: Knows) -> Explanation {
        static NONE: BTreeMap<KeyName, KeyCertificate> = BTreeMap::new();
        let tbs = Tbs::parse(request.kind, &request.bytes);
        let offline = Offline { keys: &self.config.keys, certificates: &NONE };
        let ca_keys = match knows {
            Knows::Everything => CaKeys::Pinned(&self.keys),
            Knows::NoCertificate => CaKeys::Configured(offline),
        };
        self.config.policy.explain(&Question {
            caller: request.caller.name(),
            key: &request.key,
            kind: request.kind,
            deadline: None,
            tbs: tbs.as_ref(),
            now: UnixTime(NOW).into(),
            ca_keys,
        })
    }
}

/// Who explains.
#[derive(Clone, Copy)]
pub(crate) enum Knows {
    Everything,
    NoCertificate,
}

pub(crate) fn time(secs: u64) -> Time {
    Time::from_unix_secs(secs).unwrap()
}

pub(crate) fn name(common_name: &str) -> Name {
    let oid = Oid::from_contents(oids::COMMON_NAME).unwrap();
    Name::new(vec![vec![Attribute::new(oid, StringKind::Utf8, common_name).unwrap()]]).unwrap()
}

pub(crate) fn key_id(key: &PublicKey) -> KeyId {
    KeyId::new(digest(&SHA1_FOR_LEGACY_USE_ONLY, &public_key_bits(key)).as_ref()).unwrap()
}

/// The key pair of one section.
pub(crate) fn pair(key: &str) -> Ed25519KeyPair {
    let mut seed = [0; 32];
    seed.iter_mut().zip(key.bytes()).for_each(|(to, from)| *to = from);
    Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()
}

pub(crate) fn public_key(key: &str) -> PublicKey {
    PublicKey::Ed25519(pair(key).public_key().as_ref().try_into().unwrap())
}

/// A list of the CA with this number, and so many entries.
pub(crate) fn list(number: CrlNumber, base: Option<u64>, entries: u32) -> Tbs {
    let updates = Updates { this: time(NOW), next: time(NOW + DAY) };
    let mut builder = CrlBuilder::new(SignatureAlgorithm::Ed25519, name("CA"), updates)
        .authority_key_id(key_id(&public_key("ca")))
        .number(number);
    if let Some(base) = base {
        builder = builder.delta_base(base.into());
    }
    let entry = |serial: u32| SerialNumber::new(&(serial + (1 << 16)).to_be_bytes()).unwrap();
    let entries = (0..entries).map(|serial| RevokedEntry::new(entry(serial), time(NOW)));
    Tbs::Crl(entries.fold(builder, |builder, entry| builder.entry(&entry)).build().unwrap())
}

/// That a certificate of the CA is good.
pub(crate) fn response(responder: &str) -> Tbs {
    let answer = SingleResponse {
        cert_id: CertId::sha256(&name("CA"), &public_key("ca"), SerialNumber::new(&[1]).unwrap()),
        status: CertStatus::Good,
        this_update: time(NOW),
        next_update: Some(time(NOW + DAY)),
        extensions: Vec::new(),
    };
    let responder = ResponderId::Name(name(responder));
    Tbs::Ocsp(ResponseBuilder::new(responder, time(NOW)).response(answer).build().unwrap())
}

/// The key of one section; its certificate's file is written, and read as the daemon does.
fn certified(config: &crate::key::Config, subject: Name) -> Key {
    let sign = KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN;
    let usage = match config.name.as_str() {
        "ca" => sign | KeyUsage::DIGITAL_SIGNATURE,
        "weak-ca" => KeyUsage::KEY_CERT_SIGN,
        "lists" | "stray-lists" => KeyUsage::CRL_SIGN,
        _ => KeyUsage::DIGITAL_SIGNATURE,
    };
    let public_key = public_key(config.name.as_str());
    let validity = Validity { not_before: time(NOW - 10 * DAY), not_after: time(NOW + 10 * DAY) };
    let mut builder =
        CertificateBuilder::new(SignatureAlgorithm::Ed25519, name("CA"), validity, public_key.clone())
            .subject(subject)
            .key_usage(usage)
            .subject_key_id(key_id(&public_key))
            .authority_key_id(key_id(&self::public_key("ca")));
    if usage.contains(KeyUsage::KEY_CERT_SIGN) {
        builder = builder.basic_constraints(BasicConstraints::Ca { path_len: None });
    }
    if config.purpose == KeyPurpose::Ocsp {
        let purposes = vec![Oid::from_contents(oids::OCSP_SIGNING).unwrap()];
        builder = builder.extension(Extension::non_critical(ExtensionValue::ExtKeyUsage(purposes)));
    }
    let CertificateFiles { own, .. } = config.certificate.as_ref().unwrap();
    let certificate = builder.build().unwrap().certificate(SignatureAlgorithm::Ed25519, &[0; 64]).unwrap();
    std::fs::write(own, certificate).unwrap();
    let mut key = Key::new(config.name.clone(), config.purpose, config.scheme, public_key).unwrap();
    key.certificate = Some(Arc::new(KeyCertificate::load(config).unwrap()));
    key
}
