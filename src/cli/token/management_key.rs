//! `countersign token change-management-key`, and where every command that changes a YubiKey's keys has the management key from.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::secret::Secret;
use super::{environment, find, yubikey};
use crate::cli::ConfigArgs;
use crate::token::piv::cipher::Cipher;
use crate::token::piv::management::{self, ManagementKey};

/// Which card, and what its management key is to be.
#[derive(clap::Args)]
pub(crate) struct ChangeManagementKeyArgs {
    /// The token's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// A file with the management key of now in hexadecimal, mode 0600; asked for if left out
    #[arg(long, value_name = "FILE")]
    management_key_file: Option<PathBuf>,
    /// A file with the new one; asked for if left out
    #[arg(long, value_name = "FILE")]
    new_management_key_file: Option<PathBuf>,
    /// Make a random one, and write it to the new one's file, which must not exist
    #[arg(long, requires = "new_management_key_file")]
    generate: bool,
    /// What it is for: aes256, aes192, aes128, or 3des for firmware before 5.4.2
    #[arg(long, value_name = "CIPHER", default_value = "aes256")]
    algorithm: Cipher,
}

/// The management key out of a file, or typed.
///
/// # Errors
/// What is wrong with it; never what it is.
pub(in crate::cli) fn read(file: Option<&Path>) -> anyhow::Result<ManagementKey> {
    let secret = Secret { name: "the management key", option: "--management-key-file" };
    Ok(ManagementKey::from_hex(&secret.read(file)?)?)
}

/// # Errors
/// What is wrong, and whether anything was changed.
pub(super) fn run(args: &ChangeManagementKeyArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let token = find(&config, &args.name)?;
    environment::enter(std::slice::from_ref(token))?;
    let (card, cipher) = (yubikey(token)?, args.algorithm);
    let file = args.new_management_key_file.as_deref();
    let current = read(args.management_key_file.as_deref())?;
    if let Some(file) = file.filter(|_| args.generate) {
        // Written before the card has it: a key that only a dead process knew would be a lost card.
        management::replace(card, &current, cipher, || {
            let key = ManagementKey::random(cipher)?;
            key.write_new(file).with_context(|| format!("cannot make {}", file.display()))?;
            Ok(key)
        })?;
    } else {
        let secret = Secret { name: "the new management key", option: "--new-management-key-file" };
        let key = ManagementKey::from_hex(&secret.choose(file)?)?;
        ensure!(
            key.fits(cipher),
            "a management key for {cipher} has {} hexadecimal digits; nothing was changed",
            cipher.key_len() * 2
        );
        management::replace(card, &current, cipher, || Ok(key))?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "changed the management key of YubiKey {}; it is for {cipher} now", card.serial)?;
    if let Some(file) = file {
        writeln!(out, "keep {} off this host, and a copy where it cannot be lost", file.display())?;
    }
    Ok(())
}
