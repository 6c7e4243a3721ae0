//! Where the keys of a guided start are to be, and how its token is got at.

use std::path::{Path, PathBuf};

use super::{open, question};
use crate::cli::init::TokenArgs;
use crate::cli::init::answer::{self, TokenKind};
use crate::cli::init::interview::Interview;

/// Where distributions put SoftHSM2's module.
const SOFTHSM2: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// Where the keys are to be.
pub(in crate::cli::init) enum Token {
    /// A SoftHSM2 token in the directory.
    New {
        module: PathBuf,
        label: String,
    },
    /// One that is initialised.
    Existing {
        module: PathBuf,
        label: String,
        pin: PinSource,
    },
    YubiKey {
        serial: u32,
        pin: PinSource,
        management_key_file: Option<PathBuf>,
    },
}

/// Where the PIN of a token is that is initialised.
pub(in crate::cli::init) enum PinSource {
    File(PathBuf),
    Credential(String),
}

impl Token {
    pub(super) fn ask(args: &TokenArgs, ask: &mut Interview) -> anyhow::Result<Option<Self>> {
        let text =
            "Where the keys are to be: softhsm2 (a new token), pkcs11 or yubikey (one that is initialised)";
        let kind = ask.ask(&question("--token", text, "softhsm2"), args.token, TokenKind::parse)?;
        match kind {
            None => Ok(None),
            Some(TokenKind::SoftHsm2) => {
                let found = SOFTHSM2.into_iter().find(|path| Path::new(path).is_file());
                let found = found.map(|found| answer::file(found).map_err(anyhow::Error::msg)).transpose()?;
                let given = args.module.clone().or(found);
                let module =
                    ask.ask(&open("--module", "SoftHSM2's module (libsofthsm2.so)"), given, answer::file)?;
                let label = args.label.clone().unwrap_or_else(|| "countersign".to_owned());
                Ok(module.map(|module| Self::New { module, label }))
            }
            Some(TokenKind::Pkcs11) => {
                let module =
                    ask.ask(&open("--module", "The PKCS#11 module"), args.module.clone(), answer::file)?;
                let label =
                    ask.ask(&open("--label", "The token's label"), args.label.clone(), answer::label)?;
                let pin = PinSource::ask(args, ask)?;
                Ok(module.zip(label).zip(pin).map(|((module, label), pin)| Self::Existing {
                    module,
                    label,
                    pin,
                }))
            }
            Some(TokenKind::YubiKey) => {
                let serial =
                    ask.ask(&open("--yubikey", "The YubiKey's serial number"), args.yubikey, answer::serial)?;
                let pin = PinSource::ask(args, ask)?;
                let management_key_file = args.management_key_file.clone();
                Ok(serial.zip(pin).map(|(serial, pin)| Self::YubiKey { serial, pin, management_key_file }))
            }
        }
    }

    /// Its section in the configuration.
    pub(in crate::cli::init) const fn name(&self) -> &'static str {
        match self {
            Self::New { .. } => "soft",
            Self::Existing { .. } => "hsm",
            Self::YubiKey { .. } => "yubikey",
        }
    }

    pub(super) fn summary(&self) -> String {
        match self {
            Self::New { label, .. } => {
                format!("a new SoftHSM2 token {label:?} in tokens, its random PINs in pin and so-pin")
            }
            Self::Existing { module, label, pin } => {
                format!("{label:?} behind {}, its PIN in {pin}", module.display())
            }
            Self::YubiKey { serial, pin, .. } => format!("YubiKey {serial}, its PIN in {pin}"),
        }
    }
}

impl PinSource {
    fn ask(args: &TokenArgs, ask: &mut Interview) -> anyhow::Result<Option<Self>> {
        if let Some(name) = &args.pin_credential {
            return Ok(Some(Self::Credential(name.clone())));
        }
        let text = "The file with the token's PIN, mode 0600";
        let file = ask.ask(&open("--pin-file", text), args.pin_file.clone(), answer::file)?;
        Ok(file.map(Self::File))
    }
}

impl std::fmt::Display for PinSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential(name) => write!(f, "the credential {name}"),
        }
    }
}
