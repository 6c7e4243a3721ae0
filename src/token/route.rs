//! Where a key is: one token, or several that hold the same key pair (field-notes R33).
//!
//! In: a [`Request`]. Out: a signature of the first token that gives one: load goes where the least waits, a token that is out
//! of service or on probation is passed over while another is there, and a request whose token failed, or gave a signature that
//! does not verify, goes on to the next. That is safe: nothing of a token that failed is released, and one that hung or lied is
//! killed with whatever it may have signed; the next signs the same bytes for the same ledger entry. A request that a process took
//! with it when it died goes to one more process of that token; no other does, for they all have one queue, one PIN and one key.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::watch;

use super::pool::{Pool, Request};
use super::{Health, RawSignature, TokenError, TokenName};

/// A key's tokens; at least one.
pub(super) struct Route {
    members: Vec<Member>,
    /// Whose turn it is where nothing else tells two tokens apart.
    turn: AtomicUsize,
    health: watch::Sender<Health>,
}

/// One token, and the key's place in its list of keys.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) pool: Arc<Pool>,
    pub(super) index: u16,
}

impl Member {
    fn health(&self) -> Health {
        self.pool.health_of(self.index)
    }
}

impl Route {
    /// Must be called within the runtime, which follows the tokens' health for as long as they are in service.
    pub(super) fn new(members: Vec<Member>) -> Arc<Self> {
        let health = watch::Sender::new(best(members.iter().map(Member::health)));
        let route = Self { members, turn: AtomicUsize::new(0), health };
        let weak = |member: &Member| (Arc::downgrade(&member.pool), member.index);
        let weak: Vec<_> = route.members.iter().map(weak).collect();
        for member in &route.members {
            let (mut changed, health, members) =
                (member.pool.state.subscribe(), route.health.clone(), weak.clone());
            tokio::spawn(async move {
                while changed.changed().await.is_ok() {
                    let alive = members.iter().filter_map(|(pool, index)| Some((pool.upgrade()?, *index)));
                    let now = best(alive.map(|(pool, index)| pool.health_of(index)));
                    health.send_if_modified(|health| std::mem::replace(health, now) != now);
                }
            });
        }
        Arc::new(route)
    }

    /// Begins to ask, the best token first.
    pub(super) fn ask<'a>(&'a self, request: Request<'a>) -> Asking<'a> {
        // Every other token comes before another process of the same one.
        let order = self.order();
        let rounds = order.iter().map(|member| member.pool.tries()).max().unwrap_or_default();
        let round = |round| order.iter().copied().filter(move |member| round < member.pool.tries());
        let others = if rounds > 1 { (0..rounds).flat_map(round).collect() } else { order };
        Asking::new(request, others.into())
    }

    /// Begins to ask one token, and no other.
    ///
    /// # Errors
    /// [`TokenError::NotInService`] if this token does not hold the key.
    pub(super) fn ask_only<'a>(
        &'a self,
        token: &TokenName,
        request: Request<'a>,
    ) -> Result<Asking<'a>, TokenError> {
        let member = self.members.iter().find(|member| member.pool.config.name == *token);
        let member = member.ok_or_else(|| TokenError::NotInService { key: request.key.clone() })?;
        Ok(Asking::new(request, [member].into()))
    }

    /// The tokens, as they were configured.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The best of its tokens' health, as it changes.
    pub(super) fn health(&self) -> &watch::Sender<Health> {
        &self.health
    }

    /// The tokens, best first: in service before on probation before one that refuses this key before out of service, the shortest queue
    /// before longer ones.
    fn order(&self) -> Vec<&Member> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut order: Vec<_> = self.members.iter().collect();
        let len = order.len().max(1);
        order.rotate_left(turn % len);
        if order.len() > 1 {
            order.sort_by_key(|member| (member.pool.rank(member.index), member.pool.queue.len()));
        }
        order
    }
}

/// One request on its way through the tokens that hold its key. One that has several processes may be asked again.
pub struct Asking<'a> {
    request: Request<'a>,
    /// Who was asked last.
    asked: Option<&'a Member>,
    /// What that one had done when it was asked, if it was doubted.
    doubted: Option<u64>,
    /// Who was the last that may have signed.
    given: Option<&'a Member>,
    /// Who has refused it.
    refused: Vec<&'a Member>,
    others: VecDeque<&'a Member>,
}

impl<'a> Asking<'a> {
    fn new(request: Request<'a>, others: VecDeque<&'a Member>) -> Self {
        Self { request, asked: None, doubted: None, given: None, refused: Vec::new(), others }
    }

