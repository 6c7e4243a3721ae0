//! How long a token process may take to start, until it is taken for hung.
//!
//! Two processes of one token that start at once can fail each other (design §8), so while one hangs in its start no other is
//! replaced. Hence a replacement has less time than the first start has, at first.

use std::time::Duration;

use crate::token::latch::Past;
use crate::token::pin::source::PinFile;

/// How long a token may take to load, log in and find keys, at most: network HSMs take seconds.
pub(in crate::token) const START: Duration = Duration::from_secs(60);
/// How long the first try of a replacement may take, at least.
const FIRST_TRY: Duration = Duration::from_secs(10);

/// How long the first try of a replacement may take, where one signature may take `deadline`: while it hangs, no other process of
/// its token is replaced.
pub(in crate::token) fn first_try(deadline: Duration) -> Duration {
    deadline.saturating_mul(5).clamp(FIRST_TRY, START)
}

/// How long the next try may take: a token that is slow comes back all the same.
pub(super) fn twice(limit: Duration) -> Duration {
    limit.saturating_mul(2).min(START)
}

/// How long a try may take after all: a person who types the PIN has as much time as at the daemon's start; and so has the token where
/// a login is noted that it did not answer, for another that is killed in its login would keep the PIN from being tried at all.
pub(super) fn of(limit: Duration, past: &Past, pin_file: &PinFile) -> Duration {
    if *pin_file == PinFile::Pad || !past.tried().is_empty() { START } else { limit }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::token::TokenName;
    use crate::token::latch::{Latch, PinMark};

    #[test]
    fn each_try_of_a_replacement_has_twice_as_long_until_it_has_as_long_as_the_first_start() {
        let seconds = Duration::from_secs;
        for (deadline, tries) in [(1, [10, 20, 40, 60]), (3, [15, 30, 60, 60]), (60, [60; 4])] {
            let limits =
                std::iter::successors(Some(first_try(seconds(deadline))), |limit| Some(twice(*limit)));
            assert!(limits.take(tries.len()).eq(tries.map(seconds)), "with a deadline of {deadline} s");
        }
        assert_eq!(first_try(Duration::MAX), START);
    }

    #[test]
    fn neither_who_types_a_pin_nor_the_last_login_that_it_may_be_tried_with_is_cut_short() {
        let dir = tempfile::tempdir().unwrap();
        let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
        let file = PinFile::from(std::path::PathBuf::from("/pin"));
        let limit = |pin_file| of(FIRST_TRY, &latch.past().unwrap(), pin_file);
        assert_eq!((limit(&file), limit(&PinFile::Pad)), (FIRST_TRY, START));
        latch.begin(&PinMark::at_pad()).unwrap();
        assert_eq!(limit(&file), START);
    }
}
