//! CRLs and OCSP responses: what is signed, other software accepts; what is not the CA's is refused, and recorded.

use countersign::ledger::Entry;
use countersign::ledger::entry::AskedTbs;
use countersign_proto::Client;
use countersign_proto::client::CallError;
use countersign_proto::v1::{self, sign_request::Tbs};
use countersign_tbs::crl::{
    CrlBuilder, CrlNumber, EntryExtension, IssuingDistributionPoint, Reason, RevokedEntry, Scope, Updates,
};
use countersign_tbs::ocsp::{
    CertId, CertStatus, HashParameters, IssuerHashes, Nonce, ResponderId, ResponseBuilder, SingleResponse,
    public_key_bits,
};
use countersign_tbs::x509::{GeneralName, SerialNumber, SignatureAlgorithm, TbsCertificate};
use tonic::Code;

use crate::site::{Daemon, FRONT_END, STRANGER, Site, now, text};
use authority::{Authority, CRL_URL, key_id, name, request, time, try_openssl};

pub mod authority;

const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::EcdsaSha256;

/// A list of now, in the name and by the key of `signer`.
pub fn list(signer: &TbsCertificate, number: u64) -> CrlBuilder {
    numbered(signer, number.into())
}

fn numbered(signer: &TbsCertificate, number: CrlNumber) -> CrlBuilder {
    let updates = Updates { this: time(now()), next: time(now() + 3600) };
    CrlBuilder::new(ALGORITHM, signer.subject().clone(), updates)
        .authority_key_id(key_id(signer))
        .number(number)
}

pub fn bytes(list: CrlBuilder) -> Tbs {
    Tbs::X509Crl(list.build().unwrap().as_bytes().to_vec().into())
}

fn answer(cert_id: CertId, status: CertStatus) -> SingleResponse {
    let (this_update, next_update) = (time(now()), Some(time(now() + 1800)));
    SingleResponse { cert_id, status, this_update, next_update, extensions: Vec::new() }
}

fn response(responder: ResponderId, answer: SingleResponse) -> ResponseBuilder {
    ResponseBuilder::new(responder, time(now())).response(answer)
}

fn response_bytes(response: ResponseBuilder) -> Tbs {
    Tbs::OcspResponse(response.build().unwrap().as_bytes().to_vec().into())
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    digest.as_ref().try_into().unwrap()
}

fn responder(site: &Site) -> ResponderId {
    assert!(site.path("responder.pem").exists());
    ResponderId::Name(name("responder"))
}

pub async fn sign(site: &Site, daemon: &Daemon, key: &str, tbs: Tbs) -> Result<v1::SignResponse, CallError> {
    site.client(daemon, FRONT_END).await.sign(request(key, tbs)).await
}

/// The refusal's reason, after checking that the newest entry tells the same.
fn refused(site: &Site, what: &str, result: Result<v1::SignResponse, CallError>) -> String {
    let error = result.err().unwrap_or_else(|| panic!("{what} was signed"));
    let entries = site.entries();
    let Some(Entry::Refusal { reason, rule, .. }) = entries.last() else {
        panic!("{what}: {:?}", entries.last())
    };
    assert_eq!((Some(rule), reason), (error.rule.as_ref(), &error.reason), "{what}");
    assert_eq!(error.entry, Some(entries.len() as u64 - 1), "{what}");
    error.reason
}

/// Its lists would be compared with nothing. That the CA's name is spelt in another case is no such fault.
#[tokio::test]
async fn a_key_for_lists_of_no_ca_here_is_a_fault() {
    let authority = Authority::new().await;
    authority.certify_lists_for("/CN=cA");
    authority.site.run_ok(&["check"]);
    authority.certify_lists_for("/CN=ca2");
    for command in ["check", "serve", "doctor"] {
        let output = authority.site.run(&[command]);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!output.status.success(), "{command}: {said}");
        let cause = "is for CN=ca2, and no x509-ca key here is certified for that name";
        assert!(said.contains("key.lists.certificate") && said.contains(cause), "{command}: {said}");
    }
}

