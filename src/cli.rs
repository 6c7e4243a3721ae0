//! The `countersign` command: parses arguments, calls the library, prints.
//!
//! In: arguments and the environment. Out: text for people on standard output (JSON where `--json` asks for it), errors
//! on standard error, and an exit status. The tree of commands is the tree of modules: `countersign key generate` is
//! `cli/key.rs`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};
use countersign_proto::client::escaped;
use countersign_proto::{Client, v1};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Fault, unguarded};
use crate::key::Scheme;
use crate::key::pem::pem;
use crate::token::process;

mod agent;
mod bench;
mod bundle;
mod ceremony;
mod check;
mod client;
mod crl;
mod doctor;
mod fresh;
mod health;
mod init;
mod key;
pub(crate) mod ledger;
mod policy;
mod restore;
mod revoke;
mod revoked;
mod rotate;
mod serve;
mod server;
mod sign;
mod sign_csr;
mod sign_tbs;
mod signing;
mod ssh_krl;
mod subprocess;
mod token;
mod token_process;
mod turn;
mod unfinished;
mod value;
mod x509;

/// Keeps CA keys in a token, reads every certificate before it signs it, and records all of it.
///
/// Exit status: 0 done; 1 it failed while it ran; 2 wrong arguments, or a start-up or configuration fault: nothing was served or signed;
/// 75 (of `serve`) the same, by a fault that may pass by itself.
#[derive(Parser)]
#[command(name = "countersign", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start from nothing: a token, keys, mutual TLS and a configuration, by questions or by options
    Init(Box<init::InitArgs>),
    /// Run the signing service
    Serve(serve::ServeArgs),
    /// Have a front-end's certificate for mutual TLS signed, and give it a profile
    #[command(subcommand)]
    Client(client::Command),
    /// Check a configuration against its tokens: finds every key, signs nothing, listens nowhere
    Check(check::CheckArgs),
    /// Say what is wrong with this installation, why, and what to do: exit status 0 if all is well, 1 for warnings, 2 for faults
    Doctor(doctor::DoctorArgs),
    /// Ask a running service whether it, or one of its keys, can sign now
    Health(Box<health::HealthArgs>),
    /// Have an SSH certificate signed by a running service
    Sign(Box<sign::SignArgs>),
    /// Have an X.509 certificate signed by a running service, for the key of a request (PKCS#10)
    SignCsr(Box<sign_csr::SignCsrArgs>),
    /// Have any TBS signed by a running service: the exact bytes of a file
    SignTbs(Box<sign_tbs::SignTbsArgs>),
    /// Revoke certificates, for ever: by serial, key id, principal, subject key, time or entry
    Revoke(Box<revoke::Revoke>),
    /// Write what is revoked as an OpenSSH KRL: for sshd's RevokedKeys
    SshKrl(Box<ssh_krl::SshKrl>),
    /// Have what is revoked signed as an X.509 CRL
    Crl(Box<crl::Crl>),
    /// Have one CA key take the place of another, step by step
    #[command(subcommand)]
    Rotate(Box<rotate::Command>),
    /// Print the keys that are to be trusted in the place of one: for sshd, known_hosts and X.509
    Bundle(Box<bundle::BundleArgs>),
    /// Be an SSH agent whose keys are a running service's CA keys: for `ssh-keygen -s CA.pub -U`
    Agent(Box<agent::AgentArgs>),
    /// Put load on a running service and measure it
    ///
    /// What it has signed are real certificates, which are in the ledger for good, and it spends the budget of the caller that it is: use a
    /// caller of its own, whose profile has a large budget, and no other's. It stops as soon as the budget is used up.
    Bench(Box<bench::BenchArgs>),
    /// Initialise, list and show tokens, and change their PINs
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Make, import, show, move and delete keys on tokens, and certify CA keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Hold a key ceremony by a script, before witnesses, and check the transcript of one
    #[command(subcommand)]
    Ceremony(ceremony::Command),
    /// Explain and test a policy, offline; thaw a caller that was frozen
    #[command(subcommand)]
    Policy(policy::Command),
    /// Read the ledger
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Write a manual page for each command into a directory: countersign.1, countersign-token-init.1
    Man {
        /// The directory, which is made if it is not there
        directory: PathBuf,
    },
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Which configuration a command reads.
#[derive(clap::Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: PathBuf,
}

