//! X.509 certificates: one request per rule, the permitted one of its kind changed in one place.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::sync::Arc;

use countersign_tbs::der::{Oid, Time, oids};
use countersign_tbs::key::{MlDsaPublicKey, ParameterSet};
use countersign_tbs::ocsp::public_key_bits;
use countersign_tbs::x509::{
    AccessDescription, BasicConstraints, CertificateBuilder as Builder, CertificatePolicy, DistributionPoint,
    Extension, ExtensionValue as Value, GeneralName, KeyId, KeyUsage, Name, NameConstraints, SerialNumber,
    SignatureAlgorithm, Subtree, Validity,
};

use super::*;
use crate::caller::CallerName;
use crate::key::{CertificateFiles, KeyCertificate};
use crate::policy::ask::{CaKeys, Offline, Question};
use crate::policy::fixture::{DAY, NOW, key_id, name, time};

/// A profile for each kind of certificate, each for a caller of its own.
const PROFILES: &str = r#"
[key.tls-ca]
purpose = "x509-ca"
scheme = "ed25519"
token = "t"
certificate = "ca.der"
[key.tls-ca.allow.web]
callers = ["dns:web"]
signs = "tls-server"
dns_names = ["*.example.org"]
wildcard_dns_names = ["*.apps.example.org"]
ip_addresses = ["10.0.0.0/8"]
max_names = 3
subject.CN = ["*.example.org"]
policies = ["2.23.140.1.2.1"]
crl_urls = ["http://crl.example.org/ca.crl"]
ocsp_urls = ["http://ocsp.example.org"]
ca_issuers_urls = ["http://crl.example.org/ca.cer"]
must_staple = true
extension_values."1.3.6.1.4.1.99999.1" = ["0500"]
subject_keys = ["ed25519", "rsa", "ml-dsa-65"]
min_lifetime = "1h"
max_lifetime = "10d"
budget = "500/h"
[key.tls-ca.allow.client]
callers = ["dns:client"]
signs = "tls-client"
email_addresses = ["*@example.org"]
max_lifetime = "10d"
budget = "500/h"
[key.tls-ca.allow.service]
callers = ["dns:service"]
signs = "mtls-service"
uris = ["spiffe://example.org/*", "https://example.org/*"]
max_lifetime = "10d"
budget = "500/h"
[key.tls-ca.allow.card]
callers = ["dns:card"]
signs = "smart-card-logon"
user_principal_names = ["*@example.org"]
security_identifiers = ["S-1-5-21-1-2-*"]
max_lifetime = "10d"
budget = "500/h"
[key.tls-ca.allow.person]
callers = ["dns:person"]
signs = "tls-client"
user_principal_names = ["*@example.org"]
security_identifiers = ["S-1-5-21-1-2-*"]
max_lifetime = "10d"
budget = "500/h"
[key.tls-ca.allow.guest]
callers = ["dns:guest"]
signs = "tls-client"
user_principal_names = ["*@example.org"]
upn_without_sid = true
max_lifetime = "10d"
budget = "500/h"
[key.tls-ca.allow.code]
callers = ["dns:code"]
signs = "code-signing"
subject.CN = ["Build *"]
max_lifetime = "10d"
budget = "500/h"
[key.tls-ca.allow.responder]
callers = ["dns:responder"]
signs = "ocsp-responder"
subject.CN = ["OCSP *"]
max_lifetime = "10d"
budget = "500/h"
[key.tls-ca.allow.department]
callers = ["dns:department"]
signs = "intermediate-ca"
subject.CN = ["Department *"]
max_path_length = 1
permitted_names = ["dns:department.example.org"]
excluded_names = ["ip:0.0.0.0/0", "ip:::/0"]
max_lifetime = "10d"
budget = "500/h"
[key.tls-ca.allow.region]
callers = ["dns:region"]
signs = "intermediate-ca"
subject.CN = ["Region *", "TLS CA", "tls ca"]
ext_key_usage = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]
max_path_length = 1
permitted_names = ["dns:region.example.org", "ip:10.0.0.0/8"]
max_lifetime = "10d"
budget = "500/h"
"#;

