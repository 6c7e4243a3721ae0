//! `countersign ledger export`: writes the log as tiles, for outsiders to verify.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64ct::{Base64, Encoding};

use super::progress::Progress;
use super::{Log, read_note};
use crate::ledger::Reader;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::VerifierKey;
use crate::ledger::tiles::{Published, export};

/// Which log, where to, and up to which checkpoint.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Export {
    /// The directory, made if it is missing; a second export to it adds what is new
    directory: PathBuf,
    #[command(flatten)]
    log: Log,
    /// Export as many entries as this signed checkpoint says, and publish it
    #[arg(long, value_name = "FILE", requires = "log_key")]
    checkpoint: Option<PathBuf>,
    /// The key that signs the log's checkpoints: NAME+ID+KEY
    #[arg(long, value_name = "KEY")]
    log_key: Option<VerifierKey>,
}

impl Export {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let reader = Reader::open(&self.log.path()?)?;
        let published = match self.checkpoint.as_ref().zip(self.log_key.as_ref()) {
            Some((path, key)) => Some(published(path, reader.origin(), key)?),
            None => None,
        };
        let mut progress = Progress::new("exporting");
        let exported =
            export(&reader, &self.directory, published.as_ref(), |done, total| progress.show(done, total))?;
        drop(progress);
        let directory = self.directory.display();
        let (size, kept, files) = (exported.size, exported.kept, exported.files);
        writeln!(
            out,
            "{size} entries are in {directory}, {kept} of them since before; {files} files written"
        )?;
        writeln!(out, "root {}", Base64::encode_string(&exported.root))?;
        if published.is_none() {
            writeln!(
                out,
                "no checkpoint was published: nobody has signed this root, so that others can check the entries against \
                 each other but not whose they are; give one with --checkpoint FILE"
            )?;
        }
        Ok(out.flush()?)
    }
}

fn published(path: &Path, origin: &str, key: &VerifierKey) -> anyhow::Result<Published> {
    let bytes = read_note(path)?;
    let opened = Checkpoint::open(&bytes, origin, key);
    let (checkpoint, note) = opened.with_context(|| format!("{}", path.display()))?;
    Ok(Published { path: path.to_owned(), checkpoint, note })
}