#[tokio::test]
async fn openssl_accepts_the_lists_of_the_ca_and_of_its_key_for_lists() {
    let authority = Authority::new().await;
    let Authority { site, ca, lists, revoked, .. } = &authority;
    let daemon = site.serve();
    let entry = RevokedEntry {
        extensions: vec![EntryExtension::Reason(Reason::KeyCompromise)],
        ..RevokedEntry::new(*revoked, time(now() - 60))
    };
    let full_name = vec![GeneralName::Uri(CRL_URL.to_owned())];
    let point = IssuingDistributionPoint { full_name, scope: Scope::All };
    let by_ca = list(ca, 7).entry(&entry).issuing_distribution_point(point);
    for (key, list) in [("ca", by_ca), ("lists", list(lists, 7).entry(&entry))] {
        let signed = sign(site, &daemon, key, bytes(list)).await.unwrap();
        authority.write("crl.der", &signed.object);
        let verified = authority.openssl(&format!("crl -inform DER -in crl.der -CAfile {key}.pem -noout"));
        assert!(verified.contains("verify OK"), "{key}: {verified}");
        authority.openssl("crl -inform DER -in crl.der -out crl.pem");
        let check = "verify -x509_strict -extended_crl -crl_check -CAfile root.pem -untrusted ca.pem \
                     -untrusted lists.pem -CRLfile crl.pem";
        authority.openssl(&format!("{check} good.pem"));
        let output = try_openssl(site, &format!("{check} revoked.pem"));
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("certificate revoked"), "{key}: {said}");
    }
    let text = authority.openssl("crl -in crl.pem -noout -text");
    assert!(text.contains("Key Compromise") && text.contains("X509v3 CRL Number"), "{text}");
}

#[tokio::test]
async fn openssl_accepts_the_responses_of_the_ca_and_of_its_responder() {
    let authority = Authority::new().await;
    let Authority { site, ca, good, revoked, .. } = &authority;
    let daemon = site.serve();
    let of = |serial: SerialNumber| CertId::sha256(ca.subject(), ca.public_key(), serial);
    let revocation = CertStatus::Revoked { at: time(now() - 60), reason: Some(Reason::KeyCompromise) };
    authority.write("chain.pem", &[read(site, "root.pem"), read(site, "ca.pem")].concat());
    for (leaf, serial, status) in [("good", *good, CertStatus::Good), ("revoked", *revoked, revocation)] {
        let data = response(responder(site), answer(of(serial), status));
        let signed = sign(site, &daemon, "responder", response_bytes(data)).await.unwrap();
        authority.write("response.der", &signed.object);
        let said = authority.openssl(&format!(
            "ocsp -respin response.der -no_nonce -issuer ca.pem -sha256 -cert {leaf}.pem -CAfile chain.pem"
        ));
        assert!(said.contains("Response verify OK"), "{said}");
        assert!(said.contains(&format!("{leaf}.pem: {}", status.name())), "{said}");
    }
}

#[tokio::test]
async fn openssl_accepts_the_cas_own_answer_with_the_nonce_of_its_request() {
    let authority = Authority::new().await;
    let Authority { site, ca, good, .. } = &authority;
    let daemon = site.serve();
    let asked = "ocsp -issuer ca.pem -cert good.pem -nonce -reqout request.der -req_text";
    let nonce = nonce_in(&authority.openssl(asked));
    let issuer = IssuerHashes::Sha1 {
        name: sha1(ca.subject().as_der()),
        key: sha1(&public_key_bits(ca.public_key())),
    };
    let cert_id = CertId { issuer, parameters: HashParameters::Null, serial: *good };
    let by_key = ResponderId::KeyHash(sha1(&public_key_bits(ca.public_key())));
    let data = response(by_key, answer(cert_id, CertStatus::Good)).nonce(nonce);
    let signed = sign(site, &daemon, "ca", response_bytes(data)).await.unwrap();
    authority.write("response.der", &signed.object);
    // Without -no_nonce it would put a nonce of its own in place of the request's, and not find that.
    let check = "ocsp -reqin request.der -no_nonce -respin response.der -issuer ca.pem -cert good.pem";
    let said = authority.openssl(&format!("{check} -VAfile ca.pem"));
    assert!(said.contains("Response verify OK") && said.contains("good.pem: good"), "{said}");
    assert!(!said.contains("nonce"), "it is the request's: {said}");
}

/// The nonce of the request that OpenSSL prints: `OCSP Nonce: 0410…`, the DER of an OCTET STRING.
fn nonce_in(request: &str) -> Nonce {
    let mut lines = request.lines().skip_while(|line| !line.contains("OCSP Nonce"));
    let hex: String = lines.nth(1).unwrap().trim().to_owned();
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    let octets = pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap());
    Nonce::new(&octets.collect::<Vec<_>>()[2..]).unwrap()
}

