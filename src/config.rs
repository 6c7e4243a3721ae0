//! The configuration: one TOML file, parsed into checked types.
//!
//! In: a file. Out: a [`Config`], each part of which belongs to the stage that it configures, or every [`Fault`] at
//! once, each with its key and line. Relative paths are relative to the file. The lists of `[blocklist]` are read
//! with it, for without them the policy is not whole; no other file is opened here, but it is looked where the path of a token's module leads.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::config::blocklist::ReadFile;
use crate::config::key::{Kind, KnownKeys, TokenNames};
use crate::config::section::{Faults, Section};
use crate::key::KeyPurpose;
use crate::policy::blocklist::Blocklist;
use crate::policy::{KeyRules, Policy};
use crate::token::TokenName;
use crate::token::latch::Latch;

mod blocklist;
pub(crate) mod bundles;
pub(crate) mod cases;
mod checks;
mod key;
mod ledger;
pub(crate) mod lines;
mod profile;
mod section;
mod server;
mod syntax;
mod token;

/// A whole, checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: crate::server::Config,
    /// `[ledger]`
    pub ledger: crate::ledger::Config,
    /// `[token.NAME]`, by name.
    pub tokens: Vec<crate::token::Config>,
    /// `[key.NAME]`, by name.
    pub keys: Vec<crate::key::Config>,
    /// `[key.NAME.allow.PROFILE]`, compiled.
    pub policy: Policy,
    /// `[bundles]`, if there is one.
    pub bundles: Option<crate::daemon::bundles::Config>,
}

/// One thing that is wrong with the configuration, or that a start-up check found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The file, if one is to blame.
    pub file: Option<PathBuf>,
    /// Its line in the file, from 1, if it has one.
    pub line: Option<usize>,
    /// The key in the file, `key.user-ca.allow.staff.max_lifetime`; empty for the file as a whole.
    pub at: String,
    /// What is wrong.
    pub cause: String,
    /// What to do, if that is known.
    pub fix: Option<String>,
    /// Whether it may pass without anybody who does something to this signer: a database is away, a disk is full.
    pub passes: bool,
}

impl Fault {
    /// What a start-up check found about the section `at`: what is wrong, and after the first semicolon what to do. Messages of
    /// this program have none before.
    #[must_use]
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        let (cause, fix) =
            message.split_once("; ").map_or((message.as_str(), None), |(cause, fix)| (cause, Some(fix)));
        let (cause, fix) = (cause.to_owned(), fix.map(str::to_owned));
        Self { file: None, line: None, at: at.into(), cause, fix, passes: false }
    }

    /// An error and its causes, each of which says what is wrong, and after a semicolon what to do: all that is wrong comes before
    /// all that is to be done. A cause that was told already is left out.
    pub(crate) fn caused(at: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let mut whole = Self::new(at, error.to_string());
        for error in std::iter::successors(error.source(), |&error| error.source()) {
            let next = Self::new("", error.to_string());
            if !whole.cause.contains(&next.cause) {
                whole.cause = format!("{}: {}", whole.cause, next.cause);
            }
            whole.fix = match (whole.fix, next.fix) {
                (Some(first), Some(next)) if !first.contains(&next) => Some(format!("{first}; {next}")),
                (first, next) => first.or(next),
            };
        }
        whole
    }

    /// What is wrong and what to do, in one line.
    #[must_use]
    pub fn message(&self) -> String {
        self.fix.as_ref().map_or_else(|| self.cause.clone(), |fix| format!("{}; {fix}", self.cause))
    }
}

/// `FILE:LINE: at: message`, without the parts that are not known.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            self.line.map_or(Ok(()), |line| write!(f, "{line}:"))?;
            f.write_str(" ")?;
        }
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.message())
    }
}

impl Config {
    /// The directory of the ledger, where what else must outlive the daemon is kept.
    pub(crate) fn state(&self) -> &Path {
        let parent = self.ledger.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    /// Where provisioning records wait until they are in the ledger, and stay.
    pub(crate) fn records(&self) -> PathBuf {
        let mut path = self.ledger.path.as_os_str().to_owned();
        path.push(".records");
        path.into()
    }

    /// What is noted of a PIN that this token refused.
    pub(crate) fn latch(&self, token: &TokenName) -> Latch {
        Latch::new(self.state(), token)
    }

    /// Tells the tokens where systemd has put the credentials of this process, `$CREDENTIALS_DIRECTORY`.
    pub(crate) fn locate_credentials(&mut self, directory: Option<&Path>) {
        for token in &mut self.tokens {
            token.pin_file.locate(directory);
        }
    }

    /// As [`Self::load`], of a text that is to be the contents of the file at `path`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn check(path: &Path, text: &str) -> Result<Self, Vec<Fault>> {
        Self::parse_with(path, text, &blocklist::read_file)
    }

    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// Every [`Fault`], in the order of the file.
    pub fn load(path: &Path) -> Result<Self, Vec<Fault>> {
        Self::load_named(path, "--config, or COUNTERSIGN_CONFIG")
    }

    /// As [`Self::load`], of a file that something else names: what to correct if it cannot be read.
    pub(crate) fn load_named(path: &Path, named_by: &str) -> Result<Self, Vec<Fault>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let fix = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "run this as the daemon's user, or let it read the file".to_owned()
                }
                _ => format!("correct {named_by}"),
            };
            vec![Fault {
                file: Some(path.to_owned()),
                ..Fault::new("", format!("cannot read it: {error}; {fix}"))
            }]
        })?;
        Self::check(path, &text)
    }

    /// Checks `text` as the contents of the file at `path`, which is not opened; nor is any other, so that a list of
    /// `[blocklist]` is a fault. It is looked where the paths of modules lead, if there are any.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Fault>> {
        Self::parse_with(path, text, &|_| Err(std::io::Error::other("no file is opened here")))
    }

    fn parse_with(path: &Path, text: &str, read_file: ReadFile<'_>) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::new(path, text);
        let config = match DeTable::parse(text) {
            Ok(table) => gather(&mut Section::root(&mut faults, table), read_file),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                faults.add(String::new(), offset, syntax::fault(text, &error));
                None
            }
        };
        match (config, faults.into_sorted()) {
            (Some(config), faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(faults),
        }
    }
}

