//! A token that shares its keys with others and was lost comes back on probation: others go first until it has proven itself. So
//! does any token that gave a signature which does not verify.
//!
//! In: the [`Tokens`]. Out: a [`Probation`] for each such token, which waits for the token's return and ends the
//! probation. The proof is the daemon's business, which records it; how many proofs it takes, and how much longer
//! the pauses get each time it is lost again, is decided here ([`Patience`]), without I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pool::{Pool, Standing, State};
use super::route::Member;
use super::{TokenName, Tokens};
use crate::key::KeyName;

/// How many proofs in a row end a probation.
const PROOFS: u32 = 2;
/// The first and the longest pause between two proofs. At the longest, what never heals is tried 1440 times a day.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// The longest for a token that lied, or refuses, and alone has a key, in its first minute: whoever asks for that has no other token, and is
/// spared nothing by a longer one.
const PAUSE_ALONE: Duration = Duration::from_secs(2);
/// Which part of the time since then it may be later on: what has lasted long lasts no more than so much longer for it.
const PART: u32 = 30;
/// In service this long, a token has proven itself, and its next loss is its first.
const SOUND: Duration = Duration::from_secs(600);

/// One token, as its warden sees it.
pub struct Probation {
    pool: Arc<Pool>,
    /// Those that other tokens hold, too.
    shared: Vec<KeyName>,
    own: Vec<KeyName>,
}

/// Who signs with the keys of a token meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Instead {
    /// Other tokens hold all of them.
    Others,
    /// Nobody does with one of them at least.
    Nobody,
}

/// What a token has done so far to be on probation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Faults(u64);

impl Tokens {
    /// One for each token that holds a key.
    #[must_use]
    pub fn probations(&self) -> Vec<Probation> {
        let mut found: Vec<Probation> = Vec::new();
        for (key, route) in &self.0.routes {
            for Member { pool, .. } in route.members() {
                let place = found.iter().position(|known| Arc::ptr_eq(&known.pool, pool));
                let new = || Probation { pool: pool.clone(), shared: Vec::new(), own: Vec::new() };
                let mut known = place.map_or_else(new, |place| found.swap_remove(place));
                let keys = if route.members().len() > 1 { &mut known.shared } else { &mut known.own };
                keys.push(key.clone());
                found.push(known);
            }
        }
        found
    }
}

impl Probation {
    /// Whose it is.
    #[must_use]
    pub fn token(&self) -> &TokenName {
        &self.pool.config.name
    }

    /// The keys that it has to prove itself with: those that it shares, and all of them once a signature of it did not verify.
    pub fn keys(&self) -> impl Iterator<Item = &KeyName> {
        self.keys_of(self.pool.state.borrow().standing)
    }

    fn keys_of(&self, standing: Standing) -> impl Iterator<Item = &KeyName> {
        let (shared, own): (&[_], &[_]) = match standing {
            Standing::Sound => (&[], &[]),
            Standing::Lost => (&self.shared, &[]),
            Standing::Doubted => (&self.shared, &self.own),
        };
        shared.iter().chain(own)
    }

    /// Who signs while it has not proven itself.
    #[must_use]
    pub fn instead(&self) -> Instead {
        let is_doubted = self.pool.state.borrow().standing == Standing::Doubted;
        if is_doubted && !self.own.is_empty() { Instead::Nobody } else { Instead::Others }
    }

    /// Waits until the token is there and on probation, and says for what. `None` once it never will be.
    pub async fn begins(&self) -> Option<Faults> {
        let is_on_probation = |state: &State| state.is_up() && self.keys_of(state.standing).next().is_some();
        let mut state = self.pool.state.subscribe();
        let state = state.wait_for(is_on_probation).await.ok()?;
        Some(Faults(state.faults))
    }

    /// Waits until the token is lost or doubted again, after `known`.
    pub async fn has_others(&self, known: Faults) {
        let _ = self.pool.state.subscribe().wait_for(|state| state.faults != known.0).await;
    }

    /// Puts the token beside the others again, whose proof is of what `known` says. Whether it has: what it did meanwhile puts it on
    /// probation anew.
    #[must_use]
    pub fn end(&self, known: Faults) -> bool {
        self.pool.end_probation(known.0)
    }
}

/// How long a token is waited for: the more often it was lost, the longer.
#[derive(Debug, Default)]
pub struct Patience {
    longest: Duration,
    losses: u32,
    proofs: u32,
    /// When it was lost, if it has not been admitted since.
    lost: Option<Instant>,
    admitted: Option<Instant>,
}

/// What follows a proof.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Another proof, after this pause.
    Wait(Duration),
    /// The token is sound.
    Admit,
}

impl Patience {
    /// The token was lost, or has failed a proof. Where nobody signs instead of it, the pauses from here on are of two seconds at most, or of a
    /// thirtieth of the time for which it has not been admitted.
    pub fn lost(&mut self, now: Instant, instead: Instead) {
        let since = *self.lost.get_or_insert(now);
        self.longest = match instead {
            Instead::Others => PAUSE.1,
            Instead::Nobody => (now.duration_since(since) / PART).clamp(PAUSE_ALONE, PAUSE.1),
        };
        let was_sound = self.admitted.take().is_some_and(|since| now.duration_since(since) >= SOUND);
        self.losses = if was_sound { 1 } else { self.losses.saturating_add(1) };
        self.proofs = 0;
    }

