//! A loaded module, its slots, and the one token that the configuration means.
//!
//! Tokens are chosen by label and serial number, never by slot number, which changes (R17). A slot that fails is passed
//! over and told of: some modules cannot even describe a healthy token.

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
    /// No token has this label and serial number.
    #[error("no token has label {label:?}{}; {present}", serial_clause(serial.as_deref()))]
    NoSuchToken {
        /// The label that was looked for.
        label: String,
        /// The serial number that was looked for.
        serial: Option<String>,
        /// What there is.
        present: String,
    },
    /// Several have.
    #[error("several tokens have label {label:?}; add `serial`, one of: {serials}")]
    Ambiguous {
        /// The label that was looked for.
        label: String,
        /// Their serial numbers.
        serials: String,
    },
}

fn serial_clause(serial: Option<&str>) -> String {
    serial.map(|serial| format!(" and serial {serial:?}")).unwrap_or_default()
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
        let mut tokens = self.initialised()?;
        let present: Vec<_> = tokens.iter().map(|token| name(&token.info)).collect();
        tokens.retain(|token| {
            trim(token.info.label()) == label
                && serial.is_none_or(|serial| trim(token.info.serial_number()) == serial)
        });
        match (tokens.pop(), tokens.len()) {
            (None, _) => Err(ModuleError::NoSuchToken {
                label: label.to_owned(),
                serial: serial.map(str::to_owned),
                present: if present.is_empty() {
                    "the module shows no initialised token: make one with `countersign token init`, or correct the module's own configuration (see `environment`)".to_owned()
                } else {
                    format!("there are: {}", present.join(", "))
                },
            }),
            (Some(token), 0) => Ok(token),
            (Some(token), _) => {
                tokens.push(token);
                let serials: Vec<_> = tokens.iter().map(|token| trim(token.info.serial_number())).collect();
                Err(ModuleError::Ambiguous { label: label.to_owned(), serials: serials.join(", ") })
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
