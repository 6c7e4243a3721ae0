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
    pub(super) state: watch::Sender<State>,
}

/// What is known of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// Of its process.
    process: Health,
    pub(super) standing: Standing,
    /// How many signatures of it did not verify.
    pub(super) doubts: u64,
}

/// How far a token is trusted beside others that hold the same keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// As far as any.
    Sound,
    /// It was lost, and has not proven itself since.
    Lost,
    /// It gave a signature that does not verify, and has not proven itself since.
    Doubted,
}

impl State {
    /// Whether it can sign now, and is believed to do so.
    pub(super) fn health(&self) -> Health {
        match (self.process, self.standing) {
            (Health::Ready, Standing::Doubted) => Health::Doubted,
            (health, _) => health,
        }
    }

    /// Whether its process can sign, right or wrong.
    pub(super) fn is_up(&self) -> bool {
        self.process == Health::Ready
    }

    /// Which of several tokens is asked first: the lowest.
    fn rank(&self) -> u8 {
        match (self.health(), self.standing) {
            (Health::Ready, Standing::Sound) => 0,
            (health, _) => 1 + health.rank(),
        }
    }
}

impl Pool {
    pub(super) fn new(config: Config) -> Self {
        let queue = Queue::new(config.name.clone(), config.queue);
        let state = State { process: Health::Restarting, standing: Standing::Sound, doubts: 0 };
        Self { config, queue, state: watch::Sender::new(state) }
    }

    /// Whoever is not ready is on probation from then on.
    pub(super) fn set_process(&self, health: Health) {
        self.state.send_modify(|state| {
            state.process = health;
            if health != Health::Ready && state.standing == Standing::Sound {
                state.standing = Standing::Lost;
            }
        });
    }

    /// Takes note of a signature that does not verify: the supervisor replaces the process that made it.
    pub(super) fn doubt(&self) {
        self.state.send_modify(|state| {
            state.standing = Standing::Doubted;
            state.doubts = state.doubts.wrapping_add(1);
        });
    }

    /// Returns once there are other doubts than `known`, or never.
    pub(super) async fn doubted(&self, known: u64) {
        // The sender is in `self`, so there is no error.
        let _ = self.state.subscribe().wait_for(|state| state.doubts != known).await;
    }

    pub(super) fn end_probation(&self) {
        self.state.send_modify(|state| state.standing = Standing::Sound);
    }

    pub(super) fn health(&self) -> Health {
        self.state.borrow().health()
    }

    pub(super) fn rank(&self) -> u8 {
        self.state.borrow().rank()
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
