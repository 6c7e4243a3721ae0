//! `countersign ledger verify`: checks a whole log, and says which entry is wrong.
//!
//! In: a ledger's file, an export or a signer that runs, and the public keys that an auditor trusts. Out: what was found, for people or
//! as JSON, and an exit status: 0 if everything was checked and is right, 1 if something is wrong, 2 if something could not be checked,
//! or nothing vouches for the entries.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::ascii;
use super::progress::Progress;
use crate::cli::NoAnswer;
use crate::cli::server::Identity;
use crate::config::Config;
use crate::ledger::Reader;
use crate::ledger::audit::{Report, Source, Stopped, UNKNOWN, audit};
use crate::ledger::entry::UnixMillis;
use crate::ledger::note::VerifierKey;

mod checkpoints;
mod coverage;
mod job;
mod show;

use checkpoints::witness_key;
use coverage::{Coverage, Subject};
use job::Job;

/// If neither an option nor a configuration says otherwise: the configuration's default.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// What to verify, by what, and how closely.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Verify {
    /// The ledger's file, instead of the one that a configuration names
    #[arg(long, value_name = "FILE", required_unless_present_any = ["config", "export", "server"])]
    ledger: Option<PathBuf>,
    /// The signer's configuration, which names the ledger and the certificates of X.509 keys; not read with --ledger, --export or
    /// --server
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    /// Verify an export, by its own entries and tiles
    #[arg(long, value_name = "DIR", conflicts_with_all = ["ledger", "against"])]
    export: Option<PathBuf>,
    /// Verify what a running signer serves, as one of its `ledger.readers`: https://HOST:PORT, or unix:PATH as its operator. With
    /// --log-key, the entries of its newest checkpoint
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["ledger", "export"])]
    server: Option<String>,
    #[command(flatten)]
    identity: Identity,
    /// Compare the ledger's entries with the tiles of an export, which tell which entry was changed
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// A checkpoint that the log must have, or continue; may be repeated. That of an export is found, and a signer is asked for its newest
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// The key that signs the log's checkpoints: NAME+ID+KEY
    #[arg(long, value_name = "KEY")]
    log_key: Option<VerifierKey>,
    /// A witness whose cosignatures of the checkpoints count: NAME+ID+KEY, of kind 0x04; may be repeated
    #[arg(long = "witness", value_name = "KEY", requires = "log_key", value_parser = witness_key)]
    witnesses: Vec<VerifierKey>,
    /// How many of the witnesses must have cosigned each checkpoint [default: all of them]
    #[arg(long, value_name = "N", requires = "witnesses")]
    quorum: Option<usize>,
    /// Public keys or certificates of CA keys, PEM, of which neither an SSH certificate, a provisioning record in the log, the
    /// configuration nor --log-key says what they are; may be repeated
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// CRLs that the signer signed, PEM or DER: of one above 32 KiB the ledger has the digest alone, and only with the list can its
    /// signature and its number be checked
    #[arg(long = "list", value_name = "FILE", num_args = 1..)]
    lists: Vec<PathBuf>,
    /// Verify no signatures, which take most of the time
    #[arg(long)]
    skip_signatures: bool,
    #[command(flatten)]
    accept: Accept,
    /// By how much an entry may be older than one before it [default: the configuration's, or 5s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    clock_tolerance: Option<Duration>,
    /// Print one JSON object; docs/verify.md lists its fields
    #[arg(long)]
    json: bool,
}

/// What is accepted though it was not checked.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Accept {
    /// Accept entries that nothing covers, neither a checkpoint that --log-key verifies nor known hashes
    #[arg(long = "accept-uncovered")]
    uncovered: bool,
    /// Accept that nobody looks at lists of which the ledger has the digests alone
    #[arg(long = "accept-digests")]
    digests: bool,
}

/// Exit status 1.
#[derive(Debug, thiserror::Error)]
#[error("{0} entries are wrong")]
struct Wrong(u64);

/// Exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotChecked(&'static str);

/// What was found, of what.
struct Verified {
    report: Report,
    coverage: Coverage,
    /// Checkpoints whose signatures nobody could check.
    unsigned: Vec<PathBuf>,
}

impl Verify {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let verified = self.verify(out).map_err(NoAnswer)?;
        if verified.report.findings.total() > 0 {
            return Err(Wrong(verified.report.findings.total()).into());
        }
        if let Some(Stopped { why, .. }) = verified.report.stopped {
            return Err(NoAnswer(why.into()).into());
        }
        match self.not_checked(&verified) {
            Some(what) => Err(NoAnswer(NotChecked(what).into()).into()),
            None => Ok(()),
        }
    }

    /// What could not be checked, though nothing says that it need not be.
    fn not_checked(&self, verified: &Verified) -> Option<&'static str> {
        let Verified { report, coverage, unsigned } = verified;
        if self.log_key.is_some() && coverage.signed().is_none() {
            return Some(
                "no checkpoint was there for --log-key to verify; give one with --checkpoint FILE, or get the export again with its own",
            );
        }
        if report.lacks_tables {
            return Some(
                "an earlier version wrote this file last, and it has no tables of what is revoked to compare with the entries; have a signer of this \
                 version open it, or a copy of it, and verify that",
            );
        }
        let unsigned = !(unsigned.is_empty() || self.skip_signatures || self.accept.uncovered);
        if unsigned || !report.unchecked.is_empty() {
            return Some(
                "not every signature could be checked; give the keys that are missing, or --skip-signatures",
            );
        }
        if report.counts.digest_only > 0 && !self.accept.digests {
            return Some(
                "of some lists that were permitted the ledger has the digests alone, so that they could be anything; give the lists with \
                 --list FILE, or --accept-digests if you know what was signed",
            );
        }
        if !self.accept.uncovered && !coverage.suffices() {
            if self.server.is_some() {
                return Some(
                    "nothing vouches that the entries are those that were written; give --log-key KEY, by which the signer's newest \
                     checkpoint is verified, or --against DIR, or --accept-uncovered if that is known",
                );
            }
            return Some(
                "nothing vouches that the entries are those that were written; give a checkpoint of all of them and \
                 --log-key KEY, for a ledger also --against DIR, or --accept-uncovered if that is known",
            );
        }
        None
    }

    fn verify(&self, out: &mut impl Write) -> anyhow::Result<Verified> {
        let Job { name, source, len, options, unsigned } = self.job()?;
        let signatures = options.signatures;
        let place = if let Source::Log(reader) = &source { Some(reader.place().clone()) } else { None };
        let mut progress = Progress::new("verifying");
        let total = Some(len).filter(|len| *len != UNKNOWN);
        let mut report = audit(source, len, options, |done| progress.show(done, total))?;
        drop(progress);
        if let Some(place) = place {
            report.compare_kept(&Reader::open_damaged(place)?.0, UnixMillis::now());
        }
        let subject = if self.export.is_some() { Subject::Export } else { Subject::Ledger };
        let coverage = Coverage::of(&report, subject, self.log_key.as_ref());
        let verified = Verified { report, coverage, unsigned };
        if self.json {
            writeln!(out, "{}", ascii(&show::json(&name, &verified, signatures).to_string()))?;
        } else {
            write!(out, "{}", show::text(&name, &verified, signatures))?;
        }
        out.flush()?;
        Ok(verified)
    }

    /// By how much an entry may be older than one before it.
    fn tolerance(&self, config: Option<&Config>) -> Duration {
        let configured = config.map(|config| config.ledger.clock_tolerance);
        self.clock_tolerance.or(configured).unwrap_or(CLOCK_TOLERANCE)
    }
}