    /// Has the next token sign, and those after it where one fails.
    ///
    /// # Errors
    /// The [`TokenError`] of the token that was asked last; the message may have been signed unless the variant says that it was not.
    pub async fn sign(&mut self) -> Result<RawSignature, TokenError> {
        loop {
            let Some(member) = self.others.pop_front() else {
                return Err(TokenError::NotInService { key: self.request.key.clone() });
            };
            self.asked = Some(member);
            self.doubted = member.pool.doubt_of();
            let answer = member.pool.sign(member.index, &self.request).await;
            if answer.as_ref().err().is_none_or(TokenError::is_of_one_that_was_given) {
                self.given = Some(member);
            }
            let error = match answer {
                Err(error) if goes_on(&error) => error,
                answer => return answer,
            };
            if matches!(error, TokenError::Failed { .. }) {
                self.is_refused(member, &error);
            }
            let is_out = member.pool.queue.closed().is_some();
            if is_out || !matches!(error, TokenError::Unavailable { .. }) {
                self.leave(member);
            }
            let Some((from, to)) = self.onward() else { return Err(error) };
            // What has become of the token was logged once, when it happened, and what a load sheds is no line for each request.
            tracing::debug!(key = %self.request.key, %from, %to, reason = %error, "the next token is asked");
        }
    }

    /// The token that was the last to be given the message, so that it may have signed it; `None` if none was.
    #[must_use]
    pub fn given(&self) -> Option<&TokenName> {
        self.given.map(|member| &member.pool.config.name)
    }

    fn is_refused(&mut self, member: &'a Member, error: &TokenError) {
        self.refused.push(member);
        if member.pool.refused(member.index) {
            let (key, token) = (self.request.key, &member.pool.config.name);
            tracing::warn!(%key, %token, reason = %error, "the token refuses a request");
        }
    }

    /// Takes note that the last answer verifies: whoever refused the same is suspected of refusing more. Of a token that was doubted
    /// before it was asked, this key is believed again: whoever asks for it is served. It is asked after the others all the same, until it
    /// has proven itself.
    pub fn believe(&self) {
        for member in &self.refused {
            member.pool.suspect(member.index);
        }
        let Some(member) = self.asked else { return };
        member.pool.signed(member.index);
        if let Some(known) = self.doubted {
            member.pool.show(member.index, known);
        }
    }

    /// Takes note that the last answer does not verify: its token's process is replaced, and it is asked after the others until it
    /// has proven itself. Whether another token is left to ask.
    #[must_use]
    pub fn doubt(&mut self) -> bool {
        let Some(member) = self.asked else { return false };
        let (key, token) = (self.request.key, &member.pool.config.name);
        tracing::error!(
            %key, %token,
            "THE TOKEN GAVE A SIGNATURE THAT DOES NOT VERIFY; it is withheld, and the token's process is replaced"
        );
        member.pool.doubt();
        self.leave(member);
        let Some((from, to)) = self.onward() else { return false };
        tracing::warn!(%key, %from, %to, reason = "its signature does not verify", "the next token is asked");
        true
    }

    /// Asks no other process of this token.
    fn leave(&mut self, member: &Member) {
        self.others.retain(|other| !Arc::ptr_eq(&other.pool, &member.pool));
    }

    /// Whom the request leaves and who is asked next, if anybody is left to ask and there is time.
    fn onward(&self) -> Option<(&TokenName, &TokenName)> {
        let (from, to) = (self.asked?, self.others.front()?);
        (!is_late(&self.request)).then_some((&from.pool.config.name, &to.pool.config.name))
    }
}

/// The best health of all.
fn best(healths: impl Iterator<Item = Health>) -> Health {
    healths.min_by_key(|health| health.rank()).unwrap_or(Health::Down)
}

/// Whether another token may do better. The request itself is at fault, or too late, where it may not.
fn goes_on(error: &TokenError) -> bool {
    match error {
        TokenError::Busy { .. }
        | TokenError::TimedOut { .. }
        | TokenError::Unavailable { .. }
        | TokenError::PinRefused { .. }
        | TokenError::KeyChanged { .. }
        | TokenError::Failed { .. } => true,
        TokenError::Expired { .. } | TokenError::TooLong { .. } | TokenError::NotInService { .. } => false,
    }
}

fn is_late(request: &Request<'_>) -> bool {
    request.deadline.is_some_and(|deadline| deadline <= Instant::now())
}
