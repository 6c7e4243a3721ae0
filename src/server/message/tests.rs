#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use super::*;

fn message() -> v1::SignRequest {
    v1::SignRequest {
        key: "user-ca".to_owned(),
        tbs: Some(Tbs::SshCertificate(Bytes::from_static(b"tbs"))),
        ..v1::SignRequest::default()
    }
}

fn read(message: v1::SignRequest) -> Result<Request, Fault> {
    request(&Caller::from_uid(7), None, message)
}

fn timeout(value: &str) -> Result<Option<Duration>, Fault> {
    let mut headers = MetadataMap::new();
    headers.insert("grpc-timeout", value.parse().unwrap());
    let now = Instant::now();
    Ok(deadline(&headers, now)?.map(|deadline| deadline - now))
}

#[test]
fn passes_bytes_and_names_on_as_they_are() {
    let request = read(v1::SignRequest { key: "\u{1b}[31m No Such Key".to_owned(), ..message() }).unwrap();
    assert_eq!(request.key, "\u{1b}[31m No Such Key");
    assert_eq!((request.kind, request.bytes.as_ref()), (TbsKind::SshCertificate, b"tbs".as_slice()));
    assert_eq!((request.caller.as_str(), request.request_id), ("uid:7", None));
}

#[test]
fn every_tbs_keeps_its_kind() {
    let kinds = [
        (Tbs::SshCertificate(Bytes::new()), TbsKind::SshCertificate),
        (Tbs::X509Certificate(Bytes::new()), TbsKind::X509Certificate),
        (Tbs::X509Crl(Bytes::new()), TbsKind::X509Crl),
        (Tbs::OcspResponse(Bytes::new()), TbsKind::OcspResponse),
    ];
    for (tbs, kind) in kinds {
        assert_eq!(read(v1::SignRequest { tbs: Some(tbs), ..message() }).unwrap().kind, kind);
    }
}

#[test]
fn refuses_request_without_tbs() {
    assert_eq!(read(v1::SignRequest { tbs: None, ..message() }).unwrap_err(), Fault::TbsMissing);
}

#[test]
fn refuses_request_id_of_another_form() {
    for id in ["a b", "ä", "a\n", &"a".repeat(65)] {
        let refused = read(v1::SignRequest { request_id: id.to_owned(), ..message() });
        assert_eq!(refused.unwrap_err(), Fault::RequestIdInvalid, "{id:?}");
    }
    let request = read(v1::SignRequest { request_id: "a-1".to_owned(), ..message() }).unwrap();
    assert_eq!(request.request_id, Some(RequestId::new("a-1").unwrap()));
}

#[test]
fn only_interactive_is_interactive() {
    let lanes = [(0, Priority::Bulk), (1, Priority::Interactive), (2, Priority::Bulk), (99, Priority::Bulk)];
    for (number, lane) in lanes {
        assert_eq!(
            read(v1::SignRequest { priority: number, ..message() }).unwrap().priority,
            lane,
            "{number}"
        );
    }
}

#[test]
fn the_earlier_of_two_deadlines_holds() {
    let now = Instant::now();
    let after = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(earlier(None, 0, now), None);
    assert_eq!(earlier(Some(after(3)), 0, now), Some(after(3)));
    assert_eq!(earlier(None, 2000, now), Some(after(2)));
    assert_eq!(earlier(Some(after(3)), 2000, now), Some(after(2)));
    assert_eq!(earlier(Some(after(1)), 2000, now), Some(after(1)));
}

#[test]
fn reads_grpc_timeouts() {
    assert_eq!(deadline(&MetadataMap::new(), Instant::now()), Ok(None));
    let values = [
        ("1H", Duration::from_secs(3600)),
        ("2M", Duration::from_secs(120)),
        ("3S", Duration::from_secs(3)),
        ("4m", Duration::from_millis(4)),
        ("5u", Duration::from_micros(5)),
        ("1n", Duration::from_nanos(1)),
        ("00000010S", Duration::from_secs(10)),
        ("99999999H", Duration::from_secs(99_999_999 * 3600)),
    ];
    for (text, value) in values {
        assert_eq!(timeout(text), Ok(Some(value)), "{text}");
    }
}

#[test]
fn refuses_grpc_timeout_that_is_none() {
    for text in ["", "S", "1", "1s", "1h", "+1S", "-1S", "1.5S", " 1S", "1 S", "100000000S", "10ms"] {
        assert_eq!(timeout(text), Err(Fault::DeadlineInvalid), "{text:?}");
    }
}

#[test]
fn every_purpose_and_scheme_has_its_own_number() {
    let told = KeyPurpose::ALL.into_iter().filter(|purpose| *purpose != KeyPurpose::Ledger);
    let purposes: std::collections::BTreeSet<i32> = told.map(|it| purpose(it).into()).collect();
    assert_eq!((purposes.len(), purposes.contains(&0)), (KeyPurpose::ALL.len() - 1, false));
    for it in Scheme::ALL {
        let name = scheme(it).as_str_name().trim_start_matches("SCHEME_").to_lowercase().replace('_', "-");
        assert_eq!(name, it.name());
    }
}