const CA: PublicKey = PublicKey::Ed25519([1; 32]);
const SUBJECT: PublicKey = PublicKey::Ed25519([7; 32]);

fn oid(contents: &[u8]) -> Oid {
    Oid::from_contents(contents).unwrap()
}

fn dns(name: &str) -> GeneralName {
    GeneralName::Dns(name.to_owned())
}

fn uri(uri: &str) -> GeneralName {
    GeneralName::Uri(uri.to_owned())
}

/// The CA's certificate, from an hour ago until in 100 days, as the key's file has it.
fn ca_certificate(directory: &Path, issuer: Name) -> KeyCertificate {
    let validity = Validity { not_before: time(NOW - HOUR), not_after: time(NOW + 100 * DAY) };
    let tbs = Builder::new(SignatureAlgorithm::Ed25519, issuer, validity, CA)
        .serial(SerialNumber::new(&[2; 17]).unwrap())
        .subject(name("TLS CA"))
        .basic_constraints(BasicConstraints::Ca { path_len: Some(4) })
        .key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN)
        .subject_key_id(key_id(&CA))
        .authority_key_id(key_id(&HOST_CA))
        .build()
        .unwrap();
    let own = directory.join("ca.der");
    std::fs::write(&own, tbs.certificate(SignatureAlgorithm::Ed25519, &[0; 64]).unwrap()).unwrap();
    let mut config = config().keys.into_iter().find(|key| key.name.as_str() == "tls-ca").unwrap();
    config.certificate = Some(CertificateFiles { own, issuer: None });
    KeyCertificate::load(&config).unwrap().of(&CA, UnixTime(NOW)).unwrap()
}

fn config() -> Config {
    let config = Config::parse(Path::new("cs.toml"), &format!("{CONFIG}{PROFILES}")).unwrap();
    Config { policy: without_blocked(&config.policy), ..config }
}

/// What a caller asks for. Each kind's own is permitted: a test changes what it is about.
#[derive(Clone)]
pub(super) struct Ask {
    caller: &'static str,
    algorithm: SignatureAlgorithm,
    serial: SerialNumber,
    issuer: Name,
    authority: Option<KeyId>,
    subject: Name,
    key: PublicKey,
    subject_key_id: Option<KeyId>,
    after: u64,
    before: u64,
    constraints: Option<BasicConstraints>,
    usage: Option<KeyUsage>,
    purposes: Vec<&'static [u8]>,
    names: Vec<GeneralName>,
    more: Vec<Value>,
}

fn ask(caller: &'static str, purposes: &[&'static [u8]], names: &[GeneralName]) -> Ask {
    Ask {
        caller,
        algorithm: SignatureAlgorithm::Ed25519,
        serial: SerialNumber::new(&[1; 17]).unwrap(),
        issuer: name("TLS CA"),
        authority: Some(key_id(&CA)),
        subject: Name::empty(),
        key: SUBJECT,
        subject_key_id: Some(key_id(&SUBJECT)),
        after: NOW,
        before: NOW + DAY,
        constraints: None,
        usage: Some(KeyUsage::DIGITAL_SIGNATURE),
        purposes: purposes.to_vec(),
        names: names.to_vec(),
        more: Vec::new(),
    }
}

fn ml_dsa(parameters: ParameterSet) -> PublicKey {
    PublicKey::MlDsa(MlDsaPublicKey::new(parameters, vec![7; parameters.public_key_len()]).unwrap())
}

fn web() -> Ask {
    let url = |name: &str| uri(&format!("http://{name}"));
    let access = |method, location| AccessDescription { method: oid(method), location };
    Ask {
        subject: name("www.example.org"),
        constraints: Some(BasicConstraints::Leaf),
        usage: Some(KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT),
        more: vec![
            Value::CertificatePolicies(vec![policy("2.23.140.1.2.1")]),
            Value::CrlDistributionPoints(vec![DistributionPoint {
                full_name: vec![url("crl.example.org/ca.crl")],
            }]),
            Value::AuthorityInfoAccess(vec![
                access(oids::AD_OCSP, url("ocsp.example.org")),
                access(oids::AD_CA_ISSUERS, url("crl.example.org/ca.cer")),
            ]),
            Value::TlsFeature(vec![5]),
            unknown("1.3.6.1.4.1.99999.1", &[5, 0]),
        ],
        ..ask(
            "dns:web",
            &[oids::SERVER_AUTH],
            &[dns("www.example.org"), dns("*.apps.example.org"), GeneralName::Ip([10, 1, 2, 3].into())],
        )
    }
}

