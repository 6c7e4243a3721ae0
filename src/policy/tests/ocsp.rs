//! OCSP responses: one request per rule, the permitted one changed in one place.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use countersign_tbs::crl::Reason as Cause;
use countersign_tbs::der::{Oid, oids};
use countersign_tbs::ocsp::{
    CertId, CertStatus, HashParameters, IssuerHashes, Nonce, ResponderId, ResponseBuilder, ResponseData,
    ResponseExtension, SingleResponse, UnknownExtension, public_key_bits,
};
use countersign_tbs::x509::{
    CertificateBuilder, Extension, ExtensionValue, KeyUsage, SerialNumber, SignatureAlgorithm, Validity,
};

use super::*;
use crate::policy::explain::Answer;
use crate::policy::fixture::{Authority, DAY, Knows, key_id, name, public_key as of, time};

/// What a caller asks for. The default is permitted: each test changes what it is about.
#[derive(Clone)]
pub(super) struct Ask {
    key: &'static str,
    now: u64,
    responder: ResponderId,
    produced: u64,
    responses: Vec<SingleResponse>,
    more: Vec<ResponseExtension>,
}

/// By the CA itself.
fn ok() -> Ask {
    let more = Vec::new();
    let responses = vec![good(1), good(2)];
    Ask { key: "ca", now: NOW, responder: ResponderId::Name(name("CA")), produced: NOW, responses, more }
}

/// By a key that the CA delegates to.
fn delegated() -> Ask {
    let nonce = ResponseExtension::Nonce(Nonce::new(&[7; 32]).unwrap());
    let responder = ResponderId::Name(name("Responder"));
    Ask { key: "responder", responder, responses: vec![good(1)], more: vec![nonce], ..ok() }
}

fn good(serial: u8) -> SingleResponse {
    SingleResponse {
        cert_id: CertId::sha256(&name("CA"), &of("ca"), SerialNumber::new(&[serial]).unwrap()),
        status: CertStatus::Good,
        this_update: time(NOW),
        next_update: Some(time(NOW + DAY)),
        extensions: Vec::new(),
    }
}

/// The permitted request with a second response that was changed.
fn second(change: impl FnOnce(&mut SingleResponse)) -> Ask {
    let mut response = good(2);
    change(&mut response);
    Ask { responses: vec![good(1), response], ..ok() }
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().try_into().unwrap()
}

fn by_key(key: &PublicKey) -> ResponderId {
    ResponderId::KeyHash(sha1(&public_key_bits(key)))
}

fn sha1_id(name: &countersign_tbs::x509::Name, key: &PublicKey) -> CertId {
    let issuer = IssuerHashes::Sha1 { name: sha1(name.as_der()), key: sha1(&public_key_bits(key)) };
    CertId { issuer, parameters: HashParameters::Absent, serial: SerialNumber::new(&[2]).unwrap() }
}

fn unknown() -> UnknownExtension {
    UnknownExtension { oid: Oid::from_dotted("1.3.6.1.5.5.7.48.1.6").unwrap(), value: vec![5, 0] }
}

impl Ask {
    fn tbs(&self) -> ResponseData {
        let start = ResponseBuilder::new(self.responder.clone(), time(self.produced));
        let builder = self.responses.iter().cloned().fold(start, ResponseBuilder::response);
        self.more.iter().cloned().fold(builder, ResponseBuilder::extension).build().unwrap()
    }

    fn decide(&self, authority: &Authority) -> Decision {
        authority.decide(Authority::request("dns:front", self.key, &Tbs::Ocsp(self.tbs()), None), self.now)
    }
}

