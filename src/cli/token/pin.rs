//! `countersign token change-pin`, `change-puk` and `unblock-pin`: the PIN and the PUK of a YubiKey.
//!
//! The card and the PIN file change in one transaction of the card: a daemon that signs meanwhile has the old PIN for the old
//! card or the new one for the new, and no try is spent. A PIN that the token refused is not tried here either.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};

use super::secret::Secret;
use super::{environment, find, yubikey};
use crate::cli::ConfigArgs;
use crate::config::Config;
use crate::token::latch::Latch;
use crate::token::piv::reference::{Change, ChangeError};
use crate::token::{self, Pin, Staged};

/// Which PIN to change.
#[derive(clap::Args)]
pub(crate) struct ChangePinArgs {
    /// The token's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// A file with the PIN of now, if that is not what `pin_file` in the configuration holds; asked for if there is neither
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    #[command(flatten)]
    new: NewPinArgs,
}

/// Which PIN to set anew.
#[derive(clap::Args)]
pub(crate) struct UnblockPinArgs {
    /// The token's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// A file with the PUK, mode 0600; asked for if left out
    #[arg(long, value_name = "FILE")]
    puk_file: Option<PathBuf>,
    #[command(flatten)]
    new: NewPinArgs,
}

/// What the PIN is to be.
#[derive(clap::Args)]
struct NewPinArgs {
    /// A file with the new PIN, 6 to 8 characters, mode 0600; asked for if left out
    #[arg(long, value_name = "FILE")]
    new_pin_file: Option<PathBuf>,
    /// Leave `pin_file` in the configuration as it is
    #[arg(long)]
    keep_pin_file: bool,
}

/// Which PUK to change.
#[derive(clap::Args)]
pub(crate) struct ChangePukArgs {
    /// The token's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// A file with the PUK of now, mode 0600; asked for if left out
    #[arg(long, value_name = "FILE")]
    puk_file: Option<PathBuf>,
    /// A file with the new PUK, 6 to 8 characters, mode 0600; asked for if left out
    #[arg(long, value_name = "FILE")]
    new_puk_file: Option<PathBuf>,
}

const PIN: Secret<'_> = Secret { name: "the PIN of now", option: "--pin-file" };
const NEW_PIN: Secret<'_> = Secret { name: "the new PIN", option: "--new-pin-file" };
const PUK: Secret<'_> = Secret { name: "the PUK", option: "--puk-file" };
const NEW_PUK: Secret<'_> = Secret { name: "the new PUK", option: "--new-puk-file" };

/// # Errors
/// What is wrong, and whether anything was changed.
pub(super) fn change_pin(args: &ChangePinArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let token = find(&config, &args.name)?;
    environment::enter(std::slice::from_ref(token))?;
    let configured = Some(token.pin_file.as_path()).filter(|file| file.exists());
    let pin = PIN.read(args.pin_file.as_deref().or(configured))?;
    Setting { config: &config, token, args: &args.new, change: Change::Pin }.make(&pin)
}

/// # Errors
/// As [`change_pin`].
pub(super) fn unblock(args: &UnblockPinArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let token = find(&config, &args.name)?;
    environment::enter(std::slice::from_ref(token))?;
    let puk = PUK.read(args.puk_file.as_deref())?;
    Setting { config: &config, token, args: &args.new, change: Change::Unblock }.make(&puk)
}

/// # Errors
/// As [`change_pin`].
pub(super) fn change_puk(args: &ChangePukArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let token = find(&config, &args.name)?;
    environment::enter(std::slice::from_ref(token))?;
    let card = yubikey(token)?;
    let puk = PUK.read(args.puk_file.as_deref())?;
    let new = NEW_PUK.choose(args.new_puk_file.as_deref())?;
    Change::Puk.make(card, &puk, &new, || Ok(()))?;
    writeln!(io::stdout().lock(), "changed the PUK of YubiKey {}; keep it off this host", card.serial)?;
    Ok(())
}