fn policy(dotted: &str) -> CertificatePolicy {
    CertificatePolicy { oid: Oid::from_dotted(dotted).unwrap(), qualifiers: Vec::new() }
}

fn unknown(dotted: &str, value: &[u8]) -> Value {
    Value::Unknown { oid: Oid::from_dotted(dotted).unwrap(), value: value.to_vec() }
}

fn client() -> Ask {
    ask("dns:client", &[oids::CLIENT_AUTH], &[GeneralName::Email("alice@example.org".to_owned())])
}

fn service() -> Ask {
    ask("dns:service", &[oids::CLIENT_AUTH, oids::SERVER_AUTH], &[uri("spiffe://example.org/web")])
}

fn card() -> Ask {
    let principal = GeneralName::UserPrincipalName("alice@example.org".to_owned());
    let more = vec![Value::SecurityIdentifier("S-1-5-21-1-2-3".to_owned())];
    Ask { more, ..ask("dns:card", &[oids::CLIENT_AUTH, oids::SMART_CARD_LOGON], &[principal]) }
}

/// A client by the name of an account.
fn person() -> Ask {
    Ask { caller: "dns:person", purposes: vec![oids::CLIENT_AUTH], ..card() }
}

fn code() -> Ask {
    Ask { subject: name("Build 1"), ..ask("dns:code", &[oids::CODE_SIGNING], &[]) }
}

fn responder() -> Ask {
    let more = vec![Value::OcspNoCheck];
    Ask { subject: name("OCSP 1"), more, ..ask("dns:responder", &[oids::OCSP_SIGNING], &[]) }
}

fn department() -> Ask {
    Ask {
        subject: name("Department 1"),
        constraints: Some(BasicConstraints::Ca { path_len: Some(1) }),
        usage: Some(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN),
        more: vec![permitted_hosts(&["department.example.org"])],
        ..ask("dns:department", &[], &[])
    }
}

fn region() -> Ask {
    Ask {
        caller: "dns:region",
        subject: name("Region 1"),
        purposes: vec![oids::SERVER_AUTH],
        more: vec![permitted(&["ip:10.0.0.0/8", "dns:region.example.org"])],
        ..department()
    }
}

/// `dns:` may be left out.
fn permitted(names: &[&str]) -> Value {
    let dns = |name: &str| Subtree::Dns(name.to_owned());
    let permitted = names.iter().map(|name| Subtree::from_text(name).unwrap_or_else(|| dns(name))).collect();
    Value::NameConstraints(NameConstraints { permitted, excluded: Vec::new() })
}

/// As [`permitted`], without any address.
fn permitted_hosts(names: &[&str]) -> Value {
    let excluded = ["ip:0.0.0.0/0", "ip:::/0"].map(|all| Subtree::from_text(all).unwrap()).to_vec();
    match permitted(names) {
        Value::NameConstraints(constraints) => {
            Value::NameConstraints(NameConstraints { excluded, ..constraints })
        }
        other => other,
    }
}

impl Ask {
    fn tbs(&self) -> TbsCertificate {
        let validity = Validity { not_before: time(self.after), not_after: time(self.before) };
        let mut builder = Builder::new(self.algorithm, self.issuer.clone(), validity, self.key.clone())
            .serial(self.serial)
            .subject(self.subject.clone());
        let own = [
            self.authority.clone().map(Value::AuthorityKeyId),
            self.subject_key_id.clone().map(Value::SubjectKeyId),
            (!self.purposes.is_empty())
                .then(|| Value::ExtKeyUsage(self.purposes.iter().map(|purpose| oid(purpose)).collect())),
        ];
        for value in own.into_iter().flatten().chain(self.more.clone()) {
            let critical = matches!(value, Value::NameConstraints(_));
            builder = builder.extension(Extension { critical, value });
        }
        if let Some(constraints) = self.constraints {
            builder = builder.basic_constraints(constraints);
        }
        if let Some(usage) = self.usage {
            builder = builder.key_usage(usage);
        }
        if !self.names.is_empty() {
            builder = builder.subject_alt_names(self.names.clone());
        }
        builder.build().unwrap()
    }

