#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "tests")]
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use bytes::Bytes;
use countersign_tbs::crl::TbsCertList;
use countersign_tbs::key::{Curve, EcPoint, PublicKey, RsaPublicKey};
use countersign_tbs::ocsp::ResponseData;
use countersign_tbs::signature::Scheme;
use countersign_tbs::ssh::{self, CertificateBuilder, CertificateType, SubjectKey};
use countersign_tbs::x509::TbsCertificate;
use countersign_tbs::{ParseError, Tbs, TbsKind};

use crate::caller::Caller;
use crate::config::Config;
use crate::key::{Clock, Key, KeyCertificate, KeyName, KeyPurpose, Keys, UnixTime};
use crate::policy::blocklist::Blocklist;
use crate::policy::fixture::NOW;
use crate::policy::format::rule_names;
use crate::policy::{Decision, KeyList, ListFormat, Policy, Reason, ReasonClass, Refusal, weak_key};
use crate::sign::{Priority, Request};

mod crl;
mod explain;
mod ocsp;
mod own;
mod rules;
mod x509;

const HOUR: u64 = 3600;

/// Two CA keys. `dns:staff` may use `user-ca` by one profile, `dns:many` by three, `dns:fleet` may use `host-ca`.
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
tls_certificate = "c"
tls_key = "k"
client_ca = "a"
[ledger]
path = "l"
origin = "o"
[token.t]
module = "m"
label = "t"
pin_file = "p"

[key.host-ca]
purpose = "ssh-host-ca"
scheme = "ed25519"
token = "t"
[key.host-ca.allow.fleet]
callers = ["dns:fleet"]
principals = ["*.example.org"]
max_lifetime = "24h"
budget = "500/h"

[key.user-ca]
purpose = "ssh-user-ca"
scheme = "ed25519"
token = "t"
[key.user-ca.allow.staff]
callers = ["dns:staff"]
principals = ["alice", "deploy-*"]
max_principals = 2
key_id = ["*@example.org"]
min_lifetime = "1m"
max_lifetime = "1h"
budget = "500/h"
subject_keys = ["ssh-ed25519", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", "ssh-rsa"]
extensions = ["permit-pty"]
extension_values."login@example.org" = ["*"]
require_critical_options = ["source-address"]
critical_options.source-address = ["10.0.0.0/8"]
critical_options.force-command = ["run *"]
critical_options.verify-required = true
[key.user-ca.allow.m1-short]
callers = ["dns:many"]
principals = ["alice"]
max_lifetime = "1m"
budget = "500/h"
[key.user-ca.allow.m2-bob]
callers = ["dns:many"]
principals = ["bob"]
max_lifetime = "1h"
budget = "500/h"
[key.user-ca.allow.m3-short]
callers = ["dns:many"]
principals = ["alice", "carol"]
max_lifetime = "2m"
budget = "500/h"
"#;

const USER_CA: PublicKey = PublicKey::Ed25519([1; 32]);
const HOST_CA: PublicKey = PublicKey::Ed25519([2; 32]);

/// A subject key that is in a list.
const BLOCKED: PublicKey = PublicKey::Ed25519([11; 32]);

fn policy() -> Policy {
    without_blocked(&Config::parse(Path::new("cs.toml"), CONFIG).unwrap().policy)
}

/// The same rules, and a list of one key.
fn without_blocked(policy: &Policy) -> Policy {
    let list = KeyList::parse(ListFormat::Fingerprints, BLOCKED.fingerprint().into_bytes()).unwrap();
    Policy::new(policy.keys.as_ref().clone(), Blocklist::new(vec![list]))
}

fn keys() -> Keys {
    let key = |name: &str, purpose, public_key| {
        let name = KeyName::new(name).unwrap();
        Key::new(name, purpose, Scheme::Ed25519, public_key).unwrap()
    };
    [key("user-ca", KeyPurpose::SshUserCa, USER_CA), key("host-ca", KeyPurpose::SshHostCa, HOST_CA)]
        .into_iter()
        .collect()
}

/// What a caller asks for. The default is permitted: each test changes what it is about.
#[derive(Clone)]
struct Wish {
    caller: &'static str,
    key: &'static str,
    kind: TbsKind,
    /// Of which the clock shows one minute.
    deadline: Option<Duration>,
    certificate_type: CertificateType,
    subject: SubjectKey,
    ca: PublicKey,
    serial: u64,
    key_id: String,
    principals: Vec<String>,
    after: u64,
    before: u64,
    critical: Vec<(&'static str, Option<&'static str>)>,
    extensions: Vec<(&'static str, Option<&'static str>)>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            caller: "dns:staff",
            key: "user-ca",
            kind: TbsKind::SshCertificate,
            deadline: None,
            certificate_type: CertificateType::User,
            subject: SubjectKey::Plain(PublicKey::Ed25519([7; 32])),
            ca: USER_CA,
            serial: 1,
            key_id: "alice@example.org".to_owned(),
            principals: vec!["alice".to_owned(), "deploy-web".to_owned()],
            after: NOW,
            before: NOW + HOUR,
            critical: vec![("source-address", Some("10.1.0.0/16"))],
            extensions: vec![("login@example.org", Some("alice")), ("permit-pty", None)],
        }
    }
}

