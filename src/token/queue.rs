//! The bounded queue in front of one token: two lanes, one capacity, an eighth of which is the interactive lane's alone.
//!
//! In: [`Job`]s from callers. Out: chunks of jobs that nobody has given up, to whichever session is free. Interactive
//! jobs go first, but every eighth turn prefers bulk. A job whose deadline has passed never leaves the queue for the
//! token, and keeps nobody out; of one that has left for it the token's process looks again ([`Ask`](super::frame::Ask)). Closed, it
//! refuses with the reason and answers what waits with it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use super::{RawSignature, TokenError, TokenName};
use crate::sign::Priority;

/// Every how many turns bulk goes first.
const BULK_TURN: u32 = 8;
/// Bulk may have all places but one in so many: it waits as long as it is refused, and a person does not.
const KEPT: usize = 8;
/// A chunk ends once it holds this many bytes, so that it fits into a socket's buffer.
const CHUNK_BYTES: usize = 64 * 1024;

/// One thing to sign, and whom to tell.
pub(super) struct Job {
    pub(super) key: u16,
    pub(super) input: Vec<u8>,
    deadline: Option<Instant>,
    claim: Claim,
    answer: oneshot::Sender<Result<RawSignature, TokenError>>,
}

/// The caller's end of a [`Job`].
pub(super) struct Ticket {
    deadline: Option<Instant>,
    claim: Claim,
    answer: oneshot::Receiver<Result<RawSignature, TokenError>>,
}

/// Who takes it first, has it: a session that will sign, or the caller whose deadline has passed.
#[derive(Clone, Default)]
struct Claim(Arc<AtomicBool>);

impl Claim {
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

impl Job {
    pub(super) fn new(key: u16, input: Vec<u8>, deadline: Option<Instant>) -> (Self, Ticket) {
        let (sender, receiver) = oneshot::channel();
        let claim = Claim::default();
        let job = Self { key, input, deadline, claim: claim.clone(), answer: sender };
        (job, Ticket { deadline, claim, answer: receiver })
    }

    /// Tells the caller, who may be gone.
    pub(super) fn answer(self, result: Result<RawSignature, TokenError>) {
        let _ = self.answer.send(result);
    }

    /// When nobody waits for it any more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

impl Ticket {
    /// Waits for the answer. Past the deadline a job that no session has taken is given up; one that a session has
    /// taken is waited for, because the token may sign it.
    ///
    /// # Errors
    /// The session's or the queue's; [`TokenError::Unavailable`] if the process ended with the job in it.
    pub(super) async fn wait(mut self, token: &TokenName) -> Result<RawSignature, TokenError> {
        let gone = || TokenError::Unavailable { token: token.clone() };
        if let Some(deadline) = self.deadline {
            match tokio::time::timeout_at(deadline.into(), &mut self.answer).await {
                Ok(answer) => return answer.unwrap_or_else(|_| Err(gone())),
                Err(_) if self.claim.take() => {
                    return Err(TokenError::Expired { token: token.clone(), given: false });
                }
                Err(_) => {}
            }
        }
        self.answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// What woke a session, which has not looked for it yet. One that ends before it does passes it on when this is dropped.
struct WakeUp<'a>(&'a Notify);

impl WakeUp<'_> {
    /// The session looks.
    fn used(self) {
        std::mem::forget(self);
    }
}

impl Drop for WakeUp<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The queue of one token.
pub(super) struct Queue {
    token: TokenName,
    capacity: usize,
    lanes: Mutex<Lanes>,
    arrived: Notify,
}

#[derive(Default)]
struct Lanes {
    interactive: VecDeque<Job>,
    bulk: VecDeque<Job>,
    turn: u32,
    closed: Option<TokenError>,
    /// No job in here expires before.
    expiry: Option<Instant>,
}

impl Queue {
    pub(super) fn new(token: TokenName, capacity: usize) -> Self {
        Self { token, capacity, lanes: Mutex::default(), arrived: Notify::new() }
    }

    /// Puts a job at the end of its lane.
    ///
    /// # Errors
    /// [`TokenError::Busy`] if there is no place in the queue for this lane, or the reason why it is closed.
    pub(super) fn push(&self, job: Job, priority: Priority) -> Result<(), TokenError> {
        let mut lanes = self.lanes();
        if let Some(reason) = &lanes.closed {
            return Err(reason.clone());
        }
        let is_full = |lanes: &Lanes| {
            let bulk_is_full = priority == Priority::Bulk && lanes.bulk.len() >= self.bulk();
            bulk_is_full || lanes.len() >= self.capacity
        };
        let dead = if is_full(&lanes) { lanes.purge(Instant::now()) } else { Vec::new() };
        let full = is_full(&lanes);
        if !full {
            lanes.push(job, priority);
        }
        drop(lanes);
        for job in dead {
            job.answer(Err(TokenError::Expired { token: self.token.clone(), given: false }));
        }
        if full {
            return Err(TokenError::Busy { token: self.token.clone(), given: false });
        }
        self.arrived.notify_one();
        Ok(())
    }

