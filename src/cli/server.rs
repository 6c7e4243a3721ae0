//! The signer that a command asks, and who asks.
//!
//! In: the options, or the environment. Out: a connection with this caller's identity, and what its refusals mean to whoever typed the command.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use countersign_proto::client::{CallError, Client, ConnectError, escaped};
use countersign_proto::v1::Receipt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::agent::{Address, Upstream};
use crate::caller::{Caller, CallerName};
use crate::cli::Usage;
use crate::cli::ledger::note;

#[cfg(test)]
mod tests;

/// Where the signer is, and who asks.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The signer: https://HOST:PORT or unix:PATH.
    #[arg(long, env = "COUNTERSIGN_SERVER", value_name = "ADDRESS")]
    server: String,
    #[command(flatten)]
    identity: Identity,
}

/// Who asks, and for how long.
#[derive(Debug, clap::Args)]
pub(super) struct Identity {
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

impl Identity {
    /// Connects to the signer at `server`, which was given as an argument or in the environment.
    ///
    /// # Errors
    /// An address, file or server that is not there.
    pub(super) async fn connect(&self, server: &str) -> anyhow::Result<Client> {
        let address = self.address(server)?;
        warn_of_key(&address)?;
        match address.connect().await {
            Ok(client) => Ok(client.with_deadline(self.timeout)),
            Err(error @ ConnectError::Address(_)) => Err(Usage(error.to_string()).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// How long to wait for the signer.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    fn address(&self, server: &str) -> anyhow::Result<Address> {
        if let Some(path) = server.strip_prefix("unix:") {
            return Ok(Address::Unix(path.into()));
        }
        let (Some(cert), Some(key), Some(ca)) = (&self.tls_cert, &self.tls_key, &self.tls_ca) else {
            bail!(Usage(format!("{server} needs --tls-cert, --tls-key and --tls-ca")));
        };
        let (cert, key, ca) = (cert.clone(), key.clone(), ca.clone());
        Ok(Address::Tls { url: server.to_owned(), cert, key, ca })
    }
}

impl ServerArgs {
    /// Connects, with this caller's identity.
    ///
    /// # Errors
    /// An address, file or server that is not there.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        self.identity.connect(&self.server).await
    }

    /// The same, for a program that outlives a connection.
    ///
    /// # Errors
    /// A file that was not named.
    pub(super) fn upstream(&self) -> anyhow::Result<Upstream> {
        let address = self.identity.address(&self.server)?;
        warn_of_key(&address)?;
        Ok(Upstream::new(address, self.identity.timeout))
    }

    /// Whether it is asked over its Unix socket, by which it knows its operator.
    pub(super) fn is_local(&self) -> bool {
        self.server.starts_with("unix:")
    }

    /// What the signer calls this caller, as far as that can be told from here.
    pub(super) fn caller(&self) -> Option<CallerName> {
        if self.is_local() {
            return Some(local_caller());
        }
        let leaf = CertificateDer::from_pem_file(self.identity.tls_cert.as_ref()?).ok()?;
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

/// A signer's refusal: its words, the rule and the entry.
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

/// Where a request is recorded, as the signer says it.
pub(super) fn recorded(receipt: &Receipt) -> String {
    format!("entry {} of {}", receipt.entry_index, escaped(&receipt.log_origin))
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

/// A name for a request in the signer's ledger: 32 hexadecimal digits.
///
/// # Errors
/// The system gives no random bytes.
pub(super) fn random_id() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| {
        anyhow!("the system gives no random bytes for an id; see that /dev/urandom can be read here")
    })?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
