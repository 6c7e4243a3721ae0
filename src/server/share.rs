//! How much of the server one caller may have, and all of them together.
//!
//! In: callers that want something. Out: a [`Share`] of it, held until it is dropped, or none: one caller, a stolen
//! front-end say, cannot take what the others need. Used for connections, for requests from their first byte to the last of
//! their answers, and, of hosts that are no callers yet, for handshakes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::caller::{Caller, CallerName};

/// What there is to share, by whose it is. Clones share the same.
#[derive(Clone, Debug)]
pub(super) struct Shares<K = CallerName>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    limits: ShareLimits,
    /// None once nothing is given out any more.
    by_holder: Mutex<Option<HashMap<K, usize>>>,
    /// The sum, for whoever waits until there are none left.
    taken: watch::Sender<usize>,
}

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShareLimits {
    /// For all together.
    pub(super) total: usize,
    /// For one caller, or one host.
    pub(super) each: usize,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Share<K: Eq + Hash = CallerName> {
    shares: Shares<K>,
    holder: K,
}

impl Shares {
    /// Takes one for `caller`, if there is one left for it.
    pub(super) fn take(&self, caller: &Caller) -> Option<Share> {
        self.take_for(caller.name())
    }
}

impl<K: Clone + Eq + Hash> Shares<K> {
    pub(super) fn new(limits: ShareLimits) -> Self {
        let (by_holder, taken) = (Mutex::new(Some(HashMap::new())), watch::Sender::new(0));
        Self(Arc::new(Inner { limits, by_holder, taken }))
    }

    /// Takes one for `holder`, if there is one left for it.
    pub(super) fn take_for(&self, holder: &K) -> Option<Share<K>> {
        let Inner { limits, by_holder, taken } = &*self.0;
        let mut by_holder = by_holder.lock().unwrap_or_else(PoisonError::into_inner);
        let by_holder = by_holder.as_mut()?;
        let its = by_holder.get(holder).copied().unwrap_or_default();
        if *taken.borrow() >= limits.total || its >= limits.each {
            return None;
        }
        by_holder.insert(holder.clone(), its.saturating_add(1));
        taken.send_modify(|count| *count = count.saturating_add(1));
        Some(Share { shares: self.clone(), holder: holder.clone() })
    }

    /// Whether half of what there is for `holder`, or for all, is taken.
    pub(super) fn are_half_taken(&self, holder: &K) -> bool {
        let Inner { limits, by_holder, taken } = &*self.0;
        let by_holder = by_holder.lock().unwrap_or_else(PoisonError::into_inner);
        let its = by_holder.as_ref().and_then(|by_holder| by_holder.get(holder).copied());
        *taken.borrow() >= limits.total / 2 || its.unwrap_or_default() >= limits.each / 2
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        *self.0.taken.borrow()
    }

    /// Gives out no more, and returns once none is taken.
    pub(super) async fn close(&self) {
        *self.0.by_holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // The sender is in `self`, so there is no error.
        let _ = self.0.taken.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let Inner { by_holder, taken, .. } = &*self.shares.0;
        let mut by_holder = by_holder.lock().unwrap_or_else(PoisonError::into_inner);
        // Who holds none is forgotten, so that memory does not grow with every name that ever called.
        if let Some(by_holder) = by_holder.as_mut()
            && let Some(its) = by_holder.get_mut(&self.holder)
        {
            *its = its.saturating_sub(1);
            if *its == 0 {
                by_holder.remove(&self.holder);
            }
        }
        taken.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_caller_cannot_take_all_and_all_cannot_take_more() {
        let shares = Shares::new(ShareLimits { total: 3, each: 2 });
        let (alice, bob) = (Caller::from_uid(1), Caller::from_uid(2));
        let held = [shares.take(&alice).unwrap(), shares.take(&alice).unwrap()];
        assert!(shares.take(&alice).is_none(), "more than one caller's part");
        let other = shares.take(&bob).unwrap();
        assert!(shares.take(&bob).is_none(), "more than there are");
        drop(held);
        assert_eq!(shares.taken(), 1);
        assert!(shares.take(&alice).is_some());
        drop(other);
        assert_eq!(shares.taken(), 0);
        assert!(
            shares.0.by_holder.lock().unwrap().as_ref().unwrap().is_empty(),
            "who holds nothing is forgotten"
        );
    }

    #[tokio::test]
    async fn closing_waits_for_what_is_taken_and_gives_out_no_more() {
        let shares = Shares::new(ShareLimits { total: 3, each: 3 });
        let alice = Caller::from_uid(1);
        let held = shares.take(&alice).unwrap();
        let mut closing = Box::pin(shares.close());
        assert!(futures_poll(&mut closing).await.is_pending());
        assert!(shares.take(&alice).is_none());
        drop(held);
        closing.await;
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
        std::future::poll_fn(|context| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context)))
            .await
    }
}
