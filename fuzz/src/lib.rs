//! One function for each parser, to be called with any bytes.
//!
//! In: bytes. Out: whether they parsed. Promised: none panics for a reason other than a bug. What parses must encode to
//! the bytes that were read, through an encoder that shares no state with the parsed value where there is one.
//! `fuzz_targets/` runs these under libFuzzer, `tests/fuzz_smoke` on stable. To add one: a function here, its seeds in
//! [`seeds`], a line in [`TARGETS`], a file in `fuzz_targets/` with its `[[bin]]`, and a line in `tests/fuzz_smoke`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is how a target says that it found something"
)]

use std::path::Path;

use countersign::agent::codec::{Request, message_len};
use countersign::caller::CallerName;
use countersign::config::Config;
use countersign::ledger::checkpoint::Checkpoint;
use countersign::ledger::note::{Note, VerifierKey};
use countersign::ledger::{Entry, leaf_hash};
use countersign::policy::{KeyList, ListError, ListFormat, Network, Pattern};
use countersign::provision::Record;
use countersign_tbs::crl::{CrlBuilder, TbsCertList, Updates};
use countersign_tbs::csr::{CertificationRequest, RequestBuilder};
use countersign_tbs::der::{DerError, Reader, StringKind, Writer, tag};
use countersign_tbs::key::PublicKey;
use countersign_tbs::krl::Krl;
use countersign_tbs::ocsp::{ResponseBuilder, ResponseData};
use countersign_tbs::signature;
use countersign_tbs::ssh::{Certificate as SshCertificate, CertificateTbs, SubjectKey};
use countersign_tbs::sshsig::SshSignature;
use countersign_tbs::x509::{Certificate as X509Certificate, CertificateBuilder, TbsCertificate};

#[path = "../../tbs/tests/rebuild/rebuild.rs"]
mod rebuild;
pub mod seeds;

