//! `countersign key generate`: has a token make a key, and looks at what it made of it.
//!
//! In: a section of the configuration. Out: the key, what the token says of it beside what was asked for, and a provisioning record. A
//! difference is an error, and the key is there all the same: nothing here destroys one.

use std::io::{self, Write};

use serde_json::json;

use super::record::{self, Coming, CopyArgs, Kept, OnToken};
use super::slot::{self, SlotArgs};
use super::{public_line, sections, shown, verifier};
use crate::cli::ConfigArgs;
use crate::cli::token::environment;
use crate::config::Config;
use crate::key::{self, Flaw, PublicKey};
use crate::provision::{Attribute, How};
use crate::token::pkcs11::carry::Leaving;
use crate::token::pkcs11::generate::KeyKind;
use crate::token::pkcs11::operator::KeyFacts;
use crate::token::{self, Device, TokenName};

/// Which key to make.
#[derive(clap::Args)]
pub(crate) struct GenerateArgs {
    /// The key's name in the configuration
    pub(super) name: String,
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The modulus of an RSA key in bits
    #[arg(long, value_name = "BITS", default_value_t = 3072, value_parser = rsa_bits)]
    pub(super) rsa_bits: u16,
    /// Make a key that can leave its token, wrapped in another key: its section must accept "extractable" and "once-extractable"
    #[arg(long)]
    pub(super) backup: bool,
    #[command(flatten)]
    pub(super) slot: SlotArgs,
    #[command(flatten)]
    pub(super) copy: CopyArgs,
    /// Print JSON, as `key show` does
    #[arg(long)]
    pub(super) json: bool,
}

fn rsa_bits(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(bits @ (2048 | 3072 | 4096)) => Ok(bits),
        _ => Err("2048, 3072 or 4096".to_owned()),
    }
}

/// What was made.
pub(super) struct Report<'a> {
    pub(super) config: &'a Config,
    pub(super) key: &'a key::Config,
    pub(super) public_key: PublicKey,
    /// Of a key behind a PKCS#11 module.
    pub(super) facts: Option<KeyFacts>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) kept: Kept,
}

/// # Errors
/// What is wrong, and whether there is a key now.
pub(super) fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let (key, token) = sections(&config, &args.name)?;
    environment::enter(std::slice::from_ref(token))?;
    if args.backup {
        want_acceptance(key, token)?;
    }
    let report = match token.device {
        Device::Pkcs11(_) => on_token(args, &config, key, token)?,
        Device::YubiKey(card) => slot::generate(args, &config, (key, token), card)?,
    };
    report.print(args, token, &mut io::stdout().lock())?;
    record::want_no_differences(key, &report.attributes)
}

/// Whoever wants a key that can leave its token says so twice: here, and where the service reads it.
fn want_acceptance(key: &key::Config, token: &token::Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        matches!(token.device, Device::Pkcs11(_)),
        "token {} is a YubiKey, which lets no private key out; nothing was made",
        token.name
    );
    let missing = [Flaw::Extractable, Flaw::OnceExtractable].map(|flaw| key.accept.contains(&flaw));
    anyhow::ensure!(
        missing == [true; 2],
        "[key.{}] takes no key that can leave its token, and nothing was made: add `accept = [\"extractable\", \"once-extractable\"]` to it, knowing \
         that whoever has the PIN may then carry the CA away, wrapped in a key of theirs",
        key.name
    );
    Ok(())
}

fn on_token<'a>(
    args: &GenerateArgs,
    config: &'a Config,
    key: &'a key::Config,
    token: &token::Config,
) -> anyhow::Result<Report<'a>> {
    let id = match &key.id {
        Some(id) => id.clone(),
        None => random_id()?,
    };
    let leaving = if args.backup { Leaving::Wrapped } else { Leaving::Never };
    let kind = KeyKind::for_scheme(key.scheme, args.rsa_bits);
    let coming = Coming { config, key, token, how: How::Generated, note: None, copy: &args.copy };
    let made = coming.conclude(|console| {
        let made = console.generate(&key.label, &id, kind, leaving)?;
        if args.backup {
            warn_of_backup(made.template.wants_trusted())?;
        }
        Ok(made)
    })?;
    let OnToken { public_key, facts, attributes, kept } = made;
    Ok(Report { config, key, public_key, facts: Some(facts), attributes, kept })
}

fn warn_of_backup(trusted: bool) -> io::Result<()> {
    let who = if trusted {
        "wrapped in a key that the token's security officer has marked as trusted (CKA_WRAP_WITH_TRUSTED)"
    } else {
        "wrapped in any key, also one that whoever has the PIN brings along: this token knows no CKA_WRAP_WITH_TRUSTED"
    };
    writeln!(
        io::stderr(),
        "WARNING: this key can leave its token, {who}; who has it and the key that unwraps it is this CA, and nobody can take that back. \
         Keep the wrapped key and the one that unwraps it apart, and let no one person reach both"
    )
}

impl Report<'_> {
    fn print(&self, args: &GenerateArgs, token: &token::Config, out: &mut impl Write) -> anyhow::Result<()> {
        let Self { config, key, public_key, facts, attributes, kept } = self;
        if args.json {
            let mut shown = shown(config, key, public_key, facts.as_ref());
            let differs: Vec<_> =
                attributes.iter().filter(|row| row.differs()).map(|row| row.name.as_str()).collect();
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("record".to_owned(), kept.json());
                shown.insert("differs".to_owned(), json!(differs));
            }
            writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
            return Ok(());
        }
        match (key.slot, &token.device) {
            (Some(slot), Device::YubiKey(card)) => {
                writeln!(
                    out,
                    "generated key {} in slot {slot} of YubiKey {}; the card says:",
                    key.name, card.serial
                )?;
            }
            _ => writeln!(out, "generated key {} on token {}; the token says:", key.name, token.name)?,
        }
        record::print_attributes(out, attributes)?;
        writeln!(out, "{}", public_line(key, public_key))?;
        kept.print(out)?;
        if !key.copies.is_empty() {
            let others: Vec<_> = key.copies.iter().map(TokenName::as_str).collect();
            writeln!(
                out,
                "copy it to {}, with its label and id: by `countersign key wrap`, if it was made with --backup, or by the vendor's means",
                others.join(", ")
            )?;
        }
        if let Some(verifier) = verifier(config, key, public_key) {
            writeln!(out, "to all who verify checkpoints, give {verifier}")?;
        }
        writeln!(out, "to pin it, add to [key.{}]:", key.name)?;
        if let Some(facts) = facts.as_ref().filter(|_| key.id.is_none()) {
            writeln!(out, "  id = {:?}", facts.id)?;
        }
        writeln!(out, "  fingerprint = {:?}", public_key.fingerprint())?;
        Ok(())
    }
}

/// A new `CKA_ID`: 8 random bytes.
pub(super) fn random_id() -> anyhow::Result<Vec<u8>> {
    let mut id = [0; 8];
    aws_lc_rs::rand::fill(&mut id)?;
    Ok(id.to_vec())
}
