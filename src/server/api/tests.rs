#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use rcgen::{CertificateParams, KeyPair};

use super::*;

fn caller_until(last_year: i32) -> Arc<Caller> {
    let mut params = CertificateParams::new(["frontend.example.org".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    Arc::new(Caller::from_certificate(certificate.der()).unwrap())
}

fn call_of(caller: Arc<Caller>) -> Result<Call, Fault> {
    let mut request = Request::new(());
    request.extensions_mut().insert(caller);
    Call::of(&request)
}

#[test]
fn refuses_caller_whose_certificate_expired_on_an_open_connection() {
    assert_eq!(call_of(caller_until(2020)).err(), Some(Fault::CallerExpired));
    assert_eq!(call_of(caller_until(2099)).unwrap().caller().unwrap().as_str(), "dns:frontend.example.org");
}

#[test]
fn refuses_caller_whose_certificate_expires_during_a_stream() {
    let call = Call { caller: caller_until(2020), deadline: None };
    assert_eq!(call.caller(), Err(Fault::CallerExpired));
}

#[test]
fn refuses_call_that_nobody_vouches_for() {
    assert_eq!(Call::of(&Request::new(())).err(), Some(Fault::Internal));
}

#[test]
fn refuses_call_with_malformed_deadline() {
    let mut request = Request::new(());
    request.extensions_mut().insert(Arc::new(Caller::from_uid(7)));
    request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    assert_eq!(Call::of(&request).err(), Some(Fault::DeadlineInvalid));
}
