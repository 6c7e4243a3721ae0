//! `countersign token change-pin`, `unlock` and `change-puk`, of a YubiKey.
//!
//! The card and the PIN file change in one transaction of the card: a daemon that signs meanwhile has the old PIN for the old
//! card or the new one for the new, and no try is spent. A PIN that the token refused is not tried here either.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::change_pin::{NewPinArgs, PIN};
use super::secret::Secret;
use super::select::Card;
use super::{environment, find, yubikey};
use crate::cli::ConfigArgs;
use crate::token::latch::{Latch, Verdict};
use crate::token::piv::reference::{Change, ChangeError};
use crate::token::{Pin, Staged};

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

/// A PIN of PIV has 6 to 8 bytes.
const LONGEST: usize = 8;
const PUK: Secret<'_> = Secret { name: "the PUK", option: "--puk-file" };
const NEW_PUK: Secret<'_> = Secret { name: "the new PUK", option: "--new-puk-file" };

/// Changes the PIN, by who knows it; `pin_file` holds it, if that is not where the configuration has it.
///
/// # Errors
/// What is wrong, and whether anything was changed.
pub(super) fn change(card: &Card, pin_file: Option<&Path>, new: &NewPinArgs) -> anyhow::Result<()> {
    let source = &card.section.pin_file;
    let pin = match pin_file {
        None if source.exists() => source.read()?,
        file => PIN.read(file)?,
    };
    Setting { card, new, change: Change::Pin }.make(&pin)
}

/// Sets the PIN anew, by who has the PUK.
///
/// # Errors
/// As [`change`].
pub(super) fn unlock(card: &Card, puk_file: Option<&Path>, new: &NewPinArgs) -> anyhow::Result<()> {
    let puk = PUK.read(puk_file)?;
    Setting { card, new, change: Change::Unblock }.make(&puk)
}

/// # Errors
/// As [`change`].
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
    card: &'a Card,
    new: &'a NewPinArgs,
    change: Change,
}

impl Setting<'_> {
    /// Changes the card, the PIN file, and what is remembered of a PIN that was refused.
    fn make(&self, opener: &Pin) -> anyhow::Result<()> {
        let card = self.card.device;
        let latch = Latch::new(&self.card.state, &self.card.section.name);
        let serial = card.serial.to_string();
        if self.change == Change::Pin {
            self.want_untried(opener, &latch, &serial)?;
        }
        let home = self.new.home(self.card.section.pin_file.own());
        let new = self.new.read(home, LONGEST)?;
        let staged = home.map(|home| stage(home, &new)).transpose()?;
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
        let file = &self.card.section.pin_file;
        if home.is_none() {
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

    /// What the token refused to the daemon it would refuse here as well.
    fn want_untried(&self, pin: &Pin, latch: &Latch, serial: &str) -> anyhow::Result<()> {
        let past = latch.past().with_context(|| format!("{} cannot be read", latch.path().display()))?;
        if matches!(past.judge(pin, serial), Verdict::Barred(_)) {
            let name = &self.card.section.name;
            bail!(
                "the token refused this PIN before, and it is not tried again; name the right one with --pin-file, set another with `countersign token unlock {name}`, or run `countersign token unlatch {name}` if this is it"
            );
        }
        Ok(())
    }

    /// The daemon is not to spend a try on what the PIN file holds.
    fn note_refusal(&self, pin: &Pin, latch: &Latch, serial: &str, error: &ChangeError) {
        let is_the_daemons =
            self.card.section.pin_file.read().is_ok_and(|held| held.expose() == pin.expose());
        if is_the_daemons {
            latch.refuse(pin, serial, error.to_string());
        }
    }

    /// The new PIN is right, whatever was noted before.
    fn release(&self, new: &Pin, latch: &Latch, serial: &str) -> anyhow::Result<()> {
        // Also where nothing is noted but that the card refused something.
        let is_noted = || latch.past().map_or(true, |past| past.tells_of(new, serial));
        let is_kept = self.new.home(self.card.section.pin_file.own()).is_none();
        if !is_kept || is_noted() {
            latch.clear().map_err(|error| {
                anyhow!("the PIN is changed, but {} cannot be removed: {error}", latch.path().display())
            })?;
        }
        Ok(())
    }
}

fn stage(home: &Path, new: &Pin) -> anyhow::Result<Staged> {
    Staged::prepare(home, new).context("nothing was changed; --keep-pin-file changes the card alone")
}

fn put(staged: &Staged) -> Result<(), String> {
    staged.put().map_err(|error| format!("it could not be put into the PIN file: {error}"))
}
