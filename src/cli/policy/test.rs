//! `countersign policy test`: asks the policy about a file of cases, for CI.
//!
//! In: a configuration and a file of cases. Out: a line for each case, a summary, and a failure if one case failed. What only
//! a token knows is not checked, and the summary says which rules that concerns.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use countersign_tbs::{Tbs, TbsKind};

use super::explain::{Inquiry, NO_CA_KEY, Origin, likely_kind, made, read};
use crate::cli::{ConfigArgs, Faults};
use crate::config::Config;
use crate::config::cases::{self, Case, Expect, Request};
use crate::key::{KeyCertificate, UnixTime};
use crate::policy::explain::Explanation;

/// The configuration and the cases.
#[derive(clap::Args)]
pub(in crate::cli) struct Test {
    #[command(flatten)]
    config: ConfigArgs,
    /// The file of cases; docs/policy-cases.example.toml is its manual
    cases: PathBuf,
}

impl Test {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let config = self.config.load()?;
        let text = fs::read_to_string(&self.cases)
            .with_context(|| format!("cannot read {}", self.cases.display()))?;
        let cases = cases::parse(&self.cases, &text).map_err(Faults)?;
        let certificates = KeyCertificate::load_all(&config.keys);
        let (count, mut failed, mut not_checked) = (cases.len(), 0_usize, BTreeSet::new());
        for case in cases {
            let at = format!("{}:{}: {}", self.cases.display(), case.line, case.name.escape_debug());
            let explanation = inquiry(&case, &config)?.explain(&config, &certificates);
            not_checked.extend(explanation.not_checked().into_iter().map(str::to_owned));
            if case.expect.is_met_by(&explanation) {
                writeln!(out, "ok    {at}")?;
            } else {
                failed += 1;
                writeln!(out, "FAIL  {at}: expected {}; it is {}", case.expect.words(), words(&explanation))?;
            }
        }
        writeln!(out, "{} passed, {failed} failed", count.saturating_sub(failed))?;
        if !not_checked.is_empty() {
            let rules: Vec<String> = not_checked.into_iter().collect();
            writeln!(out, "not checked offline: {}", rules.join(", "))?;
        }
        if failed > 0 {
            bail!("{failed} of {count} cases failed");
        }
        Ok(())
    }
}

fn inquiry(case: &Case, config: &Config) -> anyhow::Result<Inquiry> {
    let at = case.at.unwrap_or_else(UnixTime::now);
    let kind = match &case.request {
        Request::Tbs(_) => case.kind.unwrap_or_else(|| likely_kind(config, &case.key)),
        Request::Fields(..) => TbsKind::SshCertificate,
    };
    let (tbs, origin) = match &case.request {
        Request::Tbs(file) => (Tbs::parse(kind, &read(file)?), Origin::Given),
        Request::Fields(fields, key) => {
            (made(fields.as_ref().clone().tbs(key.clone(), NO_CA_KEY, at))?, Origin::Fields)
        }
    };
    Ok(Inquiry { caller: case.caller.clone(), key: case.key.clone(), kind, tbs, at, origin })
}

impl Expect {
    fn is_met_by(&self, explanation: &Explanation) -> bool {
        match (self, &explanation.verdict) {
            (Self::Allow { rule }, Ok(found)) => rule.as_ref().is_none_or(|rule| rule == found),
            (Self::Refuse { reason, rule }, Err(refusal)) => {
                reason == refusal.reason.code_word() && rule.as_ref().is_none_or(|rule| *rule == refusal.rule)
            }
            (Self::Allow { .. }, Err(_)) | (Self::Refuse { .. }, Ok(_)) => false,
        }
    }

    fn words(&self) -> String {
        let (word, rule) = match self {
            Self::Allow { rule } => ("allow".to_owned(), rule),
            Self::Refuse { reason, rule } => (format!("refuse with {reason}"), rule),
        };
        rule.as_ref().map_or(word.clone(), |rule| format!("{word} by {rule}"))
    }
}

fn words(explanation: &Explanation) -> String {
    match &explanation.verdict {
        Ok(rule) => format!("allowed by {rule}"),
        Err(refusal) => {
            format!("refused with {} by {}: {}", refusal.reason.code_word(), refusal.rule, refusal.message)
        }
    }
}

#[cfg(test)]
mod tests;
