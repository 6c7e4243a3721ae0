//! `countersign key export-public`: the public half, in the form that whoever is to trust it reads.

use std::io::{self, Write};

use anyhow::ensure;

use super::{open_public, spki_pem};
use crate::cli::ConfigArgs;
use crate::config::bundles::is_host_pattern;
use crate::key::{self, KeyPurpose, PublicKey, art, jwk};

/// Which key, and for whom.
#[derive(clap::Args)]
pub(crate) struct ExportArgs {
    /// The key's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// The form
    #[arg(long, value_name = "FORM", default_value = "openssh")]
    format: Format,
    /// The hosts that a host CA is trusted for: patterns as known_hosts has them, for --format cert-authority
    #[arg(long, value_name = "PATTERN", required_if_eq_any([("format", "cert-authority"), ("format", "known-hosts")]), value_delimiter = ',')]
    hosts: Vec<String>,
    /// What is written after the key, instead of its name
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

/// Who reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    /// A line as of an OpenSSH .pub file
    Openssh,
    /// SubjectPublicKeyInfo in PEM
    Pem,
    /// A JSON Web Key, with its thumbprint (RFC 7638) as kid
    Jwk,
    /// A line of known_hosts that has clients trust a host CA; `known-hosts`, as `bundle` calls it, is the same
    #[value(alias = "known-hosts")]
    CertAuthority,
    /// A line of sshd's TrustedUserCAKeys, which has hosts trust a user CA
    TrustedUserCa,
    /// What `ssh-keygen -lv` says: fingerprint and picture
    Fingerprint,
}

/// # Errors
/// If the key cannot be read, or the form is not for its purpose.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let (key, _) = super::sections(&config, &args.name)?;
    // Before any login: it costs nothing.
    args.fits(key)?;
    let comment = args.comment.as_deref().unwrap_or(&args.name);
    ensure!(
        !comment.contains(char::is_control),
        "--comment has control characters, which would end the line"
    );
    let (public_key, _) = open_public(&config, &args.name)?;
    let none = || anyhow::anyhow!("keys for {} have no such form: take --format pem", key.scheme);
    let text = args.text(key, &public_key, comment).ok_or_else(none)?;
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

impl ExportArgs {
    /// Whether a line that makes somebody trust the key says what the key is for: a host that takes a host CA for its user CA lets
    /// in everybody who has a host.
    fn fits(&self, key: &key::Config) -> anyhow::Result<()> {
        let (purpose, name) = match self.format {
            Format::CertAuthority => (KeyPurpose::SshHostCa, "cert-authority"),
            Format::TrustedUserCa => (KeyPurpose::SshUserCa, "trusted-user-ca"),
            Format::Openssh | Format::Pem | Format::Jwk | Format::Fingerprint => return self.has_no_hosts(),
        };
        if self.format == Format::TrustedUserCa {
            self.has_no_hosts()?;
        }
        ensure!(
            key.purpose == purpose,
            "{name} is for keys of purpose {purpose}; {} is of {}",
            key.name,
            key.purpose
        );
        ensure!(
            self.hosts.iter().all(|host| is_host_pattern(host)),
            "--hosts wants patterns such as \"*.example.org\", with commas between them"
        );
        Ok(())
    }

    fn has_no_hosts(&self) -> anyhow::Result<()> {
        ensure!(
            self.hosts.is_empty(),
            "--hosts is for --format cert-authority: no other form says for which hosts"
        );
        Ok(())
    }

    /// `None` if there is no such form of such a key.
    fn text(&self, key: &key::Config, public_key: &PublicKey, comment: &str) -> Option<String> {
        let line = || public_key.to_openssh_line(comment);
        Some(match self.format {
            Format::Openssh | Format::TrustedUserCa => format!("{}\n", line()?),
            Format::Pem => spki_pem(public_key),
            Format::Jwk => format!("{:#}\n", jwk::jwk(public_key, key.scheme)?),
            Format::CertAuthority => format!("@cert-authority {} {}\n", self.hosts.join(","), line()?),
            Format::Fingerprint => art::fingerprint(public_key, comment)?,
        })
    }
}
