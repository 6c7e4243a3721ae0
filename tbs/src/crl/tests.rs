#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use super::*;
use crate::der::{StringKind, oids};
use crate::x509::{Attribute, BuildError, GeneralName};

fn oid(contents: &[u8]) -> Oid {
    Oid::from_contents(contents).unwrap()
}

fn time(secs: u64) -> Time {
    Time::from_unix_secs(secs).unwrap()
}

fn issuer() -> Name {
    Name::new(vec![vec![Attribute::new(oid(oids::COMMON_NAME), StringKind::Utf8, "ca").unwrap()]]).unwrap()
}

fn entry(serial: u8, extensions: Vec<EntryExtension>) -> RevokedEntry {
    let serial = SerialNumber::new(&[serial]).unwrap();
    RevokedEntry { serial, revoked: time(1_800_000_000), extensions }
}

fn start() -> CrlBuilder {
    let updates = Updates { this: time(1_800_000_000), next: time(1_800_086_400) };
    CrlBuilder::new(SignatureAlgorithm::EcdsaSha256, issuer(), updates)
}

fn complete() -> CrlBuilder {
    start().authority_key_id(KeyId::new(&[1; 20]).unwrap()).number(CrlNumber::from(7))
}

/// Entries with every extension.
fn entries() -> Vec<RevokedEntry> {
    let unknown = EntryExtension::Unknown { oid: oid(&[0x55, 0x1d, 0x17]), value: vec![6, 2, 0x2a, 3] };
    vec![
        entry(9, vec![]),
        entry(
            1,
            vec![EntryExtension::Reason(Reason::KeyCompromise), EntryExtension::InvalidityDate(time(5))],
        ),
        entry(2, vec![EntryExtension::InvalidityDate(time(5)), unknown]),
    ]
}

fn full() -> CrlBuilder {
    let full_name = vec![GeneralName::Uri("http://pki.example/ca.crl".to_owned())];
    let point = IssuingDistributionPoint { full_name, scope: Scope::UserCertificates };
    let unknown = CrlExtensionValue::Unknown { oid: oid(&[0x2a, 3]), value: vec![5, 0] };
    let builder = complete()
        .issuing_distribution_point(point)
        .delta_base(CrlNumber::from(0))
        .extension(CrlExtension { critical: false, value: unknown });
    entries().iter().fold(builder, CrlBuilder::entry)
}

fn rule(builder: CrlBuilder) -> &'static str {
    match builder.build() {
        Ok(list) => panic!("built {list:?}"),
        Err(BuildError::Refused(error)) => error.rule(),
        Err(error) => panic!("{error}"),
    }
}

fn broken_bytes(bytes: &[u8]) -> &'static str {
    TbsCertList::parse(bytes).unwrap_err().rule()
}

fn with_raw_entry(write: impl FnOnce(&mut Writer)) -> &'static str {
    let mut builder = complete();
    builder.entries = Writer::collect(|w| w.sequence(write));
    rule(builder)
}

fn with_raw_extension(contents: &[u8], critical: bool, value: &[u8]) -> &'static str {
    let value = CrlExtensionValue::Unknown { oid: oid(contents), value: value.to_vec() };
    rule(complete().extension(CrlExtension { critical, value }))
}

#[test]
fn reads_what_it_builds() {
    let list = full().build().unwrap();
    assert_eq!(TbsCertList::parse(list.as_bytes()), Ok(list.clone()));
    assert_eq!(list.entries().collect::<Vec<_>>(), entries());
    assert_eq!(list.entry_count(), 3);
    assert_eq!(list.number(), CrlNumber::from(7));
    assert_eq!(list.delta_base(), Some(CrlNumber::ZERO));
    assert_eq!(list.authority_key_id().as_bytes(), [1; 20]);
    assert_eq!(list.issuing_distribution_point().unwrap().scope, Scope::UserCertificates);
    assert_eq!(list.unknown_extensions().count(), 1);
    let entry = list.entries().nth(1).unwrap();
    assert_eq!((entry.reason(), entry.invalidity_date()), (Some(Reason::KeyCompromise), Some(time(5))));
}

#[test]
fn reads_a_list_without_entries() {
    let list = complete().build().unwrap();
    assert_eq!((list.entry_count(), list.entries().count()), (0, 0));
    assert_eq!(list.delta_base(), None);
}

#[test]
fn refuses_an_empty_list_of_entries() {
    let bytes = complete().build().unwrap().bytes;
    // The extensions come last; an empty SEQUENCE goes before them.
    let at = bytes.iter().rposition(|&octet| octet == 0xa0).unwrap();
    let mut bytes = [&bytes[..at], &[0x30, 0], &bytes[at..]].concat();
    bytes[1] += 2;
    assert_eq!(broken_bytes(&bytes), "DER_LIST_EMPTY");
}

#[test]
fn refuses_truncation_and_trailing_bytes() {
    let bytes = full().build().unwrap().bytes;
    for len in 0..bytes.len() {
        broken_bytes(&bytes[..len]);
    }
    assert_eq!(broken_bytes(&[&bytes[..], &[0]].concat()), "DER_TRAILING_BYTES");
    assert_eq!(with_raw_extension(oids::DELTA_CRL_INDICATOR, true, &[2, 1, 1, 0]), "DER_TRAILING_BYTES");
}