    fn decide(&self) -> Decision {
        self.decide_under(name("Root"))
    }

    /// By a CA that `issuer` has certified.
    fn decide_under(&self, issuer: Name) -> Decision {
        self.decide_by(&config().policy, issuer)
    }

    fn decide_by(&self, policy: &Policy, issuer: Name) -> Decision {
        let directory = tempfile::tempdir().unwrap();
        let mut key =
            Key::new(KeyName::new("tls-ca").unwrap(), KeyPurpose::X509Ca, Scheme::Ed25519, CA).unwrap();
        key.certificate = Some(Arc::new(ca_certificate(directory.path(), issuer)));
        let request = Request {
            caller: Caller::for_test(self.caller),
            key: "tls-ca".to_owned(),
            kind: TbsKind::X509Certificate,
            bytes: Bytes::from_static(b"the TBS"),
            request_id: None,
            priority: Priority::Bulk,
            deadline: None,
        };
        let now = Clock { unix: UnixTime(NOW), instant: Instant::now() };
        policy.decide(&[key].into_iter().collect(), request, Ok(Tbs::X509(self.tbs())), now)
    }
}

/// What was changed, why it is refused, and by which rule: one of the caller's profile if it has no dots.
#[rustfmt::skip]
pub(super) fn refused() -> Vec<(Ask, Reason, &'static str)> {
    let usage = |usage| Ask { usage: Some(usage), ..web() };
    let names = |names: &[GeneralName]| Ask { names: names.to_vec(), ..web() };
    let with = |of: Ask, value: Value| Ask { more: [of.more.clone(), vec![value]].concat(), ..of };
    let without = |of: Ask, is: fn(&Value) -> bool| Ask { more: of.more.iter().filter(|value| !is(value)).cloned().collect(), ..of };
    let crl = |url: &str| Value::CrlDistributionPoints(vec![DistributionPoint { full_name: vec![uri(url)] }]);
    let access = |method, url: &str| Value::AuthorityInfoAccess(vec![AccessDescription { method: oid(method), location: uri(url) }]);
    vec![
        (Ask { issuer: name("TLS  CA"), ..web() }, Reason::IssuerMismatch, "built-in.issuer"),
        (Ask { issuer: name("Root"), ..web() }, Reason::IssuerMismatch, "built-in.issuer"),
        (Ask { subject: name("TLS CA"), ..region() }, Reason::SubjectIsIssuer, "built-in.subject"),
        (Ask { subject: name("tls ca"), ..region() }, Reason::SubjectIsIssuer, "built-in.subject"),
        (Ask { authority: None, ..web() }, Reason::AuthorityKeyIdMismatch, "built-in.authority_key_id"),
        (Ask { authority: Some(key_id(&HOST_CA)), ..web() }, Reason::AuthorityKeyIdMismatch, "built-in.authority_key_id"),
        (Ask { algorithm: SignatureAlgorithm::EcdsaSha256, ..web() }, Reason::SignatureAlgorithmMismatch, "built-in.signature_algorithm"),
        (Ask { serial: SerialNumber::new(&[1; 7]).unwrap(), ..web() }, Reason::SerialTooShort, "built-in.serial"),
        (Ask { before: Time::MAX.unix_secs(), ..web() }, Reason::ValidForever, "built-in.validity"),
        (Ask { after: NOW - 60, before: NOW - 1, ..web() }, Reason::CertificateExpired, "built-in.validity"),
        (Ask { before: NOW + 100 * DAY + 1, ..web() }, Reason::OutlivesIssuer, "built-in.issuer_validity"),
        (Ask { after: NOW - HOUR - 1, ..web() }, Reason::PrecedesIssuer, "built-in.issuer_validity"),
        (Ask { key: CA, ..web() }, Reason::SubjectKeyIsCaKey, "built-in.subject_key"),
        (Ask { key: BLOCKED, ..web() }, Reason::SubjectKeyBlocked, "built-in.subject_key"),
        (Ask { key: PublicKey::Ed25519([0; 32]), ..web() }, Reason::SubjectKeyInvalid, "built-in.subject_key"),
        (Ask { subject_key_id: Some(key_id(&CA)), ..web() }, Reason::SubjectKeyIdMismatch, "built-in.subject_key_id"),
        (names(&[dns("www.example.org"), dns("wWw.example.org")]), Reason::NameNotAllowed, "built-in.name_case"),
        (names(&[dns("*.apps.example.Org")]), Reason::NameNotAllowed, "built-in.name_case"),
        (Ask { names: vec![GeneralName::Email("Alice@Example.org".to_owned())], ..client() }, Reason::NameNotAllowed, "built-in.name_case"),

        (names(&[uri("https://example.org/x")]), Reason::CertificateKindMismatch, "signs"),
        (names(&[dns("www.example.org"), uri("https://example.org/x")]), Reason::CertificateKindMismatch, "signs"),
        (names(&[dns("www.example.org"), GeneralName::Directory(name("x"))]), Reason::NameNotAllowed, "signs"),
        (Ask { constraints: Some(BasicConstraints::Ca { path_len: Some(0) }), usage: Some(KeyUsage::KEY_CERT_SIGN | KeyUsage::DIGITAL_SIGNATURE), ..web() }, Reason::CertificateKindMismatch, "signs"),
        (Ask { names: vec![uri("https://example.org/x")], ..service() }, Reason::CertificateKindMismatch, "signs"),
        (Ask { names: vec![uri("spiffe://example.org/a"), uri("spiffe://example.org/b")], ..service() }, Reason::CertificateKindMismatch, "signs"),
        (Ask { names: vec![uri("spiffe://example.org")], ..service() }, Reason::CertificateKindMismatch, "signs"),
        (Ask { names: vec![uri("spiffe://example.org/a?b")], ..service() }, Reason::CertificateKindMismatch, "signs"),
        (Ask { more: Vec::new(), ..card() }, Reason::CertificateKindMismatch, "signs"),
        (Ask { names: vec![GeneralName::Email("alice@example.org".to_owned())], ..card() }, Reason::CertificateKindMismatch, "signs"),
        (Ask { names: vec![dns("www.example.org")], ..code() }, Reason::CertificateKindMismatch, "signs"),
        (with(web(), Value::OcspNoCheck), Reason::CertificateKindMismatch, "signs"),
        (Ask { more: Vec::new(), ..responder() }, Reason::CertificateKindMismatch, "signs"),
        (Ask { constraints: None, usage: Some(KeyUsage::CRL_SIGN), more: Vec::new(), ..department() }, Reason::CertificateKindMismatch, "signs"),
        (Ask { subject_key_id: None, ..department() }, Reason::CertificateKindMismatch, "signs"),
        (Ask { names: vec![dns("www.department.example.org")], ..department() }, Reason::CertificateKindMismatch, "signs"),

        (Ask { key: rules::p256_key(), subject_key_id: None, ..web() }, Reason::SubjectKeyNotAllowed, "subject_keys"),
        (Ask { key: ml_dsa(ParameterSet::MlDsa44), subject_key_id: None, ..web() }, Reason::SubjectKeyNotAllowed, "subject_keys"),
        (Ask { key: ml_dsa(ParameterSet::MlDsa65), subject_key_id: None, ..web() }, Reason::KeyUsageNotAllowed, "key_usage"),
        (Ask { key: rules::rsa_key(3071), subject_key_id: None, ..web() }, Reason::SubjectKeyTooShort, "min_rsa_bits"),
        (Ask { usage: None, ..web() }, Reason::KeyUsageNotAllowed, "key_usage"),
        (usage(KeyUsage::KEY_ENCIPHERMENT), Reason::KeyUsageNotAllowed, "key_usage"),
        (usage(KeyUsage::DIGITAL_SIGNATURE | KeyUsage::CRL_SIGN), Reason::KeyUsageNotAllowed, "key_usage"),
        (Ask { usage: Some(KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT), ..client() }, Reason::KeyUsageNotAllowed, "key_usage"),
        (Ask { purposes: Vec::new(), ..web() }, Reason::ExtKeyUsageNotAllowed, "ext_key_usage"),
        (Ask { purposes: vec![oids::CLIENT_AUTH], ..web() }, Reason::ExtKeyUsageNotAllowed, "ext_key_usage"),
        (Ask { purposes: vec![oids::SERVER_AUTH, oids::ANY_EXT_KEY_USAGE], ..web() }, Reason::ExtKeyUsageNotAllowed, "ext_key_usage"),
        (Ask { purposes: vec![oids::SERVER_AUTH], ..service() }, Reason::ExtKeyUsageNotAllowed, "ext_key_usage"),
        (Ask { purposes: vec![oids::SERVER_AUTH], ..department() }, Reason::ExtKeyUsageNotAllowed, "ext_key_usage"),
        (Ask { purposes: Vec::new(), ..region() }, Reason::ExtKeyUsageNotAllowed, "ext_key_usage"),
        (Ask { constraints: Some(BasicConstraints::Ca { path_len: None }), ..department() }, Reason::PathLengthNotAllowed, "built-in.issuer_path_length"),
        (Ask { constraints: Some(BasicConstraints::Ca { path_len: Some(4) }), ..department() }, Reason::PathLengthNotAllowed, "built-in.issuer_path_length"),
        (Ask { constraints: Some(BasicConstraints::Ca { path_len: Some(2) }), ..department() }, Reason::PathLengthNotAllowed, "max_path_length"),
        (Ask { more: Vec::new(), ..department() }, Reason::NameConstraintsMismatch, "name_constraints"),
        (Ask { more: vec![permitted_hosts(&["example.org"])], ..department() }, Reason::NameConstraintsMismatch, "name_constraints"),
        (Ask { more: vec![permitted(&["department.example.org"])], ..department() }, Reason::NameConstraintsMismatch, "name_constraints"),
        (Ask { more: vec![permitted_hosts(&["department.example.org", "example.com"])], ..department() }, Reason::NameConstraintsMismatch, "name_constraints"),
        (Ask { more: vec![permitted(&["dns:region.example.org", "dns:region.example.org"])], ..region() }, Reason::NameConstraintsMismatch, "name_constraints"),
        (names(&[dns("a.example.org"), dns("b.example.org"), dns("c.example.org"), dns("d.example.org")]), Reason::NamesAboveLimit, "max_names"),
        (Ask { subject: name("example.com"), ..web() }, Reason::SubjectNotAllowed, "subject"),
        (Ask { subject: name("alice"), ..client() }, Reason::SubjectNotAllowed, "subject"),
        (Ask { subject: name("mail.example.org"), ..web() }, Reason::SubjectNotAllowed, "subject"),
        (names(&[dns("example.org")]), Reason::NameNotAllowed, "dns_names"),
        (names(&[dns("a.b.example.org")]), Reason::NameNotAllowed, "dns_names"),
        (names(&[dns("*.example.org")]), Reason::NameNotAllowed, "wildcard_dns_names"),
        (names(&[GeneralName::Ip([192, 0, 2, 1].into())]), Reason::NameNotAllowed, "ip_addresses"),
        (Ask { names: vec![GeneralName::Email("alice@example.com".to_owned())], ..client() }, Reason::NameNotAllowed, "email_addresses"),
        (Ask { names: vec![dns("www.example.org")], ..client() }, Reason::NameNotAllowed, "dns_names"),
        (Ask { names: vec![uri("spiffe://example.com/web")], ..service() }, Reason::NameNotAllowed, "uris"),
        (Ask { names: vec![GeneralName::UserPrincipalName("root@example.com".to_owned())], ..card() }, Reason::NameNotAllowed, "user_principal_names"),
        (Ask { more: vec![Value::SecurityIdentifier("S-1-5-21-9-2-3".to_owned())], ..card() }, Reason::NameNotAllowed, "security_identifiers"),
        (Ask { more: Vec::new(), ..person() }, Reason::NameNotAllowed, "upn_without_sid"),
        (with(client(), Value::CertificatePolicies(vec![policy("2.5.29.32.0")])), Reason::CertificatePolicyNotAllowed, "policies"),
        (with(client(), crl("http://crl.example.org/ca.crl")), Reason::UrlNotAllowed, "crl_urls"),
        (with(without(web(), |value| matches!(value, Value::CrlDistributionPoints(_))), crl("http://evil.example.org/ca.crl")), Reason::UrlNotAllowed, "crl_urls"),
        (with(client(), access(oids::AD_OCSP, "http://ocsp.example.org")), Reason::UrlNotAllowed, "ocsp_urls"),
        (with(client(), access(oids::AD_CA_ISSUERS, "http://crl.example.org/ca.cer")), Reason::UrlNotAllowed, "ca_issuers_urls"),
        (with(client(), access(oids::QT_CPS, "http://ocsp.example.org")), Reason::UrlNotAllowed, "ca_issuers_urls"),
        (with(client(), Value::TlsFeature(vec![5])), Reason::ExtensionNotAllowed, "must_staple"),
        (with(without(web(), |value| matches!(value, Value::TlsFeature(_))), Value::TlsFeature(vec![17])), Reason::ExtensionNotAllowed, "must_staple"),
        (with(web(), unknown("1.3.6.1.4.1.99999.2", &[5, 0])), Reason::ExtensionNotAllowed, "extension_values"),
        (with(without(web(), |value| matches!(value, Value::Unknown { .. })), unknown("1.3.6.1.4.1.99999.1", &[1, 1, 255])), Reason::ExtensionValueNotAllowed, "extension_values"),
        (Ask { after: NOW - 61, ..web() }, Reason::BackdatedTooFar, "backdating"),
        (Ask { after: NOW + 61, ..web() }, Reason::StartsTooLate, "start_within"),
        (Ask { before: NOW + HOUR - 1, ..web() }, Reason::LifetimeTooShort, "min_lifetime"),
        (Ask { before: NOW + 10 * DAY + 1, ..web() }, Reason::LifetimeTooLong, "max_lifetime"),
    ]
}