fn read(site: &Site, name: &str) -> Vec<u8> {
    std::fs::read(site.path(name)).unwrap()
}

#[tokio::test]
async fn a_number_is_never_signed_twice_and_an_answer_is_had_again() {
    let authority = Authority::new().await;
    let Authority { site, ca, revoked, .. } = &authority;
    let mut daemon = site.serve();
    let first = v1::SignRequest { request_id: "list-7".into(), ..request("ca", bytes(list(ca, 7))) };
    let signed = site.client(&daemon, FRONT_END).await.sign(first.clone()).await.unwrap();
    for restart in [false, true] {
        if restart {
            daemon.stop();
            daemon = site.serve();
        }
        let again = site.client(&daemon, FRONT_END).await.sign(first.clone()).await.unwrap();
        assert_eq!(again, signed);
        let entry = RevokedEntry::new(*revoked, time(now()));
        for number in [6, 7] {
            let list = list(ca, number).entry(&entry);
            let answer = sign(site, &daemon, "ca", bytes(list)).await;
            assert_eq!(refused(site, "an old number", answer), "CRL_NUMBER_NOT_NEWER");
        }
        let stale = list(ca, 6).delta_base(CrlNumber::ZERO);
        assert_eq!(
            refused(site, "an old delta", sign(site, &daemon, "ca", bytes(stale)).await),
            "CRL_NUMBER_NOT_NEWER"
        );
    }
    let delta = list(ca, 7).delta_base(6.into());
    sign(site, &daemon, "ca", bytes(delta)).await.expect("a delta list of the same moment");
    sign(site, &daemon, "ca", bytes(list(ca, 8))).await.expect("the next list");
}

#[tokio::test]
async fn a_stolen_front_end_cannot_make_a_list_the_last_one() {
    let authority = Authority::new().await;
    let Authority { site, ca, .. } = &authority;
    let mut daemon = site.serve();
    let last = CrlNumber::new(&[[0x7f].as_slice(), &[0xff; 19]].concat()).unwrap();
    for first in [last, u64::MAX.into(), 1_800_000_000.into()] {
        let error = sign(site, &daemon, "ca", bytes(numbered(ca, first))).await.unwrap_err();
        assert_eq!((error.code, error.reason.as_str()), (Code::PermissionDenied, "CRL_NUMBER_TOO_FAR"));
        assert_eq!(error.rule.as_deref(), Some("key.ca.allow.lists.max_first_number"), "{first}");
    }
    // An operator whose numbers are times says so.
    daemon.stop();
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let lists = "[key.ca.allow.lists]\n";
    site.configure(&config.replace(lists, &format!("{lists}max_first_number = 1900000000\n")));
    daemon = site.serve();
    sign(site, &daemon, "ca", bytes(list(ca, 1_800_000_000))).await.expect("a time as the first number");
    for (what, number) in [("the last number", last), ("a leap of 1001", 1_800_001_001.into())] {
        let error = sign(site, &daemon, "ca", bytes(numbered(ca, number))).await.unwrap_err();
        assert_eq!((error.code, error.reason.as_str()), (Code::PermissionDenied, "CRL_NUMBER_TOO_FAR"));
        assert_eq!(error.rule.as_deref(), Some("key.ca.allow.lists.number_step"), "{what}");
        assert!(error.message.contains("CRL 0x6b49d200;"), "it names the newest: {error}");
    }
    sign(site, &daemon, "ca", bytes(list(ca, 1_800_001_000))).await.expect("the next list");
}