#[test]
fn refuses_version_1() {
    let bytes = complete().build().unwrap().bytes;
    let mut other = bytes.clone();
    other[4] = 0;
    assert_eq!(broken_bytes(&other), "VERSION");
    let mut without = [&bytes[..2], &bytes[5..]].concat();
    without[1] -= 3;
    assert_eq!(broken_bytes(&without), "VERSION");
}

#[test]
fn refuses_a_list_above_16_mib() {
    assert_eq!(broken_bytes(&vec![0; TbsCertList::MAX_LEN + 1]), "TBS_TOO_LONG");
}

#[test]
fn refuses_a_list_without_issuer_number_key_identifier_or_next_update() {
    let mut unnamed = complete();
    unnamed.fields.issuer = Name::empty();
    assert_eq!(rule(unnamed), "ISSUER_EMPTY");
    assert_eq!(rule(start().number(CrlNumber::from(1))), "EXTENSION_MISSING");
    assert_eq!(rule(start().authority_key_id(KeyId::new(&[1]).unwrap())), "EXTENSION_MISSING");
    assert_eq!(rule(start()), "DER_LIST_EMPTY");
    let mut endless = complete();
    endless.fields.next_update = endless.fields.this_update;
    assert_eq!(rule(endless), "TIME_ORDER");
    let bytes = complete().build().unwrap().bytes;
    let at = bytes.windows(2).rposition(|window| window == [0x17, 13]).unwrap();
    let mut without = [&bytes[..at], &bytes[at + 15..]].concat();
    without[1] -= 15;
    assert_eq!(broken_bytes(&without), "DER_UNEXPECTED_TAG");
}

#[test]
fn refuses_a_certificate_twice() {
    assert_eq!(
        rule(complete().entry(&entry(1, vec![])).entry(&entry(2, vec![])).entry(&entry(1, vec![]))),
        "ENTRY_DUPLICATE"
    );
}

#[test]
fn refuses_malformed_entries() {
    let serial = |octets: &'static [u8]| {
        with_raw_entry(|w| {
            w.value(tag::INTEGER, octets);
            w.time(time(5));
        })
    };
    assert_eq!(serial(&[0]), "SERIAL_NUMBER");
    assert_eq!(serial(&[0x80]), "DER_INTEGER_NEGATIVE");
    assert_eq!(serial(&[1; 21]), "SERIAL_NUMBER");
    assert_eq!(with_raw_entry(|w| w.raw(&[2, 1, 1])), "DER_TRUNCATED");
    let generalized = |w: &mut Writer| {
        w.raw(&[2, 1, 1]);
        w.generalized_time(time(5));
    };
    assert_eq!(with_raw_entry(generalized), "DER_TIME_TYPE");
}

#[test]
fn refuses_entry_extensions_against_the_rules() {
    let extensions = |contents: &'static [u8]| {
        with_raw_entry(|w| {
            w.raw(&[2, 1, 1]);
            w.time(time(5));
            w.sequence(|w| w.raw(contents));
        })
    };
    let reason =
        |code| extensions(Box::leak(Box::new([0x30, 10, 6, 3, 0x55, 0x1d, 0x15, 4, 3, 10, 1, code])));
    assert_eq!(extensions(&[]), "DER_LIST_EMPTY");
    for code in [0, 7, 11] {
        assert_eq!(reason(code), "REASON_CODE", "{code}");
    }
    let critical_reason = &[0x30, 13, 6, 3, 0x55, 0x1d, 0x15, 1, 1, 0xff, 4, 3, 10, 1, 1];
    assert_eq!(extensions(critical_reason), "EXTENSION_CRITICALITY");
    let certificate_issuer = &[0x30, 12, 6, 3, 0x55, 0x1d, 0x1d, 1, 1, 0xff, 4, 2, 0x30, 0];
    assert_eq!(extensions(certificate_issuer), "EXTENSION_UNKNOWN_CRITICAL");
    let reasons = vec![EntryExtension::Reason(Reason::Superseded); 2];
    assert_eq!(rule(complete().entry(&entry(1, reasons))), "EXTENSION_DUPLICATE");
    let utc_time = &[
        0x30, 22, 6, 3, 0x55, 0x1d, 0x18, 4, 15, 0x17, 13, b'2', b'6', b'0', b'1', b'0', b'1', b'0', b'0',
        b'0', b'0', b'0', b'0', b'Z',
    ];
    assert_eq!(extensions(utc_time), "DER_UNEXPECTED_TAG");
}

#[test]
fn refuses_removals_outside_delta_lists() {
    let removal = entry(1, vec![EntryExtension::Reason(Reason::RemoveFromCrl)]);
    assert_eq!(rule(complete().entry(&removal)), "REASON_CODE");
    assert!(complete().delta_base(CrlNumber::from(1)).entry(&removal).build().is_ok());
}

