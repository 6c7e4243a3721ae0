//! The numbers of one CA key's CRLs, which only grow, a step at a time: a list with a lower one is an old list again (RFC 5280
//! §5.2.3), and one with the highest would be the last.
//!
//! In: the number that an intent claims, and the newest of each series. Out: the [`Conflict`] between them, if there is one.
//! Complete and delta lists are two series with one count: a complete list and a delta list of the same moment share a
//! number, and neither series falls behind the other. Nothing here does I/O.

use countersign_tbs::crl::{CrlNumber, TbsCertList};

use crate::ledger::claim::{Conflict, Fate, refused};
use crate::policy::crl::NumberStep;
use crate::policy::{Reason, Refusal};

/// The number of a list, and of which series it is.
#[derive(Debug)]
pub(super) struct ListNumber {
    pub(super) series: Series,
    pub(super) number: CrlNumber,
    /// How far it may be above the newest.
    pub(super) step: NumberStep,
    /// The profile that says so.
    pub(super) rule: String,
}

/// How long a CA key's first number may be: room for any count or time that a CA brings along, and 12 octets left of 20.
const MAX_FIRST_LEN: usize = 8;

/// Lists that are numbered one after the other.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
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
    /// What `list` claims, by the profile `rule`.
    pub(super) fn of(list: &TbsCertList, rule: &str, step: NumberStep) -> Self {
        let series = if list.delta_base().is_some() { Series::Delta } else { Series::Complete };
        Self { series, number: list.number(), step, rule: rule.to_owned() }
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
        let Some(newest) = newest else { return self.as_first() };
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
        let message = format!(
            "{} is the first number of this CA key in the ledger, and has more than {MAX_FIRST_LEN} octets: begin lower",
            self.number
        );
        let is_short = self.number.as_bytes().len() <= MAX_FIRST_LEN;
        (!is_short).then(|| refused("crl_number", Reason::CrlNumberTooFar, &message))
    }

    /// Judges how far it is above the newest. There is no leap beyond the end of numbers.
    fn leap_from(&self, newest: CrlNumber) -> Option<Conflict> {
        let Self { number, step, rule, .. } = self;
        let is_within = newest.checked_add(step.get()).is_none_or(|highest| *number <= highest);
        let message = format!(
            "this CA key has signed, or begun to sign, CRL {newest}; {number} is more than {step} above it: number this one lower"
        );
        let rule = format!("{rule}.number_step");
        (!is_within).then_some(Conflict::Refused(Refusal { reason: Reason::CrlNumberTooFar, rule, message }))
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
    #![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn newest(number: u64, fate: Fate) -> Newest {
        Newest { number: number.into(), fate }
    }

    fn signed(number: u64) -> Newest {
        newest(number, Fate::Signed(vec![1]))
    }

    /// By a profile whose step is 1,000,000.
    fn refusal(number: CrlNumber, own: Option<&Newest>, other: Option<&Newest>) -> Option<Refusal> {
        let (step, rule) = (NumberStep::new(1_000_000).unwrap(), "key.ca.allow.lists".to_owned());
        match (ListNumber { series: Series::Complete, number, step, rule }).against(own, other) {
            None => None,
            Some(Conflict::Refused(refusal)) => Some(refusal),
            Some(conflict) => panic!("{conflict:?}"),
        }
    }

    fn is_free(number: u64, own: Option<&Newest>, other: Option<&Newest>) -> bool {
        let refusal = refusal(number.into(), own, other);
        let said = refusal.as_ref().map(|refusal| (refusal.reason, &*refusal.rule));
        assert!(said.is_none_or(|said| said == (Reason::CrlNumberNotNewer, "ledger.crl_number")), "{said:?}");
        said.is_none()
    }

    fn is_too_far(number: CrlNumber, own: Option<&Newest>, other: Option<&Newest>) -> bool {
        refusal(number, own, other).is_some_and(|refusal| {
            assert_eq!(
                (refusal.reason, &*refusal.rule),
                (Reason::CrlNumberTooFar, "key.ca.allow.lists.number_step")
            );
            true
        })
    }

    #[test]
    fn the_first_number_is_any_of_eight_octets() {
        assert!(is_free(0, None, None));
        assert!(is_free(u64::MAX, None, None));
        for beyond in [&[1, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0x7f; 20]] {
            let refusal = refusal(CrlNumber::new(beyond).unwrap(), None, None).unwrap();
            assert_eq!((refusal.reason, &*refusal.rule), (Reason::CrlNumberTooFar, "ledger.crl_number"));
        }
    }

    #[test]
    fn a_number_leaps_no_further_than_the_profile_allows() {
        let own = signed(7);
        for (number, too_far) in [(1_000_007, false), (1_000_008, true), (u64::MAX, true)] {
            assert_eq!(is_too_far(number.into(), Some(&own), None), too_far, "{number}");
            assert_eq!(is_too_far(number.into(), None, Some(&own)), too_far, "{number} of the other series");
        }
        assert!(is_too_far(CrlNumber::new(&[0x7f; 20]).unwrap(), Some(&own), None));
        let ahead = signed(2_000_000);
        assert!(
            !is_too_far(3_000_000.into(), Some(&own), Some(&ahead)),
            "a series may catch up with the other"
        );
        let failed = newest(7, Fate::Failed);
        assert!(is_too_far(1_000_008.into(), Some(&failed), None), "whatever became of the newest");
    }

    #[test]
    fn near_their_end_numbers_leap_no_further_than_it() {
        let near = CrlNumber::new(&[[0x7f].as_slice(), &[0xff; 18], &[0xf0]].concat()).unwrap();
        let last = CrlNumber::new(&[[0x7f].as_slice(), &[0xff; 19]].concat()).unwrap();
        let near = Newest { number: near, fate: Fate::Signed(vec![1]) };
        assert!(refusal(last, Some(&near), None).is_none());
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
