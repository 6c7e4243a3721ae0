//! The numbers of one CA key's CRLs, which only grow, a step at a time: a list with a lower one is an old list again (RFC 5280
//! §5.2.3), and one with the highest would be the last.
//!
//! In: the number that an intent claims, and the newest of each series of which somebody may have the list. Out: the
//! [`Conflict`] between them, if there is one.
//! Complete and delta lists are two series with one count: a complete list and a delta list of the same moment share a
//! number, and neither series falls behind the other. Nothing here does I/O.

use std::cmp::Reverse;

use countersign_tbs::crl::{CrlNumber, TbsCertList};

use crate::ledger::claim::{Conflict, Fate, refused};
use crate::policy::crl::Numbering;
use crate::policy::{Reason, Refusal};

/// The number of a list, and of which series it is.
#[derive(Debug)]
pub(super) struct ListNumber {
    pub(super) series: Series,
    pub(super) number: CrlNumber,
    /// How far it may be above the newest, and how high if it is the first.
    pub(super) numbering: Numbering,
    /// The profile that says so.
    pub(super) rule: String,
}

/// A list that is or was to be signed, and what became of it.
#[derive(Debug)]
pub(super) struct List {
    pub(super) number: CrlNumber,
    pub(super) fate: Fate,
}

/// What a store keeps of the number of a list.
#[derive(Clone, Debug)]
pub(super) struct NumberRow {
    /// SHA-256 of the CA key's SPKI.
    pub(super) ca_key: Vec<u8>,
    /// The [`Series`], by its name.
    pub(super) series: String,
    pub(super) number: Vec<u8>,
    /// The log that has the intent.
    pub(super) log: i32,
    pub(super) intent: u64,
}

/// Lists that are numbered one after the other.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Series {
    /// Lists that have every entry.
    Complete,
    /// Lists that only add to a complete one.
    Delta,
}

impl List {
    /// The highest number first.
    pub(super) fn sorted(mut lists: Vec<Self>) -> Vec<Self> {
        lists.sort_unstable_by_key(|list| Reverse(list.number));
        lists
    }

    /// The highest number of a list that somebody has, or may come to have; of lists that are sorted.
    pub(super) fn newest(lists: &[Self]) -> Option<CrlNumber> {
        lists.iter().find(|list| !matches!(list.fate, Fate::Failed)).map(|list| list.number)
    }

    /// The numbers that no later one is judged by: of lists that nobody has, and those below one that stays; of lists that are
    /// sorted.
    pub(super) fn forgotten(lists: &[Self]) -> Vec<CrlNumber> {
        let mut stays = false;
        let forgotten = lists.iter().filter(|list| {
            let is_forgotten = stays || matches!(list.fate, Fate::Failed);
            stays |= matches!(list.fate, Fate::Signed(_) | Fate::Unknown);
            is_forgotten
        });
        forgotten.map(|list| list.number).collect()
    }
}

impl ListNumber {
    /// What `list` claims, by the profile `rule`.
    pub(super) fn of(list: &TbsCertList, rule: &str, numbering: Numbering) -> Self {
        let series = Series::of(list);
        Self { series, number: list.number(), numbering, rule: rule.to_owned() }
    }

    /// Judges by the newest numbers of the same CA key, of the list's own series and of the other one.
    ///
    /// Lists of which nobody was given a signature are none of them: theirs may come again, for any list.
    pub(super) fn against(&self, own: Option<CrlNumber>, other: Option<CrlNumber>) -> Option<Conflict> {
        let is_newer = own.is_none_or(|newest| self.number > newest);
        let keeps_up = other.is_none_or(|newest| self.number >= newest);
        let Some(newest) = own.max(other) else { return self.as_first() };
        if is_newer && keeps_up {
            return self.leap_from(newest);
        }
        let message = format!(
            "this CA key has signed, or begun to sign, CRL {newest}; {} is not newer: number this one higher",
            self.number
        );
        Some(refused("crl_number", Reason::CrlNumberNotNewer, &message))
    }

    /// Judges the first number of a CA key.
    fn as_first(&self) -> Option<Conflict> {
        let Self { number, numbering: Numbering { max_first, .. }, .. } = self;
        let message = format!(
            "{number} is the first number of this CA key in the ledger, and above {max_first}: begin lower, or have the operator \
             raise `max_first_number` to go on from earlier lists"
        );
        (*number > CrlNumber::from(max_first.get())).then(|| self.too_far("max_first_number", message))
    }

    /// Judges how far it is above the newest. There is no leap beyond the end of numbers.
    fn leap_from(&self, newest: CrlNumber) -> Option<Conflict> {
        let Self { number, numbering: Numbering { step, .. }, .. } = self;
        let is_within = newest.checked_add(step.get()).is_none_or(|highest| *number <= highest);
        let message = format!(
            "this CA key has signed, or begun to sign, CRL {newest}; {number} is more than {step} above it: number this one lower"
        );
        (!is_within).then(|| self.too_far("number_step", message))
    }