#[test]
fn permits_a_certificate_of_every_kind() {
    for (ask, profile) in [
        (web(), "web"),
        (client(), "client"),
        (service(), "service"),
        (card(), "card"),
        (person(), "person"),
        (Ask { caller: "dns:guest", more: Vec::new(), ..person() }, "guest"),
        (code(), "code"),
        (responder(), "responder"),
        (department(), "department"),
        (region(), "region"),
    ] {
        assert_eq!(ask.decide().verdict().unwrap().rule(), format!("key.tls-ca.allow.{profile}"));
    }
}

/// No configuration lists serverAuth there; if one could, a client that goes by the common name would still not be misled.
#[test]
fn a_server_by_its_own_word_has_no_common_name_but_its_names() {
    for serves in [oids::SERVER_AUTH, oids::MICROSOFT_SGC, oids::NETSCAPE_SGC, oids::ANY_EXT_KEY_USAGE] {
        let ask = Ask { purposes: vec![oids::CODE_SIGNING, serves], ..code() };
        let mut policy = config().policy;
        for profile in Arc::make_mut(&mut policy.keys).values_mut().flat_map(|rules| &mut rules.profiles) {
            if let crate::policy::profile::Bounds::X509(bounds) = &mut profile.bounds {
                bounds.ext_key_usage.insert(oid(serves));
            }
        }
        let decision = ask.decide_by(&policy, name("Root"));
        let refusal = decision.verdict().unwrap_err();
        let rule = "key.tls-ca.allow.code.subject";
        assert_eq!(
            (refusal.reason, &*refusal.rule),
            (Reason::SubjectNotAllowed, rule),
            "{}",
            refusal.message
        );
        assert!(code().decide_by(&policy, name("Root")).verdict().is_ok());
    }
}

