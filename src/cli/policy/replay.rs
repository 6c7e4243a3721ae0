//! `countersign policy replay`: decides a ledger's requests again, and shows what a new policy would change.
//!
//! In: a configuration, and a ledger that other policies decided, also one that a signer is writing. Out: every request that
//! would be decided otherwise, and a count of those that cannot be decided again. Promised: the rules are the signer's own;
//! memory does not grow with the log. Not done here: what the ledger itself refuses.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::recorded::{self, NoRequest};
use super::source::Sources;
use crate::cli::ledger::ascii;
use crate::cli::{ConfigArgs, Faults, NoAnswer, value};
use crate::config::Config;
use crate::key::{KeyCertificate, KeyName};
use crate::ledger::{Entry, Place, Reader};

mod compare;
mod show;
mod summary;

use compare::{Change, Group, compare};
use summary::Summary;

/// Which requests, of which ledger, by which configuration.
#[derive(clap::Args)]
pub(in crate::cli) struct Replay {
    #[command(flatten)]
    config: ConfigArgs,
    /// The ledger's file, instead of the one that the configuration names
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Begin with entry N
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// The newest N entries only
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// Entries of this time and later only
    #[arg(long, value_name = "RFC3339", value_parser = value::time)]
    since: Option<SystemTime>,
    /// Requests for the key of this name only
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Requests of this caller only
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// Print one JSON object for each change, and one that sums up; docs/policy.md lists their fields
    #[arg(long)]
    json: bool,
}

/// Exit status 1, as `diff` has it.
#[derive(Debug, thiserror::Error)]
#[error("{changed} of {replayed} requests would be decided otherwise")]
struct Changed {
    changed: u64,
    replayed: u64,
}

/// A ledger, and what its requests are decided by now.
struct Session<'a> {
    args: &'a Replay,
    config: Config,
    certificates: BTreeMap<KeyName, KeyCertificate>,
    sources: Sources,
    reader: Reader,
}

impl Replay {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        match self.open().and_then(|session| session.run(out)) {
            Ok(Summary { replayed, same, .. }) if same == replayed => Ok(()),
            Ok(Summary { replayed, same, .. }) => Err(Changed { changed: replayed - same, replayed }.into()),
            Err(error) if error.is::<Faults>() => Err(error),
            Err(error) => Err(NoAnswer(error).into()),
        }
    }

    fn open(&self) -> anyhow::Result<Session<'_>> {
        let config = self.config.load()?;
        let sources = Sources::read(&self.config.config)?;
        let place = self.ledger.as_ref().map_or_else(|| Place::from(&config.ledger), Place::from);
        let certificates = KeyCertificate::load_all(&config.keys);
        Ok(Session { args: self, config, certificates, sources, reader: Reader::open(place)? })
    }

    /// Whether the filters let a request pass.
    fn wants(&self, entry: &Entry) -> bool {
        let Ok(asked) = recorded::asked(entry) else { return false };
        let recorded = UNIX_EPOCH.checked_add(Duration::from_millis(entry.time().0));
        self.key.as_ref().is_none_or(|key| *key.as_bytes() == *asked.key)
            && self.caller.as_ref().is_none_or(|caller| *caller.as_bytes() == *asked.caller)
            && self.since.is_none_or(|since| recorded.is_none_or(|recorded| recorded >= since))
    }
}

impl Session<'_> {
    /// What a reader of the output had enough of is still counted.
    fn run(&self, out: &mut impl Write) -> anyhow::Result<Summary> {
        let len = self.reader.len()?;
        let newest = self.args.last.map_or(0, |last| len.saturating_sub(last));
        let range = self.args.from.unwrap_or(0).max(newest)..len;
        let mut summary = Summary::default();
        let printed = if self.args.json {
            self.print_json(range, &mut summary, out)
        } else {
            self.each(range, |answer| {
                summary.count(&answer);
                Ok(())
            })?;
            self.print_text(&summary, out)
        };
        match printed.and_then(|()| Ok(out.flush()?)) {
            Err(error) if !is_closed(&error) => Err(error),
            _ => Ok(summary),
        }
    }

    fn print_json(
        &self,
        range: Range<u64>,
        summary: &mut Summary,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        self.each(range, |answer| {
            summary.count(&answer);
            match answer {
                Answer::Replayed { change: Some(change), .. } => {
                    Ok(writeln!(out, "{}", ascii(&show::json(&change, &self.sources).to_string()))?)
                }
                _ => Ok(()),
            }
        })?;
        let summary = summary.json(self.reader.place(), &self.config.policy.digest());
        Ok(writeln!(out, "{}", ascii(&summary.to_string()))?)
    }

    /// The counts come first, so the log is read once more for each group that has anything in it.
    fn print_text(&self, summary: &Summary, out: &mut impl Write) -> anyhow::Result<()> {
        write!(out, "{}", summary.text(self.reader.place(), &self.config.policy.digest()))?;
        for group in Group::ALL {
            let Some(range) = summary.range(group) else { continue };
            writeln!(out, "\n{}:", group.words())?;
            self.each(range, |answer| match answer {
                Answer::Replayed { change: Some(change), .. } if change.group == group => {
                    Ok(write!(out, "{}", show::text(&change, &self.sources))?)
                }
                _ => Ok(()),
            })?;
        }
        Ok(())
    }

    /// Decides each request of `range` that is wanted.
    fn each(
        &self,
        range: Range<u64>,
        mut then: impl FnMut(Answer<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for entry in self.reader.entries(range) {
            let (index, entry) = entry?;
            if self.args.wants(&entry) {
                then(compare(index, &entry, &self.config, &self.certificates))?;
            }
        }
        Ok(())
    }
}

/// What became of one recorded request.
enum Answer<'a> {
    /// It was decided again.
    Replayed {
        /// How it differs, if it does.
        change: Option<Box<Change<'a>>>,
        /// The rules that only a running signer can check.
        not_checked: Vec<String>,
    },
    /// It cannot be decided again.
    NotReplayed(Why),
}

/// Why a request cannot be decided again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Why {
    DigestOnly,
    Unknown,
    Deadline,
    Ledger,
    Signer,
}

impl Why {
    const fn words(self) -> &'static str {
        match self {
            Self::DigestOnly => "only the digest of the TBS is recorded",
            Self::Unknown => "of a kind or a caller that this countersign does not know",
            Self::Deadline => "refused for their deadline, which is not recorded",
            Self::Ledger => {
                "refused by the ledger, for what was asked before, for a budget, or since it was another key's turn"
            }
            Self::Signer => {
                "refused for a CA key or its certificate, which are not known here: set the key's `fingerprint`, or let its \
                 `certificate` be read"
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::DigestOnly => "digest_only",
            Self::Unknown => "unknown",
            Self::Deadline => "deadline",
            Self::Ledger => "ledger",
            Self::Signer => "signer",
        }
    }
}

impl From<NoRequest> for Why {
    fn from(why: NoRequest) -> Self {
        match why {
            NoRequest::DigestOnly => Self::DigestOnly,
            // All but the last two are no requests, and were passed over.
            NoRequest::Outcome(_)
            | NoRequest::SelfTest
            | NoRequest::Refusals
            | NoRequest::Freeze
            | NoRequest::Revocation
            | NoRequest::Checkpoint
            | NoRequest::KeyRecord
            | NoRequest::KeyDeletion
            | NoRequest::KeyWrapping
            | NoRequest::Rotation
            | NoRequest::Ceremony
            | NoRequest::Kind(_)
            | NoRequest::Caller(_) => Self::Unknown,
        }
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
