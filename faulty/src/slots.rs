//! Slots that have other numbers after every `C_Initialize`, in another order.
//!
//! In: the real module's numbers. Out: the caller's, and back. One of an earlier initialisation, in whatever process, denotes no
//! slot; without renumbering they are the real module's own.

use cryptoki_sys::{CK_RV, CK_SLOT_ID, CKR_SLOT_ID_INVALID};

/// By how much numbers move at each initialisation: SoftHSM2's have 31 bits.
const STEP: CK_SLOT_ID = 1 << 32;

/// The numbers of one initialisation.
#[derive(Default)]
pub(crate) struct Slots {
    /// How many initialisations there were before, in all processes; 0 where nothing is renumbered.
    epoch: u64,
}

impl Slots {
    /// The module was initialised for the time of this number, if its slots are to be renumbered.
    pub(crate) fn initialized(&mut self, epoch: Option<u64>) {
        self.epoch = epoch.unwrap_or_default();
    }

    /// The caller's number of a real one.
    pub(crate) fn outward(&self, real: CK_SLOT_ID) -> CK_SLOT_ID {
        real + self.epoch * STEP
    }

    /// The caller's numbers of the real ones of a list.
    pub(crate) fn rewrite(&self, list: &mut [CK_SLOT_ID]) {
        for slot in &mut *list {
            *slot = self.outward(*slot);
        }
        if self.epoch % 2 == 1 {
            list.reverse();
        }
    }

    /// The real number of a caller's.
    ///
    /// # Errors
    /// `CKR_SLOT_ID_INVALID` if it is of another time.
    pub(crate) fn inward(&self, callers: CK_SLOT_ID) -> Result<CK_SLOT_ID, CK_RV> {
        if callers / STEP == self.epoch { Ok(callers % STEP) } else { Err(CKR_SLOT_ID_INVALID) }
    }
}