#[test]
fn permits_an_ml_dsa_key_that_only_signs_where_it_is_listed() {
    let ask =
        |usage| Ask { key: ml_dsa(ParameterSet::MlDsa65), subject_key_id: None, usage: Some(usage), ..web() };
    assert!(ask(KeyUsage::DIGITAL_SIGNATURE).decide().verdict().is_ok());
    // A profile that lists no keys takes none of these.
    let unlisted = Ask { key: ml_dsa(ParameterSet::MlDsa65), subject_key_id: None, ..client() };
    let decision = unlisted.decide();
    assert_eq!(decision.verdict().unwrap_err().reason, Reason::SubjectKeyNotAllowed);
}

#[test]
fn every_rule_refuses_what_it_is_for() {
    for (ask, reason, rule) in refused() {
        let profile = ask.caller.strip_prefix("dns:").unwrap();
        let rule =
            if rule.contains('.') { rule.to_owned() } else { format!("key.tls-ca.allow.{profile}.{rule}") };
        let refusal = ask.decide().verdict().unwrap_err().clone();
        assert_eq!((refusal.reason, &refusal.rule), (reason, &rule), "{}", refusal.message);
        assert!(refusal.message.len() <= 2000 && !refusal.message.contains(char::is_control));
    }
}

#[test]
fn every_rule_has_a_request_that_it_refuses() {
    let tested: BTreeSet<&str> = refused().into_iter().map(|(.., rule)| rule).collect();
    for rule in rule_names::<TbsCertificate>("built-in.", "") {
        assert!(tested.contains(rule.as_str()), "no request is refused by {rule}");
    }
}