/// What was changed, why it is refused, and by which rule: one of the profile `responses` if it has no dots.
#[rustfmt::skip]
pub(super) fn refused() -> Vec<(Ask, Reason, &'static str)> {
    let serial = || SerialNumber::new(&[2]).unwrap();
    let id = |id| second(|response| response.cert_id = id);
    let weak = Ask {
        key: "weak-ca",
        responder: ResponderId::Name(name("Weak CA")),
        responses: vec![SingleResponse { cert_id: CertId::sha256(&name("Weak CA"), &of("weak-ca"), serial()), ..good(1) }],
        ..ok()
    };
    let revoked = CertStatus::Revoked { at: time(NOW + 1), reason: Some(Cause::KeyCompromise) };
    vec![
        (Ask { responder: ResponderId::Name(name("Responder")), ..ok() }, Reason::ResponderMismatch, "built-in.responder"),
        (Ask { responder: by_key(&of("responder")), ..ok() }, Reason::ResponderMismatch, "built-in.responder"),
        (Ask { responder: ResponderId::Name(name("CA")), ..delegated() }, Reason::ResponderMismatch, "built-in.responder"),
        (Ask { responder: by_key(&of("ca")), ..delegated() }, Reason::ResponderMismatch, "built-in.responder"),
        (id(CertId::sha256(&name("Other"), &of("ca"), serial())), Reason::IssuerMismatch, "built-in.issuer"),
        (id(CertId::sha256(&name("CA"), &of("lists"), serial())), Reason::IssuerMismatch, "built-in.issuer"),
        (id(sha1_id(&name("Other"), &of("ca"))), Reason::IssuerMismatch, "built-in.issuer"),
        (id(sha1_id(&name("CA"), &of("lists"))), Reason::IssuerMismatch, "built-in.issuer"),
        (weak, Reason::SignerKeyUsageMissing, "built-in.signer_key_usage"),
        (Ask { now: NOW + 10 * DAY + 1, ..ok() }, Reason::SignerCertificateNotValid, "built-in.signer_validity"),
        (second(|response| response.this_update = time(NOW + 1)), Reason::StatusInFuture, "built-in.this_update"),
        (second(|response| { response.this_update = time(NOW - 1); response.next_update = Some(time(NOW)); }), Reason::NextUpdatePassed, "built-in.next_update"),
        (second(|response| response.status = revoked), Reason::RevokedInFuture, "built-in.revocation_times"),
        (second(|response| response.extensions = vec![unknown()]), Reason::ExtensionNotAllowed, "built-in.extensions"),
        (Ask { more: vec![ResponseExtension::Unknown(unknown())], ..ok() }, Reason::ExtensionNotAllowed, "built-in.extensions"),
        (Ask { responses: vec![good(1), good(2), good(3)], ..ok() }, Reason::ResponsesAboveLimit, "max_responses"),
        (Ask { more: delegated().more, ..ok() }, Reason::NonceNotAllowed, "nonce"),
        (Ask { produced: NOW - 61, responses: vec![SingleResponse { this_update: time(NOW - 61), ..good(1) }], ..ok() }, Reason::BackdatedTooFar, "backdating"),
        (Ask { produced: NOW + 61, ..ok() }, Reason::StartsTooLate, "start_within"),
        (second(|response| response.next_update = None), Reason::NextUpdateMissing, "max_next_update"),
        (second(|response| response.next_update = Some(time(NOW + DAY + 1))), Reason::NextUpdateTooLate, "max_next_update"),
    ]
}

#[test]
fn permits_what_a_profile_allows_exactly() {
    let authority = Authority::new();
    let revoked = CertStatus::Revoked { at: time(NOW), reason: Some(Cause::KeyCompromise) };
    let old = SingleResponse { this_update: time(NOW - 60), ..good(1) };
    let permitted = [
        (ok(), "ca"),
        (delegated(), "responder"),
        (Ask { responder: by_key(&of("ca")), ..ok() }, "ca"),
        (Ask { responder: by_key(&of("responder")), more: Vec::new(), ..delegated() }, "responder"),
        (second(|response| response.cert_id = sha1_id(&name("CA"), &of("ca"))), "ca"),
        (second(|response| response.status = revoked), "ca"),
        (second(|response| response.status = CertStatus::Unknown), "ca"),
        (Ask { produced: NOW - 60, responses: vec![old], ..ok() }, "ca"),
        (Ask { produced: NOW + 60, ..ok() }, "ca"),
    ];
    for (ask, key) in permitted {
        let rule = format!("key.{key}.allow.responses");
        assert_eq!(ask.decide(&authority).verdict().unwrap().rule(), rule);
    }
}

