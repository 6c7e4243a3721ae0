//! A key that its token refuses to sign with: one challenge tells whether the requests are at fault, or the token (field-notes R15, R34).
//!
//! In: that a token refused a request with a key. Out: a [`Suspicion`] for each key at each token, which waits until there is reason for
//! a challenge, and is told what became of it. Promised: what callers ask for takes no key out of service, only a challenge that is
//! refused does; a key has one challenge in each pause at most; no process is ended. The challenge is the daemon's business, which records it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::device::{Device, Touch};
use super::pool::Pool;
use super::probation::{Instead, Patience};
use super::route::Member;
use super::{TokenError, TokenName, Tokens};
use crate::key::KeyName;

/// How many refusals in a row, with no signature between them, are reason for a challenge.
const IN_A_ROW: u32 = 3;
/// How long a key that has signed a challenge has no other, and how long one line of the log stands for all refusals of a key.
const REST: Duration = Duration::from_secs(2);

/// What a token has refused, for each key by its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(BTreeMap<u16, Refused>);

#[derive(Clone, Debug)]
struct Refused {
    /// How many, since it last signed with this key.
    in_a_row: u32,
    /// When the log was last told of one.
    told: Instant,
    trust: Trust,
}

/// Whether a token signs with a key.
#[derive(Clone, Debug)]
enum Trust {
    /// As far as is known.
    Trusted,
    /// A challenge is to tell. Nothing else is different.
    Suspected,
    /// It has refused a challenge, like this.
    Refusing(TokenError),
}

impl Refusals {
    /// One more; whether it is news for the log.
    pub(super) fn add(&mut self, index: u16, now: Instant) -> bool {
        let Some(refused) = self.0.get_mut(&index) else {
            self.0.insert(index, Refused { in_a_row: 1, told: now, trust: Trust::Trusted });
            return true;
        };
        refused.in_a_row = refused.in_a_row.saturating_add(1);
        let is_news =
            matches!(refused.trust, Trust::Trusted) && now.saturating_duration_since(refused.told) >= REST;
        if is_news {
            refused.told = now;
        }
        is_news
    }

    /// Whether it has refused so often in a row that a challenge is to tell.
    pub(super) fn are_many(&self, index: u16) -> bool {
        self.0.get(&index).is_some_and(|refused| refused.in_a_row >= IN_A_ROW)
    }

    /// Whether it has refused since it last signed.
    pub(super) fn are_any(&self, index: u16) -> bool {
        self.0.get(&index).is_some_and(|refused| refused.in_a_row > 0)
    }

    /// It has signed for somebody.
    pub(super) fn forget(&mut self, index: u16) {
        if let Some(refused) = self.0.get_mut(&index) {
            refused.in_a_row = 0;
        }
    }

    /// There is reason for a challenge; whether there was none before.
    pub(super) fn suspect(&mut self, index: u16) -> bool {
        let trusted = self.0.get_mut(&index).filter(|refused| matches!(refused.trust, Trust::Trusted));
        trusted.map(|refused| refused.trust = Trust::Suspected).is_some()
    }

    /// Whether a challenge is to tell, the first or another.
    fn is_suspected(&self, index: u16) -> bool {
        self.0.get(&index).is_some_and(|refused| !matches!(refused.trust, Trust::Trusted))
    }

    /// How it refuses a key, if it does.
    pub(super) fn of(&self, index: u16) -> Option<&TokenError> {
        match &self.0.get(&index)?.trust {
            Trust::Refusing(error) => Some(error),
            Trust::Trusted | Trust::Suspected => None,
        }
    }

    /// It has refused a challenge, too.
    fn confirm(&mut self, index: u16, error: &TokenError) {
        if let Some(refused) = self.0.get_mut(&index) {
            refused.trust = Trust::Refusing(error.clone());
        }
    }

    /// It has signed a challenge.
    fn clear(&mut self, index: u16) {
        if let Some(refused) = self.0.get_mut(&index) {
            (refused.trust, refused.in_a_row) = (Trust::Trusted, 0);
        }
    }
}

/// One key at one token, as its warden sees it.
pub struct Suspicion {
    key: KeyName,
    member: Member,
    instead: Instead,
    patience: Patience,
}

