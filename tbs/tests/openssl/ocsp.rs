//! OCSP responses.

use countersign_tbs::crl::Reason;
use countersign_tbs::der::{Reader, Time, tag};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ocsp::{
    CertId, CertStatus, IssuerHashes, Nonce, ResponderId, ResponseBuilder, ResponseData, SingleResponse,
};
use countersign_tbs::x509::{SerialNumber, TbsCertificate};

use crate::tool::{Directory, KEY_TYPES, KeyType, now, tbs_of};

const INDEX: &str = "\
V\t350101000000Z\t\t01\tunknown\t/CN=a
R\t350101000000Z\t260101000000Z\t02\tunknown\t/CN=b
R\t350101000000Z\t260101000001Z,keyCompromise\t03\tunknown\t/CN=c
R\t350101000000Z\t260101000002Z,superseded\t7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\tunknown\t/CN=d
";
const SERIALS: [&str; 5] = ["0x01", "0x02", "0x03", "0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "0x99"];

/// A CA of `openssl` that answers for itself.
fn with_openssl_ca(key_type: &KeyType) -> (Directory, PublicKey) {
    let directory = Directory::new();
    let key = directory.make_key("ca", key_type);
    directory
        .write("ca.cnf", "[req]\ndistinguished_name=dn\n[dn]\n[ext]\nbasicConstraints=critical,CA:TRUE\n");
    let arguments =
        "req -x509 -config ca.cnf -extensions ext -key ca.key -subj /CN=ca -out ca.pem -outform PEM";
    directory.run(&[&arguments.split(' ').collect::<Vec<_>>(), key_type.digest].concat());
    directory.write("index.txt", INDEX);
    (directory, key)
}

/// Writes a request for every serial number to `request.der`.
fn ask(directory: &Directory, options: &[&str]) {
    let serials: Vec<_> = SERIALS.iter().flat_map(|serial| ["-serial", serial]).collect();
    let start = ["ocsp", "-reqout", "request.der"];
    // A digest option counts for the serial numbers after it.
    directory.run(&[&start[..], options, &["-issuer", "ca.pem"], &serials].concat());
}

/// What `openssl ocsp` answers, without the layers around the ResponseData.
fn answer(directory: &Directory, options: &[&str]) -> Vec<u8> {
    let files = "ocsp -index index.txt -CA ca.pem -rsigner ca.pem -rkey ca.key -reqin request.der -respout response.der";
    directory.run(&[&files.split(' ').collect::<Vec<_>>(), options].concat());
    let response = directory.read("response.der");
    let mut outer = Reader::new(&response).value(tag::SEQUENCE, "OCSPResponse").unwrap();
    outer.value(tag::ENUMERATED, "responseStatus").unwrap();
    let mut explicit = outer.value(tag::constructed(0), "responseBytes").unwrap();
    let mut inner = explicit.value(tag::SEQUENCE, "responseBytes").unwrap();
    inner.oid("responseType").unwrap();
    tbs_of(inner.value(tag::OCTET_STRING, "response").unwrap().rest())
}

fn rebuild(data: &ResponseData) -> ResponseData {
    let start = ResponseBuilder::new(data.responder().clone(), data.produced_at());
    let with_responses = data.responses().iter().cloned().fold(start, ResponseBuilder::response);
    data.extensions().iter().cloned().fold(with_responses, ResponseBuilder::extension).build().unwrap()
}

#[test]
fn rebuilds_the_responses_that_openssl_makes() {
    let (directory, _) = with_openssl_ca(&KEY_TYPES[0]);
    for request in [&["-no_nonce"][..], &["-nonce"], &["-sha256", "-nonce"]] {
        ask(&directory, request);
        for response in [&[][..], &["-ndays", "7"], &["-resp_key_id", "-nmin", "5"], &["-resp_no_certs"]] {
            let bytes = answer(&directory, response);
            let data = ResponseData::parse(&bytes)
                .unwrap_or_else(|error| panic!("{request:?} {response:?}: {error}"));
            assert_eq!(rebuild(&data).as_bytes(), bytes);
            assert_eq!(data.nonce().is_some(), request.contains(&"-nonce"));
            assert_eq!(
                matches!(data.responder(), ResponderId::KeyHash(_)),
                response.contains(&"-resp_key_id")
            );
            let has_sha256 = matches!(data.responses()[0].cert_id.issuer, IssuerHashes::Sha256 { .. });
            assert_eq!(has_sha256, request.contains(&"-sha256"));
        }
    }
}

#[test]
fn agrees_with_openssl_on_every_status() {
    let (directory, _) = with_openssl_ca(&KEY_TYPES[0]);
    ask(&directory, &[]);
    let data = ResponseData::parse(&answer(&directory, &["-ndays", "1"])).unwrap();
    let statuses: Vec<_> = data.responses().iter().map(|response| response.status).collect();
    let revoked = |second: u64, reason| CertStatus::Revoked { at: time(1_767_225_600 + second), reason };
    let expected = [
        CertStatus::Good,
        revoked(0, None),
        revoked(1, Some(Reason::KeyCompromise)),
        revoked(2, Some(Reason::Superseded)),
        CertStatus::Unknown,
    ];
    assert_eq!(statuses, expected);
    let lifetimes =
        data.responses().iter().map(|one| one.next_update.unwrap().unix_secs() - one.this_update.unix_secs());
    assert!(lifetimes.into_iter().all(|lifetime| lifetime == 86_400));
}

#[test]
fn names_a_certificate_as_openssl_does() {
    for key_type in &KEY_TYPES[..5] {
        let (directory, key) = with_openssl_ca(key_type);
        ask(&directory, &["-sha256"]);
        let data = ResponseData::parse(&answer(&directory, &[])).unwrap();
        let ca = ca_tbs(&directory);
        let serial = SerialNumber::new(&[1]).unwrap();
        assert_eq!(data.responses()[0].cert_id, CertId::sha256(ca.subject(), &key, serial));
    }
}

fn ca_tbs(directory: &Directory) -> TbsCertificate {
    directory.run(&["x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der"]);
    TbsCertificate::parse(&tbs_of(&directory.read("ca.der"))).unwrap()
}

fn time(secs: u64) -> Time {
    Time::from_unix_secs(secs).unwrap()
}

#[test]
fn openssl_verifies_the_responses_that_we_build() {
    for key_type in &KEY_TYPES {
        let (directory, key) = with_openssl_ca(key_type);
        let ca = ca_tbs(&directory);
        let about = |serial, status| SingleResponse {
            cert_id: CertId::sha256(ca.subject(), &key, SerialNumber::new(&[serial]).unwrap()),
            status,
            this_update: time(now() - 60),
            next_update: Some(time(now() + 3600)),
            extensions: Vec::new(),
        };
        let revoked = CertStatus::Revoked { at: time(now() - 99), reason: Some(Reason::KeyCompromise) };
        let data = ResponseBuilder::new(ResponderId::Name(ca.subject().clone()), time(now()))
            .response(about(1, CertStatus::Good))
            .response(about(2, revoked))
            .response(about(3, CertStatus::Unknown))
            .nonce(Nonce::random().unwrap())
            .build()
            .unwrap();
        let signature = directory.sign("ca", key_type, data.as_bytes());
        for certificates in [&[][..], &[&directory.read("ca.der")[..]]] {
            directory.write("response.der", data.response(key_type.algorithm, &signature, certificates));
            let files = "ocsp -respin response.der -issuer ca.pem -CAfile ca.pem -verify_other ca.pem -no_nonce -sha256";
            let serials = ["-serial", "1", "-sha256", "-serial", "2", "-sha256", "-serial", "3"];
            let output = directory.try_run(&[&files.split(' ').collect::<Vec<_>>(), &serials[..]].concat());
            let said = String::from_utf8(output.stdout).unwrap();
            for line in ["1: good", "2: revoked", "Reason: keyCompromise", "3: unknown"] {
                assert!(said.contains(line), "{line} is not in {said}");
            }
            assert!(String::from_utf8_lossy(&output.stderr).contains("Response verify OK"));
        }
    }
}

#[test]
fn openssl_rejects_our_response_with_another_keys_signature() {
    let (directory, key) = with_openssl_ca(&KEY_TYPES[0]);
    let ca = ca_tbs(&directory);
    let response = SingleResponse {
        cert_id: CertId::sha256(ca.subject(), &key, SerialNumber::new(&[1]).unwrap()),
        status: CertStatus::Good,
        this_update: time(now()),
        next_update: None,
        extensions: Vec::new(),
    };
    let builder =
        ResponseBuilder::new(ResponderId::Name(ca.subject().clone()), time(now())).response(response);
    let data = builder.build().unwrap();
    directory.make_key("ca", &KEY_TYPES[0]);
    let signature = directory.sign("ca", &KEY_TYPES[0], data.as_bytes());
    directory.write("response.der", data.response(KEY_TYPES[0].algorithm, &signature, &[]));
    let arguments = "ocsp -respin response.der -issuer ca.pem -CAfile ca.pem -verify_other ca.pem -no_nonce -sha256 -serial 1";
    let output = directory.try_run(&arguments.split(' ').collect::<Vec<_>>());
    assert!(!String::from_utf8_lossy(&output.stderr).contains("Response verify OK"));
}