    /// The token has signed.
    pub fn proven(&mut self, now: Instant) -> Verdict {
        self.proofs += 1;
        if self.proofs < PROOFS {
            return Verdict::Wait(self.pause());
        }
        self.proofs = 0;
        (self.lost, self.admitted) = (None, Some(now));
        Verdict::Admit
    }

    /// How long until the first proof: at once after the first loss.
    #[must_use]
    pub fn before(&self) -> Duration {
        if self.losses <= 1 { Duration::ZERO } else { self.pause() }
    }

    /// How long until the next proof.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let doublings = self.losses.saturating_sub(1).min(16);
        PAUSE.0.saturating_mul(2_u32.saturating_pow(doublings)).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::token::Health;
    use crate::token::device::{Device, Pkcs11};

    fn pool() -> Arc<Pool> {
        let device = Pkcs11 { module: "/module.so".into(), label: "t".to_owned(), serial: None };
        Arc::new(Pool::of_test(Device::Pkcs11(device)))
    }

    #[tokio::test]
    async fn a_proof_does_not_end_what_came_after_it() {
        let key = KeyName::new("ca").unwrap();
        let probation = Probation { pool: pool(), shared: vec![key.clone()], own: Vec::new() };
        let Probation { pool, .. } = &probation;
        pool.serve(0);
        pool.doubt();
        let doubted = probation.begins().await.unwrap();
        pool.doubt();
        assert!(!probation.end(doubted), "it was doubted since");
        assert_eq!((pool.health(), probation.keys().count()), (Health::Doubted, 1));
        let again = probation.begins().await.unwrap();
        pool.restart(0);
        pool.serve(0);
        assert!(!probation.end(again), "it was lost since, and is back");
        let lost = probation.begins().await.unwrap();
        assert!(probation.end(lost));
        assert_eq!((pool.health(), probation.keys().count()), (Health::Ready, 0));
        // Whoever waits for what was there before is told at once.
        probation.has_others(again).await;
    }

    #[tokio::test]
    async fn who_has_no_other_token_does_not_wait_long_for_one_that_lied() {
        let key = || vec![KeyName::new("ca").unwrap()];
        let alone = Probation { pool: pool(), shared: Vec::new(), own: key() };
        let beside = Probation { pool: pool(), shared: key(), own: Vec::new() };
        alone.pool.restart(0);
        assert_eq!(alone.instead(), Instead::Others, "its own key needs no proof");
        for (probation, instead) in [(alone, Instead::Nobody), (beside, Instead::Others)] {
            probation.pool.serve(0);
            probation.pool.doubt();
            assert_eq!(probation.instead(), instead);
        }
    }

    #[test]
    fn it_takes_two_proofs_in_a_row() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        patience.lost(now, Instead::Others);
        assert_eq!(patience.proven(now), Verdict::Wait(PAUSE.0));
        patience.lost(now, Instead::Others);
        assert_eq!(patience.proven(now), Verdict::Wait(PAUSE.0 * 2), "the proof before does not count");
        assert_eq!(patience.proven(now), Verdict::Admit);
    }

    #[test]
    fn the_oftener_it_is_lost_the_longer_it_takes_until_it_was_sound_for_long() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        let mut pauses = Vec::new();
        for lost in 0..10 {
            patience.lost(now, Instead::Others);
            pauses.push(patience.pause());
            assert_eq!(patience.before(), if lost == 0 { Duration::ZERO } else { patience.pause() });
            while patience.proven(now) != Verdict::Admit {}
        }
        assert!(pauses.is_sorted() && pauses.first() == Some(&PAUSE.0) && pauses.last() == Some(&PAUSE.1));
        patience.lost(now, Instead::Nobody);
        assert_eq!(patience.pause(), PAUSE_ALONE);
        while patience.proven(now) != Verdict::Admit {}
        now += SOUND;
        patience.lost(now, Instead::Others);
        assert_eq!((patience.pause(), patience.before()), (PAUSE.0, Duration::ZERO));
    }

    #[test]
    fn where_nobody_signs_instead_a_long_outage_lasts_a_little_longer_and_is_not_tried_for_ever_as_at_first()
    {
        let (mut patience, begin) = (Patience::default(), Instant::now());
        let (mut now, mut tries) = (begin, 0);
        while now - begin < Duration::from_secs(24 * 3600) {
            patience.lost(now, Instead::Nobody);
            tries += 1;
            let (pause, since) = (patience.pause(), now - begin);
            let most = if since <= Duration::from_secs(60) { PAUSE_ALONE } else { since / PART };
            assert!(pause <= most.min(PAUSE.1), "{pause:?} after {since:?}");
            assert!(tries < 1600, "so many after {since:?}");
            now += pause;
        }
        assert_eq!(patience.pause(), PAUSE.1);
        while patience.proven(now) != Verdict::Admit {}
        patience.lost(now, Instead::Nobody);
        assert_eq!(patience.pause(), PAUSE_ALONE, "of another outage");
    }
}