/// A PIN that is to be another.
struct Setting<'a> {
    config: &'a Config,
    token: &'a token::Config,
    args: &'a NewPinArgs,
    change: Change,
}

impl Setting<'_> {
    /// Changes the card, the PIN file, and what is remembered of a PIN that was refused.
    fn make(&self, opener: &Pin) -> anyhow::Result<()> {
        let card = yubikey(self.token)?;
        let latch = Latch::new(self.config.state(), &self.token.name);
        let serial = card.serial.to_string();
        if self.change == Change::Pin {
            self.want_untried(opener, &latch, &serial)?;
        }
        let new = NEW_PIN.choose(self.args.new_pin_file.as_deref())?;
        let staged = if self.args.keep_pin_file { None } else { Some(self.stage(&new)?) };
        let put = || staged.as_ref().map_or(Ok(()), put);
        match self.change.make(card, opener, &new, put) {
            Ok(()) => {}
            Err(error @ (ChangeError::Unknown(_) | ChangeError::HalfDone(_))) => {
                let waits =
                    staged.map(|staged| format!("; the new PIN waits in {}", staged.waits_at().display()));
                bail!("{error}{}", waits.unwrap_or_default());
            }
            Err(error @ (ChangeError::Refused(_) | ChangeError::Untouched(_))) => {
                staged.into_iter().for_each(Staged::discard);
                if self.change == Change::Pin && matches!(error, ChangeError::Refused(_)) {
                    self.note_refusal(opener, &latch, &serial, &error);
                }
                return Err(error.into());
            }
        }
        self.release(&new, &latch, &serial)?;
        let mut out = io::stdout().lock();
        let file = self.token.pin_file.display();
        if self.args.keep_pin_file {
            writeln!(
                out,
                "the PIN of YubiKey {serial} is the new one; put it into {file}: a wrong one there costs a try"
            )?;
        } else {
            writeln!(
                out,
                "the PIN of YubiKey {serial} and {file} are the new one; a running daemon goes on with it"
            )?;
        }
        Ok(())
    }

    fn stage(&self, new: &Pin) -> anyhow::Result<Staged> {
        let file = &self.token.pin_file;
        new.stage(file).with_context(|| {
            format!(
                "cannot write {}.new, from where the new PIN goes into the PIN file; nothing was changed; --keep-pin-file changes the card alone",
                file.display()
            )
        })
    }

    /// What the token refused to the daemon it would refuse here as well.
    fn want_untried(&self, pin: &Pin, latch: &Latch, serial: &str) -> anyhow::Result<()> {
        let mark = latch.mark().with_context(|| format!("{} cannot be read", latch.path().display()))?;
        if mark.is_some_and(|mark| pin.is_marked(&mark, serial)) {
            let name = &self.token.name;
            bail!(
                "the token refused this PIN before, and it is not tried again; name the right one with --pin-file, set another with `countersign token unblock-pin {name}`, or run `countersign token unlatch {name}` if this is it"
            );
        }
        Ok(())
    }

    /// The daemon is not to spend a try on what the PIN file holds.
    fn note_refusal(&self, pin: &Pin, latch: &Latch, serial: &str, error: &ChangeError) {
        let is_the_daemons = Pin::read(&self.token.pin_file).is_ok_and(|held| held.expose() == pin.expose());
        if is_the_daemons {
            latch.refuse(pin, serial, error.to_string());
        }
    }

    /// The new PIN is right, whatever was noted before.
    fn release(&self, new: &Pin, latch: &Latch, serial: &str) -> anyhow::Result<()> {
        let is_noted = || {
            let mark = latch.mark().ok().flatten();
            mark.is_none_or(|mark| new.is_marked(&mark, serial))
        };
        if !self.args.keep_pin_file || is_noted() {
            latch.clear().map_err(|error| {
                anyhow!("the PIN is changed, but {} cannot be removed: {error}", latch.path().display())
            })?;
        }
        Ok(())
    }
}

fn put(staged: &Staged) -> Result<(), String> {
    staged.put().map_err(|error| format!("it could not be put into the PIN file: {error}"))
}
