//! What keeps tokens from signing now, for those who may know it.
//!
//! In: what is known of them already. Out: a [`Trouble`] for each that does not sign, and for each key that one refuses, by the words
//! that its requests are refused with; and for each that has signed wrongly, until it has proven itself: it signs where no other is
//! there. No token is asked.

use std::sync::Arc;

use super::pool::Pool;
use super::route::Member;
use super::{Health, TokenError, TokenName, Tokens};
use crate::key::KeyName;

/// Why a token does not sign now, or is not to be relied on.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Which.
    pub token: TokenName,
    /// A stable word: that of a [`TokenError`], or `SIGNATURE_WITHHELD`.
    pub word: &'static str,
    /// The same for people, and what to do.
    pub message: String,
}

impl Tokens {
    /// Each token that does not sign now, or not with one of its keys, or has signed wrongly and not proven itself since.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let mut pools: Vec<&Arc<Pool>> = Vec::new();
        let mut troubles = Vec::new();
        for (key, route) in &self.0.routes {
            for member in route.members() {
                troubles.extend(member.trouble(key));
                if !pools.iter().any(|known| Arc::ptr_eq(known, &member.pool)) {
                    pools.push(&member.pool);
                }
            }
        }
        troubles.extend(pools.into_iter().filter_map(|pool| pool.trouble()));
        troubles.sort_by(|one, other| one.token.cmp(&other.token));
        troubles
    }
}

impl Member {
    /// That it refuses to sign with this key, and nothing else keeps it from that.
    fn trouble(&self, key: &KeyName) -> Option<Trouble> {
        let state = self.pool.state.borrow();
        let error = state.refusals.of(self.index).filter(|_| state.is_up())?;
        let message = format!(
            "{error}, with key {key} and whatever is to be signed; it is asked after all others until it signs a challenge"
        );
        Some(Trouble { token: self.pool.config.name.clone(), word: error.word(), message })
    }
}

impl Pool {
    fn trouble(&self) -> Option<Trouble> {
        let token = self.config.name.clone();
        let refuses = |error: TokenError| (error.word(), error.to_string());
        let (word, message) = match self.health() {
            // A refusal is of one key.
            Health::Ready | Health::Refusing => return None,
            Health::Doubted => {
                let message = format!(
                    "a signature of token {token} did not verify, and its process was replaced; it is asked after all others until \
                     it has proven itself"
                );
                ("SIGNATURE_WITHHELD", message)
            }
            // None that is not closed refuses: requests wait for the process that is on its way.
            Health::Restarting | Health::Down => {
                let why = self.queue.closed();
                refuses(why.unwrap_or_else(|| TokenError::Unavailable { token: token.clone() }))
            }
        };
        Some(Trouble { token, word, message })
    }
}