#[test]
fn each_rule_refuses_what_breaks_it_and_names_itself() {
    let authority = Authority::new();
    for (ask, reason, rule) in refused() {
        let rule =
            if rule.contains('.') { rule.to_owned() } else { format!("key.ca.allow.responses.{rule}") };
        let refusal = ask.decide(&authority).verdict().unwrap_err().clone();
        assert_eq!((refusal.reason, &refusal.rule), (reason, &rule), "{}", refusal.message);
        assert!(refusal.message.len() <= 2000 && !refusal.message.contains(char::is_control));
    }
}

#[test]
fn every_rule_has_a_request_that_it_refuses() {
    let tested: BTreeSet<&str> = refused().into_iter().map(|(.., rule)| rule).collect();
    for rule in rule_names::<ResponseData>("built-in.", "") {
        assert!(tested.contains(rule.as_str()), "no request is refused by {rule}");
    }
}

#[test]
fn a_response_by_a_key_for_lists_is_not_even_read() {
    let refusal = Ask { key: "lists", ..ok() }.decide(&Authority::new()).verdict().unwrap_err().clone();
    assert_eq!((refusal.reason, &*refusal.rule), (Reason::TbsKindNotAllowed, "built-in.tbs_kind"));
}

#[test]
fn the_ca_certifies_its_responder_again_and_no_other_key_of_this_signer() {
    let authority = Authority::new();
    let decide = |key: &str| {
        let validity = Validity { not_before: time(NOW), not_after: time(NOW + DAY) };
        let purposes = vec![Oid::from_contents(oids::OCSP_SIGNING).unwrap()];
        let tbs = CertificateBuilder::new(SignatureAlgorithm::Ed25519, name("CA"), validity, of(key))
            .subject(name("Responder"))
            .authority_key_id(key_id(&of("ca")))
            .key_usage(KeyUsage::DIGITAL_SIGNATURE)
            .ext_key_usage(purposes)
            .extension(Extension::non_critical(ExtensionValue::OcspNoCheck))
            .build()
            .unwrap();
        authority.decide(Authority::request("dns:front", "ca", &Tbs::X509(tbs), None), NOW)
    };
    assert_eq!(decide("responder").verdict().unwrap().rule(), "key.ca.allow.responders");
    for key in ["ca", "weak-ca", "lists"] {
        assert_eq!(decide(key).verdict().unwrap_err().reason, Reason::SubjectKeyIsCaKey, "{key}");
    }
}

#[test]
fn explanation_has_every_rule_and_passes_none_that_needs_a_certificate_without_it() {
    let authority = Authority::new();
    let request = Authority::request("dns:front", "responder", &Tbs::Ocsp(delegated().tbs()), None);
    let explained = authority.explain(&request, Knows::Everything);
    let rules: Vec<&str> = explained.steps.iter().map(|step| step.rule.as_str()).collect();
    let [rules @ .., _budget] = &*rules else { unreachable!("there are rules") };
    let all: Vec<String> =
        rule_names::<ResponseData>("built-in.", "key.responder.allow.responses.").collect();
    assert_eq!(rules[rules.len() - all.len()..], all);
    let steps = &explained.steps[..rules.len()];
    assert!(steps.iter().all(|step| step.answer == Answer::Pass && !step.saw.is_empty()));

    let offline = authority.explain(&request, Knows::NoCertificate);
    let rules = ["responder", "issuer", "signer_key_usage", "signer_validity"];
    assert_eq!(offline.not_checked()[..rules.len()], rules.map(|rule| format!("built-in.{rule}")));
    assert_eq!(offline.not_checked().len(), rules.len() + 1, "and the budget");
}
