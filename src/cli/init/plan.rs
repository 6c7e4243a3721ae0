//! What is to be made: every answer of a guided start, checked, and the words that show it before anything is.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::InitArgs;
use super::answer::{self, Authority, DomainName, Name, Names, Organisation, Patterns, ServerNames, Span};
use super::interview::{Interview, Question};
use super::template::{self, Made};
use crate::cli::{Faults, Usage};
use crate::config::{Config, Fault};
use crate::directory;
use crate::key::{KeyPurpose, Scheme};
use crate::policy::wide::Wide;

mod options;
mod token;

pub(super) use token::{PinSource, Token};

/// The key of the CA for mutual TLS.
pub(super) const MTLS: &str = "mtls-ca";
/// The ledger's own key.
pub(super) const LOG: &str = "log";
/// Who may read the ledger over the network.
pub(super) const OPERATOR: &str = "operator";

/// The Unix socket, in the directory.
const SOCKET: &str = "signer.sock";
/// What `bind(2)` takes, less what a server that is about to listen adds to it.
const LONGEST_SOCKET: usize = 96;

/// Every answer.
pub(super) struct Plan {
    /// Absolute.
    pub(super) directory: PathBuf,
    pub(super) domain: DomainName,
    pub(super) organisation: Organisation,
    pub(super) authorities: BTreeSet<Authority>,
    pub(super) scheme: Scheme,
    pub(super) token: Token,
    pub(super) environment: Vec<(String, String)>,
    pub(super) listen: SocketAddr,
    pub(super) server_names: ServerNames,
    pub(super) front_end: Name,
    pub(super) users: Option<Users>,
    /// Host names, if it is a CA for hosts.
    pub(super) hosts: Option<Patterns>,
    /// DNS names, if it is a CA for TLS.
    pub(super) dns_names: Option<Patterns>,
    pub(super) max_server_lifetime: Span,
    pub(super) mtls_lifetime: Span,
    /// Who runs this, and is the operator on this host.
    pub(super) uid: u32,
}

/// What a CA for users may certify.
pub(super) struct Users {
    pub(super) principals: Patterns,
    pub(super) max_lifetime: Span,
    pub(super) extensions: Names,
}

/// A key that is to be made.
pub(super) struct NewKey {
    pub(super) name: &'static str,
    pub(super) purpose: KeyPurpose,
    pub(super) scheme: Scheme,
}

/// A question whose default is a word.
fn question<'a>(option: &'static str, text: &'a str, default: &str) -> Question<'a> {
    Question { option, text, default: Some(default.to_owned()) }
}

/// A question that only somebody who knows can answer.
fn open<'a>(option: &'static str, text: &'a str) -> Question<'a> {
    Question { option, text, default: None }
}

