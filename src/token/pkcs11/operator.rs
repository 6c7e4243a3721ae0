//! A token as an operator's command sees it: opened once, in the command's own process.
//!
//! In: a token's configuration. Out: a logged-in [`Console`]. A module is initialised once per process, however many
//! tokens it holds (R22), and finalised when the command is done. The PIN is tried once, under the same rules as in
//! service: not one that was refused before, and one that is refused here is noted for all who come later.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cryptoki::context::Info;
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{AttributeType, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::slot::TokenInfo;

use super::attribute::Object;
use super::key::{self, FoundKey, KeyProblem, hex};
use super::module::{Module, ModuleError};
use super::{On, classify, log_in, mechanism, pin_for};
use crate::key::PublicKey;
use crate::token::Config;
use crate::token::frame::Refusal;
use crate::token::gate::Gate;
use crate::token::latch::{Latch, Past};
use crate::token::start::unreadable;

/// The modules that a command has loaded, each once.
#[derive(Default)]
pub(crate) struct Modules(BTreeMap<PathBuf, Module>);

impl Modules {
    /// The module of this path, also through a symbolic link.
    ///
    /// # Errors
    /// [`ModuleError`] if it cannot be loaded.
    pub(crate) fn load(&mut self, path: &Path) -> Result<&Module, ModuleError> {
        use std::collections::btree_map::Entry;

        match self.0.entry(path.canonicalize().unwrap_or_else(|_| path.to_owned())) {
            Entry::Occupied(loaded) => Ok(loaded.into_mut()),
            Entry::Vacant(free) => Ok(free.insert(Module::load(path)?)),
        }
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        for module in std::mem::take(&mut self.0).into_values() {
            module.finalize();
        }
    }
}

/// Whether a command means to change the token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    /// Look only.
    Read,
    /// Make objects.
    Write,
}

/// A logged-in session on one token.
pub(crate) struct Console {
    pub(super) session: Session,
    mechanisms: Vec<MechanismType>,
    pub(super) about: About,
}

/// What a module and a token say of themselves.
pub(super) struct About {
    /// The module's file, as the configuration has it.
    pub(super) module: PathBuf,
    /// Nothing if the module does not say.
    pub(super) library: Option<Info>,
    pub(super) token: TokenInfo,
}

/// A private key and what it tells, for people.
pub(crate) struct KeyFacts {
    /// `CKA_LABEL`.
    pub(crate) label: String,
    /// `CKA_ID` in hexadecimal.
    pub(crate) id: String,
    /// The public half, if the token tells it.
    pub(crate) public_key: Option<PublicKey>,
    /// `CKA_…` and its value; nothing for what the token does not tell.
    pub(crate) attributes: Vec<(&'static str, bool)>,
}

/// The attributes that are read back and shown.
pub(super) const SHOWN: [(&str, AttributeType); 13] = [
    ("CKA_PRIVATE", AttributeType::Private),
    ("CKA_ALWAYS_AUTHENTICATE", AttributeType::AlwaysAuthenticate),
    ("CKA_SIGN", AttributeType::Sign),
    ("CKA_SENSITIVE", AttributeType::Sensitive),
    ("CKA_ALWAYS_SENSITIVE", AttributeType::AlwaysSensitive),
    ("CKA_EXTRACTABLE", AttributeType::Extractable),
    ("CKA_NEVER_EXTRACTABLE", AttributeType::NeverExtractable),
    ("CKA_LOCAL", AttributeType::Local),
    ("CKA_MODIFIABLE", AttributeType::Modifiable),
    ("CKA_DECRYPT", AttributeType::Decrypt),
    ("CKA_UNWRAP", AttributeType::Unwrap),
    ("CKA_DERIVE", AttributeType::Derive),
    ("CKA_WRAP_WITH_TRUSTED", AttributeType::WrapWithTrusted),
];

impl Console {
    /// Finds the token, reads its PIN file and logs in, unless the latch says that this PIN was refused.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub(crate) fn open(
        modules: &mut Modules,
        config: &Config,
        latch: &Latch,
        access: Access,
    ) -> anyhow::Result<Self> {
        Ok(Self::open_after(modules, config, latch, access, |_, _| Ok(()))?.0)
    }

