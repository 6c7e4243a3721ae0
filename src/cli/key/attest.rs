//! `countersign key attest`: what a YubiKey attests of a key, checked against roots that the operator trusts.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;

use super::sections;
use crate::cli::ConfigArgs;
use crate::cli::token::environment;
use crate::token::Device;
use crate::token::piv::operator::{self, Attested};

/// Which key, and whom to believe.
#[derive(clap::Args)]
pub(crate) struct AttestArgs {
    /// The key's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// Yubico's attestation roots, and what they certified in between, in PEM; nothing is fetched
    #[arg(long, value_name = "FILE")]
    roots: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// # Errors
/// Why the attestation says nothing of this key.
pub(super) fn run(args: &AttestArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let (key, token) = sections(&config, &args.name)?;
    environment::enter(std::slice::from_ref(token))?;
    let Device::YubiKey(card) = token.device else {
        anyhow::bail!("token {} is not a YubiKey: only those attest keys here", token.name);
    };
    let attested = operator::attest(card, key, &args.roots)
        .map_err(|error| error.context(format!("key {} is not attested", key.name)))?;
    print(&mut io::stdout().lock(), args, &attested)?;
    Ok(())
}

fn print(out: &mut impl Write, args: &AttestArgs, attested: &Attested) -> io::Result<()> {
    let Attested { slot, attestation, root } = attested;
    let firmware = attestation.firmware.map(|firmware| firmware.to_string());
    let weak = attestation.has_eucleak();
    if args.json {
        let shown = json!({
            "key": args.name, "slot": slot.to_string(), "serial": attestation.serial, "firmware": firmware,
            "pin_policy": attestation.pin_policy.to_string(),
            "touch_policy": attestation.touch_policy.to_string(),
            "fingerprint": attestation.public_key.fingerprint(), "root": root, "eucleak": weak,
        });
        return writeln!(out, "{}", serde_json::to_string_pretty(&shown)?);
    }
    writeln!(out, "{}: made in slot {slot}, and never outside it; attested up to {root:?}", args.name)?;
    writeln!(out, "{}", attestation.public_key.fingerprint())?;
    writeln!(
        out,
        "serial {}, firmware {}, PIN policy {}, touch policy {}",
        attestation.serial.unwrap_or_default(),
        firmware.as_deref().unwrap_or("unknown"),
        attestation.pin_policy,
        attestation.touch_policy
    )?;
    if weak {
        writeln!(out, "{}", operator::EUCLEAK)?;
    }
    Ok(())
}
