//! `countersign token change-pin` and `countersign token unlock`: the user PIN, by who knows it and by the security officer.
//!
//! In: a token, and PINs out of files, descriptors or a terminal, never arguments. Out: the token with its new PIN, and the PIN
//! file of the configuration with the same. A daemon that runs goes on; its next login takes the new one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::pin;
use super::secret::Secret;
use super::select::{Chosen, Kind, TokenArgs};
use crate::token::PinRefusal;
use crate::token::gate::Gate;
use crate::token::latch::Latch;
use crate::token::pkcs11::change::{self, ChangeError};
use crate::token::pkcs11::operator::Modules;
use crate::token::{Pin, Staged};

pub(super) const PIN: Secret<'_> = Secret { name: "the PIN of now", option: "--pin-file" };
const NEW_PIN: Secret<'_> = Secret { name: "the new PIN", option: "--new-pin-file" };
const SO_PIN: Secret<'_> = Secret { name: "the security officer's PIN", option: "--so-pin-file" };

/// Whose PIN to change.
#[derive(clap::Args)]
pub(crate) struct ChangePinArgs {
    #[command(flatten)]
    token: TokenArgs,
    /// A file with the PIN as it is, mode 0600; without it the configuration's PIN file, or a prompt
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    #[command(flatten)]
    new: NewPinArgs,
}

/// Whose PIN to set anew, and who says so.
#[derive(clap::Args)]
pub(crate) struct UnlockArgs {
    #[command(flatten)]
    token: TokenArgs,
    /// A file with the security officer's PIN, mode 0600; without it a prompt
    #[arg(long, value_name = "FILE")]
    so_pin_file: Option<PathBuf>,
    /// A file with the PUK of a YubiKey, mode 0600; without it a prompt
    #[arg(long, value_name = "FILE", conflicts_with = "so_pin_file")]
    puk_file: Option<PathBuf>,
    #[command(flatten)]
    new: NewPinArgs,
}

/// What the PIN is to be, and where it is to be kept.
#[derive(clap::Args)]
pub(super) struct NewPinArgs {
    /// A file with the new PIN, mode 0600, or a descriptor as /dev/fd/N; without it a prompt
    #[arg(long, value_name = "FILE")]
    new_pin_file: Option<PathBuf>,
    /// Make a new random PIN, and write it to the configuration's PIN file
    #[arg(long, conflicts_with_all = ["new_pin_file", "keep_pin_file"])]
    generate_pin: bool,
    /// Leave the configuration's PIN file as it is
    #[arg(long)]
    keep_pin_file: bool,
}

/// # Errors
/// Why the PIN was not changed, and which one the token has.
pub(super) fn run(args: &ChangePinArgs) -> anyhow::Result<()> {
    let chosen = match args.token.choose()? {
        Kind::Pkcs11(chosen) => chosen,
        Kind::YubiKey(card) => return pin::change(&card, args.pin_file.as_deref(), &args.new),
    };
    let mut modules = Modules::default();
    let (module, token) = chosen.find(&mut modules)?;
    change::no_pad(&token.info)?;
    let latch = latch(&chosen);
    let old = args.old(&chosen)?;
    let home = args.new.home(chosen.pin_home());
    let new = args.new.read(home, token.info.max_pin_length())?;
    let past = latch.as_ref().map(Latch::past).transpose().context("what PIN not to try cannot be read")?;
    let staged = home.map(|home| Staged::prepare(home, &new)).transpose()?;
    let changed = change::change(module, &token, (&old, &new), &Gate::Own(past.unwrap_or_default()));
    if let (Err(ChangeError::Refused(refusal)), Some(latch)) = (&changed, &latch)
        && chosen.is_in_service(&old)
    {
        latch.note(refusal);
    }
    let changed = changed.map_err(|error| args.named(error, &chosen));
    finish(&chosen, staged, latch.as_ref(), changed)
}

/// # Errors
/// Why the PIN was not set, and which one the token has.
pub(super) fn unlock(args: &UnlockArgs) -> anyhow::Result<()> {
    let chosen = match args.token.choose()? {
        Kind::Pkcs11(chosen) => chosen,
        Kind::YubiKey(card) => {
            ensure!(
                args.so_pin_file.is_none(),
                "a YubiKey has no security officer: its PIN is set anew with --puk-file"
            );
            return pin::unlock(&card, args.puk_file.as_deref(), &args.new);
        }
    };
    ensure!(args.puk_file.is_none(), "only YubiKeys have a PUK: this PIN is set anew with --so-pin-file");
    let mut modules = Modules::default();
    let (module, token) = chosen.find(&mut modules)?;
    change::no_pad(&token.info)?;
    let so = SO_PIN.read(args.so_pin_file.as_deref())?;
    let home = args.new.home(chosen.pin_home());
    let new = args.new.read(home, token.info.max_pin_length())?;
    let staged = home.map(|home| Staged::prepare(home, &new)).transpose()?;
    let set = change::reset(module, &token, &so, &new);
    finish(&chosen, staged, latch(&chosen).as_ref(), set)
}

