//! `countersign token unlatch`: an operator's word that a PIN which the token refused may be tried once more.

use std::io::{self, Write};

use super::find;
use crate::cli::ConfigArgs;
use crate::token::PinFile;
use crate::token::latch::Latch;

/// Which token to try the PIN of.
#[derive(clap::Args)]
pub(crate) struct UnlatchArgs {
    /// The token's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Removes the note about the refused PIN. A running daemon notices within a second, another at its start.
///
/// # Errors
/// If there is no such token, or the note cannot be removed.
pub(super) fn run(args: &UnlatchArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let token = find(&config, &args.name)?;
    let latch = Latch::new(config.state(), &token.name);
    let was_set = latch
        .clear()
        .map_err(|error| anyhow::anyhow!("{} cannot be removed: {error}", latch.path().display()))?;
    let mut out = io::stdout().lock();
    if token.pin_file == PinFile::Pad {
        writeln!(
            out,
            "whoever logs in to token {} next asks for its PIN at its own pad, once: stand there",
            token.name
        )?;
    } else if was_set && token.pin_file == PinFile::None {
        writeln!(
            out,
            "a PIN that was refused is noted no more; token {} needs none, and none is tried",
            token.name
        )?;
    } else if was_set {
        writeln!(out, "the PIN in {} is tried once more", token.pin_file)?;
    } else {
        writeln!(out, "no PIN of token {} was refused; nothing was changed", token.name)?;
    }
    Ok(())
}
