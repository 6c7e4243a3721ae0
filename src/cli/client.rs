//! `countersign client`: the callers of a signer, as mutual TLS and its policy know them.

use crate::token::process;

mod add;
pub(super) mod issue;
mod renew;
mod stanza;

use add::AddArgs;
use renew::RenewArgs;

/// What to do with callers.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Have a front-end's certificate signed by the running signer's CA for mutual TLS, and add its profile to the configuration
    Add(Box<AddArgs>),
    /// Have another certificate signed for whoever has one, with a new key: a front-end, an operator, or the signer itself
    Renew(RenewArgs),
}

/// Runs one of the commands.
///
/// # Errors
/// What is wrong, and whether anything was signed or written.
pub(super) fn run(command: Command) -> anyhow::Result<()> {
    process::seal()?;
    match command {
        Command::Add(args) => add::run(&args, &mut std::io::stdout().lock()),
        Command::Renew(args) => renew::run(&args, &mut std::io::stdout().lock()),
    }
}
