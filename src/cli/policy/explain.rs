//! `countersign policy explain`: which rules are asked about a request, what each sees, and which line of the file decides.
//!
//! In: a configuration, and a TBS, a certificate, the fields of one, or an entry of the ledger. Out: the walk, for people or
//! as JSON. Promised: the rules are the signer's own. What only a token knows is said to be not checked.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use base64ct::{Base64, Encoding};
use countersign_tbs::ssh::{BuildError, Certificate};
use countersign_tbs::{ParseError, Tbs, TbsKind};

use super::source::Sources;
use super::{ConfigArgs, recorded};
use crate::caller::CallerName;
use crate::cli::ledger::ascii;
use crate::cli::sign::{SubjectArgs, read_public_key};
use crate::cli::{Usage, value};
use crate::config::Config;
use crate::key::{KeyCertificate, KeyName, PublicKey, UnixTime};
use crate::ledger::{self, Entry, Reader};
use crate::policy::Reason;
use crate::policy::ask::{CaKeys, Offline, Question};
use crate::policy::explain::Explanation;

mod show;

/// What to explain, by which configuration.
#[derive(clap::Args)]
#[command(mut_arg("principals", |arg| arg.required(false)))]
pub(in crate::cli) struct Explain {
    #[command(flatten)]
    config: ConfigArgs,
    /// Who asks: spiffe://DOMAIN/PATH, dns:NAME, cn:NAME or uid:NUMBER
    #[arg(long, value_name = "NAME", required_unless_present = "entry")]
    caller: Option<String>,
    /// The key's name
    #[arg(long, value_name = "NAME", required_unless_present = "entry")]
    key: Option<String>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    subject: SubjectArgs,
    /// What the bytes of --tbs are [default: what the key's purpose signs first of all]
    #[arg(long, value_name = "KIND", value_parser = kind, requires = "tbs")]
    kind: Option<TbsKind>,
    /// The time to decide at [default: now, or when the entry was recorded]
    #[arg(long, value_name = "RFC3339", value_parser = value::time)]
    at: Option<SystemTime>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where the request comes from.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// The exact bytes of the TBS
    #[arg(long, value_name = "FILE")]
    tbs: Option<PathBuf>,
    /// A certificate, of which the TBS is explained: a line of a -cert.pub file
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The public key of a request that has the fields below: an OpenSSH .pub file
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Entry N of the ledger that the configuration names
    #[arg(long, value_name = "N", conflicts_with_all = ["caller", "key"])]
    entry: Option<u64>,
}

/// A request, without anybody who makes it.
pub(super) struct Inquiry {
    pub(super) caller: CallerName,
    pub(super) key: String,
    pub(super) kind: TbsKind,
    pub(super) tbs: Result<Tbs, ParseError>,
    pub(super) at: UnixTime,
    pub(super) origin: Origin,
}

/// Where a TBS, and so the CA key in it, comes from.
pub(super) enum Origin {
    Given,
    Fields,
    /// The entry's index, and the entry.
    Entry(u64, Box<Entry>),
}

/// All that is shown.
struct Report {
    sources: Sources,
    policy_digest: [u8; 32],
    inquiry: Inquiry,
    explanation: Explanation,
}

impl Explain {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let config = self.config.load()?;
        let sources = Sources::read(&self.config.config)?;
        let json = self.json;
        let inquiry = self.inquiry(&config)?;
        let mut explanation = inquiry.explain(&config, &KeyCertificate::load_all(&config.keys));
        if explanation.verdict.as_ref().is_err_and(|refusal| refusal.reason == Reason::KeyNotAvailable) {
            explanation.tell_refusal(&inquiry.not_available(&config, &sources));
        }
        let policy_digest = config.policy.digest();
        let report = Report { sources, policy_digest, inquiry, explanation };
        let text = if json { ascii(&format!("{:#}\n", show::json(&report))) } else { show::text(&report) };
        Ok(out.write_all(text.as_bytes())?)
    }

    fn inquiry(self, config: &Config) -> anyhow::Result<Inquiry> {
        let at = self.at.map(unix_time);
        if let Some(index) = self.source.entry {
            return from_ledger(&config.ledger, index, at);
        }
        let caller = CallerName::parse(self.caller.as_deref().context("give --caller")?);
        let caller = caller.map_err(|error| Usage(format!("--caller: {error}")))?;
        let key = self.key.context("give --key")?;
        let at = at.unwrap_or_else(UnixTime::now);
        let kind = match self.source.tbs {
            Some(_) => self.kind.unwrap_or_else(|| likely_kind(config, &key)),
            None => TbsKind::SshCertificate,
        };
        let (tbs, origin) = match (&self.source.tbs, &self.source.certificate, &self.source.public_key) {
            (Some(file), ..) => (Tbs::parse(kind, &read(file)?), Origin::Given),
            (_, Some(file), _) => (read_certificate(file)?, Origin::Given),
            (.., Some(file)) => {
                let (_, subject_key) = read_public_key(file)?;
                (made(self.subject.fields().tbs(subject_key, NO_CA_KEY, at))?, Origin::Fields)
            }
            (None, None, None) => bail!("give --tbs, --certificate, --public-key or --entry"),
        };
        Ok(Inquiry { caller, key, kind, tbs, at, origin })
    }
}

