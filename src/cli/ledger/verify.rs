//! `countersign ledger verify`: checks a whole log, and says which entry is wrong.
//!
//! In: a ledger's file or an export, and the public keys that an auditor trusts. Out: what was found, for people or as JSON,
//! and an exit status: 0 if everything was checked and is right, 1 if something is wrong, 2 if something could
//! not be checked, or nothing vouches for the entries.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::progress::Progress;
use super::{Log, ascii, keys, open_configured, read_note};
use crate::cli::NoAnswer;
use crate::config::Config;
use crate::key::KeyCertificate;
use crate::ledger::audit::{CaKeys, Compared, Known, Options, Report, Signatures, Source, audit};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::{Note, Statement, VerifierKey};
use crate::ledger::tiles::Directory;

mod coverage;
mod show;

use coverage::{Coverage, Subject};

/// If neither an option nor a configuration says otherwise: the configuration's default.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// What to verify, by what, and how closely.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Verify {
    /// The ledger's file, instead of the one that a configuration names
    #[arg(long, value_name = "FILE", required_unless_present_any = ["config", "export"])]
    ledger: Option<PathBuf>,
    /// The signer's configuration, which names the ledger and the certificates of X.509 keys; not read with --ledger or --export
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    /// Verify an export, by its own entries and tiles
    #[arg(long, value_name = "DIR", conflicts_with_all = ["ledger", "against"])]
    export: Option<PathBuf>,
    /// Compare the ledger's entries with the tiles of an export, which tell which entry was changed
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// A checkpoint that the log must have, or continue; may be repeated. That of an export is found
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
    /// Verify no signatures, which take most of the time
    #[arg(long)]
    skip_signatures: bool,
    /// Accept entries that nothing covers, neither a checkpoint that --log-key verifies nor known hashes
    #[arg(long)]
    accept_uncovered: bool,
    /// By how much an entry may be older than one before it [default: the configuration's, or 5s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    clock_tolerance: Option<Duration>,
    /// Print one JSON object; docs/verify.md lists its fields
    #[arg(long)]
    json: bool,
}

/// Exit status 1.
#[derive(Debug, thiserror::Error)]
#[error("{0} entries are wrong")]
struct Wrong(u64);

/// Exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotChecked(&'static str);

/// A log, as far as it is known before it is read.
struct Job {
    name: String,
    source: Source,
    len: u64,
    options: Options,
    /// Checkpoints whose signatures nobody could check.
    unsigned: Vec<PathBuf>,
    index: BesideLedger,
}

/// Whether the index beside the ledger has hashes to compare with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum BesideLedger {
    EmptyIndex,
    AnyOther,
}

/// What was found, of what.
struct Verified {
    report: Report,
    coverage: Coverage,
    /// Checkpoints whose signatures nobody could check.
    unsigned: Vec<PathBuf>,
    index: BesideLedger,
}

/// The checkpoints that the log is compared with.
struct Checkpoints<'a> {
    /// The key of the log and its name, if they are known.
    log: Option<(&'a VerifierKey, String)>,
    witnesses: Quorum<'a>,
    read: Vec<Checkpoint>,
    unsigned: Vec<PathBuf>,
}

/// Witnesses, and how many of them must have cosigned each checkpoint.
struct Quorum<'a> {
    keys: &'a [VerifierKey],
    enough: usize,
}

