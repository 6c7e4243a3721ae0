//! CRLs: one request per rule, the permitted one changed in one place.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use countersign_tbs::crl::{
    CrlBuilder, CrlExtension, CrlExtensionValue, CrlNumber, EntryExtension, IssuingDistributionPoint,
    Reason as Cause, RevokedEntry, Scope, TbsCertList, Updates,
};
use countersign_tbs::der::Oid;
use countersign_tbs::x509::{GeneralName, KeyId, Name, SerialNumber, SignatureAlgorithm};

use super::*;
use crate::policy::crl::MAX_LEN;
use crate::policy::explain::Answer;
use crate::policy::fixture::{Authority, DAY, Knows, key_id, name, public_key as of, time};

/// What a caller asks for. The default is permitted: each test changes what it is about.
#[derive(Clone)]
pub(super) struct Ask {
    caller: &'static str,
    key: &'static str,
    now: u64,
    algorithm: SignatureAlgorithm,
    issuer: Name,
    authority: KeyId,
    this: u64,
    next: u64,
    base: Option<u64>,
    point: Option<IssuingDistributionPoint>,
    entries: Vec<RevokedEntry>,
    more: Vec<(&'static str, Vec<u8>)>,
}

fn ok() -> Ask {
    let mut revoked = entry(1);
    revoked.extensions =
        vec![EntryExtension::Reason(Cause::KeyCompromise), EntryExtension::InvalidityDate(time(5))];
    Ask {
        caller: "dns:front",
        key: "ca",
        now: NOW,
        algorithm: SignatureAlgorithm::Ed25519,
        issuer: name("CA"),
        authority: key_id(&of("ca")),
        this: NOW,
        next: NOW + 7 * DAY,
        base: None,
        point: point(Scope::All, &["http://crl.example.org/ca.crl"]),
        entries: vec![revoked, entry(2)],
        more: vec![("1.3.6.1.4.1.99999.1", vec![5, 0])],
    }
}

/// What `dns:delta` may have.
fn delta() -> Ask {
    Ask { caller: "dns:delta", base: Some(6), next: NOW + DAY, ..plain() }
}

/// Without extensions that only one profile lists.
fn plain() -> Ask {
    Ask { point: None, more: Vec::new(), ..ok() }
}

fn entry(serial: u32) -> RevokedEntry {
    let serial = SerialNumber::new(&(serial + (1 << 16)).to_be_bytes()).unwrap();
    RevokedEntry::new(serial, time(NOW))
}

#[expect(clippy::unnecessary_wraps, reason = "as a list has it")]
fn point(scope: Scope, urls: &[&str]) -> Option<IssuingDistributionPoint> {
    let full_name = urls.iter().map(|url| GeneralName::Uri((*url).to_owned())).collect();
    Some(IssuingDistributionPoint { full_name, scope })
}

impl Ask {
    fn tbs(&self) -> TbsCertList {
        let updates = Updates { this: time(self.this), next: time(self.next) };
        let mut builder = CrlBuilder::new(self.algorithm, self.issuer.clone(), updates)
            .authority_key_id(self.authority.clone())
            .number(CrlNumber::from(7));
        if let Some(base) = self.base {
            builder = builder.delta_base(base.into());
        }
        if let Some(point) = &self.point {
            builder = builder.issuing_distribution_point(point.clone());
        }
        for (oid, value) in &self.more {
            let value =
                CrlExtensionValue::Unknown { oid: Oid::from_dotted(oid).unwrap(), value: value.clone() };
            builder = builder.extension(CrlExtension { critical: false, value });
        }
        self.entries.iter().fold(builder, CrlBuilder::entry).build().unwrap()
    }

