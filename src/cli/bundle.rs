//! `countersign bundle`: the keys of a line that are to be trusted now, for front-ends and for cron jobs on hosts.
//!
//! In: the name of any key of the line, and who reads it. Out: the text, on standard output or, replaced as a whole, in a file.
//! The signer is asked as any front-end asks it; who may use a key of the line may have its bundle.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use base64ct::{Base64, Encoding};
use countersign_proto::v1::{Bundle, BundleMember, Key, Purpose};
use serde_json::{Value, json};

use super::server::ServerArgs;
use super::unfinished::Unfinished;
use crate::cli::ledger::ascii;
use crate::cli::rotate::state;
use crate::config::bundles::is_host_pattern;
use crate::key::UnixTime;
use crate::rotation::cert_authorities;

/// Which line, and for whom.
#[derive(Debug, clap::Args)]
pub(super) struct BundleArgs {
    /// The name of any key of the line
    key: String,
    #[command(flatten)]
    server: ServerArgs,
    /// The form
    #[arg(long, value_name = "FORM")]
    format: Format,
    /// The hosts that host CAs are trusted for: patterns as known_hosts has them, for --format known-hosts
    #[arg(long, value_name = "PATTERN", required_if_eq_any([("format", "known-hosts"), ("format", "cert-authority")]), value_delimiter = ',')]
    hosts: Vec<String>,
    /// Where to write it, in one step; `-` for standard output, which is the default
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Who reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    /// Lines of sshd's TrustedUserCAKeys: of a user CA
    Openssh,
    /// Lines of known_hosts: of a host CA; `cert-authority`, as `key export-public` calls it, is the same
    #[value(alias = "cert-authority")]
    KnownHosts,
    /// The CA certificates of X.509 CAs; of SSH CAs, their SubjectPublicKeyInfo
    Pem,
    /// All that the signer says
    Json,
}

/// # Errors
/// If the signer gives none, or the form is not for its purpose.
pub(super) async fn run(args: BundleArgs) -> anyhow::Result<()> {
    ensure!(
        args.hosts.iter().all(|pattern| is_host_pattern(pattern)),
        "--hosts wants patterns such as \"*.example.org\", with commas between them"
    );
    ensure!(
        args.hosts.is_empty() || args.format == Format::KnownHosts,
        "--hosts is for --format known-hosts: no other form says for which hosts"
    );
    let client = args.server.connect().await?;
    let bundle = client.get_bundle(&args.key).await.map_err(|error| args.server.refused(error))?;
    let text = args.text(&bundle)?;
    // An empty file would have everybody refused.
    ensure!(!text.is_empty(), "the signer has no such bundle of key {}: nothing was written", args.key);
    match args.out.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => Unfinished::beside(path)?.for_all()?.finish(text.as_bytes()),
        None => Ok(std::io::stdout().lock().write_all(text.as_bytes())?),
    }
}

impl BundleArgs {
    fn text(&self, bundle: &Bundle) -> anyhow::Result<String> {
        let key = bundle.members.first().and_then(|member| member.key.as_ref());
        let purpose = key.map(Key::purpose).unwrap_or_default();
        // A host that takes a host CA for its user CA lets in everybody who has a host.
        let fits = |wanted, form: &str| {
            let own = purpose.as_str_name().trim_start_matches("PURPOSE_").to_lowercase().replace('_', "-");
            ensure!(purpose == wanted, "--format {form} is not for key {}, which is for {own}", self.key);
            Ok(())
        };
        Ok(match self.format {
            Format::Openssh => {
                fits(Purpose::SshUserCa, "openssh")?;
                bundle.openssh.clone()
            }
            Format::KnownHosts => {
                fits(Purpose::SshHostCa, "known-hosts")?;
                cert_authorities(&self.hosts.join(","), &bundle.openssh)
            }
            Format::Pem if purpose == Purpose::X509Ca => bundle.certificates.clone(),
            Format::Pem => bundle.pem.clone(),
            Format::Json => {
                let keys: Vec<Value> = bundle.members.iter().map(member).collect();
                ascii(&format!("{:#}\n", json!({ "active": bundle.active, "keys": keys })))
            }
        })
    }
}

fn member(member: &BundleMember) -> Value {
    let key = member.key.clone().unwrap_or_default();
    let at = (member.at_ms != 0).then(|| UnixTime(member.at_ms / 1000).to_string());
    json!({
        "key": key.name,
        "state": state(member.state()),
        "at": at,
        "fingerprint": key.ssh_fingerprint,
        "openssh": key.openssh,
        "spki": Base64::encode_string(&key.spki),
        "certificate": (!member.certificate.is_empty()).then(|| Base64::encode_string(&member.certificate)),
    })
}