#[tokio::test]
async fn refuses_what_is_not_the_cas_and_records_it() {
    let authority = Authority::new().await;
    let Authority { site, ca, lists, good, .. } = &authority;
    let daemon = site.serve();
    let serial = |number: u8| SerialNumber::new(&[number]).unwrap();
    let entries = |list: CrlBuilder, count: u8| {
        (1..=count).fold(list, |list, n| list.entry(&RevokedEntry::new(serial(n), time(now() - 60))))
    };
    let updates = |this, next| {
        let updates = Updates { this: time(this), next: time(next) };
        CrlBuilder::new(ALGORITHM, ca.subject().clone(), updates)
            .authority_key_id(key_id(ca))
            .number(1.into())
    };
    let named = |issuer| {
        let updates = Updates { this: time(now()), next: time(now() + 60) };
        CrlBuilder::new(ALGORITHM, name(issuer), updates).authority_key_id(key_id(ca)).number(1.into())
    };
    let tomorrow = RevokedEntry::new(*good, time(now() + 86_400));
    let id = |serial| CertId::sha256(ca.subject(), ca.public_key(), serial);
    let foreign = CertId::sha256(&name("root"), ca.public_key(), *good);
    let of = |cert_id| response(responder(site), answer(cert_id, CertStatus::Good));
    let as_ca = |id| response(ResponderId::Name(ca.subject().clone()), answer(id, CertStatus::Good));
    let future = CertStatus::Revoked { at: time(now() + 60), reason: None };
    let cases = [
        ("another issuer", "ca", bytes(named("root")), "ISSUER_MISMATCH"),
        ("another key of the CA", "ca", bytes(list(lists, 1)), "AUTHORITY_KEY_ID_MISMATCH"),
        ("the CA's key by that for lists", "lists", bytes(list(ca, 1)), "AUTHORITY_KEY_ID_MISMATCH"),
        ("too long a list's life", "ca", bytes(updates(now(), now() + 2 * 86_400)), "NEXT_UPDATE_TOO_LATE"),
        ("an old list", "ca", bytes(updates(now() - 3600, now() + 3600)), "BACKDATED_TOO_FAR"),
        ("a revocation of tomorrow", "ca", bytes(list(ca, 1).entry(&tomorrow)), "REVOKED_IN_FUTURE"),
        ("a delta list", "lists", bytes(list(lists, 1).delta_base(CrlNumber::ZERO)), "DELTA_NOT_ALLOWED"),
        ("too many entries", "lists", bytes(entries(list(lists, 1), 3)), "ENTRIES_ABOVE_LIMIT"),
        ("a list by the responder", "responder", bytes(list(ca, 1)), "TBS_KIND_NOT_ALLOWED"),
        (
            "a certificate by the key for lists",
            "lists",
            Tbs::X509Certificate(vec![].into()),
            "TBS_KIND_NOT_ALLOWED",
        ),
        ("no list", "ca", Tbs::X509Crl(vec![0x30, 0].into()), "VERSION"),
        ("another responder", "responder", response_bytes(as_ca(id(*good))), "RESPONDER_MISMATCH"),
        ("the CA as its responder", "ca", response_bytes(of(id(*good))), "RESPONDER_MISMATCH"),
        ("another CA's certificate", "responder", response_bytes(of(foreign)), "ISSUER_MISMATCH"),
        (
            "two answers",
            "responder",
            response_bytes(of(id(*good)).response(answer(id(serial(9)), CertStatus::Good))),
            "RESPONSES_ABOVE_LIMIT",
        ),
        (
            "a nonce",
            "responder",
            response_bytes(of(id(*good)).nonce(Nonce::new(&[1; 16]).unwrap())),
            "NONCE_NOT_ALLOWED",
        ),
        (
            "a revocation to come",
            "responder",
            response_bytes(response(responder(site), answer(id(*good), future))),
            "REVOKED_IN_FUTURE",
        ),
        (
            "an answer for ever",
            "responder",
            response_bytes(response(
                responder(site),
                SingleResponse { next_update: None, ..answer(id(*good), CertStatus::Good) },
            )),
            "NEXT_UPDATE_MISSING",
        ),
    ];
    for (what, key, tbs, reason) in cases {
        assert_eq!(refused(site, what, sign(site, &daemon, key, tbs).await), reason, "{what}");
    }
}

/// About a mebibyte: 22 bytes for each entry.
fn long(ca: &TbsCertificate, number: u64, entries: u32) -> CrlBuilder {
    let entry = |n: u32| SerialNumber::new(&(n + (1 << 16)).to_be_bytes()).unwrap();
    (0..entries)
        .fold(list(ca, number), |list, n| list.entry(&RevokedEntry::new(entry(n), time(1_700_000_000))))
}