impl Tokens {
    /// One for each key at each token that can be challenged.
    #[must_use]
    pub fn suspicions(&self) -> Vec<Suspicion> {
        let of_key = |(key, members): (&KeyName, &[Member])| {
            let instead = if members.len() > 1 { Instead::Others } else { Instead::Nobody };
            let new = |member: Member| {
                let (key, patience) = (key.clone(), Patience::default());
                Suspicion { key, member, instead, patience }
            };
            let members = members.iter().filter(|member| member.pool.can_be_challenged());
            members.cloned().map(new).collect::<Vec<_>>()
        };
        self.0.routes.iter().map(|(key, route)| (key, route.members())).flat_map(of_key).collect()
    }
}

impl Suspicion {
    /// Whose place in doubt it is.
    #[must_use]
    pub fn token(&self) -> &TokenName {
        &self.member.pool.config.name
    }

    /// Which key is to sign.
    #[must_use]
    pub fn key(&self) -> &KeyName {
        &self.key
    }

    /// Waits until there is reason for a challenge, and the token is there.
    pub async fn stands(&self) {
        // The sender is in `self`, so there is no error.
        let mut state = self.member.pool.state.subscribe();
        let _ = state.wait_for(|state| state.is_up() && state.refusals.is_suspected(self.member.index)).await;
    }

    /// The token has signed a challenge: all is as before. How long until another may be made.
    pub fn refuted(&mut self) -> Duration {
        let (key, token) = (&self.key, self.token());
        if self.set(Refusals::clear) {
            tracing::info!(%key, %token, "the token signs with this key again");
        } else {
            tracing::info!(%key, %token, "the token signs a challenge with this key: what it refused was at fault");
        }
        self.patience = Patience::default();
        REST
    }

    /// The token refused a challenge, too: it is asked after all others for this key. How long until another may be made.
    pub fn confirmed(&mut self, error: &TokenError, now: Instant) -> Duration {
        let was_known = self.set(|refusals, index| refusals.confirm(index, error));
        if !was_known {
            let (key, token) = (&self.key, self.token());
            tracing::warn!(
                %key, %token, reason = %error,
                "THE TOKEN REFUSES TO SIGN WITH THIS KEY, a challenge, too; it is asked after all others until it does"
            );
        }
        self.undecided(now)
    }

    /// Nobody knows yet: the token failed otherwise. How long until another may be made: as of one that was refused, for it is in the ledger,
    /// and may have cost the token its process.
    pub fn undecided(&mut self, now: Instant) -> Duration {
        self.patience.lost(now, self.instead);
        self.patience.pause()
    }

    /// Nobody knows yet, and it says nothing of the token: the ledger, or a load, kept the challenge from it. How long until another may be made.
    #[must_use]
    pub fn kept_from_it(&self) -> Duration {
        REST
    }

    /// Changes what is known; whether the token was known to refuse before.
    fn set(&self, change: impl FnOnce(&mut Refusals, u16)) -> bool {
        let (mut was_known, index) = (false, self.member.index);
        self.member.pool.state.send_modify(|state| {
            was_known = state.refusals.of(index).is_some();
            change(&mut state.refusals, index);
        });
        was_known
    }
}

impl Pool {
    /// Takes note that it refused a request with the key of this place; whether that is news for the log.
    pub(super) fn refused(&self, index: u16) -> bool {
        let mut is_news = false;
        self.state.send_if_modified(|state| {
            is_news = state.refusals.add(index, Instant::now());
            state.refusals.are_many(index) && self.can_be_challenged() && state.refusals.suspect(index)
        });
        is_news
    }

    /// Takes note that it refused what another token has signed.
    pub(super) fn suspect(&self, index: u16) {
        if self.can_be_challenged() {
            self.state.send_if_modified(|state| state.refusals.suspect(index));
        }
    }

    /// Takes note that it has signed rightly with the key of this place.
    pub(super) fn signed(&self, index: u16) {
        if self.state.borrow().refusals.are_any(index) {
            self.state.send_if_modified(|state| {
                state.refusals.forget(index);
                false
            });
        }
    }

    /// Whether it signs without anybody there: nobody is to touch a card for a challenge that nobody asked for.
    fn can_be_challenged(&self) -> bool {
        !matches!(&self.config.device, Device::YubiKey(card) if card.touch == Touch::Interactive)
    }
}

