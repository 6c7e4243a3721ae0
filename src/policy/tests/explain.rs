//! That an explanation says what the decision says, and never passes what nobody could know.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::rules::refused;
use super::*;
use crate::caller::CallerName;
use crate::policy::ask::{CaKeys, Offline, Question, Unwatched};
use crate::policy::explain::{Answer, Explanation};

fn with_question<T>(wish: &Wish, ca_keys: CaKeys<'_>, ask: impl FnOnce(&Question<'_>) -> T) -> T {
    let (caller, tbs, instant) = (CallerName::parse(wish.caller).unwrap(), wish.tbs(), Instant::now());
    ask(&Question {
        caller: &caller,
        key: wish.key,
        kind: wish.kind,
        deadline: wish.deadline.map(|after| instant + after),
        tbs: Ok(&tbs),
        now: Clock { unix: UnixTime(NOW), instant: instant + Duration::from_secs(60) },
        ca_keys,
    })
}

/// What is left of it no explanation knows.
const BUDGET: &str = "key.user-ca.allow.staff.budget";

fn explain(wish: &Wish, ca_keys: CaKeys<'_>) -> Explanation {
    with_question(wish, ca_keys, |question| policy().explain(question))
}

fn configured(fingerprint: Option<&PublicKey>) -> Vec<crate::key::Config> {
    let mut keys = Config::parse(Path::new("cs.toml"), CONFIG).unwrap().keys;
    for key in &mut keys {
        key.fingerprint = fingerprint.map(PublicKey::fingerprint);
    }
    keys
}

fn offline(keys: &[crate::key::Config]) -> Offline<'_> {
    static NONE: BTreeMap<KeyName, KeyCertificate> = BTreeMap::new();
    Offline { keys, certificates: &NONE }
}

#[test]
fn explanation_says_what_the_decision_says() {
    let keys = keys();
    for (wish, ..) in refused() {
        let refusal = wish.refused_for();
        let explanation = explain(&wish, CaKeys::Pinned(&keys));
        assert_eq!(explanation.verdict.as_ref().unwrap_err(), &refusal);
        let step = explanation.steps.iter().find(|step| step.rule == refusal.rule).unwrap();
        assert_eq!(step.answer, Answer::Refuse(refusal.reason.code_word(), refusal.message));
    }
    let explanation = explain(&Wish::of_many("bob", HOUR), CaKeys::Pinned(&keys));
    assert_eq!(explanation.verdict.unwrap(), "key.user-ca.allow.m2-bob");
    assert_eq!(explanation.profiles, ["m1-short", "m2-bob", "m3-short"]);
}

#[test]
fn explanation_has_every_rule_in_its_order() {
    let explanation = explain(&Wish::default(), CaKeys::Pinned(&keys()));
    let first = ["key_available", "deadline", "tbs_kind"].map(|name| format!("built-in.{name}"));
    let all: Vec<String> = first
        .into_iter()
        .chain(["tbs".to_owned()])
        .chain(rule_names::<ssh::CertificateTbs>("built-in.", "key.user-ca.allow.staff."))
        .chain([BUDGET.to_owned()])
        .collect();
    assert_eq!(explanation.steps.iter().map(|step| step.rule.clone()).collect::<Vec<_>>(), all);
    let (budget, asked) = explanation.steps.split_last().unwrap();
    assert!(asked.iter().all(|step| step.answer == Answer::Pass && !step.saw.is_empty()));
    assert!(matches!(budget.answer, Answer::NotChecked(_)), "only the ledger knows what is left");
    assert_eq!(budget.saw, "500/1h, 500 at once");
}

#[test]
fn what_only_a_token_knows_is_not_passed() {
    let wish = Wish::default();
    let unknown = explain(&wish, CaKeys::Configured(offline(&configured(None))));
    assert_eq!(unknown.not_checked(), ["built-in.ca_key", "built-in.subject_key", BUDGET]);
    let known = configured(Some(&USER_CA));
    assert_eq!(explain(&wish, CaKeys::Configured(offline(&known))).not_checked(), [BUDGET]);
    assert_eq!(explain(&wish, CaKeys::Assumed(offline(&known))).not_checked(), ["built-in.ca_key", BUDGET]);
    let other = explain(&wish, CaKeys::Configured(offline(&configured(Some(&HOST_CA))))).verdict.unwrap_err();
    assert_eq!(other.reason, Reason::CaKeyMismatch);
    let subject = Wish { subject: SubjectKey::Plain(USER_CA), ..Wish::default() };
    let itself = explain(&subject, CaKeys::Configured(offline(&known))).verdict.unwrap_err();
    assert_eq!(itself.reason, Reason::SubjectKeyIsCaKey);
}

#[test]
fn decision_refuses_what_a_rule_cannot_know() {
    for keys in [configured(None), configured(Some(&USER_CA))] {
        let asked = with_question(&Wish::default(), CaKeys::Assumed(offline(&keys)), |question| {
            policy().ask(question, &mut Unwatched).err()
        });
        assert_eq!(asked.unwrap().reason, Reason::KeyNotAvailable);
    }
}
