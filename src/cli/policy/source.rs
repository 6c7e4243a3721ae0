//! What decided, as a place: a line of the configuration, a default, or a rule that no configuration sets.
//!
//! In: a configuration's file and a step of an [`Explanation`]. Out: the place, in words and as JSON.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use crate::config::lines::Lines;
use crate::policy::Reason;
use crate::policy::explain::{Answer, Explanation, Step};

/// The one refusal of a built-in rule that the configuration decides.
const BLOCKED: &str = Reason::SubjectKeyBlocked.code_word();

/// The lines of one configuration.
pub(super) struct Sources {
    file: PathBuf,
    lines: Lines,
}

/// What decided: lines of the file, or why it is in none.
pub(super) enum Source {
    Lines(Vec<usize>),
    Default,
    BuiltIn,
}

impl Sources {
    /// Those of a configuration that was read without a fault.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self { file: file.to_owned(), lines: Lines::of(&text) })
    }

    /// What decided the request: the profile that permits it, or the rule that refuses it.
    pub(super) fn deciding(&self, key: &str, explanation: &Explanation) -> Source {
        let steps = &explanation.steps;
        if let Err(refusal) = &explanation.verdict {
            let step = steps.iter().find(|step| step.rule == refusal.rule);
            return step.map_or(Source::BuiltIn, |step| self.of_step(key, explanation, step));
        }
        let profile = steps.last().and_then(|step| step.set_by.as_ref());
        let line = profile.and_then(|(name, _)| self.lines.get(&["key", key, "allow", name]));
        Source::of(line.into_iter(), Source::BuiltIn)
    }

    /// What decided one step.
    pub(super) fn of_step(&self, key: &str, explanation: &Explanation, step: &Step) -> Source {
        let line = |profile: &str, rule: &str| self.lines.get(&["key", key, "allow", profile, rule]);
        match &step.set_by {
            // Extensions with a value have a table of their own.
            Some((profile, rule @ "extensions")) => {
                let keys = [rule, "extension_values"].into_iter();
                Source::of(keys.filter_map(|rule| line(profile, rule)), Source::Default)
            }
            Some((profile, rule)) => Source::of(line(profile, rule).into_iter(), Source::Default),
            None if step.rule == "built-in.key_available" => {
                let profiles = explanation.profiles.iter();
                Source::of(profiles.filter_map(|profile| line(profile, "callers")), Source::BuiltIn)
            }
            None if matches!(step.answer, Answer::Refuse(reason, _) if reason == BLOCKED) => {
                Source::of(self.lines.get(&["blocklist"]).into_iter(), Source::BuiltIn)
            }
            None => Source::BuiltIn,
        }
    }

    /// Where a profile names its callers, in parentheses: ` (FILE:LINE)`.
    pub(super) fn callers(&self, key: &str, profile: &str) -> String {
        let line = self.lines.get(&["key", key, "allow", profile, "callers"]);
        line.map_or_else(String::new, |line| format!(" ({}:{line})", self.file.display()))
    }

    /// `FILE:LINE`, `default` or `built-in`.
    pub(super) fn words(&self, source: &Source) -> String {
        match source {
            Source::Lines(lines) => {
                let places = lines.iter().map(|line| format!("{}:{line}", self.file.display()));
                places.collect::<Vec<_>>().join(", ")
            }
            Source::Default => "default".to_owned(),
            Source::BuiltIn => "built-in".to_owned(),
        }
    }

    /// The fields `source`, and `file` and `lines` where it is in the file.
    pub(super) fn json(&self, source: &Source) -> Value {
        match source {
            Source::Lines(lines) => json!({ "source": "file", "file": self.file, "lines": lines }),
            Source::Default => json!({ "source": "default" }),
            Source::BuiltIn => json!({ "source": "built-in" }),
        }
    }
}

impl Source {
    fn of(lines: impl Iterator<Item = usize>, otherwise: Self) -> Self {
        let lines: Vec<usize> = lines.collect();
        if lines.is_empty() { otherwise } else { Self::Lines(lines) }
    }
}