impl Plan {
    /// # Errors
    /// What nobody answered, or that the directory holds something.
    pub(super) fn ask(args: InitArgs, ask: &mut Interview) -> anyhow::Result<Self> {
        ask.say("Every question is an option as well (countersign init --help). Nothing is made before you say yes.")?;
        let given = args.directory.map(|given| vacant(&given.to_string_lossy())).transpose();
        let directory = ask.ask(
            &question("--directory", "Directory to make", "countersign"),
            given.map_err(anyhow::Error::msg)?,
            vacant,
        )?;
        let domain = ask.ask(
            &open("--domain", "Domain that certificates are for, such as example.org"),
            args.domain,
            DomainName::parse,
        )?;
        let of_domain =
            |text: &str| domain.as_ref().map(|domain| format!("{text}{domain}")).unwrap_or_default();
        let (own, below) = (of_domain(""), of_domain("*."));
        let organisation =
            Question { option: "--organisation", text: "Organisation", default: Some(own.clone()) };
        let organisation = domain
            .is_some()
            .then(|| ask.ask(&organisation, args.organisation, Organisation::parse))
            .transpose()?
            .flatten();
        let authorities = ask.ask(
            &question("--ca", "What it signs: ssh-user-ca, ssh-host-ca, x509-ca, with commas", "ssh-user-ca"),
            args.ca,
            Authority::parse_list,
        )?;
        let is = |authority| authorities.as_ref().is_some_and(|all| all.contains(&authority));
        let fits = |scheme| answer::fits(scheme, authorities.as_ref());
        let given = args.scheme.map(fits).transpose().map_err(Usage)?;
        let question_of_scheme = question("--scheme", "How the CA keys sign", "ecdsa-p256-sha256");
        let scheme = ask.ask(&question_of_scheme, given, |text| fits(answer::scheme(text)?))?;
        let token = Token::ask(&args.token_args, ask)?;
        let listen =
            ask.ask(&question("--listen", "Where it listens", "127.0.0.1:8443"), args.listen, |text| {
                text.parse().map_err(|_| "ADDRESS:PORT".to_owned())
            })?;
        let server_names = question("--server-names", "What its callers call it, with commas", "localhost");
        let server_names = ask.ask(&server_names, args.server_names, ServerNames::parse)?;
        let given = args.front_end.map(|given| caller(given.as_str())).transpose().map_err(Usage)?;
        let front_end =
            ask.ask(&question("--front-end", "The first front-end's name", "front-end"), given, caller)?;
        let users = if is(Authority::User) {
            Users::ask(args.principals, args.max_lifetime, args.extensions, ask)?
        } else {
            None
        };
        let mut names = |authority, option, text: &str, given| {
            let question = Question { option, text, default: Some(below.clone()) };
            if is(authority) && domain.is_some() {
                ask.ask(&question, given, Patterns::parse)
            } else {
                Ok(None)
            }
        };
        let hosts =
            names(Authority::Host, "--hosts", "Hosts it may certify: patterns, with commas", args.hosts)?;
        let text = "DNS names it may certify: patterns, with commas";
        let dns_names = names(Authority::Tls, "--dns-names", text, args.dns_names)?;
        let span = |option, default: &str, given: Option<Span>| match given {
            Some(given) => Ok(given),
            None => Span::parse(default).map_err(|wrong| anyhow::anyhow!("{option}: {wrong}")),
        };
        let max_server_lifetime = span("--max-server-lifetime", "90days", args.max_server_lifetime)?;
        let mtls_lifetime = ask.ask(
            &question("--mtls-lifetime", "How long the certificates of mutual TLS live", "365days"),
            args.mtls_lifetime,
            Span::parse,
        )?;
        ask.complete()?;
        let unanswered = "a question was not answered";
        Ok(Self {
            directory: directory.context(unanswered)?,
            domain: domain.context(unanswered)?,
            organisation: organisation.context(unanswered)?,
            authorities: authorities.context(unanswered)?,
            scheme: scheme.context(unanswered)?,
            token: token.context(unanswered)?,
            environment: args.environment,
            listen: listen.context(unanswered)?,
            server_names: server_names.context(unanswered)?,
            front_end: front_end.context(unanswered)?,
            users,
            hosts,
            dns_names,
            max_server_lifetime,
            mtls_lifetime: mtls_lifetime.context(unanswered)?,
            uid: rustix::process::geteuid().as_raw(),
        })
    }

    /// The keys, in the order in which they are made.
    pub(super) fn keys(&self) -> Vec<NewKey> {
        let own = |name, purpose| NewKey { name, purpose, scheme: Scheme::EcdsaP256Sha256 };
        let authority = |authority: &Authority| NewKey {
            name: authority.key(),
            purpose: authority.purpose(),
            scheme: self.scheme,
        };
        let own = [own(MTLS, KeyPurpose::X509Ca), own(LOG, KeyPurpose::Ledger)];
        self.authorities.iter().map(authority).chain(own).collect()
    }

    /// Where the configuration is to be.
    pub(super) fn config(&self) -> PathBuf {
        self.directory.join("countersign.toml")
    }

    /// Has the configuration checked that would be written: what is wrong with an answer is found before anything is made. What bounds
    /// little, for a person.
    ///
    /// # Errors
    /// Each fault of it.
    pub(super) fn check(&self) -> anyhow::Result<Vec<String>> {
        let lifetime = &self.mtls_lifetime;
        ensure!(
            lifetime.duration <= template::CA_LIFETIME,
            Usage(format!(
                "nothing was made: certificates cannot live {lifetime}, for their CA lives ten years; give a shorter --mtls-lifetime"
            ))
        );
        let mut wide = Vec::new();
        for certified in [false, true] {
            let text = template::render(self, &Made { certified, ..Made::default() })?;
            let config = Config::check(&self.config(), &text).map_err(|faults| {
                // There is no such file, and nobody could look at its lines.
                let nowhere = faults.into_iter().map(|fault| Fault { file: None, line: None, ..fault });
                let faults = Faults(nowhere.collect());
                Usage(format!("nothing was made, for the configuration would be at fault:\n{faults}"))
            })?;
            wide = config.policy.wide().iter().map(note).collect();
        }
        Ok(wide)
    }

