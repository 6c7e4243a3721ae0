//! The forged X.509 certificates: what is wrong with each, where that was seen, and how it must be refused.
//!
//! Out: [`all`]. Each starts from the certificate of a kind ([`Kind`]), which is signed. There is a CA key for each kind, so
//! that the profile that refuses is the one that is meant. The CAs' names and key identifiers are fixed: the test certifies
//! their keys so.

use super::Case;
use der::{
    CN, O, der, dns, ed25519, email, extension, head, int, is_ca, key_usage, name, names, oid, purposes,
    security_id, seq, upn, uri, validity,
};

// With their paths, since the black-box tests have this file under another root.
#[path = "x509/der.rs"]
pub mod der;
#[path = "x509/extensions.rs"]
mod extensions;
#[path = "x509/foreign.rs"]
mod foreign;
#[path = "x509/issuer.rs"]
mod issuer;
#[path = "x509/keys.rs"]
mod keys;
#[path = "x509/names.rs"]
mod names_of_subjects;
#[path = "x509/people.rs"]
mod people;
#[path = "x509/purposes.rs"]
mod purposes;
#[path = "x509/services.rs"]
mod services;
#[path = "x509/structure.rs"]
mod structure;
#[path = "x509/subordinates.rs"]
mod subordinates;

/// A TBSCertificate, each field as the bytes that stand there.
#[derive(Clone)]
pub struct Forgery {
    pub version: Vec<u8>,
    pub serial: Vec<u8>,
    pub signature: Vec<u8>,
    pub issuer: Vec<u8>,
    pub validity: Vec<u8>,
    pub subject: Vec<u8>,
    pub subject_key: Vec<u8>,
    /// By name, in order.
    pub extensions: Vec<(&'static str, Vec<u8>)>,
}

impl Forgery {
    /// Replaces an extension that is there.
    pub fn replace(&mut self, name: &str, bytes: Vec<u8>) {
        self.extensions.iter_mut().find(|(found, _)| *found == name).unwrap().1 = bytes;
    }

    pub fn remove(&mut self, name: &str) {
        let before = self.extensions.len();
        self.extensions.retain(|(found, _)| *found != name);
        assert_eq!(self.extensions.len(), before - 1, "{name}");
    }

    pub fn add(&mut self, name: &'static str, bytes: Vec<u8>) {
        self.extensions.push((name, bytes));
    }

    /// Replaces the alternative names.
    fn names(&mut self, list: &[Vec<u8>]) {
        self.replace("subjectAltName", names(list));
    }

    /// The fields in order; the heads of what encloses them are lines of their own.
    pub fn fields(&self) -> Vec<(&'static str, Vec<u8>)> {
        let list: usize = self.extensions.iter().map(|(_, bytes)| bytes.len()).sum();
        let list_head = head(0x30, list);
        let mut fields = vec![
            ("version", self.version.clone()),
            ("serialNumber", self.serial.clone()),
            ("signature", self.signature.clone()),
            ("issuer", self.issuer.clone()),
            ("validity", self.validity.clone()),
            ("subject", self.subject.clone()),
            ("subjectPublicKeyInfo", self.subject_key.clone()),
            ("extensions", [head(0xa3, list + list_head.len()), list_head].concat()),
        ];
        fields.extend(self.extensions.clone());
        let len = fields.iter().map(|(_, bytes)| bytes.len()).sum();
        fields.insert(0, ("tbsCertificate", head(0x30, len)));
        fields
    }

    pub fn encode(&self) -> Vec<u8> {
        self.fields().into_iter().flat_map(|(_, bytes)| bytes).collect()
    }
}

/// What a certificate is for, and the CA key that signs such.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Server,
    Client,
    Service,
    Logon,
    Code,
    Responder,
    Subordinate,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Server,
        Self::Client,
        Self::Service,
        Self::Logon,
        Self::Code,
        Self::Responder,
        Self::Subordinate,
    ];

    /// The key's name; its certificate is for `O=Example, CN=` this.
    pub fn key(self) -> &'static str {
        match self {
            Self::Server => "server-ca",
            Self::Client => "client-ca",
            Self::Service => "service-ca",
            Self::Logon => "logon-ca",
            Self::Code => "code-ca",
            Self::Responder => "responder-ca",
            Self::Subordinate => "subordinate-ca",
        }
    }

    /// subjectKeyIdentifier of the key's certificate.
    pub fn key_id(self) -> [u8; 20] {
        let index = Self::ALL.iter().position(|kind| *kind == self).unwrap();
        [0xa0 + u8::try_from(index).unwrap(); 20]
    }

    /// The certificate that forgeries of this kind start from.
    fn base(self) -> Forgery {
        let (subject, usage, more) = match self {
            Self::Server => (
                "www.example.org",
                der::SIGNS_DATA,
                vec![
                    ("extKeyUsage", purposes(&[der::SERVER_AUTH])),
                    ("subjectAltName", names(&[dns("www.example.org")])),
                ],
            ),
            Self::Client => (
                "alice",
                der::SIGNS_DATA,
                vec![
                    ("extKeyUsage", purposes(&[der::CLIENT_AUTH])),
                    ("subjectAltName", names(&[email("alice@example.org")])),
                ],
            ),
            Self::Service => (
                "web.example.org",
                der::SIGNS_DATA,
                vec![
                    ("extKeyUsage", purposes(&[der::CLIENT_AUTH, der::SERVER_AUTH])),
                    ("subjectAltName", names(&[uri("spiffe://example.org/web"), dns("web.example.org")])),
                ],
            ),
            Self::Logon => (
                "alice",
                der::SIGNS_DATA,
                vec![
                    ("extKeyUsage", purposes(&[der::CLIENT_AUTH, der::SMART_CARD_LOGON])),
                    ("subjectAltName", names(&[upn("alice@corp.example")])),
                    ("securityIdentifier", security_id("S-1-5-21-1-2-3-1001")),
                ],
            ),
            Self::Code => {
                ("pipeline", der::SIGNS_DATA, vec![("extKeyUsage", purposes(&[der::CODE_SIGNING]))])
            }
            Self::Responder => (
                "responder",
                der::SIGNS_DATA,
                vec![
                    ("extKeyUsage", purposes(&[der::OCSP_SIGNING])),
                    ("ocspNoCheck", extension("1.3.6.1.5.5.7.48.1.5", &[5, 0])),
                ],
            ),
            Self::Subordinate => (
                "subordinate",
                der::SIGNS_CERTIFICATES,
                vec![
                    ("subjectKeyIdentifier", extension(der::SUBJECT_KEY_ID, &der::octets(&subject_key_id()))),
                    ("nameConstraints", constraints(&[dns("example.org")], &[dns("secret.example.org")])),
                ],
            ),
        };
        let basic = match self {
            Self::Subordinate => is_ca(Some(0)),
            _ => der::critical(der::BASIC_CONSTRAINTS, &seq(&[])),
        };
        let first = [("basicConstraints", basic), ("keyUsage", key_usage(usage))];
        let last = [("authorityKeyIdentifier", der::authority(&self.key_id()))];
        Forgery {
            version: der(0xa0, &int(&[2])),
            serial: int(&[0x42; 16]),
            signature: seq(&[&oid("1.2.840.10045.4.3.2")]),
            issuer: issuer_name(self.key()),
            validity: validity(0, 600),
            subject: name(&[(CN, subject)]),
            subject_key: ed25519(&[0x5a; 32]),
            extensions: first.into_iter().chain(more).chain(last).collect(),
        }
    }

    /// The base as a case, which is none: it must be signed.
    pub fn good(self) -> Case {
        case(self, "good", ("base", "none", "-", "- by signs"), fields(self.base().fields()))
    }
}

