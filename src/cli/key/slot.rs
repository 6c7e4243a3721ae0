//! `countersign key generate` and `move` for keys in a YubiKey's slots.

use std::io::{self, Write};
use std::path::PathBuf;

use super::generate::{GenerateArgs, Report};
use super::record::{self, Told};
use super::sections;
use crate::cli::ConfigArgs;
use crate::cli::token::{environment, management_key};
use crate::config::Config;
use crate::key::{self, PublicKey};
use crate::provision::How;
use crate::token::piv::management::{self, Making};
use crate::token::piv::operator;
use crate::token::piv::policy::{PinPolicy, TouchPolicy};
use crate::token::{self, Device, Slot, YubiKey};

/// How a key in a YubiKey is made.
#[derive(clap::Args)]
pub(super) struct SlotArgs {
    /// For YubiKeys: a file with the management key in hexadecimal, mode 0600; asked for if left out
    #[arg(long, value_name = "FILE")]
    pub(super) management_key_file: Option<PathBuf>,
    /// For YubiKeys: when the key wants the PIN, once or always
    #[arg(long, value_name = "POLICY", default_value = "always")]
    pub(super) pin_policy: PinPolicy,
    /// For YubiKeys: when the key wants to be touched, never, always or cached
    #[arg(long, value_name = "POLICY", default_value = "never")]
    pub(super) touch_policy: TouchPolicy,
}

/// Which key goes where.
#[derive(clap::Args)]
pub(crate) struct MoveArgs {
    /// The key's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// The slot that it is to be in; which must be empty
    #[arg(long, value_name = "SLOT")]
    to: Slot,
    /// A file with the management key in hexadecimal, mode 0600; asked for if left out
    #[arg(long, value_name = "FILE")]
    management_key_file: Option<PathBuf>,
}

/// Makes the key in its slot, looks at it by the rules of the service, and makes its record.
///
/// # Errors
/// What is wrong, and whether there is a key now.
pub(super) fn generate<'a>(
    args: &GenerateArgs,
    config: &'a Config,
    (key, token): (&'a key::Config, &token::Config),
    card: YubiKey,
) -> anyhow::Result<Report<'a>> {
    let slot = slot(key)?;
    let SlotArgs { management_key_file, pin_policy, touch_policy } = &args.slot;
    let making = Making {
        scheme: key.scheme,
        rsa_bits: args.rsa_bits,
        pin_policy: *pin_policy,
        touch_policy: *touch_policy,
    };
    management::generate(card, slot, making, &management_key::read(management_key_file.as_deref())?)?;
    let public_key = operator::public_key(card, key).map_err(|problem| {
        anyhow::anyhow!("the key is in its slot, but is not fit for service: {problem}")
    })?;
    let policies = [pin_policy.to_string(), touch_policy.to_string()];
    let told =
        Told::of_slot(card, key, token, Some(policies)).map_err(|error| record::unkept(key, &error))?;
    let attributes = told.attributes.clone();
    let kept = record::keep(config, (key, token), (How::Generated, None), told, &args.copy)
        .map_err(|error| record::unkept(key, &error))?;
    Ok(Report { config, key, public_key, facts: None, attributes, kept })
}

/// # Errors
/// What is wrong; the key is where it was.
pub(super) fn relocate(args: &MoveArgs) -> anyhow::Result<()> {
    let (config, key) = (args.config.load()?, args.name.as_str());
    let (key, token) = sections(&config, key)?;
    let (card, _) = look(key, token)?;
    management::relocate(
        card,
        slot(key)?,
        args.to,
        &management_key::read(args.management_key_file.as_deref())?,
    )?;
    let mut out = io::stdout().lock();
    writeln!(out, "moved key {}; in [key.{}], set:\n  slot = \"{}\"", key.name, key.name, args.to)?;
    Ok(())
}

/// The card, and the key that is in the slot now.
fn look(key: &key::Config, token: &token::Config) -> anyhow::Result<(YubiKey, PublicKey)> {
    environment::enter(std::slice::from_ref(token))?;
    let Device::YubiKey(card) = token.device else {
        anyhow::bail!("token {} is not a YubiKey: its keys have no slots", token.name);
    };
    Ok((card, operator::public_key(card, key)?))
}

pub(super) fn slot(key: &key::Config) -> anyhow::Result<Slot> {
    key.slot.ok_or_else(|| anyhow::anyhow!("[key.{}] names no `slot`", key.name))
}