/// A parser under test.
pub struct Target {
    /// The name of its function, and of its file in `fuzz_targets/`.
    pub name: &'static str,
    /// The function: whether the bytes parsed.
    pub run: fn(&[u8]) -> bool,
    /// Inputs that parse, to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Pairs each function of this file with its namesake in [`seeds`].
macro_rules! targets {
    ($($name:ident)*) => {
        /// Every target.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), run: $name, seeds: seeds::$name },)*];
    };
}

targets! {
    ssh_tbs ssh_certificate ssh_public_key ssh_public_key_line ssh_signature_blob sshsig
    spki der_reader x509_tbs x509_certificate x509_request crl krl ocsp
    ledger_entry provisioning_record note note_key checkpoint caller_name config pattern network key_list agent_frame
}

/// An SSH certificate's TBS.
pub fn ssh_tbs(data: &[u8]) -> bool {
    let Ok(tbs) = CertificateTbs::parse(data) else { return false };
    assert_eq!(tbs.as_bytes(), data);
    if let Some(rebuilt) = rebuild::rebuild(&tbs) {
        assert_eq!(rebuilt, data);
    }
    true
}

/// A finished SSH certificate.
pub fn ssh_certificate(data: &[u8]) -> bool {
    let Ok(certificate) = SshCertificate::parse(data) else { return false };
    let signed = certificate.tbs().certificate(certificate.scheme(), certificate.raw_signature());
    assert_eq!(signed.expect("what parses can be signed so"), data);
    true
}

/// An SSH key blob, as a subject's and as a CA's.
pub fn ssh_public_key(data: &[u8]) -> bool {
    if let Ok(key) = PublicKey::from_ssh_wire(data) {
        assert_eq!(key.to_ssh_wire().as_deref(), Some(data));
        assert_eq!(SubjectKey::from_wire(data), Ok(SubjectKey::Plain(key)));
    }
    let Ok(key) = SubjectKey::from_wire(data) else { return false };
    assert_eq!(key.to_wire(), data);
    true
}

/// A line of a `.pub` file.
pub fn ssh_public_key_line(data: &[u8]) -> bool {
    let Ok(Ok(key)) = str::from_utf8(data).map(SubjectKey::from_openssh_line) else { return false };
    assert_eq!(SubjectKey::from_wire(&key.to_wire()).as_ref(), Ok(&key));
    if let SubjectKey::Plain(plain) = &key {
        assert_eq!(
            SubjectKey::from_openssh_line(&plain.to_openssh_line("a\ncomment").expect("SSH has it")),
            Ok(key)
        );
    }
    true
}

/// An SSH signature blob.
pub fn ssh_signature_blob(data: &[u8]) -> bool {
    let Ok((scheme, raw)) = signature::from_ssh_signature_blob(data) else { return false };
    assert_eq!(signature::ssh_signature_blob(scheme, &raw).as_deref(), Ok(data));
    signature::x509_signature(scheme, &raw).expect("what SSH can carry, X.509 can");
    true
}

/// A signature of a file, without its armour and in it.
pub fn sshsig(data: &[u8]) -> bool {
    let armored = str::from_utf8(data).is_ok_and(|text| SshSignature::parse_armored(text).is_ok());
    let Ok(signature) = SshSignature::parse(data) else { return armored };
    assert_eq!(signature.encode().as_deref(), Ok(data));
    let armor = signature.to_armored().expect("what parses has an armour");
    assert_eq!(SshSignature::parse_armored(&armor), Ok(signature));
    true
}

/// A provisioning record, without its signature.
pub fn provisioning_record(data: &[u8]) -> bool {
    let Ok(record) = Record::parse(data) else { return false };
    assert_eq!(record.to_bytes(), data);
    true
}

/// A SubjectPublicKeyInfo.
pub fn spki(data: &[u8]) -> bool {
    let Ok(key) = PublicKey::from_spki_der(data) else { return false };
    assert_eq!(key.to_spki_der(), data);
    if let Some(wire) = key.to_ssh_wire() {
        assert_eq!(PublicKey::from_ssh_wire(&wire), Ok(key));
    }
    true
}

/// Any DER: each universal type at each element. "Parsed" is a first element that is whole.
pub fn der_reader(data: &[u8]) -> bool {
    let mut places = vec![Reader::new(data)];
    while let Some(mut place) = places.pop() {
        der_types(place);
        let Some(&tag) = place.rest().first() else { continue };
        let Ok(contents) = place.value(tag, "fuzz") else { continue };
        places.push(place);
        if tag & 0x20 != 0 {
            places.push(contents);
        }
    }
    let mut start = Reader::new(data);
    data.first().is_some_and(|&tag| start.element(tag, "fuzz").is_ok())
}

fn der_types(place: Reader<'_>) {
    let field = "fuzz";
    let tag = place.rest().first().copied().unwrap_or_default();
    round_trip(place, |r| r.element(tag, field), |w, whole| w.raw(whole.rest()));
    round_trip(place, |r| r.value(tag, field), |w, contents| w.value(tag, contents.rest()));
    round_trip(place, |r| r.unsigned(tag, field), |w, number| w.unsigned(tag, number.rest()));
    round_trip(place, |r| r.small(tag, field, u16::MAX), |w, number| w.small(tag, number));
    round_trip(
        place,
        |r| r.flag(tag, field),
        |w, set| {
            if set {
                w.set_flag(tag);
            }
        },
    );
    round_trip(place, |r| r.null(tag::NULL, field), |w, ()| w.value(tag::NULL, &[]));
    round_trip(place, |r| r.oid(field), |w, oid| w.oid(&oid));
    round_trip(place, |r| r.bit_string(field), |w, octets| w.bit_string(octets.rest()));
    round_trip(place, |r| r.named_bits(field, 9), Writer::named_bits);
    round_trip(place, |r| r.time(field), Writer::time);
    round_trip(place, |r| r.generalized_time(field), Writer::generalized_time);
    for kind in StringKind::ALL {
        round_trip(place, |r| r.text(kind.tag(), kind, field, 64), |w, text| w.text(kind, text));
    }
}

/// Whether what `read` takes is what `write` makes of it.
fn round_trip<'a, T>(
    place: Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DerError>,
    write: impl FnOnce(&mut Writer, T),
) {
    let mut after = place;
    if let Ok(value) = read(&mut after) {
        let taken = &place.rest()[..place.rest().len() - after.rest().len()];
        assert_eq!(Writer::collect(|w| write(w, value)), taken);
    }
}

