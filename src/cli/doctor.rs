//! `countersign doctor`: one command that says what is wrong, why, and what to do.
//!
//! In: a configuration, or none, or one that is broken. Out: a row for each thing that was looked at. Nothing is signed, recorded or
//! listened on, so that it may run beside a daemon; it logs in to each token once, unless told not to. What it finds is what `serve`
//! would refuse to start with, and what will be that before long.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;

use super::{NoAnswer, loaded, runtime};
use crate::config::{Config, unguarded};
use crate::daemon;
use crate::token::{isolate, process};

mod finding;
mod installation;
mod ledger;
mod softhsm;
mod tokens;

use finding::{Finding, Level};

/// What to look at.
#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    /// Log in to no token: no PIN is tried, and no key looked for
    #[arg(long)]
    no_login: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// # Errors
/// How many faults (exit status 2) or warnings (1) there are, after all of them are printed.
pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    process::seal()?;
    super::log(tracing::Level::ERROR);
    let findings = examine(args)?;
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (faults, warnings) = (count(Level::Fault), count(Level::Warning));
    let mut out = io::stdout().lock();
    let printed = if args.json {
        let rows: Vec<_> = findings.iter().map(Finding::to_json).collect();
        writeln!(out, "{:#}", json!({ "findings": rows, "faults": faults, "warnings": warnings }))
    } else {
        findings.iter().try_for_each(|finding| write!(out, "{finding}"))
    };
    match printed {
        // Whoever reads only the first rows (`doctor | head -1`) is still told the status.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    match (faults, warnings) {
        (0, 0) => Ok(()),
        (0, _) => Err(anyhow::anyhow!("no faults; warnings: {warnings}")),
        (_, _) => Err(NoAnswer(anyhow::anyhow!("faults: {faults}; warnings: {warnings}")).into()),
    }
}

fn examine(args: &DoctorArgs) -> anyhow::Result<Vec<Finding>> {
    let Some(path) = &args.config else {
        return Ok(vec![Finding::fault(
            "config",
            "no configuration is named",
            "name it with --config or in COUNTERSIGN_CONFIG; countersign.example.toml is the manual of all its keys",
        )]);
    };
    let mut findings: Vec<_> = unguarded(path).iter().map(Finding::of_fault).collect();
    let config = match loaded(path) {
        Ok(config) => config,
        Err(faults) => {
            findings.extend(faults.iter().map(Finding::of_fault));
            return Ok(findings);
        }
    };
    let (tokens, keys) = (config.tokens.len(), config.keys.len());
    findings.push(Finding::well("config", format!("{}: tokens: {tokens}, keys: {keys}", path.display())));
    findings.extend(installation::tls(&config.server));
    findings.extend(installation::certificates(&config.keys));
    findings.extend(installation::accepted(&config.keys));
    findings.extend(installation::bundles(&config));
    match isolate::probe() {
        Ok(held) => {
            let limits = config.tokens.iter().map(|token| &token.limits);
            findings.extend(installation::kernel(&held, limits));
        }
        Err(error) => findings.push(Finding::told("kernel", &error.to_string())),
    }
    findings.extend(ledger::examine(&config.ledger));
    findings.extend(policy(&config));
    let runtime = runtime()?;
    findings.extend(runtime.block_on(tokens::examine(path, &config)));
    if !args.no_login {
        let found = runtime.block_on(daemon::check(&config));
        if let Ok(keys) = &found {
            findings.extend(ledger::lists(&config, keys));
        }
        let faults = found.err().unwrap_or_default();
        let news: Vec<_> =
            faults.iter().map(Finding::of_fault).filter(|new| is_news(new, &findings)).collect();
        if news.is_empty() && !findings.iter().any(|finding| finding.level == Level::Fault) {
            findings.push(Finding::well(
                "keys",
                "every key was found, and its token has the mechanism that it signs by".to_owned(),
            ));
        }
        findings.extend(news);
    }
    Ok(findings)
}

/// Whether nothing of the same thing was found at fault before.
fn is_news(new: &Finding, known: &[Finding]) -> bool {
    let mut faults = known.iter().filter(|finding| finding.level == Level::Fault);
    let token = |what: &str| what.split('.').take(2).collect::<Vec<_>>().join(".");
    let is_tokens = new.what.starts_with("token.");
    !faults.any(|old| old.what == new.what || (is_tokens && token(&old.what) == token(&new.what)))
}

fn policy(config: &Config) -> Vec<Finding> {
    let wide = config.policy.wide();
    if wide.is_empty() {
        return vec![Finding::well("policy", "no bound is wider than such a signer is for".to_owned())];
    }
    wide.into_iter().map(|wide| Finding::warning(wide.at, wide.cause, wide.fix)).collect()
}