impl ChangePinArgs {
    /// A refusal speaks of the section's `pin_file`; whoever named another file is told of that one.
    fn named(&self, error: ChangeError, chosen: &Chosen) -> ChangeError {
        match (error, self.pin_file.as_deref().or(chosen.pin_file.as_deref())) {
            (ChangeError::Refused(refusal), Some(file)) => {
                let message = refusal.message.replace("`pin_file`", &file.display().to_string());
                ChangeError::Refused(PinRefusal { message, ..refusal })
            }
            (error, _) => error,
        }
    }

    /// The PIN as it is: out of the file of the command line, else of the URI, else of the configuration, else typed.
    fn old(&self, chosen: &Chosen) -> anyhow::Result<Pin> {
        let credential = chosen.section.as_ref().map(|(section, _)| &section.pin_file);
        let credential = credential.filter(|source| source.own().is_none() && source.exists());
        match (self.pin_file.as_deref(), chosen.pin_home().filter(|home| home.exists()), credential) {
            (Some(file), _, _) | (None, Some(file), _) => PIN.read(Some(file)),
            (None, None, Some(credential)) => Ok(credential.read()?),
            (None, None, None) => PIN.read(None),
        }
    }
}

impl NewPinArgs {
    /// The file that is to hold the new PIN.
    pub(super) fn home<'a>(&self, configured: Option<&'a Path>) -> Option<&'a Path> {
        configured.filter(|_| !self.keep_pin_file)
    }

    /// The new PIN: made, read, or typed twice. Where it is to be kept, and how long a token lets it be.
    pub(super) fn read(&self, home: Option<&Path>, longest: usize) -> anyhow::Result<Pin> {
        if !self.generate_pin {
            return NEW_PIN.choose(self.new_pin_file.as_deref());
        }
        ensure!(
            home.is_some(),
            "--generate-pin needs a file to write the PIN to: `pin_file` of a configuration, or pin-source in a URI"
        );
        Ok(Pin::random(longest)?)
    }
}

impl Chosen {
    /// The file that holds the token's PIN from one login to the next.
    fn pin_home(&self) -> Option<&Path> {
        let of_section = self.section.as_ref().and_then(|(section, _)| section.pin_file.own());
        self.pin_file.as_deref().or(of_section)
    }

    /// Whether the daemon would try this PIN as well.
    fn is_in_service(&self, pin: &Pin) -> bool {
        let held = self.section.as_ref().and_then(|(section, _)| section.pin_file.read().ok());
        held.is_some_and(|held| held.expose() == pin.expose())
    }
}

fn latch(chosen: &Chosen) -> Option<Latch> {
    chosen.section.as_ref().map(|(section, state)| Latch::new(state, &section.name))
}

/// The files after the call, and what is to be said.
fn finish(
    chosen: &Chosen,
    staged: Option<Staged>,
    latch: Option<&Latch>,
    changed: Result<(), ChangeError>,
) -> anyhow::Result<()> {
    match (changed, staged) {
        (Ok(()), staged) => done(chosen, staged, latch),
        (Err(error @ ChangeError::Unknown(_)), Some(staged)) => Err(anyhow::anyhow!(
            "{error}: the new one is in {}, and the PIN file has the old one",
            staged.waits_at().display()
        )),
        (Err(error), staged) => {
            staged.into_iter().for_each(Staged::discard);
            Err(error.into())
        }
    }
}

fn done(chosen: &Chosen, staged: Option<Staged>, latch: Option<&Latch>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "the token has its new user PIN")?;
    if let (Some(staged), Some(home)) = (staged, chosen.pin_home()) {
        let waits =
            || format!("the new PIN waits in {}: put it into the PIN file", staged.waits_at().display());
        staged.put().with_context(waits)?;
        writeln!(out, "and {} holds it", home.display())?;
    } else {
        let source = chosen.section.as_ref().map(|(section, _)| section.pin_file.to_string());
        let source = source.unwrap_or_else(|| "the place where your configuration looks for it".to_owned());
        writeln!(out, "and no file was written: put it into {source} before the daemon logs in again")?;
    }
    if let Some(latch) = latch.filter(|latch| fs::exists(latch.path()).unwrap_or(true)) {
        let cleared = latch.clear();
        cleared.with_context(|| format!("{} cannot be removed", latch.path().display()))?;
        writeln!(out, "a daemon that held back tries it again")?;
    }
    Ok(())
}
