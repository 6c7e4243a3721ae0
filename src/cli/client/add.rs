//! `countersign client add`: a front-end's certificate for mutual TLS, and what it may have signed.
//!
//! In: its name, and a profile, like that of another or by options. Out: a certificate that the running signer's own CA has signed, in the
//! ledger like any other, and the configuration with the new profile. Promised: the configuration is checked before anything is signed,
//! only lines are added to it, and it changes in one step, last. Not done: a running signer's policy; it reads that at its start.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use countersign_tbs::x509::GeneralName;

use super::issue::{End, Identity, Subject, Wanted};
use super::stanza::{Bounds, Changed, Document};
use crate::caller::CallerName;
use crate::cli::init::{Name, plan::note};
use crate::cli::key::certify::section;
use crate::cli::signing::{Signed, Signing};
use crate::cli::{Faults, Usage, fresh};
use crate::config::Config;
use crate::directory::whole_file::{self, Ownership};
use crate::key::{KeyCertificate, KeyPurpose, read_certificate};

/// Who is to call, and what they may have signed.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("policy").required(true).args(["like", "key"]))]
pub(crate) struct AddArgs {
    /// The front-end's name: its profile's, its directory's, and the end of its SPIFFE ID
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// The configuration file, which is changed
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: PathBuf,
    /// Have it what this one may have: another front-end's name, or its whole identity
    #[arg(long, value_name = "CLIENT")]
    like: Option<String>,
    /// The CA key for SSH certificates that it may use, with the options that follow
    #[arg(long, value_name = "KEY", requires_all = ["principals", "max_lifetime", "budget"])]
    key: Option<String>,
    /// A pattern for principals; may be repeated
    #[arg(long = "principal", value_name = "PATTERN", requires = "key")]
    principals: Vec<String>,
    /// How long its certificates may live
    #[arg(long, value_name = "DURATION", requires = "key")]
    max_lifetime: Option<String>,
    /// How many certificates it may have, such as 500/h
    #[arg(long, value_name = "NUMBER/TIME", requires = "key")]
    budget: Option<String>,
    /// What a user's certificate may permit; may be repeated
    #[arg(long = "extension", value_name = "NAME", requires = "key")]
    extensions: Vec<String>,
    /// Its own request (PKCS#10, PEM or DER), so that its private key was never here; only the key is taken from it
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Its identity: spiffe://… or dns:… [default: the name, below what the CA's profile for clients allows]
    #[arg(long, value_name = "IDENTITY")]
    identity: Option<String>,
    /// The CA key for mutual TLS [default: the one with a profile that signs "tls-client"]
    #[arg(long, value_name = "KEY")]
    ca: Option<String>,
    /// How long the certificate is valid
    #[arg(long, value_name = "DURATION", default_value = "365days", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// The directory to make for it [default: clients/NAME beside the configuration]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show what would be added, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// A configuration that is added to.
struct Existing {
    path: PathBuf,
    text: String,
    config: Config,
}

/// What is to be added, and was checked.
struct Addition {
    /// The key that signs the certificate.
    ca: String,
    certificate: KeyCertificate,
    identity: String,
    wanted: Wanted,
    changed: Changed,
    directory: PathBuf,
}

/// # Errors
/// What is wrong, and whether anything was signed.
pub(super) fn run(args: &AddArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let existing = Existing::read(&args.config)?;
    let addition = args.addition(&existing, out)?;
    let subject = Subject::of(args.csr.as_deref())?;
    if args.dry_run {
        return Ok(writeln!(out, "nothing was signed, and nothing changed: --dry-run")?);
    }
    let signing = Signing::of(&existing.config, &existing.path, &addition.ca)
        .context("nothing was changed; the signer must be running, for it signs the certificate")?;
    let signed = addition.wanted.issue(&signing, &addition.certificate, subject.public());
    let signed = signed.context("nothing was changed")?;
    let files = addition.write(&existing, &subject, &signed)?;
    let (directory, entry) = (files.directory.display(), signed.receipt.entry_index);
    writeln!(
        out,
        "{directory}: certificate of {}, signed by {}: entry {entry}",
        addition.identity, addition.ca
    )?;
    Ok(write!(out, "{}", next(args, &existing, &files))?)
}

impl Existing {
    fn read(file: &Path) -> anyhow::Result<Self> {
        // A symbolic link to the configuration stays one.
        let path = fs::canonicalize(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let config = Config::check(&path, &text).map_err(Faults)?;
        Ok(Self { path, text, config })
    }
}

impl Addition {
    /// Writes what the client needs, and then the configuration.
    fn write(&self, existing: &Existing, subject: &Subject, signed: &Signed) -> anyhow::Result<Identity> {
        let files = Identity { directory: self.directory.clone() };
        let path = existing.path.display();
        let written = make(&files.directory)
            .and_then(|()| files.write(subject, signed, &self.certificate))
            .and_then(|()| {
                let replaced =
                    whole_file::replace(&existing.path, self.changed.text.as_bytes(), Ownership::Kept);
                replaced.with_context(|| format!("{path} cannot be replaced"))
            });
        written.with_context(|| {
            format!(
                "the certificate was signed (entry {}), but {path} is as it was, so that it is good for nothing; move {} away before \
                 the next try",
                signed.receipt.entry_index,
                files.directory.display()
            )
        })?;
        Ok(files)
    }
}

impl AddArgs {
    /// What is to be added: shown, and then checked as it will be.
    fn addition(&self, existing: &Existing, out: &mut impl Write) -> anyhow::Result<Addition> {
        let Existing { path, text, config } = existing;
        let mut document = Document::parse(text)?;
        self.want_ssh(config)?;
        let (ca, identity) = self.whose(&document)?;
        let wanted = self.wanted(&identity)?;
        self.edit(&mut document, &identity)?;
        let changed = document.finish(text)?;
        writeln!(out, "{}, as it will be:", path.display())?;
        for (number, line) in &changed.added {
            writeln!(out, "{}", format!("{number:>5} + {line}").trim_end())?;
        }
        let after = Config::check(path, &changed.text).map_err(|faults| {
            anyhow!("nothing was changed, for the configuration would be at fault:\n{}", Faults(faults))
        })?;
        let own = format!(".allow.{}", self.name);
        for wide in after.policy.wide().iter().filter(|wide| wide.at.contains(&own)) {
            writeln!(out, "{}", note(wide))?;
        }
        let certificate = KeyCertificate::load(section(config, &ca)?)
            .with_context(|| format!("the certificate of key {ca}; nothing was changed"))?;
        wanted.check(&certificate)?;
        Ok(Addition { ca, certificate, identity, wanted, changed, directory: self.directory(path)? })
    }

