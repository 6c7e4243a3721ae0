//! The lists whose numbers a store must have beside the log, so that they do not come again: the newest of each series.
//!
//! In: lists that somebody has or may come to have, in any order. Out: of each CA key those that no later one has taken the place of. Of a list
//! that nobody could read the series is not known, so it may be any. Three are kept for each CA key, however many there are.

use std::collections::HashMap;

use countersign_tbs::crl::CrlNumber;

use crate::ledger::crl_number::Series;

/// The number of a list and its series, if anybody could read the list.
pub(super) type Number = Option<(Series, CrlNumber)>;

/// A list that somebody has or may come to have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NewestList {
    pub(super) intent: u64,
    pub(super) number: Number,
}

/// The newest of each series, by the place of the CA key.
#[derive(Debug, Default)]
pub(super) struct NewestLists(HashMap<(usize, Option<Series>), NewestList>);

impl NewestLists {
    /// Takes note of a list by the CA key at `key`.
    pub(super) fn learn(&mut self, key: usize, list: NewestList) {
        let series = list.number.map(|(series, _)| series);
        let newest = self.0.entry((key, series)).or_insert(list);
        if newest.intent < list.intent {
            *newest = list;
        }
    }

    /// Those whose numbers somebody needs still, each with the place of its CA key, in order.
    pub(super) fn into_needed(self) -> Vec<(usize, NewestList)> {
        let is_after = |key: usize, series: Option<Series>, list: &NewestList| {
            self.0.get(&(key, series)).is_some_and(|later| later.intent > list.intent)
        };
        let is_superseded = |key: usize, list: &NewestList| match list.number {
            Some(_) => is_after(key, None, list),
            None => {
                [Series::Complete, Series::Delta].into_iter().any(|series| is_after(key, Some(series), list))
            }
        };
        let all = self.0.iter().map(|((key, _), list)| (*key, *list));
        let mut needed: Vec<_> = all.filter(|(key, list)| !is_superseded(*key, list)).collect();
        needed.sort_unstable_by_key(|(_, list)| list.intent);
        needed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn a_number_is_needed_until_a_later_list_may_have_taken_its_place() {
        let (complete, delta) = (Some(Series::Complete), Some(Series::Delta));
        // The series of the lists of two CA keys, in order, and the lists whose numbers are needed.
        for (lists, needed) in [
            (&[(0, complete), (0, complete), (0, delta)][..], &[1, 2][..]),
            (&[(0, complete), (1, complete), (1, delta)], &[0, 1, 2]),
            (&[(0, complete), (0, None), (1, None)], &[1, 2]),
            (&[(0, None), (0, delta), (0, complete)], &[1, 2]),
            (&[(0, complete), (0, None), (0, delta)], &[2]),
            (&[(0, None), (0, None)], &[1]),
        ] {
            let of = |at: usize| {
                let (key, series) = lists[at];
                let intent = u64::try_from(at).unwrap();
                (key, NewestList { intent, number: series.map(|series| (series, CrlNumber::from(intent))) })
            };
            let needed: Vec<_> = needed.iter().map(|at| of(*at)).collect();
            // Outcomes come in any order.
            let (mut forward, mut backward) = (NewestLists::default(), NewestLists::default());
            for at in 0..lists.len() {
                let ((key, list), (end, other)) = (of(at), of(lists.len() - 1 - at));
                forward.learn(key, list);
                backward.learn(end, other);
            }
            assert_eq!(forward.into_needed(), needed, "{lists:?}");
            assert_eq!(backward.into_needed(), needed, "{lists:?}");
        }
    }
}
