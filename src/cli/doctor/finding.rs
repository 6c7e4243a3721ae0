//! One thing that was looked at, and what is to be done about it.

use std::fmt;

use serde_json::{Value, json};

use crate::config::Fault;

/// How it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Level {
    /// As it should be.
    Well,
    /// It serves, and should not stay so.
    Warning,
    /// `serve` does not start, or what it signs is of no use.
    Fault,
}

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What was looked at, by its place in the configuration: `token.soft.pin_file`.
    pub(super) what: String,
    /// How it is, and why if it should not be so.
    cause: String,
    /// What to do.
    fix: Option<String>,
}

impl Finding {
    pub(super) fn well(what: impl Into<String>, said: String) -> Self {
        Self { level: Level::Well, what: what.into(), cause: said, fix: None }
    }

    pub(super) fn warning(what: impl Into<String>, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Warning, what: what.into(), cause: cause.into(), fix: Some(fix.into()) }
    }

    pub(super) fn fault(what: impl Into<String>, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fault, ..Self::warning(what, cause, fix) }
    }

    /// A fault of a message that says what is wrong, and after a semicolon what to do.
    pub(super) fn told(what: impl Into<String>, message: &str) -> Self {
        Self::of_fault(&Fault::new(what, message))
    }

    pub(super) fn of_fault(fault: &Fault) -> Self {
        let what = if fault.at.is_empty() { "config" } else { &fault.at }.to_owned();
        let place = fault.file.as_ref().map(|file| {
            let line = fault.line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{}{line}", file.display())
        });
        // What is wrong in a line of the file its manual can tell; of anything else there is nothing to add.
        let manual = || {
            fault.line?;
            Some(format!(
                "correct it in {}: countersign.example.toml says what may be there",
                place.as_ref()?
            ))
        };
        let fix = fault.fix.clone().or_else(manual);
        let cause =
            place.as_ref().map_or_else(|| fault.cause.clone(), |place| format!("{} ({place})", fault.cause));
        Self { level: Level::Fault, what, cause, fix }
    }

    pub(super) fn to_json(&self) -> Value {
        let level = match self.level {
            Level::Well => "well",
            Level::Warning => "warning",
            Level::Fault => "fault",
        };
        json!({ "level": level, "what": self.what, "cause": self.cause, "fix": self.fix })
    }
}

/// One line, and one more with what to do.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Well => "well",
            Level::Warning => "WARNING",
            Level::Fault => "FAULT",
        };
        writeln!(f, "{level:<8} {}: {}", self.what, self.cause)?;
        self.fix.as_ref().map_or(Ok(()), |fix| writeln!(f, "         fix: {fix}"))
    }
}
