//! What a CA key signs about itself: one request per rule, the permitted one changed in one place.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use countersign_tbs::csr::{CertificationRequestInfo, RequestBuilder};
use countersign_tbs::der::{Oid, Time};
use countersign_tbs::x509::{
    BasicConstraints, CertificateBuilder as X509Builder, Extension, ExtensionValue as Value, GeneralName,
    KeyId, KeyUsage, Name, RootCertificate, SerialNumber, SignatureAlgorithm, Validity,
};

use super::*;
use crate::policy::fixture::{key_id, name, time};

const KEYS: &str = r#"
[server]
listen = "127.0.0.1:0"
tls_certificate = "a"
tls_key = "a"
client_ca = "a"
[ledger]
path = "a"
origin = "test/log"
[token.t]
module = "m"
label = "t"
pin_file = "p"
[key.new]
purpose = "x509-ca"
scheme = "ed25519"
token = "t"
[key.new.allow.request]
callers = ["uid:0"]
signs = "certificate-request"
subject = { CN = ["CA *"] }
budget = "1/h"
[key.new.allow.root]
callers = ["uid:0"]
signs = "root-ca"
subject = { CN = ["Root *"] }
max_path_length = 1
max_lifetime = "30d"
min_lifetime = "1d"
budget = "1/h"
"#;

const DAY: u64 = 24 * 3600;
const OWN: PublicKey = PublicKey::Ed25519([3; 32]);
const OTHER: PublicKey = PublicKey::Ed25519([4; 32]);

fn constraints(path_len: Option<u16>) -> Extension {
    Extension::critical(Value::BasicConstraints(BasicConstraints::Ca { path_len }))
}

fn usage(usage: KeyUsage) -> Extension {
    Extension::critical(Value::KeyUsage(usage))
}

fn own_id() -> Extension {
    Extension::non_critical(Value::SubjectKeyId(key_id(&OWN)))
}

fn alternative_name() -> Extension {
    Extension::non_critical(Value::SubjectAltName(vec![GeneralName::Dns("www.example.org".to_owned())]))
}

fn request(subject: Name, key: PublicKey, extensions: Vec<Extension>) -> Tbs {
    let start = RequestBuilder::new(subject, key);
    Tbs::Request(extensions.into_iter().fold(start, RequestBuilder::extension).build().unwrap())
}

/// A root's certificate in the making.
#[derive(Clone)]
struct Root {
    subject: &'static str,
    key: PublicKey,
    algorithm: SignatureAlgorithm,
    serial: &'static [u8],
    between: [u64; 2],
    extensions: Vec<Extension>,
}

fn root() -> Root {
    let extensions =
        vec![constraints(Some(1)), usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN), own_id()];
    let (algorithm, serial) = (SignatureAlgorithm::Ed25519, [9; 8].as_slice());
    Root { subject: "Root 1", key: OWN, algorithm, serial, between: [NOW, NOW + 30 * DAY], extensions }
}

impl Root {
    fn with(extensions: Vec<Extension>) -> Self {
        Self { extensions, ..root() }
    }

    fn tbs(self) -> Tbs {
        let [from, to] = self.between;
        let to = Time::from_unix_secs(to).unwrap_or(Time::MAX);
        let validity = Validity { not_before: time(from), not_after: to };
        let start = X509Builder::new(self.algorithm, name(self.subject), validity, self.key)
            .subject(name(self.subject))
            .serial(SerialNumber::new(self.serial).unwrap());
        let built = self.extensions.into_iter().fold(start, X509Builder::extension).build().unwrap();
        Tbs::Root(RootCertificate::parse(built.as_bytes()).unwrap())
    }
}

