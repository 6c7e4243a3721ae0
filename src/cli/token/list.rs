//! `countersign token list`: the tokens of a module, or of every module in the configuration, without a PIN.
//!
//! Each configured module is loaded by a process of its own, in the environment that it has in service: one that crashes, hangs
//! or cannot be loaded is shown with its error, and hides no other. A YubiKey has no module: its row says who shows it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::{runtime, subprocess};
use crate::token::pkcs11::classify;
use crate::token::pkcs11::module::SlotState;
use crate::token::pkcs11::operator::Modules;
use crate::token::pkcs11::state::State;
use crate::token::pkcs11::survey::Identity;
use crate::token::{Config, Device, Pkcs11, YubiKey};

/// Where to look.
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// The configuration file, for the modules that it names
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG", required_unless_present = "module")]
    config: Option<PathBuf>,
    /// A PKCS#11 module, instead of a configuration
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A module in one environment, and the sections that name it.
struct Group<'a> {
    module: &'a Path,
    environment: &'a BTreeMap<String, String>,
    tokens: Vec<(&'a Config, &'a Pkcs11)>,
}

/// # Errors
/// If a module cannot be listed, after all that could is printed.
pub(super) fn run(args: &ListArgs) -> anyhow::Result<()> {
    let rows = match (&args.module, &args.config) {
        (Some(module), _) => of_module(&std::path::absolute(module)?)?,
        (None, Some(config)) => configured(&crate::cli::load(config)?.tokens)?,
        (None, None) => anyhow::bail!("name a configuration or a module"),
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        print(&mut out, &rows)?;
    }
    let failed = rows.iter().filter(|row| row.get("error").is_some() && row.get("slot").is_none()).count();
    anyhow::ensure!(failed == 0, "{failed} of the modules cannot be listed: see there");
    Ok(())
}

/// In this process.
fn of_module(path: &Path) -> anyhow::Result<Vec<Value>> {
    let mut modules = Modules::default();
    let slots = modules.load(path)?.slots()?;
    Ok(slots.iter().map(|slot| describe(path, slot)).collect())
}

fn configured(tokens: &[Config]) -> anyhow::Result<Vec<Value>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for token in tokens {
        let Ok(device) = token.pkcs11() else { continue };
        let is_same =
            |group: &&mut Group<'_>| group.module == device.module && *group.environment == token.environment;
        match groups.iter_mut().find(is_same) {
            Some(group) => group.tokens.push((token, device)),
            None => groups.push(Group {
                module: &device.module,
                environment: &token.environment,
                tokens: vec![(token, device)],
            }),
        }
    }
    let runtime = runtime()?;
    let mut rows = Vec::new();
    for group in &groups {
        match runtime.block_on(group.ask()) {
            Ok(listed) => rows.extend(listed.into_iter().map(|row| group.name(row))),
            Err(error) => rows.push(json!({
                "module": group.module.display().to_string(), "tokens": group.names(), "error": error,
            })),
        }
    }
    rows.extend(tokens.iter().filter_map(card));
    Ok(rows)
}

/// The row of a YubiKey, which is not asked.
fn card(token: &Config) -> Option<Value> {
    let Device::YubiKey(YubiKey { serial, .. }) = &token.device else { return None };
    Some(json!({ "token": token.name.as_str(), "yubikey": serial }))
}

impl Group<'_> {
    fn names(&self) -> Vec<&str> {
        self.tokens.iter().map(|(token, _)| token.name.as_str()).collect()
    }

    /// Has a process of its own list the module.
    async fn ask(&self) -> Result<Vec<Value>, String> {
        let module = self.module.as_os_str();
        let words = ["token", "list", "--json", "--module"].map(OsStr::new);
        subprocess::command(words.into_iter().chain([module]), self.environment).await
    }

    /// Adds which section a slot is.
    fn name(&self, mut row: Value) -> Value {
        let field = |name| row.get(name).and_then(Value::as_str);
        let fits = |device: &Pkcs11| {
            field("label") == Some(device.label.as_str())
                && device.serial.as_ref().is_none_or(|serial| field("serial") == Some(serial.as_str()))
        };
        let blank =
            |row: &Value| row.get("state").and_then(|state| state.get(0)) == Some(&json!(State::Blank));
        let named = self.tokens.iter().find(|(_, device)| fits(device) && !blank(&row));
        let name = named.map(|(token, _)| token.name.as_str());
        if let Value::Object(fields) = &mut row {
            fields.insert("token".to_owned(), json!(name));
        }
        row
    }
}

fn describe(module: &Path, slot: &SlotState) -> Value {
    let (module, number) = (module.display().to_string(), slot.slot.id());
    match &slot.info {
        Err(error) => json!({ "module": module, "slot": number, "error": classify::code(error) }),
        Ok(info) => {
            let Identity { label, serial, manufacturer, model, firmware, .. } = Identity::of(info);
            json!({
                "module": module, "slot": number, "label": label, "serial": serial, "model": model,
                "manufacturer": manufacturer, "firmware": firmware, "state": State::of(info),
            })
        }
    }
}

fn print(out: &mut impl Write, rows: &[Value]) -> io::Result<()> {
    let mut module = None;
    for row in rows {
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
        if let Some(serial) = row.get("yubikey") {
            let name = text("token");
            writeln!(out, "YubiKey {serial} [token.{name}]: `countersign token info {name}` shows it")?;
            continue;
        }
        if row.get("slot").is_none() {
            module = None;
            writeln!(out, "module {}: {}", text("module"), text("error"))?;
            continue;
        }
        if module != Some(text("module")) {
            module = Some(text("module"));
            writeln!(out, "module {}", text("module"))?;
        }
        print_slot(out, row)?;
    }
    if rows.is_empty() {
        writeln!(out, "no slot has a token in it")?;
    }
    Ok(())
}

fn print_slot(out: &mut impl Write, row: &Value) -> io::Result<()> {
    let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
    let slot = row.get("slot").and_then(Value::as_u64).unwrap_or_default();
    if row.get("error").is_some() {
        return writeln!(out, "  slot {slot}: unreadable ({})", text("error"));
    }
    let state: Vec<_> = row.get("state").and_then(Value::as_array).into_iter().flatten().collect();
    let state: Vec<_> = state.into_iter().filter_map(Value::as_str).collect();
    let name = row.get("token").and_then(Value::as_str).map(|name| format!(" [token.{name}]"));
    writeln!(
        out,
        "  slot {slot}{}: {:?} serial {} ({}, {} firmware {}): {}",
        name.unwrap_or_default(),
        text("label"),
        text("serial"),
        text("manufacturer"),
        text("model"),
        text("firmware"),
        state.join(", ")
    )
}
