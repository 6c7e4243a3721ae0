//! `countersign check`: everything that `serve` checks before it listens, except that no key signs.

use std::io::Write;

use serde_json::json;

use super::ledger::hex;
use super::{ConfigArgs, Faults};
use crate::daemon;
use crate::key::Keys;

/// Arguments of `countersign check`.
#[derive(clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the policy as canonical text, whose SHA-256 is the policy digest of ledger entries, and ask no token
    #[arg(long)]
    policy: bool,
    /// Print JSON: each key that was found, and the policy digest
    #[arg(long, conflicts_with = "policy")]
    json: bool,
}

/// Checks a configuration against the tokens that it names.
///
/// # Errors
/// [`Faults`], all that were found.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let config = args.config.load_guarded()?;
    let text = if args.policy {
        config.policy.canonical_text()
    } else {
        // What a token process says, and whether the kernel holds it, is half of the answer.
        super::log(tracing::Level::WARN);
        let keys = super::runtime()?.block_on(daemon::check(&config)).map_err(Faults)?;
        let digest = hex(&config.policy.digest());
        if args.json { json(&keys, &digest) } else { lines(&keys, &digest) }
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn lines(keys: &Keys, digest: &str) -> String {
    let found = keys.iter().map(|key| {
        format!("{}: {}, {}, {}\n", key.name, key.purpose, key.scheme, key.public_key.fingerprint())
    });
    let found: String = found.collect();
    format!(
        "{found}policy digest {digest}\nno faults: every key was found, and its token has the mechanism that it signs by\n"
    )
}

fn json(keys: &Keys, digest: &str) -> String {
    let found = keys.iter().map(|key| {
        json!({
            "key": key.name.as_str(),
            "purpose": key.purpose.name(),
            "scheme": key.scheme.name(),
            "fingerprint": key.public_key.fingerprint(),
        })
    });
    let found: Vec<_> = found.collect();
    format!("{:#}\n", json!({ "keys": found, "policy_digest": digest }))
}
