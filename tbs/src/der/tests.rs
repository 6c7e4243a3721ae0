#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use super::*;

/// Reads `input` with `read`, which must use it up, and names the rule that it breaks.
fn broken<'a, T: std::fmt::Debug>(
    input: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DerError>,
) -> &'static str {
    let mut reader = Reader::new(input);
    match read(&mut reader).and_then(|value| reader.finish("x").map(|()| value)) {
        Ok(value) => panic!("{input:02x?} was read as {value:?}"),
        Err(error) => error.rule.name(),
    }
}

fn octets<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DerError> {
    r.value(tag::OCTET_STRING, "x").map(|value| value.rest())
}

#[test]
fn refuses_every_length_but_the_shortest_definite_one() {
    assert_eq!(broken(&[], octets), "DER_TRUNCATED");
    assert_eq!(broken(&[4], octets), "DER_TRUNCATED");
    assert_eq!(broken(&[4, 2, 0], octets), "DER_TRUNCATED");
    assert_eq!(broken(&[4, 0x82, 1], octets), "DER_TRUNCATED");
    assert_eq!(broken(&[4, 0x84, 0xff, 0xff, 0xff, 0xff, 0], octets), "DER_TRUNCATED");
    assert_eq!(broken(&[4, 0x85, 1, 0, 0, 0, 0], octets), "DER_LENGTH_TOO_BIG");
    assert_eq!(broken(&[4, 0xff], octets), "DER_LENGTH_TOO_BIG");
    assert_eq!(broken(&[4, 0x80, 0, 0], octets), "DER_LENGTH_INDEFINITE");
    assert_eq!(broken(&[4, 0x81, 1, 0], octets), "DER_LENGTH_NOT_MINIMAL");
    assert_eq!(broken(&[4, 0x82, 0, 0x80], octets), "DER_LENGTH_NOT_MINIMAL");
    assert_eq!(broken(&[2, 1, 0], octets), "DER_UNEXPECTED_TAG");
    assert_eq!(broken(&[0x24, 0], octets), "DER_UNEXPECTED_TAG");
    assert_eq!(broken(&[4, 0, 0], octets), "DER_TRAILING_BYTES");
    assert_eq!(broken(&[5, 1, 0], |r| r.null(tag::NULL, "x")), "DER_TRAILING_BYTES");
}

#[test]
fn writes_and_reads_every_length_form() {
    for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
        let contents = vec![7; len];
        let der = Writer::collect(|w| w.value(tag::OCTET_STRING, &contents));
        assert_eq!(octets(&mut Reader::new(&der)).unwrap(), contents, "{len}");
    }
}

#[test]
fn says_where_a_rule_is_broken() {
    let der = [0x30, 5, 2, 1, 1, 2, 1];
    let error = Reader::new(&der).nested(tag::SEQUENCE, "list", |r| {
        r.unsigned(tag::INTEGER, "first")?;
        r.unsigned(tag::INTEGER, "second")
    });
    let error = error.unwrap_err();
    assert_eq!((error.rule, error.field, error.offset), (DerRule::Truncated, "second", 5));
    assert_eq!(error.to_string(), "second at byte 5: the input ends too early");
}

#[test]
fn refuses_integers_with_two_encodings_or_a_sign() {
    let unsigned = |input: &[u8]| broken(input, |r| r.unsigned(tag::INTEGER, "x").map(drop));
    assert_eq!(unsigned(&[2, 0]), "DER_INTEGER_NOT_MINIMAL");
    assert_eq!(unsigned(&[2, 2, 0, 0x7f]), "DER_INTEGER_NOT_MINIMAL");
    assert_eq!(unsigned(&[2, 2, 0, 0]), "DER_INTEGER_NOT_MINIMAL");
    assert_eq!(unsigned(&[2, 2, 0xff, 0x80]), "DER_INTEGER_NOT_MINIMAL");
    assert_eq!(unsigned(&[2, 1, 0x80]), "DER_INTEGER_NEGATIVE");
    let small = |input: &[u8]| broken(input, |r| r.small(tag::INTEGER, "x", 300));
    assert_eq!(small(&[2, 2, 1, 0x2d]), "DER_INTEGER_TOO_BIG");
    assert_eq!(small(&[2, 3, 1, 0, 0]), "DER_INTEGER_TOO_BIG");
}

#[test]
fn writes_and_reads_integers_at_octet_boundaries() {
    for number in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff] {
        let der = Writer::collect(|w| w.small(tag::INTEGER, number));
        assert_eq!(Reader::new(&der).small(tag::INTEGER, "x", u16::MAX), Ok(number));
    }
}

