//! What `countersign key csr`, `self-sign` and `sign-intermediate` have in common: they ask the running signer, over its Unix
//! socket and by its policy, and write one PEM file.
//!
//! Promised: no file is overwritten without `--force`, none is half written, and nothing is written but what was asked for and bears
//! a signature by the key that was to make it.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use countersign_proto::client::escaped;
use countersign_tbs::TbsKind;
use countersign_tbs::x509::SignatureAlgorithm;

use crate::cli::server::recorded;
use crate::cli::sign_tbs::label;
use crate::cli::signing::{Signed, Signing};
use crate::cli::unfinished::{Existing, Unfinished};
use crate::cli::{ConfigArgs, pem};
use crate::config::Config;
use crate::key::{self, PublicKey};

/// Whose certificate, and where it goes.
#[derive(clap::Args)]
pub(super) struct PaperArgs {
    /// The CA key's name in the configuration
    pub(super) name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to write it, in PEM
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// A running signer, one of its keys, and the file that waits for what the key is to sign.
pub(super) struct Desk {
    pub(super) config: Config,
    pub(super) public_key: PublicKey,
    signing: Signing,
    unfinished: Unfinished,
    existing: Existing,
    out: PathBuf,
}

/// The key's section of the configuration.
pub(in crate::cli) fn section<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a key::Config> {
    super::sections(config, name).map(|(key, _)| key)
}

impl PaperArgs {
    /// Looks at everything that can be wrong before anything is signed.
    ///
    /// # Errors
    /// The file that is there, or the signer that is not.
    pub(super) fn desk(&self) -> anyhow::Result<Desk> {
        let config = self.config.load()?;
        let existing = if self.force { Existing::Replaced } else { Existing::Kept };
        let taken = existing == Existing::Kept && self.out.symlink_metadata().is_ok();
        ensure!(!taken, "{} is there already; --force writes over it", self.out.display());
        let unfinished = Unfinished::beside(&self.out)?;
        let signing = Signing::of(&config, &self.config.config, &self.name)?;
        let (public_key, out) = (signing.public_key().clone(), self.out.clone());
        Ok(Desk { config, public_key, signing, unfinished, existing, out })
    }
}

impl Desk {
    /// How the key signs, as X.509 names it.
    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        self.signing.algorithm()
    }

    /// Has the key sign `tbs`, checks what comes back with `parts` (what was signed, and the signature), and writes it. Says
    /// where it is recorded.
    ///
    /// # Errors
    /// What the signer refused, or that it answered anything else.
    pub(super) fn sign(
        self,
        kind: TbsKind,
        tbs: &[u8],
        parts: impl FnOnce(&[u8]) -> Option<(Vec<u8>, Vec<u8>)>,
    ) -> anyhow::Result<String> {
        let Signed { object, receipt } = self.signing.sign(kind, tbs, parts)?;
        let text = pem(label(kind), &object);
        self.unfinished
            .finish_as(text.as_bytes(), self.existing)
            .with_context(|| format!("this was signed, but not written: {}", recorded(&receipt)))?;
        let (file, recorded) = (self.out.display(), recorded(&receipt));
        Ok(format!("{file}: signed by {}; {recorded}", escaped(self.signing.name())))
    }
}
