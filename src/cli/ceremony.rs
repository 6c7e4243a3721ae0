//! `countersign ceremony`: keys made before witnesses, by a script that everybody has read.
//!
//! In: a script of steps, and operators at a terminal. Out: a directory with the transcript, signed by those who were there and by each key that
//! was made. The order: `plan` (the dry run), `operators` (who is here), `step` after step, and the signatures; `run` is that line as code.
//! Commands are run as their own processes, by their arguments alone: a ceremony can do nothing that an operator could not.

use std::io::{self, Write};

mod action;
mod copies;
mod inputs;
mod markdown;
mod operators;
mod plan;
mod record;
mod run;
mod script;
mod sign;
mod signer;
mod step;
mod terminal;
mod transcript;
mod verify;

/// What to do with ceremonies.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Hold a ceremony: the dry run first, then each step once it is confirmed
    Run(run::RunArgs),
    /// Check the transcript of a ceremony, and every signature of it: exit status 1 if anything does not hold
    Verify(verify::VerifyArgs),
    /// Have a key that was made in a ceremony sign its transcript; `run` does so by itself
    Sign(sign::SignArgs),
    /// Print a script to begin with
    Example {
        /// What for
        kind: Example,
    },
}

/// For what there is an example.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Example {
    /// An offline X.509 root, and a CA below it
    OfflineRoot,
    /// A CA of SSH user certificates
    SshUserCa,
}

impl Command {
    /// # Errors
    /// What went wrong, and what to do.
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Run(args) => run::run(&args),
            Self::Verify(args) => verify::run(&args, &mut io::stdout().lock()),
            Self::Sign(args) => sign::run(&args),
            Self::Example { kind } => Ok(io::stdout().lock().write_all(kind.text().as_bytes())?),
        }
    }
}

impl Example {
    fn text(self) -> &'static str {
        match self {
            Self::OfflineRoot => include_str!("../../docs/ceremony-offline-root.example.toml"),
            Self::SshUserCa => include_str!("../../docs/ceremony-ssh-user-ca.example.toml"),
        }
    }
}
