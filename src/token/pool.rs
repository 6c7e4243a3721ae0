//! One token as the pipeline sees it: a queue with a health.
//!
//! In: a [`Request`]. Out: a [`RawSignature`] or the reason why not. What happens to the process behind the queue is the
//! business of the supervisor alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::watch;

use super::frame::MAX_INPUT;
use super::input::Input;
use super::queue::{Job, Queue};
use super::{Config, Health, RawSignature, TokenError};
use crate::key::{KeyName, Scheme};
use crate::sign::Priority;

/// What an intent says, in the words of this stage.
pub(super) struct Request<'a> {
    pub(super) key: &'a KeyName,
    pub(super) scheme: Scheme,
    pub(super) message: &'a [u8],
    pub(super) deadline: Option<Instant>,
    pub(super) priority: Priority,
}

/// One token in service.
pub(super) struct Pool {
    pub(super) config: Config,
    pub(super) queue: Queue,
    pub(super) health: watch::Sender<Health>,
    /// Whether it was lost and has not proven itself since; counts where other tokens hold the same key.
    probation: AtomicBool,
}

impl Pool {
    pub(super) fn new(config: Config) -> Self {
        let queue = Queue::new(config.name.clone(), config.queue);
        Self {
            config,
            queue,
            health: watch::Sender::new(Health::Restarting),
            probation: AtomicBool::new(false),
        }
    }

    /// Whoever is not ready is on probation from then on.
    pub(super) fn set_health(&self, health: Health) {
        if health != Health::Ready {
            self.probation.store(true, Ordering::SeqCst);
        }
        self.health.send_replace(health);
    }

    pub(super) fn is_on_probation(&self) -> bool {
        self.probation.load(Ordering::SeqCst)
    }

    pub(super) fn end_probation(&self) {
        self.probation.store(false, Ordering::SeqCst);
    }

    /// Which of several tokens is asked first: the lowest.
    pub(super) fn rank(&self) -> u8 {
        let health = *self.health.borrow();
        match (health, self.is_on_probation()) {
            (Health::Ready, false) => 0,
            (health, _) => 1 + health.rank(),
        }
    }

    /// Signs with the key of this place on the token.
    ///
    /// # Errors
    /// [`TokenError`]
    pub(super) async fn sign(&self, index: u16, request: &Request<'_>) -> Result<RawSignature, TokenError> {
        if request.message.len() > MAX_INPUT {
            return Err(TokenError::TooLong { len: request.message.len(), limit: MAX_INPUT });
        }
        let input = Input::of(request.scheme, request.message).into_bytes();
        let (job, ticket) = Job::new(index, input, request.deadline);
        self.queue.push(job, request.priority)?;
        ticket.wait(&self.config.name).await
    }
}
