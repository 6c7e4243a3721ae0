//! One token as the pipeline sees it: a queue with a health.
//!
//! In: a [`Request`]. Out: a [`RawSignature`] or the reason why not. What happens to the process behind the queue is the
//! business of the supervisor alone.

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
}

impl Pool {
    pub(super) fn new(config: Config) -> Self {
        let queue = Queue::new(config.name.clone(), config.queue);
        Self { config, queue, health: watch::Sender::new(Health::Restarting) }
    }

    /// Signs with the key of this place on the token.
    ///
    /// # Errors
    /// [`TokenError`]
    pub(super) async fn sign(&self, index: u16, request: Request<'_>) -> Result<RawSignature, TokenError> {
        if request.message.len() > MAX_INPUT {
            return Err(TokenError::TooLong { len: request.message.len(), limit: MAX_INPUT });
        }
        let input = Input::of(request.scheme, request.message).into_bytes();
        let (job, ticket) = Job::new(index, input, request.deadline);
        self.queue.push(job, request.priority)?;
        ticket.wait(&self.config.name).await
    }
}
