//! What a profile bounds in an OCSP response.
//!
//! In: a [`Case`]. Out: the first rule that objects. To add a rule, write one function, one line in [`RULES`] and one key in
//! `config/profile/ocsp.rs`; its name in [`RULES`] is that key.

use std::fmt::{self, Write};

use countersign_tbs::ocsp::ResponseData;

use super::{Case, period, saw};
use crate::policy::canonical::write_updates;
use crate::policy::format::{Bounded, Limits};
use crate::policy::validity::UpdateBounds;
use crate::policy::{Reason, Verdict, object};

/// Every field bounds something.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// How many answers may be in one response.
    pub(crate) max_responses: usize,
    /// Whether there may be a nonce.
    pub(crate) nonce: bool,
    /// When it is made, and when the last of its answers is over.
    pub(crate) updates: UpdateBounds,
}

/// The rules, in the order in which they are asked, each under the key of the configuration that sets it.
pub(super) const RULES: &[Bounded<ResponseData>] = &[
    ("max_responses", saw::count, max_responses),
    ("nonce", saw::nonce, nonce),
    ("backdating", saw::beginning, backdating),
    ("start_within", saw::beginning, start_within),
    ("max_next_update", saw::updates, max_next_update),
];

fn max_responses(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let (count, limit) = (tbs.responses().len(), limits.bounds.max_responses);
    if count <= limit {
        return Ok(());
    }
    let message = format!("there are {count} answers in one; profile {} allows {limit}", limits.profile);
    object(Reason::ResponsesAboveLimit, message)
}

fn nonce(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    if tbs.nonce().is_none() || limits.bounds.nonce {
        return Ok(());
    }
    object(Reason::NonceNotAllowed, format!("there is a nonce; profile {} allows none", limits.profile))
}

fn backdating(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.updates.backdating(limits.profile, &period(case.tbs), case.now)
}

fn start_within(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.updates.start_within(limits.profile, &period(case.tbs), case.now)
}

/// Without a next update an answer is good for as long as somebody cares to show it.
fn max_next_update(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    match case.tbs.responses().iter().find(|response| response.next_update.is_none()) {
        None => limits.bounds.updates.max_next_update(limits.profile, &period(case.tbs), case.now),
        Some(response) => {
            let serial = &response.cert_id.serial;
            object(
                Reason::NextUpdateMissing,
                format!("the answer about certificate {serial} has no nextUpdate"),
            )
        }
    }
}

impl Bounds {
    /// As the policy's digest covers them.
    pub(in crate::policy) fn canonical(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "signs ocsp-response")?;
        writeln!(out, "max_responses {}", self.max_responses)?;
        writeln!(out, "nonce {}", self.nonce)?;
        write_updates(out, &self.updates)
    }
}
