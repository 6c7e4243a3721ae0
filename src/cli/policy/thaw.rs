//! `countersign policy thaw`: lets a caller use a key again that it was frozen for.
//!
//! In: the key, the caller, and why. Out: the ledger's entry of it. The running signer does it, since it alone writes the
//! ledger: over its Unix socket, for root and its own user.

use std::io::Write;

use anyhow::Context;
use countersign_proto::Client;
use countersign_proto::v1::ThawRequest;

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
        let socket = config.load()?.server.unix_socket.with_context(|| {
            format!(
                "{} has no server.unix_socket, which is how the signer is told; set it",
                config.config.display()
            )
        })?;
        let request = ThawRequest { key: key.clone(), caller: caller.clone(), why };
        let receipt = runtime()?
            .block_on(async { anyhow::Ok(Client::connect_unix(&socket).await?.thaw(request).await?) })?;
        writeln!(out, "thawed {caller} for key {key}: entry {}", receipt.entry_index)?;
        Ok(())
    }
}