    /// What is to be made, for a person.
    pub(super) fn summary(&self) -> String {
        let mut text = format!("{}, for its owner alone:\n", self.directory.display());
        let mut line = |word: &str, what: String| {
            // A String takes whatever it is given.
            let _ = writeln!(text, "  {word:<12}  {what}");
        };
        line("token", self.token.summary());
        for key in self.keys() {
            line("new key", format!("{}: {}, {}", key.name, key.purpose, key.scheme));
        }
        let names = self.server_names.dns.iter().cloned();
        let names: Vec<_> =
            names.chain(self.server_names.addresses.iter().map(ToString::to_string)).collect();
        line(
            "signer",
            format!(
                "listens on {} as {}, and on signer.sock for uid:{}",
                self.listen,
                names.join(", "),
                self.uid
            ),
        );
        line("front-end", self.domain.caller(&self.front_end));
        if let Some(users) = &self.users {
            let names = users.principals.0.join(", ");
            line("", format!("user-ca for {names}, up to {}", users.max_lifetime));
        }
        for (key, names) in [("host-ca", &self.hosts), ("tls-ca", &self.dns_names)] {
            if let Some(names) = names {
                line("", format!("{key} for {}, up to {}", names.0.join(", "), self.max_server_lifetime));
            }
        }
        line("operator", format!("spiffe://{}/{OPERATOR}: reads the ledger", self.domain));
        line("certificates", format!("of mutual TLS, for {}, by {MTLS}", self.mtls_lifetime));
        text.trim_end().to_owned()
    }
}

impl Users {
    fn ask(
        principals: Option<Patterns>,
        max_lifetime: Option<Span>,
        extensions: Option<Names>,
        ask: &mut Interview,
    ) -> anyhow::Result<Option<Self>> {
        let text = "Accounts it may certify: patterns, with commas, such as alice,deploy-*";
        let principals = ask.ask(&open("--principals", text), principals, Patterns::parse)?;
        let text = "How long a user's certificate may live";
        let max_lifetime = ask.ask(&question("--max-lifetime", text, "16h"), max_lifetime, Span::parse)?;
        let text = "What it may permit, with commas, or none";
        let extensions = ask.ask(&question("--extensions", text, "permit-pty"), extensions, Names::parse)?;
        let all = principals.zip(max_lifetime).zip(extensions);
        Ok(all.map(|((principals, max_lifetime), extensions)| Self { principals, max_lifetime, extensions }))
    }
}

/// What a person should know of a bound before anybody relies on it.
pub(in crate::cli) fn note(wide: &Wide) -> String {
    format!("beware: {} {}; {}", wide.at, wide.cause, wide.fix)
}

/// A caller's name that is not the operator's.
fn caller(text: &str) -> Result<Name, String> {
    if text == OPERATOR {
        Err(format!("{OPERATOR:?} is the operator's name; take another"))
    } else {
        Name::parse(text)
    }
}

/// The absolute path of a directory that is not there, or is empty and of the user who runs this.
fn vacant(text: &str) -> Result<PathBuf, String> {
    let absolute = std::path::absolute(text).map_err(|error| format!("{text:?}: {error}"))?;
    let parent = absolute.parent().ok_or("a directory below another")?;
    let parent =
        fs::canonicalize(parent).map_err(|error| format!("cannot read {}: {error}", parent.display()))?;
    let directory = parent.join(absolute.file_name().ok_or("a directory with a name")?);
    if directory.join(SOCKET).as_os_str().len() > LONGEST_SOCKET {
        return Err(format!(
            "the path of {SOCKET} there would be longer than {LONGEST_SOCKET} bytes, which no socket's may be: make it elsewhere"
        ));
    }
    match directory::is_own(&directory) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(directory),
        Err(error) => return Err(format!("cannot make it in {}: {error}", directory.display())),
    }
    let held = fs::read_dir(&directory);
    let held = held.map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    let mut held: Vec<_> =
        held.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    held.sort();
    if held.is_empty() {
        return Ok(directory);
    }
    let unfinished = if held.iter().any(|name| name == template::DRAFT) {
        "; a start ended half-way there: what it made is of no use without the rest"
    } else {
        ""
    };
    Err(format!(
        "{} is not empty: it holds {}{unfinished}. Nothing is written over or deleted: name another directory, or move this one away",
        directory.display(),
        held.join(", ")
    ))
}

#[cfg(test)]
mod tests;
