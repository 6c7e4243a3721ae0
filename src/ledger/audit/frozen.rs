//! Who is frozen where the log is, by its own freezes and thaws.
//!
//! In: freezes, thaws and intents, in order. Out: intents that nobody should have had, and who is frozen at the end. Not done here: a log of a
//! store that has others, whose freezes and thaws count here, too, and are not in it.

use std::collections::HashMap;

use crate::ledger::account::Party;
use crate::ledger::audit::Wrong;

/// Those who are frozen so far.
#[derive(Debug)]
pub(super) struct Frozen {
    /// By which entry.
    parties: HashMap<Party, u64>,
    /// Whether all that freezes and thaws is in this log.
    is_alone: bool,
    /// Whether it has a freeze.
    has_any: bool,
}

impl Frozen {
    pub(super) fn new(is_alone: bool) -> Self {
        Self { parties: HashMap::new(), is_alone, has_any: false }
    }

    pub(super) fn freeze(&mut self, party: Party, index: u64) {
        self.parties.insert(party, index);
        self.has_any = true;
    }

    pub(super) fn thaw(&mut self, party: &Party) {
        self.parties.remove(party);
    }

    /// What is wrong with an intent of `caller` for `key`.
    pub(super) fn intent(&self, caller: &[u8], key: &[u8]) -> Option<Wrong> {
        if !self.is_alone || self.parties.is_empty() {
            return None;
        }
        let party = Party { caller: caller.to_vec(), key: key.to_vec() };
        self.parties.get(&party).map(|freeze| Wrong::Frozen { freeze: *freeze })
    }

    /// Whether somebody was frozen, and nobody looked for what they had all the same.
    pub(super) fn is_unchecked(&self) -> bool {
        self.has_any && !self.is_alone
    }

    /// Who is frozen after the last entry, and by which one.
    pub(super) fn into_parties(self) -> HashMap<Party, u64> {
        self.parties
    }
}