    /// The options after `--key` are those of a profile for SSH certificates.
    fn want_ssh(&self, config: &Config) -> anyhow::Result<()> {
        let named = config.keys.iter().find(|key| Some(key.name.as_str()) == self.key.as_deref());
        let Some(key) =
            named.filter(|key| !matches!(key.purpose, KeyPurpose::SshUserCa | KeyPurpose::SshHostCa))
        else {
            return Ok(());
        };
        let (name, purpose) = (&key.name, key.purpose);
        bail!(Usage(format!(
            "{name} is of purpose {purpose}, and --key is for SSH CAs; take --like, or write the profile by hand, as \
             countersign.x509.example.toml shows. Nothing was changed"
        )))
    }

    /// The CA key, and the identity that it is to certify.
    fn whose(&self, document: &Document) -> anyhow::Result<(String, String)> {
        let (ca, pattern) = document.client_ca(self.ca.as_deref())?;
        let of_name = |name: &str| pattern.as_ref().map(|pattern| pattern.replacen('*', name, 1));
        let identity = match &self.identity {
            Some(identity) => identity.clone(),
            None => of_name(self.name.as_str()).with_context(|| {
                format!("the profile of key {ca} that signs \"tls-client\" has no `uris` of one `*`, to put {} there: give --identity", self.name)
            })?,
        };
        CallerName::parse(&identity).context("nothing was changed")?;
        if let Some(place) = document.mentions(&identity) {
            bail!("{identity} is there already, in {place}; nothing was changed");
        }
        if let Some(place) = document.profile(self.name.as_str()) {
            bail!("there is a profile {place} already; take another name. Nothing was changed");
        }
        Ok((ca, identity))
    }

