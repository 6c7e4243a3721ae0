//! The script of a ceremony: a TOML file, parsed into checked types.
//!
//! In: a file. Out: a [`Script`], or every fault at once. Nothing here looks at tokens or at other files: `plan.rs` does.

use std::collections::BTreeSet;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use countersign_tbs::ssh::SubjectKey;
use serde::Deserialize;

use super::action::Action;
use crate::config::Fault;
use crate::key::KeyName;
use crate::ledger::entry::MAX_MESSAGE;
use crate::token::pkcs11::key::hex;

/// So many operators have a part in a ceremony at most.
const MAX_OPERATORS: usize = 32;
/// The longest script, in bytes.
const MAX_LEN: usize = 1024 * 1024;

/// What is to be done, by whom.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) title: String,
    /// How many operators must be there.
    pub(super) threshold: usize,
    pub(super) operators: Vec<Operator>,
    pub(super) steps: Vec<Step>,
    pub(super) signer: Signer,
    /// The configuration of the signer whose ledger gets the transcript's digest.
    pub(super) record_in: Option<String>,
    /// The file's SHA-256 in hexadecimal.
    pub(super) sha256: String,
}

/// Somebody who may be there.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) name: String,
    pub(super) key: SubjectKey,
}

/// One step.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// What people read before they confirm it.
    pub(super) text: String,
    pub(super) work: Work,
}

/// What is done in a step.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// By people, who say when it is done.
    ByHand,
    /// By people, who type what the transcript is to have.
    WriteDown(String),
    /// By this program.
    Command { action: Box<Action>, config: String },
}

/// Which signer steps that need one ask.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Signer {
    /// One that the ceremony starts for each of them, and stops after.
    #[default]
    Start,
    /// The one that runs on this host.
    Running,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    title: String,
    threshold: usize,
    config: Option<String>,
    #[serde(default)]
    signer: Signer,
    record_in: Option<String>,
    operator: Vec<RawOperator>,
    step: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOperator {
    name: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    text: String,
    write_down: Option<String>,
    #[serde(rename = "do")]
    action: Option<Box<Action>>,
    config: Option<String>,
}

impl Script {
    /// Reads the content of `file`.
    ///
    /// # Errors
    /// Every fault, each with where it is.
    pub(super) fn parse(file: &Path, content: &[u8]) -> Result<Self, Vec<Fault>> {
        let fault =
            |at: &str, message: String| Fault { file: Some(file.to_owned()), ..Fault::new(at, message) };
        let text = str::from_utf8(content).ok().filter(|text| text.len() <= MAX_LEN);
        let text =
            text.ok_or_else(|| vec![fault("", format!("should be UTF-8 of at most {MAX_LEN} bytes"))])?;
        let raw: Raw = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map(|before| 1 + before.matches('\n').count());
            vec![Fault { line, ..fault("", error.message().to_owned()) }]
        })?;
        let mut faults = Faults { found: Vec::new() };
        let script = faults.script(raw, hex(digest(&SHA256, content).as_ref()));
        let found: Vec<_> = faults.found.into_iter().map(|(at, message)| fault(&at, message)).collect();
        if found.is_empty() { Ok(script) } else { Err(found) }
    }
}

/// What is wrong, and where.
struct Faults {
    found: Vec<(String, String)>,
}

impl Faults {
    fn unless(&mut self, is_right: bool, at: &str, message: impl Into<String>) {
        if !is_right {
            self.found.push((at.to_owned(), message.into()));
        }
    }

    fn script(&mut self, raw: Raw, sha256: String) -> Script {
        let Raw { title, threshold, config, signer, record_in, operator, step } = raw;
        self.unless(is_line(&title), "title", "should be one line that says what the ceremony is for");
        let operators = self.operators(operator);
        let count = operators.len();
        self.unless(
            (1..=count).contains(&threshold),
            "threshold",
            format!("should be how many of the {count} operators must be there, 1 to {count}"),
        );
        self.unless(!step.is_empty(), "step", "a ceremony has at least one");
        let numbered = step.into_iter().enumerate();
        let steps = numbered.map(|(at, step)| self.step(at + 1, step, config.as_deref())).collect();
        Script { title, threshold, operators, steps, signer, record_in, sha256 }
    }

    fn operators(&mut self, raw: Vec<RawOperator>) -> Vec<Operator> {
        self.unless(
            (1..=MAX_OPERATORS).contains(&raw.len()),
            "operator",
            format!("should be 1 to {MAX_OPERATORS} sections"),
        );
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        let mut operators = Vec::new();
        for RawOperator { name, key } in raw {
            let at = format!("operator {name:?}");
            let is_name = KeyName::new(&name).is_ok();
            self.unless(is_name, &at, "`name` should be 1 to 64 of a-z 0-9 . _ -, a letter or digit first");
            self.unless(names.insert(name.clone()), &at, "is there twice");
            match SubjectKey::from_openssh_line(&key) {
                Ok(key) => {
                    self.unless(
                        keys.insert(key.fingerprint()),
                        &at,
                        "`key` is another operator's, too: nobody counts twice",
                    );
                    operators.push(Operator { name, key });
                }
                Err(error) => self.unless(false, &at, format!("`key` is no line of a .pub file: {error}")),
            }
        }
        operators
    }

    fn step(&mut self, number: usize, raw: RawStep, default: Option<&str>) -> Step {
        let RawStep { text, write_down, action, config } = raw;
        let at = step_name(number);
        self.unless(
            !text.trim().is_empty() && !text.contains(|letter: char| letter.is_control() && letter != '\n'),
            &at,
            "`text` should say what is done, to those who confirm it",
        );
        self.unless(action.is_some() || config.is_none(), &at, "`config` is for steps with `do`");
        let work = match (action, write_down) {
            (None, None) => Work::ByHand,
            (None, Some(what)) => {
                self.unless(is_line(&what), &at, "`write_down` should be one line that says what to type");
                Work::WriteDown(what)
            }
            (Some(_), Some(_)) => {
                self.unless(false, &at, "has both `do` and `write_down`: make two steps of it");
                Work::ByHand
            }
            (Some(action), None) => {
                let config = config.as_deref().or(default);
                self.unless(
                    config.is_some(),
                    &at,
                    "names no `config`, and the script has none for all steps",
                );
                let config = config.unwrap_or_default().to_owned();
                Work::Command { action, config }
            }
        };
        Step { text, work }
    }
}

impl Step {
    /// The command of this program, if it is one.
    pub(super) fn arguments(&self) -> Option<Vec<String>> {
        match &self.work {
            Work::Command { action, config } => Some(action.arguments(config)),
            Work::ByHand | Work::WriteDown(_) => None,
        }
    }
}

/// A step in messages.
pub(super) fn step_name(number: usize) -> String {
    format!("step {number}")
}

/// Whether it is one line that says something, and not too much.
pub(super) fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_MESSAGE && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests;