    fn decide(&self, authority: &Authority) -> Decision {
        authority.decide(Authority::request(self.caller, self.key, &Tbs::Crl(self.tbs()), None), self.now)
    }
}

/// What was changed, why it is refused, and by which rule: one of the profile `lists` if it has no dots.
#[rustfmt::skip]
pub(super) fn refused() -> Vec<(Ask, Reason, &'static str)> {
    let mut late = entry(3);
    late.revoked = time(NOW + 1);
    let mut held = entry(3);
    held.extensions = vec![EntryExtension::Unknown { oid: Oid::from_dotted("2.5.29.23").unwrap(), value: vec![6, 2, 0x2a, 3] }];
    let stray = Ask { key: "stray-lists", issuer: name("Stray CA"), authority: key_id(&of("stray-lists")), ..plain() };
    let weak = Ask { key: "weak-ca", issuer: name("Weak CA"), authority: key_id(&of("weak-ca")), ..plain() };
    vec![
        (Ask { entries: (0..MAX_LEN / 20).map(|serial| entry(serial.try_into().unwrap())).collect(), ..ok() }, Reason::ListTooLong, "built-in.list_length"),
        (Ask { issuer: name("Weak CA"), ..ok() }, Reason::IssuerMismatch, "built-in.issuer"),
        (stray, Reason::CertificateAwaited, "built-in.listed_ca"),
        (Ask { authority: key_id(&of("lists")), ..ok() }, Reason::AuthorityKeyIdMismatch, "built-in.authority_key_id"),
        (Ask { key: "lists", ..plain() }, Reason::AuthorityKeyIdMismatch, "built-in.authority_key_id"),
        (Ask { algorithm: SignatureAlgorithm::EcdsaSha256, ..ok() }, Reason::SignatureAlgorithmMismatch, "built-in.signature_algorithm"),
        (weak, Reason::SignerKeyUsageMissing, "built-in.signer_key_usage"),
        (Ask { now: NOW + 10 * DAY + 1, ..ok() }, Reason::SignerCertificateNotValid, "built-in.signer_validity"),
        (Ask { now: NOW - 10 * DAY - 1, ..ok() }, Reason::SignerCertificateNotValid, "built-in.signer_validity"),
        (Ask { this: NOW - 1, next: NOW, ..ok() }, Reason::NextUpdatePassed, "built-in.next_update"),
        (Ask { next: NOW + 10 * DAY + 1, ..ok() }, Reason::OutlivesIssuer, "built-in.next_update"),
        (Ask { base: Some(7), ..delta() }, Reason::DeltaBaseNotOlder, "built-in.delta_base"),
        (Ask { base: Some(256), ..delta() }, Reason::DeltaBaseNotOlder, "built-in.delta_base"),
        (Ask { entries: vec![entry(1), late], ..ok() }, Reason::RevokedInFuture, "built-in.revocation_times"),
        (Ask { entries: vec![entry(1), held], ..ok() }, Reason::ExtensionNotAllowed, "built-in.entry_extensions"),
        (Ask { base: Some(6), ..ok() }, Reason::DeltaNotAllowed, "delta"),
        (Ask { point: point(Scope::UserCertificates, &[]), ..ok() }, Reason::ScopeNotAllowed, "scopes"),
        (Ask { point: point(Scope::CaCertificates, &[]), ..delta() }, Reason::ScopeNotAllowed, "key.ca.allow.delta.scopes"),
        (Ask { point: point(Scope::All, &["http://crl.example.org/other.crl"]), ..ok() }, Reason::UrlNotAllowed, "crl_urls"),
        (Ask { point: point(Scope::All, &["http://crl.example.org/ca.crl"]), ..delta() }, Reason::UrlNotAllowed, "key.ca.allow.delta.crl_urls"),
        (Ask { entries: (0..4).map(entry).collect(), ..ok() }, Reason::EntriesAboveLimit, "max_entries"),
        (Ask { more: vec![("1.3.6.1.4.1.99999.2", vec![5, 0])], ..ok() }, Reason::ExtensionNotAllowed, "extension_values"),
        (Ask { more: vec![("1.3.6.1.4.1.99999.1", vec![1, 1, 0])], ..ok() }, Reason::ExtensionValueNotAllowed, "extension_values"),
        (Ask { this: NOW - 61, entries: Vec::new(), ..ok() }, Reason::BackdatedTooFar, "backdating"),
        (Ask { this: NOW + 61, ..ok() }, Reason::StartsTooLate, "start_within"),
        (Ask { next: NOW + 7 * DAY + 1, ..ok() }, Reason::NextUpdateTooLate, "max_next_update"),
    ]
}

#[test]
fn permits_what_a_profile_allows_exactly() {
    let authority = Authority::new();
    let permitted = [
        (ok(), "key.ca.allow.lists"),
        (Ask { entries: (0..3).map(entry).collect(), ..ok() }, "key.ca.allow.lists"),
        (Ask { entries: Vec::new(), ..plain() }, "key.ca.allow.lists"),
        (Ask { this: NOW - 60, entries: Vec::new(), ..ok() }, "key.ca.allow.lists"),
        (Ask { this: NOW + 60, next: NOW + 60 + 7 * DAY, ..ok() }, "key.ca.allow.lists"),
        (delta(), "key.ca.allow.delta"),
        (Ask { point: point(Scope::UserCertificates, &[]), ..delta() }, "key.ca.allow.delta"),
        (Ask { key: "lists", authority: key_id(&of("lists")), ..plain() }, "key.lists.allow.lists"),
    ];
    for (ask, profile) in permitted {
        assert_eq!(ask.decide(&authority).verdict().unwrap().rule(), profile);
    }
}

#[test]
fn each_rule_refuses_what_breaks_it_and_names_itself() {
    let authority = Authority::new();
    for (ask, reason, rule) in refused() {
        let rule = if rule.contains('.') { rule.to_owned() } else { format!("key.ca.allow.lists.{rule}") };
        let refusal = ask.decide(&authority).verdict().unwrap_err().clone();
        assert_eq!((refusal.reason, &refusal.rule), (reason, &rule), "{}", refusal.message);
        assert!(refusal.message.len() <= 2000 && !refusal.message.contains(char::is_control));
    }
}

#[test]
fn every_rule_has_a_request_that_it_refuses() {
    let tested: BTreeSet<&str> = refused().into_iter().map(|(.., rule)| rule).collect();
    for rule in rule_names::<TbsCertList>("built-in.", "") {
        assert!(tested.contains(rule.as_str()), "no request is refused by {rule}");
    }
}

#[test]
fn a_list_by_a_key_for_responses_is_not_even_read() {
    let ask = Ask { key: "responder", ..plain() };
    let refusal = ask.decide(&Authority::new()).verdict().unwrap_err().clone();
    assert_eq!((refusal.reason, &*refusal.rule), (Reason::TbsKindNotAllowed, "built-in.tbs_kind"));
}

/// No one profile is more to blame than the others.
#[test]
fn where_no_profile_is_for_lists_the_refusal_names_them_all() {
    let authority = Authority::new();
    let request = Authority::request("dns:delta", "ca", &crate::policy::fixture::response("CA"), None);
    let refusal = authority.decide(request, NOW).verdict().unwrap_err().clone();
    let wanted = "no profile of ca for dns:delta signs ocsp-response (delta: x509-crl); have one added with signs = \"ocsp-response\"";
    assert_eq!((refusal.reason, &*refusal.message), (Reason::TbsKindNotAllowed, wanted));
    assert_eq!(refusal.rule, "key.ca.allow.delta.signs");
}

#[test]
fn only_callers_of_a_profile_for_lists_may_send_long_requests() {
    let authority = Authority::new();
    let may = |policy: &Policy, caller| policy.may_have_crls(&Caller::for_test(caller));
    assert!(may(&authority.config.policy, "dns:front") && may(&authority.config.policy, "dns:delta"));
    assert!(!may(&authority.config.policy, "dns:nobody") && !may(&policy(), "dns:staff"));
}

#[test]
fn explanation_has_every_rule_and_passes_none_that_needs_a_certificate_without_it() {
    let authority = Authority::new();
    let request = Authority::request("dns:front", "ca", &Tbs::Crl(ok().tbs()), None);
    let explained = authority.explain(&request, Knows::Everything);
    let rules: Vec<&str> = explained.steps.iter().map(|step| step.rule.as_str()).collect();
    let [
        rules @ ..,
        "key.ca.allow.lists.max_first_number",
        "key.ca.allow.lists.number_step",
        "key.ca.allow.lists.budget",
    ] = &*rules
    else {
        panic!("what the ledger knows comes last: {rules:?}")
    };
    let all: Vec<String> = rule_names::<TbsCertList>("built-in.", "key.ca.allow.lists.").collect();
    assert_eq!(rules[rules.len() - all.len()..], all);
    let steps = &explained.steps[..rules.len()];
    assert!(steps.iter().all(|step| step.answer == Answer::Pass && !step.saw.is_empty()));

    let offline = authority.explain(&request, Knows::NoCertificate);
    let rules =
        ["issuer", "listed_ca", "authority_key_id", "signer_key_usage", "signer_validity", "next_update"];
    assert_eq!(offline.not_checked()[..rules.len()], rules.map(|rule| format!("built-in.{rule}")));
    assert_eq!(offline.not_checked().len(), rules.len() + 3, "and what the ledger knows");
    assert_eq!(offline.without_ledger().not_checked().len(), rules.len());
}

#[test]
fn a_key_for_lists_of_no_ca_is_a_fault_at_start() {
    let mut authority = Authority::new();
    let faults = authority.certified().unwrap_err();
    let said: Vec<_> = faults.iter().map(|fault| (fault.at.as_str(), fault.cause.as_str())).collect();
    let [("key.stray-lists.certificate", cause)] = *said else { panic!("{said:?}") };
    assert!(
        cause.starts_with("is for CN=Stray CA, and no x509-ca key here is certified for that name"),
        "{cause}"
    );
    authority.rename("stray-lists", name("weak  CA"));
    authority.certified().unwrap();
}