#[test]
fn refuses_booleans_that_are_default_or_neither_value() {
    assert_eq!(broken(&[1, 1, 0], |r| r.flag(tag::BOOLEAN, "x")), "DER_DEFAULT_ENCODED");
    assert_eq!(broken(&[1, 1, 1], |r| r.flag(tag::BOOLEAN, "x")), "DER_BOOLEAN_VALUE");
    assert_eq!(broken(&[1, 0], |r| r.flag(tag::BOOLEAN, "x")), "DER_BOOLEAN_VALUE");
    assert_eq!(broken(&[1, 2, 0xff, 0xff], |r| r.flag(tag::BOOLEAN, "x")), "DER_BOOLEAN_VALUE");
    assert_eq!(Reader::new(&[1, 1, 0xff]).flag(tag::BOOLEAN, "x"), Ok(true));
    assert_eq!(Reader::new(&[]).flag(tag::BOOLEAN, "x"), Ok(false));
}

#[test]
fn refuses_named_bits_that_are_not_trimmed() {
    let bits = |input: &[u8]| broken(input, |r| r.named_bits("x", 9));
    assert_eq!(bits(&[3, 0]), "DER_BIT_STRING_UNUSED");
    assert_eq!(bits(&[3, 2, 8, 0x80]), "DER_BIT_STRING_UNUSED");
    assert_eq!(bits(&[3, 1, 1]), "DER_BIT_STRING_UNUSED");
    assert_eq!(bits(&[3, 2, 6, 0xa0]), "DER_BIT_STRING_UNUSED");
    assert_eq!(bits(&[3, 1, 0]), "DER_NAMED_BITS_EMPTY");
    assert_eq!(bits(&[3, 2, 4, 0xa0]), "DER_NAMED_BITS_TRAILING_ZERO");
    assert_eq!(bits(&[3, 2, 0, 0]), "DER_NAMED_BITS_TRAILING_ZERO");
    assert_eq!(bits(&[3, 3, 7, 0x80, 0]), "DER_NAMED_BITS_TRAILING_ZERO");
    assert_eq!(bits(&[3, 3, 6, 0x80, 0x40]), "DER_NAMED_BITS_UNKNOWN");
    assert_eq!(bits(&[3, 4, 0, 1, 1, 1]), "DER_NAMED_BITS_UNKNOWN");
}

#[test]
fn writes_and_reads_every_set_of_named_bits() {
    for bits in 1..1 << 9 {
        let der = Writer::collect(|w| w.named_bits(bits));
        assert_eq!(Reader::new(&der).named_bits("x", 9), Ok(bits));
    }
}

#[test]
fn refuses_malformed_identifiers() {
    for contents in [&[][..], &[0x80, 1], &[0x2a, 0x80, 1], &[0x2a, 0x86], &[0xff; 19], &[1; 64]] {
        assert!(Oid::from_contents(contents).is_none(), "{contents:02x?}");
    }
    assert_eq!(broken(&[6, 0], |r| r.oid("x")), "DER_OID_MALFORMED");
    for text in ["", "1", "3.1", "1.40", "1.2.", "1.02", "1.+2", "1.2.-3", "1..2"] {
        assert!(Oid::from_dotted(text).is_none(), "{text}");
    }
}

#[test]
fn spells_identifiers_in_dotted_decimal() {
    for text in
        ["0.0", "1.39.1", "2.999.3", "1.2.840.113549.1.1.11", "2.25.340282366920938463463374607431768211455"]
    {
        assert_eq!(Oid::from_dotted(text).map(|oid| oid.to_string()).as_deref(), Some(text));
    }
    assert_eq!(Oid::from_contents(oids::NTDS_OBJECT_SID).unwrap().to_string(), "1.3.6.1.4.1.311.25.2.1");
}

#[test]
fn refuses_lists_that_are_empty_too_long_or_not_sorted() {
    let list =
        |input: &[u8]| broken(input, |r| r.list(tag::SEQUENCE, "x", 2, |r| r.small(tag::INTEGER, "x", 9)));
    assert_eq!(list(&[0x30, 0]), "DER_LIST_EMPTY");
    assert_eq!(list(&[0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1]), "DER_LIST_TOO_LONG");
    let set = |input: &[u8]| broken(input, |r| r.set_of("x", 2, |r| r.small(tag::INTEGER, "x", 9)));
    assert_eq!(set(&[0x31, 6, 2, 1, 2, 2, 1, 1]), "DER_SET_ORDER");
    assert_eq!(set(&[0x31, 6, 2, 1, 1, 2, 1, 1]), "DER_SET_ORDER");
}

