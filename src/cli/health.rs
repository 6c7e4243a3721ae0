//! `countersign health`: whether a running service, or one key of it, can sign now.
//!
//! In: where the signer is, and perhaps a key or other work of it. Out: one word, and an exit status for scripts; with `--watch` a
//! word whenever it changes; and why, if the signer's operator asks over its Unix socket. Nothing is signed, and nothing is recorded.

use std::io::Write;

use anyhow::{anyhow, bail};
use countersign_proto::client::{CallError, Client, Health, HealthOf, escaped};
use countersign_proto::v1::Trouble;

use super::NoAnswer;
use super::server::ServerArgs;

/// Whom to ask, and about what.
///
/// Exit status: 0 it can do that; 1 it cannot; 2 it could not be asked, there is no such key for this caller, or it does no such
/// work (checkpoints, witnesses, files of bundles).
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
    let (of, no_answer) = (args.of(), |error| args.no_answer(error));
    let client = args.server.connect().await.map_err(NoAnswer)?;
    if args.watch {
        let mut changes = client.watch_health(of).await.map_err(no_answer)?;
        while let Some(health) = changes.next().await.map_err(no_answer)? {
            print(health)?;
        }
        bail!("the signer stops");
    }
    let health = client.health(of).await.map_err(no_answer)?;
    print(health)?;
    match health {
        Health::Serving => Ok(()),
        Health::NotServing | Health::Unknown => Err(not_serving(of, &args.why(&client).await)),
    }
}

impl HealthArgs {
    /// What is asked about.
    fn of(&self) -> HealthOf<'_> {
        if self.checkpoints {
            HealthOf::Checkpoints
        } else if self.witnesses {
            HealthOf::Witnesses
        } else if self.bundles {
            HealthOf::Bundles
        } else {
            self.key.as_deref().into()
        }
    }

    /// What the signer tells its operator of it; nobody else is told more than where to look.
    async fn why(&self, client: &Client) -> String {
        let troubles = if self.server.is_local() { client.troubles().await } else { Ok(Vec::new()) };
        let line = |Trouble { subject, reason, message }: Trouble| {
            format!("\n  {}", escaped(&format!("{subject}: {reason}: {message}")))
        };
        let why: Vec<_> = troubles.unwrap_or_default().into_iter().map(line).collect();
        if why.is_empty() { "; its log says why".to_owned() } else { why.concat() }
    }

    fn no_answer(&self, error: CallError) -> NoAnswer {
        if error.reason != "SERVICE_UNKNOWN" {
            return NoAnswer(error.into());
        }
        let why = match self.of() {
            HealthOf::Signer => return NoAnswer(error.into()),
            HealthOf::Key(key) => {
                format!("there is no key {key}, or you may not use it; {}", self.server.advice())
            }
            HealthOf::Checkpoints => "this signer signs no checkpoints (`ledger.checkpoint_key`)".to_owned(),
            HealthOf::Witnesses => "this signer has no witnesses ([ledger.witness.NAME])".to_owned(),
            HealthOf::Bundles => "this signer writes no files of bundles ([bundles])".to_owned(),
        };
        NoAnswer(anyhow!("SERVICE_UNKNOWN: {why}"))
    }
}

/// What the signer cannot do now, and why it signs nothing.
fn not_serving(of: HealthOf<'_>, why: &str) -> anyhow::Error {
    match of {
        HealthOf::Signer => anyhow!("the signer cannot sign now{why}"),
        HealthOf::Key(key) => anyhow!("the signer cannot sign with key {key} now{why}"),
        HealthOf::Checkpoints => anyhow!("no checkpoint can be signed now; the signer's log says why"),
        HealthOf::Witnesses => {
            anyhow!("the newest checkpoint has no quorum of witnesses; the signer's log says why")
        }
        HealthOf::Bundles => {
            anyhow!("a file of a bundle cannot be written; the signer's log says which, and why")
        }
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