/// Something that kept a command from starting: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub(crate) struct Faults(Vec<Fault>);

/// The same, and all of it may pass by itself: exit status 75, `EX_TEMPFAIL` of sysexits.h, upon which a supervisor tries again.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Passing(Faults);

/// What kept a command from its answer, where the answer is an exit status: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{}", causes(.0))]
pub(crate) struct NoAnswer(anyhow::Error);

/// Arguments that do not fit the configuration, or each other, and what to give instead: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

impl Faults {
    /// The error of a daemon that did not start.
    fn of_start(self) -> anyhow::Error {
        if self.0.iter().all(|fault| fault.passes) { Passing(self).into() } else { self.into() }
    }
}

impl Usage {
    /// A section that was named on the command line, and is not in the configuration.
    pub(crate) fn no_section<'a>(kind: &str, name: &str, there: impl Iterator<Item = &'a str>) -> Self {
        let there: Vec<_> = there.collect();
        Self(format!("there is no [{kind}.{name}] in the configuration; there are: {}", there.join(", ")))
    }

    /// A command that talks to the signer's operator socket, of a configuration without one.
    pub(crate) fn no_socket(config: &Path) -> Self {
        Self(format!(
            "{} has no server.unix_socket, which is how the signer is told: set it, and restart the signer, which reads its \
             configuration only when it starts",
            config.display()
        ))
    }
}

impl ConfigArgs {
    /// The checked configuration.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        load(&self.config)
    }

    /// The checked configuration, if nobody but its owner can change it: for who is to serve by it.
    fn load_guarded(&self) -> anyhow::Result<Config> {
        let config = self.load()?;
        unguarded(&self.config).map_or(Ok(config), |fault| Err(Faults(vec![fault]).into()))
    }

    /// A connection to the running signer as its operator, over the socket that the configuration names.
    async fn operator(&self, config: &Config) -> anyhow::Result<Client> {
        let socket = config.server.unix_socket.as_deref().ok_or_else(|| Usage::no_socket(&self.config))?;
        let advice = "if it started before `unix_socket` was set, restart it";
        Client::connect_unix(socket).await.map_err(|error| anyhow::anyhow!("{error}; {advice}"))
    }
}

/// Loads a configuration; its faults become one error.
pub(crate) fn load(path: &Path) -> anyhow::Result<Config> {
    Ok(loaded(path).map_err(Faults)?)
}

