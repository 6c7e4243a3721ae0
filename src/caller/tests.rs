#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use super::*;

fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn certificate(common_names: &[&str], names: &[SanType]) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    params.distinguished_name = DistinguishedName::new();
    for (i, name) in common_names.iter().enumerate() {
        // rcgen's names are a map: a second CN needs another type that has the same OID.
        let kind = if i == 0 { DnType::CommonName } else { DnType::CustomDnType(vec![2, 5, 4, 3]) };
        params.distinguished_name.push(kind, *name);
    }
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn caller(common_names: &[&str], names: &[SanType]) -> Result<String, CallerError> {
    Caller::from_certificate(&certificate(common_names, names)).map(|caller| caller.to_string())
}

#[test]
fn prefers_spiffe_id_to_dns_name_to_common_name() {
    let id = uri("spiffe://example.org/ca/frontend");
    let dns = dns("Frontend.Example.ORG");
    assert_eq!(caller(&["fe-1"], &[dns.clone(), id]).unwrap(), "spiffe://example.org/ca/frontend");
    assert_eq!(caller(&["fe-1"], &[uri("https://example.org/"), dns]).unwrap(), "dns:frontend.example.org");
    assert_eq!(caller(&["fe-1"], &[]).unwrap(), "cn:fe-1");
}

#[test]
fn refuses_certificate_with_two_names_of_a_kind() {
    let ids = [uri("spiffe://example.org/a"), uri("spiffe://example.org/b")];
    assert_eq!(caller(&[], &ids), Err(CallerError::ManyUris));
    let mixed = [uri("spiffe://example.org/a"), uri("https://example.org/")];
    assert_eq!(caller(&[], &mixed), Err(CallerError::ManyUris));
    assert_eq!(caller(&["x"], &[dns("a.example"), dns("b.example")]), Err(CallerError::ManyDnsNames(2)));
    assert_eq!(caller(&["a", "b"], &[]), Err(CallerError::ManyCommonNames(2)));
}

#[test]
fn refuses_certificate_whose_better_name_is_malformed() {
    let lesser = dns("frontend.example.org");
    for id in ["spiffe://example.org", "SPIFFE://example.org/a", "spiffe://example.org/a?b", "spiffe:a"] {
        let error = caller(&["x"], &[uri(id), lesser.clone()]).unwrap_err();
        assert_eq!(error, CallerError::Name(InvalidCaller::Spiffe(id.to_owned())));
    }
    assert!(matches!(caller(&["x"], &[dns("*.example.org")]), Err(CallerError::Name(_))));
}

#[test]
fn refuses_certificate_without_a_name() {
    assert_eq!(caller(&[], &[]), Err(CallerError::Nameless));
}

#[test]
fn refuses_common_name_that_could_fake_a_log_line() {
    for name in ["", "a b", "a\nb", "ä", "a,b", &"a".repeat(65)] {
        assert!(matches!(caller(&[name], &[]), Err(CallerError::Name(_))), "{name:?}");
    }
}

#[test]
fn refuses_bytes_that_are_no_certificate() {
    let mut certificate = certificate(&["x"], &[]).to_vec();
    certificate.push(0);
    assert_eq!(Caller::from_certificate(&certificate.into()), Err(CallerError::Malformed));
}

#[test]
fn certificate_expires_after_its_last_second() {
    let caller = Caller::from_certificate(&certificate(&["x"], &[])).unwrap();
    let not_after = 1_893_456_000;
    assert!(!caller.is_expired(UnixTime(not_after)));
    assert!(caller.is_expired(UnixTime(not_after + 1)));
}

#[test]
fn user_id_never_expires() {
    let caller = Caller::from_uid(1000);
    assert_eq!(caller.as_str(), "uid:1000");
    assert!(!caller.is_expired(UnixTime(u64::MAX)));
}

#[test]
fn parses_exactly_what_callers_are_called() {
    for name in [
        "spiffe://example.org/a/B_c",
        "dns:a-1.example.org",
        "dns:localhost",
        "cn:Alice@example.org",
        "uid:0",
    ] {
        assert_eq!(CallerName::parse(name).unwrap().as_str(), name);
    }
}

#[test]
fn refuses_names_that_no_caller_can_have() {
    let long = format!("dns:{}", "a.".repeat(126) + "aa");
    let names = [
        "",
        "*",
        "alice",
        "uid:",
        "uid:-1",
        "uid:+1",
        "uid:01",
        "uid:4294967296",
        "uid:1 ",
        "cn:",
        "cn:a b",
        "dns:",
        "dns:A.example",
        "dns:a..b",
        "dns:a.",
        "dns:-a",
        "dns:a-",
        "dns:*.a",
        "dns:a_b",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/a/",
        "spiffe://example.org//a",
        "spiffe://example.org/../a",
        "spiffe://example.org:1/a",
        "spiffe://u@example.org/a",
        "spiffe://Example.org/a",
        "spiffe:///a",
        "spiffe://example.org/a%20",
        "UID:1",
        &long,
    ];
    for name in names {
        assert!(CallerName::parse(name).is_err(), "{name:?}");
    }
}