impl Verify {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let verified = self.verify(out).map_err(NoAnswer)?;
        if verified.report.findings.total() > 0 {
            return Err(Wrong(verified.report.findings.total()).into());
        }
        match self.not_checked(&verified) {
            Some(what) => Err(NoAnswer(NotChecked(what).into()).into()),
            None => Ok(()),
        }
    }

    /// What could not be checked, though nothing says that it need not be.
    fn not_checked(&self, verified: &Verified) -> Option<&'static str> {
        let Verified { report, coverage, unsigned, index: _ } = verified;
        if self.log_key.is_some() && coverage.signed().is_none() {
            return Some(
                "no checkpoint was there for --log-key to verify; give one with --checkpoint FILE, or get the export again with its own",
            );
        }
        let unsigned = !(unsigned.is_empty() || self.skip_signatures || self.accept_uncovered);
        if unsigned || !report.unchecked.is_empty() {
            return Some(
                "not every signature could be checked; give the keys that are missing, or --skip-signatures",
            );
        }
        if !self.accept_uncovered && !coverage.suffices() {
            return Some(
                "nothing vouches that the entries are those that were written; give a checkpoint of all of them and \
                 --log-key KEY, for a ledger also --against DIR, or --accept-uncovered if that is known",
            );
        }
        None
    }

    fn verify(&self, out: &mut impl Write) -> anyhow::Result<Verified> {
        let Job { name, source, len, options, unsigned, index } = self.job()?;
        let signatures = options.signatures;
        let mut progress = Progress::new("verifying");
        let report = audit(source, len, options, |done| progress.show(done, len))?;
        drop(progress);
        let subject = if self.export.is_some() { Subject::Export } else { Subject::Ledger };
        let coverage = Coverage::of(&report, subject, self.log_key.as_ref());
        let verified = Verified { report, coverage, unsigned, index };
        if self.json {
            writeln!(out, "{}", ascii(&show::json(&name, &verified, signatures).to_string()))?;
        } else {
            write!(out, "{}", show::text(&name, &verified, signatures))?;
        }
        out.flush()?;
        Ok(verified)
    }

    fn job(&self) -> anyhow::Result<Job> {
        let log = Log { ledger: self.ledger.clone(), config: self.config.clone() };
        let named = self.ledger.is_some() || self.export.is_some();
        let config = if named { None } else { Some(log.config()?) };
        let (name, source) = if let Some(path) = &self.export {
            (path.display().to_string(), Source::Export(Directory::open(path)?))
        } else {
            let reader = config.as_ref().map_or_else(|| log.open(), open_configured)?;
            (reader.origin().to_owned(), Source::Log(reader))
        };
        let mut checkpoints = self.checkpoints(&source)?;
        let mut compare: Vec<Compared> = self.compare(&mut checkpoints)?.into_iter().collect();
        let (mut unusable, mut beside) = (None, BesideLedger::AnyOther);
        let len = match &source {
            Source::Log(reader) => {
                match reader.recorded_tiles() {
                    Ok(index) => compare.extend(index.map(|index| {
                        let entries = index.entries();
                        if entries == 0 {
                            beside = BesideLedger::EmptyIndex;
                        }
                        Compared { known: Known::Index(index), entries }
                    })),
                    Err(index) => unusable = Some(index),
                }
                // After what it is compared with, which a log that grows has had by now.
                reader.len()?
            }
            Source::Export(_) => compare.first().map_or(0, |export| export.entries),
        };
        let configured = config.as_ref().map(|config| config.ledger.clock_tolerance);
        let options = Options {
            ca_keys: self.ca_keys(config.as_ref())?,
            origin: match &source {
                Source::Log(reader) => Some(reader.origin().to_owned()),
                Source::Export(_) => self.log_key.as_ref().map(|key| key.name().to_string()),
            },
            signatures: if self.skip_signatures { Signatures::Skip } else { Signatures::Verify },
            clock_tolerance: self.clock_tolerance.or(configured).unwrap_or(CLOCK_TOLERANCE),
            checkpoints: checkpoints.read,
            compare,
            unusable,
        };
        Ok(Job { name, source, len, options, unsigned: checkpoints.unsigned, index: beside })
    }

    fn ca_keys(&self, config: Option<&Config>) -> anyhow::Result<CaKeys> {
        let mut ca_keys = CaKeys::default();
        for path in &self.keys {
            keys::read(path)?.into_iter().for_each(|key| ca_keys.add(key));
        }
        self.log_key.iter().filter_map(VerifierKey::public_key).for_each(|key| ca_keys.add(key));
        let certificates = config.map(|config| KeyCertificate::load_all(&config.keys)).unwrap_or_default();
        for certificate in certificates.values() {
            ca_keys.add(certificate.public_key().clone());
        }
        Ok(ca_keys)
    }

    /// Those that were named. An export does not tell whose it is but by its key, which has the log's name.
    fn checkpoints(&self, source: &Source) -> anyhow::Result<Checkpoints<'_>> {
        let log = self.log_key.as_ref().map(|key| match source {
            Source::Log(reader) => (key, reader.origin().to_owned()),
            Source::Export(_) => (key, key.name().to_string()),
        });
        let witnesses = self.witnesses()?;
        let mut checkpoints = Checkpoints { log, witnesses, read: Vec::new(), unsigned: Vec::new() };
        for path in &self.checkpoints {
            checkpoints.add(path, &read_note(path)?)?;
        }
        Ok(checkpoints)
    }

    /// Those whose cosignatures count, and how many of them are enough.
    fn witnesses(&self) -> anyhow::Result<Quorum<'_>> {
        let (keys, enough) = (&self.witnesses, self.quorum.unwrap_or(self.witnesses.len()));
        let mut twice = keys
            .iter()
            .enumerate()
            .filter(|(at, key)| keys.iter().take(*at).any(|other| other.is_pair_of(key)));
        if let Some((_, key)) = twice.next() {
            anyhow::bail!("--witness {key} has the key of another, and would count twice");
        }
        if enough > keys.len() || (enough == 0 && !keys.is_empty()) {
            anyhow::bail!("--quorum is 1 to the number of witnesses, which is {}", keys.len());
        }
        Ok(Quorum { keys, enough })
    }

    /// The export to compare with, and how many entries of it: of one that was not finished, what is published.
    fn compare(&self, checkpoints: &mut Checkpoints<'_>) -> anyhow::Result<Option<Compared>> {
        let Some(path) = self.export.as_ref().or(self.against.as_ref()) else { return Ok(None) };
        let directory = Directory::open(path)?;
        let entries = match directory.checkpoint()? {
            Some(bytes) => checkpoints.add(&path.join("checkpoint"), &bytes)?,
            None => directory.size()?,
        };
        if self.against.is_some() && entries == 0 {
            anyhow::bail!("export {} has no entries to compare with; export to it first", path.display());
        }
        Ok(Some(Compared { known: Known::Export(directory), entries }))
    }
}