/// What the key `new`, which has no certificate, says to this caller.
fn decide(caller: &str, tbs: Tbs) -> Result<String, (Reason, String)> {
    let policy =
        Config::parse(Path::new("cs.toml"), KEYS).unwrap_or_else(|faults| panic!("{faults:#?}")).policy;
    let key = Key::new(KeyName::new("new").unwrap(), KeyPurpose::X509Ca, Scheme::Ed25519, OWN).unwrap();
    let kind = match &tbs {
        Tbs::Root(_) => TbsKind::X509Root,
        Tbs::Request(_) => TbsKind::X509Request,
        Tbs::X509(_) => TbsKind::X509Certificate,
        _ => panic!("no kind of an X.509 CA"),
    };
    let asked = Request {
        caller: Caller::for_test(caller),
        key: "new".to_owned(),
        kind,
        bytes: Bytes::from_static(b"the TBS"),
        request_id: None,
        priority: Priority::Bulk,
        deadline: None,
    };
    let now = Clock { unix: UnixTime(NOW), instant: Instant::now() };
    let decision = policy.decide(&[key].into_iter().collect(), asked, Ok(tbs), now);
    match decision.verdict() {
        Ok(permit) => Ok(permit.rule().to_owned()),
        Err(refusal) => Err((refusal.reason, refusal.rule.clone())),
    }
}

/// What was changed, why it is refused, and by which rule: one of its profile if it has no dots.
#[rustfmt::skip]
pub(super) fn refused() -> Vec<(Tbs, Reason, &'static str)> {
    let ca = || name("CA 1");
    let all = KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN;
    let other_id = Extension::non_critical(Value::SubjectKeyId(KeyId::new(&[1; 20]).unwrap()));
    let others_issuer = Extension::non_critical(Value::AuthorityKeyId(KeyId::new(&public_sha256()).unwrap()));
    let leaf = Extension::critical(Value::BasicConstraints(BasicConstraints::Leaf));
    vec![
        (request(ca(), OTHER, vec![]), Reason::CaKeyMismatch, "built-in.own_key"),
        (request(Name::empty(), OWN, vec![]), Reason::SubjectNotAllowed, "built-in.subject"),
        (request(ca(), OWN, vec![alternative_name()]), Reason::CertificateKindMismatch, "built-in.extensions"),
        (request(ca(), OWN, vec![leaf]), Reason::CertificateKindMismatch, "built-in.extensions"),
        (request(ca(), OWN, vec![usage(KeyUsage::CRL_SIGN)]), Reason::CertificateKindMismatch, "built-in.extensions"),
        (request(ca(), OWN, vec![usage(all | KeyUsage::KEY_ENCIPHERMENT)]), Reason::CertificateKindMismatch, "built-in.extensions"),
        (request(ca(), OWN, vec![other_id]), Reason::CertificateKindMismatch, "built-in.extensions"),
        (request(name("Root 1"), OWN, vec![]), Reason::SubjectNotAllowed, "request.subject"),
        (Root { key: OTHER, extensions: vec![constraints(None), usage(all)], ..root() }.tbs(), Reason::CaKeyMismatch, "built-in.own_key"),
        (Root::with(vec![constraints(None), usage(all)]).tbs(), Reason::CertificateKindMismatch, "built-in.root"),
        (Root::with(vec![constraints(None), own_id()]).tbs(), Reason::CertificateKindMismatch, "built-in.root"),
        (Root::with(vec![constraints(None), usage(all), own_id(), others_issuer]).tbs(), Reason::CertificateKindMismatch, "built-in.root"),
        (Root { algorithm: SignatureAlgorithm::EcdsaSha256, ..root() }.tbs(), Reason::SignatureAlgorithmMismatch, "built-in.signature_algorithm"),
        (Root { serial: &[9; 7], ..root() }.tbs(), Reason::SerialTooShort, "built-in.serial"),
        (Root { between: [NOW, u64::MAX], ..root() }.tbs(), Reason::ValidForever, "built-in.validity"),
        (Root { between: [NOW - 9, NOW - 1], ..root() }.tbs(), Reason::CertificateExpired, "built-in.validity"),
        (Root { subject: "CA 1", ..root() }.tbs(), Reason::SubjectNotAllowed, "root.subject"),
        (Root::with(vec![constraints(Some(2)), usage(all), own_id()]).tbs(), Reason::PathLengthNotAllowed, "root.max_path_length"),
        (Root::with(vec![constraints(None), usage(all), own_id()]).tbs(), Reason::PathLengthNotAllowed, "root.max_path_length"),
        (Root { between: [NOW - 61, NOW + DAY], ..root() }.tbs(), Reason::BackdatedTooFar, "root.backdating"),
        (Root { between: [NOW + 61, NOW + 9 * DAY], ..root() }.tbs(), Reason::StartsTooLate, "root.start_within"),
        (Root { between: [NOW, NOW + DAY - 1], ..root() }.tbs(), Reason::LifetimeTooShort, "root.min_lifetime"),
        (Root { between: [NOW, NOW + 30 * DAY + 1], ..root() }.tbs(), Reason::LifetimeTooLong, "root.max_lifetime"),
    ]
}

