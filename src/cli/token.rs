//! `countersign token`: initialises and lists tokens, in this very process, which loads the module.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::ConfigArgs;
use crate::config::Config;
use crate::token::pkcs11::init::{self, Pins};
use crate::token::pkcs11::module::{Module, SlotState, trim};
use crate::token::pkcs11::{classify, operator::Modules};
use crate::token::{self, Device, Pin, YubiKey, process};

pub(super) mod environment;
mod info;
pub(super) mod management_key;
mod pin;
pub(super) mod secret;
mod unlatch;

use info::InfoArgs;
use management_key::ChangeManagementKeyArgs;
use pin::{ChangePinArgs, ChangePukArgs, UnblockPinArgs};
use unlatch::UnlatchArgs;

/// What to do with tokens.
#[derive(clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// List the tokens of a module, or of every module in the configuration; asks for no PIN
    List(ListArgs),
    /// Initialise a blank token with a label and PINs from the configuration; refuses to touch any other
    Init(InitArgs),
    /// Show what a YubiKey says of itself and its keys: firmware, tries left, policies; asks for no PIN
    Info(InfoArgs),
    /// Let the daemon try a PIN once more that the token refused, which costs a try if it is still wrong
    Unlatch(UnlatchArgs),
    /// Change the PIN of a YubiKey, and the PIN file with it, so that a running daemon goes on
    ChangePin(ChangePinArgs),
    /// Change the PUK of a YubiKey
    ChangePuk(ChangePukArgs),
    /// Set the PIN of a YubiKey anew with the PUK, also where it is blocked, and the PIN file with it
    UnblockPin(UnblockPinArgs),
    /// Change the management key of a YubiKey, which whoever changes its keys must have
    ChangeManagementKey(ChangeManagementKeyArgs),
}

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

/// Which token to make.
#[derive(clap::Args)]
pub(crate) struct InitArgs {
    /// The token's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// A file with the security officer's PIN, mode 0600
    #[arg(long, value_name = "FILE")]
    so_pin_file: PathBuf,
    /// Write new random PINs to the PIN file and the SO PIN file, neither of which may exist
    #[arg(long)]
    generate_pins: bool,
    /// Print JSON: the token's label and serial number
    #[arg(long)]
    json: bool,
}

/// Runs one of the commands.
///
/// # Errors
/// What went wrong, and what to do.
pub(super) fn run(command: TokenCommand) -> anyhow::Result<()> {
    process::seal()?;
    match command {
        TokenCommand::List(args) => list(&args),
        TokenCommand::Init(args) => init(&args),
        TokenCommand::Info(args) => info::run(&args),
        TokenCommand::Unlatch(args) => unlatch::run(&args),
        TokenCommand::ChangePin(args) => pin::change_pin(&args),
        TokenCommand::ChangePuk(args) => pin::change_puk(&args),
        TokenCommand::UnblockPin(args) => pin::unblock(&args),
        TokenCommand::ChangeManagementKey(args) => management_key::run(&args),
    }
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut modules = Modules::default();
    let paths = match (&args.module, &args.config) {
        (Some(module), _) => vec![module.clone()],
        (None, Some(config)) => {
            let config = super::load(config)?;
            environment::enter(&config.tokens)?;
            let modules = config.tokens.iter().filter_map(|token| token.pkcs11().ok());
            let mut paths: Vec<_> = modules.map(|device| device.module.clone()).collect();
            paths.sort();
            paths.dedup();
            paths
        }
        (None, None) => anyhow::bail!("name a configuration or a module"),
    };
    let mut rows = Vec::new();
    for path in paths {
        for slot in modules.load(&path)?.slots()? {
            rows.push(describe(&path.display().to_string(), &slot));
        }
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        for row in &rows {
            print_row(&mut out, row)?;
        }
    }
    Ok(())
}

fn describe(module: &str, state: &SlotState) -> Value {
    let slot = state.slot.id();
    match &state.info {
        Err(error) => json!({ "module": module, "slot": slot, "error": classify::code(error) }),
        Ok(info) => json!({
            "module": module,
            "slot": slot,
            "label": trim(info.label()),
            "serial": trim(info.serial_number()),
            "model": trim(info.model()),
            "manufacturer": trim(info.manufacturer_id()),
            "firmware": info.firmware_version().to_string(),
            "state": flags(info),
        }),
    }
}