impl Wish {
    /// What `dns:many` may have by none of its profiles, all of which are simpler than that of `dns:staff`.
    fn of_many(principal: &str, lifetime: u64) -> Self {
        Self {
            caller: "dns:many",
            principals: vec![principal.to_owned()],
            before: NOW + lifetime,
            critical: Vec::new(),
            extensions: Vec::new(),
            ..Self::default()
        }
    }

    fn host() -> Self {
        Self {
            caller: "dns:fleet",
            key: "host-ca",
            certificate_type: CertificateType::Host,
            ca: HOST_CA,
            principals: vec!["web.example.org".to_owned()],
            critical: Vec::new(),
            extensions: Vec::new(),
            ..Self::default()
        }
    }

    fn tbs(&self) -> Tbs {
        let mut builder =
            CertificateBuilder::new(self.certificate_type, self.subject.clone(), self.ca.clone())
                .serial(self.serial)
                .key_id(&self.key_id)
                .valid_after(self.after)
                .valid_before(self.before);
        for principal in &self.principals {
            builder = builder.principal(principal);
        }
        for (name, value) in &self.critical {
            builder = builder.critical_option(*name, *value);
        }
        for (name, value) in &self.extensions {
            builder = builder.extension(*name, *value);
        }
        Tbs::Ssh(builder.build().unwrap())
    }

    fn decide_on(&self, tbs: Result<Tbs, ParseError>) -> Decision {
        let start = Instant::now();
        let request = Request {
            caller: Caller::for_test(self.caller),
            key: self.key.to_owned(),
            kind: self.kind,
            bytes: Bytes::from_static(b"the TBS"),
            request_id: None,
            priority: Priority::Bulk,
            deadline: self.deadline.map(|after| start + after),
        };
        let now = Clock { unix: UnixTime(NOW), instant: start + Duration::from_secs(60) };
        policy().decide(&keys(), request, tbs, now)
    }

    fn permitted_by(&self) -> String {
        self.decide_on(Ok(self.tbs())).verdict().unwrap().rule().to_owned()
    }

    fn refused_for(&self) -> Refusal {
        self.decide_on(Ok(self.tbs())).verdict().unwrap_err().clone()
    }
}

#[test]
fn permits_what_one_profile_allows_and_says_which() {
    assert_eq!(Wish::default().permitted_by(), "key.user-ca.allow.staff");
    assert_eq!(Wish::host().permitted_by(), "key.host-ca.allow.fleet");
    assert_eq!(Wish::of_many("bob", HOUR).permitted_by(), "key.user-ca.allow.m2-bob");
    assert_eq!(Wish::of_many("carol", 120).permitted_by(), "key.user-ca.allow.m3-short");
    assert_eq!(Wish::of_many("alice", 60).permitted_by(), "key.user-ca.allow.m1-short");
}

#[test]
fn decision_keeps_what_was_asked_and_by_which_policy() {
    let wish = Wish::default();
    let tbs = wish.tbs();
    let decision = wish.decide_on(Ok(tbs.clone()));
    assert_eq!(decision.policy_digest(), policy().digest());
    assert_eq!(decision.request().bytes, b"the TBS"[..]);
    let (request, digest, verdict) = decision.into_parts();
    let permit = verdict.unwrap();
    assert_eq!(permit.budget().to_string(), "500/1h, 500 at once");
    let (key, signed, rule) = permit.into_parts();
    assert_eq!((request.key.as_str(), digest), ("user-ca", policy().digest()));
    assert_eq!((key.name.as_str(), rule.as_str()), ("user-ca", "key.user-ca.allow.staff"));
    assert_eq!(signed.as_bytes(), tbs.as_bytes());
}

#[test]
fn refusal_is_of_the_profile_that_got_furthest_and_the_first_of_equals() {
    let rule = |wish: Wish| wish.refused_for().rule;
    assert_eq!(rule(Wish::of_many("carol", HOUR)), "key.user-ca.allow.m3-short.max_lifetime");
    assert_eq!(rule(Wish::of_many("alice", HOUR)), "key.user-ca.allow.m1-short.max_lifetime");
    assert_eq!(rule(Wish::of_many("root", HOUR)), "key.user-ca.allow.m1-short.principals");
}