    /// How many places bulk may have: one at least.
    fn bulk(&self) -> usize {
        self.capacity.saturating_sub(self.capacity.div_ceil(KEPT)).max(1)
    }

    /// Why it is closed, if it is.
    pub(super) fn closed(&self) -> Option<TokenError> {
        self.lanes().closed.clone()
    }

    /// Waits for work: up to `most` jobs, but no more than this session's share of `sessions`. `None` once closed. Given up half way,
    /// it keeps no job, and another session is woken in its place.
    pub(super) async fn take(&self, most: usize, sessions: usize) -> Option<Vec<Job>> {
        loop {
            // Made before the look, so that no wake-up between the look and the wait is lost.
            let arrived = self.arrived.notified();
            let (chunk, more) = {
                let mut lanes = self.lanes();
                if lanes.closed.is_some() {
                    return None;
                }
                let share = lanes.len().div_ceil(sessions.max(1));
                (lanes.take(most.min(share), &self.token), lanes.len() > 0)
            };
            if more {
                self.arrived.notify_one();
            }
            if !chunk.is_empty() {
                return Some(chunk);
            }
            if !more {
                arrived.await;
                let wake_up = WakeUp(&self.arrived);
                // Who is ready to send more may do so first: one commit lets many go, and their jobs are one chunk then.
                tokio::task::yield_now().await;
                wake_up.used();
            }
        }
    }

    /// Answers what waits with `reason`, and refuses with it from now on.
    pub(super) fn close(&self, reason: &TokenError) {
        let mut lanes = self.lanes();
        lanes.closed = Some(reason.clone());
        let waiting: Vec<Job> = lanes.drain().collect();
        drop(lanes);
        for job in waiting {
            job.answer(Err(reason.clone()));
        }
        self.arrived.notify_waiters();
    }

    /// Takes jobs again.
    pub(super) fn open(&self) {
        self.lanes().closed = None;
    }

    /// How many jobs wait, given up or not.
    pub(super) fn len(&self) -> usize {
        self.lanes().len()
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        // Nothing panics while it holds the lock, and a half-done queue operation would lose at most one job.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn len(&self) -> usize {
        self.interactive.len() + self.bulk.len()
    }

    fn push(&mut self, job: Job, priority: Priority) {
        self.expiry = [self.expiry, job.deadline].into_iter().flatten().min();
        match priority {
            Priority::Interactive => self.interactive.push_back(job),
            Priority::Bulk => self.bulk.push_back(job),
        }
    }

    /// Takes out what nobody waits for any more; of that, what is still to be answered. It looks at all jobs only where one may be dead:
    /// whoever knocks at a full queue over and over costs those in it no time.
    fn purge(&mut self, now: Instant) -> Vec<Job> {
        if self.expiry.is_none_or(|expiry| now < expiry) {
            return Vec::new();
        }
        let mut dead: Vec<Job> = Vec::new();
        for lane in [&mut self.interactive, &mut self.bulk] {
            let (gone, waiting): (VecDeque<_>, _) =
                std::mem::take(lane).into_iter().partition(|job| job.is_expired(now));
            *lane = waiting;
            dead.extend(gone);
        }
        self.expiry = self.interactive.iter().chain(&self.bulk).filter_map(|job| job.deadline).min();
        // The others' callers have given them up, and said so already.
        dead.retain(|job| job.claim.take());
        dead
    }

    fn drain(&mut self) -> impl Iterator<Item = Job> {
        self.interactive.drain(..).chain(self.bulk.drain(..))
    }

    fn pop(&mut self) -> Option<Job> {
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(BULK_TURN) {
            self.bulk.pop_front().or_else(|| self.interactive.pop_front())
        } else {
            self.interactive.pop_front().or_else(|| self.bulk.pop_front())
        }
    }

    fn take(&mut self, most: usize, token: &TokenName) -> Vec<Job> {
        let now = Instant::now();
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while chunk.len() < most && bytes < CHUNK_BYTES {
            let Some(job) = self.pop() else { break };
            if !job.claim.take() {
                continue; // The caller has given it up and said so already.
            }
            if job.is_expired(now) {
                job.answer(Err(TokenError::Expired { token: token.clone(), given: false }));
                continue;
            }
            bytes += job.input.len();
            chunk.push(job);
        }
        chunk
    }
}

#[cfg(test)]
mod tests;