/// A TBSCertificate.
pub fn x509_tbs(data: &[u8]) -> bool {
    let Ok(tbs) = TbsCertificate::parse(data) else { return false };
    assert_eq!(tbs.as_bytes(), data);
    let key = tbs.public_key().clone();
    let start = CertificateBuilder::new(tbs.signature_algorithm(), tbs.issuer().clone(), tbs.validity(), key)
        .serial(*tbs.serial())
        .subject(tbs.subject().clone());
    let rebuilt = tbs.extensions().iter().cloned().fold(start, CertificateBuilder::extension).build();
    assert_eq!(rebuilt.expect("what parses must build").as_bytes(), data);
    true
}

/// A finished X.509 certificate.
pub fn x509_certificate(data: &[u8]) -> bool {
    let Ok(certificate) = X509Certificate::parse(data) else { return false };
    let tbs = certificate.tbs();
    let signed = tbs.certificate(tbs.signature_algorithm(), certificate.signature());
    assert_eq!(signed.as_deref(), Ok(data));
    true
}

/// A finished certificate request, and what is signed in it.
pub fn x509_request(data: &[u8]) -> bool {
    let Ok(request) = CertificationRequest::parse(data) else { return false };
    let info = request.info();
    assert_eq!(info.request(request.signature_algorithm(), request.signature()), data);
    let start = RequestBuilder::new(info.subject().clone(), info.public_key().clone());
    let rebuilt = info.extensions().iter().cloned().fold(start, RequestBuilder::extension).build();
    assert_eq!(rebuilt.expect("what parses must build").as_bytes(), info.as_bytes());
    true
}

/// A TBSCertList.
pub fn crl(data: &[u8]) -> bool {
    let Ok(list) = TbsCertList::parse(data) else { return false };
    assert_eq!(list.as_bytes(), data);
    assert_eq!(list.entries().count(), list.entry_count());
    let updates = Updates { this: list.this_update(), next: list.next_update() };
    let start = CrlBuilder::new(list.signature_algorithm(), list.issuer().clone(), updates);
    let with_extensions = list.extensions().iter().cloned().fold(start, CrlBuilder::extension);
    let rebuilt = list.entries().fold(with_extensions, |builder, entry| builder.entry(&entry)).build();
    assert_eq!(rebuilt.expect("what parses must build").as_bytes(), data);
    true
}

/// An OCSP ResponseData.
pub fn ocsp(data: &[u8]) -> bool {
    let Ok(response) = ResponseData::parse(data) else { return false };
    assert_eq!(response.as_bytes(), data);
    let start = ResponseBuilder::new(response.responder().clone(), response.produced_at());
    let with_responses = response.responses().iter().cloned().fold(start, ResponseBuilder::response);
    let rebuilt =
        response.extensions().iter().cloned().fold(with_responses, ResponseBuilder::extension).build();
    assert_eq!(rebuilt.expect("what parses must build").as_bytes(), data);
    true
}

/// A ledger entry.
pub fn ledger_entry(data: &[u8]) -> bool {
    let Ok(entry) = Entry::decode(data) else { return false };
    let again = entry.encode().expect("what decodes is short enough");
    assert_eq!(again, data);
    assert_eq!(leaf_hash(&again), leaf_hash(data));
    true
}

/// A signed note.
pub fn note(data: &[u8]) -> bool {
    let Ok(note) = Note::parse(data) else { return false };
    assert_eq!(note.to_string().as_bytes(), data);
    true
}

/// The text of a key that verifies notes.
pub fn note_key(data: &[u8]) -> bool {
    let Ok(Ok(key)) = str::from_utf8(data).map(str::parse::<VerifierKey>) else { return false };
    assert_eq!(key.to_string().as_bytes(), data);
    true
}

/// The text of a checkpoint.
pub fn checkpoint(data: &[u8]) -> bool {
    let Ok(Ok(checkpoint)) = str::from_utf8(data).map(Checkpoint::parse) else { return false };
    assert_eq!(checkpoint.to_string().as_bytes(), data);
    assert_eq!(checkpoint.to_note().text().as_bytes(), data);
    true
}

