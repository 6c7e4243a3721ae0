//! `countersign client renew`: another certificate of mutual TLS for whoever has one, with a new key.
//!
//! In: the certificate that is about to end, by this signer's own CA. Out: a new directory with the next one, for the same names and the
//! same end of a connection. Whether the signer may still certify them is for its policy to say. The configuration does not change.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use countersign_tbs::der::{Oid, oids};
use countersign_tbs::x509::Certificate;

use super::add::make;
use super::issue::{End, Identity, Subject, Wanted};
use super::stanza::Document;
use crate::cli::key::certify::section;
use crate::cli::signing::{Signing, is_signed_by};
use crate::cli::{Faults, fresh};
use crate::config::Config;
use crate::key::{KeyCertificate, read_certificate};

/// Whose certificate is to be renewed.
#[derive(clap::Args)]
pub(crate) struct RenewArgs {
    /// The certificate, such as clients/front-end/cert.pem or mtls/server.pem
    certificate: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: PathBuf,
    /// The directory to make for the new one
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A request (PKCS#10, PEM or DER) whose key is to be certified; a new key is made without it
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// The CA key for mutual TLS [default: the one with a profile that signs "tls-client"]
    #[arg(long, value_name = "KEY")]
    ca: Option<String>,
    /// How long the certificate is valid
    #[arg(long, value_name = "DURATION", default_value = "365days", value_parser = humantime::parse_duration)]
    lifetime: Duration,
}

/// # Errors
/// What is wrong, and whether anything was signed.
pub(super) fn run(args: &RenewArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let path = &args.config;
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let config = Config::check(path, &text).map_err(Faults)?;
    let (ca, _) = Document::parse(&text)?.client_ca(args.ca.as_deref())?;
    let issuer = KeyCertificate::load(section(&config, &ca)?)
        .with_context(|| format!("the certificate of key {ca}; nothing was signed"))?;
    let (_, old) = read_certificate(&args.certificate)?;
    let (tbs, name) = (old.tbs(), args.certificate.display());
    ensure!(
        is_signed_by(issuer.public_key(), tbs.signature_algorithm(), tbs.as_bytes(), old.signature()),
        "{name} was not signed by key {ca}; nothing was signed"
    );
    let wanted = args.wanted(&old)?;
    wanted.check(&issuer)?;
    let subject = Subject::of(args.csr.as_deref())?;
    let directory = std::path::absolute(&args.out)?;
    ensure!(
        directory.symlink_metadata().is_err(),
        "{} is there already, and nothing is written over; nothing was signed",
        directory.display()
    );
    let signing = Signing::of(&config, path, &ca)
        .context("nothing was signed; the signer must be running, for it signs the certificate")?;
    let signed = wanted.issue(&signing, &issuer, subject.public()).context("nothing was signed")?;
    let entry = signed.receipt.entry_index;
    let files = Identity { directory };
    make(&files.directory)
        .and_then(|()| files.write(&subject, &signed, &issuer))
        .with_context(|| format!("this was signed, but not written: entry {entry}"))?;
    let directory = fresh::shell(&files.directory);
    writeln!(out, "{directory}: certificate of {}, signed by {ca}: entry {entry}", wanted.common_name)?;
    let next = match wanted.end {
        End::Client => {
            "move it to its host, in the place of the old one; connections that are open keep that until they end"
        }
        End::Server => {
            "put key.pem and cert.pem where `tls_key` and `tls_certificate` say, and have the signer read them: kill -HUP PID"
        }
    };
    Ok(writeln!(out, "{next}")?)
}

impl RenewArgs {
    /// What the old one says of its holder.
    fn wanted(&self, old: &Certificate) -> anyhow::Result<Wanted> {
        let tbs = old.tbs();
        let serves = Oid::from_contents(oids::SERVER_AUTH);
        let end = if tbs.ext_key_usage().iter().any(|purpose| Some(purpose) == serves.as_ref()) {
            End::Server
        } else {
            End::Client
        };
        let common_name = tbs.subject().attributes().find(|attribute| attribute.label() == Some("CN"));
        let common_name = common_name.map(|attribute| attribute.value().to_owned());
        let common_name = common_name.ok_or_else(|| {
            anyhow!("{} has no common name; nothing was signed", self.certificate.display())
        })?;
        let names = tbs.subject_alt_names().to_vec();
        Ok(Wanted { end, common_name, names, lifetime: self.lifetime })
    }
}
