//! `countersign key`: generates, lists and shows keys on tokens, in this very process, which loads the module or speaks to the YubiKey.

use std::fmt::Display;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::token::{environment, no_token};
use super::{ConfigArgs, Usage, pem};
use crate::config::Config;
use crate::key::{self, KeyPurpose, PublicKey};
use crate::ledger::checkpoints::verifier_key;
use crate::token::piv::operator;
use crate::token::pkcs11::key::hex;
use crate::token::pkcs11::operator::{Access, Console, KeyFacts, Modules};
use crate::token::{self, Device, YubiKey, process};

mod attest;
mod certificate;
pub(super) mod certify;
mod csr;
mod delete;
mod each;
mod export;
mod generate;
mod import;
mod record;
mod rename;
pub(super) mod self_sign;
mod sign_intermediate;
mod slot;
mod unwrap;
mod wrap;
mod wrapping_key;

use attest::AttestArgs;
use certificate::CertificateArgs;
use csr::CsrArgs;
use delete::DeleteArgs;
use export::ExportArgs;
use generate::GenerateArgs;
use import::ImportArgs;
use record::RecordCommand;
use rename::RenameArgs;
use self_sign::SelfSignArgs;
use sign_intermediate::SignIntermediateArgs;
use slot::MoveArgs;
use unwrap::UnwrapArgs;
use wrap::WrapArgs;
use wrapping_key::WrappingKeyArgs;

/// What to do with keys.
#[derive(clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// Generate a key as its section of the configuration says; refuses if its label exists
    Generate(GenerateArgs),
    /// List the configured keys, and the private keys that no section names
    List(ListArgs),
    /// Show one configured key: its public half in every encoding, and what the token says of it
    Show(ShowArgs),
    /// Print a key's public half for whoever is to trust it: OpenSSH, PEM, JWK, known_hosts, TrustedUserCAKeys, a picture
    ExportPublic(ExportArgs),
    /// Check what a YubiKey attests of one configured key: that it was made in the card, and how it may be used
    Attest(AttestArgs),
    /// Give a key another label on its token, where that can be changed
    Rename(RenameArgs),
    /// Move a key to another slot of its YubiKey (firmware 5.7)
    Move(MoveArgs),
    /// Put a key that was made elsewhere onto its token, which tells for ever that it was
    Import(ImportArgs),
    /// Have a token make the key that another token's key is wrapped for, and write its public half
    WrappingKey(WrappingKeyArgs),
    /// Have a key that may leave its token wrapped for another token, which alone can open it
    Wrap(WrapArgs),
    /// Put a key on its token that another token wrapped for it
    Unwrap(UnwrapArgs),
    /// Read or write the certificate that other programs find beside a key in its YubiKey
    Certificate(CertificateArgs),
    /// Delete a key that no section names from its token, for good; of a YubiKey from firmware 5.7 on
    Delete(DeleteArgs),
    /// Provisioning records: who made a key how, signed by the key itself
    #[command(subcommand)]
    Record(RecordCommand),
    /// Have an X.509 CA key of a running signer request its own certificate (PKCS#10)
    Csr(CsrArgs),
    /// Have an X.509 CA key of a running signer sign its own certificate: a root
    SelfSign(SelfSignArgs),
    /// Have an X.509 CA key of a running signer certify a CA below it
    SignIntermediate(Box<SignIntermediateArgs>),
}

/// Where to look.
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this token, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which key to show.
#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    /// The key's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long, conflicts_with = "openssh")]
    json: bool,
    /// Print the OpenSSH line alone, for `TrustedUserCAKeys` or after `@cert-authority PATTERN`
    #[arg(long)]
    openssh: bool,
    /// Print the public key in PEM alone, for whoever is to certify an X.509 CA
    #[arg(long, conflicts_with_all = ["json", "openssh"])]
    pem: bool,
}

/// Runs one of the commands.
///
/// # Errors
/// What went wrong, and what to do.
pub(super) fn run(command: KeyCommand) -> anyhow::Result<()> {
    process::seal()?;
    match command {
        KeyCommand::Generate(args) => generate::run(&args),
        KeyCommand::List(args) => list(&args),
        KeyCommand::Show(args) => show(&args),
        KeyCommand::ExportPublic(args) => export::run(&args),
        KeyCommand::Attest(args) => attest::run(&args),
        KeyCommand::Rename(args) => rename::run(&args),
        KeyCommand::Move(args) => slot::relocate(&args),
        KeyCommand::Import(args) => import::run(&args),
        KeyCommand::WrappingKey(args) => wrapping_key::run(&args),
        KeyCommand::Wrap(args) => wrap::run(&args),
        KeyCommand::Unwrap(args) => unwrap::run(&args),
        KeyCommand::Certificate(args) => certificate::run(&args),
        KeyCommand::Delete(args) => delete::run(&args),
        KeyCommand::Record(command) => record::run(&command),
        KeyCommand::Csr(args) => csr::run(&args, &mut io::stdout().lock()),
        KeyCommand::SelfSign(args) => self_sign::run(&args, &mut io::stdout().lock()),
        KeyCommand::SignIntermediate(args) => sign_intermediate::run(&args, &mut io::stdout().lock()),
    }
}