#[test]
fn refuses_extensions_against_the_rules() {
    assert_eq!(with_raw_extension(oids::CRL_NUMBER, false, &[2, 1, 9]), "EXTENSION_DUPLICATE");
    assert_eq!(with_raw_extension(oids::DELTA_CRL_INDICATOR, false, &[2, 1, 1]), "EXTENSION_CRITICALITY");
    assert_eq!(
        with_raw_extension(oids::ISSUING_DISTRIBUTION_POINT, false, &[0x30, 0]),
        "EXTENSION_CRITICALITY"
    );
    assert_eq!(with_raw_extension(&[0x2a, 3], true, &[5, 0]), "EXTENSION_UNKNOWN_CRITICAL");
    let long = [&[2, 21][..], &[1; 21]].concat();
    assert_eq!(with_raw_extension(oids::DELTA_CRL_INDICATOR, true, &long), "CRL_NUMBER");
    let critical = |value| rule(start().extension(CrlExtension { critical: true, value }));
    assert_eq!(critical(CrlExtensionValue::CrlNumber(CrlNumber::ZERO)), "EXTENSION_CRITICALITY");
    assert_eq!(
        critical(CrlExtensionValue::AuthorityKeyId(KeyId::new(&[1]).unwrap())),
        "EXTENSION_CRITICALITY"
    );
}

#[test]
fn refuses_distribution_points_for_indirect_partial_or_no_lists() {
    let point = |value: &[u8]| with_raw_extension(oids::ISSUING_DISTRIBUTION_POINT, true, value);
    assert_eq!(point(&[0x30, 0]), "ISSUING_DISTRIBUTION_POINT");
    assert_eq!(point(&[0x30, 6, 0x81, 1, 0xff, 0x82, 1, 0xff]), "ISSUING_DISTRIBUTION_POINT");
    assert_eq!(point(&[0x30, 4, 0x83, 2, 0, 1]), "ISSUING_DISTRIBUTION_POINT");
    assert_eq!(point(&[0x30, 3, 0x84, 1, 0xff]), "ISSUING_DISTRIBUTION_POINT");
    assert_eq!(point(&[0x30, 3, 0x85, 1, 0xff]), "ISSUING_DISTRIBUTION_POINT");
    assert_eq!(point(&[0x30, 3, 0x81, 1, 0]), "DER_DEFAULT_ENCODED");
    assert_eq!(point(&[0x30, 4, 0xa0, 2, 0xa1, 0]), "DER_UNEXPECTED_TAG");
}

#[test]
fn numbers_sort_and_display_as_numbers() {
    assert!(CrlNumber::from(255) < CrlNumber::from(256));
    assert!(CrlNumber::ZERO < CrlNumber::from(1));
    assert_eq!(CrlNumber::from(0x10ff).to_string(), "0x10ff");
    assert_eq!(CrlNumber::ZERO.to_string(), "0x00");
}

#[test]
fn numbers_add_up_to_their_end_and_not_beyond() {
    let highest = CrlNumber::new(&[[0x7f].as_slice(), &[0xff; 19]].concat()).unwrap();
    let before = CrlNumber::new(&[[0x7f].as_slice(), &[0xff; 18], &[0xfe]].concat()).unwrap();
    for (number, more, sum) in [
        (CrlNumber::ZERO, 0, Some(CrlNumber::ZERO)),
        (CrlNumber::from(255), 1, Some(CrlNumber::from(256))),
        (CrlNumber::from(1), u64::MAX, CrlNumber::new(&[1, 0, 0, 0, 0, 0, 0, 0, 0])),
        (before, 1, Some(highest)),
        (before, 2, None),
        (highest, 0, Some(highest)),
        (highest, u64::MAX, None),
    ] {
        assert_eq!(number.checked_add(more), sum, "{number} + {more}");
    }
}

#[test]
fn finishes_only_with_the_algorithm_that_it_states() {
    let list = complete().build().unwrap();
    assert!(list.certificate_list(SignatureAlgorithm::Ed25519, &[1]).is_err());
    let finished = list.certificate_list(SignatureAlgorithm::EcdsaSha256, &[1]).unwrap();
    assert_eq!(TbsCertList::signed_in(&finished).unwrap(), list.as_bytes());
    assert!(TbsCertList::signed_in(list.as_bytes()).is_err(), "it is not signed yet");
    assert!(TbsCertList::signed_in(&finished[1..]).is_err() && TbsCertList::signed_in(&[]).is_err());
}

proptest::proptest! {
    #[test]
    fn no_input_panics(input: Vec<u8>) {
        let _ = TbsCertList::parse(&input);
    }

    #[test]
    fn what_parses_after_damage_reads_and_builds_again(
        damage in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..=255u8), 1..4),
    ) {
        let mut bytes = full().build().unwrap().bytes;
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(list) = TbsCertList::parse(&bytes) {
            let entries = list.entries().flat_map(|entry| Writer::collect(|w| entry.write(w))).collect::<Vec<_>>();
            proptest::prop_assert_eq!(list.entries().count(), list.entry_count());
            proptest::prop_assert_eq!(list.fields.encode(&entries), bytes);
        }
    }
}
