//! `countersign key certificate`: the certificate that OpenSC, ykcs11 and other programs find beside a key in a YubiKey.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{sections, slot};
use crate::cli::token::{environment, management_key};
use crate::cli::{ConfigArgs, pem};
use crate::token::Device;
use crate::token::piv::certificate;

/// Whose certificate, and what of it.
#[derive(clap::Args)]
pub(crate) struct CertificateArgs {
    /// The key's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the one that is there, in PEM
    #[arg(long, conflicts_with = "write", required_unless_present = "write")]
    read: bool,
    /// Put the one in this file there, in PEM or DER; it must be of this key
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// For --write: a file with the management key in hexadecimal, mode 0600; asked for if left out
    #[arg(long, value_name = "FILE")]
    management_key_file: Option<PathBuf>,
}

/// # Errors
/// What is wrong; nothing was changed then.
pub(super) fn run(args: &CertificateArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let (key, token) = sections(&config, &args.name)?;
    environment::enter(std::slice::from_ref(token))?;
    let Device::YubiKey(card) = token.device else {
        bail!("token {} is not a YubiKey: only those have certificates beside their keys here", token.name);
    };
    let slot = slot::slot(key)?;
    let mut out = io::stdout().lock();
    let Some(file) = &args.write else {
        let der = certificate::read(card, slot)?
            .with_context(|| format!("slot {slot} has no certificate; --write gives it one"))?;
        write!(out, "{}", pem("CERTIFICATE", &der))?;
        return Ok(());
    };
    let der = read(file)?;
    certificate::write(card, slot, &der, &management_key::read(args.management_key_file.as_deref())?)?;
    writeln!(out, "slot {slot} of YubiKey {} has the certificate in {} now", card.serial, file.display())?;
    Ok(())
}

/// The one certificate in a file.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    if !bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Ok(bytes);
    }
    let mut found = CertificateDer::pem_slice_iter(&bytes);
    let first = found.next().with_context(|| format!("there is no certificate in {}", file.display()))??;
    ensure!(
        found.next().is_none(),
        "{} holds more than one certificate; a slot has room for its own",
        file.display()
    );
    Ok(first.to_vec())
}