/// A key's section and its token's.
fn sections<'a>(config: &'a Config, name: &str) -> anyhow::Result<(&'a key::Config, &'a token::Config)> {
    let key = config.keys.iter().find(|key| key.name.as_str() == name);
    let names = config.keys.iter().map(|key| key.name.as_str());
    let key = key.ok_or_else(|| Usage::no_section("key", name, names))?;
    let token = config.tokens.iter().find(|token| token.name == key.token);
    Ok((key, token.ok_or_else(|| no_token(config, key.token.as_str()))?))
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut config = args.config.load()?;
    if let Some(name) = &args.token {
        let unknown = no_token(&config, name);
        config.tokens.retain(|token| token.name.as_str() == name);
        anyhow::ensure!(!config.tokens.is_empty(), unknown);
    }
    let (rows, failed) = match config.tokens.as_slice() {
        [token] => (list_one(&config, token)?, 0),
        tokens => each::rows(&args.config.config, tokens)?,
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        for row in &rows {
            print_row(&mut out, row)?;
        }
    }
    anyhow::ensure!(failed == 0, "{failed} of the tokens cannot be listed: see there");
    Ok(())
}

/// In this process.
fn list_one(config: &Config, token: &token::Config) -> anyhow::Result<Vec<Value>> {
    environment::enter(std::slice::from_ref(token))?;
    let keys: Vec<_> =
        config.keys.iter().filter(|key| key.tokens().any(|held| *held == token.name)).collect();
    let mut modules = Modules::default();
    match &token.device {
        Device::Pkcs11(_) => {
            let console = Console::open(&mut modules, token, &config.latch(&token.name), Access::Read)?;
            list_token(&console, token, &keys)
        }
        Device::YubiKey(card) => Ok(list_card(*card, token, &keys)),
    }
}

/// The configured keys of one token, and then the private keys on it that none of them is.
fn list_token(console: &Console, token: &token::Config, keys: &[&key::Config]) -> anyhow::Result<Vec<Value>> {
    let mut rows = Vec::new();
    let mut known = Vec::new();
    for key in keys {
        let found = console.find(key).map(|found| {
            known.push(found.private);
            found.public_key
        });
        let (fingerprint, problem) = compare(key, found);
        rows.push(json!({
            "key": key.name.as_str(), "token": token.name.as_str(), "label": key.label,
            "id": key.id.as_deref().map(hex), "purpose": key.purpose.name(), "scheme": key.scheme.name(),
            "fingerprint": fingerprint, "problem": problem,
        }));
    }
    for private in console.private_keys()?.into_iter().filter(|private| !known.contains(private)) {
        let facts = console.facts(private)?;
        rows.push(json!({
            "key": null, "token": token.name.as_str(), "label": facts.label, "id": facts.id,
            "fingerprint": facts.public_key.as_ref().map(PublicKey::fingerprint),
            "problem": "no section of the configuration names this key",
        }));
    }
    Ok(rows)
}

/// The configured keys of one YubiKey.
fn list_card(card: YubiKey, token: &token::Config, keys: &[&key::Config]) -> Vec<Value> {
    let row = |key: &&key::Config| {
        let (fingerprint, problem) = compare(key, operator::public_key(card, key));
        json!({
            "key": key.name.as_str(), "token": token.name.as_str(),
            "slot": key.slot.map(|slot| slot.to_string()),
            "purpose": key.purpose.name(), "scheme": key.scheme.name(),
            "fingerprint": fingerprint, "problem": problem,
        })
    };
    keys.iter().map(row).collect()
}

/// The fingerprint of a key that was looked for, and what is wrong with it.
fn compare<E: Display>(key: &key::Config, found: Result<PublicKey, E>) -> (Option<String>, Option<String>) {
    match found {
        Ok(found) => {
            let fingerprint = found.fingerprint();
            let pinned = key.fingerprint.as_ref().is_none_or(|pinned| *pinned == fingerprint);
            let problem = (!pinned).then(|| "not the key that `fingerprint` pins".to_owned());
            (Some(fingerprint), problem)
        }
        Err(problem) => (None, Some(problem.to_string())),
    }
}

