//! `countersign check`: everything that `serve` checks before it listens, except that no key signs.

use std::io::Write;

use super::ledger::hex;
use super::{ConfigArgs, Faults};
use crate::config::Config;
use crate::daemon;

/// Arguments of `countersign check`.
#[derive(clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the policy as canonical text, whose SHA-256 is the policy digest of ledger entries, and ask no token
    #[arg(long)]
    policy: bool,
}

/// Checks a configuration against the tokens that it names.
///
/// # Errors
/// [`Faults`], all that were found.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let text = if args.policy { config.policy.canonical_text() } else { summary(&config)? };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn summary(config: &Config) -> anyhow::Result<String> {
    let keys = super::runtime()?.block_on(daemon::check(config)).map_err(Faults)?;
    let mut lines: Vec<String> = keys
        .iter()
        .map(|key| {
            format!("{}: {}, {}, {}\n", key.name, key.purpose, key.scheme, key.public_key.ssh_fingerprint())
        })
        .collect();
    let digest = hex(&config.policy.digest());
    lines.push(format!(
        "policy digest {digest}\nno faults: every key was found, and its token can sign with it\n"
    ));
    Ok(lines.concat())
}
