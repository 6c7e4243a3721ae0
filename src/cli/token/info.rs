//! `countersign token info`: what a token says of itself and its keys, without a PIN.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::select::{Kind, TokenArgs};
use crate::token::YubiKey;
use crate::token::piv::operator::{self, CardFacts, SlotFacts, Tries};

mod pkcs11;

/// Which token.
#[derive(clap::Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    token: TokenArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// # Errors
/// What is wrong with the token, or that there is none.
pub(super) fn run(args: &InfoArgs) -> anyhow::Result<()> {
    let card = match args.token.choose()? {
        Kind::Pkcs11(chosen) => return pkcs11::run(&chosen, args.json),
        Kind::YubiKey(chosen) => chosen.device,
    };
    let facts = operator::info(card)?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&shown(card, &facts))?)?;
    } else {
        print(&mut out, card, &facts)?;
    }
    Ok(())
}

fn shown(card: YubiKey, facts: &CardFacts) -> Value {
    let tries = |tries: &Option<Tries>| {
        tries.as_ref().map(|tries| json!({ "left": tries.left, "of": tries.of, "factory": tries.factory }))
    };
    let slot = |key: &SlotFacts| {
        json!({
            "slot": key.slot.to_string(), "algorithm": key.algorithm, "pin_policy": key.pin_policy.to_string(),
            "touch_policy": key.touch_policy.to_string(), "made_in_the_card": key.made_here,
        })
    };
    let slots: Vec<_> = facts.slots.iter().map(slot).collect();
    let management = facts.management_key.as_ref();
    json!({
        "serial": card.serial, "firmware": facts.firmware.to_string(),
        "eucleak": facts.firmware.has_eucleak(), "pin": tries(&facts.pin), "puk": tries(&facts.puk),
        "management_key": management.map(|key| json!({ "algorithm": key.algorithm, "factory": key.factory })),
        "slots": slots,
    })
}

fn print(out: &mut impl Write, card: YubiKey, facts: &CardFacts) -> io::Result<()> {
    writeln!(out, "YubiKey {}, firmware {}", card.serial, facts.firmware)?;
    if facts.firmware.has_eucleak() {
        writeln!(out, "{}", operator::EUCLEAK)?;
    }
    for (name, tries) in [("PIN", &facts.pin), ("PUK", &facts.puk)] {
        let Some(tries) = tries else { continue };
        let of = tries.of.map(|of| format!(" of {of}")).unwrap_or_default();
        let factory = if tries.factory { "; STILL THE FACTORY'S: change it" } else { "" };
        writeln!(out, "{name}: {}{of} tries left{factory}", tries.left)?;
    }
    if let Some(key) = &facts.management_key {
        let factory = if key.factory { "; STILL THE FACTORY'S: change it" } else { "" };
        writeln!(out, "management key: {}{factory}", key.algorithm)?;
    }
    for key in &facts.slots {
        let origin = if key.made_here { "made in the card" } else { "imported" };
        writeln!(
            out,
            "slot {}: {}, PIN policy {}, touch policy {}, {origin}",
            key.slot, key.algorithm, key.pin_policy, key.touch_policy
        )?;
    }
    Ok(())
}
