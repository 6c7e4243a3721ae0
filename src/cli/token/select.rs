//! Which token a command is about: its name in the configuration, its label, its serial number, or a PKCS#11 URI (RFC 7512).
//!
//! In: what the command line says. Out: a [`Chosen`] token. With `--module`, or `module-path` in the URI, no configuration is
//! read, so that a token can be looked at before there is one. Never a slot's number, which changes (R17).

use std::path::{Path, PathBuf};

use super::environment;
use crate::cli::{Usage, load};
use crate::token::pkcs11::module::{FoundToken, Module, Wanted};
use crate::token::pkcs11::operator::Modules;
use crate::token::pkcs11::uri::{TokenUri, is_uri};
use crate::token::{self, Device, YubiKey};

/// Which token, and where to look for it.
#[derive(clap::Args)]
pub(super) struct TokenArgs {
    /// The token: its name in the configuration, its label, its serial number, or a PKCS#11 URI
    token: String,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    /// A PKCS#11 module, instead of a configuration; its environment is this command's
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
}

/// The token that was meant, not yet looked for in its module.
pub(super) struct Chosen {
    pub(super) module: PathBuf,
    pub(super) wanted: Wanted,
    /// Its section, if a configuration was read, and the directory of the ledger.
    pub(super) section: Option<(token::Config, PathBuf)>,
    /// The PIN file that the URI names.
    pub(super) pin_file: Option<PathBuf>,
}

/// A YubiKey that was meant, and the directory of the ledger.
pub(super) struct Card {
    pub(super) device: YubiKey,
    pub(super) section: token::Config,
    pub(super) state: PathBuf,
}

/// One or the other kind of token.
pub(super) enum Kind {
    Pkcs11(Box<Chosen>),
    YubiKey(Box<Card>),
}

impl TokenArgs {
    /// Resolves it, and gives this process the environment of the module. Call it before anything is loaded or printed.
    ///
    /// # Errors
    /// What is wrong with the URI or the configuration, or that it is not said which token is meant.
    pub(super) fn choose(&self) -> anyhow::Result<Kind> {
        let uri: Option<TokenUri> = is_uri(&self.token).then(|| self.token.parse()).transpose()?;
        let of_uri = uri.as_ref().and_then(|uri| uri.module.clone());
        if let (Some(module), Some(other)) = (&self.module, &of_uri) {
            anyhow::ensure!(module == other, "--module and `module-path` in the URI name different files");
        }
        match (self.module.as_ref().or(of_uri.as_ref()), &self.config) {
            (Some(module), _) => Ok(Kind::Pkcs11(Box::new(self.loose(module, uri)?))),
            (None, Some(config)) => self.configured(config, uri),
            (None, None) => anyhow::bail!(
                "where to look for the token? name a configuration with --config, or a PKCS#11 module with --module"
            ),
        }
    }

    fn loose(&self, module: &Path, uri: Option<TokenUri>) -> anyhow::Result<Chosen> {
        // Without any directory it would be looked for in the library path.
        let module = std::path::absolute(module)?;
        let either = Wanted { either: Some(self.token.clone()), ..Wanted::default() };
        let (wanted, pin_file) = uri.map_or((either, None), |uri| (uri.wanted, uri.pin_file));
        Ok(Chosen { module, wanted, section: None, pin_file })
    }

    fn configured(&self, path: &Path, uri: Option<TokenUri>) -> anyhow::Result<Kind> {
        let config = load(path)?;
        let fits = |section: &&token::Config| match (&uri, &section.device) {
            (_, Device::YubiKey(card)) => uri.is_none() && self.token == card.serial.to_string(),
            (Some(uri), Device::Pkcs11(device)) => {
                // What the section does not say is asked of the token itself.
                let serials = uri.wanted.serial.as_ref().zip(device.serial.as_ref());
                uri.wanted.label.as_ref().is_none_or(|label| *label == device.label)
                    && serials.is_none_or(|(wanted, has)| wanted == has)
            }
            (None, Device::Pkcs11(device)) => {
                self.token == device.label || device.serial.as_ref() == Some(&self.token)
            }
        };
        let named = config.tokens.iter().find(|section| uri.is_none() && section.name.as_str() == self.token);
        let found: Vec<_> = match named {
            Some(section) => vec![section],
            None => config.tokens.iter().filter(fits).collect(),
        };
        let [section] = found.as_slice() else { anyhow::bail!(Usage(self.not_one(&found, &config.tokens))) };
        environment::enter(std::slice::from_ref(*section))?;
        let device = match &section.device {
            Device::YubiKey(card) => {
                let (section, state) = ((*section).clone(), config.state().to_owned());
                return Ok(Kind::YubiKey(Box::new(Card { device: *card, section, state })));
            }
            Device::Pkcs11(device) => device,
        };
        let of_uri = uri.unwrap_or_default();
        let wanted = Wanted {
            label: Some(device.label.clone()),
            serial: device.serial.clone().or(of_uri.wanted.serial),
            ..of_uri.wanted
        };
        Ok(Kind::Pkcs11(Box::new(Chosen {
            module: device.module.clone(),
            wanted,
            pin_file: of_uri.pin_file,
            section: Some(((*section).clone(), config.state().to_owned())),
        })))
    }

    fn not_one(&self, found: &[&token::Config], all: &[token::Config]) -> String {
        let list = |tokens: &mut dyn Iterator<Item = &token::Config>| {
            let names: Vec<_> = tokens.map(|token| token.name.as_str().to_owned()).collect();
            names.join(", ")
        };
        if found.is_empty() {
            let all = list(&mut all.iter());
            return format!(
                "there is no [token.{}] in the configuration, and none with that label or serial; there are: {all}; \
                 for any other token, name its module with --module",
                self.token
            );
        }
        format!("that is several tokens: {}; give one of these names", list(&mut found.iter().copied()))
    }
}

impl Chosen {
    /// Looks for it.
    ///
    /// # Errors
    /// If the module cannot be loaded, or does not have exactly one such token.
    pub(super) fn find<'m>(&self, modules: &'m mut Modules) -> anyhow::Result<(&'m Module, FoundToken)> {
        let module = modules.load(&self.module)?;
        let token = module.choose(&self.wanted)?;
        Ok((module, token))
    }
}
