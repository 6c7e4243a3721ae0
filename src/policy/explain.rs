//! Explains a decision: which rules were asked, what each saw, what it said.
//!
//! In: a [`Question`]. Out: an [`Explanation`]. Promised: it is the walk that decides requests, so that it cannot say
//! otherwise; what nobody can know without a token is `NotChecked`, never `Pass`. It is no permit: nothing can be signed with it.

use crate::policy::ask::{Granted, IfUnknown, Observer, Place, Question};
use crate::policy::crl::Numbering;
use crate::policy::profile::{Bounds, Profile};
use crate::policy::{Objection, Policy, Refusal, Verdict};

/// How a request was, or would be, decided.
#[derive(Clone, Debug)]
pub(crate) struct Explanation {
    /// The rules that were asked, in order.
    pub(crate) steps: Vec<Step>,
    /// The profile that permits, or the refusal.
    pub(crate) verdict: Result<String, Refusal>,
    /// The names of the profiles of the key that name the caller.
    pub(crate) profiles: Vec<String>,
}

/// One rule that was asked.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Its name in refusals: `key.user-ca.allow.staff.principals`.
    pub(crate) rule: String,
    /// The profile that it is of, if it is not built in, and the key of the configuration that sets it.
    pub(crate) set_by: Option<(String, &'static str)>,
    /// What it looked at.
    pub(crate) saw: String,
    /// What it said.
    pub(crate) answer: Answer,
}

/// What a rule said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Pass,
    /// The refusal's word and line.
    Refuse(&'static str, String),
    /// Only a running signer knows; why.
    NotChecked(String),
}

impl Policy {
    /// Decides `asked` as [`Self::decide`] does, and tells how.
    pub(crate) fn explain(&self, asked: &Question<'_>) -> Explanation {
        let mut trace = Trace(Vec::new());
        let verdict = self.ask(asked, &mut trace).map(|Granted { profile, .. }| {
            trace.0.extend(numbering(profile).into_iter().flatten());
            trace.0.push(budget(profile));
            profile.path.clone()
        });
        let name = crate::key::KeyName::new(asked.key);
        let profiles = name.iter().flat_map(|key| self.profiles(asked.caller, key));
        let profiles = profiles.map(|profile| profile.name.clone()).collect();
        Explanation { steps: trace.0, verdict, profiles }
    }
}

impl Explanation {
    /// Says more of a refusal than its rule does, in the verdict and in the step.
    pub(crate) fn tell_refusal(&mut self, message: &str) {
        let Err(refusal) = &mut self.verdict else { return };
        message.clone_into(&mut refusal.message);
        let step = self.steps.iter_mut().find(|step| step.rule == refusal.rule);
        if let Some(Step { answer: Answer::Refuse(_, said), .. }) = step {
            message.clone_into(said);
        }
    }

    /// What policy alone says: without what is for the ledger to say.
    pub(crate) fn without_ledger(mut self) -> Self {
        self.steps.retain(|step| !matches!(step.set_by, Some((_, MAX_FIRST_NUMBER | NUMBER_STEP | BUDGET))));
        self
    }

    /// The rules that only a running signer can check.
    pub(crate) fn not_checked(&self) -> Vec<&str> {
        let open = self.steps.iter().filter(|step| matches!(step.answer, Answer::NotChecked(_)));
        open.map(|step| step.rule.as_str()).collect()
    }
}

const MAX_FIRST_NUMBER: &str = "max_first_number";
const NUMBER_STEP: &str = "number_step";
const BUDGET: &str = "budget";

/// What the ledger asks about a list that policy permits: nobody else knows the newest number.
fn numbering(profile: &Profile) -> Option<[Step; 2]> {
    matches!(profile.bounds, Bounds::Crl(_)).then(|| {
        let Numbering { step, max_first } = profile.numbering();
        let why = "only the signer's ledger knows the newest number";
        [
            of_ledger(profile, MAX_FIRST_NUMBER, format!("{max_first} if it is the key's first"), why),
            of_ledger(profile, NUMBER_STEP, format!("{step} above the newest number"), why),
        ]
    })
}

/// What the ledger asks about a request that policy permits: nobody else knows what is left.
fn budget(profile: &Profile) -> Step {
    let saw = profile.budget.to_string();
    of_ledger(profile, BUDGET, saw, "only the signer's ledger knows how much of it is left")
}

fn of_ledger(profile: &Profile, name: &'static str, saw: String, why: &str) -> Step {
    Step {
        rule: Place::Profile(profile, name).to_string(),
        set_by: Some((profile.name.clone(), name)),
        saw,
        answer: Answer::NotChecked(why.to_owned()),
    }
}

/// Keeps what every rule said, and goes on where one could not know.
struct Trace(Vec<Step>);

impl Observer for Trace {
    fn note(&mut self, place: Place<'_>, saw: impl FnOnce() -> String, said: &Verdict) -> IfUnknown {
        let answer = match said {
            Ok(()) => Answer::Pass,
            Err(Objection::No { reason, message }) => Answer::Refuse(reason.code_word(), message.clone()),
            Err(Objection::Unknown(why)) => Answer::NotChecked(why.clone()),
        };
        let set_by = match place {
            Place::Tbs | Place::BuiltIn(_) => None,
            Place::Profile(profile, name) => Some((profile.name.clone(), name)),
        };
        self.0.push(Step { rule: place.to_string(), set_by, saw: saw(), answer });
        IfUnknown::GoOn
    }
}
