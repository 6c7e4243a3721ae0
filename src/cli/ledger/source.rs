//! Which ledger a command reads: a file, or that of a signer that runs.
//!
//! In: options, and the environment. Promised: what is typed counts before what is in the environment, and a command that reads a file
//! unless a signer is typed asks none because of a variable.

use std::path::PathBuf;

use anyhow::bail;
use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};
use countersign_proto::Client;

use crate::cli::ledger::Log;
use crate::cli::ledger::served::Signer;
use crate::cli::server::Identity;
use crate::cli::{ConfigArgs, Usage};
use crate::ledger::Reader;

/// A signer that runs.
#[derive(Debug)]
pub(super) struct Running(Named);

/// The one at an address, or the one whose configuration names a socket.
#[derive(Debug, clap::Args)]
struct Named {
    /// The signer, as one of its `ledger.readers`: https://HOST:PORT, or unix:PATH as its operator [default: the configuration's
    /// server.unix_socket]
    #[arg(long, env = "COUNTERSIGN_SERVER", value_name = "ADDRESS")]
    server: Option<String>,
    /// The signer's configuration, which names its socket
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    identity: Identity,
}

impl FromArgMatches for Running {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut named = Named::from_arg_matches(matches)?;
        let is_typed = |option| matches.value_source(option) == Some(ValueSource::CommandLine);
        // Who types --config means that signer, whichever the environment names.
        if is_typed("config") && !is_typed("server") {
            named.server = None;
        }
        Ok(Self(named))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Running {
    fn augment_args(command: clap::Command) -> clap::Command {
        Named::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Named::augment_args_for_update(command)
    }
}

impl Running {
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        let Self(Named { server, config, identity }) = self;
        if let Some(address) = server {
            return identity.connect(address).await;
        }
        let Some(config) = config.clone() else {
            bail!(Usage(
                "name the signer: --server ADDRESS, which is unix:PATH for its operator, or --config FILE, whose server.unix_socket is \
                 then used; COUNTERSIGN_SERVER and COUNTERSIGN_CONFIG do the same"
                    .to_owned()
            ));
        };
        let args = ConfigArgs { config };
        Ok(args.operator(&args.load()?).await?.with_deadline(identity.timeout()))
    }
}

/// Either of them. `COUNTERSIGN_SERVER` is not heeded: who exported it to have something signed may have a file read all the same.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Source {
    /// The ledger's file, instead of the one that a configuration names
    #[arg(long, value_name = "FILE", required_unless_present_any = ["config", "server"])]
    ledger: Option<PathBuf>,
    /// The signer's configuration, which names the ledger
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    /// Ask a running signer instead, as one of its `ledger.readers`: https://HOST:PORT, or unix:PATH as its operator
    #[arg(long, value_name = "ADDRESS", conflicts_with = "ledger")]
    server: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

/// What a command reads from.
pub(in crate::cli) enum Opened {
    File(Box<Reader>),
    Signer(Box<Client>),
}

impl Source {
    pub(in crate::cli) async fn open(&self) -> anyhow::Result<Opened> {
        if let Some(address) = &self.server {
            return Ok(Opened::Signer(Box::new(self.identity.connect(address).await?)));
        }
        Ok(Opened::File(Box::new(self.file()?)))
    }

    /// The signer that is named, if one is, for whoever reads all of its log.
    pub(super) fn signer(&self) -> anyhow::Result<Option<Signer>> {
        self.server.as_ref().map(|address| Signer::connect(address, &self.identity)).transpose()
    }

    /// The ledger that a path or a configuration names.
    pub(super) fn file(&self) -> anyhow::Result<Reader> {
        Log::at(self.ledger.clone(), self.config.clone()).open()
    }
}

/// What a signer's refusal means to whoever wants to read its ledger.
pub(in crate::cli) fn refused(error: countersign_proto::client::CallError) -> anyhow::Error {
    if error.code == tonic::Code::Unimplemented {
        return anyhow::anyhow!(
            "the signer lets this caller read no ledger: have its `ledger.readers` list the caller, or ask as its operator: --server unix:PATH"
        );
    }
    crate::cli::server::refused(error)
}
