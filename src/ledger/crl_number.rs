//! The numbers of one CA key's CRLs, which only grow: a list with a lower one is an old list again (RFC 5280 §5.2.3).
//!
//! In: the number that an intent claims, and the newest of each series. Out: the [`Conflict`] between them, if there is one.
//! Complete and delta lists are two series with one count: a complete list and a delta list of the same moment share a
//! number, and neither series falls behind the other. Nothing here does I/O.

use countersign_tbs::crl::{CrlNumber, TbsCertList};

use crate::ledger::claim::{Conflict, Fate, refused};
use crate::policy::Reason;

/// The number of a list, and of which series it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListNumber {
    pub(super) series: Series,
    pub(super) number: CrlNumber,
}

/// Lists that are numbered one after the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Series {
    /// Lists that have every entry.
    Complete,
    /// Lists that only add to a complete one.
    Delta,
}

/// The newest number of a series, and what became of the list.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) number: CrlNumber,
    pub(super) fate: Fate,
}

impl ListNumber {
    /// What `list` claims.
    pub(super) fn of(list: &TbsCertList) -> Self {
        let series = if list.delta_base().is_some() { Series::Delta } else { Series::Complete };
        Self { series, number: list.number() }
    }

    /// Judges by the newest numbers of the same CA key, of the list's own series and of the other one.
    ///
    /// A number may come again, for any list, if nobody was given a signature of the one that had it.
    pub(super) fn against(&self, own: Option<&Newest>, other: Option<&Newest>) -> Option<Conflict> {
        let is_newer = own.is_none_or(|newest| match newest.fate {
            Fate::Failed => self.number >= newest.number,
            Fate::Signed(_) | Fate::InWork | Fate::Unknown => self.number > newest.number,
        });
        let keeps_up = other.is_none_or(|newest| self.number >= newest.number);
        let newest = own.into_iter().chain(other).map(|newest| newest.number).max();
        let newest = newest.filter(|_| !is_newer || !keeps_up)?;
        let message = format!(
            "this CA key has signed, or begun to sign, CRL {newest}; {} is not newer: number this one higher",
            self.number
        );
        Some(refused("crl_number", Reason::CrlNumberNotNewer, &message))
    }
}

impl Series {
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
    #![allow(clippy::panic, reason = "tests")]

    use super::*;

    fn newest(number: u64, fate: Fate) -> Newest {
        Newest { number: number.into(), fate }
    }

    fn signed(number: u64) -> Newest {
        newest(number, Fate::Signed(vec![1]))
    }

    fn is_free(number: u64, own: Option<&Newest>, other: Option<&Newest>) -> bool {
        let claim = ListNumber { series: Series::Complete, number: number.into() };
        match claim.against(own, other) {
            None => true,
            Some(Conflict::Refused(refusal)) => {
                assert_eq!(
                    (refusal.reason, &*refusal.rule),
                    (Reason::CrlNumberNotNewer, "ledger.crl_number")
                );
                false
            }
            Some(conflict) => panic!("{conflict:?}"),
        }
    }

    #[test]
    fn the_first_number_is_any() {
        assert!(is_free(0, None, None));
        assert!(is_free(u64::MAX, None, None));
    }

    #[test]
    fn a_number_is_above_those_of_its_own_series() {
        for (number, free) in [(255, false), (256, false), (257, true), (65_536, true)] {
            assert_eq!(is_free(number, Some(&signed(256)), None), free, "{number}");
        }
    }

    #[test]
    fn a_number_is_not_below_those_of_the_other_series() {
        for (number, free) in [(6, false), (7, true), (8, true)] {
            assert_eq!(is_free(number, None, Some(&signed(7))), free, "{number}");
            assert_eq!(is_free(number, Some(&signed(5)), Some(&signed(7))), free, "{number}");
        }
        assert!(
            !is_free(7, Some(&signed(7)), Some(&signed(5))),
            "the other one does not loosen the first rule"
        );
    }

    #[test]
    fn a_number_that_nobody_has_a_list_of_is_free_again_and_no_lower_one() {
        for (fate, again) in [(Fate::Failed, true), (Fate::InWork, false), (Fate::Unknown, false)] {
            assert_eq!(is_free(7, Some(&newest(7, fate)), None), again);
        }
        assert!(!is_free(6, Some(&newest(7, Fate::Failed)), None));
    }
}
