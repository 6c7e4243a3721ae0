//! An explanation as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Origin, Report};
use crate::cli::ledger::{hex, json_line, seconds};
use crate::cli::policy::source::Source;
use crate::ledger::Entry;
use crate::policy::explain::{Answer, Step};

/// A line for each rule, then the verdict.
pub(super) fn text(report: &Report) -> String {
    let (caller, key, at) = (&report.inquiry.caller, &report.inquiry.key, seconds(report.inquiry.at.0));
    let mut out = format!("{caller} asks for key {} at {at}\n", key.escape_debug());
    for step in &report.explanation.steps {
        let (word, message) = match &step.answer {
            Answer::Pass => ("pass", String::new()),
            Answer::Refuse(reason, message) => ("refuse", format!("          {reason}: {message}\n")),
            Answer::NotChecked(why) => ("not checked offline", format!("          {why}\n")),
        };
        let source = report.sources.words(&report.source(step));
        // Writing to a String never fails.
        let _ = write!(out, "  {word:<7} {} ({source}): {}\n{message}", step.rule, step.saw);
    }
    out + &verdict(report) + &recorded(report)
}

fn verdict(report: &Report) -> String {
    let source = report.sources.words(&report.deciding());
    let not_checked = report.explanation.not_checked().join(" and ");
    match &report.explanation.verdict {
        Ok(rule) if not_checked.is_empty() => format!("permitted by {rule} ({source})\n"),
        Ok(rule) => {
            format!("permitted by {rule} ({source}), if what was not checked offline holds: {not_checked}\n")
        }
        Err(refusal) => {
            format!("refused by {} ({source}): {}\n", refusal.rule, refusal.reason.code_word())
        }
    }
}

/// What the ledger says about the same request.
fn recorded(report: &Report) -> String {
    let Origin::Entry(index, entry) = &report.inquiry.origin else { return String::new() };
    let (said, policy) = match entry.as_ref() {
        Entry::Intent { rule, policy, .. } => (format!("permitted by {}", rule.escape_debug()), policy),
        Entry::Refusal { rule, reason, policy, .. } => {
            (format!("refused by {}: {}", rule.escape_debug(), reason.escape_debug()), policy)
        }
        Entry::Outcome { .. }
        | Entry::SelfTest { .. }
        | Entry::Refusals { .. }
        | Entry::Freeze { .. }
        | Entry::Thaw { .. }
        | Entry::Revocation { .. }
        | Entry::KeyRecord { .. }
        | Entry::KeyDeletion { .. }
        | Entry::KeyWrapping { .. }
        | Entry::Rotation { .. }
        | Entry::Ceremony { .. }
        | Entry::Checkpoint { .. } => return String::new(),
    };
    let policy = if *policy == report.policy_digest { "this policy" } else { "another policy than this" };
    format!("entry {index} was {said}, under {policy}\n")
}

/// One object; docs/policy.md lists its fields.
pub(super) fn json(report: &Report) -> Value {
    let (inquiry, verdict) = (&report.inquiry, &report.explanation.verdict);
    let mut object = json!({
        "caller": inquiry.caller.as_str(),
        "key": inquiry.key,
        "time": seconds(inquiry.at.0),
        "policy_sha256": hex(&report.policy_digest),
        "steps": report.explanation.steps.iter().map(|step| step_json(report, step)).collect::<Vec<_>>(),
        "verdict": if verdict.is_ok() { "permit" } else { "refuse" },
        "rule": verdict.as_ref().unwrap_or_else(|refusal| &refusal.rule),
        "not_checked": report.explanation.not_checked(),
    });
    add(&mut object, report.sources.json(&report.deciding()));
    if let Err(refusal) = verdict {
        add(&mut object, json!({ "reason": refusal.reason.code_word(), "message": refusal.message }));
    }
    if let Origin::Entry(index, entry) = &inquiry.origin {
        add(&mut object, json!({ "entry": json_line(*index, entry) }));
    }
    object
}

fn step_json(report: &Report, step: &Step) -> Value {
    let mut object = json!({ "rule": step.rule, "saw": step.saw });
    add(&mut object, report.sources.json(&report.source(step)));
    let answer = match &step.answer {
        Answer::Pass => json!({ "answer": "pass" }),
        Answer::Refuse(reason, message) => {
            json!({ "answer": "refuse", "reason": reason, "message": message })
        }
        Answer::NotChecked(why) => json!({ "answer": "not-checked", "message": why }),
    };
    add(&mut object, answer);
    object
}

fn add(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

impl Report {
    /// What decided a step.
    fn source(&self, step: &Step) -> Source {
        self.sources.of_step(&self.inquiry.key, &self.explanation, step)
    }

    /// What decided the request.
    fn deciding(&self) -> Source {
        self.sources.deciding(&self.inquiry.key, &self.explanation)
    }
}
