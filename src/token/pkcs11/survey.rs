//! What a token says of itself without a PIN, for people.
//!
//! In: a module and a token that was found. Out: [`TokenFacts`]. A call that fails is in them by its name and hides nothing
//! else: some modules cannot even describe a healthy token.

use cryptoki::error::Error;
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::slot::{Limit, Slot, TokenInfo};

use super::attribute::Object;
use super::classify;
use super::generate::KeyKind;
use super::key::{hex, lacks, read_public_key};
use super::mechanism;
use super::module::{FoundToken, Module, trim};
use super::state::State;
use crate::key::{PublicKey, Scheme};

/// What a token says of itself.
pub(crate) struct TokenFacts {
    /// The module: its maker, what it is, its version and that of PKCS#11.
    pub(crate) library: Result<Library, String>,
    /// `Label`, `serial`, and so on.
    pub(crate) identity: Identity,
    /// The flags that an operator acts on.
    pub(crate) state: Vec<State>,
    /// The least and the greatest length of a PIN in bytes.
    pub(crate) pin_length: (usize, usize),
    /// Sessions of this and other programs, if the token counts them, and how many there may be.
    pub(crate) sessions: (Option<u64>, SessionLimit),
    /// Whether it can sign by each scheme.
    pub(crate) schemes: Result<Vec<(Scheme, Can)>, String>,
    /// The public keys that it shows without a PIN.
    pub(crate) public_keys: Result<Vec<PublicObject>, String>,
}

/// A module, in its own words.
pub(crate) struct Library {
    pub(crate) description: String,
    pub(crate) manufacturer: String,
    pub(crate) version: String,
    pub(crate) cryptoki: String,
}

/// A token, in its own words.
pub(crate) struct Identity {
    pub(crate) label: String,
    pub(crate) serial: String,
    pub(crate) manufacturer: String,
    pub(crate) model: String,
    pub(crate) firmware: String,
    pub(crate) hardware: String,
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SessionLimit {
    /// This many.
    Most(u64),
    /// As many as anybody wants.
    None,
    /// The token does not say.
    Unsaid,
}

/// Whether a token can sign by a scheme, and make keys for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Can {
    /// Both.
    SignAndGenerate,
    /// Its keys are to be made elsewhere.
    Sign,
    /// It lacks the mechanism of this name.
    Lacks(String),
    /// It has the mechanism, for keys of so many bits.
    Sizes {
        /// Its name.
        mechanism: String,
        /// The least and the greatest, as the module says.
        bits: (usize, usize),
    },
}

/// A public key object.
pub(crate) struct PublicObject {
    pub(crate) label: String,
    pub(crate) id: String,
    /// What it is, or why that cannot be read.
    pub(crate) key: Result<PublicKey, String>,
}

/// Asks a token everything.
pub(crate) fn survey(module: &Module, token: &FoundToken) -> TokenFacts {
    let info = &token.info;
    TokenFacts {
        library: library(module).map_err(|error| failed(&error)),
        identity: Identity::of(info),
        state: State::of(info),
        pin_length: (info.min_pin_length(), info.max_pin_length()),
        sessions: (info.session_count(), SessionLimit::of(info.max_session_count())),
        schemes: schemes(module, token.slot).map_err(|error| failed(&error)),
        public_keys: public_keys(module, token.slot).map_err(|error| failed(&error)),
    }
}

fn failed(error: &Error) -> String {
    let failure = classify::describe(error);
    format!("{} failed: {}; {}", failure.call, failure.code, classify::advice(error))
}

fn library(module: &Module) -> Result<Library, Error> {
    let info = module.context().get_library_info()?;
    Ok(Library {
        description: trim(info.library_description()).to_owned(),
        manufacturer: trim(info.manufacturer_id()).to_owned(),
        version: info.library_version().to_string(),
        cryptoki: info.cryptoki_version().to_string(),
    })
}

impl Identity {
    pub(crate) fn of(info: &TokenInfo) -> Self {
        Self {
            label: trim(info.label()).to_owned(),
            serial: trim(info.serial_number()).to_owned(),
            manufacturer: trim(info.manufacturer_id()).to_owned(),
            model: trim(info.model()).to_owned(),
            firmware: info.firmware_version().to_string(),
            hardware: info.hardware_version().to_string(),
        }
    }
}

impl SessionLimit {
    fn of(limit: Limit) -> Self {
        match limit {
            Limit::Max(most) => Self::Most(most),
            Limit::Infinite => Self::None,
            Limit::Unavailable => Self::Unsaid,
        }
    }
}

fn schemes(module: &Module, slot: Slot) -> Result<Vec<(Scheme, Can)>, Error> {
    let offered = module.context().get_mechanism_list(slot)?;
    let can = |scheme: Scheme| {
        let needed = mechanism::of(scheme);
        if !offered.contains(&needed) {
            return Can::Lacks(needed.to_string());
        }
        if let Some(bits) = key_sizes(module, slot, needed).filter(|bits| !holds(*bits, scheme)) {
            return Can::Sizes { mechanism: needed.to_string(), bits };
        }
        let generates = offered.contains(&KeyKind::for_scheme(scheme, 3072).mechanism_type());
        if generates { Can::SignAndGenerate } else { Can::Sign }
    };
    Ok(Scheme::ALL.into_iter().map(|scheme| (scheme, can(scheme))).collect())
}

/// The sizes of keys that a mechanism takes; nothing where the module says none or nonsense.
fn key_sizes(module: &Module, slot: Slot, mechanism: MechanismType) -> Option<(usize, usize)> {
    let info = module.context().get_mechanism_info(slot, mechanism).ok()?;
    let sizes = (info.min_key_size(), info.max_key_size());
    (sizes.1 > 0 && sizes.0 <= sizes.1).then_some(sizes)
}

/// Whether keys of a scheme are among these sizes. Modules give RSA's and the NIST curves' in bits; those of Ed25519 and ML-DSA are given in bits, in
/// bytes, or as 255 or 256, so that nothing is concluded there.
fn holds((least, most): (usize, usize), scheme: Scheme) -> bool {
    let bits = match scheme {
        Scheme::EcdsaP256Sha256 => 256,
        Scheme::EcdsaP384Sha384 => 384,
        Scheme::EcdsaP521Sha512 => 521,
        Scheme::Ed25519 | Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87 => return true,
        Scheme::RsaPkcs1Sha256
        | Scheme::RsaPkcs1Sha384
        | Scheme::RsaPkcs1Sha512
        | Scheme::RsaPssSha256
        | Scheme::RsaPssSha384
        | Scheme::RsaPssSha512 => 2048,
    };
    (least..=most).contains(&bits)
}

fn public_keys(module: &Module, slot: Slot) -> Result<Vec<PublicObject>, Error> {
    let session = module.context().open_ro_session(slot)?;
    let mut found = Vec::new();
    for handle in session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY)])? {
        let object = Object { session: &session, handle };
        let text = |kind| object.bytes(kind).map(Option::unwrap_or_default);
        let key = match read_public_key(&object) {
            Ok(Some(key)) => Ok(key),
            Ok(None) => Err(lacks(&object)?.to_owned()),
            Err(problem) => Err(problem.to_string()),
        };
        found.push(PublicObject {
            label: String::from_utf8_lossy(&text(AttributeType::Label)?).into_owned(),
            id: hex(&text(AttributeType::Id)?),
            key,
        });
    }
    Ok(found)
}
