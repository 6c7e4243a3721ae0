#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use super::*;
use crate::crl::Reason;
use crate::der::{Oid, StringKind};
use crate::key::PublicKey;
use crate::x509::extension::write_one;
use crate::x509::{Attribute, BuildError, SerialNumber};

fn oid(contents: &[u8]) -> Oid {
    Oid::from_contents(contents).unwrap()
}

fn time(secs: u64) -> Time {
    Time::from_unix_secs(secs).unwrap()
}

fn name() -> Name {
    Name::new(vec![vec![Attribute::new(oid(oids::COMMON_NAME), StringKind::Utf8, "ocsp").unwrap()]]).unwrap()
}

fn unknown_extension() -> UnknownExtension {
    UnknownExtension { oid: oid(&[0x2a, 3]), value: vec![5, 0] }
}

fn single(serial: u8, status: CertStatus) -> SingleResponse {
    let issuer = IssuerHashes::Sha1 { name: [1; 20], key: [2; 20] };
    let serial = SerialNumber::new(&[serial]).unwrap();
    SingleResponse {
        cert_id: CertId { issuer, parameters: HashParameters::Null, serial },
        status,
        this_update: time(1_800_000_000),
        next_update: Some(time(1_800_000_001)),
        extensions: Vec::new(),
    }
}

fn start() -> ResponseBuilder {
    ResponseBuilder::new(ResponderId::KeyHash([3; 20]), time(1_800_000_000))
}

fn good() -> ResponseBuilder {
    start().response(single(1, CertStatus::Good))
}

/// Every status, both hashes, and all extensions.
fn full() -> ResponseBuilder {
    let revoked = |reason| CertStatus::Revoked { at: time(5), reason };
    let key = PublicKey::Ed25519([7; 32]);
    let cert_id = CertId::sha256(&name(), &key, SerialNumber::new(&[1]).unwrap());
    let mut absent = single(4, CertStatus::Unknown);
    absent.cert_id.parameters = HashParameters::Absent;
    let extended = SingleResponse {
        cert_id,
        next_update: None,
        extensions: vec![unknown_extension()],
        ..single(1, CertStatus::Good)
    };
    ResponseBuilder::new(ResponderId::Name(name()), time(1_800_000_000))
        .response(extended)
        .response(single(2, revoked(None)))
        .response(single(3, revoked(Some(Reason::Superseded))))
        .response(absent)
        .nonce(Nonce::new(&[9; 32]).unwrap())
        .extension(ResponseExtension::Unknown(unknown_extension()))
}

fn rule(builder: ResponseBuilder) -> &'static str {
    match builder.build() {
        Ok(data) => panic!("built {data:?}"),
        Err(BuildError::Refused(error)) => error.rule(),
        Err(error) => panic!("{error}"),
    }
}

fn broken_bytes(bytes: &[u8]) -> &'static str {
    ResponseData::parse(bytes).unwrap_err().rule()
}

/// What is inside the outermost SEQUENCE.
fn contents(builder: ResponseBuilder) -> Vec<u8> {
    Reader::new(&builder.build().unwrap().bytes).value(tag::SEQUENCE, "x").unwrap().rest().to_vec()
}

fn wrap(contents: &[u8]) -> Vec<u8> {
    Writer::collect(|w| w.value(tag::SEQUENCE, contents))
}

/// The rule that a response breaks in which `to` replaces `from`, which is as long.
fn replaced(builder: ResponseBuilder, from: &[u8], to: &[u8]) -> &'static str {
    let mut bytes = builder.build().unwrap().bytes;
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    broken_bytes(&bytes)
}

#[test]
fn reads_what_it_builds() {
    for builder in [good(), full()] {
        let data = builder.clone().build().unwrap();
        assert_eq!(data.fields, builder.fields);
        assert_eq!(ResponseData::parse(data.as_bytes()), Ok(data));
    }
    let data = full().build().unwrap();
    assert_eq!(data.nonce(), Nonce::new(&[9; 32]).as_ref());
    assert_eq!(data.responses().len(), 4);
    assert_eq!(data.responder(), &ResponderId::Name(name()));
}

#[test]
fn draws_nonces_at_random() {
    let [one, other] = [Nonce::random().unwrap(), Nonce::random().unwrap()];
    assert_ne!(one, other);
    assert_eq!(one.as_bytes().len(), 32);
}

#[test]
fn refuses_truncation_and_trailing_bytes() {
    let bytes = full().build().unwrap().bytes;
    for len in 0..bytes.len() {
        broken_bytes(&bytes[..len]);
    }
    assert_eq!(broken_bytes(&[&bytes[..], &[0]].concat()), "DER_TRAILING_BYTES");
}

#[test]
fn refuses_a_response_above_64_kib() {
    let value = vec![0; ResponseData::MAX_LEN];
    let extension = ResponseExtension::Unknown(UnknownExtension { value, ..unknown_extension() });
    assert_eq!(rule(good().extension(extension)), "TBS_TOO_LONG");
}

#[test]
fn refuses_an_encoded_version() {
    let versioned = [&[0xa0, 3, 2, 1, 0], &contents(good())[..]].concat();
    assert_eq!(broken_bytes(&wrap(&versioned)), "VERSION");
}