#[tokio::test]
async fn a_long_list_is_signed_for_those_who_may_have_lists_and_read_from_no_others() {
    let authority = Authority::new().await;
    let Authority { site, ca, .. } = &authority;
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let tbs = bytes(long(ca, 1, 47_000));
    let Tbs::X509Crl(asked) = &tbs else { unreachable!("it is a list") };
    let asked = asked.clone();
    let signed = client.sign(request("ca", tbs)).await.unwrap();
    authority.write("crl.der", &signed.object);
    let verified = authority.openssl("crl -inform DER -in crl.der -CAfile ca.pem -noout");
    assert!(verified.contains("verify OK"), "{verified}");
    let entries = site.entries();
    let recorded = entries.iter().rev().find_map(|entry| match entry {
        Entry::Intent { asked, .. } => Some(&asked.tbs),
        _ => None,
    });
    assert!(matches!(recorded, Some(AskedTbs::Digest(_, len)) if *len == asked.len() as u64), "{recorded:?}");

    let verify = ["ledger", "verify", "--accept-uncovered"];
    let said = site.run_refused(&verify, 2);
    assert!(said.contains("the ledger has the digests alone") && said.contains("--list FILE"), "{said}");
    site.run_ok(&[&verify[..], &["--accept-digests"]].concat());
    let mut other = signed.object.to_vec();
    other[40] ^= 1;
    authority.write("other.der", &other);
    let said = site.run_ok(&[&verify[..], &["--list", "crl.der", "other.der"]].concat());
    assert!(said.contains("no entry that was read permits the list in other.der"), "{said}");
    assert!(!said.contains("the list in crl.der"), "{said}");

    let more = bytes(long(ca, 2, 47_700));
    let answer = client.sign(request("ca", more)).await;
    assert_eq!(refused(site, "more than a mebibyte", answer), "LIST_TOO_LONG");
    let far_more = unread(&client, long(ca, 2, 48_000)).await;
    assert_eq!(far_more, Code::OutOfRange);
    let stranger = site.client(&daemon, STRANGER).await;
    assert_eq!(unread(&stranger, long(ca, 2, 2_000)).await, Code::OutOfRange);
    let refusals = site.entries().iter().filter(|entry| matches!(entry, Entry::Refusal { .. })).count();
    assert_eq!(refusals, 1, "what is not read leaves nothing");
}

/// The code for a request that is not even read.
async fn unread(client: &Client, list: CrlBuilder) -> Code {
    client.sign(request("ca", bytes(list))).await.unwrap_err().code
}

#[tokio::test]
async fn the_commands_know_both_kinds() {
    let authority = Authority::new().await;
    let Authority { site, ca, good, .. } = &authority;
    let daemon = site.serve();
    let tbs = list(ca, 0x1ff).build().unwrap();
    authority.write("list.tbs", tbs.as_bytes());
    let list = Tbs::X509Crl(tbs.as_bytes().to_vec().into());
    sign(site, &daemon, "ca", list).await.unwrap();
    let cert_id = CertId::sha256(ca.subject(), ca.public_key(), *good);
    let data = response(responder(site), answer(cert_id, CertStatus::Good));
    let receipt = sign(site, &daemon, "responder", response_bytes(data)).await.unwrap().receipt.unwrap();
    let shown = site.run_ok(&["ledger", "show"]);
    assert!(shown.contains("x509 crl, number 0x01ff, issuer \"CN=ca\", entries 0"), "{shown}");
    assert!(shown.contains(&format!("serials {good} good from ")), "{shown}");
    let caller = "spiffe://countersign.example/front-end";
    let explained = site.run_ok(&[
        "policy", "explain", "--caller", caller, "--key", "ca", "--kind", "x509-crl", "--tbs", "list.tbs",
    ]);
    assert!(explained.contains("key.ca.allow.lists"), "{explained}");
    let open: Vec<&str> = explained.lines().filter(|line| line.contains("not checked")).collect();
    assert!(
        open.iter().all(|line| ["number", "budget"].iter().any(|word| line.contains(word))),
        "{explained}"
    );
    let explained = site.run_ok(&["policy", "explain", "--entry", &receipt.entry_index.to_string()]);
    assert!(explained.contains("key.responder.allow.all"), "{explained}");
}

#[tokio::test]
async fn the_load_of_a_responder_is_answers_about_certificates_of_its_ca() {
    let authority = Authority::new().await;
    let site = &authority.site;
    let daemon = site.serve();
    let load =
        ["bench", "responder", "--rate", "50", "--callers", "2", "--connections", "1", "--duration", "2s"];
    let missing = site.client_command(&daemon, FRONT_END, &load).output().unwrap();
    assert!(text(&missing.stderr).contains("needs --ca-certificate"), "{missing:?}");
    let args = [&load[..], &["--ca-certificate", "ca.pem", "--json"]].concat();
    let output = site.client_command(&daemon, FRONT_END, &args).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["kind"], &report["errors"]), (&"ocsp-response".into(), &serde_json::json!({})));
    assert!(report["signed"].as_u64().unwrap() > 0, "{report}");
}