    fn edit(&self, document: &mut Document, identity: &str) -> anyhow::Result<()> {
        let name = self.name.as_str();
        if let Some(like) = &self.like {
            let pattern = document.client_ca(self.ca.as_deref())?.1;
            let other = match (CallerName::parse(like), pattern) {
                (Err(_), Some(pattern)) => pattern.replacen('*', like, 1),
                _ => like.clone(),
            };
            return document.copy(name, identity, &other);
        }
        let (Some(key), Some(max_lifetime), Some(budget)) = (&self.key, &self.max_lifetime, &self.budget)
        else {
            bail!("give --like, or --key, --principal, --max-lifetime and --budget");
        };
        let bounds =
            Bounds { principals: &self.principals, max_lifetime, budget, extensions: &self.extensions };
        document.add(key, name, identity, &bounds)
    }

    fn wanted(&self, identity: &str) -> anyhow::Result<Wanted> {
        let name = match identity.split_once(':') {
            Some(("dns", name)) => GeneralName::Dns(name.to_owned()),
            Some(("spiffe", _)) => GeneralName::Uri(identity.to_owned()),
            _ => bail!(
                "{identity} is an identity that no certificate here is for: give spiffe://… or dns:…; nothing was changed"
            ),
        };
        let common_name = self.name.as_str().to_owned();
        Ok(Wanted { end: End::Client, common_name, names: vec![name], lifetime: self.lifetime })
    }

    /// Where its files are to be, which is not there yet.
    fn directory(&self, config: &Path) -> anyhow::Result<PathBuf> {
        let beside = || config.with_file_name("clients").join(self.name.as_str());
        let directory = self.out.clone().unwrap_or_else(beside);
        ensure!(
            directory.symlink_metadata().is_err(),
            "{} is there already, and nothing is written over; nothing was changed",
            directory.display()
        );
        std::path::absolute(&directory).map_err(|error| anyhow!("{}: {error}", directory.display()))
    }
}

/// The directory, and the one that it is in.
pub(super) fn make(directory: &Path) -> anyhow::Result<()> {
    if let Some(parent) = directory.parent().filter(|parent| !parent.exists()) {
        fresh::directory(parent)?;
    }
    fresh::directory(directory)
}

/// What to do now; each line of a command begins with two spaces.
fn next(args: &AddArgs, existing: &Existing, files: &Identity) -> String {
    let server = &existing.config.server;
    let key = match &args.csr {
        Some(_) => PathBuf::from("KEY"),
        None => files.directory.join("key.pem"),
    };
    let of_key = if args.csr.is_some() { ", where KEY is the key that it made its request with" } else { "" };
    let host = server_name(&existing.config).unwrap_or_else(|| server.listen.ip().to_string());
    let [whom, who] = files.exports(&format!("https://{host}:{}", server.listen.port()), &key);
    let config = fresh::shell(&existing.path);
    format!(
        "\nRestart the signer, which reads its policy at its start:\n\n  countersign serve --config {config}\n\n\
         Move that directory to the front-end's host. There{of_key}:\n\n  {whom}\n  {who}\n  countersign health\n"
    )
}

/// What the signer's certificate calls it.
fn server_name(config: &Config) -> Option<String> {
    let (_, certificate) = read_certificate(&config.server.tls_certificate).ok()?;
    certificate.tbs().subject_alt_names().iter().find_map(|name| match name {
        GeneralName::Dns(name) => Some(name.clone()),
        _ => None,
    })
}