/// The kind that a person names.
pub(in crate::cli) fn kind(name: &str) -> Result<TbsKind, String> {
    let names: Vec<&str> = TbsKind::ALL.map(TbsKind::name).into();
    TbsKind::from_name(name).ok_or_else(|| format!("it is one of {}", names.join(", ")))
}

/// The kind of TBS that the key `name` signs first of all, for who does not say which.
pub(super) fn likely_kind(config: &Config, name: &str) -> TbsKind {
    let key = config.keys.iter().find(|key| key.name.as_str() == name);
    let kind = key.and_then(|key| key.purpose.kinds().first().copied());
    kind.unwrap_or(TbsKind::SshCertificate)
}

/// Stands in a TBS that is made of fields, where the CA key is; no rule looks at it.
pub(super) const NO_CA_KEY: PublicKey = PublicKey::Ed25519([0; 32]);

impl Inquiry {
    /// Which half of "no such key for this caller" it is. A signer tells nobody; whoever reads its configuration may know.
    fn not_available(&self, config: &Config, sources: &Sources) -> String {
        let Some(profiles) = config.policy.profiles_of(&self.key) else {
            let keys: Vec<_> = config.keys.iter().map(|key| key.name.as_str()).collect();
            let key = self.key.escape_debug();
            return format!("there is no [key.{key}] with profiles; there are the keys {}", keys.join(", "));
        };
        let named = profiles.iter().map(|profile| {
            let callers: Vec<_> = profile.callers.iter().map(CallerName::as_str).collect();
            let place = sources.callers(&self.key, &profile.name);
            format!("{}{place} names {}", profile.name, callers.join(", "))
        });
        let named: Vec<_> = named.collect();
        format!("no profile of {} names {}: {}", self.key, self.caller, named.join("; "))
    }

    pub(super) fn explain(
        &self,
        config: &Config,
        certificates: &BTreeMap<KeyName, KeyCertificate>,
    ) -> Explanation {
        let offline = Offline { keys: &config.keys, certificates };
        let ca_keys = match self.origin {
            Origin::Given | Origin::Entry(..) => CaKeys::Configured(offline),
            Origin::Fields => CaKeys::Assumed(offline),
        };
        config.policy.explain(&Question {
            caller: &self.caller,
            key: &self.key,
            kind: self.kind,
            deadline: None,
            tbs: self.tbs.as_ref(),
            now: self.at.into(),
            ca_keys,
        })
    }
}

/// The request of an entry, at the time when it was recorded.
fn from_ledger(ledger: &ledger::Config, index: u64, at: Option<UnixTime>) -> anyhow::Result<Inquiry> {
    let reader = Reader::open(ledger)?;
    let missing = || anyhow!("{} has no entry {index}", reader.place());
    let (_, entry) = reader.entries(index..index.saturating_add(1)).next().ok_or_else(missing)??;
    let inquiry = recorded::inquiry(&entry).map_err(|why| {
        let said = format!("entry {index} {why}");
        anyhow::Error::new(why).context(said)
    })?;
    Ok(Inquiry { at: at.unwrap_or(inquiry.at), origin: Origin::Entry(index, Box::new(entry)), ..inquiry })
}

/// What a parser refuses is for the rules to say.
pub(super) fn made(
    built: Result<countersign_tbs::ssh::CertificateTbs, BuildError>,
) -> anyhow::Result<Result<Tbs, ParseError>> {
    match built {
        Ok(tbs) => Ok(Ok(Tbs::Ssh(tbs))),
        Err(BuildError::Refused(error)) => Ok(Err(error.into())),
        Err(error) => Err(error.into()),
    }
}

/// The TBS of a `-cert.pub` file's line: type, base64, comment.
fn read_certificate(file: &Path) -> anyhow::Result<Result<Tbs, ParseError>> {
    let text = String::from_utf8(read(file)?).ok();
    let base64 = text.as_deref().and_then(|line| line.split_ascii_whitespace().nth(1));
    let bytes = base64.and_then(|base64| Base64::decode_vec(base64).ok());
    let bytes =
        bytes.with_context(|| format!("{} has no line of a certificate: TYPE BASE64", file.display()))?;
    Ok(Certificate::parse(&bytes).map(|certificate| Tbs::Ssh(certificate.tbs().clone())).map_err(Into::into))
}

pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

#[cfg(test)]
mod tests;
