//! `countersign key import`: an existing software key into a token.
//!
//! What was outside of a token stays so for whoever has a copy: that is said, and the token's word that the key was imported
//! stays with it, which the key's section has to accept by name. A kind of token is added where [`run`] asks what kind it is.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use super::generate::random_id;
use super::record::{self, Coming, CopyArgs, Kept, OnToken, Told};
use super::slot::{self, SlotArgs};
use super::wrap::held;
use super::{public_line, shown};
use crate::cli::ConfigArgs;
use crate::cli::token::secret::Secret;
use crate::cli::token::{environment, management_key};
use crate::config::Config;
use crate::key::{self, Flaw, PublicKey};
use crate::provision::{Attribute, How};
use crate::token::piv::import::{self, Placing};
use crate::token::pkcs11::carry::{Arrival, Leaving};
use crate::token::pkcs11::operator::KeyFacts;
use crate::token::software::SoftwareKey;
use crate::token::{self, Device, YubiKey};

/// Which key, and from where.
#[derive(clap::Args)]
pub(crate) struct ImportArgs {
    /// The key's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// The private key, in OpenSSH's format or PKCS#8 PEM, mode 0600
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// A file with its passphrase, mode 0600; asked for if left out, where the key has one
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Of the key's tokens, the one that it goes to; the first if left out
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
    /// For YubiKeys: the fingerprint of the key that is there and is to be overwritten, for good
    #[arg(long, value_name = "SHA256:…")]
    replace: Option<String>,
    #[command(flatten)]
    slot: SlotArgs,
    #[command(flatten)]
    copy: CopyArgs,
    /// Print JSON, as `key show` does
    #[arg(long)]
    json: bool,
}

/// # Errors
/// What is wrong, and whether the key is in the token now.
pub(super) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let (key, token) = held(&config, &args.name, args.token.as_deref())?;
    environment::enter(std::slice::from_ref(token))?;
    want_acceptance(key, token)?;
    let passphrase = Secret { name: "the passphrase of the key", option: "--passphrase-file" };
    let software = SoftwareKey::read(&args.from, || passphrase.read(args.passphrase_file.as_deref()))
        .with_context(|| format!("no key comes out of {}", args.from.display()))?;
    let found = software.public.fingerprint();
    ensure!(
        key.scheme.fits(&software.public),
        "scheme {} of [key.{}] does not fit the key {found}; nothing was changed",
        key.scheme,
        key.name
    );
    ensure!(
        key.fingerprint.as_ref().is_none_or(|pinned| *pinned == found),
        "the key {found} is not the one that [key.{}] pins; nothing was changed",
        key.name
    );
    if let Some(weakness) = config.policy.known_to_others(&software.public) {
        bail!("the key {found} is no secret: {weakness}; nothing was changed, make a new key");
    }
    writeln!(
        io::stderr(),
        "WARNING: the key {found} was outside of a token: who has or had a copy of {} can sign as it; a key that is made in the token has none",
        args.from.display()
    )?;
    match token.device {
        Device::Pkcs11(_) => onto_token(args, &config, key, token, &software),
        Device::YubiKey(card) => into_slot(args, &config, key, (token, card), &software),
    }
}

/// All that a token says of a key that was made elsewhere, at once: whoever accepts one part of it and not the other is asked twice.
fn want_acceptance(key: &key::Config, token: &token::Config) -> anyhow::Result<()> {
    let expected: &[Flaw] = match token.device {
        Device::Pkcs11(_) => &[Flaw::OnceExtractable, Flaw::OnceNotSensitive, Flaw::NotLocal],
        Device::YubiKey(_) => &[Flaw::NotLocal],
    };
    let all: BTreeSet<_> = key.accept.iter().chain(expected).copied().collect();
    ensure!(
        key.accept.contains(&Flaw::NotLocal),
        "[key.{}] takes no imported key, and nothing was changed: set `accept = [{}]` in it, knowing that there was a copy",
        key.name,
        key::accepting(&all)
    );
    Ok(())
}

