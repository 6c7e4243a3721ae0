//! What the card remembers without power, and its file.
//!
//! In: a path. Out: a [`State`], made as the factory would if there is none. Promised: the file holds one whole state at
//! any time; what a command changed is in it before the command is answered.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::attestation;
use crate::firmware::Firmware;
use crate::key::PrivateKey;
use crate::management_key::ManagementKey;

/// A PIN or PUK as VERIFY sends it: filled up with FF.
pub(crate) type Secret = [u8; 8];

const FACTORY_PIN: Secret = *b"123456\xFF\xFF";
const FACTORY_PUK: Secret = *b"12345678";
const FACTORY_TRIES: u8 = 3;

/// Everything that outlasts the power.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct State {
    pub(crate) serial: u32,
    pub(crate) firmware: Firmware,
    pub(crate) pin: Reference,
    pub(crate) puk: Reference,
    pub(crate) management: ManagementKey,
    pub(crate) slots: BTreeMap<u8, SlotKey>,
    /// By tag; whole, without their 53.
    pub(crate) objects: BTreeMap<u32, Object>,
    /// The certificate of who issued the attestation key's, in PEM: for those who check attestations.
    pub(crate) attestation_root: String,
}

/// A PIN or PUK, and its tries.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Reference {
    pub(crate) secret: Secret,
    pub(crate) tries: u8,
    pub(crate) left: u8,
    pub(crate) factory: bool,
}

impl Reference {
    pub(crate) fn pin(tries: u8) -> Self {
        Self { secret: FACTORY_PIN, tries, left: tries, factory: true }
    }

    pub(crate) fn puk(tries: u8) -> Self {
        Self { secret: FACTORY_PUK, tries, left: tries, factory: true }
    }

    pub(crate) fn set(&mut self, secret: Secret) {
        *self = Self { secret, tries: self.tries, left: self.tries, factory: false };
    }
}

/// A slot's key.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct SlotKey {
    pub(crate) key: PrivateKey,
    pub(crate) pin_policy: PinPolicy,
    pub(crate) touch_policy: TouchPolicy,
    pub(crate) origin: Origin,
}

/// Where a key was made.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Origin {
    Generated,
    Imported,
}

/// When a key wants the PIN.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum PinPolicy {
    Never,
    Once,
    Always,
}

/// When a key wants to be touched.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum TouchPolicy {
    Never,
    Always,
    Cached,
}

/// A data object's bytes.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Object(#[serde(with = "crate::hex")] pub(crate) Vec<u8>);

impl State {
    /// As from the factory, with an attestation key.
    pub(crate) fn factory(serial: u32, firmware: Firmware) -> Option<Self> {
        let (slot, certificate, attestation_root) = attestation::factory()?;
        let mut state = Self {
            serial,
            firmware,
            pin: Reference::pin(FACTORY_TRIES),
            puk: Reference::puk(FACTORY_TRIES),
            management: ManagementKey::factory(firmware),
            slots: BTreeMap::from([(attestation::SLOT, slot)]),
            objects: BTreeMap::new(),
            attestation_root,
        };
        state.objects.insert(attestation::OBJECT, Object(certificate));
        Some(state)
    }

    /// After RESET: as from the factory, but the attestation key stays.
    pub(crate) fn reset(&mut self) {
        self.pin = Reference::pin(FACTORY_TRIES);
        self.puk = Reference::puk(FACTORY_TRIES);
        self.management = ManagementKey::factory(self.firmware);
        self.slots.retain(|slot, _| *slot == attestation::SLOT);
        self.objects.retain(|tag, _| *tag == attestation::OBJECT);
    }

    /// Reads it; none if there is no file.
    pub(crate) fn load(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file as a whole.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("new");
        File::create(&new)?.write_all(&serde_json::to_vec_pretty(self)?)?;
        fs::rename(new, path)
    }
}