#[test]
fn key_of_others_and_key_of_nobody_are_told_apart_by_nobody() {
    let refusals = ["host-ca", "no-such-key", "Not A Name", "", "staff"].map(|key| {
        let wish = Wish { key, deadline: Some(Duration::ZERO), kind: TbsKind::X509Crl, ..Wish::default() };
        let malformed = ParseError::Ssh(ssh::ParseError::PrincipalsEmpty);
        wish.decide_on(Err(malformed)).verdict().unwrap_err().clone()
    });
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:#?}");
    assert_eq!(refusals[0].reason, Reason::KeyNotAvailable);
    assert_eq!(refusals[0].reason.class(), ReasonClass::NotFound);

    let (policy, staff) = (policy(), Caller::for_test("dns:staff"));
    let may_use = |name: &str| policy.may_use(&staff, &KeyName::new(name).unwrap());
    assert!(may_use("user-ca") && !may_use("host-ca") && !may_use("no-such-key"));
    assert!(!policy.may_use(&Caller::for_test("dns:staf"), &KeyName::new("user-ca").unwrap()));
}

#[test]
fn key_that_is_not_in_service_is_not_available() {
    let wish = Wish::default();
    let request = wish.decide_on(Ok(wish.tbs())).into_parts().0;
    let decision = policy().decide(&Keys::default(), request, Ok(wish.tbs()), Clock::read());
    assert_eq!(decision.verdict().unwrap_err().reason, Reason::KeyNotAvailable);
}

#[test]
fn deadline_is_asked_before_the_bytes_and_the_kind_before_what_they_say() {
    let malformed = || Err(ParseError::Ssh(ssh::ParseError::PrincipalsEmpty));
    let late = Wish { deadline: Some(Duration::from_secs(60)), kind: TbsKind::X509Crl, ..Wish::default() };
    assert_eq!(late.decide_on(malformed()).verdict().unwrap_err().reason, Reason::RequestExpired);
    let in_time = Wish { deadline: Some(Duration::from_secs(61)), ..late };
    assert_eq!(in_time.decide_on(malformed()).verdict().unwrap_err().reason, Reason::TbsKindNotAllowed);
}

#[test]
fn refuses_ssh_cert_without_principals() {
    let bytes = {
        let tbs = Wish { principals: vec!["x".to_owned()], ..Wish::default() }.tbs();
        let one = [0, 0, 0, 5, 0, 0, 0, 1, b'x'];
        let at = tbs.as_bytes().windows(one.len()).position(|window| window == one).unwrap();
        [&tbs.as_bytes()[..at], &[0; 4], &tbs.as_bytes()[at + one.len()..]].concat()
    };
    let tbs = Tbs::parse(TbsKind::SshCertificate, &bytes);
    let refusal = Wish::default().decide_on(tbs).verdict().unwrap_err().clone();
    assert_eq!(refusal.reason, Reason::Malformed("PRINCIPALS_EMPTY"));
    assert_eq!(
        (refusal.reason.code_word(), refusal.reason.class()),
        ("PRINCIPALS_EMPTY", ReasonClass::Malformed)
    );
    assert_eq!(refusal.rule, "tbs");
}

#[test]
fn examples_of_the_manual_are_configurations() {
    let manual = include_str!("../../docs/policy.md");
    let examples: Vec<&str> =
        manual.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let (ssh, x509): (Vec<&str>, Vec<&str>) =
        examples.iter().partition(|example| example.starts_with("[key.user-ca."));
    assert_eq!((ssh.len(), x509.len()), (3, 3));
    let start = CONFIG.find("[key.user-ca.allow.staff]").unwrap();
    let ca = "[key.tls-ca]\npurpose = \"x509-ca\"\nscheme = \"ed25519\"\ntoken = \"t\"\ncertificate = \"ca.pem\"\n";
    let text = format!("{}{}{ca}{}", &CONFIG[..start], ssh.concat(), x509.concat());
    Config::parse(Path::new("cs.toml"), &text).unwrap_or_else(|faults| panic!("{faults:#?}"));
}

#[test]
fn reasons_have_one_word_each_and_the_manual_has_them_and_every_rule() {
    let manual = include_str!("../../docs/policy.md");
    let words: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.code_word()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    for word in words {
        assert!(word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{word}");
        assert!(manual.contains(&format!("`{word}`")), "docs/policy.md lacks {word}");
    }
    let rules = rule_names::<ssh::CertificateTbs>("`built-in.", "`");
    let rules = rules.chain(rule_names::<TbsCertificate>("`built-in.", "`"));
    let rules = rules.chain(rule_names::<TbsCertList>("`built-in.", "`"));
    let counted = ["`budget", "`volume", "`freeze_after"].map(str::to_owned).into_iter();
    for rule in counted.chain(rules).chain(rule_names::<ResponseData>("`built-in.", "`")) {
        assert!(manual.contains(&format!("{rule}`")), "docs/policy.md lacks {rule}`");
    }
}
