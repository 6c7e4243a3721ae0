//! What keeps tokens from signing now, for those who may know it.
//!
//! In: what is known of them already. Out: a [`Trouble`] for each that does not sign, by the words that its requests are refused
//! with, and for each that has signed wrongly, until it has proven itself: it signs where no other is there. No token is asked.

use std::sync::Arc;

use super::pool::Pool;
use super::{Health, TokenError, TokenName, Tokens};

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
    /// Each token that does not sign now, or has signed wrongly and not proven itself since.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let mut pools: Vec<&Arc<Pool>> = Vec::new();
        for member in self.0.routes.values().flat_map(|route| route.members()) {
            if !pools.iter().any(|known| Arc::ptr_eq(known, &member.pool)) {
                pools.push(&member.pool);
            }
        }
        let mut troubles: Vec<_> = pools.into_iter().filter_map(|pool| pool.trouble()).collect();
        troubles.sort_by(|one, other| one.token.cmp(&other.token));
        troubles
    }
}

impl Pool {
    fn trouble(&self) -> Option<Trouble> {
        let token = self.config.name.clone();
        let refuses = |error: TokenError| (error.word(), error.to_string());
        let (word, message) = match self.health() {
            Health::Ready => return None,
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
