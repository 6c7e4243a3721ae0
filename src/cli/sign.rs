//! `countersign sign`: has one SSH certificate signed, as a front-end would, from the command line.
//!
//! In: a public key file, what the certificate is to say, and where the signer is. Out: a `-cert.pub` file, written in
//! one step, after checking that the signer gave back exactly what it was given. What may be signed is decided by the
//! signer, not here.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use countersign_proto::client::{CallError, Client, escaped};
use countersign_proto::v1::sign_request::Tbs;
use countersign_proto::v1::{Key, Priority, SignRequest, SignResponse};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{Certificate, CertificateTbs, CertificateType, SubjectKey};

use crate::cli::ledger::ascii;
use crate::cli::server::{ServerArgs, random_id, recorded};
use crate::cli::unfinished::Unfinished;
use crate::key::UnixTime;
use crate::policy::fields::{Fields, NamedValue};

#[cfg(test)]
mod tests;

/// Has an SSH certificate signed.
#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// The CA key's name in the signer's configuration.
    pub key: String,
    #[command(flatten)]
    server: ServerArgs,
    /// The public key to certify: an OpenSSH .pub file.
    #[arg(long, value_name = "FILE")]
    public_key: PathBuf,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Where to write the certificate; `-` for standard output [default: ID-cert.pub beside ID.pub].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print what was signed as JSON.
    #[arg(long)]
    json: bool,
    /// A name for this request in the signer's ledger, 1 to 64 of A-Z a-z 0-9 . _ : - [default: a random one].
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// A person is waiting: go before batch jobs.
    #[arg(long, conflicts_with = "bulk")]
    interactive: bool,
    /// A batch job: go after those where a person is waiting; the default.
    #[arg(long)]
    bulk: bool,
}

/// What the certificate says.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SubjectArgs {
    /// An account, or with --host a host name, that the certificate is good for; repeat it for several.
    #[arg(long = "principal", required = true, value_name = "NAME")]
    principals: Vec<String>,
    /// How long the certificate is valid from now on.
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = lifetime)]
    lifetime: Duration,
    /// How far before now its validity begins, for clocks that are slow; less than a profile allows, for a request takes its time.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    backdate: Duration,
    /// A host certificate instead of a user certificate.
    #[arg(long)]
    host: bool,
    /// What sshd logs when the certificate is used [default: the first principal].
    #[arg(long, value_name = "TEXT")]
    key_id: Option<String>,
    /// The serial number [default: 64 random bits].
    #[arg(long, value_name = "NUMBER")]
    serial: Option<u64>,
    /// An extension; may be repeated [default: permit-pty for a user, none for a host].
    #[arg(long = "extension", value_name = "NAME[=VALUE]")]
    extensions: Vec<NamedValue>,
    /// No extensions: of a user's certificate, which then permits nothing but what sshd's options for the account do.
    #[arg(long, conflicts_with = "extensions")]
    no_extensions: bool,
    /// A critical option; may be repeated.
    #[arg(long = "critical-option", value_name = "NAME[=VALUE]")]
    critical_options: Vec<NamedValue>,
}

/// What a request came to.
struct Issued {
    certificate: Certificate,
    ca: Key,
    request_id: String,
    response: SignResponse,
}

/// Runs the command.
///
/// # Errors
/// What the signer refused, or what kept the request from it, or the file that could not be written.
pub(super) async fn run(args: SignArgs) -> anyhow::Result<()> {
    let (line, subject_key) = read_public_key(&args.public_key)?;
    let out = args.out.clone().unwrap_or_else(|| certificate_path(&args.public_key));

    // Before anything is signed: a certificate that cannot be written is one that has to be revoked.
    let unfinished = Unfinished::unless_stdout(&out)?;
    let client = args.server.connect().await?;
    let issued = issue(&client, &args, subject_key).await?;

    let line = issued.certificate.to_openssh_line(comment(&line));
    let file = unfinished.is_some().then_some(out.as_path());
    if let Some(unfinished) = unfinished {
        unfinished
            .finish(format!("{line}\n").as_bytes())
            .with_context(|| format!("this was signed, but not written: {line}"))?;
    }
    let printed = match (args.json, file) {
        (true, file) => ascii(&serde_json::to_string_pretty(&issued.json(&line, file))?),
        (false, Some(file)) => issued.summary(file),
        (false, None) => line,
    };
    writeln!(std::io::stdout(), "{printed}").context("cannot write to standard output")
}

/// How long a certificate lives: whole seconds, one at least.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).map_err(|error| error.to_string());
    match parsed {
        Ok(lifetime) if lifetime.as_secs() > 0 => Ok(lifetime),
        Ok(_) => Err("a certificate lives a second at least; give a time such as 1h or 30days".to_owned()),
        Err(wrong) => Err(format!("{wrong}; give a time such as 1h or 30days")),
    }
}

/// The line of an OpenSSH .pub file, and the key in it.
pub(super) fn read_public_key(path: &Path) -> anyhow::Result<(String, SubjectKey)> {
    let name = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let line = String::from_utf8_lossy(&bytes).into_owned();
    // It is read by nobody here, and goes nowhere.
    ensure!(
        !line.starts_with("-----BEGIN ") || !line.contains("PRIVATE KEY-----"),
        "{name} is a private key, which stays where it is: give its public half, {name}.pub"
    );
    let key = SubjectKey::from_openssh_line(&line)
        .with_context(|| format!("{} is not an OpenSSH public key", path.display()))?;
    Ok((line, key))
}