#[test]
fn refuses_the_serial_number_of_a_root_that_is_the_ca_itself() {
    let ask = Ask { serial: SerialNumber::new(&[2; 17]).unwrap(), ..web() };
    assert!(ask.decide().verdict().is_ok(), "another issuer's serial number");
    let decision = ask.decide_under(name("TLS CA"));
    let refusal = decision.verdict().unwrap_err();
    assert_eq!((refusal.reason, refusal.rule.as_str()), (Reason::SerialReused, "built-in.serial"));
    assert!(web().decide_under(name("TLS CA")).verdict().is_ok());
}

#[test]
fn takes_every_derivation_of_the_subject_key_id() {
    let (bits, spki) = (public_key_bits(&SUBJECT), SUBJECT.to_spki_der());
    let sha256 =
        |bytes: &[u8]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec();
    for id in [&sha256(&bits)[..20], &sha256(&bits), &sha256(&spki)] {
        let ask = Ask { subject_key_id: KeyId::new(id), ..web() };
        assert!(ask.decide().verdict().is_ok());
    }
    assert!(Ask { subject_key_id: None, ..web() }.decide().verdict().is_ok());
}

#[test]
fn key_without_its_certificate_permits_nothing() {
    let key = Key::new(KeyName::new("tls-ca").unwrap(), KeyPurpose::X509Ca, Scheme::Ed25519, CA).unwrap();
    let request = web().decide().into_parts().0;
    let decision = config().policy.decide(
        &[key].into_iter().collect(),
        request,
        Ok(Tbs::X509(web().tbs())),
        Clock::read(),
    );
    assert_eq!(decision.verdict().unwrap_err().reason, Reason::CertificateAwaited);
}

#[test]
fn explanation_shows_a_name_with_commas_as_one() {
    let principal = GeneralName::UserPrincipalName("x, DNS:www.example.org".to_owned());
    let ask = Ask { names: vec![principal, dns("y")], ..card() };
    let tbs = ask.tbs();
    let question = Question {
        caller: &CallerName::parse(ask.caller).unwrap(),
        key: "tls-ca",
        kind: TbsKind::X509Certificate,
        deadline: None,
        tbs: Ok(&Tbs::X509(tbs)),
        now: Clock::from(UnixTime(NOW)),
        ca_keys: CaKeys::Assumed(Offline { keys: &config().keys, certificates: &BTreeMap::new() }),
    };
    let steps = config().policy.explain(&question).steps;
    let step = steps.iter().find(|step| step.rule.ends_with(".dns_names")).unwrap();
    assert_eq!(step.saw, "alternative names \"UPN:x, DNS:www.example.org\", \"DNS:y\"");
}