fn into_slot(
    args: &ImportArgs,
    config: &Config,
    key: &key::Config,
    (token, card): (&token::Config, YubiKey),
    software: &SoftwareKey,
) -> anyhow::Result<()> {
    let slot = slot::slot(key)?;
    let placing = Placing {
        slot,
        pin_policy: args.slot.pin_policy,
        touch_policy: args.slot.touch_policy,
        replace: args.replace.as_deref(),
    };
    let management_key = management_key::read(args.slot.management_key_file.as_deref())?;
    import::import(card, software, &placing, &management_key)?;
    let policies = [args.slot.pin_policy.to_string(), args.slot.touch_policy.to_string()];
    let told =
        Told::of_slot(card, key, token, Some(policies)).map_err(|error| record::unkept(key, &error))?;
    // That it signs there is shown by its record, which this key is to verify.
    ensure!(
        told.public_key == software.public,
        "the card tells another key of slot {slot}, {}, than was put there; import it again, or use another card",
        told.public_key.fingerprint()
    );
    let attributes = told.attributes.clone();
    let kept = record::keep(config, (key, token), (How::Imported, Some(note(software))), told, &args.copy)
        .map_err(|error| record::unkept(key, &error))?;
    let imported = Imported {
        place: format!("into slot {slot} of YubiKey {}", card.serial),
        public_key: &software.public,
        facts: None,
        attributes,
        kept,
    };
    imported.report(args, config, key)
}

/// For the provisioning record, which tells for ever that the key was imported.
fn note(software: &SoftwareKey) -> String {
    format!("from a file in {}", software.form.name())
}

/// Behind a PKCS#11 module.
fn onto_token(
    args: &ImportArgs,
    config: &Config,
    key: &key::Config,
    token: &token::Config,
    software: &SoftwareKey,
) -> anyhow::Result<()> {
    ensure!(
        args.replace.is_none(),
        "token {} is behind a PKCS#11 module, where no key takes another's place; nothing was changed: leave --replace out",
        token.name
    );
    let id = key.id.clone().map_or_else(random_id, Ok)?;
    let arrival = Arrival {
        label: &key.label,
        id: &id,
        scheme: key.scheme,
        accept: &key.accept,
        public_key: &software.public,
        leaving: Leaving::Never,
    };
    let note = Some(note(software));
    let coming = Coming { config, key, token, how: How::Imported, note, copy: &args.copy };
    let OnToken { facts, attributes, kept, .. } =
        coming.conclude(|console| console.import(&arrival, software))?;
    let imported = Imported {
        place: format!("onto token {}", token.name),
        public_key: &software.public,
        facts: Some(facts),
        attributes,
        kept,
    };
    imported.report(args, config, key)
}

/// What was done.
struct Imported<'a> {
    place: String,
    public_key: &'a PublicKey,
    /// Of a key behind a PKCS#11 module.
    facts: Option<KeyFacts>,
    attributes: Vec<Attribute>,
    kept: Kept,
}

impl Imported<'_> {
    /// Says what is done, and what is left to do.
    fn report(&self, args: &ImportArgs, config: &Config, key: &key::Config) -> anyhow::Result<()> {
        let Self { place, public_key, facts, attributes, kept } = self;
        let mut out = io::stdout().lock();
        if args.json {
            let mut shown = shown(config, key, public_key, facts.as_ref());
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("record".to_owned(), kept.json());
            }
            writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
            return record::want_no_differences(key, attributes);
        }
        writeln!(
            out,
            "imported key {} {place}; a signature of it verifies under the same public key",
            key.name
        )?;
        record::print_attributes(&mut out, attributes)?;
        writeln!(out, "{}", public_line(key, public_key))?;
        kept.print(&mut out)?;
        writeln!(out, "to pin it, add to [key.{}]:", key.name)?;
        if let Some(facts) = facts.as_ref().filter(|_| key.id.is_none()) {
            writeln!(out, "  id = {:?}", facts.id)?;
        }
        writeln!(out, "  fingerprint = {:?}", public_key.fingerprint())?;
        writeln!(
            out,
            "then destroy every copy of {} that is not a backup under lock and key",
            args.from.display()
        )?;
        record::want_no_differences(key, attributes)
    }
}