/// Another identifier of the same key than [`key_id`] takes.
fn public_sha256() -> [u8; 32] {
    crate::ledger::entry::sha256(&[&OWN.to_spki_der()])
}

#[test]
fn permits_what_a_profile_allows_exactly() {
    let all = KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN | KeyUsage::DIGITAL_SIGNATURE;
    let asked = request(name("CA 1"), OWN, vec![constraints(Some(0)), usage(all), own_id()]);
    assert_eq!(decide("uid:0", asked), Ok("key.new.allow.request".to_owned()));
    assert_eq!(decide("uid:0", request(name("CA 1"), OWN, vec![])), Ok("key.new.allow.request".to_owned()));
    assert_eq!(decide("uid:0", root().tbs()), Ok("key.new.allow.root".to_owned()));
}

#[test]
fn each_rule_refuses_what_it_is_for() {
    for (tbs, reason, rule) in refused() {
        let rule =
            if rule.starts_with("built-in.") { rule.to_owned() } else { format!("key.new.allow.{rule}") };
        assert_eq!(decide("uid:0", tbs), Err((reason, rule)));
    }
}

#[test]
fn every_rule_has_a_refused_request_and_a_place_in_the_manual() {
    let manual = include_str!("../../../docs/policy.md");
    let refused: BTreeSet<&str> = refused().iter().map(|(_, _, rule)| *rule).collect();
    let of_requests = rule_names::<CertificationRequestInfo>("built-in.", "request.");
    for rule in of_requests.chain(rule_names::<RootCertificate>("built-in.", "root.")) {
        assert!(refused.contains(rule.as_str()), "no request is refused by {rule}");
        let shown = rule.strip_prefix("request.").or(rule.strip_prefix("root.")).unwrap_or(&rule);
        let shown = [format!("`{shown}`"), format!("`….{shown}`")];
        assert!(shown.iter().any(|shown| manual.contains(shown)), "docs/policy.md lacks {rule}");
    }
}

#[test]
fn a_ca_without_a_certificate_signs_no_certificate() {
    let validity = Validity { not_before: time(NOW), not_after: time(NOW + DAY) };
    let tbs = X509Builder::new(SignatureAlgorithm::Ed25519, name("CA 1"), validity, OTHER)
        .subject(name("www"))
        .ext_key_usage(vec![Oid::from_dotted("1.3.6.1.5.5.7.3.1").unwrap()])
        .build()
        .unwrap();
    let awaited = (Reason::CertificateAwaited, "built-in.certificate".to_owned());
    assert_eq!(decide("uid:0", Tbs::X509(tbs)), Err(awaited));
    assert_eq!(decide("uid:7", root().tbs()).unwrap_err().0, Reason::KeyNotAvailable, "nor for anybody");
}

#[test]
fn a_ca_is_asked_for_by_users_of_this_host_by_name_alone() {
    for (old, new, fault) in [
        ("\"uid:0\"", "\"dns:web.example.org\"", "list users, such as \"uid:0\""),
        ("subject = { CN = [\"Root *\"] }\n", "", "allows no name: add a table `subject`"),
        ("max_lifetime = \"30d\"\nmin_lifetime = \"1d\"\n", "", "max_lifetime: is missing"),
        ("\"30d\"", "\"40000d\"", "is \"40000d\""),
        ("max_path_length = 1", "max_path_length = 17", "is 17; 0 to 16 is allowed"),
    ] {
        assert!(KEYS.contains(old), "{old}");
        let faults = Config::parse(Path::new("cs.toml"), &KEYS.replace(old, new)).unwrap_err();
        let said: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|line| line.contains(fault)), "{fault}: {said:?}");
    }
}