fn print_row(out: &mut impl Write, row: &Value) -> io::Result<()> {
    let text = |key: &str| row.get(key).and_then(Value::as_str);
    let or_dash = |key: &str| text(key).unwrap_or("-");
    write!(out, "{}: token {}", or_dash("key"), or_dash("token"))?;
    match text("slot") {
        Some(slot) => write!(out, " slot {slot}")?,
        // The token itself cannot be asked.
        None if text("label").is_none() && text("key").is_none() => {}
        None => write!(out, " label {:?}", or_dash("label"))?,
    }
    for (name, word) in [("id", "id"), ("purpose", ""), ("scheme", ""), ("fingerprint", "")] {
        if let Some(value) = text(name) {
            let gap = if word.is_empty() { "" } else { " " };
            write!(out, " {word}{gap}{value}")?;
        }
    }
    match text("problem") {
        Some(problem) => writeln!(out, "; {problem}"),
        None => writeln!(out),
    }
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let (key, token) = sections(&config, &args.name)?;
    let (public_key, facts) = open_public(&config, &args.name)?;
    let mut out = io::stdout().lock();
    if args.json {
        let shown = shown(&config, key, &public_key, facts.as_ref());
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
        return Ok(());
    }
    if args.openssh {
        let line = public_key.to_openssh_line(key.name.as_str());
        let line = line.ok_or_else(|| anyhow::anyhow!("SSH has no {} keys; --pem shows it", key.scheme))?;
        writeln!(out, "{line}")?;
        return Ok(());
    }
    if args.pem {
        write!(out, "{}", spki_pem(&public_key))?;
        return Ok(());
    }
    writeln!(out, "{}: {} {} on token {}", key.name, key.purpose, key.scheme, token.name)?;
    writeln!(out, "{}", public_key.fingerprint())?;
    if let Some(line) = public_key.to_openssh_line(key.name.as_str()) {
        writeln!(out, "{line}")?;
    }
    write!(out, "{}", spki_pem(&public_key))?;
    if let Some(verifier) = verifier(&config, key, &public_key) {
        writeln!(out, "verifies checkpoints: {verifier}")?;
    }
    if let Some(facts) = facts {
        writeln!(out, "label {:?}, id {}", facts.label, facts.id)?;
        print_attributes(&mut out, &facts)?;
    } else if let Some(slot) = key.slot {
        writeln!(out, "slot {slot}")?;
    }
    Ok(())
}

/// The public half of a key as its token tells it, and the attributes of one behind a PKCS#11 module.
fn open_public(config: &Config, name: &str) -> anyhow::Result<(PublicKey, Option<KeyFacts>)> {
    let (key, token) = sections(config, name)?;
    environment::enter(std::slice::from_ref(token))?;
    match &token.device {
        Device::Pkcs11(_) => {
            let mut modules = Modules::default();
            let console = Console::open(&mut modules, token, &config.latch(&token.name), Access::Read)?;
            let found = console.find(key)?;
            Ok((found.public_key, Some(console.facts(found.private)?)))
        }
        Device::YubiKey(card) => Ok((operator::public_key(*card, key)?, None)),
    }
}

/// What verifies the checkpoints that this key signs; `None` for a key of another purpose.
fn verifier(config: &Config, key: &key::Config, public_key: &PublicKey) -> Option<String> {
    let signs = key.purpose == KeyPurpose::Ledger;
    let verifier = signs.then(|| verifier_key(&config.ledger.origin, public_key));
    Some(verifier?.ok()?.to_string())
}

/// What is printed as JSON; `facts` are those of a key behind a PKCS#11 module.
fn shown(config: &Config, key: &key::Config, public_key: &PublicKey, facts: Option<&KeyFacts>) -> Value {
    let mut shown = json!({
        "key": key.name.as_str(), "token": key.token.as_str(), "purpose": key.purpose.name(),
        "scheme": key.scheme.name(), "fingerprint": public_key.fingerprint(),
        "openssh": public_key.to_openssh_line(key.name.as_str()), "spki_pem": spki_pem(public_key),
    });
    let of_kind = match facts {
        Some(facts) => {
            let attribute = |(name, value): &(&str, bool)| ((*name).to_owned(), Value::Bool(*value));
            let attributes: serde_json::Map<_, _> = facts.attributes.iter().map(attribute).collect();
            json!({ "label": facts.label, "id": facts.id, "attributes": attributes })
        }
        None => json!({ "slot": key.slot.map(|slot| slot.to_string()) }),
    };
    let verifier = verifier(config, key, public_key).map(|key| ("verifier_key".to_owned(), key.into()));
    if let (Value::Object(shown), Value::Object(of_kind)) = (&mut shown, of_kind) {
        shown.extend(of_kind);
        shown.extend(verifier);
    }
    shown
}

fn print_attributes(out: &mut impl Write, facts: &KeyFacts) -> io::Result<()> {
    for (name, value) in &facts.attributes {
        writeln!(out, "  {name} {value}")?;
    }
    Ok(())
}

/// A line of `authorized_keys`, or PEM for a key that SSH does not have.
fn public_line(key: &key::Config, public_key: &PublicKey) -> String {
    let line = public_key.to_openssh_line(key.name.as_str());
    line.unwrap_or_else(|| spki_pem(public_key).trim_end().to_owned())
}

/// RFC 7468 §13.
fn spki_pem(key: &PublicKey) -> String {
    pem("PUBLIC KEY", &key.to_spki_der())
}