#[test]
fn refuses_responders_without_a_name_or_a_whole_hash() {
    assert_eq!(rule(ResponseBuilder::new(ResponderId::Name(Name::empty()), time(5))), "ISSUER_EMPTY");
    let after_responder = &contents(good())[24..];
    let short = [&[0xa2, 21, 4, 19][..], &[3; 19], after_responder].concat();
    assert_eq!(broken_bytes(&wrap(&short)), "RESPONDER_KEY_HASH");
}

#[test]
fn refuses_no_responses_and_a_certificate_twice() {
    assert_eq!(rule(start()), "DER_LIST_EMPTY");
    assert_eq!(rule(good().response(single(1, CertStatus::Unknown))), "ITEM_DUPLICATE");
    let many = (0..=u8::MAX).fold(start(), |builder, serial| {
        let mut response = single(1, CertStatus::Good);
        response.cert_id.serial = SerialNumber::new(&[1, serial]).unwrap();
        builder.response(response)
    });
    assert!(many.clone().build().is_ok());
    assert_eq!(rule(many.response(single(9, CertStatus::Good))), "DER_LIST_TOO_LONG");
}

/// Each client looks for its own spelling, and would find another answer.
#[test]
fn refuses_a_certificate_twice_however_its_issuer_is_written() {
    let spelt = |issuer, parameters| {
        let mut other = single(1, CertStatus::Unknown);
        (other.cert_id.issuer, other.cert_id.parameters) = (issuer, parameters);
        good().response(other)
    };
    let sha1 = |octet| IssuerHashes::Sha1 { name: [octet; 20], key: [2; 20] };
    let sha256 = IssuerHashes::Sha256 { name: [1; 32], key: [2; 32] };
    assert_eq!(rule(spelt(sha1(1), HashParameters::Absent)), "ITEM_DUPLICATE");
    assert_eq!(rule(spelt(sha256, HashParameters::Null)), "ITEM_DUPLICATE");
    assert!(spelt(sha1(9), HashParameters::Null).build().is_ok(), "of another CA");
}

#[test]
fn refuses_other_hashes_of_the_issuer() {
    let sha1 = [&[6, 5][..], oids::SHA1].concat();
    assert_eq!(replaced(good(), &sha1, &[6, 5, 0x2b, 0x0e, 3, 2, 0x1b]), "CERT_ID_HASH");
    assert_eq!(replaced(full(), oids::SHA256, oids::SHA384), "CERT_ID_HASH");
    assert_eq!(replaced(good(), &[5, 0, 4, 20], &[2, 0, 4, 20]), "DER_TRAILING_BYTES");
}

#[test]
fn refuses_statuses_against_the_rules() {
    let revoked = |reason| single(1, CertStatus::Revoked { at: time(5), reason: Some(reason) });
    assert_eq!(rule(start().response(revoked(Reason::RemoveFromCrl))), "REASON_CODE");
    let with_reason = || start().response(revoked(Reason::KeyCompromise));
    assert_eq!(replaced(with_reason(), &[0xa0, 3, 10, 1, 1], &[0xa0, 3, 10, 1, 0]), "REASON_CODE");
    assert_eq!(replaced(with_reason(), &[0xa0, 3, 10, 1, 1], &[0xa0, 3, 10, 1, 7]), "REASON_CODE");
    assert_eq!(replaced(good(), &[0x80, 0, 0x18], &[0x83, 0, 0x18]), "DER_UNEXPECTED_TAG");
    assert_eq!(replaced(good(), b"20270115", b"20270230"), "DER_TIME_NOT_A_DATE");
}

#[test]
fn refuses_a_next_update_that_is_not_later() {
    let mut response = single(1, CertStatus::Good);
    response.next_update = Some(response.this_update);
    assert_eq!(rule(start().response(response)), "TIME_ORDER");
}

#[test]
fn refuses_extensions_against_the_rules() {
    let nonce =
        |value: &[u8]| {
            let value = value.to_vec();
            rule(good().extension(ResponseExtension::Unknown(UnknownExtension {
                oid: oid(oids::OCSP_NONCE),
                value,
            })))
        };
    assert_eq!(nonce(&[4, 0]), "NONCE");
    assert_eq!(nonce(&[&[4, 0x81, 129][..], &[0; 129]].concat()), "NONCE");
    assert_eq!(nonce(&[4, 1, 1, 0]), "DER_TRAILING_BYTES");
    assert_eq!(nonce(&[]), "DER_TRUNCATED");
    let twice = full().nonce(Nonce::new(&[1]).unwrap());
    assert_eq!(rule(twice), "EXTENSION_DUPLICATE");
    for (oid, expected) in
        [(&[0x2a, 3][..], "EXTENSION_UNKNOWN_CRITICAL"), (oids::OCSP_NONCE, "EXTENSION_CRITICALITY")]
    {
        let extensions = Writer::collect(|w| {
            w.nested(tag::constructed(1), |w| {
                w.sequence(|w| write_one(w, oid, true, |w| w.value(tag::OCTET_STRING, &[1])));
            });
        });
        assert_eq!(broken_bytes(&wrap(&[contents(good()), extensions].concat())), expected);
    }
}

proptest::proptest! {
    #[test]
    fn no_input_panics(input: Vec<u8>) {
        let _ = ResponseData::parse(&input);
    }

    #[test]
    fn what_parses_after_damage_encodes_to_the_same_bytes(
        damage in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..=255u8), 1..4),
    ) {
        let mut bytes = full().build().unwrap().bytes;
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(data) = ResponseData::parse(&bytes) {
            proptest::prop_assert_eq!(data.fields.encode(), bytes);
        }
    }
}