/// A good certificate of a TLS server by a CA of this name and key identifier.
pub fn server_under(key: &str, key_id: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tbs = Kind::Server.base();
    tbs.issuer = issuer_name(key);
    tbs.replace("authorityKeyIdentifier", der::authority(key_id));
    fields(tbs.fields())
}

/// As the certificate of a CA key names it.
pub fn issuer_name(key: &str) -> Vec<u8> {
    name(&[(O, "Example"), (CN, key)])
}

/// Of the base's subject key: the first 160 bits of its SHA-256 (RFC 7093 §2).
fn subject_key_id() -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[0x5a; 32]).as_ref()[..20].to_vec()
}

/// A nameConstraints extension: permitted and excluded, each a GeneralName, and every address excluded.
fn constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Vec<u8> {
    let excluded = [excluded, &[der::ip(&[0; 8]), der::ip(&[0; 32])]].concat();
    let subtrees = |tag, list: &[Vec<u8>]| {
        let list: Vec<_> = list.iter().map(|base| seq(&[base])).collect();
        if list.is_empty() { Vec::new() } else { der(tag, &list.concat()) }
    };
    der::critical(der::NAME_CONSTRAINTS, &seq(&[&subtrees(0xa0, permitted), &subtrees(0xa1, &excluded)]))
}

/// Name, attack, source, and `REASON by RULE`; a rule without a dot is the profile's, and none is the parser.
pub type Head = (&'static str, &'static str, &'static str, &'static str);

/// A row of a list: its head, and what it does to a good certificate.
type Row = (&'static str, &'static str, &'static str, &'static str, fn(&mut Forgery));

/// Every case, sorted by name.
pub fn all() -> Vec<Case> {
    let lists = [
        structure::cases(),
        issuer::cases(),
        keys::cases(),
        purposes::cases(),
        people::cases(),
        services::cases(),
        subordinates::cases(),
        names_of_subjects::cases(),
        extensions::cases(),
        foreign::cases(),
    ];
    let mut cases = lists.concat();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

/// The cases of one field, each made by a change to the certificate of a kind.
fn forged(kind: Kind, field: &str, rows: &[Row]) -> Vec<Case> {
    let made = |&(name, attack, source, verdict, forge): &Row| {
        let mut tbs = kind.base();
        forge(&mut tbs);
        case(kind, field, (name, attack, source, verdict), fields(tbs.fields()))
    };
    rows.iter().map(made).collect()
}

fn case(kind: Kind, field: &str, head: Head, tbs: Vec<(String, Vec<u8>)>) -> Case {
    case_of("x509-certificate", kind.key(), field, head, tbs)
}

/// A case about any kind of TBS of X.509, asked of `key`, whose one profile is `all`.
pub fn case_of(
    kind: &str,
    key: &str,
    field: &str,
    (name, attack, source, verdict): Head,
    tbs: Vec<(String, Vec<u8>)>,
) -> Case {
    let (reason, rule) = verdict.split_once(" by ").unwrap_or((verdict, "tbs"));
    let rule = match rule {
        rule if rule == "tbs" || rule.contains('.') => rule.to_owned(),
        rule => format!("key.{key}.allow.all.{rule}"),
    };
    Case {
        name: format!("{}-{name}", field.replace(' ', "-")),
        attack: attack.to_owned(),
        field: field.to_owned(),
        source: source.to_owned(),
        key: key.to_owned(),
        kind: kind.to_owned(),
        reason: reason.to_owned(),
        rule,
        tbs,
    }
}

pub fn fields(fields: Vec<(&'static str, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// Bytes in one line.
pub fn whole(bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    vec![("bytes".to_owned(), bytes)]
}
