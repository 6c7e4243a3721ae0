//! Whether a token has counted a wrong PIN at a login that failed with what says nothing of it.
//!
//! In: its flags of before and after (PKCS#11 v2.40 base §3.2, `CK_TOKEN_INFO`). Out: what they tell, which need not be all.

use cryptoki::slot::TokenInfo;

/// Whether it has, as far as its flags tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Counted {
    Yes,
    No,
    Unknown,
}

/// Whether a wrong PIN was counted since a right one, the last try is left, and none is.
pub(super) type Flags = [bool; 3];

pub(super) fn flags(info: &TokenInfo) -> Flags {
    [info.user_pin_count_low(), info.user_pin_final_try(), info.user_pin_locked()]
}

/// What the flags of before and after tell. One that has gone is no count: somebody's right PIN took it away, or the token is as if new.
pub(super) fn by_flags(before: Flags, after: Flags) -> Counted {
    match (before, after) {
        _ if before.into_iter().zip(after).any(|(before, after)| after && !before) => Counted::Yes,
        // Another wrong PIN does not set it again.
        ([true, ..], _) => Counted::Unknown,
        _ => Counted::No,
    }
}

#[cfg(test)]
mod tests;
