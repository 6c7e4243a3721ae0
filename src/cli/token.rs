//! `countersign token`: initialises and lists tokens, in this very process, which loads the module.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;

use super::{ConfigArgs, Usage};
use crate::config::Config;
use crate::token::pkcs11::init::{self, Pins};
use crate::token::pkcs11::module::{Module, trim};
use crate::token::pkcs11::operator::Modules;
use crate::token::{self, Device, Pin, PinFile, YubiKey, process};

mod change_pin;
pub(super) mod environment;
mod info;
mod list;
pub(super) mod management_key;
mod pin;
pub(super) mod secret;
mod select;
pub(super) mod set_pin_source;
mod unlatch;

use change_pin::{ChangePinArgs, UnlockArgs};
use info::InfoArgs;
use list::ListArgs;
use management_key::ChangeManagementKeyArgs;
use pin::ChangePukArgs;
use set_pin_source::SetPinSourceArgs;
use unlatch::UnlatchArgs;

/// What to do with tokens.
#[derive(clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// List the tokens of a module, or of every module in the configuration; asks for no PIN
    List(ListArgs),
    /// Initialise a blank token with a label and PINs from the configuration; refuses to touch any other
    Init(InitArgs),
    /// Show what a token says of itself: firmware, tries left, schemes, public keys; asks for no PIN
    Info(InfoArgs),
    /// Change a token's user PIN, and the PIN file with it; asks for what no file holds
    ChangePin(ChangePinArgs),
    /// Set a token's user PIN anew, with the security officer's PIN or a YubiKey's PUK, also where wrong tries have locked it
    Unlock(UnlockArgs),
    /// Have the configuration take a token's PIN from another file, or from a systemd credential; keeps all else, comments too
    SetPinSource(SetPinSourceArgs),
    /// Let the daemon try a PIN once more that the token refused, which costs a try if it is still wrong; changes no PIN
    Unlatch(UnlatchArgs),
    /// Change the PUK of a YubiKey
    ChangePuk(ChangePukArgs),
    /// Change the management key of a YubiKey, which whoever changes its keys must have
    ChangeManagementKey(ChangeManagementKeyArgs),
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
        TokenCommand::List(args) => list::run(&args),
        TokenCommand::Init(args) => init(&args),
        TokenCommand::Info(args) => info::run(&args),
        TokenCommand::ChangePin(args) => change_pin::run(&args),
        TokenCommand::Unlock(args) => change_pin::unlock(&args),
        TokenCommand::SetPinSource(args) => set_pin_source::run(&args),
        TokenCommand::Unlatch(args) => unlatch::run(&args),
        TokenCommand::ChangePuk(args) => pin::change_puk(&args),
        TokenCommand::ChangeManagementKey(args) => management_key::run(&args),
    }
}

fn init(args: &InitArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let token = find(&config, &args.name)?.clone();
    environment::enter(std::slice::from_ref(&token))?;
    let mut modules = Modules::default();
    let device = token.pkcs11()?;
    init_token(modules.load(&device.module)?, device, &token, args)
}

/// That a token was named on the command line which has no section.
pub(super) fn no_token(config: &Config, name: &str) -> Usage {
    Usage::no_section("token", name, config.tokens.iter().map(|token| token.name.as_str()))
}

/// The section of a token that was named on the command line.
fn find<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a token::Config> {
    let found = config.tokens.iter().find(|token| token.name.as_str() == name);
    Ok(found.ok_or_else(|| no_token(config, name))?)
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
    let made_elsewhere = match config.pin_file {
        PinFile::Own(_) | PinFile::Credential { .. } => None,
        PinFile::Pad => Some("has its PINs typed at its own pad: make it there, or with the vendor's tool"),
        PinFile::None => Some("is said to need no PIN (`pin_none`): make it with the vendor's tool"),
    };
    if let Some(why) = made_elsewhere {
        anyhow::bail!("token {} {why}", config.name);
    }
    let free = init::free_slot(module, &device.label)?;
    let mut out = io::stdout().lock();
    if args.generate_pins {
        let pin_file = config.pin_file.own().ok_or_else(|| {
            anyhow::anyhow!(
                "the configuration has the PIN in a credential, which cannot be written here: make the token with `pin_file`, \
                 encrypt that file with `systemd-creds encrypt`, and then run `countersign token set-pin-source`"
            )
        })?;
        for path in [args.so_pin_file.as_path(), pin_file] {
            anyhow::ensure!(
                !path.exists(),
                "{} exists already: leave out --generate-pins to use it, or move it away; nothing was changed",
                path.display()
            );
        }
        let longest = free.info.max_pin_length();
        // Written before they are set: a PIN that only a dead process knew would be a lost token.
        Pin::random(longest)?.write_new(&args.so_pin_file)?;
        Pin::random(longest)?.write_new(pin_file)?;
        if !args.json {
            writeln!(out, "wrote {} and {}", args.so_pin_file.display(), pin_file.display())?;
        }
    }
    let pins = Pins { so: Pin::read(&args.so_pin_file)?, user: config.pin_file.read()? };
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
