//! `countersign init`: a guided start, from an empty directory to a signer that has signed the certificates of its first callers.
//!
//! In: answers, typed or as options. Out: a directory with a configuration, a token's PIN and store, mutual TLS, and the identities
//! of a front-end and an operator. Promised: nothing that is there is written over or deleted, no PIN and no CA key is shown or in the
//! configuration, and the key of the CA for mutual TLS is on the token like the others: a signer that only this command can
//! reach signs with it, by the policy and into the ledger that stay.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;

use crate::token::process;
use make::Workshop;
use plan::Plan;

mod answer;
mod interview;
mod look;
mod make;
mod next;
pub(super) mod plan;
mod template;

pub(in crate::cli) use answer::Name;
use answer::{Authority, DomainName, Names, Organisation, Patterns, ServerNames, Span, TokenKind};
use interview::Interview;

/// What to make. Every question is an option, too: what is not given is asked for at a terminal.
#[derive(clap::Args)]
pub(super) struct InitArgs {
    /// The directory to make: it must not be there, or be empty
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The domain that certificates are for, which also names the log and the callers
    #[arg(long, value_name = "NAME", value_parser = DomainName::parse)]
    domain: Option<DomainName>,
    /// The organisation in the certificates of mutual TLS
    #[arg(long, value_name = "NAME", value_parser = Organisation::parse)]
    organisation: Option<Organisation>,
    /// What to be: ssh-user-ca, ssh-host-ca, x509-ca, or several, with commas
    #[arg(long, value_name = "LIST", value_parser = Authority::parse_list)]
    ca: Option<Authorities>,
    /// How the CA keys sign
    #[arg(long, value_name = "SCHEME", value_parser = answer::scheme)]
    scheme: Option<crate::key::Scheme>,
    #[command(flatten)]
    token_args: TokenArgs,
    /// A variable that the module wants; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = answer::variable)]
    environment: Vec<(String, String)>,
    /// Where the signer listens
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = crate::cli::value::address)]
    listen: Option<std::net::SocketAddr>,
    /// What callers call the signer: DNS names and addresses, with commas
    #[arg(long, value_name = "LIST", value_parser = ServerNames::parse)]
    server_names: Option<ServerNames>,
    /// The first front-end's name
    #[arg(long, value_name = "NAME", value_parser = Name::parse)]
    front_end: Option<Name>,
    /// Accounts that it may have user certificates for: patterns, with commas
    #[arg(long, value_name = "LIST", value_parser = Patterns::parse)]
    principals: Option<Patterns>,
    /// How long a user's certificate may live
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    max_lifetime: Option<Span>,
    /// What a user's certificate may permit, with commas, or "none"
    #[arg(long, value_name = "LIST", value_parser = Names::parse)]
    extensions: Option<Names>,
    /// Host names that it may have host certificates for: patterns, with commas
    #[arg(long, value_name = "LIST", value_parser = Patterns::parse)]
    hosts: Option<Patterns>,
    /// DNS names that it may have TLS certificates for: patterns, with commas
    #[arg(long, value_name = "LIST", value_parser = Patterns::parse)]
    dns_names: Option<Patterns>,
    /// How long a host's or a TLS server's certificate may live
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    max_server_lifetime: Option<Span>,
    /// How long the certificates of mutual TLS live
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    mtls_lifetime: Option<Span>,
    /// Ask nothing: take the default of whatever is not given
    #[arg(long)]
    yes: bool,
}

/// Which token, and how to get at it.
#[derive(clap::Args)]
struct TokenArgs {
    /// Where the keys are to be: softhsm2 (a new one, in the directory), pkcs11 (a token that is initialised), yubikey
    #[arg(long, value_name = "KIND", value_parser = TokenKind::parse)]
    token: Option<TokenKind>,
    /// The PKCS#11 module
    #[arg(long, value_name = "FILE", value_parser = answer::file)]
    module: Option<PathBuf>,
    /// The token's label
    #[arg(long, value_name = "LABEL", value_parser = answer::label)]
    label: Option<String>,
    /// The YubiKey's serial number
    #[arg(long, value_name = "SERIAL", value_parser = answer::serial)]
    yubikey: Option<u32>,
    /// For a token that is initialised: a file that holds its PIN, mode 0600
    #[arg(long, value_name = "FILE", value_parser = answer::file, conflicts_with = "pin_credential")]
    pin_file: Option<PathBuf>,
    /// For a token that is initialised: a credential that systemd hands to the service, and to this command
    #[arg(long, value_name = "NAME")]
    pin_credential: Option<String>,
    /// For YubiKeys: a file with the management key, mode 0600; asked for if left out
    #[arg(long, value_name = "FILE", value_parser = answer::file)]
    management_key_file: Option<PathBuf>,
}

/// What a signer is to be.
type Authorities = std::collections::BTreeSet<Authority>;

/// # Errors
/// What is missing or wrong; once something was made, what that is.
pub(super) fn run(args: InitArgs) -> anyhow::Result<()> {
    process::seal()?;
    super::log(tracing::Level::ERROR);
    let mut interview = Interview::new(args.yes);
    let plan = Plan::ask(args, &mut interview)?;
    let notes = plan.check()?;
    look::at_token(&plan)?;
    let mut out = std::io::stdout().lock();
    for line in [plan.summary()].iter().chain(&notes) {
        writeln!(out, "{line}")?;
    }
    drop(out);
    if !interview.confirm("Make it?")? {
        bail!("nothing was made; these are the same answers, for which nobody is asked:\n{}", plan.options());
    }
    let mut out = std::io::stdout().lock();
    Workshop::open(&plan, &mut out)?.make()?;
    Ok(write!(out, "{}", next::steps(&plan))?)
}