#[cfg(test)]
impl Suspicion {
    /// Of a token that is not started, and alone has its key.
    #[expect(clippy::unwrap_used, reason = "tests")]
    pub(crate) fn of_test() -> Self {
        let module = super::Pkcs11 { module: "/module.so".into(), label: "t".to_owned(), serial: None };
        let pool = std::sync::Arc::new(Pool::of_test(Device::Pkcs11(module)));
        let key = KeyName::new("ca").unwrap();
        Self {
            key,
            member: Member { pool, index: 0 },
            instead: Instead::Nobody,
            patience: Patience::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::token::device::{Pkcs11, YubiKey};

    #[test]
    fn nobody_is_to_touch_a_card_for_a_challenge() {
        let card = |touch| Device::YubiKey(YubiKey { serial: 1, touch });
        let module = Pkcs11 { module: "/module.so".into(), label: "t".to_owned(), serial: None };
        let devices =
            [(card(Touch::Interactive), false), (card(Touch::Refused), true), (Device::Pkcs11(module), true)];
        for (device, is_suspected) in devices {
            let (refuses, suspected) = (Pool::of_test(device.clone()), Pool::of_test(device));
            for _ in 0..IN_A_ROW {
                refuses.refused(0);
            }
            suspected.refused(0);
            suspected.suspect(0);
            for pool in [refuses, suspected] {
                assert_eq!(
                    pool.state.borrow().refusals.is_suspected(0),
                    is_suspected,
                    "{:?}",
                    pool.config.device
                );
            }
        }
    }

    fn error() -> TokenError {
        let token = TokenName::new("t").unwrap();
        TokenError::Failed {
            token,
            call: "C_SignInit".to_owned(),
            code: "CKR_FUNCTION_NOT_SUPPORTED".to_owned(),
        }
    }

    #[test]
    fn three_refusals_in_a_row_are_reason_for_a_challenge_and_a_signature_begins_anew() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for _ in 0..10 {
            for _ in 1..IN_A_ROW {
                refusals.add(0, now);
                assert!(!refusals.are_many(0));
            }
            assert!(refusals.are_any(0));
            refusals.forget(0);
            assert!(!refusals.are_any(0));
        }
        for _ in 0..IN_A_ROW {
            refusals.add(0, now);
        }
        assert!(refusals.are_many(0) && !refusals.are_any(1), "another key's are its own");
    }

    #[test]
    fn one_line_of_the_log_stands_for_all_refusals_of_a_key_in_a_while_or_while_they_are_looked_into() {
        let (mut refusals, begin) = (Refusals::default(), Instant::now());
        assert!(refusals.add(0, begin));
        for _ in 0..1000 {
            refusals.forget(0);
            assert!(!refusals.add(0, begin), "a signature between two makes none of them news");
        }
        assert!(refusals.add(1, begin), "another key's is");
        assert!(refusals.add(0, begin + REST) && !refusals.add(0, begin + REST));
        refusals.suspect(0);
        assert!(!refusals.add(0, begin + REST * 9));
        refusals.confirm(0, &error());
        assert!(!refusals.add(0, begin + REST * 9));
        refusals.clear(0);
        assert!(refusals.add(0, begin + REST * 9));
    }

    #[test]
    fn a_key_is_challenged_less_and_less_often_until_it_has_signed_one() {
        let day = Duration::from_secs(24 * 3600);
        for (instead, most) in [(Instead::Nobody, 1600), (Instead::Others, 1450)] {
            let mut suspicion = Suspicion { instead, ..Suspicion::of_test() };
            let (begin, mut now, mut challenges) = (Instant::now(), Instant::now(), 0);
            let first = suspicion.confirmed(&error(), now);
            while now - begin < day {
                // One that does not tell is none the less made.
                now += suspicion.confirmed(&error(), now);
                now += suspicion.undecided(now);
                challenges += 2;
                assert!(challenges < most, "so many after {:?}", now - begin);
            }
            assert_eq!(suspicion.refuted(), REST);
            assert_eq!(suspicion.confirmed(&error(), now), first, "it begins anew");
        }
    }

    #[test]
    fn only_a_challenge_takes_a_key_out_of_service_and_brings_it_back() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        refusals.add(0, now);
        assert!(refusals.suspect(0) && !refusals.suspect(0), "it is suspected once");
        assert!(refusals.is_suspected(0) && refusals.of(0).is_none(), "nothing is known yet");
        refusals.forget(0);
        assert!(refusals.is_suspected(0), "a signature for a caller is no challenge");
        refusals.confirm(0, &error());
        refusals.forget(0);
        assert!(refusals.of(0).is_some() && refusals.is_suspected(0));
        refusals.clear(0);
        assert!(refusals.of(0).is_none() && !refusals.is_suspected(0) && !refusals.are_any(0));
    }
}