/// Every section, and what they say about each other.
fn gather(root: &mut Section<'_, '_>, read_file: ReadFile<'_>) -> Option<Config> {
    let server = root.required_child("server").and_then(|mut section| server::read(&mut section));
    let blocklist = read_blocklist(root, read_file);
    let (bundles, of_bundles) = read_bundles(root);
    let (names, tokens) = read_tokens(root);
    let (mut known, keys) = read_keys(names, root);
    let ledger = root.required_child("ledger").and_then(|mut section| ledger::read(&mut known, &mut section));
    let lacks_patterns = bundles.as_ref().is_some_and(|bundles| bundles.host_patterns.is_empty());
    if lacks_patterns && known.any_is_for(KeyPurpose::SshHostCa) {
        let message = "is missing: hosts whose keys an ssh-host-ca certifies, as known_hosts has them, such as [\"*.example.org\"]";
        root.fault_at("bundles.host_patterns", &of_bundles, message);
    }
    for (name, span) in known.unused() {
        root.fault_at(
            &format!("key.{name}"),
            &span,
            "signs no checkpoints: name it in `ledger.checkpoint_key`, or delete it",
        );
    }
    root.refuse_loose_keys();
    root.refuse_others(
        "is not a section: there are [server], [ledger], [blocklist], [bundles], [token.NAME] and [key.NAME]",
    );
    let (mut all, mut rules) = (Vec::new(), BTreeMap::new());
    for (key, own) in keys? {
        rules.extend(own.map(|own| (key.name.clone(), own)));
        all.push(key);
    }
    let policy = Policy::new(rules, blocklist?);
    Some(Config { server: server?, ledger: ledger?, tokens: tokens?, keys: all, policy, bundles })
}

fn read_blocklist(root: &mut Section<'_, '_>, read_file: ReadFile<'_>) -> Option<Blocklist> {
    if !root.has("blocklist") {
        return Some(Blocklist::default());
    }
    root.child("blocklist").and_then(|mut section| blocklist::read(&mut section, read_file))
}

/// The section, if it is there and not at fault, and where it is.
fn read_bundles(root: &mut Section<'_, '_>) -> (Option<crate::daemon::bundles::Config>, Range<usize>) {
    if !root.has("bundles") {
        return (None, root.span());
    }
    let Some(mut section) = root.child("bundles") else { return (None, 0..0) };
    (bundles::read(&mut section), section.span())
}

fn read_tokens(root: &mut Section<'_, '_>) -> (TokenNames, Option<Vec<crate::token::Config>>) {
    let mut names = TokenNames::default();
    let Some(mut all) = root.required_child("token") else { return (names, None) };
    let mut tokens: Vec<Option<crate::token::Config>> = Vec::new();
    for name in all.names() {
        let Some(mut section) = all.child(&name) else { continue };
        let token = token::read(&name, &mut section);
        names.kinds.extend(token.as_ref().map(|token| (name.clone(), Kind::of(&token.device))));
        let is_same =
            |other: &&crate::token::Config| token.as_ref().is_some_and(|token| token::are_one(token, other));
        if let Some(other) = tokens.iter().flatten().find(is_same) {
            let line = names.known.get(other.name.as_str()).map_or(0, |span| section.line_of(span));
            section.fault(format!(
                "is the same token as token.{} of line {line}: a token has one section, with one PIN; put what both are for into one", other.name
            ));
        }
        names.known.insert(name, section.span());
        tokens.push(token);
    }
    (names, tokens.into_iter().collect())
}

/// A key, and who may use it; the log's own key has nobody.
type ReadKey = (crate::key::Config, Option<KeyRules>);

fn read_keys(mut tokens: TokenNames, root: &mut Section<'_, '_>) -> (KnownKeys, Option<Vec<ReadKey>>) {
    let (mut keys, mut seen, mut known) = (Vec::new(), BTreeMap::new(), KnownKeys::default());
    let Some(mut all) = root.required_child("key") else { return (known, None) };
    for name in all.names() {
        let Some(mut section) = all.child(&name) else { continue };
        let key = key::read(&name, &mut tokens, &mut known, &mut section);
        for identity in key.iter().flat_map(|(config, _)| key::identities(&tokens, config)) {
            if let Some(other) = seen.insert(identity, name.clone()) {
                section
                    .fault(format!("is the same key as key.{other}: a key has one section, and one purpose"));
            }
        }
        keys.push(key);
    }
    for (name, span, message) in known.faults_of_lines() {
        root.fault_at(&format!("key.{name}.succeeds"), &span, message);
    }
    for (name, span) in tokens.unused() {
        root.fault_at(
            &format!("token.{name}"),
            &span,
            "holds no key of [key.NAME]: delete it, or add its key",
        );
    }
    (known, keys.into_iter().collect())
}

/// That others than its owner can write the configuration at `path`, which is the policy.
pub(crate) fn unguarded(path: &Path) -> Option<Fault> {
    // That it is not there, loading it says.
    let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
    let message = format!(
        "has mode {mode:04o}: others can write it, and with it the policy; run `chmod go-w {}`",
        path.display()
    );
    (mode & 0o022 != 0).then(|| Fault { file: Some(path.to_owned()), ..Fault::new("", message) })
}

#[cfg(test)]
mod tests;