impl Quorum<'_> {
    /// Whether enough have cosigned.
    fn check(&self, note: &Note) -> anyhow::Result<()> {
        let has_cosigned = |key: &&VerifierKey| matches!(note.verify(key), Ok(Statement::Cosigned { .. }));
        let (cosigned, missing): (Vec<_>, Vec<_>) = self.keys.iter().partition(has_cosigned);
        if cosigned.len() >= self.enough {
            return Ok(());
        }
        let missing: Vec<String> = missing.iter().map(|key| key.name().to_string()).collect();
        anyhow::bail!(
            "{} witnesses of {} that must have cosigned it have; not {}. Give the cosigned one (docs/witness.md)",
            cosigned.len(),
            self.enough,
            missing.join(", ")
        );
    }
}

/// The key of a witness.
fn witness_key(text: &str) -> Result<VerifierKey, String> {
    match text.parse::<VerifierKey>().map_err(|error| error.to_string())? {
        key if key.is_cosigner() => Ok(key),
        _ => Err("it is no witness's key, whose kind is 0x04".to_owned()),
    }
}

impl Checkpoints<'_> {
    /// Verifies the signature of one if the key is known. Its size.
    fn add(&mut self, path: &Path, bytes: &[u8]) -> anyhow::Result<u64> {
        let checkpoint = if let Some((key, origin)) = &self.log {
            let opened = Checkpoint::open(bytes, origin, key);
            let (checkpoint, note) = opened.with_context(|| format!("checkpoint {}", path.display()))?;
            self.witnesses.check(&note).with_context(|| format!("checkpoint {}", path.display()))?;
            Ok(checkpoint)
        } else {
            self.unsigned.push(path.to_owned());
            Note::parse(bytes).map_err(Into::into).and_then(|note| Checkpoint::parse(note.text()))
        };
        let checkpoint = checkpoint.with_context(|| format!("checkpoint {}", path.display()))?;
        let size = checkpoint.size();
        self.read.push(checkpoint);
        Ok(size)
    }
}
