//! `countersign sign`: has one SSH certificate signed, as a front-end would, from the command line.
//!
//! In: a public key file, what the certificate is to say, and where the signer is. Out: a `-cert.pub` file, written in
//! one step, after checking that the signer gave back exactly what it was given. What may be signed is decided by the
//! signer, not here.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail, ensure};
use countersign_proto::client::{CallError, Client, ConnectError};
use countersign_proto::v1::sign_request::Tbs;
use countersign_proto::v1::{Key, Priority, SignRequest, SignResponse};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{Certificate, CertificateTbs, CertificateType, SubjectKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::agent::{Address, Upstream};
use crate::caller::{Caller, CallerName};
use crate::cli::Usage;
use crate::cli::ledger::note;
use crate::key::UnixTime;
use crate::policy::fields::{Fields, NamedValue};

mod unfinished;

pub(super) use unfinished::{Existing, Unfinished};

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

/// Where the signer is, and who asks.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The signer: https://HOST:PORT or unix:PATH.
    #[arg(long, env = "COUNTERSIGN_SERVER", value_name = "ADDRESS")]
    server: String,
    /// The client certificate's chain, PEM.
    #[arg(long, env = "COUNTERSIGN_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The client certificate's private key, PEM.
    #[arg(long, env = "COUNTERSIGN_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The CA certificates that the signer's own certificate must chain to, PEM.
    #[arg(long, env = "COUNTERSIGN_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// How long to wait for the signer.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Duration,
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
        (true, file) => serde_json::to_string_pretty(&issued.json(&line, file))?,
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

/// Connects to the signer at an address that was given as an argument, or in the environment.
pub(super) async fn connect(address: &Address, timeout: Duration) -> anyhow::Result<Client> {
    warn_of_key(address)?;
    match address.connect().await {
        Ok(client) => Ok(client.with_deadline(timeout)),
        Err(error @ ConnectError::Address(_)) => Err(Usage(error.to_string()).into()),
        Err(error) => Err(error.into()),
    }
}

/// Says so if others can read the client's private key, with which they are this caller.
fn warn_of_key(address: &Address) -> std::io::Result<()> {
    let Address::Tls { key, .. } = address else { return Ok(()) };
    // That it is not there, reading it says.
    let mode = fs::metadata(key).map_or(0, |there| there.permissions().mode() & 0o7777);
    if mode & 0o077 != 0 {
        let key = key.display();
        note(&format!(
            "warning: {key} has mode {mode:04o}: others can be this caller with it; run `chmod 0600 {key}`"
        ))?;
    }
    Ok(())
}

impl ServerArgs {
    /// Connects, with this caller's identity.
    ///
    /// # Errors
    /// An address, file or server that is not there.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        connect(&self.address()?, self.timeout).await
    }

    /// The same, for a program that outlives a connection.
    ///
    /// # Errors
    /// A file that was not named.
    pub(super) fn upstream(&self) -> anyhow::Result<Upstream> {
        let address = self.address()?;
        warn_of_key(&address)?;
        Ok(Upstream::new(address, self.timeout))
    }

    /// Whether it is asked over its Unix socket, by which it knows its operator.
    pub(super) fn is_local(&self) -> bool {
        self.server.starts_with("unix:")
    }

    /// What the signer calls this caller, as far as that can be told from here.
    pub(super) fn caller(&self) -> Option<CallerName> {
        if self.server.starts_with("unix:") {
            return Some(local_caller());
        }
        let leaf = CertificateDer::from_pem_file(self.tls_cert.as_ref()?).ok()?;
        CallerName::in_certificate(&leaf).ok()
    }

    /// A signer's refusal, with what its operator has to know of this caller.
    pub(super) fn refused(&self, error: CallError) -> anyhow::Error {
        if error.reason == "KEY_NOT_AVAILABLE" {
            no_key(self.caller().as_ref(), error)
        } else {
            refused(error)
        }
    }

    /// Whom to ask about a key that this caller may not use.
    pub(super) fn advice(&self) -> String {
        advice(self.caller().as_ref())
    }

    fn address(&self) -> anyhow::Result<Address> {
        if let Some(path) = self.server.strip_prefix("unix:") {
            return Ok(Address::Unix(path.into()));
        }
        let (Some(cert), Some(key), Some(ca)) = (&self.tls_cert, &self.tls_key, &self.tls_ca) else {
            bail!(Usage(format!("{} needs --tls-cert, --tls-key and --tls-ca", self.server)));
        };
        let (cert, key, ca) = (cert.clone(), key.clone(), ca.clone());
        Ok(Address::Tls { url: self.server.clone(), cert, key, ca })
    }
}

/// What a signer on this host calls whoever runs this.
fn local_caller() -> CallerName {
    Caller::from_uid(rustix::process::geteuid().as_raw()).name().clone()
}

/// What a signer on this host, whose operator may not have its keys sign as such, refused.
pub(super) fn refused_here(error: CallError) -> anyhow::Error {
    if error.reason == "KEY_NOT_AVAILABLE" { no_key(Some(&local_caller()), error) } else { refused(error) }
}

fn no_key(caller: Option<&CallerName>, mut error: CallError) -> anyhow::Error {
    // The signer's own advice is to call a method that is no command.
    if let Some((cause, _)) = error.message.split_once("; ") {
        error.message = String::from(cause);
    }
    anyhow!("{}\n  {}", refused(error), advice(caller))
}

fn advice(caller: Option<&CallerName>) -> String {
    let name = caller.map_or_else(|| "your name".to_owned(), |name| format!("{name}, as it calls you,"));
    format!(
        "ask the signer's operator whether a profile of the key has {name} in its `callers`, and whether the signer was restarted since \
         the profile was added"
    )
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

pub(super) fn refused(error: CallError) -> anyhow::Error {
    // Without a reason it is not the signer that speaks, but the connection to it.
    let who = if error.reason.is_empty() { "the call failed" } else { "the signer refused" };
    let mut lines = vec![format!("{who}: {error}")];
    lines.extend(error.rule.map(|rule| format!("rule: {rule}")));
    lines.extend(error.entry.map(|entry| format!("recorded as entry {entry}")));
    lines
        .extend(error.retry_after.map(|delay| format!("try again in {}", humantime::format_duration(delay))));
    anyhow!(lines.join("\n  "))
}

impl Issued {
    fn summary(&self, file: &Path) -> String {
        let tbs = self.certificate.tbs();
        let until = UNIX_EPOCH.checked_add(Duration::from_secs(tbs.valid_before()));
        let until = humantime::format_rfc3339_seconds(until.unwrap_or(SystemTime::UNIX_EPOCH));
        let recorded = self.response.receipt.as_ref().map_or_else(String::new, |receipt| {
            format!("; entry {} of {}", receipt.entry_index, receipt.log_origin)
        });
        format!(
            "{}: {} certificate for {}\n  serial {}, key id {:?}, valid until {until}\n  signed by {} ({}){recorded}",
            file.display(),
            tbs.certificate_type(),
            tbs.principals().join(", "),
            tbs.serial(),
            tbs.key_id(),
            self.ca.name,
            self.ca.ssh_fingerprint,
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

pub(super) fn random_id() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| {
        anyhow!("the system gives no random bytes for an id; see that /dev/urandom can be read here")
    })?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