/// A configuration, which knows where systemd has put this process's credentials.
fn loaded(path: &Path) -> Result<Config, Vec<Fault>> {
    let mut config = Config::load(path)?;
    config.locate_credentials(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).as_deref());
    Ok(config)
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    // What `serve` runs for each token is nobody's command: it is in no help and in no completion.
    let is_token_process = std::env::args_os().nth(1).is_some_and(|word| word == process::WORD);
    let result = if is_token_process { token_process::run() } else { run(parsed().command) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// The arguments; ends the process if they are none, with a hint at the environment's part in them.
fn parsed() -> Cli {
    Cli::try_parse().unwrap_or_else(|mut error| {
        let tips =
            error.get(ContextKind::InvalidArg).map(|missing| tips(missing, &typed())).unwrap_or_default();
        if error.kind() == ErrorKind::MissingRequiredArgument && !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
        error.exit()
    })
}

/// The command that the arguments name, as far as they name one.
fn typed() -> clap::Command {
    std::env::args_os()
        .skip(1)
        .fold(Cli::command(), |command, word| command.find_subcommand(&word).cloned().unwrap_or(command))
}

/// Where a missing argument of a command may be named instead.
fn tips(missing: &ContextValue, command: &clap::Command) -> Vec<StyledStr> {
    let ContextValue::Strings(missing) = missing else { return Vec::new() };
    let asks_signers = command.get_arguments().any(|option| option.get_long() == Some("server"));
    let tips = |argument: &String| match argument.split(' ').next() {
        Some("--config") => vec!["the configuration may also be named in COUNTERSIGN_CONFIG"],
        Some("--ledger") => {
            let file = "--config FILE, or COUNTERSIGN_CONFIG, names a configuration, which names its ledger";
            let signer = "--server ADDRESS asks a signer that runs; COUNTERSIGN_SERVER does not count here";
            if asks_signers { vec![file, signer] } else { vec![file] }
        }
        Some("--server") => vec!["the signer's address may also be in COUNTERSIGN_SERVER"],
        _ => vec![],
    };
    missing.iter().flat_map(tips).map(StyledStr::from).collect()
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => init::run(*args),
        Command::Serve(args) => serve::run(&args),
        Command::Client(command) => client::run(command),
        Command::Check(args) => check::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Health(args) => runtime()?.block_on(health::run(*args)),
        Command::Sign(args) => runtime()?.block_on(sign::run(*args)),
        Command::SignCsr(args) => sign_csr::run(&args),
        Command::SignTbs(args) => runtime()?.block_on(sign_tbs::run(*args)),
        Command::Revoke(revoke) => revoke.run(&mut std::io::stdout().lock()),
        Command::SshKrl(krl) => krl.run(&mut std::io::stdout().lock()),
        Command::Crl(crl) => crl.run(&mut std::io::stdout().lock()),
        Command::Rotate(command) => command.run(&mut std::io::stdout().lock()),
        Command::Bundle(args) => runtime()?.block_on(bundle::run(*args)),
        Command::Agent(args) => agent::run(&args),
        Command::Bench(args) => {
            let token = bench::prepare(&args)?;
            runtime()?.block_on(bench::run(*args, token))
        }
        Command::Token(command) => token::run(command),
        Command::Key(command) => key::run(command),
        Command::Ceremony(command) => command.run(),
        Command::Policy(command) => command.run(&mut std::io::stdout().lock()),
        Command::Ledger(command) => command.run(&mut std::io::stdout().lock()),
        Command::Man { directory } => man(&directory),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "countersign", &mut script);
            Ok(std::io::stdout().write_all(&script)?)
        }
    }
}

/// Writes the manual: a page for each command, but none for the `help` that clap adds to each.
fn man(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, directory)
        .with_context(|| format!("cannot write into {}", directory.display()))
}

/// Says what went wrong: every fault on a line of its own, or the chain of causes on one. Of that chain much came from a signer or a file, so
/// that it is escaped here, whatever command failed.
#[expect(clippy::print_stderr, reason = "the command's own error output")]
fn report(error: &anyhow::Error) -> ExitCode {
    if error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    {
        // Whoever read the output has had enough of it: `countersign key list | head -1`.
        return ExitCode::SUCCESS;
    }
    if let Some(faults) = error.downcast_ref::<Faults>() {
        eprintln!("{faults}");
        return ExitCode::from(2);
    }
    if let Some(passing) = error.downcast_ref::<Passing>() {
        eprintln!("{passing}");
        return ExitCode::from(75);
    }
    let causes: Vec<_> = causes(error).split('\n').map(escaped).collect();
    eprintln!("countersign: {}", causes.join("\n"));
    if error.is::<NoAnswer>() || error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// An error and its causes on one line, leaving out each cause that the message before it has told already; what to do comes last.
fn causes(error: &anyhow::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |_| Fault::caused("", error.as_ref()).message())
}

/// Sends the log to standard error, from `level` on unless `RUST_LOG` says otherwise.
fn log(level: tracing::Level) {
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// How a key signs, as its signer says it.
fn scheme(key: &v1::Key) -> anyhow::Result<Scheme> {
    let word = |scheme: &Scheme| format!("SCHEME_{}", scheme.name().to_uppercase().replace('-', "_"));
    let scheme = Scheme::ALL.into_iter().find(|scheme| word(scheme) == key.scheme().as_str_name());
    scheme.with_context(|| format!("the scheme of key {} is not known here", key.name))
}

/// The runtime of the commands that talk to something.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