/// The flags that an operator acts on, in words.
fn flags(info: &cryptoki::slot::TokenInfo) -> Vec<&'static str> {
    if !info.token_initialized() {
        // Its PIN flags mean nothing yet; SoftHSM calls the SO PIN locked.
        return vec!["blank"];
    }
    let words = [
        (!info.user_pin_initialized(), "user PIN not set"),
        (info.user_pin_count_low(), "user PIN: a wrong try since the last login"),
        (info.user_pin_final_try(), "user PIN: one try left"),
        (info.user_pin_locked(), "user PIN locked"),
        (info.user_pin_to_be_changed(), "user PIN must be changed"),
        (info.so_pin_final_try(), "SO PIN: one try left"),
        (info.so_pin_locked(), "SO PIN locked"),
        (info.write_protected(), "write protected"),
        (info.error_state(), "in an error state"),
        (info.protected_authentication_path(), "PIN pad"),
    ];
    let mut found: Vec<_> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    if found.is_empty() {
        found.push("ready");
    }
    found
}

fn print_row(out: &mut impl Write, row: &Value) -> io::Result<()> {
    let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
    let slot = row.get("slot").and_then(Value::as_u64).unwrap_or_default();
    if row.get("error").is_some() {
        return writeln!(out, "slot {slot}: unreadable ({})", text("error"));
    }
    let state: Vec<_> = row.get("state").and_then(Value::as_array).into_iter().flatten().collect();
    let state: Vec<_> = state.into_iter().filter_map(Value::as_str).collect();
    writeln!(
        out,
        "slot {slot}: {:?} serial {} ({}, {} firmware {}): {}",
        text("label"),
        text("serial"),
        text("manufacturer"),
        text("model"),
        text("firmware"),
        state.join(", ")
    )
}

fn init(args: &InitArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let token = find(&config, &args.name)?.clone();
    environment::enter(std::slice::from_ref(&token))?;
    let mut modules = Modules::default();
    let device = token.pkcs11()?;
    init_token(modules.load(&device.module)?, device, &token, args)
}

/// The section of a token that was named on the command line.
fn find<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a token::Config> {
    let found = config.tokens.iter().find(|token| token.name.as_str() == name);
    found.ok_or_else(|| anyhow::anyhow!("there is no [token.{name}] in the configuration"))
}

/// The token as a YubiKey.
fn yubikey(token: &token::Config) -> anyhow::Result<YubiKey> {
    match token.device {
        Device::YubiKey(card) => Ok(card),
        Device::Pkcs11(_) => {
            anyhow::bail!("token {} is not a YubiKey: this command is for those", token.name)
        }
    }
}

fn init_token(
    module: &Module,
    device: &token::Pkcs11,
    config: &token::Config,
    args: &InitArgs,
) -> anyhow::Result<()> {
    let free = init::free_slot(module, &device.label)?;
    let mut out = io::stdout().lock();
    if args.generate_pins {
        for path in [&args.so_pin_file, &config.pin_file] {
            anyhow::ensure!(
                !path.exists(),
                "{} exists already: leave out --generate-pins to use it, or move it away; nothing was changed",
                path.display()
            );
        }
        let longest = free.info.max_pin_length();
        // Written before they are set: a PIN that only a dead process knew would be a lost token.
        Pin::random(longest)?.write_new(&args.so_pin_file)?;
        Pin::random(longest)?.write_new(&config.pin_file)?;
        if !args.json {
            writeln!(out, "wrote {} and {}", args.so_pin_file.display(), config.pin_file.display())?;
        }
    }
    let pins = Pins { so: Pin::read(&args.so_pin_file)?, user: Pin::read(&config.pin_file)? };
    let made = init::init(module, &free, &device.label, &pins)?;
    let serial = trim(made.info.serial_number());
    if args.json {
        writeln!(
            out,
            "{}",
            json!({ "token": config.name.as_str(), "label": device.label, "serial": serial })
        )?;
        return Ok(());
    }
    writeln!(out, "initialised token {:?}, serial {serial}", device.label)?;
    writeln!(out, "to pin it, add to [token.{}]:\n  serial = {serial:?}", config.name)?;
    writeln!(out, "keep {} off this host", args.so_pin_file.display())?;
    Ok(())
}
