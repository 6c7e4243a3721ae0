//! `countersign token change-pin` and `countersign token unlock`: the user PIN, by who knows it and by the security officer.
//!
//! In: a token, and PINs out of files, descriptors or a terminal, never arguments. Out: the token with its new PIN, and the PIN
//! file of the configuration with the same. A daemon that runs goes on; its next login takes the new one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::secret::Secret;
use super::select::{Chosen, TokenArgs};
use crate::token::Pin;
use crate::token::latch::Latch;
use crate::token::pin::replace::Replacement;
use crate::token::pkcs11::change::{self, ChangeError};
use crate::token::pkcs11::module::FoundToken;
use crate::token::pkcs11::operator::Modules;

const PIN: Secret<'_> = Secret { name: "the PIN", option: "--pin-file" };
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

/// Whose PIN to set anew.
#[derive(clap::Args)]
pub(crate) struct UnlockArgs {
    #[command(flatten)]
    token: TokenArgs,
    /// A file with the security officer's PIN, mode 0600; without it a prompt
    #[arg(long, value_name = "FILE")]
    so_pin_file: Option<PathBuf>,
    #[command(flatten)]
    new: NewPinArgs,
}

#[derive(clap::Args)]
struct NewPinArgs {
    /// A file with the new PIN, mode 0600, or a descriptor as /dev/fd/N
    #[arg(long, value_name = "FILE")]
    new_pin_file: Option<PathBuf>,
    /// Make a new random PIN, and write it to the configuration's PIN file
    #[arg(long, conflicts_with = "new_pin_file")]
    generate_pin: bool,
}

/// # Errors
/// Why the PIN was not changed, and which one the token has.
pub(super) fn run(args: &ChangePinArgs) -> anyhow::Result<()> {
    let chosen = args.token.choose_pkcs11()?;
    let mut modules = Modules::default();
    let (module, token) = chosen.find(&mut modules)?;
    let (home, latch) = (chosen.pin_home(), latch(&chosen));
    let old = args.old(&chosen)?;
    let new = args.new.read(home, &token, None)?;
    let mark = latch.as_ref().map(Latch::mark).transpose().context("what PIN not to try cannot be read")?;
    let replacement = home.map(|home| Replacement::prepare(home, &new)).transpose()?;
    let changed = change::change(module, &token, (&old, &new), mark.flatten().as_ref());
    finish(&chosen, replacement, latch.as_ref(), changed)
}

/// # Errors
/// Why the PIN was not set, and which one the token has.
pub(super) fn unlock(args: &UnlockArgs) -> anyhow::Result<()> {
    let chosen = args.token.choose_pkcs11()?;
    let mut modules = Modules::default();
    let (module, token) = chosen.find(&mut modules)?;
    let (home, latch) = (chosen.pin_home(), latch(&chosen));
    let so = SO_PIN.read(args.so_pin_file.as_deref())?;
    let there = home.filter(|home| home.exists());
    let new = args.new.read(home, &token, there)?;
    // What the file holds already needs no replacement.
    let is_new = args.new.new_pin_file.is_some() || args.new.generate_pin || there.is_none();
    let replacement = home.filter(|_| is_new).map(|home| Replacement::prepare(home, &new)).transpose()?;
    let set = change::reset(module, &token, &so, &new);
    finish(&chosen, replacement, latch.as_ref(), set)
}

impl ChangePinArgs {
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
    /// The new PIN: as the command line says, else what `there` holds, else typed twice.
    fn read(&self, home: Option<&Path>, token: &FoundToken, there: Option<&Path>) -> anyhow::Result<Pin> {
        if self.generate_pin {
            ensure!(
                home.is_some(),
                "--generate-pin needs a file to write the PIN to: `pin_file` of a configuration, or pin-source in a URI"
            );
            return Ok(Pin::random(token.info.max_pin_length())?);
        }
        match (&self.new_pin_file, there) {
            (None, Some(there)) => Ok(Pin::read(there)?),
            (file, _) => NEW_PIN.choose(file.as_deref()),
        }
    }
}

impl Chosen {
    /// The file that holds the token's PIN from one login to the next.
    fn pin_home(&self) -> Option<&Path> {
        let of_section = self.section.as_ref().and_then(|(section, _)| section.pin_file.own());
        self.pin_file.as_deref().or(of_section)
    }
}

fn latch(chosen: &Chosen) -> Option<Latch> {
    chosen.section.as_ref().map(|(section, state)| Latch::new(state, &section.name))
}

/// The files after the call, and what is to be said.
fn finish(
    chosen: &Chosen,
    replacement: Option<Replacement>,
    latch: Option<&Latch>,
    changed: Result<(), ChangeError>,
) -> anyhow::Result<()> {
    match (changed, replacement) {
        (Ok(()), replacement) => done(chosen, replacement, latch),
        (Err(error @ ChangeError::Unknown(_)), Some(replacement)) => Err(anyhow::anyhow!(
            "{error}: the new one is in {}, and the PIN file has the old one",
            replacement.new_path().display()
        )),
        (Err(error), replacement) => {
            if let Some(replacement) = replacement {
                replacement.discard();
            }
            Err(error.into())
        }
    }
}

fn done(chosen: &Chosen, replacement: Option<Replacement>, latch: Option<&Latch>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "the token has its new user PIN")?;
    if let Some(replacement) = replacement {
        let new = replacement.new_path().to_owned();
        let file = replacement.commit().with_context(|| {
            format!("the PIN file cannot be replaced, the new PIN is in {}; move it there", new.display())
        })?;
        writeln!(out, "and {} holds it", file.display())?;
    } else if chosen.pin_home().is_none() {
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
