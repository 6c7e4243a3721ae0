//! A loaded module, its slots, and the one token that the configuration means.
//!
//! Tokens are chosen by label and serial number, never by slot number, which changes (R17). A slot that fails is passed
//! over and told of: some modules cannot even describe a healthy token.

use std::fmt;
use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::Error;
use cryptoki::slot::{Slot, TokenInfo};

use super::classify;

/// A module that is loaded and initialised.
pub(crate) struct Module {
    context: Pkcs11,
}

/// One slot that holds a token, and what the token says of itself.
pub(crate) struct SlotState {
    pub(crate) slot: Slot,
    pub(crate) info: Result<TokenInfo, Error>,
}

/// The token that was meant.
#[derive(Debug)]
pub(crate) struct FoundToken {
    pub(crate) slot: Slot,
    pub(crate) info: TokenInfo,
}

/// Why there is no module, or no token. The cause is in the message, which crosses a socket as text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModuleError {
    /// Not there, not a library, or of another architecture.
    #[error("cannot load the module {}: {cause}; is it a PKCS#11 module of this machine's kind?", path.display())]
    Load {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: Error,
    },
    /// `C_Initialize` failed.
    #[error("the module {} does not initialise: {}; check its own configuration and `environment`", path.display(), classify::code(cause))]
    Initialize {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: Error,
    },
    /// `C_GetSlotList` failed.
    #[error("the module does not list its slots: {}", classify::code(.0))]
    Slots(Error),
    /// No token is the one that was looked for.
    #[error("no token has {wanted}; {present}")]
    NoSuchToken {
        /// What was looked for.
        wanted: Box<Wanted>,
        /// What there is.
        present: String,
    },
    /// Several are.
    #[error("several tokens have {wanted}; add `serial`, one of: {serials}")]
    Ambiguous {
        /// What was looked for.
        wanted: Box<Wanted>,
        /// Their serial numbers.
        serials: String,
    },
}

/// Which token is meant: the one that all of these fit, without their padding.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) label: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    /// A word that is the label or the serial number.
    pub(crate) either: Option<String>,
}

impl Wanted {
    /// Whether a token is the one that is meant, as far as it is known.
    fn fits(&self, info: &TokenInfo) -> bool {
        let (label, serial) = (trim(info.label()), trim(info.serial_number()));
        let is = |wanted: &Option<String>, field: &str| wanted.as_ref().is_none_or(|wanted| wanted == field);
        is(&self.label, label)
            && is(&self.serial, serial)
            && is(&self.manufacturer, trim(info.manufacturer_id()))
            && is(&self.model, trim(info.model()))
            && (is(&self.either, label) || is(&self.either, serial))
    }
}

/// `label "one" and serial "1f2e"`.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("label", &self.label),
            ("serial", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("label or serial", &self.either),
        ];
        let named =
            fields.into_iter().filter_map(|(name, value)| Some(format!("{name} {:?}", value.as_ref()?)));
        let named: Vec<_> = named.collect();
        f.write_str(if named.is_empty() { "any label" } else { "" })?;
        f.write_str(&named.join(" and "))
    }
}

impl Module {
    /// Loads and initialises a module. Once per process and module (R22).
    ///
    /// # Errors
    /// [`ModuleError::Load`] or [`ModuleError::Initialize`].
    pub(crate) fn load(path: &Path) -> Result<Self, ModuleError> {
        let context =
            Pkcs11::new(path).map_err(|cause| ModuleError::Load { path: path.to_owned(), cause })?;
        initialize(&context).map_err(|cause| ModuleError::Initialize { path: path.to_owned(), cause })?;
        Ok(Self { context })
    }

    pub(crate) fn context(&self) -> &Pkcs11 {
        &self.context
    }

    /// Lets go of every token of this module. Hangs in some modules; nothing is left to do if it fails.
    pub(crate) fn finalize(&self) {
        let _ = self.context.clone().finalize();
    }

    /// Lets go of every token and begins anew. No session may be left.
    ///
    /// # Errors
    /// What `C_Initialize` returned.
    pub(super) fn reinitialize(&self) -> Result<(), Error> {
        self.finalize();
        initialize(&self.context)
    }

    /// Every slot with a token.
    ///
    /// # Errors
    /// [`ModuleError::Slots`] if there is no list; a slot that fails is in the list with its error.
    pub(crate) fn slots(&self) -> Result<Vec<SlotState>, ModuleError> {
        let slots = self.context.get_slots_with_token().map_err(ModuleError::Slots)?;
        Ok(slots
            .into_iter()
            .map(|slot| SlotState { slot, info: self.context.get_token_info(slot) })
            .collect())
    }

    /// The one initialised token of this label, and of this serial number where there is one.
    ///
    /// # Errors
    /// [`ModuleError::NoSuchToken`] or [`ModuleError::Ambiguous`].
    pub(crate) fn token(&self, label: &str, serial: Option<&str>) -> Result<FoundToken, ModuleError> {
        self.choose(&Wanted {
            label: Some(label.to_owned()),
            serial: serial.map(str::to_owned),
            ..Wanted::default()
        })
    }

    /// The one initialised token that is meant.
    ///
    /// # Errors
    /// As [`Self::token`].
    pub(crate) fn choose(&self, wanted: &Wanted) -> Result<FoundToken, ModuleError> {
        let mut tokens = self.initialised()?;
        let present: Vec<_> = tokens.iter().map(|token| name(&token.info)).collect();
        tokens.retain(|token| wanted.fits(&token.info));
        match (tokens.pop(), tokens.len()) {
            (None, _) => Err(ModuleError::NoSuchToken {
                wanted: Box::new(wanted.clone()),
                present: if present.is_empty() {
                    "the module shows no initialised token: correct the module's own configuration (see `environment`), or, for a new token, run `countersign token init NAME`".to_owned()
                } else {
                    format!("there are: {}; correct `label` or `serial`", present.join(", "))
                },
            }),
            (Some(token), 0) => Ok(token),
            (Some(token), _) => {
                tokens.push(token);
                let serials: Vec<_> = tokens.iter().map(|token| trim(token.info.serial_number())).collect();
                Err(ModuleError::Ambiguous { wanted: Box::new(wanted.clone()), serials: serials.join(", ") })
            }
        }
    }

    fn initialised(&self) -> Result<Vec<FoundToken>, ModuleError> {
        let readable = |state: SlotState| Some(FoundToken { slot: state.slot, info: state.info.ok()? });
        let tokens = self.slots()?.into_iter().filter_map(readable);
        Ok(tokens.filter(|token| token.info.token_initialized()).collect())
    }
}

fn initialize(context: &Pkcs11) -> Result<(), Error> {
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
}

fn name(info: &TokenInfo) -> String {
    format!("{:?} (serial {})", trim(info.label()), trim(info.serial_number()))
}

/// Fixed-size fields are padded with blanks; some modules pad with NUL instead.
pub(crate) fn trim(field: &str) -> &str {
    field.trim_end_matches([' ', '\0'])
}

#[cfg(test)]
mod tests {
    use super::trim;

    #[test]
    fn a_name_is_without_whatever_a_module_fills_it_up_with() {
        for padded in ["one", "one                             ", "one\0\0\0\0", "one \0 "] {
            assert_eq!(trim(padded), "one", "{padded:?}");
        }
        assert_eq!(trim(" o ne "), " o ne", "what is before and within is the name");
    }
}
