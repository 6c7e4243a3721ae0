//! What a CA key signs about itself, forged: requests for its certificate (PKCS#10), and a root's own certificate.
//!
//! Out: [`all`]. There is a key for each, without a certificate, whose one profile lets users of the signer's host have nothing else
//! signed. Requests start from [`Request::base`], roots from [`root`]; both are signed.

use super::signers::{SHA1_OF_REQUEST_CA, SHA1_OF_ROOT_CA};
use super::x509::der::{
    CN, O, der, extension, head, int, is_ca, key_usage, name, octets, oid, p256, seq, set, validity,
};
use super::x509::{Forgery, Head, case_of, der as tags, fields};
use super::{Case, Fields, REQUEST_CA, ROOT_CA};

// With their paths, since the black-box tests have this file under another root.
#[path = "own/foreign.rs"]
mod foreign;
#[path = "own/requests.rs"]
mod requests;
#[path = "own/roots.rs"]
mod roots;
#[path = "own/structure.rs"]
mod structure;

/// A key that signs something about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Own {
    Request,
    Root,
}

impl Own {
    pub const ALL: [Self; 2] = [Self::Request, Self::Root];

    /// The key's name.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Request => "request-ca",
            Self::Root => "root-ca",
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Request => "x509-request",
            Self::Root => "x509-root",
        }
    }

    /// The name of what its TBS is, in ASN.1.
    const fn whole(self) -> &'static str {
        match self {
            Self::Request => "certificationRequestInfo",
            Self::Root => "tbsCertificate",
        }
    }

    /// Its good TBS, field by field.
    fn fields(self) -> Fields {
        match self {
            Self::Request => Request::base().fields(),
            Self::Root => root().fields(),
        }
    }

    /// The base as a case, which is none: it must be signed.
    pub fn good(self) -> Case {
        case(self, "good", ("base", "none", "-", "- by signs"), self.fields())
    }
}

/// A CertificationRequestInfo, each field as the bytes that stand there.
#[derive(Clone)]
struct Request {
    version: Vec<u8>,
    subject: Vec<u8>,
    subject_key: Vec<u8>,
    /// By name, in order. None: no attribute.
    extensions: Option<Vec<(&'static str, Vec<u8>)>>,
    /// More attributes.
    more: Vec<u8>,
}

impl Request {
    fn base() -> Self {
        Self {
            version: int(&[0]),
            subject: name(&[(O, "Example"), (CN, "CA 1")]),
            subject_key: p256(&REQUEST_CA),
            extensions: Some(vec![
                ("basicConstraints", is_ca(Some(0))),
                ("keyUsage", key_usage(tags::SIGNS_CERTIFICATES)),
                ("subjectKeyIdentifier", key_id(SHA1_OF_REQUEST_CA)),
            ]),
            more: Vec::new(),
        }
    }

    /// Replaces an extension that is there.
    fn replace(&mut self, name: &str, bytes: Vec<u8>) {
        let mut extensions = self.extensions.iter_mut().flatten();
        extensions.find(|(found, _)| *found == name).unwrap().1 = bytes;
    }

    fn add(&mut self, name: &'static str, bytes: Vec<u8>) {
        self.extensions.as_mut().unwrap().push((name, bytes));
    }

    /// The fields in order; the heads of what encloses them are lines of their own.
    fn fields(&self) -> Fields {
        let mut attributes = Vec::new();
        if let Some(extensions) = &self.extensions {
            let list: usize = extensions.iter().map(|(_, bytes)| bytes.len()).sum();
            let list = head(0x30, list);
            let len = extensions.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + list.len();
            let (kind, values) = (oid(EXTENSION_REQUEST), head(0x31, len));
            let attribute = head(0x30, kind.len() + values.len() + len);
            attributes.push(("extensionRequest", [attribute, kind, values, list].concat()));
            attributes.extend(extensions.clone());
        }
        attributes.extend((!self.more.is_empty()).then(|| ("attribute", self.more.clone())));
        let len = attributes.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut fields = vec![
            ("version", self.version.clone()),
            ("subject", self.subject.clone()),
            ("subjectPKInfo", self.subject_key.clone()),
            ("attributes", head(0xa0, len)),
        ];
        fields.extend(attributes);
        let len = fields.iter().map(|(_, bytes)| bytes.len()).sum();
        fields.insert(0, ("certificationRequestInfo", head(0x30, len)));
        fields
    }
}

const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";

/// A root's TBSCertificate: ten days of `CN=Root 1`.
fn root() -> Forgery {
    Forgery {
        version: der(0xa0, &int(&[2])),
        serial: int(&[0x42; 16]),
        signature: seq(&[&oid("1.2.840.10045.4.3.2")]),
        issuer: name(&[(O, "Example"), (CN, "Root 1")]),
        validity: validity(0, 10 * DAY),
        subject: name(&[(O, "Example"), (CN, "Root 1")]),
        subject_key: p256(&ROOT_CA),
        extensions: vec![
            ("basicConstraints", is_ca(Some(1))),
            ("keyUsage", key_usage(tags::SIGNS_CERTIFICATES)),
            ("subjectKeyIdentifier", key_id(SHA1_OF_ROOT_CA)),
        ],
    }
}

const DAY: i32 = 86_400;

/// A subjectKeyIdentifier extension.
fn key_id(id: &[u8]) -> Vec<u8> {
    extension(tags::SUBJECT_KEY_ID, &octets(id))
}

/// An attribute of a request: its kind, and its values.
fn attribute(kind: &str, values: &[&[u8]]) -> Vec<u8> {
    seq(&[&oid(kind), &set(values)])
}

/// A row of a list: name, attack, source, verdict, and what it does to a good TBS.
type Row<T> = (&'static str, &'static str, &'static str, &'static str, fn(&mut T));

/// Every case, sorted by name.
pub fn all() -> Vec<Case> {
    let lists = [structure::cases(), requests::cases(), roots::cases(), foreign::cases()];
    let mut cases = lists.concat();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

/// The cases of one field of a request.
fn of_request(field: &str, rows: &[Row<Request>]) -> Vec<Case> {
    forged(Own::Request, field, rows, Request::base, Request::fields)
}

/// The cases of one field of a root.
fn of_root(field: &str, rows: &[Row<Forgery>]) -> Vec<Case> {
    forged(Own::Root, field, rows, root, Forgery::fields)
}

fn forged<T>(own: Own, field: &str, rows: &[Row<T>], base: fn() -> T, fields: fn(&T) -> Fields) -> Vec<Case> {
    let made = |&(name, attack, source, verdict, forge): &Row<T>| {
        let mut tbs = base();
        forge(&mut tbs);
        case(own, field, (name, attack, source, verdict), fields(&tbs))
    };
    rows.iter().map(made).collect()
}

/// Of a key's own kind. The field's name begins with the key's, since both kinds have some of the same fields.
fn case(own: Own, field: &str, head: Head, tbs: Fields) -> Case {
    let prefix = match own {
        Own::Request => "request",
        Own::Root => "root",
    };
    let made = case_of(own.kind(), own.key(), &format!("{prefix} {field}"), head, fields(tbs));
    Case { field: field.to_owned(), ..made }
}
