//! The same, of a token behind a PKCS#11 module.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::token::select::Chosen;
use crate::key::{PublicKey, Scheme};
use crate::token::pkcs11::operator::Modules;
use crate::token::pkcs11::survey::{Can, PublicObject, SessionLimit, TokenFacts, survey};

/// # Errors
/// If the module cannot be loaded, or has no such token.
pub(super) fn run(chosen: &Chosen, as_json: bool) -> anyhow::Result<()> {
    let mut modules = Modules::default();
    let (module, token) = chosen.find(&mut modules)?;
    let facts = survey(module, &token);
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&shown(chosen, &facts))?)?;
    } else {
        print(&mut out, chosen, &facts)?;
    }
    Ok(())
}

fn shown(chosen: &Chosen, facts: &TokenFacts) -> Value {
    let identity = &facts.identity;
    let library = facts.library.as_ref().map_or_else(failed, |library| {
        json!({
            "description": library.description, "manufacturer": library.manufacturer,
            "version": library.version, "pkcs11": library.cryptoki,
        })
    });
    let schemes = facts.schemes.as_ref().map_or_else(failed, |schemes| {
        let row = |(scheme, can): &(Scheme, Can)| {
            let sign = matches!(can, Can::SignAndGenerate | Can::Sign);
            let why = (!sign).then(|| lacks(can));
            json!({ "scheme": scheme.name(), "sign": sign, "generate": *can == Can::SignAndGenerate, "why": why })
        };
        schemes.iter().map(row).collect()
    });
    let public_keys = facts.public_keys.as_ref().map_or_else(failed, |keys| {
        let row = |PublicObject { label, id, key }: &PublicObject| {
            let (fingerprint, problem) = (key.as_ref().ok().map(PublicKey::fingerprint), key.as_ref().err());
            json!({ "label": label, "id": id, "fingerprint": fingerprint, "problem": problem })
        };
        keys.iter().map(row).collect()
    });
    json!({
        "module": chosen.module.display().to_string(), "library": library,
        "label": identity.label, "serial": identity.serial, "manufacturer": identity.manufacturer,
        "model": identity.model, "firmware": identity.firmware, "hardware": identity.hardware,
        "state": facts.state,
        "pin_bytes": { "least": facts.pin_length.0, "most": facts.pin_length.1 },
        "sessions": { "open": facts.sessions.0, "most": most(facts.sessions.1) },
        "schemes": schemes, "public_keys": public_keys,
    })
}

fn failed(error: &String) -> Value {
    json!({ "error": error })
}

fn most(limit: SessionLimit) -> Value {
    match limit {
        SessionLimit::Most(most) => most.into(),
        SessionLimit::None => "unlimited".into(),
        SessionLimit::Unsaid => Value::Null,
    }
}

fn print(out: &mut impl Write, chosen: &Chosen, facts: &TokenFacts) -> io::Result<()> {
    let identity = &facts.identity;
    writeln!(out, "token {:?}, serial {}", identity.label, identity.serial)?;
    writeln!(
        out,
        "device: {:?} by {:?}, firmware {}, hardware {}",
        identity.model, identity.manufacturer, identity.firmware, identity.hardware
    )?;
    write!(out, "module: {}, ", chosen.module.display())?;
    match &facts.library {
        Ok(library) => writeln!(
            out,
            "{:?} {} by {:?}, PKCS#11 {}",
            library.description, library.version, library.manufacturer, library.cryptoki
        )?,
        Err(error) => writeln!(out, "{error}")?,
    }
    let state: Vec<_> = facts.state.iter().map(|state| state.name()).collect();
    writeln!(out, "state: {}", state.join(", "))?;
    writeln!(out, "PINs: {} to {} bytes", facts.pin_length.0, facts.pin_length.1)?;
    let open = facts.sessions.0.map_or_else(|| "uncounted".to_owned(), |open| format!("{open} open"));
    match facts.sessions.1 {
        SessionLimit::Most(most) => writeln!(out, "sessions: {open}, of {most}")?,
        SessionLimit::None => writeln!(out, "sessions: {open}, no limit")?,
        SessionLimit::Unsaid => writeln!(out, "sessions: {open}, the token tells no limit")?,
    }
    print_schemes(out, facts)?;
    print_keys(out, facts)
}

fn print_schemes(out: &mut impl Write, facts: &TokenFacts) -> io::Result<()> {
    let schemes = match &facts.schemes {
        Ok(schemes) => schemes,
        Err(error) => return writeln!(out, "schemes: {error}"),
    };
    for (scheme, can) in schemes {
        match can {
            Can::SignAndGenerate => writeln!(out, "scheme {}: signs, makes keys", scheme.name())?,
            Can::Sign => writeln!(out, "scheme {}: signs; makes no keys", scheme.name())?,
            Can::Lacks(_) | Can::Sizes { .. } => {
                writeln!(out, "scheme {}: no, {}", scheme.name(), lacks(can))?;
            }
        }
    }
    Ok(())
}

/// Why a token cannot sign by a scheme.
fn lacks(can: &Can) -> String {
    match can {
        Can::SignAndGenerate | Can::Sign => String::new(),
        Can::Lacks(mechanism) => format!("the token has no {mechanism}"),
        Can::Sizes { mechanism, bits: (least, most) } => {
            format!("{mechanism} takes keys of {least} to {most} bits")
        }
    }
}

fn print_keys(out: &mut impl Write, facts: &TokenFacts) -> io::Result<()> {
    let keys = match &facts.public_keys {
        Ok(keys) => keys,
        Err(error) => return writeln!(out, "public keys: {error}"),
    };
    for key in keys {
        let what = match &key.key {
            Ok(public) => public.fingerprint(),
            Err(problem) => problem.clone(),
        };
        writeln!(out, "public key {:?} id {}: {what}", key.label, key.id)?;
    }
    let more = "private keys want the PIN: `countersign key list`";
    writeln!(out, "public keys shown without the PIN: {}; {more}", keys.len())
}
