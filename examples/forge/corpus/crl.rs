//! The forged certificate revocation lists: what is wrong with each, where that was seen, and how it must be refused.
//!
//! Out: [`all`]. Each starts from a list ([`Forgery::of`]) whose number is one above that of [`good`], which is signed: it
//! would be signed too, were it not forged.

use super::Case;
use super::signers::Signer;
use super::x509::der::{self, critical, der, extension, head, int, oid, seq, utc};
use super::x509::{Head, case_of, fields};

// With their paths, since the black-box tests have this file under another root.
#[path = "crl/entries.rs"]
mod entries;
#[path = "crl/extensions.rs"]
mod extensions;
#[path = "crl/foreign.rs"]
mod foreign;
#[path = "crl/issuer.rs"]
mod issuer;
#[path = "crl/numbers.rs"]
mod numbers;
#[path = "crl/structure.rs"]
mod structure;
#[path = "crl/updates.rs"]
mod updates;

const CRL_NUMBER: &str = "2.5.29.20";
const DELTA_CRL_INDICATOR: &str = "2.5.29.27";
const ISSUING_DISTRIBUTION_POINT: &str = "2.5.29.28";
const REASON_CODE: &str = "2.5.29.21";

/// A TBSCertList, each field as the bytes that stand there.
#[derive(Clone)]
pub struct Forgery {
    version: Vec<u8>,
    signature: Vec<u8>,
    issuer: Vec<u8>,
    this_update: Vec<u8>,
    next_update: Vec<u8>,
    /// `None` leaves the field out.
    entries: Option<Vec<Vec<u8>>>,
    /// By name, in order.
    extensions: Vec<(&'static str, Vec<u8>)>,
}

impl Forgery {
    /// A complete list of one entry.
    fn of(signer: Signer) -> Self {
        let number: &[u8] = match signer {
            Signer::CrlKey => &[1, 1],
            _ => &[1],
        };
        Self {
            version: int(&[1]),
            signature: seq(&[&oid("1.2.840.10045.4.3.2")]),
            issuer: signer.name(),
            this_update: time(0),
            next_update: time(600),
            entries: Some(vec![entry(&[0x42; 16], &[&reason(&[10, 1, 1])])]),
            extensions: vec![
                ("authorityKeyIdentifier", der::authority(&signer.key_id())),
                ("cRLNumber", extension(CRL_NUMBER, &int(number))),
            ],
        }
    }

    /// Replaces an extension that is there.
    fn replace(&mut self, name: &str, bytes: Vec<u8>) {
        self.extensions.iter_mut().find(|(found, _)| *found == name).unwrap().1 = bytes;
    }

    fn remove(&mut self, name: &str) {
        let before = self.extensions.len();
        self.extensions.retain(|(found, _)| *found != name);
        assert_eq!(self.extensions.len(), before - 1, "{name}");
    }

    fn add(&mut self, name: &'static str, bytes: Vec<u8>) {
        self.extensions.push((name, bytes));
    }

    fn number(&mut self, contents: &[u8]) {
        self.replace("cRLNumber", extension(CRL_NUMBER, &int(contents)));
    }

    /// Makes it a delta list to the list of this number.
    fn delta(&mut self, base: &[u8]) {
        self.add("deltaCRLIndicator", critical(DELTA_CRL_INDICATOR, &int(base)));
    }

    /// Replaces the entries.
    fn entries(&mut self, list: &[Vec<u8>]) {
        self.entries = Some(list.to_vec());
    }

    /// The fields in order; the heads of what encloses them are lines of their own.
    fn fields(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut fields = vec![
            ("version", self.version.clone()),
            ("signature", self.signature.clone()),
            ("issuer", self.issuer.clone()),
            ("thisUpdate", self.this_update.clone()),
            ("nextUpdate", self.next_update.clone()),
        ];
        if let Some(entries) = &self.entries {
            fields.push(("revokedCertificates", head(0x30, entries.concat().len())));
            fields.extend(entries.iter().map(|entry| ("entry", entry.clone())));
        }
        let list: usize = self.extensions.iter().map(|(_, bytes)| bytes.len()).sum();
        let list_head = head(0x30, list);
        fields.push(("crlExtensions", [head(0xa0, list + list_head.len()), list_head].concat()));
        fields.extend(self.extensions.clone());
        let len = fields.iter().map(|(_, bytes)| bytes.len()).sum();
        fields.insert(0, ("tbsCertList", head(0x30, len)));
        fields
    }

    fn encode(&self) -> Vec<u8> {
        self.fields().into_iter().flat_map(|(_, bytes)| bytes).collect()
    }
}

/// A list that must be signed: of the CA number 0, of its key for lists number 0x0100.
pub fn good(signer: Signer) -> Case {
    let mut tbs = Forgery::of(signer);
    tbs.number(if signer == Signer::CrlKey { &[1, 0] } else { &[0] });
    case(signer, "good", ("base", "none", "-", "- by signs"), tbs.fields())
}

/// The bytes of a list that says what `signer` may say.
pub fn tbs_of(signer: Signer) -> Vec<u8> {
    Forgery::of(signer).encode()
}

/// Every case, sorted by name.
pub fn all() -> Vec<Case> {
    let lists = [
        structure::cases(),
        issuer::cases(),
        updates::cases(),
        entries::cases(),
        extensions::cases(),
        numbers::cases(),
        foreign::cases(),
    ];
    let mut cases = lists.concat();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

/// The cases of one field, each made by a change to a list of `signer`.
fn forged(signer: Signer, field: &str, rows: &[super::Row<Forgery>]) -> Vec<Case> {
    let made = |&(name, attack, source, verdict, forge): &super::Row<Forgery>| {
        let mut tbs = Forgery::of(signer);
        forge(&mut tbs);
        case(signer, field, (name, attack, source, verdict), tbs.fields())
    };
    rows.iter().map(made).collect()
}

fn case(signer: Signer, field: &str, head: Head, tbs: Vec<(&'static str, Vec<u8>)>) -> Case {
    case_of("x509-crl", signer.key(), field, head, fields(tbs))
}

/// A UTCTime, so many seconds from the time of the test.
fn time(seconds: i32) -> Vec<u8> {
    der(0x17, &utc(seconds))
}

/// An entry of a minute ago: a serial number, and extensions if there are some.
fn entry(serial: &[u8], extensions: &[&[u8]]) -> Vec<u8> {
    entry_at(serial, &time(-60), extensions)
}

fn entry_at(serial: &[u8], time: &[u8], extensions: &[&[u8]]) -> Vec<u8> {
    let extensions = if extensions.is_empty() { Vec::new() } else { seq(extensions) };
    seq(&[&int(serial), time, &extensions])
}

/// A reasonCode of this ENUMERATED, whole.
fn reason(code: &[u8]) -> Vec<u8> {
    extension(REASON_CODE, code)
}
