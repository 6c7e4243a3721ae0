//! `countersign ledger export`: writes the log as tiles, for outsiders to verify; of a ledger here, or of a signer that serves it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64ct::{Base64, Encoding};
use serde_json::json;

use super::progress::Progress;
use super::served::Signer;
use super::source::Source;
use super::{ascii, note, read_note};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::VerifierKey;
use crate::ledger::tiles::{Audience, Destination, Entries, Published, export};

/// Which log, where to, and up to which checkpoint.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Export {
    /// The directory, made if it is missing; a second export to it adds what is new
    directory: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Let everybody on this host read all of it (modes 0755 and 0644): entries name people, so that only you may otherwise
    #[arg(long)]
    public: bool,
    /// Export as many entries as this signed checkpoint says, and publish it
    #[arg(long, value_name = "FILE", requires = "log_key")]
    checkpoint: Option<PathBuf>,
    /// The key that signs the log's checkpoints: NAME+ID+KEY. With --server and no --checkpoint, the signer's newest is
    /// published
    #[arg(long, value_name = "KEY")]
    log_key: Option<VerifierKey>,
    /// Print one JSON object; docs/verify.md lists its fields
    #[arg(long)]
    json: bool,
}

/// A log, and what is to be published of it.
type Job = (Box<dyn Entries>, Option<Published>);

impl Export {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let (log, published) = match self.source.signer()? {
            Some(signer) => self.served(signer)?,
            None => self.file()?,
        };
        let audience = if self.public { Audience::Everybody } else { Audience::Owner };
        if audience == Audience::Owner {
            say_who_reads(&self.directory)?;
        }
        let to = Destination { directory: &self.directory, audience };
        let mut progress = Progress::new("exporting");
        let exported =
            export(log.as_ref(), to, published.as_ref(), |done, total| progress.show(done, Some(total)))?;
        drop(progress);
        let directory = self.directory.display();
        let (size, kept, files) = (exported.size, exported.kept, exported.files);
        if self.json {
            let exported = json!({
                "directory": directory.to_string(), "entries": size, "kept": kept, "files": files,
                "root": Base64::encode_string(&exported.root), "published": published.is_some(),
            });
            writeln!(out, "{}", ascii(&exported.to_string()))?;
            return Ok(out.flush()?);
        }
        writeln!(
            out,
            "{size} entries are in {directory}, {kept} of them since before; {files} files written"
        )?;
        writeln!(out, "root {}", Base64::encode_string(&exported.root))?;
        if published.is_none() {
            writeln!(
                out,
                "no checkpoint was published: nobody has signed this root, so that others can check the entries against \
                 each other but not whose they are; give one with --checkpoint FILE, or, of a signer, --log-key KEY"
            )?;
        }
        Ok(out.flush()?)
    }

    /// A ledger here, and the checkpoint that was given.
    fn file(&self) -> anyhow::Result<Job> {
        let reader = self.source.file()?;
        let published = match self.checkpoint.as_ref().zip(self.log_key.as_ref()) {
            Some((path, key)) => Some(published(path, &read_note(path)?, reader.origin(), key)?),
            None => None,
        };
        Ok((Box::new(reader), published))
    }

    /// What a signer serves, and the checkpoint that was given, or else the signer's newest, if there is a key that verifies it.
    fn served(&self, signer: Signer) -> anyhow::Result<Job> {
        let published = match (&self.log_key, &self.checkpoint) {
            (Some(key), Some(path)) => Some(published(path, &read_note(path)?, key.name().as_str(), key)?),
            (Some(key), None) => {
                Some(published(signer.place(), &signer.checkpoint()?, key.name().as_str(), key)?)
            }
            (None, _) => None,
        };
        Ok((Box::new(signer.log()?), published))
    }
}

/// Says so if others can read what is in a directory that was there before.
fn say_who_reads(directory: &Path) -> anyhow::Result<()> {
    let mode = fs::metadata(directory).map_or(0, |metadata| metadata.mode() & 0o777);
    if mode & 0o077 != 0 {
        note(&format!(
            "{} has mode {mode:04o}, so that others can reach the export, and entries name people; `chmod -R go= {}` closes it, and \
             --public is for an export that everybody may read",
            directory.display(),
            directory.display()
        ))?;
    }
    Ok(())
}

/// The checkpoint that was read at `path`, if `key` signs it, and of this log.
fn published(path: &Path, bytes: &[u8], origin: &str, key: &VerifierKey) -> anyhow::Result<Published> {
    let opened = Checkpoint::open(bytes, origin, key);
    let (checkpoint, note) = opened.with_context(|| format!("{}", path.display()))?;
    Ok(Published { path: path.to_owned(), checkpoint, note })
}
