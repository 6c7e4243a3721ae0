//! Where a key is: one token, or several that hold the same key pair (field-notes R33).
//!
//! In: a [`Request`]. Out: a signature of the first token that gives one: load goes where the least waits, a token that is out
//! of service or on probation is passed over while another is there, and a request whose token failed goes on to the next.
//! That is safe: a token that failed gave no signature, and one that hung is killed with whatever it may have signed; the
//! next signs the same bytes for the same ledger entry.

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

impl Route {
    /// Must be called within the runtime, which follows the tokens' health for as long as they are in service.
    pub(super) fn new(members: Vec<Member>) -> Arc<Self> {
        let pools: Vec<_> = members.iter().map(|member| member.pool.clone()).collect();
        let route = Self { members, turn: AtomicUsize::new(0), health: watch::Sender::new(best(&pools)) };
        for pool in &pools {
            let (mut changed, health, pools) = (
                pool.health.subscribe(),
                route.health.clone(),
                pools.iter().map(Arc::downgrade).collect::<Vec<_>>(),
            );
            tokio::spawn(async move {
                while changed.changed().await.is_ok() {
                    let alive: Vec<_> = pools.iter().filter_map(std::sync::Weak::upgrade).collect();
                    let now = best(&alive);
                    health.send_if_modified(|health| std::mem::replace(health, now) != now);
                }
            });
        }
        Arc::new(route)
    }

    /// Signs with the best token first.
    ///
    /// # Errors
    /// The [`TokenError`] of the token that was asked last.
    pub(super) async fn sign(&self, request: &Request<'_>) -> Result<RawSignature, TokenError> {
        let order = self.order();
        let mut others = order.iter();
        let Some(first) = others.next() else {
            return Err(TokenError::NotInService { key: request.key.clone() });
        };
        let (mut asked, mut result) = (first, first.pool.sign(first.index, request).await);
        for next in others {
            match &result {
                Err(error) if goes_on(error) && !is_late(request) => {
                    let (from, to) = (&asked.pool.config.name, &next.pool.config.name);
                    tracing::warn!(key = %request.key, %from, %to, %error, "the next token is asked");
                    (asked, result) = (next, next.pool.sign(next.index, request).await);
                }
                _ => break,
            }
        }
        result
    }

    /// Signs with one token and no other.
    ///
    /// # Errors
    /// [`TokenError`]; [`TokenError::NotInService`] if this token does not hold the key.
    pub(super) async fn sign_on(
        &self,
        token: &TokenName,
        request: &Request<'_>,
    ) -> Result<RawSignature, TokenError> {
        let member = self.members.iter().find(|member| member.pool.config.name == *token);
        let member = member.ok_or_else(|| TokenError::NotInService { key: request.key.clone() })?;
        member.pool.sign(member.index, request).await
    }

    /// The tokens, as they were configured.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The best of its tokens' health, as it changes.
    pub(super) fn health(&self) -> &watch::Sender<Health> {
        &self.health
    }

    /// The tokens, best first: in service before on probation before out of service, the shortest queue before longer ones.
    fn order(&self) -> Vec<&Member> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut order: Vec<_> = self.members.iter().collect();
        let len = order.len().max(1);
        order.rotate_left(turn % len);
        if order.len() > 1 {
            order.sort_by_key(|member| (member.pool.rank(), member.pool.queue.len()));
        }
        order
    }
}

/// The best health of all.
fn best(pools: &[Arc<Pool>]) -> Health {
    let healths = pools.iter().map(|pool| *pool.health.borrow());
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
