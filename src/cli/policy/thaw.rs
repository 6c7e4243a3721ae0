//! `countersign policy thaw`: lets a caller use a key again that it was frozen for.
//!
//! In: the key, the caller, and why. Out: the ledger's entry of it. The running signer does it, since it alone writes the
//! ledger: over its Unix socket, for root and its own user.

use std::io::Write;

use countersign_proto::v1::ThawRequest;

use crate::cli::server::refused;
use crate::cli::{ConfigArgs, runtime};

/// Whom to thaw, and why.
#[derive(clap::Args)]
pub(in crate::cli) struct Thaw {
    #[command(flatten)]
    config: ConfigArgs,
    /// The key's name
    key: String,
    /// The caller that is frozen: spiffe://DOMAIN/PATH, dns:NAME, cn:NAME or uid:NUMBER
    caller: String,
    /// Why, for the ledger: one line
    #[arg(long, value_name = "TEXT")]
    why: String,
}

impl Thaw {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let Self { config, key, caller, why } = self;
        let request = ThawRequest { key: key.clone(), caller: caller.clone(), why };
        let checked = config.load()?;
        let receipt = runtime()?
            .block_on(async { config.operator(&checked).await?.thaw(request).await.map_err(refused) })?;
        writeln!(out, "thawed {caller} for key {key}: entry {}", receipt.entry_index)?;
        Ok(())
    }
}
