//! The forged OCSP responses: what is wrong with each, where that was seen, and how it must be refused.
//!
//! Out: [`all`]. Each starts from a ResponseData ([`Forgery::of`]) about one certificate of `ocsp-ca`, which is signed: by the
//! CA, which hashes with SHA-1 and names itself by its key, or by the key that it delegates to, which hashes with SHA-256 and
//! names itself by its subject.

use aws_lc_rs::digest;

use super::Case;
use super::signers::{SHA1_OF_OCSP_CA, SHA256_OF_OCSP_CA, Signer};
use super::x509::der::{der, generalized, head, int, octets, oid, seq};
use super::x509::{Head, case_of, fields};

// With their paths, since the black-box tests have this file under another root.
#[path = "ocsp/certificates.rs"]
mod certificates;
#[path = "ocsp/extensions.rs"]
mod extensions;
#[path = "ocsp/foreign.rs"]
mod foreign;
#[path = "ocsp/responder.rs"]
mod responder;
#[path = "ocsp/status.rs"]
mod status;
#[path = "ocsp/structure.rs"]
mod structure;

const SHA1: &str = "1.3.14.3.2.26";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";

/// A ResponseData, each field as the bytes that stand there.
#[derive(Clone)]
pub struct Forgery {
    /// Left out in a good one.
    version: Vec<u8>,
    responder: Vec<u8>,
    produced_at: Vec<u8>,
    responses: Vec<Single>,
    /// By name, in order; none are left out.
    extensions: Vec<(&'static str, Vec<u8>)>,
}

/// A SingleResponse.
#[derive(Clone)]
struct Single {
    cert_id: Vec<u8>,
    status: Vec<u8>,
    this_update: Vec<u8>,
    next_update: Vec<u8>,
    extensions: Vec<u8>,
}

impl Single {
    /// The certificate of this serial number is good for ten minutes.
    fn of(serial: &[u8]) -> Self {
        Self {
            cert_id: of_issuer(&sha256_of_name(Signer::OcspCa), SHA256_OF_OCSP_CA, serial),
            status: GOOD.to_vec(),
            this_update: time(0),
            next_update: der(0xa0, &time(600)),
            extensions: Vec::new(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        seq(&[&self.cert_id, &self.status, &self.this_update, &self.next_update, &self.extensions])
    }
}

impl Forgery {
    fn of(signer: Signer) -> Self {
        let single = Single::of(SERIAL);
        let (responder, single) = if signer == Signer::OcspCa {
            let cert_id = by_sha1(&sha1_of_name(signer), SHA1_OF_OCSP_CA);
            (by_key(SHA1_OF_OCSP_CA), Single { cert_id, ..single })
        } else {
            (by_name(signer), single)
        };
        Self {
            version: Vec::new(),
            responder,
            produced_at: time(0),
            responses: vec![single],
            extensions: Vec::new(),
        }
    }

    /// The one answer of a good TBS.
    fn single(&mut self) -> &mut Single {
        &mut self.responses[0]
    }

    fn add(&mut self, name: &'static str, bytes: Vec<u8>) {
        self.extensions.push((name, bytes));
    }

    /// The fields in order; the heads of what encloses them are lines of their own.
    fn fields(&self) -> Vec<(&'static str, Vec<u8>)> {
        let responses: Vec<Vec<u8>> = self.responses.iter().map(Single::encode).collect();
        let mut fields = vec![
            ("version", self.version.clone()),
            ("responderID", self.responder.clone()),
            ("producedAt", self.produced_at.clone()),
            ("responses", head(0x30, responses.concat().len())),
        ];
        fields.extend(responses.into_iter().map(|response| ("response", response)));
        if !self.extensions.is_empty() {
            let list: usize = self.extensions.iter().map(|(_, bytes)| bytes.len()).sum();
            let list_head = head(0x30, list);
            fields.push(("responseExtensions", [head(0xa1, list + list_head.len()), list_head].concat()));
            fields.extend(self.extensions.clone());
        }
        let len = fields.iter().map(|(_, bytes)| bytes.len()).sum();
        fields.insert(0, ("responseData", head(0x30, len)));
        fields.retain(|(_, bytes)| !bytes.is_empty());
        fields
    }

    fn encode(&self) -> Vec<u8> {
        self.fields().into_iter().flat_map(|(_, bytes)| bytes).collect()
    }
}

/// A response that must be signed.
pub fn good(signer: Signer) -> Case {
    case(signer, "good", ("base", "none", "-", "- by signs"), Forgery::of(signer).fields())
}

/// The bytes of a response that says what `signer` may say.
pub fn tbs_of(signer: Signer) -> Vec<u8> {
    Forgery::of(signer).encode()
}

/// Every case, sorted by name.
pub fn all() -> Vec<Case> {
    let lists = [
        structure::cases(),
        responder::cases(),
        certificates::cases(),
        status::cases(),
        extensions::cases(),
        foreign::cases(),
    ];
    let mut cases = lists.concat();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

/// The cases of one field, each made by a change to a response of `signer`.
fn forged(signer: Signer, field: &str, rows: &[super::Row<Forgery>]) -> Vec<Case> {
    let made = |&(name, attack, source, verdict, forge): &super::Row<Forgery>| {
        let mut tbs = Forgery::of(signer);
        forge(&mut tbs);
        case(signer, field, (name, attack, source, verdict), tbs.fields())
    };
    rows.iter().map(made).collect()
}

fn case(signer: Signer, field: &str, head: Head, tbs: Vec<(&'static str, Vec<u8>)>) -> Case {
    case_of("ocsp-response", signer.key(), field, head, fields(tbs))
}

/// The certificate that the good answer is about.
const SERIAL: &[u8] = &[0x42; 16];
const GOOD: &[u8] = &[0x80, 0];

/// A GeneralizedTime, so many seconds from the time of the test.
fn time(seconds: i32) -> Vec<u8> {
    der(0x18, &generalized(seconds))
}

fn by_name(signer: Signer) -> Vec<u8> {
    der(0xa1, &signer.name())
}

fn by_key(hash: &[u8]) -> Vec<u8> {
    der(0xa2, &octets(hash))
}

/// A CertID of these SHA-256 hashes of an issuer's name and key.
fn of_issuer(name: &[u8], key: &[u8], serial: &[u8]) -> Vec<u8> {
    cert_id(&seq(&[&oid(SHA256), &[5, 0]]), name, key, serial)
}

fn cert_id(algorithm: &[u8], name: &[u8], key: &[u8], serial: &[u8]) -> Vec<u8> {
    seq(&[algorithm, &octets(name), &octets(key), &int(serial)])
}

/// A CertID of these SHA-1 hashes.
fn by_sha1(name: &[u8], key: &[u8]) -> Vec<u8> {
    cert_id(&seq(&[&oid(SHA1), &[5, 0]]), name, key, SERIAL)
}

/// The name of a CA, as a CertID has it.
fn sha256_of_name(signer: Signer) -> Vec<u8> {
    digest::digest(&digest::SHA256, &signer.name()).as_ref().to_vec()
}

fn sha1_of_name(signer: Signer) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &signer.name()).as_ref().to_vec()
}