impl SubjectArgs {
    /// What the options say.
    pub(super) fn fields(self) -> Fields {
        let none = self.host || self.no_extensions;
        let defaults = if none { Vec::new() } else { vec![NamedValue::flag("permit-pty")] };
        let extensions = if self.extensions.is_empty() { defaults } else { self.extensions };
        Fields {
            certificate_type: if self.host { CertificateType::Host } else { CertificateType::User },
            principals: self.principals,
            lifetime: self.lifetime,
            backdate: self.backdate,
            key_id: self.key_id,
            serial: self.serial,
            critical_options: self.critical_options,
            extensions,
        }
    }
}

async fn issue(client: &Client, args: &SignArgs, subject_key: SubjectKey) -> anyhow::Result<Issued> {
    let refused = |error| args.server.refused(error);
    let ca = client.get_key(&args.key).await.map_err(refused)?;
    let ca_key = PublicKey::from_spki_der(&ca.spki).context("the signer sent a key that cannot be read")?;
    let tbs = args.subject.clone().fields().tbs(subject_key, ca_key, UnixTime::now())?;
    let request_id = args.request_id.clone().map_or_else(random_id, Ok)?;
    let request = SignRequest {
        key: args.key.clone(),
        tbs: Some(Tbs::SshCertificate(tbs.as_bytes().to_vec().into())),
        request_id: request_id.clone(),
        priority: if args.interactive { Priority::Interactive } else { Priority::Bulk }.into(),
        ..SignRequest::default()
    };
    let host = args.subject.host;
    let response = client.sign(request).await.map_err(|error| refused(with_option(error, host)))?;
    let certificate = finished(&tbs, &response)?;
    Ok(Issued { certificate, ca, request_id, response })
}

/// A refusal, and which option makes the type of certificate that the key is for.
fn with_option(mut error: CallError, host: bool) -> CallError {
    if error.reason == "CERTIFICATE_TYPE_NOT_ALLOWED" {
        error.message.push_str(if host { " (leave out --host)" } else { " (give --host)" });
    }
    error
}

/// The finished certificate, if it is the one that was asked for. Its signature is for sshd to verify.
fn finished(tbs: &CertificateTbs, response: &SignResponse) -> anyhow::Result<Certificate> {
    let certificate =
        Certificate::parse(&response.object).context("the signer sent a certificate that cannot be read")?;
    ensure!(
        certificate.tbs().as_bytes() == tbs.as_bytes(),
        "the signer signed another certificate than the one that was asked for; it was thrown away"
    );
    Ok(certificate)
}

impl Issued {
    fn summary(&self, file: &Path) -> String {
        let tbs = self.certificate.tbs();
        let until = UNIX_EPOCH.checked_add(Duration::from_secs(tbs.valid_before()));
        let until = humantime::format_rfc3339_seconds(until.unwrap_or(SystemTime::UNIX_EPOCH));
        let recorded = self.response.receipt.as_ref().map(|receipt| format!("; {}", recorded(receipt)));
        let recorded = recorded.unwrap_or_default();
        format!(
            "{}: {} certificate for {}\n  serial {}, key id {:?}, valid until {until}\n  signed by {} ({}){recorded}",
            file.display(),
            tbs.certificate_type(),
            tbs.principals().join(", "),
            tbs.serial(),
            tbs.key_id(),
            escaped(&self.ca.name),
            escaped(&self.ca.ssh_fingerprint),
        )
    }

    fn json(&self, line: &str, file: Option<&Path>) -> serde_json::Value {
        let tbs = self.certificate.tbs();
        let receipt = self.response.receipt.as_ref().map(|receipt| {
            serde_json::json!({
                "log_origin": receipt.log_origin,
                "entry_index": receipt.entry_index,
                "leaf_hash": format!("{:x}", receipt.leaf_hash),
            })
        });
        serde_json::json!({
            "file": file,
            "certificate": line,
            "type": tbs.certificate_type().to_string(),
            // Text: most readers of JSON keep 53 bits of a number.
            "serial": tbs.serial().to_string(),
            "key_id": tbs.key_id(),
            "principals": tbs.principals(),
            "valid_after": tbs.valid_after(),
            "valid_before": tbs.valid_before(),
            "ca": { "name": self.ca.name, "fingerprint": self.ca.ssh_fingerprint },
            "scheme": self.certificate.scheme().name(),
            "request_id": self.request_id,
            "receipt": receipt,
        })
    }
}

/// `ID-cert.pub` for `ID.pub`, which is where ssh looks for it.
fn certificate_path(public_key: &Path) -> PathBuf {
    let mut name = match public_key.extension() {
        Some(extension) if extension == "pub" => public_key.with_extension("").into_os_string(),
        _ => public_key.as_os_str().to_owned(),
    };
    name.push("-cert.pub");
    name.into()
}

/// What follows the type and the base64 of a public key line.
fn comment(line: &str) -> &str {
    line.trim_end().splitn(3, ' ').nth(2).unwrap_or_default()
}