/// A caller's name.
pub fn caller_name(data: &[u8]) -> bool {
    let Ok(Ok(name)) = str::from_utf8(data).map(CallerName::parse) else { return false };
    assert_eq!(name.as_str().as_bytes(), data);
    assert!(data.iter().all(u8::is_ascii_graphic), "a name fits on a line of a log");
    true
}

/// A configuration file, policy included.
pub fn config(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else { return false };
    let parse = || Config::parse(Path::new("/etc/countersign/countersign.toml"), text);
    match (parse(), parse()) {
        (Ok(config), Ok(again)) => {
            assert_eq!(config.policy.canonical_text(), again.policy.canonical_text());
            assert!(!config.keys.is_empty() && !config.tokens.is_empty());
            true
        }
        (Err(faults), Err(again)) => {
            assert_eq!(faults, again);
            let lines = 1..=text.split('\n').count();
            assert!(faults.iter().all(|fault| fault.line.is_none_or(|line| lines.contains(&line))));
            assert!(faults.iter().any(|fault| !fault.message().is_empty()));
            false
        }
        _ => panic!("the same text gave two answers"),
    }
}

/// A pattern and, on the next line, a value to match against it.
pub fn pattern(data: &[u8]) -> bool {
    let Some((text, value)) = str::from_utf8(data).ok().and_then(|data| data.split_once('\n')) else {
        return false;
    };
    let Ok(pattern) = Pattern::new(text) else { return false };
    assert_eq!(pattern.to_string(), text);
    if pattern.matches(value) {
        let is_separator = |c: &char| !(c.is_ascii_alphanumeric() || "_-".contains(*c));
        let literals = text.chars().filter(|c| *c != '*').filter(is_separator);
        assert!(value.chars().filter(is_separator).eq(literals), "a star never crosses a separator");
    }
    if !text.contains('*') {
        assert_eq!(pattern.matches(value), value == text);
    }
    true
}

/// A network and, on the next line, another.
pub fn network(data: &[u8]) -> bool {
    let Some((one, other)) = str::from_utf8(data).ok().and_then(|data| data.split_once('\n')) else {
        return false;
    };
    let Ok(one) = Network::parse(one) else { return false };
    assert_eq!(Network::parse(&one.to_string()), Ok(one));
    assert!(one.is_within(one));
    if let Ok(other) = Network::parse(other) {
        assert_eq!(one.is_within(other) && other.is_within(one), one == other);
    }
    true
}

/// A list of keys, after a byte that says of which format.
pub fn key_list(data: &[u8]) -> bool {
    let Some((format, bytes)) = data.split_first() else { return false };
    let format = ListFormat::ALL[usize::from(*format) % ListFormat::ALL.len()];
    let one = |bytes: &[u8]| KeyList::parse(format, bytes.to_vec());
    match one(bytes) {
        Err(error) => {
            if let ListError::Line { line, .. } = error {
                assert!((1..=bytes.split(|byte| *byte == b'\n').count()).contains(&line));
            }
            false
        }
        Ok(list) if format == ListFormat::Badkeys => {
            assert_eq!(list.count(), bytes.len() / 16);
            true
        }
        Ok(list) => {
            // Each line is a list by itself, or has no key.
            let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(one).collect();
            assert!(lines.iter().all(|line| {
                line.as_ref().map_or_else(|error| *error == ListError::Empty, |line| line.count() == 1)
            }));
            assert!((1..=lines.iter().flatten().count()).contains(&list.count()));
            true
        }
    }
}

/// An OpenSSH KRL.
pub fn krl(data: &[u8]) -> bool {
    let Ok(list) = Krl::parse(data) else { return false };
    assert_eq!(list.encode(), data);
    true
}

/// A client's message to the SSH agent, with its frame's header.
pub fn agent_frame(data: &[u8]) -> bool {
    let Some((header, message)) = data.split_first_chunk() else { return false };
    let Ok(len) = message_len(*header) else { return false };
    if message.len() != len {
        return false;
    }
    let Ok(request) = Request::parse(message) else { return false };
    assert_eq!(seeds::agent_request(&request), data);
    true
}
