//! Questions of a guided start: to a person at a terminal, or answered by options alone.
//!
//! In: a question, and what an option said already. Out: a checked answer. At a terminal a wrong answer is asked for again; without
//! one, every question that no option and no default answers is in one error.

use std::io::{BufRead, IsTerminal, Write, stdin, stdout};

use anyhow::{bail, ensure};

use crate::cli::Usage;

/// One thing to know.
pub(super) struct Question<'a> {
    /// The option that answers it.
    pub(super) option: &'static str,
    pub(super) text: &'a str,
    pub(super) default: Option<String>,
}

/// Whether there is somebody to ask.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Mode {
    /// At a terminal.
    Asks,
    /// `--yes`.
    Assumes,
    /// Neither.
    Silent,
}

/// Asks, and remembers what nobody answered.
pub(super) struct Interview {
    mode: Mode,
    missing: Vec<String>,
}

impl Interview {
    pub(super) fn new(yes: bool) -> Self {
        let mode = match (yes, stdin().is_terminal() && stdout().is_terminal()) {
            (true, _) => Mode::Assumes,
            (false, true) => Mode::Asks,
            (false, false) => Mode::Silent,
        };
        Self { mode, missing: Vec::new() }
    }

    /// Says something to a person, if there is one.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn say(&self, text: &str) -> anyhow::Result<()> {
        if self.mode == Mode::Asks {
            writeln!(stdout(), "{text}")?;
        }
        Ok(())
    }

    /// The answer: `given` by an option, typed, or the default; `None` if it is missing, which [`Self::complete`] tells.
    ///
    /// # Errors
    /// The default is wrong, or whoever was asked has gone.
    pub(super) fn ask<T>(
        &mut self,
        question: &Question<'_>,
        given: Option<T>,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<Option<T>> {
        if given.is_some() {
            return Ok(given);
        }
        if self.mode == Mode::Asks {
            return typed(question, check).map(Some);
        }
        let Some(default) = &question.default else {
            self.missing.push(format!("{:<16} {}", question.option, question.text));
            return Ok(None);
        };
        let checked = check(default);
        checked
            .map(Some)
            .map_err(|wrong| anyhow::anyhow!("{} is {default:?} by default: {wrong}", question.option))
    }

    /// # Errors
    /// All that nobody answered.
    pub(super) fn complete(&self) -> anyhow::Result<()> {
        let mut wanted = self.missing.clone();
        if self.mode == Mode::Silent {
            wanted.push(format!("{:<16} To go on without being asked", "--yes"));
        }
        let wanted = wanted.join("\n  ");
        ensure!(
            wanted.is_empty(),
            Usage(format!("nothing was made: there is nobody to ask, so give these as well\n  {wanted}"))
        );
        Ok(())
    }

    /// Whether a person wants what was shown. Neither yes nor no is asked again: what was answered before is much to type.
    ///
    /// # Errors
    /// Whoever was asked has gone.
    pub(super) fn confirm(&self, text: &str) -> anyhow::Result<bool> {
        if self.mode != Mode::Asks {
            return Ok(true);
        }
        let text = format!("{text} [yes/no]");
        typed(&Question { option: "--yes", text: &text, default: None }, yes_or_no)
    }
}

fn yes_or_no(answer: &str) -> Result<bool, String> {
    match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err("yes or no".to_owned()),
    }
}

fn typed<T>(question: &Question<'_>, check: impl Fn(&str) -> Result<T, String>) -> anyhow::Result<T> {
    let prompt = match &question.default {
        Some(default) => format!("{} [{default}]: ", question.text),
        None => format!("{}: ", question.text),
    };
    loop {
        let answer = line(&prompt)?;
        let answer = match (&question.default, answer.is_empty()) {
            (Some(default), true) => default.clone(),
            _ => answer,
        };
        match check(&answer) {
            Ok(checked) => return Ok(checked),
            Err(wrong) => writeln!(stdout(), "  {wrong}")?,
        }
    }
}

fn line(prompt: &str) -> anyhow::Result<String> {
    let mut out = stdout();
    write!(out, "{prompt}")?;
    out.flush()?;
    let mut answer = String::new();
    if stdin().lock().read_line(&mut answer)? == 0 {
        bail!("the answers ended; nothing was made");
    }
    Ok(answer.trim().to_owned())
}