#[test]
fn refuses_characters_outside_a_strings_type() {
    let text = |kind: StringKind, text: &[u8]| {
        let der = Writer::collect(|w| w.value(kind.tag(), text));
        broken(&der, |r| r.text(kind.tag(), kind, "x", 4).map(str::to_owned))
    };
    assert_eq!(text(StringKind::Printable, b"a@b"), "DER_STRING_CHARACTER");
    assert_eq!(text(StringKind::Printable, b"a*b"), "DER_STRING_CHARACTER");
    assert_eq!(text(StringKind::Ia5, "é".as_bytes()), "DER_STRING_CHARACTER");
    assert_eq!(text(StringKind::Utf8, b"\xff"), "DER_STRING_CHARACTER");
    assert_eq!(text(StringKind::Utf8, b"\xc0\x80"), "DER_STRING_CHARACTER");
    assert_eq!(text(StringKind::Utf8, b"a\0b"), "DER_STRING_CONTROL");
    assert_eq!(text(StringKind::Ia5, b"a\nb"), "DER_STRING_CONTROL");
    assert_eq!(text(StringKind::Utf8, "\u{85}".as_bytes()), "DER_STRING_CONTROL");
    assert_eq!(text(StringKind::Utf8, b""), "DER_STRING_LENGTH");
    assert_eq!(text(StringKind::Utf8, b"abcde"), "DER_STRING_LENGTH");
}

#[test]
fn refuses_times_in_any_other_form() {
    let utc =
        |text: &str| broken(&Writer::collect(|w| w.value(tag::UTC_TIME, text.as_bytes())), |r| r.time("x"));
    let generalized = |text: &str| {
        broken(&Writer::collect(|w| w.value(tag::GENERALIZED_TIME, text.as_bytes())), |r| r.time("x"))
    };
    for form in
        ["", "Z", "2601010000Z", "260101000000", "260101000000+0000", "26010100000aZ", "20260101000000Z"]
    {
        assert_eq!(utc(form), "DER_TIME_FORM", "{form}");
    }
    for form in ["20600101000000.5Z", "20600101000000", "206001010000Z", "600101000000Z", "+2060010100000Z"] {
        assert_eq!(generalized(form), "DER_TIME_FORM", "{form}");
    }
    for date in
        ["260001000000Z", "261301000000Z", "260100000000Z", "260132000000Z", "260229000000Z", "260101240000Z"]
    {
        assert_eq!(utc(date), "DER_TIME_NOT_A_DATE", "{date}");
    }
    for date in
        ["260101006000Z", "260101000060Z", "691231235959Z", "500101000000Z", "260431000000Z", "261232000000Z"]
    {
        assert_eq!(utc(date), "DER_TIME_NOT_A_DATE", "{date}");
    }
    assert_eq!(generalized("21000229000000Z"), "DER_TIME_NOT_A_DATE");
    assert_eq!(generalized("20491231235959Z"), "DER_TIME_TYPE");
}

#[test]
fn knows_the_calendar() {
    // From `date -u -d … +%s`.
    for (text, secs) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1999-12-31T23:59:59Z", 946_684_799),
        ("2000-02-29T12:00:00Z", 951_825_600),
        ("2026-11-23T07:02:20Z", 1_795_417_340),
        ("2049-12-31T23:59:59Z", 2_524_607_999),
        ("2050-01-01T00:00:00Z", 2_524_608_000),
        ("2100-03-01T00:00:00Z", 4_107_542_400),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ] {
        let time = Time::from_unix_secs(secs).unwrap();
        assert_eq!(time.to_string(), text);
        let der = Writer::collect(|w| w.time(time));
        assert_eq!(Reader::new(&der).time("x"), Ok(time), "{text}");
    }
    assert_eq!(Time::from_unix_secs(Time::MAX.unix_secs() + 1), None);
}

#[test]
fn every_day_of_400_years_comes_back() {
    // The calendar repeats after 146,097 days.
    for day in 0..146_097 {
        let time = Time::from_unix_secs(day * 86_400 + day % 86_400).unwrap();
        assert_eq!(Time::from_generalized_time(time.to_generalized_time().as_bytes()), Ok(time));
    }
}

proptest::proptest! {
    #[test]
    fn no_input_panics(input: Vec<u8>) {
        let mut reader = Reader::new(&input);
        let _ = reader.list(tag::SEQUENCE, "x", 9, |r| r.element(tag::SET, "x"));
        for tag in 0..=255 {
            let _ = { reader }.value(tag, "x");
        }
        let _ = Oid::from_contents(&input).map(|oid| oid.to_string());
    }
}
