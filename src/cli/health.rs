//! `countersign health`: whether a running service, or one key of it, can sign now.
//!
//! In: where the signer is, and perhaps a key. Out: one word, and an exit status for scripts; with `--watch` a word whenever it
//! changes. Nothing is signed, and nothing is recorded.

use std::io::Write;

use anyhow::{anyhow, bail};
use countersign_proto::client::{CallError, Health};

use super::NoAnswer;
use super::sign::ServerArgs;

/// Whom to ask, and about what.
///
/// Exit status: 0 it can sign; 1 it cannot; 2 it could not be asked, there is no such key for this caller, or it signs no
/// checkpoints.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one flag for each thing to ask about, as people write them"
)]
pub(super) struct HealthArgs {
    /// The key's name in the signer's configuration [default: the signer as a whole]
    key: Option<String>,
    /// Whether checkpoints of the ledger are signed, instead
    #[arg(long, conflicts_with = "key")]
    checkpoints: bool,
    /// Whether the newest checkpoint has its quorum of witnesses, instead
    #[arg(long, conflicts_with_all = ["key", "checkpoints"])]
    witnesses: bool,
    /// Whether the files of bundles are written, instead
    #[arg(long, conflicts_with_all = ["key", "checkpoints", "witnesses"])]
    bundles: bool,
    #[command(flatten)]
    server: ServerArgs,
    /// Go on, and print each change
    #[arg(long)]
    watch: bool,
}

/// Runs the command.
///
/// # Errors
/// That it cannot sign, or [`NoAnswer`].
pub(super) async fn run(args: HealthArgs) -> anyhow::Result<()> {
    let key = args.key.as_deref();
    let client = args.server.connect().await.map_err(NoAnswer)?;
    if args.watch {
        let changes = if args.checkpoints {
            client.watch_checkpoint_health().await
        } else if args.witnesses {
            client.watch_witness_health().await
        } else if args.bundles {
            client.watch_bundle_health().await
        } else {
            client.watch_health(key).await
        };
        let mut changes = changes.map_err(|error| args.no_answer(error))?;
        while let Some(health) = changes.next().await.map_err(|error| args.no_answer(error))? {
            print(health)?;
        }
        bail!("the signer stops");
    }
    let health = if args.checkpoints {
        client.checkpoint_health().await
    } else if args.witnesses {
        client.witness_health().await
    } else if args.bundles {
        client.bundle_health().await
    } else {
        client.health(key).await
    };
    let health = health.map_err(|error| args.no_answer(error))?;
    print(health)?;
    match (health, key) {
        (Health::Serving, _) => Ok(()),
        _ if args.checkpoints => bail!("no checkpoint can be signed now; the signer's log says why"),
        _ if args.witnesses => {
            bail!("the newest checkpoint has no quorum of witnesses; the signer's log says why")
        }
        _ if args.bundles => {
            bail!("a file of a bundle cannot be written; the signer's log says which, and why")
        }
        (Health::NotServing | Health::Unknown, None) => bail!("the signer cannot sign now; its log says why"),
        (Health::NotServing | Health::Unknown, Some(key)) => {
            bail!("the signer cannot sign with key {key} now; its log says why")
        }
    }
}

impl HealthArgs {
    fn no_answer(&self, error: CallError) -> NoAnswer {
        if error.reason != "SERVICE_UNKNOWN" {
            return NoAnswer(error.into());
        }
        NoAnswer(match &self.key {
            Some(key) => anyhow!(
                "SERVICE_UNKNOWN: there is no key {key}, or you may not use it; {}",
                self.server.advice()
            ),
            None if self.witnesses => {
                anyhow!("SERVICE_UNKNOWN: this signer has no witnesses ([ledger.witness.NAME])")
            }
            None if self.checkpoints => {
                anyhow!("SERVICE_UNKNOWN: this signer signs no checkpoints (`ledger.checkpoint_key`)")
            }
            None => error.into(),
        })
    }
}

fn print(health: Health) -> std::io::Result<()> {
    let word = match health {
        Health::Serving => "serving",
        Health::NotServing => "not serving",
        Health::Unknown => "unknown",
    };
    writeln!(std::io::stdout(), "{word}")
}
