//! `countersign ledger checkpoint`: the newest signed checkpoint of a signer that runs, for whoever keeps it elsewhere.
//!
//! In: where the signer is, and who is to have signed it. Out: the note, as it is signed. With a key, nothing is printed that it
//! did not sign; without one, that the bytes are a note without control
//! characters is all that is checked.

use std::io::Write;

use anyhow::{Context, ensure};

use crate::cli::ledger::source::{Running, refused};
use crate::ledger;
use crate::ledger::note::{Note, VerifierKey};

/// Whose checkpoint.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Checkpoint {
    #[command(flatten)]
    signer: Running,
    /// The key that must have signed it: NAME+ID+KEY, as `countersign key show` prints it
    #[arg(long, value_name = "KEY")]
    log_key: Option<VerifierKey>,
}

impl Checkpoint {
    pub(super) async fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let client = self.signer.connect().await?;
        let bytes = client.checkpoint().await.map_err(refused)?;
        let note = match &self.log_key {
            Some(key) => {
                let opened = ledger::checkpoint::Checkpoint::open(&bytes, key.name().as_str(), key);
                opened.context("the signer's checkpoint is not the one that --log-key signs")?.1
            }
            None => Note::parse(&bytes).context("the signer sent no signed note")?,
        };
        let note = note.to_string();
        ensure!(
            !note.contains(|c: char| c.is_control() && c != '\n'),
            "the signer's note has control characters"
        );
        out.write_all(note.as_bytes())?;
        Ok(out.flush()?)
    }
}
