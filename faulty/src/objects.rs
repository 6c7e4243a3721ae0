//! Object handles that change with every `C_Initialize`.
//!
//! In: the real module's handles. Out: the caller's, and back. A handle of an earlier initialisation denotes nothing, or
//! another key, as the script has it; without renumbering they are the real module's own.

use cryptoki_sys::{CK_INVALID_HANDLE, CK_OBJECT_HANDLE};

use crate::Renumber;

/// By how much handles move at each initialisation: above any real handle.
const STEP: CK_OBJECT_HANDLE = 1 << 24;
/// Where the private keys' own numbers start: above any other.
const KEYS: CK_OBJECT_HANDLE = 1 << 56;

/// The handles of one initialisation.
#[derive(Default)]
pub(crate) struct Objects {
    renumber: Option<Renumber>,
    /// How many initialisations there were before.
    epoch: u64,
    /// The private keys' real handles in an order that initialisation does not change.
    keys: Vec<CK_OBJECT_HANDLE>,
}

impl Objects {
    /// The module was initialised once more.
    pub(crate) fn initialized(&mut self, renumber: Option<Renumber>) {
        *self = Self { renumber, epoch: self.epoch + 1, keys: Vec::new() };
    }

    /// Whether the private keys are to be told before a handle is asked for.
    pub(crate) fn wants_keys(&self) -> bool {
        self.renumber == Some(Renumber::OtherKey) && self.keys.is_empty()
    }

    pub(crate) fn set_keys(&mut self, keys: Vec<CK_OBJECT_HANDLE>) {
        self.keys = keys;
    }

    /// The caller's handle of a real one.
    pub(crate) fn outward(&self, real: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
        match self.renumber {
            None => real,
            Some(Renumber::Invalid) => real + self.epoch * STEP,
            Some(Renumber::OtherKey) => {
                let place = (0..).zip(&self.keys).find(|(_, key)| **key == real);
                place.map_or(real, |(place, _)| KEYS + (place + self.epoch) % self.count())
            }
        }
    }

    /// The real handle of a caller's; [`CK_INVALID_HANDLE`] if it is of another time.
    pub(crate) fn inward(&self, callers: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
        match self.renumber {
            None => callers,
            Some(Renumber::Invalid) if callers / STEP == self.epoch => callers % STEP,
            Some(Renumber::Invalid) => CK_INVALID_HANDLE,
            Some(Renumber::OtherKey) if callers < KEYS => callers,
            Some(Renumber::OtherKey) => {
                let key = self.keys.iter().find(|key| self.outward(**key) == callers);
                key.copied().unwrap_or(CK_INVALID_HANDLE)
            }
        }
    }

    fn count(&self) -> u64 {
        u64::try_from(self.keys.len()).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_handle_denotes_nothing_or_another_key() {
        let mut objects = Objects::default();
        objects.initialized(Some(Renumber::Invalid));
        let stale = objects.outward(7);
        assert_eq!(objects.inward(stale), 7);
        objects.initialized(Some(Renumber::Invalid));
        assert_eq!(objects.inward(stale), CK_INVALID_HANDLE);

        objects.initialized(Some(Renumber::OtherKey));
        assert!(objects.wants_keys());
        objects.set_keys(vec![7, 9]);
        let stale = objects.outward(7);
        assert_eq!((objects.inward(stale), objects.inward(5)), (7, 5));
        objects.initialized(Some(Renumber::OtherKey));
        objects.set_keys(vec![8, 6]);
        assert_eq!(objects.inward(stale), 6, "the other key");
    }
}