    /// The same, and does something in the session before the user logs in.
    ///
    /// # Errors
    /// As [`Self::open`], or what `before` says.
    pub(super) fn open_after<T>(
        modules: &mut Modules,
        config: &Config,
        latch: &Latch,
        access: Access,
        before: impl FnOnce(&Session, &TokenInfo) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Self, T)> {
        let past = latch.past().map_err(|error| anyhow::anyhow!(unreadable(latch, &error)))?;
        let device = config.pkcs11()?;
        let module = modules.load(&device.module)?;
        let token = module.token(&device.label, device.serial.as_deref())?;
        let pin = pin_for(&config.pin_file, &token.info)?;
        let session = match access {
            Access::Read => module.context().open_ro_session(token.slot),
            Access::Write => module.context().open_rw_session(token.slot),
        }
        .map_err(call)?;
        let done = before(&session, &token.info)?;
        if pin.is_at_pad() && token.info.login_required() && past == Past::default() {
            writeln!(io::stderr(), "type the PIN of token {} at its own pad now", config.name)?;
        }
        let on = On { module, slot: token.slot, session: &session };
        log_in(on, &pin, &Gate::Own(past)).map_err(|refusal| {
            if let Refusal::PinRefused(refusal) = &refusal {
                latch.note(refusal);
            }
            refused(refusal)
        })?;
        let mechanisms = module.context().get_mechanism_list(token.slot).map_err(call)?;
        let library = module.context().get_library_info().ok();
        let about = About { module: device.module.clone(), library, token: token.info };
        Ok((Self { session, mechanisms, about }, done))
    }

    /// Finds a configured key by the rules of the service.
    ///
    /// # Errors
    /// [`KeyProblem`]
    pub(crate) fn find(&self, config: &crate::key::Config) -> Result<FoundKey, KeyProblem> {
        let name = key::Named { name: config.name.as_str(), label: &config.label, id: config.id.as_deref() };
        let key = key::find(&self.session, name, config.scheme, &config.accept)?;
        mechanism::check(&self.mechanisms, key)
    }

    /// Whether the token lists this mechanism.
    pub(super) fn has(&self, mechanism: MechanismType) -> bool {
        self.mechanisms.contains(&mechanism)
    }

    /// Every private key on the token.
    ///
    /// # Errors
    /// If a call fails.
    pub(crate) fn private_keys(&self) -> anyhow::Result<Vec<ObjectHandle>> {
        key::private_keys(&self.session, None, None).map_err(call)
    }

    /// What the token tells about one private key.
    ///
    /// # Errors
    /// If a call fails.
    pub(crate) fn facts(&self, private: ObjectHandle) -> anyhow::Result<KeyFacts> {
        let object = Object { session: &self.session, handle: private };
        let text = |kind| object.bytes(kind).map(Option::unwrap_or_default).map_err(call);
        let mut attributes = Vec::new();
        for (name, kind) in SHOWN {
            attributes.extend(object.flag(kind).map_err(call)?.map(|value| (name, value)));
        }
        Ok(KeyFacts {
            label: String::from_utf8_lossy(&text(AttributeType::Label)?).into_owned(),
            id: hex(&text(AttributeType::Id)?),
            public_key: key::public_key(&self.session, private).ok(),
            attributes,
        })
    }
}

/// A failed call as an error with its name and what to do.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn call(error: cryptoki::error::Error) -> anyhow::Error {
    let failure = classify::describe(&error);
    anyhow::anyhow!("{} failed: {}; {}", failure.call, failure.code, classify::advice(&error))
}

pub(in crate::token) fn refused(refusal: Refusal) -> anyhow::Error {
    match refusal {
        Refusal::PinRefused(refusal) => anyhow::anyhow!(refusal.message),
        Refusal::Faults(faults) => {
            let messages: Vec<_> = faults.into_iter().map(|fault| fault.message).collect();
            anyhow::anyhow!(messages.join("; "))
        }
    }
}