    fn too_far(&self, bound: &str, message: String) -> Conflict {
        let rule = format!("{}.{bound}", self.rule);
        Conflict::Refused(Refusal { reason: Reason::CrlNumberTooFar, rule, message })
    }
}

impl Series {
    /// Of which one `list` is.
    pub(super) fn of(list: &TbsCertList) -> Self {
        if list.delta_base().is_some() { Self::Delta } else { Self::Complete }
    }

    /// The other one.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Complete => Self::Delta,
            Self::Delta => Self::Complete,
        }
    }

    /// Its word in the file.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Delta => "delta",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::policy::crl::{FirstNumber, NumberStep};

    /// By a profile whose step is 1,000,000, and whose first number is 5,000 at most.
    fn refusal(number: CrlNumber, own: Option<u64>, other: Option<u64>) -> Option<Refusal> {
        against(number, own.map(CrlNumber::from), other.map(CrlNumber::from))
    }

    fn against(number: CrlNumber, own: Option<CrlNumber>, other: Option<CrlNumber>) -> Option<Refusal> {
        let numbering = Numbering {
            step: NumberStep::new(1_000_000).unwrap(),
            max_first: FirstNumber::new(5_000).unwrap(),
        };
        let rule = "key.ca.allow.lists".to_owned();
        match (ListNumber { series: Series::Complete, number, numbering, rule }).against(own, other) {
            None => None,
            Some(Conflict::Refused(refusal)) => Some(refusal),
            Some(conflict) => panic!("{conflict:?}"),
        }
    }

    fn is_free(number: u64, own: Option<u64>, other: Option<u64>) -> bool {
        let refusal = refusal(number.into(), own, other);
        let said = refusal.as_ref().map(|refusal| (refusal.reason, &*refusal.rule));
        assert!(said.is_none_or(|said| said == (Reason::CrlNumberNotNewer, "ledger.crl_number")), "{said:?}");
        said.is_none()
    }

    fn is_too_far(number: CrlNumber, own: Option<u64>, other: Option<u64>) -> bool {
        refusal(number, own, other).is_some_and(|refusal| {
            assert_eq!(
                (refusal.reason, &*refusal.rule),
                (Reason::CrlNumberTooFar, "key.ca.allow.lists.number_step")
            );
            true
        })
    }

    #[test]
    fn the_first_number_is_no_higher_than_the_profile_allows() {
        for number in [0, 1, 5_000] {
            assert!(is_free(number, None, None), "{number}");
        }
        let longest = CrlNumber::new(&[0x7f; 20]).unwrap();
        for beyond in [5_001.into(), u64::MAX.into(), longest] {
            let refusal = refusal(beyond, None, None).unwrap();
            let said = (refusal.reason, &*refusal.rule);
            assert_eq!(said, (Reason::CrlNumberTooFar, "key.ca.allow.lists.max_first_number"), "{beyond}");
            assert!(refusal.message.contains("above 5000"), "{}", refusal.message);
        }
    }

    #[test]
    fn a_number_leaps_no_further_than_the_profile_allows() {
        for (number, too_far) in [(1_000_007, false), (1_000_008, true), (u64::MAX, true)] {
            assert_eq!(is_too_far(number.into(), Some(7), None), too_far, "{number}");
            assert_eq!(is_too_far(number.into(), None, Some(7)), too_far, "{number} of the other series");
        }
        assert!(is_too_far(CrlNumber::new(&[0x7f; 20]).unwrap(), Some(7), None));
        assert!(
            !is_too_far(3_000_000.into(), Some(7), Some(2_000_000)),
            "a series may catch up with the other"
        );
    }

    #[test]
    fn near_their_end_numbers_leap_no_further_than_it() {
        let near = CrlNumber::new(&[[0x7f].as_slice(), &[0xff; 18], &[0xf0]].concat()).unwrap();
        let last = CrlNumber::new(&[[0x7f].as_slice(), &[0xff; 19]].concat()).unwrap();
        assert!(against(last, Some(near), None).is_none());
    }

    #[test]
    fn a_number_is_above_those_of_its_own_series() {
        for (number, free) in [(255, false), (256, false), (257, true), (65_536, true)] {
            assert_eq!(is_free(number, Some(256), None), free, "{number}");
        }
    }

    #[test]
    fn a_number_is_not_below_those_of_the_other_series() {
        for (number, free) in [(6, false), (7, true), (8, true)] {
            assert_eq!(is_free(number, None, Some(7)), free, "{number}");
            assert_eq!(is_free(number, Some(5), Some(7)), free, "{number}");
        }
        assert!(!is_free(7, Some(7), Some(5)), "the other one does not loosen the first rule");
    }
}
