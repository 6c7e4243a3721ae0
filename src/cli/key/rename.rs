//! `countersign key rename`: another label for a key on its token, where the token lets that be changed.
//!
//! In: a section, and a label. Out: the key with that label, and the line that its section must have now; or why it keeps the old one.
//! What callers, policies and the ledger call a key is its section's name, which no token knows.

use std::io::{self, Write};

use anyhow::bail;

use super::sections;
use crate::cli::ConfigArgs;
use crate::cli::token::environment;
use crate::token::Device;
use crate::token::pkcs11::operator::{Access, Console, Modules};

/// Which key, and what it is to be called.
#[derive(clap::Args)]
pub(crate) struct RenameArgs {
    /// The key's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// The label that it is to have on its token
    #[arg(long, value_name = "LABEL")]
    to: String,
}

/// # Errors
/// Why the key keeps its label.
pub(super) fn run(args: &RenameArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let (key, token) = sections(&config, &args.name)?;
    let (name, to) = (&key.name, &args.to);
    let instead = format!(
        "what callers and the ledger call it is the section's name: to change that, call the section [key.NEW], give it `label = {:?}`, and restart the signer",
        key.label
    );
    if to.is_empty() || to.len() > 255 || to.contains(char::is_control) {
        bail!("a label is 1 to 255 bytes without control characters");
    }
    if *to == key.label {
        bail!("key {name} has the label {to:?} already");
    }
    environment::enter(std::slice::from_ref(token))?;
    if let Device::YubiKey(_) = token.device {
        bail!(
            "a YubiKey has no labels: key {name} is in its slot under no name; call the section otherwise, with the same `slot`, and restart the signer"
        );
    }
    let mut modules = Modules::default();
    let console = Console::open(&mut modules, token, &config.latch(&token.name), Access::Write)?;
    let found = console.find(key)?;
    console
        .rename(&found, to)
        .map_err(|error| anyhow::anyhow!("key {name} was not renamed: {error}; {instead}"))?;
    let mut out = io::stdout().lock();
    writeln!(out, "key {name} on token {} has the label {to:?} now, and the same public key:", token.name)?;
    writeln!(out, "{}", found.public_key.fingerprint())?;
    writeln!(
        out,
        "in [key.{name}], set the following, and restart the signer, which finds the key under its old label no more:\n  label = {to:?}"
    )?;
    Ok(())
}
